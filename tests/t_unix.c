/*
 * Goal: Unix sockets carry streams and datagrams, and their files come and go as they should.
 * Method: both ends in one loop, in a directory of the test's own.
 */
#include "dgram.h"
#include "fault.h"
#include "harness.h"
#include "recipe.h"
#include "talker.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stk_loop *loop;
static struct stk_listener *listener;
static struct talker client, server;
static struct stk_error error;
static char directory[64], path[100], address[200];

static void open_loop(const char *options)
{
    char text[150];

    memset(&client, 0, sizeof client);
    memset(&server, 0, sizeof server);
    memset(&error, 0, sizeof error);
    listener = NULL;
    strcpy(directory, "/tmp/stk-unix-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/s", directory);
    snprintf(address, sizeof address, "/unix/%s%s", stk_percent_encode(path, text, sizeof text),
             options);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
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
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static int listen_here(void) { return talker_listen(&server, loop, address, &listener, &error); }
static int connect_here(void) { return talker_connect(&client, loop, address, &error); }

static void exchange(void)
{
    client.seed = server.incoming.seed = 4;
    client.size = server.incoming.size = 3 << 20;
    server.seed = client.incoming.seed = 5;
    server.size = client.incoming.size = 2 << 20;
    client.finish = server.finish = true;
    CU_ASSERT_EQUAL(connect_here(), 0);
    talker_wait_closed(&client, loop);
    talker_wait_closed(&server, loop);
    CU_ASSERT_TRUE(oracle_is_complete(&server.incoming) && oracle_is_complete(&client.incoming));
    CU_ASSERT_TRUE(client.error.code == 0 && server.error.code == 0);
}

/* --- Streams --------------------------------------------------------------------------------- */

static void a_stream_crosses_both_ways_and_the_file_goes_with_the_listener(void)
{
    struct stk_addr addr;
    char text[STK_ADDR_TEXT_MAX];

    open_loop("");
    CU_ASSERT_EQUAL_FATAL(listen_here(), 0);
    CU_ASSERT_EQUAL(stk_listener_addr(listener, &addr), 0);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&addr, text), path);
    exchange();
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    stk_listener_close(listener);
    listener = NULL;
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    close_loop();
}

static void an_abstract_name_needs_no_file(void)
{
    open_loop("");
    snprintf(address, sizeof address, "/unix/@stk-test-%ld", (long)getpid());
    CU_ASSERT_EQUAL_FATAL(listen_here(), 0);
    exchange();
    close_loop();
}

static void mode_is_that_of_the_file(void)
{
    struct stat st;

    open_loop(",mode=600");
    CU_ASSERT_EQUAL_FATAL(listen_here(), 0);
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
    close_loop();
    open_loop(",mode=999");
    CU_ASSERT_EQUAL(listen_here(), STK_ESYNTAX);
    close_loop();
}

static void a_socket_file_of_a_dead_server_is_replaced(void)
{
    struct stk_addr addr;

    open_loop("");
    const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    stk_addr_unix(&addr, path);
    CU_ASSERT_EQUAL(bind(dead, &addr.any, addr.len), 0);
    close(dead);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    CU_ASSERT_EQUAL_FATAL(listen_here(), 0);
    exchange();
    close_loop();
}

static void a_living_server_keeps_its_path(void)
{
    struct stk_listener *second;

    open_loop("");
    CU_ASSERT_EQUAL_FATAL(listen_here(), 0);
    CU_ASSERT_EQUAL(stk_listen(loop, address, &talker_protocol, &server, &second, &error),
                    -EADDRINUSE);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "a living server uses this path"));
    /* The question whether it lives is a connection that ends at once. */
    talker_wait(loop, &server.closed, 1);
    server.closed = 0;
    exchange();
    close_loop();
}

static void a_file_that_is_no_socket_is_never_removed(void)
{
    open_loop("");
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fclose(file);
    CU_ASSERT_EQUAL(listen_here(), -EEXIST);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "no socket"));
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    close_loop();
}

static void a_file_of_somebody_else_survives_our_close(void)
{
    open_loop("");
    CU_ASSERT_EQUAL_FATAL(listen_here(), 0);
    CU_ASSERT_EQUAL(unlink(path), 0);
    struct stk_addr addr;
    const int other = socket(AF_UNIX, SOCK_STREAM, 0);
    stk_addr_unix(&addr, path);
    CU_ASSERT_EQUAL(bind(other, &addr.any, addr.len), 0);
    stk_listener_close(listener);
    listener = NULL;
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    close(other);
    close_loop();
}

static void without_a_server_the_error_says_so(void)
{
    open_loop("");
    CU_ASSERT_EQUAL(connect_here(), 0);
    talker_wait_closed(&client, loop);
    CU_ASSERT_EQUAL(client.error.code, -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(client.error.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(client.error.text, "the server is not running"));
    close_loop();
}

static void a_path_that_is_too_long_is_a_syntax_error(void)
{
    char text[200] = "/unix/";

    open_loop("");
    memset(text + 6, 'x', 150);
    CU_ASSERT_EQUAL(talker_connect(&client, loop, text, &error), STK_ESYNTAX);
    close_loop();
}

static void a_full_backlog_is_waited_for(void)
{
    open_loop("");
    CU_ASSERT_EQUAL_FATAL(listen_here(), 0);
    fault_sys_install();
    fault_sys_fail(FAULT_CONNECT, 1, EAGAIN, FAULT_ONCE);
    exchange();
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_CONNECT));
    fault_sys_remove();
    close_loop();
}

static void failing_calls_are_errors_with_the_path(void)
{
    static const enum fault_site sites[] = {FAULT_SOCKET, FAULT_BIND, FAULT_LISTEN};

    open_loop("");
    for (unsigned i = 0; i < 3; i++) {
        fault_sys_install();
        fault_sys_fail(sites[i], 1, EACCES, FAULT_ONCE);
        CU_ASSERT_EQUAL(listen_here(), -EACCES);
        CU_ASSERT_STRING_EQUAL(error.layer, "unix");
        fault_sys_remove();
        CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    }
    listener = NULL;
    close_loop();
}

/* --- Datagrams ------------------------------------------------------------------------------- */

struct side {
    struct stk_port *port;
    struct stk_addr peer;
    unsigned datagrams, writable, unreachable;
    uint16_t size;
};

static void on_input(void *user, const struct stk_run *runs, int count)
{
    struct side *side = user;

    for (int r = 0; r < count; r++) {
        side->peer = *runs[r].peer;
        side->size = runs[r].last_size;
        side->datagrams += runs[r].count;
        CU_ASSERT_EQUAL(oracle_check(1, 0, runs[r].data, runs[r].size), runs[r].size);
    }
}

static void on_writable(void *user) { ((struct side *)user)->writable++; }

static void on_unreachable(void *user, const struct stk_addr *peer, int code)
{
    (void)peer, (void)code;
    ((struct side *)user)->unreachable++;
}

static const struct stk_port_user user_type = {
    .input = on_input, .writable = on_writable, .unreachable = on_unreachable};

static int open_side(struct side *side, bool listening)
{
    struct stk_recipe *recipe;
    char text[150], where[200];

    memset(side, 0, sizeof *side);
    snprintf(where, sizeof where, "/unix-dgram/%s", stk_percent_encode(path, text, sizeof text));
    CU_ASSERT_EQUAL_FATAL(stk_recipe_parse(where, &recipe, &error), 0);
    const int code = stk_port_open(loop, recipe, listening, &side->port, &error);
    stk_recipe_unref(recipe);
    if (code == 0)
        stk_port_set_user(side->port, &user_type, side);
    return code;
}

static int send_some(struct side *side, unsigned count, uint16_t size, const struct stk_addr *peer)
{
    static uint8_t bytes[64 * 1024];
    struct stk_run run = {
        .data = bytes,
        .stride = size,
        .size = size,
        .last_size = size,
        .count = (uint16_t)count,
        .peer = peer,
    };

    for (unsigned i = 0; i < count; i++)
        oracle_fill(1, 0, stk_run_at(&run, i), size);
    return stk_port_send(side->port, &run, 1);
}

static void datagrams_cross_and_can_be_answered(void)
{
    struct side left, right;

    open_loop("");
    CU_ASSERT_EQUAL_FATAL(open_side(&right, true), 0);
    CU_ASSERT_EQUAL_FATAL(open_side(&left, false), 0);
    CU_ASSERT_EQUAL(send_some(&left, 5, 100, NULL), 1);
    talker_wait(loop, &right.datagrams, 5);
    CU_ASSERT_EQUAL(right.size, 100);
    CU_ASSERT_EQUAL(send_some(&right, 1, 60000, &right.peer), 1);
    talker_wait(loop, &left.datagrams, 1);
    CU_ASSERT_EQUAL(left.size, 60000);
    stk_port_unref(left.port);
    stk_port_unref(right.port);
    stk_loop_turn(loop, 0);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    close_loop();
}

static void a_full_peer_makes_senders_wait_on_either_side(void)
{
    struct side left, right;
    unsigned sent = 0;

    open_loop("");
    CU_ASSERT_EQUAL_FATAL(open_side(&right, true), 0);
    CU_ASSERT_EQUAL_FATAL(open_side(&left, false), 0);
    while (send_some(&left, 1, 1000, NULL) == 1 && sent < 100000)
        sent++;
    CU_ASSERT_TRUE(sent > 0 && sent < 100000);
    talker_wait(loop, &left.writable, 1);
    talker_wait(loop, &right.datagrams, sent);

    for (sent = 0; send_some(&right, 1, 1000, &right.peer) == 1 && sent < 100000; sent++)
        ;
    CU_ASSERT_TRUE(sent > 0 && sent < 100000);
    talker_wait(loop, &right.writable, 1);
    talker_wait(loop, &left.datagrams, sent);
    stk_port_unref(left.port);
    stk_port_unref(right.port);
    close_loop();
}

static void a_server_started_anew_is_found_again(void)
{
    struct side left, right;

    open_loop("");
    CU_ASSERT_EQUAL(open_side(&left, false), -ENOENT);
    CU_ASSERT_EQUAL_FATAL(open_side(&right, true), 0);
    CU_ASSERT_EQUAL_FATAL(open_side(&left, false), 0);
    stk_port_unref(right.port);
    stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(send_some(&left, 1, 10, NULL), 1);
    talker_wait(loop, &left.unreachable, 1);
    CU_ASSERT_EQUAL_FATAL(open_side(&right, true), 0);
    CU_ASSERT_EQUAL(send_some(&left, 1, 20, NULL), 1);
    talker_wait(loop, &right.datagrams, 1);
    CU_ASSERT_EQUAL(right.size, 20);
    stk_port_unref(left.port);
    stk_port_unref(right.port);
    close_loop();
}

/* The kernel's answer for one peer who has stopped reading. */
static struct stk_sys real;
static const struct stk_addr *stopped;

static ssize_t stopped_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct stk_addr to = {0};

    if (message->msg_name)
        stk_addr_from_sockaddr(&to, message->msg_name, message->msg_namelen);
    if (stopped && stk_addr_equal(&to, stopped)) {
        errno = EAGAIN;
        return -1;
    }
    return real.sendmsg(fd, message, flags);
}

static void one_who_stops_reading_holds_nobody_else_up(void)
{
    struct side server_side, first, second;
    struct stk_addr first_addr;

    open_loop("");
    CU_ASSERT_EQUAL_FATAL(open_side(&server_side, true), 0);
    CU_ASSERT_EQUAL_FATAL(open_side(&first, false), 0);
    CU_ASSERT_EQUAL_FATAL(open_side(&second, false), 0);
    CU_ASSERT_EQUAL(send_some(&first, 1, 100, NULL), 1);
    talker_wait(loop, &server_side.datagrams, 1);
    first_addr = server_side.peer;
    CU_ASSERT_EQUAL(send_some(&second, 1, 100, NULL), 1);
    talker_wait(loop, &server_side.datagrams, 2);
    real = stk_sys;
    stk_sys.sendmsg = stopped_sendmsg;
    stopped = &first_addr;
    CU_ASSERT_EQUAL(send_some(&server_side, 1, 100, &first_addr), 0); /* it gets its time */
    talker_wait(loop, &server_side.writable, 1);
    CU_ASSERT_EQUAL(send_some(&server_side, 1, 100, &first_addr), 1); /* and then is passed over */
    CU_ASSERT_EQUAL(send_some(&server_side, 1, 100, &server_side.peer), 1);
    talker_wait(loop, &second.datagrams, 1);
    CU_ASSERT_EQUAL(first.datagrams, 0);
    /* It reads again: it is waited for like anybody. */
    stopped = NULL;
    CU_ASSERT_EQUAL(send_some(&server_side, 1, 100, &first_addr), 1);
    talker_wait(loop, &first.datagrams, 1);
    stopped = &first_addr;
    CU_ASSERT_EQUAL(send_some(&server_side, 1, 100, &first_addr), 0);
    stk_sys = real;
    stk_port_unref(first.port);
    stk_port_unref(second.port);
    stk_port_unref(server_side.port);
    stk_loop_turn(loop, 0);
    close_loop();
}

static CU_TestInfo tests[] = {
    {"a stream crosses both ways and the file goes with the listener",
     a_stream_crosses_both_ways_and_the_file_goes_with_the_listener},
    {"an abstract name needs no file", an_abstract_name_needs_no_file},
    {"mode is that of the file", mode_is_that_of_the_file},
    {"a socket file of a dead server is replaced", a_socket_file_of_a_dead_server_is_replaced},
    {"a living server keeps its path", a_living_server_keeps_its_path},
    {"a file that is no socket is never removed", a_file_that_is_no_socket_is_never_removed},
    {"a file of somebody else survives our close", a_file_of_somebody_else_survives_our_close},
    {"without a server the error says so", without_a_server_the_error_says_so},
    {"a path that is too long is a syntax error", a_path_that_is_too_long_is_a_syntax_error},
    {"a full backlog is waited for", a_full_backlog_is_waited_for},
    {"failing calls are errors with the path", failing_calls_are_errors_with_the_path},
    {"datagrams cross and can be answered", datagrams_cross_and_can_be_answered},
    {"a full peer makes senders wait on either side",
     a_full_peer_makes_senders_wait_on_either_side},
    {"one who stops reading holds nobody else up", one_who_stops_reading_holds_nobody_else_up},
    {"a server started anew is found again", a_server_started_anew_is_found_again},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("unix", tests)
