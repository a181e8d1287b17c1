/*
 * What is under way on a path and what has arrived: bytes in flight, and the delivery rate
 * (draft-cheng-iccrg-delivery-rate-estimation). All connections of a path count together.
 */
#ifndef STK_PTCP_DELIVERY_H
#define STK_PTCP_DELIVERY_H

#include "sent.h"

/* Bytes/s: beyond any link, and small enough to be multiplied by seconds in microseconds. */
#define PTCP_DELIVERY_RATE_MAX (UINT64_C(1) << 40)

struct ptcp_delivery {
    uint64_t in_flight;         /* bytes of outstanding ack-eliciting packets */
    uint64_t delivered;         /* bytes acknowledged since the start; rounds are counted by it */
    uint64_t lost;              /* bytes declared lost since the start */
    uint64_t delivered_us;      /* of the last acknowledgement, or when sending began again */
    uint64_t first_sent_us;     /* when the newest acknowledged packet was sent, or the same */
    uint64_t app_limited_until; /* in delivered bytes: samples of packets sent before are lower
                                 * bounds */
    uint64_t rate;              /* the last sample, bytes/s */
};

/* A packet leaves: its record gets what a later sample needs. `record->time_us` is set. */
void ptcp_delivery_sent(struct ptcp_delivery *delivery, struct ptcp_sent *record);
/* These are not under way any more: acknowledged, lost, or given up without blame. */
void ptcp_delivery_gone(struct ptcp_delivery *delivery, uint64_t bytes);
/* These are acknowledged, whether they were outstanding or thought lost. */
void ptcp_delivery_acked(struct ptcp_delivery *delivery, uint64_t bytes);
/* After all packets of an ACK, `newest` the latest sent of them: bytes/s, or 0 for no sample. */
uint64_t ptcp_delivery_sample(struct ptcp_delivery *delivery, uint64_t now_us,
                              const struct ptcp_sent *newest);
/* Another path: what is acknowledged from now on, and was sent before, is not counted. */
void ptcp_delivery_restart(struct ptcp_delivery *delivery, uint64_t now_us);
static inline bool ptcp_delivery_is_app_limited(const struct ptcp_delivery *delivery)
{
    return delivery->app_limited_until > delivery->delivered;
}
/* The users had no more to send while the window was open. */
void ptcp_delivery_app_limited(struct ptcp_delivery *delivery);

#endif
