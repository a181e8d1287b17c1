/*
 * Goal: the datagram size follows what the path lets through, not what is said of it.
 * Method: the search alone, with hand-made acknowledgements, losses, time-outs and reports.
 */
#include "harness.h"
#include "mtu.h"

/* --- Search --------------------------------------------------------------------------------- */

static void the_datagram_size_grows_by_leaps_then_halves_what_is_left(void)
{
    struct ptcp_mtu mtu;

    ptcp_mtu_init(&mtu, 65507, 0);
    CU_ASSERT_EQUAL(mtu.current, 1200);
    for (const uint16_t *size = (const uint16_t[]){1472, 8972, 65507, 0}; *size; size++) {
        CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 5), *size);
        ptcp_mtu_probe_sent(&mtu);
        CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 5), 0); /* one at a time */
        CU_ASSERT_TRUE(ptcp_mtu_acked(&mtu, *size, true, 5));
    }
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 5), 0);

    /* A path that takes 1452. */
    unsigned probes = 0;
    ptcp_mtu_init(&mtu, 65507, 0);
    for (uint16_t size; (size = ptcp_mtu_probe(&mtu, 5)) != 0; probes++) {
        ptcp_mtu_probe_sent(&mtu);
        if (size <= 1452)
            CU_ASSERT_TRUE(ptcp_mtu_acked(&mtu, size, true, 5))
        else
            ptcp_mtu_probe_lost(&mtu, 5);
    }
    CU_ASSERT_EQUAL(mtu.current, 1452);
    CU_ASSERT_TRUE(probes <= 2 + PTCP_MTU_TRIES);
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, PTCP_MTU_AGAIN_US), 0);
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 5 + PTCP_MTU_AGAIN_US), 1472); /* and may grow later */
}

enum { APART_US = 100 };

static struct ptcp_mtu passed_1472(void)
{
    struct ptcp_mtu mtu;

    ptcp_mtu_init(&mtu, 1472, 0);
    ptcp_mtu_acked(&mtu, 1472, true, 5);
    return mtu;
}

static void a_black_hole_is_left_after_three_timeouts_and_a_size_that_passed_is_tried_again(void)
{
    struct ptcp_mtu mtu = passed_1472();

    CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, 1000, APART_US));
    CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, 2000, APART_US));
    CU_ASSERT_TRUE(ptcp_mtu_timeout(&mtu, 4000, APART_US));
    CU_ASSERT_EQUAL(mtu.current, PTCP_MTU_MIN);
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 4000), 1472); /* it did pass once */
    for (int i = 0; i < PTCP_MTU_PROVEN_TRIES; i++)
        ptcp_mtu_probe_lost(&mtu, 5000);
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 5000), 1392);
}

static void timeouts_of_many_connections_at_a_time_are_one(void)
{
    struct ptcp_mtu mtu = passed_1472();

    for (uint64_t i = 0; i < 20; i++)
        CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, 1000 + i, APART_US));
    CU_ASSERT_EQUAL(mtu.timeouts, 1);
    CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, 1000 + APART_US, APART_US));
    CU_ASSERT_EQUAL(mtu.timeouts, 2);
}

static void what_passes_for_one_connection_passes_for_all(void)
{
    struct ptcp_mtu mtu = passed_1472();

    for (uint64_t i = 1; i < 10; i++) {
        CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, i * 1000, APART_US));
        CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, i * 1000 + APART_US, APART_US));
        ptcp_mtu_acked(&mtu, 1472, false, i * 1000 + 500); /* another's */
    }
    CU_ASSERT_EQUAL(mtu.current, 1472);
}

static void small_packets_that_pass_where_large_ones_do_not_prove_a_black_hole(void)
{
    struct ptcp_mtu mtu = passed_1472();

    ptcp_mtu_timeout(&mtu, 1000, APART_US);
    CU_ASSERT_FALSE(ptcp_mtu_small_passed(&mtu, 1000)); /* that may have been chance */
    ptcp_mtu_timeout(&mtu, 2000, APART_US);
    ptcp_mtu_acked(&mtu, 1472, false, 3000);
    CU_ASSERT_FALSE(ptcp_mtu_small_passed(&mtu, 3000)); /* a large one came through */
    ptcp_mtu_timeout(&mtu, 4000, APART_US);
    ptcp_mtu_timeout(&mtu, 5000, APART_US);
    ptcp_mtu_acked(&mtu, 400, false, 6000);
    CU_ASSERT_TRUE(ptcp_mtu_small_passed(&mtu, 6000));
    CU_ASSERT_EQUAL(mtu.current, PTCP_MTU_MIN);
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 6000), 1392); /* the middle of what is left */
}

static void a_size_of_the_user_stays(void)
{
    struct ptcp_mtu mtu;

    ptcp_mtu_init(&mtu, 9000, 1300);
    CU_ASSERT_EQUAL(mtu.current, 1300);
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 5), 0);
    ptcp_mtu_hint(&mtu, 1200);
    for (uint64_t i = 1; i <= 5; i++)
        CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, i * 1000, APART_US));
}

/* --- Reports -------------------------------------------------------------------------------- */

static void a_report_and_one_loss_lead_to_the_size_that_it_names(void)
{
    struct ptcp_mtu mtu;
    unsigned probes = 0;

    ptcp_mtu_init(&mtu, 65507, 0);
    for (uint16_t size; (size = ptcp_mtu_probe(&mtu, 5)) != 0; probes++) {
        ptcp_mtu_probe_sent(&mtu);
        if (size > 1440) {
            ptcp_mtu_hint(&mtu, 1440);
            ptcp_mtu_probe_lost(&mtu, 5);
        } else {
            CU_ASSERT_TRUE(ptcp_mtu_acked(&mtu, size, true, 5));
        }
    }
    CU_ASSERT_EQUAL(mtu.current, 1440); /* none of those that are tried else */
    CU_ASSERT_TRUE(probes <= 3);
}

static void a_report_alone_changes_nothing(void)
{
    struct ptcp_mtu mtu = passed_1472();

    ptcp_mtu_hint(&mtu, 1300);
    CU_ASSERT_EQUAL(mtu.current, 1472);
    ptcp_mtu_acked(&mtu, 1472, false, 10); /* it lied */
    CU_ASSERT_FALSE(ptcp_mtu_timeout(&mtu, 1000, APART_US));
    CU_ASSERT_EQUAL(mtu.current, 1472);

    ptcp_mtu_init(&mtu, 9000, 0);
    ptcp_mtu_probe_sent(&mtu);
    ptcp_mtu_hint(&mtu, 1300);
    CU_ASSERT_TRUE(ptcp_mtu_acked(&mtu, 1472, true, 10));
    CU_ASSERT_EQUAL(mtu.current, 1472);
    CU_ASSERT_EQUAL(mtu.hint, 0);
}

static void a_report_and_a_timeout_lead_down_at_once(void)
{
    struct ptcp_mtu mtu = passed_1472();

    ptcp_mtu_hint(&mtu, 1300);
    CU_ASSERT_TRUE(ptcp_mtu_timeout(&mtu, 1000, APART_US));
    CU_ASSERT_EQUAL(mtu.current, 1300);
    CU_ASSERT_EQUAL(ptcp_mtu_probe(&mtu, 1000), 1472); /* the report may have been wrong */
    ptcp_mtu_probe_sent(&mtu);
    ptcp_mtu_probe_lost(&mtu, 2000);
    CU_ASSERT_TRUE(ptcp_mtu_probe(&mtu, 2000) < 1472);
}

static void no_report_leads_below_the_base(void)
{
    struct ptcp_mtu mtu = passed_1472();

    for (uint64_t size = 0; size < PTCP_MTU_BASE; size++)
        ptcp_mtu_hint(&mtu, size);
    CU_ASSERT_EQUAL(mtu.hint, 0);
    ptcp_mtu_hint(&mtu, 1472); /* and none of what was never sent counts */
    ptcp_mtu_hint(&mtu, UINT64_MAX);
    CU_ASSERT_EQUAL(mtu.hint, 0);
}

static CU_TestInfo tests[] = {
    {"the datagram size grows by leaps then halves what is left",
     the_datagram_size_grows_by_leaps_then_halves_what_is_left},
    {"a black hole is left after three timeouts and a size that passed is tried again",
     a_black_hole_is_left_after_three_timeouts_and_a_size_that_passed_is_tried_again},
    {"timeouts of many connections at a time are one",
     timeouts_of_many_connections_at_a_time_are_one},
    {"what passes for one connection passes for all",
     what_passes_for_one_connection_passes_for_all},
    {"small packets that pass where large ones do not prove a black hole",
     small_packets_that_pass_where_large_ones_do_not_prove_a_black_hole},
    {"a size of the user stays", a_size_of_the_user_stays},
    {"a report and one loss lead to the size that it names",
     a_report_and_one_loss_lead_to_the_size_that_it_names},
    {"a report alone changes nothing", a_report_alone_changes_nothing},
    {"a report and a timeout lead down at once", a_report_and_a_timeout_lead_down_at_once},
    {"no report leads below the base", no_report_leads_below_the_base},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp mtu", tests)
