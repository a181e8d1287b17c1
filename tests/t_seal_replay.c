/* Goal: each counter passes once, within the window; method: a table, edges, and a naive model. */
#include "replay.h"

#include "harness.h"
#include "prng.h"

#include <string.h>

static bool take(struct seal_replay *replay, uint64_t counter)
{
    if (!seal_replay_is_fresh(replay, counter))
        return false;
    seal_replay_note(replay, counter);
    return true;
}

static uint64_t ring[SEAL_REPLAY_WORDS];

static struct seal_replay wide(void)
{
    struct seal_replay replay = {0};

    seal_replay_widen(&replay, ring);
    return replay;
}

static void the_window_table_holds(void)
{
    const struct {
        uint64_t counter;
        bool fresh;
    } rows[] = {
        {0, true},
        {1, true},
        {1, false},
        {9, true},
        {8, true},
        {7, true},
        {7, false},
        {SEAL_REPLAY_WINDOW, true},
        {SEAL_REPLAY_WINDOW - 1, true},
        {SEAL_REPLAY_WINDOW - 1, false},
        {2, true},
        {SEAL_REPLAY_WINDOW + 16, true},
        {3, false}, /* never seen, but too old by now */
        {SEAL_REPLAY_WINDOW + 16, false},
        {17, true},
        {16, false},
        {2 * SEAL_REPLAY_WINDOW + 200, true},
        {SEAL_REPLAY_WINDOW + 200, false},
        {SEAL_REPLAY_WINDOW + 201, true},
        {UINT64_C(1) << 60, true},
        {(UINT64_C(1) << 60) - 1, true},
        {(UINT64_C(1) << 60) - 1, false},
        {17, false},
        {UINT64_MAX - 1, true},
        {UINT64_MAX - 1, false},
        {UINT64_MAX - 2, true},
        {0, false},
    };
    struct seal_replay replay = wide();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        CU_ASSERT_EQUAL(take(&replay, rows[i].counter), rows[i].fresh);
}

static void the_first_counter_may_be_any(void)
{
    const uint64_t firsts[] = {0, 1, 63, 64, 65, SEAL_REPLAY_WINDOW, UINT64_C(1) << 40};

    for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
        struct seal_replay replay = wide();
        CU_ASSERT_TRUE(take(&replay, firsts[i]));
        CU_ASSERT_FALSE(take(&replay, firsts[i]));
        CU_ASSERT_TRUE(take(&replay, firsts[i] + 1));
    }
}

enum { MODEL = 1 << 20 };

static void it_agrees_with_a_naive_model(void)
{
    static uint8_t seen[MODEL];
    struct seal_replay replay = wide();
    struct stk_prng prng;
    uint64_t top = 0, wrong = 0;

    memset(seen, 0, sizeof(seen));
    stk_prng_seed(&prng, 42);
    for (int i = 0; i < 1000000 && top < MODEL - 8192; i++) {
        const uint64_t jump = stk_prng_below(&prng, 100) ? 3 : 6000;
        const uint64_t back = stk_prng_below(&prng, 5000);
        const uint64_t high = top + stk_prng_below(&prng, jump);
        const uint64_t counter = stk_prng_below(&prng, 2) ? high : high > back ? high - back : 0;
        const bool in_window = counter >= top || top - counter <= SEAL_REPLAY_WINDOW;
        const bool expected = in_window && !seen[counter];
        wrong += take(&replay, counter) != expected;
        if (expected)
            seen[counter] = 1;
        if (counter >= top)
            top = counter + 1;
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void without_the_ring_the_window_is_narrow(void)
{
    struct seal_replay replay = {0};

    CU_ASSERT_TRUE(take(&replay, 100));
    CU_ASSERT_FALSE(take(&replay, 100));
    CU_ASSERT_TRUE(take(&replay, 101 - SEAL_REPLAY_NARROW));
    CU_ASSERT_FALSE(take(&replay, 100 - SEAL_REPLAY_NARROW));
    CU_ASSERT_TRUE(take(&replay, 100 + SEAL_REPLAY_NARROW));
    CU_ASSERT_FALSE(take(&replay, 100));
    CU_ASSERT_TRUE(take(&replay, UINT64_MAX - 1));
    CU_ASSERT_FALSE(take(&replay, 101));
}

/* The ring comes and goes at random. What lies in the narrow window must be known all the time,
 * and what lies behind it may be refused, but not taken twice. */
static void nothing_passes_twice_when_the_ring_comes_and_goes(void)
{
    static uint8_t seen[MODEL];
    struct seal_replay replay = {0};
    struct stk_prng prng;
    uint64_t wrong = 0;

    memset(seen, 0, sizeof(seen));
    stk_prng_seed(&prng, 43);
    for (int i = 0; i < 1000000 && replay.next < MODEL - 8192; i++) {
        const uint64_t jump = stk_prng_below(&prng, 100) ? 3 : 200;
        const uint64_t back = stk_prng_below(&prng, 100);
        const uint64_t high = replay.next + stk_prng_below(&prng, jump);
        const uint64_t counter = stk_prng_below(&prng, 2) ? high : high > back ? high - back : 0;
        const bool near = counter + SEAL_REPLAY_NARROW >= replay.next;
        if (!stk_prng_below(&prng, 20) && replay.ring)
            seal_replay_narrow(&replay);
        else if (!stk_prng_below(&prng, 20) && !replay.ring)
            seal_replay_widen(&replay, ring);
        const bool taken = take(&replay, counter);
        wrong += (taken && seen[counter]) || (near && !taken && !seen[counter]);
        seen[counter] |= taken;
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void a_row_is_noted_as_its_counters_are(void)
{
    uint64_t other_ring[SEAL_REPLAY_WORDS];
    struct stk_prng prng;

    stk_prng_seed(&prng, 4);
    for (int with_ring = 0; with_ring < 2; with_ring++) {
        struct seal_replay rows = {0}, single = {0};
        unsigned wrong = 0;

        if (with_ring) {
            seal_replay_widen(&rows, ring);
            seal_replay_widen(&single, other_ring);
        }
        for (int i = 0; i < 3000; i++) {
            const uint64_t gap = stk_prng_below(&prng, stk_prng_below(&prng, 20) ? 3 : 5000);
            const uint64_t first = rows.next + gap;
            const unsigned count = 1 + (unsigned)stk_prng_below(&prng, 64);

            seal_replay_note_row(&rows, first, count);
            for (unsigned k = 0; k < count; k++)
                seal_replay_note(&single, first + k);
            for (uint64_t age = 0; age < 200 && age < rows.next; age++)
                wrong += seal_replay_is_fresh(&rows, rows.next - 1 - age) !=
                         seal_replay_is_fresh(&single, rows.next - 1 - age);
            wrong += rows.next != single.next;
        }
        CU_ASSERT_EQUAL(wrong, 0);
    }
}

static void what_is_late_counts_the_packets_after_it(void)
{
    const uint64_t window = SEAL_REPLAY_WINDOW;
    struct seal_replay replay = wide();

    CU_ASSERT_TRUE(seal_replay_is_recent(&replay, 0, window - 1));
    CU_ASSERT_FALSE(seal_replay_is_recent(&replay, 0, window));
    CU_ASSERT_FALSE(seal_replay_is_recent(&replay, 0, UINT64_MAX));
    seal_replay_note(&replay, 5000);
    CU_ASSERT_TRUE(seal_replay_is_recent(&replay, 6000, window - 1));
    CU_ASSERT_TRUE(seal_replay_is_recent(&replay, 4000, window - 1001));
    CU_ASSERT_FALSE(seal_replay_is_recent(&replay, 4000, window - 1000));
    CU_ASSERT_TRUE(seal_replay_is_recent(&replay, 5001 - window, 0));
    CU_ASSERT_FALSE(seal_replay_is_recent(&replay, 5000 - window, 0));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the window table holds", the_window_table_holds},
        {"the first counter may be any", the_first_counter_may_be_any},
        {"it agrees with a naive model", it_agrees_with_a_naive_model},
        {"without the ring the window is narrow", without_the_ring_the_window_is_narrow},
        {"nothing passes twice when the ring comes and goes",
         nothing_passes_twice_when_the_ring_comes_and_goes},
        {"a row is noted as its counters are", a_row_is_noted_as_its_counters_are},
        {"what is late counts the packets after it", what_is_late_counts_the_packets_after_it},
        CU_TEST_INFO_NULL,
    };

    return stk_test_run("seal replay", tests, STK_TEST_LIMIT_S);
}
