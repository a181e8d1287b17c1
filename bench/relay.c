#include "relay.h"

#include "measure.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 65536, SOCKET_BUFFER_BYTES = 4 * 1024 * 1024, IDLE_US = 1000000 };

static int open_socket(void)
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int size = SOCKET_BUFFER_BYTES, on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    return fd;
}

static int open_outside(const struct relay *relay)
{
    const int fd = open_socket(), never = IP_PMTUDISC_DO; /* nothing is cut to fragments */

    if (fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &never, sizeof never) == 0 &&
        connect(fd, (const struct sockaddr *)&relay->receiver, sizeof relay->receiver) == 0)
        return fd;
    return -1;
}

bool relay_open(struct relay *relay, const struct sockaddr_in *receiver, uint16_t *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;

    *relay = (struct relay){.receiver = *receiver};
    relay->inside = open_socket();
    relay->outside = open_outside(relay);
    if (relay->inside < 0 || relay->outside < 0 ||
        bind(relay->inside, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        getsockname(relay->inside, (struct sockaddr *)&addr, &len) < 0)
        return false;
    *port = ntohs(addr.sin_port);
    return true;
}

/* The size of the datagrams in a message that UDP_GRO put together; 0: it is one. */
static int segment_of(struct msghdr *message)
{
    int size = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&size, CMSG_DATA(c), sizeof size);
    return size;
}

static void set_segment(struct msghdr *message, char *control, int segment)
{
    const uint16_t size = (uint16_t)segment;

    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(sizeof size);
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(c), &size, sizeof size);
}

/* One message. `from` and `to` may be NULL where the socket is connected. What the other side can't
 * take is lost, as in any network. */
static bool forward(int in, struct sockaddr_in *from, int out, struct sockaddr_in *to)
{
    static uint8_t buffer[BUFFER_BYTES];
    alignas(struct cmsghdr) char control[64];
    struct iovec iov = {buffer, sizeof buffer};
    struct msghdr message = {.msg_name = from,
                             .msg_namelen = from ? sizeof *from : 0,
                             .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    const ssize_t len = recvmsg(in, &message, MSG_DONTWAIT);
    const int segment = len > 0 ? segment_of(&message) : 0;

    if (len < 0)
        return false;
    iov.iov_len = (size_t)len;
    message = (struct msghdr){
        .msg_name = to, .msg_namelen = to ? sizeof *to : 0, .msg_iov = &iov, .msg_iovlen = 1};
    if (segment > 0 && segment < len)
        set_segment(&message, control, segment);
    (void)!sendmsg(out, &message, 0);
    return true;
}

static bool rebind(struct relay *relay)
{
    close(relay->outside);
    relay->outside = open_outside(relay);
    return relay->outside >= 0;
}

bool relay_run(struct relay *relay, uint64_t after_us, uint64_t *moved_us)
{
    const uint64_t due_us = clock_now_us() + after_us;
    uint64_t busy_us = due_us;
    struct sockaddr_in sender;

    while (clock_now_us() < busy_us + IDLE_US) {
        struct pollfd ready[2] = {{.fd = relay->inside, .events = POLLIN},
                                  {.fd = relay->outside, .events = POLLIN}};

        if (poll(ready, 2, 1) < 0)
            return false;
        if (*moved_us == 0 && clock_now_us() >= due_us) {
            if (!rebind(relay))
                return false;
            *moved_us = clock_now_us();
            continue;
        }
        if (ready[0].revents || ready[1].revents)
            busy_us = clock_now_us();
        if (ready[0].revents)
            forward(relay->inside, &sender, relay->outside, NULL);
        if (ready[1].revents)
            forward(relay->outside, NULL, relay->inside, &sender);
    }
    return true;
}
