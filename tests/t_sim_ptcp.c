/*
 * Goal: whatever a network does, a stream arrives byte-exact or its ends learn in time that it
 * can't; nothing hangs, nothing leaks. Method: seeded runs, each with its own network, stack and
 * amounts (scenario.c), with every heap block counted.
 *
 *     t_sim_ptcp_1 --seed N [--verbose]   replays one run
 *     SEEDS=N t_sim_ptcp_1                does N runs from STK_SEED_FIRST (default 1) on
 */
#include "fault.h"
#include "harness.h"
#include "scenario.h"

#include <inttypes.h>
#include <string.h>

#ifndef PART
#define PART 1
#endif

enum { RUNS = 500, AGAIN_EVERY = 25, FAILURES_SHOWN = 20 };

static const char *program = "t_sim_ptcp_1";

static void complain(uint64_t seed, const char *text, const char *why)
{
    fprintf(stderr, "\nseed %" PRIu64 " failed: %s%s\n  replay: %s --seed %" PRIu64 " --verbose\n",
            seed, text, why, program, seed);
}

static bool is_repeatable(uint64_t seed, const struct scenario_result *first)
{
    struct scenario_result second;

    if (!first->repeatable || seed % AGAIN_EVERY != 0)
        return true;
    scenario_run(seed, false, &second);
    if (second.hash == first->hash && second.events == first->events)
        return true;
    complain(seed, second.text, "the same seed gave another run");
    return false;
}

static bool run_seed(uint64_t seed)
{
    const long before = fault_heap_live();
    struct scenario_result result;
    char why[64];

    scenario_run(seed, false, &result);
    if (!result.passed) {
        complain(seed, result.text, "");
        return false;
    }
    if (!is_repeatable(seed, &result))
        return false;
    if (fault_heap_live() == before)
        return true;
    snprintf(why, sizeof why, "%ld blocks leak", fault_heap_live() - before);
    complain(seed, result.text, why);
    return false;
}

static unsigned run_seeds(uint64_t first, uint64_t count)
{
    unsigned failures = 0;

    for (uint64_t seed = first; seed < first + count && failures < FAILURES_SHOWN; seed++)
        failures += !run_seed(seed);
    return failures;
}

static void every_seeded_run_ends_byte_exact_or_with_a_time_out(void)
{
    CU_ASSERT_EQUAL(run_seeds(1 + (PART - 1) * RUNS, RUNS), 0);
}

static int replay(uint64_t seed, bool verbose)
{
    struct scenario_result result;

    scenario_run(seed, verbose, &result);
    printf("seed %" PRIu64 ": %s%s\n%" PRIu64 " bytes, %" PRIu64 " events, %" PRIu64
           " ms, hash %016" PRIx64 "\n",
           seed, result.text, result.passed ? "passed" : " (failed)", result.bytes, result.events,
           result.elapsed_us / 1000, result.hash);
    return result.passed ? 0 : 1;
}

static int soak(const char *seeds)
{
    const char *first = getenv("STK_SEED_FIRST");
    const uint64_t from = first ? strtoull(first, NULL, 10) : 1;
    const uint64_t count = strtoull(seeds, NULL, 10);
    const unsigned failures = run_seeds(from, count);

    printf("%" PRIu64 " seeded runs from %" PRIu64 " on: %s\n", count, from,
           failures ? "failed" : "passed");
    return failures ? 1 : 0;
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {{"every seeded run ends byte-exact or with a time-out",
                            every_seeded_run_ends_byte_exact_or_with_a_time_out},
                           CU_TEST_INFO_NULL};

    program = argv[0];
    fault_heap_install();
    if (argc >= 3 && strcmp(argv[1], "--seed") == 0)
        return replay(strtoull(argv[2], NULL, 10), argc > 3);
    if (getenv("SEEDS"))
        return soak(getenv("SEEDS"));
    return stk_test_run("sim ptcp", tests, 0);
}
