#include "descriptor.h"

#include "reactor.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_terminal(int fd)
{
    unsigned number;

    /* The master side of a pseudo-terminal is one too, but opening it again makes a new one. */
    return isatty(fd) && ioctl(fd, TIOCGPTN, &number) < 0;
}

static int open_again(int fd, int access)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, access | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static int make_private(struct stack_descriptor *d, int access, bool reopens)
{
    const int flags = fcntl(d->original, F_GETFL);

    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK)
        return 0;
    if (reopens && (d->fd = open_again(d->original, access)) >= 0)
        return 0;
    d->fd = d->original;
    d->flags = flags;
    return fcntl(d->original, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int stack_descriptor_open(struct stack_descriptor *d, int fd, int access)
{
    struct stat st;

    *d = (struct stack_descriptor){.fd = -1, .original = -1, .flags = -1};
    if (fstat(fd, &st) < 0)
        return -errno;
    d->fd = d->original = fd;
    if (S_ISSOCK(st.st_mode) || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
        return 0;
    return make_private(d, access, S_ISFIFO(st.st_mode) || is_terminal(fd));
}

void stack_descriptor_release(struct stk_loop *loop, struct stack_descriptor *d)
{
    if (d->flags >= 0 && d->original >= 0)
        (void)fcntl(d->original, F_SETFL, d->flags);
    if (d->fd >= 0 && d->fd != d->original)
        stk_loop_close_fd(loop, d->fd);
    d->fd = d->flags = -1;
}

/* Keeps the number taken. The file is closed under another number, to hear what close() says. */
static int close_standard(int fd)
{
    const int file = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (file < 0 || null < 0 || dup3(null, fd, 0) < 0) {
        if (file >= 0)
            close(file);
        if (null >= 0)
            close(null);
        return stk_sys.close(fd) < 0 ? -errno : 0;
    }
    close(null);
    return stk_sys.close(file) < 0 ? -errno : 0;
}

int stack_descriptor_close(struct stk_loop *loop, struct stack_descriptor *d)
{
    const int fd = d->original;

    stack_descriptor_release(loop, d);
    d->original = -1;
    if (fd < 0)
        return 0;
    return fd <= STDERR_FILENO ? close_standard(fd) : stk_loop_close_fd(loop, fd);
}
