/*
 * The receiving half of a stream: bytes that arrive in any order, read in order.
 *
 * It never holds more than the window that was granted. Where segments overlap, the bytes that
 * arrived first stand. Readers see slices of its memory until they consume them.
 *
 * Where the port's memory gets short, bytes behind holes are refused first: a quarter of it is kept
 * for those that are next in order, so that holes get filled, and memory free.
 */
#ifndef STK_PTCP_REASM_H
#define STK_PTCP_REASM_H

#include "ranges.h"
#include "store.h"

#include <sys/uio.h>

enum { PTCP_REASM_HOLES_MAX = 4096 };

struct ptcp_reasm {
    struct ptcp_store store;
    struct ptcp_ranges ahead; /* received above `contiguous` */
    uint64_t ahead_bytes;     /* in all of these */
    uint64_t consumed, contiguous;
    uint64_t fin_offset; /* UINT64_MAX: not known yet */
};

void ptcp_reasm_init(struct ptcp_reasm *reasm, struct ptcp_pool *pool);
void ptcp_reasm_free(struct ptcp_reasm *reasm);

/*
 * 0; -EPROTO: bytes beyond `max_offset` or beyond FIN, or a FIN that moved;
 * -ENOMEM or STK_ELIMIT: no room, so the packet must not be acknowledged.
 */
int ptcp_reasm_put(struct ptcp_reasm *reasm, uint64_t offset, const uint8_t *data, size_t len,
                   bool fin, uint64_t max_offset);
/* The same for the bytes that are next, where none are there beyond them. Needs them to be within
 * what was granted and before the FIN. */
int ptcp_reasm_append(struct ptcp_reasm *reasm, const uint8_t *data, size_t len);
/* Up to `max` slices of unread bytes; returns how many. */
int ptcp_reasm_peek(const struct ptcp_reasm *reasm, struct iovec *iov, int max);
void ptcp_reasm_consume(struct ptcp_reasm *reasm, size_t len);

static inline uint64_t ptcp_reasm_readable(const struct ptcp_reasm *reasm)
{
    return reasm->contiguous - reasm->consumed;
}
/* All that has ever arrived. */
static inline uint64_t ptcp_reasm_received(const struct ptcp_reasm *reasm)
{
    return reasm->contiguous + reasm->ahead_bytes;
}
/* All bytes up to the FIN have arrived. */
static inline bool ptcp_reasm_complete(const struct ptcp_reasm *reasm)
{
    return reasm->contiguous == reasm->fin_offset;
}

#endif
