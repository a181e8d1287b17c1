/*
 * Goal: nobody keeps a connection of the server by moving a few bytes now and then, and nobody who
 * is merely slow, or silent for a while, is cut off. Method: in virtual time, clients that read or
 * send at a rate, in pieces, or with a pause.
 */
#include "harness.h"
#include "http_bench.h"
#include "http_server.h"
#include "sim.h"

enum {
    SECOND = 1000 * 1000,
    MINUTE = 60 * SECOND,
    LARGE = 400 * 1000, /* more than the connection and the transport take at once */
    SMALL = 150 * 1000, /* more than the transport takes alone */
};

struct site {
    size_t to_send;
    bool done; /* the response is written; where it is large, nearly all of it is taken, too */
    size_t body_bytes;
    struct stk_timer event; /* of "/events": ten bytes a second */
    struct stk_http_exchange *events;
    unsigned gone, complete;
};

static struct stk_sim *sim;
static struct bench b;
static struct site site;
static struct raw raw;
static struct stk_timer wake; /* the client's */
static uint64_t wake_us;

/* --- The server ----------------------------------------------------------------------------------
 */

static void send_more(struct stk_http_exchange *x)
{
    static const char piece[10000];

    while (site.to_send > 0) {
        const size_t len = site.to_send < sizeof piece ? site.to_send : sizeof piece;
        const long taken = stk_http_write(x, piece, len);

        if (taken < 0)
            return;
        site.to_send -= (size_t)taken;
        if ((size_t)taken < len)
            return;
    }
    site.done = stk_http_finish(x) == 0;
}

static void event_due(struct stk_timer *timer)
{
    CU_ASSERT_EQUAL(stk_http_write(site.events, "it ticks.\n", 10), 10);
    stk_timer_in(timer, SECOND);
}

static void site_head(struct stk_http_exchange *x, const struct stk_http_head *head)
{
    if (strcmp(head->path, "/events") == 0) {
        site.events = x;
        stk_http_respond(x, 200, NULL, 0, STK_HTTP_CHUNKED);
        stk_timer_in(&site.event, SECOND);
    } else if (strcmp(head->method, "GET") == 0) {
        site.to_send = strcmp(head->path, "/large") == 0 ? LARGE : SMALL;
        stk_http_respond(x, 200, NULL, 0, (int64_t)site.to_send);
        send_more(x);
    }
}

static size_t site_body(struct stk_http_exchange *x, const uint8_t *data, size_t len)
{
    (void)x;
    (void)data;
    site.body_bytes += len;
    return len;
}

static void site_end(struct stk_http_exchange *x)
{
    if (strcmp(stk_http_exchange_head(x)->method, "PUT") == 0)
        stk_http_reply(x, 200, NULL, "stored", 6);
}

static void site_gone(struct stk_http_exchange *x, bool complete)
{
    if (x == site.events)
        stk_timer_stop(&site.event);
    site.gone++;
    site.complete += complete;
}

static const struct stk_http_handler handler = {
    .head = site_head,
    .body = site_body,
    .end = site_end,
    .writable = send_more,
    .gone = site_gone,
};

/* --- The client ----------------------------------------------------------------------------------
 */

static void begin(const char *client, const char *request)
{
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 1}, &sim), 0);
    b = (struct bench){.loop = stk_sim_loop(sim)};
    site = (struct site){0};
    stk_timer_init(&site.event, b.loop, event_due);
    bench_serve(&b, &handler, &site, NULL);
    raw_open(&b, &raw, client);
    raw_say(&raw, request);
}

static void end(void)
{
    stk_timer_stop(&wake);
    if (raw.conn != NULL)
        stk_conn_abort(raw.conn);
    stk_http_server_abort(b.server);
    stk_sim_run_for(sim, MINUTE);
    CU_ASSERT_TRUE(raw.closed);
    free(raw.got);
    stk_sim_free(sim);
}

static unsigned connections(void) { return b.server->connection_count; }

/* Until the server has forgotten the connection: how long that took; 20 minutes: it did not. */
static uint64_t run_until_forgotten(void)
{
    const uint64_t from_us = stk_sim_elapsed_us(sim);

    stk_sim_run_for(sim, SECOND);
    while (connections() > 0 && stk_sim_elapsed_us(sim) - from_us < UINT64_C(20) * MINUTE)
        stk_sim_run_for(sim, SECOND);
    return stk_sim_elapsed_us(sim) - from_us;
}

static void say_one_byte(struct stk_timer *timer)
{
    if (raw.conn != NULL && stk_conn_write(raw.conn, "x", 1) == 1)
        stk_timer_in(timer, wake_us);
}

static void say_bytes_every(uint64_t us)
{
    wake_us = us;
    stk_timer_init(&wake, b.loop, say_one_byte);
    stk_timer_in(&wake, us);
}

/* --- Responses -----------------------------------------------------------------------------------
 */

static void one_byte_a_second_keeps_no_connection(void)
{
    begin("/memory/web/limit,recv=1,burst=1", GET("/large"));
    const uint64_t us = run_until_forgotten();
    CU_ASSERT_TRUE(us >= MINUTE && us < MINUTE + MINUTE / 4);
    CU_ASSERT_EQUAL(site.gone, 1);
    CU_ASSERT_EQUAL(site.complete, 0);
    end();
}

static void nor_does_it_when_all_of_the_response_is_written(void)
{
    static const char *const requests[] = {GET_CLOSE("/small"), GET("/small")};

    for (int keep = 0; keep < 2; keep++) { /* kept open, it is idle for a minute first */
        begin("/memory/web/limit,recv=1,burst=1", requests[keep]);
        const uint64_t us = run_until_forgotten();
        CU_ASSERT_TRUE(site.done);
        CU_ASSERT_TRUE(us >= (keep ? 2 : 1) * MINUTE);
        CU_ASSERT_TRUE(us < (keep ? 2 : 1) * MINUTE + MINUTE / 4);
        end();
    }
}

static void a_slow_reader_gets_all_of_it(void)
{
    begin("/memory/web/limit,recv=300,burst=300", GET("/large"));
    stk_sim_run_for(sim, UINT64_C(30) * MINUTE);
    CU_ASSERT_EQUAL(site.complete, 1);
    CU_ASSERT_TRUE(raw.len > LARGE);
    end();
}

static void a_reader_may_pause_for_most_of_a_minute(void)
{
    begin("/memory/web/limit,recv=2000,burst=2000", GET("/large"));
    for (int i = 0; i < 5; i++) {
        stk_sim_run_for(sim, 20 * SECOND);
        stk_conn_pause(raw.conn);
        stk_sim_run_for(sim, 50 * SECOND);
        CU_ASSERT_EQUAL_FATAL(connections(), 1);
        stk_conn_resume(raw.conn);
    }
    stk_sim_run_for(sim, UINT64_C(10) * MINUTE);
    CU_ASSERT_EQUAL(site.complete, 1);
    end();
}

/* Less than the rate, because there is no more; and some of it is always under way. */
static void a_slow_handler_costs_its_client_nothing(void)
{
    begin("/memory/web", GET("/events"));
    for (int i = 0; i < 120; i++) {
        stk_conn_pause(raw.conn);
        stk_sim_run_for(sim, 7 * SECOND);
        CU_ASSERT_EQUAL_FATAL(connections(), 1);
        stk_conn_resume(raw.conn);
        stk_sim_run_for(sim, 10);
    }
    CU_ASSERT_TRUE(raw.len > 8000);
    end();
}

/* --- Requests ------------------------------------------------------------------------------------
 */

#define PUT "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"

static void a_body_of_one_byte_a_second_is_refused(void)
{
    begin("/memory/web", PUT);
    say_bytes_every(SECOND);
    const uint64_t us = run_until_forgotten();
    CU_ASSERT_TRUE(us >= MINUTE && us < MINUTE + MINUTE / 4);
    CU_ASSERT_TRUE(site.body_bytes > 50);
    CU_ASSERT_EQUAL(strncmp(raw.got, "HTTP/1.1 408 ", 13), 0);
    end();
}

static void a_slow_sender_is_heard_to_the_end(void)
{
    begin("/memory/web", PUT);
    say_bytes_every(SECOND / 300);
    stk_sim_run_for(sim, UINT64_C(10) * MINUTE);
    CU_ASSERT_EQUAL(site.body_bytes, 100000);
    CU_ASSERT_EQUAL(strncmp(raw.got, "HTTP/1.1 200 ", 13), 0);
    end();
}

static void a_sender_may_pause_for_most_of_a_minute(void)
{
    static const char part[25000] = {'x'};

    begin("/memory/web", PUT);
    for (int i = 0; i < 4; i++) {
        stk_sim_run_for(sim, 50 * SECOND);
        CU_ASSERT_EQUAL_FATAL(connections(), 1);
        CU_ASSERT_EQUAL(stk_conn_write(raw.conn, part, sizeof part), sizeof part);
    }
    stk_sim_run_for(sim, SECOND);
    CU_ASSERT_EQUAL(strncmp(raw.got, "HTTP/1.1 200 ", 13), 0);
    end();
}

static CU_TestInfo tests[] = {
    {"one byte a second keeps no connection", one_byte_a_second_keeps_no_connection},
    {"nor does it when all of the response is written",
     nor_does_it_when_all_of_the_response_is_written},
    {"a slow reader gets all of it", a_slow_reader_gets_all_of_it},
    {"a reader may pause for most of a minute", a_reader_may_pause_for_most_of_a_minute},
    {"a slow handler costs its client nothing", a_slow_handler_costs_its_client_nothing},
    {"a body of one byte a second is refused", a_body_of_one_byte_a_second_is_refused},
    {"a slow sender is heard to the end", a_slow_sender_is_heard_to_the_end},
    {"a sender may pause for most of a minute", a_sender_may_pause_for_most_of_a_minute},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("http pace", tests)
