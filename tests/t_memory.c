/* Goal: two connections over the memory transport echo, half-close, abort and insert by the rules
 * of stack.h. */
#include "harness.h"
#include "stack.h"

#include <string.h>

struct side {
    struct stk_conn *conn;
    struct stk_listener *listener;
    uint8_t got[1 << 16];
    size_t len;
    int opened, finished, closed, delivered;
    int code;
    char error[STK_ERROR_TEXT_MAX];
};

static struct stk_loop *loop;
static struct side client, server;

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void on_opened(struct stk_conn *conn)
{
    side_of(conn)->conn = conn;
    side_of(conn)->opened++;
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct side *s = side_of(conn);

    if (s->len + len <= sizeof s->got)
        memcpy(s->got + s->len, data, len);
    s->len += len;
    return len;
}

static size_t echo_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    const long sent = stk_conn_write(conn, data, len);

    side_of(conn)->len += len;
    return sent > 0 ? (size_t)sent : 0;
}

static void on_finished(struct stk_conn *conn) { side_of(conn)->finished++; }
static void finish_too(struct stk_conn *conn) { stk_conn_finish(conn); }
static void on_delivered(struct stk_conn *conn) { side_of(conn)->delivered++; }
static void on_writable(struct stk_conn *conn) { stk_conn_again(conn); }

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *s = side_of(conn);

    s->closed++;
    s->conn = NULL;
    s->code = error != NULL ? error->code : 0;
    if (error != NULL)
        snprintf(s->error, sizeof s->error, "%s", error->text);
}

static const struct stk_protocol collect = {
    .opened = on_opened,
    .received = on_received,
    .finished = on_finished,
    .delivered = on_delivered,
    .closed = on_closed,
};
static const struct stk_protocol echo = {
    .opened = on_opened,
    .received = echo_received,
    .finished = finish_too,
    .writable = on_writable,
    .closed = on_closed,
};

static void run(void)
{
    for (int i = 0; i < 10000 && stk_loop_turn(loop, 0) > 0; i++)
        ;
}

static void begin(const char *address, const struct stk_protocol *at_client,
                  const struct stk_protocol *at_server)
{
    struct stk_error error;

    memset(&client, 0, sizeof client);
    memset(&server, 0, sizeof server);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    CU_ASSERT_EQUAL_FATAL(stk_listen(loop, address, at_server, &server, &server.listener, &error),
                          0);
    CU_ASSERT_EQUAL_FATAL(stk_connect(loop, address, at_client, &client, &client.conn, &error), 0);
}

static void end(void)
{
    stk_listener_close(server.listener);
    if (client.conn != NULL)
        stk_conn_abort(client.conn);
    if (server.conn != NULL)
        stk_conn_abort(server.conn);
    run();
    CU_ASSERT_EQUAL(client.closed, 1);
    stk_loop_free(loop);
}

static void both_sides_open_and_echo(void)
{
    begin("/memory/a", &collect, &echo);
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, "hello", 5), 5);
    run();
    CU_ASSERT_EQUAL(client.opened, 1);
    CU_ASSERT_EQUAL(server.opened, 1);
    CU_ASSERT_EQUAL(client.len, 5);
    CU_ASSERT_EQUAL(memcmp(client.got, "hello", 5), 0);
    end();
}

static void bytes_pass_a_queue_of_one_byte(void)
{
    uint8_t sent[3000];

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7);
    begin("/memory/a,quota=1", &collect, &echo);
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, sent, sizeof sent), sizeof sent);
    stk_conn_finish(client.conn);
    run();
    CU_ASSERT_EQUAL(client.len, sizeof sent);
    CU_ASSERT_EQUAL(memcmp(client.got, sent, sizeof sent), 0);
    CU_ASSERT_EQUAL(client.finished, 1);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, 0);
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_EQUAL(server.code, 0);
    end();
}

static void half_close_leaves_the_other_direction_open(void)
{
    begin("/memory/a", &collect, &collect);
    stk_conn_finish(client.conn);
    run();
    CU_ASSERT_EQUAL(client.delivered, 1);
    CU_ASSERT_EQUAL_FATAL(server.finished, 1);
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, "x", 1), STK_ESHUTDOWN);
    CU_ASSERT_EQUAL(stk_conn_write(server.conn, "late", 4), 4);
    run();
    CU_ASSERT_EQUAL(client.len, 4);
    CU_ASSERT_EQUAL(client.closed + server.closed, 0);
    stk_conn_close(server.conn);
    run();
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, 0);
    end();
}

static void an_abort_is_a_reset_for_the_other_side(void)
{
    begin("/memory/a", &collect, &collect);
    run();
    stk_conn_write(server.conn, "before", 6);
    stk_conn_abort(server.conn);
    CU_ASSERT_EQUAL(server.closed, 0); /* never from inside a call */
    run();
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_EQUAL(server.code, -ECONNABORTED);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, -ECONNRESET);
    CU_ASSERT_EQUAL(client.len, 6); /* what came before stays readable */
    end();
}

static void nobody_listening_is_refused(void)
{
    begin("/memory/a", &collect, &collect);
    stk_conn_abort(client.conn);
    run();
    memset(&client, 0, sizeof client);
    CU_ASSERT_EQUAL(stk_connect(loop, "/memory/b", &collect, &client, NULL, NULL), 0);
    run();
    CU_ASSERT_EQUAL(client.code, -ECONNREFUSED);
    CU_ASSERT_EQUAL(client.opened, 0);
    end();
}

static void a_paused_side_reads_nothing(void)
{
    begin("/memory/a", &collect, &collect);
    run();
    stk_conn_pause(client.conn);
    stk_conn_write(server.conn, "wait", 4);
    stk_conn_finish(server.conn);
    run();
    CU_ASSERT_EQUAL(client.len, 0);
    stk_conn_resume(client.conn);
    run();
    CU_ASSERT_EQUAL(client.len, 4);
    CU_ASSERT_EQUAL(client.finished, 1);
    end();
}

static CU_TestInfo tests[] = {
    {"both sides open and echo", both_sides_open_and_echo},
    {"bytes pass a queue of one byte", bytes_pass_a_queue_of_one_byte},
    {"half-close leaves the other direction open", half_close_leaves_the_other_direction_open},
    {"an abort is a reset for the other side", an_abort_is_a_reset_for_the_other_side},
    {"nobody listening is refused", nobody_listening_is_refused},
    {"a paused side reads nothing", a_paused_side_reads_nothing},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("memory", tests)
