/* What a loop is made of, and what the files of this room do for it. Private. */
#ifndef STK_REACTOR_LOOP_H
#define STK_REACTOR_LOOP_H

#include "backend.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    REACTOR_TASKS_PER_TURN = 1024,
    REACTOR_TIMERS_PER_TURN = 4096,
    REACTOR_POSTS_PER_TURN = 1024,
    REACTOR_JOBS_PER_TURN = 1024,
};

struct reactor_pool;
struct reactor_datum;

struct reactor_timers {
    struct stk_timer *root;
    uint64_t sequence; /* of the timer that was armed last */
};

struct reactor_posts {
    pthread_mutex_t mutex;
    struct stk_node queue;
};

/* What the signal handler sees of a loop. It is linked while the loop watches any signal. */
struct reactor_sink {
    _Atomic(struct reactor_sink *) next;
    _Atomic uint64_t wanted, pending; /* bit signo - 1 */
    struct stk_loop *loop;
    bool linked;
};

struct stk_loop {
    const struct stk_backend *backend;
    void *backend_state;
    bool owns_state;
    bool turning, stopped, ending;
    uint64_t now_us;

    struct stk_node ready; /* watches that the last wait found */
    unsigned watch_count;  /* with events, but for the loop's own */
    struct stk_watch wake;
    atomic_bool woken; /* the wake-up is written and not yet read */

    struct reactor_timers timers;
    struct stk_node tasks;
    struct reactor_posts posts;
    struct reactor_sink sink;
    struct stk_node signals, signals_to_call; /* the latter while they are called */
    struct stk_node backoffs;                 /* resting */

    struct reactor_pool *pool; /* NULL until the first job */
    unsigned worker_threads, worker_queue;
    unsigned job_count; /* submitted and not yet done */

    struct reactor_datum *data;
    unsigned data_count;
};

/* Each returns how many callbacks ran. */
unsigned reactor_run_watches(struct stk_loop *loop);
unsigned reactor_run_timers(struct stk_loop *loop);
unsigned reactor_run_posts(struct stk_loop *loop);
unsigned reactor_run_signals(struct stk_loop *loop);
unsigned reactor_run_jobs(struct stk_loop *loop);
unsigned reactor_run_tasks(struct stk_loop *loop);

/* When the first timer is due; false without timers. */
bool reactor_next_timer(struct stk_loop *loop, uint64_t *due_us);
bool reactor_has_posts(struct stk_loop *loop);

int reactor_wake_open(struct stk_loop *loop);
void reactor_wake_close(struct stk_loop *loop);

/* Makes the loop look for children again, as if SIGCHLD had come. */
void reactor_signal_pretend(struct stk_loop *loop, int signo);

/* Cancels what waits, joins the threads and hands out what they have done. */
void reactor_pool_close(struct stk_loop *loop);

void reactor_data_free(struct stk_loop *loop);

extern const struct stk_backend reactor_epoll, reactor_io_uring, reactor_poll, reactor_select;

#endif
