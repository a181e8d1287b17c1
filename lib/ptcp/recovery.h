/*
 * Loss recovery (RFC 9002, and RFC 8985 for reordering): what is acknowledged, what is lost,
 * when to probe. Works on one connection's ring of sent packets and the path that it uses, which
 * it may share: what depends on packet numbers is here, the rest is the path's.
 */
#ifndef STK_PTCP_RECOVERY_H
#define STK_PTCP_RECOVERY_H

#include "packet.h"
#include "path.h"
#include "sent.h"

enum {
    PTCP_REORDER_PACKETS = 3, /* RFC 9002 section 6.1.1; grows when losses prove spurious */
    PTCP_REORDER_PACKETS_MAX = 512,
    PTCP_REORDER_EIGHTHS_MAX = 8, /* of an RTT that a packet may be late */
    PTCP_PTO_SHIFT_MAX = 10,
    PTCP_PTO_MAX_US = 3000000,       /* back-off ends here, so that a path that returns is found */
    PTCP_PTO_HANDSHAKE_US = 1000000, /* and here before the peer has answered */
    PTCP_PERSISTENT_PTOS = 3,
    PTCP_PTO_PROBES = 2,
    PTCP_PTO_ASIDE = 4,   /* after so many without an answer others of the path go first */
    PTCP_LATE_MAX = 4096, /* packets given up, the newest, for which an ACK may yet come */
};

/* Who owns the frames in the packets. */
struct ptcp_recovery_owner {
    void (*acked)(void *owner, const struct ptcp_sent *record);
    void (*lost)(void *owner, const struct ptcp_sent *record);
};

struct ptcp_recovery {
    struct ptcp_sent_ring ring;
    uint64_t in_flight;       /* bytes: this connection's part of the path's, and those elsewhere */
    uint64_t elsewhere;       /* bytes under way on a path before this one */
    uint64_t elsewhere_end;   /* + 1: the last packet that went there */
    uint64_t largest_acked;   /* + 1; 0: nothing yet */
    uint64_t newest_acked_us; /* when the newest acknowledged packet was sent */
    uint64_t last_eliciting_us;
    uint64_t loss_us; /* when the next packet counts as lost; UINT64_MAX: none */
    uint64_t peer_ack_delay_us;
    uint32_t pto_count;
    uint32_t probes; /* packets to send regardless of the window */
    uint32_t reorder_packets, reorder_eighths;
    uint64_t lost_packets, spurious_packets, timeouts, persistent;
    struct ptcp_ecn_counts ecn;
    bool marks; /* packets that leave now bear ECT(0) */
};

/* `records`: as in ptcp_sent_init(). */
void ptcp_recovery_init(struct ptcp_recovery *recovery, struct ptcp_records *records);
/* Forgets all packets; what was in flight leaves the path's account. */
void ptcp_recovery_free(struct ptcp_recovery *recovery, struct ptcp_path *path);

/*
 * Takes note of a packet that leaves now; `record` carries frames, sizes and flags, the rest is
 * filled in here. Needs ptcp_sent_reserve().
 */
void ptcp_recovery_sent(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                        struct ptcp_sent *record);
/* 1: something is newly acknowledged, 0: nothing; -EPROTO: a packet that was never sent. */
int ptcp_recovery_ack(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                      const struct ptcp_ack *ack, const struct ptcp_recovery_owner *type,
                      void *owner);
/* UINT64_MAX if no timer is needed. `handshake`: the peer has not answered yet. */
uint64_t ptcp_recovery_due_us(const struct ptcp_recovery *recovery, const struct ptcp_path *path,
                              bool handshake);
/* The timer is due: declares losses, or asks for probes. */
void ptcp_recovery_timeout(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                           const struct ptcp_recovery_owner *type, void *owner);
/* The path lets ACKs through, as far as those that came tell. */
bool ptcp_recovery_is_answered(const struct ptcp_recovery *recovery, const struct ptcp_path *path,
                               uint64_t now_us);
/*
 * Nothing that was sent is answered, nor are the probes: what is under way takes no room from
 * others of the path any more, and will be sent again. It goes on probing.
 */
void ptcp_recovery_stand_aside(struct ptcp_recovery *recovery, struct ptcp_path *path,
                               const struct ptcp_recovery_owner *type, void *owner);
/*
 * The path begins anew: what was sent before `since_us` (UINT64_MAX: all that is under way) went
 * another way. It may still be acknowledged or get lost, but takes no room here.
 */
void ptcp_recovery_moved(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t since_us);
/* Bytes: this connection's part of what is in flight on the path. */
static inline uint64_t ptcp_recovery_here(const struct ptcp_recovery *recovery)
{
    return recovery->in_flight - recovery->elsewhere;
}
/* Not over a path before this one, even if it left in the turn in which that one was left. */
static inline bool ptcp_recovery_went_here(const struct ptcp_recovery *recovery,
                                           const struct ptcp_path *path,
                                           const struct ptcp_sent *record)
{
    return record->packet >= recovery->elsewhere_end && ptcp_path_took(path, record->time_us);
}
/* Everything outstanding is lost without blame: a retry, or a new path. */
void ptcp_recovery_abandon(struct ptcp_recovery *recovery, struct ptcp_path *path,
                           const struct ptcp_recovery_owner *type, void *owner);

#endif
