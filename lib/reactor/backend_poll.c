#include "backend.h"
#include "fd_table.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <time.h>

enum { FIRST_CAPACITY = 16 };

struct poll_state {
    struct reactor_fd_table table;
    struct pollfd *fds; /* dense; a watch's backend_data is its place here plus one */
    unsigned count, capacity;
};

static int poll_open(void *state)
{
    (void)state;
    return 0;
}

static void poll_close(void *state)
{
    struct poll_state *all = state;

    assert(all->count == 0);
    reactor_fd_table_free(&all->table);
    stk_free(all->fds);
}

static short bits_of(unsigned events)
{
    return (short)((events & STK_READABLE ? POLLIN : 0) | (events & STK_WRITABLE ? POLLOUT : 0));
}

static unsigned events_of(int bits)
{
    return (bits & POLLIN ? STK_READABLE : 0U) | (bits & POLLOUT ? STK_WRITABLE : 0U) |
           (bits & (POLLERR | POLLHUP | POLLNVAL) ? STK_HANGUP : 0U);
}

static unsigned place_of(const struct stk_watch *watch)
{
    assert(watch->backend_data);
    return (unsigned)(uintptr_t)watch->backend_data - 1;
}

static void set_place(struct stk_watch *watch, unsigned place)
{
    watch->backend_data = (void *)((uintptr_t)place + 1);
}

static int make_room(struct poll_state *all)
{
    const unsigned capacity = all->capacity ? 2 * all->capacity : FIRST_CAPACITY;
    struct pollfd *fds;

    if (all->count < all->capacity)
        return 0;
    fds = stk_realloc(all->fds, capacity * sizeof *fds);
    if (!fds)
        return -ENOMEM;
    all->fds = fds;
    all->capacity = capacity;
    return 0;
}

static int add(struct poll_state *all, struct stk_watch *watch)
{
    int result = make_room(all);

    if (result == 0)
        result = reactor_fd_table_add(&all->table, watch);
    if (result < 0)
        return result;
    all->fds[all->count] = (struct pollfd){.fd = watch->fd, .events = bits_of(watch->events)};
    set_place(watch, all->count++);
    return 0;
}

/* The last one moves into the gap. */
static void remove_watch(struct poll_state *all, struct stk_watch *watch)
{
    const unsigned place = place_of(watch);

    all->fds[place] = all->fds[--all->count];
    set_place(all->table.slots[all->fds[place].fd], place);
    reactor_fd_table_remove(&all->table, watch);
    watch->backend_data = NULL;
}

static int poll_change(void *state, struct stk_watch *watch, unsigned before)
{
    struct poll_state *all = state;

    if (!before)
        return add(all, watch);
    if (watch->events)
        all->fds[place_of(watch)].events = bits_of(watch->events);
    else
        remove_watch(all, watch);
    return 0;
}

static int poll_wait(void *state, struct stk_loop *loop, int64_t timeout_us)
{
    struct poll_state *all = state;
    const struct timespec timeout = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
    int left = ppoll(all->fds, all->count, timeout_us < 0 ? NULL : &timeout, NULL);

    if (left < 0)
        return errno == EINTR ? 0 : -errno;
    for (unsigned i = 0; left > 0 && i < all->count; i++) {
        if (!all->fds[i].revents)
            continue;
        stk_backend_ready(loop, all->table.slots[all->fds[i].fd], events_of(all->fds[i].revents));
        left--;
    }
    return 0;
}

const struct stk_backend reactor_poll = {
    .name = "poll",
    .open = poll_open,
    .close = poll_close,
    .change = poll_change,
    .wait = poll_wait,
    .state_size = sizeof(struct poll_state),
};
