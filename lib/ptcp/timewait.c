#include "timewait.h"

#include "alloc.h"

#include <assert.h>
#include <stddef.h>

static struct ptcp_timewait *oldest(const struct ptcp_timewaits *all)
{
    return stk_list_empty(&all->list) ? NULL
                                      : STK_CONTAINER(all->list.next, struct ptcp_timewait, node);
}

void ptcp_timewaits_init(struct ptcp_timewaits *all, uint32_t max, uint64_t duration_us)
{
    *all = (struct ptcp_timewaits){.max = max, .duration_us = duration_us};
    stk_list_init(&all->list);
}

static void drop(struct ptcp_timewaits *all, struct ptcp_table *table, struct ptcp_timewait *entry)
{
    assert(all->count > 0);
    ptcp_table_remove(table, &entry->slot);
    stk_list_remove(&entry->node);
    all->count--;
    stk_free(entry);
}

void ptcp_timewaits_free(struct ptcp_timewaits *all, struct ptcp_table *table)
{
    while (oldest(all))
        drop(all, table, oldest(all));
}

struct ptcp_timewait *ptcp_timewaits_add(struct ptcp_timewaits *all, struct ptcp_table *table,
                                         uint64_t id, const struct stk_addr *peer, uint64_t now_us)
{
    const size_t size = peer ? sizeof(struct ptcp_timewait) : offsetof(struct ptcp_timewait, peer);
    struct ptcp_timewait *entry = stk_alloc_zero(size);

    if (!entry)
        return NULL;
    while (all->count >= all->max)
        drop(all, table, oldest(all));
    entry->slot = (struct ptcp_slot){.id = id, .over = true};
    if (peer)
        entry->peer = *peer;
    entry->expires_us = now_us + all->duration_us;
    ptcp_table_add(table, &entry->slot);
    stk_list_append(&all->list, &entry->node);
    all->count++;
    return entry;
}

void ptcp_timewaits_expire(struct ptcp_timewaits *all, struct ptcp_table *table, uint64_t now_us)
{
    struct ptcp_timewait *entry;

    while ((entry = oldest(all)) && entry->expires_us <= now_us)
        drop(all, table, entry);
}

uint64_t ptcp_timewaits_next_us(const struct ptcp_timewaits *all)
{
    const struct ptcp_timewait *entry = oldest(all);

    return entry ? entry->expires_us : UINT64_MAX;
}
