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
        if (!stack_udp_is_unreachable((int)report.ee_errno))
            continue;
        udp->stats.unreachable++;
        stk_dgram_unreachable_above(&udp->layer, &peer, -(int)report.ee_errno);
    }
}

void stack_udp_drain_errors(struct stack_udp *udp)
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
        if (stk_sys.recvmsg(udp->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return;
        take_error(udp, &message);
    }
}
