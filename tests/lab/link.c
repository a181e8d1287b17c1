/*
 * A link with delay, loss and a bottleneck between two interfaces: link IF IF [KEY=VALUE…]
 *
 *   delay=MS    each way
 *   rate=MBIT   megabits per second; 0: no bottleneck
 *   queue=KB    what the bottleneck holds, drop-tail (256)
 *   loss=PCT    of the packets, at random from a fixed seed
 *
 * Settings may change while it runs: lines on standard input, each answered with "set". It ends
 * with the input. Frames keep their offload headers, so checksums and segmentation stay right.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 70000, FRAMES_MAX = 8192 };

struct frame {
    struct frame *next;
    uint64_t due_us;
    size_t len;
    uint8_t data[];
};

struct direction {
    int in, out;
    struct frame *head, **tail;
    size_t count;
    uint64_t free_us; /* when the bottleneck has sent all it holds */
};

static double delay_ms, rate_mbit, queue_kb = 256, loss_percent;
static uint64_t seed = 1;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static double random_percent(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(seed >> 11) / 9007199254740992.0 * 100;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void apply(char *words)
{
    for (char *word = strtok(words, " \n"); word != NULL; word = strtok(NULL, " \n")) {
        if (sscanf(word, "delay=%lf", &delay_ms) + sscanf(word, "rate=%lf", &rate_mbit) +
                sscanf(word, "queue=%lf", &queue_kb) + sscanf(word, "loss=%lf", &loss_percent) !=
            1) {
            fprintf(stderr, "link: what is \"%s\"?\n", word);
            exit(2);
        }
    }
}

static int open_interface(const char *name)
{
    const int on = 1, bytes = 8 << 20;
    const struct sockaddr_ll where = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)if_nametoindex(name),
    };
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)&where, sizeof where) < 0)
        die(name);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return fd;
}

/* IPv4 and IPv6 only: a lost ARP packet says nothing about the program under test. */
static bool may_be_lost(const uint8_t *data, size_t len)
{
    const size_t at = sizeof(struct virtio_net_hdr) + 12;

    return len > at + 2 && (data[at] == 0x08 || data[at] == 0x86) && data[at + 1] != 0x06;
}

/* When a frame of so many bytes is through the bottleneck; 0 if its queue is full. */
static uint64_t pass_bottleneck(struct direction *d, size_t len, uint64_t now)
{
    if (rate_mbit <= 0)
        return now;
    if (d->free_us < now)
        d->free_us = now;
    if ((double)(d->free_us - now) * rate_mbit / 8 > queue_kb * 1000)
        return 0;
    d->free_us += (uint64_t)((double)len * 8 / rate_mbit);
    return d->free_us;
}

static void take(struct direction *d, const uint8_t *data, size_t len, uint64_t now)
{
    uint64_t sent_us = now;

    if (may_be_lost(data, len)) {
        if (random_percent() < loss_percent || d->count == FRAMES_MAX)
            return;
        if ((sent_us = pass_bottleneck(d, len, now)) == 0)
            return;
    }
    struct frame *f = malloc(sizeof *f + len);
    if (f == NULL)
        die("malloc");
    *f = (struct frame){.due_us = sent_us + (uint64_t)(delay_ms * 1000), .len = len};
    memcpy(f->data, data, len);
    *d->tail = f;
    d->tail = &f->next;
    d->count++;
}

static void receive(struct direction *d)
{
    static uint8_t data[FRAME_MAX];
    ssize_t len;

    while ((len = read(d->in, data, sizeof data)) > 0)
        take(d, data, (size_t)len, now_us());
}

/* The time until the next frame is due; -1 if there is none. */
static int64_t deliver(struct direction *d)
{
    const uint64_t now = now_us();

    while (d->head != NULL && d->head->due_us <= now) {
        struct frame *f = d->head;

        if (write(d->out, f->data, f->len) < 0 && errno == ENOBUFS)
            return 100;
        d->head = f->next;
        if (d->head == NULL)
            d->tail = &d->head;
        d->count--;
        free(f);
    }
    return d->head != NULL ? (int64_t)(d->head->due_us - now) : -1;
}

static void obey(void)
{
    char text[256];
    const ssize_t len = read(STDIN_FILENO, text, sizeof text - 1);

    if (len <= 0)
        exit(0);
    text[len] = '\0';
    apply(text);
    puts("set");
    fflush(stdout);
}

static void run(struct direction ways[2])
{
    for (;;) {
        struct pollfd fds[3] = {{.fd = ways[0].in, .events = POLLIN},
                                {.fd = ways[1].in, .events = POLLIN},
                                {.fd = STDIN_FILENO, .events = POLLIN}};
        const int64_t first = deliver(&ways[0]), second = deliver(&ways[1]);
        const int64_t wait = first < 0 || (second >= 0 && second < first) ? second : first;
        const struct timespec pause = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};

        if (ppoll(fds, 3, wait < 0 ? NULL : &pause, NULL) < 0 && errno != EINTR)
            die("poll");
        for (int i = 0; i < 2; i++)
            if (fds[i].revents != 0)
                receive(&ways[i]);
        if (fds[2].revents != 0)
            obey();
    }
}

int main(int argc, char **argv)
{
    struct direction ways[2] = {0};

    if (argc < 3)
        return fprintf(stderr, "usage: link IF IF [KEY=VALUE...]\n"), 2;
    for (int i = 3; i < argc; i++)
        apply(argv[i]);
    for (int i = 0; i < 2; i++) {
        ways[i].in = ways[1 - i].out = open_interface(argv[1 + i]);
        ways[i].tail = &ways[i].head;
    }
    puts("ready");
    fflush(stdout);
    run(ways);
}
