/*
 * Datagrams that may wait, such as handshakes: the kernel queues them in a socket of their own, so
 * that a flood of them takes no room from the others, and few of them are read in a turn.
 *
 * Both sockets have the port's one address; a program in the kernel tells by the first byte which
 * one a datagram is for. Where that can't be had, everything comes by the first.
 */
#include "udp.h"

#include "recipe.h"

#include <linux/filter.h>
#include <sys/socket.h>

enum { FIRST = 0, APART = 1 }; /* sockets of a group have numbers in order of binding */

static bool share_address(int fd, int yes)
{
    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0;
}

static bool sort_by_first_byte(int fd, uint8_t first)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, APART),
        BPF_STMT(BPF_RET | BPF_K, FIRST),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
}

/* The kernel has no datagram to look at where it tells of ICMP: that may come to either socket. */
static void on_watch(struct stk_watch *watch, unsigned events)
{
    struct stack_udp *udp = STK_CONTAINER(watch, struct stack_udp, apart_watch);

    if (events & STK_HANGUP)
        stack_udp_drain_errors(udp, udp->apart_fd);
    stack_udp_readable_apart(udp);
}

static bool open_apart(struct stack_udp *udp)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    return getsockname(udp->fd, (struct sockaddr *)&sa, &len) == 0 && share_address(udp->fd, 1) &&
           stack_udp_socket(udp, &udp->apart_fd) == 0 && share_address(udp->apart_fd, 1) &&
           stk_sys.bind(udp->apart_fd, (struct sockaddr *)&sa, len) == 0 &&
           sort_by_first_byte(udp->fd, (uint8_t)udp->apart_first);
}

/*
 * The first socket was bound alone: so nobody else had the address. From now on another socket of
 * this user could have it that asks for SO_REUSEPORT; it would get no datagram.
 */
void stack_udp_open_apart(struct stack_udp *udp)
{
    if (udp->apart_first == STACK_UDP_NOTHING_APART || !stk_dgram_is_listening(&udp->layer) ||
        stk_segment_flag(udp->segment, "reuseport", false))
        return;
    if (open_apart(udp)) {
        stk_watch_init(&udp->apart_watch, stk_dgram_loop(&udp->layer), udp->apart_fd, on_watch);
        if (stk_watch_set(&udp->apart_watch, STK_READABLE) == 0)
            return;
    }
    stack_udp_close_apart(udp);
    share_address(udp->fd, 0);
}

void stack_udp_close_apart(struct stack_udp *udp)
{
    if (udp->apart_watch.fn)
        stk_watch_stop(&udp->apart_watch);
    udp->apart_watch.fn = NULL;
    if (udp->apart_fd >= 0)
        stk_sys.close(udp->apart_fd);
    udp->apart_fd = -1;
}
