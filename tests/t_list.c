/* Goal: lists keep their order, and nodes may leave while the list is walked. */
#include "harness.h"
#include "list.h"

#include <string.h>

struct letter {
    char letter;
    struct stk_node node;
};

static struct stk_node list;
static struct letter letters[4];

static void begin(void)
{
    stk_list_init(&list);
    for (int i = 0; i < 4; i++) {
        letters[i].letter = (char)('a' + i);
        stk_list_init(&letters[i].node);
    }
}

static const char *text(void)
{
    static char out[8];
    size_t len = 0;

    STK_LIST_EACH(node, &list)
    out[len++] = STK_CONTAINER(node, struct letter, node)->letter;
    out[len] = '\0';
    return out;
}

static void nodes_keep_their_order(void)
{
    begin();
    CU_ASSERT_TRUE(stk_list_empty(&list));
    stk_list_append(&list, &letters[1].node);
    stk_list_append(&list, &letters[3].node);
    stk_list_prepend(&list, &letters[0].node);
    stk_list_insert_before(&letters[3].node, &letters[2].node);
    CU_ASSERT_STRING_EQUAL(text(), "abcd");
    CU_ASSERT_PTR_EQUAL(stk_list_pop(&list), &letters[0].node);
    CU_ASSERT_STRING_EQUAL(text(), "bcd");
}

static void removing_twice_is_harmless(void)
{
    begin();
    stk_list_append(&list, &letters[0].node);
    stk_list_append(&list, &letters[1].node);
    stk_list_remove(&letters[0].node);
    stk_list_remove(&letters[0].node);
    CU_ASSERT_STRING_EQUAL(text(), "b");
    CU_ASSERT_TRUE(stk_list_empty(&letters[0].node));
    stk_list_remove(&letters[1].node);
    CU_ASSERT_PTR_NULL(stk_list_pop(&list));
}

static void the_visited_node_may_leave(void)
{
    int visited = 0;

    begin();
    for (int i = 0; i < 4; i++)
        stk_list_append(&list, &letters[i].node);
    STK_LIST_EACH(node, &list)
    {
        if (visited++ % 2)
            stk_list_remove(node);
    }
    CU_ASSERT_EQUAL(visited, 4);
    CU_ASSERT_STRING_EQUAL(text(), "ac");
}

static CU_TestInfo tests[] = {
    {"nodes keep their order", nodes_keep_their_order},
    {"removing twice is harmless", removing_twice_is_harmless},
    {"the visited node may leave", the_visited_node_may_leave},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("list", tests)
