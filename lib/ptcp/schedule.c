#include "schedule.h"

#include "alloc.h"
#include "error.h"

#include <assert.h>

enum { BRANCHES = 4, START = 2 };

void ptcp_schedule_free(struct ptcp_schedule *schedule)
{
    assert(schedule->reserved == 0);
    stk_free(schedule->heap);
    *schedule = (struct ptcp_schedule){0};
}

int ptcp_schedule_join(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm,
                       enum ptcp_alarm_kind kind)
{
    if (schedule->reserved == schedule->capacity) {
        const uint32_t capacity = schedule->capacity ? schedule->capacity * 2 : START;
        struct ptcp_entry *heap = stk_realloc(schedule->heap, capacity * sizeof(struct ptcp_entry));

        if (!heap)
            return -ENOMEM;
        schedule->heap = heap;
        schedule->capacity = capacity;
    }
    schedule->reserved++;
    *alarm = (struct ptcp_alarm){UINT64_MAX, PTCP_SCHEDULE_NONE, (uint8_t)kind};
    return 0;
}

static void put(struct ptcp_schedule *schedule, uint32_t index, struct ptcp_entry entry)
{
    schedule->heap[index] = entry;
    entry.alarm->index = index;
}

static void rise(struct ptcp_schedule *schedule, uint32_t i, struct ptcp_entry entry)
{
    while (i > 0 && schedule->heap[(i - 1) / BRANCHES].key_us > entry.key_us) {
        put(schedule, i, schedule->heap[(i - 1) / BRANCHES]);
        i = (i - 1) / BRANCHES;
    }
    put(schedule, i, entry);
}

static uint32_t first_child(const struct ptcp_schedule *schedule, uint32_t i)
{
    uint32_t child = BRANCHES * i + 1, first = child;
    const uint32_t end = schedule->count - child < BRANCHES ? schedule->count : child + BRANCHES;

    while (++child < end)
        if (schedule->heap[child].key_us < schedule->heap[first].key_us)
            first = child;
    return first;
}

static void sink(struct ptcp_schedule *schedule, uint32_t i, struct ptcp_entry entry)
{
    while (BRANCHES * (uint64_t)i + 1 < schedule->count) {
        const uint32_t child = first_child(schedule, i);

        if (schedule->heap[child].key_us >= entry.key_us)
            break;
        put(schedule, i, schedule->heap[child]);
        i = child;
    }
    put(schedule, i, entry);
}

static void take_out(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm)
{
    const uint32_t index = alarm->index;
    const struct ptcp_entry last = schedule->heap[--schedule->count];

    alarm->index = PTCP_SCHEDULE_NONE;
    if (last.alarm == alarm)
        return;
    if (index > 0 && schedule->heap[(index - 1) / BRANCHES].key_us > last.key_us)
        rise(schedule, index, last);
    else
        sink(schedule, index, last);
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
    const struct ptcp_entry entry = {due_us, alarm};

    alarm->due_us = due_us;
    if (alarm->index != PTCP_SCHEDULE_NONE) {
        if (due_us < schedule->heap[alarm->index].key_us)
            rise(schedule, alarm->index, entry);
    } else if (due_us != UINT64_MAX) {
        rise(schedule, schedule->count++, entry);
    }
}

/* Moves alarms whose time was put off to where they belong, until the top one is true. */
static struct ptcp_alarm *settle(struct ptcp_schedule *schedule)
{
    while (schedule->count > 0) {
        const struct ptcp_entry top = schedule->heap[0];

        if (top.key_us == top.alarm->due_us)
            return top.alarm;
        if (top.alarm->due_us == UINT64_MAX)
            take_out(schedule, top.alarm);
        else
            sink(schedule, 0, (struct ptcp_entry){top.alarm->due_us, top.alarm});
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
