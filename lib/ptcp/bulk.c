#include "bulk.h"

#include "endpoint.h"
#include "tag.h"

#include <assert.h>
#include <string.h>

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

static_assert((int)PTCP_CHUNK_HEAD_BYTES >= (int)STK_GATHER_ROOM, "what stands before a slice");

/* What is the same for each packet of one call. */
struct bulk {
    uint16_t full; /* bytes of a packet */
    uint16_t payload;
    bool plain, gathers;
    uint8_t header[PTCP_STREAM_HEADER_BYTES]; /* but for its number and its offset */
};

static struct bulk layout(const struct ptcp_conn *conn)
{
    const uint16_t full = ptcp_path_packet_size(conn->path);
    const bool plain = ptcp_conn_is_plain(conn);
    /* A tag covers the bytes, and who watches reads them: then they must be in the packet. */
    struct bulk bulk = {.full = full,
                        .payload = (uint16_t)(full - PTCP_STREAM_HEADER_BYTES),
                        .plain = plain,
                        .gathers = !plain && !conn->trace};
    struct stk_writer writer = stk_writer_of(bulk.header, sizeof(bulk.header));

    ptcp_header_write(
        &writer,
        &(struct ptcp_header){.type = PTCP_DATA, .stream = true, .destination = conn->peer_id});
    return bulk;
}

/* How many full packets may go now, all limits together. */
static unsigned packets_due(struct ptcp_conn *conn, uint64_t now_us, const struct bulk *bulk)
{
    const struct ptcp_sendbuf *out = &conn->engine->out;
    const struct ptcp_sent_ring *ring = &conn->engine->recovery.ring;
    struct ptcp_path *path = conn->path;
    uint64_t bytes = less(min_u64(out->end, conn->engine->flow.peer_limit), out->next);
    uint64_t count;

    if (out->lost.count > 0 || conn->engine->recovery.probes > 0)
        return 0;
    count = bytes / bulk->payload;
    count =
        min_u64(count, less(path->cc.window_bytes, path->delivery.in_flight) / path->mtu.current);
    count = min_u64(count, ptcp_pacer_packets(&path->pacer, now_us));
    return (unsigned)min_u64(count, less(conn->skip_at, ring->next));
}

/* The stream's bytes stay where they are if they can: who seals the packet reads them there. */
static struct iovec place_payload(struct ptcp_conn *conn, const struct bulk *bulk, uint64_t offset,
                                  uint8_t *room)
{
    const struct ptcp_store *store = &conn->engine->out.store;
    const uint8_t *data;

    if (bulk->gathers && ptcp_store_slice(store, offset, bulk->payload, &data) == bulk->payload)
        return (struct iovec){(void *)(uintptr_t)data, bulk->payload};
    ptcp_store_copy(store, offset, bulk->payload, room);
    return (struct iovec){NULL, 0};
}

static struct iovec write_packet(struct ptcp_conn *conn, const struct bulk *bulk, uint64_t number,
                                 uint64_t offset, uint8_t *at)
{
    memcpy(at, bulk->header, sizeof(bulk->header));
    stk_store_be24(at + PTCP_SHORT_NUMBER_AT, (uint32_t)number);
    stk_store_be32(at + PTCP_SHORT_HEADER_BYTES, (uint32_t)offset);
    const struct iovec tail = place_payload(conn, bulk, offset, at + sizeof(bulk->header));
    if (bulk->plain)
        ptcp_tag_put(at, bulk->full,
                     &(struct ptcp_whole){.destination = conn->peer_id,
                                          .source = conn->slot.id,
                                          .packet = number,
                                          .offset = offset});
    return tail;
}

static void note_packets(struct ptcp_conn *conn, uint64_t now_us, const struct bulk *bulk,
                         unsigned count, const uint8_t *first)
{
    /* Made where it stays: a copy right after would wait for each of its parts. */
    struct ptcp_sent *record = ptcp_sent_room(&conn->engine->recovery.ring);

    *record = (struct ptcp_sent){.offset = conn->engine->out.next,
                                 .len = bulk->payload,
                                 .size = conn->path->mtu.current,
                                 .more = (uint16_t)(count - 1),
                                 .flags = PTCP_CARRIED_STREAM | PTCP_SENT_ELICITING};
    ptcp_recovery_sent(&conn->engine->recovery, conn->path, now_us, record);
    PTCP_TRACE(conn->trace, sent, conn, record, first, bulk->full);
    conn->engine->out.next += (uint64_t)count * bulk->payload;
}

/* Packets with one record. */
static void add_packets(struct ptcp_conn *conn, uint64_t now_us, const struct bulk *bulk,
                        struct stk_run *run, unsigned count)
{
    const uint64_t number = conn->engine->recovery.ring.next, offset = conn->engine->out.next;
    const uint8_t *first = stk_run_at(run, run->count);

    for (unsigned i = 0; i < count; i++, run->count++)
        conn->endpoint->gather[run->count] =
            write_packet(conn, bulk, number + i, offset + (uint64_t)i * bulk->payload,
                         stk_run_at(run, run->count));
    run->last_size = bulk->full;
    note_packets(conn, now_us, bulk, count, first);
}

void ptcp_bulk_add(struct ptcp_conn *conn, uint64_t now_us, struct stk_run *run, unsigned limit)
{
    const struct bulk bulk = layout(conn);
    const unsigned due = packets_due(conn, now_us, &bulk), room = limit - run->count;
    const unsigned count = due < room ? due : room;
    unsigned n = 0, more;

    assert(run->count <= limit && run->size == bulk.full);
    /* Who watches is told of each packet. */
    while ((more = ptcp_sent_reserve_run(&conn->engine->recovery.ring,
                                         conn->trace && n < count ? 1 : count - n))) {
        add_packets(conn, now_us, &bulk, run, more);
        n += more;
    }
    if (n > 0 && bulk.gathers)
        run->gather = conn->endpoint->gather;
    conn->packets_sent += n;
    conn->bytes_sent += (uint64_t)n * conn->path->mtu.current;
    ptcp_pacer_spend(&conn->path->pacer, (uint64_t)n * conn->path->mtu.current);
}
