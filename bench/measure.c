#include "measure.h"

#include "machine.h"

#include <sys/resource.h>
#include <time.h>

uint64_t clock_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t time_us(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static uint64_t cpu_now_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return time_us(usage.ru_utime) + time_us(usage.ru_stime);
}

static uint64_t peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss;
}

void meter_init(struct meter *meter, struct measure *measure, uint64_t warm_us, uint64_t window_us)
{
    *meter = (struct meter){.measure = measure, .warm_us = warm_us, .window_us = window_us};
}

static struct measure snapshot(const struct meter *meter, uint64_t now_us)
{
    const struct machine machine = machine_now();

    return (struct measure){.bytes = meter->measure->total_bytes,
                            .time_us = now_us,
                            .cpu_us = cpu_now_us(),
                            .machine_us = machine.used_us,
                            .steal_us = machine.steal_us};
}

static void end_window(struct meter *meter, uint64_t now_us)
{
    const struct measure end = snapshot(meter, now_us);

    meter->measure->bytes = end.bytes - meter->at_begin.bytes;
    meter->measure->time_us = end.time_us - meter->at_begin.time_us;
    meter->measure->cpu_us = end.cpu_us - meter->at_begin.cpu_us;
    meter->measure->machine_us = end.machine_us - meter->at_begin.machine_us;
    meter->measure->steal_us = end.steal_us - meter->at_begin.steal_us;
    meter->over = true;
}

static void note(struct timeline *timeline, uint64_t now_us, size_t bytes)
{
    if (timeline->begin_us == 0)
        timeline->begin_us = now_us;
    const uint64_t ms = (now_us - timeline->begin_us) / 1000;
    if (ms < TIMELINE_MS)
        timeline->bytes[ms] += bytes;
}

bool meter_count(struct meter *meter, size_t bytes)
{
    meter->measure->total_bytes += bytes;
    if (meter->over)
        return true;
    const uint64_t now_us = clock_now_us();
    if (meter->first_us == 0)
        meter->first_us = now_us;
    if (meter->timeline)
        note(meter->timeline, now_us, bytes);
    if (!meter->begun && now_us - meter->first_us >= meter->warm_us) {
        meter->begun = true;
        meter->at_begin = snapshot(meter, now_us);
    }
    if (meter->begun && now_us - meter->at_begin.time_us >= meter->window_us)
        end_window(meter, now_us);
    return meter->over;
}

void meter_finish(struct meter *meter)
{
    if (meter->begun && !meter->over)
        end_window(meter, clock_now_us());
    meter->measure->peak_kib = peak_kib();
    meter->measure->complete = meter->over;
}
