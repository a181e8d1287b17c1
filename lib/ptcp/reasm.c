#include "reasm.h"

#include "error.h"

#include <assert.h>

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

void ptcp_reasm_init(struct ptcp_reasm *reasm, struct ptcp_pool *pool)
{
    *reasm = (struct ptcp_reasm){.fin_offset = UINT64_MAX};
    ptcp_store_init(&reasm->store, pool);
    ptcp_ranges_init(&reasm->ahead, PTCP_REASM_HOLES_MAX);
}

void ptcp_reasm_free(struct ptcp_reasm *reasm)
{
    ptcp_store_free(&reasm->store);
    ptcp_ranges_free(&reasm->ahead);
}

static uint64_t highest(const struct ptcp_reasm *reasm)
{
    const uint32_t count = reasm->ahead.count;

    return count ? ptcp_ranges_at(&reasm->ahead, count - 1)->end : reasm->contiguous;
}

static bool breaks_a_rule(const struct ptcp_reasm *reasm, uint64_t end, bool fin,
                          uint64_t max_offset)
{
    if (end > max_offset || end > reasm->fin_offset)
        return true;
    return fin &&
           (end < highest(reasm) || (reasm->fin_offset != UINT64_MAX && reasm->fin_offset != end));
}

/* Bytes that are next in order fill holes, and can be read: what waits to be read already counts.
 */
static bool may_grow(const struct ptcp_reasm *reasm, uint64_t first)
{
    const struct ptcp_pool *pool = reasm->store.pool;
    const uint64_t left = ptcp_pool_left(pool);

    if (first == reasm->contiguous)
        return ptcp_pool_allows(pool, ptcp_reasm_readable(reasm) / PTCP_CHUNK_BYTES);
    return left > pool->limit / 4 && reasm->store.held < left / 4;
}

/* Writes the parts of [first, end) that are not there yet; how many bytes these are, or an error.
 */
static long write_gaps(struct ptcp_reasm *reasm, uint64_t first, uint64_t end, const uint8_t *data)
{
    const uint64_t base = first;
    const bool grow = may_grow(reasm, first);
    long written = 0;

    for (uint32_t i = ptcp_ranges_find(&reasm->ahead, first); first < end; i++) {
        const bool more = i < reasm->ahead.count;
        const struct ptcp_range *have = ptcp_ranges_at(&reasm->ahead, i);
        const uint64_t stop = more ? min_u64(have->first, end) : end;

        if (first < stop) {
            const int rc =
                ptcp_store_write(&reasm->store, first, data + (first - base), stop - first, grow);
            if (rc < 0)
                return rc;
            written += (long)(stop - first);
        }
        if (!more)
            break;
        first = max_u64(first, have->end);
    }
    return written;
}

/* All bytes below `end` are there, and perhaps some that follow. No list needs room for that. */
static void advance(struct ptcp_reasm *reasm, uint64_t end, uint64_t received)
{
    for (uint32_t i = 0; i < reasm->ahead.count; i++) {
        const struct ptcp_range *next = ptcp_ranges_at(&reasm->ahead, i);

        if (next->first > end)
            break;
        end = max_u64(end, next->end);
    }
    ptcp_ranges_remove_below(&reasm->ahead, end);
    reasm->contiguous = end;
    reasm->ahead_bytes = received - end;
}

static int take(struct ptcp_reasm *reasm, uint64_t first, uint64_t end, const uint8_t *data)
{
    const long written = write_gaps(reasm, first, end, data);
    int rc;

    if (written < 0)
        return (int)written;
    if (first == reasm->contiguous) {
        advance(reasm, end, ptcp_reasm_received(reasm) + (uint64_t)written);
        return 0;
    }
    rc = ptcp_ranges_add(&reasm->ahead, first, end);
    if (rc == 0)
        reasm->ahead_bytes += (uint64_t)written;
    return rc;
}

int ptcp_reasm_put(struct ptcp_reasm *reasm, uint64_t offset, const uint8_t *data, size_t len,
                   bool fin, uint64_t max_offset)
{
    const uint64_t end = offset + len, first = max_u64(offset, reasm->contiguous);

    if (breaks_a_rule(reasm, end, fin, max_offset))
        return -EPROTO;
    if (first < end) {
        const int rc = take(reasm, first, end, data + (first - offset));
        if (rc < 0)
            return rc;
    }
    if (fin)
        reasm->fin_offset = end;
    assert(reasm->consumed <= reasm->contiguous && reasm->contiguous <= reasm->fin_offset);
    return 0;
}

int ptcp_reasm_append(struct ptcp_reasm *reasm, const uint8_t *data, size_t len)
{
    const int rc = ptcp_store_write(&reasm->store, reasm->contiguous, data, len,
                                    may_grow(reasm, reasm->contiguous));

    assert(reasm->ahead.count == 0 && reasm->contiguous + len <= reasm->fin_offset);
    if (rc == 0)
        reasm->contiguous += len;
    return rc;
}

int ptcp_reasm_peek(const struct ptcp_reasm *reasm, struct iovec *iov, int max)
{
    uint64_t offset = reasm->consumed;
    int count = 0;

    while (count < max && offset < reasm->contiguous) {
        const uint8_t *data;
        const size_t len =
            ptcp_store_slice(&reasm->store, offset, reasm->contiguous - offset, &data);

        iov[count++] = (struct iovec){(void *)data, len};
        offset += len;
    }
    return count;
}

void ptcp_reasm_consume(struct ptcp_reasm *reasm, size_t len)
{
    assert(len <= ptcp_reasm_readable(reasm));
    reasm->consumed += len;
    if (reasm->consumed == reasm->contiguous && reasm->ahead.count == 0)
        ptcp_store_empty(&reasm->store);
    else
        ptcp_store_drop_below(&reasm->store, reasm->consumed);
}
