#include "mtu.h"

#include <assert.h>
#include <stddef.h>

/* Payloads of what links really have: tunnels, Ethernet with IPv6 and IPv4, jumbo, loopback. */
static const uint16_t sizes[] = {PTCP_MTU_MIN, PTCP_MTU_BASE, 1320, 1392,  1452,  1472,
                                 4052,         8952,          8972, 16384, 32768, 65507};

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* First the sizes that most links have, so that a search upwards takes few round trips. */
static const uint16_t leaps[] = {1472, 8972, 65507};

static uint16_t min_u16(uint16_t a, uint16_t b) { return a < b ? a : b; }

static uint16_t next_leap(const struct ptcp_mtu *mtu)
{
    for (size_t i = 0; i < sizeof(leaps) / sizeof(leaps[0]); i++) {
        if (leaps[i] > mtu->current)
            return min_u16(leaps[i], mtu->max);
    }
    return mtu->max;
}

/* The middle one of the sizes between what passes and what did not; 0: there is none. */
static uint16_t between(uint16_t low, uint16_t high)
{
    size_t from = 0, to = 0;

    while (from < SIZES && sizes[from] <= low)
        from++;
    for (to = from; to < SIZES && sizes[to] < high;)
        to++;
    return from < to ? sizes[from + (to - from) / 2] : 0;
}

/* What has passed before is tried first: heavy loss looks like a black hole, and ends. */
static uint16_t next_size(const struct ptcp_mtu *mtu)
{
    if (mtu->hint > mtu->current && mtu->failed > mtu->hint)
        return mtu->hint;
    if (mtu->proven > mtu->current)
        return min_u16(mtu->proven, mtu->max);
    return mtu->failed ? between(mtu->current, mtu->failed) : next_leap(mtu);
}

void ptcp_mtu_init(struct ptcp_mtu *mtu, uint16_t max, uint16_t fixed)
{
    assert(max >= PTCP_MTU_MIN);
    *mtu = (struct ptcp_mtu){.max = max, .fixed = fixed != 0};
    mtu->current = fixed ? fixed : PTCP_MTU_BASE;
    if (mtu->current < PTCP_MTU_MIN)
        mtu->current = PTCP_MTU_MIN;
    if (mtu->current > max)
        mtu->current = max;
}

void ptcp_mtu_limit(struct ptcp_mtu *mtu, uint64_t max)
{
    if (max < PTCP_MTU_MIN)
        max = PTCP_MTU_MIN;
    if (mtu->max > max)
        mtu->max = (uint16_t)max;
    if (mtu->current > mtu->max)
        mtu->current = mtu->max;
}

uint16_t ptcp_mtu_probe(const struct ptcp_mtu *mtu, uint64_t now_us)
{
    if (mtu->fixed || mtu->outstanding || mtu->current >= mtu->max || now_us < mtu->search_us)
        return 0;
    return next_size(mtu);
}

void ptcp_mtu_probe_sent(struct ptcp_mtu *mtu) { mtu->outstanding = true; }

/* Nothing is left between what passes and what does not: the path may be another one later. */
static void rest_if_found(struct ptcp_mtu *mtu, uint64_t now_us)
{
    if (mtu->current < mtu->max && next_size(mtu) != 0)
        return;
    mtu->failed = mtu->hint = 0;
    mtu->search_us = now_us + PTCP_MTU_AGAIN_US;
}

void ptcp_mtu_probe_dropped(struct ptcp_mtu *mtu) { mtu->outstanding = false; }

static unsigned most_tries(const struct ptcp_mtu *mtu, uint16_t size)
{
    if (mtu->hint && size > mtu->hint)
        return 1;
    return size <= mtu->proven ? PTCP_MTU_PROVEN_TRIES : PTCP_MTU_TRIES;
}

void ptcp_mtu_probe_lost(struct ptcp_mtu *mtu, uint64_t now_us)
{
    const uint16_t size = next_size(mtu);

    mtu->outstanding = false;
    if (++mtu->tries < most_tries(mtu, size))
        return;
    mtu->tries = 0;
    if (size <= mtu->proven)
        mtu->proven = mtu->current; /* it did pass, but does so no more */
    mtu->failed = size;
    rest_if_found(mtu, now_us);
}

bool ptcp_mtu_acked(struct ptcp_mtu *mtu, uint16_t size, bool probe, uint64_t now_us)
{
    if (size > PTCP_MTU_MIN)
        mtu->timeouts = 0;
    if (size > mtu->hint)
        mtu->hint = 0; /* not true, or no more */
    if (probe) {
        mtu->outstanding = false;
        mtu->tries = 0;
    }
    if (size > mtu->proven)
        mtu->proven = size;
    if (mtu->fixed || !probe || size <= mtu->current)
        return false;
    mtu->current = size;
    if (mtu->failed && mtu->failed <= size)
        mtu->failed = 0;
    rest_if_found(mtu, now_us);
    return true;
}

static void fall(struct ptcp_mtu *mtu, uint16_t size, uint64_t now_us)
{
    mtu->current = size;
    mtu->tries = mtu->timeouts = 0;
    mtu->outstanding = false;
    mtu->failed = 0;
    mtu->search_us = now_us;
}

bool ptcp_mtu_small_passed(struct ptcp_mtu *mtu, uint64_t now_us)
{
    const uint16_t failed = mtu->current;

    if (mtu->fixed || mtu->timeouts < PTCP_MTU_SMALL_TIMEOUTS || mtu->current <= PTCP_MTU_MIN)
        return false;
    fall(mtu, PTCP_MTU_MIN, now_us);
    mtu->proven = PTCP_MTU_MIN;
    mtu->failed = failed;
    return true;
}

bool ptcp_mtu_timeout(struct ptcp_mtu *mtu, uint64_t now_us, uint64_t apart_us)
{
    if (mtu->timeouts > 0 && now_us - mtu->timeout_us < apart_us)
        return false;
    mtu->timeout_us = now_us;
    if (mtu->timeouts < UINT8_MAX)
        mtu->timeouts++;
    if (mtu->fixed || mtu->current <= PTCP_MTU_MIN)
        return false;
    if (mtu->hint && mtu->hint < mtu->current)
        fall(mtu, mtu->hint, now_us);
    else if (mtu->timeouts >= PTCP_MTU_BLACK_HOLE_TIMEOUTS)
        fall(mtu, PTCP_MTU_MIN, now_us);
    else
        return false;
    return true;
}

/* RFC 8899 section 4.6: not below the base, and only about what was really sent. */
void ptcp_mtu_hint(struct ptcp_mtu *mtu, uint64_t size)
{
    const uint16_t sent = mtu->outstanding ? next_size(mtu) : mtu->current;

    if (!mtu->fixed && size >= PTCP_MTU_BASE && size < sent)
        mtu->hint = (uint16_t)size;
}
