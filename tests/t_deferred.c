/*
 * Goal: a deferred's outcome reaches each step once, in order, through chains, cancels and
 * time-outs, and every value has exactly one owner. Method: a counting heap under every case.
 */
#include "deferred.h"
#include "fault.h"
#include "harness.h"

#include <string.h>

static struct stk_loop *loop;
static int destroyed;
static char trace[256];
static struct stk_error seen;

static void count_destroy(void *value)
{
    (void)value;
    destroyed++;
}

static void begin(void)
{
    fault_heap_install();
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    destroyed = 0;
    trace[0] = '\0';
    memset(&seen, 0, sizeof seen);
}

static void end(void)
{
    stk_loop_free(loop);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static void *number(intptr_t n) { return (void *)n; }
static const struct stk_error broken = {.code = -EPIPE, .layer = "test", .text = "broken"};

static void note(const char *text) { strncat(trace, text, sizeof trace - strlen(trace) - 1); }

/* Adds one to the value and writes the value it saw. */
static struct stk_outcome add_one(void *user, struct stk_outcome outcome)
{
    char text[32];

    (void)user;
    snprintf(text, sizeof text, "%d ", (int)(intptr_t)outcome.value);
    note(text);
    return stk_outcome_value(number((intptr_t)outcome.value + 1), outcome.destroy);
}

static struct stk_outcome note_error(void *user, struct stk_outcome outcome)
{
    (void)user;
    seen = outcome.error;
    note("error ");
    return outcome;
}

static struct stk_outcome mend(void *user, struct stk_outcome outcome)
{
    (void)outcome;
    note("mended ");
    return stk_outcome_value(user, NULL);
}

static struct stk_outcome break_it(void *user, struct stk_outcome outcome)
{
    (void)user;
    stk_outcome_drop(&outcome);
    return stk_outcome_error(-EPROTO, "test", "bad %d", 7);
}

static struct stk_outcome wait_for(void *user, struct stk_outcome outcome)
{
    stk_outcome_drop(&outcome);
    note("waits ");
    return stk_outcome_wait(user);
}

static struct stk_deferred *fresh(void)
{
    struct stk_deferred *deferred = stk_deferred_new(loop, NULL, NULL);

    CU_ASSERT_PTR_NOT_NULL_FATAL(deferred);
    return deferred;
}

static void steps_run_in_order_each_on_the_result_before(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_catch(deferred, note_error, NULL);
    CU_ASSERT_STRING_EQUAL(trace, "");
    stk_deferred_succeed(deferred, number(5), NULL);
    CU_ASSERT_STRING_EQUAL(trace, "5 6 ");
    stk_deferred_then(deferred, add_one, NULL);
    CU_ASSERT_STRING_EQUAL(trace, "5 6 7 ");
    stk_deferred_unref(deferred);
    end();
}

static void steps_run_after_the_consumer_has_left(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_unref(deferred);
    stk_deferred_succeed(deferred, number(1), count_destroy);
    CU_ASSERT_STRING_EQUAL(trace, "1 ");
    CU_ASSERT_EQUAL(destroyed, 1);
    end();
}

static void errors_pass_callbacks_until_an_errback_mends_them(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_catch(deferred, note_error, NULL);
    stk_deferred_catch(deferred, mend, number(40));
    stk_deferred_catch(deferred, note_error, NULL);
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_fail(deferred, &broken);
    CU_ASSERT_STRING_EQUAL(trace, "error mended 40 ");
    CU_ASSERT_EQUAL(seen.code, -EPIPE);
    CU_ASSERT_STRING_EQUAL(seen.text, "broken");
    stk_deferred_unref(deferred);
    end();
}

static void a_callback_can_fail_the_chain(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_then(deferred, break_it, NULL);
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_both(deferred, note_error, NULL);
    stk_deferred_succeed(deferred, number(1), count_destroy);
    CU_ASSERT_STRING_EQUAL(trace, "error ");
    CU_ASSERT_EQUAL(destroyed, 1);
    CU_ASSERT_STRING_EQUAL(seen.text, "bad 7");
    stk_deferred_unref(deferred);
    end();
}

static void a_value_nobody_takes_is_destroyed_once(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_succeed(deferred, number(1), count_destroy);
    CU_ASSERT_EQUAL(destroyed, 0);
    stk_deferred_ref(deferred);
    stk_deferred_unref(deferred);
    CU_ASSERT_EQUAL(destroyed, 0);
    stk_deferred_unref(deferred);
    CU_ASSERT_EQUAL(destroyed, 1);
    end();
}

static void a_chain_waits_for_the_deferred_a_step_returns(void)
{
    struct stk_deferred *outer, *inner;

    begin();
    outer = fresh();
    inner = fresh();
    stk_deferred_then(inner, add_one, NULL);
    stk_deferred_then(outer, wait_for, inner);
    stk_deferred_then(outer, add_one, NULL);
    stk_deferred_succeed(outer, number(1), NULL);
    CU_ASSERT_STRING_EQUAL(trace, "waits ");
    stk_deferred_unref(outer);
    stk_deferred_succeed(inner, number(10), NULL);
    CU_ASSERT_STRING_EQUAL(trace, "waits 10 11 ");
    end();
}

static void a_chain_takes_a_result_that_is_there_at_once(void)
{
    struct stk_deferred *outer, *inner;

    begin();
    outer = fresh();
    inner = fresh();
    stk_deferred_succeed(inner, number(10), NULL);
    stk_deferred_then(outer, wait_for, inner);
    stk_deferred_then(outer, add_one, NULL);
    stk_deferred_succeed(outer, number(1), NULL);
    CU_ASSERT_STRING_EQUAL(trace, "waits 10 ");
    stk_deferred_unref(outer);
    end();
}

static void a_hundred_thousand_links_do_not_exhaust_the_stack(void)
{
    enum { LINKS = 100000 };
    struct stk_deferred *last, *first;

    begin();
    first = last = fresh();
    for (int i = 0; i < LINKS; i++) {
        struct stk_deferred *outer = fresh();

        stk_deferred_then(outer, wait_for, last);
        stk_deferred_succeed(outer, NULL, NULL);
        last = outer;
    }
    trace[0] = '\0';
    stk_deferred_then(last, add_one, NULL);
    stk_deferred_unref(last);
    stk_deferred_succeed(first, number(3), NULL);
    CU_ASSERT_STRING_EQUAL(trace, "3 ");
    end();
}

static struct stk_outcome add_to_itself(void *user, struct stk_outcome outcome)
{
    stk_deferred_then(user, add_one, NULL);
    note("adds ");
    return outcome;
}

static void a_step_may_add_steps_to_its_own_deferred(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_then(deferred, add_to_itself, deferred);
    stk_deferred_succeed(deferred, number(1), NULL);
    CU_ASSERT_STRING_EQUAL(trace, "adds 1 ");
    stk_deferred_unref(deferred);
    end();
}

static void note_cancel(struct stk_deferred *deferred, void *user)
{
    (void)deferred, (void)user;
    note("cancel ");
}

static void succeed_on_cancel(struct stk_deferred *deferred, void *user)
{
    stk_deferred_succeed(deferred, user, count_destroy);
}

static void cancel_fires_and_the_producer_is_ignored(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_catch(deferred, note_error, NULL);
    stk_deferred_cancel(deferred);
    CU_ASSERT_EQUAL(seen.code, -ECANCELED);
    stk_deferred_cancel(deferred);
    stk_deferred_unref(deferred);
    stk_deferred_succeed(deferred, number(1), count_destroy);
    CU_ASSERT_EQUAL(destroyed, 1);
    CU_ASSERT_STRING_EQUAL(trace, "error ");
    end();
}

static void cancel_tells_a_producer_that_wants_to_know(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = stk_deferred_new(loop, note_cancel, NULL);
    stk_deferred_catch(deferred, note_error, NULL);
    stk_deferred_cancel(deferred);
    CU_ASSERT_STRING_EQUAL(trace, "cancel error ");
    CU_ASSERT_EQUAL(seen.code, -ECANCELED);
    stk_deferred_unref(deferred);
    end();
}

static void a_producer_may_answer_a_cancel_with_a_result(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = stk_deferred_new(loop, succeed_on_cancel, number(9));
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_cancel(deferred);
    CU_ASSERT_STRING_EQUAL(trace, "9 ");
    stk_deferred_unref(deferred);
    CU_ASSERT_EQUAL(destroyed, 1);
    end();
}

static void cancel_goes_down_a_chain_of_three(void)
{
    struct stk_deferred *outer, *middle, *inner;

    begin();
    outer = fresh();
    middle = fresh();
    inner = stk_deferred_new(loop, note_cancel, NULL);
    stk_deferred_then(middle, wait_for, inner);
    stk_deferred_succeed(middle, NULL, NULL);
    stk_deferred_then(outer, wait_for, middle);
    stk_deferred_catch(outer, note_error, NULL);
    stk_deferred_succeed(outer, NULL, NULL);
    trace[0] = '\0';
    stk_deferred_cancel(outer);
    CU_ASSERT_STRING_EQUAL(trace, "cancel error ");
    CU_ASSERT_EQUAL(seen.code, -ECANCELED);
    stk_deferred_unref(outer);
    end();
}

static void a_timeout_cancels_and_says_so(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = stk_deferred_new(loop, note_cancel, NULL);
    stk_deferred_catch(deferred, note_error, NULL);
    stk_deferred_timeout(deferred, 1000);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "cancel error ");
    CU_ASSERT_EQUAL(seen.code, -ETIMEDOUT);
    stk_deferred_unref(deferred);
    end();
}

static void a_timeout_reaches_the_inner_deferred(void)
{
    struct stk_deferred *outer, *inner;

    begin();
    outer = fresh();
    inner = stk_deferred_new(loop, note_cancel, NULL);
    stk_deferred_then(outer, wait_for, inner);
    stk_deferred_catch(outer, note_error, NULL);
    stk_deferred_timeout(outer, 1000);
    stk_deferred_succeed(outer, NULL, NULL);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "waits cancel error ");
    CU_ASSERT_EQUAL(seen.code, -ETIMEDOUT);
    stk_deferred_unref(outer);
    end();
}

static void a_result_in_time_stops_the_timeout(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_timeout(deferred, 3600 * UINT64_C(1000000));
    stk_deferred_succeed(deferred, NULL, NULL);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    stk_deferred_unref(deferred);
    end();
}

static struct stk_outcome sum(void *user, struct stk_outcome outcome)
{
    intptr_t *total = user;
    void **values = outcome.value;

    for (; *values; values++)
        *total += (intptr_t)*values;
    return outcome;
}

static void all_collects_values_in_order_of_the_list(void)
{
    struct stk_deferred *list[3], *all;
    intptr_t total = 0;

    begin();
    for (int i = 0; i < 3; i++)
        list[i] = fresh();
    stk_deferred_succeed(list[1], number(20), count_destroy);
    all = stk_deferred_all(loop, list, 3);
    stk_deferred_then(all, sum, &total);
    stk_deferred_succeed(list[2], number(300), count_destroy);
    CU_ASSERT_EQUAL(total, 0);
    stk_deferred_succeed(list[0], number(1), count_destroy);
    CU_ASSERT_EQUAL(total, 321);
    stk_deferred_unref(all);
    CU_ASSERT_EQUAL(destroyed, 3);
    end();
}

static void all_fails_with_the_first_and_cancels_the_rest(void)
{
    struct stk_deferred *list[3], *all;

    begin();
    list[0] = fresh();
    list[1] = fresh();
    list[2] = stk_deferred_new(loop, note_cancel, NULL);
    all = stk_deferred_all(loop, list, 3);
    stk_deferred_catch(all, note_error, NULL);
    stk_deferred_succeed(list[0], number(1), count_destroy);
    stk_deferred_fail(list[1], &broken);
    CU_ASSERT_STRING_EQUAL(trace, "cancel error ");
    CU_ASSERT_EQUAL(seen.code, -EPIPE);
    CU_ASSERT_EQUAL(destroyed, 1);
    stk_deferred_unref(all);
    end();
}

static void all_of_a_list_with_a_failure_in_it_fails_at_once(void)
{
    struct stk_deferred *list[3], *all;

    begin();
    list[0] = fresh();
    list[1] = stk_deferred_new(loop, note_cancel, NULL);
    list[2] = stk_deferred_new(loop, note_cancel, NULL);
    stk_deferred_fail(list[0], &broken);
    all = stk_deferred_all(loop, list, 3);
    stk_deferred_catch(all, note_error, NULL);
    CU_ASSERT_STRING_EQUAL(trace, "cancel cancel error ");
    stk_deferred_unref(all);
    end();
}

static void first_takes_the_winner_and_cancels_the_rest(void)
{
    struct stk_deferred *list[3], *first;

    begin();
    list[0] = fresh();
    list[1] = fresh();
    list[2] = stk_deferred_new(loop, note_cancel, NULL);
    first = stk_deferred_first(loop, list, 3);
    stk_deferred_then(first, add_one, NULL);
    stk_deferred_fail(list[0], &broken);
    stk_deferred_succeed(list[1], number(7), count_destroy);
    CU_ASSERT_STRING_EQUAL(trace, "cancel 7 ");
    stk_deferred_unref(first);
    CU_ASSERT_EQUAL(destroyed, 1);
    end();
}

static void first_fails_with_the_last_error_when_all_fail(void)
{
    const struct stk_error last = {.code = -EHOSTUNREACH};
    struct stk_deferred *list[2], *first;

    begin();
    list[0] = fresh();
    list[1] = fresh();
    first = stk_deferred_first(loop, list, 2);
    stk_deferred_catch(first, note_error, NULL);
    stk_deferred_fail(list[1], &broken);
    CU_ASSERT_EQUAL(seen.code, 0);
    stk_deferred_fail(list[0], &last);
    CU_ASSERT_EQUAL(seen.code, -EHOSTUNREACH);
    stk_deferred_unref(first);
    end();
}

static void an_empty_list_has_all_and_no_first(void)
{
    struct stk_deferred *all, *first;
    intptr_t total = 0;

    begin();
    all = stk_deferred_all(loop, NULL, 0);
    stk_deferred_then(all, sum, &total);
    first = stk_deferred_first(loop, NULL, 0);
    stk_deferred_catch(first, note_error, NULL);
    CU_ASSERT_EQUAL(seen.code, -EINVAL);
    stk_deferred_unref(all);
    stk_deferred_unref(first);
    end();
}

static void cancelling_all_cancels_every_part(void)
{
    struct stk_deferred *list[3], *all;

    begin();
    list[0] = stk_deferred_new(loop, note_cancel, NULL);
    list[1] = fresh();
    list[2] = stk_deferred_new(loop, succeed_on_cancel, number(1));
    all = stk_deferred_all(loop, list, 3);
    stk_deferred_catch(all, note_error, NULL);
    stk_deferred_cancel(all);
    CU_ASSERT_STRING_EQUAL(trace, "cancel error ");
    CU_ASSERT_EQUAL(seen.code, -ECANCELED);
    CU_ASSERT_EQUAL(destroyed, 1);
    stk_deferred_unref(all);
    stk_deferred_succeed(list[1], number(2), count_destroy);
    CU_ASSERT_EQUAL(destroyed, 2);
    end();
}

static void cancel_result(struct stk_deferred *deferred, void *user)
{
    (void)deferred;
    stk_deferred_cancel(*(struct stk_deferred **)user);
}

static void a_part_that_is_cancelled_may_cancel_the_result(void)
{
    struct stk_deferred *list[2], *result;

    begin();
    list[0] = fresh();
    list[1] = stk_deferred_new(loop, cancel_result, &result);
    result = stk_deferred_all(loop, list, 2);
    stk_deferred_catch(result, note_error, NULL);
    stk_deferred_fail(list[0], &broken);
    CU_ASSERT_STRING_EQUAL(trace, "error ");
    CU_ASSERT_EQUAL(seen.code, -ECANCELED);
    stk_deferred_unref(result);
    end();

    begin();
    list[0] = fresh();
    list[1] = stk_deferred_new(loop, cancel_result, &result);
    result = stk_deferred_first(loop, list, 2);
    stk_deferred_catch(result, note_error, NULL);
    stk_deferred_succeed(list[0], number(1), count_destroy);
    CU_ASSERT_EQUAL(seen.code, -ECANCELED);
    CU_ASSERT_EQUAL(destroyed, 1);
    stk_deferred_unref(result);
    end();
}

static char logged[256];

static void keep_log(void *context, enum stk_log_level level, const char *room, const char *text)
{
    (void)context, (void)level, (void)room;
    snprintf(logged, sizeof logged, "%s", text);
}

static void an_error_that_nobody_handles_is_logged(void)
{
    struct stk_deferred *deferred;

    begin();
    logged[0] = '\0';
    stk_log_hook(keep_log, NULL, STK_LOG_WARN);
    deferred = fresh();
    stk_deferred_fail(deferred, &broken);
    stk_deferred_unref(deferred);
    stk_log_hook(NULL, NULL, STK_LOG_ERROR);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged, "broken"));
    end();
}

/* --- The n-th allocation fails ------------------------------------------------------------- */

static struct stk_outcome count_end(void *user, struct stk_outcome outcome)
{
    ++*(int *)user;
    return outcome;
}

/* Returns how many ends were seen; each part ends once whether or not it could be added. */
static int gather_three(bool all)
{
    struct stk_deferred *list[3], *gathered;
    int made = 0, ends = 0;

    for (; made < 3; made++) {
        list[made] = stk_deferred_new(loop, NULL, NULL);
        if (!list[made])
            break;
        stk_deferred_then(list[made], add_one, NULL);
    }
    gathered = (all ? stk_deferred_all : stk_deferred_first)(loop, list, (size_t)made);
    if (gathered && stk_deferred_both(gathered, count_end, &ends) == -ENOMEM)
        ends = -1;
    for (int i = 0; i < made; i++)
        stk_deferred_succeed(list[i], number(i + 1), count_destroy);
    if (gathered)
        stk_deferred_unref(gathered);
    CU_ASSERT_EQUAL(destroyed, made);
    return ends;
}

static void fail_each_allocation(enum fault_repeat repeat, bool all)
{
    bool failed = true;
    long n;

    for (n = 1; failed; n++) {
        int ends;

        begin();
        fault_heap_fail(n, repeat);
        ends = gather_three(all);
        failed = fault_heap_has_failed();
        fault_heap_fail(0, FAULT_ONCE);
        CU_ASSERT_TRUE(ends == 1 || failed);
        end();
    }
    CU_ASSERT_TRUE(n > 8);
}

static void no_failing_allocation_leaks_or_loses_a_value(void)
{
    fail_each_allocation(FAULT_ONCE, true);
    fail_each_allocation(FAULT_FROM_THEN_ON, true);
    fail_each_allocation(FAULT_ONCE, false);
    fail_each_allocation(FAULT_FROM_THEN_ON, false);
}

static void a_step_without_memory_fails_the_chain_in_its_place(void)
{
    struct stk_deferred *deferred;

    begin();
    deferred = fresh();
    stk_deferred_then(deferred, add_one, NULL);
    fault_heap_fail(1, FAULT_ONCE);
    CU_ASSERT_EQUAL(stk_deferred_then(deferred, add_one, NULL), -ENOMEM);
    stk_deferred_then(deferred, add_one, NULL);
    stk_deferred_catch(deferred, note_error, NULL);
    stk_deferred_succeed(deferred, number(1), count_destroy);
    CU_ASSERT_STRING_EQUAL(trace, "1 error ");
    CU_ASSERT_EQUAL(seen.code, -ENOMEM);
    CU_ASSERT_EQUAL(destroyed, 1);
    stk_deferred_unref(deferred);
    end();
}

static CU_TestInfo tests[] = {
    {"steps run in order, each on the result before", steps_run_in_order_each_on_the_result_before},
    {"steps run after the consumer has left", steps_run_after_the_consumer_has_left},
    {"errors pass callbacks until an errback mends them",
     errors_pass_callbacks_until_an_errback_mends_them},
    {"a callback can fail the chain", a_callback_can_fail_the_chain},
    {"a value nobody takes is destroyed once", a_value_nobody_takes_is_destroyed_once},
    {"a chain waits for the deferred a step returns",
     a_chain_waits_for_the_deferred_a_step_returns},
    {"a chain takes a result that is there at once", a_chain_takes_a_result_that_is_there_at_once},
    {"a hundred thousand links do not exhaust the stack",
     a_hundred_thousand_links_do_not_exhaust_the_stack},
    {"a step may add steps to its own deferred", a_step_may_add_steps_to_its_own_deferred},
    {"cancel fires and the producer is ignored", cancel_fires_and_the_producer_is_ignored},
    {"cancel tells a producer that wants to know", cancel_tells_a_producer_that_wants_to_know},
    {"a producer may answer a cancel with a result", a_producer_may_answer_a_cancel_with_a_result},
    {"cancel goes down a chain of three", cancel_goes_down_a_chain_of_three},
    {"a time-out cancels and says so", a_timeout_cancels_and_says_so},
    {"a time-out reaches the inner deferred", a_timeout_reaches_the_inner_deferred},
    {"a result in time stops the time-out", a_result_in_time_stops_the_timeout},
    {"all collects values in order of the list", all_collects_values_in_order_of_the_list},
    {"all fails with the first and cancels the rest",
     all_fails_with_the_first_and_cancels_the_rest},
    {"all of a list with a failure in it fails at once",
     all_of_a_list_with_a_failure_in_it_fails_at_once},
    {"first takes the winner and cancels the rest", first_takes_the_winner_and_cancels_the_rest},
    {"first fails with the last error when all fail",
     first_fails_with_the_last_error_when_all_fail},
    {"an empty list has all and no first", an_empty_list_has_all_and_no_first},
    {"cancelling all cancels every part", cancelling_all_cancels_every_part},
    {"a part that is cancelled may cancel the result",
     a_part_that_is_cancelled_may_cancel_the_result},
    {"an error that nobody handles is logged", an_error_that_nobody_handles_is_logged},
    {"no failing allocation leaks or loses a value", no_failing_allocation_leaks_or_loses_a_value},
    {"a step without memory fails the chain in its place",
     a_step_without_memory_fails_the_chain_in_its_place},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("deferred", tests)
