/*
 * Goal: a TCP stream is byte-exact, ends as each side asked, and says in words what failed. Method:
 * both ends in one loop on loopback; system calls are failed or cut short where that matters.
 */
#include "fault.h"
#include "harness.h"
#include "resolver.h"
#include "talker.h"

#include <string.h>

static struct stk_loop *loop;
static struct stk_listener *listener;
static struct talker client, server;
static struct stk_error error;

static void open_loop(void)
{
    memset(&client, 0, sizeof client);
    memset(&server, 0, sizeof server);
    memset(&error, 0, sizeof error);
    listener = NULL;
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
}

static const char *address_of(const char *host, const char *options)
{
    static char text[200];
    struct stk_addr addr;

    CU_ASSERT_EQUAL_FATAL(stk_listener_addr(listener, &addr), 0);
    snprintf(text, sizeof text, "%s/tcp/%u%s", host, stk_addr_port(&addr), options);
    return text;
}

static void listen_here(const char *address)
{
    CU_ASSERT_EQUAL_FATAL(talker_listen(&server, loop, address, &listener, &error), 0);
}

static void open_pair(void)
{
    open_loop();
    listen_here("/ip4/127.0.0.1/tcp/0");
}

static void connect_client(void)
{
    CU_ASSERT_EQUAL_FATAL(talker_connect(&client, loop, address_of("/ip4/127.0.0.1", ""), &error),
                          0);
}

static void close_loop(void)
{
    if (listener)
        stk_listener_close(listener);
    if (client.conn)
        stk_conn_abort(client.conn);
    if (server.conn)
        stk_conn_abort(server.conn);
    while (client.conn || server.conn)
        stk_loop_turn(loop, 0);
    stk_loop_turn(loop, 0);
    stk_loop_free(loop);
}

static void give(struct talker *from, struct talker *to, uint64_t seed, uint64_t size)
{
    from->seed = to->incoming.seed = seed;
    from->size = to->incoming.size = size;
    from->finish = true;
}

static void exchange(uint64_t size)
{
    give(&client, &server, 1, size);
    give(&server, &client, 2, size / 2 + 1);
    connect_client();
    talker_wait_closed(&client, loop);
    talker_wait_closed(&server, loop);
    CU_ASSERT_TRUE(oracle_is_complete(&server.incoming));
    CU_ASSERT_TRUE(oracle_is_complete(&client.incoming));
    CU_ASSERT_EQUAL(client.error.code, 0);
    CU_ASSERT_EQUAL(server.error.code, 0);
    CU_ASSERT_EQUAL(client.delivered, 1);
}

/* --- What works
 * ----------------------------------------------------------------------------------- */

static void megabytes_cross_both_ways_at_once(void)
{
    open_pair();
    exchange(20 << 20);
    close_loop();
}

static void half_close_leaves_the_other_direction_open(void)
{
    open_pair();
    client.finish = true;
    server.stays_open = true;
    connect_client();
    talker_wait(loop, &server.finished, 1);
    CU_ASSERT_EQUAL(server.closed, 0);
    CU_ASSERT_EQUAL(stk_conn_write(server.conn, "late", 4), 4);
    stk_conn_finish(server.conn);
    talker_wait_closed(&client, loop);
    CU_ASSERT_EQUAL(client.received, 4);
    CU_ASSERT_EQUAL(memcmp(client.kept, "late", 4), 0);
    CU_ASSERT_EQUAL(client.error.code, 0);
    close_loop();
}

static void abort_is_a_reset_at_the_peer(void)
{
    open_pair();
    connect_client();
    talker_wait(loop, &server.opened, 1);
    talker_wait(loop, &client.opened, 1);
    stk_conn_abort(client.conn);
    talker_wait_closed(&server, loop);
    CU_ASSERT_EQUAL(server.error.code, -ECONNRESET);
    CU_ASSERT_STRING_EQUAL(server.error.layer, "tcp");
    CU_ASSERT_STRING_EQUAL(server.error.text, "the peer reset the connection");
    CU_ASSERT_EQUAL(client.error.code, -ECONNABORTED);
    close_loop();
}

static void bytes_before_a_reset_are_still_read(void)
{
    open_pair();
    client.size = 1000;
    connect_client();
    talker_wait(loop, &server.accepted, 1);
    stk_conn_pause(server.conn);
    talker_wait(loop, &server.opened, 1);
    talker_wait(loop, &client.opened, 1);
    CU_ASSERT_EQUAL(client.sent, 1000);
    stk_conn_abort(client.conn);
    talker_wait_closed(&client, loop);
    stk_conn_resume(server.conn);
    talker_wait_closed(&server, loop);
    CU_ASSERT_EQUAL(server.received, 1000);
    CU_ASSERT_EQUAL(server.error.code, -ECONNRESET);
    close_loop();
}

static void a_reader_that_pauses_stops_the_sender_and_costs_no_turns(void)
{
    open_pair();
    give(&client, &server, 3, 64 << 20);
    connect_client();
    talker_wait(loop, &server.accepted, 1);
    stk_conn_pause(server.conn);
    int turns = 0;
    while (stk_loop_turn(loop, 20000) > 0 && turns < 100000)
        turns++;
    CU_ASSERT_TRUE(turns < 100000);
    CU_ASSERT_TRUE(client.sent < 64 << 20);
    const uint64_t stuck = client.sent;
    stk_conn_resume(server.conn);
    talker_wait_closed(&server, loop);
    CU_ASSERT_TRUE(client.sent > stuck);
    CU_ASSERT_TRUE(oracle_is_complete(&server.incoming));
    close_loop();
}

static void ipv6_listens_for_both_families_unless_told_otherwise(void)
{
    open_loop();
    if (talker_listen(&server, loop, "/ip6/::/tcp/0", &listener, &error) < 0) {
        stk_test_skip("no IPv6 here");
        close_loop();
        return;
    }
    server.close_at_end = client.finish = true;
    CU_ASSERT_EQUAL(talker_connect(&client, loop, address_of("/ip4/127.0.0.1", ""), &error), 0);
    talker_wait_closed(&client, loop);
    CU_ASSERT_EQUAL(client.error.code, 0);
    talker_wait_closed(&server, loop);
    stk_listener_close(listener);

    memset(&client, 0, sizeof client);
    CU_ASSERT_EQUAL(talker_listen(&server, loop, "/ip6/::/tcp/0,v6only", &listener, &error), 0);
    CU_ASSERT_EQUAL(talker_connect(&client, loop, address_of("/ip4/127.0.0.1", ""), &error), 0);
    talker_wait_closed(&client, loop);
    CU_ASSERT_EQUAL(client.error.code, -ECONNREFUSED);
    close_loop();
}

static void queries_tell_addresses_and_how_the_path_does(void)
{
    struct stk_addr local, peer, there;
    struct stk_stats stats;
    uint64_t unsent = 1;

    open_pair();
    client.size = 50000;
    connect_client();
    talker_wait(loop, &server.opened, 1);
    while (server.received < 50000)
        stk_loop_turn(loop, 1000000);
    CU_ASSERT_EQUAL(stk_conn_query(client.conn, STK_QUERY_LOCAL_ADDR, &local, sizeof local), 0);
    CU_ASSERT_EQUAL(stk_conn_query(client.conn, STK_QUERY_PEER_ADDR, &peer, sizeof peer), 0);
    stk_listener_addr(listener, &there);
    CU_ASSERT_TRUE(stk_addr_equal(&peer, &there));
    CU_ASSERT_EQUAL(stk_conn_query(server.conn, STK_QUERY_PEER_ADDR, &peer, sizeof peer), 0);
    CU_ASSERT_TRUE(stk_addr_equal(&peer, &local));
    CU_ASSERT_EQUAL(stk_conn_query(client.conn, STK_QUERY_STATS, &stats, sizeof stats), 0);
    CU_ASSERT_EQUAL(stats.bytes_sent, 50000);
    CU_ASSERT_TRUE(stats.rtt_us > 0 && stats.cwnd_bytes > 0);
    CU_ASSERT_TRUE(stats.congestion_control[0] != '\0');
    CU_ASSERT_EQUAL(stk_conn_query(client.conn, STK_QUERY_UNSENT, &unsent, sizeof unsent), 0);
    CU_ASSERT_TRUE(unsent <= 50000);
    close_loop();
}

static void options_reach_the_socket(void)
{
    open_loop();
    listen_here("/ip4/127.0.0.1/tcp/0,reuseport,backlog=5,nodelay=no,keepalive=30s");
    CU_ASSERT_EQUAL(talker_connect(&client, loop,
                                   address_of("/ip4/127.0.0.1", ",bind=127.0.0.9,keepalive=10s"),
                                   &error),
                    0);
    talker_wait(loop, &server.opened, 1);
    struct stk_addr peer;
    CU_ASSERT_EQUAL(stk_conn_query(server.conn, STK_QUERY_PEER_ADDR, &peer, sizeof peer), 0);
    CU_ASSERT_EQUAL(ntohl(peer.in.sin_addr.s_addr), 0x7f000009);
    close_loop();
}

/* --- Names
 * ---------------------------------------------------------------------------------------- */

static void answer_names(void *context, struct stk_lookup *lookup)
{
    struct stk_addr addrs[2];

    (void)context;
    CU_ASSERT_STRING_EQUAL(stk_lookup_name(lookup), "host.example");
    if (stk_lookup_family(lookup) == AF_INET6) {
        stk_addr_parse_ip(&addrs[0], "::1", 0);
        stk_lookup_answer(lookup, addrs, 1);
        return;
    }
    stk_addr_parse_ip(&addrs[0], "127.0.0.7", 0);
    stk_addr_parse_ip(&addrs[1], "127.0.0.1", 0);
    stk_lookup_answer(lookup, addrs, 2);
}

static void a_name_reaches_the_address_that_answers(void)
{
    open_pair();
    stk_resolver_set(loop, answer_names, NULL);
    CU_ASSERT_EQUAL(talker_connect(&client, loop, address_of("/dns/host.example", ""), &error), 0);
    talker_wait(loop, &client.opened, 1);
    struct stk_addr peer, there;
    CU_ASSERT_EQUAL(stk_conn_query(client.conn, STK_QUERY_PEER_ADDR, &peer, sizeof peer), 0);
    stk_listener_addr(listener, &there);
    CU_ASSERT_TRUE(stk_addr_equal(&peer, &there));
    talker_wait(loop, &server.opened, 1);
    close_loop();
}

static void the_error_of_a_name_names_every_address_tried(void)
{
    open_pair();
    stk_resolver_set(loop, answer_names, NULL);
    const char *address = address_of("/dns/host.example", "");
    stk_listener_close(listener);
    listener = NULL;
    CU_ASSERT_EQUAL(talker_connect(&client, loop, address, &error), 0);
    talker_wait_closed(&client, loop);
    CU_ASSERT_EQUAL(client.error.code, -ECONNREFUSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(client.error.text, "127.0.0.7:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(client.error.text, "127.0.0.1:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(client.error.text, "[::1]:"));
    close_loop();
}

static void a_connection_closed_while_its_name_is_looked_up_ends_quietly(void)
{
    open_pair();
    CU_ASSERT_EQUAL(talker_connect(&client, loop, address_of("/dns/localhost", ""), &error), 0);
    stk_loop_turn(loop, 0);
    stk_conn_abort(client.conn);
    talker_wait_closed(&client, loop);
    CU_ASSERT_EQUAL(client.error.code, -ECONNABORTED);
    close_loop();
}

/* --- What fails
 * ------------------------------------------------------------------------------------ */

static void a_refused_connection_says_where_nothing_listens(void)
{
    open_pair();
    const char *address = address_of("/ip4/127.0.0.1", "");
    struct stk_addr there;
    char text[STK_ADDR_TEXT_MAX], wanted[300];

    stk_listener_addr(listener, &there);
    stk_listener_close(listener);
    listener = NULL;
    CU_ASSERT_EQUAL(talker_connect(&client, loop, address, &error), 0);
    talker_wait_closed(&client, loop);
    snprintf(wanted, sizeof wanted, "connection refused: nothing listens on %s",
             stk_addr_format(&there, text));
    CU_ASSERT_EQUAL(client.error.code, -ECONNREFUSED);
    CU_ASSERT_STRING_EQUAL(client.error.text, wanted);
    CU_ASSERT_EQUAL(client.opened, 0);
    close_loop();
}

static int connect_into_the_void(int fd, const struct sockaddr *addr, socklen_t len)
{
    (void)fd, (void)addr, (void)len;
    errno = EINPROGRESS;
    return -1;
}

/* A new socket that connects to nowhere is HANGUP at once: one that waits is a full pipe. */
static int waiting_socket(int domain, int type, int protocol)
{
    static int other;
    int fds[2];
    char junk[4096] = {0};

    (void)domain, (void)type, (void)protocol;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    while (write(fds[0], junk, sizeof junk) > 0)
        ;
    if (other)
        close(other);
    other = fds[1];
    return fds[0];
}

static void a_dead_host_ends_in_an_error_at_the_connect_time_out(void)
{
    open_pair();
    const struct stk_sys real = stk_sys;
    stk_sys.connect = connect_into_the_void;
    stk_sys.socket = waiting_socket;
    connect_client();
    stk_conn_set_connect_timeout(client.conn, 50000);
    const uint64_t begun = stk_loop_now_us(loop);
    talker_wait_closed(&client, loop);
    stk_sys = real;
    CU_ASSERT_EQUAL(client.error.code, -ETIMEDOUT);
    CU_ASSERT_TRUE(stk_loop_now_us(loop) - begun >= 50000);
    close_loop();
}

static void listening_fails_with_the_kernels_reason(void)
{
    static const struct {
        enum fault_site site;
        int code;
    } cases[] = {{FAULT_SOCKET, EMFILE}, {FAULT_BIND, EACCES}, {FAULT_LISTEN, EADDRINUSE}};

    open_loop();
    fault_sys_install();
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        fault_sys_fail(cases[i].site, 1, cases[i].code, FAULT_ONCE);
        CU_ASSERT_EQUAL(talker_listen(&server, loop, "/ip4/127.0.0.1/tcp/0", &listener, &error),
                        -cases[i].code);
        CU_ASSERT_STRING_EQUAL(error.layer, "tcp");
        CU_ASSERT_TRUE(strstr(error.text, "127.0.0.1:0") != NULL);
        fault_sys_fail(cases[i].site, 0, 0, FAULT_ONCE);
    }
    fault_sys_remove();
    listener = NULL;
    CU_ASSERT_EQUAL(talker_listen(&server, loop, "/ip4/192.0.2.1/tcp/80", &listener, &error),
                    -EADDRNOTAVAIL);
    CU_ASSERT_EQUAL(talker_listen(&server, loop, "/ip4/127.0.0.1/tcp/80000", &listener, &error),
                    STK_ESYNTAX);
    CU_ASSERT_EQUAL(
        talker_listen(&server, loop, "/ip4/0.0.0.0/tcp/0,bind=127.0.0.1", &listener, &error),
        STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "listens on the address before tcp, 0.0.0.0"));
    CU_ASSERT_EQUAL(talker_connect(&client, loop, "/ip4/127.0.0.1/tcp/80,bind=::1", &error),
                    STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "bind=::1 is of another address family"));
    CU_ASSERT_EQUAL(talker_connect(&client, loop, "/ip4/127.0.0.1/tcp/80,bind=x", &error),
                    STK_ESYNTAX);
    close_loop();
}

static void connecting_fails_with_the_kernels_reason(void)
{
    static const struct {
        enum fault_site site;
        int code;
    } cases[] = {{FAULT_SOCKET, EMFILE},
                 {FAULT_SOCKET, EAFNOSUPPORT},
                 {FAULT_CONNECT, ENETUNREACH},
                 {FAULT_CONNECT, EADDRNOTAVAIL},
                 {FAULT_EPOLL_CTL, ENOSPC}};

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_pair();
        connect_client();
        fault_sys_install();
        fault_sys_fail(cases[i].site, 1, cases[i].code, FAULT_ONCE);
        while (!client.closed && !client.opened)
            stk_loop_turn(loop, 1000000);
        /* Another back end than epoll never makes that call. */
        if (fault_sys_has_failed(cases[i].site)) {
            CU_ASSERT_EQUAL(client.error.code, -cases[i].code);
            CU_ASSERT_EQUAL(client.opened, 0);
            CU_ASSERT_TRUE(strstr(client.error.text, "127.0.0.1:") != NULL);
        }
        fault_sys_remove();
        close_loop();
    }
}

static void accept_survives_what_passes(void)
{
    static const int codes[] = {EINTR, ECONNABORTED, EPROTO, EMFILE, ENFILE, ENOBUFS, EPERM};

    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        open_pair();
        fault_sys_install();
        fault_sys_fail(FAULT_ACCEPT4, 1, codes[i], FAULT_ONCE);
        connect_client();
        talker_wait(loop, &server.opened, 1);
        CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_ACCEPT4));
        fault_sys_remove();
        close_loop();
    }
}

static unsigned died;
static void on_failed(struct stk_listener *l, const struct stk_error *e)
{
    (void)l;
    died++;
    CU_ASSERT_EQUAL(e->code, -EINVAL);
}

static void a_listener_that_cannot_go_on_tells_its_owner(void)
{
    open_pair();
    died = 0;
    stk_listener_on_failed(listener, on_failed);
    fault_sys_install();
    fault_sys_fail(FAULT_ACCEPT4, 1, EINVAL, FAULT_ONCE);
    connect_client();
    talker_wait(loop, &died, 1);
    fault_sys_remove();
    close_loop();
}

static void reading_and_writing_survive_interrupts(void)
{
    open_pair();
    fault_sys_install();
    fault_sys_fail(FAULT_RECVMSG, 3, EINTR, FAULT_ONCE);
    fault_sys_fail(FAULT_SENDMSG, 3, EINTR, FAULT_ONCE);
    exchange(3 << 20);
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_RECVMSG));
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_SENDMSG));
    fault_sys_remove();
    close_loop();
}

static void errors_while_reading_and_writing_end_it_with_words(void)
{
    static const struct {
        enum fault_site site;
        int code;
    } cases[] = {{FAULT_RECVMSG, ECONNRESET},
                 {FAULT_RECVMSG, ETIMEDOUT},
                 {FAULT_SENDMSG, EPIPE},
                 {FAULT_SENDMSG, EHOSTUNREACH}};

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_pair();
        give(&client, &server, 9, 1 << 20);
        give(&server, &client, 8, 1 << 20);
        fault_sys_install();
        fault_sys_fail(cases[i].site, 5, cases[i].code, FAULT_ONCE);
        connect_client();
        talker_wait_closed(&client, loop);
        talker_wait_closed(&server, loop);
        CU_ASSERT_TRUE(client.error.code == -cases[i].code || server.error.code == -cases[i].code);
        CU_ASSERT_FALSE(server.incoming.wrong || client.incoming.wrong);
        fault_sys_remove();
        close_loop();
    }
}

static struct stk_sys real;

static ssize_t recv_one_byte(int fd, struct msghdr *message, int flags)
{
    struct iovec iov = {message->msg_iov->iov_base, 1};
    struct msghdr small = *message;

    small.msg_iov = &iov;
    small.msg_iovlen = 1;
    return real.recvmsg(fd, &small, flags);
}

static ssize_t send_one_byte(int fd, const struct msghdr *message, int flags)
{
    struct iovec iov = {message->msg_iov->iov_base, message->msg_iov->iov_len ? 1 : 0};
    struct msghdr small = *message;

    small.msg_iov = &iov;
    small.msg_iovlen = 1;
    return real.sendmsg(fd, &small, flags);
}

static void one_byte_at_a_time_is_the_same_stream(void)
{
    open_pair();
    real = stk_sys;
    stk_sys.recvmsg = recv_one_byte;
    stk_sys.sendmsg = send_one_byte;
    exchange(5000);
    stk_sys = real;
    close_loop();
}

static void any_allocation_may_fail_without_a_leak(void)
{
    for (long n = 1;; n++) {
        open_loop();
        fault_heap_install();
        struct stk_loop *const outside = loop;
        CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
        fault_heap_fail(n, FAULT_ONCE);
        client.finish = server.close_at_end = true;
        if (talker_listen(&server, loop, "/ip4/127.0.0.1/tcp/0", &listener, &error) == 0) {
            if (talker_connect(&client, loop, address_of("/ip4/127.0.0.1", ""), &error) == 0)
                talker_wait_closed(&client, loop);
        }
        const bool failed = fault_heap_has_failed();
        fault_heap_fail(0, FAULT_ONCE);
        close_loop();
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
        stk_loop_free(outside);
        if (!failed)
            return;
    }
}

static CU_TestInfo tests[] = {
    {"megabytes cross both ways at once", megabytes_cross_both_ways_at_once},
    {"half-close leaves the other direction open", half_close_leaves_the_other_direction_open},
    {"abort is a reset at the peer", abort_is_a_reset_at_the_peer},
    {"bytes before a reset are still read", bytes_before_a_reset_are_still_read},
    {"a reader that pauses stops the sender and costs no turns",
     a_reader_that_pauses_stops_the_sender_and_costs_no_turns},
    {"IPv6 listens for both families unless told otherwise",
     ipv6_listens_for_both_families_unless_told_otherwise},
    {"queries tell addresses and how the path does", queries_tell_addresses_and_how_the_path_does},
    {"options reach the socket", options_reach_the_socket},
    {"a name reaches the address that answers", a_name_reaches_the_address_that_answers},
    {"the error of a name names every address tried",
     the_error_of_a_name_names_every_address_tried},
    {"a connection closed while its name is looked up ends quietly",
     a_connection_closed_while_its_name_is_looked_up_ends_quietly},
    {"a refused connection says where nothing listens",
     a_refused_connection_says_where_nothing_listens},
    {"a dead host ends in an error at the connect time-out",
     a_dead_host_ends_in_an_error_at_the_connect_time_out},
    {"listening fails with the kernel's reason", listening_fails_with_the_kernels_reason},
    {"connecting fails with the kernel's reason", connecting_fails_with_the_kernels_reason},
    {"accept survives what passes", accept_survives_what_passes},
    {"a listener that cannot go on tells its owner", a_listener_that_cannot_go_on_tells_its_owner},
    {"reading and writing survive interrupts", reading_and_writing_survive_interrupts},
    {"errors while reading and writing end it with words",
     errors_while_reading_and_writing_end_it_with_words},
    {"one byte at a time is the same stream", one_byte_at_a_time_is_the_same_stream},
    {"any allocation may fail without a leak", any_allocation_may_fail_without_a_leak},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("tcp", tests)
