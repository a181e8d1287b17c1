/*
 * A sealed server and its client, each a process of its own, joined by pipes over which the client
 * asks the server what it has counted. Where there are two processors, each has one.
 */
#ifndef STK_BENCH_PAIR_H
#define STK_BENCH_PAIR_H

#include "seal.h"
#include "stack.h"

#include <time.h>

struct pair {
    struct stk_key_pair key; /* the server's */
    int to_peer, from_peer;
    char address[256]; /* the client's: what to connect to, up to and with "ptcp" */
};

struct pair_server {
    const char *recipe; /* to listen to, on port 0 */
    const struct stk_protocol *protocol;
    void *user;
    /* Writes what the client is told when it asks, report_bytes of it. */
    void (*report)(void *user, void *report);
    size_t report_bytes;
};

/* Says on stderr why, and ends the process. */
_Noreturn void pair_fail(const char *what, const char *why);
int64_t pair_clock_us(clockid_t clock);

/*
 * Starts the server and returns, in the client, when it listens. Both have deadline_s seconds and
 * may open as many files as the system allows; the server ends with the client.
 */
void pair_start(struct pair *pair, const struct pair_server *server, unsigned deadline_s);
void pair_ask(struct pair *pair, void *report, size_t report_bytes);

/*
 * How many processors other programs had from one moment to another, machine_us being machine_now()
 * there, and cpu_us what both sides used. Where that is much the pair was slowed down: who shares
 * its processor with one other program has half of it, and the other side waits.
 */
double pair_others(int64_t time_us, int64_t machine_us, int64_t cpu_us);

#endif
