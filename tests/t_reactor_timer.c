/*
 * Goal: timers fire in order of time and arming, never early, and cost little to move.
 * Method: a million timers on every back end; a virtual clock where exact times matter.
 */
#include "backend.h"
#include "every_backend.h"
#include "prng.h"

#include <string.h>

static char trace[256];

/* --- A back end with a clock of its own ------------------------------------------------------- */

struct virtual_clock {
    uint64_t now_us;
    int waits;
    bool open;
};

static int virtual_open(void *state)
{
    ((struct virtual_clock *)state)->open = true;
    return 0;
}

static void virtual_close(void *state) { ((struct virtual_clock *)state)->open = false; }

static int virtual_change(void *state, struct stk_watch *watch, unsigned before)
{
    (void)state, (void)before;
    return watch->events ? -ENOSYS : 0;
}

static int virtual_wait(void *state, struct stk_loop *loop, int64_t timeout_us)
{
    struct virtual_clock *clock = state;

    (void)loop;
    clock->waits++;
    if (timeout_us < 0)
        return -EDEADLK;
    clock->now_us += (uint64_t)timeout_us;
    return 0;
}

static uint64_t virtual_now(void *state) { return ((struct virtual_clock *)state)->now_us; }
static void virtual_random(void *state, void *out, size_t len)
{
    (void)state;
    memset(out, 0x5a, len);
}

static const struct stk_backend virtual_backend = {
    .name = "virtual",
    .open = virtual_open,
    .close = virtual_close,
    .change = virtual_change,
    .wait = virtual_wait,
    .now_us = virtual_now,
    .random = virtual_random,
};

static struct virtual_clock virtual_time;
static struct stk_loop *loop;

static void begin(void)
{
    trace[0] = '\0';
    virtual_time = (struct virtual_clock){.now_us = 1000};
    CU_ASSERT_EQUAL_FATAL(stk_loop_new_on(&virtual_backend, &virtual_time, &loop), 0);
}

static void end(void)
{
    stk_loop_free(loop);
    CU_ASSERT_FALSE(virtual_time.open);
}

/* --- Named timers: each writes its letter and the time ---------------------------------------- */

struct named {
    struct stk_timer timer;
    char letter;
    struct named *victim; /* stopped by this one */
    struct named *armed;  /* armed by this one, at once */
};

static void fire(struct stk_timer *timer)
{
    struct named *named = STK_CONTAINER(timer, struct named, timer);
    char text[32];

    snprintf(text, sizeof text, "%c%d ", named->letter, (int)stk_loop_now_us(timer->loop));
    strncat(trace, text, sizeof trace - strlen(trace) - 1);
    CU_ASSERT_FALSE(stk_timer_armed(timer));
    if (named->victim)
        stk_timer_stop(&named->victim->timer);
    if (named->armed)
        stk_timer_in(&named->armed->timer, 0);
}

static void name_timers(struct named *timers, int count)
{
    for (int i = 0; i < count; i++) {
        timers[i] = (struct named){.letter = (char)('a' + i)};
        stk_timer_init(&timers[i].timer, loop, fire);
    }
}

static void timers_fire_by_time_then_by_arming(void)
{
    struct named t[4];

    begin();
    name_timers(t, 4);
    stk_timer_at(&t[3].timer, 1200);
    stk_timer_at(&t[1].timer, 1100);
    stk_timer_at(&t[0].timer, 1200);
    stk_timer_in(&t[2].timer, 200);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "b1100 d1200 a1200 c1200 ");
    end();
}

static void a_postponed_timer_takes_its_new_place_in_the_order(void)
{
    struct named t[3];

    begin();
    name_timers(t, 3);
    stk_timer_at(&t[0].timer, 1010);
    stk_timer_at(&t[0].timer, 1020);
    stk_timer_at(&t[1].timer, 1020);
    stk_timer_at(&t[2].timer, 1020);
    stk_timer_at(&t[1].timer, 1020);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "a1020 c1020 b1020 ");
    end();
}

static void a_timer_moves_earlier_and_later(void)
{
    struct named t[2];

    begin();
    name_timers(t, 2);
    stk_timer_at(&t[0].timer, 5000);
    stk_timer_at(&t[1].timer, 3000);
    stk_timer_at(&t[0].timer, 2000);
    stk_timer_at(&t[1].timer, 4000);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "a2000 b4000 ");
    end();
}

static void postponing_a_thousand_times_wakes_the_loop_once(void)
{
    struct named t[1];

    begin();
    name_timers(t, 1);
    for (int i = 1; i <= 1000; i++)
        stk_timer_at(&t[0].timer, 1000 + (uint64_t)i);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "a2000 ");
    CU_ASSERT_EQUAL(virtual_time.waits, 1);
    end();
}

static void a_stopped_timer_does_not_fire(void)
{
    struct named t[3];

    begin();
    name_timers(t, 3);
    for (int i = 0; i < 3; i++)
        stk_timer_at(&t[i].timer, 1100);
    t[0].victim = &t[1];
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "a1100 c1100 ");
    stk_timer_stop(&t[1].timer);
    end();
}

static void a_timer_armed_by_a_timer_waits_for_the_next_turn(void)
{
    struct named t[3];

    begin();
    name_timers(t, 3);
    t[0].armed = &t[0];
    t[2].victim = &t[0];
    stk_timer_at(&t[0].timer, 500);
    stk_timer_at(&t[1].timer, 600);
    stk_timer_at(&t[2].timer, 1100);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "a1000 b1000 ");
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_STRING_EQUAL(trace, "a1000 b1000 a1000 ");
    stk_timer_stop(&t[0].timer);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    end();
}

static void far_times_do_not_overflow(void)
{
    struct named t[2];

    begin();
    name_timers(t, 2);
    stk_timer_in(&t[0].timer, UINT64_MAX);
    CU_ASSERT_EQUAL(t[0].timer.due_us, UINT64_MAX);
    stk_timer_in(&t[1].timer, 10);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 100), 1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, 100), 0);
    stk_timer_stop(&t[0].timer);
    end();
}

static void draining_ends_with_the_last_timer_or_at_its_time(void)
{
    static const uint64_t times_us[] = {60, INT64_MAX, UINT64_MAX};
    struct named t[2];

    for (int i = 0; i < 3; i++) {
        begin();
        name_timers(t, 2);
        stk_timer_in(&t[0].timer, 50);
        CU_ASSERT_EQUAL(stk_loop_drain(loop, times_us[i]), 0);
        CU_ASSERT_STRING_EQUAL(trace, "a1050 ");
        CU_ASSERT_EQUAL(virtual_time.now_us, 1050);
        stk_timer_in(&t[1].timer, 200);
        CU_ASSERT_EQUAL(stk_loop_drain(loop, 70), 0);
        CU_ASSERT_EQUAL(virtual_time.now_us, 1120);
        stk_timer_stop(&t[1].timer);
        end();
    }
}

static void post_note(void *arg) { strcpy(trace, arg); }

static void a_back_end_brings_time_and_randomness(void)
{
    uint8_t random[4];
    static char text[] = "posted";

    begin();
    stk_loop_random(loop, random, sizeof random);
    CU_ASSERT_EQUAL(random[0], 0x5a);
    CU_ASSERT_EQUAL(stk_loop_now_us(loop), 1000);
    virtual_time.now_us = 1234;
    CU_ASSERT_EQUAL(stk_loop_now_us(loop), 1234);
    CU_ASSERT_EQUAL(stk_loop_post(loop, post_note, text), 0);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_STRING_EQUAL(trace, "posted");
    CU_ASSERT_STRING_EQUAL(stk_loop_backend_name(loop), "virtual");
    end();
}

static void an_error_of_the_wait_ends_the_run(void)
{
    struct stk_signal signal;

    begin();
    CU_ASSERT_EQUAL(stk_signal_start(&signal, loop, SIGUSR1, NULL), 0);
    CU_ASSERT_EQUAL(stk_loop_run(loop), -EDEADLK);
    stk_signal_stop(&signal);
    end();
}

/* --- A model: random operations, checked against a sorted walk ---------------------------------
 */

enum { MODEL_TIMERS = 64, MODEL_STEPS = 20000 };

static struct stk_timer model[MODEL_TIMERS];
static uint64_t last_due_us, last_sequence;
static unsigned fired;

static void check_order(struct stk_timer *timer)
{
    const bool in_order = timer->due_us > last_due_us ||
                          (timer->due_us == last_due_us && timer->sequence > last_sequence);

    if (!in_order || stk_loop_now_us(timer->loop) < timer->due_us)
        CU_FAIL("a timer fires out of order or early");
    last_due_us = timer->due_us;
    last_sequence = timer->sequence;
    fired++;
}

static void model_step(struct stk_prng *prng)
{
    struct stk_timer *timer = &model[stk_prng_below(prng, MODEL_TIMERS)];

    switch (stk_prng_below(prng, 8)) {
    case 0:
        stk_timer_stop(timer);
        break;
    case 1:
        CU_ASSERT_TRUE(stk_loop_turn(loop, (int64_t)stk_prng_below(prng, 50)) >= 0);
        break;
    default:
        stk_timer_in(timer, stk_prng_below(prng, 300));
    }
}

static void random_operations_keep_the_order(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct stk_prng prng;

        begin();
        last_due_us = last_sequence = fired = 0;
        stk_prng_seed(&prng, seed);
        for (int i = 0; i < MODEL_TIMERS; i++)
            stk_timer_init(&model[i], loop, check_order);
        for (int i = 0; i < MODEL_STEPS; i++)
            model_step(&prng);
        CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
        CU_ASSERT_TRUE(fired > MODEL_STEPS / 100);
        end();
    }
}

/* --- A million ------------------------------------------------------------------------------- */

enum { MILLION = 1000000 };

static struct stk_timer *crowd;

static void a_million(struct stk_loop *real_loop)
{
    struct stk_prng prng;
    const uint64_t now_us = stk_loop_now_us(real_loop);

    last_due_us = last_sequence = fired = 0;
    stk_prng_seed(&prng, 7);
    for (int i = 0; i < MILLION; i++) {
        stk_timer_init(&crowd[i], real_loop, check_order);
        stk_timer_at(&crowd[i], now_us + 3600000000 + stk_prng_below(&prng, 1000000));
    }
    for (int i = 0; i < MILLION; i += 2)
        stk_timer_stop(&crowd[i]);
    /* The stopped ones are armed again, the others move: half to later, half to now. */
    for (int i = 0; i < MILLION; i++)
        stk_timer_at(&crowd[i], now_us + 7200000000 + stk_prng_below(&prng, 1000000));
    for (int i = 0; i < MILLION; i++)
        stk_timer_at(&crowd[i], now_us + stk_prng_below(&prng, 1000));
    CU_ASSERT_EQUAL(stk_loop_run(real_loop), 0);
    CU_ASSERT_EQUAL(fired, MILLION);
}

static void a_million_timers_fire_in_order_on_every_back_end(void)
{
    crowd = stk_alloc(MILLION * sizeof *crowd);
    CU_ASSERT_PTR_NOT_NULL_FATAL(crowd);
    on_every_backend(a_million);
    stk_free(crowd);
}

static uint64_t fired_at_us;

static void note_time(struct stk_timer *timer) { fired_at_us = stk_loop_now_us(timer->loop); }

static void never_early(struct stk_loop *real_loop)
{
    struct stk_timer timer;

    stk_timer_init(&timer, real_loop, note_time);
    for (uint64_t delay_us = 0; delay_us < 3000; delay_us += 333) {
        fired_at_us = 0;
        stk_timer_in(&timer, delay_us);
        CU_ASSERT_EQUAL(stk_loop_run(real_loop), 0);
        CU_ASSERT_TRUE(fired_at_us >= timer.due_us);
    }
}

static void no_timer_fires_early_on_any_back_end(void) { on_every_backend(never_early); }

static CU_TestInfo tests[] = {
    {"timers fire by time, then by arming", timers_fire_by_time_then_by_arming},
    {"a postponed timer takes its new place in the order",
     a_postponed_timer_takes_its_new_place_in_the_order},
    {"a timer moves earlier and later", a_timer_moves_earlier_and_later},
    {"postponing a thousand times wakes the loop once",
     postponing_a_thousand_times_wakes_the_loop_once},
    {"a stopped timer does not fire", a_stopped_timer_does_not_fire},
    {"a timer armed by a timer waits for the next turn",
     a_timer_armed_by_a_timer_waits_for_the_next_turn},
    {"far times do not overflow", far_times_do_not_overflow},
    {"draining ends with the last timer, or at its time",
     draining_ends_with_the_last_timer_or_at_its_time},
    {"a back end brings time and randomness", a_back_end_brings_time_and_randomness},
    {"an error of the wait ends the run", an_error_of_the_wait_ends_the_run},
    {"random operations keep the order", random_operations_keep_the_order},
    {"a million timers fire in order on every back end",
     a_million_timers_fire_in_order_on_every_back_end},
    {"no timer fires early on any back end", no_timer_fires_early_on_any_back_end},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("reactor timer", tests)
