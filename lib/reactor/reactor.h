/*
 * The reactor: one event loop, one thread.
 *
 * A loop turns: it waits for file descriptors and the next timer, runs what is due, then runs
 * the tasks that were deferred meanwhile. Everything here is called from the loop's own thread,
 * except stk_loop_post() and stk_loop_wake(), which any thread may call.
 *
 * Watches, timers, tasks, signals and children are structs that the caller embeds and owns.
 * They must be stopped before their memory goes; stopping one from inside any callback,
 * its own included, is allowed and takes effect at once: no callback follows.
 *
 * Times are microseconds on the loop's monotonic clock.
 */
#ifndef STK_REACTOR_REACTOR_H
#define STK_REACTOR_REACTOR_H

#include "base.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct stk_loop;
struct stk_backend;

struct stk_loop_options {
    const char *backend; /* "epoll", "io_uring", "poll", "select"; NULL: STK_REACTOR, else epoll */
    unsigned worker_threads; /* at most, started when first needed; 0: 4 */
    unsigned worker_queue;   /* jobs that may wait; 0: 1024 */
};

/* `options` may be NULL. -ENOSYS if the back end is unknown or the kernel refuses it. */
int stk_loop_new(const struct stk_loop_options *options, struct stk_loop **out);
/* A loop on a back end of the caller's (backend.h); `state` is passed to each of its functions. */
int stk_loop_new_on(const struct stk_backend *backend, void *state, struct stk_loop **out);
/* Runs what is deferred, joins the workers, frees. All watches and timers must be stopped. */
void stk_loop_free(struct stk_loop *loop);
/* True once stk_loop_free() has begun: a callback that runs meanwhile must begin nothing new. */
bool stk_loop_is_ending(const struct stk_loop *loop);

/* Turns until stk_loop_stop(), or until nothing is left that could ever wake it. Returns 0 or an
 * error; -EBUSY from inside a turn. */
int stk_loop_run(struct stk_loop *loop);
/* One turn that waits at most `timeout_us` (-1: for ever). Returns 1 if anything ran, 0 if not, or
 * an error. */
int stk_loop_turn(struct stk_loop *loop, int64_t timeout_us);
/* Turns until nothing is left that could ever wake it, or the time is over: for the end of a
 * program. */
int stk_loop_drain(struct stk_loop *loop, uint64_t timeout_us);
/* The turn goes on to its end. Without a running loop it ends the next stk_loop_run() at once. */
void stk_loop_stop(struct stk_loop *loop);
const char *stk_loop_backend_name(const struct stk_loop *loop);
/* The names of the back ends that are built in, NULL-terminated. */
const char *const *stk_loop_backend_names(void);

/* The time at which this turn's wait ended; cheap. Outside of a turn it reads the clock. */
uint64_t stk_loop_now_us(const struct stk_loop *loop);
/* Reads the clock again: for a callback that computed for long. */
uint64_t stk_loop_update_now_us(struct stk_loop *loop);
/* Unpredictable bytes; a simulated loop gives its seed's instead. */
void stk_loop_random(struct stk_loop *loop, void *out, size_t len);

/*
 * A pointer that a room keeps with the loop; the key is the address of one of its static variables.
 * `destroy` (may be NULL) is called when it is replaced or the loop goes. -ENOMEM.
 */
int stk_loop_set_data(struct stk_loop *loop, const void *key, void *data, void (*destroy)(void *));
void *stk_loop_data(const struct stk_loop *loop, const void *key);

/* --- File descriptors -------------------------------------------------------------------- */

enum stk_watch_event {
    STK_READABLE = 1,
    STK_WRITABLE = 2,
    STK_HANGUP = 4, /* reported, never asked for: error or both directions closed */
};

struct stk_watch;
typedef void stk_watch_fn(struct stk_watch *watch, unsigned events);

struct stk_watch {
    stk_watch_fn *fn;
    int fd;
    unsigned events; /* asked for; change with stk_watch_set() only */
    unsigned ready;  /* the loop's: found by this turn's wait */
    struct stk_node node;
    struct stk_loop *loop;
    void *backend_data;
};

/*
 * `fd` stays the caller's and must be non-blocking. Starts with no events asked for. A loop takes
 * one watch with events for each descriptor.
 */
void stk_watch_init(struct stk_watch *watch, struct stk_loop *loop, int fd, stk_watch_fn *fn);
/*
 * Level-triggered: called in each turn while an asked event holds. A regular file is always ready.
 * A hang-up is reported together with the events asked for, so that reading or writing shows its
 * cause. 0, -EBADF, -EEXIST, -ENOMEM, or STK_ELIMIT where the back end can't take so high an fd.
 */
int stk_watch_set(struct stk_watch *watch, unsigned events);
/* Never fails. Must precede close(fd). */
void stk_watch_stop(struct stk_watch *watch);

/* --- Timers ------------------------------------------------------------------------------ */

struct stk_timer;
typedef void stk_timer_fn(struct stk_timer *timer);

/* An intrusive heap node: arming never fails and allocates nothing. */
struct stk_timer {
    stk_timer_fn *fn;
    struct stk_loop *loop;
    uint64_t due_us;       /* when it shall fire */
    uint64_t key_us;       /* where it stands in the heap: never later than due_us */
    uint64_t sequence;     /* equal times fire in the order of arming */
    uint64_t key_sequence; /* with key_us: its place in the heap */
    struct stk_timer *child, *next, *prev;
    bool armed;
};

void stk_timer_init(struct stk_timer *timer, struct stk_loop *loop, stk_timer_fn *fn);
/*
 * Arms or re-arms at an absolute time; one that is over already counts as now. Moving a timer to a
 * later time costs O(1). A timer that is armed by a timer never fires in the same turn.
 */
void stk_timer_at(struct stk_timer *timer, uint64_t due_us);
void stk_timer_in(struct stk_timer *timer, uint64_t delay_us);
void stk_timer_stop(struct stk_timer *timer);
static inline bool stk_timer_armed(const struct stk_timer *timer) { return timer->armed; }

/* --- Tasks: work for the end of this turn ------------------------------------------------- */

struct stk_task;
typedef void stk_task_fn(struct stk_task *task);

struct stk_task {
    stk_task_fn *fn;
    struct stk_loop *loop;
    struct stk_node node;
};

void stk_task_init(struct stk_task *task, struct stk_loop *loop, stk_task_fn *fn);
/*
 * Queues it once, however often it is called. Tasks that are queued by tasks run in the same turn,
 * up to a bound, then in the next one, which does not wait: descriptors and timers can't starve.
 */
void stk_task_queue(struct stk_task *task);
void stk_task_stop(struct stk_task *task);

/* --- From other threads ------------------------------------------------------------------- */

/* Calls fn(arg) in the loop's thread. Any thread, async-signal-unsafe. 0 or -ENOMEM. */
int stk_loop_post(struct stk_loop *loop, void (*fn)(void *arg), void *arg);
/* Ends the wait of a running turn. Any thread, and signal handlers. */
void stk_loop_wake(struct stk_loop *loop);

/* --- Signals and children ----------------------------------------------------------------- */

struct stk_signal;
typedef void stk_signal_fn(struct stk_signal *signal, int signo);

struct stk_signal {
    stk_signal_fn *fn;
    struct stk_loop *loop;
    int signo;
    struct stk_node node;
};

/* The handler runs in the loop. Several may watch one signal, on several loops; each is called. */
int stk_signal_start(struct stk_signal *signal, struct stk_loop *loop, int signo,
                     stk_signal_fn *fn);
void stk_signal_stop(struct stk_signal *signal); /* the last one restores the former disposition */

struct stk_child;
typedef void stk_child_fn(struct stk_child *child, int wait_status);

struct stk_child {
    stk_child_fn *fn;
    struct stk_loop *loop;
    pid_t pid;
    struct stk_watch watch;   /* a pidfd */
    struct stk_signal signal; /* where the kernel has no pidfds */
};

/*
 * Reaps `pid` and calls once. -ECHILD unless it is a child of this process not yet waited for. A
 * status of -1, which is neither an exit nor a signal, says that somebody else has waited for it.
 */
int stk_child_start(struct stk_child *child, struct stk_loop *loop, pid_t pid, stk_child_fn *fn);
void stk_child_stop(struct stk_child *child); /* the process goes on, and is not reaped */

/* --- Blocking calls ------------------------------------------------------------------------ */

struct stk_job;

struct stk_job {
    void (*work)(struct stk_job *job);             /* in a worker thread: must not touch the loop */
    void (*done)(struct stk_job *job, int status); /* in the loop: 0, or -ECANCELED */
    struct stk_loop *loop;
    struct stk_node node;
    int state;
};

/* -EAGAIN when the queue is full, no thread can be started, or the loop is being freed. The job
 * must live until `done`. */
int stk_job_submit(struct stk_job *job, struct stk_loop *loop);
/* A job that has not begun ends with -ECANCELED; one that runs, runs to its end: then 0. Either way
 * `done` follows. */
void stk_job_cancel(struct stk_job *job);
/* Jobs that are not done yet. stk_loop_free() waits for those that run, however long they take. */
unsigned stk_loop_job_count(const struct stk_loop *loop);

/* --- When descriptors run out --------------------------------------------------------------- */

enum {
    STK_BACKOFF_FIRST_US = 100000, /* the first rest; each failure after it doubles the rest */
    STK_BACKOFF_LONGEST_US = 1000000,
};

/*
 * Lets the watch of a listening socket rest while accept() fails for want of descriptors or
 * memory. The pending connection keeps the socket readable, so that asking again at once would
 * spin. The watch wakes by time, or when stk_loop_close_fd() has freed a descriptor.
 */
struct stk_backoff {
    struct stk_watch *watch;
    struct stk_timer timer;
    struct stk_node node;
    unsigned events; /* what the watch asked for before it rested */
    uint64_t first_us, longest_us, rest_us;
};

void stk_backoff_init(struct stk_backoff *backoff, struct stk_watch *watch);
/*
 * Give it each result of accept(). True: `result` tells of a shortage (-EMFILE, -ENFILE,
 * -ENOBUFS, -ENOMEM), and the watch rests; a success shortens the next rest to the first.
 */
bool stk_backoff_rests(struct stk_backoff *backoff, int result);
/* Must precede stk_watch_stop(). */
void stk_backoff_stop(struct stk_backoff *backoff);
/* Closes through stk_sys, and lets resting watches try again. Returns 0 or an error. */
int stk_loop_close_fd(struct stk_loop *loop, int fd);

#endif
