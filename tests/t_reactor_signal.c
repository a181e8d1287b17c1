/*
 * Goal: signals reach every watcher on every loop, and each child is reaped once with its status.
 * Method: signals raised in this process; children that exit, die or wait on a pipe.
 */
#include "every_backend.h"
#include "fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static int calls;

static void count_signal(struct stk_signal *signal, int signo)
{
    CU_ASSERT_EQUAL(signal->signo, signo);
    calls++;
}

static void ignore_it(int signo) { (void)signo; }

static bool handler_is(int signo, void (*handler)(int))
{
    struct sigaction now;

    return sigaction(signo, NULL, &now) == 0 && now.sa_handler == handler;
}

/* --- Signals -------------------------------------------------------------------------------- */

static void one_signal(struct stk_loop *loop)
{
    struct stk_signal signal, other;

    calls = 0;
    CU_ASSERT_EQUAL(stk_signal_start(&signal, loop, SIGUSR1, count_signal), 0);
    CU_ASSERT_EQUAL(stk_signal_start(&other, loop, SIGUSR2, count_signal), 0);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(calls, 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    raise(SIGUSR2);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 3);
    stk_signal_stop(&signal);
    stk_signal_stop(&signal);
    stk_signal_stop(&other);
}

static void a_signal_is_called_from_the_loop(void) { on_every_backend(one_signal); }

static void restores(struct stk_loop *loop)
{
    struct stk_signal one, two;

    signal(SIGUSR1, ignore_it);
    CU_ASSERT_EQUAL(stk_signal_start(&one, loop, SIGUSR1, count_signal), 0);
    CU_ASSERT_EQUAL(stk_signal_start(&two, loop, SIGUSR1, count_signal), 0);
    CU_ASSERT_FALSE(handler_is(SIGUSR1, ignore_it));
    stk_signal_stop(&one);
    CU_ASSERT_FALSE(handler_is(SIGUSR1, ignore_it));
    stk_signal_stop(&two);
    CU_ASSERT_TRUE(handler_is(SIGUSR1, ignore_it));
    signal(SIGUSR1, SIG_DFL);
}

static void the_last_watcher_restores_the_disposition(void) { on_every_backend(restores); }

static void refuses(struct stk_loop *loop)
{
    struct stk_signal signal;

    CU_ASSERT_EQUAL(stk_signal_start(&signal, loop, SIGKILL, count_signal), -EINVAL);
    stk_signal_stop(&signal);
    CU_ASSERT_EQUAL(stk_signal_start(&signal, loop, 0, count_signal), -EINVAL);
    CU_ASSERT_EQUAL(stk_signal_start(&signal, loop, 1000, count_signal), -EINVAL);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
}

static void a_signal_that_cannot_be_caught_is_refused(void) { on_every_backend(refuses); }

static void two_loops(struct stk_loop *loop)
{
    struct stk_loop *other = loop_on(stk_loop_backend_name(loop));
    struct stk_signal one, two, also_two;

    calls = 0;
    CU_ASSERT_EQUAL(stk_signal_start(&one, loop, SIGUSR1, count_signal), 0);
    CU_ASSERT_EQUAL(stk_signal_start(&two, other, SIGUSR1, count_signal), 0);
    CU_ASSERT_EQUAL(stk_signal_start(&also_two, other, SIGUSR1, count_signal), 0);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_EQUAL(stk_loop_turn(other, -1), 1);
    CU_ASSERT_EQUAL(calls, 3);
    stk_signal_stop(&one);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(other, -1), 1);
    CU_ASSERT_EQUAL(calls, 5);
    stk_signal_stop(&two);
    stk_signal_stop(&also_two);
    stk_loop_free(other);
}

static void every_watcher_on_every_loop_is_called(void) { on_every_backend(two_loops); }

static struct stk_signal trio[3];

static void stop_all(struct stk_signal *signal, int signo)
{
    (void)signal, (void)signo;
    calls++;
    for (int i = 0; i < 3; i++)
        stk_signal_stop(&trio[i]);
}

static void stop_inside(struct stk_loop *loop)
{
    calls = 0;
    signal(SIGUSR1, ignore_it);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(stk_signal_start(&trio[i], loop, SIGUSR1, stop_all), 0);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_TRUE(handler_is(SIGUSR1, ignore_it));
    signal(SIGUSR1, SIG_DFL);
}

static void a_watcher_may_stop_all_watchers(void) { on_every_backend(stop_inside); }

static void stop_itself(struct stk_signal *signal, int signo)
{
    (void)signo;
    calls++;
    stk_signal_stop(signal);
}

/* One that leaves while others still wait to be called must not take them along. */
static void one_leaves(struct stk_loop *loop)
{
    calls = 0;
    CU_ASSERT_EQUAL(stk_signal_start(&trio[0], loop, SIGUSR1, stop_itself), 0);
    CU_ASSERT_EQUAL(stk_signal_start(&trio[1], loop, SIGUSR1, count_signal), 0);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 2);
    raise(SIGUSR1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(calls, 3);
    stk_signal_stop(&trio[1]);
}

static void a_watcher_that_leaves_takes_nobody_along(void) { on_every_backend(one_leaves); }

/* --- A storm: handlers run in one thread while loops come and go in another ------------------- */

static atomic_bool storm_is_over;

static void *raise_storm(void *main_thread)
{
    while (!atomic_load(&storm_is_over))
        pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
    return NULL;
}

static void storm(struct stk_loop *loop)
{
    pthread_t self = pthread_self(), thread;

    signal(SIGUSR1, ignore_it);
    atomic_store(&storm_is_over, false);
    CU_ASSERT_EQUAL(pthread_create(&thread, NULL, raise_storm, &self), 0);
    for (int i = 0; i < 200; i++) {
        struct stk_signal watcher;

        CU_ASSERT_EQUAL(stk_signal_start(&watcher, loop, SIGUSR1, count_signal), 0);
        CU_ASSERT_TRUE(stk_loop_turn(loop, 0) >= 0);
        stk_signal_stop(&watcher);
    }
    atomic_store(&storm_is_over, true);
    pthread_join(thread, NULL);
    signal(SIGUSR1, SIG_DFL);
}

static void starting_and_stopping_in_a_storm_is_safe(void) { on_every_backend(storm); }

/* --- Children ------------------------------------------------------------------------------- */

static int wait_status;

static void note_status(struct stk_child *child, int status)
{
    (void)child;
    wait_status = status;
    calls++;
}

static pid_t child_that(int exit_status, int dies_of)
{
    const pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (dies_of)
        raise(dies_of);
    _exit(exit_status);
}

static void exits(struct stk_loop *loop)
{
    struct stk_child child;

    calls = 0;
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, child_that(7, 0), note_status), 0);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_TRUE(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 7);
    CU_ASSERT_EQUAL(waitpid(child.pid, NULL, WNOHANG), -1);

    CU_ASSERT_EQUAL(stk_child_start(&child, loop, child_that(0, SIGKILL), note_status), 0);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, 2);
    CU_ASSERT_TRUE(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
}

static void a_child_is_reaped_once_with_its_status(void) { on_every_backend(exits); }

static void without_pidfds(struct stk_loop *loop)
{
    fault_sys_install();
    fault_sys_fail(FAULT_PIDFD_OPEN, 1, ENOSYS, FAULT_FROM_THEN_ON);
    exits(loop);
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_PIDFD_OPEN));
    fault_sys_remove();
}

static void a_child_is_reaped_without_pidfds(void) { on_every_backend(without_pidfds); }

/* WNOWAIT leaves the child to the loop, but says for certain that it has ended. */
static void already_over(struct stk_loop *loop)
{
    struct stk_child child;
    siginfo_t info;
    const pid_t pid = child_that(3, 0);

    calls = 0;
    CU_ASSERT_EQUAL(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, pid, note_status), 0);
    CU_ASSERT_EQUAL(calls, 0);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_EQUAL(WEXITSTATUS(wait_status), 3);
}

static void already_over_without_pidfds(struct stk_loop *loop)
{
    fault_sys_install();
    fault_sys_fail(FAULT_PIDFD_OPEN, 1, EMFILE, FAULT_FROM_THEN_ON);
    already_over(loop);
    fault_sys_remove();
}

static void a_child_that_ended_before_is_reaped_too(void)
{
    on_every_backend(already_over);
    on_every_backend(already_over_without_pidfds);
}

/* The loop must neither wait for ever nor spin on a pidfd that stays readable. */
static void reaped_by_another(struct stk_loop *loop)
{
    struct stk_child child;
    siginfo_t info;
    const pid_t pid = child_that(3, 0);

    calls = 0;
    CU_ASSERT_EQUAL(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, pid, note_status), 0);
    CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 10 && calls == 0; i++)
        CU_ASSERT_TRUE(stk_loop_turn(loop, 1000000) >= 0);
    CU_ASSERT_EQUAL_FATAL(calls, 1);
    CU_ASSERT_EQUAL(wait_status, -1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 0), 0);
}

static void a_child_that_another_reaped_is_told_without_status(void)
{
    on_every_backend(reaped_by_another);
}

static void ignored(struct stk_loop *loop)
{
    struct stk_child child;
    struct sigaction now;
    int hold[2];
    char byte;

    CU_ASSERT_EQUAL_FATAL(pipe(hold), 0);
    signal(SIGCHLD, SIG_IGN);
    const pid_t pid = fork();
    if (pid == 0) {
        close(hold[1]);
        _exit(read(hold[0], &byte, 1) == 0 ? 9 : 1);
    }
    calls = 0;
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, pid, note_status), 0);
    close(hold[0]);
    close(hold[1]);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_TRUE(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 9);
    CU_ASSERT_EQUAL(sigaction(SIGCHLD, NULL, &now), 0);
    CU_ASSERT_TRUE(now.sa_handler == SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
}

static void a_program_that_ignores_SIGCHLD_hears_of_its_child(void) { on_every_backend(ignored); }

static void left_alone(struct stk_loop *loop)
{
    struct stk_child child;
    int status;
    const pid_t pid = child_that(5, 0);

    calls = 0;
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, pid, note_status), 0);
    stk_child_stop(&child);
    stk_child_stop(&child);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, pid, note_status), -ECHILD);
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, getppid(), note_status), -ECHILD);
    CU_ASSERT_EQUAL(stk_child_start(&child, loop, -1, note_status), -ECHILD);
}

static void a_stopped_child_goes_on_and_is_not_reaped(void) { on_every_backend(left_alone); }

static void ten(struct stk_loop *loop)
{
    enum { CHILDREN = 10 };
    struct stk_child children[CHILDREN];

    calls = 0;
    for (int i = 0; i < CHILDREN; i++) {
        fault_sys_install();
        fault_sys_fail(FAULT_PIDFD_OPEN, i % 2, ENOSYS, FAULT_FROM_THEN_ON);
        CU_ASSERT_EQUAL(stk_child_start(&children[i], loop, child_that(i, 0), note_status), 0);
        fault_sys_remove();
    }
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(calls, CHILDREN);
}

static void ten_children_at_once_are_all_reaped(void) { on_every_backend(ten); }

static CU_TestInfo tests[] = {
    {"a signal is called from the loop", a_signal_is_called_from_the_loop},
    {"the last watcher restores the disposition", the_last_watcher_restores_the_disposition},
    {"a signal that cannot be caught is refused", a_signal_that_cannot_be_caught_is_refused},
    {"every watcher on every loop is called", every_watcher_on_every_loop_is_called},
    {"a watcher may stop all watchers", a_watcher_may_stop_all_watchers},
    {"a watcher that leaves takes nobody along", a_watcher_that_leaves_takes_nobody_along},
    {"starting and stopping in a storm is safe", starting_and_stopping_in_a_storm_is_safe},
    {"a child is reaped once with its status", a_child_is_reaped_once_with_its_status},
    {"a child is reaped without pidfds", a_child_is_reaped_without_pidfds},
    {"a child that ended before is reaped too", a_child_that_ended_before_is_reaped_too},
    {"a child that another reaped is told without status",
     a_child_that_another_reaped_is_told_without_status},
    {"a program that ignores SIGCHLD hears of its child",
     a_program_that_ignores_SIGCHLD_hears_of_its_child},
    {"a stopped child goes on and is not reaped", a_stopped_child_goes_on_and_is_not_reaped},
    {"ten children at once are all reaped", ten_children_at_once_are_all_reaped},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("reactor signals", tests)
