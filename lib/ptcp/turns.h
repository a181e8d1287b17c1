/*
 * Whose turn it is to send stream bytes over a path that several connections share: the most
 * urgent first, and among equals by deficit round robin (RFC 8290 section 4.1.2 has the idea), a
 * quantum at a time, so that a turn fills a run and nobody starves.
 *
 * Only stream bytes and the SYNs that carry them wait for turns. What the window does not limit
 * (acknowledgements, probes, grants) is sent at once.
 *
 * And whose turn it is to write. Bytes that are copied long before they are sent have left the
 * processor's cache by then, so where more connections have bytes to send than the path has places,
 * their users are invited in turn, as others have sent theirs:
 *
 *   IDLE -> WAITS             has bytes to send: holds a place until they are sent
 *   IDLE, WAITS -> ASKS       its user waits for room to write, and few bytes are left
 *   ASKS -> INVITED -> IDLE   holds a place until the user has been told
 */
#ifndef STK_PTCP_TURNS_H
#define STK_PTCP_TURNS_H

#include "list.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PTCP_PRIORITIES = 8, /* 0 is the most urgent */
    PTCP_PRIORITY_DEFAULT = 3,
    PTCP_QUANTUM_BYTES = 65507, /* of a turn: one run, or several where that takes no time: */
    PTCP_QUANTUM_US = 80,
    PTCP_QUANTUM_RUNS_MAX = 8,
    PTCP_ASKING_ROUNDS = 2, /* who has asked for so long is invited without a place */
    PTCP_SWIFT_SHARE = 4,   /* swift until the rate is such a part of what one run a turn takes */
};

enum ptcp_turn_state { PTCP_TURN_IDLE, PTCP_TURN_WAITS, PTCP_TURN_ASKS, PTCP_TURN_INVITED };

/* A path's connections of one urgency. */
struct ptcp_turn_queue {
    struct stk_node waiting, asking;
    uint32_t held; /* places: those that wait or are invited */
};

/* A path's. */
struct ptcp_turns {
    struct ptcp_turn_queue queues[PTCP_PRIORITIES];
    struct stk_node active; /* in the endpoint's list while somebody waits and may send */
    uint32_t count;         /* connections that wait */
    uint32_t asked;         /* that ask */
    uint32_t busy;          /* that are not IDLE */
    uint32_t ended;         /* turns, low bits */
    uint32_t quantum;       /* bytes of a turn: whole runs */
    bool swift;             /* turns have several runs, or nearly so */
};

/* A connection's. */
struct ptcp_turn {
    struct stk_node node; /* in `waiting` or `asking` of its priority */
    int32_t credit;       /* bytes of its quantum that are left, or owed */
    uint32_t asked_at;    /* how many turns had ended when it began to ask */
    uint8_t priority;
    uint8_t state; /* enum ptcp_turn_state */
};

void ptcp_turns_init(struct ptcp_turns *turns);
/* The path's rate is known: each turn costs what is the same for many bytes, so it has many. */
void ptcp_turns_pace(struct ptcp_turns *turns, uint64_t bytes_per_s);
void ptcp_turn_init(struct ptcp_turn *turn, uint8_t priority);

static inline bool ptcp_turn_waits(const struct ptcp_turn *turn)
{
    return turn->state == PTCP_TURN_WAITS;
}
static inline bool ptcp_turn_asks(const struct ptcp_turn *turn)
{
    return turn->state == PTCP_TURN_ASKS || turn->state == PTCP_TURN_INVITED;
}
/* Connections other than this one that have bytes to send, or would write some. */
static inline uint32_t ptcp_turns_others(const struct ptcp_turns *turns,
                                         const struct ptcp_turn *turn)
{
    return turns->busy - (turn->state != PTCP_TURN_IDLE);
}
/* Beside others, on a path where turns have several runs. */
static inline bool ptcp_turns_are_long(const struct ptcp_turns *turns, const struct ptcp_turn *turn)
{
    return turns->swift && ptcp_turns_others(turns, turn) > 0;
}
/* It has bytes to send: the last of its priority, if it does not wait already. */
void ptcp_turns_join(struct ptcp_turns *turns, struct ptcp_turn *turn);
/* Neither bytes nor a user who waits. */
void ptcp_turns_leave(struct ptcp_turns *turns, struct ptcp_turn *turn);
/* Its user waits for an invitation. */
void ptcp_turns_ask(struct ptcp_turns *turns, struct ptcp_turn *turn);
/*
 * Who is to write next: the most urgent, and the one that asked first, if there are `places` for
 * its urgency and all above it. Where these are held by users of its urgency who write unasked, it
 * waits for PTCP_ASKING_ROUNDS turns of each. NULL: nobody. It is INVITED now; leave() follows when
 * it was told.
 */
struct ptcp_turn *ptcp_turns_invite(struct ptcp_turns *turns, uint32_t places);
/* Whose turn it is; NULL if nobody waits. */
struct ptcp_turn *ptcp_turns_next(const struct ptcp_turns *turns);
/* True if `turn` would be the next, were it to join. */
bool ptcp_turns_is_next(const struct ptcp_turns *turns, const struct ptcp_turn *turn);
/*
 * It has sent so much. With less credit than a packet has bytes, `least`, the next of its priority
 * has the turn; where turns have several runs, with less than half a run. What was sent beyond the
 * quantum counts for the turn after.
 */
void ptcp_turns_spend(struct ptcp_turns *turns, struct ptcp_turn *turn, uint32_t bytes,
                      uint32_t least);
/* Another urgency; who waits or asks goes on doing so. */
void ptcp_turns_change(struct ptcp_turns *turns, struct ptcp_turn *turn, uint8_t priority);

#endif
