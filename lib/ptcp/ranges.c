#include "ranges.h"

#include "alloc.h"
#include "error.h"

#include <assert.h>
#include <string.h>

static struct ptcp_range *items(struct ptcp_ranges *set)
{
    return set->spill ? set->spill : set->fixed;
}

void ptcp_ranges_init(struct ptcp_ranges *set, uint32_t limit)
{
    assert(limit >= PTCP_RANGES_INLINE);
    *set = (struct ptcp_ranges){.capacity = PTCP_RANGES_INLINE, .limit = limit};
}

void ptcp_ranges_free(struct ptcp_ranges *set)
{
    stk_free(set->spill);
    ptcp_ranges_init(set, set->limit);
}

uint32_t ptcp_ranges_find(const struct ptcp_ranges *set, uint64_t number)
{
    uint32_t low = 0, high = set->count;

    /* Most questions are about the newest numbers. */
    if (high > 0 && ptcp_ranges_at(set, high - 1)->first <= number)
        low = high - 1;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (ptcp_ranges_at(set, middle)->end > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool ptcp_ranges_contains(const struct ptcp_ranges *set, uint64_t number)
{
    const uint32_t i = ptcp_ranges_find(set, number);

    return i < set->count && ptcp_ranges_at(set, i)->first <= number;
}

static int grow(struct ptcp_ranges *set)
{
    struct ptcp_range *larger;
    uint32_t capacity = set->capacity * 4;

    if (set->capacity >= set->limit)
        return STK_ELIMIT;
    if (capacity > set->limit)
        capacity = set->limit;
    larger = stk_realloc(set->spill, capacity * sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    if (!set->spill)
        memcpy(larger, set->fixed, set->count * sizeof(*larger));
    set->spill = larger;
    set->capacity = capacity;
    return 0;
}

static void shrink(struct ptcp_ranges *set)
{
    if (!set->spill || set->count > PTCP_RANGES_INLINE / 2)
        return;
    memcpy(set->fixed, set->spill, set->count * sizeof(*set->fixed));
    stk_free(set->spill);
    set->spill = NULL;
    set->capacity = PTCP_RANGES_INLINE;
}

static int insert_at(struct ptcp_ranges *set, uint32_t i, uint64_t first, uint64_t end)
{
    if (set->count == set->capacity) {
        const int rc = grow(set);
        if (rc < 0)
            return rc;
    }
    struct ptcp_range *all = items(set);
    memmove(all + i + 1, all + i, (set->count - i) * sizeof(*all));
    all[i] = (struct ptcp_range){first, end};
    set->count++;
    return 0;
}

static void erase(struct ptcp_ranges *set, uint32_t from, uint32_t to)
{
    struct ptcp_range *all = items(set);

    if (from == to)
        return;
    memmove(all + from, all + to, (set->count - to) * sizeof(*all));
    set->count -= to - from;
    shrink(set);
}

int ptcp_ranges_add(struct ptcp_ranges *set, uint64_t first, uint64_t end)
{
    struct ptcp_range *all = items(set);
    uint32_t i, j;

    if (first >= end)
        return 0;
    if (set->count > 0 && all[set->count - 1].end == first) {
        all[set->count - 1].end = end; /* numbers come in order, mostly */
        return 0;
    }
    /* The first interval that touches or follows [first, end). */
    i = first > 0 ? ptcp_ranges_find(set, first - 1) : 0;
    if (i == set->count || all[i].first > end)
        return insert_at(set, i, first, end);
    if (all[i].first > first)
        all[i].first = first;
    for (j = i + 1; j < set->count && all[j].first <= end; j++)
        ;
    if (all[j - 1].end > end)
        end = all[j - 1].end;
    if (all[i].end < end)
        all[i].end = end;
    erase(set, i + 1, j);
    return 0;
}

int ptcp_ranges_remove(struct ptcp_ranges *set, uint64_t first, uint64_t end)
{
    struct ptcp_range *all = items(set);
    uint32_t i, j;

    if (first >= end)
        return 0;
    i = ptcp_ranges_find(set, first);
    if (i == set->count || all[i].first >= end)
        return 0;
    if (all[i].first < first && all[i].end > end) {
        const uint64_t left = all[i].first;
        const int rc = insert_at(set, i, left, first);
        if (rc == 0)
            items(set)[i + 1].first = end;
        return rc;
    }
    if (all[i].first < first)
        all[i++].end = first;
    for (j = i; j < set->count && all[j].end <= end; j++)
        ;
    if (j < set->count && all[j].first < end)
        all[j].first = end;
    erase(set, i, j);
    return 0;
}

void ptcp_ranges_remove_below(struct ptcp_ranges *set, uint64_t floor)
{
    const uint32_t i = ptcp_ranges_find(set, floor);
    struct ptcp_range *all = items(set);

    if (i < set->count && all[i].first < floor)
        all[i].first = floor;
    erase(set, 0, i);
}

void ptcp_ranges_drop_lowest(struct ptcp_ranges *set)
{
    assert(set->count > 0);
    erase(set, 0, 1);
}
