/*
 * Goal: datagrams cross a UDP port unchanged and in runs, and every failure of the socket loses at
 * most datagrams. Method: two ports on loopback, with system calls replaced where one must fail.
 */
#include "dgram.h"
#include "harness.h"
#include "oracle.h"
#include "recipe.h"

#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <string.h>

enum { SIZES_MAX = 512, BYTES_MAX = 1 << 20 };

struct side {
    struct stk_port *port;
    struct stk_addr local; /* of the port */
    struct stk_addr peer, to;
    unsigned datagrams, runs, wrong, writable, unreachable, too_big;
    struct stk_addr unreachable_peer, too_big_peer;
    uint32_t too_big_size;
    unsigned longest_run;
    uint8_t ecn;
    uint16_t sizes[SIZES_MAX];
};

static struct stk_loop *loop;
static struct side left, right;

/* Each datagram holds the oracle's bytes of its size's seed. */
static void on_input(void *user, const struct stk_run *runs, int count)
{
    struct side *side = user;

    for (int r = 0; r < count; r++) {
        side->runs++;
        if (runs[r].count > side->longest_run)
            side->longest_run = runs[r].count;
        side->ecn = runs[r].ecn;
        side->peer = *runs[r].peer;
        side->to.len = 0;
        if (runs[r].local)
            side->to = *runs[r].local;
        for (unsigned i = 0; i < runs[r].count; i++) {
            const uint16_t size = stk_run_size(&runs[r], i);
            side->wrong += oracle_check(size, 0, stk_run_at(&runs[r], i), size) != size;
            side->sizes[side->datagrams++ % SIZES_MAX] = size;
        }
    }
}

static void on_writable(void *user) { ((struct side *)user)->writable++; }

static void on_unreachable(void *user, const struct stk_addr *peer, int code)
{
    struct side *side = user;

    CU_ASSERT_TRUE(code < 0);
    side->unreachable++;
    side->unreachable_peer = *peer;
}

static void on_too_big(void *user, uint64_t association, const struct stk_addr *peer, uint32_t size)
{
    struct side *side = user;

    CU_ASSERT_EQUAL(association, 0);
    side->too_big++;
    side->too_big_peer = *peer;
    side->too_big_size = size;
}

static const struct stk_port_user user_type = {
    .input = on_input,
    .writable = on_writable,
    .unreachable = on_unreachable,
    .too_big = on_too_big,
};

static int try_open(struct side *side, const char *address, bool listening, struct stk_error *error)
{
    struct stk_recipe *recipe;

    memset(side, 0, sizeof *side);
    int code = stk_recipe_parse(address, &recipe, error);
    if (code < 0)
        return code;
    code = stk_port_open(loop, recipe, listening, &side->port, error);
    stk_recipe_unref(recipe);
    if (code < 0)
        return code;
    stk_port_set_user(side->port, &user_type, side);
    return stk_port_local(side->port, &side->local);
}

static void open_side(struct side *side, const char *address, bool listening)
{
    struct stk_error error = {.code = 0};

    if (try_open(side, address, listening, &error) < 0) {
        CU_FAIL_FATAL("the port does not open");
    }
}

static const char *address_of(const struct side *side, const char *ip, const char *options)
{
    static char text[200];

    snprintf(text, sizeof text, "/%s/%s/udp/%u%s", strchr(ip, ':') ? "ip6" : "ip4", ip,
             stk_addr_port(&side->local), options);
    return text;
}

static void open_pair(const char *options)
{
    struct stk_loop_options none = {.backend = NULL};
    char listen[100];

    CU_ASSERT_EQUAL_FATAL(stk_loop_new(&none, &loop), 0);
    snprintf(listen, sizeof listen, "/ip4/127.0.0.1/udp/0%s", options);
    open_side(&right, listen, true);
    open_side(&left, address_of(&right, "127.0.0.1", options), false);
}

static void close_pair(void)
{
    CU_ASSERT_EQUAL(left.wrong, 0);
    CU_ASSERT_EQUAL(right.wrong, 0);
    if (left.port)
        stk_port_unref(left.port);
    if (right.port)
        stk_port_unref(right.port);
    stk_loop_turn(loop, 0);
    stk_loop_free(loop);
}

/* A run with `gap` bytes between its datagrams; spent by the next call. */
static struct stk_run run_of(unsigned count, uint16_t size, uint16_t last_size, unsigned gap)
{
    static uint8_t bytes[BYTES_MAX];
    struct stk_run run = {
        .data = bytes,
        .stride = size + gap,
        .size = size,
        .last_size = last_size,
        .count = (uint16_t)count,
    };

    for (unsigned i = 0; i < count; i++)
        oracle_fill(stk_run_size(&run, i), 0, stk_run_at(&run, i), stk_run_size(&run, i));
    return run;
}

static int send_run(struct side *side, struct stk_run run)
{
    return stk_port_send(side->port, &run, 1);
}

static void wait_for(const struct side *side, unsigned datagrams)
{
    while (side->datagrams < datagrams)
        if (stk_loop_turn(loop, 2000000) <= 0)
            break;
    CU_ASSERT_EQUAL(side->datagrams, datagrams);
}

/* --- What passes ------------------------------------------------------------------------------ */

static void a_datagram_arrives_and_its_sender_can_be_answered(void)
{
    open_pair("");
    CU_ASSERT_EQUAL(send_run(&left, run_of(1, 100, 100, 0)), 1);
    wait_for(&right, 1);
    CU_ASSERT_EQUAL(right.sizes[0], 100);
    CU_ASSERT_EQUAL(stk_addr_port(&right.peer), stk_addr_port(&left.local));
    CU_ASSERT_TRUE(stk_addr_is_loopback(&right.to));

    struct stk_run answer = run_of(1, 200, 200, 0);
    answer.peer = &right.peer;
    answer.local = &right.to;
    CU_ASSERT_EQUAL(send_run(&right, answer), 1);
    wait_for(&left, 1);
    CU_ASSERT_EQUAL(left.sizes[0], 200);
    close_pair();
}

static void a_run_arrives_whole_with_a_shorter_last_datagram(void)
{
    open_pair("");
    CU_ASSERT_EQUAL(send_run(&left, run_of(40, 1200, 77, 0)), 1);
    wait_for(&right, 40);
    CU_ASSERT_EQUAL(right.sizes[0], 1200);
    CU_ASSERT_EQUAL(right.sizes[39], 77);
    CU_ASSERT_TRUE(right.longest_run > 1);
    close_pair();
}

static void a_run_with_gaps_arrives_like_one_without(void)
{
    open_pair("");
    CU_ASSERT_EQUAL(send_run(&left, run_of(50, 1000, 1000, 32)), 1);
    wait_for(&right, 50);
    close_pair();
}

static void without_offload_runs_become_single_datagrams(void)
{
    open_pair(",gso=no");
    CU_ASSERT_EQUAL(send_run(&left, run_of(64, 900, 5, 16)), 1);
    wait_for(&right, 64);
    CU_ASSERT_EQUAL(right.sizes[63], 5);
    close_pair();
}

static void many_runs_go_in_one_call(void)
{
    struct stk_run runs[100];

    open_pair(",gso=no");
    for (int i = 0; i < 100; i++)
        runs[i] = run_of(3, 64, 64, 0);
    CU_ASSERT_EQUAL(stk_port_send(left.port, runs, 100), 100);
    wait_for(&right, 300);
    close_pair();
}

static void tails_that_lie_elsewhere_are_put_into_place(void)
{
    uint8_t elsewhere[2][100];
    const struct iovec gather[] = {{elsewhere[0], 100}, {elsewhere[1], 60}};

    open_pair("");
    struct stk_run run = run_of(2, 100, 80, 50);
    for (unsigned i = 0; i < 2; i++) {
        const size_t len = gather[i].iov_len;
        uint8_t *tail = stk_run_at(&run, i) + stk_run_size(&run, i) - len;
        memcpy(elsewhere[i], tail, len);
        memset(tail, 0, len);
    }
    run.gather = gather;
    CU_ASSERT_EQUAL(send_run(&left, run), 1);
    wait_for(&right, 2);
    CU_ASSERT_EQUAL(right.wrong, 0);
    close_pair();
}

static void lone_datagrams_of_one_size_come_up_as_a_run(void)
{
    struct stk_run runs[8];

    open_pair(",gso=no");
    for (int i = 0; i < 8; i++)
        runs[i] = run_of(1, 333, 333, 0);
    CU_ASSERT_EQUAL(stk_port_send(left.port, runs, 8), 8);
    wait_for(&right, 8);
    CU_ASSERT_EQUAL(right.longest_run, 8);
    close_pair();
}

static void the_largest_datagram_passes_and_a_larger_one_is_dropped(void)
{
    open_pair("");
    CU_ASSERT_EQUAL(stk_port_max_size(left.port), 65507);
    CU_ASSERT_EQUAL(send_run(&left, run_of(1, 65507, 65507, 0)), 1);
    wait_for(&right, 1);
    CU_ASSERT_EQUAL(right.sizes[0], 65507);
    close_pair();
}

static struct stk_udp_stats stats_of(const struct side *side)
{
    struct stk_udp_stats stats = {0};

    CU_ASSERT_EQUAL(stk_port_query(side->port, STK_QUERY_UDP_STATS, 0, &stats, sizeof stats), 0);
    return stats;
}

static void what_passes_is_counted(void)
{
    open_pair("");
    send_run(&left, run_of(40, 1200, 77, 0));
    send_run(&left, run_of(1, 100, 100, 0));
    wait_for(&right, 41);
    const struct stk_udp_stats sent = stats_of(&left), received = stats_of(&right);
    CU_ASSERT_EQUAL(sent.datagrams_sent, 41);
    CU_ASSERT_EQUAL(sent.bytes_sent, 39 * 1200 + 77 + 100);
    CU_ASSERT_EQUAL(sent.send_calls, 2);
    CU_ASSERT_EQUAL(sent.segmented, sent.segmentation ? 1 : 0);
    CU_ASSERT_EQUAL(sent.unsent + sent.blocked + sent.datagrams_received, 0);
    CU_ASSERT_EQUAL(received.datagrams_received, 41);
    CU_ASSERT_EQUAL(received.bytes_received, sent.bytes_sent);
    CU_ASSERT_TRUE(received.receive_calls >= 1);
    CU_ASSERT_EQUAL(received.coalesced > 0, sent.segmentation);
    CU_ASSERT_EQUAL(received.overflowed, 0);
    close_pair();
}

static void what_the_kernel_drops_is_counted(void)
{
    enum { MANY = 500 };

    open_pair(",rcvbuf=4k,sndbuf=1M");
    for (int i = 0; i < MANY; i++)
        send_run(&left, run_of(1, 1000, 1000, 0));
    while (stk_loop_turn(loop, 0) > 0)
        ;
    const struct stk_udp_stats sent = stats_of(&left), received = stats_of(&right);
    CU_ASSERT_EQUAL(received.receive_buffer_asked_bytes, 4096);
    CU_ASSERT_TRUE(received.receive_buffer_bytes > 0 && received.receive_buffer_bytes < 65536);
    CU_ASSERT_EQUAL(sent.send_buffer_asked_bytes, 1 << 20);
    CU_ASSERT_TRUE(received.overflowed > 0);
    CU_ASSERT_EQUAL(received.datagrams_received + received.overflowed, sent.datagrams_sent);
    CU_ASSERT_EQUAL(sent.datagrams_sent, MANY);
    close_pair();
}

static void ecn_marks_cross_in_both_families(void)
{
    open_pair("");
    for (uint8_t ecn = 0; ecn < 4; ecn++) {
        struct stk_run run = run_of(2, 50, 50, 0);
        run.ecn = ecn;
        send_run(&left, run);
        wait_for(&right, 2u * (ecn + 1u));
        CU_ASSERT_EQUAL(right.ecn, ecn);
    }
    close_pair();
}

static bool have_ipv6(void)
{
    struct stk_addr any;
    const int fd = socket(AF_INET6, SOCK_DGRAM, 0);

    stk_addr_parse_ip(&any, "::1", 0);
    const bool have = fd >= 0 && bind(fd, &any.any, any.len) == 0;
    if (fd >= 0)
        close(fd);
    return have;
}

static void a_dual_stack_port_speaks_to_both_families(void)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};

    if (!have_ipv6()) {
        stk_test_skip("no IPv6 here");
        return;
    }
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    open_side(&right, "/ip6/::/udp/0", true);
    for (unsigned i = 0; i < 2; i++) {
        open_side(&left, address_of(&right, hosts[i], ""), false);
        struct stk_run run = run_of(3, 70, 70, 0);
        run.ecn = STK_ECN_CE;
        send_run(&left, run);
        wait_for(&right, 3 * (i + 1));
        CU_ASSERT_EQUAL(right.ecn, STK_ECN_CE);
        /* An IPv4 peer looks like one: no mapped addresses come up. */
        CU_ASSERT_EQUAL(right.peer.any.sa_family, i ? AF_INET6 : AF_INET);
        CU_ASSERT_EQUAL(right.to.any.sa_family, i ? AF_INET6 : AF_INET);

        struct stk_run answer = run_of(2, 60, 60, 0);
        answer.peer = &right.peer;
        answer.local = &right.to;
        answer.ecn = STK_ECN_ECT0;
        send_run(&right, answer);
        wait_for(&left, 2);
        CU_ASSERT_EQUAL(left.ecn, STK_ECN_ECT0);
        CU_ASSERT_TRUE(stk_addr_equal(&left.peer, &left.peer));
        CU_ASSERT_EQUAL(left.wrong, 0);
        stk_port_unref(left.port);
        left.port = NULL;
    }
    close_pair();
}

static void a_reply_leaves_from_the_address_that_was_asked(void)
{
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    open_side(&right, "/ip4/0.0.0.0/udp/0", true);
    open_side(&left, address_of(&right, "127.0.0.2", ""), false);
    send_run(&left, run_of(1, 10, 10, 0));
    wait_for(&right, 1);
    struct stk_run answer = run_of(1, 11, 11, 0);
    answer.peer = &right.peer;
    answer.local = &right.to;
    send_run(&right, answer);
    wait_for(&left, 1);
    struct stk_addr asked;
    stk_addr_parse_ip(&asked, "127.0.0.2", stk_addr_port(&right.local));
    CU_ASSERT_TRUE(stk_addr_equal(&left.peer, &asked));
    close_pair();
}

static void an_address_that_went_away_does_not_hold_a_reply_back(void)
{
    static const char *const ways[][3] = {
        {"/ip4/127.0.0.1/udp/0", "127.0.0.1", "192.0.2.1"},
        {"/ip6/::/udp/0", "127.0.0.1", "192.0.2.1"},
        {"/ip6/::1/udp/0", "::1", "2001:db8::1"},
    };

    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        open_side(&right, ways[i][0], true);
        open_side(&left, address_of(&right, ways[i][1], ""), false);
        send_run(&left, run_of(1, 10, 10, 0));
        wait_for(&right, 1);
        struct stk_addr gone;
        stk_addr_parse_ip(&gone, ways[i][2], 0);
        struct stk_run answer = run_of(3, 11, 10, 0);
        answer.peer = &right.peer;
        answer.local = &gone;
        send_run(&right, answer);
        wait_for(&left, 3);
        CU_ASSERT_EQUAL(left.wrong, 0);
        CU_ASSERT_EQUAL(stats_of(&right).unsent, 0);
        /* What else the machine can do is not in question. */
        CU_ASSERT_EQUAL(stats_of(&right).fallbacks, 0);
        stk_port_unref(left.port);
        stk_port_unref(right.port);
        left.port = right.port = NULL;
    }
    close_pair();
}

static void a_name_gives_a_port_for_both_families(void)
{
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    open_side(&right, "/ip4/127.0.0.1/udp/0", true);
    open_side(&left, "/dns/host.invalid/udp/9", false);
    /* The peer's address comes with the run; without one there is nowhere to go. */
    CU_ASSERT_EQUAL(send_run(&left, run_of(1, 9, 9, 0)), 1);
    struct stk_run run = run_of(1, 12, 12, 0);
    run.peer = &right.local;
    CU_ASSERT_EQUAL(send_run(&left, run), 1);
    wait_for(&right, 1);
    CU_ASSERT_EQUAL(right.sizes[0], 12);
    close_pair();
}

static void bind_chooses_the_local_address_and_port(void)
{
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    open_side(&right, "/ip4/127.0.0.1/udp/0", true);
    open_side(&left, address_of(&right, "127.0.0.1", ",bind=127.0.0.3"), false);
    send_run(&left, run_of(1, 10, 10, 0));
    wait_for(&right, 1);
    CU_ASSERT_EQUAL(ntohl(right.peer.in.sin_addr.s_addr), 0x7f000003);
    close_pair();
}

static void reuseport_lets_two_ports_share_one_address(void)
{
    struct side third;
    struct stk_error error = {.code = 0};

    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    open_side(&right, "/ip4/127.0.0.1/udp/0,reuseport", true);
    open_side(&left, address_of(&right, "127.0.0.1", ",reuseport"), true);
    CU_ASSERT_EQUAL(try_open(&third, address_of(&right, "127.0.0.1", ""), true, &error),
                    -EADDRINUSE);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "another program uses this address"));
    close_pair();
}

static void empty_datagrams_are_not_reported(void)
{
    open_pair("");
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CU_ASSERT_EQUAL(sendto(fd, "", 0, 0, &right.local.any, right.local.len), 0);
    close(fd);
    send_run(&left, run_of(1, 21, 21, 0));
    wait_for(&right, 1);
    CU_ASSERT_EQUAL(right.sizes[0], 21);
    close_pair();
}

static void a_turn_takes_a_bounded_number_of_datagrams(void)
{
    open_pair(",gso=no");
    for (int i = 0; i < 150; i++)
        send_run(&left, run_of(1, 30, 30, 0));
    for (unsigned before = 0; right.datagrams < 150; before = right.datagrams) {
        CU_ASSERT_EQUAL_FATAL(stk_loop_turn(loop, 2000000), 1);
        CU_ASSERT_TRUE(right.datagrams - before <= 64);
    }
    close_pair();
}

/* --- What fails ---------------------------------------------------------------------------------
 */

static void a_port_where_nobody_listens_is_reported_unreachable(void)
{
    open_pair("");
    stk_port_unref(right.port);
    right.port = NULL;
    stk_loop_turn(loop, 0);
    send_run(&left, run_of(1, 10, 10, 0));
    while (!left.unreachable && stk_loop_turn(loop, 2000000) > 0)
        ;
    CU_ASSERT_TRUE(left.unreachable >= 1);
    CU_ASSERT_TRUE(stk_addr_equal(&left.unreachable_peer, &right.local));

    /* The port goes on: the report is advice. */
    open_side(&right, "/ip4/127.0.0.1/udp/0", true);
    struct stk_run run = run_of(1, 15, 15, 0);
    run.peer = &right.local;
    CU_ASSERT_EQUAL(send_run(&left, run), 1);
    wait_for(&right, 1);
    close_pair();
}

static void an_address_that_is_not_ours_is_an_error_with_a_reason(void)
{
    struct stk_error error = {.code = 0};

    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    memset(&left, 0, sizeof left);
    CU_ASSERT_EQUAL(try_open(&right, "/ip4/192.0.2.1/udp/5", true, &error), -EADDRNOTAVAIL);
    CU_ASSERT_STRING_EQUAL(error.layer, "udp");
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "192.0.2.1:5"));
    CU_ASSERT_EQUAL(try_open(&right, "/ip6/::1/udp/5,bind=127.0.0.1", false, &error), STK_ESYNTAX);
    CU_ASSERT_EQUAL(try_open(&right, "/ip6/::/udp/0,bind=::1", true, &error), STK_ESYNTAX);
    CU_ASSERT_EQUAL(try_open(&right, "/ip4/127.0.0.1/udp/5,bind=nonsense", false, &error),
                    STK_ESYNTAX);
    CU_ASSERT_EQUAL(try_open(&right, "/ip4/127.0.0.1/udp/65536", false, &error), STK_ESYNTAX);
    close_pair();
}

/* A scripted errno for the next calls; 0: the real call. */
static int script[16];
static int script_at;
static struct stk_sys real;

static int scripted(void)
{
    const int error = script_at < 16 ? script[script_at] : 0;

    script_at++;
    errno = error;
    return error;
}

static int fail_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    return scripted() ? -1 : real.sendmmsg(fd, messages, count, flags);
}

static ssize_t fail_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return scripted() ? -1 : real.sendmsg(fd, message, flags);
}

static int fail_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                         struct timespec *timeout)
{
    return scripted() ? -1 : real.recvmmsg(fd, messages, count, flags, timeout);
}

static void set_script(int a, int b, int c, int d)
{
    memset(script, 0, sizeof script);
    script[0] = a, script[1] = b, script[2] = c, script[3] = d;
    script_at = 0;
}

static void replace_sending(int a, int b, int c, int d)
{
    real = stk_sys;
    stk_sys.sendmmsg = fail_sendmmsg;
    stk_sys.sendmsg = fail_sendmsg;
    set_script(a, b, c, d);
}

static void restore(void) { stk_sys = real; }

static void a_full_socket_takes_nothing_and_says_when_to_go_on(void)
{
    open_pair("");
    replace_sending(EAGAIN, 0, 0, 0);
    CU_ASSERT_EQUAL(send_run(&left, run_of(5, 100, 100, 0)), 0);
    CU_ASSERT_EQUAL(send_run(&left, run_of(5, 100, 100, 0)), 0);
    CU_ASSERT_EQUAL(left.writable, 0);
    stk_loop_turn(loop, 2000000);
    CU_ASSERT_EQUAL(left.writable, 1);
    stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(left.writable, 1);
    CU_ASSERT_EQUAL(send_run(&left, run_of(5, 100, 100, 0)), 1);
    wait_for(&right, 5);
    restore();
    close_pair();
}

/* Single datagrams: the first call takes two messages, then the socket is full. */
static int take_two(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    if (script_at++ > 0) {
        errno = EAGAIN;
        return -1;
    }
    return real.sendmmsg(fd, messages, count < 2 ? count : 2, flags);
}

static void a_run_that_is_cut_by_a_full_socket_is_completed_first(void)
{
    struct stk_run runs[2];

    open_pair(",gso=no");
    real = stk_sys;
    script_at = 0;
    stk_sys.sendmmsg = take_two;
    runs[0] = run_of(5, 100, 60, 0);
    runs[1] = run_of(5, 100, 60, 0);
    CU_ASSERT_EQUAL(stk_port_send(left.port, runs, 2), 1);
    restore();
    /* The caller's memory is its own again. */
    memset(runs[0].data, 0, 500);
    wait_for(&right, 5);
    CU_ASSERT_EQUAL(right.sizes[4], 60);
    CU_ASSERT_EQUAL(left.writable, 1);
    close_pair();
}

static void offload_is_given_up_where_the_device_refuses_it(void)
{
    open_pair("");
    replace_sending(EIO, 0, 0, 0);
    CU_ASSERT_EQUAL(send_run(&left, run_of(6, 100, 50, 0)), 1);
    wait_for(&right, 6);
    /* From now on each datagram is a message of its own. */
    set_script(0, 0, 0, 0);
    CU_ASSERT_EQUAL(send_run(&left, run_of(6, 100, 50, 0)), 1);
    CU_ASSERT_EQUAL(script_at, 1);
    wait_for(&right, 12);
    CU_ASSERT_EQUAL(stats_of(&left).fallbacks, 1);
    CU_ASSERT_FALSE(stats_of(&left).segmentation);
    CU_ASSERT_EQUAL(stats_of(&left).datagrams_sent, 12);
    restore();
    close_pair();
}

static void an_old_error_of_the_socket_does_not_cost_a_datagram(void)
{
    static const int errors[] = {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EINTR};

    open_pair("");
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        replace_sending(errors[i], errors[i], 0, 0);
        CU_ASSERT_EQUAL(send_run(&left, run_of(1, 40, 40, 0)), 1);
        restore();
        wait_for(&right, i + 1);
    }
    close_pair();
}

static void a_datagram_that_cannot_be_sent_is_dropped_and_the_next_goes(void)
{
    static const int errors[] = {EMSGSIZE, EPERM, ENOBUFS, ENOMEM, EINVAL};

    open_pair("");
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        const int e = errors[i];
        replace_sending(e, e, e, e);
        CU_ASSERT_EQUAL(send_run(&left, run_of(1, 40, 40, 0)), 1);
        restore();
        CU_ASSERT_EQUAL(send_run(&left, run_of(1, 41, 41, 0)), 1);
        wait_for(&right, i + 1);
        CU_ASSERT_EQUAL(right.sizes[i], 41);
    }
    close_pair();
}

static void a_peer_without_route_is_reported_from_the_loop(void)
{
    open_pair("");
    replace_sending(ENETUNREACH, ENETUNREACH, ENETUNREACH, 0);
    CU_ASSERT_EQUAL(send_run(&left, run_of(1, 40, 40, 0)), 1);
    restore();
    CU_ASSERT_EQUAL(left.unreachable, 0);
    stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(left.unreachable, 1);
    CU_ASSERT_TRUE(stk_addr_equal(&left.unreachable_peer, &right.local));
    close_pair();
}

static void receive_errors_pass_and_datagrams_are_kept(void)
{
    /* With all that Linux makes of an ICMP message, which anybody may have sent. */
    static const int errors[] = {EINTR,       ENOMEM,      ECONNREFUSED, ENOBUFS,    EHOSTUNREACH,
                                 ENETUNREACH, ENOPROTOOPT, EMSGSIZE,     EOPNOTSUPP, EHOSTDOWN,
                                 ENONET,      EPROTO,      EACCES};

    open_pair("");
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        real = stk_sys;
        stk_sys.recvmmsg = fail_recvmmsg;
        set_script(errors[i], 0, 0, 0);
        send_run(&left, run_of(1, 40, 40, 0));
        wait_for(&right, i + 1);
        restore();
    }
    close_pair();
}

static int strip_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                          struct timespec *timeout)
{
    const int taken = real.recvmmsg(fd, messages, count, flags, timeout);

    for (int i = 0; i < taken; i++)
        messages[i].msg_hdr.msg_controllen = 0;
    return taken;
}

static void datagrams_join_also_where_the_kernel_does_not_say_at_which_address_they_came(void)
{
    open_pair("");
    real = stk_sys;
    stk_sys.recvmmsg = strip_recvmmsg;
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(send_run(&left, run_of(1, 40, 40, 0)), 1);
    wait_for(&right, 3);
    restore();
    close_pair();
}

static int fail_socket(int domain, int type, int protocol)
{
    return scripted() ? -1 : real.socket(domain, type, protocol);
}

static int fail_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    return scripted() ? -1 : real.bind(fd, addr, len);
}

enum { REPORTS = 5 };

static int reports_left;
static struct stk_addr reported; /* where to the datagram went */

/* What the kernel makes of "fragmentation needed", and of a datagram too long for the interface. */
static ssize_t report_too_big(int fd, struct msghdr *message, int flags)
{
    const struct sock_extended_err report = {
        .ee_errno = EMSGSIZE, .ee_origin = SO_EE_ORIGIN_ICMP, .ee_info = 1400};
    struct cmsghdr *c = message->msg_control;

    if (!(flags & MSG_ERRQUEUE) || reports_left-- <= 0)
        return real.recvmsg(fd, message, flags);
    memcpy(message->msg_name, &reported.in, sizeof reported.in);
    message->msg_namelen = sizeof reported.in;
    message->msg_controllen = CMSG_SPACE(sizeof report);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_RECVERR;
    c->cmsg_len = CMSG_LEN(sizeof report);
    memcpy(CMSG_DATA(c), &report, sizeof report);
    return 0;
}

/* But not more often than the reader can stand: anybody may send such messages. */
static void a_size_that_is_too_large_is_reported_now_and_then(void)
{
    open_pair("");
    real = stk_sys;
    stk_sys.recvmmsg = fail_recvmmsg;
    stk_sys.recvmsg = report_too_big;
    set_script(EMSGSIZE, 0, 0, 0);
    reports_left = REPORTS;
    reported = left.local;
    send_run(&left, run_of(1, 40, 40, 0));
    wait_for(&right, 1);
    restore();
    CU_ASSERT_EQUAL(right.too_big, 1);
    CU_ASSERT_EQUAL(right.too_big_size, 1400 - 28);
    CU_ASSERT_TRUE(stk_addr_equal(&right.too_big_peer, &left.local));
    CU_ASSERT_EQUAL(right.unreachable, 0);
    CU_ASSERT_EQUAL(stats_of(&right).too_big, REPORTS);
    close_pair();
}

static void one_of_the_interface_is_about_whom_the_datagram_was_for(void)
{
    open_pair("");
    send_run(&left, run_of(1, 40, 40, 0));
    wait_for(&right, 1);
    struct stk_run answer = run_of(1, 40, 40, 0);
    answer.peer = &right.peer;
    send_run(&right, answer);
    replace_sending(EMSGSIZE, EMSGSIZE, 0, 0);
    send_run(&left, run_of(1, 40, 40, 0));
    restore();

    stk_sys.recvmmsg = fail_recvmmsg;
    stk_sys.recvmsg = report_too_big;
    set_script(EMSGSIZE, 0, 0, 0);
    reports_left = 1;
    reported = right.local;
    stk_addr_set_port(&reported, 0);
    wait_for(&left, 1);
    restore();
    CU_ASSERT_EQUAL(left.too_big, 1);
    CU_ASSERT_TRUE(stk_addr_equal(&left.too_big_peer, &right.local));
    close_pair();
}

static void opening_fails_with_the_kernels_reason(void)
{
    struct stk_error error = {.code = 0};

    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    memset(&left, 0, sizeof left);
    real = stk_sys;
    stk_sys.socket = fail_socket;
    set_script(EMFILE, 0, 0, 0);
    CU_ASSERT_EQUAL(try_open(&right, "/ip4/127.0.0.1/udp/0", true, &error), -EMFILE);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "too many open files"));
    restore();
    stk_sys.bind = fail_bind;
    set_script(EACCES, 0, 0, 0);
    CU_ASSERT_EQUAL(try_open(&right, "/ip4/127.0.0.1/udp/53", true, &error), -EACCES);
    restore();
    /* Without IPv6 a port for any family is one for IPv4. */
    stk_sys.socket = fail_socket;
    set_script(EAFNOSUPPORT, 0, 0, 0);
    CU_ASSERT_EQUAL(try_open(&right, "/dns/host.invalid/udp/9", false, &error), 0);
    CU_ASSERT_EQUAL(right.local.any.sa_family, AF_INET);
    restore();
    close_pair();
}

static CU_TestInfo tests[] = {
    {"a datagram arrives and its sender can be answered",
     a_datagram_arrives_and_its_sender_can_be_answered},
    {"a run arrives whole with a shorter last datagram",
     a_run_arrives_whole_with_a_shorter_last_datagram},
    {"a run with gaps arrives like one without", a_run_with_gaps_arrives_like_one_without},
    {"without offload runs become single datagrams", without_offload_runs_become_single_datagrams},
    {"many runs go in one call", many_runs_go_in_one_call},
    {"tails that lie elsewhere are put into place", tails_that_lie_elsewhere_are_put_into_place},
    {"lone datagrams of one size come up as a run", lone_datagrams_of_one_size_come_up_as_a_run},
    {"the largest datagram passes", the_largest_datagram_passes_and_a_larger_one_is_dropped},
    {"what passes is counted", what_passes_is_counted},
    {"what the kernel drops is counted", what_the_kernel_drops_is_counted},
    {"ECN marks cross", ecn_marks_cross_in_both_families},
    {"a dual-stack port speaks to both families", a_dual_stack_port_speaks_to_both_families},
    {"an address that went away does not hold a reply back",
     an_address_that_went_away_does_not_hold_a_reply_back},
    {"a reply leaves from the address that was asked",
     a_reply_leaves_from_the_address_that_was_asked},
    {"a name gives a port for both families", a_name_gives_a_port_for_both_families},
    {"bind chooses the local address and port", bind_chooses_the_local_address_and_port},
    {"reuseport lets two ports share one address", reuseport_lets_two_ports_share_one_address},
    {"empty datagrams are not reported", empty_datagrams_are_not_reported},
    {"a turn takes a bounded number of datagrams", a_turn_takes_a_bounded_number_of_datagrams},
    {"one of the interface is about whom the datagram was for",
     one_of_the_interface_is_about_whom_the_datagram_was_for},
    {"a size that is too large is reported now and then",
     a_size_that_is_too_large_is_reported_now_and_then},
    {"a port where nobody listens is reported unreachable",
     a_port_where_nobody_listens_is_reported_unreachable},
    {"an address that is not ours is an error with a reason",
     an_address_that_is_not_ours_is_an_error_with_a_reason},
    {"a full socket takes nothing and says when to go on",
     a_full_socket_takes_nothing_and_says_when_to_go_on},
    {"a run that is cut by a full socket is completed first",
     a_run_that_is_cut_by_a_full_socket_is_completed_first},
    {"offload is given up where the device refuses it",
     offload_is_given_up_where_the_device_refuses_it},
    {"an old error of the socket does not cost a datagram",
     an_old_error_of_the_socket_does_not_cost_a_datagram},
    {"a datagram that cannot be sent is dropped and the next goes",
     a_datagram_that_cannot_be_sent_is_dropped_and_the_next_goes},
    {"a peer without route is reported from the loop",
     a_peer_without_route_is_reported_from_the_loop},
    {"receive errors pass and datagrams are kept", receive_errors_pass_and_datagrams_are_kept},
    {"datagrams join also where the kernel does not say at which address they came",
     datagrams_join_also_where_the_kernel_does_not_say_at_which_address_they_came},
    {"opening fails with the kernel's reason", opening_fails_with_the_kernels_reason},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("udp", tests)
