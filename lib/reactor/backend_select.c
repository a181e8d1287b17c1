#include "backend.h"
#include "fd_table.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/select.h>

struct select_state {
    struct reactor_fd_table table;
    fd_set readable, writable;
    int count; /* one more than the highest descriptor that was ever watched */
};

static int select_open(void *state)
{
    struct select_state *all = state;

    FD_ZERO(&all->readable);
    FD_ZERO(&all->writable);
    return 0;
}

static void select_close(void *state)
{
    struct select_state *all = state;

    reactor_fd_table_free(&all->table);
}

static int add(struct select_state *all, struct stk_watch *watch)
{
    if (watch->fd >= FD_SETSIZE)
        return STK_ELIMIT;
    if (watch->fd >= all->count)
        all->count = watch->fd + 1;
    return reactor_fd_table_add(&all->table, watch);
}

static void set_bit(fd_set *set, int fd, bool on)
{
    if (on)
        FD_SET(fd, set);
    else
        FD_CLR(fd, set);
}

static int select_change(void *state, struct stk_watch *watch, unsigned before)
{
    struct select_state *all = state;
    const int result = before ? 0 : add(all, watch);

    if (result < 0)
        return result;
    if (!watch->events)
        reactor_fd_table_remove(&all->table, watch);
    set_bit(&all->readable, watch->fd, watch->events & STK_READABLE);
    set_bit(&all->writable, watch->fd, watch->events & STK_WRITABLE);
    return 0;
}

/* select() folds a hang-up into "readable"; poll() of the one descriptor tells them apart. */
static bool hangs_up(int fd)
{
    struct pollfd one = {.fd = fd};

    return poll(&one, 1, 0) > 0 && one.revents & (POLLERR | POLLHUP | POLLNVAL);
}

static void report(struct stk_loop *loop, struct stk_watch *watch, unsigned events)
{
    stk_backend_ready(loop, watch, events | (hangs_up(watch->fd) ? STK_HANGUP : 0U));
}

static int select_wait(void *state, struct stk_loop *loop, int64_t timeout_us)
{
    struct select_state *all = state;
    const struct timespec timeout = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    fd_set readable = all->readable, writable = all->writable;
    const int count =
        pselect(all->count, &readable, &writable, NULL, timeout_us < 0 ? NULL : &timeout, NULL);

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int fd = 0; count > 0 && fd < all->count; fd++) {
        const unsigned events = (FD_ISSET(fd, &readable) ? STK_READABLE : 0U) |
                                (FD_ISSET(fd, &writable) ? STK_WRITABLE : 0U);

        if (events)
            report(loop, all->table.slots[fd], events);
    }
    return 0;
}

const struct stk_backend reactor_select = {
    .name = "select",
    .open = select_open,
    .close = select_close,
    .change = select_change,
    .wait = select_wait,
    .state_size = sizeof(struct select_state),
};
