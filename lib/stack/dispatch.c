#include "conn.h"

#include "fetch.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { PASSES_MAX = 8 }; /* up and down the stack before others get their turn */

/* --- Calls that go down: slots left out pass through
 * ---------------------------------------------- */

long layer_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    while (layer->type->recv == NULL)
        layer = layer->below;
    return layer->type->recv(layer, iov, count);
}

long layer_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    while (layer->type->send == NULL)
        layer = layer->below;
    return layer->type->send(layer, iov, count, flags);
}

void layer_abort(struct stk_layer *layer)
{
    while (layer != NULL && layer->type->abort == NULL)
        layer = layer->below;
    if (layer != NULL)
        layer->type->abort(layer);
}

int layer_query(struct stk_layer *layer, int key, void *out, size_t len)
{
    for (; layer != NULL; layer = layer->below) {
        const int status =
            layer->type->query != NULL ? layer->type->query(layer, key, out, len) : -ENOENT;

        if (status != -ENOENT)
            return status;
    }
    return -ENOENT;
}

long stk_layer_recv_below(struct stk_layer *layer, const struct iovec *iov, int count)
{
    return layer_recv(layer->below, iov, count);
}

long stk_layer_send_below(struct stk_layer *layer, const struct iovec *iov, int count,
                          unsigned flags)
{
    return layer_send(layer->below, iov, count, flags);
}

/* A layer that has its own recv changes the bytes: peeking can't look through it. */
static struct stk_layer *peekable(struct stk_layer *layer)
{
    while (layer != NULL && layer->type->peek == NULL && layer->type->recv == NULL)
        layer = layer->below;
    return layer != NULL && layer->type->peek != NULL ? layer : NULL;
}

int stk_layer_peek_below(struct stk_layer *layer, struct iovec *slices, int count)
{
    struct stk_layer *source = peekable(layer->below);

    return source != NULL ? source->type->peek(source, slices, count) : -ENOTSUP;
}

void stk_layer_consume_below(struct stk_layer *layer, size_t len)
{
    struct stk_layer *source = peekable(layer->below);

    assert(source != NULL);
    source->type->consume(source, len);
}

void stk_layer_abort_below(struct stk_layer *layer) { layer_abort(layer->below); }

/* --- A layer's surroundings
 * -------------------------------------------------------------------------- */

struct stk_loop *stk_layer_loop(const struct stk_layer *layer) { return conn_loop(layer->conn); }
bool stk_layer_is_listening(const struct stk_layer *layer) { return layer->conn->listening; }

const struct stk_recipe *stk_layer_recipe(const struct stk_layer *layer)
{
    return layer->conn->blueprint->recipe;
}

int stk_layer_error(const struct stk_layer *layer) { return conn_error_code(layer->conn); }

void stk_layer_set_timer(struct stk_layer *layer, uint64_t due_us)
{
    assert(layer->timer != NULL || due_us == 0);
    if (due_us != 0)
        stk_timer_at(layer->timer, due_us);
    else if (layer->timer != NULL)
        stk_timer_stop(layer->timer);
}

void stk_layer_fetch(const struct stk_layer *layer)
{
    stk_fetch(layer->conn, sizeof(*layer->conn));
}

void stk_layer_raise(struct stk_layer *layer, unsigned events)
{
    if (!conn_is_live(layer->conn))
        return;
    if (events & STK_READY)
        layer->ready = true;
    layer->raised |= events;
    conn_schedule(layer->conn);
}

int stk_layer_set_error(struct stk_layer *layer, int code, const char *format, ...)
{
    char text[STK_ERROR_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    conn_set_error(layer->conn, code, layer->segment->type->name, text);
    return code;
}

int stk_layer_fail(struct stk_layer *layer, int code, const char *format, ...)
{
    char text[STK_ERROR_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    conn_set_error(layer->conn, code, layer->segment->type->name, text);
    stk_layer_raise(layer, STK_ERROR | STK_RX);
    return code;
}

/* --- Knowledge goes up
 * --------------------------------------------------------------------------------- */

static void deliver_to_layer(struct stk_layer *layer, unsigned events)
{
    if (events & STK_READY) {
        if (layer->type->start != NULL)
            layer->type->start(layer);
        else
            stk_layer_raise(layer, STK_READY);
    }
    events &= ~(unsigned)STK_READY;
    if (events == 0)
        return;
    if (layer->type->on_below != NULL)
        layer->type->on_below(layer, events);
    else
        stk_layer_raise(layer, events);
}

static void deliver_to_protocol(struct stk_conn *conn, unsigned events)
{
    if (events & STK_READY)
        conn_became_ready(conn);
    /* A close may have come before READY: then this is not the state OPENING any more. */
    if (conn->state == CONN_OPENING || !conn->top->ready) {
        if (events & STK_ERROR) /* nothing can be read before it: the stack will never open */
            conn_break(conn);
        return;
    }
    if (events & STK_ERROR)
        conn->failing = true;
    if (conn->failing && conn->peer_finished) {
        conn_break(conn);
        return;
    }
    if (events & (STK_RX | STK_RX_EOF | STK_ERROR))
        conn->readable = !conn->peer_finished;
    if (events & STK_TX)
        conn->write_blocked = false;
    if (events & STK_TX_DONE)
        conn->delivered = true;
}

static bool pass_events_up(struct stk_conn *conn)
{
    bool any = false;

    for (struct stk_layer *layer = conn->bottom; layer != NULL && conn_is_live(conn);
         layer = layer->above) {
        const unsigned events = layer->raised;

        if (events == 0)
            continue;
        any = true;
        layer->raised = 0;
        if (layer->above != NULL)
            deliver_to_layer(layer->above, events);
        else
            deliver_to_protocol(conn, events);
    }
    return any;
}

static void serve_protocol(struct stk_conn *conn)
{
    if (conn->state != CONN_OPEN && conn->state != CONN_CLOSING)
        return;
    conn_flush(conn);
    conn_tell_writable(conn);
    if (conn_is_live(conn) && conn->delivered && !conn->delivered_told) {
        conn->delivered_told = true;
        if (conn->protocol->delivered != NULL)
            conn->protocol->delivered(conn);
    }
    if (conn_is_live(conn))
        conn_read(conn);
    conn_check_finished(conn);
}

static void finish_life(struct stk_conn *conn)
{
    conn_move(conn, CONN_CLOSED);
    if (conn->protocol->closed != NULL)
        conn->protocol->closed(conn, stk_conn_error(conn));
    conn_free(conn);
}

void conn_turn(struct stk_task *task)
{
    struct stk_conn *conn = STK_CONTAINER(task, struct stk_conn, task);

    if (!conn->started && conn_is_live(conn)) {
        conn->started = true;
        conn->bottom->type->start(conn->bottom);
    }
    for (int pass = 0; pass < PASSES_MAX && conn_is_live(conn); pass++) {
        const bool any = pass_events_up(conn);

        serve_protocol(conn);
        if (!any)
            break;
    }
    if (conn->state == CONN_ENDING)
        finish_life(conn);
}

void conn_schedule(struct stk_conn *conn) { stk_task_queue(&conn->task); }
