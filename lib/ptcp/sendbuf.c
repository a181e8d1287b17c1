#include "sendbuf.h"

#include "error.h"
#include "packet.h"

#include <assert.h>

/* Disjoint pieces are never more than packets in flight, which the sent ring bounds. */
enum { PIECES_MAX = 1 << 17 };

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

void ptcp_sendbuf_init(struct ptcp_sendbuf *buf, struct ptcp_pool *pool, uint64_t limit)
{
    *buf = (struct ptcp_sendbuf){.limit = limit};
    ptcp_store_init(&buf->store, pool);
    ptcp_ranges_init(&buf->acked, PIECES_MAX);
    ptcp_ranges_init(&buf->lost, PIECES_MAX);
}

void ptcp_sendbuf_free(struct ptcp_sendbuf *buf)
{
    buf->store.pool->senders -= buf->store.held > 0;
    ptcp_store_free(&buf->store);
    ptcp_ranges_free(&buf->acked);
    ptcp_ranges_free(&buf->lost);
}

static void extend(struct ptcp_sendbuf *buf, size_t len)
{
    buf->store.pool->senders += buf->una == buf->end;
    buf->end += len;
}

/* As much of one slice as memory allows: chunk by chunk. */
static size_t put_slice(struct ptcp_sendbuf *buf, const uint8_t *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        const size_t to_edge = PTCP_CHUNK_BYTES - buf->end % PTCP_CHUNK_BYTES;
        const size_t part = min_u64(len - done, to_edge);

        if (ptcp_store_write(&buf->store, buf->end, data + done, part,
                             ptcp_pool_allows(buf->store.pool, buf->store.held)) < 0)
            break;
        extend(buf, part);
        done += part;
    }
    return done;
}

long ptcp_sendbuf_put(struct ptcp_sendbuf *buf, const struct iovec *iov, int count)
{
    size_t total = 0;

    assert(!buf->finished);
    for (int i = 0; i < count; i++) {
        const size_t want = min_u64(
            iov[i].iov_len, min_u64(ptcp_sendbuf_room(buf), PTCP_NUMBER_MAX - 1 - buf->end));
        const size_t took = put_slice(buf, iov[i].iov_base, want);

        total += took;
        if (took < want)
            return total ? (long)total : -ENOMEM;
        if (want < iov[i].iov_len)
            break;
    }
    return (long)total;
}

static bool fin_is_due(const struct ptcp_sendbuf *buf, uint64_t end)
{
    return buf->finished && end == buf->end && (!buf->fin_sent || buf->fin_lost);
}

bool ptcp_sendbuf_pick(const struct ptcp_sendbuf *buf, uint64_t max_offset, size_t max_len,
                       struct ptcp_piece *piece)
{
    uint64_t first = buf->next, end = min_u64(buf->end, max_offset);

    if (buf->lost.count > 0) {
        first = ptcp_ranges_at(&buf->lost, 0)->first;
        end = ptcp_ranges_at(&buf->lost, 0)->end;
    }
    end = min_u64(max_u64(end, first), first + max_len);
    const bool fin = fin_is_due(buf, end);
    *piece = (struct ptcp_piece){first, (uint32_t)(end - first), fin};
    return end > first || fin;
}

bool ptcp_sendbuf_has(const struct ptcp_sendbuf *buf, uint64_t max_offset)
{
    return buf->lost.count > 0 || buf->next < min_u64(buf->end, max_offset) ||
           (buf->next == buf->end && fin_is_due(buf, buf->end));
}

int ptcp_sendbuf_sent(struct ptcp_sendbuf *buf, const struct ptcp_piece *piece)
{
    const uint64_t end = piece->offset + piece->len;

    assert(end <= buf->end && piece->offset <= buf->next);
    if (piece->fin) {
        buf->fin_sent = true;
        buf->fin_lost = false;
    }
    if (piece->offset == buf->next) {
        buf->next = end;
        return 0;
    }
    return ptcp_ranges_remove(&buf->lost, piece->offset, end);
}

static void advance_to(struct ptcp_sendbuf *buf, uint64_t una)
{
    buf->una = una;
    if (buf->una < buf->end) {
        ptcp_store_drop_below(&buf->store, buf->una);
        return;
    }
    buf->store.pool->senders--;
    ptcp_store_empty(&buf->store);
}

static void advance(struct ptcp_sendbuf *buf)
{
    const struct ptcp_range *lowest = ptcp_ranges_at(&buf->acked, 0);

    if (buf->acked.count == 0 || lowest->first > buf->una)
        return;
    const uint64_t una = lowest->end;
    ptcp_ranges_drop_lowest(&buf->acked);
    advance_to(buf, una);
}

int ptcp_sendbuf_acked(struct ptcp_sendbuf *buf, const struct ptcp_piece *piece)
{
    const uint64_t first = max_u64(piece->offset, buf->una), end = piece->offset + piece->len;
    int rc;

    assert(end <= buf->next);
    if (piece->fin) {
        buf->fin_acked = true;
        buf->fin_lost = false;
    }
    if (first >= end)
        return 0;
    if (first == buf->una && buf->lost.count == 0 && buf->acked.count == 0) {
        advance_to(buf, end); /* in order, as nearly all are */
        return 0;
    }
    rc = ptcp_ranges_remove(&buf->lost, first, end);
    if (rc == 0)
        rc = ptcp_ranges_add(&buf->acked, first, end);
    if (rc == 0)
        advance(buf);
    return rc;
}

/* What has been acknowledged through another packet is not lost. */
int ptcp_sendbuf_lost(struct ptcp_sendbuf *buf, const struct ptcp_piece *piece)
{
    uint64_t first = max_u64(piece->offset, buf->una);
    const uint64_t end = piece->offset + piece->len;

    if (piece->fin && !buf->fin_acked)
        buf->fin_lost = true;
    for (uint32_t i = ptcp_ranges_find(&buf->acked, first); first < end; i++) {
        const bool more = i < buf->acked.count;
        const struct ptcp_range *acked = ptcp_ranges_at(&buf->acked, i);
        const uint64_t stop = more ? min_u64(acked->first, end) : end;

        if (first < stop) {
            const int rc = ptcp_ranges_add(&buf->lost, first, stop);
            if (rc < 0)
                return rc;
        }
        if (!more)
            break;
        first = acked->end;
    }
    return 0;
}
