#include "alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *libc_heap(void *context, void *block, size_t size)
{
    (void)context;
    if (size > 0)
        return realloc(block, size);
    free(block);
    return NULL;
}

static stk_alloc_fn *heap = libc_heap;
static void *heap_context;

void stk_alloc_hook(stk_alloc_fn *fn, void *context)
{
    heap = fn ? fn : libc_heap;
    heap_context = context;
}

void *stk_alloc(size_t size)
{
    /* Zero would mean "free" to the hook. */
    return heap(heap_context, NULL, size > 0 ? size : 1);
}

void *stk_alloc_zero(size_t size)
{
    void *block = stk_alloc(size);

    if (block)
        memset(block, 0, size);
    return block;
}

void *stk_realloc(void *block, size_t size)
{
    assert(size > 0);
    return heap(heap_context, block, size);
}

void stk_free(void *block)
{
    if (block)
        heap(heap_context, block, 0);
}

char *stk_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = stk_alloc(size);

    if (copy)
        memcpy(copy, text, size);
    return copy;
}
