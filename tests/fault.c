#include "fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Counts calls, and says which of them fail. Workers allocate too, hence the atomics. */
struct trap {
    atomic_long calls, fails_at;
    atomic_int error;
    atomic_bool for_ever, sprung;
};

static void set_trap(struct trap *trap, long n, int error, enum fault_repeat repeat)
{
    atomic_store(&trap->calls, 0);
    atomic_store(&trap->fails_at, n);
    atomic_store(&trap->error, error);
    atomic_store(&trap->for_ever, repeat == FAULT_FROM_THEN_ON);
    atomic_store(&trap->sprung, false);
}

static bool springs(struct trap *trap)
{
    const long call = atomic_fetch_add(&trap->calls, 1) + 1;
    const long fails_at = atomic_load(&trap->fails_at);

    if (fails_at == 0 || call < fails_at || (call > fails_at && !atomic_load(&trap->for_ever)))
        return false;
    atomic_store(&trap->sprung, true);
    errno = atomic_load(&trap->error);
    return true;
}

/* --- Heap ----------------------------------------------------------------------------------- */

static struct trap heap_trap;
static atomic_long live;

static void *counting_heap(void *context, void *block, size_t size)
{
    void *result;

    (void)context;
    if (size == 0) {
        free(block);
        atomic_fetch_sub(&live, 1);
        return NULL;
    }
    if (springs(&heap_trap))
        return NULL;
    result = realloc(block, size);
    if (result && !block)
        atomic_fetch_add(&live, 1);
    return result;
}

void fault_heap_install(void)
{
    atomic_store(&live, 0);
    set_trap(&heap_trap, 0, ENOMEM, FAULT_ONCE);
    stk_alloc_hook(counting_heap, NULL);
}

long fault_heap_remove(void)
{
    stk_alloc_hook(NULL, NULL);
    return atomic_load(&live);
}

void fault_heap_fail(long n, enum fault_repeat repeat) { set_trap(&heap_trap, n, ENOMEM, repeat); }
bool fault_heap_has_failed(void) { return atomic_load(&heap_trap.sprung); }
long fault_heap_live(void) { return atomic_load(&live); }
long fault_heap_calls(void) { return atomic_load(&heap_trap.calls); }

/* --- System calls ---------------------------------------------------------------------------- */

static struct stk_sys real;
static struct trap traps[FAULT_SITES];
static atomic_long closes;

static int fault_socket(int domain, int type, int protocol)
{
    return springs(&traps[FAULT_SOCKET]) ? -1 : real.socket(domain, type, protocol);
}

static int fault_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    return springs(&traps[FAULT_BIND]) ? -1 : real.bind(fd, addr, len);
}

static int fault_listen(int fd, int backlog)
{
    return springs(&traps[FAULT_LISTEN]) ? -1 : real.listen(fd, backlog);
}

static int fault_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return springs(&traps[FAULT_ACCEPT4]) ? -1 : real.accept4(fd, addr, len, flags);
}

static int fault_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    return springs(&traps[FAULT_CONNECT]) ? -1 : real.connect(fd, addr, len);
}

static int fault_shutdown(int fd, int how)
{
    return springs(&traps[FAULT_SHUTDOWN]) ? -1 : real.shutdown(fd, how);
}

static ssize_t fault_readv(int fd, const struct iovec *iov, int count)
{
    return springs(&traps[FAULT_READV]) ? -1 : real.readv(fd, iov, count);
}

static ssize_t fault_writev(int fd, const struct iovec *iov, int count)
{
    return springs(&traps[FAULT_WRITEV]) ? -1 : real.writev(fd, iov, count);
}

static ssize_t fault_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return springs(&traps[FAULT_SENDMSG]) ? -1 : real.sendmsg(fd, message, flags);
}

static ssize_t fault_recvmsg(int fd, struct msghdr *message, int flags)
{
    return springs(&traps[FAULT_RECVMSG]) ? -1 : real.recvmsg(fd, message, flags);
}

static int fault_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    return springs(&traps[FAULT_SENDMMSG]) ? -1 : real.sendmmsg(fd, messages, count, flags);
}

static int fault_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                          struct timespec *timeout)
{
    return springs(&traps[FAULT_RECVMMSG]) ? -1
                                           : real.recvmmsg(fd, messages, count, flags, timeout);
}

static int fault_eventfd(unsigned value, int flags)
{
    return springs(&traps[FAULT_EVENTFD]) ? -1 : real.eventfd(value, flags);
}

static int fault_epoll_create1(int flags)
{
    return springs(&traps[FAULT_EPOLL_CREATE1]) ? -1 : real.epoll_create1(flags);
}

static int fault_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    return springs(&traps[FAULT_EPOLL_CTL]) ? -1 : real.epoll_ctl(epoll, operation, fd, event);
}

static int fault_pidfd_open(pid_t pid, unsigned flags)
{
    return springs(&traps[FAULT_PIDFD_OPEN]) ? -1 : real.pidfd_open(pid, flags);
}

static pid_t fault_waitpid(pid_t pid, int *status, int options)
{
    return springs(&traps[FAULT_WAITPID]) ? -1 : real.waitpid(pid, status, options);
}

static int counting_close(int fd)
{
    atomic_fetch_add(&closes, 1);
    return real.close(fd);
}

/* Calls that this file does not know stay as they are. */
static void put_traps_in(void)
{
    stk_sys.socket = fault_socket;
    stk_sys.bind = fault_bind;
    stk_sys.listen = fault_listen;
    stk_sys.accept4 = fault_accept4;
    stk_sys.connect = fault_connect;
    stk_sys.shutdown = fault_shutdown;
    stk_sys.readv = fault_readv;
    stk_sys.writev = fault_writev;
    stk_sys.sendmsg = fault_sendmsg;
    stk_sys.recvmsg = fault_recvmsg;
    stk_sys.sendmmsg = fault_sendmmsg;
    stk_sys.recvmmsg = fault_recvmmsg;
    stk_sys.eventfd = fault_eventfd;
    stk_sys.epoll_create1 = fault_epoll_create1;
    stk_sys.epoll_ctl = fault_epoll_ctl;
    stk_sys.pidfd_open = fault_pidfd_open;
    stk_sys.waitpid = fault_waitpid;
    stk_sys.close = counting_close;
}

void fault_sys_install(void)
{
    for (int i = 0; i < FAULT_SITES; i++)
        set_trap(&traps[i], 0, 0, FAULT_ONCE);
    atomic_store(&closes, 0);
    real = stk_sys;
    put_traps_in();
}

void fault_sys_remove(void) { stk_sys = real; }

void fault_sys_fail(enum fault_site site, long n, int error, enum fault_repeat repeat)
{
    set_trap(&traps[site], n, error, repeat);
}

bool fault_sys_has_failed(enum fault_site site) { return atomic_load(&traps[site].sprung); }
long fault_sys_calls(enum fault_site site) { return atomic_load(&traps[site].calls); }
long fault_sys_closes(void) { return atomic_load(&closes); }
