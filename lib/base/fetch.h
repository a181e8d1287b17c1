/*
 * Asks the processor for memory that is about to be used, so that what lies there is fetched all at
 * once, and while other work goes on. Touches nothing: any address will do.
 */
#ifndef STK_BASE_FETCH_H
#define STK_BASE_FETCH_H

#include <stddef.h>

enum { STK_CACHE_LINE = 64 };

static inline void stk_fetch(const void *at, size_t len)
{
    for (size_t i = 0; i < len; i += STK_CACHE_LINE)
        __builtin_prefetch((const char *)at + i, 1);
}

#endif
