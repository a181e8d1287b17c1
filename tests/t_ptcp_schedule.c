/*
 * Goal: the schedule tells at any moment which alarm is due first, and rings each one once.
 * Method: random alarms are set, put off, taken back and rung beside a plain list of their times.
 */
#include "harness.h"
#include "prng.h"
#include "schedule.h"

enum { ALARMS = 200, STEPS = 20000, SPAN_US = 1000 };

static struct ptcp_schedule schedule;
static struct ptcp_alarm alarms[ALARMS];
static uint64_t times[ALARMS]; /* UINT64_MAX: not set */
static struct stk_prng prng;

static unsigned pick(unsigned count) { return (unsigned)(stk_prng_next(&prng) % count); }

static uint64_t first_time(void)
{
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < ALARMS; i++)
        first = times[i] < first ? times[i] : first;
    return first;
}

static void set_one(uint64_t now_us)
{
    const unsigned i = pick(ALARMS);

    times[i] = pick(8) == 0 ? UINT64_MAX : now_us + pick(SPAN_US);
    ptcp_schedule_set(&schedule, &alarms[i], times[i]);
}

static void ring_all(uint64_t now_us)
{
    struct ptcp_alarm *alarm;

    while ((alarm = ptcp_schedule_pop(&schedule, now_us))) {
        const size_t i = (size_t)(alarm - alarms);

        CU_ASSERT_EQUAL(times[i], first_time());
        CU_ASSERT_TRUE(times[i] <= now_us);
        times[i] = UINT64_MAX;
    }
    CU_ASSERT_TRUE(first_time() > now_us);
}

static void replace_one(void)
{
    const unsigned i = pick(ALARMS);

    ptcp_schedule_leave(&schedule, &alarms[i]);
    CU_ASSERT_EQUAL(ptcp_schedule_join(&schedule, &alarms[i], PTCP_ALARM_CONN), 0);
    times[i] = UINT64_MAX;
}

static void join_all(void)
{
    stk_prng_seed(&prng, 1);
    for (int i = 0; i < ALARMS; i++) {
        CU_ASSERT_EQUAL(ptcp_schedule_join(&schedule, &alarms[i], PTCP_ALARM_CONN), 0);
        times[i] = UINT64_MAX;
    }
}

static void leave_all(void)
{
    for (int i = 0; i < ALARMS; i++)
        ptcp_schedule_leave(&schedule, &alarms[i]);
    ptcp_schedule_free(&schedule);
}

static void the_first_alarm_is_known_whatever_happens_to_others(void)
{
    uint64_t now_us = 0;

    join_all();
    for (int step = 0; step < STEPS; step++) {
        set_one(now_us);
        if (pick(16) == 0)
            replace_one();
        if (pick(4) == 0)
            CU_ASSERT_EQUAL(ptcp_schedule_next_us(&schedule), first_time());
        if (pick(8) == 0)
            ring_all(now_us += pick(SPAN_US / 8));
    }
    leave_all();
}

static void an_alarm_that_is_put_off_again_and_again_does_not_ring(void)
{
    join_all();
    for (uint64_t now_us = 0; now_us < SPAN_US; now_us++) {
        for (int i = 0; i < ALARMS; i++)
            ptcp_schedule_set(&schedule, &alarms[i], now_us + 1 + (uint64_t)i);
        CU_ASSERT_PTR_NULL(ptcp_schedule_pop(&schedule, now_us));
    }
    leave_all();
}

static CU_TestInfo tests[] = {
    {"the first alarm is known whatever happens to others",
     the_first_alarm_is_known_whatever_happens_to_others},
    {"an alarm that is put off again and again does not ring",
     an_alarm_that_is_put_off_again_and_again_does_not_ring},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp schedule", tests)
