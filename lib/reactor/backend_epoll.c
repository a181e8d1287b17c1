#include "backend.h"
#include "files.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum { EVENTS_PER_WAIT = 256 };

struct epoll_state {
    int fd;
    bool only_milliseconds; /* the kernel has no epoll_pwait2 */
    struct reactor_files files;
};

static int epoll_open(void *state)
{
    struct epoll_state *epoll = state;

    epoll->fd = stk_sys.epoll_create1(EPOLL_CLOEXEC);
    if (epoll->fd < 0)
        return -errno;
    reactor_files_init(&epoll->files);
    return 0;
}

static void epoll_close(void *state)
{
    struct epoll_state *epoll = state;

    reactor_files_free(&epoll->files);
    stk_sys.close(epoll->fd);
}

static uint32_t bits_of(unsigned events)
{
    return (events & STK_READABLE ? (uint32_t)EPOLLIN : 0) |
           (events & STK_WRITABLE ? (uint32_t)EPOLLOUT : 0);
}

static unsigned events_of(uint32_t bits)
{
    return (bits & EPOLLIN ? STK_READABLE : 0U) | (bits & EPOLLOUT ? STK_WRITABLE : 0U) |
           (bits & (EPOLLERR | EPOLLHUP) ? STK_HANGUP : 0U);
}

static int epoll_change(void *state, struct stk_watch *watch, unsigned before)
{
    struct epoll_state *epoll = state;
    struct epoll_event event = {.events = bits_of(watch->events), .data.ptr = watch};
    int operation = before ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (reactor_files_has(&epoll->files, watch)) {
        if (!watch->events)
            reactor_files_remove(&epoll->files, watch);
        return 0;
    }
    if (!watch->events)
        operation = EPOLL_CTL_DEL;
    if (stk_sys.epoll_ctl(epoll->fd, operation, watch->fd, &event) == 0)
        return 0;
    if (errno == EPERM && operation == EPOLL_CTL_ADD)
        return reactor_files_add(&epoll->files, watch);
    return -errno;
}

static struct timespec timespec_of(int64_t us)
{
    return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

/* Rounded up: a wait that ends too early would only begin again. */
static int milliseconds_of(int64_t us)
{
    if (us < 0)
        return -1;
    return us / 1000 >= INT32_MAX - 1 ? INT32_MAX : (int)((us + 999) / 1000);
}

static int wait_kernel(struct epoll_state *epoll, struct epoll_event *events, int64_t timeout_us)
{
    const struct timespec timeout = timespec_of(timeout_us);
    int count = -1;

    if (!epoll->only_milliseconds && timeout_us > 0) {
        count = epoll_pwait2(epoll->fd, events, EVENTS_PER_WAIT, &timeout, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM))
            return count;
        epoll->only_milliseconds = true;
    }
    return epoll_wait(epoll->fd, events, EVENTS_PER_WAIT, milliseconds_of(timeout_us));
}

static int epoll_wait_ready(void *state, struct stk_loop *loop, int64_t timeout_us)
{
    struct epoll_state *epoll = state;
    struct epoll_event events[EVENTS_PER_WAIT];
    const bool files = reactor_files_ready(&epoll->files, loop);
    const int count = wait_kernel(epoll, events, files ? 0 : timeout_us);

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++)
        stk_backend_ready(loop, events[i].data.ptr, events_of(events[i].events));
    return 0;
}

const struct stk_backend reactor_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .change = epoll_change,
    .wait = epoll_wait_ready,
    .state_size = sizeof(struct epoll_state),
};
