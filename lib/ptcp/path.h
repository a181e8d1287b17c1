/*
 * What is known of one network path: delay, congestion, pace, datagram size; and who uses it. In
 * sealed mode all connections of an association share one (RFC 9040), in plain mode each has its
 * own. paths.h says where they come from.
 */
#ifndef STK_PTCP_PATH_H
#define STK_PTCP_PATH_H

#include "addr.h"
#include "careful.h"
#include "cc.h"
#include "delivery.h"
#include "ecn.h"
#include "mtu.h"
#include "pacer.h"
#include "rtt.h"
#include "schedule.h"
#include "table.h"
#include "turns.h"

struct ptcp_conn;

/* Packets since the window was last reduced: if all losses were wrong, it is undone. */
struct ptcp_reduction {
    uint32_t lost, spurious;
};

struct ptcp_path {
    struct ptcp_rtt rtt;
    struct ptcp_cc cc;
    struct ptcp_delivery delivery;
    struct ptcp_reduction reduction;
    struct ptcp_pacer pacer;
    struct ptcp_mtu mtu;
    struct ptcp_ecn ecn;
    struct ptcp_careful careful;
    uint64_t since_us; /* what was sent before went another way, and says nothing of this one */
    uint64_t heard_us; /* when something came last, for any connection */
    uint64_t asked_us; /* when one of them last asked for all whether the peer is there */
    uint64_t acked_us; /* when anything of any connection was newly acknowledged last */
    uint16_t overhead; /* bytes that lower layers add to each packet */
    bool gone;         /* the association has failed: nobody may join */

    struct ptcp_slot slot;       /* its id is the association; 0: plain mode, in no table */
    struct stk_node connections; /* those that are not over */
    uint32_t users;              /* connections that hold a pointer */
    struct ptcp_turns turns;
    struct ptcp_alarm alarm;    /* the pacer lets a packet go; without users, it is forgotten */
    struct ptcp_alarm silence;  /* silence.h */
    struct ptcp_conn *listener; /* who asks when it falls silent, or NULL */
    uint64_t silence_us;        /* when somebody did so last */
    struct stk_addr peer, local;
};

void ptcp_path_init(struct ptcp_path *path, const struct ptcp_cc_type *cc, uint16_t overhead,
                    uint16_t max_datagram, uint16_t fixed_mtu);
/* The association has moved: nothing that was learnt holds any more. What was sent from `since_us`
 * on took the new way. */
void ptcp_path_reset(struct ptcp_path *path, uint64_t now_us, uint64_t since_us);
/* `mtu.current` changed. */
void ptcp_path_resize(struct ptcp_path *path);
/* New window or RTT: adopt the pacing rate. */
void ptcp_path_pace(struct ptcp_path *path, uint64_t now_us);
/* Do congestion window and pacer let a full packet go? If only the pacer does not, `*wait_us` says
 * until when; else it is UINT64_MAX. */
bool ptcp_path_is_open(struct ptcp_path *path, uint64_t now_us, uint64_t *wait_us);
/* How long an ACK is worth holding back: a quarter of the RTT, within bounds. */
uint64_t ptcp_path_ack_delay_us(const struct ptcp_path *path);

/* What becomes of a packet that was sent then says something of this path, not of one before it. */
static inline bool ptcp_path_took(const struct ptcp_path *path, uint64_t sent_us)
{
    return sent_us >= path->since_us;
}

/* Bytes of a full PTCP packet. */
static inline uint16_t ptcp_path_packet_size(const struct ptcp_path *path)
{
    return (uint16_t)(path->mtu.current - path->overhead);
}

#endif
