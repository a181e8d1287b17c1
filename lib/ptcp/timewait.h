/*
 * What remains of a connection that is over: enough to answer a peer that has not heard so.
 * Every packet for it is answered by an ACK of just that packet, or by the RESET.
 */
#ifndef STK_PTCP_TIMEWAIT_H
#define STK_PTCP_TIMEWAIT_H

#include "addr.h"
#include "durable.h"
#include "list.h"
#include "table.h"

struct ptcp_timewait {
    struct ptcp_slot slot;
    struct stk_node node; /* in the order of expiry */
    uint64_t peer_id, association, expires_us;
    uint64_t next_packet;
    uint64_t received; /* number after the highest one that arrived */
    uint64_t stream;   /* bytes of the stream that arrived */
    uint64_t code;     /* of the reset */
    bool reset, durable;
    union { /* or the block ends before it */
        struct {
            struct stk_addr peer, local;
        } plain;
        struct ptcp_proof proof; /* of a durable connection: who may ask over another association */
    };
};

/* Nobody acknowledges a RESET: it is said at once, and then two times more. */
enum { PTCP_RESET_TIMES = 3 };

struct ptcp_timewaits {
    struct stk_node list;
    /* From where on the first, second, third RESET is still to be said; the list: nowhere. */
    struct stk_node *unsaid[PTCP_RESET_TIMES];
    uint32_t count, max;
    uint64_t duration_us;
    uint64_t told_us; /* the latest time that it was told */
};

void ptcp_timewaits_init(struct ptcp_timewaits *all, uint32_t max, uint64_t duration_us);
void ptcp_timewaits_free(struct ptcp_timewaits *all, struct ptcp_table *table);
/*
 * The oldest one makes room if there are too many. NULL without memory: then nobody answers. With
 * `more` bytes of the union.
 */
struct ptcp_timewait *ptcp_timewaits_add(struct ptcp_timewaits *all, struct ptcp_table *table,
                                         uint64_t id, size_t more, uint64_t now_us);
/* An entry whose RESET is to be said now, which then counts as done; NULL: none. */
struct ptcp_timewait *ptcp_timewaits_say(struct ptcp_timewaits *all, uint64_t now_us);
void ptcp_timewaits_expire(struct ptcp_timewaits *all, struct ptcp_table *table, uint64_t now_us);
/* UINT64_MAX: none. What was due when it was last told of the time only waits for output. */
uint64_t ptcp_timewaits_next_us(struct ptcp_timewaits *all);

#endif
