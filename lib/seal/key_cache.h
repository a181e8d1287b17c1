/*
 * Keys of sessions, and the expanded form of those that are in use.
 *
 * A cipher's expanded key takes a KiB, the key itself 32 bytes. So a session keeps the bytes, and
 * the port keeps the expanded form of keys that packets came or went under in the last second, at
 * most SEAL_KEYS_EXPANDED of them: an idle session costs little, a busy one looks at one pointer a
 * run, and there is room for two thousand that are busy at a time. The replay window of a receiving
 * key is wide as long as the key stands expanded.
 *
 * Most sessions open, say a few packets and fall silent. Until its SEAL_KEY_FRESH_USES-th use a key
 * competes for a small part of the cache with others like it, so that thousands that open within
 * the same second don't take thousands of expanded keys.
 *
 * Everything that leaves the cache is zeroed first.
 */
#ifndef STK_SEAL_KEY_CACHE_H
#define STK_SEAL_KEY_CACHE_H

#include "aead.h"
#include "replay.h"

enum {
    SEAL_KEYS_EXPANDED = 4096, /* two for a session that sends and receives */
    SEAL_KEYS_FRESH = 128,     /* at most so many beside them were used a few times only: … */
    SEAL_KEY_FRESH_USES = 8,   /* … less than so often */
    SEAL_KEY_IDLE_US = 1000 * 1000, /* an expanded key that was not used for so long goes */
};

/* Zeroed: no key. */
struct seal_key {
    const struct seal_aead *aead;
    struct seal_expanded *expanded; /* NULL until it is used; the cache's */
    struct seal_replay *replay;     /* of a receiving key; NULL: it is a sending one */
    uint8_t bytes[SEAL_CIPHER_KEY];
    uint8_t uses; /* up to SEAL_KEY_FRESH_USES */
};

/* Expanded keys, the one used last first. */
struct seal_key_order {
    struct stk_node list;
    unsigned count, limit;
};

struct seal_key_cache {
    struct seal_key_order fresh, settled;
};

struct seal_expanded {
    struct stk_node node;
    struct seal_key *owner;
    uint64_t used_us;
    void *state;     /* what the cipher works with, aligned to 64; lies behind this struct */
    uint64_t ring[]; /* of a receiving key's replay window, before the state */
};

void seal_key_cache_init(struct seal_key_cache *cache, unsigned limit);
/* How many keys stand expanded. */
unsigned seal_key_cache_count(const struct seal_key_cache *cache);
/* Detaches all keys that were not used lately; returns when to look again, 0 if there are none. */
uint64_t seal_key_cache_expire(struct seal_key_cache *cache, uint64_t now_us);

void seal_key_set(struct seal_key *key, const struct seal_aead *aead,
                  const uint8_t bytes[SEAL_CIPHER_KEY]);
/* Forgets the key. */
void seal_key_wipe(struct seal_key_cache *cache, struct seal_key *key);
/* Forgets the expanded form only. */
void seal_key_detach(struct seal_key_cache *cache, struct seal_key *key);
/* Slow part of seal_key_use(): a key that is fresh, or does not stand expanded. */
void *seal_key_use_fresh(struct seal_key_cache *cache, struct seal_key *key, uint64_t now_us);

/* What the cipher's calls want, good until the next key is used; NULL without memory. */
static inline void *seal_key_use(struct seal_key_cache *cache, struct seal_key *key,
                                 uint64_t now_us)
{
    struct seal_expanded *e = key->expanded;

    if (!e || key->uses < SEAL_KEY_FRESH_USES)
        return seal_key_use_fresh(cache, key, now_us);
    e->used_us = now_us;
    if (cache->settled.list.next != &e->node) {
        stk_list_remove(&e->node);
        stk_list_prepend(&cache->settled.list, &e->node);
    }
    return e->state;
}

#endif
