/*
 * HyStart++ (RFC 9406): leaves slow start when the delay grows, before packets are lost.
 */
#ifndef STK_PTCP_HYSTART_H
#define STK_PTCP_HYSTART_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PTCP_HYSTART_MIN_THRESHOLD_US = 4000,
    PTCP_HYSTART_MAX_THRESHOLD_US = 16000,
    PTCP_HYSTART_RTT_DIVISOR = 8,
    PTCP_HYSTART_SAMPLES = 8,
    PTCP_HYSTART_CSS_DIVISOR = 4,
    PTCP_HYSTART_CSS_ROUNDS = 5,
};

enum ptcp_hystart_phase { PTCP_HYSTART_SLOW, PTCP_HYSTART_CONSERVATIVE, PTCP_HYSTART_DONE };

struct ptcp_hystart {
    uint64_t round_end; /* in delivered bytes: a packet sent after them ends this round */
    uint64_t round_min_us, last_round_min_us, baseline_us;
    uint32_t samples, css_rounds;
    uint8_t phase; /* enum ptcp_hystart_phase */
};

void ptcp_hystart_init(struct ptcp_hystart *hystart);
/*
 * One ACK in slow start: bytes delivered by now, and when its newest packet was sent.
 * DONE: the caller sets ssthresh to the window and leaves slow start.
 */
enum ptcp_hystart_phase ptcp_hystart_ack(struct ptcp_hystart *hystart, uint64_t prior_delivered,
                                         uint64_t delivered, uint64_t rtt_us);

#endif
