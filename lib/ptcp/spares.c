#include "spares.h"

#include "alloc.h"

#include <assert.h>
#include <string.h>

void ptcp_spares_init(struct ptcp_spares *spares, size_t size, uint32_t most)
{
    assert(size >= sizeof(spares->first));
    *spares = (struct ptcp_spares){.size = size, .most = most, .trim_us = UINT64_MAX};
}

static void *take_first(struct ptcp_spares *spares)
{
    void *block = spares->first;

    memcpy(&spares->first, block, sizeof(spares->first));
    spares->count--;
    return block;
}

void ptcp_spares_free(struct ptcp_spares *spares)
{
    assert(spares->used == 0);
    while (spares->first)
        stk_free(take_first(spares));
}

void *ptcp_spares_take(struct ptcp_spares *spares)
{
    void *block = spares->first ? take_first(spares) : stk_alloc(spares->size);

    if (!block)
        return NULL;
    spares->used++;
    if (spares->high < spares->used)
        spares->high = spares->used;
    return block;
}

void ptcp_spares_put(struct ptcp_spares *spares, void *block)
{
    assert(spares->used > 0);
    spares->used--;
    if (spares->count >= spares->most) {
        stk_free(block);
        return;
    }
    memcpy(block, &spares->first, sizeof(spares->first));
    spares->first = block;
    spares->count++;
}

uint64_t ptcp_spares_due_us(struct ptcp_spares *spares, uint64_t now_us)
{
    if (spares->count > 0 && spares->trim_us == UINT64_MAX)
        spares->trim_us = now_us + PTCP_SPARES_TRIM_US;
    return spares->trim_us;
}

void ptcp_spares_trim(struct ptcp_spares *spares, uint64_t now_us)
{
    if (now_us < spares->trim_us)
        return;
    while (spares->first && spares->used + spares->count > spares->high)
        stk_free(take_first(spares));
    spares->high = spares->used;
    spares->trim_us = spares->first ? now_us + PTCP_SPARES_TRIM_US : UINT64_MAX;
}
