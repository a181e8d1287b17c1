/*
 * A transfer that is held at a rate, and a flood at its listener: what the transfer keeps, what the
 * flood costs in memory and time, and how soon honest newcomers get in.
 *
 *   floods KIND RATE SECONDS MBITS
 *
 * At a sealed transfer: `initiations` (with a right mac1), `unsigned` (with a wrong one), `replays`
 * (packets of the transfer, recorded), `forged` (the same with bits changed, as data and as
 * control), `mixed` (all of these, and responses, cookies and bare noise).
 *
 * At one of plain PTCP: `plain-syns` (half of them with a made-up cookie), `plain-forged` (ACK,
 * FIN, RESET and stream bytes by somebody who knows the listener's id but not the sender's, and
 * recorded packets with bits changed), `plain-replays` (recorded packets as they were).
 *
 * RATE is packets a second. `plain-forged` and `plain-replays` come from the sender's own address,
 * all others each from an address of 127/8 drawn at random. One line of name=value pairs goes to
 * stdout.
 *
 * Four processes: listener, sender, flooder, and this one, which connects anew twice a second. All
 * of it stays on loopback, so neither namespaces nor privileges are needed.
 */
#include "flooder.h"

#include "stack.h"

#include <inttypes.h>
#include <netinet/udp.h>
#include <signal.h>
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
    NEWCOMER_US = 500000,
    DEADLINE_S = 150,
};

static struct board *board;
static struct stk_loop *loop;
static enum kind kind;
static uint64_t rate;
static int lent[2]; /* the sender's socket goes to the flooder over it */
static struct stk_key_pair key;
static char address[256];
static pid_t listener, sender, flooder;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "floods: %s: %s\n", what, why);
    exit(1);
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

/* Each has said why it ended, if it could. */
static void expect_all_alive(void)
{
    const pid_t pid = waitpid(-1, NULL, WNOHANG);

    if (pid > 0)
        fail(pid == listener ? "listener" : pid == sender ? "sender" : "flooder", "it ended early");
}

static void took_too_long(int number)
{
    static const char text[] = "floods: it took too long\n";

    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
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
    if (stk_listen(loop,
                   kind_is_plain(kind) ? "/ip4/127.0.0.1/udp/0/ptcp"
                                       : "/ip4/127.0.0.1/udp/0/seal/ptcp",
                   &listener_protocol, NULL, &open, &error))
        fail("listen", error.text);
    stk_listener_addr(open, &local);
    board->port = stk_addr_port(&local);
    stk_loop_run(loop);
}

/* --- Sender ---------------------------------------------------------------------------------- */

static char sender_address[300];
static struct stk_sys real;

/* Of the first datagram of a message. */
static size_t datagram_bytes(const struct msghdr *message)
{
    size_t total = 0;
    uint16_t segment;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c;
         c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT) {
            memcpy(&segment, CMSG_DATA(c), sizeof segment);
            return segment;
        }
    for (size_t i = 0; i < message->msg_iovlen; i++)
        total += message->msg_iov[i].iov_len;
    return total;
}

static void record_one(const struct msghdr *message)
{
    struct record *record = &board->records[board->recorded];
    const size_t want = datagram_bytes(message);

    record->len = 0;
    for (size_t i = 0; i < message->msg_iovlen && record->len < want; i++) {
        const struct iovec *part = &message->msg_iov[i];
        const size_t left = want - record->len;
        const size_t len = part->iov_len < left ? part->iov_len : left;
        if (record->len + len > PACKET_MAX)
            return;
        memcpy(record->data + record->len, part->iov_base, len);
        record->len += len;
    }
    if (record->len > PACKET_MAX / 2 && kind_has_recorded(kind, record))
        board->recorded++;
}

/* Keeps what goes out first, once it is the transfer. */
static int record(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    if (board->received > 1000000 && board->recorded == 0)
        flooder_lend(lent[0], fd);
    for (unsigned i = 0; i < count && board->received > 1000000 && board->recorded < RECORDS; i++)
        record_one(&messages[i].msg_hdr);
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

static void flood(void)
{
    flooder_run(&(struct flooder){
        .kind = kind, .rate = rate, .board = board, .public_key = key.public_key, .lent = lent[1]});
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
    return (struct moment){flooder_now_us(), cpu_us(listener), board->received,
                           resident_bytes(listener), board->flooded};
}

struct newcomer {
    uint64_t begun_us;
};

static void newcomer_opened(struct stk_conn *conn)
{
    const struct newcomer *newcomer = stk_conn_user(conn);
    const uint64_t took_us = flooder_now_us() - newcomer->begun_us;

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

    if (!newcomer)
        fail("newcomer", "no memory");
    stk_timer_at(due, stk_loop_now_us(loop) + NEWCOMER_US);
    newcomer->begun_us = flooder_now_us();
    came++;
    if (stk_connect(loop, address, &newcomer_protocol, newcomer, &conn, &error))
        fail("newcomer", error.text);
}

static void on_timer(struct stk_timer *due)
{
    expect_all_alive();
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
           kind_names[kind],
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
    while (kind < KINDS && strcmp(argv[1], kind_names[kind]) != 0)
        kind++;
    rate = strtoull(argv[2], NULL, 10);
    seconds = strtoull(argv[3], NULL, 10);
    *mbits_held = (unsigned)strtoul(argv[4], NULL, 10);
    return kind < KINDS && rate >= 100 && rate <= 10000000 && seconds >= 1 && seconds <= 60 &&
           *mbits_held >= 1 && *mbits_held <= 100000;
}

/* Datagrams of a size that passes the Internet, whatever loopback would take. */
static void name_addresses(unsigned mbits_held)
{
    char text[STK_KEY_TEXT_MAX], peer[STK_KEY_TEXT_MAX + 16] = "";

    if (!kind_is_plain(kind))
        snprintf(peer, sizeof peer, "/seal,peer=%s", stk_key_format(key.public_key, text));
    snprintf(address, sizeof address, "/ip4/127.0.0.1/udp/%u%s/ptcp", board->port, peer);
    snprintf(sender_address, sizeof sender_address, "%s,mtu=1400/limit,rate=%u", address,
             mbits_held * 125000);
}

int main(int argc, char **argv)
{
    unsigned mbits_held;

    if (!read_arguments(argc, argv, &mbits_held)) {
        fprintf(stderr, "usage: floods KIND RATE SECONDS MBITS\n"
                        "KIND is one of");
        for (int i = 0; i < KINDS; i++)
            fprintf(stderr, " %s", kind_names[i]);
        fprintf(stderr, "\n");
        return 2;
    }
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED || sodium_init() < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, lent) < 0)
        fail("start", "no memory");
    signal(SIGALRM, took_too_long);
    alarm(DEADLINE_S);
    stk_key_pair_new(&key);
    listener = begin(listen_for_all);
    while (!board->port) {
        expect_all_alive();
        usleep(1000);
    }
    name_addresses(mbits_held);
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
