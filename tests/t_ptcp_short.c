/*
 * Goal: what a short header leaves out is found again: the hidden half of an id, the high bits of
 * packet numbers and stream offsets; and a packet that comes much too late is not taken for a new
 * one.
 * Method: two cores in virtual time. While a connection rests its numbers are a few integers: they
 * are set on both sides to just below the bits on the wire, or one turn of them further.
 */
#include "error.h"
#include "harness.h"
#include "ptcp_pair.h"

enum { MS = 1000, SECOND = 1000 * MS, TOTAL = 3000000 };

static const uint64_t NUMBERS = UINT64_C(1) << PTCP_SHORT_NUMBER_BITS;
static const uint64_t OFFSETS = UINT64_C(1) << PTCP_OFFSET_BITS;

static struct pair pair;
static struct ptcp_conn *a[2], *b[2];

static void connect_some(bool sealed, int count)
{
    pair_init(&pair, 1, sealed);
    for (int i = 0; i < count; i++) {
        pair_connect(&pair, &a[i], &b[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(b[i]);
    }
    pair_run_for(&pair, 5 * SECOND);
    for (int i = 0; i < count; i++)
        CU_ASSERT_TRUE_FATAL(!a[i]->engine && !b[i]->engine);
}

static void end(int count)
{
    for (int i = 0; i < count; i++) {
        ptcp_conn_release(a[i], pair.now_us);
        ptcp_conn_release(b[i], pair.now_us);
    }
    pair_run_for(&pair, 40 * SECOND);
    CU_ASSERT_EQUAL(ptcp_connections(pair.end[PAIR_A]) + ptcp_connections(pair.end[PAIR_B]), 0);
    CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_A]) + ptcp_time_waits(pair.end[PAIR_B]), 0);
    pair_free(&pair);
}

/* Packets and bytes of one direction, as if so many had gone already. */
static void set_numbers(struct ptcp_conn *from, struct ptcp_conn *to, uint64_t packet,
                        uint64_t offset)
{
    from->rest.next_packet = to->rest.expected_packet = packet;
    from->skip_at = packet + 1000;
    to->rest.granted += offset - to->rest.received;
    from->rest.peer_limit += offset - from->rest.sent;
    from->rest.sent = to->rest.received = offset;
}

/* --- Ids -------------------------------------------------------------------------------------- */

static void rename_conn(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn,
                        struct ptcp_conn *peer, uint64_t id)
{
    ptcp_table_remove(&endpoint->table, &conn->slot);
    conn->slot.id = id;
    ptcp_table_add(&endpoint->table, &conn->slot);
    peer->peer_id = id;
}

static void connections_whose_ids_share_a_half_are_told_apart(void)
{
    for (int sealed = 0; sealed < 2; sealed++) {
        struct pair_stream streams[2];

        connect_some(sealed, 2);
        for (int i = 0; i < 2; i++) {
            rename_conn(pair.end[PAIR_B], b[i], a[i], (uint64_t)(i + 1) << 32 | 0x89abcdef);
            streams[i] = (struct pair_stream){a[i], b[i], .total = TOTAL, .salt = (unsigned)i};
        }
        CU_ASSERT_TRUE(pair_transfer(&pair, &streams[0], &streams[1], 60 * (uint64_t)SECOND));
        end(2); /* in TIME_WAIT, too */
    }
}

/* --- Numbers ---------------------------------------------------------------------------------- */

static void numbers_and_offsets_go_on_beyond_their_bits_on_the_wire(void)
{
    for (int sealed = 0; sealed < 2; sealed++)
        for (unsigned loss_permille = 0; loss_permille <= 50; loss_permille += 50) {
            struct pair_stream to = {.total = TOTAL}, back = {.total = TOTAL, .salt = 1};

            connect_some(sealed, 1);
            set_numbers(a[0], b[0], NUMBERS - 500, OFFSETS - 1000000);
            set_numbers(b[0], a[0], 3 * NUMBERS - 700, 5 * OFFSETS - 1500000);
            pair.net.loss_permille = loss_permille;
            to.from = back.to = a[0];
            to.to = back.from = b[0];
            CU_ASSERT_TRUE(pair_transfer(&pair, &to, &back, 200 * (uint64_t)SECOND));
            CU_ASSERT_TRUE(ptcp_conn_received(b[0]) == OFFSETS - 1000000 + TOTAL);
            CU_ASSERT_TRUE(ptcp_conn_expected(b[0]) > NUMBERS);
            pair.net.loss_permille = 0;
            end(1);
        }
}

/* ACKs could not tell of them. */
static void packets_beyond_the_last_number_are_ignored(void)
{
    static uint8_t block[20000];

    for (int sealed = 0; sealed < 2; sealed++) {
        connect_some(sealed, 1);
        set_numbers(a[0], b[0], PTCP_NUMBER_MAX - 3, 7);
        CU_ASSERT_EQUAL(ptcp_conn_send(a[0], pair.now_us, &(struct iovec){block, sizeof block}, 1),
                        sizeof block);
        pair_run_for(&pair, 5 * SECOND);
        CU_ASSERT_EQUAL(ptcp_conn_expected(b[0]), PTCP_NUMBER_MAX);
        const uint64_t came = pair_read(&pair, b[0]);
        CU_ASSERT_TRUE(came > 0 && came < sizeof block);
        pair_free(&pair);
    }
}

static struct {
    uint8_t bytes[1500];
    size_t size;
    uint64_t packet, offset;
} held;

/* The first STREAM packet of A's, which is lost. */
static bool hold(struct pair *net, int from, uint8_t *bytes, size_t size, bool probe)
{
    struct ptcp_header header;
    struct ptcp_frames frames;

    (void)net;
    (void)probe;
    if (from != PAIR_A || held.size > 0 ||
        ptcp_packet_read(bytes, size, true, &header, &frames) < 0 || !header.stream)
        return true;
    memcpy(held.bytes, bytes, size);
    held.size = size;
    held.packet = header.packet;
    held.offset = header.offset;
    return false;
}

static void give_held(void)
{
    uint8_t copy[sizeof held.bytes];

    memcpy(copy, held.bytes, held.size);
    pair_inject(&pair, PAIR_B, copy, held.size);
}

static void what_comes_much_too_late_is_not_taken_for_new(void)
{
    static uint8_t block[20000];

    memset(&held, 0, sizeof held);
    connect_some(false, 1);
    pair.tap = hold;
    CU_ASSERT_EQUAL(ptcp_conn_send(a[0], pair.now_us, &(struct iovec){block, sizeof block}, 1),
                    sizeof block);
    pair_run_for(&pair, 5 * SECOND);
    CU_ASSERT_EQUAL(pair_read(&pair, b[0]), sizeof block);
    pair_run_for(&pair, 30 * SECOND);
    CU_ASSERT_TRUE_FATAL(held.size > PTCP_STREAM_HEADER_BYTES);
    CU_ASSERT_PTR_NULL_FATAL(b[0]->engine);
    const uint64_t heard = b[0]->packets_received;
    /* One turn of the numbers, one of the offsets, both: on the wire it is the next. */
    for (unsigned turns = 1; turns < 4; turns++) {
        set_numbers(a[0], b[0], held.packet + (turns & 1) * NUMBERS,
                    held.offset + (turns >> 1) * OFFSETS);
        give_held();
        CU_ASSERT_EQUAL(b[0]->packets_received, heard);
        CU_ASSERT_EQUAL(pair_read(&pair, b[0]), 0);
    }
    set_numbers(a[0], b[0], held.packet, held.offset); /* it was that */
    give_held();
    CU_ASSERT_EQUAL(b[0]->packets_received, heard + 1);
    CU_ASSERT_EQUAL(pair_read(&pair, b[0]), held.size - PTCP_STREAM_HEADER_BYTES);
    pair_free(&pair);
}

static bool is_of_stream_bytes_only(struct pair *net, int from, uint8_t *bytes, size_t size,
                                    bool probe)
{
    (void)net;
    (void)size;
    (void)probe;
    return from != PAIR_B || bytes[0] == PTCP_STREAM;
}

/* What it said itself got lost, and all that is left of it is an entry in TIME_WAIT. */
static void who_is_gone_still_answers_bytes_that_lie_far_on(void)
{
    static uint8_t block[5000];

    for (int sealed = 0; sealed < 2; sealed++) {
        connect_some(sealed, 1);
        set_numbers(a[0], b[0], 2 * NUMBERS + 9, OFFSETS);
        set_numbers(b[0], a[0], 3 * NUMBERS + 5, 3 * OFFSETS + 7);
        pair.net.cut[PAIR_A] = true;
        pair.tap = is_of_stream_bytes_only;
        ptcp_conn_abort(a[0], pair.now_us, 0);
        pair_run_for(&pair, 8 * SECOND);
        CU_ASSERT_EQUAL(ptcp_time_waits(pair.end[PAIR_A]), 1);
        pair.net.cut[PAIR_A] = false;
        CU_ASSERT_EQUAL(ptcp_conn_send(b[0], pair.now_us, &(struct iovec){block, sizeof block}, 1),
                        sizeof block);
        pair_run_for(&pair, SECOND);
        CU_ASSERT_EQUAL(b[0]->error, -ECONNRESET);
        end(1);
    }
}

static void no_packet_has_bytes_beyond_the_last_offset(void)
{
    for (unsigned len = 0; len < 2; len++) {
        uint8_t packet[PTCP_STREAM_HEADER_BYTES + 1] = {PTCP_STREAM};
        struct ptcp_header header;
        struct ptcp_frames frames;
        struct ptcp_frame frame;
        struct ptcp_ack ack;

        stk_store_be32(packet + PTCP_SHORT_HEADER_BYTES, UINT32_MAX);
        CU_ASSERT_EQUAL(
            ptcp_packet_read(packet, PTCP_STREAM_HEADER_BYTES + len, false, &header, &frames), 0);
        ptcp_frames_place(&frames, PTCP_NUMBER_MAX - 100);
        CU_ASSERT_EQUAL(ptcp_frame_read(&frames, &frame, &ack), len == 0 ? 1 : -EBADMSG);
        CU_ASSERT_EQUAL(frame.value, PTCP_NUMBER_MAX - 1);
    }
}

static CU_TestInfo tests[] = {
    {"connections whose ids share a half are told apart",
     connections_whose_ids_share_a_half_are_told_apart},
    {"numbers and offsets go on beyond their bits on the wire",
     numbers_and_offsets_go_on_beyond_their_bits_on_the_wire},
    {"packets beyond the last number are ignored", packets_beyond_the_last_number_are_ignored},
    {"what comes much too late is not taken for new",
     what_comes_much_too_late_is_not_taken_for_new},
    {"who is gone still answers bytes that lie far on",
     who_is_gone_still_answers_bytes_that_lie_far_on},
    {"no packet has bytes beyond the last offset", no_packet_has_bytes_beyond_the_last_offset},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp short", tests)
