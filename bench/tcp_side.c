/* The reference: the kernel's TCP with blocking calls, as plain as it gets. */
#include "side.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int tcp_accept_one(struct side *side)
{
    struct sockaddr_in addr = loopback(0);
    socklen_t len = sizeof addr;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&addr, &len) < 0)
        return -1;
    side_tell_port(side, ntohs(addr.sin_port));
    const int fd = accept(listener, NULL, NULL);
    close(listener);
    return fd;
}

int tcp_connect_one(struct side *side)
{
    const struct sockaddr_in addr = loopback(side->port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

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
