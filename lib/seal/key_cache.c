#include "key_cache.h"

#include <assert.h>
#include <sodium.h>

enum { ALIGNMENT = 64 };

void seal_key_cache_init(struct seal_key_cache *cache, unsigned limit)
{
    assert(limit > 0);
    stk_list_init(&cache->order);
    cache->count = 0;
    cache->limit = limit;
}

static struct seal_key *oldest(const struct seal_key_cache *cache)
{
    return STK_CONTAINER(cache->order.prev, struct seal_expanded, node)->owner;
}

uint64_t seal_key_cache_expire(struct seal_key_cache *cache, uint64_t now_us)
{
    while (cache->count > 0) {
        struct seal_key *key = oldest(cache);
        const uint64_t due_us = key->expanded->used_us + SEAL_KEY_IDLE_US;
        if (due_us > now_us)
            return due_us;
        seal_key_detach(cache, key);
    }
    return 0;
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
    assert(e->owner == key && cache->count > 0);
    key->expanded = NULL;
    if (key->replay)
        seal_replay_narrow(key->replay);
    key->aead->wipe(key->aead, e->state);
    stk_list_remove(&e->node);
    cache->count--;
    stk_free(e);
}

void *seal_key_expand(struct seal_key_cache *cache, struct seal_key *key, uint64_t now_us)
{
    assert(key->aead && !key->expanded);
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
    if (cache->count == cache->limit)
        seal_key_detach(cache, oldest(cache));
    e->owner = key;
    e->used_us = now_us;
    key->expanded = e;
    if (key->replay)
        seal_replay_widen(key->replay, e->ring);
    stk_list_prepend(&cache->order, &e->node);
    cache->count++;
    return e->state;
}
