#include "sys.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* libc declares these three with a transparent union, which a function pointer can't have. */
static int call_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    return bind(fd, addr, len);
}

static int call_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    return connect(fd, addr, len);
}

static int call_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return accept4(fd, addr, len, flags);
}

static int call_pidfd_open(pid_t pid, unsigned flags)
{
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, flags);
#else
    (void)pid, (void)flags;
    errno = ENOSYS;
    return -1;
#endif
}

struct stk_sys stk_sys = {
    .socket = socket,
    .bind = call_bind,
    .listen = listen,
    .accept4 = call_accept4,
    .connect = call_connect,
    .shutdown = shutdown,
    .readv = readv,
    .writev = writev,
    .sendmsg = sendmsg,
    .recvmsg = recvmsg,
    .sendmmsg = sendmmsg,
    .recvmmsg = recvmmsg,
    .close = close,
    .eventfd = eventfd,
    .epoll_create1 = epoll_create1,
    .epoll_ctl = epoll_ctl,
    .pidfd_open = call_pidfd_open,
    .waitpid = waitpid,
};
