#include "fd_stream.h"

#include "iov.h"

#include <assert.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

enum {
    SLICES_MAX = 64, /* of one call; the rest waits for the next */
    INTERRUPTS_MAX = 16,
};

/* --- Watching -------------------------------------------------------------------------------- */

static bool is_shared(const struct stack_stream *s) { return s->in_fd == s->out_fd; }

static void set_watch(struct stack_stream *s, struct stk_watch *watch, unsigned events)
{
    if (watch->events == events)
        return;
    const int code = stk_watch_set(watch, events);
    if (code < 0 && s->failure == 0)
        s->failure =
            stk_layer_fail(s->layer, code, "can't watch a descriptor: %s", stk_strerror(code));
}

static void update_watches(struct stack_stream *s)
{
    const bool live = s->open && s->failure == 0;
    const unsigned in = live && s->in_fd >= 0 && !s->eof && !s->resting ? STK_READABLE : 0;
    const unsigned out = live && s->out_fd >= 0 && s->tx_owed ? STK_WRITABLE : 0;

    if (s->in_fd >= 0)
        set_watch(s, &s->in, in | (is_shared(s) ? out : 0));
    if (s->out_fd >= 0 && !is_shared(s))
        set_watch(s, &s->out, out);
}

static void tell_readable(struct stack_stream *s)
{
    s->drained = s->awaiting = false;
    if (s->told) {
        s->resting = true;
    } else {
        s->told = true;
        stk_layer_raise(s->layer, STK_RX);
    }
}

static void tell_writable(struct stack_stream *s)
{
    if (!s->tx_owed)
        return;
    s->tx_owed = false;
    stk_layer_raise(s->layer, STK_TX);
}

static void on_in(struct stk_watch *watch, unsigned events)
{
    struct stack_stream *s = STK_CONTAINER(watch, struct stack_stream, in);

    if (events & (STK_READABLE | STK_HANGUP) && !s->eof)
        tell_readable(s);
    if (is_shared(s) && events & (STK_WRITABLE | STK_HANGUP))
        tell_writable(s);
    update_watches(s);
}

static void on_out(struct stk_watch *watch, unsigned events)
{
    struct stack_stream *s = STK_CONTAINER(watch, struct stack_stream, out);

    if (events & (STK_WRITABLE | STK_HANGUP))
        tell_writable(s);
    update_watches(s);
}

/* --- Opening ------------------------------------------------------------------------------------
 */

void stack_stream_init(struct stack_stream *s, struct stk_layer *layer)
{
    s->layer = layer;
    s->in_fd = s->out_fd = -1;
}

static bool is_socket(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool must_guard_sigpipe(const struct stack_stream *s)
{
    struct sigaction now;

    return s->out_fd >= 0 && !s->out_is_socket && sigaction(SIGPIPE, NULL, &now) == 0 &&
           now.sa_handler != SIG_IGN;
}

void stack_stream_open(struct stack_stream *s, int in_fd, int out_fd)
{
    struct stk_loop *loop = stk_layer_loop(s->layer);

    assert(!s->open);
    s->in_fd = in_fd;
    s->out_fd = out_fd;
    s->in_is_socket = is_socket(in_fd);
    s->out_is_socket = is_shared(s) ? s->in_is_socket : is_socket(out_fd);
    s->guards_sigpipe = must_guard_sigpipe(s);
    s->eof = in_fd < 0;
    s->open = true;
    if (in_fd >= 0)
        stk_watch_init(&s->in, loop, in_fd, on_in);
    if (out_fd >= 0 && out_fd != in_fd)
        stk_watch_init(&s->out, loop, out_fd, on_out);
    /* Reading is worth a try at once; watching begins when it finds nothing. */
    s->told = s->resting = true;
    stk_layer_raise(s->layer, STK_READY | STK_RX | STK_TX);
}

void stack_stream_await_input(struct stack_stream *s)
{
    s->awaiting = true;
    s->told = s->resting = false;
    update_watches(s);
}

/* --- Failing ------------------------------------------------------------------------------------
 */

static const char *reason_for(const struct stack_stream *s, int code)
{
    switch (-code) {
    case ECONNRESET:
        return "the peer reset the connection";
    case EPIPE:
        return s->out_is_socket ? "the peer closed the connection and takes nothing more"
                                : "nobody reads the other end of the pipe any more";
    case ETIMEDOUT:
        return "the peer does not answer any more";
    case ENOSPC:
        return "no space left on the device";
    case EDQUOT:
        return "the disk quota is used up";
    case EFBIG:
        return "the file may not grow further";
    case EBADF:
        return "the descriptor is closed";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "the way to the peer is gone";
    default:
        return strerror(-code);
    }
}

int stack_stream_fail(struct stack_stream *s, int code)
{
    if (s->failure == 0) {
        s->failure = code;
        stk_layer_fail(s->layer, code, "%s", reason_for(s, code));
    }
    s->tx_owed = false;
    update_watches(s);
    return s->failure;
}

/* --- Reading ------------------------------------------------------------------------------------
 */

static long read_once(struct stack_stream *s, const struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = (size_t)count};
    const ssize_t n = s->in_is_socket ? stk_sys.recvmsg(s->in_fd, &message, MSG_DONTWAIT)
                                      : stk_sys.readv(s->in_fd, iov, count);

    return n < 0 ? -errno : n;
}

static long found_nothing(struct stack_stream *s)
{
    s->told = s->resting = false;
    update_watches(s);
    return STK_AGAIN;
}

static long found_end(struct stack_stream *s)
{
    if (!s->eof) {
        s->eof = true;
        stk_layer_raise(s->layer, STK_RX_EOF);
        update_watches(s);
    }
    return s->failure;
}

long stack_stream_recv(struct stack_stream *s, const struct iovec *iov, int count)
{
    long n = -EINTR;

    if (s->eof)
        return s->failure;
    if (s->in_fd < 0)
        return s->failure ? s->failure : -ECONNABORTED;
    if (stk_iov_bytes(iov, count) == 0)
        return STK_AGAIN;
    if (count > SLICES_MAX)
        count = SLICES_MAX;
    if (s->drained || s->awaiting) {
        s->drained = false;
        return s->failure ? s->failure : found_nothing(s);
    }
    for (int i = 0; n == -EINTR && i < INTERRUPTS_MAX; i++)
        n = read_once(s, iov, count);
    if (n > 0) {
        s->drained = (size_t)n < stk_iov_bytes(iov, count);
        return n;
    }
    if (n == 0)
        return found_end(s);
    if (s->failure)
        return s->failure;
    return n == STK_AGAIN || n == -EINTR ? found_nothing(s) : stack_stream_fail(s, (int)n);
}

/* --- Writing ------------------------------------------------------------------------------------
 */

/* A write to a pipe that nobody reads sends SIGPIPE, which is not the program's fault. */
static ssize_t write_guarded(int fd, const struct iovec *iov, int count)
{
    static const struct timespec now = {0, 0};
    sigset_t pipe_only, before, pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    const ssize_t n = stk_sys.writev(fd, iov, count);
    const int error = errno;
    if (n < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_only, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return n;
}

static long write_once(struct stack_stream *s, const struct iovec *iov, int count, unsigned flags)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                                   .msg_iovlen = (size_t)count};
    const int more = (flags & STK_MORE) && !(flags & STK_FIN) ? MSG_MORE : 0;
    ssize_t n;

    if (s->out_is_socket)
        n = stk_sys.sendmsg(s->out_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL | more);
    else if (s->guards_sigpipe)
        n = write_guarded(s->out_fd, iov, count);
    else
        n = stk_sys.writev(s->out_fd, iov, count);
    return n < 0 ? -errno : n;
}

static long owe_tx(struct stack_stream *s, long taken)
{
    s->tx_owed = true;
    update_watches(s);
    return taken > 0 ? taken : STK_AGAIN;
}

static long write_failed(struct stack_stream *s, int code)
{
    if (code == STK_AGAIN || code == -EINTR)
        return owe_tx(s, 0);
    if (code == -EPIPE && s->broken && s->broken(s) == STK_AGAIN)
        return STK_AGAIN;
    return stack_stream_fail(s, code);
}

static int close_out(struct stack_stream *s)
{
    const int fd = s->out_fd;

    if (s->out_is_socket)
        return stk_sys.shutdown(fd, SHUT_WR) < 0 && errno != ENOTCONN ? -errno : 0;
    if (is_shared(s))
        return 0; /* a terminal has no half-close */
    stk_watch_stop(&s->out);
    s->out_fd = -1;
    return stk_loop_close_fd(stk_layer_loop(s->layer), fd);
}

static long end_sending(struct stack_stream *s, long taken)
{
    if (s->finished)
        return taken;
    s->finished = true;
    const int code = s->out_fd < 0 ? 0 : s->finish ? s->finish(s) : close_out(s);
    if (code < 0)
        return stack_stream_fail(s, code);
    stk_layer_raise(s->layer, STK_TX_DONE);
    return taken;
}

long stack_stream_send(struct stack_stream *s, const struct iovec *iov, int count, unsigned flags)
{
    const size_t want = stk_iov_bytes(iov, count);
    long n = -EINTR;

    if (s->failure)
        return s->failure;
    if (want > 0) {
        if (s->finished)
            return STK_ESHUTDOWN;
        if (s->out_fd < 0)
            return stack_stream_fail(s, -EBADF);
        for (int i = 0; n == -EINTR && i < INTERRUPTS_MAX; i++)
            n = write_once(s, iov, count > SLICES_MAX ? SLICES_MAX : count, flags);
        if (n < 0)
            return write_failed(s, (int)n);
        if ((size_t)n < want)
            return owe_tx(s, n);
    }
    return flags & STK_FIN ? end_sending(s, (long)want) : (long)want;
}

/* --- Closing and asking
 * --------------------------------------------------------------------------- */

void stack_stream_close_input(struct stack_stream *s)
{
    const int in = s->in_fd;

    assert(s->open && !is_shared(s));
    if (in < 0)
        return;
    stk_watch_stop(&s->in);
    s->in_fd = -1;
    stk_loop_close_fd(stk_layer_loop(s->layer), in);
    found_end(s);
}

void stack_stream_close(struct stack_stream *s, bool reset)
{
    struct stk_loop *loop = stk_layer_loop(s->layer);
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    const int in = s->in_fd, out = s->out_fd;

    if (s->open && in >= 0)
        stk_watch_stop(&s->in);
    if (s->open && out >= 0 && out != in)
        stk_watch_stop(&s->out);
    s->in_fd = s->out_fd = -1;
    if (reset && in >= 0)
        (void)setsockopt(in, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (in >= 0)
        stk_loop_close_fd(loop, in);
    if (out >= 0 && out != in)
        stk_loop_close_fd(loop, out);
}

static int query_unsent(const struct stack_stream *s, uint64_t *unsent)
{
    int bytes = 0;

    /* A pipe tells at either end how much is in it. */
    if (s->out_fd < 0 || ioctl(s->out_fd, s->out_is_socket ? SIOCOUTQ : (int)FIONREAD, &bytes) < 0)
        bytes = 0;
    *unsent = (uint64_t)bytes;
    return 0;
}

int stack_stream_query(struct stack_stream *s, int key, void *out, size_t len)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t sa_len = sizeof sa;

    if (key == STK_QUERY_UNSENT && len >= sizeof(uint64_t))
        return query_unsent(s, out);
    if (key == STK_QUERY_LOCAL_ADDR && len >= sizeof(struct stk_addr) && s->in_is_socket &&
        s->in_fd >= 0 && getsockname(s->in_fd, (struct sockaddr *)&sa, &sa_len) == 0) {
        stk_addr_from_sockaddr(out, (struct sockaddr *)&sa, sa_len);
        stk_addr_unmap(out);
        return 0;
    }
    return -ENOENT;
}
