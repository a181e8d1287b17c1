/*
 * Goal: happy eyeballs tries addresses in RFC 8305's order and at its times, and names the error
 * that tells most. Method: a loop on a virtual clock, with scripted answers and outcomes.
 */
#include "backend.h"
#include "happy.h"
#include "harness.h"

#include <string.h>

/* --- A clock that jumps to the next timer --------------------------------------------------------
 */

struct clock {
    uint64_t now_us;
};

static int clock_open(void *state)
{
    (void)state;
    return 0;
}

static void clock_close(void *state) { (void)state; }

static int clock_change(void *state, struct stk_watch *watch, unsigned before)
{
    (void)state, (void)watch, (void)before;
    return 0;
}

static int clock_wait(void *state, struct stk_loop *turning, int64_t timeout_us)
{
    struct clock *clock = state;

    (void)turning;
    if (timeout_us > 0)
        clock->now_us += (uint64_t)timeout_us;
    return 0;
}

static uint64_t clock_now(void *state) { return ((struct clock *)state)->now_us; }

static const struct stk_backend clock_backend = {.name = "clock",
                                                 .open = clock_open,
                                                 .close = clock_close,
                                                 .change = clock_change,
                                                 .wait = clock_wait,
                                                 .now_us = clock_now};

/* --- The script
 * ------------------------------------------------------------------------------------ */

enum { EVENTS_MAX = 64, NEVER = -1 };

struct answer {       /* of one family */
    int64_t after_us; /* NEVER: no answer */
    const char *ips[4];
    struct stk_lookup *lookup;
    struct stk_timer timer;
    int family;
};

struct outcome { /* of one address */
    const char *ip;
    int64_t after_us; /* NEVER: silence */
    int code;
    struct stk_timer timer;
    int index;
};

static struct clock clock;
static struct stk_loop *loop;
static struct stk_happy happy;
static struct answer answers[2];
static struct outcome outcomes[8];
static struct {
    uint64_t at_us;
    char ip[64];
} attempts[EVENTS_MAX];
static int attempt_count, cancel_count, winner_count, failure_count;
static char winner[64];
static uint64_t ended_us;
static struct stk_error failure;
static int every_code; /* of addresses that the script does not name; 0: silence */

static void give_answer(struct stk_timer *timer)
{
    struct answer *a = STK_CONTAINER(timer, struct answer, timer);
    struct stk_addr addrs[4];
    int count = 0;

    for (; count < 4 && a->ips[count]; count++)
        stk_addr_parse_ip(&addrs[count], a->ips[count], 0);
    if (count)
        stk_lookup_answer(a->lookup, addrs, count);
    else
        stk_lookup_fail(a->lookup, "no such name");
    a->lookup = NULL;
}

static void resolve(void *context, struct stk_lookup *lookup)
{
    struct answer *a = &answers[stk_lookup_family(lookup) == AF_INET];

    (void)context;
    a->lookup = lookup;
    stk_timer_init(&a->timer, loop, give_answer);
    if (a->after_us != NEVER)
        stk_timer_in(&a->timer, (uint64_t)a->after_us);
}

static const char *ip_of(const struct stk_addr *addr)
{
    static char text[STK_ADDR_TEXT_MAX];

    return strrchr(stk_addr_format_ip(addr, text), '/') + 1;
}

static void give_outcome(struct stk_timer *timer)
{
    const struct outcome *o = STK_CONTAINER(timer, struct outcome, timer);

    stk_happy_done(&happy, o->index, o->code);
}

static struct outcome *outcome_of(const char *ip)
{
    for (int i = 0; i < 8; i++)
        if (outcomes[i].ip && !strcmp(outcomes[i].ip, ip))
            return &outcomes[i];
    return NULL;
}

static int on_attempt(struct stk_happy *h, int index, const struct stk_addr *addr)
{
    struct outcome *o = outcome_of(ip_of(addr));

    CU_ASSERT_PTR_EQUAL(h, &happy);
    CU_ASSERT_EQUAL(stk_addr_port(addr), 80);
    attempts[attempt_count].at_us = clock.now_us;
    snprintf(attempts[attempt_count++].ip, 64, "%s", ip_of(addr));
    if (!o)
        return every_code;
    if (o->after_us == 0)
        return o->code;
    o->index = index;
    stk_timer_init(&o->timer, loop, give_outcome);
    stk_timer_in(&o->timer, (uint64_t)o->after_us);
    return 0;
}

static void on_cancel(struct stk_happy *h, int index)
{
    struct outcome *o = outcome_of(ip_of(&h->list[index].addr));

    cancel_count++;
    if (o && o->timer.fn)
        stk_timer_stop(&o->timer);
}

static void on_succeeded(struct stk_happy *h, int index, const struct stk_addr *addr)
{
    (void)h, (void)index;
    winner_count++;
    ended_us = clock.now_us;
    snprintf(winner, sizeof winner, "%s", ip_of(addr));
}

static void on_failed(struct stk_happy *h, const struct stk_error *error)
{
    (void)h;
    failure_count++;
    ended_us = clock.now_us;
    failure = *error;
}

static const struct stk_happy_type type = {on_attempt, on_cancel, on_succeeded, on_failed};

static void open_script(void)
{
    memset(&clock, 0, sizeof clock);
    memset(answers, 0, sizeof answers);
    memset(outcomes, 0, sizeof outcomes);
    memset(attempts, 0, sizeof attempts);
    memset(&failure, 0, sizeof failure);
    attempt_count = cancel_count = winner_count = failure_count = 0;
    winner[0] = '\0';
    every_code = 0;
    clock.now_us = 1000000;
    CU_ASSERT_EQUAL_FATAL(stk_loop_new_on(&clock_backend, &clock, &loop), 0);
    stk_resolver_set(loop, resolve, NULL);
}

static void begin(int family)
{
    CU_ASSERT_EQUAL_FATAL(stk_happy_start(&happy, loop, &type, "test", "host.example", family, 80),
                          0);
}

/* Runs until it has ended, or for a while. */
static void run(void)
{
    const uint64_t until_us = clock.now_us + 60000000;

    while (!winner_count && !failure_count && clock.now_us < until_us)
        stk_loop_turn(loop, 1000000);
    stk_happy_stop(&happy);
    for (int i = 0; i < 2; i++)
        if (answers[i].lookup) {
            stk_timer_stop(&answers[i].timer);
            give_answer(&answers[i].timer);
        }
    stk_loop_turn(loop, 0);
    stk_loop_free(loop);
    CU_ASSERT_TRUE(winner_count + failure_count <= 1);
}

static void expect_attempt(int i, const char *ip, uint64_t after_us)
{
    CU_ASSERT_STRING_EQUAL(attempts[i].ip, ip);
    CU_ASSERT_EQUAL(attempts[i].at_us, 1000000 + after_us);
}

/* --- Order and time ------------------------------------------------------------------------------
 */

static void families_alternate_beginning_with_ipv6(void)
{
    open_script();
    answers[0] = (struct answer){.ips = {"2001:db8::1", "2001:db8::2"}};
    answers[1] = (struct answer){.ips = {"192.0.2.1", "192.0.2.2"}};
    outcomes[0] = (struct outcome){.ip = "192.0.2.2", .after_us = 1000};
    begin(AF_UNSPEC);
    run();
    CU_ASSERT_EQUAL_FATAL(attempt_count, 4);
    expect_attempt(0, "2001:db8::1", 0);
    expect_attempt(1, "192.0.2.1", 250000);
    expect_attempt(2, "2001:db8::2", 500000);
    expect_attempt(3, "192.0.2.2", 750000);
    CU_ASSERT_STRING_EQUAL(winner, "192.0.2.2");
    CU_ASSERT_EQUAL(cancel_count, 3);
}

static void the_first_success_cancels_the_others(void)
{
    open_script();
    answers[0] = (struct answer){.ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.ips = {"192.0.2.1"}};
    outcomes[0] = (struct outcome){.ip = "2001:db8::1", .after_us = 300000};
    outcomes[1] = (struct outcome){.ip = "192.0.2.1", .after_us = 100000};
    begin(AF_UNSPEC);
    run();
    CU_ASSERT_STRING_EQUAL(winner, "2001:db8::1");
    CU_ASSERT_EQUAL(ended_us, 1300000);
    CU_ASSERT_EQUAL(cancel_count, 1);
}

static void a_failure_starts_the_next_attempt_at_once(void)
{
    open_script();
    answers[0] = (struct answer){.ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.ips = {"192.0.2.1"}};
    outcomes[0] = (struct outcome){"2001:db8::1", 20000, -ECONNREFUSED, {0}, 0};
    outcomes[1] = (struct outcome){.ip = "192.0.2.1", .after_us = 10000};
    begin(AF_UNSPEC);
    run();
    expect_attempt(1, "192.0.2.1", 20000);
    CU_ASSERT_STRING_EQUAL(winner, "192.0.2.1");
    CU_ASSERT_EQUAL(cancel_count, 0);
}

static void ipv4_waits_50_ms_for_the_answer_of_ipv6(void)
{
    open_script();
    answers[0] = (struct answer){.after_us = 30000, .ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.after_us = 10000, .ips = {"192.0.2.1"}};
    outcomes[0] = (struct outcome){.ip = "2001:db8::1", .after_us = 1000};
    begin(AF_UNSPEC);
    run();
    CU_ASSERT_EQUAL(attempt_count, 1);
    expect_attempt(0, "2001:db8::1", 30000);
}

static void ipv4_begins_after_50_ms_and_ipv6_follows_when_it_comes(void)
{
    open_script();
    answers[0] = (struct answer){.after_us = 100000, .ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.after_us = 10000, .ips = {"192.0.2.1", "192.0.2.2"}};
    outcomes[0] = (struct outcome){.ip = "2001:db8::1", .after_us = 1000};
    begin(AF_UNSPEC);
    run();
    expect_attempt(0, "192.0.2.1", 60000);
    expect_attempt(1, "2001:db8::1", 310000);
    CU_ASSERT_STRING_EQUAL(winner, "2001:db8::1");
}

static void a_name_without_ipv6_does_not_wait(void)
{
    open_script();
    answers[0] = (struct answer){.after_us = 5000};
    answers[1] = (struct answer){.after_us = 1000, .ips = {"192.0.2.1"}};
    outcomes[0] = (struct outcome){.ip = "192.0.2.1", .after_us = 1000};
    begin(AF_UNSPEC);
    run();
    expect_attempt(0, "192.0.2.1", 5000);
    CU_ASSERT_STRING_EQUAL(winner, "192.0.2.1");
}

static void an_answer_after_all_attempts_failed_is_still_used(void)
{
    open_script();
    answers[0] = (struct answer){.ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.after_us = 900000, .ips = {"192.0.2.1"}};
    outcomes[0] = (struct outcome){"2001:db8::1", 1000, -EHOSTUNREACH, {0}, 0};
    outcomes[1] = (struct outcome){.ip = "192.0.2.1", .after_us = 1000};
    begin(AF_UNSPEC);
    run();
    expect_attempt(1, "192.0.2.1", 900000);
    CU_ASSERT_STRING_EQUAL(winner, "192.0.2.1");
}

static void one_family_asks_for_that_one_only(void)
{
    open_script();
    answers[0] = (struct answer){.ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.after_us = NEVER};
    outcomes[0] = (struct outcome){.ip = "2001:db8::1", .after_us = 1000};
    begin(AF_INET6);
    CU_ASSERT_PTR_NULL(answers[1].lookup);
    run();
    CU_ASSERT_STRING_EQUAL(winner, "2001:db8::1");
}

/* --- Errors
 * ---------------------------------------------------------------------------------------- */

static void the_most_telling_error_names_every_address(void)
{
    open_script();
    answers[0] = (struct answer){.ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.ips = {"192.0.2.1", "192.0.2.2"}};
    outcomes[0] = (struct outcome){"2001:db8::1", 0, -ENETUNREACH, {0}, 0};
    outcomes[1] = (struct outcome){"192.0.2.1", 1000, -ECONNREFUSED, {0}, 0};
    outcomes[2] = (struct outcome){"192.0.2.2", 1000, -EHOSTUNREACH, {0}, 0};
    begin(AF_UNSPEC);
    run();
    CU_ASSERT_EQUAL(failure_count, 1);
    CU_ASSERT_EQUAL(failure.code, -ECONNREFUSED);
    CU_ASSERT_STRING_EQUAL(failure.layer, "test");
    CU_ASSERT_STRING_EQUAL(failure.text,
                           "connection refused: nothing listens on 192.0.2.1:80; tried as well: "
                           "[2001:db8::1]:80, 192.0.2.2:80");
}

static void a_name_that_is_not_found_says_why(void)
{
    open_script();
    begin(AF_UNSPEC);
    run();
    CU_ASSERT_EQUAL(failure.code, STK_ENAME);
    CU_ASSERT_STRING_EQUAL(failure.text, "can't find an address of host.example: no such name");
    CU_ASSERT_EQUAL(attempt_count, 0);
}

static void an_endless_list_of_addresses_still_makes_a_bounded_error(void)
{
    struct stk_addr addrs[STK_HAPPY_ADDRS_MAX + 8];
    char ip[40];

    open_script();
    for (int i = 0; i < STK_HAPPY_ADDRS_MAX + 8; i++) {
        snprintf(ip, sizeof ip, "2001:db8:1111:2222:3333:4444:5555:%x", i + 0x1000);
        stk_addr_parse_ip(&addrs[i], ip, 80);
    }
    every_code = -ETIMEDOUT;
    stk_happy_start_with(&happy, loop, &type, "test", addrs, STK_HAPPY_ADDRS_MAX + 8);
    CU_ASSERT_EQUAL(happy.count, STK_HAPPY_ADDRS_MAX);
    run();
    CU_ASSERT_EQUAL(attempt_count, STK_HAPPY_ADDRS_MAX);
    CU_ASSERT_EQUAL(failure.code, -ETIMEDOUT);
    CU_ASSERT_TRUE(strlen(failure.text) < STK_ERROR_TEXT_MAX);
    /* None is cut in two, and the rest is counted. */
    const char *last = strrchr(failure.text, ',');
    CU_ASSERT_PTR_NOT_NULL_FATAL(last);
    CU_ASSERT_STRING_EQUAL(last, ", 28 more");
}

static void nothing_is_called_after_a_stop(void)
{
    open_script();
    answers[0] = (struct answer){.ips = {"2001:db8::1"}};
    answers[1] = (struct answer){.after_us = 500000, .ips = {"192.0.2.1"}};
    outcomes[0] = (struct outcome){.ip = "2001:db8::1", .after_us = 900000};
    begin(AF_UNSPEC);
    while (attempt_count == 0)
        stk_loop_turn(loop, 1000000);
    stk_happy_stop(&happy);
    CU_ASSERT_EQUAL(cancel_count, 1);
    run();
    CU_ASSERT_EQUAL(attempt_count, 1);
    CU_ASSERT_EQUAL(winner_count + failure_count, 0);
}

static CU_TestInfo tests[] = {
    {"families alternate beginning with IPv6", families_alternate_beginning_with_ipv6},
    {"the first success cancels the others", the_first_success_cancels_the_others},
    {"a failure starts the next attempt at once", a_failure_starts_the_next_attempt_at_once},
    {"IPv4 waits 50 ms for the answer of IPv6", ipv4_waits_50_ms_for_the_answer_of_ipv6},
    {"IPv4 begins after 50 ms and IPv6 follows when it comes",
     ipv4_begins_after_50_ms_and_ipv6_follows_when_it_comes},
    {"a name without IPv6 does not wait", a_name_without_ipv6_does_not_wait},
    {"an answer after all attempts failed is still used",
     an_answer_after_all_attempts_failed_is_still_used},
    {"one family asks for that one only", one_family_asks_for_that_one_only},
    {"the most telling error names every address", the_most_telling_error_names_every_address},
    {"a name that is not found says why", a_name_that_is_not_found_says_why},
    {"an endless list of addresses still makes a bounded error",
     an_endless_list_of_addresses_still_makes_a_bounded_error},
    {"nothing is called after a stop", nothing_is_called_after_a_stop},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("happy", tests)
