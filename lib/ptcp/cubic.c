#include "cubic.h"

#include "cc.h"
#include "hystart.h"

#include <assert.h>

static const double C = 0.4, BETA = 0.7;

struct undo {
    double w_max, k_s, w_est, origin;
    uint64_t window, ssthresh, epoch_us;
};

/* Windows with a fraction are in segments. */
struct cubic {
    double w_max;      /* window before the last reduction */
    double k_s;        /* seconds from the start of the epoch to w_max */
    double w_est;      /* what Reno would have */
    double origin;     /* the window when congestion was met: beyond it Reno's pace is 1 */
    uint64_t epoch_us; /* start of this congestion avoidance; 0: none */
    uint64_t last_ack_us;
    uint64_t fraction; /* of a byte of growth, in 2^-16 */
    struct ptcp_hystart hystart;
    struct undo undo;
};

_Static_assert(sizeof(struct cubic) <= sizeof(uint64_t) * PTCP_CC_STATE_WORDS, "state fits");

static struct cubic *cubic_of(struct ptcp_cc *cc) { return (struct cubic *)cc->state; }

/* Newton's method; x >= 0. Saves linking the mathematics library for one function. */
static double cube_root(double x)
{
    double root = x > 1 ? x : 1;

    if (x <= 0)
        return 0;
    for (int i = 0; i < 128; i++) {
        const double next = (2 * root + x / (root * root)) / 3;

        if (next >= root)
            break;
        root = next;
    }
    return root;
}

double ptcp_cubic_window(double t_s, double k_s, double w_max)
{
    const double d = t_s - k_s;

    return C * d * d * d + w_max;
}

double ptcp_cubic_k(double w_max, double w) { return cube_root((w_max - w) / C); }

static void init(struct ptcp_cc *cc)
{
    struct cubic *cubic = cubic_of(cc);

    *cubic = (struct cubic){0};
    ptcp_hystart_init(&cubic->hystart);
}

static void slow_start(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct cubic *cubic = cubic_of(cc);

    switch (ptcp_hystart_ack(&cubic->hystart, ack->prior_delivered, ack->delivered, ack->rtt_us)) {
    case PTCP_HYSTART_SLOW:
        cc->window_bytes += ack->acked_bytes;
        break;
    case PTCP_HYSTART_CONSERVATIVE:
        cc->window_bytes += ack->acked_bytes / PTCP_HYSTART_CSS_DIVISOR;
        break;
    case PTCP_HYSTART_DONE:
        cc->ssthresh_bytes = cc->window_bytes;
        break;
    }
}

static void start_epoch(struct ptcp_cc *cc, uint64_t now_us)
{
    struct cubic *cubic = cubic_of(cc);
    const double w = (double)cc->window_bytes / cc->mtu;

    cubic->epoch_us = now_us;
    cubic->w_est = w;
    if (cubic->w_max < w) { /* no loss yet at this level: probe from here */
        cubic->w_max = w;
        cubic->k_s = 0;
    } else {
        cubic->k_s = ptcp_cubic_k(cubic->w_max, w);
    }
}

static void avoid_congestion(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct cubic *cubic = cubic_of(cc);
    const double w = (double)cc->window_bytes / cc->mtu;
    const double acked = (double)ack->acked_bytes / cc->mtu;

    if (cubic->epoch_us == 0)
        start_epoch(cc, ack->now_us);
    const double t_s = (double)(ack->now_us - cubic->epoch_us) / 1e6;
    const double ahead_s = t_s + (double)ack->rtt->smoothed_us / 1e6;
    const double alpha = cubic->w_est < cubic->origin ? 3 * (1 - BETA) / (1 + BETA) : 1;
    double target = ptcp_cubic_window(ahead_s, cubic->k_s, cubic->w_max);
    double next;

    cubic->w_est += alpha * acked / w;
    if (target < w)
        target = w;
    if (target > 1.5 * w)
        target = 1.5 * w;
    next = w + (target - w) / w * acked;
    if (ptcp_cubic_window(t_s, cubic->k_s, cubic->w_max) < cubic->w_est && next < cubic->w_est)
        next = cubic->w_est;

    const uint64_t growth = (uint64_t)((next - w) * cc->mtu * 65536) + cubic->fraction;
    cc->window_bytes += growth >> 16;
    cubic->fraction = growth & 65535;
}

static void on_ack(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    struct cubic *cubic = cubic_of(cc);
    const uint64_t since_us = ack->now_us - cubic->last_ack_us;

    cubic->last_ack_us = ack->now_us;
    if (ack->unused) {
        /* RFC 9438 section 5.8: time without using the window does not count. */
        if (cubic->epoch_us)
            cubic->epoch_us += since_us;
        return;
    }
    if (ptcp_cc_in_recovery(cc, ack->newest_sent_us))
        return;
    if (ptcp_cc_in_slow_start(cc))
        slow_start(cc, ack);
    else
        avoid_congestion(cc, ack);
}

static void remember(struct ptcp_cc *cc)
{
    struct cubic *cubic = cubic_of(cc);

    cubic->undo = (struct undo){.w_max = cubic->w_max,
                                .k_s = cubic->k_s,
                                .w_est = cubic->w_est,
                                .origin = cubic->origin,
                                .window = cc->window_bytes,
                                .ssthresh = cc->ssthresh_bytes,
                                .epoch_us = cubic->epoch_us};
}

static void reduce(struct ptcp_cc *cc, uint64_t now_us, uint64_t sent_us)
{
    struct cubic *cubic = cubic_of(cc);
    const double w = (double)cc->window_bytes / cc->mtu;

    if (ptcp_cc_in_recovery(cc, sent_us))
        return;
    remember(cc);
    cc->reduced = true;
    cc->recovery_start_us = now_us;
    /* Fast convergence: a flow that lost before it was back makes room for others. */
    cubic->w_max = w < cubic->w_max ? w * (1 + BETA) / 2 : w;
    cubic->origin = w;
    cubic->epoch_us = 0;
    cubic->fraction = 0;
    cc->window_bytes = (uint64_t)((double)cc->window_bytes * BETA);
    if (cc->window_bytes < ptcp_cc_min_window(cc))
        cc->window_bytes = ptcp_cc_min_window(cc);
    cc->ssthresh_bytes = cc->window_bytes;
}

static void on_loss(struct ptcp_cc *cc, const struct ptcp_loss_sample *loss)
{
    reduce(cc, loss->now_us, loss->newest_lost_sent_us);
    if (loss->persistent) {
        cc->window_bytes = ptcp_cc_min_window(cc);
        cubic_of(cc)->epoch_us = 0;
    }
}

static void on_ecn(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack)
{
    reduce(cc, ack->now_us, ack->newest_sent_us);
}

static void on_undo(struct ptcp_cc *cc, uint64_t delivered)
{
    struct cubic *cubic = cubic_of(cc);
    const struct undo *undo = &cubic->undo;

    (void)delivered;
    if (undo->window <= cc->window_bytes)
        return;
    cc->window_bytes = undo->window;
    cc->ssthresh_bytes = undo->ssthresh;
    cubic->w_max = undo->w_max;
    cubic->k_s = undo->k_s;
    cubic->w_est = undo->w_est;
    cubic->origin = undo->origin;
    cubic->epoch_us = undo->epoch_us;
}

const struct ptcp_cc_type ptcp_cubic = {
    .name = "cubic",
    .init = init,
    .on_ack = on_ack,
    .on_loss = on_loss,
    .on_ecn = on_ecn,
    .on_undo = on_undo,
    .capacity = ptcp_cc_window_capacity,
    .restart = ptcp_cc_restart,
    .pacing_rate = ptcp_cc_window_pacing,
};
