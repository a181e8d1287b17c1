#include "pipe.h"

#include "descriptor.h"
#include "fd_stream.h"
#include "transports.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RETRY_US = 20000 };

struct pipe_stream {
    struct stk_layer layer;
    struct stack_stream stream;
    struct stack_descriptor in, out;
    int in_number, out_number; /* descriptors to begin with; -1: none */
    bool keeps;                /* stdio: the numbers stay open when the layer goes */
};

static struct pipe_stream *pipe_of(struct stk_layer *layer)
{
    return STK_CONTAINER(layer, struct pipe_stream, layer);
}

/* --- One stream on two descriptors ------------------------------------------------------------ */

/* Where a socket carries both directions, its sending half ends; else the descriptor closes. */
static int finish(struct stack_stream *stream)
{
    struct pipe_stream *p = STK_CONTAINER(stream, struct pipe_stream, stream);
    const bool shared = p->in_number == p->out_number;

    if (stream->out_is_socket && stk_sys.shutdown(stream->out_fd, SHUT_WR) < 0 &&
        errno != ENOTCONN && errno != EPIPE)
        return -errno;
    if (shared || stream->out_fd < 0)
        return 0;
    if (stream->out_fd != stream->in_fd)
        stk_watch_stop(&stream->out);
    stream->out_fd = -1;
    return stack_descriptor_close(stk_layer_loop(stream->layer), &p->out);
}

static void forget_watches(struct stack_stream *s)
{
    if (s->open && s->in_fd >= 0)
        stk_watch_stop(&s->in);
    if (s->open && s->out_fd >= 0 && s->out_fd != s->in_fd)
        stk_watch_stop(&s->out);
    s->in_fd = s->out_fd = -1;
}

static void close_all(struct stk_layer *layer)
{
    struct pipe_stream *p = pipe_of(layer);
    struct stk_loop *loop = stk_layer_loop(layer);

    stk_layer_set_timer(layer, 0);
    forget_watches(&p->stream);
    if (p->keeps) {
        stack_descriptor_release(loop, &p->in);
        stack_descriptor_release(loop, &p->out);
        return;
    }
    if (p->in_number >= 0 && !p->stream.open)
        p->in.original = p->in_number; /* never started: ours all the same */
    if (p->out_number >= 0 && !p->stream.open && p->out_number != p->in_number)
        p->out.original = p->out_number;
    stack_descriptor_close(loop, &p->in);
    stack_descriptor_close(loop, &p->out);
}

static void clear(struct pipe_stream *p)
{
    stack_stream_init(&p->stream, &p->layer);
    p->stream.finish = finish;
    p->in = p->out = (struct stack_descriptor){.fd = -1, .original = -1, .flags = -1};
    p->in_number = p->out_number = -1;
}

/* A number that this program opened itself was closed when it was started. */
static bool was_inherited(int fd)
{
    const int flags = fcntl(fd, F_GETFD);

    return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* A number that is not open is not ours to close. */
static int open_one(struct stk_layer *layer, struct stack_descriptor *d, int *number, int access)
{
    const int code = *number < 0 ? 0 : stack_descriptor_open(d, *number, access);

    if (code < 0)
        stk_layer_fail(layer, code, "descriptor %d can't be used: %s", *number, strerror(-code));
    if (code == -EBADF)
        *number = -1;
    return code;
}

static void open_numbers(struct pipe_stream *p)
{
    struct stk_layer *layer = &p->layer;

    if (p->in_number == p->out_number) {
        if (open_one(layer, &p->in, &p->in_number, O_RDWR) == 0)
            stack_stream_open(&p->stream, p->in.fd, p->in.fd);
        return;
    }
    if (open_one(layer, &p->in, &p->in_number, O_RDONLY) == 0 &&
        open_one(layer, &p->out, &p->out_number, O_WRONLY) == 0)
        stack_stream_open(&p->stream, p->in.fd, p->out.fd);
}

static long recv_bytes(struct stk_layer *layer, const struct iovec *iov, int count)
{
    return stack_stream_recv(&pipe_of(layer)->stream, iov, count);
}

static long send_bytes(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    return stack_stream_send(&pipe_of(layer)->stream, iov, count, flags);
}

static int query(struct stk_layer *layer, int key, void *out, size_t len)
{
    return stack_stream_query(&pipe_of(layer)->stream, key, out, len);
}

/* --- Listening: one connection, which is there already -----------------------------------------
 */

struct pipe_listener {
    struct stk_task task;
    struct stk_listener *listener;
};

static void accept_the_one(struct stk_task *task)
{
    struct pipe_listener *l = STK_CONTAINER(task, struct pipe_listener, task);
    const int code = stk_listener_accept(l->listener, l, NULL);
    struct stk_error error;

    if (code == 0)
        return;
    stk_error_set(&error, code, stk_listener_segment(l->listener)->type->name,
                  "the connection can't be taken: %s", stk_strerror(code));
    stk_listener_fail(l->listener, &error);
}

static int pipe_listen(struct stk_listener *listener, void *state, struct stk_error *error)
{
    struct pipe_listener *l = state;

    (void)error;
    l->listener = listener;
    stk_task_init(&l->task, stk_listener_loop(listener), accept_the_one);
    stk_task_queue(&l->task);
    return 0;
}

static void pipe_unlisten(struct stk_listener *listener, void *state)
{
    (void)listener;
    stk_task_stop(&((struct pipe_listener *)state)->task);
}

/* Opens its descriptors in start(), as one that connects does. */
static int pipe_accept(struct stk_layer *layer, void *accepted)
{
    (void)layer;
    (void)accepted;
    return 0;
}

/* --- /stdio ---------------------------------------------------------------------------------- */

static int stdio_init(struct stk_layer *layer)
{
    struct pipe_stream *p = pipe_of(layer);

    clear(p);
    p->keeps = true;
    return 0;
}

/* A program can be started without them: then input has ended, and output fails when it is used. */
static void stdio_start(struct stk_layer *layer)
{
    struct pipe_stream *p = pipe_of(layer);

    p->in_number = was_inherited(STDIN_FILENO) ? STDIN_FILENO : -1;
    p->out_number = was_inherited(STDOUT_FILENO) ? STDOUT_FILENO : -1;
    if (p->in_number < 0 && p->out_number < 0)
        stk_layer_fail(layer, -EBADF, "standard input and output are both closed");
    else
        open_numbers(p);
}

static const struct stk_stream_type stdio_stream = {
    .size = sizeof(struct pipe_stream),
    .init = stdio_init,
    .start = stdio_start,
    .recv = recv_bytes,
    .send = send_bytes,
    .abort = close_all,
    .query = query,
    .destroy = close_all,
    .listener_size = sizeof(struct pipe_listener),
    .listen = pipe_listen,
    .unlisten = pipe_unlisten,
    .accept = pipe_accept,
};

const struct stk_layer_type stk_layer_stdio = {
    .name = "stdio",
    .summary = "standard input and output as one stream",
    .below = STK_NOTHING,
    .above = STK_STREAM,
    .value = STK_VALUE_NONE,
    .stream = &stdio_stream,
};

/* --- /fd ------------------------------------------------------------------------------------- */

static bool parse_number(const char **text, int *number)
{
    char *end;
    const long value = strtol(*text, &end, 10);

    if (end == *text || **text < '0' || **text > '9' || value > 1 << 24)
        return false;
    *number = (int)value;
    *text = end;
    return true;
}

/* "N", or "R:W"; one number stands for both directions. */
static bool parse_numbers(const char *text, int *in, int *out)
{
    if (!parse_number(&text, in))
        return false;
    *out = *in;
    if (*text == ':') {
        text++;
        if (!parse_number(&text, out))
            return false;
    }
    return *text == '\0';
}

static int fd_check(const char *value, struct stk_error *error)
{
    int in, out;

    if (parse_numbers(value, &in, &out))
        return 0;
    return stk_error_set(error, STK_ESYNTAX, "", "expected a descriptor such as 3, or 3:4");
}

static int fd_init(struct stk_layer *layer)
{
    struct pipe_stream *p = pipe_of(layer);
    const bool parsed =
        (clear(p), parse_numbers(layer->segment->value, &p->in_number, &p->out_number));

    assert(parsed);
    (void)parsed;
    return 0;
}

static void fd_start(struct stk_layer *layer)
{
    struct pipe_stream *p = pipe_of(layer);
    const int mode = fcntl(p->in_number, F_GETFL) & O_ACCMODE;

    /* One end of a pipe has one direction. */
    if (p->in_number == p->out_number && mode == O_WRONLY)
        p->in_number = -1;
    else if (p->in_number == p->out_number && mode == O_RDONLY)
        p->out_number = -1;
    open_numbers(p);
}

static const struct stk_stream_type fd_stream = {
    .size = sizeof(struct pipe_stream),
    .lingers = true,
    .init = fd_init,
    .start = fd_start,
    .recv = recv_bytes,
    .send = send_bytes,
    .abort = close_all,
    .query = query,
    .destroy = close_all,
    .listener_size = sizeof(struct pipe_listener),
    .listen = pipe_listen,
    .unlisten = pipe_unlisten,
    .accept = pipe_accept,
};

const struct stk_layer_type stk_layer_fd = {
    .name = "fd",
    .summary = "descriptors that are open already; the layer closes them",
    .below = STK_NOTHING,
    .above = STK_STREAM,
    .value = STK_VALUE_REQUIRED,
    .value_name = "N or R:W",
    .check_value = fd_check,
    .stream = &fd_stream,
};

/* --- /fifo ----------------------------------------------------------------------------------- */

static bool writes(const struct stk_segment *segment)
{
    return !strcmp(stk_segment_text(segment, "direction", "read"), "write");
}

static int fifo_prepare(const struct stk_segment *segment, bool listening, void **shared,
                        struct stk_error *error)
{
    const char *const direction = stk_segment_text(segment, "direction", "read");

    (void)listening;
    (void)shared;
    if (strcmp(direction, "read") && strcmp(direction, "write"))
        return stk_error_set(error, STK_ESYNTAX, "fifo", "direction=%s is neither read nor write",
                             direction);
    return 0;
}

static int fifo_init(struct stk_layer *layer)
{
    clear(pipe_of(layer));
    return 0;
}

static int open_fifo(const struct stk_segment *segment)
{
    const int fd = open(segment->value, (writes(segment) ? O_WRONLY : O_RDONLY) | O_NONBLOCK |
                                            O_CLOEXEC | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

static void fifo_start(struct stk_layer *layer)
{
    struct pipe_stream *p = pipe_of(layer);
    const int fd = open_fifo(layer->segment);

    if (fd == -ENXIO) { /* nobody reads it yet, and no event will tell */
        stk_layer_set_timer(layer, stk_loop_now_us(stk_layer_loop(layer)) + RETRY_US);
        return;
    }
    if (fd < 0) {
        stk_layer_fail(layer, fd, "can't open %.150s: %s", layer->segment->value,
                       fd == -EINVAL ? "it is not a FIFO" : strerror(-fd));
        return;
    }
    if (writes(layer->segment))
        p->out_number = fd;
    else
        p->in_number = fd;
    open_numbers(p);
    if (!writes(layer->segment))
        stack_stream_await_input(&p->stream);
}

static const struct stk_option_type fifo_options[] = {
    {"direction", STK_OPTION_TEXT, 0, 0, "read or write (read)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_stream_type fifo_stream = {
    .size = sizeof(struct pipe_stream),
    .prepare = fifo_prepare,
    .init = fifo_init,
    .start = fifo_start,
    .recv = recv_bytes,
    .send = send_bytes,
    .on_timer = fifo_start,
    .abort = close_all,
    .query = query,
    .destroy = close_all,
};

const struct stk_layer_type stk_layer_fifo = {
    .name = "fifo",
    .summary = "a named pipe, one direction",
    .below = STK_NOTHING,
    .above = STK_STREAM,
    .value = STK_VALUE_REQUIRED,
    .value_name = "PATH",
    .options = fifo_options,
    .stream = &fifo_stream,
};

/* --- Pairs -------------------------------------------------------------------------------------
 */

/* fds[side][direction]: what a side reads from and writes to. */
static int make_pair(enum stk_pipe_kind kind, int fds[2][2])
{
    int pair[2], back[2];

    if (kind == STK_PIPE_SOCKETS) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
            return -errno;
        fds[0][0] = fds[0][1] = pair[0];
        fds[1][0] = fds[1][1] = pair[1];
        return 0;
    }
    if (pipe2(pair, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(back, O_NONBLOCK | O_CLOEXEC) < 0) {
        const int code = -errno;
        close(pair[0]);
        close(pair[1]);
        return code;
    }
    fds[0][0] = back[0], fds[0][1] = pair[1];
    fds[1][0] = pair[0], fds[1][1] = back[1];
    return 0;
}

static void close_side(const int fds[2])
{
    close(fds[0]);
    if (fds[1] != fds[0])
        close(fds[1]);
}

int stk_pipe_pair(struct stk_loop *loop, enum stk_pipe_kind kind,
                  const struct stk_protocol *const protocols[2], void *const users[2],
                  struct stk_conn *out[2], struct stk_error *error)
{
    struct stk_conn *conns[2];
    int fds[2][2];
    int code = make_pair(kind, fds);

    if (code < 0)
        return stk_error_set(error, code, "pipe", "can't make a pair: %s", strerror(-code));
    for (int i = 0; i < 2; i++) {
        char address[40];

        snprintf(address, sizeof address, "/fd/%d:%d", fds[i][0], fds[i][1]);
        code = stk_connect(loop, address, protocols[i], users[i], &conns[i], error);
        if (code == 0)
            continue;
        /* The side that began owns its descriptors. */
        close_side(fds[i]);
        if (i == 0)
            close_side(fds[1]);
        else
            stk_conn_abort(conns[0]);
        return code;
    }
    if (out)
        memcpy(out, conns, sizeof conns);
    return 0;
}
