/* Goal: every code has a phrase, long errors are cut, and log lines reach the hook alone. */
#include "error.h"
#include "harness.h"
#include "log.h"

#include <stdint.h>
#include <string.h>

static void every_code_has_a_phrase_of_its_own(void)
{
    for (int code = STK_ETRUNCATED; code >= STK_ESHUTDOWN; code--) {
        CU_ASSERT_STRING_NOT_EQUAL(stk_strerror(code), "unknown error");
        CU_ASSERT_STRING_NOT_EQUAL(stk_strerror(code), stk_strerror(code + 1));
    }
    CU_ASSERT_STRING_EQUAL(stk_strerror(-ENOENT), strerror(ENOENT));
    CU_ASSERT_STRING_EQUAL(stk_strerror(0), "no error");
}

static void codes_that_nobody_gave_out_are_unknown(void)
{
    CU_ASSERT_STRING_EQUAL(stk_strerror(-999), "unknown error");
    CU_ASSERT_STRING_EQUAL(stk_strerror(-5000), "unknown error");
    CU_ASSERT_STRING_EQUAL(stk_strerror(5), "unknown error");
    CU_ASSERT_STRING_EQUAL(stk_strerror(INT32_MIN), "unknown error");
}

static void long_texts_are_cut(void)
{
    struct stk_error error;
    char text[1000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CU_ASSERT_EQUAL(stk_error_set(&error, -EPIPE, text, "%s", text), -EPIPE);
    CU_ASSERT_EQUAL(error.code, -EPIPE);
    CU_ASSERT_EQUAL(strlen(error.layer), STK_ERROR_LAYER_MAX - 1);
    CU_ASSERT_EQUAL(strlen(error.text), STK_ERROR_TEXT_MAX - 1);
    stk_error_set(&error, STK_ENAME, "tcp", "no %s", "host");
    CU_ASSERT_STRING_EQUAL(error.layer, "tcp");
    CU_ASSERT_STRING_EQUAL(error.text, "no host");
}

static char logged[64];

static void keep(void *context, enum stk_log_level level, const char *room, const char *text)
{
    (void)context;
    snprintf(logged, sizeof logged, "%d %s %s", (int)level, room, text);
}

static void log_lines_reach_the_hook_down_to_its_level(void)
{
    stk_log(STK_LOG_ERROR, "base", "nobody listens");
    stk_log_hook(keep, NULL, STK_LOG_WARN);
    stk_log(STK_LOG_INFO, "base", "too much");
    CU_ASSERT_STRING_EQUAL(logged, "");
    stk_log(STK_LOG_WARN, "base", "line %d", 1);
    CU_ASSERT_STRING_EQUAL(logged, "1 base line 1");
    stk_log_hook(NULL, NULL, STK_LOG_ERROR);
    stk_log(STK_LOG_ERROR, "base", "line 2");
    CU_ASSERT_STRING_EQUAL(logged, "1 base line 1");
}

static CU_TestInfo tests[] = {
    {"every code has a phrase of its own", every_code_has_a_phrase_of_its_own},
    {"codes that nobody gave out are unknown", codes_that_nobody_gave_out_are_unknown},
    {"long texts are cut", long_texts_are_cut},
    {"log lines reach the hook down to its level", log_lines_reach_the_hook_down_to_its_level},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("error", tests)
