#include "mtu.h"

#include <assert.h>
#include <stddef.h>

/* Payloads of what links really have: tunnels, Ethernet with IPv6 and IPv4, jumbo, loopback. */
static const uint16_t sizes[] = {PTCP_MTU_MIN, PTCP_MTU_BASE, 1320, 1392,  1452,  1472,
                                 4052,         8952,          8972, 16384, 32768, 65507};

/* What has passed before is tried first: heavy loss looks like a black hole, and ends. */
static uint16_t next_size(const struct ptcp_mtu *mtu)
{
    if (mtu->proven > mtu->current)
        return mtu->proven < mtu->max ? mtu->proven : mtu->max;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (sizes[i] > mtu->current)
            return sizes[i] < mtu->max ? sizes[i] : mtu->max;
    }
    return mtu->max;
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

void ptcp_mtu_probe_lost(struct ptcp_mtu *mtu, uint64_t now_us)
{
    mtu->outstanding = false;
    if (++mtu->tries < PTCP_MTU_TRIES)
        return;
    mtu->tries = 0;
    if (mtu->proven > mtu->current)
        mtu->proven = mtu->current; /* it did pass, but does so no more */
    else
        mtu->search_us = now_us + PTCP_MTU_AGAIN_US;
}

bool ptcp_mtu_acked(struct ptcp_mtu *mtu, uint16_t size, bool probe)
{
    if (probe) {
        mtu->outstanding = false;
        mtu->tries = 0;
    }
    if (size > mtu->proven)
        mtu->proven = size;
    if (mtu->fixed || !probe || size <= mtu->current)
        return false;
    mtu->current = size;
    return true;
}

bool ptcp_mtu_timeout(struct ptcp_mtu *mtu, unsigned count, uint64_t now_us)
{
    const unsigned patience =
        mtu->proven >= mtu->current ? PTCP_MTU_PROVEN_TIMEOUTS : PTCP_MTU_BLACK_HOLE_TIMEOUTS;

    if (mtu->fixed || count < patience || mtu->current <= PTCP_MTU_MIN)
        return false;
    mtu->current = PTCP_MTU_MIN;
    mtu->tries = 0;
    mtu->outstanding = false;
    mtu->search_us = now_us;
    return true;
}
