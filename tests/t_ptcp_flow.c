/*
 * Goal: the granted window grows with the path, holes or not, and a slow reader keeps it small.
 * Method: the flow alone, with hand-made arrivals.
 */
#include "flow.h"
#include "harness.h"

enum { WINDOW = 1 << 18, MOST = 1 << 20, RTT_US = 40000 };

static struct ptcp_flow flow;
static uint64_t now_us;

static void set_up(void)
{
    ptcp_flow_init(&flow, WINDOW, MOST);
    ptcp_flow_grant(&flow, 0);
    now_us = 1000000;
}

static void a_reader_that_keeps_up_makes_it_grow(void)
{
    set_up();
    ptcp_flow_consumed(&flow, WINDOW / 2, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, WINDOW);
    ptcp_flow_consumed(&flow, WINDOW, now_us + 2 * RTT_US - 1, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
    CU_ASSERT_TRUE(flow.update);
    ptcp_flow_consumed(&flow, 2 * WINDOW, now_us + 5 * RTT_US, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
}

static void what_comes_fast_behind_a_hole_makes_it_grow(void)
{
    set_up();
    ptcp_flow_arrived(&flow, WINDOW / 8, 0, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, WINDOW);
    ptcp_flow_arrived(&flow, WINDOW / 8 - 1, 0, now_us + RTT_US - 1, RTT_US);
    CU_ASSERT_EQUAL(flow.window, WINDOW);
    ptcp_flow_arrived(&flow, 1, 0, now_us + RTT_US - 1, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
    CU_ASSERT_TRUE(flow.update);
}

static void what_comes_slowly_does_not(void)
{
    set_up();
    for (int i = 0; i < 10; i++, now_us += RTT_US)
        ptcp_flow_arrived(&flow, WINDOW / 8, 0, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, WINDOW);
}

static void nor_does_it_while_much_lies_unread(void)
{
    set_up();
    for (int i = 0; i < 10; i++)
        ptcp_flow_arrived(&flow, WINDOW / 8, WINDOW / 4 + 1, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, WINDOW);
}

static void it_never_exceeds_its_maximum(void)
{
    set_up();
    for (int i = 0; i < 100; i++)
        ptcp_flow_arrived(&flow, MOST, 0, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, MOST);
    ptcp_flow_blocked(&flow, MOST, 0, now_us + RTT_US, RTT_US);
    CU_ASSERT_EQUAL(flow.window, MOST);
}

static void who_is_stopped_by_holes_gets_more_once_an_rtt(void)
{
    set_up();
    ptcp_flow_blocked(&flow, WINDOW, 0, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
    ptcp_flow_blocked(&flow, 2 * WINDOW, 0, now_us + RTT_US - 1, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
    ptcp_flow_blocked(&flow, 2 * WINDOW, WINDOW / 2 + 1, now_us + RTT_US, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
    ptcp_flow_blocked(&flow, 2 * WINDOW, WINDOW / 2, now_us + RTT_US, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 4 * WINDOW);
}

static void to_say_so_is_not_enough(void)
{
    set_up();
    ptcp_flow_blocked(&flow, WINDOW / 4 - 1, 0, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, WINDOW);
    ptcp_flow_blocked(&flow, WINDOW / 4, 0, now_us, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
    ptcp_flow_blocked(&flow, WINDOW * 3 / 4 - 1, 0, now_us + RTT_US, RTT_US);
    CU_ASSERT_EQUAL(flow.window, 2 * WINDOW);
}

static CU_TestInfo tests[] = {
    {"a reader that keeps up makes it grow", a_reader_that_keeps_up_makes_it_grow},
    {"what comes fast behind a hole makes it grow", what_comes_fast_behind_a_hole_makes_it_grow},
    {"what comes slowly does not", what_comes_slowly_does_not},
    {"nor does it while much lies unread", nor_does_it_while_much_lies_unread},
    {"it never exceeds its maximum", it_never_exceeds_its_maximum},
    {"who is stopped by holes gets more once an RTT",
     who_is_stopped_by_holes_gets_more_once_an_rtt},
    {"to say so is not enough", to_say_so_is_not_enough},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp flow", tests)
