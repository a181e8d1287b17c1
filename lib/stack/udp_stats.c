#include "recipe.h"
#include "udp.h"

#include <linux/sock_diag.h>
#include <sys/socket.h>

enum { BUFFER_DEFAULT_BYTES = 4 * 1024 * 1024 };

/* Linux reports twice what it grants: its own bookkeeping is counted in. */
uint32_t stack_udp_granted_bytes(int fd, int name)
{
    int got = 0;
    socklen_t len = sizeof got;

    return getsockopt(fd, SOL_SOCKET, name, &got, &len) < 0 ? 0 : (uint32_t)got / 2;
}

/* What SO_RXQ_OVFL would attach to each datagram; asked for here, it costs the others nothing. */
static uint32_t overflowed(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof info;

    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

void stack_udp_fill_stats(const struct stack_udp *udp, struct stk_udp_stats *stats)
{
    *stats = udp->stats;
    stats->segmentation = udp->gso;
    stats->receive_buffer_asked_bytes =
        (uint32_t)stk_segment_number(udp->segment, "rcvbuf", BUFFER_DEFAULT_BYTES);
    stats->send_buffer_asked_bytes =
        (uint32_t)stk_segment_number(udp->segment, "sndbuf", BUFFER_DEFAULT_BYTES);
    stats->receive_buffer_bytes = stack_udp_granted_bytes(udp->fd, SO_RCVBUF);
    stats->send_buffer_bytes = stack_udp_granted_bytes(udp->fd, SO_SNDBUF);
    stats->overflowed = overflowed(udp->fd);
    if (udp->apart_fd >= 0)
        stats->overflowed += overflowed(udp->apart_fd);
}
