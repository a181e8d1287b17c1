#include "delivery.h"

#include <assert.h>

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint32_t as_u32(uint64_t a) { return a < UINT32_MAX ? (uint32_t)a : UINT32_MAX; }

void ptcp_delivery_sent(struct ptcp_delivery *delivery, struct ptcp_sent *record)
{
    if (delivery->in_flight == 0)
        delivery->first_sent_us = delivery->delivered_us = record->time_us;
    record->delivered = delivery->delivered;
    record->lost = (uint32_t)delivery->lost;
    record->since_acked_us = as_u32(record->time_us - delivery->delivered_us);
    record->since_sent_us = as_u32(record->time_us - delivery->first_sent_us);
    if (ptcp_delivery_is_app_limited(delivery))
        record->flags |= PTCP_SENT_APP_LIMITED;
    record->in_flight = as_u32(delivery->in_flight + record->size);
    delivery->in_flight += ptcp_sent_bytes(record);
}

void ptcp_delivery_acked(struct ptcp_delivery *delivery, uint64_t bytes)
{
    delivery->delivered += bytes;
}

void ptcp_delivery_gone(struct ptcp_delivery *delivery, uint64_t bytes)
{
    assert(delivery->in_flight >= bytes);
    delivery->in_flight -= bytes;
}

uint64_t ptcp_delivery_sample(struct ptcp_delivery *delivery, uint64_t now_us,
                              const struct ptcp_sent *newest)
{
    const uint64_t ack_us = now_us - newest->time_us + newest->since_acked_us;
    const uint64_t interval_us = max_u64(newest->since_sent_us, ack_us);
    uint64_t rate;

    delivery->delivered_us = now_us;
    delivery->first_sent_us = newest->time_us;
    if (interval_us == 0)
        return 0;
    rate = min_u64((delivery->delivered - newest->delivered) * 1000000 / interval_us,
                   PTCP_DELIVERY_RATE_MAX);
    if (!(newest->flags & PTCP_SENT_APP_LIMITED) || rate > delivery->rate)
        delivery->rate = rate;
    return rate;
}

void ptcp_delivery_restart(struct ptcp_delivery *delivery, uint64_t now_us)
{
    delivery->delivered_us = delivery->first_sent_us = now_us;
    delivery->rate = delivery->app_limited_until = 0;
}

void ptcp_delivery_app_limited(struct ptcp_delivery *delivery)
{
    delivery->app_limited_until = max_u64(delivery->delivered + delivery->in_flight, 1);
}
