/* Which peers can't be reached: what send() finds out, and what ICMP says. */
#include "udp.h"

#include "transports.h"

#include <linux/errqueue.h>
#include <stdalign.h>

/* Whatever code a forged message carries, it must not count as a failure of the socket itself. */
bool stack_udp_is_unreachable(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == EHOSTDOWN || error == ENETDOWN || error == EACCES || error == ENOPROTOOPT ||
           error == EPROTO || error == EOPNOTSUPP || error == ENONET;
}

/* --- From sending: told at the end of the turn ---------------------------------------------------
 */

enum { REPORTS_MAX = 16 };

struct stack_udp_reports {
    unsigned count;
    struct {
        struct stk_addr peer;
        int code;
    } all[REPORTS_MAX];
};

/* Advice, so what finds no room or no memory is lost: whoever sends there again finds it again. */
void stack_udp_report(struct stack_udp *udp, const struct stk_addr *peer, int error)
{
    if (!udp->reports)
        udp->reports = stk_alloc_zero(sizeof *udp->reports);
    if (!udp->reports || udp->reports->count == REPORTS_MAX)
        return;
    udp->reports->all[udp->reports->count].peer = *peer;
    udp->reports->all[udp->reports->count++].code = -error;
    stk_task_queue(&udp->report);
}

void stack_udp_tell_reports(struct stack_udp *udp)
{
    struct stack_udp_reports *reports = udp->reports;

    udp->reports = NULL;
    for (unsigned i = 0; i < reports->count; i++)
        stk_dgram_unreachable_above(&udp->layer, &reports->all[i].peer, reports->all[i].code);
    stk_free(reports);
}

/* --- From ICMP -------------------------------------------------------------------------------- */

/* Whoever is told looks for whom it concerns: forged reports must not keep the loop busy. */
enum { TOO_BIG_APART_US = 10000 };

/* Linux leaves the port out where it was the interface that is too small, and not ICMP. */
static void restore_port(const struct stack_udp *udp, struct stk_addr *peer)
{
    struct stk_addr last = udp->too_big_peer;

    if (stk_addr_port(peer) != 0 || last.len == 0)
        return;
    stk_addr_set_port(&last, 0);
    if (stk_addr_equal(&last, peer))
        *peer = udp->too_big_peer;
}

/* What is left of the MTU for the payload; the family of the report is that of the packet. */
static void take_too_big(struct stack_udp *udp, const struct stk_addr *peer, bool ip6, uint32_t mtu)
{
    const uint32_t headers = ip6 ? 40 + 8 : 20 + 8;
    const uint64_t now_us = stk_loop_now_us(stk_dgram_loop(&udp->layer));

    udp->stats.too_big++;
    if (mtu <= headers || now_us - udp->too_big_us < TOO_BIG_APART_US)
        return;
    udp->too_big_us = now_us;
    stk_dgram_too_big_above(&udp->layer, 0, peer, mtu - headers);
}

static void take_error(struct stack_udp *udp, struct msghdr *message)
{
    struct stk_addr peer;

    stk_addr_from_sockaddr(&peer, message->msg_name, message->msg_namelen);
    stk_addr_unmap(&peer);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        struct sock_extended_err report;

        if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
            !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            continue;
        memcpy(&report, CMSG_DATA(c), sizeof report);
        if (report.ee_errno == EMSGSIZE) {
            restore_port(udp, &peer);
            take_too_big(udp, &peer, c->cmsg_level == IPPROTO_IPV6, report.ee_info);
            continue;
        }
        if (!stack_udp_is_unreachable((int)report.ee_errno))
            continue;
        udp->stats.unreachable++;
        stk_dgram_unreachable_above(&udp->layer, &peer, -(int)report.ee_errno);
    }
}

void stack_udp_drain_errors(struct stack_udp *udp, int fd)
{
    for (int i = 0; i < STACK_UDP_ERRORS_MAX; i++) {
        alignas(struct cmsghdr) char control[512];
        struct sockaddr_in6 name;
        uint8_t data[1]; /* the start of the datagram that failed: not needed */
        struct iovec iov = {data, sizeof data};
        struct msghdr message = {
            .msg_name = &name,
            .msg_namelen = sizeof name,
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control,
            .msg_controllen = sizeof control,
        };
        if (stk_sys.recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return;
        take_error(udp, &message);
    }
}
