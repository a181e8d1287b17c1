/*
 * Every system call that the library makes on sockets, files and processes goes through this
 * table, so that tests can fail the n-th one with any errno. Calls behave like libc's: -1 and
 * errno.
 */
#ifndef STK_BASE_SYS_H
#define STK_BASE_SYS_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct epoll_event;
struct mmsghdr;
struct timespec;

struct stk_sys {
    int (*socket)(int domain, int type, int protocol);
    int (*bind)(int fd, const struct sockaddr *addr, socklen_t len);
    int (*listen)(int fd, int backlog);
    int (*accept4)(int fd, struct sockaddr *addr, socklen_t *len, int flags);
    int (*connect)(int fd, const struct sockaddr *addr, socklen_t len);
    int (*shutdown)(int fd, int how);
    ssize_t (*readv)(int fd, const struct iovec *iov, int count);
    ssize_t (*writev)(int fd, const struct iovec *iov, int count);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *message, int flags);
    int (*sendmmsg)(int fd, struct mmsghdr *messages, unsigned count, int flags);
    int (*recvmmsg)(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);
    int (*close)(int fd);
    int (*eventfd)(unsigned value, int flags);
    int (*epoll_create1)(int flags);
    int (*epoll_ctl)(int epoll, int operation, int fd, struct epoll_event *event);
    int (*pidfd_open)(pid_t pid, unsigned flags);
    pid_t (*waitpid)(pid_t pid, int *status, int options);
};

extern struct stk_sys stk_sys;

#endif
