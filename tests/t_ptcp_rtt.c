/* Goal: the estimator follows RFC 9002 section 5.3, and a lying peer can't shrink it. */
#include "rtt.h"

#include <CUnit/Basic.h>

static struct ptcp_rtt after(const uint64_t (*samples)[2], int count)
{
    struct ptcp_rtt rtt;

    ptcp_rtt_init(&rtt);
    for (int i = 0; i < count; i++)
        ptcp_rtt_sample(&rtt, samples[i][0], samples[i][1]);
    return rtt;
}

static void first_sample_replaces_the_initial_guess(void)
{
    const struct ptcp_rtt rtt = after((const uint64_t[][2]){{80000, 0}}, 1);

    CU_ASSERT_EQUAL(rtt.smoothed_us, 80000);
    CU_ASSERT_EQUAL(rtt.variance_us, 40000);
    CU_ASSERT_EQUAL(ptcp_rtt_probe_timeout_us(&rtt, 25000), 80000 + 160000 + 25000);
}

static void ack_delay_is_subtracted_above_the_minimum(void)
{
    const struct ptcp_rtt rtt = after((const uint64_t[][2]){{80000, 0}, {96000, 8000}}, 2);

    CU_ASSERT_EQUAL(rtt.smoothed_us, (7 * 80000 + 88000) / 8);
}

static void exaggerated_ack_delay_is_ignored(void)
{
    const struct ptcp_rtt rtt = after((const uint64_t[][2]){{80000, 0}, {81000, 60000}}, 2);

    CU_ASSERT_EQUAL(rtt.smoothed_us, (7 * 80000 + 81000) / 8);
    CU_ASSERT_EQUAL(rtt.min_us, 80000);
}

static void timeout_never_beats_the_clock(void)
{
    struct ptcp_rtt rtt;

    ptcp_rtt_init(&rtt);
    for (int i = 0; i < 64; i++)
        ptcp_rtt_sample(&rtt, 500, 0);

    CU_ASSERT_TRUE(ptcp_rtt_probe_timeout_us(&rtt, 0) >= 500 + PTCP_RTT_GRANULARITY_US);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"first sample replaces the initial guess", first_sample_replaces_the_initial_guess},
        {"ack delay is subtracted above the minimum", ack_delay_is_subtracted_above_the_minimum},
        {"exaggerated ack delay is ignored", exaggerated_ack_delay_is_ignored},
        {"timeout never beats the clock", timeout_never_beats_the_clock},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"rtt", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 99;
    CU_basic_run_tests();
    const unsigned failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
