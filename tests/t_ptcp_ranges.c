/*
 * Goal: the set of intervals equals a naive set of numbers, whatever is done to it; and what such a
 * set has seen stays seen.
 * Method: a million random operations beside an array of flags.
 */
#include "acks.h"
#include "error.h"
#include "prng.h"
#include "ranges.h"

#include "harness.h"

#include <string.h>

enum { SPAN = 512, OPERATIONS = 1000000 };

static bool equals(const struct ptcp_ranges *set, const uint8_t *naive)
{
    uint32_t i = 0;

    for (uint64_t n = 0; n < SPAN;) {
        uint64_t first = n, end;

        if (!naive[n]) {
            n++;
            continue;
        }
        for (end = first; end < SPAN && naive[end]; end++)
            ;
        if (i >= set->count || ptcp_ranges_at(set, i)->first != first ||
            ptcp_ranges_at(set, i)->end != end)
            return false;
        i++;
        n = end;
    }
    return i == set->count;
}

static void random_operations_match_a_naive_set(void)
{
    struct stk_prng prng;
    struct ptcp_ranges set;
    static uint8_t naive[SPAN];
    unsigned wrong = 0;

    stk_prng_seed(&prng, 4);
    ptcp_ranges_init(&set, SPAN);
    for (int i = 0; i < OPERATIONS && !wrong; i++) {
        const uint64_t first = stk_prng_below(&prng, SPAN);
        const uint64_t end = first + stk_prng_below(&prng, i % 64 ? 6 : SPAN - first + 1);
        const uint64_t stop = end < SPAN ? end : SPAN;

        switch (stk_prng_below(&prng, 8)) {
        case 0:
        case 1:
        case 2:
            wrong += ptcp_ranges_remove(&set, first, stop) != 0;
            memset(naive + first, 0, stop - first);
            break;
        case 3:
            if (i % 97 == 0) {
                ptcp_ranges_remove_below(&set, first);
                memset(naive, 0, first);
            }
            break;
        case 4:
            wrong += ptcp_ranges_contains(&set, first) != naive[first];
            break;
        default:
            wrong += ptcp_ranges_add(&set, first, stop) != 0;
            memset(naive + first, 1, stop - first);
        }
        if (i % 16 == 0)
            wrong += !equals(&set, naive);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    ptcp_ranges_free(&set);
}

static void the_limit_holds_and_leaves_the_set_as_it_was(void)
{
    struct ptcp_ranges set;

    ptcp_ranges_init(&set, 4);
    for (uint64_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(ptcp_ranges_add(&set, 10 * i, 10 * i + 5), 0);
    CU_ASSERT_EQUAL(ptcp_ranges_add(&set, 100, 101), STK_ELIMIT);
    CU_ASSERT_EQUAL(ptcp_ranges_remove(&set, 2, 3), STK_ELIMIT);
    CU_ASSERT_EQUAL(set.count, 4);
    CU_ASSERT_TRUE(ptcp_ranges_contains(&set, 2));
    CU_ASSERT_EQUAL(ptcp_ranges_add(&set, 5, 30), 0);
    CU_ASSERT_EQUAL(set.count, 1);
    ptcp_ranges_free(&set);
}

static void numbers_near_the_end_of_the_space_work(void)
{
    const uint64_t high = (UINT64_C(1) << 62) - 10;
    struct ptcp_ranges set;

    ptcp_ranges_init(&set, 8);
    CU_ASSERT_EQUAL(ptcp_ranges_add(&set, high, high + 4), 0);
    CU_ASSERT_EQUAL(ptcp_ranges_add(&set, high + 5, high + 9), 0);
    CU_ASSERT_FALSE(ptcp_ranges_contains(&set, high + 4));
    CU_ASSERT_EQUAL(ptcp_ranges_add(&set, high + 4, high + 5), 0);
    CU_ASSERT_EQUAL(set.count, 1);
    ptcp_ranges_free(&set);
}

static void a_number_that_was_seen_is_never_new_again(void)
{
    const uint64_t first = 100, late = 4, count = PTCP_ACK_RANGES_MAX;
    struct ptcp_acks acks;

    ptcp_acks_init(&acks);
    for (uint64_t i = 0; i < count; i++)
        ptcp_acks_take(&acks, first + 2 * i, 1, 0, true, 0);
    ptcp_acks_take(&acks, late, 1, 0, true, 0);              /* the first interval goes for it */
    ptcp_acks_take(&acks, first + 2 * count, 1, 0, true, 0); /* and now this one */
    CU_ASSERT_FALSE(ptcp_acks_is_new(&acks, first));
    CU_ASSERT_FALSE(ptcp_acks_is_new(&acks, late));
    CU_ASSERT_TRUE(ptcp_acks_is_new(&acks, first + 1));
    ptcp_acks_free(&acks);
}

static CU_TestInfo tests[] = {
    {"random operations match a naive set", random_operations_match_a_naive_set},
    {"the limit holds and leaves the set as it was", the_limit_holds_and_leaves_the_set_as_it_was},
    {"numbers near the end of the space work", numbers_near_the_end_of_the_space_work},
    {"a number that was seen is never new again", a_number_that_was_seen_is_never_new_again},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp ranges", tests)
