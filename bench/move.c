/*
 * The sender's address changes after two fifths of a transfer: how long until bytes flow again.
 *
 *   move rebinding CASE SECONDS   a NAT between the two forgets its mapping and makes another one
 *   move address CASE SECONDS     the sender's interface gets another address, which bench/run does
 *                                 in network namespaces; refused elsewhere
 *
 * One line goes to stdout: for how long nothing came, after how long goodput over 50 ms was four
 * fifths of what it was before (or all the time that was left), and goodput before and at the end,
 * both over an eighth of the time.
 */
#include "relay.h"
#include "side.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BACK_MS = 50, /* goodput is measured over so long a time */
    DEADLINE_S = 20,
};

struct move {
    bool rebinds;
    uint64_t window_us;
    struct measure sender, receiver;
    struct timeline timeline;
    uint64_t moved_us;
};

/* --- Sides --------------------------------------------------------------------------------------
 */

static int receive(struct side *side)
{
    struct move *move = side->shared;

    meter_init(&side->meter, &move->receiver, 0, move->window_us);
    side->meter.timeline = &move->timeline;
    return stack_receive(side);
}

/* Of the interface that the laboratory gives a host. The new one is in the same network. */
static bool change_address(void)
{
    struct ifreq request = {.ifr_name = "eth0"};
    struct sockaddr_in addr = {.sin_family = AF_INET};
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);

    inet_pton(AF_INET, "10.9.0.22", &addr.sin_addr);
    memcpy(&request.ifr_addr, &addr, sizeof addr);
    return fd >= 0 && ioctl(fd, SIOCSIFADDR, &request) == 0;
}

/* In a process beside the sender. */
static int move_later(struct side *side, struct relay *relay)
{
    struct move *move = side->shared;

    if (relay)
        return relay_run(relay, move->window_us * 2 / 5, &move->moved_us)
                   ? 0
                   : side_failed(side, "relay");
    usleep((useconds_t)(move->window_us * 2 / 5));
    move->moved_us = clock_now_us();
    return change_address() ? 0 : side_failed(side, "can't change the address");
}

static int transmit(struct side *side)
{
    struct move *move = side->shared;
    struct stage through = *side->stage;
    struct relay relay;
    int status;

    if (move->rebinds) {
        const struct sockaddr_in receiver = side_addr(side, side->port);
        if (!relay_open(&relay, &receiver, &side->port))
            return side_failed(side, "no relay");
        through.host = "127.0.0.1";
        side->stage = &through;
    }
    const pid_t mover = fork();
    if (mover == 0)
        _exit(move_later(side, move->rebinds ? &relay : NULL));
    meter_init(&side->meter, &move->sender, 0, move->window_us);
    const int result = mover < 0 ? side_failed(side, "fork") : stack_send(side);
    /* A relay has to deliver the last packets yet. */
    if (mover > 0 && (waitpid(mover, &status, 0) != mover || status != 0))
        return 1;
    return result;
}

/* --- What came of it ----------------------------------------------------------------------------
 */

static double gbit_per_s(const struct timeline *timeline, uint64_t from_ms, uint64_t ms)
{
    uint64_t bytes = 0;

    for (uint64_t i = from_ms; i < from_ms + ms && i < TIMELINE_MS; i++)
        bytes += timeline->bytes[i];
    return (double)bytes * 8e-6 / (double)ms;
}

/* The first pause between these two; 0 if there is none. */
static uint64_t silence(const struct timeline *timeline, uint64_t begin_ms, uint64_t end_ms)
{
    uint64_t ms = 0;

    while (begin_ms < end_ms && timeline->bytes[begin_ms])
        begin_ms++;
    while (begin_ms + ms < end_ms && !timeline->bytes[begin_ms + ms])
        ms++;
    return ms;
}

static void print_line(const char *name, const struct move *move)
{
    const struct timeline *timeline = &move->timeline;
    const uint64_t moved_ms = (move->moved_us - timeline->begin_us) / 1000;
    const uint64_t end_ms = move->window_us / 1000, part_ms = end_ms / 8;
    const double before = gbit_per_s(timeline, moved_ms - part_ms, part_ms);
    uint64_t back_ms = moved_ms;

    while (back_ms + BACK_MS < end_ms && gbit_per_s(timeline, back_ms, BACK_MS) < 0.8 * before)
        back_ms++;
    printf("%s silent_ms=%llu back_ms=%llu gbit_per_s_before=%.3f gbit_per_s_after=%.3f\n", name,
           (unsigned long long)silence(timeline, moved_ms, end_ms),
           (unsigned long long)(back_ms - moved_ms), before,
           gbit_per_s(timeline, end_ms - part_ms, part_ms));
}

static int run(const char *name, bool rebinds, double seconds)
{
    struct stage stage;
    struct move *move = shared_new(sizeof *move);

    if (!move || stage_set(&stage) < 0) {
        fprintf(stderr, "bench: no memory or no temporary directory\n");
        return 1;
    }
    move->rebinds = rebinds;
    move->window_us = (uint64_t)(seconds * 1e6);
    const bool done = sides_run(&stage, name, move, receive, transmit, DEADLINE_S);
    stage_clear(&stage);
    if (!done || !move->moved_us || move->sender.total_bytes != move->receiver.total_bytes) {
        fprintf(stderr, "bench: %s failed: %llu bytes were sent, %llu came\n", name,
                (unsigned long long)move->sender.total_bytes,
                (unsigned long long)move->receiver.total_bytes);
        return 1;
    }
    print_line(name, move);
    return 0;
}

int main(int argc, char **argv)
{
    const bool rebinds = argc == 4 && strcmp(argv[1], "rebinding") == 0;
    const double seconds = argc == 4 ? strtod(argv[3], NULL) : 0;

    if (argc != 4 || argv[2][0] != '/' || !(rebinds || strcmp(argv[1], "address") == 0) ||
        !(seconds >= 0.5 && seconds * 1000 <= TIMELINE_MS)) {
        fprintf(stderr, "usage: move rebinding|address STACK SECONDS\n");
        return 2;
    }
    const char *network = getenv("BENCH_SENDER_NETNS");
    if (!rebinds && !(network && *network)) {
        fprintf(stderr, "bench: this machine keeps its address: \"move address\" is for network "
                        "namespaces, where \"bench/run move veth\" runs it\n");
        return 2;
    }
    return run(argv[2], rebinds, seconds);
}
