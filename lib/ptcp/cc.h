/*
 * Congestion control as a const vtable. A controller sees samples and sets the window and,
 * if it wants to, the pacing rate. It never reads a clock and allocates nothing.
 */
#ifndef STK_PTCP_CC_H
#define STK_PTCP_CC_H

#include "rtt.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PTCP_CC_STATE_WORDS = 48,
    PTCP_CC_INITIAL_PACKETS = 10, /* RFC 6928 */
    PTCP_CC_MIN_PACKETS = 4,      /* two would need a probe time-out for every other loss */
};

/* One ACK that newly acknowledged something. */
struct ptcp_ack_sample {
    uint64_t now_us;
    uint64_t acked_bytes;
    uint64_t in_flight_before, in_flight; /* bytes */
    uint64_t delivered, total_lost;       /* bytes since the start, of the whole path */
    uint64_t newest_sent_us;              /* when the newest of the acknowledged packets was sent */
    uint64_t rtt_us;                      /* the RTT sample of this ACK; 0: none */
    uint64_t rate_bytes_per_s;            /* the delivery rate sample; 0: none */
    uint64_t prior_delivered;             /* `delivered` when the newest packet was sent */
    uint64_t sent_in_flight;              /* bytes under way when it was sent, with it */
    uint64_t lost_since;                  /* bytes declared lost since it was sent */
    uint64_t calm_bytes;                  /* of acked_bytes, sent while the controller was calm */
    bool app_limited; /* the sender had not enough to send: samples are lower bounds */
    bool unused;      /* and less than half of the window was under way */
    const struct ptcp_rtt *rtt;
};

struct ptcp_loss_sample {
    uint64_t now_us;
    uint64_t lost_bytes;
    uint64_t newest_lost_sent_us;
    uint64_t in_flight; /* after the loss */
    bool persistent;    /* RFC 9002 section 7.6 */
};

/* One packet that is declared lost; on_loss() follows when all are counted. */
struct ptcp_lost_packet {
    uint64_t now_us, sent_us;
    uint64_t bytes;
    uint64_t sent_in_flight, lost_since, delivered; /* as above; `delivered` by now */
    bool app_limited, calm;
};

struct ptcp_cc;

struct ptcp_cc_type {
    const char *name;
    void (*init)(struct ptcp_cc *cc);
    /* Optional. Before a packet leaves, with `in_flight` bytes under way. */
    void (*on_sent)(struct ptcp_cc *cc, uint64_t now_us, uint64_t delivered, uint64_t in_flight,
                    bool app_limited);
    void (*on_ack)(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack);
    void (*on_packet_lost)(struct ptcp_cc *cc, const struct ptcp_lost_packet *lost); /* optional */
    void (*on_loss)(struct ptcp_cc *cc, const struct ptcp_loss_sample *loss);
    /* The ACK tells of new CE marks; on_ack() follows. */
    void (*on_ecn)(struct ptcp_cc *cc, const struct ptcp_ack_sample *ack);
    /* All losses of the last reduction turned out to be wrong. */
    void (*on_undo)(struct ptcp_cc *cc, uint64_t delivered);
    /* Bytes in flight that the path has proved to bear; 0: not known yet. */
    uint64_t (*capacity)(const struct ptcp_cc *cc);
    /* Optional: from that window on, as if nothing were known but that more was too much. */
    void (*restart)(struct ptcp_cc *cc, uint64_t now_us, uint64_t window_bytes);
    uint32_t loss_ppm; /* losses up to that share are no congestion to it; 0: any is */
    /* Bytes per second; 0: unlimited. */
    uint64_t (*pacing_rate)(const struct ptcp_cc *cc, const struct ptcp_rtt *rtt);
    /* Optional, for logs: one of few static names. Without it: slow start, avoidance, recovery. */
    const char *(*phase)(const struct ptcp_cc *cc);
};

struct ptcp_cc {
    const struct ptcp_cc_type *type;
    uint64_t window_bytes;
    uint64_t ssthresh_bytes;    /* UINT64_MAX: none yet */
    uint64_t recovery_start_us; /* of the last reduction; packets sent before it are its cause */
    bool reduced;               /* there was a reduction */
    bool low_samples;           /* what is sent now can not show the rate that the path has */
    bool calm;                  /* the controller keeps the path from being full for a while:
                                 * losses are not its fault */
    uint32_t mtu;               /* payload bytes of a full packet */
    uint64_t state[PTCP_CC_STATE_WORDS]; /* the controller's own */
};

extern const struct ptcp_cc_type ptcp_bbr, ptcp_cubic, ptcp_reno;

/* By name; NULL if there is none. A NULL name is the default. */
const struct ptcp_cc_type *ptcp_cc_find(const char *name);
void ptcp_cc_init(struct ptcp_cc *cc, const struct ptcp_cc_type *type, uint32_t mtu);
void ptcp_cc_set_mtu(struct ptcp_cc *cc, uint32_t mtu);

/* For controllers: the parts that loss-based ones share. */
static inline bool ptcp_cc_in_slow_start(const struct ptcp_cc *cc)
{
    return cc->window_bytes < cc->ssthresh_bytes;
}
/* Does a packet sent at `sent_us` tell nothing new about congestion? */
static inline bool ptcp_cc_in_recovery(const struct ptcp_cc *cc, uint64_t sent_us)
{
    return cc->reduced && sent_us <= cc->recovery_start_us;
}
uint64_t ptcp_cc_window_capacity(const struct ptcp_cc *cc);
void ptcp_cc_restart(struct ptcp_cc *cc, uint64_t now_us, uint64_t window_bytes);
uint64_t ptcp_cc_min_window(const struct ptcp_cc *cc);
uint64_t ptcp_cc_window_pacing(const struct ptcp_cc *cc, const struct ptcp_rtt *rtt);

#endif
