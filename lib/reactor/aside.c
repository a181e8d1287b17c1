#ifdef HAVE_LIBURING

#include "aside.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>

enum { EVENTS_PER_REPORT = 64 }; /* the set stays ready for the rest */

void reactor_aside_init(struct reactor_aside *aside) { *aside = (struct reactor_aside){.fd = -1}; }

void reactor_aside_close(struct reactor_aside *aside)
{
    if (aside->fd >= 0)
        stk_sys.close(aside->fd);
    aside->fd = -1;
}

static int control(const struct reactor_aside *aside, int operation, struct stk_watch *watch)
{
    struct epoll_event event = {
        .events = (watch->events & STK_READABLE ? (uint32_t)EPOLLIN : 0) |
                  (watch->events & STK_WRITABLE ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = watch,
    };

    return stk_sys.epoll_ctl(aside->fd, operation, watch->fd, &event) < 0 ? -errno : 0;
}

int reactor_aside_add(struct reactor_aside *aside, struct stk_watch *watch)
{
    if (aside->fd < 0)
        aside->fd = stk_sys.epoll_create1(EPOLL_CLOEXEC);
    if (aside->fd < 0)
        return -errno;
    const int code = control(aside, EPOLL_CTL_ADD, watch);
    if (code == 0)
        aside->count++;
    return code;
}

int reactor_aside_change(struct reactor_aside *aside, struct stk_watch *watch)
{
    assert(aside->count > 0);
    if (watch->events)
        return control(aside, EPOLL_CTL_MOD, watch);
    control(aside, EPOLL_CTL_DEL, watch);
    aside->count--;
    return 0;
}

static unsigned events_of(uint32_t bits)
{
    return (bits & EPOLLIN ? STK_READABLE : 0U) | (bits & EPOLLOUT ? STK_WRITABLE : 0U) |
           (bits & (EPOLLERR | EPOLLHUP) ? STK_HANGUP : 0U);
}

void reactor_aside_report(struct reactor_aside *aside, struct stk_loop *loop)
{
    struct epoll_event events[EVENTS_PER_REPORT];
    const int count = epoll_wait(aside->fd, events, EVENTS_PER_REPORT, 0);

    for (int i = 0; i < count; i++)
        stk_backend_ready(loop, events[i].data.ptr, events_of(events[i].events));
}

#else

/* An empty translation unit is not C. */
typedef int reactor_aside_is_not_built;

#endif
