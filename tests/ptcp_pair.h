/*
 * Two endpoints joined by a small deterministic network, for the tests of PTCP. Virtual time,
 * one seed. Not the simulator (lib/sim): just enough to see the core work alone.
 */
#ifndef PTCP_PAIR_H
#define PTCP_PAIR_H

#include "alloc.h"
#include "endpoint.h"
#include "prng.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIR_A, PAIR_B, PAIR_HEAD = 24, PAIR_TAIL = 16 };

struct pair_net {
    uint64_t delay_us, jitter_us;
    uint64_t rate_bytes_per_s; /* 0: unlimited */
    uint64_t queue_us;         /* a longer wait for the link drops; 0: unlimited */
    unsigned loss_permille, duplicate_permille, corrupt_permille;
    uint32_t mtu; /* UDP payload; 0: unlimited */
    uint64_t dark_from_us, dark_until_us;
    bool cut[2]; /* nothing from this side arrives */
    bool marks;  /* ECN marks pass; else all are bleached */
};

struct pair_datagram {
    struct pair_datagram *next;
    uint64_t due_us;
    uint64_t association;
    int to;
    uint8_t ecn;
    uint16_t size;
    uint8_t bytes[];
};

struct pair {
    struct ptcp_endpoint *end[2];
    struct stk_addr addr[2];
    struct stk_prng prng;
    struct pair_net net;
    struct pair_datagram *flying;
    uint64_t now_us, free_us[2];
    uint64_t association;
    bool early[2]; /* to this side: the association is not READY there */
    uint64_t sent[2], sent_bytes[2], delivered;
    uint8_t ecn;        /* of the run that leaves */
    uint64_t leaves_on; /* the same: its association */
    /* Sees each datagram before the network does; may change it; false: it is lost. */
    bool (*tap)(struct pair *pair, int from, uint8_t *bytes, size_t size, bool probe);
    void *tap_state;
    uint8_t *buffer;
};

static inline uint64_t pair_random(void *context) { return stk_prng_next(context); }

static inline void pair_init_with(struct pair *pair, uint64_t seed, bool sealed,
                                  struct ptcp_endpoint_options options)
{
    *pair = (struct pair){.now_us = 1000000, .association = sealed ? 7 : 0};
    stk_prng_seed(&pair->prng, seed);
    pair->net.delay_us = 10000;
    options.random = pair_random;
    options.context = &pair->prng;
    options.sealed = sealed;
    if (sealed) {
        options.head = PAIR_HEAD;
        options.tail = PAIR_TAIL;
    }
    for (int i = 0; i < 2; i++) {
        stk_addr_parse_ip(&pair->addr[i], i ? "192.0.2.2" : "192.0.2.1", (uint16_t)(4001 + i));
        if (ptcp_endpoint_new(&options, &pair->end[i]) < 0)
            abort();
    }
    pair->buffer = malloc(PTCP_OUTPUT_BYTES_MIN);
}

static inline void pair_init(struct pair *pair, uint64_t seed, bool sealed)
{
    pair_init_with(pair, seed, sealed, (struct ptcp_endpoint_options){.max_datagram = 1472});
}

static inline void pair_free(struct pair *pair)
{
    while (pair->flying) {
        struct pair_datagram *next = pair->flying->next;
        free(pair->flying);
        pair->flying = next;
    }
    for (int i = 0; i < 2; i++)
        ptcp_endpoint_free(pair->end[i]);
    free(pair->buffer);
}

static inline bool pair_chance(struct pair *pair, unsigned permille)
{
    return permille > 0 && stk_prng_below(&pair->prng, 1000) < permille;
}

static inline void pair_fly(struct pair *pair, int to, const uint8_t *bytes, size_t size,
                            uint64_t due_us)
{
    struct pair_datagram *datagram = malloc(sizeof(*datagram) + size), **place = &pair->flying;

    *datagram = (struct pair_datagram){.due_us = due_us,
                                       .association = pair->leaves_on,
                                       .to = to,
                                       .ecn = pair->net.marks ? pair->ecn : STK_ECN_NOT,
                                       .size = (uint16_t)size};
    memcpy(datagram->bytes, bytes, size);
    while (*place && (*place)->due_us <= due_us)
        place = &(*place)->next;
    datagram->next = *place;
    *place = datagram;
}

static inline void pair_send(struct pair *pair, int from, uint8_t *bytes, size_t size, bool probe)
{
    const struct pair_net *net = &pair->net;
    const size_t wire = size + (pair->association ? PAIR_HEAD + PAIR_TAIL : 0);
    uint64_t leave_us = pair->free_us[from];

    pair->sent[from]++;
    pair->sent_bytes[from] += wire;
    if (pair->tap && !pair->tap(pair, from, bytes, size, probe))
        return;
    if (net->cut[from] || pair_chance(pair, net->loss_permille) || (net->mtu && wire > net->mtu) ||
        (pair->now_us >= net->dark_from_us && pair->now_us < net->dark_until_us))
        return;
    if (leave_us < pair->now_us)
        leave_us = pair->now_us;
    if (net->queue_us && leave_us - pair->now_us > net->queue_us)
        return;
    if (net->rate_bytes_per_s)
        leave_us += wire * 1000000 / net->rate_bytes_per_s;
    pair->free_us[from] = leave_us;
    const uint64_t jitter_us = net->jitter_us ? stk_prng_below(&pair->prng, net->jitter_us) : 0;
    if (!pair->association && pair_chance(pair, net->corrupt_permille))
        bytes[stk_prng_below(&pair->prng, size)] ^= (uint8_t)(1 << stk_prng_below(&pair->prng, 8));
    pair_fly(pair, !from, bytes, size, leave_us + net->delay_us + jitter_us);
    if (pair_chance(pair, net->duplicate_permille))
        pair_fly(pair, !from, bytes, size, leave_us + net->delay_us + 2 * jitter_us + 1000);
}

static inline bool pair_flush(struct pair *pair, int side)
{
    struct stk_run run;
    bool any = false;

    while (ptcp_output(pair->end[side], pair->now_us, &run, pair->buffer, PTCP_OUTPUT_BYTES_MIN)) {
        stk_run_flatten(&run);
        any = true;
        pair->ecn = run.ecn;
        pair->leaves_on = run.association;
        assert(run.count >= 1 && run.count <= STK_RUN_COUNT_MAX && run.last_size <= run.size);
        for (unsigned i = 0; i < run.count; i++)
            pair_send(pair, side, stk_run_at(&run, i), stk_run_size(&run, i), run.probe);
    }
    return any;
}

static inline void pair_inject_on(struct pair *pair, uint64_t association, int to,
                                  const void *bytes, size_t size, uint8_t ecn)
{
    const struct stk_run run = {.data = (uint8_t *)bytes,
                                .stride = (uint32_t)size,
                                .size = (uint16_t)size,
                                .last_size = (uint16_t)size,
                                .count = 1,
                                .ecn = ecn,
                                .early = pair->early[to],
                                .association = association,
                                .peer = &pair->addr[!to],
                                .local = &pair->addr[to]};

    ptcp_input(pair->end[to], pair->now_us, &run, 1);
}

static inline void pair_inject_marked(struct pair *pair, int to, const void *bytes, size_t size,
                                      uint8_t ecn)
{
    pair_inject_on(pair, pair->association, to, bytes, size, ecn);
}

static inline void pair_inject(struct pair *pair, int to, const void *bytes, size_t size)
{
    pair_inject_marked(pair, to, bytes, size, STK_ECN_NOT);
}

/* Hands over what is due now. */
static inline bool pair_deliver(struct pair *pair)
{
    bool any = false;

    while (pair->flying && pair->flying->due_us <= pair->now_us) {
        struct pair_datagram *datagram = pair->flying;

        pair->flying = datagram->next;
        pair->delivered++;
        pair_inject_on(pair, datagram->association, datagram->to, datagram->bytes, datagram->size,
                       datagram->ecn);
        free(datagram);
        any = true;
    }
    return any;
}

static inline uint64_t pair_next_us(struct pair *pair)
{
    uint64_t next_us = pair->flying ? pair->flying->due_us : UINT64_MAX;

    for (int i = 0; i < 2; i++) {
        const uint64_t due_us = ptcp_next_timeout_us(pair->end[i], pair->now_us);
        if (due_us < next_us)
            next_us = due_us;
    }
    return next_us;
}

/* Everything that happens now, then on to the next moment, but not beyond `until_us`. */
static inline bool pair_step(struct pair *pair, uint64_t until_us)
{
    pair_flush(pair, PAIR_A);
    pair_flush(pair, PAIR_B);
    const uint64_t next_us = pair_next_us(pair);
    if (next_us > until_us) {
        pair->now_us = until_us;
        return false;
    }
    if (next_us > pair->now_us)
        pair->now_us = next_us;
    for (int i = 0; i < 2; i++)
        ptcp_timeout(pair->end[i], pair->now_us);
    pair_deliver(pair);
    return true;
}

static inline void pair_run_for(struct pair *pair, uint64_t duration_us)
{
    const uint64_t until_us = pair->now_us + duration_us;

    while (pair_step(pair, until_us))
        ;
}

static inline struct ptcp_conn *pair_open(struct pair *pair, int side,
                                          const struct stk_ptcp_options *options)
{
    struct ptcp_conn *conn = NULL;
    const struct ptcp_open open = {.peer = &pair->addr[!side],
                                   .association = pair->association,
                                   .ready = true,
                                   .options = options};

    ptcp_open(pair->end[side], pair->now_us, &open, &conn);
    return conn;
}

/* A opens to B, who listens; both ends, after the handshake. NULL in `b` if it failed. */
static inline void pair_connect(struct pair *pair, struct ptcp_conn **a, struct ptcp_conn **b)
{
    const uint64_t until_us = pair->now_us + 30000000;

    ptcp_listen(pair->end[PAIR_B], NULL, 0);
    *a = pair_open(pair, PAIR_A, NULL);
    *b = NULL;
    while (!*b && pair_step(pair, until_us))
        *b = ptcp_accept(pair->end[PAIR_B]);
}

/* --- Streams whose bytes tell their own position ------------------------------------------------
 */

static inline uint8_t pair_byte(uint64_t offset, unsigned salt)
{
    return (uint8_t)((offset * 0x9e3779b97f4a7c15u) >> 40 ^ offset >> 8 ^ salt);
}

/* One direction of a transfer. */
struct pair_stream {
    struct ptcp_conn *from, *to;
    uint64_t total, written, read;
    unsigned salt;
    bool wrong, eof, done, finished;
    int error;
};

static inline void pair_pump(struct pair *pair, struct pair_stream *stream)
{
    uint8_t block[4096];

    while (stream->from && stream->written < stream->total) {
        size_t len = sizeof(block);
        if (len > stream->total - stream->written)
            len = (size_t)(stream->total - stream->written);
        for (size_t i = 0; i < len; i++)
            block[i] = pair_byte(stream->written + i, stream->salt);
        const long took =
            ptcp_conn_send(stream->from, pair->now_us, &(struct iovec){block, len}, 1);
        if (took <= 0) {
            if (took != STK_AGAIN)
                stream->error = (int)took;
            break;
        }
        stream->written += (uint64_t)took;
    }
    if (stream->from && stream->written == stream->total && !stream->finished) {
        ptcp_conn_finish(stream->from, pair->now_us);
        stream->finished = true;
    }
    while (stream->to && !stream->eof) {
        struct iovec slice;
        const int count = ptcp_conn_peek(stream->to, &slice, 1);
        if (count == 0)
            stream->eof = true;
        else if (count < 0 && count != STK_AGAIN)
            stream->error = count;
        if (count <= 0)
            break;
        const uint8_t *bytes = slice.iov_base;
        for (size_t i = 0; i < slice.iov_len; i++)
            stream->wrong |= bytes[i] != pair_byte(stream->read + i, stream->salt);
        stream->read += slice.iov_len;
        ptcp_conn_consume(stream->to, pair->now_us, slice.iov_len);
    }
}

/* Bytes that have come to `conn` since the last call, all of them read. */
static inline uint64_t pair_read(struct pair *pair, struct ptcp_conn *conn)
{
    struct iovec slice;
    uint64_t total = 0;

    while (ptcp_conn_peek(conn, &slice, 1) > 0) {
        total += slice.iov_len;
        ptcp_conn_consume(conn, pair->now_us, slice.iov_len);
    }
    return total;
}

/* True if both streams arrived whole, right and ended, within the time. */
static inline bool pair_transfer(struct pair *pair, struct pair_stream *one,
                                 struct pair_stream *two, uint64_t limit_us)
{
    const uint64_t until_us = pair->now_us + limit_us;

    do {
        pair_pump(pair, one);
        pair_pump(pair, two);
        if (one->error || two->error)
            return false;
        if (one->eof && two->eof)
            break;
    } while (pair_step(pair, until_us));
    return one->eof && two->eof && !one->wrong && !two->wrong && one->read == one->total &&
           two->read == two->total;
}

#endif
