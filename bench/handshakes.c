/*
 * Full sealed handshakes between two processes: seal's association, a PTCP connection on it, its
 * end in order; each from a socket of its own.
 *
 *   handshakes new SECONDS N         N at a time, each with a key that the server never saw
 *   handshakes returning SECONDS N   the same, all with one key that it has seen before
 *
 * One line of name=value pairs goes to stdout. `server_per_core` is how many the server's processor
 * time would have been enough for on one core; `per_s` is limited by the client's core as well.
 * `others` is how many processors other programs had meanwhile (see pair.h).
 */
#include "machine.h"
#include "pair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WARM_US = 500000, DEADLINE_S = 120 };

struct report {
    int64_t cpu_us, machine_us, time_us;
    uint64_t ended; /* connections, in order */
};

static struct pair pair;
static uint64_t ended, failed;

static struct report report_now(void)
{
    return (struct report){.cpu_us = pair_clock_us(CLOCK_PROCESS_CPUTIME_ID),
                           .machine_us = (int64_t)machine_now().used_us,
                           .time_us = pair_clock_us(CLOCK_MONOTONIC),
                           .ended = ended};
}

/* --- Server ---------------------------------------------------------------------------------- */

static void served(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn;
    ended += !error;
}

static const struct stk_protocol server_protocol = {.closed = served};

static void tell(void *user, void *report)
{
    const struct report now = report_now();

    (void)user;
    memcpy(report, &now, sizeof now);
}

static const struct pair_server server_side = {
    .recipe = "/ip4/127.0.0.1/udp/0/seal,load=4000000000/ptcp,backlog=4096",
    .protocol = &server_protocol,
    .report = tell,
    .report_bytes = sizeof(struct report),
};

/* --- Client ---------------------------------------------------------------------------------- */

static struct stk_loop *loop;
static struct stk_timer timer;
static uint64_t window_us;
static struct report server[2], client[2];
static int reports;

static void open_one(void);

static void opened(struct stk_conn *conn) { stk_conn_close(conn); }

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    (void)conn;
    ended += !error;
    failed += error != NULL;
    open_one();
}

static const struct stk_protocol client_protocol = {.opened = opened, .closed = closed};

/* Where no identity is set, each connection makes a passing one. */
static void open_one(void)
{
    struct stk_error error = {0};
    struct stk_conn *conn;

    if (stk_connect(loop, pair.address, &client_protocol, NULL, &conn, &error))
        pair_fail("connect", error.text);
}

static void on_timer(struct stk_timer *due)
{
    pair_ask(&pair, &server[reports], sizeof server[reports]);
    client[reports++] = report_now();
    if (reports == 2)
        stk_loop_stop(loop);
    else
        stk_timer_at(due, stk_loop_now_us(loop) + window_us);
}

static void print(const char *name)
{
    const int64_t time_us = client[1].time_us - client[0].time_us;
    const int64_t machine_us = client[1].machine_us - client[0].machine_us;
    const int64_t server_us = server[1].cpu_us - server[0].cpu_us;
    const int64_t client_us = client[1].cpu_us - client[0].cpu_us;
    const double seconds = (double)(server[1].time_us - server[0].time_us) / 1e6;
    const double count = (double)(server[1].ended - server[0].ended);

    if (count < 1)
        pair_fail("client", "no handshake was done");
    printf("%s per_s=%.0f server_us=%.1f server_per_core=%.0f client_us=%.1f failed=%" PRIu64
           " others=%.2f\n",
           name, count / seconds, (double)server_us / count, 1e6 * count / (double)server_us,
           (double)client_us / count, failed,
           pair_others(time_us, machine_us, server_us + client_us));
}

static void run_client(const struct stk_key_pair *identity, unsigned long at_a_time)
{
    if (stk_loop_new(NULL, &loop))
        pair_fail("loop", "it can't be made");
    if (identity)
        stk_seal_set_identity(loop, identity);
    for (unsigned long i = 0; i < at_a_time; i++)
        open_one();
    stk_timer_init(&timer, loop, on_timer);
    stk_timer_at(&timer, stk_loop_now_us(loop) + WARM_US);
    stk_loop_run(loop);
}

int main(int argc, char **argv)
{
    const bool returning = argc == 4 && !strcmp(argv[1], "returning");
    const double seconds = argc == 4 ? strtod(argv[2], NULL) : 0;
    const unsigned long at_a_time = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    struct stk_key_pair identity;

    if ((!returning && (argc != 4 || strcmp(argv[1], "new") != 0)) || seconds < 0.1 ||
        seconds > 60 || at_a_time < 1 || at_a_time > 10000) {
        fprintf(stderr, "usage: handshakes new|returning SECONDS N\n");
        return 2;
    }
    window_us = (uint64_t)(seconds * 1e6);
    stk_key_pair_new(&identity);
    pair_start(&pair, &server_side, DEADLINE_S);
    run_client(returning ? &identity : NULL, at_a_time);
    print(argv[1]);
    fflush(stdout);
    _exit(0);
}
