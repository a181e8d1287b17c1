/* Goal: the hook sees every block once on its way in and out, and can refuse any. */
#include "alloc.h"
#include "fault.h"
#include "harness.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static void every_block_passes_the_hook(void)
{
    uint8_t *zeroed;
    char *text;
    void *empty;

    fault_heap_install();
    zeroed = stk_alloc_zero(64);
    text = stk_strdup("text");
    empty = stk_alloc(0);
    CU_ASSERT_EQUAL(zeroed[0] | zeroed[63], 0);
    CU_ASSERT_STRING_EQUAL(text, "text");
    CU_ASSERT_PTR_NOT_NULL(empty);
    CU_ASSERT_EQUAL(fault_heap_live(), 3);
    text = stk_realloc(text, 100);
    CU_ASSERT_STRING_EQUAL(text, "text");
    CU_ASSERT_EQUAL(fault_heap_live(), 3);
    CU_ASSERT_EQUAL(fault_heap_calls(), 4);
    stk_free(zeroed);
    stk_free(text);
    stk_free(empty);
    stk_free(NULL);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static void a_refused_allocation_leaves_the_old_block(void)
{
    char *text;

    fault_heap_install();
    fault_heap_fail(2, FAULT_ONCE);
    text = stk_strdup("text");
    CU_ASSERT_FALSE(fault_heap_has_failed());
    CU_ASSERT_PTR_NULL(stk_realloc(text, 100));
    CU_ASSERT_TRUE(fault_heap_has_failed());
    CU_ASSERT_STRING_EQUAL(text, "text");
    fault_heap_fail(1, FAULT_FROM_THEN_ON);
    CU_ASSERT_PTR_NULL(stk_alloc(1));
    CU_ASSERT_PTR_NULL(stk_alloc_zero(1));
    CU_ASSERT_PTR_NULL(stk_strdup("x"));
    CU_ASSERT_EQUAL(fault_heap_live(), 1);
    stk_free(text);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static void a_system_call_fails_at_its_nth_call(void)
{
    int fd;

    fault_sys_install();
    fault_sys_fail(FAULT_SOCKET, 2, EMFILE, FAULT_ONCE);
    fd = stk_sys.socket(AF_UNIX, SOCK_STREAM, 0);
    CU_ASSERT_TRUE(fd >= 0);
    CU_ASSERT_EQUAL(stk_sys.socket(AF_UNIX, SOCK_STREAM, 0), -1);
    CU_ASSERT_EQUAL(errno, EMFILE);
    CU_ASSERT_EQUAL(stk_sys.close(fd), 0);
    fd = stk_sys.socket(AF_UNIX, SOCK_STREAM, 0);
    CU_ASSERT_TRUE(fd >= 0);
    CU_ASSERT_EQUAL(stk_sys.close(fd), 0);
    CU_ASSERT_EQUAL(fault_sys_calls(FAULT_SOCKET), 3);
    CU_ASSERT_EQUAL(fault_sys_closes(), 2);
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_SOCKET));
    fault_sys_remove();
}

static CU_TestInfo tests[] = {
    {"every block passes the hook", every_block_passes_the_hook},
    {"a refused allocation leaves the old block", a_refused_allocation_leaves_the_old_block},
    {"a system call fails at its n-th call", a_system_call_fails_at_its_nth_call},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("alloc", tests)
