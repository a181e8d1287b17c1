/* Which losses are the path's own, which tell of congestion, and what that bounds. */
#include "bbr.h"

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static const struct ptcp_bbr *view(const struct ptcp_cc *cc)
{
    return (const struct ptcp_bbr *)cc->state;
}

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
static uint64_t packets_us(const struct ptcp_cc *cc)
{
    const struct ptcp_bbr *bbr = view(cc);

    return bbr->bw > 0 ? (uint64_t)PTCP_BBR_QUEUE_PACKETS * cc->mtu * 1000000 / bbr->bw : 0;
}

static bool was_above(const struct ptcp_cc *cc, uint64_t slack_us)
{
    const struct ptcp_bbr *bbr = view(cc);

    return bbr->round_rtt_us != UINT64_MAX && bbr->min_rtt_us != UINT64_MAX &&
           bbr->round_rtt_us > bbr->min_rtt_us + max_u64(slack_us, packets_us(cc));
}

bool ptcp_bbr_queue_was_seen(const struct ptcp_cc *cc)
{
    return was_above(
        cc, max_u64(view(cc)->min_rtt_us / PTCP_BBR_QUEUE_DIVISOR, PTCP_BBR_QUEUE_LEAST_US));
}

bool ptcp_bbr_trace_was_seen(const struct ptcp_cc *cc)
{
    return was_above(cc, view(cc)->min_rtt_us / PTCP_BBR_TRACE_DIVISOR);
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
    const uint64_t least_inflight =
        ptcp_bbr_product(bbr, ptcp_bbr_max_bw(bbr), PTCP_BBR_LEAST_PERCENT);

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
                    ptcp_bbr_product(bbr, ptcp_bbr_max_bw(bbr), 100));
}

void ptcp_bbr_adapt_to_congestion(struct ptcp_cc *cc)
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
