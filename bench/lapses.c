#include "lapses.h"

#include <stdlib.h>
#include <time.h>

uint64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool lapses_add(struct lapses *lapses, uint64_t since_ns)
{
    const uint64_t ns = clock_now_ns() - since_ns;

    if (lapses->count == LAPSES_MAX)
        return false;
    lapses->ns[lapses->count++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
    return true;
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

double lapses_quantile_us(struct lapses *lapses, double quantile)
{
    if (lapses->count == 0)
        return 0;
    qsort(lapses->ns, lapses->count, sizeof lapses->ns[0], compare);
    return lapses->ns[(size_t)(quantile * (double)(lapses->count - 1))] * 1e-3;
}
