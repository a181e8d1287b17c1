/* Goal: a seed gives the same numbers everywhere, and they look uniform. */
#include "harness.h"
#include "prng.h"

#include <string.h>

static void a_seed_gives_the_published_sequence(void)
{
    /* xoshiro256** from the state 1, 2, 3, 4. */
    static const uint64_t expected[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240)};
    struct stk_prng prng = {{1, 2, 3, 4}};

    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(stk_prng_next(&prng), expected[i]);
}

static void equal_seeds_agree_and_neighbours_differ(void)
{
    struct stk_prng one, same, next;
    int equal = 0;

    stk_prng_seed(&one, 1);
    stk_prng_seed(&same, 1);
    stk_prng_seed(&next, 2);
    for (int i = 0; i < 100; i++) {
        const uint64_t value = stk_prng_next(&one);

        CU_ASSERT_EQUAL(stk_prng_next(&same), value);
        equal += stk_prng_next(&next) == value;
    }
    CU_ASSERT_EQUAL(equal, 0);
}

static void numbers_below_a_bound_are_uniform(void)
{
    enum { BOUND = 10, DRAWS = 100000 };
    int counts[BOUND] = {0};
    struct stk_prng prng;

    stk_prng_seed(&prng, 3);
    for (int i = 0; i < DRAWS; i++)
        counts[stk_prng_below(&prng, BOUND)]++;
    for (int i = 0; i < BOUND; i++)
        CU_ASSERT_TRUE(counts[i] > DRAWS / BOUND - 500 && counts[i] < DRAWS / BOUND + 500);
    CU_ASSERT_EQUAL(stk_prng_below(&prng, 1), 0);
    CU_ASSERT_TRUE(stk_prng_below(&prng, UINT64_MAX) < UINT64_MAX);
}

static void unit_numbers_stay_in_the_interval(void)
{
    struct stk_prng prng;
    double sum = 0;

    stk_prng_seed(&prng, 4);
    for (int i = 0; i < 100000; i++) {
        const double value = stk_prng_unit(&prng);

        CU_ASSERT_TRUE_FATAL(value >= 0 && value < 1);
        sum += value;
    }
    CU_ASSERT_TRUE(sum > 49500 && sum < 50500);
}

static void bytes_fill_exactly_what_is_asked(void)
{
    uint8_t longer[16], shorter[16];
    struct stk_prng prng;

    memset(shorter, 0xee, sizeof shorter);
    stk_prng_seed(&prng, 5);
    stk_prng_bytes(&prng, longer, sizeof longer);
    stk_prng_seed(&prng, 5);
    stk_prng_bytes(&prng, shorter, 11);
    CU_ASSERT_EQUAL(memcmp(longer, shorter, 11), 0);
    CU_ASSERT_EQUAL(shorter[11], 0xee);
}

static void secrets_differ(void)
{
    uint8_t one[32] = {0}, two[32] = {0};

    stk_random_secret(one, sizeof one);
    stk_random_secret(two, sizeof two);
    CU_ASSERT_NOT_EQUAL(memcmp(one, two, sizeof one), 0);
    stk_random_secret(one, 0);
}

static CU_TestInfo tests[] = {
    {"a seed gives the published sequence", a_seed_gives_the_published_sequence},
    {"equal seeds agree and neighbours differ", equal_seeds_agree_and_neighbours_differ},
    {"numbers below a bound are uniform", numbers_below_a_bound_are_uniform},
    {"unit numbers stay in the interval", unit_numbers_stay_in_the_interval},
    {"bytes fill exactly what is asked", bytes_fill_exactly_what_is_asked},
    {"secrets differ", secrets_differ},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("prng", tests)
