#include "schedule.h"

#include "alloc.h"
#include "error.h"

#include <assert.h>

void ptcp_schedule_free(struct ptcp_schedule *schedule)
{
    assert(schedule->reserved == 0);
    stk_free(schedule->heap);
    *schedule = (struct ptcp_schedule){0};
}

int ptcp_schedule_join(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm)
{
    if (schedule->reserved == schedule->capacity) {
        const uint32_t capacity = schedule->capacity ? schedule->capacity * 2 : 2;
        struct ptcp_alarm **heap =
            stk_realloc(schedule->heap, capacity * sizeof(struct ptcp_alarm *));

        if (!heap)
            return -ENOMEM;
        schedule->heap = heap;
        schedule->capacity = capacity;
    }
    schedule->reserved++;
    *alarm = (struct ptcp_alarm){UINT64_MAX, UINT64_MAX, PTCP_SCHEDULE_NONE, false};
    return 0;
}

static void put(struct ptcp_schedule *schedule, uint32_t index, struct ptcp_alarm *alarm)
{
    schedule->heap[index] = alarm;
    alarm->index = index;
}

static void rise(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm)
{
    uint32_t i = alarm->index;

    while (i > 0 && schedule->heap[(i - 1) / 2]->key_us > alarm->key_us) {
        put(schedule, i, schedule->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(schedule, i, alarm);
}

static void sink(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm)
{
    uint32_t i = alarm->index;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child + 1 < schedule->count &&
            schedule->heap[child + 1]->key_us < schedule->heap[child]->key_us)
            child++;
        if (child >= schedule->count || schedule->heap[child]->key_us >= alarm->key_us)
            break;
        put(schedule, i, schedule->heap[child]);
        i = child;
    }
    put(schedule, i, alarm);
}

static void take_out(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm)
{
    const uint32_t index = alarm->index;
    struct ptcp_alarm *last = schedule->heap[--schedule->count];

    alarm->index = PTCP_SCHEDULE_NONE;
    if (last == alarm)
        return;
    put(schedule, index, last);
    sink(schedule, last);
    rise(schedule, last);
}

void ptcp_schedule_leave(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm)
{
    if (alarm->index != PTCP_SCHEDULE_NONE)
        take_out(schedule, alarm);
    assert(schedule->reserved > 0);
    schedule->reserved--;
}

void ptcp_schedule_set(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm, uint64_t due_us)
{
    alarm->due_us = due_us;
    if (alarm->index == PTCP_SCHEDULE_NONE) {
        if (due_us == UINT64_MAX)
            return;
        alarm->key_us = due_us;
        alarm->index = schedule->count++;
        rise(schedule, alarm);
    } else if (due_us < alarm->key_us) {
        alarm->key_us = due_us;
        rise(schedule, alarm);
    }
}

/* Moves alarms whose time was put off to where they belong, until the top one is true. */
static struct ptcp_alarm *settle(struct ptcp_schedule *schedule)
{
    while (schedule->count > 0) {
        struct ptcp_alarm *top = schedule->heap[0];

        if (top->key_us == top->due_us)
            return top;
        if (top->due_us == UINT64_MAX) {
            take_out(schedule, top);
        } else {
            top->key_us = top->due_us;
            sink(schedule, top);
        }
    }
    return NULL;
}

uint64_t ptcp_schedule_next_us(struct ptcp_schedule *schedule)
{
    const struct ptcp_alarm *top = settle(schedule);

    return top ? top->due_us : UINT64_MAX;
}

struct ptcp_alarm *ptcp_schedule_pop(struct ptcp_schedule *schedule, uint64_t now_us)
{
    struct ptcp_alarm *top = settle(schedule);

    if (!top || top->due_us > now_us)
        return NULL;
    take_out(schedule, top);
    top->due_us = UINT64_MAX;
    return top;
}
