/* For tests of HTTP: a loop, a server on "/memory/web", and a raw client that talks bytes to it. */
#ifndef STK_TESTS_HTTP_BENCH_H
#define STK_TESTS_HTTP_BENCH_H

#include "http.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define GET(path)       "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

enum { BENCH_TURNS_MAX = 200000 };

struct bench {
    struct stk_loop *loop;
    struct stk_http_server *server;
};

/* On `b->loop`. */
static inline void bench_serve(struct bench *b, const struct stk_http_handler *handler, void *user,
                               const struct stk_http_server_options *options)
{
    struct stk_error error = {0};

    if (stk_http_serve(b->loop, "/memory/web/http", handler, user, options, &b->server, &error) <
        0) {
        fprintf(stderr, "no server: %s\n", error.text);
        abort();
    }
}

static inline void bench_begin(struct bench *b, const struct stk_http_handler *handler, void *user,
                               const struct stk_http_server_options *options)
{
    *b = (struct bench){0};
    if (stk_loop_new(NULL, &b->loop) < 0)
        abort();
    bench_serve(b, handler, user, options);
}

static inline void bench_end(struct bench *b)
{
    if (b->server != NULL)
        stk_http_server_abort(b->server);
    for (int i = 0; i < 100; i++)
        stk_loop_turn(b->loop, 0);
    stk_loop_free(b->loop);
}

/* Turns until `*flag`; false if nothing more happens within ten seconds. */
static inline bool bench_until(struct bench *b, const bool *flag)
{
    for (int i = 0; i < BENCH_TURNS_MAX && !*flag; i++)
        if (stk_loop_turn(b->loop, 10 * 1000 * 1000) <= 0)
            break;
    return *flag;
}

/* --- The raw client ------------------------------------------------------------------------------
 */

struct raw {
    struct stk_conn *conn;
    char *got; /* NUL-terminated */
    size_t len, capacity;
    const char *awaited; /* `found` is set when it stands at the end of, or within, `got` */
    bool found, finished, closed;
};

static inline size_t raw_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct raw *raw = stk_conn_user(conn);

    while (raw->len + len + 1 > raw->capacity) {
        raw->capacity = raw->capacity ? 2 * raw->capacity : 4096;
        raw->got = realloc(raw->got, raw->capacity);
        assert(raw->got != NULL);
    }
    memcpy(raw->got + raw->len, data, len);
    raw->got[raw->len += len] = '\0';
    if (raw->awaited != NULL && strstr(raw->got, raw->awaited) != NULL)
        raw->found = true;
    return len;
}

static inline void raw_finished(struct stk_conn *conn)
{
    struct raw *raw = stk_conn_user(conn);

    raw->finished = true;
    stk_conn_close(conn);
}

static inline void raw_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct raw *raw = stk_conn_user(conn);

    (void)error;
    raw->closed = true;
    raw->conn = NULL;
}

static const struct stk_protocol raw_protocol = {
    .received = raw_received,
    .finished = raw_finished,
    .closed = raw_closed,
};

static inline void raw_open(struct bench *b, struct raw *raw, const char *address)
{
    *raw = (struct raw){.got = calloc(1, 1), .capacity = 1};
    if (stk_connect(b->loop, address, &raw_protocol, raw, &raw->conn, NULL) < 0)
        abort();
}

static inline void raw_say(struct raw *raw, const char *text)
{
    if (stk_conn_write(raw->conn, text, strlen(text)) != (long)strlen(text))
        abort();
}

static inline bool raw_await(struct bench *b, struct raw *raw, const char *text)
{
    raw->awaited = text;
    raw->found = strstr(raw->got, text) != NULL;
    return bench_until(b, &raw->found);
}

static inline void raw_close(struct bench *b, struct raw *raw)
{
    if (raw->conn != NULL)
        stk_conn_abort(raw->conn);
    bench_until(b, &raw->closed);
    free(raw->got);
}

/* Says all of it on a fresh connection and waits for the other side's end. Caller frees. */
static inline char *raw_talk(struct bench *b, const char *text)
{
    struct raw raw;

    raw_open(b, &raw, "/memory/web");
    raw_say(&raw, text);
    bench_until(b, &raw.closed);
    assert(raw.closed);
    return raw.got;
}

#endif
