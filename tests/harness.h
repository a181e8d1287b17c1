/*
 * What every test program shares: run an array of cases, verbosely, within a time limit.
 *
 *     static CU_TestInfo tests[] = {{"a sentence", a_sentence}, CU_TEST_INFO_NULL};
 *     STK_TEST_MAIN("noun", tests)
 *
 * Each failing assertion prints a line with its file and line number. The program returns 0
 * when all cases pass and 1 when one fails or the time is over.
 */
#ifndef STK_TESTS_HARNESS_H
#define STK_TESTS_HARNESS_H

#include <CUnit/Basic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STK_TEST_LIMIT_S = 120 }; /* STK_TEST_LIMIT in the environment replaces it */

/* A case that can't run here says why; it counts as passed. */
static inline void stk_test_skip(const char *why) { printf("\n    skipped: %s\n", why); }

static inline void stk_test_out_of_time(int signo)
{
    static const char text[] = "\ntime limit is over: a test hangs\n";

    (void)signo;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(2);
    _exit(1);
}

static inline void stk_test_set_limit(unsigned limit_s)
{
    const char *asked = getenv("STK_TEST_LIMIT");

    signal(SIGALRM, stk_test_out_of_time);
    alarm(asked ? (unsigned)strtoul(asked, NULL, 10) : limit_s);
}

static inline int stk_test_run(const char *name, CU_TestInfo *tests, unsigned limit_s)
{
    CU_SuiteInfo suites[] = {{name, NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
    unsigned failed;

    /* Unbuffered, so that a crash or a hang shows how far the program came. */
    setvbuf(stdout, NULL, _IONBF, 0);
    stk_test_set_limit(limit_s);
    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    if (CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}

#define STK_TEST_MAIN_WITHIN(name, tests, limit_s)                                                 \
    int main(void) { return stk_test_run(name, tests, limit_s); }
#define STK_TEST_MAIN(name, tests) STK_TEST_MAIN_WITHIN(name, tests, STK_TEST_LIMIT_S)

#endif
