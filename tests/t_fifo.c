/*
 * Goal: the queue keeps bytes in order within its limit, and holds memory only while not empty.
 * Method: a model with numbered bytes and seeded sizes, on a counting heap.
 */
#include "fault.h"
#include "fifo.h"
#include "harness.h"
#include "prng.h"

#include <errno.h>
#include <string.h>

static struct stk_fifo fifo;

static void begin(size_t limit)
{
    fault_heap_install();
    stk_fifo_init(&fifo, limit);
}

static void end(void)
{
    stk_fifo_free(&fifo);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static void bytes_come_out_in_order_and_memory_goes_with_the_last(void)
{
    char out[4];
    const struct iovec iov[2] = {{out, 1}, {out + 1, 3}};

    begin(100);
    CU_ASSERT_EQUAL(fault_heap_live(), 0);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, "abcdef", 6), 6);
    CU_ASSERT_EQUAL(fault_heap_live(), 1);
    CU_ASSERT_EQUAL(memcmp(stk_fifo_data(&fifo), "abcdef", 6), 0);
    CU_ASSERT_EQUAL(stk_fifo_get(&fifo, iov, 2), 4);
    CU_ASSERT_EQUAL(memcmp(out, "abcd", 4), 0);
    stk_fifo_consume(&fifo, 2);
    CU_ASSERT_EQUAL(stk_fifo_len(&fifo), 0);
    CU_ASSERT_EQUAL(fault_heap_live(), 0);
    CU_ASSERT_EQUAL(stk_fifo_get(&fifo, iov, 2), 0);
    end();
}

static void the_limit_cuts_what_is_put(void)
{
    const struct iovec iov[3] = {{(char[]){"abc"}, 3}, {NULL, 0}, {(char[]){"defgh"}, 5}};

    begin(6);
    CU_ASSERT_EQUAL(stk_fifo_putv(&fifo, iov, 3), 6);
    CU_ASSERT_EQUAL(memcmp(stk_fifo_data(&fifo), "abcdef", 6), 0);
    CU_ASSERT_EQUAL(stk_fifo_room(&fifo), 0);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, "x", 1), 0);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, NULL, 0), 0);
    end();
}

static void reserved_room_is_contiguous_and_may_stay_unused(void)
{
    uint8_t *room;

    begin(1000);
    room = stk_fifo_reserve(&fifo, 600);
    CU_ASSERT_PTR_NOT_NULL_FATAL(room);
    memset(room, 'x', 600);
    stk_fifo_commit(&fifo, 599);
    CU_ASSERT_EQUAL(stk_fifo_len(&fifo), 599);
    stk_fifo_consume(&fifo, 599);
    room = stk_fifo_reserve(&fifo, 1000);
    CU_ASSERT_PTR_NOT_NULL(room);
    CU_ASSERT_EQUAL(fault_heap_live(), 1);
    stk_fifo_commit(&fifo, 0);
    CU_ASSERT_EQUAL(fault_heap_live(), 0);
    end();
}

static void without_memory_nothing_is_lost(void)
{
    char block[600];

    memset(block, 'b', sizeof block);
    begin(4096);
    fault_heap_fail(1, FAULT_ONCE);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, "a", 1), -ENOMEM);
    CU_ASSERT_PTR_NULL((fault_heap_fail(1, FAULT_ONCE), stk_fifo_reserve(&fifo, 10)));
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, "a", 1), 1);
    fault_heap_fail(1, FAULT_FROM_THEN_ON);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, block, 600), 511);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, block, 600), -ENOMEM);
    stk_fifo_consume(&fifo, 10);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, block, 600), 10);
    CU_ASSERT_EQUAL(stk_fifo_len(&fifo), 512);
    fault_heap_fail(0, FAULT_ONCE);
    CU_ASSERT_EQUAL(stk_fifo_put(&fifo, block, 600), 600);
    end();
}

/* Byte number i of the stream. */
static uint8_t numbered(uint64_t i) { return (uint8_t)(i * 7 + (i >> 8)); }

static bool put_some(uint64_t *written, size_t want)
{
    uint8_t data[3000];
    const size_t room = stk_fifo_room(&fifo);
    long put;

    for (size_t i = 0; i < want; i++)
        data[i] = numbered(*written + i);
    put = stk_fifo_put(&fifo, data, want);
    if (put < 0)
        return false;
    *written += (uint64_t)put;
    return (size_t)put == (want < room ? want : room);
}

static bool take_some(uint64_t *taken, size_t want)
{
    uint8_t data[3000];
    const struct iovec iov = {data, want};
    const size_t got = stk_fifo_get(&fifo, &iov, 1);

    for (size_t i = 0; i < got; i++)
        if (data[i] != numbered(*taken + i))
            return false;
    *taken += got;
    return true;
}

static void a_long_stream_of_odd_sizes_stays_in_order(void)
{
    static const size_t limits[] = {1, 3, 100, 512, 5000, 100000};

    for (size_t k = 0; k < sizeof limits / sizeof limits[0]; k++) {
        uint64_t written = 0, taken = 0;
        struct stk_prng prng;
        bool good = true;

        begin(limits[k]);
        stk_prng_seed(&prng, k);
        for (int i = 0; i < 5000 && good; i++) {
            good = put_some(&written, stk_prng_below(&prng, 3000)) &&
                   take_some(&taken, stk_prng_below(&prng, 3000));
            good = good && written - taken == stk_fifo_len(&fifo) &&
                   fifo.capacity <= limits[k] + limits[k] / 4;
        }
        CU_ASSERT_TRUE(good);
        end();
    }
}

/* A queue that stays full moves each byte a few times at the most. */
static void a_full_queue_allocates_nothing_more(void)
{
    uint64_t written = 0, taken = 0;

    begin(64000);
    while (stk_fifo_room(&fifo) > 0)
        CU_ASSERT_TRUE(put_some(&written, 3000));
    for (int i = 0; i < 1000; i++)
        CU_ASSERT_TRUE_FATAL(take_some(&taken, 10) && put_some(&written, 10));
    fault_heap_fail(0, FAULT_ONCE);
    for (int i = 0; i < 10000; i++)
        CU_ASSERT_TRUE_FATAL(take_some(&taken, 10) && put_some(&written, 10));
    CU_ASSERT_EQUAL(fault_heap_calls(), 0);
    end();
}

static CU_TestInfo tests[] = {
    {"bytes come out in order and memory goes with the last",
     bytes_come_out_in_order_and_memory_goes_with_the_last},
    {"the limit cuts what is put", the_limit_cuts_what_is_put},
    {"reserved room is contiguous and may stay unused",
     reserved_room_is_contiguous_and_may_stay_unused},
    {"without memory nothing is lost", without_memory_nothing_is_lost},
    {"a long stream of odd sizes stays in order", a_long_stream_of_odd_sizes_stays_in_order},
    {"a full queue allocates nothing more", a_full_queue_allocates_nothing_more},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("fifo", tests)
