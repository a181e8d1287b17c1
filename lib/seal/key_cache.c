#include "key_cache.h"

#include <assert.h>
#include <sodium.h>

enum { ALIGNMENT = 64 };

static void order_init(struct seal_key_order *order, unsigned limit)
{
    stk_list_init(&order->list);
    order->count = 0;
    order->limit = limit;
}

void seal_key_cache_init(struct seal_key_cache *cache, unsigned limit)
{
    assert(limit > 0);
    order_init(&cache->settled, limit);
    order_init(&cache->fresh, limit < SEAL_KEYS_FRESH ? limit : SEAL_KEYS_FRESH);
}

unsigned seal_key_cache_count(const struct seal_key_cache *cache)
{
    return cache->fresh.count + cache->settled.count;
}

static struct seal_key_order *order_of(struct seal_key_cache *cache, const struct seal_key *key)
{
    return key->uses < SEAL_KEY_FRESH_USES ? &cache->fresh : &cache->settled;
}

static struct seal_key *oldest(const struct seal_key_order *order)
{
    return STK_CONTAINER(order->list.prev, struct seal_expanded, node)->owner;
}

/* When the next one goes; UINT64_MAX: there is none. */
static uint64_t expire(struct seal_key_cache *cache, const struct seal_key_order *order,
                       uint64_t now_us)
{
    while (order->count > 0) {
        struct seal_key *key = oldest(order);
        const uint64_t due_us = key->expanded->used_us + SEAL_KEY_IDLE_US;
        if (due_us > now_us)
            return due_us;
        seal_key_detach(cache, key);
    }
    return UINT64_MAX;
}

uint64_t seal_key_cache_expire(struct seal_key_cache *cache, uint64_t now_us)
{
    const uint64_t fresh_us = expire(cache, &cache->fresh, now_us);
    const uint64_t settled_us = expire(cache, &cache->settled, now_us);
    const uint64_t due_us = fresh_us < settled_us ? fresh_us : settled_us;

    return due_us == UINT64_MAX ? 0 : due_us;
}

void seal_key_set(struct seal_key *key, const struct seal_aead *aead,
                  const uint8_t bytes[SEAL_CIPHER_KEY])
{
    assert(!key->aead && !key->expanded);
    key->aead = aead;
    memcpy(key->bytes, bytes, SEAL_CIPHER_KEY);
}

void seal_key_wipe(struct seal_key_cache *cache, struct seal_key *key)
{
    seal_key_detach(cache, key);
    sodium_memzero(key, sizeof(*key));
}

void seal_key_detach(struct seal_key_cache *cache, struct seal_key *key)
{
    struct seal_expanded *e = key->expanded;

    if (!e)
        return;
    assert(e->owner == key && order_of(cache, key)->count > 0);
    key->expanded = NULL;
    if (key->replay)
        seal_replay_narrow(key->replay);
    key->aead->wipe(key->aead, e->state);
    stk_list_remove(&e->node);
    order_of(cache, key)->count--;
    stk_free(e);
}

/* The last one there makes room if there are too many. */
static void enter(struct seal_key_cache *cache, struct seal_key *key)
{
    struct seal_key_order *order = order_of(cache, key);

    if (order->count == order->limit)
        seal_key_detach(cache, oldest(order));
    stk_list_prepend(&order->list, &key->expanded->node);
    order->count++;
}

static struct seal_expanded *expand(struct seal_key *key)
{
    const size_t head =
        sizeof(struct seal_expanded) + (key->replay ? SEAL_REPLAY_WORDS * sizeof(uint64_t) : 0);
    struct seal_expanded *e = stk_alloc_zero(head + key->aead->expanded_size + ALIGNMENT - 1);

    if (!e)
        return NULL;
    e->state = (void *)(((uintptr_t)e + head + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    if (key->aead->expand(key->aead, e->state, key->bytes)) {
        stk_free(e);
        return NULL;
    }
    stk_list_init(&e->node);
    e->owner = key;
    if (key->replay)
        seal_replay_widen(key->replay, e->ring);
    return e;
}

void *seal_key_use_fresh(struct seal_key_cache *cache, struct seal_key *key, uint64_t now_us)
{
    assert(key->aead);
    if (key->expanded) {
        stk_list_remove(&key->expanded->node);
        order_of(cache, key)->count--;
    } else {
        key->expanded = expand(key);
        if (!key->expanded)
            return NULL;
    }
    key->uses += key->uses < SEAL_KEY_FRESH_USES;
    enter(cache, key);
    key->expanded->used_us = now_us;
    return key->expanded->state;
}
