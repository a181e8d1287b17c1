/*
 * Does the path carry ECN marks (RFC 9000 section 13.4.2 and appendix A.4)? The first packets are
 * marked ECT(0); then none, until the peer's counts prove that the marks arrive. A path that
 * bleaches them, makes others of them or drops what bears them gets none any more.
 */
#ifndef STK_PTCP_ECN_H
#define STK_PTCP_ECN_H

#include "packet.h"

enum {
    PTCP_ECN_TEST_PACKETS = 10,
    PTCP_ECN_TIMEOUTS = 3, /* probe time-outs in a row that end the use of marks */
};

enum ptcp_ecn_state {
    PTCP_ECN_TESTING, /* packets are marked */
    PTCP_ECN_UNKNOWN, /* enough were: wait for word of them */
    PTCP_ECN_CAPABLE, /* packets are marked */
    PTCP_ECN_FAILED,
};

/* One path's. */
struct ptcp_ecn {
    uint8_t state;        /* enum ptcp_ecn_state */
    uint8_t tested, lost; /* packets, while TESTING and UNKNOWN */
};

/* One connection's, as its packet numbers are: what it marked, and what the peer told of it. */
struct ptcp_ecn_counts {
    uint64_t sent, ect0, ce;
};

static inline bool ptcp_ecn_marks(const struct ptcp_ecn *ecn)
{
    return ecn->state == PTCP_ECN_TESTING || ecn->state == PTCP_ECN_CAPABLE;
}
void ptcp_ecn_sent(struct ptcp_ecn *ecn, struct ptcp_ecn_counts *counts, uint32_t packets);
/* A marked packet is lost. */
void ptcp_ecn_lost(struct ptcp_ecn *ecn);
/* The `count`-th probe time-out in a row. */
void ptcp_ecn_timeout(struct ptcp_ecn *ecn, uint32_t count);
/* An ACK whose counts say nothing of this path: what comes later counts from them on. */
void ptcp_ecn_note(struct ptcp_ecn_counts *counts, const struct ptcp_ack *ack);
/*
 * An ACK with a new largest number that newly acknowledges `marked` marked packets. True if it
 * tells of new CE marks that are to be believed.
 */
bool ptcp_ecn_acked(struct ptcp_ecn *ecn, struct ptcp_ecn_counts *counts,
                    const struct ptcp_ack *ack, uint64_t marked);

#endif
