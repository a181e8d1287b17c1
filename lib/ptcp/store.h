/*
 * Stream bytes by their 64-bit offset, in chunks that exist only where bytes are.
 *
 * A store is a window of chunks over a stream; send buffer and reassembly are built on it.
 * Chunks come from the pool of the endpoint, which bounds the memory of all its connections.
 */
#ifndef STK_PTCP_STORE_H
#define STK_PTCP_STORE_H

#include "spares.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PTCP_CHUNK_BYTES = 16384,
    PTCP_CHUNK_HEAD_BYTES = 64, /* of memory before each chunk, for whoever borrows some */
    PTCP_POOL_SPARE = 2048,     /* free chunks that a pool keeps, at most */
};

struct ptcp_pool {
    struct ptcp_spares chunks;
    uint32_t limit;   /* chunks that may be lent */
    uint32_t senders; /* send buffers that hold bytes (sendbuf.h) */
};

void ptcp_pool_init(struct ptcp_pool *pool, uint64_t limit_bytes);
/* Chunks that can still be lent. */
static inline uint32_t ptcp_pool_left(const struct ptcp_pool *pool)
{
    return pool->chunks.used < pool->limit ? pool->limit - pool->chunks.used : 0;
}
/*
 * May who holds so many chunks take another one? Only while it has less than are left; the last
 * sixteenth is for those who have none.
 */
static inline bool ptcp_pool_allows(const struct ptcp_pool *pool, uint64_t held)
{
    const uint32_t left = ptcp_pool_left(pool);

    return held == 0 ? left > 0 : held < left && left > pool->limit / 16;
}
struct ptcp_store {
    struct ptcp_pool *pool;
    uint8_t **chunks;  /* chunk i of the stream at i % capacity; NULL where no byte is */
    uint64_t first;    /* lowest chunk that may be present */
    uint32_t capacity; /* a power of two; 0: no memory at all */
    uint32_t held;     /* chunks that are present */
};

void ptcp_store_init(struct ptcp_store *store, struct ptcp_pool *pool);
void ptcp_store_free(struct ptcp_store *store); /* empty again, and usable */
/* The same, for who will soon write again: a small table of chunks is kept. */
void ptcp_store_empty(struct ptcp_store *store);

/*
 * Writes bytes at or above everything dropped. 0, or -ENOMEM with part of it written. `grow`: where
 * there is no chunk yet, one is taken.
 */
int ptcp_store_write(struct ptcp_store *store, uint64_t offset, const void *data, size_t len,
                     bool grow);
/*
 * The contiguous part of [offset, offset + len) at its start; those bytes must have been written.
 * The PTCP_CHUNK_HEAD_BYTES before it are memory of the store's.
 */
size_t ptcp_store_slice(const struct ptcp_store *store, uint64_t offset, size_t len,
                        const uint8_t **data);
void ptcp_store_copy(const struct ptcp_store *store, uint64_t offset, size_t len, uint8_t *out);
/* Frees the chunks that hold only bytes below `offset`. */
void ptcp_store_drop_below(struct ptcp_store *store, uint64_t offset);

#endif
