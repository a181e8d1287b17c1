/*
 * Records of the packets that were sent: a ring indexed by packet number, with two lists of those
 * not acknowledged in the order of their numbers: those under way, and those given up for lost. One
 * block of memory, that comes with the first packet and goes when its owner says so; nothing is
 * allocated per packet.
 */
#ifndef STK_PTCP_SENT_H
#define STK_PTCP_SENT_H

#include "sendbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PTCP_SENT_MAX = 32768,    /* packets in the ring */
    PTCP_SENT_RESERVED = 256, /* of these, only for packets without stream data */
    PTCP_SENT_NONE = 0xffffffff,
};

enum ptcp_sent_state {
    PTCP_SENT_DONE, /* acknowledged, or of no further interest */
    PTCP_SENT_OUTSTANDING,
    PTCP_SENT_LOST,
    PTCP_SENT_SKIPPED, /* the number was never used: nobody can acknowledge it honestly */
};

/* What a packet carried besides stream bytes, and how it counts. */
enum ptcp_sent_flag {
    PTCP_CARRIED_ACK = 1,
    PTCP_CARRIED_MAX_DATA = 2,
    PTCP_CARRIED_PARAMS = 4,
    PTCP_CARRIED_STREAM = 8,
    PTCP_CARRIED_FIN = 16,
    PTCP_CARRIED_BLOCKED = 32,
    PTCP_CARRIED_FREQUENCY = 64,
    PTCP_SENT_PROBE = 128,       /* for the path's MTU: its loss is no congestion */
    PTCP_SENT_APP_LIMITED = 256, /* the rate sample that it gives is a lower bound */
    PTCP_SENT_ELICITING = 512,
    PTCP_SENT_PING = 1024,
    PTCP_SENT_ECT = 4096,  /* with the mark ECT(0) */
    PTCP_SENT_CALM = 2048, /* sent while the controller kept the path from being full */
};

struct ptcp_sent {
    uint64_t packet;
    uint64_t time_us;
    uint64_t offset; /* of the stream bytes */
    uint64_t ack_largest;
    uint64_t delivered;      /* bytes that the path had delivered by then */
    uint32_t lost;           /* and lost, low bits */
    uint32_t in_flight;      /* bytes under way, with this packet */
    uint32_t since_acked_us; /* from the ACK before it, or the start, to its sending */
    uint32_t since_sent_us;  /* from the sending of the packet acknowledged last */
    uint32_t len;            /* stream bytes */
    uint16_t size;           /* datagram bytes */
    uint16_t flags;          /* enum ptcp_sent_flag */
    uint32_t next, prev;     /* unacknowledged neighbours, by low bits */
    uint8_t state;           /* enum ptcp_sent_state */
};

/* Ends of a list, by low bits; PTCP_SENT_NONE. */
struct ptcp_sent_list {
    uint32_t head, tail;
};

struct ptcp_sent_ring {
    struct ptcp_sent *slots;
    uint32_t capacity; /* a power of two, or 0 */
    struct ptcp_sent_list live, lost;
    uint64_t first, next; /* packet numbers: records exist for [first, next) */
};

void ptcp_sent_init(struct ptcp_sent_ring *ring);
void ptcp_sent_free(struct ptcp_sent_ring *ring);
/* Makes sure that a packet with (or without) stream data can be recorded: 0 or an error. */
int ptcp_sent_reserve(struct ptcp_sent_ring *ring, bool data);
/* Where the record of the next packet will be; it may be made there. Needs a reserve. */
static inline struct ptcp_sent *ptcp_sent_room(const struct ptcp_sent_ring *ring)
{
    return &ring->slots[ring->next & (ring->capacity - 1)];
}
/* Records the packet with the number `ring->next`. Never fails after a reserve. */
void ptcp_sent_push(struct ptcp_sent_ring *ring, const struct ptcp_sent *record);
/* Leaves out a number. Needs a reserve. */
void ptcp_sent_skip(struct ptcp_sent_ring *ring);
/* An outstanding record is given up. Never one with a lower number than one given up before. */
void ptcp_sent_give_up(struct ptcp_sent_ring *ring, struct ptcp_sent *record);
/* Takes a record out of its list. */
void ptcp_sent_done(struct ptcp_sent_ring *ring, struct ptcp_sent *record);
/* Forgets finished records at the old end, and lost ones that were sent before `before_us`. */
void ptcp_sent_trim(struct ptcp_sent_ring *ring, uint64_t before_us);

static inline struct ptcp_sent *ptcp_sent_slot(const struct ptcp_sent_ring *ring, uint32_t low)
{
    return low == PTCP_SENT_NONE ? NULL : &ring->slots[low & (ring->capacity - 1)];
}
/* Records under way, oldest first: outstanding and skipped. */
static inline struct ptcp_sent *ptcp_sent_oldest(const struct ptcp_sent_ring *ring)
{
    return ptcp_sent_slot(ring, ring->live.head);
}
/* Records given up, the newest first. */
static inline struct ptcp_sent *ptcp_sent_newest_lost(const struct ptcp_sent_ring *ring)
{
    return ptcp_sent_slot(ring, ring->lost.tail);
}
static inline struct ptcp_sent *ptcp_sent_before(const struct ptcp_sent_ring *ring,
                                                 const struct ptcp_sent *record)
{
    return ptcp_sent_slot(ring, record->prev);
}
static inline struct ptcp_sent *ptcp_sent_after(const struct ptcp_sent_ring *ring,
                                                const struct ptcp_sent *record)
{
    return ptcp_sent_slot(ring, record->next);
}

/* Holds memory and no record: ptcp_sent_free() gives it back. */
static inline bool ptcp_sent_is_idle(const struct ptcp_sent_ring *ring)
{
    return ring->slots && ring->first == ring->next;
}

static inline struct ptcp_piece ptcp_sent_piece(const struct ptcp_sent *record)
{
    return (struct ptcp_piece){record->offset, record->len,
                               (record->flags & PTCP_CARRIED_FIN) != 0};
}

#endif
