/*
 * Records of the packets that were sent: a ring indexed by packet number, with two lists of those
 * not acknowledged in the order of their numbers: those under way, and those given up for lost. One
 * block of memory, that comes with the first packet and goes when an ACK leaves no record, or its
 * owner says so; nothing is allocated per packet. It grows while it is a small part of what all
 * rings of a port may still take (records.h); a small one is always to be had.
 *
 * Packets that left together, alike but for their numbers and their places in the stream, share the
 * record of the first one. It is split where their fates part: what is acknowledged or given up is
 * a record of its own. Those given up are recorded one by one.
 */
#ifndef STK_PTCP_SENT_H
#define STK_PTCP_SENT_H

#include "fetch.h"
#include "packet.h"
#include "records.h"
#include "sendbuf.h"

#include <assert.h>
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
    PTCP_SENT_ECT = 1024,       /* with the mark ECT(0) */
    PTCP_SENT_CALM = 2048,      /* sent while the controller kept the path from being full */
    PTCP_SENT_ABANDONED = 4096, /* given up without blame: its ACK says nothing of the path */
};

/* Of one packet, and of those that follow it. */
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
    uint32_t len;            /* stream bytes, of each */
    uint16_t size;           /* datagram bytes, of each */
    uint16_t more;           /* packets that follow; each has the next number and the next bytes */
    uint16_t flags;          /* enum ptcp_sent_flag */
    uint32_t next, prev;     /* unacknowledged neighbours, by low bits */
    uint8_t state;           /* enum ptcp_sent_state */
};

/* Ends of a list, by low bits; PTCP_SENT_NONE. */
struct ptcp_sent_list {
    uint32_t head, tail;
};

/* The receiver can tell which number is meant, however many of them get lost (RFC 9000 A.2). */
static_assert(PTCP_SENT_MAX < 1 << (PTCP_SHORT_NUMBER_BITS - 1), "numbers that are under way");

struct ptcp_sent_ring {
    struct ptcp_sent *slots;
    uint32_t capacity; /* a power of two, or 0 */
    struct ptcp_sent_list live, lost;
    uint64_t first, next; /* packet numbers: records exist for [first, next) */
    struct ptcp_records *records;
};

/* `records` outlive the ring. */
void ptcp_sent_init(struct ptcp_sent_ring *ring, struct ptcp_records *records);
void ptcp_sent_free(struct ptcp_sent_ring *ring);
/* Makes sure that a packet with (or without) stream data can be recorded: 0 or an error. */
int ptcp_sent_reserve(struct ptcp_sent_ring *ring, bool data);
/* The same for a record of several with stream data: for how many, at most `wish`; maybe none. */
uint32_t ptcp_sent_reserve_run(struct ptcp_sent_ring *ring, uint32_t wish);
/* Where the record of the next packet will be; it may be made there. Needs a reserve. */
static inline struct ptcp_sent *ptcp_sent_room(const struct ptcp_sent_ring *ring)
{
    return &ring->slots[ring->next & (ring->capacity - 1)];
}
/* It is about to be made. */
static inline void ptcp_sent_fetch(const struct ptcp_sent_ring *ring)
{
    if (ring->slots)
        stk_fetch(ptcp_sent_room(ring), sizeof(struct ptcp_sent));
}
/* Records the packet with the number `ring->next`. Never fails after a reserve. */
void ptcp_sent_push(struct ptcp_sent_ring *ring, const struct ptcp_sent *record);
/* Leaves out a number. Needs a reserve. */
void ptcp_sent_skip(struct ptcp_sent_ring *ring);
/*
 * The packets of a record from the number `packet` on, which it has and which is not its first, get
 * a record of their own, the next one. Returns that.
 */
struct ptcp_sent *ptcp_sent_split(struct ptcp_sent_ring *ring, struct ptcp_sent *record,
                                  uint64_t packet);
/* An outstanding record is given up, which is of one packet. Never one with a lower number than one
 * given up before. */
void ptcp_sent_give_up(struct ptcp_sent_ring *ring, struct ptcp_sent *record);
/* Takes a record out of its list. */
void ptcp_sent_done(struct ptcp_sent_ring *ring, struct ptcp_sent *record);
/* Forgets finished records at the old end, and lost ones that were sent before `before_us`. If none
 * is left, the memory goes. */
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

/* Of all packets of a record. */
static inline uint32_t ptcp_sent_count(const struct ptcp_sent *record)
{
    return (uint32_t)record->more + 1;
}
static inline uint64_t ptcp_sent_bytes(const struct ptcp_sent *record)
{
    return (uint64_t)record->size * ptcp_sent_count(record);
}
static inline struct ptcp_piece ptcp_sent_piece(const struct ptcp_sent *record)
{
    return (struct ptcp_piece){record->offset, record->len * ptcp_sent_count(record),
                               (record->flags & PTCP_CARRIED_FIN) != 0};
}

/* The record that the n-th packet and those after it would have, 0 being the first. */
static inline struct ptcp_sent ptcp_sent_from(const struct ptcp_sent *record, uint32_t n)
{
    const uint64_t in_flight = record->in_flight + (uint64_t)n * record->size;
    struct ptcp_sent rest = *record;

    rest.packet += n;
    rest.offset += (uint64_t)n * record->len;
    rest.in_flight = in_flight < UINT32_MAX ? (uint32_t)in_flight : UINT32_MAX;
    rest.more = (uint16_t)(record->more - n);
    return rest;
}

#endif
