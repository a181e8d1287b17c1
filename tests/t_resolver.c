/*
 * Goal: names become addresses without holding up the loop, and whoever gives up hears nothing.
 * Method: the system's resolver with names that need no network, and resolvers of the test's own.
 */
#include "fault.h"
#include "harness.h"
#include "resolver.h"

#include <string.h>

static struct stk_loop *loop;
static unsigned told;
static int told_family, told_count;
static struct stk_addr told_addrs[STK_LOOKUP_ADDRS_MAX];
static char told_reason[100];
static int user_mark;

static void open_loop(void)
{
    told = 0;
    told_count = -1;
    told_reason[0] = '\0';
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
}

static void on_done(void *user, int family, const struct stk_addr *addrs, int count,
                    const char *reason)
{
    CU_ASSERT_PTR_EQUAL(user, &user_mark);
    told++;
    told_family = family;
    told_count = count;
    memcpy(told_addrs, addrs, sizeof *addrs * (size_t)count);
    snprintf(told_reason, sizeof told_reason, "%s", reason);
}

static struct stk_lookup *start(const char *name, int family)
{
    struct stk_lookup *lookup = NULL;

    CU_ASSERT_EQUAL_FATAL(stk_lookup_start(loop, name, family, 443, on_done, &user_mark, &lookup),
                          0);
    return lookup;
}

static void wait_told(void)
{
    while (told == 0)
        stk_loop_turn(loop, 1000000);
}

static void the_system_knows_numbers_and_sets_the_port(void)
{
    char text[STK_ADDR_TEXT_MAX];

    open_loop();
    start("127.0.0.1", AF_INET);
    CU_ASSERT_EQUAL(told, 0);
    wait_told();
    CU_ASSERT_EQUAL(told_family, AF_INET);
    CU_ASSERT_EQUAL_FATAL(told_count, 1);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&told_addrs[0], text), "127.0.0.1:443");
    stk_loop_free(loop);
}

static void an_address_of_the_other_family_is_none(void)
{
    open_loop();
    start("127.0.0.1", AF_INET6);
    wait_told();
    CU_ASSERT_EQUAL(told_count, 0);
    CU_ASSERT_TRUE(told_reason[0] != '\0');
    stk_loop_free(loop);
}

static void who_gives_up_hears_nothing(void)
{
    open_loop();
    for (int turns = 0; turns < 3; turns++) {
        struct stk_lookup *lookup = start("127.0.0.1", AF_INET);
        stk_lookup_cancel(lookup);
        for (int i = 0; i < turns; i++)
            stk_loop_turn(loop, 10000);
    }
    CU_ASSERT_EQUAL(told, 0);
    stk_loop_free(loop);
    CU_ASSERT_EQUAL(told, 0);
}

static void a_loop_that_goes_takes_its_look_ups_with_it(void)
{
    open_loop();
    start("127.0.0.1", AF_INET);
    start("127.0.0.1", AF_INET6);
    stk_loop_free(loop);
}

/* --- Resolvers of the program's own
 * ------------------------------------------------------------------ */

static struct stk_lookup *kept;

static void answer_at_once(void *context, struct stk_lookup *lookup)
{
    struct stk_addr addrs[STK_LOOKUP_ADDRS_MAX + 4];

    CU_ASSERT_PTR_EQUAL(context, &told);
    CU_ASSERT_STRING_EQUAL(stk_lookup_name(lookup), "host.example");
    for (int i = 0; i < STK_LOOKUP_ADDRS_MAX + 4; i++)
        stk_addr_parse_ip(&addrs[i], i == 0 ? "2001:db8::1" : "192.0.2.1", 0);
    stk_lookup_answer(lookup, addrs, STK_LOOKUP_ADDRS_MAX + 4);
}

static void keep(void *context, struct stk_lookup *lookup)
{
    (void)context;
    kept = lookup;
}

static void an_answer_at_once_is_told_from_the_loop(void)
{
    open_loop();
    CU_ASSERT_EQUAL(stk_resolver_set(loop, answer_at_once, &told), 0);
    start("host.example", AF_INET);
    CU_ASSERT_EQUAL(told, 0);
    wait_told();
    /* The other family's address is left out, and there is a bound. */
    CU_ASSERT_EQUAL(told_count, STK_LOOKUP_ADDRS_MAX);
    CU_ASSERT_EQUAL(told_addrs[0].any.sa_family, AF_INET);
    CU_ASSERT_EQUAL(stk_addr_port(&told_addrs[0]), 443);
    stk_loop_free(loop);
}

static void a_late_answer_and_a_failure_are_told(void)
{
    struct stk_addr addr;

    open_loop();
    stk_resolver_set(loop, keep, NULL);
    start("host.example", AF_INET6);
    stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(told, 0);
    CU_ASSERT_EQUAL(stk_lookup_family(kept), AF_INET6);
    stk_addr_parse_ip(&addr, "2001:db8::1", 0);
    stk_lookup_answer(kept, &addr, 1);
    wait_told();
    CU_ASSERT_EQUAL(told_count, 1);

    told = 0;
    start("host.example", AF_INET6);
    stk_lookup_fail(kept, "the zone is gone");
    wait_told();
    CU_ASSERT_EQUAL(told_count, 0);
    CU_ASSERT_STRING_EQUAL(told_reason, "the zone is gone");
    stk_loop_free(loop);
}

static void answering_who_has_given_up_is_harmless(void)
{
    struct stk_addr addr;

    open_loop();
    stk_resolver_set(loop, keep, NULL);
    stk_lookup_cancel(start("host.example", AF_INET));
    stk_addr_parse_ip(&addr, "192.0.2.1", 0);
    stk_lookup_answer(kept, &addr, 1);
    stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(told, 0);
    stk_loop_free(loop);
}

static void null_brings_the_system_back(void)
{
    open_loop();
    stk_resolver_set(loop, keep, NULL);
    stk_resolver_set(loop, NULL, NULL);
    start("127.0.0.1", AF_INET);
    wait_told();
    CU_ASSERT_EQUAL(told_count, 1);
    stk_loop_free(loop);
}

static void what_cannot_be_asked_is_an_error_at_once(void)
{
    char name[400];
    struct stk_lookup *lookup;

    open_loop();
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CU_ASSERT_EQUAL(stk_lookup_start(loop, name, AF_INET, 1, on_done, &user_mark, &lookup),
                    -ENAMETOOLONG);
    stk_loop_free(loop);

    fault_heap_install();
    open_loop();
    fault_heap_fail(1, FAULT_ONCE);
    CU_ASSERT_EQUAL(stk_lookup_start(loop, "x", AF_INET, 1, on_done, &user_mark, &lookup), -ENOMEM);
    fault_heap_fail(1, FAULT_ONCE);
    CU_ASSERT_EQUAL(stk_resolver_set(loop, keep, NULL), -ENOMEM);
    fault_heap_fail(0, FAULT_ONCE);
    stk_loop_free(loop);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static CU_TestInfo tests[] = {
    {"the system knows numbers and sets the port", the_system_knows_numbers_and_sets_the_port},
    {"an address of the other family is none", an_address_of_the_other_family_is_none},
    {"who gives up hears nothing", who_gives_up_hears_nothing},
    {"a loop that goes takes its look-ups with it", a_loop_that_goes_takes_its_look_ups_with_it},
    {"an answer at once is told from the loop", an_answer_at_once_is_told_from_the_loop},
    {"a late answer and a failure are told", a_late_answer_and_a_failure_are_told},
    {"answering who has given up is harmless", answering_who_has_given_up_is_harmless},
    {"null brings the system back", null_brings_the_system_back},
    {"what cannot be asked is an error at once", what_cannot_be_asked_is_an_error_at_once},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("resolver", tests)
