#include "tcp.h"

#include "happy.h"
#include "host.h"

#include <string.h>

struct attempt {
    struct stk_watch watch;
    struct stack_tcp_connecting *connecting;
    int index;
    int fd; /* -1: not under way */
};

struct stack_tcp_connecting {
    struct stk_happy happy;
    struct stack_tcp *tcp;
    struct stk_addr bind; /* len 0: the kernel's choice */
    struct attempt attempts[STK_HAPPY_ADDRS_MAX];
};

static struct stack_tcp_connecting *connecting_of(struct stk_happy *happy)
{
    return STK_CONTAINER(happy, struct stack_tcp_connecting, happy);
}

/* --- One attempt ---------------------------------------------------------------------------------
 */

static int release(struct attempt *attempt)
{
    const int fd = attempt->fd;

    stk_watch_stop(&attempt->watch);
    attempt->fd = -1;
    return fd;
}

static void drop(struct attempt *attempt)
{
    struct stk_loop *loop = stk_layer_loop(&attempt->connecting->tcp->layer);

    stk_loop_close_fd(loop, release(attempt));
}

/* Where both ends are one socket: its own port was the ephemeral one that connect() chose. */
static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage local, peer;
    socklen_t local_len = sizeof local, peer_len = sizeof peer;

    return getsockname(fd, (struct sockaddr *)&local, &local_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && local_len == peer_len &&
           memcmp(&local, &peer, local_len) == 0;
}

static int outcome_of(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    if (error == 0 && is_connected_to_itself(fd))
        return -ECONNREFUSED;
    return -error;
}

static void on_watch(struct stk_watch *watch, unsigned events)
{
    struct attempt *attempt = STK_CONTAINER(watch, struct attempt, watch);
    const int code = outcome_of(attempt->fd);

    (void)events;
    if (code < 0)
        drop(attempt);
    stk_happy_done(&attempt->connecting->happy, attempt->index, code);
}

static int open_socket(const struct stack_tcp_connecting *c, const struct stk_addr *addr)
{
    const int fd =
        stk_sys.socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int code = 0;

    if (fd < 0)
        return -errno;
    stack_tcp_set_options(c->tcp->layer.segment, fd);
    if (c->bind.len) {
        const int one = 1;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        code = stk_sys.bind(fd, &c->bind.any, c->bind.len) < 0 ? -errno : 0;
    }
    if (code == 0 && stk_sys.connect(fd, &addr->any, addr->len) < 0 && errno != EINPROGRESS &&
        errno != EINTR)
        code = -errno;
    if (code < 0)
        stk_loop_close_fd(stk_layer_loop(&c->tcp->layer), fd);
    return code < 0 ? code : fd;
}

static int attempt(struct stk_happy *happy, int index, const struct stk_addr *addr)
{
    struct stack_tcp_connecting *c = connecting_of(happy);
    struct attempt *a = &c->attempts[index];

    a->connecting = c;
    a->index = index;
    a->fd = open_socket(c, addr);
    if (a->fd < 0)
        return a->fd;
    stk_watch_init(&a->watch, stk_layer_loop(&c->tcp->layer), a->fd, on_watch);
    const int code = stk_watch_set(&a->watch, STK_WRITABLE);
    if (code < 0)
        drop(a);
    return code;
}

static void cancel(struct stk_happy *happy, int index)
{
    drop(&connecting_of(happy)->attempts[index]);
}

/* --- The outcome
 * ----------------------------------------------------------------------------------- */

static void succeeded(struct stk_happy *happy, int index, const struct stk_addr *addr)
{
    struct stack_tcp_connecting *c = connecting_of(happy);
    struct stack_tcp *tcp = c->tcp;
    const struct stk_addr peer = *addr;
    const int fd = release(&c->attempts[index]);

    tcp->connecting = NULL;
    stk_free(c);
    stack_tcp_connected(tcp, fd, &peer);
}

static void failed(struct stk_happy *happy, const struct stk_error *error)
{
    struct stack_tcp_connecting *c = connecting_of(happy);
    struct stack_tcp *tcp = c->tcp;

    tcp->connecting = NULL;
    stk_free(c);
    stk_layer_fail(&tcp->layer, error->code, "%s", error->text);
}

static const struct stk_happy_type happy_type = {attempt, cancel, succeeded, failed};

static int begin(struct stack_tcp *tcp)
{
    struct stack_tcp_connecting *c = tcp->connecting;
    const struct stk_segment *segment = tcp->layer.segment;
    struct stk_loop *loop = stk_layer_loop(&tcp->layer);
    struct stk_addr addr;

    if (stack_host_literal(segment, &addr) == 0) {
        stk_happy_start_with(&c->happy, loop, &happy_type, "tcp", &addr, 1);
        return 0;
    }
    return stk_happy_start(&c->happy, loop, &happy_type, "tcp", stack_host_name(segment),
                           stack_host_family(segment), stack_port(segment));
}

void stack_tcp_connect(struct stack_tcp *tcp)
{
    struct stk_error error;

    tcp->connecting = stk_alloc_zero(sizeof *tcp->connecting);
    if (!tcp->connecting) {
        stk_layer_fail(&tcp->layer, -ENOMEM, "out of memory");
        return;
    }
    tcp->connecting->tcp = tcp;
    /* prepare() has checked the option. */
    (void)stack_option_bind(tcp->layer.segment, &tcp->connecting->bind, &error);
    const int code = begin(tcp);
    if (code < 0) {
        stk_free(tcp->connecting);
        tcp->connecting = NULL;
        stk_layer_fail(&tcp->layer, code, "can't look up %s: %s",
                       stack_host_name(tcp->layer.segment), stk_strerror(code));
    }
}

void stack_tcp_connect_stop(struct stack_tcp *tcp)
{
    if (!tcp->connecting)
        return;
    stk_happy_stop(&tcp->connecting->happy);
    stk_free(tcp->connecting);
    tcp->connecting = NULL;
}
