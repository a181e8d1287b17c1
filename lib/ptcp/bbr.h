/*
 * BBR, version 3 (draft-ietf-ccwg-bbr-06): paces at the rate that the path delivers and keeps in
 * flight what that rate and the shortest round trip need. docs/ptcp.md section 7 says where this
 * departs from the draft. Names follow the draft's.
 *
 * bbr.c is the state machine, bbr_probe.c its search for more bandwidth, bbr_model.c what is
 * learnt from samples, bbr_loss.c what from losses.
 */
#ifndef STK_PTCP_BBR_H
#define STK_PTCP_BBR_H

#include "cc.h"

enum {
    PTCP_BBR_LOSS_PPM = 20000, /* more lost than that is too much in flight */
    PTCP_BBR_BETA_PERCENT = 70,
    PTCP_BBR_LEAST_PERCENT = 50, /* of what the probes found, whatever is lost until the next */
    PTCP_BBR_HEADROOM_PERCENT = 15,
    PTCP_BBR_PACING_PERCENT = 99, /* of the rate where there is a queue, so that it shrinks */
    PTCP_BBR_TRACE_DIVISOR = 64,  /* an RTT that much above the least is a trace of one */
    PTCP_BBR_MIN_RTT_US = 10000000,
    PTCP_BBR_PROBE_RTT_EVERY_US = 5000000,
    PTCP_BBR_PROBE_RTT_US = 200000,
    PTCP_BBR_CONFIRM_DIVISOR = 16, /* a sample so little above the least RTT confirms it */
    PTCP_BBR_QUEUE_DIVISOR = 16,   /* an RTT that much above the least is a queue */
    PTCP_BBR_QUEUE_LEAST_US = 1000,
    PTCP_BBR_QUEUE_PACKETS = 2,
    PTCP_BBR_OWN_ROUNDS = 2, /* of CRUISE, until ACKs are about packets that were sent in it */
    PTCP_BBR_FULL_ROUNDS = 3,
    PTCP_BBR_DRAIN_ROUNDS = 3,
    PTCP_BBR_JUDGE_ROUNDS = 2, /* one to send, one to hear of them */
    PTCP_BBR_STARTUP_LOSSES = 6,
    PTCP_BBR_RENO_ROUNDS = 63,
    PTCP_BBR_EXTRA_ROUNDS = 5,       /* two such spans are remembered */
    PTCP_BBR_BASE_LOSS_PPM = 100000, /* no more than that is taken for the path's own loss */
    PTCP_BBR_BASE_PACKETS = 100,     /* fewer than so many say little */
    PTCP_BBR_KNOWN_PACKETS = 500,    /* and so many are enough */
    PTCP_BBR_QUANTUM_US = 1000,
    PTCP_BBR_QUANTUM_BYTES = 65536,
};

enum ptcp_bbr_state {
    PTCP_BBR_STARTUP,
    PTCP_BBR_DRAIN,
    PTCP_BBR_DOWN,
    PTCP_BBR_CRUISE,
    PTCP_BBR_REFILL,
    PTCP_BBR_UP,
    PTCP_BBR_PROBE_RTT,
};

/* Which packets the ACKs that come in are about. */
enum ptcp_bbr_acks {
    PTCP_BBR_ACKS_INIT,
    PTCP_BBR_ACKS_REFILLING,
    PTCP_BBR_ACKS_PROBE_STARTING,
    PTCP_BBR_ACKS_PROBE_FEEDBACK,
    PTCP_BBR_ACKS_PROBE_STOPPING,
};

/* Rates are bytes/s; UINT64_MAX is infinity. */
struct ptcp_bbr {
    uint64_t bw;        /* what the model says: the maximum within its bounds */
    uint64_t bw_max[2]; /* of this cycle of probing, and of the one before */
    uint64_t bw_latest, inflight_latest;
    uint64_t bw_shortterm, inflight_shortterm, inflight_longterm;
    uint64_t pacing_rate;
    uint64_t min_rtt_us, min_rtt_at_us;
    uint64_t probe_rtt_min_us, probe_rtt_at_us, probe_rtt_done_us;
    uint64_t probed_rtt_us; /* when that ended last, or the first sample came */
    uint64_t extra_start_us, extra_delivered;
    uint64_t extra[2]; /* bytes: the maximum of this span of rounds, and of the one before */
    uint64_t round_end, loss_round_end; /* in delivered bytes */
    uint64_t round_acked, round_lost;   /* bytes of this round of losses */
    uint64_t round_rtt_us;              /* least sample of it */
    uint64_t calm_acked, calm_lost;     /* bytes of packets that met no queue of our making */
    uint64_t full_bw;
    uint64_t cycle_us, probe_wait_us;
    uint64_t probe_up_acked, probe_up_acked_per_inc;
    uint64_t prior_window;
    struct {
        uint64_t bw_shortterm, inflight_shortterm, inflight_longterm, window;
        uint8_t state; /* STARTUP or UP, if a loss ended it */
    } undo;
    uint32_t round_count, rounds_since_probe, drain_round, extra_round, round_losses;
    uint32_t cruise_rounds; /* those that ended in this CRUISE */
    uint8_t state;          /* enum ptcp_bbr_state */
    uint8_t ack_phase;      /* enum ptcp_bbr_acks */
    uint8_t full_bw_count, probe_up_rounds;
    bool full_bw_now, full_bw_reached;
    bool round_start, loss_round_start, loss_in_round, ce_in_round;
    bool probe_sample; /* ACKs are about packets sent while probing, nothing was too much yet */
    bool probe_too_high, probe_precautionary;
    bool cruise_queued, cruise_lossy; /* one of them, but for the first, met a queue, a loss */
    bool probe_rtt_expired, probe_rtt_round_done, idle_restart;
    bool lossy; /* something was lost since the RTT was probed last */
};

_Static_assert(sizeof(struct ptcp_bbr) <= sizeof(uint64_t) * PTCP_CC_STATE_WORDS, "state fits");

static inline struct ptcp_bbr *ptcp_bbr_of(struct ptcp_cc *cc)
{
    return (struct ptcp_bbr *)cc->state;
}

/* --- bbr.c ------------------------------------------------------------------------------------ */

void ptcp_bbr_start_round(struct ptcp_bbr *bbr, uint64_t delivered);
void ptcp_bbr_reset_full_bw(struct ptcp_bbr *bbr);

/* --- bbr_probe.c ------------------------------------------------------------------------------ */

static inline bool ptcp_bbr_is_in_probe_bw(const struct ptcp_bbr *bbr)
{
    return bbr->state >= PTCP_BBR_DOWN && bbr->state <= PTCP_BBR_UP;
}
void ptcp_bbr_start_down(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered);
void ptcp_bbr_start_refill(struct ptcp_bbr *bbr, uint64_t delivered);
/* One ACK in the cycle of probing. */
void ptcp_bbr_cycle(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack);
/* A probe put `in_flight` bytes under way, and that was too much. */
void ptcp_bbr_too_high(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered, uint64_t in_flight,
                       bool app_limited);
/* What leaves room for others below the long-term bound. */
uint64_t ptcp_bbr_with_headroom(const struct ptcp_cc *cc);

/* --- bbr_model.c ------------------------------------------------------------------------------ */

void ptcp_bbr_model_init(struct ptcp_bbr *bbr);
/* One ACK: rounds, rates, aggregation. Everything else of the ACK comes after it. */
void ptcp_bbr_model_ack(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack);
void ptcp_bbr_model_rtt(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack);
/* The end of one ACK: a round of losses that is over makes room for the next. */
void ptcp_bbr_model_advance(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack);
/* CRUISE is over: if it met no queue, the least RTT stands. */
void ptcp_bbr_model_cruised(struct ptcp_cc *cc, uint64_t now_us);
void ptcp_bbr_reset_congestion(struct ptcp_bbr *bbr);
void ptcp_bbr_reset_shortterm(struct ptcp_bbr *bbr);
/* The maximum moves on to the next cycle of probing. */
void ptcp_bbr_advance_bw(struct ptcp_bbr *bbr);
uint64_t ptcp_bbr_max_bw(const struct ptcp_bbr *bbr);
/* Bytes that `percent` of `bw` need for the least RTT; 0 before there is one. */
uint64_t ptcp_bbr_product(const struct ptcp_bbr *bbr, uint64_t bw, unsigned percent);
/* Bytes that `percent` of the rate need for the least RTT. */
uint64_t ptcp_bbr_bdp(const struct ptcp_cc *cc, unsigned percent);
/* The same, but no less than batches of packets need. */
uint64_t ptcp_bbr_inflight(const struct ptcp_cc *cc, unsigned percent);
uint64_t ptcp_bbr_quantize(const struct ptcp_cc *cc, uint64_t bytes);
/* How much we want in flight: the product, unless congestion has cut the window. */
uint64_t ptcp_bbr_target(const struct ptcp_cc *cc);

/* --- bbr_loss.c ------------------------------------------------------------------------------- */

void ptcp_bbr_model_lost(struct ptcp_cc *cc, const struct ptcp_lost_packet *lost);
/* At an ACK: a round with congestion in it lowers the bounds. */
void ptcp_bbr_adapt_to_congestion(struct ptcp_cc *cc);
/* A phase begins in which losses can't be ours. */
void ptcp_bbr_begin_calm(struct ptcp_cc *cc);
/* Was even the shortest round trip of this round longer than an empty path's? */
bool ptcp_bbr_queue_was_seen(const struct ptcp_cc *cc);
/* Was there as much as a trace of one? Jitter may look like it. */
bool ptcp_bbr_trace_was_seen(const struct ptcp_cc *cc);
/* Are `lost` of `bytes` more than `allowed_ppm` and the path's own loss explain? */
bool ptcp_bbr_is_excess(const struct ptcp_cc *cc, uint64_t lost, uint64_t bytes,
                        uint64_t allowed_ppm);

#endif
