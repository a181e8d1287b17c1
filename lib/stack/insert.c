#include "conn.h"

#include <assert.h>

/*
 * The splice: a layer of its own between the old stack and the new layers. It holds what was read
 * too far and what was not written yet, then becomes transparent.
 */
struct splice {
    struct stk_layer layer;
    struct stk_fifo unread, unwritten;
    bool write_blocked;
};

static struct splice *splice_of(struct stk_layer *layer) { return (struct splice *)layer; }

static void splice_start(struct stk_layer *layer)
{
    stk_layer_raise(layer, STK_READY | (stk_fifo_len(&splice_of(layer)->unread) > 0 ? STK_RX : 0));
}

static long splice_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct splice *s = splice_of(layer);

    if (stk_fifo_len(&s->unread) == 0)
        return stk_layer_recv_below(layer, iov, count);
    return (long)stk_fifo_get(&s->unread, iov, count);
}

/* 0 when all that was written before is below. */
static long splice_flush(struct stk_layer *layer)
{
    struct splice *s = splice_of(layer);

    while (stk_fifo_len(&s->unwritten) > 0) {
        const struct iovec iov = {(void *)(uintptr_t)stk_fifo_data(&s->unwritten),
                                  stk_fifo_len(&s->unwritten)};
        const long sent = stk_layer_send_below(layer, &iov, 1, 0);

        if (sent <= 0)
            return sent < 0 ? sent : STK_AGAIN;
        stk_fifo_consume(&s->unwritten, (size_t)sent);
    }
    return 0;
}

static long splice_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    const long status = splice_flush(layer);

    return status < 0 ? status : stk_layer_send_below(layer, iov, count, flags);
}

static void splice_on_below(struct stk_layer *layer, unsigned events)
{
    if ((events & STK_TX) && splice_flush(layer) == STK_AGAIN)
        events &= ~(unsigned)STK_TX;
    if (events != 0)
        stk_layer_raise(layer, events);
}

static void splice_destroy(struct stk_layer *layer)
{
    stk_fifo_free(&splice_of(layer)->unread);
    stk_fifo_free(&splice_of(layer)->unwritten);
}

static const struct stk_stream_type splice_type = {
    .size = sizeof(struct splice),
    .start = splice_start,
    .recv = splice_recv,
    .send = splice_send,
    .on_below = splice_on_below,
    .destroy = splice_destroy,
};

static const struct stk_layer_type splice_layer_type = {
    .name = "splice",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .stream = &splice_type,
};

static const struct stk_segment splice_segment = {.type = &splice_layer_type};

/* --- Inserting
 * ------------------------------------------------------------------------------------- */

static int add_own_block(struct stk_conn *conn, const struct stk_segment *segment, void *shared)
{
    struct stk_layer *layer = stk_alloc_zero(blueprint_layer_size(segment->type->stream));

    if (layer == NULL)
        return -ENOMEM;
    layer->own_block = true;
    return conn_add_layer(conn, layer, segment, shared);
}

/* The first `below` bytes that wait go to the splice, the others wait for the new layers. */
static int split_unwritten(struct stk_conn *conn, struct splice *s, size_t below)
{
    const size_t above = stk_fifo_len(&conn->unwritten) - below;
    struct stk_fifo rest;

    stk_fifo_init(&rest, conn->unwritten.limit);
    if (above > 0 &&
        stk_fifo_put(&rest, stk_fifo_data(&conn->unwritten) + below, above) != (long)above)
        return -ENOMEM;
    s->unwritten = conn->unwritten;
    stk_fifo_drop_tail(&s->unwritten, above);
    conn->unwritten = rest;
    return 0;
}

static int add_splice(struct stk_conn *conn, size_t below)
{
    const int status = add_own_block(conn, &splice_segment, NULL);

    if (status < 0)
        return status;
    struct splice *s = splice_of(conn->top);
    s->unread = conn->unused;
    stk_fifo_init(&conn->unused, STK_UNUSED_MAX);
    return split_unwritten(conn, s, below);
}

static int add_fragment(struct stk_conn *conn, const struct insertion *insertion,
                        struct stk_error *error)
{
    struct stk_recipe *fragment = insertion->fragment;
    struct blueprint *b;
    int status = blueprint_new(fragment, conn->listening, &b, error);

    if (status < 0)
        return status;
    struct blueprint **last = &conn->inserted;
    while (*last != NULL)
        last = &(*last)->next;
    *last = b;
    if ((status = add_splice(conn, insertion->below)) < 0)
        return stk_error_set(error, status, "insert", "%s", stk_strerror(status));
    for (int i = 0; i < fragment->count; i++)
        if ((status = add_own_block(conn, &fragment->segments[i], b->shared[i])) < 0)
            return stk_error_set(error, status, fragment->segments[i].type->name, "%s",
                                 conn->error != NULL ? conn->error->text : stk_strerror(status));
    return 0;
}

/* A close that came meanwhile has its own deadline, and what it sends last waits for the layers. */
static bool reopen(struct stk_conn *conn)
{
    if (conn->state == CONN_CLOSING)
        return true;
    if (!deadline_in(conn, conn->open_timeout_ms))
        return false;
    conn_move(conn, CONN_OPENING);
    return true;
}

static int insert_now(struct stk_conn *conn, const struct insertion *insertion,
                      struct stk_error *error)
{
    const size_t unread = stk_fifo_len(&conn->unused);
    struct stk_layer *old_top = conn->top;

    if (unread > 0 && !(insertion->flags & STK_INSERT_UNREAD))
        return stk_error_set(error, -EPROTO, insertion->fragment->segments[0].type->name,
                             "%zu bytes came before the new layer: they can't be trusted", unread);
    const int status = reopen(conn) ? add_fragment(conn, insertion, error)
                                    : stk_error_set(error, -ENOMEM, "insert", "out of memory");
    if (status < 0) {
        stk_conn_fail(conn, status, error->layer, "%s", error->text);
        return status;
    }
    conn->protocol = insertion->protocol;
    conn->user = insertion->user;
    conn->write_blocked = false;
    /* Events of the old top layer go to the splice from now on; what it had told already is told
     * again. */
    stk_layer_raise(old_top, STK_READY | STK_TX | (conn->readable ? STK_RX : 0));
    return 0;
}

void conn_insert_pending(struct stk_conn *conn)
{
    struct insertion *insertion = conn->insertion;
    struct stk_error error = {0};

    conn->insertion = NULL;
    if (conn_is_live(conn) && insert_now(conn, insertion, &error) < 0)
        stk_conn_fail(conn, error.code, error.layer, "%s", error.text);
    stk_recipe_unref(insertion->fragment);
    stk_free(insertion);
}

static int keep_for_later(struct stk_conn *conn, const struct insertion *insertion,
                          struct stk_error *error)
{
    conn->insertion = stk_alloc(sizeof *conn->insertion);
    if (conn->insertion == NULL) {
        stk_recipe_unref(insertion->fragment);
        return stk_error_set(error, -ENOMEM, "insert", "out of memory");
    }
    *conn->insertion = *insertion;
    return 0;
}

int stk_conn_insert(struct stk_conn *conn, const char *fragment, unsigned flags,
                    const struct stk_protocol *protocol, void *user, struct stk_error *error)
{
    struct stk_error ignored;
    struct insertion insertion = {.protocol = protocol,
                                  .user = user,
                                  .flags = flags,
                                  .below = stk_fifo_len(&conn->unwritten)};

    if (error == NULL)
        error = &ignored;
    if (conn->state != CONN_OPEN || conn->finish_wanted || conn->peer_finished ||
        conn->insertion != NULL)
        return stk_error_set(error, -EPROTO, "insert",
                             "the connection is not open in both directions");
    int status = stk_recipe_parse_fragment(fragment, &insertion.fragment, error);
    if (status < 0)
        return status;
    if (conn->in_received)
        return keep_for_later(conn, &insertion, error);
    status = insert_now(conn, &insertion, error);
    stk_recipe_unref(insertion.fragment);
    return status;
}
