/*
 * Goal: bytes of a stream travel in full packets, and what got lost goes again in as few.
 * Method: two cores in virtual time; every packet of one side is read, and chosen ones are lost.
 */
#include "harness.h"
#include "ptcp_pair.h"

enum { MS = 1000, SECOND = 1000 * MS, TOTAL = 50000, SEEN_MAX = 1000 };

/* A packet of side A with a piece of its stream. */
struct seen {
    uint64_t offset;
    size_t size, len;
    bool stream, fin; /* as a STREAM packet; with the stream's end */
};

static struct pair pair;
static struct ptcp_conn *a, *b;
static struct seen seen[SEEN_MAX];
static int count, lose; /* the one to lose; -1: none */

static bool see(struct pair *net, int from, uint8_t *bytes, size_t size, bool probe)
{
    struct ptcp_header header;
    struct ptcp_frames frames;
    struct ptcp_frame frame;
    struct ptcp_ack ack;

    (void)probe;
    if (from != PAIR_A ||
        ptcp_packet_read(bytes, size, net->association == 0, &header, &frames) < 0 ||
        header.type != PTCP_DATA)
        return true;
    while (ptcp_frame_read(&frames, &frame, &ack) > 0)
        if (frame.type == PTCP_FRAME_STREAM) {
            CU_ASSERT_TRUE_FATAL(count < SEEN_MAX);
            seen[count++] = (struct seen){frame.value, size, frame.len, header.stream, frame.fin};
            return count - 1 != lose;
        }
    return true;
}

static void set_up(bool sealed, uint16_t mtu)
{
    const struct stk_ptcp_options options = {.mtu = mtu};
    const uint64_t until_us = 5 * SECOND;

    pair_init(&pair, 1, sealed);
    ptcp_listen(pair.end[PAIR_B], NULL, 0);
    a = pair_open(&pair, PAIR_A, &options);
    pair_run_for(&pair, until_us);
    b = ptcp_accept(pair.end[PAIR_B]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    pair.tap = see;
    count = 0;
    lose = -1;
}

static void tear_down(void)
{
    ptcp_conn_release(a, pair.now_us);
    ptcp_conn_release(b, pair.now_us);
    pair_run_for(&pair, 40 * SECOND);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_A]) + ptcp_connections(pair.end[PAIR_B]), 0);
    pair_free(&pair);
}

static void write_bytes(size_t len)
{
    static const uint8_t block[TOTAL];

    CU_ASSERT_EQUAL(ptcp_conn_send(a, pair.now_us, &(struct iovec){(void *)block, len}, 1),
                    (long)len);
}

static uint64_t end_of(const struct seen *packet) { return packet->offset + packet->len; }

static void all_packets_but_the_last_are_full(void)
{
    static const uint16_t sizes[] = {512, 1200, 1472};

    for (int i = 0; i < 6; i++) {
        const bool sealed = i & 1;

        set_up(sealed, sizes[i / 2]);
        write_bytes(TOTAL);
        pair_run_for(&pair, 5 * SECOND);
        const size_t full = sizes[i / 2] - (sealed ? PAIR_HEAD + PAIR_TAIL : 0);
        for (int k = 0; k < count; k++) {
            CU_ASSERT_TRUE(seen[k].size == full || end_of(&seen[k]) == TOTAL);
            CU_ASSERT_TRUE(!seen[k].stream || seen[k].size == seen[k].len + 16);
            CU_ASSERT_TRUE(k == 0 || seen[k].offset == end_of(&seen[k - 1]));
        }
        CU_ASSERT_TRUE(seen[count / 2].stream);
        CU_ASSERT_EQUAL(pair_read(&pair, b), TOTAL);
        tear_down();
    }
}

static void a_full_packet_that_was_lost_goes_again_as_one(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        int again = 0;

        set_up(sealed, 1200);
        lose = 5;
        write_bytes(TOTAL);
        pair_run_for(&pair, 5 * SECOND);
        CU_ASSERT_TRUE_FATAL(count > lose);
        for (int k = lose + 1; k < count; k++)
            if (seen[k].offset == seen[lose].offset) {
                again++;
                CU_ASSERT_EQUAL(seen[k].len, seen[lose].len);
            }
        CU_ASSERT_EQUAL(again, 1);
        CU_ASSERT_EQUAL(pair_read(&pair, b), TOTAL);
        tear_down();
    }
}

/* Those of a time-out repeat the two oldest; from the second in a row on they are small. */
static void probes_repeat_whole_packets_and_then_parts_of_them(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        const size_t overhead = sealed ? PAIR_HEAD + PAIR_TAIL : 0;

        set_up(sealed, 1200);
        pair.net.cut[PAIR_A] = true;
        write_bytes(TOTAL);
        while (!a->engine || a->engine->recovery.pto_count == 0)
            pair_step(&pair, pair.now_us + SECOND);
        const int first = count;
        CU_ASSERT_TRUE_FATAL(first > 2);
        while (a->engine->recovery.pto_count < 3)
            pair_step(&pair, pair.now_us + SECOND);
        CU_ASSERT_EQUAL_FATAL(count, first + 4);
        for (int k = 0; k < 2; k++) {
            CU_ASSERT_EQUAL(seen[first + k].offset, seen[k].offset);
            CU_ASSERT_EQUAL(seen[first + k].size, seen[k].size);
            CU_ASSERT_TRUE(k == 0 || seen[first + k].len == seen[k].len); /* 0: with an ACK */
            CU_ASSERT_EQUAL(seen[first + 2 + k].offset, seen[k].offset);
            CU_ASSERT_EQUAL(seen[first + 2 + k].size, PTCP_MTU_MIN - overhead);
        }
        pair.net.cut[PAIR_A] = false;
        pair_run_for(&pair, 10 * SECOND);
        CU_ASSERT_EQUAL(pair_read(&pair, b), TOTAL);
        tear_down();
    }
}

/* With the last bytes, or behind them. */
static void the_end_of_a_stream_is_said_again_when_it_got_lost(void)
{
    for (int i = 0; i < 4; i++) {
        const bool sealed = i & 1, behind = i & 2;
        struct iovec slice;

        set_up(sealed, 0);
        write_bytes(100);
        if (behind)
            pair_run_for(&pair, SECOND);
        lose = count;
        ptcp_conn_finish(a, pair.now_us);
        pair_run_for(&pair, 5 * SECOND);
        CU_ASSERT_TRUE_FATAL(count >= lose + 2);
        for (int k = lose; k < count; k++) {
            CU_ASSERT_TRUE(seen[k].fin);
            CU_ASSERT_EQUAL(seen[k].len, behind ? 0 : 100);
        }
        CU_ASSERT_TRUE(!behind || seen[count - 1].size == PTCP_STREAM_HEADER_BYTES);
        CU_ASSERT_EQUAL(pair_read(&pair, b), 100);
        CU_ASSERT_EQUAL(ptcp_conn_peek(b, &slice, 1), 0);
        tear_down();
    }
}

static CU_TestInfo tests[] = {
    {"all packets but the last are full", all_packets_but_the_last_are_full},
    {"a full packet that was lost goes again as one",
     a_full_packet_that_was_lost_goes_again_as_one},
    {"probes repeat whole packets and then parts of them",
     probes_repeat_whole_packets_and_then_parts_of_them},
    {"the end of a stream is said again when it got lost",
     the_end_of_a_stream_is_said_again_when_it_got_lost},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp pieces", tests)
