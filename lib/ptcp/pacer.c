#include "pacer.h"

static const uint64_t UNIT = 1000000;

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t burst_bytes(const struct ptcp_pacer *pacer)
{
    return max_u64((uint64_t)PTCP_PACER_BURST_PACKETS * pacer->mtu,
                   pacer->rate / UNIT * PTCP_PACER_BURST_US);
}

void ptcp_pacer_init(struct ptcp_pacer *pacer, uint32_t mtu)
{
    *pacer = (struct ptcp_pacer){.mtu = mtu};
    pacer->credit = burst_bytes(pacer) * UNIT;
}

static void refill(struct ptcp_pacer *pacer, uint64_t now_us)
{
    const uint64_t elapsed_us = now_us > pacer->last_us ? now_us - pacer->last_us : 0;
    const uint64_t most = burst_bytes(pacer) * UNIT;

    pacer->last_us = max_u64(now_us, pacer->last_us);
    if (elapsed_us >= UNIT || pacer->rate == 0)
        pacer->credit = most;
    else
        pacer->credit = min_u64(most, pacer->credit + pacer->rate * elapsed_us);
}

void ptcp_pacer_set(struct ptcp_pacer *pacer, uint64_t now_us, uint64_t rate, uint32_t mtu)
{
    refill(pacer, now_us);
    pacer->rate = min_u64(rate, UINT64_C(1) << 40);
    pacer->mtu = mtu;
}

uint64_t ptcp_pacer_next_us(struct ptcp_pacer *pacer, uint64_t now_us)
{
    const uint64_t packet = pacer->mtu * UNIT;

    refill(pacer, now_us);
    if (pacer->credit >= packet || pacer->rate == 0)
        return now_us;
    const uint64_t wish =
        min_u64(pacer->rate / UNIT * PTCP_PACER_WAKEUP_US, PTCP_PACER_RUN_BYTES) * UNIT;
    const uint64_t goal = max_u64(packet, wish);
    return now_us + (goal - pacer->credit + pacer->rate - 1) / pacer->rate;
}

uint64_t ptcp_pacer_packets(struct ptcp_pacer *pacer, uint64_t now_us)
{
    refill(pacer, now_us);
    return pacer->rate == 0 ? UINT64_MAX : pacer->credit / (pacer->mtu * UNIT);
}

void ptcp_pacer_spend(struct ptcp_pacer *pacer, uint64_t bytes)
{
    pacer->credit -= min_u64(pacer->credit, bytes * UNIT);
}
