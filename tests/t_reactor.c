/*
 * Goal: the rules of docs/reactor.md on watches, tasks and turns hold on every back end.
 * Method: pipes, socket pairs and a file; callbacks that stop, close and add from inside.
 */
#include "every_backend.h"
#include "fault.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

static char trace[512];
static int calls;

static void begin(void)
{
    trace[0] = '\0';
    calls = 0;
}

static void note(const char *text) { strncat(trace, text, sizeof trace - strlen(trace) - 1); }

static void make_pair(int fds[2])
{
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void close_pair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void count_call(struct stk_watch *watch, unsigned events)
{
    (void)watch;
    calls++;
    snprintf(trace, sizeof trace, "%u", events);
}

/* --- Watches -------------------------------------------------------------------------------- */

static void level(struct stk_loop *loop)
{
    struct stk_watch watch;
    int fds[2];
    char byte;

    begin();
    make_pair(fds);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    CU_ASSERT_EQUAL(write(fds[1], "ab", 2), 2);
    for (int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 5);
    CU_ASSERT_EQUAL(read(fds[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(read(fds[0], &byte, 1), 1);
    /* io_uring may have looked before the last byte went. */
    stk_loop_turn(loop, 0);
    calls = 0;
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    CU_ASSERT_EQUAL(calls, 0);
    stk_watch_stop(&watch);
    close_pair(fds);
}

static void an_event_is_reported_in_each_turn_while_it_holds(void) { on_every_backend(level); }

static void interest(struct stk_loop *loop)
{
    struct stk_watch watch;
    int fds[2];

    begin();
    make_pair(fds);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(write(fds[1], "a", 1), 1);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_WRITABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "2");
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE | STK_WRITABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "3");
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "1");
    CU_ASSERT_EQUAL(stk_watch_set(&watch, 0), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 4);
    stk_watch_stop(&watch);
    close_pair(fds);
}

static void only_what_is_asked_for_is_reported(void) { on_every_backend(interest); }

/* A poll that waits in the kernel learns that more is asked for. */
static void widen(struct stk_loop *loop)
{
    struct stk_watch watch;
    int fds[2];

    begin();
    make_pair(fds);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE | STK_WRITABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "2");
    stk_watch_stop(&watch);
    close_pair(fds);
}

static void interest_that_grows_is_seen_at_once(void) { on_every_backend(widen); }

static void hang_up(struct stk_loop *loop)
{
    struct stk_watch watch;
    int fds[2];

    begin();
    CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_NONBLOCK), 0);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    close(fds[1]);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "5");
    stk_watch_stop(&watch);
    close(fds[0]);

    CU_ASSERT_EQUAL_FATAL(pipe2(fds, O_NONBLOCK), 0);
    stk_watch_init(&watch, loop, fds[1], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_WRITABLE), 0);
    close(fds[0]);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "6");
    stk_watch_stop(&watch);
    close(fds[1]);
}

static void a_hang_up_comes_with_the_events_asked_for(void) { on_every_backend(hang_up); }

/* A loop that finds nothing in its descriptors sleeps. Some turn may end early (EINTR), not many.
 */
static void expect_sleep(struct stk_loop *loop)
{
    enum { SLEEP_US = 20000, TURNS_MAX = 100 };
    const uint64_t end_us = stk_loop_update_now_us(loop) + SLEEP_US;
    int turns = 0;

    for (; turns < TURNS_MAX && stk_loop_update_now_us(loop) < end_us; turns++)
        CU_ASSERT_EQUAL(stk_loop_turn(loop, (int64_t)(end_us - stk_loop_update_now_us(loop))), 0);
    CU_ASSERT_TRUE(turns < TURNS_MAX);
}

static size_t fill(int fd)
{
    static const char block[4096];
    size_t total = 0;

    for (ssize_t n; (n = write(fd, block, sizeof block)) > 0;)
        total += (size_t)n;
    return total;
}

static void empty(int fd, size_t left)
{
    char block[4096];

    for (ssize_t n; left > 0 && (n = read(fd, block, sizeof block)) > 0;)
        left -= (size_t)n;
    CU_ASSERT_EQUAL(left, 0);
}

/* The peer has said its last word, and reads no more: who waits for room waits. */
static void no_room(struct stk_loop *loop)
{
    struct stk_watch watch;
    int fds[2];

    begin();
    make_pair(fds);
    const size_t filled = fill(fds[0]);
    CU_ASSERT_EQUAL(shutdown(fds[1], SHUT_WR), 0);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_WRITABLE), 0);
    expect_sleep(loop);
    CU_ASSERT_EQUAL(calls, 0);

    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE | STK_WRITABLE), 0);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "1");
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_WRITABLE), 0);
    stk_loop_turn(loop, 0);
    expect_sleep(loop);

    empty(fds[1], filled);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "2");
    CU_ASSERT_EQUAL(stk_watch_set(&watch, 0), 0);
    expect_sleep(loop);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_WRITABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    close(fds[1]);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "6");
    stk_watch_stop(&watch);
    close(fds[0]);
}

static void who_waits_for_room_is_not_woken_by_the_peers_end(void) { on_every_backend(no_room); }

static void regular_file(struct stk_loop *loop)
{
    struct stk_watch watch, again;
    char path[] = "/tmp/stk-reactor-XXXXXX";
    const int fd = mkstemp(path);

    begin();
    CU_ASSERT_FATAL(fd >= 0);
    unlink(path);
    stk_watch_init(&watch, loop, fd, count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE | STK_WRITABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "3");
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_WRITABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "2");
    stk_watch_init(&again, loop, fd, count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&again, STK_READABLE), -EEXIST);
    stk_watch_stop(&watch);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    close(fd);
}

static void a_regular_file_is_always_ready(void) { on_every_backend(regular_file); }

static void twice(struct stk_loop *loop)
{
    struct stk_watch one, two;
    int fds[2];

    make_pair(fds);
    stk_watch_init(&one, loop, fds[0], count_call);
    stk_watch_init(&two, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&one, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_watch_set(&two, STK_READABLE), -EEXIST);
    CU_ASSERT_EQUAL(two.events, 0);
    stk_watch_stop(&one);
    CU_ASSERT_EQUAL(stk_watch_set(&two, STK_READABLE), 0);
    stk_watch_stop(&two);
    stk_watch_init(&one, loop, 1000000, count_call);
    CU_ASSERT_TRUE(stk_watch_set(&one, STK_READABLE) < 0);
    stk_watch_init(&one, loop, -1, count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&one, STK_READABLE), -EBADF);
    stk_watch_stop(&one);
    close_pair(fds);
}

static void a_descriptor_has_one_watch_and_is_open(void) { on_every_backend(twice); }

enum { CROWD = 20 };

static struct {
    struct stk_watch watches[CROWD];
    int fds[CROWD][2];
    int victims;
} crowd;

/* The first to be called stops and closes all the others. */
static void close_the_others(struct stk_watch *watch, unsigned events)
{
    (void)events;
    calls++;
    for (int i = 0; i < CROWD; i++) {
        if (&crowd.watches[i] == watch)
            continue;
        stk_watch_stop(&crowd.watches[i]);
        close_pair(crowd.fds[i]);
        memset(&crowd.watches[i], 0xee, sizeof crowd.watches[i]);
        crowd.victims++;
    }
    stk_watch_stop(watch);
}

static void close_others(struct stk_loop *loop)
{
    int survivor = -1;

    begin();
    crowd.victims = 0;
    for (int i = 0; i < CROWD; i++) {
        make_pair(crowd.fds[i]);
        stk_watch_init(&crowd.watches[i], loop, crowd.fds[i][0], close_the_others);
        CU_ASSERT_EQUAL(stk_watch_set(&crowd.watches[i], STK_READABLE), 0);
        CU_ASSERT_EQUAL(write(crowd.fds[i][1], "x", 1), 1);
    }
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_EQUAL(crowd.victims, CROWD - 1);
    for (int i = 0; i < CROWD; i++)
        if (crowd.watches[i].fn == close_the_others)
            survivor = i;
    CU_ASSERT_FATAL(survivor >= 0);
    close_pair(crowd.fds[survivor]);
}

static void a_callback_may_stop_and_close_any_other(void) { on_every_backend(close_others); }

/* A descriptor number that is closed and opened again in one turn is a new descriptor. */
static void reuse(struct stk_loop *loop)
{
    struct stk_watch watch;
    int fds[2], other[2];

    begin();
    make_pair(fds);
    CU_ASSERT_EQUAL(write(fds[1], "x", 1), 1);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    stk_watch_stop(&watch);
    make_pair(other);
    CU_ASSERT_EQUAL(dup2(other[0], fds[0]), fds[0]);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    CU_ASSERT_EQUAL(write(other[1], "y", 1), 1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 2);
    stk_watch_stop(&watch);
    close_pair(fds);
    close_pair(other);
}

static void a_reused_number_is_a_new_descriptor(void) { on_every_backend(reuse); }

/* The peer must see the end of the stream as soon as a stopped descriptor is closed. */
static void really_closed(struct stk_loop *loop)
{
    struct stk_watch watch;
    int fds[2];
    char byte;

    make_pair(fds);
    stk_watch_init(&watch, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    stk_watch_stop(&watch);
    close(fds[0]);
    CU_ASSERT_EQUAL(read(fds[1], &byte, 1), 0);
    close(fds[1]);
}

static void closing_after_stop_really_closes(void) { on_every_backend(really_closed); }

static void many(struct stk_loop *loop)
{
    enum { MANY = 300 };
    static struct stk_watch watches[MANY];
    static int fds[MANY][2];

    begin();
    for (int i = 0; i < MANY; i++) {
        make_pair(fds[i]);
        stk_watch_init(&watches[i], loop, fds[i][0], count_call);
        CU_ASSERT_EQUAL(stk_watch_set(&watches[i], STK_WRITABLE), 0);
    }
    /* However much a back end takes from the kernel at once, none is starved. */
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_TRUE(calls >= 2 * MANY);
    for (int i = 0; i < MANY; i++) {
        stk_watch_stop(&watches[i]);
        close_pair(fds[i]);
    }
}

static void three_hundred_ready_watches_all_get_their_turn(void) { on_every_backend(many); }

static void a_descriptor_too_high_for_select_is_a_clear_error(void)
{
    struct rlimit former, wanted;
    struct stk_loop *loop = loop_on("select");
    struct stk_watch watch;
    int fd;

    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &former), 0);
    wanted = former;
    wanted.rlim_cur = former.rlim_max < 2048 ? former.rlim_max : 2048;
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &wanted), 0);
    fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 1500);
    if (fd < 0) {
        stk_test_skip("no descriptor above 1024 is allowed");
    } else {
        stk_watch_init(&watch, loop, fd, count_call);
        CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_READABLE), STK_ELIMIT);
        stk_watch_stop(&watch);
        close(fd);
    }
    setrlimit(RLIMIT_NOFILE, &former);
    stk_loop_free(loop);
}

/* --- Tasks ---------------------------------------------------------------------------------- */

static struct stk_task first_task, second_task, endless_task;
static struct stk_timer starving_timer;

static void first_runs(struct stk_task *task)
{
    (void)task;
    note("first ");
    stk_task_queue(&second_task);
    stk_task_queue(&second_task);
}

static void second_runs(struct stk_task *task)
{
    (void)task;
    note("second ");
}

static void task_order(struct stk_loop *loop)
{
    begin();
    stk_task_init(&first_task, loop, first_runs);
    stk_task_init(&second_task, loop, second_runs);
    stk_task_queue(&first_task);
    stk_task_queue(&first_task);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "first second ");
    stk_task_queue(&second_task);
    stk_task_stop(&second_task);
    stk_task_stop(&second_task);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
}

static void a_task_runs_once_at_the_end_of_the_turn(void) { on_every_backend(task_order); }

static void queue_itself(struct stk_task *task)
{
    calls++;
    stk_task_queue(task);
}

static void end_the_starving(struct stk_timer *timer)
{
    stk_task_stop(&endless_task);
    stk_loop_stop(timer->loop);
}

static void task_bound(struct stk_loop *loop)
{
    begin();
    stk_task_init(&endless_task, loop, queue_itself);
    stk_timer_init(&starving_timer, loop, end_the_starving);
    stk_timer_in(&starving_timer, 1000);
    stk_task_queue(&endless_task);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 1);
    CU_ASSERT_EQUAL(calls, 1024);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls % 1024, 0);
}

static void tasks_that_queue_tasks_starve_nobody(void) { on_every_backend(task_bound); }

/* --- Turns ---------------------------------------------------------------------------------- */

static void order_watch(struct stk_watch *watch, unsigned events)
{
    (void)events;
    note("watch ");
    stk_watch_stop(watch);
    CU_ASSERT_EQUAL(stk_loop_turn(watch->loop, 0), -EBUSY);
    CU_ASSERT_EQUAL(stk_loop_run(watch->loop), -EBUSY);
}

static void order_timer(struct stk_timer *timer)
{
    (void)timer;
    note("timer ");
}

static void order_post(void *arg)
{
    (void)arg;
    note("post ");
}

static void turn_order(struct stk_loop *loop)
{
    struct stk_watch watch;
    struct stk_timer timer;
    int fds[2];

    begin();
    make_pair(fds);
    stk_task_init(&second_task, loop, second_runs);
    stk_task_queue(&second_task);
    CU_ASSERT_EQUAL(stk_loop_post(loop, order_post, NULL), 0);
    stk_timer_init(&timer, loop, order_timer);
    stk_timer_at(&timer, 0);
    stk_watch_init(&watch, loop, fds[0], order_watch);
    CU_ASSERT_EQUAL(stk_watch_set(&watch, STK_WRITABLE), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "watch timer post second ");
    close_pair(fds);
}

static void a_turn_runs_watches_timers_posts_tasks(void) { on_every_backend(turn_order); }

static void run_ends(struct stk_loop *loop)
{
    struct stk_watch idle;
    int fds[2];

    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    make_pair(fds);
    stk_watch_init(&idle, loop, fds[0], count_call);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(stk_watch_set(&idle, STK_READABLE), 0);
    stk_loop_stop(loop);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    stk_watch_stop(&idle);
    close_pair(fds);
}

static void run_returns_when_nothing_can_wake_it(void) { on_every_backend(run_ends); }

static int destroyed;

static void count_destroy(void *data)
{
    (void)data;
    destroyed++;
}

static void data(struct stk_loop *loop)
{
    static int key, other_key;
    int one, two;

    destroyed = 0;
    CU_ASSERT_PTR_NULL(stk_loop_data(loop, &key));
    CU_ASSERT_EQUAL(stk_loop_set_data(loop, &key, &one, count_destroy), 0);
    CU_ASSERT_EQUAL(stk_loop_set_data(loop, &other_key, &two, NULL), 0);
    CU_ASSERT_PTR_EQUAL(stk_loop_data(loop, &key), &one);
    CU_ASSERT_PTR_EQUAL(stk_loop_data(loop, &other_key), &two);
    CU_ASSERT_EQUAL(stk_loop_set_data(loop, &key, &two, count_destroy), 0);
    CU_ASSERT_EQUAL(destroyed, 1);
}

static void rooms_keep_their_data_with_the_loop(void)
{
    on_every_backend(data);
    CU_ASSERT_EQUAL(destroyed, 2);
}

static void names(void)
{
    struct stk_loop *loop = NULL;
    const struct stk_loop_options unknown = {.backend = "kqueue-of-old"};

    CU_ASSERT_EQUAL(stk_loop_new(&unknown, &loop), -ENOSYS);
    CU_ASSERT_PTR_NULL(loop);
    for (const char *const *name = stk_loop_backend_names(); *name; name++) {
        setenv("STK_REACTOR", *name, 1);
        loop = loop_on(NULL);
        if (!loop)
            continue;
        CU_ASSERT_STRING_EQUAL(stk_loop_backend_name(loop), *name);
        stk_loop_free(loop);
    }
    setenv("STK_REACTOR", "nonsense", 1);
    CU_ASSERT_EQUAL(stk_loop_new(NULL, &loop), -ENOSYS);
    unsetenv("STK_REACTOR");
}

/* --- Faults --------------------------------------------------------------------------------- */

static void any_failing_allocation_leaves_no_half_loop(void)
{
    for (const char *const *name = stk_loop_backend_names(); *name; name++) {
        const struct stk_loop_options options = {.backend = *name};
        bool failed = true;

        for (long n = 1; failed; n++) {
            struct stk_loop *loop = NULL;
            const int fds = count_open_fds();
            int result;

            fault_heap_install();
            fault_heap_fail(n, n % 2 ? FAULT_ONCE : FAULT_FROM_THEN_ON);
            result = stk_loop_new(&options, &loop);
            failed = fault_heap_has_failed();
            CU_ASSERT_TRUE(!failed || result == -ENOMEM);
            CU_ASSERT_TRUE(failed || result == 0 || result == -ENOSYS);
            stk_loop_free(loop);
            CU_ASSERT_EQUAL(fault_heap_remove(), 0);
            CU_ASSERT_EQUAL(count_open_fds(), fds);
        }
    }
}

static void fail_site(const char *backend, enum fault_site site)
{
    const struct stk_loop_options options = {.backend = backend};
    const int fds = count_open_fds();
    struct stk_loop *loop = NULL;
    int result;

    fault_heap_install();
    fault_sys_install();
    fault_sys_fail(site, 1, EMFILE, FAULT_ONCE);
    result = stk_loop_new(&options, &loop);
    CU_ASSERT_TRUE(fault_sys_has_failed(site) ? result == -EMFILE : result == 0);
    stk_loop_free(loop);
    fault_sys_remove();
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
    CU_ASSERT_EQUAL(count_open_fds(), fds);
}

static void any_failing_system_call_leaves_no_half_loop(void)
{
    for (const char *const *name = stk_loop_backend_names(); *name; name++) {
        struct stk_loop *loop = loop_on(*name);

        if (!loop)
            continue;
        stk_loop_free(loop);
        fail_site(*name, FAULT_EVENTFD);
        fail_site(*name, FAULT_EPOLL_CREATE1);
        fail_site(*name, FAULT_EPOLL_CTL);
    }
}

static void watch_without_memory(struct stk_loop *loop)
{
    enum { WATCHES = 100 };
    struct stk_watch watches[WATCHES];
    int fds[WATCHES][2], failures = 0;

    for (int i = 0; i < WATCHES; i++) {
        make_pair(fds[i]);
        stk_watch_init(&watches[i], loop, fds[i][0], count_call);
        fault_heap_fail(1, FAULT_ONCE);
        while (stk_watch_set(&watches[i], STK_READABLE) == -ENOMEM) {
            CU_ASSERT_EQUAL(watches[i].events, 0);
            failures++;
        }
        CU_ASSERT_EQUAL(watches[i].events, STK_READABLE);
        fault_heap_fail(0, FAULT_ONCE);
    }
    CU_ASSERT_TRUE(failures > 0 || strcmp(stk_loop_backend_name(loop), "epoll") == 0);
    for (int i = 0; i < WATCHES; i++) {
        stk_watch_stop(&watches[i]);
        close_pair(fds[i]);
    }
}

static void a_watch_without_memory_is_as_it_was(void)
{
    fault_heap_install();
    on_every_backend(watch_without_memory);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static CU_TestInfo tests[] = {
    {"an event is reported in each turn while it holds",
     an_event_is_reported_in_each_turn_while_it_holds},
    {"only what is asked for is reported", only_what_is_asked_for_is_reported},
    {"interest that grows is seen at once", interest_that_grows_is_seen_at_once},
    {"a hang-up comes with the events asked for", a_hang_up_comes_with_the_events_asked_for},
    {"who waits for room is not woken by the peer's end",
     who_waits_for_room_is_not_woken_by_the_peers_end},
    {"a regular file is always ready", a_regular_file_is_always_ready},
    {"a descriptor has one watch and is open", a_descriptor_has_one_watch_and_is_open},
    {"a callback may stop and close any other", a_callback_may_stop_and_close_any_other},
    {"a reused number is a new descriptor", a_reused_number_is_a_new_descriptor},
    {"closing after stop really closes", closing_after_stop_really_closes},
    {"three hundred ready watches all get their turn",
     three_hundred_ready_watches_all_get_their_turn},
    {"a descriptor too high for select is a clear error",
     a_descriptor_too_high_for_select_is_a_clear_error},
    {"a task runs once at the end of the turn", a_task_runs_once_at_the_end_of_the_turn},
    {"tasks that queue tasks starve nobody", tasks_that_queue_tasks_starve_nobody},
    {"a turn runs watches, timers, posts, tasks", a_turn_runs_watches_timers_posts_tasks},
    {"run returns when nothing can wake it", run_returns_when_nothing_can_wake_it},
    {"rooms keep their data with the loop", rooms_keep_their_data_with_the_loop},
    {"a back end is chosen by option or environment", names},
    {"any failing allocation leaves no half loop", any_failing_allocation_leaves_no_half_loop},
    {"any failing system call leaves no half loop", any_failing_system_call_leaves_no_half_loop},
    {"a watch without memory is as it was", a_watch_without_memory_is_as_it_was},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("reactor", tests)
