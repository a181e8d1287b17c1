/*
 * The one door to the heap. Tests replace it to count, to fail the n-th call, to find leaks.
 */
#ifndef STK_BASE_ALLOC_H
#define STK_BASE_ALLOC_H

#include <stddef.h>

/* One function does it all: size 0 frees, block NULL allocates. Returns NULL on failure. */
typedef void *stk_alloc_fn(void *context, void *block, size_t size);

/* Replaces the heap for the whole process; NULL restores libc's. Call before anything else. */
void stk_alloc_hook(stk_alloc_fn *fn, void *context);

void *stk_alloc(size_t size);                /* not initialised; NULL on failure */
void *stk_alloc_zero(size_t size);           /* zeroed */
void *stk_realloc(void *block, size_t size); /* size > 0 */
void stk_free(void *block);                  /* NULL is allowed */
char *stk_strdup(const char *text);

#endif
