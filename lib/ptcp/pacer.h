/*
 * Spreads packets over the round trip: a bucket of credit that fills at the pacing rate.
 * Bursts stay at PTCP_PACER_BURST_PACKETS packets or two milliseconds' worth of the rate.
 */
#ifndef STK_PTCP_PACER_H
#define STK_PTCP_PACER_H

#include <stdint.h>

enum {
    PTCP_PACER_BURST_PACKETS = 10,
    PTCP_PACER_BURST_US = 2000,   /* what may gather while nobody sends */
    PTCP_PACER_WAKEUP_US = 500,   /* wait for that much credit: few wake-ups, runs for GSO */
    PTCP_PACER_RUN_BYTES = 65507, /* but for no more than one run */
};

struct ptcp_pacer {
    uint64_t credit;  /* bytes * 10^6 */
    uint64_t last_us; /* when credit was counted */
    uint64_t rate;    /* bytes/s; 0: unlimited */
    uint32_t mtu;
};

void ptcp_pacer_init(struct ptcp_pacer *pacer, uint32_t mtu);
void ptcp_pacer_set(struct ptcp_pacer *pacer, uint64_t now_us, uint64_t rate, uint32_t mtu);
/* Now, or when a packet may leave. */
uint64_t ptcp_pacer_next_us(struct ptcp_pacer *pacer, uint64_t now_us);
/* How many full packets may leave now. */
uint64_t ptcp_pacer_packets(struct ptcp_pacer *pacer, uint64_t now_us);
void ptcp_pacer_spend(struct ptcp_pacer *pacer, uint64_t bytes);

#endif
