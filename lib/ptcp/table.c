#include "table.h"

#include "alloc.h"
#include "error.h"

#include <assert.h>

enum { START = 2 };

int ptcp_table_init(struct ptcp_table *table)
{
    *table = (struct ptcp_table){.capacity = START};
    table->buckets = stk_alloc_zero(START * sizeof(struct ptcp_slot *));
    return table->buckets ? 0 : -ENOMEM;
}

void ptcp_table_free(struct ptcp_table *table)
{
    stk_free(table->buckets);
    *table = (struct ptcp_table){0};
}

static struct ptcp_slot **bucket(const struct ptcp_table *table, uint64_t id)
{
    return &table->buckets[id & (table->capacity - 1)];
}

struct ptcp_slot *ptcp_table_first(const struct ptcp_table *table, uint32_t low)
{
    return *bucket(table, low);
}

struct ptcp_slot *ptcp_table_find_low(const struct ptcp_table *table, uint32_t low)
{
    struct ptcp_slot *slot = ptcp_table_first(table, low);

    while (slot && (uint32_t)slot->id != low)
        slot = slot->next;
    return slot;
}

struct ptcp_slot *ptcp_table_find(const struct ptcp_table *table, uint64_t id)
{
    struct ptcp_slot *slot = *bucket(table, id);

    while (slot && slot->id != id)
        slot = slot->next;
    return slot;
}

static void grow(struct ptcp_table *table)
{
    struct ptcp_table larger = {.capacity = table->capacity * 2, .count = table->count};

    larger.buckets = stk_alloc_zero(larger.capacity * sizeof(struct ptcp_slot *));
    if (!larger.buckets)
        return;
    for (uint32_t i = 0; i < table->capacity; i++) {
        for (struct ptcp_slot *slot = table->buckets[i], *next; slot; slot = next) {
            struct ptcp_slot **place = bucket(&larger, slot->id);

            next = slot->next;
            slot->next = *place;
            *place = slot;
        }
    }
    stk_free(table->buckets);
    *table = larger;
}

void ptcp_table_add(struct ptcp_table *table, struct ptcp_slot *slot)
{
    struct ptcp_slot **place;

    assert(!ptcp_table_find(table, slot->id));
    if (table->count >= table->capacity)
        grow(table);
    place = bucket(table, slot->id);
    slot->next = *place;
    *place = slot;
    table->count++;
}

void ptcp_table_remove(struct ptcp_table *table, struct ptcp_slot *slot)
{
    struct ptcp_slot **place = bucket(table, slot->id);

    while (*place != slot)
        place = &(*place)->next;
    *place = slot->next;
    table->count--;
}
