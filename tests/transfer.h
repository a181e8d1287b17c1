/*
 * One connection between two simulated hosts that moves checked bytes both ways, and what became
 * of it. The caller makes the sim, its hosts and links, fills in what each side shall do, and runs
 * the sim: it ends by itself, with everything closed.
 */
#ifndef STK_TESTS_TRANSFER_H
#define STK_TESTS_TRANSFER_H

#include "oracle.h"
#include "sim.h"
#include "stack.h"

struct transfer;

struct transfer_side {
    /* What it shall do. */
    uint64_t send_bytes;
    uint32_t write_max;   /* bytes of one write; 0: all that fit */
    bool sends_after_end; /* only when the peer has finished: a reply */
    bool closes;          /* stk_conn_close() when all is done, not stk_conn_finish() */
    uint64_t pause_after; /* reads that much, then pauses for pause_us, and so on; 0: never */
    uint64_t pause_us;
    uint64_t leave_part;      /* received() leaves so many bytes of each piece, if it can */
    uint64_t close_within_us; /* close time-out; 0: the library's */

    /* What became of it. Times are since the sim's start. */
    struct stk_conn *conn;
    struct oracle_stream in;
    uint64_t out_seed, written;
    bool opened, got_end, closed, finishing;
    struct stk_error error; /* code 0: closed in order */
    uint64_t opened_us, first_byte_us, last_byte_us, end_us, closed_us;
    struct stk_stats stats; /* just before the end, where the stack knows */

    struct transfer *transfer;
    struct stk_timer resume;
    uint64_t read_since_pause;
};

struct transfer {
    struct stk_sim *sim;
    struct stk_listener *listener;
    struct transfer_side client, server;
    uint64_t connect_within_us; /* 0: the library's */
    int accepted;               /* connections: 1, or something is wrong */
    bool verbose;               /* puts what happens into the trace */
};

/* 0 or the error of stk_listen or stk_connect. The transfer is zeroed but for what shall be done.
 */
int transfer_start(struct transfer *transfer, struct stk_sim *sim, const char *listen,
                   const char *connect, uint64_t seed, struct stk_error *error);
/* Both sides closed in order and each has all of the other's bytes. */
bool transfer_is_complete(const struct transfer *transfer);

#endif
