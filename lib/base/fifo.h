/*
 * A byte queue with a bound. Its memory exists only while bytes are in it: an idle
 * connection holds none. Bytes are contiguous, so a reader sees all of them in one slice.
 */
#ifndef STK_BASE_FIFO_H
#define STK_BASE_FIFO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { STK_FIFO_LIMIT_MAX = 1 << 30 };

struct stk_fifo {
    uint8_t *block;
    uint32_t start, len, capacity;
    uint32_t limit; /* bytes that may be queued */
};

/* `limit`: STK_FIFO_LIMIT_MAX at most. */
void stk_fifo_init(struct stk_fifo *fifo, size_t limit);
void stk_fifo_free(struct stk_fifo *fifo);

static inline size_t stk_fifo_len(const struct stk_fifo *fifo) { return fifo->len; }
static inline size_t stk_fifo_room(const struct stk_fifo *fifo) { return fifo->limit - fifo->len; }
static inline const uint8_t *stk_fifo_data(const struct stk_fifo *fifo)
{
    return fifo->block + fifo->start;
}

/* Takes as much as fits under the limit and returns the count; -ENOMEM if nothing could be taken.
 */
long stk_fifo_put(struct stk_fifo *fifo, const void *data, size_t len);
long stk_fifo_putv(struct stk_fifo *fifo, const struct iovec *iov, int count);
/* Contiguous room at the end, `want` bytes at least (<= room); NULL without memory. Then commit. */
uint8_t *stk_fifo_reserve(struct stk_fifo *fifo, size_t want);
void stk_fifo_commit(struct stk_fifo *fifo, size_t len);
/* Drops from the front; memory goes when the last byte goes. */
void stk_fifo_consume(struct stk_fifo *fifo, size_t len);
/* Drops from the end. */
void stk_fifo_drop_tail(struct stk_fifo *fifo, size_t len);
/* Copies out and consumes; returns the count. */
size_t stk_fifo_get(struct stk_fifo *fifo, const struct iovec *iov, int count);

#endif
