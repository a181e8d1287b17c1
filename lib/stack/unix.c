/*
 * Streams over Unix sockets: /unix/PATH, with a leading "@" in the abstract namespace.
 */
#include "acceptor.h"
#include "fd_stream.h"
#include "transports.h"
#include "unix_socket.h"

#include <string.h>

enum { BACKLOG = 4096, RETRY_US = 10000 };

struct unix_stream {
    struct stk_layer layer;
    struct stack_stream stream;
    struct stk_addr peer;
};

struct unix_listener {
    struct stack_acceptor acceptor;
    struct stack_unix_path path;
};

static struct unix_stream *unix_of(struct stk_layer *layer)
{
    return STK_CONTAINER(layer, struct unix_stream, layer);
}

/* --- A connection
 * ---------------------------------------------------------------------------------- */

static int prepare(const struct stk_segment *segment, bool listening, void **shared,
                   struct stk_error *error)
{
    (void)listening;
    (void)shared;
    const int mode = stack_unix_mode(segment, error);
    return mode < -1 ? mode : 0;
}

static int init(struct stk_layer *layer)
{
    stack_stream_init(&unix_of(layer)->stream, layer);
    return 0;
}

static int accept_one(struct stk_layer *layer, void *accepted)
{
    const struct stack_accepted *a = accepted;
    struct unix_stream *u = unix_of(layer);

    u->peer = a->peer;
    u->stream.in_fd = u->stream.out_fd = a->fd;
    return 0;
}

/* Returns the descriptor, STK_AGAIN where the server's backlog is full, or an error. */
static int try_connect(const struct stk_addr *addr)
{
    const int fd = stk_sys.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (stk_sys.connect(fd, &addr->any, addr->len) < 0) {
        const int code = errno == EINTR ? STK_AGAIN : -errno;
        stk_sys.close(fd);
        return code;
    }
    return fd;
}

static void connect_now(struct stk_layer *layer)
{
    struct unix_stream *u = unix_of(layer);

    stk_addr_unix(&u->peer, layer->segment->value);
    const int fd = try_connect(&u->peer);
    if (fd >= 0)
        stack_stream_open(&u->stream, fd, fd);
    else if (fd == STK_AGAIN) /* a full backlog raises no event: ask again */
        stk_layer_set_timer(layer, stk_loop_now_us(stk_layer_loop(layer)) + RETRY_US);
    else
        stk_layer_fail(layer, fd, "can't connect to %s: %s", layer->segment->value,
                       stack_unix_strerror(fd));
}

static void start(struct stk_layer *layer)
{
    struct unix_stream *u = unix_of(layer);

    if (u->stream.in_fd >= 0)
        stack_stream_open(&u->stream, u->stream.in_fd, u->stream.in_fd);
    else
        connect_now(layer);
}

static long recv_bytes(struct stk_layer *layer, const struct iovec *iov, int count)
{
    return stack_stream_recv(&unix_of(layer)->stream, iov, count);
}

static long send_bytes(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    return stack_stream_send(&unix_of(layer)->stream, iov, count, flags);
}

static void close_now(struct stk_layer *layer)
{
    stk_layer_set_timer(layer, 0);
    stack_stream_close(&unix_of(layer)->stream, false);
}

static int query(struct stk_layer *layer, int key, void *out, size_t len)
{
    struct unix_stream *u = unix_of(layer);

    if (key == STK_QUERY_PEER_ADDR && len >= sizeof u->peer && u->peer.len > sizeof(sa_family_t)) {
        *(struct stk_addr *)out = u->peer;
        return 0;
    }
    return stack_stream_query(&u->stream, key, out, len);
}

/* --- Listening -----------------------------------------------------------------------------------
 */

static int listen_on(struct stk_listener *listener, void *state, struct stk_error *error)
{
    struct unix_listener *l = state;
    const struct stk_segment *segment = stk_listener_segment(listener);
    const int fd = stack_unix_bind(segment, SOCK_STREAM, &l->path, error);

    if (fd < 0)
        return fd;
    if (stk_sys.listen(fd, BACKLOG) < 0) {
        const int code = -errno;
        stk_sys.close(fd);
        stack_unix_unlink(&l->path);
        return stk_error_set(error, code, "unix", "can't listen on %s: %s", segment->value,
                             strerror(-code));
    }
    const int code = stack_acceptor_open(&l->acceptor, listener, fd, error);
    if (code < 0)
        stack_unix_unlink(&l->path);
    return code;
}

/* The file goes first: who finds it, finds a server. */
static void unlisten(struct stk_listener *listener, void *state)
{
    struct unix_listener *l = state;

    (void)listener;
    stack_unix_unlink(&l->path);
    stack_acceptor_close(&l->acceptor);
}

static int listen_addr(struct stk_listener *listener, void *state, struct stk_addr *addr)
{
    const struct unix_listener *l = state;

    (void)listener;
    return stack_acceptor_addr(&l->acceptor, addr);
}

static const struct stk_option_type options[] = {
    {"mode", STK_OPTION_TEXT, 0, 0, "octal mode of the socket file when listening (umask's)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_stream_type stream = {
    .size = sizeof(struct unix_stream),
    .lingers = true,
    .prepare = prepare,
    .init = init,
    .start = start,
    .recv = recv_bytes,
    .send = send_bytes,
    .on_timer = connect_now,
    .abort = close_now,
    .query = query,
    .destroy = close_now,
    .listener_size = sizeof(struct unix_listener),
    .listen = listen_on,
    .unlisten = unlisten,
    .accept = accept_one,
    .listen_addr = listen_addr,
};

const struct stk_layer_type stk_layer_unix = {
    .name = "unix",
    .summary = "a byte stream over a Unix socket",
    .below = STK_NOTHING,
    .above = STK_STREAM,
    .value = STK_VALUE_REQUIRED,
    .value_name = "PATH",
    .check_value = stack_unix_check_path,
    .options = options,
    .stream = &stream,
};
