/*
 * Asks the processor for memory that is about to be used, so that what lies there is fetched all at
 * once, and while other work goes on. Touches nothing: any address will do.
 */
#ifndef STK_BASE_FETCH_H
#define STK_BASE_FETCH_H

#include <stddef.h>
#include <stdint.h>

enum { STK_CACHE_LINE = 64 };

static inline void stk_fetch(const void *at, size_t len)
{
    const uintptr_t first = (uintptr_t)at; /* no arithmetic on what may be NULL */

    for (size_t i = 0; i < len; i += STK_CACHE_LINE)
        __builtin_prefetch((const void *)(first + i), 1);
}

#endif
