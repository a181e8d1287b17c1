/*
 * What --stats and --json tell of a connection: taken from its stack while it lives, shown when all
 * is over.
 */
#ifndef P2PCAT_STATS_H
#define P2PCAT_STATS_H

#include "dgram.h"
#include "ptcp.h"
#include "seal.h"
#include "stack.h"

struct stats {
    struct stk_stats path;
    struct stk_ptcp_stats ptcp;
    struct stk_seal_stats seal;
    struct stk_udp_stats udp;
    char cipher[40]; /* empty: not encrypted */
    bool has_path, has_ptcp, has_seal, has_udp;
};

/* What was moved, and how long it took. */
struct stats_sums {
    const char *stack;
    uint64_t sent_bytes, received_bytes;
    uint64_t handshake_us; /* from the first attempt until the stack was open; 0: it listened */
    double seconds;
};

/* What the stack does not know (any more) stays as it was. */
void stats_take(struct stats *stats, struct stk_conn *conn);
/* On standard error, as lines or as one JSON object. */
void stats_show(const struct stats *stats, const struct stats_sums *sums, bool json);
/* For the progress line: "RTT 1.2 ms  cwnd 87 kB  3 lost"; returns `text`. */
enum { STATS_BRIEF_MAX = 96 };
const char *stats_brief(const struct stats *stats, char text[STATS_BRIEF_MAX]);

#endif
