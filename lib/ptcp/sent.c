#include "sent.h"

#include "error.h"

#include <assert.h>

void ptcp_sent_init(struct ptcp_sent_ring *ring, struct ptcp_records *records)
{
    *ring = (struct ptcp_sent_ring){.live = {PTCP_SENT_NONE, PTCP_SENT_NONE},
                                    .lost = {PTCP_SENT_NONE, PTCP_SENT_NONE},
                                    .records = records};
}

static void give_back(struct ptcp_sent_ring *ring)
{
    if (ring->slots)
        ptcp_records_put(ring->records, ring->capacity, ring->slots);
    ring->slots = NULL;
    ring->capacity = 0;
}

void ptcp_sent_free(struct ptcp_sent_ring *ring)
{
    const uint64_t next = ring->next;

    give_back(ring);
    ptcp_sent_init(ring, ring->records);
    ring->first = ring->next = next; /* numbers are never used twice */
}

static int grow(struct ptcp_sent_ring *ring)
{
    const uint32_t capacity = ring->capacity ? ring->capacity * 2 : PTCP_RECORDS_SMALL;
    struct ptcp_sent *slots;
    const int rc = ptcp_records_take(ring->records, capacity, &slots);

    if (rc < 0)
        return rc;
    for (uint64_t packet = ring->first; packet < ring->next;) {
        const struct ptcp_sent *record = &ring->slots[packet & (ring->capacity - 1)];

        slots[packet & (capacity - 1)] = *record;
        packet += ptcp_sent_count(record);
    }
    give_back(ring);
    ring->slots = slots;
    ring->capacity = capacity;
    return 0;
}

/* One number may be skipped on the way. */
static uint64_t records_with(const struct ptcp_sent_ring *ring, uint32_t more)
{
    return ring->next - ring->first + more + 1;
}

/* What packets with (or without) stream data may use of a ring that has so many places. */
static uint64_t places_for(uint32_t capacity, bool data)
{
    const uint32_t kept = capacity / 8 < PTCP_SENT_RESERVED ? capacity / 8 : PTCP_SENT_RESERVED;

    return data ? capacity - kept : capacity;
}

int ptcp_sent_reserve(struct ptcp_sent_ring *ring, bool data)
{
    int rc = STK_ELIMIT;

    if (records_with(ring, 1) <= places_for(ring->capacity, data))
        return 0;
    if (ring->capacity < PTCP_SENT_MAX)
        rc = grow(ring);
    if (rc == STK_ELIMIT) { /* what was lost is only kept in case it was not */
        ptcp_sent_trim(ring, UINT64_MAX);
        rc = ring->slots ? rc : grow(ring);
    }
    return records_with(ring, 1) <= places_for(ring->capacity, data) ? 0 : rc;
}

uint32_t ptcp_sent_reserve_run(struct ptcp_sent_ring *ring, uint32_t wish)
{
    uint64_t room;

    if (wish == 0 || ptcp_sent_reserve(ring, true) < 0)
        return 0;
    while (records_with(ring, wish) > places_for(ring->capacity, true) &&
           ring->capacity < PTCP_SENT_MAX && grow(ring) == 0)
        ;
    room = places_for(ring->capacity, true) - records_with(ring, 0);
    return room < wish ? (uint32_t)room : wish;
}

static void append(struct ptcp_sent_ring *ring, struct ptcp_sent_list *list,
                   struct ptcp_sent *record)
{
    const uint32_t low = (uint32_t)record->packet & (PTCP_SENT_MAX - 1);

    record->prev = list->tail;
    record->next = PTCP_SENT_NONE;
    if (list->tail == PTCP_SENT_NONE)
        list->head = low;
    else
        ptcp_sent_slot(ring, list->tail)->next = low;
    list->tail = low;
}

void ptcp_sent_push(struct ptcp_sent_ring *ring, const struct ptcp_sent *record)
{
    struct ptcp_sent *slot;

    assert(record->packet == ring->next);
    if (ring->first == ring->next && record->state == PTCP_SENT_DONE) {
        assert(record->more == 0);
        ring->first = ++ring->next; /* an ACK while nothing is outstanding needs no memory */
        return;
    }
    assert(ring->next - ring->first + record->more < ring->capacity);
    slot = ptcp_sent_room(ring);
    if (slot != record)
        *slot = *record;
    ring->next += ptcp_sent_count(record);
    if (slot->state != PTCP_SENT_DONE)
        append(ring, &ring->live, slot);
}

void ptcp_sent_skip(struct ptcp_sent_ring *ring)
{
    ptcp_sent_push(ring, &(struct ptcp_sent){.packet = ring->next, .state = PTCP_SENT_SKIPPED});
}

static void take_out(struct ptcp_sent_ring *ring, struct ptcp_sent *record)
{
    struct ptcp_sent_list *list = record->state == PTCP_SENT_LOST ? &ring->lost : &ring->live;
    struct ptcp_sent *next = ptcp_sent_slot(ring, record->next);
    struct ptcp_sent *prev = ptcp_sent_slot(ring, record->prev);

    assert(record->state != PTCP_SENT_DONE);
    if (next)
        next->prev = record->prev;
    else
        list->tail = record->prev;
    if (prev)
        prev->next = record->next;
    else
        list->head = record->next;
}

void ptcp_sent_done(struct ptcp_sent_ring *ring, struct ptcp_sent *record)
{
    take_out(ring, record);
    record->state = PTCP_SENT_DONE;
}

struct ptcp_sent *ptcp_sent_split(struct ptcp_sent_ring *ring, struct ptcp_sent *record,
                                  uint64_t packet)
{
    const uint32_t low = (uint32_t)packet & (PTCP_SENT_MAX - 1);
    const uint32_t n = (uint32_t)(packet - record->packet);
    struct ptcp_sent *next = ptcp_sent_slot(ring, record->next), *rest = ptcp_sent_slot(ring, low);

    assert(record->state == PTCP_SENT_OUTSTANDING && packet > record->packet && n <= record->more);
    *rest = ptcp_sent_from(record, n);
    rest->prev = (uint32_t)record->packet & (PTCP_SENT_MAX - 1);
    record->more = (uint16_t)(n - 1);
    record->next = low;
    if (next)
        next->prev = low;
    else
        ring->live.tail = low;
    return rest;
}

void ptcp_sent_give_up(struct ptcp_sent_ring *ring, struct ptcp_sent *record)
{
    assert(record->state == PTCP_SENT_OUTSTANDING && record->more == 0);
    take_out(ring, record);
    record->state = PTCP_SENT_LOST;
    append(ring, &ring->lost, record);
}

static bool may_go(const struct ptcp_sent *record, uint64_t before_us)
{
    switch (record->state) {
    case PTCP_SENT_DONE:
        return true;
    case PTCP_SENT_LOST:
        return record->time_us < before_us;
    default:
        return false;
    }
}

/* A skipped number guards those before it, so it goes when it is the oldest. */
void ptcp_sent_trim(struct ptcp_sent_ring *ring, uint64_t before_us)
{
    while (ring->first < ring->next) {
        struct ptcp_sent *record = &ring->slots[ring->first & (ring->capacity - 1)];

        if (record->state != PTCP_SENT_SKIPPED && !may_go(record, before_us))
            return;
        if (record->state != PTCP_SENT_DONE)
            ptcp_sent_done(ring, record);
        ring->first += ptcp_sent_count(record);
    }
    give_back(ring);
}
