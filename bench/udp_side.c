/*
 * The limit for anything over UDP: datagrams in batches by segmentation offload, without a
 * protocol, but with a window so that the receiver's socket buffer never overflows. The receiver
 * answers each batch with the number of bytes it has. Optionally each datagram is sealed and opened
 * with AES-128-GCM, as little as a secure protocol can do.
 */
#include "side.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    TAG_BYTES = 16,
    RUN_BYTES = 65507,
    RUN_COUNT = 64,
    BATCH = 16,
    BUFFER_BYTES = 65536,
    WINDOW_BYTES = 1024 * 1024,
    SOCKET_BUFFER_BYTES = 4 * 1024 * 1024,
    PATIENCE_MS = 20, /* without an answer, what is under way counts as lost */
};

static const uint8_t key[16] = "a benchmark key";
static const uint8_t header[16]; /* what is authenticated with each datagram */

static int open_socket(struct sockaddr_in *addr)
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
    const int size = SOCKET_BUFFER_BYTES;
    socklen_t len = sizeof *addr;

    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)addr, sizeof *addr) < 0 ||
        getsockname(fd, (struct sockaddr *)addr, &len) < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    return fd;
}

static EVP_CIPHER_CTX *new_cipher(bool sealing)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    if (cipher && ctx && EVP_CipherInit_ex2(ctx, cipher, key, NULL, sealing, NULL))
        return ctx;
    return NULL;
}

/* The counter is the datagram's first bytes of plaintext in a real protocol; both sides count here,
 * which is enough where nothing is lost or reordered. */
static bool turn(EVP_CIPHER_CTX *ctx, uint64_t counter, uint8_t *data, int len, bool sealing)
{
    uint8_t nonce[12] = {0};
    int n;

    memcpy(nonce, &counter, sizeof counter);
    return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, sealing, NULL) &&
           (sealing || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, data + len)) &&
           EVP_CipherUpdate(ctx, NULL, &n, header, sizeof header) &&
           EVP_CipherUpdate(ctx, data, &n, data, len) && EVP_CipherFinal_ex(ctx, data + n, &n) &&
           (!sealing || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, data + len));
}

/* --- Receiver -----------------------------------------------------------------------------------
 */

struct intake {
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in peer;
    alignas(struct cmsghdr) char control[BATCH][64];
    uint8_t buffers[BATCH][BUFFER_BYTES];
    EVP_CIPHER_CTX *cipher;
    uint64_t counter;
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
    size_t payload = 0;

    if (!intake->cipher)
        return len;
    for (size_t at = 0; at < len; at += segment) {
        const size_t size = (len - at < segment ? len - at : segment) - TAG_BYTES;

        if (!turn(intake->cipher, intake->counter++, intake->buffers[i] + at, (int)size, false))
            return 0;
        payload += size;
    }
    return payload;
}

/* A lone byte ends the transfer. Returns false at the end or on failure. */
static bool take_batch(struct side *side, struct intake *intake, int fd, uint64_t *taken)
{
    prepare(intake);
    const int count = recvmmsg(fd, intake->messages, BATCH, MSG_WAITFORONE, NULL);

    if (count <= 0)
        return false;
    for (int i = 0; i < count; i++) {
        if (intake->messages[i].msg_len == 1)
            return false;
        const size_t payload = take_message(intake, i);
        if (payload == 0)
            return false;
        *taken += payload;
        meter_count(&side->meter, payload);
    }
    return sendto(fd, taken, sizeof *taken, 0, (struct sockaddr *)&intake->peer,
                  sizeof intake->peer) > 0;
}

int udp_receive(struct side *side)
{
    struct intake *intake = calloc(1, sizeof *intake);
    struct sockaddr_in addr;
    const int fd = open_socket(&addr);
    uint64_t taken = 0;

    if (!intake || fd < 0)
        return side_failed(side, "no socket");
    if (side->bench_case->sealed && !(intake->cipher = new_cipher(false)))
        return side_failed(side, "no cipher");
    side_tell_port(side, ntohs(addr.sin_port));
    while (take_batch(side, intake, fd, &taken))
        ;
    meter_finish(&side->meter);
    EVP_CIPHER_CTX_free(intake->cipher);
    free(intake);
    return 0;
}

/* --- Sender -------------------------------------------------------------------------------------
 */

struct outflow {
    int fd;
    EVP_CIPHER_CTX *cipher;
    uint64_t counter, sent, acked;
    uint8_t run[RUN_BYTES];
};

/* Fills a run with fresh plaintext, as a protocol has to; returns its bytes on the wire. */
static size_t fill(struct side *side, struct outflow *out, size_t *payload)
{
    const size_t size = side->bench_case->datagram_bytes;
    const size_t room = size - (out->cipher ? TAG_BYTES : 0);
    const size_t most = RUN_BYTES / size < RUN_COUNT ? RUN_BYTES / size : RUN_COUNT;

    *payload = most * room;
    for (size_t i = 0; i < most; i++) {
        uint8_t *data = out->run + i * size;

        memcpy(data, side->stage->bytes + i * room % (CHUNK_BYTES - room), room);
        if (out->cipher && !turn(out->cipher, out->counter++, data, (int)room, true))
            return 0;
    }
    return most * size;
}

static bool send_run(struct side *side, struct outflow *out, size_t *payload)
{
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    const uint16_t segment = (uint16_t)side->bench_case->datagram_bytes;
    const size_t len = fill(side, out, payload);
    struct iovec iov = {out->run, len};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (len > segment) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof segment);
        memcpy(CMSG_DATA(c), &segment, sizeof segment);
    }
    return len > 0 && sendmsg(out->fd, &message, 0) == (ssize_t)len;
}

/* Reads all answers, waiting for one while the window is full. */
static void await_room(struct outflow *out)
{
    struct pollfd poller = {.fd = out->fd, .events = POLLIN};
    uint64_t acked;

    do {
        while (recv(out->fd, &acked, sizeof acked, MSG_DONTWAIT) == sizeof acked)
            out->acked = acked > out->acked ? acked : out->acked;
        if (out->sent - out->acked + RUN_BYTES <= WINDOW_BYTES)
            return;
    } while (poll(&poller, 1, PATIENCE_MS) > 0);
    out->sent = out->acked;
}

int udp_send(struct side *side)
{
    struct outflow *out = calloc(1, sizeof *out);
    struct sockaddr_in addr;
    size_t payload;

    if (!out || (out->fd = open_socket(&addr)) < 0)
        return side_failed(side, "no socket");
    addr.sin_port = htons(side->port);
    if (connect(out->fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        return side_failed(side, "can't connect");
    if (side->bench_case->sealed && !(out->cipher = new_cipher(true)))
        return side_failed(side, "no cipher");
    do {
        await_room(out);
        if (!send_run(side, out, &payload))
            return side_failed(side, "can't send");
        out->sent += payload;
    } while (!meter_count(&side->meter, payload));
    meter_finish(&side->meter);
    if (send(out->fd, "", 1, 0) < 0)
        return side_failed(side, "can't send the end");
    EVP_CIPHER_CTX_free(out->cipher);
    free(out);
    return 0;
}
