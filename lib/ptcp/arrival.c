/* Whom each datagram concerns. */
#include "arrival.h"

#include "fetch.h"
#include "tag.h"
#include "train.h"

#include <assert.h>

bool ptcp_arrival_is_plain(const struct ptcp_arrival *arrival)
{
    return arrival->run->association == 0;
}

bool ptcp_arrival_tag_ok(const struct ptcp_arrival *arrival)
{
    const struct ptcp_whole whole = {.destination = arrival->header.destination,
                                     .source = arrival->header.source};

    return !ptcp_arrival_is_plain(arrival) || ptcp_tag_ok(arrival->bytes, arrival->size, &whole);
}

bool ptcp_arrival_is_from(const struct ptcp_arrival *arrival, uint64_t association,
                          const struct stk_addr *peer)
{
    if (!ptcp_arrival_is_plain(arrival))
        return association == arrival->run->association;
    return association == 0 && arrival->run->peer && stk_addr_equal(peer, arrival->run->peer);
}

bool ptcp_arrival_find(struct ptcp_frames frames, uint8_t type, struct ptcp_frame *frame)
{
    struct ptcp_ack ack;

    while (ptcp_frame_read(&frames, frame, &ack) > 0) {
        if (frame->type == type)
            return true;
    }
    return false;
}

void ptcp_arrival_deliver(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    ptcp_conn_input(conn, arrival->now_us, &arrival->header, arrival->frames, arrival->run,
                    arrival->size);
}

void ptcp_arrival_answer(struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival,
                         uint8_t type, uint64_t code)
{
    struct ptcp_reply reply = {.type = type,
                               .destination = arrival->header.source,
                               .code = code,
                               .association = arrival->run->association};

    if (arrival->run->peer)
        reply.peer = *arrival->run->peer;
    if (arrival->run->local)
        reply.local = *arrival->run->local;
    ptcp_endpoint_reply(endpoint, &reply);
}

static void on_data(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    if (conn->durable)
        ptcp_durable_resumed(conn, arrival->now_us);
    if (conn->state == PTCP_STATE_SYN_RECEIVED)
        ptcp_conn_establish(conn, arrival->now_us);
    conn->confirmed = true;
    conn->due &= ~(unsigned)PTCP_DUE_PARAMS;
    ptcp_arrival_deliver(conn, arrival);
}

static void on_retry(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    struct ptcp_frame cookie;

    if (ptcp_arrival_find(arrival->frames, PTCP_FRAME_COOKIE, &cookie))
        ptcp_conn_retry(conn, arrival->now_us, cookie.data, cookie.len);
}

static void on_refuse(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    ptcp_conn_fail(conn, arrival->now_us, -ECONNREFUSED, "nobody listens there");
}

/* Only who shows its token over this association is told so. */
static void on_unknown(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    if (conn->durable && conn->durable->seek == PTCP_SEEK_SHOW &&
        ptcp_arrival_is_from(arrival, ptcp_conn_association(conn), &conn->path->peer) &&
        !ptcp_conn_end_in_order(conn, arrival->now_us))
        ptcp_conn_fail(conn, arrival->now_us, -ECONNRESET,
                       "the peer does not know this connection any more, so it can't be resumed");
}

static void on_connection(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    const uint8_t type = arrival->header.type;

    if (type == PTCP_REFUSE && ptcp_state_is_open(conn->state)) {
        on_unknown(conn, arrival);
        return;
    }
    if (!ptcp_state_takes(conn->state, type) ||
        (type != PTCP_DATA && !ptcp_arrival_tag_ok(arrival)) ||
        !ptcp_arrival_is_from(arrival, ptcp_conn_association(conn), &conn->path->peer))
        return;
    switch (type) {
    case PTCP_SYN_ACK:
        ptcp_opening_syn_ack(conn, arrival);
        break;
    case PTCP_RETRY:
        on_retry(conn, arrival);
        break;
    case PTCP_REFUSE:
        on_refuse(conn, arrival);
        break;
    default:
        assert(type == PTCP_DATA);
        on_data(conn, arrival);
    }
}

/* --- Whom a packet is for ------------------------------------------------------------------------
 */

/* What came of the stream up to now, in order. */
static uint64_t received_by(const struct ptcp_slot *slot)
{
    return slot->over ? STK_CONTAINER(slot, struct ptcp_timewait, slot)->stream
                      : ptcp_conn_received(STK_CONTAINER(slot, struct ptcp_conn, slot));
}

/* A short header, if that is its receiver. */
static struct ptcp_whole whole_for(const struct ptcp_slot *slot, const struct ptcp_header *header)
{
    const struct ptcp_timewait *entry = STK_CONTAINER(slot, struct ptcp_timewait, slot);
    const struct ptcp_conn *conn = STK_CONTAINER(slot, struct ptcp_conn, slot);
    const uint64_t expected = slot->over ? entry->received : ptcp_conn_expected(conn);

    return (struct ptcp_whole){
        .destination = slot->id,
        .source = slot->over ? entry->peer_id : conn->peer_id,
        .packet = ptcp_packet_number(header, expected),
        .offset = ptcp_stream_offset(header->offset, received_by(slot)),
    };
}

/* Half of the id lies under the tag: the tag tells which of those that share the other half. */
static struct ptcp_slot *find_tagged(const struct ptcp_endpoint *endpoint,
                                     const struct ptcp_arrival *arrival)
{
    const uint32_t low = (uint32_t)arrival->header.destination;
    struct ptcp_slot *slot = ptcp_table_first(&endpoint->table, low);

    for (; slot; slot = slot->next) {
        if ((uint32_t)slot->id != low)
            continue;
        const struct ptcp_whole whole = whole_for(slot, &arrival->header);
        if (ptcp_tag_ok(arrival->bytes, arrival->size, &whole))
            return slot;
    }
    return NULL;
}

static struct ptcp_slot *find(const struct ptcp_endpoint *endpoint, struct ptcp_arrival *arrival)
{
    struct ptcp_slot *slot = ptcp_arrival_is_plain(arrival) && arrival->header.type == PTCP_DATA
                                 ? find_tagged(endpoint, arrival)
                                 : ptcp_table_find(&endpoint->table, arrival->header.destination);

    if (slot)
        ptcp_frames_place(&arrival->frames, received_by(slot));
    return slot;
}

static void take_packet(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *run,
                        const uint8_t *bytes, size_t size)
{
    struct ptcp_arrival arrival = {.now_us = now_us, .run = run, .bytes = bytes, .size = size};
    const bool plain = ptcp_arrival_is_plain(&arrival);
    struct ptcp_slot *slot;

    if (plain == endpoint->options.sealed ||
        ptcp_packet_read(bytes, size, plain, &arrival.header, &arrival.frames) < 0)
        return;
    if (arrival.header.type == PTCP_SYN) {
        ptcp_opening_syn(endpoint, &arrival);
        return;
    }
    slot = find(endpoint, &arrival);
    if (arrival.header.type == PTCP_RESUME) {
        ptcp_opening_resume(endpoint, slot, &arrival);
        return;
    }
    if (!slot && arrival.header.type == PTCP_SYN_ACK)
        ptcp_opening_stray(endpoint, &arrival);
    if (!slot)
        return;
    if (slot->over)
        ptcp_late_packet(endpoint, STK_CONTAINER(slot, struct ptcp_timewait, slot), &arrival);
    else
        on_connection(STK_CONTAINER(slot, struct ptcp_conn, slot), &arrival);
}

static void take_run(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *run)
{
    for (unsigned i = 0; i < run->count;) {
        const unsigned taken = ptcp_train_take(endpoint, now_us, run, i);

        if (taken == 0)
            take_packet(endpoint, now_us, run, stk_run_at(run, i), stk_run_size(run, i));
        i += taken > 0 ? taken : 1;
    }
}

/* --- Ahead ---------------------------------------------------------------------------------------
 *
 * Where many connections have their turns, what is known of one has left the processor's cache when
 * its next packet comes. So it is fetched for all of them that a batch concerns, before the first
 * is looked at.
 */

enum { AHEAD_MAX = 16 };

/* Where the connections will be found, most probably: nothing is believed of packets yet. */
struct ahead {
    const struct ptcp_slot *slots[AHEAD_MAX];
    uint32_t ids[AHEAD_MAX]; /* the half of them that no tag hides */
    int count;
};

static void look_up(const struct ptcp_endpoint *endpoint, struct ahead *ahead, uint32_t id)
{
    const struct ptcp_slot *slot = ptcp_table_first(&endpoint->table, id);

    if (!slot)
        return;
    stk_fetch(slot, sizeof(struct ptcp_conn));
    ahead->slots[ahead->count] = slot;
    ahead->ids[ahead->count++] = id;
}

/* Packets of one run are of one connection, or each of another. */
static void look_up_run(const struct ptcp_endpoint *endpoint, struct ahead *ahead,
                        const struct stk_run *run)
{
    uint32_t last = 0;

    for (unsigned i = 0; i < run->count && ahead->count < AHEAD_MAX; i++) {
        if (stk_run_size(run, i) < PTCP_SHORT_HEADER_BYTES)
            return;
        const uint32_t id = stk_load_be32(stk_run_at(run, i) + PTCP_SHORT_ID_LOW_AT);
        if (id == last)
            return;
        last = id;
        look_up(endpoint, ahead, id);
    }
}

static void fetch_engines(const struct ahead *ahead)
{
    for (int i = 0; i < ahead->count; i++) {
        const struct ptcp_slot *slot = ahead->slots[i];

        if ((uint32_t)slot->id == ahead->ids[i] && !slot->over)
            stk_fetch(STK_CONTAINER(slot, struct ptcp_conn, slot)->engine,
                      sizeof(struct ptcp_engine));
    }
}

static void fetch_ahead(const struct ptcp_endpoint *endpoint, const struct stk_run *runs, int count)
{
    struct ahead ahead;

    ahead.count = 0;
    for (int r = 0; r < count; r++)
        look_up_run(endpoint, &ahead, &runs[r]);
    fetch_engines(&ahead);
}

void ptcp_input(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *runs,
                int count)
{
    endpoint->now_us = now_us;
    fetch_ahead(endpoint, runs, count);
    for (int r = 0; r < count; r++)
        take_run(endpoint, now_us, &runs[r]);
}
