#include "store.h"

#include "alloc.h"
#include "error.h"

#include <assert.h>
#include <string.h>

void ptcp_pool_init(struct ptcp_pool *pool, uint64_t limit_bytes)
{
    const uint64_t limit = limit_bytes / PTCP_CHUNK_BYTES;

    *pool = (struct ptcp_pool){.limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX,
                               .trim_us = UINT64_MAX};
}

static uint8_t *chunk_new(void)
{
    uint8_t *block = stk_alloc(PTCP_CHUNK_HEAD_BYTES + PTCP_CHUNK_BYTES);

    return block ? block + PTCP_CHUNK_HEAD_BYTES : NULL;
}

static void chunk_free(uint8_t *chunk) { stk_free(chunk - PTCP_CHUNK_HEAD_BYTES); }

static uint8_t *take_spare(struct ptcp_pool *pool)
{
    uint8_t *chunk = pool->spare;

    memcpy(&pool->spare, chunk, sizeof(pool->spare));
    pool->spare_count--;
    return chunk;
}

void ptcp_pool_free(struct ptcp_pool *pool)
{
    assert(pool->used == 0);
    while (pool->spare)
        chunk_free(take_spare(pool));
}

uint64_t ptcp_pool_due_us(struct ptcp_pool *pool, uint64_t now_us)
{
    if (pool->spare_count > 0 && pool->trim_us == UINT64_MAX)
        pool->trim_us = now_us + PTCP_POOL_TRIM_US;
    return pool->trim_us;
}

void ptcp_pool_trim(struct ptcp_pool *pool, uint64_t now_us)
{
    if (now_us < pool->trim_us)
        return;
    while (pool->spare && pool->used + pool->spare_count > pool->high)
        chunk_free(take_spare(pool));
    pool->high = pool->used;
    pool->trim_us = pool->spare ? now_us + PTCP_POOL_TRIM_US : UINT64_MAX;
}

static uint8_t *pool_get(struct ptcp_pool *pool)
{
    uint8_t *chunk;

    if (ptcp_pool_left(pool) == 0)
        return NULL;
    chunk = pool->spare ? take_spare(pool) : chunk_new();
    if (!chunk)
        return NULL;
    pool->used++;
    if (pool->high < pool->used)
        pool->high = pool->used;
    return chunk;
}

static void pool_put(struct ptcp_pool *pool, uint8_t *chunk)
{
    assert(pool->used > 0);
    pool->used--;
    if (pool->spare_count >= PTCP_POOL_SPARE) {
        chunk_free(chunk);
        return;
    }
    memcpy(chunk, &pool->spare, sizeof(pool->spare));
    pool->spare = chunk;
    pool->spare_count++;
}

void ptcp_store_init(struct ptcp_store *store, struct ptcp_pool *pool)
{
    *store = (struct ptcp_store){.pool = pool};
}

static uint8_t **slot(const struct ptcp_store *store, uint64_t index)
{
    assert(index >= store->first && index - store->first < store->capacity);
    return &store->chunks[index & (store->capacity - 1)];
}

void ptcp_store_free(struct ptcp_store *store)
{
    for (uint32_t i = 0; i < store->capacity; i++) {
        if (store->chunks[i])
            pool_put(store->pool, store->chunks[i]);
    }
    stk_free(store->chunks);
    ptcp_store_init(store, store->pool);
}

static int widen(struct ptcp_store *store, uint64_t index)
{
    uint32_t capacity = store->capacity ? store->capacity : 4;
    uint8_t **chunks;

    if (store->capacity == 0)
        store->first = index;
    if (index < store->first) { /* only while nothing has been dropped yet */
        const uint64_t last = store->first + store->capacity - 1;

        while (last - index >= capacity)
            capacity *= 2;
    }
    while (index >= store->first && index - store->first >= capacity)
        capacity *= 2;
    chunks = stk_alloc_zero(capacity * sizeof(*chunks));
    if (!chunks)
        return -ENOMEM;
    for (uint64_t i = store->first; i < store->first + store->capacity; i++)
        chunks[i & (capacity - 1)] = *slot(store, i);
    stk_free(store->chunks);
    store->chunks = chunks;
    store->capacity = capacity;
    if (index < store->first)
        store->first = index;
    return 0;
}

static uint8_t *chunk_for(struct ptcp_store *store, uint64_t index, bool grow)
{
    uint8_t **place;

    if (store->capacity == 0 || index < store->first || index - store->first >= store->capacity) {
        if (!grow || widen(store, index) < 0)
            return NULL;
    }
    place = slot(store, index);
    if (!*place && grow) {
        *place = pool_get(store->pool);
        store->held += *place != NULL;
    }
    return *place;
}

int ptcp_store_write(struct ptcp_store *store, uint64_t offset, const void *data, size_t len,
                     bool grow)
{
    const uint8_t *from = data;

    while (len > 0) {
        const size_t start = offset % PTCP_CHUNK_BYTES;
        const size_t part = len < PTCP_CHUNK_BYTES - start ? len : PTCP_CHUNK_BYTES - start;
        uint8_t *chunk = chunk_for(store, offset / PTCP_CHUNK_BYTES, grow);

        if (!chunk)
            return -ENOMEM;
        memcpy(chunk + start, from, part);
        from += part;
        offset += part;
        len -= part;
    }
    return 0;
}

size_t ptcp_store_slice(const struct ptcp_store *store, uint64_t offset, size_t len,
                        const uint8_t **data)
{
    const size_t start = offset % PTCP_CHUNK_BYTES;
    const uint8_t *chunk = *slot(store, offset / PTCP_CHUNK_BYTES);

    assert(chunk);
    *data = chunk + start;
    return len < PTCP_CHUNK_BYTES - start ? len : PTCP_CHUNK_BYTES - start;
}

void ptcp_store_copy(const struct ptcp_store *store, uint64_t offset, size_t len, uint8_t *out)
{
    while (len > 0) {
        const uint8_t *data;
        const size_t part = ptcp_store_slice(store, offset, len, &data);

        memcpy(out, data, part);
        out += part;
        offset += part;
        len -= part;
    }
}

void ptcp_store_drop_below(struct ptcp_store *store, uint64_t offset)
{
    const uint64_t index = offset / PTCP_CHUNK_BYTES;

    for (uint32_t n = 0; store->capacity && store->first < index && n < store->capacity; n++) {
        uint8_t **place = slot(store, store->first);

        if (*place) {
            pool_put(store->pool, *place);
            store->held--;
        }
        *place = NULL;
        store->first++;
    }
    if (store->capacity && store->first < index)
        store->first = index;
}
