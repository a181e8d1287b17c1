#include "train.h"

#include "arrival.h"
#include "tag.h"

#include <assert.h>
#include <string.h>

struct train {
    struct ptcp_conn *conn;
    const uint8_t *first; /* packet */
    uint64_t packet;      /* number of the next one */
    uint64_t most;        /* offset that no byte may reach */
    uint64_t bytes;       /* of the packets that were taken */
    size_t tag;
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

    if (size <= PTCP_STREAM_ONLY_AT || at[0] != PTCP_DATA ||
        at[PTCP_SHORT_HEADER_BYTES] != PTCP_FRAME_STREAM || plain == endpoint->options.sealed)
        return NULL;
    slot = ptcp_table_find(&endpoint->table, stk_load_be64(at + 1));
    if (!slot || slot->over)
        return NULL;
    struct ptcp_conn *conn = STK_CONTAINER(slot, struct ptcp_conn, slot);
    return is_fit(conn, run) ? conn : NULL;
}

/* True if the packet goes on and is taken. */
static bool take(struct train *train, const uint8_t *at, size_t size)
{
    struct ptcp_reasm *in = &train->conn->engine->in;
    struct stk_reader reader;

    if (size <= PTCP_STREAM_ONLY_AT + train->tag ||
        memcmp(at, train->first, PTCP_SHORT_NUMBER_AT) != 0 ||
        stk_load_be32(at + PTCP_SHORT_NUMBER_AT) != (uint32_t)train->packet ||
        at[PTCP_SHORT_HEADER_BYTES] != PTCP_FRAME_STREAM)
        return false;
    reader = stk_reader_of(at + PTCP_STREAM_ONLY_AT, size - train->tag - PTCP_STREAM_ONLY_AT);
    if (stk_read_varint(&reader) != in->contiguous || reader.failed)
        return false;
    const size_t len = stk_reader_left(&reader);
    if (len == 0 || in->contiguous + len > train->most)
        return false;
    if (train->tag && !ptcp_tag_ok(train->conn->slot.id, train->conn->peer_id, at, size))
        return false;
    if (ptcp_reasm_append(in, reader.at, len) < 0)
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
    const uint8_t *first = stk_run_at(run, from);
    struct ptcp_conn *conn = find(endpoint, run, first, stk_run_size(run, from));
    unsigned i = from;

    if (!conn)
        return 0;
    const struct ptcp_engine *engine = conn->engine;
    const uint64_t granted = engine->flow.granted, fin = engine->in.fin_offset;
    struct train train = {.conn = conn,
                          .first = first,
                          .packet = ptcp_acks_expected(&engine->acks),
                          .most = granted < fin ? granted : fin,
                          .tag = ptcp_conn_is_plain(conn) ? PTCP_TAG_BYTES : 0};

    while (i < run->count && take(&train, stk_run_at(run, i), stk_run_size(run, i)))
        i++;
    if (i > from)
        note(&train, now_us, run, i - from);
    return i - from;
}
