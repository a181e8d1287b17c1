/*
 * What keeps handshakes from costing too much: a meter of how many come, a token bucket for each
 * source, and a memory of the newest timestamp for each association that ended.
 *
 * All of them have a fixed size; what does not fit pushes out the oldest or is refused.
 */
#ifndef STK_SEAL_LIMITER_H
#define STK_SEAL_LIMITER_H

#include "base.h"

#include <stdbool.h>

enum {
    SEAL_SOURCES = 1024, /* sources with a bucket: sets of SEAL_SOURCE_WAYS, chosen by hash */
    SEAL_SOURCE_WAYS = 4,
    SEAL_SOURCE_RATE = 20, /* handshakes a second that one source may start under load */
    SEAL_SOURCE_BURST = 40,
    SEAL_STAMPS = 1024,
};

/* Counts in slices of a tenth of a second; the rate is that of the last whole second. */
struct seal_meter {
    uint64_t slice; /* number of the newest slice */
    uint32_t counts[10];
    uint32_t sum;
};

/* Notes one event and returns how many the last second had. */
uint32_t seal_meter_count(struct seal_meter *meter, uint64_t now_us);

struct seal_source {
    uint64_t hash; /* 0: unused */
    uint64_t seen_us;
    uint32_t millitokens;
};

struct seal_limiter {
    uint64_t seed;
    struct seal_source sources[SEAL_SOURCES];
};

/* One handshake from here: may it go on? IPv6 sources are counted by their /64. */
bool seal_limiter_take(struct seal_limiter *limiter, const struct stk_addr *from, uint64_t now_us);

/* Timestamps of associations that are gone, so that their recorded initiations stay dead. */
struct seal_stamps {
    uint64_t hash[SEAL_STAMPS];
    uint64_t timestamp[SEAL_STAMPS];
};

void seal_stamps_note(struct seal_stamps *stamps, uint64_t hash, uint64_t timestamp);
bool seal_stamps_is_fresh(const struct seal_stamps *stamps, uint64_t hash, uint64_t timestamp);

#endif
