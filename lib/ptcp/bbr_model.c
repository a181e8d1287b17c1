#include "bbr.h"

#include <assert.h>

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

void ptcp_bbr_model_advance(struct ptcp_bbr *bbr, const struct ptcp_ack_sample *ack)
{
    if (!bbr->loss_round_start)
        return;
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

/* --- Losses ---------------------------------------------------------------------------------- */

/* Newton's method from above. */
static uint64_t square_root(uint64_t x)
{
    uint64_t root = x, next = x / 2 + 1;

    while (next < root) {
        root = next;
        next = (root + x / root) / 2;
    }
    return root;
}

/*
 * How much the path loses on its own. A few packets say little of that, and too low a guess takes
 * chance for congestion until the next measurement. So where nothing else speaks of congestion it
 * may be the upper end of Wilson's interval, √2 deviations up: of 60 packets none lost, 3 %; of
 * 2,000, 100 lost, 6 %. Where there is a queue, losses are more likely the queue's, and it is not.
 */
static uint64_t base_loss_ppm(const struct ptcp_cc *cc, bool queued)
{
    const struct ptcp_bbr *bbr = view(cc);
    const uint64_t packet = cc->mtu, lost = bbr->calm_lost, sent = bbr->calm_acked + lost;
    const uint64_t doubt = packet + square_root(packet * packet + 2 * packet * lost);

    if (sent == 0)
        return 0;
    const uint64_t ppm = queued ? lost * 1000000 / max_u64(sent, PTCP_BBR_BASE_PACKETS * packet)
                                : (lost + doubt) * 1000000 / (sent + 2 * packet);
    return min_u64(ppm, PTCP_BBR_BASE_LOSS_PPM);
}

/* Chance loses more now and less then: two deviations of a binomial distribution are no sign. */
bool ptcp_bbr_is_excess(const struct ptcp_cc *cc, uint64_t lost, uint64_t bytes,
                        uint64_t allowed_ppm)
{
    const uint64_t base_ppm = base_loss_ppm(cc, ptcp_bbr_queue_was_seen(cc));
    const uint64_t own = bytes / 1000 * base_ppm / 1000;

    return lost > bytes / 1000 * (allowed_ppm + base_ppm) / 1000 + 2 * square_root(own * cc->mtu);
}

void ptcp_bbr_begin_calm(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->calm_acked /= 2; /* what comes counts more than what was */
    bbr->calm_lost /= 2;
    cc->calm = true;
}

/* The least RTT may be that of a small packet: a full one takes the link that much longer. */
bool ptcp_bbr_queue_was_seen(const struct ptcp_cc *cc)
{
    const struct ptcp_bbr *bbr = view(cc);
    const uint64_t packets_us =
        bbr->bw > 0 ? (uint64_t)PTCP_BBR_QUEUE_PACKETS * cc->mtu * 1000000 / bbr->bw : 0;
    const uint64_t least_us = max_u64(packets_us, PTCP_BBR_QUEUE_LEAST_US);
    const uint64_t slack_us = max_u64(bbr->min_rtt_us / PTCP_BBR_QUEUE_DIVISOR, least_us);

    return bbr->round_rtt_us != UINT64_MAX && bbr->min_rtt_us != UINT64_MAX &&
           bbr->round_rtt_us > bbr->min_rtt_us + slack_us;
}

static uint64_t product(const struct ptcp_bbr *bbr, uint64_t bw, unsigned percent)
{
    return bw * min_u64(bbr->min_rtt_us, PTCP_BBR_MIN_RTT_US) / 1000000 * percent / 100;
}

/*
 * The first congestion of this cycle starts the bounds; each round of it lowers them. Who does not
 * answer to losses, as older BBRs, would have everything after some rounds: half is kept until the
 * next probe.
 */
static void lower_bounds(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);
    const uint64_t least_bw = ptcp_bbr_max_bw(bbr) * PTCP_BBR_LEAST_PERCENT / 100;
    const uint64_t least_inflight = product(bbr, ptcp_bbr_max_bw(bbr), PTCP_BBR_LEAST_PERCENT);

    if (bbr->bw_shortterm == UINT64_MAX)
        bbr->bw_shortterm = ptcp_bbr_max_bw(bbr);
    if (bbr->inflight_shortterm == UINT64_MAX)
        bbr->inflight_shortterm = cc->window_bytes;
    bbr->bw_shortterm = max_u64(bbr->bw_latest, bbr->bw_shortterm * PTCP_BBR_BETA_PERCENT / 100);
    bbr->bw_shortterm = max_u64(bbr->bw_shortterm, least_bw);
    bbr->inflight_shortterm =
        max_u64(bbr->inflight_latest, bbr->inflight_shortterm * PTCP_BBR_BETA_PERCENT / 100);
    bbr->inflight_shortterm = max_u64(bbr->inflight_shortterm, least_inflight);
}

/* Somebody else may need the queue: without this, flows of unequal bounds hardly converge. */
static void make_room(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->inflight_longterm != UINT64_MAX)
        bbr->inflight_longterm =
            max_u64(bbr->inflight_longterm / 100 * (100 - PTCP_BBR_HEADROOM_PERCENT),
                    product(bbr, ptcp_bbr_max_bw(bbr), 100));
}

static void adapt_to_congestion(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);
    /* Drain is an answer already; in the others losses bound the volume. */
    const bool probing = bbr->state == PTCP_BBR_STARTUP || bbr->state == PTCP_BBR_DRAIN ||
                         bbr->state == PTCP_BBR_REFILL || bbr->state == PTCP_BBR_UP;
    /* What stands there while we go down is what we put there. */
    const bool queued = bbr->state != PTCP_BBR_DOWN && ptcp_bbr_queue_was_seen(cc);
    const uint64_t allowed_ppm = queued ? 0 : PTCP_BBR_LOSS_PPM;

    if (!bbr->loss_round_start || probing)
        return;
    if (bbr->ce_in_round || (bbr->loss_in_round &&
                             ptcp_bbr_is_excess(cc, bbr->round_lost,
                                                bbr->round_acked + bbr->round_lost, allowed_ppm))) {
        lower_bounds(cc);
        if (queued && bbr->state == PTCP_BBR_CRUISE)
            make_room(cc);
    }
}

static void save_for_undo(struct ptcp_cc *cc, uint64_t now_us)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->undo.window = cc->window_bytes;
    bbr->undo.state = PTCP_BBR_CRUISE;
    bbr->undo.bw_shortterm = bbr->bw_shortterm;
    bbr->undo.inflight_shortterm = bbr->inflight_shortterm;
    bbr->undo.inflight_longterm = bbr->inflight_longterm;
    cc->reduced = true;
    cc->recovery_start_us = now_us;
}

void ptcp_bbr_model_lost(struct ptcp_cc *cc, const struct ptcp_lost_packet *lost)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (!bbr->loss_in_round)
        bbr->loss_round_end = lost->delivered;
    /* One episode is about the packets that were under way when it began. */
    if (!ptcp_cc_in_recovery(cc, lost->sent_us))
        save_for_undo(cc, lost->now_us);
    bbr->loss_in_round = bbr->lossy = true;
    bbr->round_lost += lost->bytes;
    bbr->round_losses++;
    if (lost->calm)
        bbr->calm_lost += lost->bytes;
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
    adapt_to_congestion(cc);
    update_aggregation(cc, ack);
}

/* --- In flight ------------------------------------------------------------------------------- */

uint64_t ptcp_bbr_bdp(const struct ptcp_cc *cc, unsigned percent)
{
    const struct ptcp_bbr *bbr = view(cc);

    if (bbr->min_rtt_us == UINT64_MAX || bbr->bw == 0)
        return (uint64_t)PTCP_CC_INITIAL_PACKETS * cc->mtu;
    return product(bbr, bbr->bw, percent);
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
