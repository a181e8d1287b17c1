#include "store.h"

#include "alloc.h"
#include "error.h"

#include <assert.h>
#include <string.h>

enum { KEPT_CAPACITY = 8 }; /* a turn of 64 KiB lies in 5 chunks at most */

void ptcp_pool_init(struct ptcp_pool *pool, uint64_t limit_bytes)
{
    const uint64_t limit = limit_bytes / PTCP_CHUNK_BYTES;

    pool->senders = 0;
    pool->limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    ptcp_spares_init(&pool->chunks, PTCP_CHUNK_HEAD_BYTES + PTCP_CHUNK_BYTES, PTCP_POOL_SPARE);
}

static uint8_t *pool_get(struct ptcp_pool *pool)
{
    uint8_t *block = ptcp_pool_left(pool) > 0 ? ptcp_spares_take(&pool->chunks) : NULL;

    return block ? block + PTCP_CHUNK_HEAD_BYTES : NULL;
}

static void pool_put(struct ptcp_pool *pool, uint8_t *chunk)
{
    ptcp_spares_put(&pool->chunks, chunk - PTCP_CHUNK_HEAD_BYTES);
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

static void give_back(struct ptcp_store *store)
{
    for (uint32_t i = 0; i < store->capacity && store->held > 0; i++) {
        if (!store->chunks[i])
            continue;
        pool_put(store->pool, store->chunks[i]);
        store->chunks[i] = NULL;
        store->held--;
    }
}

void ptcp_store_free(struct ptcp_store *store)
{
    give_back(store);
    stk_free(store->chunks);
    ptcp_store_init(store, store->pool);
}

void ptcp_store_empty(struct ptcp_store *store)
{
    if (store->capacity > KEPT_CAPACITY)
        ptcp_store_free(store);
    else
        give_back(store);
}

static int widen(struct ptcp_store *store, uint64_t index)
{
    uint32_t capacity = store->capacity ? store->capacity : 4;
    uint8_t **chunks;

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

    if (store->held == 0)
        store->first = index;
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
