#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static void reap(struct stk_child *child)
{
    int status;
    pid_t got;

    do
        got = stk_sys.waitpid(child->pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return;
    /* A pidfd stays readable: one whose status is gone must not be waited for again. */
    stk_child_stop(child);
    child->fn(child, got == child->pid ? status : -1);
}

static void on_pidfd(struct stk_watch *watch, unsigned events)
{
    (void)events;
    reap(STK_CONTAINER(watch, struct stk_child, watch));
}

static void on_sigchld(struct stk_signal *signal, int signo)
{
    (void)signo;
    reap(STK_CONTAINER(signal, struct stk_child, signal));
}

/* Also true of one that has ended and waits to be reaped. */
static bool is_our_child(pid_t pid)
{
    siginfo_t info;

    return pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* A program that ignores SIGCHLD has its children reaped by the kernel, and their status is lost:
 * only a handler keeps it. */
static bool needs_handler(void)
{
    struct sigaction now;

    return sigaction(SIGCHLD, NULL, &now) == 0 &&
           (now.sa_handler == SIG_IGN || now.sa_flags & SA_NOCLDWAIT);
}

static int watch_pidfd(struct stk_child *child)
{
    const int fd = needs_handler() ? -1 : stk_sys.pidfd_open(child->pid, 0);
    int result;

    if (fd < 0)
        return -ENOSYS;
    stk_watch_init(&child->watch, child->loop, fd, on_pidfd);
    result = stk_watch_set(&child->watch, STK_READABLE);
    if (result == 0)
        return 0;
    stk_sys.close(fd);
    child->watch.fd = -1;
    return result;
}

/* The child may have ended before the handler stood, so it is looked at once in any case. */
static int watch_sigchld(struct stk_child *child)
{
    const int result = stk_signal_start(&child->signal, child->loop, SIGCHLD, on_sigchld);

    if (result == 0)
        reactor_signal_pretend(child->loop, SIGCHLD);
    return result;
}

int stk_child_start(struct stk_child *child, struct stk_loop *loop, pid_t pid, stk_child_fn *fn)
{
    *child = (struct stk_child){.fn = fn, .loop = loop, .pid = pid, .watch.fd = -1};
    stk_list_init(&child->signal.node);
    if (!is_our_child(pid)) {
        child->pid = 0;
        return -ECHILD;
    }
    /* Without pidfds, and also when descriptors have run out. */
    if (watch_pidfd(child) == 0 || watch_sigchld(child) == 0)
        return 0;
    child->pid = 0;
    return -ENOSYS;
}

/* `pid` stays as it was, for the callback to read. */
void stk_child_stop(struct stk_child *child)
{
    if (child->watch.fd >= 0) {
        stk_watch_stop(&child->watch);
        stk_loop_close_fd(child->loop, child->watch.fd);
        child->watch.fd = -1;
    }
    stk_signal_stop(&child->signal);
}
