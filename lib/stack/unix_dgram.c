/*
 * Datagrams over Unix sockets: /unix-dgram/PATH.
 *
 * The connecting side binds an abstract address that the kernel chooses, so that it can be
 * answered. It is connected, so that a full peer makes it wait. On a listening side no event tells
 * when a peer has room again: it asks once more a little later, and then drops what that peer does
 * not take, so that one who has stopped reading holds nobody else up.
 */
#include "dgram.h"
#include "layer.h"
#include "transports.h"
#include "unix_socket.h"

#include <string.h>

enum {
    BUFFER_BYTES = STK_DGRAM_MAX + 1, /* one more shows a datagram that is too long */
    TURN_MAX = 64,                    /* datagrams received in one turn */
    SEND_BUFFER_BYTES = 8 << 20,      /* all peers of a listening side share it */
    RETRY_US = 1000,
};

struct unix_dgram {
    struct stk_dgram_layer layer;
    const struct stk_segment *segment;
    struct stk_watch watch;
    struct stk_task report;
    struct stack_unix_path path;
    struct stk_addr peer;       /* of the connecting side */
    struct stk_addr waited_for; /* of a listening side: the peer that was full, and may still be */
    struct stk_addr unreachable;
    int unreachable_code;
    uint8_t *buffer;
    int fd;
    bool blocked;
};

static struct unix_dgram *dgram_of(struct stk_dgram_layer *layer)
{
    return STK_CONTAINER(layer, struct unix_dgram, layer);
}

/* --- Receiving
 * ------------------------------------------------------------------------------------- */

static long receive_one(struct unix_dgram *u, struct stk_addr *peer)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    struct iovec iov = {u->buffer, BUFFER_BYTES};
    struct msghdr message = {
        .msg_name = &sa, .msg_namelen = sizeof sa, .msg_iov = &iov, .msg_iovlen = 1};
    const ssize_t n = stk_sys.recvmsg(u->fd, &message, MSG_DONTWAIT);

    if (n < 0)
        return -errno;
    stk_addr_from_sockaddr(peer, (struct sockaddr *)&sa, message.msg_namelen);
    return message.msg_flags & MSG_TRUNC ? 0 : n;
}

static void pass_up(struct unix_dgram *u, const struct stk_addr *peer, uint16_t size)
{
    struct stk_run run = {
        .data = u->buffer,
        .stride = BUFFER_BYTES,
        .size = size,
        .last_size = size,
        .count = 1,
        .peer = peer,
        .time_us = stk_loop_now_us(stk_dgram_loop(&u->layer)),
    };

    stk_dgram_input_above(&u->layer, &run, 1);
}

static void receive(struct unix_dgram *u)
{
    for (int i = 0; i < TURN_MAX; i++) {
        struct stk_addr peer;
        const long n = receive_one(u, &peer);

        if (n == STK_AGAIN || n == -EINTR || n == -ENOMEM || n == -ECONNRESET)
            return;
        if (n < 0) {
            stk_watch_set(&u->watch, 0);
            stk_dgram_fail(&u->layer, (int)n, "can't receive: %s", strerror((int)-n));
            return;
        }
        if (n > 0 && n <= STK_DGRAM_MAX)
            pass_up(u, &peer, (uint16_t)n);
    }
}

static void writable(struct unix_dgram *u)
{
    if (!u->blocked)
        return;
    u->blocked = false;
    stk_watch_set(&u->watch, STK_READABLE);
    stk_dgram_writable_above(&u->layer);
}

static void on_watch(struct stk_watch *watch, unsigned events)
{
    struct unix_dgram *u = STK_CONTAINER(watch, struct unix_dgram, watch);

    if (events & (STK_WRITABLE | STK_HANGUP) && u->watch.events & STK_WRITABLE)
        writable(u);
    if (events & (STK_READABLE | STK_HANGUP))
        receive(u);
}

static void on_timer(struct stk_dgram_layer *layer) { writable(dgram_of(layer)); }

/* --- Sending
 * --------------------------------------------------------------------------------------- */

static void on_report(struct stk_task *task)
{
    struct unix_dgram *u = STK_CONTAINER(task, struct unix_dgram, report);

    stk_dgram_unreachable_above(&u->layer, &u->unreachable, u->unreachable_code);
}

static bool is_to_our_server(const struct unix_dgram *u, const struct stk_addr *peer)
{
    return u->peer.len && (!peer || !peer->len || stk_addr_equal(peer, &u->peer));
}

static int send_one(struct unix_dgram *u, const struct stk_run *run, unsigned i)
{
    struct iovec iov = {stk_run_at(run, i), stk_run_size(run, i)};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (!is_to_our_server(u, run->peer)) {
        if (!run->peer || run->peer->any.sa_family != AF_UNIX)
            return -EDESTADDRREQ;
        message.msg_name = (void *)(uintptr_t)&run->peer->any;
        message.msg_namelen = run->peer->len;
    }
    return stk_sys.sendmsg(u->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A server that was started anew has a new socket behind the same path. */
static int send_again(struct unix_dgram *u, const struct stk_run *run, unsigned i)
{
    if (!is_to_our_server(u, run->peer) || stk_sys.connect(u->fd, &u->peer.any, u->peer.len) < 0)
        return -errno;
    return send_one(u, run, i);
}

static void note_unreachable(struct unix_dgram *u, const struct stk_run *run, int code)
{
    const struct stk_addr *peer = is_to_our_server(u, run->peer) ? &u->peer : run->peer;

    if (!peer || (code != -ECONNREFUSED && code != -ENOENT && code != -ENOTCONN))
        return;
    u->unreachable = *peer;
    u->unreachable_code = code;
    stk_task_queue(&u->report);
}

/* False where nobody would tell when there is room, or where a peer has had its time. */
static bool wait_for_room(struct unix_dgram *u, const struct stk_addr *peer)
{
    if (u->peer.len)
        return u->blocked = stk_watch_set(&u->watch, STK_READABLE | STK_WRITABLE) == 0;
    if (stk_addr_equal(&u->waited_for, peer))
        return false;
    u->waited_for = *peer;
    stk_dgram_set_timer(&u->layer, stk_loop_now_us(stk_dgram_loop(&u->layer)) + RETRY_US);
    return u->blocked = true;
}

static void note_taken(struct unix_dgram *u, const struct stk_run *run)
{
    if (u->waited_for.len && run->peer && stk_addr_equal(&u->waited_for, run->peer))
        u->waited_for.len = 0;
}

/* False where the socket is full and nothing of the run went out. */
static bool send_run(struct unix_dgram *u, const struct stk_run *run)
{
    for (unsigned i = 0; i < run->count; i++) {
        int code = send_one(u, run, i);

        if (code == -EINTR)
            code = send_one(u, run, i);
        if (code == -ECONNREFUSED || code == -ENOTCONN || code == -EPIPE || code == -ECONNRESET)
            code = send_again(u, run, i);
        if (code == STK_AGAIN) /* the rest of a run that was begun is dropped */
            return !wait_for_room(u, run->peer) || i > 0;
        if (code == 0)
            note_taken(u, run);
        note_unreachable(u, run, code);
    }
    return true;
}

static int send_runs(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    struct unix_dgram *u = dgram_of(layer);
    int taken = 0;

    while (taken < count && !u->blocked && send_run(u, &runs[taken]))
        taken++;
    return taken;
}

/* --- Opening ------------------------------------------------------------------------------- */

static int init(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    struct unix_dgram *u = dgram_of(layer);

    u->fd = -1;
    u->segment = segment;
    stk_task_init(&u->report, stk_dgram_loop(layer), on_report);
    return 0;
}

static int open_client(struct unix_dgram *u, struct stk_error *error)
{
    const sa_family_t autobind = AF_UNIX;

    stk_addr_unix(&u->peer, u->segment->value);
    const int fd = stk_sys.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return stk_error_set(error, -errno, "unix-dgram", "can't make a socket: %s",
                             strerror(errno));
    if (stk_sys.bind(fd, (const struct sockaddr *)&autobind, sizeof autobind) < 0 ||
        stk_sys.connect(fd, &u->peer.any, u->peer.len) < 0) {
        const int code = -errno;
        stk_sys.close(fd);
        return stk_error_set(error, code, "unix-dgram", "can't connect to %s: %s",
                             u->segment->value, stack_unix_strerror(code));
    }
    return fd;
}

static int open_layer(struct stk_dgram_layer *layer)
{
    const int send_buffer = SEND_BUFFER_BYTES;
    struct unix_dgram *u = dgram_of(layer);
    struct stk_error error = {.code = 0};

    u->fd = stk_dgram_is_listening(layer)
                ? stack_unix_bind(u->segment, SOCK_DGRAM, &u->path, &error)
                : open_client(u, &error);
    if (u->fd < 0)
        return stk_dgram_fail(layer, error.code, "%s", error.text);
    if (stk_dgram_is_listening(layer) &&
        setsockopt(u->fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof send_buffer) < 0)
        setsockopt(u->fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    u->buffer = stk_alloc(BUFFER_BYTES);
    if (!u->buffer)
        return stk_dgram_fail(layer, -ENOMEM, "no memory for a receive buffer");
    stk_watch_init(&u->watch, stk_dgram_loop(layer), u->fd, on_watch);
    const int code = stk_watch_set(&u->watch, STK_READABLE);
    if (code < 0)
        return stk_dgram_fail(layer, code, "can't watch the socket: %s", stk_strerror(code));
    return 0;
}

static void destroy(struct stk_dgram_layer *layer)
{
    struct unix_dgram *u = dgram_of(layer);

    stk_task_stop(&u->report);
    if (u->watch.fn)
        stk_watch_stop(&u->watch);
    stk_free(u->buffer);
    stack_unix_unlink(&u->path);
    if (u->fd >= 0)
        stk_loop_close_fd(stk_dgram_loop(layer), u->fd);
}

static int query(struct stk_dgram_layer *layer, int key, uint64_t association, void *out,
                 size_t len)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    socklen_t sa_len = sizeof sa;
    const struct unix_dgram *u = dgram_of(layer);

    (void)association;
    if (key != STK_QUERY_LOCAL_ADDR || len < sizeof(struct stk_addr) || u->fd < 0 ||
        getsockname(u->fd, (struct sockaddr *)&sa, &sa_len) < 0)
        return -ENOENT;
    stk_addr_from_sockaddr(out, (struct sockaddr *)&sa, sa_len);
    return 0;
}

static const struct stk_option_type options[] = {
    {"mode", STK_OPTION_TEXT, 0, 0, "octal mode of the socket file when listening (umask's)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_dgram_type dgram = {
    .name = "unix-dgram",
    .size = sizeof(struct unix_dgram),
    .init = init,
    .open = open_layer,
    .send = send_runs,
    .on_timer = on_timer,
    .query = query,
    .destroy = destroy,
};

const struct stk_layer_type stk_layer_unix_dgram = {
    .name = "unix-dgram",
    .summary = "datagrams over a Unix socket",
    .below = STK_NOTHING,
    .above = STK_DATAGRAMS,
    .value = STK_VALUE_REQUIRED,
    .value_name = "PATH",
    .check_value = stack_unix_check_path,
    .options = options,
    .dgram = &dgram,
};
