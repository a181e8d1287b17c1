/* NewReno as in RFC 9002 section 7: the plainest controller, a yardstick for the others. */
#include "cc.h"

struct reno {
    uint64_t undo_window, undo_ssthresh;
};

_Static_assert(sizeof(struct reno) <= sizeof(uint64_t) * PTCP_CC_STATE_WORDS, "state fits");

static struct reno *reno_of(struct ptcp_cc *cc) { return (struct reno *)cc->state; }

static void init(struct ptcp_cc *cc) { *reno_of(cc) = (struct reno){0}; }

static void on_ack(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    if (ptcp_cc_in_recovery(cc, ack->newest_sent_us) || ack->unused)
        return;
    if (ptcp_cc_in_slow_start(cc))
        cc->window_bytes += ack->acked_bytes;
    else
        cc->window_bytes += cc->mtu * ack->acked_bytes / cc->window_bytes;
}

static void reduce(struct ptcp_cc *cc, uint64_t now_us, uint64_t sent_us)
{
    if (ptcp_cc_in_recovery(cc, sent_us))
        return;
    *reno_of(cc) = (struct reno){cc->window_bytes, cc->ssthresh_bytes};
    cc->reduced = true;
    cc->recovery_start_us = now_us;
    cc->window_bytes /= 2;
    if (cc->window_bytes < ptcp_cc_min_window(cc))
        cc->window_bytes = ptcp_cc_min_window(cc);
    cc->ssthresh_bytes = cc->window_bytes;
}

static void on_loss(struct ptcp_cc *cc, const struct ptcp_loss_sample *loss)
{
    reduce(cc, loss->now_us, loss->newest_lost_sent_us);
    if (loss->persistent)
        cc->window_bytes = ptcp_cc_min_window(cc);
}

static void on_ecn(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    reduce(cc, ack->now_us, ack->newest_sent_us);
}

static void on_undo(struct ptcp_cc *cc, uint64_t delivered)
{
    const struct reno *reno = reno_of(cc);

    (void)delivered;
    if (reno->undo_window > cc->window_bytes)
        cc->window_bytes = reno->undo_window;
    if (reno->undo_ssthresh > cc->ssthresh_bytes)
        cc->ssthresh_bytes = reno->undo_ssthresh;
}

const struct ptcp_cc_type ptcp_reno = {
    .name = "reno",
    .init = init,
    .on_ack = on_ack,
    .on_loss = on_loss,
    .on_ecn = on_ecn,
    .on_undo = on_undo,
    .capacity = ptcp_cc_window_capacity,
    .restart = ptcp_cc_restart,
    .pacing_rate = ptcp_cc_window_pacing,
};
