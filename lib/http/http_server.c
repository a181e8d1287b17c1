#include "http_server.h"

#include <assert.h>

enum {
    BODY_BYTES_DEFAULT = 16 * 1024 * 1024,
    CONNECTIONS_DEFAULT = 1000,
    REQUESTS_DEFAULT = 1000,
    RATE_DEFAULT = 256,
    HEADER_TIMEOUT_US = 10 * 1000 * 1000,
    IDLE_TIMEOUT_US = 60 * 1000 * 1000,
    STALL_TIMEOUT_US = 60 * 1000 * 1000,
    TICK_US = 5 * 1000 * 1000,
    DROPPED_BYTES_MAX = 256 * 1024, /* of a request that is answered already; then it is cut off */
};

static const struct stk_protocol server_protocol;

/* --- Time
 * ----------------------------------------------------------------------------------------- */

static uint64_t tick_us(const struct http_server_conn *sc)
{
    const uint64_t stall_us = sc->server->options.stall_timeout_us;

    return stall_us < TICK_US ? stall_us : TICK_US;
}

static void arm(struct http_server_conn *sc, uint64_t delay_us)
{
    stk_timer_in(&sc->timer, delay_us);
}

static struct http_pace_rule pace_rule(const struct http_server_conn *sc)
{
    const struct stk_http_server_options *o = &sc->server->options;

    return (struct http_pace_rule){.timeout_us = o->stall_timeout_us, .rate = o->min_rate};
}

/* A slow sender pays for it only while its bytes are wanted. */
static bool sends_too_slowly(struct http_server_conn *sc)
{
    const struct stk_http_exchange *x = &sc->exchange;
    const struct http_pace_rule rule = pace_rule(sc);

    if (x->request != HTTP_REQUEST_BODY || x->held) {
        sc->sending = (struct http_pace){0};
        return false;
    }
    return http_pace_is_lost(&sc->sending, &rule, sc->read_bytes, UINT64_MAX, tick_us(sc));
}

static bool takes_too_slowly(struct http_server_conn *sc)
{
    const uint64_t delivered = http_out_delivered(&sc->out);
    const struct http_pace_rule rule = pace_rule(sc);

    return http_pace_is_lost(&sc->taking, &rule, delivered, sc->out.total_bytes - delivered,
                             tick_us(sc));
}

/* Who is answered already is not told of it, but no longer waited for either. */
static void end_slow_body(struct http_server_conn *sc)
{
    if (sc->exchange.response != HTTP_RESPONSE_DONE) {
        http_refuse(sc, 408, "the request's body comes too slowly");
        return;
    }
    sc->exchange.last = true;
    http_server_settle_soon(sc);
    arm(sc, tick_us(sc));
}

/* What is written already goes out still, and the clock goes on for whoever takes it. */
static void close_conn(struct http_server_conn *sc)
{
    sc->ending = true;
    arm(sc, tick_us(sc));
    stk_conn_close(sc->conn);
}

static void timer_fired(struct stk_timer *timer)
{
    struct http_server_conn *sc = STK_CONTAINER(timer, struct http_server_conn, timer);

    if (http_has_exchange(sc) || sc->ending) {
        /* While nothing is read the loss of a connection shows here only. */
        if (stk_conn_error(sc->conn) != NULL)
            http_break(sc, -ECONNRESET, "the connection is lost");
        else if (takes_too_slowly(sc))
            http_break(sc, -ETIMEDOUT, "the client takes the response too slowly");
        else if (!sc->ending && sends_too_slowly(sc))
            end_slow_body(sc);
        else
            arm(sc, tick_us(sc));
    } else if (http_reader_is_idle(&sc->reader)) {
        close_conn(sc);
    } else {
        http_refuse(sc, 408, "the request's head comes too slowly");
    }
}

/* --- The end of an exchange
 * ------------------------------------------------------------------------- */

void http_server_settle_soon(struct http_server_conn *sc) { stk_task_queue(&sc->task); }

static void end_exchange(struct http_server_conn *sc, bool complete)
{
    const struct stk_http_handler *handler = sc->server->handler;

    if (!http_has_exchange(sc))
        return;
    if (handler->gone != NULL)
        handler->gone(&sc->exchange, complete);
    sc->exchange =
        (struct stk_http_exchange){.broken = sc->exchange.broken, .last = sc->exchange.last};
}

static void next_request(struct http_server_conn *sc)
{
    http_reader_restart(&sc->reader);
    sc->reader.limits.body_bytes = sc->server->options.limits.body_bytes;
    arm(sc, sc->server->options.idle_timeout_us);
    stk_conn_resume(sc->conn);
    stk_conn_again(sc->conn);
}

/* The response is done: the request's rest is dropped, within bounds, or the connection ends. */
static bool waits_for_rest(struct http_server_conn *sc)
{
    struct stk_http_exchange *x = &sc->exchange;

    if (x->request == HTTP_REQUEST_ENDED || x->last || x->dropped_bytes > DROPPED_BYTES_MAX)
        return false;
    if (sc->reader.head.content_length > DROPPED_BYTES_MAX && sc->reader.left > DROPPED_BYTES_MAX)
        return false;
    x->held = false;
    stk_conn_resume(sc->conn);
    return true;
}

static void settle(struct stk_task *task)
{
    struct http_server_conn *sc = STK_CONTAINER(task, struct http_server_conn, task);
    struct stk_http_exchange *x = &sc->exchange;
    const bool refused = x->broken && sc->ending;

    if (stk_conn_error(sc->conn) != NULL)
        return; /* closed() cleans up */
    if (!refused && (!http_has_exchange(sc) || x->response != HTTP_RESPONSE_DONE))
        return;
    /* A response that still waits here keeps the next request from being read. */
    if (!http_out_flush(&sc->out)) {
        if (refused)
            arm(sc, tick_us(sc)); /* it may wait for a client that takes nothing */
        return;
    }
    if (!refused && waits_for_rest(sc))
        return;

    const bool complete = x->request == HTTP_REQUEST_ENDED;
    end_exchange(sc, !refused);
    if (refused || x->last || !complete) {
        stk_conn_resume(sc->conn);
        close_conn(sc);
    } else {
        next_request(sc);
    }
}

/* --- Reading
 * ------------------------------------------------------------------------------------------ */

static void begin_exchange(struct http_server_conn *sc, bool body_waits)
{
    struct stk_http_exchange *x = &sc->exchange;
    const struct stk_http_head *head = &sc->reader.head;

    *x = (struct stk_http_exchange){.request = HTTP_REQUEST_BODY};
    x->continued = !head->expect_continue || sc->reader.state == HTTP_READ_COMPLETE || body_waits;
    sc->requests++;
    sc->sending = (struct http_pace){0};
    arm(sc, tick_us(sc));
    sc->server->handler->head(x, head);
    if (!x->continued && !x->broken && x->response == HTTP_RESPONSE_NONE &&
        sc->reader.left <= sc->reader.limits.body_bytes)
        http_send_continue(sc);
}

static size_t give_body(struct http_server_conn *sc, const uint8_t *data, size_t len)
{
    struct stk_http_exchange *x = &sc->exchange;
    size_t taken = len;

    sc->read_bytes += len;
    if (x->response == HTTP_RESPONSE_DONE) {
        x->dropped_bytes += len;
        http_server_settle_soon(sc);
    } else if (sc->server->handler->body != NULL) {
        taken = sc->server->handler->body(x, data, len);
        assert(taken <= len);
        /* Bytes that come back later are not counted twice. */
        sc->read_bytes -= len - taken;
    }
    http_reader_took(&sc->reader, data, taken);
    if (taken < len && !x->broken) {
        x->held = true;
        stk_conn_pause(sc->conn);
    }
    return taken;
}

static void end_request(struct http_server_conn *sc)
{
    sc->exchange.request = HTTP_REQUEST_ENDED;
    /* What follows is the next request: it waits until this one is answered. */
    stk_conn_pause(sc->conn);
    if (sc->server->handler->end != NULL)
        sc->server->handler->end(&sc->exchange);
    http_server_settle_soon(sc);
}

static bool may_read(const struct http_server_conn *sc)
{
    return !sc->ending && !sc->exchange.held && sc->exchange.request != HTTP_REQUEST_ENDED;
}

/* Handles one event; returns how many bytes it used. */
static size_t read_event(struct http_server_conn *sc, const uint8_t *data, size_t len, bool *more)
{
    size_t used, body_len;

    switch (http_reader_next(&sc->reader, data, len, &used, &body_len)) {
    case HTTP_EVENT_MORE:
        *more = false;
        break;
    case HTTP_EVENT_HEAD:
        begin_exchange(sc, used < len);
        break;
    case HTTP_EVENT_BODY:
        used += give_body(sc, data + used, body_len);
        break;
    case HTTP_EVENT_END:
        end_request(sc);
        break;
    case HTTP_EVENT_ERROR:
        http_refuse(sc, sc->reader.status, sc->reader.problem);
        break;
    }
    return used;
}

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct http_server_conn *sc = stk_conn_user(conn);
    const bool was_idle = http_reader_is_idle(&sc->reader);
    bool more = true;
    size_t used = 0;

    while (more && may_read(sc))
        used += read_event(sc, data + used, len - used, &more);
    if (sc->ending)
        return len;
    if (was_idle && sc->requests > 0 && !http_has_exchange(sc) && !http_reader_is_idle(&sc->reader))
        arm(sc, sc->server->options.header_timeout_us);
    return used;
}

/* The client sends no more: what it asked for is answered still. */
static void finished(struct stk_conn *conn)
{
    struct http_server_conn *sc = stk_conn_user(conn);

    if (http_reader_eof(&sc->reader) == HTTP_EVENT_ERROR && http_has_exchange(sc)) {
        http_break(sc, STK_ETRUNCATED, "the request is cut off");
    } else if (http_has_exchange(sc)) {
        sc->exchange.last = true;
    } else {
        close_conn(sc);
    }
}

/* --- Writing
 * --------------------------------------------------------------------------------------------- */

static void writable(struct stk_conn *conn)
{
    struct http_server_conn *sc = stk_conn_user(conn);
    struct stk_http_exchange *x = &sc->exchange;

    if (!http_out_flush(&sc->out))
        return;
    if (x->response == HTTP_RESPONSE_BODY && x->wants_room && !x->broken) {
        x->wants_room = false;
        if (sc->server->handler->writable != NULL)
            sc->server->handler->writable(x);
    } else {
        http_server_settle_soon(sc);
    }
}

/* --- Connections
 * ----------------------------------------------------------------------------------------- */

static void forget_server(struct stk_http_server *server)
{
    if (server->closing && stk_list_empty(&server->connections))
        stk_free(server);
}

static int attach(struct stk_http_server *server, struct stk_conn *conn)
{
    struct http_server_conn *sc = stk_alloc_zero(sizeof *sc);

    if (sc == NULL)
        return -ENOMEM;
    sc->server = server;
    sc->conn = conn;
    http_reader_init(&sc->reader, false, &server->options.limits);
    http_out_init(&sc->out, conn);
    stk_timer_init(&sc->timer, server->loop, timer_fired);
    stk_task_init(&sc->task, server->loop, settle);
    stk_list_append(&server->connections, &sc->node);
    server->connection_count++;
    stk_conn_set_user(conn, sc);
    return 0;
}

static int accepted(struct stk_conn *conn)
{
    struct stk_http_server *server = stk_conn_user(conn);
    const int status =
        server->connection_count < server->options.connections ? attach(server, conn) : STK_ELIMIT;

    /* closed() must tell this connection from one that has its state. */
    if (status < 0)
        stk_conn_set_user(conn, NULL);
    return status;
}

static void opened(struct stk_conn *conn)
{
    struct http_server_conn *sc = stk_conn_user(conn);

    arm(sc, sc->server->options.header_timeout_us);
}

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct http_server_conn *sc = stk_conn_user(conn);

    if (sc == NULL)
        return;
    if (error != NULL)
        stk_log(STK_LOG_DEBUG, "http", "connection lost: %s: %s", error->layer, error->text);
    sc->exchange.broken = true;
    end_exchange(sc, false);
    stk_timer_stop(&sc->timer);
    stk_task_stop(&sc->task);
    stk_list_remove(&sc->node);
    sc->server->connection_count--;
    http_reader_free(&sc->reader);
    http_out_free(&sc->out);
    forget_server(sc->server);
    stk_free(sc);
}

static const struct stk_protocol server_protocol = {
    .accepted = accepted,
    .opened = opened,
    .received = received,
    .finished = finished,
    .writable = writable,
    .closed = closed,
};

/* --- The server
 * ------------------------------------------------------------------------------------------- */

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

static void fill_in_defaults(struct stk_http_server_options *o)
{
    DEFAULT(o->limits.body_bytes, BODY_BYTES_DEFAULT);
    DEFAULT(o->connections, CONNECTIONS_DEFAULT);
    DEFAULT(o->requests_per_connection, REQUESTS_DEFAULT);
    DEFAULT(o->header_timeout_us, HEADER_TIMEOUT_US);
    DEFAULT(o->idle_timeout_us, IDLE_TIMEOUT_US);
    DEFAULT(o->stall_timeout_us, STALL_TIMEOUT_US);
    DEFAULT(o->min_rate, RATE_DEFAULT);
}

int stk_http_server_new(struct stk_loop *loop, const struct stk_http_handler *handler, void *user,
                        const struct stk_http_server_options *options, struct stk_http_server **out)
{
    struct stk_http_server *server = stk_alloc_zero(sizeof *server);

    if (server == NULL)
        return -ENOMEM;
    server->loop = loop;
    server->handler = handler;
    server->user = user;
    if (options != NULL)
        server->options = *options;
    fill_in_defaults(&server->options);
    stk_list_init(&server->connections);
    *out = server;
    return 0;
}

/* The layers below a trailing "/http", which is only a name. */
static int parse_address(const char *address, struct stk_recipe **out, struct stk_error *error)
{
    struct stk_recipe *whole;
    int status = stk_recipe_parse(address, &whole, error);

    if (status < 0)
        return status;
    if (whole->segments[whole->count - 1].type != &stk_layer_http) {
        *out = whole;
        return 0;
    }
    status = stk_recipe_prefix(whole, whole->count - 1, out);
    stk_recipe_unref(whole);
    return status;
}

int stk_http_serve(struct stk_loop *loop, const char *address,
                   const struct stk_http_handler *handler, void *user,
                   const struct stk_http_server_options *options, struct stk_http_server **out,
                   struct stk_error *error)
{
    struct stk_http_server *server;
    struct stk_recipe *recipe;
    int status;

    if ((status = parse_address(address, &recipe, error)) < 0)
        return status;
    if ((status = stk_http_server_new(loop, handler, user, options, &server)) < 0) {
        stk_recipe_unref(recipe);
        return stk_error_set(error, status, "http", "out of memory");
    }
    status = stk_listen_recipe(loop, recipe, &server_protocol, server, &server->listener, error);
    stk_recipe_unref(recipe);
    if (status < 0) {
        stk_free(server);
        return status;
    }
    *out = server;
    return 0;
}

int stk_http_server_adopt(struct stk_http_server *server, struct stk_conn *conn)
{
    const int status = attach(server, conn);

    if (status < 0)
        return status;
    stk_conn_set_protocol(conn, &server_protocol, stk_conn_user(conn));
    if (stk_conn_is_open(conn))
        opened(conn);
    return 0;
}

int stk_http_server_addr(struct stk_http_server *server, struct stk_addr *addr)
{
    return server->listener != NULL ? stk_listener_addr(server->listener, addr) : -ENOTCONN;
}

void *stk_http_server_user(const struct stk_http_server *server) { return server->user; }

void stk_http_server_close(struct stk_http_server *server)
{
    if (server->listener != NULL)
        stk_listener_close(server->listener);
    server->listener = NULL;
    server->closing = true;
    STK_LIST_EACH(node, &server->connections)
    {
        struct http_server_conn *sc = STK_CONTAINER(node, struct http_server_conn, node);

        if (http_has_exchange(sc)) {
            sc->exchange.last = true;
        } else {
            close_conn(sc);
        }
    }
    forget_server(server);
}

void stk_http_server_abort(struct stk_http_server *server)
{
    STK_LIST_EACH(node, &server->connections)
    {
        stk_conn_abort(STK_CONTAINER(node, struct http_server_conn, node)->conn);
    }
    stk_http_server_close(server);
}
