/*
 * What paths were like, for associations to come: docs/ptcp.md section 7, "Careful resume". One
 * history serves all ports of a loop. It is bounded, forgets what is old, and dies with the
 * process.
 */
#ifndef STK_PTCP_HISTORY_H
#define STK_PTCP_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PTCP_HISTORY_SETS = 256, /* a power of two */
    PTCP_HISTORY_WAYS = 4,   /* memories of one set: the oldest makes room */
};

/* A path changes in hours, not in minutes (RFC 9959 section 3.2 leaves the time to us). */
#define PTCP_HISTORY_LIFETIME_US UINT64_C(3600000000)

struct ptcp_memory {
    uint64_t who;    /* peer and addresses, as a keyed hash; 0: nobody */
    uint64_t bytes;  /* in flight, that the path bore; 0: not known */
    uint64_t at_us;  /* when that was */
    uint32_t rtt_us; /* the least */
    uint32_t window; /* bytes that were granted to the peer at a time, the most */
};

struct ptcp_history {
    unsigned users;
    uint8_t key[16]; /* for whoever hashes */
    struct ptcp_memory *sets[PTCP_HISTORY_SETS];
};

/* One use is the caller's. NULL without memory. */
struct ptcp_history *ptcp_history_new(const uint8_t key[16]);
struct ptcp_history *ptcp_history_use(struct ptcp_history *history);
void ptcp_history_leave(struct ptcp_history *history);

/* Without memory it is forgotten. */
void ptcp_history_put(struct ptcp_history *history, const struct ptcp_memory *memory);
/* Takes it out, so that one path at a time builds on it; false if there is none. */
bool ptcp_history_take(struct ptcp_history *history, uint64_t who, uint64_t now_us,
                       struct ptcp_memory *memory);

#endif
