/*
 * Goal: a peer can't take from others what a port has for all of them: memory, windows, turns.
 * Method: connections of liars and honest ones at one core, packets made by hand.
 */
#include "ptcp_liar.h"

enum {
    LIARS = 8,
    HOGS = 64,
    MEMORY = 64 << 20,
    BUFFER = 1 << 20, /* that one of many hogs would like to fill */
    HONEST_BYTES = 128 << 10,
    RECORDS = MEMORY / PTCP_RECORDS_SHARE / sizeof(struct ptcp_sent),
};

/* One of the connections: who it is at the other end. */
struct other {
    struct ptcp_conn *conn;
    uint64_t peer_id, next;
};

static void switch_to(const struct other *other)
{
    liar.conn = other->conn;
    liar.peer_id = other->peer_id;
    liar.next = other->next;
}

static struct other open_another(uint64_t id, uint64_t association)
{
    liar.association = association;
    liar.next = 1;
    send_syn(id);
    listen_to();
    liar.conn = ptcp_accept(liar.victim);
    CU_ASSERT_PTR_NOT_NULL_FATAL(liar.conn);
    send_ack(0, 1);
    CU_ASSERT_TRUE_FATAL(ptcp_conn_wake(liar.conn));
    return (struct other){liar.conn, liar.peer_id, liar.next};
}

static void listen_with(uint64_t window, uint32_t send_buffer)
{
    const struct stk_ptcp_options options = {
        .congestion = "cubic", .receive_window_init = window, .send_buffer_max = send_buffer};

    make_victim();
    liar.victim->options.memory_bytes = MEMORY;
    liar.victim->pool.limit = MEMORY / PTCP_CHUNK_BYTES;
    liar.victim->records.left = RECORDS;
    ptcp_listen(liar.victim, &options, 0);
    liar.base = live;
}

/* The port goes, and all connections with it. */
static void end_all(void)
{
    liar.conn = NULL;
    end_liar();
}

/* Another peer comes, and sends something that is read as it arrives: how much came through? */
static uint64_t try_as_honest_peer(void)
{
    static uint8_t bytes[1024];
    const struct other honest = open_another(999, ASSOCIATION + 1);
    uint64_t got = 0;

    for (uint64_t offset = 0; offset < HONEST_BYTES; offset += sizeof bytes) {
        struct iovec slice;

        send_stream(offset, bytes, sizeof bytes);
        while (ptcp_conn_peek(honest.conn, &slice, 1) > 0) {
            got += slice.iov_len;
            ptcp_conn_consume(honest.conn, liar.now_us, slice.iov_len);
        }
        listen_to();
    }
    return got;
}

/* --- Windows ---------------------------------------------------------------------------------- */

static void a_window_does_not_grow_by_asking(void)
{
    connect_liar(0);
    wait_us(1000000);
    for (int i = 0; i < 12; i++) {
        wait_us(100000);
        send_value(PTCP_FRAME_DATA_BLOCKED, WINDOW);
        listen_to();
    }
    CU_ASSERT_EQUAL(liar.conn->engine->flow.window, WINDOW);
    CU_ASSERT_EQUAL(liar.conn->engine->flow.granted, WINDOW);
    end_liar();
}

static void a_window_does_not_grow_by_copies_behind_a_hole(void)
{
    static uint8_t bytes[1024];

    connect_liar(0);
    liar.conn->path->rtt.smoothed_us = 1000000; /* so the liar lets it seem */
    for (int i = 0; i < 1000; i++) {
        send_stream(1, bytes, sizeof bytes);
        listen_to();
    }
    CU_ASSERT_EQUAL(liar.conn->engine->in.ahead_bytes, sizeof bytes);
    CU_ASSERT_EQUAL(liar.conn->engine->flow.window, WINDOW);
    end_liar();
}

static void windows_leave_room_for_those_who_come(void)
{
    struct ptcp_conn *conns[LIARS];

    listen_with(WINDOW, 0);
    for (int i = 0; i < LIARS; i++) {
        struct ptcp_flow *flow;

        conns[i] = open_another(100 + (uint64_t)i, ASSOCIATION).conn;
        send_stream(0, (const uint8_t *)"x", 1); /* which keeps it from resting */
        flow = &conns[i]->engine->flow;
        for (int n = 0; n < 20; n++) { /* a reader that keeps up with any peer */
            const uint64_t before = flow->window;

            flow->window = 2 * before < flow->window_max ? 2 * before : flow->window_max;
            ptcp_conn_bound_window(conns[i], before);
        }
    }
    CU_ASSERT_TRUE(conns[0]->engine->flow.window >= 16 << 20);
    CU_ASSERT_EQUAL(conns[LIARS - 1]->engine->flow.window, WINDOW);
    CU_ASSERT_TRUE(liar.victim->windows <= MEMORY - WINDOW);
    end_all();
}

/* --- Memory ----------------------------------------------------------------------------------- */

static void holes_leave_memory_for_others(void)
{
    listen_with(32 << 20, 0);
    for (uint64_t i = 0; i < LIARS; i++) {
        const struct other other = open_another(100 + i, ASSOCIATION);
        const uint64_t granted = other.conn->engine->flow.granted;

        for (uint64_t offset = 1; offset < granted; offset += PTCP_CHUNK_BYTES) {
            send_stream(offset, (const uint8_t *)"x", 1);
            listen_to();
        }
    }
    CU_ASSERT_TRUE(liar.victim->pool.chunks.used > liar.victim->pool.limit / 4);
    CU_ASSERT_TRUE(liar.victim->pool.chunks.used <= liar.victim->pool.limit * 3 / 4);
    CU_ASSERT_EQUAL(try_as_honest_peer(), HONEST_BYTES);
    end_all();
}

/* And the holes of who holds most are filled all the same. */
static void a_hole_is_filled_when_memory_is_short(void)
{
    static uint8_t bytes[1000];
    struct other other[LIARS];

    listen_with(32 << 20, 0);
    for (uint64_t i = 0; i < LIARS; i++) {
        other[i] = open_another(100 + i, ASSOCIATION);
        for (uint64_t offset = PTCP_CHUNK_BYTES; offset < 16 << 20; offset += sizeof bytes) {
            send_stream(offset, bytes, sizeof bytes);
            listen_to();
        }
        other[i].next = liar.next;
    }
    const uint64_t held = other[0].conn->engine->in.store.held;
    CU_ASSERT_TRUE(held > ptcp_pool_left(&liar.victim->pool) / 4);
    switch_to(&other[0]);
    for (uint64_t offset = 0; offset < 2 * PTCP_CHUNK_BYTES; offset += sizeof bytes)
        send_stream(offset, bytes, sizeof bytes);
    CU_ASSERT_TRUE(ptcp_reasm_readable(&liar.conn->engine->in) > (held - 2) * PTCP_CHUNK_BYTES);
    end_all();
}

static void what_nobody_reads_leaves_memory_for_others(void)
{
    static uint8_t bytes[1024];

    listen_with(MEMORY / 4, 0);
    for (uint64_t i = 0; i < HOGS; i++) {
        const struct other other = open_another(100 + i, ASSOCIATION);
        const uint64_t granted = other.conn->engine->flow.granted;

        for (uint64_t offset = 0; offset + sizeof bytes <= granted; offset += sizeof bytes) {
            send_stream(offset, bytes, sizeof bytes);
            listen_to();
        }
    }
    CU_ASSERT_TRUE(liar.victim->pool.chunks.used > liar.victim->pool.limit / 2);
    CU_ASSERT_EQUAL(try_as_honest_peer(), HONEST_BYTES);
    end_all();
}

static void what_nobody_acknowledges_leaves_memory_for_others(void)
{
    static uint8_t block[BUFFER];
    struct ptcp_sendbuf *out = NULL;

    listen_with(WINDOW, BUFFER);
    for (uint64_t i = 0; i < HOGS; i++) {
        out = &open_another(100 + i, ASSOCIATION + 10 + i).conn->engine->out;
        out->limit = BUFFER; /* as it gets where windows are large */
        ptcp_sendbuf_put(out, &(struct iovec){block, sizeof block}, 1);
    }
    CU_ASSERT_TRUE(liar.victim->pool.chunks.used > liar.victim->pool.limit / 2);
    CU_ASSERT_TRUE(out->end > out->una); /* the last one has got some, too */
    CU_ASSERT_EQUAL(try_as_honest_peer(), HONEST_BYTES);
    end_all();
}

/* What waits in the buffer of the connection that was opened last. */
static uint64_t unsent(void)
{
    const struct ptcp_sendbuf *out = &liar.conn->engine->out;

    return out->end - out->next;
}

static void who_sends_beside_many_on_other_paths_holds_little_unsent(void)
{
    enum { ONE = 96 << 10, MANY = 4 << 20 };
    uint64_t most = 0;

    listen_with(WINDOW, 0);
    liar.victim->pool.limit = 1 << 20;
    open_another(100, ASSOCIATION + 10);
    write_all();
    listen_to();
    CU_ASSERT_TRUE(unsent() > ONE);
    for (uint64_t i = 1; i < HOGS + 10; i++) {
        open_another(100 + i, ASSOCIATION + 10 + i);
        write_all();
        listen_to();
        const uint64_t sent = liar.conn->engine->out.next;
        const uint64_t share = MANY / (i + 1) > ONE ? MANY / (i + 1) : ONE;
        CU_ASSERT_EQUAL(liar.victim->pool.senders, i + 1);
        CU_ASSERT_TRUE(liar.conn->engine->out.end <= share + sent);
        CU_ASSERT_TRUE(liar.conn->engine->out.end >= ONE);
        most = unsent();
    }
    CU_ASSERT_TRUE(most <= ONE);
    /* It writes as it sends. */
    const uint64_t before = liar.conn->engine->out.end;
    liar.now_us += 1000;
    send_ack(1, liar.peer_next);
    listen_to();
    write_all();
    CU_ASSERT_TRUE(liar.conn->engine->out.end > before);
    CU_ASSERT_TRUE(unsent() <= ONE);
    end_all();
}

/* Each question is answered by a packet that nobody acknowledges. */
static void records_of_packets_leave_places_for_others(void)
{
    enum { QUESTIONS = 3000 };

    listen_with(WINDOW, 0);
    for (uint64_t i = 0; i < HOGS; i++) {
        open_another(100 + i, ASSOCIATION);
        for (int n = 0; n < QUESTIONS; n++) {
            send_value(PTCP_FRAME_DATA_BLOCKED, 0);
            listen_to();
        }
    }
    CU_ASSERT_TRUE(liar.victim->records.left < RECORDS / 4);
    CU_ASSERT_TRUE(grown() <= MEMORY / PTCP_RECORDS_SHARE * 3 / 2 + HOGS * CONN_MAX + SLACK);
    open_another(999, ASSOCIATION + 1);
    const struct ptcp_sent_ring *ring = &liar.conn->engine->recovery.ring;
    while (ring->capacity < 4 * PTCP_RECORDS_SMALL && liar.conn->error == 0) {
        const uint64_t before = ring->next;

        send_value(PTCP_FRAME_DATA_BLOCKED, 0);
        listen_to();
        if (ring->next == before)
            break;
    }
    CU_ASSERT_EQUAL(ring->capacity, 4 * PTCP_RECORDS_SMALL);
    end_all();
}

/* --- Turns ------------------------------------------------------------------------------------ */

static void ask_to_open(struct pair *pair, uint16_t port)
{
    const struct ptcp_params params = {.window = WINDOW};
    const uint64_t id = stk_prng_next(&pair->prng) | 1;
    const struct stk_addr kept = pair->addr[PAIR_A];
    uint8_t packet[128];
    struct stk_writer writer = stk_writer_of(packet, sizeof packet);

    ptcp_header_write(&writer, &(struct ptcp_header){.type = PTCP_SYN, .source = id});
    ptcp_params_write(&writer, &params);
    const size_t size =
        ptcp_tag_put(packet, (size_t)(writer.at - packet), &(struct ptcp_whole){.source = id});
    stk_addr_parse_ip(&pair->addr[PAIR_A], "198.51.100.9", port);
    pair_inject(pair, PAIR_B, packet, size);
    pair->addr[PAIR_A] = kept;
}

/* Strangers ask to open in each turn; the socket takes so many runs a turn. */
static void a_flood_of_openings_leaves_turns_for_transfers(void)
{
    enum { TURNS = 1000, ASK = 64, RUNS = 32 };
    static uint8_t block[65536];
    struct ptcp_conn *a, *b;
    unsigned replies = 0;
    struct pair pair;

    pair_init(&pair, 1, false);
    pair_connect(&pair, &a, &b);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    pair_run_for(&pair, 100000);
    pair.net.rate_bytes_per_s = 100000000;
    const uint64_t before = a->engine ? a->engine->in.contiguous : a->rest.received;
    for (int turn = 0; turn < TURNS; turn++) {
        struct stk_run run;

        for (uint16_t i = 0; i < ASK; i++)
            ask_to_open(&pair, (uint16_t)(1024 + i));
        ptcp_conn_send(b, pair.now_us, &(struct iovec){block, sizeof block}, 1);
        for (int i = 0; i < RUNS && ptcp_output(pair.end[PAIR_B], pair.now_us, &run, pair.buffer,
                                                PTCP_OUTPUT_BYTES_MIN);
             i++) {
            stk_run_flatten(&run);
            if (run.data[0] == PTCP_RETRY)
                replies++;
            else
                for (unsigned n = 0; n < run.count; n++)
                    pair_send(&pair, PAIR_B, stk_run_at(&run, n), stk_run_size(&run, n), false);
        }
        pair_flush(&pair, PAIR_A);
        pair.now_us += 1000;
        for (int side = 0; side < 2; side++)
            ptcp_timeout(pair.end[side], pair.now_us);
        pair_deliver(&pair);
        pair_read(&pair, a);
    }
    CU_ASSERT_TRUE(replies >= TURNS * 8); /* and nobody is forgotten */
    CU_ASSERT_TRUE(a->engine && a->engine->in.contiguous > before + (4 << 20));
    pair_free(&pair);
}

static CU_TestInfo tests[] = {
    {"a window does not grow by asking", a_window_does_not_grow_by_asking},
    {"a window does not grow by copies behind a hole",
     a_window_does_not_grow_by_copies_behind_a_hole},
    {"windows leave room for those who come", windows_leave_room_for_those_who_come},
    {"holes leave memory for others", holes_leave_memory_for_others},
    {"a hole is filled when memory is short", a_hole_is_filled_when_memory_is_short},
    {"what nobody reads leaves memory for others", what_nobody_reads_leaves_memory_for_others},
    {"what nobody acknowledges leaves memory for others",
     what_nobody_acknowledges_leaves_memory_for_others},
    {"who sends beside many on other paths holds little unsent",
     who_sends_beside_many_on_other_paths_holds_little_unsent},
    {"records of packets leave places for others", records_of_packets_leave_places_for_others},
    {"a flood of openings leaves turns for transfers",
     a_flood_of_openings_leaves_turns_for_transfers},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp fair", tests)
