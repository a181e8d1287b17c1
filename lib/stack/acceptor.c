#include "acceptor.h"

#include <string.h>

static const char *name_of(const struct stack_acceptor *a)
{
    return stk_listener_segment(a->listener)->type->name;
}

/* Failures of one connection, or of this moment: the listener goes on (accept(2)). */
static bool is_passing(int code)
{
    switch (-code) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
        return true;
    default:
        return false;
    }
}

static int take(struct stack_acceptor *a, struct stack_accepted *accepted)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof sa;

    accepted->fd =
        stk_sys.accept4(a->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted->fd < 0)
        return -errno;
    stk_addr_from_sockaddr(&accepted->peer, (struct sockaddr *)&sa, len);
    stk_addr_unmap(&accepted->peer);
    return 0;
}

static void hand_over(struct stack_acceptor *a, struct stack_accepted *accepted)
{
    if (stk_listener_accept(a->listener, accepted, NULL) < 0)
        stk_loop_close_fd(stk_listener_loop(a->listener), accepted->fd);
}

static void die(struct stack_acceptor *a, int code)
{
    struct stk_error error;

    stk_watch_set(&a->watch, 0);
    stk_error_set(&error, code, name_of(a), "can't accept connections: %s", strerror(-code));
    stk_listener_fail(a->listener, &error);
}

static void on_watch(struct stk_watch *watch, unsigned events)
{
    struct stack_acceptor *a = STK_CONTAINER(watch, struct stack_acceptor, watch);

    (void)events;
    /* The listener may be closed by what it accepted. */
    for (int i = 0; i < STACK_ACCEPTS_MAX && a->fd >= 0; i++) {
        struct stack_accepted accepted;
        const int code = take(a, &accepted);

        if (stk_backoff_rests(&a->backoff, code) || code == STK_AGAIN)
            return;
        if (code == 0)
            hand_over(a, &accepted);
        else if (!is_passing(code)) {
            die(a, code);
            return;
        }
    }
}

int stack_acceptor_open(struct stack_acceptor *a, struct stk_listener *listener, int fd,
                        struct stk_error *error)
{
    struct stk_loop *loop = stk_listener_loop(listener);

    a->listener = listener;
    a->fd = fd;
    stk_watch_init(&a->watch, loop, fd, on_watch);
    stk_backoff_init(&a->backoff, &a->watch);
    const int code = stk_watch_set(&a->watch, STK_READABLE);
    if (code < 0) {
        stack_acceptor_close(a);
        return stk_error_set(error, code, name_of(a), "can't watch the socket: %s",
                             stk_strerror(code));
    }
    return 0;
}

void stack_acceptor_close(struct stack_acceptor *a)
{
    if (a->fd < 0)
        return;
    stk_backoff_stop(&a->backoff);
    stk_watch_stop(&a->watch);
    stk_loop_close_fd(stk_listener_loop(a->listener), a->fd);
    a->fd = -1;
}

int stack_acceptor_addr(const struct stack_acceptor *a, struct stk_addr *addr)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (a->fd < 0 || getsockname(a->fd, (struct sockaddr *)&sa, &len) < 0)
        return -ENOENT;
    stk_addr_from_sockaddr(addr, (struct sockaddr *)&sa, len);
    return 0;
}
