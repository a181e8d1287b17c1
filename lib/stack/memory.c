/*
 * The memory transport: two connections of one loop joined by two bounded queues. For tests, and
 * for programs that talk to themselves. "/memory/NAME" listens and connects by name.
 *
 * Half-close: each direction ends by itself. Abort: the other side sees -ECONNRESET. TX_DONE: the
 * peer's queue holds everything and its end.
 */
#include "clip.h"
#include "iov.h"
#include "layer.h"
#include "transports.h"

#include <assert.h>
#include <string.h>

enum { QUOTA_DEFAULT = 64 * 1024 };

struct memory {
    struct stk_layer layer;
    struct memory *peer;      /* NULL before connecting and after it is gone */
    struct stk_fifo incoming; /* what the peer sent and we did not read */
    uint64_t chunk;           /* bytes that one call moves at most */
    bool peer_finished, finished;
    bool peer_waits; /* its send came back short: it is owed TX */
    int failure;
};

struct memory_listener {
    struct stk_node node;
    struct stk_listener *listener;
    char name[64];
};

static const char names_key;

static struct memory *memory_of(struct stk_layer *layer) { return (struct memory *)layer; }

/* --- Names of one loop
 * --------------------------------------------------------------------------------- */

static struct stk_node *names_of(struct stk_loop *loop)
{
    struct stk_node *names = stk_loop_data(loop, &names_key);

    if (names != NULL)
        return names;
    names = stk_alloc(sizeof *names);
    if (names == NULL)
        return NULL;
    stk_list_init(names);
    if (stk_loop_set_data(loop, &names_key, names, stk_free) < 0) {
        stk_free(names);
        return NULL;
    }
    return names;
}

static struct memory_listener *find(struct stk_loop *loop, const char *name)
{
    struct stk_node *names = names_of(loop);

    if (names == NULL)
        return NULL;
    STK_LIST_EACH(node, names)
    {
        struct memory_listener *l = STK_CONTAINER(node, struct memory_listener, node);

        if (strcmp(l->name, name) == 0)
            return l;
    }
    return NULL;
}

static int memory_listen(struct stk_listener *listener, void *state, struct stk_error *error)
{
    struct memory_listener *l = state;
    const char *name = stk_listener_segment(listener)->value;
    struct stk_node *names = names_of(stk_listener_loop(listener));

    if (names == NULL)
        return stk_error_set(error, -ENOMEM, "memory", "out of memory");
    if (find(stk_listener_loop(listener), name) != NULL)
        return stk_error_set(error, -EADDRINUSE, "memory", "\"%s\" is taken", name);
    l->listener = listener;
    strcpy(l->name, name); /* check_name() bounds it */
    stk_list_append(names, &l->node);
    return 0;
}

static void memory_unlisten(struct stk_listener *listener, void *state)
{
    struct memory_listener *l = state;

    (void)listener;
    stk_list_remove(&l->node);
}

/* --- Joining
 * ------------------------------------------------------------------------------------------- */

static int memory_init(struct stk_layer *layer)
{
    struct memory *m = memory_of(layer);

    stk_fifo_init(&m->incoming, stk_segment_number(layer->segment, "quota", QUOTA_DEFAULT));
    m->chunk = stk_segment_number(layer->segment, "chunk", UINT64_MAX);
    return 0;
}

static int memory_accept(struct stk_layer *layer, void *accepted)
{
    struct memory *m = memory_of(layer), *peer = accepted;

    m->peer = peer;
    peer->peer = m;
    return 0;
}

static void memory_start(struct stk_layer *layer)
{
    struct memory *m = memory_of(layer);

    if (m->peer == NULL && !stk_layer_is_listening(layer)) {
        struct memory_listener *l = find(stk_layer_loop(layer), layer->segment->value);
        const int status = l != NULL ? stk_listener_accept(l->listener, m, NULL) : -ECONNREFUSED;

        if (status < 0) {
            stk_layer_fail(layer, status,
                           l != NULL ? "the listener can't take a connection: %s"
                                     : "nobody listens on \"%s\"",
                           l != NULL ? stk_strerror(status) : layer->segment->value);
            return;
        }
    }
    stk_layer_raise(layer, STK_READY | STK_RX | STK_TX);
}

/* --- Moving bytes
 * --------------------------------------------------------------------------------------- */

static long memory_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct memory *m = memory_of(layer);
    struct iovec clipped[CLIP_MAX];
    int used;

    clip_iov(clipped, iov, count, m->chunk, &used);
    const size_t got = stk_fifo_get(&m->incoming, clipped, used);
    if (got > 0) {
        if (m->peer_waits && m->peer != NULL) {
            m->peer_waits = false;
            stk_layer_raise(&m->peer->layer, STK_TX);
        }
        return (long)got;
    }
    if (m->failure != 0)
        return m->failure;
    return m->peer_finished ? 0 : STK_AGAIN;
}

static void finish(struct memory *m)
{
    if (m->finished)
        return;
    m->finished = true;
    if (m->peer != NULL) {
        m->peer->peer_finished = true;
        stk_layer_raise(&m->peer->layer, STK_RX | STK_RX_EOF);
    }
    stk_layer_raise(&m->layer, STK_TX_DONE);
}

static long memory_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    struct memory *m = memory_of(layer), *peer = m->peer;
    struct iovec clipped[CLIP_MAX];
    size_t want = 0, all = 0;
    long sent = 0;
    int used;

    if (m->failure != 0)
        return m->failure;
    if (m->finished)
        return STK_ESHUTDOWN;
    all = stk_iov_bytes(iov, count);
    if (peer == NULL && all > 0)
        return m->failure = stk_layer_fail(layer, -EPIPE, "the other side is gone");
    want = clip_iov(clipped, iov, count, m->chunk, &used);
    if (want > 0) {
        sent = stk_fifo_putv(&peer->incoming, clipped, used);
        if (sent < 0)
            return m->failure = stk_layer_fail(layer, (int)sent, "out of memory");
    }
    if (sent > 0)
        stk_layer_raise(&peer->layer, STK_RX);
    if ((size_t)sent < want)
        peer->peer_waits = true; /* the reader will tell */
    else if (want < all)
        stk_layer_raise(layer, STK_TX); /* only the chunk was full */
    else if (flags & STK_FIN)
        finish(m);
    return sent == 0 && all > 0 ? STK_AGAIN : sent;
}

/*
 * This side is gone. After its end was sent the other one may go on reading and finish in order;
 * what it still sends is an error. Before that, or when aborted, the other one sees a reset.
 */
static void leave_peer(struct memory *m, bool aborted)
{
    struct memory *peer = m->peer;

    if (peer == NULL)
        return;
    m->peer = peer->peer = NULL;
    if (!aborted && m->finished) {
        if (m->peer_waits)
            stk_layer_raise(&peer->layer, STK_TX); /* there is no room to wait for any more */
        return;
    }
    peer->failure = -ECONNRESET;
    stk_layer_fail(&peer->layer, -ECONNRESET,
                   "the other side closed the connection without its end");
}

static void memory_abort(struct stk_layer *layer)
{
    struct memory *m = memory_of(layer);

    leave_peer(m, true);
    if (m->failure == 0)
        m->failure = -ECONNABORTED;
    stk_fifo_free(&m->incoming);
}

static int memory_query(struct stk_layer *layer, int key, void *out, size_t len)
{
    const struct memory *m = memory_of(layer);
    const uint64_t unsent = m->peer != NULL ? stk_fifo_len(&m->peer->incoming) : 0;

    if (key != STK_QUERY_UNSENT || len < sizeof unsent)
        return -ENOENT;
    memcpy(out, &unsent, sizeof unsent);
    return 0;
}

static void memory_destroy(struct stk_layer *layer)
{
    leave_peer(memory_of(layer), false);
    stk_fifo_free(&memory_of(layer)->incoming);
}

static const struct stk_stream_type memory_type = {
    .size = sizeof(struct memory),
    .lingers = true,
    .init = memory_init,
    .start = memory_start,
    .recv = memory_recv,
    .send = memory_send,
    .abort = memory_abort,
    .query = memory_query,
    .destroy = memory_destroy,
    .listener_size = sizeof(struct memory_listener),
    .listen = memory_listen,
    .unlisten = memory_unlisten,
    .accept = memory_accept,
};

static int check_name(const char *value, struct stk_error *error)
{
    if (strlen(value) >= sizeof((struct memory_listener *)0)->name)
        return stk_error_set(error, STK_ESYNTAX, "", "the name is longer than 63 bytes");
    return 0;
}

static const struct stk_option_type memory_options[] = {
    {"quota", STK_OPTION_SIZE, 1, 1 << 30, "bytes that may wait in each direction (64k)"},
    {"chunk", STK_OPTION_SIZE, 1, 1 << 30, "bytes that one call moves at most (no bound)"},
    {0},
};

const struct stk_layer_type stk_layer_memory = {
    .name = "memory",
    .summary = "two connections of one program, joined by name",
    .below = STK_NOTHING,
    .above = STK_STREAM,
    .value = STK_VALUE_REQUIRED,
    .value_name = "NAME",
    .check_value = check_name,
    .options = memory_options,
    .stream = &memory_type,
};
