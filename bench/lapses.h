/* Times that something took, in nanoseconds, and their quantiles. */
#ifndef STK_BENCH_LAPSES_H
#define STK_BENCH_LAPSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LAPSES_MAX = 1000000 };

struct lapses {
    size_t count;
    uint32_t ns[LAPSES_MAX];
};

uint64_t clock_now_ns(void);
/* Of what began at since_ns and ends now. False once there are LAPSES_MAX of them. */
bool lapses_add(struct lapses *lapses, uint64_t since_ns);
/* Sorts them. quantile: 0 to 1. In microseconds; 0 if there are none. */
double lapses_quantile_us(struct lapses *lapses, double quantile);

#endif
