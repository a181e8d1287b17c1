/*
 * What a back end of the reactor is: how it waits, and what time it is. The kernel's ones are
 * in this room; lib/sim brings one whose clock is virtual; a program with a loop of its own
 * can bring another.
 */
#ifndef STK_REACTOR_BACKEND_H
#define STK_REACTOR_BACKEND_H

#include "reactor.h"

struct stk_backend {
    const char *name;
    /* Opens; `state` is `state_size` zeroed bytes, or what the caller gave to stk_loop_new_on(). */
    int (*open)(void *state);
    void (*close)(void *state);
    /*
     * The events asked for change from `before` to watch->events; 0 means not watched, which can't
     * fail. 0 or an error. The loop watches one descriptor of its own, to be woken from other
     * threads and by signals. A back end that can't watch it returns -ENOSYS for it: then posts,
     * signals and finished jobs are seen between its waits.
     */
    int (*change)(void *state, struct stk_watch *watch, unsigned before);
    /*
     * Waits until something is ready or `timeout_us` is over (-1: for ever, 0: does not wait) and
     * reports with stk_backend_ready(). EINTR is not an error.
     */
    int (*wait)(void *state, struct stk_loop *loop, int64_t timeout_us);
    uint64_t (*now_us)(void *state);                    /* NULL: CLOCK_MONOTONIC */
    void (*random)(void *state, void *out, size_t len); /* NULL: the kernel's */
    size_t state_size;
};

/* For use inside wait(): this watch holds these of its events. Bits not asked for are dropped. */
void stk_backend_ready(struct stk_loop *loop, struct stk_watch *watch, unsigned events);

#endif
