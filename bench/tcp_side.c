/* The reference: the kernel's TCP with blocking calls, as plain as it gets. */
#include "side.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux's own default, so that results compare where a machine has another one. */
#define TCP_DEFAULT_CC "cubic"

/* A case's name may choose the congestion control: "tcp-reference,cc=bbr". */
static int new_socket(const struct side *side)
{
    const char *given = strstr(side->name, ",cc="), *name = given ? given + 4 : TCP_DEFAULT_CC;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0)
        return fd;
    side_failed(side, name);
    close(fd);
    return -1;
}

int tcp_listen(struct side *side)
{
    struct sockaddr_in addr = side_addr(side, 0);
    socklen_t len = sizeof addr;
    const int listener = new_socket(side);

    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        listen(listener, 16) < 0 || getsockname(listener, (struct sockaddr *)&addr, &len) < 0)
        return -1;
    side_tell_port(side, ntohs(addr.sin_port));
    return listener;
}

int tcp_accept_one(struct side *side)
{
    const int listener = tcp_listen(side), fd = listener < 0 ? -1 : accept(listener, NULL, NULL);

    close(listener);
    return fd;
}

int tcp_connect_one(struct side *side)
{
    const struct sockaddr_in addr = side_addr(side, side->port);
    const int fd = new_socket(side);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
        return -1;
    return fd;
}

int tcp_receive(struct side *side)
{
    const int fd = tcp_accept_one(side);
    char *buffer = malloc(READ_BYTES);
    ssize_t got = -1;

    while (fd >= 0 && buffer && (got = read(fd, buffer, READ_BYTES)) > 0)
        meter_count(&side->meter, (size_t)got);
    free(buffer);
    if (got < 0)
        return side_failed(side, "can't receive");
    meter_finish(&side->meter);
    return 0;
}

int tcp_send(struct side *side)
{
    const int fd = tcp_connect_one(side);
    ssize_t wrote;

    do {
        wrote = fd < 0 ? -1 : write(fd, side->stage->bytes, CHUNK_BYTES);
        if (wrote < 0)
            return side_failed(side, "can't send");
    } while (!meter_count(&side->meter, (size_t)wrote));
    meter_finish(&side->meter);
    return 0;
}
