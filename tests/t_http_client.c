/* Goal: the client frames, streams, pipelines, redirects and fails as it must. Method: against our
 * own server over the memory transport, and against scripts that answer with fixed bytes. */
#include "harness.h"
#include "http_bench.h"

/* --- A server that says what its script says
 * ----------------------------------------------------------- */

struct script {
    const char *answer; /* said at each blank line that comes in */
    char got[8192];
    size_t len;
    unsigned connections;
    bool closes; /* after the answer */
};

static int script_accepted(struct stk_conn *conn)
{
    struct script *script = stk_conn_user(conn);

    script->connections++;
    return 0;
}

static size_t script_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct script *script = stk_conn_user(conn);

    assert(script->len + len < sizeof script->got);
    memcpy(script->got + script->len, data, len);
    script->got[script->len += len] = '\0';
    if (len >= 4 && memcmp(data + len - 4, "\r\n\r\n", 4) == 0) {
        stk_conn_write(conn, script->answer, strlen(script->answer));
        if (script->closes)
            stk_conn_close(conn);
    }
    return len;
}

static const struct stk_protocol script_protocol = {
    .accepted = script_accepted,
    .received = script_received,
};

/* --- Results
 * -----------------------------------------------------------------------------------------------
 */

struct result {
    bool done;
    int code;
    char text[STK_ERROR_TEXT_MAX];
    struct stk_http_response *response;
    void (*destroy)(void *);
};

static struct stk_outcome keep_result(void *user, struct stk_outcome outcome)
{
    struct result *result = user;

    result->done = true;
    result->code = outcome.code;
    snprintf(result->text, sizeof result->text, "%s", outcome.error.text);
    if (outcome.code == 0)
        result->response = outcome.value;
    result->destroy = outcome.destroy;
    return stk_outcome_value(NULL, NULL);
}

static struct result get(struct bench *b, const char *address,
                         const struct stk_http_options *options)
{
    struct result result = {0};

    struct stk_deferred *deferred = stk_http_get(b->loop, address, options);
    stk_deferred_both(deferred, keep_result, &result);
    stk_deferred_unref(deferred);
    CU_ASSERT_TRUE(bench_until(b, &result.done));
    return result;
}

static void forget(struct result *result)
{
    stk_http_response_free(result->response);
    result->response = NULL;
}

static struct result get_scripted(const char *answer, bool closes,
                                  const struct stk_http_options *options)
{
    struct script script = {.answer = answer, .closes = closes};
    struct stk_listener *listener;
    struct bench b = {0};

    stk_loop_new(NULL, &b.loop);
    if (stk_listen(b.loop, "/memory/script", &script_protocol, &script, &listener, NULL) < 0)
        abort();
    struct result result = get(&b, "/memory/script/http/x", options);
    stk_listener_close(listener);
    bench_end(&b);
    return result;
}

static void expect_body(const char *answer, bool closes, const char *body)
{
    struct result r = get_scripted(answer, closes, NULL);

    CU_ASSERT_EQUAL(r.code, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r.response);
    CU_ASSERT_STRING_EQUAL((const char *)r.response->body, body);
    forget(&r);
}

static void expect_failure(const char *answer, bool closes, int code)
{
    struct result r = get_scripted(answer, closes, NULL);

    CU_ASSERT_EQUAL(r.code, code);
    if (r.code != code)
        printf("\n    %d (%s) instead of %d for %.60s\n", r.code, r.text, code, answer);
    forget(&r);
}

/* --- Framing
 * ---------------------------------------------------------------------------------------------------
 */

static void bodies_end_where_their_framing_says(void)
{
    expect_body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "hello");
    expect_body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                false, "hello");
    expect_body("HTTP/1.1 200 OK\r\n\r\nall of it", true, "all of it");
    expect_body("HTTP/1.0 200 OK\r\n\r\nold", true, "old");
    expect_body("HTTP/1.1 204 No Content\r\n\r\n", false, "");
    expect_body("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
                "2\r\n\r\nhi",
                false, "hi");
}

static void truncated_and_malformed_answers_are_errors(void)
{
    expect_failure("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true, STK_ETRUNCATED);
    expect_failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true,
                   STK_ETRUNCATED);
    expect_failure("HTTP/1.1 200 OK\r\nConte", true, STK_ETRUNCATED);
    expect_failure("", true, STK_ETRUNCATED);
    expect_failure("nonsense\r\n\r\n", true, -EPROTO);
    expect_failure("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", false,
                   -EPROTO);
}

static void limits_on_answers_hold(void)
{
    static char large[20000] = "HTTP/1.1 200 OK\r\nX: ";
    const struct stk_http_options four = {.body_bytes_max = 4}, five = {.body_bytes_max = 5};

    memset(large + strlen(large), 'x', sizeof large - 1 - strlen(large));
    expect_failure(large, false, STK_ELIMIT);
    const char *fixed = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    struct result r = get_scripted(fixed, false, &four);
    CU_ASSERT_EQUAL(r.code, STK_ELIMIT);
    r = get_scripted(fixed, false, &five);
    CU_ASSERT_EQUAL(r.code, 0);
    forget(&r);
}

static void a_silent_server_is_given_up(void)
{
    const struct stk_http_options soon = {.timeout_us = 20000};
    struct script script = {.answer = ""};
    struct stk_listener *listener;
    struct bench b = {0};

    stk_loop_new(NULL, &b.loop);
    stk_listen(b.loop, "/memory/script", &script_protocol, &script, &listener, NULL);
    struct result r = get(&b, "/memory/script/http", &soon);
    CU_ASSERT_EQUAL(r.code, -ETIMEDOUT);

    const struct stk_http_options stalls = {.client = {.response_timeout_us = 20000}};
    r = get(&b, "/memory/script/http", &stalls);
    CU_ASSERT_EQUAL(r.code, -ETIMEDOUT);
    stk_listener_close(listener);
    r = get(&b, "/memory/script/http", NULL);
    CU_ASSERT_EQUAL(r.code, -ECONNREFUSED);
    r = get(&b, "/memroy/script/http", NULL);
    CU_ASSERT_EQUAL(r.code, STK_ESYNTAX);
    bench_end(&b);
}

static void the_request_says_what_it_shall(void)
{
    const struct stk_http_field fields[] = {{"X-Y", "z"}};
    const struct stk_http_options post = {.method = "POST", .fields = fields, .field_count = 1};
    struct script script = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct stk_listener *listener;
    struct bench b = {0};

    stk_loop_new(NULL, &b.loop);
    stk_listen(b.loop, "/memory/script", &script_protocol, &script, &listener, NULL);
    struct result r = get(&b, "/memory/script/http,host=h.example:81/a b?c=%20", &post);
    forget(&r);
    CU_ASSERT_STRING_EQUAL(script.got, "POST /a%20b?c=%20 HTTP/1.1\r\nHost: h.example:81\r\nX-Y: "
                                       "z\r\nContent-Length: 0\r\n\r\n");
    stk_listener_close(listener);
    bench_end(&b);
}

/* --- Against our own server
 * --------------------------------------------------------------------------------- */

struct site {
    unsigned requests, gone;
    size_t echo_held;
};

static void echo_head(struct stk_http_exchange *x, const struct stk_http_head *head)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));
    struct stk_http_field location = {"Location", NULL};

    site->requests++;
    if (strcmp(head->path, "/echo") == 0) {
        stk_http_respond(x, 200, NULL, 0, STK_HTTP_CHUNKED);
        return;
    }
    if (strcmp(head->path, "/loop") == 0)
        location.value = "/loop";
    else if (strcmp(head->path, "/a/first") == 0)
        location.value = "../b/./second?q=1#part";
    else if (strcmp(head->path, "/away") == 0)
        location.value = "http://elsewhere.example/";
    if (location.value != NULL) {
        stk_http_respond(x, 302, &location, 1, 0);
        stk_http_finish(x);
        return;
    }
    stk_http_reply(x, 200, "text/plain", head->target, strlen(head->target));
}

static size_t echo_body(struct stk_http_exchange *x, const uint8_t *data, size_t len)
{
    const long taken = stk_http_write(x, data, len);

    return taken > 0 ? (size_t)taken : 0;
}

static void echo_end(struct stk_http_exchange *x)
{
    if (strcmp(stk_http_exchange_head(x)->path, "/echo") == 0)
        stk_http_finish(x);
}

static void echo_gone(struct stk_http_exchange *x, bool complete)
{
    struct site *site = stk_http_server_user(stk_http_exchange_server(x));

    (void)complete;
    site->gone++;
}

static const struct stk_http_handler echo_handler = {
    .head = echo_head,
    .body = echo_body,
    .end = echo_end,
    .writable = stk_http_again,
    .gone = echo_gone,
};

static void a_page_is_fetched_from_our_server(void)
{
    struct bench b;
    struct site site = {0};

    bench_begin(&b, &echo_handler, &site, NULL);
    struct result r = get(&b, "/memory/web/http/some/page?x", NULL);
    CU_ASSERT_EQUAL(r.code, 0);
    CU_ASSERT_STRING_EQUAL((const char *)r.response->body, "/some/page?x");
    CU_ASSERT_STRING_EQUAL(stk_http_head_get(r.response->head, "content-type"), "text/plain");
    CU_ASSERT_EQUAL(r.response->head->status, 200);
    forget(&r);

    const struct stk_http_options head = {.method = "HEAD"};
    r = get(&b, "/memory/web/http/some/page?x", &head);
    CU_ASSERT_EQUAL(r.response->head->content_length, 12);
    CU_ASSERT_EQUAL(r.response->body_len, 0);
    forget(&r);
    bench_end(&b);
}

static void redirects_are_followed_as_far_as_asked(void)
{
    const struct stk_http_options five = {.redirects = 5};
    struct bench b;
    struct site site = {0};

    bench_begin(&b, &echo_handler, &site, NULL);
    struct result r = get(&b, "/memory/web/http/a/first", NULL);
    CU_ASSERT_EQUAL(r.response->head->status, 302);
    forget(&r);
    r = get(&b, "/memory/web/http/a/first", &five);
    CU_ASSERT_EQUAL_FATAL(r.code, 0);
    CU_ASSERT_STRING_EQUAL((const char *)r.response->body, "/b/second?q=1");
    forget(&r);
    site.requests = 0;
    r = get(&b, "/memory/web/http/loop", &five);
    CU_ASSERT_EQUAL(r.code, STK_ELIMIT);
    CU_ASSERT_EQUAL(site.requests, 6);
    r = get(&b, "/memory/web/http/away", &five);
    CU_ASSERT_EQUAL(r.code, STK_EPEER);
    bench_end(&b);
}

static void three_at_once_are_gathered(void)
{
    struct bench b;
    struct site site = {0};
    struct result result = {0};
    struct stk_deferred *list[3];
    static const char *const addresses[] = {"/memory/web/http/1", "/memory/web/http/22",
                                            "/memory/web/http/333"};

    bench_begin(&b, &echo_handler, &site, NULL);
    for (int i = 0; i < 3; i++)
        list[i] = stk_http_get(b.loop, addresses[i], NULL);
    struct stk_deferred *all = stk_deferred_all(b.loop, list, 3);
    stk_deferred_both(all, keep_result, &result);
    stk_deferred_unref(all);
    CU_ASSERT_TRUE(bench_until(&b, &result.done));
    CU_ASSERT_EQUAL_FATAL(result.code, 0);
    void **values = (void **)result.response;
    for (int i = 0; i < 3; i++) {
        struct stk_http_response *response = values[i];

        CU_ASSERT_EQUAL(response->body_len, (size_t)i + 2);
    }
    result.destroy(values);
    bench_end(&b);
}

/* --- Streams
 * --------------------------------------------------------------------------------------------------
 */

enum { STREAM_BYTES = 2 * 1000 * 1000 };

struct upload {
    size_t sent, received;
    bool wrong, done;
    struct stk_error error;
    unsigned holds;
};

static uint8_t pattern(size_t at) { return (uint8_t)(at * 7 + at / 251); }

static void upload_more(struct stk_http_call *call)
{
    struct upload *u = stk_http_call_user(call);
    uint8_t piece[7000];

    while (u->sent < STREAM_BYTES) {
        size_t len = STREAM_BYTES - u->sent;

        if (len > sizeof piece)
            len = sizeof piece;
        for (size_t i = 0; i < len; i++)
            piece[i] = pattern(u->sent + i);
        const long taken = stk_http_call_write(call, piece, len);
        if (taken < 0)
            return;
        u->sent += (size_t)taken;
        if ((size_t)taken < len)
            return;
    }
    stk_http_call_finish(call);
}

/* Takes a part only, again and again. */
static size_t upload_body(struct stk_http_call *call, const uint8_t *data, size_t len)
{
    struct upload *u = stk_http_call_user(call);
    const size_t take = len > 30000 ? 30000 : len;

    for (size_t i = 0; i < take; i++)
        u->wrong = u->wrong || data[i] != pattern(u->received + i);
    u->received += take;
    return take;
}

static void upload_end(struct stk_http_call *call)
{
    struct upload *u = stk_http_call_user(call);

    u->done = true;
}

static void upload_failed(struct stk_http_call *call, const struct stk_error *error)
{
    struct upload *u = stk_http_call_user(call);

    u->done = true;
    u->error = *error;
}

static const struct stk_http_response_handler upload_handler = {
    .body = upload_body,
    .writable = upload_more,
    .end = upload_end,
    .failed = upload_failed,
};

static void bodies_stream_both_ways_at_once(void)
{
    const int64_t lengths[] = {STREAM_BYTES, STK_HTTP_CHUNKED};

    for (int i = 0; i < 4; i++) {
        const struct stk_http_request request = {
            .method = "POST", .length = lengths[i % 2], .expect_continue = i >= 2};
        struct bench b;
        struct site site = {0};
        struct upload u = {0};
        struct stk_http_client *client;
        struct stk_http_call *call;

        bench_begin(&b, &echo_handler, &site, NULL);
        stk_http_client_new(b.loop, "/memory/web/http/echo", NULL, &client, NULL);
        CU_ASSERT_EQUAL(stk_http_client_send(client, &request, &upload_handler, &u, &call, NULL),
                        0);
        while (!u.done && stk_loop_turn(b.loop, 1000000) > 0)
            if (!u.done)
                stk_http_call_again(call); /* goes on with what upload_body() left */
        CU_ASSERT_TRUE(u.done);
        CU_ASSERT_EQUAL(u.error.code, 0);
        CU_ASSERT_EQUAL(u.received, STREAM_BYTES);
        CU_ASSERT_FALSE(u.wrong);
        stk_http_client_close(client);
        bench_end(&b);
    }
}

/* --- One connection, many requests
 * ------------------------------------------------------------------------------ */

struct order {
    char text[256];
    unsigned left;
    bool done;
};

static size_t order_body(struct stk_http_call *call, const uint8_t *data, size_t len)
{
    struct order *order = stk_http_call_user(call);

    strncat(order->text, (const char *)data, len);
    return len;
}

static void order_end(struct stk_http_call *call)
{
    struct order *order = stk_http_call_user(call);

    order->done = --order->left == 0;
}

static void order_failed(struct stk_http_call *call, const struct stk_error *error)
{
    struct order *order = stk_http_call_user(call);
    char text[16];

    snprintf(text, sizeof text, "!%d", error->code);
    strcat(order->text, text);
    order->done = --order->left == 0;
}

static const struct stk_http_response_handler order_handler = {
    .body = order_body,
    .end = order_end,
    .failed = order_failed,
};

static void requests_reuse_one_connection_in_order(void)
{
    for (unsigned pipeline = 1; pipeline <= 4; pipeline += 3) {
        const struct stk_http_client_options options = {.pipeline = pipeline};
        struct bench b;
        struct site site = {0};
        struct order order = {.left = 9};
        struct stk_http_client *client;
        char target[] = "/0";

        bench_begin(&b, &echo_handler, &site, NULL);
        stk_http_client_new(b.loop, "/memory/web", &options, &client, NULL);
        for (int i = 0; i < 9; i++) {
            target[1] = (char)('1' + i);
            const struct stk_http_request request = {.method = i == 4 ? "DELETE" : NULL,
                                                     .target = target};
            CU_ASSERT_EQUAL(
                stk_http_client_send(client, &request, &order_handler, &order, NULL, NULL), 0);
        }
        CU_ASSERT_TRUE(bench_until(&b, &order.done));
        CU_ASSERT_STRING_EQUAL(order.text, "/1/2/3/4/5/6/7/8/9");
        CU_ASSERT_TRUE(stk_http_client_is_usable(client));
        stk_http_client_close(client);
        bench_end(&b);
    }
}

static void the_queue_is_bounded_and_cancelling_spares_the_others(void)
{
    const struct stk_http_client_options options = {.queue = 3};
    const struct stk_http_request one = {.target = "/1"}, two = {.target = "/2"},
                                  bad = {.target = "/a b"};
    struct bench b;
    struct site site = {0};
    struct order order = {.left = 3};
    struct stk_http_client *client;
    struct stk_http_call *call;

    bench_begin(&b, &echo_handler, &site, NULL);
    stk_http_client_new(b.loop, "/memory/web", &options, &client, NULL);
    CU_ASSERT_EQUAL(stk_http_client_send(client, &bad, &order_handler, &order, NULL, NULL),
                    -EINVAL);
    stk_http_client_send(client, &one, &order_handler, &order, NULL, NULL);
    stk_http_client_send(client, &one, &order_handler, &order, &call, NULL);
    stk_http_client_send(client, &two, &order_handler, &order, NULL, NULL);
    CU_ASSERT_EQUAL(stk_http_client_send(client, &one, &order_handler, &order, NULL, NULL),
                    -ENOBUFS);
    stk_http_call_cancel(call);
    CU_ASSERT_TRUE(bench_until(&b, &order.done));
    CU_ASSERT_PTR_NOT_NULL(strstr(order.text, "/1"));
    CU_ASSERT_PTR_NOT_NULL(strstr(order.text, "/2"));
    CU_ASSERT_EQUAL(site.requests, 2);
    stk_http_client_close(client);
    bench_end(&b);
}

static void closing_the_client_fails_what_is_open(void)
{
    struct script script = {.answer = ""};
    const struct stk_http_request one = {.target = "/1"};
    struct order order = {.left = 2};
    struct stk_http_client *client;
    struct stk_listener *listener;
    struct bench b = {0};

    stk_loop_new(NULL, &b.loop);
    stk_listen(b.loop, "/memory/script", &script_protocol, &script, &listener, NULL);
    stk_http_client_new(b.loop, "/memory/script", NULL, &client, NULL);
    stk_http_client_send(client, &one, &order_handler, &order, NULL, NULL);
    stk_http_client_send(client, &one, &order_handler, &order, NULL, NULL);
    while (script.len == 0)
        stk_loop_turn(b.loop, 0);
    stk_http_client_close(client);
    CU_ASSERT_EQUAL(order.left, 2);
    CU_ASSERT_TRUE(bench_until(&b, &order.done));
    CU_ASSERT_STRING_EQUAL(order.text, "!-125!-125");
    stk_listener_close(listener);
    bench_end(&b);
}

static void interim_responses_are_not_endless(void)
{
    static const char hint[] = "HTTP/1.1 103 Early Hints\r\n\r\n";
    char answer[150 * sizeof hint] = "";

    for (int i = 0; i < 100; i++)
        strcat(answer, hint);
    strcat(answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    struct result result = get_scripted(answer, false, NULL);
    CU_ASSERT_EQUAL(result.code, 0);
    forget(&result);
    answer[0] = '\0';
    for (int i = 0; i < 140; i++)
        strcat(answer, hint);
    result = get_scripted(answer, false, NULL);
    CU_ASSERT_EQUAL(result.code, STK_ELIMIT);
    forget(&result);
}

static CU_TestInfo tests[] = {
    {"bodies end where their framing says", bodies_end_where_their_framing_says},
    {"truncated and malformed answers are errors", truncated_and_malformed_answers_are_errors},
    {"limits on answers hold", limits_on_answers_hold},
    {"a silent server is given up", a_silent_server_is_given_up},
    {"the request says what it shall", the_request_says_what_it_shall},
    {"a page is fetched from our server", a_page_is_fetched_from_our_server},
    {"redirects are followed as far as asked", redirects_are_followed_as_far_as_asked},
    {"three at once are gathered", three_at_once_are_gathered},
    {"bodies stream both ways at once", bodies_stream_both_ways_at_once},
    {"requests reuse one connection in order", requests_reuse_one_connection_in_order},
    {"the queue is bounded and cancelling spares the others",
     the_queue_is_bounded_and_cancelling_spares_the_others},
    {"closing the client fails what is open", closing_the_client_fails_what_is_open},
    {"interim responses are not endless", interim_responses_are_not_endless},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("http client", tests)
