/*
 * Datagram size discovery (RFC 8899): searches upwards with probes, falls back when everything
 * large vanishes. Sizes are UDP payload bytes, with all that layers below PTCP add.
 */
#ifndef STK_PTCP_MTU_H
#define STK_PTCP_MTU_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PTCP_MTU_MIN = 512,         /* passes any IPv4 path of 576 bytes */
    PTCP_MTU_BASE = 1200,       /* passes nearly every path of today */
    PTCP_MTU_TRIES = 3,         /* probes of one size before it counts as too large */
    PTCP_MTU_PROVEN_TRIES = 10, /* the same for a size that has passed before: loss is likelier */
    PTCP_MTU_AGAIN_US = 600000000,
    PTCP_MTU_SMALL_TIMEOUTS = 2, /* in a row: from then on probes are small ones */
    PTCP_MTU_BLACK_HOLE_TIMEOUTS = 3,
};

struct ptcp_mtu {
    uint16_t current;    /* what packets may have */
    uint16_t max;        /* what socket and peer take */
    uint16_t proven;     /* the largest size of which a packet was acknowledged */
    uint16_t failed;     /* the smallest size that did not pass in this search; 0: none yet */
    bool fixed;          /* by the user: no search, no fall-back */
    bool outstanding;    /* a probe is under way */
    uint8_t tries;       /* lost probes of the next size */
    uint8_t timeouts;    /* since a packet above the least size was acknowledged */
    uint16_t hint;       /* what a report of ICMP says that passes; 0: none */
    uint64_t timeout_us; /* when the last of them was */
    uint64_t search_us;  /* when to search again; 0: now, UINT64_MAX: never */
};

/* `fixed`: 0 to search. */
void ptcp_mtu_init(struct ptcp_mtu *mtu, uint16_t max, uint16_t fixed);
/* The peer's own limit. */
void ptcp_mtu_limit(struct ptcp_mtu *mtu, uint64_t max);
/* The size to probe with now; 0: none. */
uint16_t ptcp_mtu_probe(const struct ptcp_mtu *mtu, uint64_t now_us);
void ptcp_mtu_probe_sent(struct ptcp_mtu *mtu);
void ptcp_mtu_probe_lost(struct ptcp_mtu *mtu, uint64_t now_us);
/* Nobody will hear what became of the probe. */
void ptcp_mtu_probe_dropped(struct ptcp_mtu *mtu);
/* A packet of that size was acknowledged. True if `current` changed. */
bool ptcp_mtu_acked(struct ptcp_mtu *mtu, uint16_t size, bool probe, uint64_t now_us);
/*
 * Something was acknowledged. If several time-outs came before, and all that passed since is small,
 * what is large vanishes. True if `current` changed.
 */
bool ptcp_mtu_small_passed(struct ptcp_mtu *mtu, uint64_t now_us);
/*
 * A probe time-out of a connection with a large packet under way. Those that come within
 * `apart_us` are one: connections that share the path learn of the same. True if `current` changed.
 */
bool ptcp_mtu_timeout(struct ptcp_mtu *mtu, uint64_t now_us, uint64_t apart_us);
/*
 * Somebody, who may lie, says that datagrams above `size` don't pass. It is believed as far as
 * losses bear it out: then one of them is enough, and this size is the next.
 */
void ptcp_mtu_hint(struct ptcp_mtu *mtu, uint64_t size);

#endif
