#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DEFAULT_WORKER_THREADS = 4,
    DEFAULT_WORKER_QUEUE = 1024,
    LAST_ROUNDS_MAX = 10000, /* of tasks and posts that a loop being freed still runs */
};

static const struct stk_backend *const backends[] = {
    &reactor_epoll,
#ifdef HAVE_LIBURING
    &reactor_io_uring,
#endif
    &reactor_poll,
    &reactor_select,
};

enum { BACKEND_COUNT = sizeof backends / sizeof backends[0] };

const char *const *stk_loop_backend_names(void)
{
    static const char *const names[BACKEND_COUNT + 1] = {
        "epoll",
#ifdef HAVE_LIBURING
        "io_uring",
#endif
        "poll",     "select", NULL,
    };

    return names;
}

static const struct stk_backend *find_backend(const char *name)
{
    if (!name)
        name = getenv("STK_REACTOR");
    if (!name || !*name)
        return backends[0];
    for (int i = 0; i < BACKEND_COUNT; i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    return NULL;
}

static uint64_t read_clock(const struct stk_loop *loop)
{
    struct timespec now;

    if (loop->backend->now_us)
        return loop->backend->now_us(loop->backend_state);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int open_parts(struct stk_loop *loop)
{
    int result = loop->backend->open(loop->backend_state);

    if (result < 0)
        return result;
    result = reactor_wake_open(loop);
    if (result < 0)
        loop->backend->close(loop->backend_state);
    return result;
}

static void init_lists(struct stk_loop *loop)
{
    stk_list_init(&loop->ready);
    stk_list_init(&loop->tasks);
    stk_list_init(&loop->signals);
    stk_list_init(&loop->signals_to_call);
    stk_list_init(&loop->backoffs);
    loop->sink.loop = loop;
}

/* `state` NULL: the loop makes the back end's state and owns it. */
static int loop_new(const struct stk_backend *backend, void *state,
                    const struct stk_loop_options *options, struct stk_loop **out)
{
    struct stk_loop *loop = stk_alloc_zero(sizeof *loop);
    int result = -ENOMEM;

    if (!loop)
        return -ENOMEM;
    init_lists(loop);
    loop->backend = backend;
    loop->owns_state = !state;
    loop->backend_state = state ? state : stk_alloc_zero(backend->state_size);
    loop->worker_threads =
        options && options->worker_threads ? options->worker_threads : DEFAULT_WORKER_THREADS;
    loop->worker_queue =
        options && options->worker_queue ? options->worker_queue : DEFAULT_WORKER_QUEUE;

    if (loop->backend_state)
        result = open_parts(loop);
    if (result < 0) {
        if (loop->owns_state)
            stk_free(loop->backend_state);
        stk_free(loop);
        return result;
    }
    loop->now_us = read_clock(loop);
    *out = loop;
    return 0;
}

int stk_loop_new(const struct stk_loop_options *options, struct stk_loop **out)
{
    const struct stk_backend *backend = find_backend(options ? options->backend : NULL);

    if (!backend)
        return -ENOSYS;
    return loop_new(backend, NULL, options, out);
}

int stk_loop_new_on(const struct stk_backend *backend, void *state, struct stk_loop **out)
{
    return loop_new(backend, state, NULL, out);
}

/* Whatever was promised to run at the end of a turn runs now; what it promises in turn as well. */
static void run_what_is_left(struct stk_loop *loop)
{
    bool more = true;

    loop->turning = true;
    for (int i = 0; more && i < LAST_ROUNDS_MAX; i++)
        more = reactor_run_posts(loop) + reactor_run_tasks(loop) > 0;
    loop->turning = false;
    assert(!more);
}

void stk_loop_free(struct stk_loop *loop)
{
    if (!loop)
        return;
    assert(!loop->turning);
    loop->ending = true;
    reactor_pool_close(loop);
    run_what_is_left(loop);
    while (loop->data_count > 0) { /* the last tasks may have needed a room's data again */
        reactor_data_free(loop);
        run_what_is_left(loop);
    }
    assert(!loop->timers.root && loop->watch_count == 0);
    assert(stk_list_empty(&loop->signals) && stk_list_empty(&loop->backoffs));

    reactor_wake_close(loop);
    loop->backend->close(loop->backend_state);
    if (loop->owns_state)
        stk_free(loop->backend_state);
    stk_free(loop);
}

bool stk_loop_is_ending(const struct stk_loop *loop) { return loop->ending; }

/* Something is to be done already, so that waiting would be wrong. */
static bool has_work(struct stk_loop *loop)
{
    return !stk_list_empty(&loop->tasks) || !stk_list_empty(&loop->ready) ||
           atomic_load(&loop->woken) || reactor_has_posts(loop);
}

static int64_t wait_time_us(struct stk_loop *loop, int64_t at_most_us)
{
    uint64_t due_us, delay_us;

    if (has_work(loop))
        return 0;
    if (!reactor_next_timer(loop, &due_us))
        return at_most_us;
    delay_us = due_us > loop->now_us ? due_us - loop->now_us : 0;
    if (at_most_us >= 0 && (uint64_t)at_most_us < delay_us)
        return at_most_us;
    return delay_us < INT64_MAX ? (int64_t)delay_us : INT64_MAX;
}

static int turn(struct stk_loop *loop, int64_t timeout_us)
{
    unsigned count = 0;
    int result;

    loop->now_us = read_clock(loop);
    result = loop->backend->wait(loop->backend_state, loop, wait_time_us(loop, timeout_us));
    loop->now_us = read_clock(loop);
    if (result < 0)
        return result;
    /* Where the back end can't watch the wake-up, the end of its wait stands for it. */
    if (!loop->wake.events)
        atomic_store(&loop->woken, false);

    count += reactor_run_watches(loop);
    count += reactor_run_timers(loop);
    count += reactor_run_signals(loop);
    count += reactor_run_posts(loop);
    count += reactor_run_jobs(loop);
    count += reactor_run_tasks(loop);
    return count > 0;
}

int stk_loop_turn(struct stk_loop *loop, int64_t timeout_us)
{
    int result;

    if (loop->turning)
        return -EBUSY;
    loop->turning = true;
    result = turn(loop, timeout_us);
    loop->turning = false;
    return result;
}

static bool can_wake(struct stk_loop *loop)
{
    return loop->watch_count || loop->job_count || loop->timers.root ||
           !stk_list_empty(&loop->signals) || has_work(loop);
}

int stk_loop_run(struct stk_loop *loop)
{
    int result = 0;

    if (loop->turning)
        return -EBUSY;
    while (result >= 0 && !loop->stopped && can_wake(loop))
        result = stk_loop_turn(loop, -1);
    loop->stopped = false;
    return result < 0 ? result : 0;
}

int stk_loop_drain(struct stk_loop *loop, uint64_t timeout_us)
{
    const uint64_t begin_us = stk_loop_update_now_us(loop);
    const uint64_t end_us = timeout_us < INT64_MAX - begin_us ? begin_us + timeout_us : INT64_MAX;
    int result = 0;

    while (result >= 0 && can_wake(loop) && stk_loop_update_now_us(loop) < end_us)
        result = stk_loop_turn(loop, (int64_t)(end_us - loop->now_us));
    return result < 0 ? result : 0;
}

void stk_loop_stop(struct stk_loop *loop) { loop->stopped = true; }

const char *stk_loop_backend_name(const struct stk_loop *loop) { return loop->backend->name; }

uint64_t stk_loop_now_us(const struct stk_loop *loop)
{
    return loop->turning ? loop->now_us : read_clock(loop);
}

uint64_t stk_loop_update_now_us(struct stk_loop *loop)
{
    loop->now_us = read_clock(loop);
    return loop->now_us;
}

void stk_loop_random(struct stk_loop *loop, void *out, size_t len)
{
    if (loop->backend->random)
        loop->backend->random(loop->backend_state, out, len);
    else
        stk_random_secret(out, len);
}
