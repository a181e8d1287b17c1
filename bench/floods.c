/*
 * A sealed transfer that is held at a rate, and a flood at its listener: what the transfer keeps,
 * what the flood costs in memory, and how soon honest newcomers get in.
 *
 *   floods KIND RATE SECONDS MBITS
 *
 * KIND: `initiations` (with a right mac1), `unsigned` (with a wrong one), `replays` (packets of the
 * transfer, recorded), `forged` (the same with bits changed, as data and as control), `mixed` (all
 * of these, and responses, cookies and bare noise). RATE is packets a second, each from an address
 * of 127/8 drawn at random. One line of name=value pairs goes to stdout.
 *
 * Four processes: listener, sender, flooder, and this one, which connects anew twice a second.
 */
#include "seal.h"
#include "seal_cookie.h"
#include "stack.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WARM_US = 2000000, /* then the transfer runs at its rate, and is measured for so long */
    RECORDS = 64,
    PACKET_MAX = 1500,
    BATCH = 32,
    NEWCOMER_US = 500000,
    DEADLINE_S = 150,
};

enum kind { INITIATIONS, UNSIGNED, REPLAYS, FORGED, MIXED, KINDS };

static const char *const names[KINDS] = {"initiations", "unsigned", "replays", "forged", "mixed"};

/* What the processes share. */
struct board {
    volatile uint16_t port;
    volatile uint64_t received; /* bytes of the transfer */
    volatile uint64_t flooded;  /* packets */
    volatile unsigned recorded;
    struct {
        size_t len;
        uint8_t data[PACKET_MAX];
    } records[RECORDS];
};

static struct board *board;
static struct stk_loop *loop;
static struct stk_key_pair key;
static char address[256];
static pid_t listener, sender, flooder;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "floods: %s: %s\n", what, why);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t cpu_us(pid_t pid)
{
    clockid_t clock;
    struct timespec used;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
        fail("listener", "its time can't be read");
    return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

static uint64_t resident_bytes(pid_t pid)
{
    char path[64];
    long pages = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *statm = fopen(path, "r");
    if (!statm || fscanf(statm, "%*d %ld", &pages) != 1)
        fail(path, "can't be read");
    fclose(statm);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Runs in a process of its own, which ends with this one. */
static pid_t begin(void (*work)(void))
{
    const pid_t pid = fork();

    if (pid < 0)
        fail("fork", strerror(errno));
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(DEADLINE_S);
    work();
    _exit(0);
}

static void make_loop(void)
{
    if (stk_loop_new(NULL, &loop))
        fail("loop", "it can't be made");
}

/* --- Listener ------------------------------------------------------------------------------ */

static size_t count_bytes(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    (void)conn, (void)data;
    board->received += len;
    return len;
}

static const struct stk_protocol listener_protocol = {.received = count_bytes};

static void listen_for_all(void)
{
    struct stk_listener *open;
    struct stk_error error = {0};
    struct stk_addr local;

    make_loop();
    stk_seal_set_identity(loop, &key);
    if (stk_listen(loop, "/ip4/127.0.0.1/udp/0/seal/ptcp", &listener_protocol, NULL, &open, &error))
        fail("listen", error.text);
    stk_listener_addr(open, &local);
    board->port = stk_addr_port(&local);
    stk_loop_run(loop);
}

/* --- Sender ---------------------------------------------------------------------------------- */

static char sender_address[300];
static struct stk_sys real;

/* Keeps what goes out first, once it is the transfer. */
static int record(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned i = 0; i < count && board->recorded < RECORDS; i++) {
        const struct iovec *part = messages[i].msg_hdr.msg_iov;
        const uint8_t *data = part->iov_base;
        const size_t len = part->iov_len < PACKET_MAX ? part->iov_len : PACKET_MAX;
        if (len < SEAL_OVERHEAD || data[0] != SEAL_DATA || board->received < 1000000)
            continue;
        memcpy(board->records[board->recorded].data, data, len);
        board->records[board->recorded].len = len;
        board->recorded++;
    }
    return real.sendmmsg(fd, messages, count, flags);
}

static void fill(struct stk_conn *conn)
{
    static const uint8_t block[65536];

    while (stk_conn_write(conn, block, sizeof block) == (long)sizeof block)
        continue;
}

static void sender_closed(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn;
    fail("transfer", error ? error->text : "it ended");
}

static const struct stk_protocol sender_protocol = {
    .opened = fill, .writable = fill, .closed = sender_closed};

static void send_on(void)
{
    struct stk_error error = {0};
    struct stk_conn *conn;

    real = stk_sys;
    stk_sys.sendmmsg = record;
    make_loop();
    if (stk_connect(loop, sender_address, &sender_protocol, NULL, &conn, &error))
        fail("transfer", error.text);
    stk_loop_run(loop);
}

/* --- Flooder ---------------------------------------------------------------------------------- */

static enum kind kind;
static uint64_t rate;
static struct seal_mac_keys macs;

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
    const unsigned i = (unsigned)rand() % RECORDS;

    memcpy(packet, board->records[i].data, board->records[i].len);
    return board->records[i].len;
}

/* A counter that is ahead: the packet has to be opened to be found out. */
static size_t make_forged(uint8_t *packet)
{
    const size_t len = make_replay(packet);

    packet[0] = rand() % 2 ? SEAL_DATA : SEAL_CONTROL;
    stk_store_be64(packet + 8, stk_load_be64(packet + 8) + (uint64_t)(rand() % 1000000));
    packet[SEAL_HEADER + (size_t)rand() % (len - SEAL_HEADER)] ^= (uint8_t)(1 << rand() % 8);
    return rand() % 4 ? len : SEAL_OVERHEAD + (size_t)rand() % (len - SEAL_OVERHEAD);
}

static size_t make_other(uint8_t *packet)
{
    const size_t len = 1 + (size_t)rand() % 1400;

    switch (rand() % 3) {
    case 0:
        seal_handshake_header(packet, SEAL_RESPONSE, stk_load_be32(board->records[0].data + 4));
        return SEAL_RESPONSE_OVERHEAD + (size_t)rand() % 100;
    case 1:
        seal_handshake_header(packet, SEAL_COOKIE, stk_load_be32(board->records[0].data + 4));
        return SEAL_COOKIE_SIZE;
    default:
        for (size_t i = 0; i < len; i += 7)
            packet[i] = (uint8_t)rand();
        return len;
    }
}

static size_t make_packet(uint8_t *packet)
{
    switch (kind == MIXED ? (enum kind)(rand() % KINDS) : kind) {
    case INITIATIONS:
        return make_initiation(packet, true);
    case UNSIGNED:
        return make_initiation(packet, false);
    case REPLAYS:
        return make_replay(packet);
    case FORGED:
        return make_forged(packet);
    default:
        return make_other(packet);
    }
}

/* From any address that belongs to the loopback interface, which is all of 127/8. */
static void address_from_anywhere(struct msghdr *message, char *control, struct sockaddr_in *to)
{
    message->msg_name = to;
    message->msg_namelen = sizeof *to;
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
        parts[i] = (struct iovec){packets[i], make_packet(packets[i])};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        address_from_anywhere(&messages[i].msg_hdr, control[i], to);
    }
    for (int sent = 0, n; sent < BATCH; sent += n) {
        n = sendmmsg(fd, messages + sent, (unsigned)(BATCH - sent), 0);
        if (n <= 0)
            n = 1; /* an old ICMP's error: the packet is skipped */
    }
    board->flooded += BATCH;
}

static void flood(void)
{
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(board->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const uint64_t begun_us = now_us();
    uint8_t as_static[SEAL_NOISE_KEY];

    if (fd < 0 || crypto_sign_ed25519_pk_to_curve25519(as_static, key.public_key))
        fail("flooder", "it can't begin");
    seal_mac_keys_of(&macs, as_static);
    for (uint64_t sent = 0;; sent += BATCH) {
        const uint64_t due_us = begun_us + sent * 1000000 / rate, now = now_us();
        if (due_us > now)
            usleep((useconds_t)(due_us - now));
        flood_batch(fd, &to);
    }
}

/* --- Newcomers, and the measure of it all
 * ---------------------------------------------------------
 */

static struct stk_timer timer, next;
static uint64_t seconds;
static int phase;
static unsigned came, entered, turned_away;
static uint64_t slowest_us;

struct moment {
    uint64_t time_us, cpu_us; /* the listener's */
    uint64_t received, resident, flooded;
};

static struct moment moments[3];

static struct moment look(void)
{
    return (struct moment){now_us(), cpu_us(listener), board->received, resident_bytes(listener),
                           board->flooded};
}

struct newcomer {
    uint64_t begun_us;
};

static void newcomer_opened(struct stk_conn *conn)
{
    const struct newcomer *newcomer = stk_conn_user(conn);
    const uint64_t took_us = now_us() - newcomer->begun_us;

    entered++;
    if (took_us > slowest_us)
        slowest_us = took_us;
    stk_conn_close(conn);
}

static void newcomer_closed(struct stk_conn *conn, const struct stk_error *error)
{
    turned_away += error != NULL;
    free(stk_conn_user(conn));
}

static const struct stk_protocol newcomer_protocol = {.opened = newcomer_opened,
                                                      .closed = newcomer_closed};

static void send_newcomer(struct stk_timer *due)
{
    struct newcomer *newcomer = malloc(sizeof *newcomer);
    struct stk_error error = {0};
    struct stk_conn *conn;

    stk_timer_at(due, stk_loop_now_us(loop) + NEWCOMER_US);
    newcomer->begun_us = now_us();
    came++;
    if (stk_connect(loop, address, &newcomer_protocol, newcomer, &conn, &error))
        fail("newcomer", error.text);
}

static void on_timer(struct stk_timer *due)
{
    switch (phase++) {
    case 0: /* the transfer has its rate */
        moments[0] = look();
        stk_timer_at(due, stk_loop_now_us(loop) + WARM_US);
        return;
    case 1:
        moments[1] = look();
        if (board->recorded < RECORDS)
            fail("transfer", "nothing was recorded");
        flooder = begin(flood);
        stk_timer_at(&next, stk_loop_now_us(loop) + NEWCOMER_US);
        stk_timer_at(due, stk_loop_now_us(loop) + seconds * 1000000);
        return;
    case 2:
        moments[2] = look();
        stk_timer_stop(&next);
        stk_timer_at(due, stk_loop_now_us(loop) + 2 * NEWCOMER_US); /* for those on their way */
        return;
    default:
        stk_loop_stop(loop);
    }
}

static double mbits(const struct moment *from, const struct moment *to)
{
    return (double)(to->received - from->received) * 8 / (double)(to->time_us - from->time_us);
}

static double busy(const struct moment *from, const struct moment *to)
{
    return (double)(to->cpu_us - from->cpu_us) / (double)(to->time_us - from->time_us);
}

/* Of the listener's time, a packet of the flood, whether it got so far or not. */
static double packet_ns(void)
{
    const double more = busy(&moments[1], &moments[2]) - busy(&moments[0], &moments[1]);

    return more * 1000 * (double)(moments[2].time_us - moments[1].time_us) /
           (double)(moments[2].flooded - moments[1].flooded);
}

static void print(void)
{
    const double before = mbits(&moments[0], &moments[1]), during = mbits(&moments[1], &moments[2]);

    printf("%s per_s=%.0f before_mbits=%.0f during_mbits=%.0f kept=%.3f newcomers=%u entered=%u "
           "turned_away=%u slowest_ms=%.1f busy_before=%.2f busy_during=%.2f packet_ns=%.0f "
           "resident_before=%" PRIu64 " resident_after=%" PRIu64 "\n",
           names[kind],
           (double)(moments[2].flooded - moments[1].flooded) * 1e6 /
               (double)(moments[2].time_us - moments[1].time_us),
           before, during, during / before, came, entered, turned_away, (double)slowest_us / 1000,
           busy(&moments[0], &moments[1]), busy(&moments[1], &moments[2]), packet_ns(),
           moments[1].resident, moments[2].resident);
}

static bool read_arguments(int argc, char **argv, unsigned *mbits_held)
{
    if (argc != 5)
        return false;
    while (kind < KINDS && strcmp(argv[1], names[kind]) != 0)
        kind++;
    rate = strtoull(argv[2], NULL, 10);
    seconds = strtoull(argv[3], NULL, 10);
    *mbits_held = (unsigned)strtoul(argv[4], NULL, 10);
    return kind < KINDS && rate >= 100 && rate <= 10000000 && seconds >= 1 && seconds <= 60 &&
           *mbits_held >= 1 && *mbits_held <= 100000;
}

int main(int argc, char **argv)
{
    unsigned mbits_held;
    char text[STK_KEY_TEXT_MAX];

    if (!read_arguments(argc, argv, &mbits_held)) {
        fprintf(stderr, "usage: floods initiations|unsigned|replays|forged|mixed RATE SECONDS "
                        "MBITS\n");
        return 2;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || sodium_init() < 0)
        fail("start", "no memory");
    alarm(DEADLINE_S);
    stk_key_pair_new(&key);
    listener = begin(listen_for_all);
    while (!board->port)
        usleep(1000);
    snprintf(address, sizeof address, "/ip4/127.0.0.1/udp/%u/seal,peer=%s/ptcp", board->port,
             stk_key_format(key.public_key, text));
    snprintf(sender_address, sizeof sender_address, "%s/limit,rate=%u", address,
             mbits_held * 125000);
    sender = begin(send_on);
    make_loop();
    stk_timer_init(&timer, loop, on_timer);
    stk_timer_init(&next, loop, send_newcomer);
    stk_timer_at(&timer, stk_loop_now_us(loop) + WARM_US);
    stk_loop_run(loop);
    print();
    fflush(stdout);
    _exit(0); /* the others end with this one */
}
