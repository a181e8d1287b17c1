/*
 * Goal: both halves of a stream keep every byte at its place, within their bounds.
 * Method: reassembly and send buffer beside naive references; random, overlapping segments.
 */
#include "error.h"
#include "packet.h"
#include "prng.h"
#include "reasm.h"
#include "sendbuf.h"

#include "harness.h"

#include <string.h>

enum { STREAM = 200000, SEGMENT = 3000 };

static uint8_t data[STREAM];

static void fill_data(void)
{
    struct stk_prng prng;

    stk_prng_seed(&prng, 9);
    stk_prng_bytes(&prng, data, sizeof(data));
}

static uint64_t read_and_check(struct ptcp_reasm *reasm, uint64_t from, size_t most, bool *wrong)
{
    struct iovec slices[4];
    const int count = ptcp_reasm_peek(reasm, slices, 4);
    uint64_t len = 0;

    for (int i = 0; i < count && len < most; i++) {
        size_t part = slices[i].iov_len < most - len ? slices[i].iov_len : most - len;
        *wrong |= memcmp(slices[i].iov_base, data + from + len, part) != 0;
        len += part;
    }
    ptcp_reasm_consume(reasm, len);
    return len;
}

static void random_segments_come_out_in_order(void)
{
    struct ptcp_pool pool;
    struct ptcp_reasm reasm;
    struct stk_prng prng;
    uint64_t done = 0;
    bool wrong = false;

    fill_data();
    stk_prng_seed(&prng, 2);
    ptcp_pool_init(&pool, 1 << 20);
    ptcp_reasm_init(&reasm, &pool);
    while (done < STREAM && !wrong) {
        const uint64_t low = reasm.contiguous > 5000 ? reasm.contiguous - 5000 : 0;
        const uint64_t first = low + stk_prng_below(&prng, 40000);
        const uint64_t len = stk_prng_below(&prng, SEGMENT);

        if (first < STREAM) {
            const size_t fits = first + len < STREAM ? len : STREAM - first;
            wrong |= ptcp_reasm_put(&reasm, first, data + first, fits, first + fits == STREAM,
                                    STREAM) != 0;
        }
        done += read_and_check(&reasm, done, stk_prng_below(&prng, 20000), &wrong);
    }
    CU_ASSERT_FALSE(wrong);
    CU_ASSERT_TRUE(ptcp_reasm_complete(&reasm));
    CU_ASSERT_EQUAL(pool.chunks.used, 0);
    ptcp_reasm_free(&reasm);
    ptcp_spares_free(&pool.chunks);
}

static void the_bytes_that_came_first_stand(void)
{
    struct ptcp_pool pool;
    struct ptcp_reasm reasm;
    struct iovec slice;

    ptcp_pool_init(&pool, 1 << 20);
    ptcp_reasm_init(&reasm, &pool);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 2, (const uint8_t *)"CD", 2, false, 100), 0);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 0, (const uint8_t *)"abxxe", 5, false, 100), 0);
    CU_ASSERT_EQUAL(ptcp_reasm_peek(&reasm, &slice, 1), 1);
    CU_ASSERT_EQUAL(slice.iov_len, 5);
    CU_ASSERT_EQUAL(memcmp(slice.iov_base, "abCDe", 5), 0);
    ptcp_reasm_free(&reasm);
    ptcp_spares_free(&pool.chunks);
}

static void rules_of_window_and_fin_are_enforced(void)
{
    struct ptcp_pool pool;
    struct ptcp_reasm reasm;
    const uint8_t *x = (const uint8_t *)"0123456789";

    ptcp_pool_init(&pool, 1 << 20);
    ptcp_reasm_init(&reasm, &pool);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 95, x, 6, false, 100), -EPROTO);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 50, x, 10, false, 100), 0);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 40, x, 10, true, 100), -EPROTO);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 60, x, 4, true, 100), 0);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 60, x, 5, false, 100), -EPROTO);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 60, x, 3, true, 100), -EPROTO);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 64, x, 0, true, 100), 0);
    ptcp_reasm_free(&reasm);
    ptcp_spares_free(&pool.chunks);
}

static void without_memory_nothing_is_taken(void)
{
    struct ptcp_pool pool;
    struct ptcp_reasm reasm;

    fill_data();
    ptcp_pool_init(&pool, 2 * PTCP_CHUNK_BYTES);
    ptcp_reasm_init(&reasm, &pool);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 0, data, 30000, false, 1 << 20), 0);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 30000, data, 9000, false, 1 << 20), -ENOMEM);
    CU_ASSERT_EQUAL(ptcp_reasm_readable(&reasm), 30000);
    ptcp_reasm_free(&reasm);
    ptcp_spares_free(&pool.chunks);
}

static void a_full_list_of_holes_lets_bytes_in_order_pass(void)
{
    enum { PIECE = 2 };
    struct ptcp_pool pool;
    struct ptcp_reasm reasm;
    uint64_t end = 1000;

    fill_data();
    ptcp_pool_init(&pool, 1 << 20);
    ptcp_reasm_init(&reasm, &pool);
    for (int i = 0; i < PTCP_REASM_HOLES_MAX; i++, end += 2 * PIECE)
        CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, end, data + end, PIECE, false, STREAM), 0);
    CU_ASSERT_EQUAL(reasm.ahead_bytes, PTCP_REASM_HOLES_MAX * PIECE);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, end, data + end, PIECE, false, STREAM), STK_ELIMIT);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 0, data, 10, false, STREAM), 0);
    CU_ASSERT_EQUAL(reasm.contiguous, 10);
    CU_ASSERT_EQUAL(reasm.ahead.count, PTCP_REASM_HOLES_MAX);
    /* Up to the middle of a hole, over 100 pieces. */
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 5, data + 5, 995 + 400 - 1, false, STREAM), 0);
    CU_ASSERT_EQUAL(reasm.contiguous, 1399);
    CU_ASSERT_EQUAL(reasm.ahead.count, PTCP_REASM_HOLES_MAX - 100);
    CU_ASSERT_EQUAL(reasm.ahead_bytes, (PTCP_REASM_HOLES_MAX - 100) * PIECE);
    /* And to the edge of the next one. */
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, 1399, data + 1399, 1, false, STREAM), 0);
    CU_ASSERT_EQUAL(reasm.contiguous, 1400 + PIECE);
    CU_ASSERT_EQUAL(reasm.ahead_bytes, (PTCP_REASM_HOLES_MAX - 101) * PIECE);
    ptcp_reasm_free(&reasm);
    ptcp_spares_free(&pool.chunks);
}

/* A network of one: pieces are sent, then lost or acknowledged in any order. */
static void every_byte_is_sent_until_it_is_acknowledged(void)
{
    enum { FLYING = 32 };
    struct ptcp_pool pool;
    struct ptcp_sendbuf buf;
    struct stk_prng prng;
    struct ptcp_piece flying[FLYING];
    static uint8_t arrived[STREAM], seen[STREAM];
    int count = 0, rounds = 0;

    fill_data();
    memset(seen, 0, sizeof(seen));
    stk_prng_seed(&prng, 3);
    ptcp_pool_init(&pool, 1 << 20);
    ptcp_sendbuf_init(&buf, &pool, 50000);
    CU_ASSERT_EQUAL(pool.senders, 0);
    while (ptcp_sendbuf_busy(&buf) || !buf.finished) {
        if (++rounds > 1000000)
            break;
        if (buf.end < STREAM)
            ptcp_sendbuf_put(&buf, &(struct iovec){data + buf.end, STREAM - buf.end}, 1);
        CU_ASSERT_EQUAL(pool.senders, buf.una < buf.end);
        buf.finished = buf.end == STREAM;
        struct ptcp_piece piece;
        if (count < FLYING &&
            ptcp_sendbuf_pick(&buf, UINT64_MAX, 1 + stk_prng_below(&prng, 1400), &piece)) {
            ptcp_store_copy(&buf.store, piece.offset, piece.len, arrived + piece.offset);
            ptcp_sendbuf_sent(&buf, &piece);
            flying[count++] = piece;
        }
        if (count == 0 || stk_prng_below(&prng, 3) == 0)
            continue;
        const int i = (int)stk_prng_below(&prng, (uint64_t)count);
        if (stk_prng_below(&prng, 3) == 0) {
            ptcp_sendbuf_lost(&buf, &flying[i]);
        } else {
            memset(seen + flying[i].offset, 1, flying[i].len);
            ptcp_sendbuf_acked(&buf, &flying[i]);
        }
        flying[i] = flying[--count];
    }
    CU_ASSERT_TRUE(buf.fin_acked && buf.una == STREAM);
    CU_ASSERT_PTR_NULL(memchr(seen, 0, STREAM));
    CU_ASSERT_EQUAL(memcmp(arrived, data, STREAM), 0);
    CU_ASSERT_EQUAL(pool.chunks.used, 0);
    CU_ASSERT_EQUAL(pool.senders, 0);
    ptcp_sendbuf_free(&buf);
    ptcp_spares_free(&pool.chunks);
}

static void offsets_near_two_to_the_62_work(void)
{
    struct ptcp_pool pool;
    struct ptcp_reasm reasm;
    const uint64_t high = PTCP_NUMBER_MAX - 20000;
    struct iovec slices[3];

    fill_data();
    ptcp_pool_init(&pool, 1 << 20);
    ptcp_reasm_init(&reasm, &pool);
    reasm.consumed = reasm.contiguous = high;
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, high + 10000, data + 10000, 9999, true, UINT64_MAX), 0);
    CU_ASSERT_EQUAL(ptcp_reasm_put(&reasm, high, data, 10000, false, UINT64_MAX), 0);
    CU_ASSERT_TRUE(ptcp_reasm_complete(&reasm));
    CU_ASSERT_TRUE(ptcp_reasm_peek(&reasm, slices, 3) >= 1);
    CU_ASSERT_EQUAL(memcmp(slices[0].iov_base, data, slices[0].iov_len), 0);
    ptcp_reasm_free(&reasm);
    ptcp_spares_free(&pool.chunks);
}

static void blocks_without_use_for_a_second_go_back(void)
{
    struct ptcp_spares spares;
    void *blocks[10];

    ptcp_spares_init(&spares, 100, 8);
    CU_ASSERT_EQUAL(ptcp_spares_due_us(&spares, 0), UINT64_MAX);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_PTR_NOT_NULL_FATAL(blocks[i] = ptcp_spares_take(&spares));
    for (int i = 0; i < 10; i++)
        ptcp_spares_put(&spares, blocks[i]);
    CU_ASSERT_EQUAL(spares.count, 8);
    CU_ASSERT_EQUAL(ptcp_spares_due_us(&spares, 5), 5 + PTCP_SPARES_TRIM_US);
    ptcp_spares_trim(&spares, PTCP_SPARES_TRIM_US); /* not yet */
    ptcp_spares_trim(&spares, 5 + PTCP_SPARES_TRIM_US);
    CU_ASSERT_EQUAL(spares.count, 8); /* they had a use */
    blocks[0] = ptcp_spares_take(&spares);
    CU_ASSERT_PTR_EQUAL(blocks[0], blocks[7]); /* who came last is warm */
    ptcp_spares_put(&spares, blocks[0]);
    ptcp_spares_trim(&spares, 5 + 2 * PTCP_SPARES_TRIM_US);
    CU_ASSERT_EQUAL(spares.count, 1); /* that second had a use for one */
    ptcp_spares_trim(&spares, 5 + 3 * PTCP_SPARES_TRIM_US);
    CU_ASSERT_EQUAL(spares.count, 0);
    CU_ASSERT_EQUAL(ptcp_spares_due_us(&spares, 5 + 3 * PTCP_SPARES_TRIM_US), UINT64_MAX);
    ptcp_spares_free(&spares);
}

static CU_TestInfo tests[] = {
    {"random segments come out in order", random_segments_come_out_in_order},
    {"the bytes that came first stand", the_bytes_that_came_first_stand},
    {"rules of window and fin are enforced", rules_of_window_and_fin_are_enforced},
    {"without memory nothing is taken", without_memory_nothing_is_taken},
    {"a full list of holes lets bytes in order pass",
     a_full_list_of_holes_lets_bytes_in_order_pass},
    {"every byte is sent until it is acknowledged", every_byte_is_sent_until_it_is_acknowledged},
    {"offsets near two to the 62 work", offsets_near_two_to_the_62_work},
    {"blocks without use for a second go back", blocks_without_use_for_a_second_go_back},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp stream", tests)
