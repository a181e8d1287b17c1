#include "fifo.h"

#include "alloc.h"
#include "iov.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { FIRST_CAPACITY = 512 };

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

void stk_fifo_init(struct stk_fifo *fifo, size_t limit)
{
    assert(limit <= STK_FIFO_LIMIT_MAX);
    *fifo = (struct stk_fifo){.limit = (uint32_t)limit};
}

void stk_fifo_free(struct stk_fifo *fifo)
{
    stk_free(fifo->block);
    stk_fifo_init(fifo, fifo->limit);
}

/*
 * A quarter more than the limit: a queue that stays full is then compacted only after a quarter
 * of it has been read, so that a byte is moved a bounded number of times on its way through.
 */
static size_t largest_capacity(const struct stk_fifo *fifo)
{
    return (size_t)fifo->limit + fifo->limit / 4;
}

static size_t tail_room(const struct stk_fifo *fifo)
{
    return fifo->capacity - fifo->start - fifo->len;
}

static void compact(struct stk_fifo *fifo)
{
    if (fifo->len > 0 && fifo->start > 0)
        memmove(fifo->block, fifo->block + fifo->start, fifo->len);
    fifo->start = 0;
}

static bool grow(struct stk_fifo *fifo, size_t want)
{
    const size_t need = fifo->len + want;
    size_t capacity = fifo->capacity ? 2 * (size_t)fifo->capacity : FIRST_CAPACITY;
    uint8_t *block;

    while (capacity < need)
        capacity *= 2;
    capacity = min_size(capacity, largest_capacity(fifo));
    assert(capacity >= need);

    block = stk_alloc(capacity);
    if (!block)
        return false;
    if (fifo->len)
        memcpy(block, stk_fifo_data(fifo), fifo->len);
    stk_free(fifo->block);
    fifo->block = block;
    fifo->start = 0;
    fifo->capacity = (uint32_t)capacity;
    return true;
}

static bool make_room(struct stk_fifo *fifo, size_t want)
{
    const bool fits = fifo->capacity - fifo->len >= want;
    const bool cheap = fifo->start >= fifo->len / 4;

    assert(want <= stk_fifo_room(fifo));
    if (tail_room(fifo) >= want)
        return true;
    if (!(fits && cheap) && grow(fifo, want))
        return true;
    if (fits)
        compact(fifo);
    return fits;
}

long stk_fifo_put(struct stk_fifo *fifo, const void *data, size_t len)
{
    const struct iovec one = {(void *)data, len};

    return stk_fifo_putv(fifo, &one, 1);
}

static void append(struct stk_fifo *fifo, const struct iovec *iov, size_t bytes)
{
    for (; bytes > 0; iov++) {
        const size_t part = min_size(iov->iov_len, bytes);

        if (part)
            memcpy(fifo->block + fifo->start + fifo->len, iov->iov_base, part);
        fifo->len += (uint32_t)part;
        bytes -= part;
    }
}

long stk_fifo_putv(struct stk_fifo *fifo, const struct iovec *iov, int count)
{
    size_t bytes = min_size(stk_iov_bytes(iov, count), stk_fifo_room(fifo));

    if (bytes == 0)
        return 0;
    if (!make_room(fifo, bytes)) {
        compact(fifo);
        bytes = min_size(bytes, tail_room(fifo));
    }
    if (bytes == 0)
        return -ENOMEM;
    append(fifo, iov, bytes);
    return (long)bytes;
}

uint8_t *stk_fifo_reserve(struct stk_fifo *fifo, size_t want)
{
    if (!make_room(fifo, want) || !fifo->block)
        return NULL;
    return fifo->block + fifo->start + fifo->len;
}

static void release_if_empty(struct stk_fifo *fifo)
{
    if (fifo->len == 0)
        stk_fifo_free(fifo);
}

void stk_fifo_commit(struct stk_fifo *fifo, size_t len)
{
    assert(len <= tail_room(fifo) && len <= stk_fifo_room(fifo));
    fifo->len += (uint32_t)len;
    release_if_empty(fifo);
}

void stk_fifo_consume(struct stk_fifo *fifo, size_t len)
{
    assert(len <= fifo->len);
    fifo->start += (uint32_t)len;
    fifo->len -= (uint32_t)len;
    release_if_empty(fifo);
}

void stk_fifo_drop_tail(struct stk_fifo *fifo, size_t len)
{
    assert(len <= fifo->len);
    fifo->len -= (uint32_t)len;
    release_if_empty(fifo);
}

size_t stk_fifo_get(struct stk_fifo *fifo, const struct iovec *iov, int count)
{
    const size_t bytes = min_size(stk_iov_bytes(iov, count), fifo->len);
    const uint8_t *from = stk_fifo_data(fifo);

    for (size_t left = bytes; left > 0; iov++) {
        const size_t part = min_size(iov->iov_len, left);

        if (part)
            memcpy(iov->iov_base, from, part);
        from += part;
        left -= part;
    }
    stk_fifo_consume(fifo, bytes);
    return bytes;
}
