/*
 * Whose turn it is to send stream bytes over a path that several connections share: the most
 * urgent first, and among equals by deficit round robin (RFC 8290 section 4.1.2 has the idea), a
 * quantum at a time, so that a turn fills a run and nobody starves.
 *
 * Only stream bytes and the SYNs that carry them wait for turns. What the window does not limit
 * (acknowledgements, probes, grants) is sent at once.
 */
#ifndef STK_PTCP_TURNS_H
#define STK_PTCP_TURNS_H

#include "list.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PTCP_PRIORITIES = 8, /* 0 is the most urgent */
    PTCP_PRIORITY_DEFAULT = 3,
    PTCP_QUANTUM_BYTES = 65507, /* of a turn: one run */
};

/* A path's. */
struct ptcp_turns {
    struct stk_node waiting[PTCP_PRIORITIES];
    struct stk_node active; /* in the endpoint's list while somebody waits and may send */
    uint32_t count;         /* connections that wait */
};

/* A connection's. */
struct ptcp_turn {
    struct stk_node node; /* in `waiting` of its priority */
    int32_t credit;       /* bytes of its quantum that are left, or owed */
    uint8_t priority;
};

void ptcp_turns_init(struct ptcp_turns *turns);
void ptcp_turn_init(struct ptcp_turn *turn, uint8_t priority);

static inline bool ptcp_turn_waits(const struct ptcp_turn *turn)
{
    return !stk_list_empty(&turn->node);
}
/* The last of its priority, if it does not wait already. */
void ptcp_turns_join(struct ptcp_turns *turns, struct ptcp_turn *turn);
void ptcp_turns_leave(struct ptcp_turns *turns, struct ptcp_turn *turn);
/* Whose turn it is; NULL if nobody waits. */
struct ptcp_turn *ptcp_turns_next(const struct ptcp_turns *turns);
/* True if `turn` would be the next, were it to join. */
bool ptcp_turns_is_next(const struct ptcp_turns *turns, const struct ptcp_turn *turn);
/*
 * It has sent so much. With less credit than a packet has bytes, `least`, the next of its priority
 * has the turn; what was sent beyond the quantum counts for the turn after.
 */
void ptcp_turns_spend(struct ptcp_turns *turns, struct ptcp_turn *turn, uint32_t bytes,
                      uint32_t least);
/* Another urgency; a turn that waits goes on waiting. */
void ptcp_turns_change(struct ptcp_turns *turns, struct ptcp_turn *turn, uint8_t priority);

#endif
