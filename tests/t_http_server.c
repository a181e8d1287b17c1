/* Goal: the server answers as RFC 9110 and 9112 say, in order, within its limits. Method: a raw
 * client says bytes over the memory transport and its answers are compared. */
#include "harness.h"
#include "http_bench.h"
#include "http_server.h"

/* --- A handler with a few resources
 * ----------------------------------------------------------------- */

struct site {
    unsigned heads, ends, gone, gone_complete;
    size_t body_bytes;
    struct stk_http_exchange *waiting; /* of /later */
    size_t to_send;                    /* of /big and /stream */
    size_t accept_at_once;             /* bytes of a body that one call takes; 0: all */
    bool hold;
    size_t fill; /* bytes of "/fill" */
    bool all_gone;
};

enum { BIG_BYTES = 3 * 1000 * 1000 };

static char pattern(uint64_t at) { return (char)('a' + at % 23); }

static void send_more(struct stk_http_exchange *x)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));
    const size_t total = (size_t)(uintptr_t)stk_http_exchange_user(x);
    char piece[10000];

    while (site->to_send > 0) {
        const size_t len = site->to_send < sizeof piece ? site->to_send : sizeof piece;

        for (size_t i = 0; i < len; i++)
            piece[i] = pattern(total - site->to_send + i);
        const long taken = stk_http_write(x, piece, len);
        if (taken < 0)
            return;
        site->to_send -= (size_t)taken;
        if ((size_t)taken < len)
            return;
    }
    stk_http_finish(x);
}

static void begin_big(struct stk_http_exchange *x, size_t len, bool chunked)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));

    site->to_send = len;
    stk_http_exchange_set_user(x, (void *)(uintptr_t)len);
    stk_http_respond(x, 200, NULL, 0, chunked ? STK_HTTP_CHUNKED : (int64_t)len);
    send_more(x);
}

static void site_head(struct stk_http_exchange *x, const struct stk_http_head *head)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));

    site->heads++;
    if (strcmp(head->path, "/later") == 0)
        site->waiting = x;
    else if (strcmp(head->path, "/big") == 0)
        begin_big(x, BIG_BYTES, false);
    else if (strcmp(head->path, "/fill") == 0)
        begin_big(x, site->fill, false);
    else if (strcmp(head->path, "/stream") == 0)
        begin_big(x, 3 * 1000 * 1000, true);
    else if (strcmp(head->path, "/small-stream") == 0)
        begin_big(x, 10, true);
    else if (strcmp(head->path, "/none") == 0)
        stk_http_respond(x, 204, NULL, 0, 0), stk_http_finish(x);
    else if (strcmp(head->path, "/short") == 0)
        stk_http_respond(x, 200, NULL, 0, 10), stk_http_write(x, "abc", 3), stk_http_finish(x);
    else if (strcmp(head->path, "/refuse") == 0)
        stk_http_reply_error(x, 403, "not for you");
    else if (strncmp(head->path, "/upload", 7) != 0)
        stk_http_reply(x, 200, "text/plain", head->path, strlen(head->path));
}

static size_t site_body(struct stk_http_exchange *x, const uint8_t *data, size_t len)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));
    const size_t take =
        site->accept_at_once && len > site->accept_at_once ? site->accept_at_once : len;

    (void)data;
    if (site->hold)
        return 0;
    site->body_bytes += take;
    if (take < len)
        stk_http_again(x); /* too early: nothing is held yet */
    return take;
}

static void site_end(struct stk_http_exchange *x)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));
    char text[32];

    site->ends++;
    if (strncmp(stk_http_exchange_head(x)->path, "/upload", 7) == 0) {
        snprintf(text, sizeof text, "%zu bytes", site->body_bytes);
        stk_http_reply(x, 200, "text/plain", text, strlen(text));
    }
}

static void site_gone(struct stk_http_exchange *x, bool complete)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));

    site->gone++;
    site->gone_complete += complete;
    site->all_gone = true;
}

static const struct stk_http_handler site_handler = {
    .head = site_head,
    .body = site_body,
    .end = site_end,
    .writable = send_more,
    .gone = site_gone,
};

static int64_t a_fixed_time(void) { return 784111777; }

static const struct stk_http_server_options plain_options = {
    .server_name = "test",
    .wall_clock_s = a_fixed_time,
};

static char *talk(const char *text)
{
    struct bench b;
    struct site site = {0};

    bench_begin(&b, &site_handler, &site, &plain_options);
    char *got = raw_talk(&b, text);
    CU_ASSERT_EQUAL(site.gone, site.heads);
    bench_end(&b);
    return got;
}

#define COMMON "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: test\r\n"
#define OK(len, rest, body)                                                                        \
    "HTTP/1.1 200 OK\r\n" COMMON "Content-Type: text/plain\r\nContent-Length: " len "\r\n" rest    \
    "\r\n" body

static void expect(const char *said, const char *answer)
{
    char *got = talk(said);

    CU_ASSERT_STRING_EQUAL(got, answer);
    if (strcmp(got, answer) != 0)
        printf("\n    got: %s\n", got);
    free(got);
}

static void expect_status(const char *said, const char *status)
{
    char *got = talk(said);

    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 ", 9), 0);
    CU_ASSERT_EQUAL(strncmp(got + 9, status, 3), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "Connection: close\r\n"));
    free(got);
}

/* --- Messages
 * ---------------------------------------------------------------------------------------- */

static void a_request_is_answered_and_the_connection_closed_as_asked(void)
{
    expect(GET_CLOSE("/x"), OK("2", "Connection: close\r\n", "/x"));
}

static void pipelined_requests_are_answered_in_order(void)
{
    expect(GET("/1") GET("/22") GET_CLOSE("/3"),
           OK("2", "", "/1") OK("3", "", "/22") OK("2", "Connection: close\r\n", "/3"));
}

static void nothing_after_connection_close_is_answered(void)
{
    expect(GET_CLOSE("/1") GET("/2"), OK("2", "Connection: close\r\n", "/1"));
}

static void http_1_0_closes_unless_keep_alive_is_asked_for(void)
{
    expect("GET /1 HTTP/1.0\r\n\r\n" GET("/2"), OK("2", "Connection: close\r\n", "/1"));
    expect("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET_CLOSE("/2"),
           OK("2", "Connection: keep-alive\r\n", "/1") OK("2", "Connection: close\r\n", "/2"));
}

static void an_unknown_length_is_chunked_or_ends_with_the_connection(void)
{
    expect(GET_CLOSE("/small-stream"),
           "HTTP/1.1 200 OK\r\n" COMMON "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
           "a\r\nabcdefghij\r\n0\r\n\r\n");
    expect("GET /small-stream HTTP/1.0\r\n\r\n",
           "HTTP/1.1 200 OK\r\n" COMMON "Connection: close\r\n\r\nabcdefghij");
}

static void head_is_answered_like_get_without_the_body(void)
{
    expect("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" GET_CLOSE("/y"),
           OK("2", "", "") OK("2", "Connection: close\r\n", "/y"));
    expect("HEAD /small-stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
           "HTTP/1.1 200 OK\r\n" COMMON "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
}

static void status_204_has_neither_length_nor_body(void)
{
    expect(GET("/none") GET_CLOSE("/y"),
           "HTTP/1.1 204 No Content\r\n" COMMON "\r\n" OK("2", "Connection: close\r\n", "/y"));
}

static void a_half_closed_client_still_gets_its_answers(void)
{
    struct bench b;
    struct site site = {0};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &plain_options);
    raw_open(&b, &raw, "/memory/web");
    raw_say(&raw, GET("/1") GET("/2"));
    stk_conn_finish(raw.conn);
    CU_ASSERT_TRUE(bench_until(&b, &raw.closed));
    CU_ASSERT_STRING_EQUAL(raw.got, OK("2", "", "/1") OK("2", "", "/2"));
    raw_close(&b, &raw);
    bench_end(&b);
}

static void a_late_answer_holds_back_the_ones_behind_it(void)
{
    struct bench b;
    struct site site = {0};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &plain_options);
    raw_open(&b, &raw, "/memory/web");
    raw_say(&raw, GET("/later") GET_CLOSE("/2"));
    while (site.waiting == NULL)
        stk_loop_turn(b.loop, 0);
    for (int i = 0; i < 50; i++)
        stk_loop_turn(b.loop, 0);
    CU_ASSERT_EQUAL(site.heads, 1);
    CU_ASSERT_EQUAL(raw.len, 0);
    stk_http_reply(site.waiting, 200, "text/plain", "late", 4);
    CU_ASSERT_TRUE(bench_until(&b, &raw.closed));
    CU_ASSERT_STRING_EQUAL(raw.got, OK("4", "", "late") OK("2", "Connection: close\r\n", "/2"));
    raw_close(&b, &raw);
    bench_end(&b);
}

/* --- Bodies that come in
 * -------------------------------------------------------------------------------- */

static void bodies_arrive_in_both_framings_and_the_next_request_is_found(void)
{
    expect("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET_CLOSE("/2"),
           OK("7", "", "5 bytes") OK("2", "Connection: close\r\n", "/2"));
    expect("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n" GET_CLOSE("/2"),
           OK("7", "", "7 bytes") OK("2", "Connection: close\r\n", "/2"));
}

static void a_body_that_nobody_wants_is_dropped(void)
{
    expect("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET_CLOSE("/2"),
           OK("2", "", "/x") OK("2", "Connection: close\r\n", "/2"));
}

static void a_held_body_waits_until_it_is_wanted(void)
{
    struct bench b;
    struct site site = {.hold = true};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &plain_options);
    raw_open(&b, &raw, "/memory/web");
    raw_say(&raw, "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    for (int i = 0; i < 50; i++)
        stk_loop_turn(b.loop, 0);
    CU_ASSERT_EQUAL(site.body_bytes, 0);
    CU_ASSERT_EQUAL(site.ends, 0);
    site.hold = false;
    stk_http_again(site.waiting);
    for (int i = 0; i < 50; i++)
        stk_loop_turn(b.loop, 0);
    CU_ASSERT_EQUAL(site.body_bytes, 5);
    CU_ASSERT_EQUAL(site.ends, 1);
    raw_close(&b, &raw);
    CU_ASSERT_EQUAL(site.gone, 0);
    stk_http_reply(site.waiting, 200, NULL, NULL, 0);
    CU_ASSERT_TRUE(bench_until(&b, &site.all_gone));
    bench_end(&b);
}

static void expect_100_is_answered_only_if_the_body_is_wanted(void)
{
    struct bench b;
    struct site site = {0};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &plain_options);
    raw_open(&b, &raw, "/memory/web");
    raw_say(&raw, "PUT /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                  "Content-Length: 5\r\n\r\n");
    CU_ASSERT_TRUE(raw_await(&b, &raw, "HTTP/1.1 100 Continue\r\n\r\n"));
    raw_say(&raw, "hello" GET_CLOSE("/2"));
    CU_ASSERT_TRUE(bench_until(&b, &raw.closed));
    CU_ASSERT_STRING_EQUAL(raw.got + 25,
                           OK("7", "", "5 bytes") OK("2", "Connection: close\r\n", "/2"));
    raw_close(&b, &raw);
    bench_end(&b);

    expect_status("PUT /refuse HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                  "Content-Length: 5\r\n\r\n",
                  "403");
    expect_status("GET /x HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", "417");
}

/* --- Refusals
 * ---------------------------------------------------------------------------------------------- */

static void bad_requests_get_their_status_and_the_end(void)
{
    expect_status("nonsense\r\n\r\n", "400");
    expect_status("GET / HTTP/1.1\r\n\r\n", "400");
    expect_status("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "501");
    expect_status("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505");
    expect_status("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                  "400");
    expect_status("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", "413");
    expect_status("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx", "400");
}

static void a_good_request_before_a_bad_one_is_answered(void)
{
    char *got = talk(GET("/1") "nonsense\r\n\r\n");

    CU_ASSERT_EQUAL(strncmp(got, OK("2", "", "/1"), strlen(OK("2", "", "/1"))), 0);
    CU_ASSERT_EQUAL(strncmp(got + strlen(OK("2", "", "/1")), "HTTP/1.1 400 ", 13), 0);
    free(got);
}

static void a_response_shorter_than_promised_breaks_the_connection(void)
{
    char *got = talk(GET("/short") GET("/2"));

    CU_ASSERT_PTR_NULL(strstr(got, "/2"));
    free(got);
}

/* --- Bodies that go out
 * -------------------------------------------------------------------------------------- */

static bool has_pattern(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != pattern(i))
            return false;
    return true;
}

static void a_large_body_goes_out_under_back_pressure(void)
{
    char *got = talk(GET_CLOSE("/big"));
    const char *body = strstr(got, "\r\n\r\n");

    CU_ASSERT_EQUAL(strlen(body + 4), 3000000);
    CU_ASSERT_TRUE(has_pattern(body + 4, 3000000));
    free(got);
}

static void a_large_chunked_body_goes_out_under_back_pressure(void)
{
    char *got = talk(GET_CLOSE("/stream"));
    char *at = strstr(got, "\r\n\r\n") + 4;
    size_t total = 0, size;
    bool right = true;

    while ((size = strtoul(at, &at, 16)) > 0) {
        for (size_t i = 0; i < size; i++)
            right = right && at[2 + i] == pattern(total + i);
        total += size;
        at += 2 + size + 2;
    }
    CU_ASSERT_TRUE(right);
    CU_ASSERT_EQUAL(total, 3000000);
    CU_ASSERT_STRING_EQUAL(at, "\r\n\r\n");
    free(got);
}

static void a_lost_client_ends_the_exchange_as_incomplete(void)
{
    struct bench b;
    struct site site = {0};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &plain_options);
    raw_open(&b, &raw, "/memory/web");
    stk_conn_pause(raw.conn);
    raw_say(&raw, GET("/big"));
    for (int i = 0; i < 50; i++)
        stk_loop_turn(b.loop, 0);
    CU_ASSERT_EQUAL(site.heads, 1);
    CU_ASSERT_TRUE(site.to_send > 2000000);
    raw_close(&b, &raw);
    CU_ASSERT_TRUE(bench_until(&b, &site.all_gone));
    CU_ASSERT_EQUAL(site.gone_complete, 0);
    bench_end(&b);
}

/* --- Time and numbers
 * ------------------------------------------------------------------------------------------ */

static void timeouts_end_slow_clients(void)
{
    static const struct stk_http_server_options quick = {
        .header_timeout_us = 30000,
        .idle_timeout_us = 30000,
        .stall_timeout_us = 30000,
        .min_rate = 1000000,
    };
    struct bench b;
    struct site site = {0};

    bench_begin(&b, &site_handler, &site, &quick);
    char *got = raw_talk(&b, "");
    CU_ASSERT_STRING_EQUAL(got, "");
    free(got);
    got = raw_talk(&b, "GET / HT");
    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 408 ", 13), 0);
    free(got);
    got = raw_talk(&b, "PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 408 ", 13), 0);
    free(got);
    /* One who is answered already owes the rest of the request, and sends nothing. */
    got = raw_talk(&b, "PUT /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\nab");
    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 403 ", 13), 0);
    CU_ASSERT_PTR_NULL(strstr(got, " 408 "));
    free(got);
    got = raw_talk(&b, GET("/x"));
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "/x"));
    free(got);
    bench_end(&b);
}

static void a_client_that_takes_nothing_is_cut_off(void)
{
    static const struct stk_http_server_options quick = {.stall_timeout_us = 30000};
    struct bench b;
    struct site site = {0};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &quick);
    raw_open(&b, &raw, "/memory/web");
    stk_conn_pause(raw.conn);
    raw_say(&raw, GET("/big"));
    CU_ASSERT_TRUE(bench_until(&b, &site.all_gone));
    CU_ASSERT_EQUAL(site.gone_complete, 0);
    raw_close(&b, &raw);
    bench_end(&b);
}

/* How much of a response a connection takes while its client reads nothing. */
static size_t measure_room(void)
{
    enum { ENOUGH_TURNS = 20 };
    struct bench b;
    struct site site = {0};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, NULL);
    raw_open(&b, &raw, "/memory/web");
    stk_conn_pause(raw.conn);
    raw_say(&raw, GET("/big"));
    for (int i = 0; i < ENOUGH_TURNS; i++)
        stk_loop_turn(b.loop, 0);
    CU_ASSERT_TRUE(site.to_send > 0);
    raw_close(&b, &raw);
    bench_end(&b);
    return BIG_BYTES - site.to_send;
}

/* The answer before it leaves room for a few bytes only, so that the refusal waits for ever. */
static void a_refusal_that_nobody_takes_is_cut_off(void)
{
    static const struct stk_http_server_options quick = {.stall_timeout_us = 30000};
    struct bench b;
    struct site site = {.fill = measure_room() - 60};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &quick);
    raw_open(&b, &raw, "/memory/web");
    stk_conn_pause(raw.conn);
    raw_say(&raw, GET("/fill") "nonsense\r\n\r\n");
    CU_ASSERT_TRUE(bench_until(&b, &site.all_gone));
    CU_ASSERT_EQUAL(site.gone_complete, 1);
    while (b.server->connection_count > 0 && stk_loop_turn(b.loop, 2000000) > 0)
        continue;
    CU_ASSERT_EQUAL(b.server->connection_count, 0);
    raw_close(&b, &raw);
    bench_end(&b);
}

static void the_last_of_the_allowed_requests_closes(void)
{
    static const struct stk_http_server_options two = {
        .requests_per_connection = 2, .wall_clock_s = a_fixed_time, .server_name = "test"};
    struct bench b;
    struct site site = {0};

    bench_begin(&b, &site_handler, &site, &two);
    char *got = raw_talk(&b, GET("/1") GET("/2") GET("/3"));
    CU_ASSERT_STRING_EQUAL(got, OK("2", "", "/1") OK("2", "Connection: close\r\n", "/2"));
    free(got);
    bench_end(&b);
}

static void too_many_connections_are_not_served(void)
{
    static const struct stk_http_server_options one = {.connections = 1};
    struct bench b;
    struct site site = {0};
    struct raw first, second;

    bench_begin(&b, &site_handler, &site, &one);
    raw_open(&b, &first, "/memory/web");
    raw_open(&b, &second, "/memory/web");
    raw_say(&first, GET("/1"));
    CU_ASSERT_TRUE(raw_await(&b, &first, "/1"));
    CU_ASSERT_TRUE(bench_until(&b, &second.closed));
    CU_ASSERT_EQUAL(second.len, 0);
    raw_close(&b, &first);
    raw_close(&b, &second);
    bench_end(&b);
}

static void closing_the_server_lets_the_running_answer_end(void)
{
    struct bench b;
    struct site site = {0};
    struct raw raw, idle;

    bench_begin(&b, &site_handler, &site, &plain_options);
    raw_open(&b, &raw, "/memory/web");
    raw_open(&b, &idle, "/memory/web");
    raw_say(&raw, GET("/later"));
    while (site.waiting == NULL)
        stk_loop_turn(b.loop, 0);
    stk_http_server_close(b.server);
    b.server = NULL;
    CU_ASSERT_TRUE(bench_until(&b, &idle.closed));
    CU_ASSERT_FALSE(raw.closed);
    stk_http_reply(site.waiting, 200, "text/plain", "x", 1);
    CU_ASSERT_TRUE(bench_until(&b, &raw.closed));
    CU_ASSERT_STRING_EQUAL(raw.got, OK("1", "Connection: close\r\n", "x"));
    raw_close(&b, &raw);
    raw_close(&b, &idle);
    bench_end(&b);
}

static void fields_that_could_split_a_response_are_refused(void)
{
    struct bench b;
    struct site site = {0};
    struct raw raw;

    bench_begin(&b, &site_handler, &site, &plain_options);
    raw_open(&b, &raw, "/memory/web");
    raw_say(&raw, GET("/later"));
    while (site.waiting == NULL)
        stk_loop_turn(b.loop, 0);
    const struct stk_http_field bad[] = {
        {"X", "a\r\nY: b"}, {"X Y", "a"}, {"Content-Length", "3"}, {"", "a"}};
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(stk_http_respond(site.waiting, 200, &bad[i], 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(stk_http_respond(site.waiting, 199, NULL, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(stk_http_write(site.waiting, "x", 1), -EINVAL);
    CU_ASSERT_EQUAL(stk_http_respond(site.waiting, 200, NULL, 0, 3), 0);
    CU_ASSERT_EQUAL(stk_http_respond(site.waiting, 200, NULL, 0, 3), -EALREADY);
    CU_ASSERT_EQUAL(stk_http_write(site.waiting, "abcd", 4), STK_ELIMIT);
    CU_ASSERT_EQUAL(stk_http_write(site.waiting, "abc", 3), 3);
    CU_ASSERT_EQUAL(stk_http_finish(site.waiting), 0);
    CU_ASSERT_EQUAL(stk_http_write(site.waiting, "a", 1), STK_ESHUTDOWN);
    CU_ASSERT_TRUE(raw_await(&b, &raw, "\r\n\r\nabc"));
    raw_close(&b, &raw);
    bench_end(&b);
}

static CU_TestInfo tests[] = {
    {"a request is answered and the connection closed as asked",
     a_request_is_answered_and_the_connection_closed_as_asked},
    {"pipelined requests are answered in order", pipelined_requests_are_answered_in_order},
    {"nothing after Connection: close is answered", nothing_after_connection_close_is_answered},
    {"HTTP/1.0 closes unless keep-alive is asked for",
     http_1_0_closes_unless_keep_alive_is_asked_for},
    {"an unknown length is chunked or ends with the connection",
     an_unknown_length_is_chunked_or_ends_with_the_connection},
    {"HEAD is answered like GET without the body", head_is_answered_like_get_without_the_body},
    {"204 has neither length nor body", status_204_has_neither_length_nor_body},
    {"a half-closed client still gets its answers", a_half_closed_client_still_gets_its_answers},
    {"a late answer holds back the ones behind it", a_late_answer_holds_back_the_ones_behind_it},
    {"bodies arrive in both framings and the next request is found",
     bodies_arrive_in_both_framings_and_the_next_request_is_found},
    {"a body that nobody wants is dropped", a_body_that_nobody_wants_is_dropped},
    {"a held body waits until it is wanted", a_held_body_waits_until_it_is_wanted},
    {"Expect: 100-continue is answered only if the body is wanted",
     expect_100_is_answered_only_if_the_body_is_wanted},
    {"bad requests get their status and the end", bad_requests_get_their_status_and_the_end},
    {"a good request before a bad one is answered", a_good_request_before_a_bad_one_is_answered},
    {"a response shorter than promised breaks the connection",
     a_response_shorter_than_promised_breaks_the_connection},
    {"a large body goes out under back-pressure", a_large_body_goes_out_under_back_pressure},
    {"a large chunked body goes out under back-pressure",
     a_large_chunked_body_goes_out_under_back_pressure},
    {"a lost client ends the exchange as incomplete",
     a_lost_client_ends_the_exchange_as_incomplete},
    {"timeouts end slow clients", timeouts_end_slow_clients},
    {"a client that takes nothing is cut off", a_client_that_takes_nothing_is_cut_off},
    {"a refusal that nobody takes is cut off", a_refusal_that_nobody_takes_is_cut_off},
    {"the last of the allowed requests closes", the_last_of_the_allowed_requests_closes},
    {"too many connections are not served", too_many_connections_are_not_served},
    {"closing the server lets the running answer end",
     closing_the_server_lets_the_running_answer_end},
    {"fields that could split a response are refused",
     fields_that_could_split_a_response_are_refused},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("http server", tests)
