#include "machine.h"

#include <stdio.h>
#include <unistd.h>

/* The line's numbers are user, nice, system, idle, iowait, irq, softirq, steal. */
struct machine machine_now(void)
{
    const uint64_t tick_us = 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    unsigned long long t[8] = {0};
    struct machine now = {0};
    FILE *file = fopen("/proc/stat", "r");

    if (!file)
        return now;
    if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
               &t[4], &t[5], &t[6], &t[7]) == 8) {
        now.used_us = (t[0] + t[1] + t[2] + t[5] + t[6]) * tick_us;
        now.steal_us = t[7] * tick_us;
    }
    fclose(file);
    return now;
}
