/*
 * Many connections of one association between the two sides of ptcp_pair.h: a[i] opened b[i].
 */
#ifndef PTCP_MANY_H
#define PTCP_MANY_H

#include "harness.h"
#include "ptcp_pair.h"

enum { MANY = 130, MS = 1000, SECOND = 1000 * MS };

#define MINUTE (60 * (uint64_t)SECOND)

static struct pair pair;
static struct ptcp_conn *a[MANY], *b[MANY];

static inline int any_key(void *context, uint64_t association, uint8_t key[32])
{
    (void)context;
    (void)association;
    memset(key, 9, 32);
    return 0;
}

static inline void set_up_with(uint64_t rate_bytes_per_s, struct ptcp_endpoint_options options)
{
    options.peer_key = any_key;
    pair_init_with(&pair, 1, true, options);
    pair.net.rate_bytes_per_s = rate_bytes_per_s;
    pair.net.queue_us = 100 * MS;
    memset(a, 0, sizeof(a));
    memset(b, 0, sizeof(b));
}

static inline void set_up(uint64_t rate_bytes_per_s)
{
    set_up_with(rate_bytes_per_s, (struct ptcp_endpoint_options){.max_datagram = 1472});
}

static inline void connect_one(int i, const struct stk_ptcp_options *options)
{
    const uint64_t until_us = pair.now_us + 10 * SECOND;

    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    a[i] = pair_open(&pair, PAIR_A, options);
    while (!b[i] && pair_step(&pair, until_us))
        b[i] = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]);
}

/* What comes to connection 1 is not heard there. */
static inline bool is_heard(struct pair *net, int from, uint8_t *bytes, size_t size, bool probe)
{
    struct ptcp_header header;
    struct ptcp_frames frames;

    (void)net;
    (void)probe;
    return from != PAIR_A || ptcp_packet_read(bytes, size, false, &header, &frames) < 0 || !b[1] ||
           header.destination != ptcp_conn_id(b[1]);
}

/* As much as there is room for. */
static inline void write_more(struct ptcp_conn *conn)
{
    static const uint8_t block[1 << 16];

    while (ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)block, sizeof(block)}, 1) > 0)
        ;
}

static inline void write_bytes(struct ptcp_conn *conn, size_t len)
{
    static const uint8_t block[1 << 12];

    CU_ASSERT_EQUAL(ptcp_conn_send(conn, pair.now_us, &(struct iovec){(void *)block, len}, 1),
                    (long)len);
}

static inline void end(int count)
{
    for (int i = 0; i < count; i++) {
        if (a[i])
            ptcp_conn_release(a[i], pair.now_us);
        if (b[i])
            ptcp_conn_release(b[i], pair.now_us);
    }
    pair_free(&pair);
}

#endif
