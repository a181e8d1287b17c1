#include "loop.h"

#include <assert.h>

void stk_watch_init(struct stk_watch *watch, struct stk_loop *loop, int fd, stk_watch_fn *fn)
{
    *watch = (struct stk_watch){.fn = fn, .fd = fd, .loop = loop};
    stk_list_init(&watch->node);
}

/* The loop's own watch keeps no loop alive. */
static void count_change(struct stk_watch *watch, unsigned before)
{
    struct stk_loop *loop = watch->loop;

    if (watch == &loop->wake || !before == !watch->events)
        return;
    if (before) {
        assert(loop->watch_count > 0);
        loop->watch_count--;
    } else {
        loop->watch_count++;
    }
}

int stk_watch_set(struct stk_watch *watch, unsigned events)
{
    const struct stk_backend *backend = watch->loop->backend;
    const unsigned before = watch->events;
    int result;

    assert(!(events & ~(unsigned)(STK_READABLE | STK_WRITABLE)));
    if (events == before)
        return 0;
    watch->events = events;
    result = backend->change(watch->loop->backend_state, watch, before);
    if (result < 0 && events) {
        watch->events = before;
        return result;
    }
    if (!events)
        stk_list_remove(&watch->node);
    count_change(watch, before);
    return 0;
}

void stk_watch_stop(struct stk_watch *watch)
{
    stk_watch_set(watch, 0);
    assert(stk_list_empty(&watch->node));
}

void stk_backend_ready(struct stk_loop *loop, struct stk_watch *watch, unsigned events)
{
    assert(watch->loop == loop && watch->events);
    if (events & STK_HANGUP)
        events |= watch->events;
    events &= watch->events | STK_HANGUP;
    if (!events)
        return;
    if (stk_list_empty(&watch->node)) {
        watch->ready = 0;
        stk_list_append(&loop->ready, &watch->node);
    }
    watch->ready |= events;
}

/* What is ready was found before any callback ran: a callback may have lost interest since. */
static bool run_one(struct stk_watch *watch)
{
    const unsigned events = watch->ready & (watch->events | STK_HANGUP);

    if (!events)
        return false;
    watch->fn(watch, events);
    return true;
}

unsigned reactor_run_watches(struct stk_loop *loop)
{
    struct stk_node *node;
    unsigned count = 0;

    while ((node = stk_list_pop(&loop->ready)) != NULL) {
        struct stk_watch *watch = STK_CONTAINER(node, struct stk_watch, node);

        count += run_one(watch) && watch != &loop->wake;
    }
    return count;
}
