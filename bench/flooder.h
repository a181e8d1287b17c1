/*
 * What bench/floods sends at a listener, and how: packets of a kind at a rate.
 */
#ifndef STK_BENCH_FLOODER_H
#define STK_BENCH_FLOODER_H

#include "seal.h"

#include <stddef.h>

enum { RECORDS = 64, PACKET_MAX = 1500 };

enum kind {
    INITIATIONS,
    UNSIGNED,
    REPLAYS,
    FORGED,
    MIXED, /* of those above */
    PLAIN_SYNS,
    PLAIN_FORGED,
    PLAIN_REPLAYS,
    KINDS
};

extern const char *const kind_names[KINDS];

/* A packet of the transfer. */
struct record {
    size_t len;
    uint8_t data[PACKET_MAX];
};

/* What the processes share. */
struct board {
    volatile uint16_t port;
    volatile uint64_t received; /* bytes of the transfer */
    volatile uint64_t flooded;  /* packets */
    volatile unsigned recorded;
    struct record records[RECORDS];
};

struct flooder {
    enum kind kind;
    uint64_t rate; /* packets a second */
    struct board *board;
    const uint8_t *public_key; /* the listener's, where it is sealed */
    int lent;                  /* where the sender's socket comes from */
};

bool kind_is_plain(enum kind kind);
/* Can packets of this kind be made from that record? */
bool kind_has_recorded(enum kind kind, const struct record *record);
uint64_t flooder_now_us(void);
/* Gives a socket to the flooder, which reads it at the other end of the pair. */
void flooder_lend(int pair, int socket);
/* Until it is killed. */
void flooder_run(const struct flooder *flooder);

#endif
