/*
 * Goal: a connection keeps what stack.h promises of writing, pausing, unused bytes, closing and its
 * deadlines, and of errors that come at bad moments.
 * Method: memory pairs in the simulator's loop, whose clock is virtual.
 */
#include "conn.h"
#include "harness.h"
#include "sim.h"

#include <string.h>

enum { SECOND = 1000000 };

struct side {
    struct stk_conn *conn;
    uint64_t received, closed_us;
    size_t uses; /* bytes that received() uses of each call; SIZE_MAX: all */
    unsigned calls, opened, writable, delivered, finished, closed;
    bool again_once;
    int refuses; /* accepted() returns it */
    int code;
    char layer[STK_ERROR_LAYER_MAX], text[STK_ERROR_TEXT_MAX];
    char got[64];
};

static struct stk_sim *sim;
static struct stk_loop *loop;
static struct stk_listener *listener;
static struct side client, server;
static uint8_t block[STK_UNUSED_MAX + 100000];

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static int on_accepted(struct stk_conn *conn)
{
    side_of(conn)->conn = conn;
    return side_of(conn)->refuses;
}

static void on_opened(struct stk_conn *conn)
{
    side_of(conn)->opened++;
    side_of(conn)->conn = conn;
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct side *side = side_of(conn);
    const size_t use = len < side->uses ? len : side->uses;

    side->calls++;
    snprintf(side->got, sizeof side->got, "%.*s", (int)(len < 60 ? len : 60), (const char *)data);
    side->received += use;
    if (side->again_once) {
        side->again_once = false;
        stk_conn_again(conn);
    }
    return use;
}

static void on_finished(struct stk_conn *conn) { side_of(conn)->finished++; }
static void on_writable(struct stk_conn *conn) { side_of(conn)->writable++; }
static void on_delivered(struct stk_conn *conn) { side_of(conn)->delivered++; }

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = side_of(conn);

    /* Everything may still be called here, and does nothing. */
    stk_conn_close(conn);
    stk_conn_abort(conn);
    stk_conn_finish(conn);
    stk_conn_again(conn);
    CU_ASSERT_TRUE(stk_conn_write(conn, "x", 1) < 0);
    CU_ASSERT_FALSE(stk_conn_is_open(conn));
    CU_ASSERT_TRUE(stk_conn_insert(conn, "idle", 0, NULL, NULL, NULL) < 0);
    side->closed++;
    side->conn = NULL;
    side->closed_us = stk_sim_elapsed_us(sim);
    if (error == NULL)
        return;
    side->code = error->code;
    snprintf(side->layer, sizeof side->layer, "%s", error->layer);
    snprintf(side->text, sizeof side->text, "%s", error->text);
}

static const struct stk_protocol protocol = {
    .accepted = on_accepted,
    .opened = on_opened,
    .received = on_received,
    .finished = on_finished,
    .writable = on_writable,
    .delivered = on_delivered,
    .closed = on_closed,
};

static void begin(const char *listens, const char *connects)
{
    struct stk_error error = {0};

    memset(&client, 0, sizeof client);
    memset(&server, 0, sizeof server);
    client.uses = server.uses = SIZE_MAX;
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(NULL, &sim), 0);
    loop = stk_sim_loop(sim);
    CU_ASSERT_EQUAL_FATAL(stk_listen(loop, listens, &protocol, &server, &listener, &error), 0);
    CU_ASSERT_EQUAL_FATAL(stk_connect(loop, connects, &protocol, &client, &client.conn, &error), 0);
}

static void run_for(uint64_t time_us) { stk_sim_run_for(sim, time_us); }

static void end(void)
{
    if (client.conn != NULL)
        stk_conn_abort(client.conn);
    if (server.conn != NULL)
        stk_conn_abort(server.conn);
    if (listener != NULL)
        stk_listener_close(listener);
    run_for(1000);
    stk_sim_free(sim);
    CU_ASSERT_EQUAL(client.closed, 1);
}

/* Both sides, when they have opened. */
static void begin_open(const char *recipe)
{
    begin(recipe, recipe);
    run_for(1000);
}

static void bytes_may_be_written_before_opened(void)
{
    begin("/memory/x", "/memory/x");
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, "early", 5), 5);
    CU_ASSERT_EQUAL(stk_conn_write_pending(client.conn), 5);
    run_for(1000);
    CU_ASSERT_STRING_EQUAL(server.got, "early");
    end();
}

static void a_short_write_is_followed_by_one_writable(void)
{
    begin_open("/memory/x,quota=1k");
    CU_ASSERT_EQUAL(stk_conn_set_marks(client.conn, 100, 1000), 0);
    stk_conn_pause(server.conn);
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, block, 5000), 1024 + 1000);
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, block, 1), STK_AGAIN);
    CU_ASSERT_EQUAL(stk_conn_write_room(client.conn), 0);
    run_for(1000);
    CU_ASSERT_EQUAL(client.writable, 0);
    stk_conn_resume(server.conn);
    run_for(1000);
    CU_ASSERT_EQUAL(client.writable, 1);
    CU_ASSERT_EQUAL(server.received, 2024);
    run_for(SECOND);
    CU_ASSERT_EQUAL(client.writable, 1);
    end();
}

static void marks_must_make_sense(void)
{
    begin("/memory/x", "/memory/x");
    CU_ASSERT_EQUAL(stk_conn_set_marks(client.conn, 10, 10), -EINVAL);
    CU_ASSERT_EQUAL(stk_conn_set_marks(client.conn, 0, 0), -EINVAL);
    stk_conn_write(client.conn, block, 100);
    CU_ASSERT_EQUAL(stk_conn_set_marks(client.conn, 10, 50), -EINVAL); /* more waits already */
    end();
}

static void unused_bytes_come_again_in_front(void)
{
    begin_open("/memory/x");
    server.uses = 0;
    stk_conn_write(client.conn, "ab", 2);
    run_for(1000);
    CU_ASSERT_EQUAL(server.calls, 1);
    stk_conn_write(client.conn, "cd", 2);
    run_for(1000);
    CU_ASSERT_EQUAL(server.calls, 2); /* nobody asks in between */
    CU_ASSERT_STRING_EQUAL(server.got, "abcd");
    server.uses = 3;
    stk_conn_again(server.conn);
    CU_ASSERT_EQUAL(server.calls, 2);
    run_for(1000);
    CU_ASSERT_EQUAL(server.calls, 3);
    server.again_once = true;
    stk_conn_again(server.conn);
    run_for(1000);
    CU_ASSERT_STRING_EQUAL(server.got, "d");
    CU_ASSERT_EQUAL(server.received, 4);
    CU_ASSERT_EQUAL(server.calls, 4); /* nothing is left to come again */
    end();
}

static void too_many_unused_bytes_are_an_error(void)
{
    begin_open("/memory/x,quota=1M");
    server.uses = 0;
    stk_conn_set_marks(client.conn, 0, sizeof block);
    stk_conn_write(client.conn, block, sizeof block);
    run_for(1000);
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_EQUAL(server.code, STK_ELIMIT);
    end();
}

/* It waits for the peer, and asks nobody to take them meanwhile. */
static void a_close_lets_unused_bytes_lie(void)
{
    begin_open("/memory/x");
    server.uses = 0;
    stk_conn_write(client.conn, "ab", 2);
    run_for(1000);
    stk_conn_again(server.conn);
    stk_conn_close(server.conn);
    for (int i = 0; i < 20; i++)
        stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(server.closed, 0);
    CU_ASSERT_TRUE(stk_list_empty(&server.conn->task.node));
    CU_ASSERT_EQUAL(server.calls, 1);
    end();
}

static void a_resume_alone_asks_for_nothing_twice(void)
{
    begin_open("/memory/x");
    stk_conn_pause(server.conn);
    stk_conn_resume(server.conn);
    run_for(1000);
    server.uses = 0;
    stk_conn_write(client.conn, "ab", 2);
    run_for(1000);
    CU_ASSERT_EQUAL(server.calls, 1);
    end();
}

static void a_close_waits_for_the_peers_end(void)
{
    begin_open("/memory/x");
    stk_conn_write(client.conn, "bye", 3);
    stk_conn_close(client.conn);
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, "x", 1), STK_ESHUTDOWN);
    run_for(SECOND);
    CU_ASSERT_EQUAL(client.closed, 0);
    CU_ASSERT_EQUAL(server.finished, 1);
    CU_ASSERT_STRING_EQUAL(server.got, "bye");
    stk_conn_write(server.conn, "ignored", 7);
    stk_conn_finish(server.conn);
    run_for(1000);
    CU_ASSERT_EQUAL(client.closed + server.closed, 2);
    CU_ASSERT_EQUAL(client.code, 0);
    CU_ASSERT_EQUAL(server.code, 0);
    CU_ASSERT_EQUAL(client.received, 0);
    end();
}

static void a_close_that_nobody_answers_ends_at_its_deadline(void)
{
    begin_open("/memory/x");
    stk_conn_close(client.conn);
    run_for(20 * SECOND);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, 0); /* all was delivered */
    CU_ASSERT_EQUAL(client.closed_us, 1000 + STK_CLOSE_TIMEOUT_US);
    end();
}

static void a_close_that_makes_no_progress_is_an_abort(void)
{
    begin_open("/memory/x,quota=10");
    stk_conn_pause(server.conn);
    stk_conn_write(client.conn, block, 100);
    stk_conn_set_close_timeout(client.conn, 3 * SECOND);
    stk_conn_close(client.conn);
    run_for(20 * SECOND);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, -ETIMEDOUT);
    CU_ASSERT_EQUAL(client.closed_us, 1000 + 3 * SECOND);
    stk_conn_resume(server.conn);
    run_for(1000);
    CU_ASSERT_EQUAL(server.code, -ECONNRESET);
    CU_ASSERT_EQUAL(server.received, 10);
    end();
}

static void a_slow_reader_gets_all_of_a_close(void)
{
    begin("/memory/x/limit,recv=10,burst=1", "/memory/x,quota=10");
    run_for(1000);
    stk_conn_write(client.conn, block, 600);
    stk_conn_set_close_timeout(client.conn, 3 * SECOND);
    stk_conn_close(client.conn);
    run_for(120 * (uint64_t)SECOND);
    CU_ASSERT_EQUAL(server.received, 600);
    CU_ASSERT_EQUAL(server.finished, 1);
    CU_ASSERT_EQUAL(client.code, 0);
    end();
}

static void closing_before_opened_delivers_what_was_written(void)
{
    begin("/memory/x", "/memory/x");
    stk_conn_write(client.conn, "early", 5);
    stk_conn_close(client.conn);
    run_for(SECOND);
    CU_ASSERT_EQUAL(client.opened, 0);
    CU_ASSERT_STRING_EQUAL(server.got, "early");
    CU_ASSERT_EQUAL(server.finished, 1);
    end();
}

static void closing_before_a_refusal_ends_with_the_reason(void)
{
    begin("/memory/x", "/memory/y");
    stk_conn_close(client.conn);
    run_for(1000);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, -ECONNREFUSED);
    end();
}

static void a_refusing_server_looks_like_a_reset(void)
{
    begin("/memory/x", "/memory/x");
    server.refuses = -1;
    run_for(1000);
    CU_ASSERT_EQUAL(server.opened, 0);
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_EQUAL(server.code, -ECONNABORTED);
    CU_ASSERT_EQUAL(client.code, -ECONNRESET);
    end();
}

static void opening_has_a_deadline_that_names_the_layer(void)
{
    begin("/memory/x", "/memory/x/tls,verify=no"); /* the server speaks no TLS */
    stk_conn_set_connect_timeout(client.conn, 2 * SECOND);
    run_for(10 * SECOND);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.opened, 0);
    CU_ASSERT_EQUAL(client.code, -ETIMEDOUT);
    CU_ASSERT_STRING_EQUAL(client.layer, "tls");
    CU_ASSERT_EQUAL(client.closed_us, 2 * SECOND);
    CU_ASSERT_PTR_NOT_NULL(strstr(client.text, "no answer within 2 s"));
    end();
}

static void an_error_behind_the_peers_end_is_told(void)
{
    begin_open("/memory/x,quota=10");
    stk_conn_pause(client.conn);
    stk_conn_write(server.conn, block, 50); /* so that the server is not done */
    stk_conn_write(client.conn, "end", 3);
    stk_conn_finish(client.conn);
    stk_conn_abort(client.conn);
    run_for(1000);
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_EQUAL(server.code, -ECONNRESET);
    end();
}

static void a_paused_writer_learns_of_an_error_by_writing(void)
{
    begin_open("/memory/x,quota=10");
    stk_conn_pause(client.conn);
    stk_conn_set_marks(client.conn, 1, 100);
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, block, 500), 110);
    stk_conn_abort(server.conn);
    run_for(1000);
    CU_ASSERT_EQUAL(client.writable, 1);
    CU_ASSERT_EQUAL(client.closed, 0); /* unread bytes would come before it */
    CU_ASSERT_EQUAL(stk_conn_write(client.conn, "x", 1), -ECONNRESET);
    stk_conn_resume(client.conn);
    run_for(1000);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, -ECONNRESET);
    end();
}

static void a_failure_of_the_callers_own_keeps_its_words(void)
{
    begin_open("/memory/x");
    stk_conn_fail(client.conn, -EPROTO, "chess", "no such move: %s", "e9");
    stk_conn_fail(client.conn, -EIO, "later", "not the first");
    run_for(1000);
    CU_ASSERT_EQUAL(client.code, -EPROTO);
    CU_ASSERT_STRING_EQUAL(client.layer, "chess");
    CU_ASSERT_STRING_EQUAL(client.text, "no such move: e9");
    end();
}

static void connections_survive_their_listener(void)
{
    begin_open("/memory/x");
    CU_ASSERT_PTR_EQUAL(stk_conn_listener(server.conn), listener);
    stk_listener_close(listener);
    listener = NULL;
    CU_ASSERT_PTR_NULL(stk_conn_listener(server.conn));
    stk_conn_write(client.conn, "still", 5);
    run_for(1000);
    CU_ASSERT_STRING_EQUAL(server.got, "still");
    end();
}

static void a_protocol_may_hand_over_to_another(void)
{
    static struct side second;

    begin_open("/memory/x");
    second = (struct side){.uses = SIZE_MAX};
    server.uses = 1;
    stk_conn_write(client.conn, "abc", 3);
    run_for(1000);
    stk_conn_set_protocol(server.conn, &protocol, &second);
    run_for(1000);
    CU_ASSERT_STRING_EQUAL(second.got, "bc");
    stk_conn_abort(server.conn);
    server.conn = NULL;
    run_for(1000);
    CU_ASSERT_EQUAL(second.closed, 1);
    CU_ASSERT_EQUAL(server.closed, 0);
    end();
}

static void a_loop_that_goes_tells_its_connections(void)
{
    begin_open("/memory/x");
    stk_listener_close(listener);
    listener = NULL;
    run_for(1000);
    stk_sim_free(sim);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(server.closed, 1);
}

/* --- Who begins again when it ends ------------------------------------------------------------ */

static struct {
    struct stk_loop *loop;
    unsigned closed;
    int again, listens;
} stubborn;

static void begins_again(struct stk_conn *conn, const struct stk_error *error);
static const struct stk_protocol stubborn_protocol = {.closed = begins_again};

static void begins_again(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn, (void)error;
    stubborn.closed++;
    stubborn.again =
        stk_connect(stubborn.loop, "/ip4/127.0.0.1/tcp/9", &stubborn_protocol, NULL, NULL, NULL);
    stubborn.listens =
        stk_listen(stubborn.loop, "/ip4/127.0.0.1/tcp/0", &stubborn_protocol, NULL, NULL, NULL);
}

static void a_loop_that_goes_takes_no_new_connection(void)
{
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &stubborn.loop), 0);
    CU_ASSERT_EQUAL(stk_connect(stubborn.loop, "/memory/nobody/idle,timeout=1h", &stubborn_protocol,
                                NULL, NULL, NULL),
                    0);
    stk_loop_free(stubborn.loop);
    CU_ASSERT_EQUAL(stubborn.closed, 1);
    CU_ASSERT_EQUAL(stubborn.again, -ECANCELED);
    CU_ASSERT_EQUAL(stubborn.listens, -ECANCELED);
}

static CU_TestInfo tests[] = {
    {"bytes may be written before opened", bytes_may_be_written_before_opened},
    {"a short write is followed by one writable", a_short_write_is_followed_by_one_writable},
    {"marks must make sense", marks_must_make_sense},
    {"unused bytes come again in front", unused_bytes_come_again_in_front},
    {"too many unused bytes are an error", too_many_unused_bytes_are_an_error},
    {"a close lets unused bytes lie", a_close_lets_unused_bytes_lie},
    {"a resume alone asks for nothing twice", a_resume_alone_asks_for_nothing_twice},
    {"a close waits for the peer's end", a_close_waits_for_the_peers_end},
    {"a close that nobody answers ends at its deadline",
     a_close_that_nobody_answers_ends_at_its_deadline},
    {"a close that makes no progress is an abort", a_close_that_makes_no_progress_is_an_abort},
    {"a slow reader gets all of a close", a_slow_reader_gets_all_of_a_close},
    {"closing before opened delivers what was written",
     closing_before_opened_delivers_what_was_written},
    {"closing before a refusal ends with the reason",
     closing_before_a_refusal_ends_with_the_reason},
    {"a refusing server looks like a reset", a_refusing_server_looks_like_a_reset},
    {"opening has a deadline that names the layer", opening_has_a_deadline_that_names_the_layer},
    {"an error behind the peer's end is told", an_error_behind_the_peers_end_is_told},
    {"a paused writer learns of an error by writing",
     a_paused_writer_learns_of_an_error_by_writing},
    {"a failure of the caller's own keeps its words", a_failure_of_the_callers_own_keeps_its_words},
    {"connections survive their listener", connections_survive_their_listener},
    {"a protocol may hand over to another", a_protocol_may_hand_over_to_another},
    {"a loop that goes tells its connections", a_loop_that_goes_tells_its_connections},
    {"a loop that goes takes no new connection", a_loop_that_goes_takes_no_new_connection},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("conn", tests)
