#include "bbr.h"

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static const struct ptcp_bbr *view(const struct ptcp_cc *cc)
{
    return (const struct ptcp_bbr *)cc->state;
}

void ptcp_bbr_model_init(struct ptcp_bbr *bbr)
{
    bbr->min_rtt_us = bbr->probe_rtt_min_us = UINT64_MAX;
    bbr->inflight_longterm = UINT64_MAX;
    bbr->round_rtt_us = UINT64_MAX;
    bbr->probe_up_acked_per_inc = UINT64_MAX;
    ptcp_bbr_reset_shortterm(bbr);
}

/* --- Bandwidth ------------------------------------------------------------------------------- */

uint64_t ptcp_bbr_max_bw(const struct ptcp_bbr *bbr)
{
    return max_u64(bbr->bw_max[0], bbr->bw_max[1]);
}

void ptcp_bbr_advance_bw(struct ptcp_bbr *bbr)
{
    if (bbr->bw_max[0] == 0)
        return; /* a cycle without a sample says nothing */
    bbr->bw_max[1] = bbr->bw_max[0];
    bbr->bw_max[0] = 0;
}

static void update_round(struct ptcp_bbr *bbr, const struct ptcp_ack_sample *ack)
{
    bbr->round_start = ack->prior_delivered >= bbr->round_end;
    if (!bbr->round_start)
        return;
    ptcp_bbr_start_round(bbr, ack->delivered);
    bbr->round_count++;
    bbr->rounds_since_probe++;
}

static void update_max_bw(struct ptcp_bbr *bbr, const struct ptcp_ack_sample *ack)
{
    const uint64_t rate = ack->rate_bytes_per_s;

    if (rate > 0 && (rate >= ptcp_bbr_max_bw(bbr) || !ack->app_limited))
        bbr->bw_max[0] = max_u64(bbr->bw_max[0], rate);
}

static void update_latest(struct ptcp_bbr *bbr, const struct ptcp_ack_sample *ack)
{
    bbr->bw_latest = max_u64(bbr->bw_latest, ack->rate_bytes_per_s);
    bbr->inflight_latest = max_u64(bbr->inflight_latest, ack->delivered - ack->prior_delivered);
    bbr->round_acked += ack->acked_bytes;
    if (ack->rtt_us > 0)
        bbr->round_rtt_us = min_u64(bbr->round_rtt_us, ack->rtt_us);
    bbr->loss_round_start = ack->prior_delivered >= bbr->loss_round_end;
    if (bbr->loss_round_start)
        bbr->loss_round_end = ack->delivered;
}

static void judge_cruise(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->state != PTCP_BBR_CRUISE) {
        bbr->cruise_rounds = 0;
        bbr->cruise_queued = bbr->cruise_lossy = false;
    } else if (++bbr->cruise_rounds > PTCP_BBR_OWN_ROUNDS) {
        bbr->cruise_queued |= ptcp_bbr_queue_was_seen(cc);
        bbr->cruise_lossy |= bbr->round_losses > 0;
    }
}

void ptcp_bbr_model_advance(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (!bbr->loss_round_start)
        return;
    judge_cruise(cc);
    bbr->bw_latest = ack->rate_bytes_per_s;
    bbr->inflight_latest = ack->delivered - ack->prior_delivered;
    bbr->loss_in_round = bbr->ce_in_round = false;
    bbr->round_acked = bbr->round_lost = bbr->round_losses = 0;
    bbr->round_rtt_us = UINT64_MAX;
}

void ptcp_bbr_reset_congestion(struct ptcp_bbr *bbr)
{
    bbr->loss_in_round = bbr->ce_in_round = false;
    bbr->bw_latest = bbr->inflight_latest = 0;
}

void ptcp_bbr_reset_shortterm(struct ptcp_bbr *bbr)
{
    bbr->bw_shortterm = bbr->inflight_shortterm = UINT64_MAX;
}

/* --- Round-trip time ------------------------------------------------------------------------- */

/* Enough is known of the path's own loss to judge those that come. */
static bool is_loss_known(const struct ptcp_cc *cc)
{
    const struct ptcp_bbr *bbr = view(cc);

    return !bbr->lossy ||
           bbr->calm_acked + bbr->calm_lost >= (uint64_t)PTCP_BBR_KNOWN_PACKETS * cc->mtu;
}

/*
 * A queue that is as good as empty makes a probe needless, but not more than every other: flows
 * that share the path find each other in them. Nor where losses are to be judged.
 */
static bool confirms(const struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    const struct ptcp_bbr *bbr = view(cc);
    const uint64_t least_us = bbr->probe_rtt_min_us;

    return ack->rtt_us > 0 && is_loss_known(cc) &&
           ack->rtt_us - least_us <= least_us / PTCP_BBR_CONFIRM_DIVISOR &&
           ack->now_us < bbr->probed_rtt_us + PTCP_BBR_PROBE_RTT_EVERY_US;
}

void ptcp_bbr_model_rtt(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);
    const uint64_t rtt_us = ack->rtt_us, least_us = bbr->probe_rtt_min_us;

    bbr->probe_rtt_expired = bbr->probe_rtt_at_us > 0 &&
                             ack->now_us > bbr->probe_rtt_at_us + PTCP_BBR_PROBE_RTT_EVERY_US;
    if (bbr->probed_rtt_us == 0)
        bbr->probed_rtt_us = ack->now_us;
    if (rtt_us > 0 && (rtt_us < least_us || bbr->probe_rtt_expired)) {
        bbr->probe_rtt_min_us = rtt_us;
        bbr->probe_rtt_at_us = ack->now_us;
    } else if (confirms(cc, ack)) {
        bbr->probe_rtt_at_us = ack->now_us;
    }
    if (bbr->probe_rtt_min_us < bbr->min_rtt_us ||
        ack->now_us > bbr->min_rtt_at_us + PTCP_BBR_MIN_RTT_US) {
        bbr->min_rtt_us = bbr->probe_rtt_min_us;
        bbr->min_rtt_at_us = bbr->probe_rtt_at_us;
    }
}

/*
 * Who shares the path with others like it, or with those who fill queues, does not cruise for long
 * without one. So nobody else needs us to make room for a probe, and there is nothing to learn.
 */
void ptcp_bbr_model_cruised(struct ptcp_cc *cc, uint64_t now_us)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->cruise_rounds > PTCP_BBR_OWN_ROUNDS && !bbr->cruise_queued &&
        (!bbr->cruise_lossy || is_loss_known(cc)))
        bbr->probe_rtt_at_us = now_us;
}

/* --- Aggregation ----------------------------------------------------------------------------- */

static void remember_extra(struct ptcp_bbr *bbr, uint64_t extra)
{
    const uint32_t span = bbr->full_bw_reached ? PTCP_BBR_EXTRA_ROUNDS : 1;

    if (bbr->round_count - bbr->extra_round >= span) {
        bbr->extra[1] = bbr->extra[0];
        bbr->extra[0] = 0;
        bbr->extra_round = bbr->round_count;
    }
    bbr->extra[0] = max_u64(bbr->extra[0], extra);
}

static void update_aggregation(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);
    const uint64_t elapsed_us = ack->now_us - bbr->extra_start_us;
    const bool over = elapsed_us > PTCP_BBR_MIN_RTT_US;
    uint64_t expected = over ? 0 : bbr->bw * elapsed_us / 1000000;

    if (over || bbr->extra_delivered <= expected) {
        bbr->extra_delivered = expected = 0;
        bbr->extra_start_us = ack->now_us;
    }
    bbr->extra_delivered += ack->acked_bytes;
    remember_extra(bbr, min_u64(bbr->extra_delivered - min_u64(expected, bbr->extra_delivered),
                                cc->window_bytes));
}

void ptcp_bbr_model_ack(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    update_latest(bbr, ack);
    update_round(bbr, ack);
    update_max_bw(bbr, ack);
    bbr->calm_acked += ack->calm_bytes;
    ptcp_bbr_adapt_to_congestion(cc);
    update_aggregation(cc, ack);
}

/* --- In flight ------------------------------------------------------------------------------- */

uint64_t ptcp_bbr_product(const struct ptcp_bbr *bbr, uint64_t bw, unsigned percent)
{
    if (bbr->min_rtt_us == UINT64_MAX)
        return 0;
    return bw * min_u64(bbr->min_rtt_us, PTCP_BBR_MIN_RTT_US) / 1000000 * percent / 100;
}

uint64_t ptcp_bbr_bdp(const struct ptcp_cc *cc, unsigned percent)
{
    const struct ptcp_bbr *bbr = view(cc);

    if (bbr->min_rtt_us == UINT64_MAX || bbr->bw == 0)
        return (uint64_t)PTCP_CC_INITIAL_PACKETS * cc->mtu;
    return ptcp_bbr_product(bbr, bbr->bw, percent);
}

/* Three batches: one that leaves, one in the network, one at the receiver. */
uint64_t ptcp_bbr_quantize(const struct ptcp_cc *cc, uint64_t bytes)
{
    const struct ptcp_bbr *bbr = view(cc);
    const uint64_t quantum =
        max_u64(min_u64(bbr->pacing_rate * PTCP_BBR_QUANTUM_US / 1000000, PTCP_BBR_QUANTUM_BYTES),
                2 * (uint64_t)cc->mtu);

    bytes = max_u64(max_u64(bytes, 3 * quantum), ptcp_cc_min_window(cc));
    return bbr->state == PTCP_BBR_UP ? bytes + 2 * (uint64_t)cc->mtu : bytes;
}

uint64_t ptcp_bbr_inflight(const struct ptcp_cc *cc, unsigned percent)
{
    return ptcp_bbr_quantize(cc, ptcp_bbr_bdp(cc, percent));
}

uint64_t ptcp_bbr_target(const struct ptcp_cc *cc)
{
    return min_u64(ptcp_bbr_bdp(cc, 100), cc->window_bytes);
}
