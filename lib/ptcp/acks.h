/*
 * The receiver's side of acknowledgement: which packets arrived, and when to say so.
 */
#ifndef STK_PTCP_ACKS_H
#define STK_PTCP_ACKS_H

#include "packet.h"

enum {
    PTCP_ACK_DELAY_US = 25000,      /* the longest that an ACK is held back by default */
    PTCP_ACK_DELAY_MAX_US = 500000, /* what a peer may ask for at most */
    PTCP_ACK_PACKETS = 2,           /* an ACK for every second packet by default */
    PTCP_ACK_PACKETS_MAX = 256,
    PTCP_ACK_LATER_US = 20000, /* for who soon sends something else; less than the longest */
};

struct ptcp_acks {
    struct ptcp_ranges received; /* packet numbers; the newest PTCP_ACK_RANGES_MAX intervals */
    uint64_t floor;              /* numbers below are over: acknowledged or given up */
    uint64_t known;              /* the peer knows that those below have arrived, or are over */
    bool cut;                    /* but not of all: there were too many intervals to tell */
    uint64_t newest_us;          /* when the highest number arrived */
    uint64_t due_us;             /* when the ACK must leave; UINT64_MAX: none is owed */
    uint64_t max_delay_us;
    uint64_t frequency_sequence;
    uint32_t every;   /* packets for an immediate ACK */
    uint32_t waiting; /* ack-eliciting packets since the last ACK */
    uint64_t ecn[3];  /* ect0, ect1, ce */
};

void ptcp_acks_init(struct ptcp_acks *acks);
void ptcp_acks_free(struct ptcp_acks *acks);

/* The number after the highest one that arrived. */
uint64_t ptcp_acks_expected(const struct ptcp_acks *acks);
/* False for duplicates and for numbers too old to tell. */
bool ptcp_acks_is_new(const struct ptcp_acks *acks, uint64_t packet);
/* Takes note of `count` packets, from `packet` on, that were processed. `ecn` as in enum stk_ecn.
 */
void ptcp_acks_take(struct ptcp_acks *acks, uint64_t packet, uint32_t count, uint64_t now_us,
                    bool eliciting, unsigned ecn);
/* An ACK shall leave at once, if anything has been received. */
void ptcp_acks_hurry(struct ptcp_acks *acks, uint64_t now_us);
/* A packet was taken whose ACK may wait for one that is due, or goes with something else. */
void ptcp_acks_later(struct ptcp_acks *acks, uint64_t now_us);
/* An ACK was sent that told of so many intervals, the newest; 0: there is none to send. */
void ptcp_acks_sent(struct ptcp_acks *acks, uint32_t intervals);
/* The peer knows of all packets up to `largest`. */
void ptcp_acks_confirmed(struct ptcp_acks *acks, uint64_t largest);
/* The peer's wish, bounded. Older sequence numbers are ignored. */
void ptcp_acks_frequency(struct ptcp_acks *acks, uint64_t sequence, uint64_t packets,
                         uint64_t delay_us);

static inline bool ptcp_acks_any(const struct ptcp_acks *acks) { return acks->received.count > 0; }
static inline bool ptcp_acks_has_ecn(const struct ptcp_acks *acks)
{
    return (acks->ecn[0] | acks->ecn[1] | acks->ecn[2]) != 0;
}

#endif
