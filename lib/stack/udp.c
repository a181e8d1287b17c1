#include "udp.h"

#include "host.h"
#include "layer.h"
#include "transports.h"

#include <assert.h>
#include <netinet/udp.h>
#include <string.h>

enum { BUFFER_DEFAULT_BYTES = 4 * 1024 * 1024 };

static struct stack_udp *udp_of(struct stk_dgram_layer *layer)
{
    return STK_CONTAINER(layer, struct stack_udp, layer);
}

static void on_watch(struct stk_watch *watch, unsigned events)
{
    struct stack_udp *udp = STK_CONTAINER(watch, struct stack_udp, watch);

    if (events & STK_HANGUP)
        stack_udp_drain_errors(udp, udp->fd);
    if (events & STK_WRITABLE)
        stack_udp_writable(udp);
    if (events & (STK_READABLE | STK_HANGUP))
        stack_udp_readable(udp);
}

int stack_udp_watch(struct stack_udp *udp)
{
    return stk_watch_set(&udp->watch, (stack_udp_is_resting(udp) ? 0U : STK_READABLE) |
                                          (udp->blocked ? STK_WRITABLE : 0U));
}

static void on_report(struct stk_task *task)
{
    stack_udp_tell_reports(STK_CONTAINER(task, struct stack_udp, report));
}

/* --- Opening ------------------------------------------------------------------------------- */

static int init(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    struct stack_udp *udp = udp_of(layer);

    udp->fd = udp->apart_fd = -1;
    udp->apart_first = STACK_UDP_NOTHING_APART;
    udp->segment = segment;
    udp->gso = stk_segment_flag(segment, "gso", true);
    stk_task_init(&udp->report, stk_dgram_loop(layer), on_report);
    if (stack_host_literal(segment, &udp->peer) < 0 || stk_dgram_is_listening(layer))
        udp->peer.len = 0;
    return 0;
}

static void any_address(struct stk_addr *addr, int family)
{
    const int failed = stk_addr_parse_ip(addr, family == AF_INET ? "0.0.0.0" : "::", 0);

    assert(failed == 0);
    (void)failed;
}

/* The address to bind; its family decides that of the socket. */
static int choose_address(struct stack_udp *udp, struct stk_addr *addr, struct stk_error *error)
{
    if (stk_dgram_is_listening(&udp->layer))
        return stack_option_no_bind(udp->segment, error) < 0
                   ? error->code
                   : stack_host_bind(udp->segment, addr, error);
    if (stack_option_bind(udp->segment, addr, error) < 0)
        return error->code;
    /* A name may turn out to have either family: one socket for both. */
    if (addr->len == 0)
        any_address(addr, stack_host_family(udp->segment) == AF_INET ? AF_INET : AF_INET6);
    return 0;
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void enlarge_buffer(const struct stack_udp *udp, int fd, int name, const char *option)
{
    const uint64_t want = stk_segment_number(udp->segment, option, BUFFER_DEFAULT_BYTES);
    int got = 0;
    socklen_t len = sizeof got;

    set_option(fd, SOL_SOCKET, name, (int)want);
    if (getsockopt(fd, SOL_SOCKET, name, &got, &len) < 0)
        return;
    /* Linux reports twice what it grants: its own bookkeeping is counted in. */
    if ((uint64_t)got / 2 < want)
        stk_log(STK_LOG_INFO, "stack", "udp: the kernel caps %s at %d bytes, %llu were asked for",
                option, got / 2, (unsigned long long)want);
}

/* Both families' options on IPv6 sockets: they carry mapped IPv4 as well. */
static void set_socket_options(const struct stack_udp *udp, int fd)
{
    set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
    set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    if (udp->family == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
        set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    }
    if (stk_segment_flag(udp->segment, "reuseport", false))
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    enlarge_buffer(udp, fd, SO_RCVBUF, "rcvbuf");
    enlarge_buffer(udp, fd, SO_SNDBUF, "sndbuf");
    if (udp->gso)
        set_option(fd, SOL_UDP, UDP_GRO, 1);
}

/* A kernel that can't segment does not know the option. */
static bool can_segment(int fd)
{
    int size = 0;
    socklen_t len = sizeof size;

    return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &len) == 0;
}

int stack_udp_socket(const struct stack_udp *udp, int *fd)
{
    *fd = stk_sys.socket(udp->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return -errno;
    if (udp->family == AF_INET6)
        set_option(*fd, IPPROTO_IPV6, IPV6_V6ONLY, udp->v6only);
    set_socket_options(udp, *fd);
    return 0;
}

static int open_socket(struct stack_udp *udp, const struct stk_addr *addr)
{
    udp->family = addr->any.sa_family;
    udp->v6only = stk_segment_flag(udp->segment, "v6only", false) || !stk_addr_is_any(addr);
    const int code = stack_udp_socket(udp, &udp->fd);
    if (code < 0)
        return code;
    udp->gso = udp->gso && can_segment(udp->fd);
    return stk_sys.bind(udp->fd, &addr->any, addr->len) < 0 ? -errno : 0;
}

static void close_socket(struct stack_udp *udp)
{
    if (udp->fd >= 0)
        stk_sys.close(udp->fd);
    udp->fd = -1;
}

/* Where IPv6 is off, a socket for both families is one for IPv4. */
static int open_either(struct stack_udp *udp, struct stk_addr *addr)
{
    int code = open_socket(udp, addr);

    if ((code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL) && !stk_dgram_is_listening(&udp->layer) &&
        addr->any.sa_family == AF_INET6 && stk_addr_is_any(addr) &&
        stack_host_family(udp->segment) != AF_INET6) {
        close_socket(udp);
        any_address(addr, AF_INET);
        code = open_socket(udp, addr);
    }
    return code;
}

static int open_layer(struct stk_dgram_layer *layer)
{
    struct stack_udp *udp = udp_of(layer);
    char text[STK_ADDR_TEXT_MAX];
    struct stk_error error = {.code = 0};
    struct stk_addr addr;

    if (choose_address(udp, &addr, &error) < 0)
        return stk_dgram_fail(layer, error.code, "%s", error.text);
    int code = open_either(udp, &addr);
    if (code < 0)
        return stk_dgram_fail(layer, code, "can't open %s: %s", stk_addr_format(&addr, text),
                              stack_net_strerror(code));
    code = stack_udp_arena_of(stk_dgram_loop(layer), &udp->arena);
    if (code < 0)
        return stk_dgram_fail(layer, code, "no memory for receive buffers");
    stk_watch_init(&udp->watch, stk_dgram_loop(layer), udp->fd, on_watch);
    code = stack_udp_watch(udp);
    if (code < 0)
        return stk_dgram_fail(layer, code, "can't watch the socket: %s", stk_strerror(code));
    stack_udp_open_apart(udp);
    return 0;
}

static void destroy(struct stk_dgram_layer *layer)
{
    struct stack_udp *udp = udp_of(layer);

    stk_task_stop(&udp->report);
    if (udp->watch.fn)
        stk_watch_stop(&udp->watch);
    stack_udp_rest_free(udp);
    stk_free(udp->spill);
    stk_free(udp->reports);
    stack_udp_close_apart(udp);
    close_socket(udp);
}

/* --- The layer ----------------------------------------------------------------------------- */

static void part(struct stk_dgram_layer *layer, uint8_t first)
{
    udp_of(layer)->apart_first = first;
}

static int query(struct stk_dgram_layer *layer, int key, uint64_t association, void *out,
                 size_t len)
{
    struct stack_udp *udp = udp_of(layer);
    struct sockaddr_storage sa;
    socklen_t sa_len = sizeof sa;

    (void)association;
    if (key == STK_QUERY_UDP_STATS && len >= sizeof(struct stk_udp_stats)) {
        stack_udp_fill_stats(udp, out);
        return 0;
    }
    if (key != STK_QUERY_LOCAL_ADDR || len < sizeof(struct stk_addr))
        return -ENOENT;
    if (udp->fd < 0 || getsockname(udp->fd, (struct sockaddr *)&sa, &sa_len) < 0)
        return -ENOENT;
    stk_addr_from_sockaddr(out, (struct sockaddr *)&sa, sa_len);
    return 0;
}

/* The socket is bound to whatever the options say, and sends anywhere in its family. */
static bool serves(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    const struct stack_udp *udp = udp_of(layer);

    return stk_segment_flag(segment, "share", true) &&
           !stk_segment_flag(segment, "reuseport", false) &&
           stack_host_family(segment) == stack_host_family(udp->segment) &&
           stk_segment_agrees(segment, udp->segment, NULL);
}

static const struct stk_option_type options[] = {
    {"bind", STK_OPTION_TEXT, 0, 0, "local address when connecting, with or without a port"},
    {"share", STK_OPTION_FLAG, 0, 0,
     "connect through the socket of this loop's other connections that say the same (yes)"},
    {"reuseport", STK_OPTION_FLAG, 0, 0, "share the port with other sockets of this user (no)"},
    {"v6only", STK_OPTION_FLAG, 0, 0, "an IPv6 socket takes no IPv4 (no)"},
    {"rcvbuf", STK_OPTION_SIZE, 4096, 1 << 30, "receive buffer asked of the kernel (4M)"},
    {"sndbuf", STK_OPTION_SIZE, 4096, 1 << 30, "send buffer asked of the kernel (4M)"},
    {"gso", STK_OPTION_FLAG, 0, 0, "segmentation and coalescing by the kernel (yes)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_dgram_type dgram = {
    .name = "udp",
    .size = sizeof(struct stack_udp),
    .init = init,
    .open = open_layer,
    .send = stack_udp_send,
    .part = part,
    .serves = serves,
    .query = query,
    .destroy = destroy,
};

const struct stk_layer_type stk_layer_udp = {
    .name = "udp",
    .summary = "datagrams over UDP",
    .below = STK_HOST,
    .above = STK_DATAGRAMS,
    .value = STK_VALUE_REQUIRED,
    .value_name = "PORT",
    .check_value = stack_check_port,
    .options = options,
    .dgram = &dgram,
};
