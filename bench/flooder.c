#include "flooder.h"

#include "packet.h"
#include "seal_cookie.h"
#include "tag.h"

#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32 };

const char *const kind_names[KINDS] = {
    [INITIATIONS] = "initiations",
    [UNSIGNED] = "unsigned",
    [REPLAYS] = "replays",
    [FORGED] = "forged",
    [MIXED] = "mixed",
    [PLAIN_SYNS] = "plain-syns",
    [PLAIN_FORGED] = "plain-forged",
    [PLAIN_REPLAYS] = "plain-replays",
};

static const struct flooder *flooder;
static struct seal_mac_keys macs;

bool kind_is_plain(enum kind kind) { return kind >= PLAIN_SYNS; }

/* Whether these packets pretend to be the sender's own. */
static bool is_from_sender(enum kind kind) { return kind == PLAIN_FORGED || kind == PLAIN_REPLAYS; }

bool kind_has_recorded(enum kind kind, const struct record *record)
{
    return record->data[0] == (kind_is_plain(kind) ? PTCP_STREAM : SEAL_DATA);
}

uint64_t flooder_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t random64(void) { return (uint64_t)rand() << 33 ^ (uint64_t)rand() << 16 ^ rand(); }

/* --- Sealed packets ----------------------------------------------------------------------------
 */

static size_t make_initiation(uint8_t *packet, bool is_signed)
{
    seal_handshake_header(packet, SEAL_INITIATION, (uint32_t)rand());
    for (int i = SEAL_HANDSHAKE_HEADER; i < SEAL_INITIATION_MIN; i += 37)
        packet[i] = (uint8_t)rand();
    packet[SEAL_INITIATION_MIN - 1] = 1; /* a mac2 that has to be looked at */
    if (is_signed)
        seal_mac1_write(&macs, packet, packet + SEAL_INITIATION_MIN - 2 * SEAL_MAC);
    return SEAL_INITIATION_MIN;
}

static size_t make_replay(uint8_t *packet)
{
    const struct record *record = &flooder->board->records[rand() % RECORDS];

    memcpy(packet, record->data, record->len);
    return record->len;
}

/* A counter that is ahead: the packet has to be opened to be found out. */
static size_t make_forged(uint8_t *packet)
{
    const size_t len = make_replay(packet);

    seal_header_write(packet, rand() % 2 ? SEAL_DATA : SEAL_CONTROL, seal_header_index(packet),
                      seal_header_counter(packet, 0) + (uint64_t)(rand() % 1000000));
    packet[SEAL_HEADER + (size_t)rand() % (len - SEAL_HEADER)] ^= (uint8_t)(1 << rand() % 8);
    return rand() % 4 ? len : SEAL_OVERHEAD + (size_t)rand() % (len - SEAL_OVERHEAD);
}

static size_t make_other(uint8_t *packet)
{
    const uint32_t index = seal_header_index(flooder->board->records[0].data);
    const size_t len = 1 + (size_t)rand() % 1400;

    switch (rand() % 3) {
    case 0:
        seal_handshake_header(packet, SEAL_RESPONSE, index);
        return SEAL_RESPONSE_OVERHEAD + (size_t)rand() % 100;
    case 1:
        seal_handshake_header(packet, SEAL_COOKIE, index);
        return SEAL_COOKIE_SIZE;
    default:
        for (size_t i = 0; i < len; i += 7)
            packet[i] = (uint8_t)rand();
        return len;
    }
}

/* --- Plain packets -----------------------------------------------------------------------------
 */

/* Ends the packet with the tag that goes with these ids. */
static size_t finish(const struct stk_writer *writer, uint8_t *packet, uint64_t destination,
                     uint64_t source)
{
    return ptcp_tag_put(packet, (size_t)(writer->at - packet),
                        &(struct ptcp_whole){.destination = destination, .source = source});
}

static size_t make_syn(uint8_t *packet)
{
    const struct ptcp_header header = {.type = PTCP_SYN, .source = random64() | 1};
    const struct ptcp_params params = {.window = 65536, .max_datagram = 1400, .ack_packets = 2};
    const uint8_t cookie[24] = {(uint8_t)rand(), (uint8_t)rand()};
    struct stk_writer writer = stk_writer_of(packet, PACKET_MAX);

    ptcp_header_write(&writer, &header);
    ptcp_params_write(&writer, &params);
    if (rand() % 2)
        ptcp_cookie_write(&writer, cookie, sizeof cookie);
    return finish(&writer, packet, 0, header.source);
}

/* The next packet of the transfer, with the half of its id that is seen; the rest is guessed. */
static size_t make_frame(uint8_t *packet)
{
    static const uint8_t bytes[1200];
    const uint8_t *recorded = flooder->board->records[0].data;
    const struct ptcp_header header = {.type = PTCP_DATA,
                                       .destination = stk_load_be64(recorded + 1),
                                       .packet = stk_load_be24(recorded + 9) + 1000000};
    struct stk_writer writer = stk_writer_of(packet, PACKET_MAX);

    ptcp_header_write(&writer, &header);
    switch (rand() % 4) {
    case 0: /* an ACK of one interval */
        stk_write_u8(&writer, PTCP_FRAME_ACK);
        for (int i = 0; i < 4; i++)
            stk_write_varint(&writer, i == 0 ? (uint64_t)rand() : 0);
        break;
    case 1:
        ptcp_value_write(&writer, PTCP_FRAME_RESET, PTCP_RESET_CANCELLED);
        break;
    case 2: /* FIN */
        ptcp_stream_write(&writer, (uint64_t)rand(), 0, true, true);
        break;
    default:
        ptcp_stream_write(&writer, (uint64_t)rand(), sizeof bytes, false, true);
        stk_write_bytes(&writer, bytes, sizeof bytes);
    }
    return finish(&writer, packet, header.destination, random64());
}

/* Half of them are recorded packets with one bit changed. */
static size_t make_plain_forged(uint8_t *packet)
{
    if (rand() % 2)
        return make_frame(packet);
    const size_t len = make_replay(packet);
    packet[1 + (size_t)rand() % (len - 1)] ^= (uint8_t)(1 << rand() % 8);
    return len;
}

/* --- The flood ---------------------------------------------------------------------------------
 */

static size_t make_packet(uint8_t *packet)
{
    const enum kind kind = flooder->kind;

    switch (kind == MIXED ? (enum kind)(rand() % (MIXED + 1)) : kind) {
    case INITIATIONS:
        return make_initiation(packet, true);
    case UNSIGNED:
        return make_initiation(packet, false);
    case PLAIN_REPLAYS:
    case REPLAYS:
        return make_replay(packet);
    case FORGED:
        return make_forged(packet);
    case PLAIN_SYNS:
        return make_syn(packet);
    case PLAIN_FORGED:
        return make_plain_forged(packet);
    default:
        return make_other(packet);
    }
}

/* From any address that belongs to the loopback interface, which is all of 127/8. */
static void address_from_anywhere(struct msghdr *message, char *control)
{
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo));
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    const struct in_pktinfo info = {.ipi_spec_dst.s_addr =
                                        htonl(0x7f000000u | (1u + (unsigned)rand() % 0xfffffeu))};
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
}

static void flood_batch(int fd, struct sockaddr_in *to)
{
    static uint8_t packets[BATCH][PACKET_MAX];
    static char control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];

    for (int i = 0; i < BATCH; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        parts[i] = (struct iovec){packets[i], make_packet(packets[i])};
        *message = (struct msghdr){
            .msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &parts[i], .msg_iovlen = 1};
        if (!is_from_sender(flooder->kind))
            address_from_anywhere(message, control[i]);
    }
    for (int sent = 0, n; sent < BATCH; sent += n) {
        n = sendmmsg(fd, messages + sent, (unsigned)(BATCH - sent), 0);
        if (n <= 0)
            n = 1; /* an old ICMP's error, or no room: the packet is skipped */
    }
    flooder->board->flooded += BATCH;
}

void flooder_lend(int pair, int socket)
{
    char control[CMSG_SPACE(sizeof socket)] = {0}, byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof socket);
    memcpy(CMSG_DATA(header), &socket, sizeof socket);
    (void)!sendmsg(pair, &message, MSG_DONTWAIT);
}

static int borrow(int pair)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    int fd = -1;

    if (recvmsg(pair, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

void flooder_run(const struct flooder *how)
{
    const uint64_t begun_us = flooder_now_us();
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(how->board->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = is_from_sender(how->kind) ? borrow(how->lent) : socket(AF_INET, SOCK_DGRAM, 0);
    uint8_t as_static[SEAL_NOISE_KEY];

    flooder = how;
    if (fd < 0 || crypto_sign_ed25519_pk_to_curve25519(as_static, how->public_key)) {
        fprintf(stderr, "floods: the flooder can't begin\n");
        exit(1);
    }
    seal_mac_keys_of(&macs, as_static);
    for (uint64_t sent = 0;; sent += BATCH) {
        const uint64_t due_us = begun_us + sent * 1000000 / how->rate, now = flooder_now_us();
        if (due_us > now)
            usleep((useconds_t)(due_us - now));
        flood_batch(fd, &to);
    }
}
