/*
 * The sending half of a stream: the user's bytes, kept once until they are acknowledged.
 *
 *   acked        sent, maybe lost, maybe acked        never sent      room
 *  ------ una ---------------------------------- next ---------- end ------ una + limit
 */
#ifndef STK_PTCP_SENDBUF_H
#define STK_PTCP_SENDBUF_H

#include "ranges.h"
#include "store.h"

#include <sys/uio.h>

struct ptcp_sendbuf {
    struct ptcp_store store;
    struct ptcp_ranges acked; /* above una */
    struct ptcp_ranges lost;  /* to be sent again */
    uint64_t una, next, end;
    uint64_t limit; /* bytes between una and end, at most */
    bool finished;  /* the user has no more bytes: FIN follows the last one */
    bool fin_sent, fin_lost, fin_acked;
};

/* A piece of the stream that fits into one packet. */
struct ptcp_piece {
    uint64_t offset;
    uint32_t len;
    bool fin;
};

void ptcp_sendbuf_init(struct ptcp_sendbuf *buf, struct ptcp_pool *pool, uint64_t limit);
void ptcp_sendbuf_free(struct ptcp_sendbuf *buf);

static inline uint64_t ptcp_sendbuf_room(const struct ptcp_sendbuf *buf)
{
    return buf->end - buf->una < buf->limit ? buf->limit - (buf->end - buf->una) : 0;
}

/* Is anything sent, or to be sent, that the peer has not acknowledged? */
static inline bool ptcp_sendbuf_busy(const struct ptcp_sendbuf *buf)
{
    return buf->una < buf->end || (buf->finished && !buf->fin_acked);
}

/* Copies what there is room for; the count, or -ENOMEM if it is 0 for lack of memory. */
long ptcp_sendbuf_put(struct ptcp_sendbuf *buf, const struct iovec *iov, int count);
/*
 * What to send next: lost bytes first, then new ones below `max_offset`. False if there is
 * nothing. A piece without bytes carries only FIN.
 */
bool ptcp_sendbuf_pick(const struct ptcp_sendbuf *buf, uint64_t max_offset, size_t max_len,
                       struct ptcp_piece *piece);
/* Would pick() find anything? */
bool ptcp_sendbuf_has(const struct ptcp_sendbuf *buf, uint64_t max_offset);
int ptcp_sendbuf_sent(struct ptcp_sendbuf *buf, const struct ptcp_piece *piece);
int ptcp_sendbuf_acked(struct ptcp_sendbuf *buf, const struct ptcp_piece *piece);
int ptcp_sendbuf_lost(struct ptcp_sendbuf *buf, const struct ptcp_piece *piece);

#endif
