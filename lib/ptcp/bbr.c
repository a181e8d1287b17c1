#include "bbr.h"

#include <assert.h>

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Percent of the rate, and of the product that the window allows. */
static const struct {
    uint16_t pacing, window;
} gains[] = {
    [PTCP_BBR_STARTUP] = {277, 200},  [PTCP_BBR_DRAIN] = {50, 200},   [PTCP_BBR_DOWN] = {90, 200},
    [PTCP_BBR_CRUISE] = {100, 200},   [PTCP_BBR_REFILL] = {100, 200}, [PTCP_BBR_UP] = {125, 225},
    [PTCP_BBR_PROBE_RTT] = {100, 50},
};

void ptcp_bbr_start_round(struct ptcp_bbr *bbr, uint64_t delivered) { bbr->round_end = delivered; }

void ptcp_bbr_reset_full_bw(struct ptcp_bbr *bbr)
{
    bbr->full_bw = 0;
    bbr->full_bw_count = 0;
    bbr->full_bw_now = false;
}

static void init(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    *bbr = (struct ptcp_bbr){.state = PTCP_BBR_STARTUP};
    ptcp_bbr_model_init(bbr);
}

/* --- Startup and Drain ----------------------------------------------------------------------- */

static void check_full_bw(struct ptcp_bbr *bbr, const struct ptcp_ack_sample *ack)
{
    if (bbr->full_bw_now || !bbr->round_start || ack->app_limited)
        return;
    if (ack->rate_bytes_per_s >= bbr->full_bw + bbr->full_bw / 4) {
        ptcp_bbr_reset_full_bw(bbr);
        bbr->full_bw = ack->rate_bytes_per_s;
        return;
    }
    bbr->full_bw_now = ++bbr->full_bw_count >= PTCP_BBR_FULL_ROUNDS;
    bbr->full_bw_reached |= bbr->full_bw_now;
}

/*
 * Losses while the rate still grows by a quarter a round are not those of a full pipe; nor are
 * those without delay, as far as a path may lose that much on its own.
 */
static void check_startup_loss(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (!bbr->loss_round_start || bbr->full_bw_count == 0)
        return;
    const uint64_t allowed_ppm =
        ptcp_bbr_queue_was_seen(cc) ? PTCP_BBR_LOSS_PPM : PTCP_BBR_BASE_LOSS_PPM;
    if (!bbr->ce_in_round &&
        (bbr->round_losses < PTCP_BBR_STARTUP_LOSSES ||
         !ptcp_bbr_is_excess(cc, bbr->round_lost, bbr->round_acked + bbr->round_lost, allowed_ppm)))
        return;
    bbr->undo.state = PTCP_BBR_STARTUP;
    bbr->full_bw_reached = true;
    bbr->inflight_longterm = max_u64(ptcp_bbr_bdp(cc, 100), bbr->inflight_latest);
}

static void enter_drain(struct ptcp_cc *cc)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->state = PTCP_BBR_DRAIN;
    bbr->drain_round = bbr->round_count;
    ptcp_bbr_begin_calm(cc);
}

/* If Startup met losses, a round of packets that can't be too many shows which are the path's. */
static bool is_drained(const struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    const struct ptcp_bbr *bbr = (const struct ptcp_bbr *)cc->state;
    const uint32_t rounds = bbr->round_count - bbr->drain_round;

    if (bbr->lossy && rounds < PTCP_BBR_JUDGE_ROUNDS)
        return false;
    return ack->in_flight <= ptcp_bbr_inflight(cc, 100) || rounds > PTCP_BBR_DRAIN_ROUNDS;
}

static void check_startup_and_drain(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    check_full_bw(bbr, ack);
    if (bbr->state == PTCP_BBR_STARTUP) {
        check_startup_loss(cc);
        if (bbr->full_bw_reached)
            enter_drain(cc);
    }
    if (bbr->state != PTCP_BBR_DRAIN || !is_drained(cc, ack))
        return;
    cc->calm = false;
    ptcp_bbr_start_down(cc, ack->now_us, ack->delivered);
}

/* --- ProbeRTT -------------------------------------------------------------------------------- */

static uint64_t probe_rtt_window(const struct ptcp_cc *cc)
{
    return max_u64(ptcp_bbr_bdp(cc, gains[PTCP_BBR_PROBE_RTT].window), ptcp_cc_min_window(cc));
}

static void enter_probe_rtt(struct ptcp_cc *cc, uint64_t delivered)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->state = PTCP_BBR_PROBE_RTT;
    bbr->prior_window = cc->window_bytes;
    bbr->probe_rtt_done_us = 0;
    bbr->ack_phase = PTCP_BBR_ACKS_PROBE_STOPPING;
    bbr->lossy = false;
    ptcp_bbr_start_round(bbr, delivered);
    cc->low_samples = true;
}

static void exit_probe_rtt(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->probe_rtt_at_us = bbr->probed_rtt_us = now_us;
    cc->window_bytes = max_u64(cc->window_bytes, bbr->prior_window);
    cc->calm = cc->low_samples = false;
    ptcp_bbr_reset_shortterm(bbr);
    if (!bbr->full_bw_reached) {
        bbr->state = PTCP_BBR_STARTUP;
        return;
    }
    ptcp_bbr_start_down(cc, now_us, delivered);
    bbr->state = PTCP_BBR_CRUISE; /* there is no queue to drain */
}

static void check_probe_rtt_done(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered)
{
    const struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->probe_rtt_done_us != 0 && now_us > bbr->probe_rtt_done_us)
        exit_probe_rtt(cc, now_us, delivered);
}

static void stay_in_probe_rtt(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->probe_rtt_done_us == 0) {
        if (ack->in_flight > probe_rtt_window(cc))
            return;
        bbr->probe_rtt_done_us = ack->now_us + PTCP_BBR_PROBE_RTT_US;
        bbr->probe_rtt_round_done = false;
        ptcp_bbr_start_round(bbr, ack->delivered);
        ptcp_bbr_begin_calm(cc);
        return;
    }
    bbr->probe_rtt_round_done |= bbr->round_start;
    if (bbr->probe_rtt_round_done)
        check_probe_rtt_done(cc, ack->now_us, ack->delivered);
}

static void check_probe_rtt(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (bbr->state != PTCP_BBR_PROBE_RTT && bbr->probe_rtt_expired && !bbr->idle_restart) {
        cc->calm = false;
        enter_probe_rtt(cc, ack->delivered);
    }
    if (bbr->state == PTCP_BBR_PROBE_RTT)
        stay_in_probe_rtt(cc, ack);
    bbr->idle_restart = false;
}

/* --- Window and pace ------------------------------------------------------------------------- */

/* Who only keeps up with the path and sees it empty has no queue to shrink. */
static void set_pacing_rate(struct ptcp_cc *cc, unsigned percent)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);
    const bool keeps_up = percent == 100 && !ptcp_bbr_trace_was_seen(cc);
    const unsigned part = keeps_up ? 100 : PTCP_BBR_PACING_PERCENT;
    const uint64_t rate = bbr->bw * percent / 100 * part / 100;

    if (bbr->full_bw_reached || rate > bbr->pacing_rate)
        bbr->pacing_rate = rate;
}

/* The window over the round trip, as fast as Startup goes. */
static uint64_t first_pacing_rate(const struct ptcp_cc *cc, const struct ptcp_rtt *rtt)
{
    const uint64_t bytes = cc->window_bytes * gains[PTCP_BBR_STARTUP].pacing / 100;

    return bytes * 1000000 / max_u64(rtt->smoothed_us, 1) + 1;
}

static uint64_t volume_cap(const struct ptcp_cc *cc, const struct ptcp_bbr *bbr)
{
    uint64_t cap = UINT64_MAX;

    if (bbr->state == PTCP_BBR_PROBE_RTT || bbr->state == PTCP_BBR_CRUISE)
        cap = ptcp_bbr_with_headroom(cc);
    else if (ptcp_bbr_is_in_probe_bw(bbr))
        cap = bbr->inflight_longterm;
    return max_u64(min_u64(cap, bbr->inflight_shortterm), ptcp_cc_min_window(cc));
}

static void set_window(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    const struct ptcp_bbr *bbr = ptcp_bbr_of(cc);
    const uint64_t extra = max_u64(bbr->extra[0], bbr->extra[1]);
    const uint64_t most = ptcp_bbr_quantize(cc, ptcp_bbr_bdp(cc, gains[bbr->state].window) + extra);
    uint64_t window = cc->window_bytes;

    if (bbr->full_bw_reached)
        window = min_u64(window + ack->acked_bytes, most);
    else if (window < most || ack->delivered < (uint64_t)PTCP_CC_INITIAL_PACKETS * cc->mtu)
        window += ack->acked_bytes;
    if (bbr->state == PTCP_BBR_PROBE_RTT)
        window = min_u64(window, probe_rtt_window(cc));
    window = min_u64(window, volume_cap(cc, bbr));
    cc->window_bytes = max_u64(window, ptcp_cc_min_window(cc));
}

/* --- The controller -------------------------------------------------------------------------- */

static void on_ack(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    ptcp_bbr_model_ack(cc, ack);
    check_startup_and_drain(cc, ack);
    ptcp_bbr_cycle(cc, ack);
    ptcp_bbr_model_rtt(cc, ack);
    check_probe_rtt(cc, ack);
    bbr->bw = min_u64(ptcp_bbr_max_bw(bbr), bbr->bw_shortterm);
    /* Where few bytes have gone so far, as in a handshake, their rate says nothing. */
    if (bbr->pacing_rate == 0 && ack->rtt->sampled)
        bbr->pacing_rate = first_pacing_rate(cc, ack->rtt);
    set_pacing_rate(cc, gains[bbr->state].pacing);
    set_window(cc, ack);
    ptcp_bbr_model_advance(cc, ack);
}

/* After silence the path is empty: no queue, so the least RTT need not be probed. */
static void on_sent(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered, uint64_t in_flight,
                    bool app_limited)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    if (in_flight > 0 || !app_limited)
        return;
    bbr->idle_restart = true;
    bbr->extra_start_us = now_us;
    bbr->extra_delivered = 0;
    if (ptcp_bbr_is_in_probe_bw(bbr))
        set_pacing_rate(cc, 100);
    else if (bbr->state == PTCP_BBR_PROBE_RTT)
        check_probe_rtt_done(cc, now_us, delivered);
}

static void on_packet_lost(struct ptcp_cc *cc, const struct ptcp_lost_packet *lost)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    ptcp_bbr_model_lost(cc, lost);
    if (bbr->probe_sample &&
        ptcp_bbr_is_excess(cc, lost->lost_since, lost->sent_in_flight, PTCP_BBR_LOSS_PPM))
        ptcp_bbr_too_high(cc, lost->now_us, lost->delivered, lost->sent_in_flight,
                          lost->app_limited);
}

static void on_loss(struct ptcp_cc *cc, const struct ptcp_loss_sample *loss)
{
    if (loss->persistent)
        cc->window_bytes = ptcp_cc_min_window(cc);
}

/* A mark is an answer to a queue, whatever the delay says. */
static void on_ecn(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    bbr->ce_in_round = true;
    if (bbr->probe_sample)
        ptcp_bbr_too_high(cc, ack->now_us, ack->delivered, ack->sent_in_flight, ack->app_limited);
}

static void on_undo(struct ptcp_cc *cc, uint64_t delivered)
{
    struct ptcp_bbr *bbr = ptcp_bbr_of(cc);

    cc->window_bytes = max_u64(cc->window_bytes, bbr->undo.window);
    bbr->loss_in_round = false;
    ptcp_bbr_reset_full_bw(bbr);
    bbr->bw_shortterm = max_u64(bbr->bw_shortterm, bbr->undo.bw_shortterm);
    bbr->inflight_shortterm = max_u64(bbr->inflight_shortterm, bbr->undo.inflight_shortterm);
    bbr->inflight_longterm = max_u64(bbr->inflight_longterm, bbr->undo.inflight_longterm);
    if (bbr->undo.state == PTCP_BBR_STARTUP && bbr->state != PTCP_BBR_STARTUP) {
        bbr->full_bw_reached = false;
        if (bbr->state != PTCP_BBR_PROBE_RTT) {
            bbr->state = PTCP_BBR_STARTUP;
            cc->calm = false;
        }
    } else if (bbr->undo.state == PTCP_BBR_UP && ptcp_bbr_is_in_probe_bw(bbr) &&
               bbr->state != PTCP_BBR_UP) {
        ptcp_bbr_start_refill(bbr, delivered);
    }
    bbr->undo.state = PTCP_BBR_CRUISE;
}

/* The first round is paced too. */
static uint64_t pacing_rate(const struct ptcp_cc *cc, const struct ptcp_rtt *rtt)
{
    const struct ptcp_bbr *bbr = (const struct ptcp_bbr *)cc->state;

    if (bbr->pacing_rate > 0)
        return bbr->pacing_rate;
    return rtt->sampled ? first_pacing_rate(cc, rtt) : 0;
}

static uint64_t capacity(const struct ptcp_cc *cc)
{
    return ((const struct ptcp_bbr *)cc->state)->full_bw_reached ? ptcp_bbr_bdp(cc, 100) : 0;
}

static const char *phase(const struct ptcp_cc *cc)
{
    static const char *const names[] = {
        [PTCP_BBR_STARTUP] = "startup",        [PTCP_BBR_DRAIN] = "drain",
        [PTCP_BBR_DOWN] = "probe_bw_down",     [PTCP_BBR_CRUISE] = "probe_bw_cruise",
        [PTCP_BBR_REFILL] = "probe_bw_refill", [PTCP_BBR_UP] = "probe_bw_up",
        [PTCP_BBR_PROBE_RTT] = "probe_rtt",
    };

    return names[((const struct ptcp_bbr *)cc->state)->state];
}

const struct ptcp_cc_type ptcp_bbr = {
    .name = "bbr",
    .init = init,
    .on_sent = on_sent,
    .on_ack = on_ack,
    .on_packet_lost = on_packet_lost,
    .on_loss = on_loss,
    .on_ecn = on_ecn,
    .on_undo = on_undo,
    .capacity = capacity,
    .loss_ppm = PTCP_BBR_LOSS_PPM,
    .pacing_rate = pacing_rate,
    .phase = phase,
};
