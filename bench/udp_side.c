#include "udp_side.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RUN_BYTES = 65507,
    RUN_COUNT = 64,
    BATCH = 16,
    BUFFER_BYTES = 65536,
    WINDOW_BYTES = 1024 * 1024,
    SOCKET_BUFFER_BYTES = 4 * 1024 * 1024,
    PATIENCE_MS = 20, /* without an answer, what is under way counts as lost */
};

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

/* The counter stands in the datagram's header, as in a real protocol. */
static const uint8_t *nonce_of(const uint8_t *header, uint8_t nonce[CIPHER_NONCE])
{
    memset(nonce, 0, CIPHER_NONCE);
    memcpy(nonce, header + CIPHER_HEADER - CIPHER_COUNTER, CIPHER_COUNTER);
    return nonce;
}

/* --- Receiver -----------------------------------------------------------------------------------
 */

struct intake {
    const struct cipher_type *type;
    void *cipher;
    int fd;
    uint64_t taken;
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in peer;
    alignas(struct cmsghdr) char control[BATCH][64];
    uint8_t buffers[BATCH][BUFFER_BYTES];
};

static void prepare(struct intake *intake)
{
    for (int i = 0; i < BATCH; i++) {
        intake->iov[i] = (struct iovec){intake->buffers[i], BUFFER_BYTES};
        intake->messages[i].msg_hdr = (struct msghdr){.msg_name = &intake->peer,
                                                      .msg_namelen = sizeof intake->peer,
                                                      .msg_iov = &intake->iov[i],
                                                      .msg_iovlen = 1,
                                                      .msg_control = intake->control[i],
                                                      .msg_controllen = sizeof intake->control[i]};
    }
}

static size_t segment_of(struct msghdr *message, size_t len)
{
    int size = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&size, CMSG_DATA(c), sizeof size);
    return size > 0 && (size_t)size < len ? (size_t)size : len;
}

/* Returns bytes of payload, or 0 where one does not open. */
static size_t take_message(struct intake *intake, int i)
{
    const size_t len = intake->messages[i].msg_len;
    const size_t segment = segment_of(&intake->messages[i].msg_hdr, len);
    uint8_t nonce[CIPHER_NONCE];
    size_t payload = 0;

    if (!intake->cipher)
        return len;
    for (size_t at = 0; at < len; at += segment) {
        uint8_t *header = intake->buffers[i] + at;
        const size_t whole = len - at < segment ? len - at : segment;

        if (whole <= CIPHER_HEADER + CIPHER_TAG)
            return 0;
        if (!intake->type->open(intake->cipher, nonce_of(header, nonce), header,
                                header + CIPHER_HEADER, whole - CIPHER_HEADER - CIPHER_TAG))
            return 0;
        payload += whole - CIPHER_HEADER - CIPHER_TAG;
    }
    return payload;
}

/* A lone byte ends the transfer. 1: go on, 0: the end, -1: failure. */
static int take_batch(struct side *side, struct intake *intake)
{
    prepare(intake);
    const int count = recvmmsg(intake->fd, intake->messages, BATCH, MSG_WAITFORONE, NULL);

    for (int i = 0; i < count; i++) {
        if (intake->messages[i].msg_len == 1)
            return 0;
        const size_t payload = take_message(intake, i);
        if (payload == 0)
            return -1;
        intake->taken += payload;
        meter_count(&side->meter, payload);
    }
    return count > 0 && sendto(intake->fd, &intake->taken, sizeof intake->taken, 0,
                               (struct sockaddr *)&intake->peer, sizeof intake->peer) > 0
               ? 1
               : -1;
}

static bool open_intake(struct side *side, struct intake *intake)
{
    struct sockaddr_in addr = side_addr(side, 0);
    socklen_t len = sizeof addr;

    intake->fd = open_socket();
    if (intake->fd < 0 || bind(intake->fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        getsockname(intake->fd, (struct sockaddr *)&addr, &len) < 0)
        return false;
    if (intake->type && !(intake->cipher = intake->type->create(false)))
        return false;
    side_tell_port(side, ntohs(addr.sin_port));
    return true;
}

int udp_receive(struct side *side, const struct cipher_type *type, size_t payload_bytes)
{
    struct intake *intake = calloc(1, sizeof *intake);
    int more;

    (void)payload_bytes;
    if (!intake)
        return side_failed(side, "no memory");
    intake->type = type;
    if (!open_intake(side, intake))
        return side_failed(side, "no socket");
    do
        more = take_batch(side, intake);
    while (more > 0);
    if (more < 0)
        return side_failed(side, "can't receive");
    meter_finish(&side->meter);
    if (intake->cipher)
        type->destroy(intake->cipher);
    free(intake);
    return 0;
}

/* --- Sender -------------------------------------------------------------------------------------
 */

struct outflow {
    const struct cipher_type *type;
    void *cipher;
    size_t payload_bytes, datagram_bytes;
    int fd;
    uint64_t sent, acked, window_bytes;
    uint32_t counter;
    uint8_t run[RUN_BYTES];
};

static bool fill_datagram(struct outflow *out, uint8_t *data, const uint8_t *payload)
{
    uint8_t nonce[CIPHER_NONCE];

    if (!out->cipher) {
        memcpy(data, payload, out->payload_bytes);
        return true;
    }
    memset(data, 0, CIPHER_HEADER);
    memcpy(data + CIPHER_HEADER - CIPHER_COUNTER, &out->counter, CIPHER_COUNTER);
    out->counter++;
    return out->type->seal(out->cipher, nonce_of(data, nonce), data, data + CIPHER_HEADER, payload,
                           out->payload_bytes);
}

/* Fills a run with fresh plaintext, as a protocol has to; returns its datagrams, 0 on failure. */
static size_t fill(const struct side *side, struct outflow *out)
{
    const size_t fit = RUN_BYTES / out->datagram_bytes, count = fit < RUN_COUNT ? fit : RUN_COUNT;

    for (size_t i = 0; i < count; i++) {
        const size_t from = i * out->payload_bytes % (CHUNK_BYTES - out->payload_bytes);

        if (!fill_datagram(out, out->run + i * out->datagram_bytes, side->stage->bytes + from))
            return 0;
    }
    return count;
}

static bool send_run(const struct side *side, struct outflow *out, size_t *payload)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    const uint16_t segment = (uint16_t)out->datagram_bytes;
    const size_t count = fill(side, out);
    struct iovec iov = {out->run, count * segment};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    *payload = count * out->payload_bytes;
    if (count > 1) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof segment);
        memcpy(CMSG_DATA(c), &segment, sizeof segment);
    }
    return count > 0 && sendmsg(out->fd, &message, 0) == (ssize_t)iov.iov_len;
}

/* Reads all answers, waiting for one while the window is full. */
static void await_room(struct outflow *out, uint64_t window_bytes)
{
    struct pollfd poller = {.fd = out->fd, .events = POLLIN};
    uint64_t acked;

    do {
        while (recv(out->fd, &acked, sizeof acked, MSG_DONTWAIT) == sizeof acked)
            out->acked = acked > out->acked ? acked : out->acked;
        if (out->sent - out->acked <= window_bytes)
            return;
    } while (poll(&poller, 1, PATIENCE_MS) > 0);
    out->sent = out->acked;
}

/* What the receiver's buffer, no larger than this side's, takes with the kernel's overhead. */
static uint64_t window_of(int fd)
{
    int size = 0;
    socklen_t len = sizeof size;

    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len);
    return size / 2 < WINDOW_BYTES ? (uint64_t)size / 2 : WINDOW_BYTES;
}

static bool open_outflow(struct side *side, struct outflow *out)
{
    const struct sockaddr_in addr = side_addr(side, side->port);

    out->fd = open_socket();
    if (out->fd < 0 || connect(out->fd, (const struct sockaddr *)&addr, sizeof addr) < 0)
        return false;
    out->window_bytes = window_of(out->fd) - RUN_BYTES;
    out->datagram_bytes = out->payload_bytes + (out->type ? CIPHER_HEADER + CIPHER_TAG : 0);
    return !out->type || (out->cipher = out->type->create(true));
}

int udp_send(struct side *side, const struct cipher_type *type, size_t payload_bytes)
{
    struct outflow *out = calloc(1, sizeof *out);
    size_t payload;

    if (!out)
        return side_failed(side, "no memory");
    *out = (struct outflow){.type = type, .payload_bytes = payload_bytes};
    if (!open_outflow(side, out))
        return side_failed(side, "no socket");
    do {
        await_room(out, out->window_bytes);
        if (!send_run(side, out, &payload))
            return side_failed(side, "can't send");
        out->sent += payload;
    } while (!meter_count(&side->meter, payload));
    meter_finish(&side->meter);
    await_room(out, 0);
    if (send(out->fd, "", 1, 0) < 0)
        return side_failed(side, "can't send the end");
    if (out->cipher)
        type->destroy(out->cipher);
    free(out);
    return 0;
}
