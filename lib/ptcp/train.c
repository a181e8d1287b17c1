#include "train.h"

#include "arrival.h"
#include "tag.h"

#include <assert.h>

#define NUMBER_MASK ((UINT64_C(1) << PTCP_SHORT_NUMBER_BITS) - 1)

struct train {
    struct ptcp_conn *conn;
    uint64_t id, id_mask; /* as it is on the wire, where no tag hides it */
    uint64_t packet;      /* number of the next one */
    uint64_t most;        /* offset that no byte may reach */
    uint64_t bytes;       /* of the packets that were taken */
    bool plain;
};

/* Everything about the connection that arrival.c and conn_input.c look at for each packet. */
static bool is_fit(const struct ptcp_conn *conn, const struct stk_run *run)
{
    const struct ptcp_arrival arrival = {.run = run};

    return ptcp_state_is_open(conn->state) && ptcp_state_takes(conn->state, PTCP_DATA) &&
           conn->confirmed && !(conn->due & PTCP_DUE_PARAMS) && !ptcp_durable_is_silent(conn) &&
           conn->engine && conn->engine->in.ahead.count == 0 && conn->error == 0 &&
           !conn->released && !conn->trace &&
           ptcp_arrival_is_from(&arrival, ptcp_conn_association(conn), &conn->path->peer);
}

static struct ptcp_conn *find(struct ptcp_endpoint *endpoint, const struct stk_run *run,
                              const uint8_t *at, size_t size)
{
    const bool plain = run->association == 0;
    struct ptcp_slot *slot;

    if (size <= PTCP_STREAM_HEADER_BYTES || at[0] != PTCP_STREAM ||
        plain == endpoint->options.sealed)
        return NULL;
    slot = ptcp_table_find_low(&endpoint->table, stk_load_be32(at + PTCP_SHORT_ID_LOW_AT));
    if (!slot || slot->over)
        return NULL;
    struct ptcp_conn *conn = STK_CONTAINER(slot, struct ptcp_conn, slot);
    return is_fit(conn, run) ? conn : NULL;
}

/* The next packet of that connection, with the stream bytes that are next, as far as it says. */
static bool is_next(const struct train *train, const uint8_t *at, size_t size)
{
    return size > PTCP_STREAM_HEADER_BYTES && at[0] == PTCP_STREAM &&
           train->packet < PTCP_NUMBER_MAX &&
           ((stk_load_be64(at + PTCP_SHORT_ID_AT) ^ train->id) & train->id_mask) == 0 &&
           ((stk_load_be24(at + PTCP_SHORT_NUMBER_AT) ^ train->packet) & NUMBER_MASK) == 0 &&
           stk_load_be32(at + PTCP_SHORT_HEADER_BYTES) ==
               (uint32_t)train->conn->engine->in.contiguous;
}

static bool is_tagged(const struct train *train, const uint8_t *at, size_t size)
{
    const struct ptcp_whole whole = {.destination = train->conn->slot.id,
                                     .source = train->conn->peer_id,
                                     .packet = train->packet,
                                     .offset = train->conn->engine->in.contiguous};

    return ptcp_tag_ok(at, size, &whole);
}

/* True if the packet is the next one, and is taken. */
static bool take(struct train *train, const uint8_t *at, size_t size)
{
    struct ptcp_reasm *in = &train->conn->engine->in;

    if (!is_next(train, at, size) ||
        in->contiguous + (size - PTCP_STREAM_HEADER_BYTES) > train->most ||
        (train->plain && !is_tagged(train, at, size)))
        return false;
    if (ptcp_reasm_append(in, at + PTCP_STREAM_HEADER_BYTES, size - PTCP_STREAM_HEADER_BYTES) < 0)
        return false; /* what was written of it does no harm */
    train->packet++;
    train->bytes += size;
    return true;
}

static void note(struct train *train, uint64_t now_us, const struct stk_run *run, unsigned count)
{
    struct ptcp_conn *conn = train->conn;

    conn->packets_received += count;
    conn->bytes_received += train->bytes;
    conn->heard_us = conn->path->heard_us = now_us;
    ptcp_acks_take(&conn->engine->acks, train->packet - count, count, now_us, true, run->ecn);
    ptcp_conn_raise(conn, PTCP_RX);
    ptcp_conn_step(conn, now_us);
    ptcp_endpoint_touch(conn->endpoint, conn);
}

unsigned ptcp_train_take(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *run,
                         unsigned from)
{
    struct ptcp_conn *conn = find(endpoint, run, stk_run_at(run, from), stk_run_size(run, from));
    unsigned i = from;

    if (!conn)
        return 0;
    const struct ptcp_engine *engine = conn->engine;
    const uint64_t granted = engine->flow.granted, fin = engine->in.fin_offset;
    const bool plain = ptcp_conn_is_plain(conn);
    struct train train = {.conn = conn,
                          .id = conn->slot.id,
                          .id_mask = plain ? UINT32_MAX : UINT64_MAX,
                          .packet = ptcp_acks_expected(&engine->acks),
                          .most = granted < fin ? granted : fin,
                          .plain = plain};

    while (i < run->count && take(&train, stk_run_at(run, i), stk_run_size(run, i)))
        i++;
    if (i > from)
        note(&train, now_us, run, i - from);
    return i - from;
}
