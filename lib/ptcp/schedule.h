/*
 * Which connection is due next: a heap of four branches with lazy keys. Moving a deadline to a
 * later time touches nothing; the heap learns of it when the old time comes up. The keys stand in
 * the heap, so that it can be put in order without a look at connections, which lie far apart.
 */
#ifndef STK_PTCP_SCHEDULE_H
#define STK_PTCP_SCHEDULE_H

#include <stdint.h>

enum { PTCP_SCHEDULE_NONE = 0xffffffff };

enum ptcp_alarm_kind { PTCP_ALARM_CONN, PTCP_ALARM_PATH, PTCP_ALARM_SILENCE };

struct ptcp_alarm {
    uint64_t due_us; /* when it shall ring; UINT64_MAX: never */
    uint32_t index;  /* PTCP_SCHEDULE_NONE: not in the heap */
    uint8_t kind;    /* enum ptcp_alarm_kind */
};

struct ptcp_entry {
    uint64_t key_us; /* never later than the alarm's due_us */
    struct ptcp_alarm *alarm;
};

struct ptcp_schedule {
    struct ptcp_entry *heap;
    uint32_t count, capacity;
    uint32_t reserved; /* alarms that exist, in the heap or not */
};

void ptcp_schedule_free(struct ptcp_schedule *schedule);
/* Room for one more alarm, so that setting it can't fail. 0 or -ENOMEM. */
int ptcp_schedule_join(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm,
                       enum ptcp_alarm_kind kind);
void ptcp_schedule_leave(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm);
void ptcp_schedule_set(struct ptcp_schedule *schedule, struct ptcp_alarm *alarm, uint64_t due_us);
/* UINT64_MAX if nothing is set. */
uint64_t ptcp_schedule_next_us(struct ptcp_schedule *schedule);
/* Takes out one alarm that is due, or NULL. */
struct ptcp_alarm *ptcp_schedule_pop(struct ptcp_schedule *schedule, uint64_t now_us);

#endif
