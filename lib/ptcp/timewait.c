#include "timewait.h"

#include "alloc.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* After the end. The same for all, so that the order of the list is that of what is to be said. */
static const uint64_t say_after_us[PTCP_RESET_TIMES] = {0, 1000000, 5000000};

static struct ptcp_timewait *oldest(const struct ptcp_timewaits *all)
{
    return stk_list_empty(&all->list) ? NULL
                                      : STK_CONTAINER(all->list.next, struct ptcp_timewait, node);
}

void ptcp_timewaits_init(struct ptcp_timewaits *all, uint32_t max, uint64_t duration_us)
{
    *all = (struct ptcp_timewaits){.max = max, .duration_us = duration_us};
    stk_list_init(&all->list);
    for (int i = 0; i < PTCP_RESET_TIMES; i++)
        all->unsaid[i] = &all->list;
}

static void drop(struct ptcp_timewaits *all, struct ptcp_table *table, struct ptcp_timewait *entry)
{
    assert(all->count > 0);
    for (int i = 0; i < PTCP_RESET_TIMES; i++)
        if (all->unsaid[i] == &entry->node)
            all->unsaid[i] = entry->node.next;
    ptcp_table_remove(table, &entry->slot);
    stk_list_remove(&entry->node);
    all->count--;
    if (entry->durable)
        memset(&entry->proof, 0, sizeof(entry->proof));
    stk_free(entry);
}

void ptcp_timewaits_free(struct ptcp_timewaits *all, struct ptcp_table *table)
{
    while (oldest(all))
        drop(all, table, oldest(all));
}

struct ptcp_timewait *ptcp_timewaits_add(struct ptcp_timewaits *all, struct ptcp_table *table,
                                         uint64_t id, size_t more, uint64_t now_us)
{
    struct ptcp_timewait *entry = stk_alloc_zero(offsetof(struct ptcp_timewait, plain) + more);

    if (!entry)
        return NULL;
    while (all->count >= all->max)
        drop(all, table, oldest(all));
    entry->slot = (struct ptcp_slot){.id = id, .over = true};
    entry->expires_us = now_us + all->duration_us;
    ptcp_table_add(table, &entry->slot);
    stk_list_append(&all->list, &entry->node);
    for (int i = 0; i < PTCP_RESET_TIMES; i++)
        if (all->unsaid[i] == &all->list)
            all->unsaid[i] = &entry->node;
    all->count++;
    return entry;
}

void ptcp_timewaits_expire(struct ptcp_timewaits *all, struct ptcp_table *table, uint64_t now_us)
{
    struct ptcp_timewait *entry;

    all->told_us = now_us;
    while ((entry = oldest(all)) && entry->expires_us <= now_us)
        drop(all, table, entry);
}

/* Whose RESET is to be said next for the i-th time. */
static struct ptcp_timewait *next_unsaid(struct ptcp_timewaits *all, int i)
{
    for (; all->unsaid[i] != &all->list; all->unsaid[i] = all->unsaid[i]->next) {
        struct ptcp_timewait *entry = STK_CONTAINER(all->unsaid[i], struct ptcp_timewait, node);

        if (entry->reset)
            return entry;
    }
    return NULL;
}

static uint64_t say_us(const struct ptcp_timewaits *all, const struct ptcp_timewait *entry, int i)
{
    return entry->expires_us - all->duration_us + say_after_us[i];
}

struct ptcp_timewait *ptcp_timewaits_say(struct ptcp_timewaits *all, uint64_t now_us)
{
    for (int i = 0; i < PTCP_RESET_TIMES; i++) {
        struct ptcp_timewait *entry = next_unsaid(all, i);

        if (!entry || say_us(all, entry, i) > now_us)
            continue;
        all->unsaid[i] = entry->node.next;
        return entry;
    }
    return NULL;
}

uint64_t ptcp_timewaits_next_us(struct ptcp_timewaits *all)
{
    const struct ptcp_timewait *entry = oldest(all);
    uint64_t next_us = entry ? entry->expires_us : UINT64_MAX;

    for (int i = 1; i < PTCP_RESET_TIMES; i++) {
        entry = next_unsaid(all, i);
        if (entry && say_us(all, entry, i) > all->told_us && say_us(all, entry, i) < next_us)
            next_us = say_us(all, entry, i);
    }
    return next_us;
}
