#include "hystart.h"

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

void ptcp_hystart_init(struct ptcp_hystart *hystart)
{
    *hystart = (struct ptcp_hystart){.round_min_us = UINT64_MAX,
                                     .last_round_min_us = UINT64_MAX,
                                     .baseline_us = UINT64_MAX,
                                     .phase = PTCP_HYSTART_SLOW};
}

static void start_round(struct ptcp_hystart *hystart, uint64_t delivered)
{
    hystart->last_round_min_us = hystart->round_min_us;
    hystart->round_min_us = UINT64_MAX;
    hystart->samples = 0;
    hystart->round_end = delivered;
    if (hystart->phase == PTCP_HYSTART_CONSERVATIVE &&
        ++hystart->css_rounds >= PTCP_HYSTART_CSS_ROUNDS)
        hystart->phase = PTCP_HYSTART_DONE;
}

static bool delay_grew(const struct ptcp_hystart *hystart)
{
    const uint64_t last_us = hystart->last_round_min_us;

    if (hystart->samples < PTCP_HYSTART_SAMPLES || last_us == UINT64_MAX)
        return false;
    return hystart->round_min_us >= last_us + clamp(last_us / PTCP_HYSTART_RTT_DIVISOR,
                                                    PTCP_HYSTART_MIN_THRESHOLD_US,
                                                    PTCP_HYSTART_MAX_THRESHOLD_US);
}

static void judge(struct ptcp_hystart *hystart)
{
    if (hystart->phase == PTCP_HYSTART_SLOW && delay_grew(hystart)) {
        hystart->baseline_us = hystart->round_min_us;
        hystart->css_rounds = 0;
        hystart->phase = PTCP_HYSTART_CONSERVATIVE;
    } else if (hystart->phase == PTCP_HYSTART_CONSERVATIVE &&
               hystart->samples >= PTCP_HYSTART_SAMPLES &&
               hystart->round_min_us < hystart->baseline_us) {
        hystart->baseline_us = UINT64_MAX; /* it was jitter */
        hystart->phase = PTCP_HYSTART_SLOW;
    }
}

enum ptcp_hystart_phase ptcp_hystart_ack(struct ptcp_hystart *hystart, uint64_t prior_delivered,
                                         uint64_t delivered, uint64_t rtt_us)
{
    if (rtt_us > 0) {
        hystart->samples++;
        if (rtt_us < hystart->round_min_us)
            hystart->round_min_us = rtt_us;
        judge(hystart);
    }
    if (prior_delivered >= hystart->round_end)
        start_round(hystart, delivered);
    return hystart->phase;
}
