#include "history.h"

#include "alloc.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

struct ptcp_history *ptcp_history_new(const uint8_t key[16])
{
    struct ptcp_history *history = stk_alloc_zero(sizeof(*history));

    if (!history)
        return NULL;
    history->users = 1;
    memcpy(history->key, key, sizeof(history->key));
    return history;
}

struct ptcp_history *ptcp_history_use(struct ptcp_history *history)
{
    history->users++;
    return history;
}

void ptcp_history_leave(struct ptcp_history *history)
{
    assert(history->users > 0);
    if (--history->users > 0)
        return;
    for (unsigned i = 0; i < PTCP_HISTORY_SETS; i++)
        stk_free(history->sets[i]);
    stk_free(history);
}

static struct ptcp_memory **set_of(struct ptcp_history *history, uint64_t who)
{
    return &history->sets[who & (PTCP_HISTORY_SETS - 1)];
}

static struct ptcp_memory *find(struct ptcp_memory *set, uint64_t who)
{
    for (unsigned i = 0; set && i < PTCP_HISTORY_WAYS; i++) {
        if (set[i].who == who)
            return &set[i];
    }
    return NULL;
}

static struct ptcp_memory *oldest(struct ptcp_memory *set)
{
    struct ptcp_memory *oldest = set;

    for (unsigned i = 1; i < PTCP_HISTORY_WAYS; i++) {
        if (set[i].at_us < oldest->at_us)
            oldest = &set[i];
    }
    return oldest;
}

void ptcp_history_put(struct ptcp_history *history, const struct ptcp_memory *memory)
{
    struct ptcp_memory **set = set_of(history, memory->who), *place;

    assert(memory->who != 0);
    if (!*set)
        *set = stk_alloc_zero(PTCP_HISTORY_WAYS * sizeof(**set));
    if (!*set)
        return;
    place = find(*set, memory->who);
    *(place ? place : oldest(*set)) = *memory;
}

bool ptcp_history_take(struct ptcp_history *history, uint64_t who, uint64_t now_us,
                       struct ptcp_memory *memory)
{
    struct ptcp_memory *place = find(*set_of(history, who), who);

    if (!place || who == 0)
        return false;
    *memory = *place;
    *place = (struct ptcp_memory){0};
    return now_us - memory->at_us <= PTCP_HISTORY_LIFETIME_US;
}
