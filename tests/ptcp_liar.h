/*
 * A core that listens, and a peer that holds a connection to it and lies: packets made by hand, in
 * virtual time. Every byte of the heap is counted.
 */
#ifndef PTCP_LIAR_H
#define PTCP_LIAR_H

#include "ptcp_pair.h"

#include "error.h"
#include "harness.h"
#include "tag.h"

#include <malloc.h>

enum { ASSOCIATION = 7, WINDOW = 256 << 10, SLACK = 64 << 10, CONN_MAX = 8 << 10 };

/* The ring of packets sent, the half of it that is copied when it has grown, and as spare ones what
 * it had before. */
enum { RECORDS_MAX = PTCP_SENT_MAX * sizeof(struct ptcp_sent) * 7 / 4 };

static const uint64_t WIDE_OPEN = UINT64_C(1) << 60;

/* --- The heap --------------------------------------------------------------------------------- */

static size_t live, peak;

static inline void *count_bytes(void *context, void *block, size_t size)
{
    void *next = NULL;

    (void)context;
    live -= block ? malloc_usable_size(block) : 0;
    if (size > 0)
        next = realloc(block, size);
    else
        free(block);
    live += next ? malloc_usable_size(next) : 0;
    if (live > peak)
        peak = live;
    return next;
}

/* --- The liar --------------------------------------------------------------------------------- */

static struct {
    struct ptcp_endpoint *victim;
    struct ptcp_conn *conn;
    struct stk_prng prng;
    struct stk_addr addr;
    uint64_t now_us, id, next; /* the liar's id and packet number */
    uint64_t association;
    uint64_t peer_id, peer_next;           /* the victim's, + 1 */
    uint64_t in, in_bytes, out, out_bytes; /* packets to and from the victim */
    bool saw_reset;
    bool early; /* what it sends comes before its association is ready */
    size_t base;
    uint8_t *buffer;
} liar;

static inline void deliver(const uint8_t *bytes, size_t size)
{
    const struct stk_run run = {.data = (uint8_t *)bytes,
                                .stride = (uint32_t)size,
                                .size = (uint16_t)size,
                                .last_size = (uint16_t)size,
                                .count = 1,
                                .association = liar.association,
                                .early = liar.early};

    liar.in++;
    liar.in_bytes += size;
    ptcp_input(liar.victim, liar.now_us, &run, 1);
}

static inline void look_at(const uint8_t *bytes, size_t size)
{
    struct ptcp_header header;
    struct ptcp_frames frames;
    struct ptcp_frame frame;
    struct ptcp_ack ack;

    CU_ASSERT_EQUAL(ptcp_packet_read(bytes, size, false, &header, &frames), 0);
    liar.out++;
    liar.out_bytes += size;
    if (header.type == PTCP_SYN_ACK)
        liar.peer_id = header.source;
    liar.peer_next = ptcp_packet_number(&header, liar.peer_next) + 1;
    while (ptcp_frame_read(&frames, &frame, &ack) > 0)
        liar.saw_reset |= frame.type == PTCP_FRAME_RESET;
}

/* Everything that the victim says now. */
static inline void listen_to(void)
{
    struct stk_run run;

    while (ptcp_output(liar.victim, liar.now_us, &run, liar.buffer, PTCP_OUTPUT_BYTES_MIN)) {
        for (unsigned i = 0; i < run.count; i++)
            look_at(stk_run_at(&run, i), stk_run_size(&run, i));
    }
}

static inline void wait_us(uint64_t time_us)
{
    const uint64_t until_us = liar.now_us + time_us;
    uint64_t due_us;

    while ((due_us = ptcp_next_timeout_us(liar.victim, liar.now_us)) < until_us) {
        liar.now_us = due_us > liar.now_us ? due_us : liar.now_us;
        ptcp_timeout(liar.victim, liar.now_us);
        listen_to();
    }
    liar.now_us = until_us;
}

static inline struct stk_writer begin_data(uint8_t *packet, size_t size)
{
    struct stk_writer writer = stk_writer_of(packet, size);

    ptcp_header_write(&writer, &(struct ptcp_header){.type = PTCP_DATA,
                                                     .destination = liar.peer_id,
                                                     .packet = liar.next++});
    return writer;
}

static inline void send_stream(uint64_t offset, const uint8_t *data, size_t len)
{
    uint8_t packet[2048];
    struct stk_writer writer = begin_data(packet, sizeof packet);

    ptcp_stream_write(&writer, offset, len, false, true);
    stk_write_bytes(&writer, data, len);
    deliver(packet, (size_t)(writer.at - packet));
}

static inline void send_value(enum ptcp_frame_type type, uint64_t value)
{
    uint8_t packet[64];
    struct stk_writer writer = begin_data(packet, sizeof packet);

    ptcp_value_write(&writer, type, value);
    deliver(packet, (size_t)(writer.at - packet));
}

static inline void write_range(struct stk_writer *writer, uint64_t first, uint64_t end)
{
    struct ptcp_ranges set;

    ptcp_ranges_init(&set, PTCP_RANGES_INLINE);
    ptcp_ranges_add(&set, first, end);
    ptcp_ack_write(writer, &set, 0, NULL);
    ptcp_ranges_free(&set);
}

/* Acknowledges [first, end). */
static inline void send_ack(uint64_t first, uint64_t end)
{
    uint8_t packet[64];
    struct stk_writer writer = begin_data(packet, sizeof packet);

    write_range(&writer, first, end);
    deliver(packet, (size_t)(writer.at - packet));
}

static inline struct stk_writer begin_syn(uint64_t id, uint64_t max_datagram, uint8_t *packet,
                                          size_t size)
{
    const struct ptcp_params params = {.window = WIDE_OPEN, .max_datagram = max_datagram};
    struct stk_writer writer = stk_writer_of(packet, size);

    ptcp_header_write(&writer, &(struct ptcp_header){.type = PTCP_SYN, .source = id});
    ptcp_params_write(&writer, &params);
    return writer;
}

static inline void send_syn(uint64_t id)
{
    uint8_t packet[128];
    const struct stk_writer writer = begin_syn(id, 1400, packet, sizeof packet);

    deliver(packet, (size_t)(writer.at - packet));
}

static inline uint64_t next_random(void *context) { return stk_prng_next(context); }

static inline void make_victim(void)
{
    const struct ptcp_endpoint_options options = {
        .random = next_random, .context = &liar.prng, .sealed = true, .max_datagram = 1472};

    memset(&liar, 0, sizeof liar);
    live = peak = 0;
    stk_alloc_hook(count_bytes, NULL);
    stk_prng_seed(&liar.prng, 1);
    liar.now_us = 1000000;
    liar.id = 42;
    liar.association = ASSOCIATION;
    liar.next = 1;
    liar.buffer = malloc(PTCP_OUTPUT_BYTES_MIN);
    CU_ASSERT_EQUAL_FATAL(ptcp_endpoint_new(&options, &liar.victim), 0);
}

/* The liar connects to a victim that listens; `send_buffer`: bytes, 0 for the default. */
static inline void connect_liar(uint32_t send_buffer)
{
    const struct stk_ptcp_options options = {
        .congestion = "cubic", .receive_window_init = WINDOW, .send_buffer_max = send_buffer};

    make_victim();
    ptcp_listen(liar.victim, &options, 0);
    send_syn(liar.id);
    listen_to();
    liar.conn = ptcp_accept(liar.victim);
    CU_ASSERT_PTR_NOT_NULL_FATAL(liar.conn);
    send_ack(0, 1);
    liar.base = live;
    peak = live;
    liar.in = liar.in_bytes = liar.out = liar.out_bytes = 0;
}

static inline void end_liar(void)
{
    if (liar.conn)
        ptcp_conn_release(liar.conn, liar.now_us);
    ptcp_endpoint_free(liar.victim);
    free(liar.buffer);
    CU_ASSERT_EQUAL(live, 0);
    stk_alloc_hook(NULL, NULL);
}

static inline size_t grown(void) { return peak - liar.base; }

/* The victim writes as much as is taken. */
static inline uint64_t write_all(void)
{
    static uint8_t block[65536];
    uint64_t total = 0;
    long took;

    while ((took = ptcp_conn_send(liar.conn, liar.now_us, &(struct iovec){block, sizeof block},
                                  1)) > 0)
        total += (uint64_t)took;
    return total;
}

#endif
