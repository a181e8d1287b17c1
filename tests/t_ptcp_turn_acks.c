/*
 * Goal: connections that have long turns on a fast path are acknowledged once a turn, without
 * delay; who sends grants, and who acknowledges them, sends few packets for that; and a grant that
 * is lost is made up for.
 * Method: the rules of one side alone; then two cores on a path of 100 microseconds, whose packets
 * are counted by what is in them.
 */
#include "harness.h"
#include "ptcp_pair.h"

enum { MANY = 8, MS = 1000, DELAY_US = 50, SMALL_BYTES = 200 };

static void an_ack_that_may_wait_waits_for_others(void)
{
    struct ptcp_acks acks;

    ptcp_acks_init(&acks);
    for (uint64_t i = 0; i < 5; i++) {
        ptcp_acks_take(&acks, i, 1, 1000 + i, false, 0);
        ptcp_acks_later(&acks, 1000 + i);
    }
    CU_ASSERT_EQUAL(acks.due_us, 1000 + PTCP_ACK_LATER_US);
    CU_ASSERT_EQUAL(acks.waiting, 5);
    ptcp_acks_hurry(&acks, 2000);
    ptcp_acks_later(&acks, 2001);
    CU_ASSERT_EQUAL(acks.due_us, 2000);
    ptcp_acks_free(&acks);
}

static void a_path_is_swift_until_it_is_much_slower(void)
{
    const uint64_t one = PTCP_QUANTUM_BYTES * UINT64_C(1000000) / PTCP_QUANTUM_US;
    struct ptcp_turns turns;

    ptcp_turns_init(&turns);
    ptcp_turns_pace(&turns, one);
    CU_ASSERT_FALSE(turns.swift);
    ptcp_turns_pace(&turns, 2 * one);
    CU_ASSERT_TRUE(turns.swift);
    ptcp_turns_pace(&turns, one / 2);
    CU_ASSERT_TRUE(turns.swift);
    CU_ASSERT_EQUAL(turns.quantum, PTCP_QUANTUM_BYTES);
    ptcp_turns_pace(&turns, one / PTCP_SWIFT_SHARE);
    CU_ASSERT_FALSE(turns.swift);
    ptcp_turns_pace(&turns, one);
    CU_ASSERT_FALSE(turns.swift);
}

/* --- Two cores -------------------------------------------------------------------------------
 */

static struct pair pair;
static struct ptcp_conn *a[MANY], *b[MANY];

static struct {
    unsigned data, asking, lone_acks, answers, loud, quiet;
    bool drops_quiet;
} seen;

static bool watch(struct pair *one, int from, uint8_t *bytes, size_t size, bool probe)
{
    struct ptcp_header header;
    struct ptcp_frames frames;
    struct ptcp_frame frame;
    struct ptcp_ack ack;
    bool quiet = false;

    (void)one;
    if (probe || ptcp_packet_read(bytes, size, false, &header, &frames) < 0)
        return true;
    seen.answers += from == PAIR_B;
    seen.data += from == PAIR_A && size > SMALL_BYTES;
    seen.asking += header.asks;
    seen.lone_acks += from == PAIR_A && size <= SMALL_BYTES;
    while (ptcp_frame_read(&frames, &frame, &ack) > 0) {
        seen.loud += frame.type == PTCP_FRAME_MAX_DATA;
        quiet |= frame.type == PTCP_FRAME_MAX_DATA_QUIET;
    }
    seen.quiet += quiet;
    return !quiet || !seen.drops_quiet;
}

static void connect_all(uint16_t max_datagram)
{
    const struct ptcp_endpoint_options options = {.max_datagram = max_datagram};

    pair_init_with(&pair, 1, true, options);
    pair.net.delay_us = DELAY_US;
    pair.net.rate_bytes_per_s = UINT64_C(8000000000); /* 1 us for 8972 bytes */
    pair.tap = watch;
    for (int i = 0; i < MANY; i++) {
        pair_connect(&pair, &a[i], &b[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]);
    }
}

/* All connections but the first ones. */
static void write_from(int first)
{
    static const uint8_t block[1 << 16];
    const struct iovec iov = {(void *)(uintptr_t)block, sizeof(block)};
    struct ptcp_conn *conn;

    while ((conn = ptcp_next_event(pair.end[PAIR_A])))
        ptcp_conn_take_events(conn);
    for (int i = first; i < MANY; i++)
        while (ptcp_conn_send(a[i], pair.now_us, &iov, 1) == (long)sizeof(block))
            ;
}

static void read_everywhere(void)
{
    for (int i = 0; i < MANY; i++)
        pair_read(&pair, b[i]);
}

static void send_for(int first, uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    do {
        write_from(first);
        read_everywhere();
    } while (pair_step(&pair, until_us));
}

/* As long as something is under way. */
static uint64_t finish_us(void)
{
    const uint64_t from_us = pair.now_us;
    bool busy = true;

    while (busy && pair.now_us < from_us + 1000 * MS) {
        pair_step(&pair, from_us + 1000 * MS);
        read_everywhere();
        busy = false;
        for (int i = 0; i < MANY; i++)
            busy |= a[i]->engine->out.una < a[i]->engine->out.end;
    }
    return pair.now_us - from_us;
}

static void a_turn_has_one_ack(uint16_t max_datagram, unsigned packets)
{
    connect_all(max_datagram);
    send_for(0, 20 * MS);
    CU_ASSERT_TRUE_FATAL(a[0]->path->turns.swift);
    memset(&seen, 0, sizeof(seen));
    send_for(0, 5 * MS);
    CU_ASSERT_TRUE(seen.data > 100 * packets);
    CU_ASSERT_TRUE(seen.answers * packets < seen.data);
    CU_ASSERT_TRUE(seen.asking <= seen.answers + MANY);
    CU_ASSERT_TRUE(seen.asking * 8 * packets > seen.data);
    CU_ASSERT_TRUE(seen.lone_acks * 100 < seen.data);
    CU_ASSERT_TRUE(seen.quiet > 3 * seen.loud);
    pair_free(&pair);
}

/* A turn has 8 of these, or 58: some are cut short by the window. */
static void one_ack_answers_a_turn_of_large_packets(void) { a_turn_has_one_ack(65507, 2); }
static void one_ack_answers_a_turn_of_small_packets(void) { a_turn_has_one_ack(8972, 14); }

/* A delayed ACK comes after a millisecond at least; what is under way takes two thirds of one. */
static void no_end_of_a_turn_waits_for_the_delay_of_acks(void)
{
    connect_all(65507);
    for (int i = 0; i < 10; i++) {
        send_for(0, 20 * MS);
        CU_ASSERT_TRUE(a[0]->path->turns.swift);
        CU_ASSERT_TRUE(finish_us() < MS);
    }
    pair_free(&pair);
}

static void few_bytes_beside_others_are_acknowledged_at_once(void)
{
    char text[] = "few";
    const struct iovec iov = {text, 3};

    connect_all(8972);
    send_for(1, 20 * MS);
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_EQUAL_FATAL(ptcp_conn_send(a[0], pair.now_us, &iov, 1), 3);
        send_for(1, MS);
        CU_ASSERT_EQUAL(a[0]->engine->out.una, a[0]->engine->out.end);
    }
    pair_free(&pair);
}

static void grants_that_are_lost_are_made_up_for(void)
{
    connect_all(8972);
    send_for(0, 20 * MS);
    memset(&seen, 0, sizeof(seen));
    seen.drops_quiet = true;
    for (int i = 0; i < 20; i++) {
        uint64_t before[MANY];

        for (int c = 0; c < MANY; c++)
            before[c] = ptcp_conn_received(b[c]);
        send_for(0, 20 * MS);
        for (int c = 0; c < MANY; c++)
            CU_ASSERT_TRUE(ptcp_conn_received(b[c]) > before[c]);
    }
    CU_ASSERT_TRUE(seen.quiet > 0 && seen.loud > 0);
    seen.drops_quiet = false;
    pair_free(&pair);
}

static unsigned asked;

static bool ask_with_each(struct pair *one, int from, uint8_t *bytes, size_t size, bool probe)
{
    (void)one, (void)from, (void)size, (void)probe;
    if (ptcp_short_header_bytes(bytes[0]) > 0)
        bytes[0] |= PTCP_ASKS;
    asked++;
    return true;
}

static void who_asks_has_the_ack_at_once_if_there_is_anything_to_acknowledge(void)
{
    struct ptcp_conn *from, *to;

    pair_init(&pair, 1, true);
    pair.net.delay_us = DELAY_US;
    pair_connect(&pair, &from, &to);
    pair_run_for(&pair, 100 * MS);
    pair.tap = ask_with_each;
    asked = 0;
    char text[] = "one";
    const struct iovec iov = {text, 3};
    CU_ASSERT_EQUAL_FATAL(ptcp_conn_send(from, pair.now_us, &iov, 1), 3);
    pair_run_for(&pair, MS);
    CU_ASSERT_EQUAL(from->engine->out.una, 3);
    pair_run_for(&pair, 20 * MS);
    CU_ASSERT_EQUAL(asked, 2); /* the ACK asked, too */
    pair_free(&pair);
}

static CU_TestInfo tests[] = {
    {"an ACK that may wait waits for others", an_ack_that_may_wait_waits_for_others},
    {"a path is swift until it is much slower", a_path_is_swift_until_it_is_much_slower},
    {"one ACK answers a turn of large packets", one_ack_answers_a_turn_of_large_packets},
    {"one ACK answers a turn of small packets", one_ack_answers_a_turn_of_small_packets},
    {"no end of a turn waits for the delay of ACKs", no_end_of_a_turn_waits_for_the_delay_of_acks},
    {"few bytes beside others are acknowledged at once",
     few_bytes_beside_others_are_acknowledged_at_once},
    {"grants that are lost are made up for", grants_that_are_lost_are_made_up_for},
    {"who asks has the ACK at once, if there is anything to acknowledge",
     who_asks_has_the_ack_at_once_if_there_is_anything_to_acknowledge},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp turn acks", tests)
