/*
 * Goal: cursors never leave their bounds, varints follow RFC 9000 appendix A.1, and numbers are
 * rebuilt from their low bits as the nearest.
 */
#include "bytes.h"
#include "harness.h"

#include <stdlib.h>

static void byte_order_is_the_networks(void)
{
    uint8_t b[8];

    stk_store_be16(b, 0x0102);
    CU_ASSERT_EQUAL(b[0], 1);
    CU_ASSERT_EQUAL(stk_load_be16(b), 0x0102);
    stk_store_be32(b, 0x80020304);
    CU_ASSERT_EQUAL(b[0], 0x80);
    CU_ASSERT_EQUAL(stk_load_be32(b), 0x80020304);
    stk_store_be64(b, UINT64_C(0xf102030405060708));
    CU_ASSERT_EQUAL(b[7], 8);
    CU_ASSERT_EQUAL(stk_load_be64(b), UINT64_C(0xf102030405060708));
}

static void a_reader_that_runs_out_reads_zeros_from_then_on(void)
{
    const uint8_t data[] = {1, 2, 3};
    struct stk_reader r = stk_reader_of(data, sizeof data);

    CU_ASSERT_EQUAL(stk_read_be16(&r), 0x0102);
    CU_ASSERT_EQUAL(stk_read_be16(&r), 0);
    CU_ASSERT_TRUE(r.failed);
    CU_ASSERT_EQUAL(stk_read_u8(&r), 0);
    CU_ASSERT_PTR_NULL(stk_read_bytes(&r, 0));
    CU_ASSERT_EQUAL(stk_read_be32(&r), 0);
    CU_ASSERT_EQUAL(stk_read_be64(&r), 0);
    CU_ASSERT_EQUAL(stk_read_varint(&r), 0);
    CU_ASSERT_EQUAL(stk_reader_left(&r), 1);
}

static void a_writer_that_runs_out_writes_nothing_more(void)
{
    uint8_t data[4] = {0};
    struct stk_writer w = stk_writer_of(data, 3);

    stk_write_be16(&w, 0x0102);
    stk_write_be16(&w, 0xffff);
    CU_ASSERT_TRUE(w.failed);
    stk_write_u8(&w, 0xff);
    stk_write_varint(&w, 1);
    CU_ASSERT_EQUAL(data[2], 0);
    CU_ASSERT_EQUAL(data[3], 0);
    CU_ASSERT_EQUAL(stk_writer_left(&w), 1);
}

static void huge_lengths_do_not_wrap(void)
{
    uint8_t data[4] = {0};
    struct stk_reader r = stk_reader_of(data, sizeof data);
    struct stk_writer w = stk_writer_of(data, sizeof data);

    CU_ASSERT_PTR_NULL(stk_read_bytes(&r, SIZE_MAX));
    CU_ASSERT_PTR_NULL(stk_write_room(&w, SIZE_MAX));
    CU_ASSERT_TRUE(r.failed && w.failed);
}

static void varints_decode_like_the_samples_of_the_rfc(void)
{
    static const struct {
        uint8_t bytes[8];
        size_t len;
        uint64_t value;
    } samples[] = {
        {{0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}, 8, UINT64_C(151288809941952652)},
        {{0x9d, 0x7f, 0x3e, 0x7d}, 4, 494878333},
        {{0x7b, 0xbd}, 2, 15293},
        {{0x25}, 1, 37},
        {{0x40, 0x25}, 2, 37},
    };

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct stk_reader r = stk_reader_of(samples[i].bytes, samples[i].len);

        CU_ASSERT_EQUAL(stk_read_varint(&r), samples[i].value);
        CU_ASSERT_FALSE(r.failed);
        CU_ASSERT_EQUAL(stk_reader_left(&r), 0);
    }
}

static void varints_at_every_edge_come_back(void)
{
    static const uint64_t edges[] = {
        0,
        1,
        63,
        64,
        16383,
        16384,
        1073741823,
        1073741824,
        12345,
        STK_VARINT_MAX - 1,
        STK_VARINT_MAX,
    };

    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        uint8_t data[STK_VARINT_MAX_BYTES];
        struct stk_writer w = stk_writer_of(data, sizeof data);
        struct stk_reader r;
        size_t len;

        stk_write_varint(&w, edges[i]);
        len = sizeof data - stk_writer_left(&w);
        CU_ASSERT_EQUAL(len, stk_varint_len(edges[i]));
        r = stk_reader_of(data, len);
        CU_ASSERT_EQUAL(stk_read_varint(&r), edges[i]);
        r = stk_reader_of(data, len - 1);
        CU_ASSERT_EQUAL(stk_read_varint(&r), 0);
        CU_ASSERT_TRUE(r.failed);
    }
}

static void a_number_is_rebuilt_as_the_nearest_that_has_its_low_bits(void)
{
    const uint64_t whole = UINT64_C(1) << 32, half = UINT64_C(1) << 31, most = UINT64_MAX;
    const struct {
        unsigned bits;
        uint64_t expected, limit, number;
    } rows[] = {
        {32, 0, most, 0},
        {32, 7 * whole, most, 7 * whole},
        /* over the edges of the low bits */
        {32, whole - 1, most, whole},
        {32, whole, most, whole - 1},
        {24, 0xffffff, most, 0x1000002},
        {24, 0x1000002, most, 0xffffff},
        {1, 5, most, 6},
        /* half of them away, and one less and more: of two that are equally near, the higher */
        {32, whole + 5, most, whole + 5 + half},
        {32, whole + 5, most, whole + 4 + half},
        {32, whole + 5, most, whole + 6 - half},
        {32, 9 * whole + half, most, 10 * whole},
        {8, 1000, most, 1000 + 128},
        {8, 1000, most, 1000 - 127},
        /* nothing is below 0 */
        {32, 0, most, half + 1},
        {32, half - 2, most, whole - 1},
        {32, half - 1, most, whole - 1},
        {32, half - 1, most, 0},
        {32, half, most, whole},
        {8, 127, most, 255},
        /* nor from the limit on */
        {32, most - 1, most, most - 1},
        {32, most - 1, most, most - whole},
        {32, most, most, most - whole},
        {8, 1000, 1001, 1000},
        {8, 1000, 1001, 1001 - 256},
        {8, 1000, 1001, 1001 - 255},
        {8, 1000, 1000, 1000 - 256},
        {8, 128, 256, 255},
        {8, 256, 256, 0},
        {62, 3, STK_VARINT_MAX + 1, STK_VARINT_MAX},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint64_t low = rows[i].number & ((UINT64_C(1) << rows[i].bits) - 1);

        CU_ASSERT_EQUAL(stk_number_near(low, rows[i].bits, rows[i].expected, rows[i].limit),
                        rows[i].number);
        /* what lies above them does not matter */
        CU_ASSERT_EQUAL(
            stk_number_near(rows[i].number, rows[i].bits, rows[i].expected, rows[i].limit),
            rows[i].number);
    }
}

/* The definition, against all that there are. */
static void of_few_bits_every_number_is_the_nearest(void)
{
    enum { BITS = 4, WINDOW = 1 << BITS, LIMIT = 5 * WINDOW };

    for (unsigned expected = 0; expected <= LIMIT; expected++) {
        for (unsigned low = 0; low < WINDOW; low++) {
            uint64_t nearest = low;

            for (unsigned n = low; n < LIMIT; n += WINDOW)
                if (abs((int)n - (int)expected) <= abs((int)nearest - (int)expected))
                    nearest = n;
            CU_ASSERT_EQUAL(stk_number_near(low, BITS, expected, LIMIT), nearest);
        }
    }
}

static CU_TestInfo tests[] = {
    {"byte order is the network's", byte_order_is_the_networks},
    {"a reader that runs out reads zeros from then on",
     a_reader_that_runs_out_reads_zeros_from_then_on},
    {"a writer that runs out writes nothing more", a_writer_that_runs_out_writes_nothing_more},
    {"huge lengths do not wrap", huge_lengths_do_not_wrap},
    {"varints decode like the samples of the RFC", varints_decode_like_the_samples_of_the_rfc},
    {"varints at every edge come back", varints_at_every_edge_come_back},
    {"a number is rebuilt as the nearest that has its low bits",
     a_number_is_rebuilt_as_the_nearest_that_has_its_low_bits},
    {"of few bits every number is the nearest", of_few_bits_every_number_is_the_nearest},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("bytes", tests)
