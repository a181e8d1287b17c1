#include "limiter.h"

#include <assert.h>

enum { SLICE_US = 100 * 1000, SLICES = 10, MILLI = 1000 };

static void advance(struct seal_meter *meter, uint64_t slice)
{
    uint64_t steps = slice - meter->slice;

    if (steps > SLICES)
        steps = SLICES;
    for (uint64_t i = 0; i < steps; i++) {
        uint32_t *oldest = &meter->counts[(slice - i) % SLICES];
        meter->sum -= *oldest;
        *oldest = 0;
    }
    meter->slice = slice;
}

uint32_t seal_meter_count(struct seal_meter *meter, uint64_t now_us)
{
    const uint64_t slice = now_us / SLICE_US;

    if (slice > meter->slice)
        advance(meter, slice);
    meter->counts[meter->slice % SLICES]++;
    return ++meter->sum;
}

/* What one customer usually holds: a whole IPv4 address, a /64 of IPv6. */
static uint64_t source_hash(const struct seal_limiter *limiter, const struct stk_addr *from)
{
    struct stk_addr source = *from;

    stk_addr_unmap(&source);
    stk_addr_set_port(&source, 0);
    if (source.any.sa_family == AF_INET6)
        memset(source.in6.sin6_addr.s6_addr + 8, 0, 8);
    return stk_addr_hash(&source, limiter->seed) | 1;
}

static struct seal_source *source_of(struct seal_limiter *limiter, uint64_t hash)
{
    struct seal_source *set =
        &limiter->sources[(hash >> 8) % (SEAL_SOURCES / SEAL_SOURCE_WAYS) * SEAL_SOURCE_WAYS];
    struct seal_source *oldest = set;

    for (int i = 0; i < SEAL_SOURCE_WAYS; i++) {
        if (set[i].hash == hash)
            return &set[i];
        if (set[i].seen_us < oldest->seen_us)
            oldest = &set[i];
    }
    *oldest = (struct seal_source){.hash = hash, .millitokens = SEAL_SOURCE_BURST * MILLI};
    return oldest;
}

bool seal_limiter_take(struct seal_limiter *limiter, const struct stk_addr *from, uint64_t now_us)
{
    struct seal_source *source = source_of(limiter, source_hash(limiter, from));
    const uint64_t gained =
        source->seen_us ? (now_us - source->seen_us) * SEAL_SOURCE_RATE / MILLI : 0;
    const uint64_t full = SEAL_SOURCE_BURST * MILLI;
    const uint64_t tokens = source->millitokens + gained;

    source->seen_us = now_us;
    source->millitokens = (uint32_t)(tokens < full ? tokens : full);
    if (source->millitokens < MILLI)
        return false;
    source->millitokens -= MILLI;
    return true;
}

void seal_stamps_note(struct seal_stamps *stamps, uint64_t hash, uint64_t timestamp)
{
    const unsigned at = hash % SEAL_STAMPS;

    if (!seal_stamps_is_fresh(stamps, hash, timestamp))
        return;
    stamps->hash[at] = hash;
    stamps->timestamp[at] = timestamp;
}

bool seal_stamps_is_fresh(const struct seal_stamps *stamps, uint64_t hash, uint64_t timestamp)
{
    const unsigned at = hash % SEAL_STAMPS;

    return stamps->hash[at] != hash || timestamp > stamps->timestamp[at];
}
