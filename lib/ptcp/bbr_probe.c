/* ProbeBW: slower to let others in, cruise, refill the pipe, then faster to see what it bears. */
#include "bbr.h"

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/*
 * Flows that share a queue must not probe in step. Time and volume differ between any two, so
 * their mixed bits serve for that (the finaliser of SplitMix64).
 */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static void pick_wait(struct ptcp_bbr *bbr, uint64_t now_us, uint64_t delivered)
{
    const uint64_t chance = mix(now_us ^ delivered << 20);

    bbr->rounds_since_probe = chance & 1;
    bbr->probe_wait_us = 2000000 + (chance >> 1) % 1000000;
}

/* --- Phases ---------------------------------------------------------------------------------- */

void ptcp_bbr_start_down(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    ptcp_bbr_reset_congestion(bbr);
    bbr->probe_up_acked_per_inc = UINT64_MAX;
    pick_wait(bbr, now_us, delivered);
    bbr->cycle_us = now_us;
    bbr->ack_phase = PTCP_BBR_ACKS_PROBE_STOPPING;
    ptcp_bbr_start_round(bbr, delivered);
    bbr->state = PTCP_BBR_DOWN;
}

void ptcp_bbr_start_refill(struct ptcp_bbr *bbr, uint64_t delivered)
{
    ptcp_bbr_reset_shortterm(bbr);
    bbr->probe_up_rounds = 0;
    bbr->probe_up_acked = 0;
    bbr->probe_precautionary = false;
    bbr->ack_phase = PTCP_BBR_ACKS_REFILLING;
    ptcp_bbr_start_round(bbr, delivered);
    bbr->state = PTCP_BBR_REFILL;
}

/* The bound grows by 1, 2, 4 … packets in successive rounds. */
static void raise_slope(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->probe_up_acked_per_inc = max_u64(cc->window_bytes >> bbr->probe_up_rounds, cc->mtu);
    if (bbr->probe_up_rounds < 30)
        bbr->probe_up_rounds++;
}

static void start_up(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->probe_sample = true;
    bbr->ack_phase = PTCP_BBR_ACKS_PROBE_STARTING;
    ptcp_bbr_start_round(bbr, ack->delivered);
    ptcp_bbr_reset_full_bw(bbr);
    bbr->full_bw = ack->rate_bytes_per_s;
    bbr->state = PTCP_BBR_UP;
    raise_slope(cc);
}

/* --- When to move on ------------------------------------------------------------------------- */

static bool is_time_to_probe(const struct ptcp_cc *cc, const struct ptcp_bbr *bbr, uint64_t now_us)
{
    const uint64_t reno_rounds = ptcp_bbr_target(cc) / cc->mtu;

    return now_us > bbr->cycle_us + bbr->probe_wait_us ||
           bbr->rounds_since_probe >= min_u64(reno_rounds, PTCP_BBR_RENO_ROUNDS);
}

uint64_t ptcp_bbr_with_headroom(const struct ptcp_cc *cc)
{
    const uint64_t bound = ((const struct ptcp_bbr *)cc->state)->inflight_longterm;

    if (bound == UINT64_MAX)
        return bound;
    const uint64_t headroom = max_u64(bound / 100 * PTCP_BBR_HEADROOM_PERCENT, cc->mtu);
    return max_u64(bound - min_u64(headroom, bound), ptcp_cc_min_window(cc));
}

static bool is_time_to_cruise(const struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    return ack->in_flight <= ptcp_bbr_with_headroom(cc) &&
           ack->in_flight <= ptcp_bbr_inflight(cc, 100);
}

static bool is_window_limited(const struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    return ack->in_flight_before + cc->mtu > cc->window_bytes;
}

static bool is_time_to_go_down(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->probe_too_high && ack->in_flight_before >= bbr->inflight_longterm) {
        bbr->probe_precautionary = true;
        return true;
    }
    if (is_window_limited(cc, ack) && cc->window_bytes >= bbr->inflight_longterm) {
        ptcp_bbr_reset_full_bw(bbr); /* the bound hides how much there is */
        bbr->full_bw = ack->rate_bytes_per_s;
        return false;
    }
    return bbr->full_bw_now;
}

/* --- What the path bears --------------------------------------------------------------------- */

void ptcp_bbr_too_high(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered, uint64_t in_flight,
                       bool app_limited)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->probe_too_high = true;
    bbr->probe_sample = false; /* one answer to each probe */
    if (!app_limited)
        bbr->inflight_longterm =
            max_u64(in_flight, ptcp_bbr_target(cc) * PTCP_BBR_BETA_PERCENT / 100);
    if (bbr->state != PTCP_BBR_UP)
        return;
    bbr->undo.state = PTCP_BBR_UP;
    ptcp_bbr_start_down(cc, now_us, delivered);
}

static void probe_bound_upward(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (!is_window_limited(cc, ack) || cc->window_bytes < bbr->inflight_longterm)
        return;
    bbr->probe_up_acked += ack->acked_bytes;
    if (bbr->probe_up_acked >= bbr->probe_up_acked_per_inc) {
        const uint64_t steps = bbr->probe_up_acked / bbr->probe_up_acked_per_inc;

        bbr->probe_up_acked -= steps * bbr->probe_up_acked_per_inc;
        bbr->inflight_longterm += steps * cc->mtu;
    }
    if (bbr->round_start)
        raise_slope(cc);
}

/* True if the end of the last probe leads to the next at once. */
static bool end_feedback(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->probe_sample = false;
    bbr->ack_phase = PTCP_BBR_ACKS_INIT;
    if (!ptcp_bbr_is_in_probe_bw(bbr))
        return false;
    if (!ack->app_limited)
        ptcp_bbr_advance_bw(bbr);
    if (!bbr->probe_precautionary || bbr->probe_too_high)
        return false;
    ptcp_bbr_start_refill(bbr, ack->delivered); /* the cautious probe found it safe */
    return true;
}

static bool adapt_bound(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->ack_phase == PTCP_BBR_ACKS_PROBE_STARTING && bbr->round_start)
        bbr->ack_phase = PTCP_BBR_ACKS_PROBE_FEEDBACK;
    if (bbr->ack_phase == PTCP_BBR_ACKS_PROBE_STOPPING && bbr->round_start && end_feedback(cc, ack))
        return true;
    if (bbr->inflight_longterm == UINT64_MAX ||
        ptcp_bbr_is_excess(cc, ack->lost_since, ack->sent_in_flight, PTCP_BBR_LOSS_PPM))
        return false;
    bbr->inflight_longterm = max_u64(bbr->inflight_longterm, ack->sent_in_flight);
    if (bbr->state == PTCP_BBR_UP)
        probe_bound_upward(cc, ack);
    return false;
}

void ptcp_bbr_cycle(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (!bbr->full_bw_reached || adapt_bound(cc, ack))
        return;
    switch (bbr->state) {
    case PTCP_BBR_DOWN:
        if (is_time_to_probe(cc, bbr, ack->now_us))
            ptcp_bbr_start_refill(bbr, ack->delivered);
        else if (is_time_to_cruise(cc, ack))
            bbr->state = PTCP_BBR_CRUISE;
        return;
    case PTCP_BBR_CRUISE:
        if (!is_time_to_probe(cc, bbr, ack->now_us))
            return;
        ptcp_bbr_model_cruised(cc, ack->now_us);
        ptcp_bbr_start_refill(bbr, ack->delivered);
        return;
    case PTCP_BBR_REFILL:
        if (bbr->round_start)
            start_up(cc, ack);
        return;
    case PTCP_BBR_UP:
        if (!is_time_to_go_down(cc, ack))
            return;
        bbr->probe_too_high = false; /* not yet */
        ptcp_bbr_start_down(cc, ack->now_us, ack->delivered);
        return;
    default:
        return;
    }
}
