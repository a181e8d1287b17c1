/*
 * What one side of a transfer measures: bytes, time and CPU inside a window that opens some time
 * after the first byte, so that start-up is left out. Times are microseconds.
 */
#ifndef STK_BENCH_MEASURE_H
#define STK_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct measure {
    uint64_t bytes, time_us, cpu_us; /* inside the window */
    uint64_t machine_us;             /* of all processors, this process or not */
    uint64_t steal_us;               /* what the host of a virtual machine took */
    uint64_t total_bytes;            /* of the whole transfer */
    uint64_t peak_kib;               /* of resident memory */
    bool complete;                   /* the side ran to its end */
};

enum { TIMELINE_MS = 5000 };

/* Bytes of each millisecond after the first byte. */
struct timeline {
    uint64_t begin_us;
    uint64_t bytes[TIMELINE_MS];
};

struct meter {
    struct measure *measure;
    struct timeline *timeline; /* NULL: none is kept */
    uint64_t warm_us, window_us;
    uint64_t first_us; /* of the first byte; 0: none yet */
    struct measure at_begin;
    bool begun, over;
};

void meter_init(struct meter *meter, struct measure *measure, uint64_t warm_us, uint64_t window_us);
/* Counts bytes that moved just now. True from the end of the window on. */
bool meter_count(struct meter *meter, size_t bytes);
/* The side is done; a window that is still open ends here. */
void meter_finish(struct meter *meter);

uint64_t clock_now_us(void);

#endif
