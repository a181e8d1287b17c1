#include "tcp.h"

#include "acceptor.h"
#include "host.h"
#include "transports.h"

#include <netinet/tcp.h>
#include <string.h>

enum { BACKLOG_DEFAULT = 4096, KEEPALIVE_PROBES = 3 };

static struct stack_tcp *tcp_of(struct stk_layer *layer)
{
    return STK_CONTAINER(layer, struct stack_tcp, layer);
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void stack_tcp_set_options(const struct stk_segment *segment, int fd)
{
    const uint64_t keepalive_us = stk_segment_number(segment, "keepalive", 0);

    set_option(fd, IPPROTO_TCP, TCP_NODELAY, stk_segment_flag(segment, "nodelay", true));
    if (keepalive_us > 0) {
        const int idle_s = keepalive_us < 1000000 ? 1 : (int)(keepalive_us / 1000000);
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle_s < 3 ? 1 : idle_s / 3);
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    }
}

/* --- A connection
 * ---------------------------------------------------------------------------------- */

static int prepare(const struct stk_segment *segment, bool listening, void **shared,
                   struct stk_error *error)
{
    struct stk_addr bind;

    (void)shared;
    return listening ? stack_option_no_bind(segment, error)
                     : stack_option_bind(segment, &bind, error);
}

static int init(struct stk_layer *layer)
{
    stack_stream_init(&tcp_of(layer)->stream, layer);
    return 0;
}

void stack_tcp_connected(struct stack_tcp *tcp, int fd, const struct stk_addr *peer)
{
    tcp->peer = *peer;
    stack_stream_open(&tcp->stream, fd, fd);
}

static int accept_one(struct stk_layer *layer, void *accepted)
{
    const struct stack_accepted *a = accepted;
    struct stack_tcp *tcp = tcp_of(layer);

    tcp->peer = a->peer;
    tcp->stream.in_fd = tcp->stream.out_fd = a->fd;
    return 0;
}

static void start(struct stk_layer *layer)
{
    struct stack_tcp *tcp = tcp_of(layer);

    if (tcp->stream.in_fd < 0) {
        stack_tcp_connect(tcp);
        return;
    }
    stack_tcp_set_options(layer->segment, tcp->stream.in_fd);
    stack_stream_open(&tcp->stream, tcp->stream.in_fd, tcp->stream.in_fd);
}

static long recv_bytes(struct stk_layer *layer, const struct iovec *iov, int count)
{
    return stack_stream_recv(&tcp_of(layer)->stream, iov, count);
}

static long send_bytes(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    return stack_stream_send(&tcp_of(layer)->stream, iov, count, flags);
}

static void close_all(struct stk_layer *layer, bool reset)
{
    struct stack_tcp *tcp = tcp_of(layer);

    stack_tcp_connect_stop(tcp);
    stack_stream_close(&tcp->stream, reset);
}

static void abort_now(struct stk_layer *layer) { close_all(layer, true); }
static void destroy(struct stk_layer *layer) { close_all(layer, false); }

static int query(struct stk_layer *layer, int key, void *out, size_t len)
{
    struct stack_tcp *tcp = tcp_of(layer);

    if (key == STK_QUERY_PEER_ADDR && len >= sizeof tcp->peer && tcp->peer.len) {
        *(struct stk_addr *)out = tcp->peer;
        return 0;
    }
    if (key == STK_QUERY_STATS && len >= sizeof(struct stk_stats))
        return stack_tcp_stats(tcp->stream.in_fd, out);
    return stack_stream_query(&tcp->stream, key, out, len);
}

/* --- Listening -----------------------------------------------------------------------------------
 */

static int open_listener(const struct stk_segment *segment, const struct stk_addr *addr)
{
    const int backlog = (int)stk_segment_number(segment, "backlog", BACKLOG_DEFAULT);
    const bool v6only = stk_segment_flag(segment, "v6only", false);
    const int fd =
        stk_sys.socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (stk_segment_flag(segment, "reuseport", false))
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (addr->any.sa_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only || !stk_addr_is_any(addr));
    if (stk_sys.bind(fd, &addr->any, addr->len) < 0 || stk_sys.listen(fd, backlog) < 0) {
        const int code = -errno;
        stk_sys.close(fd);
        return code;
    }
    return fd;
}

static int listen_on(struct stk_listener *listener, void *state, struct stk_error *error)
{
    const struct stk_segment *segment = stk_listener_segment(listener);
    char text[STK_ADDR_TEXT_MAX];
    struct stk_addr addr;

    const int code = stack_host_bind(segment, &addr, error);
    if (code < 0)
        return code;
    const int fd = open_listener(segment, &addr);
    if (fd < 0)
        return stk_error_set(error, fd, "tcp", "can't listen on %s: %s",
                             stk_addr_format(&addr, text), stack_net_strerror(fd));
    return stack_acceptor_open(state, listener, fd, error);
}

static void unlisten(struct stk_listener *listener, void *state)
{
    (void)listener;
    stack_acceptor_close(state);
}

static int listen_addr(struct stk_listener *listener, void *state, struct stk_addr *addr)
{
    (void)listener;
    return stack_acceptor_addr(state, addr);
}

static const struct stk_option_type options[] = {
    {"bind", STK_OPTION_TEXT, 0, 0, "local address when connecting, with or without a port"},
    {"nodelay", STK_OPTION_FLAG, 0, 0, "send small pieces at once (yes)"},
    {"keepalive", STK_OPTION_DURATION, 1000000, 86400000000, "probe a silent peer so often (off)"},
    {"reuseport", STK_OPTION_FLAG, 0, 0, "several listeners share the port (no)"},
    {"backlog", STK_OPTION_NUMBER, 1, 65535, "connections that wait to be accepted (4096)"},
    {"v6only", STK_OPTION_FLAG, 0, 0, "an IPv6 listener takes no IPv4 (no)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_stream_type stream = {
    .size = sizeof(struct stack_tcp),
    .lingers = true,
    .prepare = prepare,
    .init = init,
    .start = start,
    .recv = recv_bytes,
    .send = send_bytes,
    .abort = abort_now,
    .query = query,
    .destroy = destroy,
    .listener_size = sizeof(struct stack_acceptor),
    .listen = listen_on,
    .unlisten = unlisten,
    .accept = accept_one,
    .listen_addr = listen_addr,
};

const struct stk_layer_type stk_layer_tcp = {
    .name = "tcp",
    .summary = "a byte stream over TCP",
    .below = STK_HOST,
    .above = STK_STREAM,
    .value = STK_VALUE_REQUIRED,
    .value_name = "PORT",
    .check_value = stack_check_port,
    .options = options,
    .stream = &stream,
};
