/*
 * What sits between two peers and means harm: udp_proxy PORT [KEY=PERCENT…]
 *
 * Passes datagrams on between whoever writes to it first and 127.0.0.1:PORT. Beside every datagram
 * that passes, in so many per cent of the cases:
 *
 *   drop      it does not pass
 *   dup       it passes twice
 *   flip      a copy with one bit flipped goes along
 *   cut       a copy that is cut short goes along
 *   replay    one of the last 64 datagrams comes again, in either direction
 *   garbage   random bytes come, from here and from a socket that neither peer knows
 *   forge     a copy comes from that socket, with a bit flipped
 *
 * Prints "listening on 127.0.0.1:PORT", and at SIGTERM what it did. The seed is fixed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DATAGRAM_MAX = 65535, KEPT_MAX = 64 };

enum harm { DROP, DUP, FLIP, CUT, REPLAY, GARBAGE, FORGE, HARMS };

static const char *const names[HARMS] = {"drop",   "dup",     "flip", "cut",
                                         "replay", "garbage", "forge"};

struct kept {
    uint8_t *data;
    size_t len;
    bool to_server;
};

static double percent[HARMS];
static unsigned long done[HARMS], passed;
static uint64_t seed = 7;
static int front, back, stranger; /* sockets: towards the client, the server, and unknown to both */
static struct sockaddr_in client, server;
static bool has_client;
static struct kept kept[KEPT_MAX];
static unsigned kept_count;
static volatile sig_atomic_t ended;

static uint32_t random_number(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

static bool happens(enum harm harm)
{
    if (random_number() % 10000 >= percent[harm] * 100)
        return false;
    done[harm]++;
    return true;
}

static void send_on(int fd, const uint8_t *data, size_t len, bool to_server)
{
    const struct sockaddr_in *to = to_server ? &server : &client;

    if (to_server || has_client)
        sendto(fd, data, len, 0, (const struct sockaddr *)to, sizeof *to);
}

static void pass(const uint8_t *data, size_t len, bool to_server)
{
    send_on(to_server ? back : front, data, len, to_server);
}

static void flip_bit(uint8_t *data, size_t len)
{
    const uint32_t bit = random_number() % (uint32_t)(len * 8);

    data[bit / 8] ^= (uint8_t)(1 << bit % 8);
}

static void keep(const uint8_t *data, size_t len, bool to_server)
{
    struct kept *k = &kept[kept_count++ % KEPT_MAX];

    free(k->data);
    k->data = malloc(len);
    if (k->data == NULL)
        abort();
    memcpy(k->data, data, len);
    k->len = len;
    k->to_server = to_server;
}

static void send_garbage(void)
{
    uint8_t garbage[1500];
    const size_t len = random_number() % sizeof garbage;

    for (size_t i = 0; i < len; i++)
        garbage[i] = (uint8_t)random_number();
    for (int way = 0; way < 2; way++) {
        pass(garbage, len, way);
        send_on(stranger, garbage, len, way);
    }
}

/* `data` is spoilt by it. */
static void send_altered(uint8_t *data, size_t len, bool to_server)
{
    if (happens(CUT))
        pass(data, random_number() % len, to_server);
    flip_bit(data, len);
    if (happens(FLIP))
        pass(data, len, to_server);
    if (happens(FORGE))
        send_on(stranger, data, len, to_server);
}

static void harm(uint8_t *data, size_t len, bool to_server)
{
    if (percent[REPLAY] > 0)
        keep(data, len, to_server);
    passed++;
    if (!happens(DROP))
        pass(data, len, to_server);
    if (happens(DUP))
        pass(data, len, to_server);
    if (happens(REPLAY)) {
        const struct kept *k =
            &kept[random_number() % (kept_count < KEPT_MAX ? kept_count : KEPT_MAX)];

        pass(k->data, k->len, random_number() % 8 == 0 ? !k->to_server : k->to_server);
    }
    if (happens(GARBAGE))
        send_garbage();
    if (len > 0)
        send_altered(data, len, to_server);
}

static void receive(int fd, bool to_server)
{
    static uint8_t data[DATAGRAM_MAX];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    const ssize_t len = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_len);

    if (len < 0)
        return;
    if (to_server) {
        client = from;
        has_client = true;
    }
    harm(data, (size_t)len, to_server);
}

static int open_socket(void)
{
    const struct sockaddr_in local = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = 4 << 20;

    if (fd < 0 || bind(fd, (const struct sockaddr *)&local, sizeof local) < 0) {
        perror("udp_proxy");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return fd;
}

static bool take_setting(const char *word)
{
    for (int i = 0; i < HARMS; i++) {
        const size_t len = strlen(names[i]);

        if (strncmp(word, names[i], len) == 0 && word[len] == '=') {
            percent[i] = atof(word + len + 1);
            return true;
        }
    }
    return false;
}

static void on_terminate(int signo)
{
    (void)signo;
    ended = 1;
}

static void say_where(void)
{
    struct sockaddr_in local;
    socklen_t len = sizeof local;

    getsockname(front, (struct sockaddr *)&local, &len);
    printf("listening on 127.0.0.1:%u\n", ntohs(local.sin_port));
    fflush(stdout);
}

static void run(void)
{
    while (!ended) {
        struct pollfd fds[2] = {{.fd = front, .events = POLLIN}, {.fd = back, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            receive(front, true);
        if (fds[1].revents != 0)
            receive(back, false);
    }
    printf("passed %lu\n", passed);
    for (int i = 0; i < HARMS; i++)
        printf("%s %lu\n", names[i], done[i]);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return fprintf(stderr, "usage: udp_proxy PORT [KEY=PERCENT...]\n"), 2;
    for (int i = 2; i < argc; i++)
        if (!take_setting(argv[i]))
            return fprintf(stderr, "udp_proxy: what is \"%s\"?\n", argv[i]), 2;
    server = (struct sockaddr_in){.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)atoi(argv[1]))};
    signal(SIGTERM, on_terminate);
    front = open_socket();
    back = open_socket();
    stranger = open_socket();
    say_where();
    run();
    for (int i = 0; i < KEPT_MAX; i++)
        free(kept[i].data);
    return 0;
}
