#include "engine.h"

#include "alloc.h"
#include "connection.h"
#include "endpoint.h"

#include <assert.h>
#include <string.h>

void ptcp_engines_init(struct ptcp_spares *engines)
{
    ptcp_spares_init(engines, sizeof(struct ptcp_engine), PTCP_ENGINES_SPARE);
}

static void make_receiver(const struct ptcp_conn *conn, struct ptcp_engine *engine)
{
    const struct ptcp_rest *rest = &conn->rest;
    struct ptcp_acks *acks = &engine->acks;

    ptcp_acks_init(acks);
    acks->floor = rest->expected_packet;
    acks->max_delay_us = rest->ack_delay_us;
    acks->every = rest->ack_every;
    acks->frequency_sequence = rest->frequency_sequence;
    acks->cut = rest->cut;
    acks->newest_us = conn->heard_us;
    for (int i = 0; i < 3; i++)
        acks->ecn[i] = rest->ecn[i];
    if (rest->expected_packet > 0) /* of one interval: that takes no memory */
        ptcp_ranges_add(&acks->received, rest->expected_packet - 1, rest->expected_packet);
    ptcp_reasm_init(&engine->in, &conn->endpoint->pool);
    engine->in.consumed = engine->in.contiguous = rest->received;
    if (rest->ended)
        engine->in.fin_offset = rest->received;
    ptcp_flow_init(&engine->flow, rest->window, rest->window_max);
    engine->flow.granted = rest->granted;
    engine->flow.peer_limit = rest->peer_limit;
    engine->flow.mark = engine->flow.grown_at = rest->received;
    engine->flow.mark_us = conn->endpoint->now_us;
}

static void make_sender(const struct ptcp_conn *conn, struct ptcp_engine *engine)
{
    const struct ptcp_rest *rest = &conn->rest;
    struct ptcp_recovery *recovery = &engine->recovery;

    ptcp_recovery_init(recovery, &conn->endpoint->records);
    recovery->ring.first = recovery->ring.next = recovery->largest_acked = rest->next_packet;
    recovery->last_eliciting_us = rest->last_eliciting_us;
    recovery->peer_ack_delay_us = rest->peer_ack_delay_us;
    recovery->reorder_packets = rest->reorder_packets;
    recovery->reorder_eighths = rest->reorder_eighths;
    recovery->lost_packets = rest->lost;
    recovery->spurious_packets = rest->spurious;
    recovery->timeouts = rest->timeouts;
    recovery->persistent = rest->persistent;
    recovery->ecn = (struct ptcp_ecn_counts){rest->ecn_sent, rest->ecn_ect0, rest->ecn_ce};
    ptcp_sendbuf_init(&engine->out, &conn->endpoint->pool, rest->send_limit);
    engine->out.una = engine->out.next = engine->out.end = rest->sent;
    engine->out.finished = engine->out.fin_sent = engine->out.fin_acked = rest->finished;
}

void ptcp_engine_make(const struct ptcp_conn *conn, struct ptcp_engine *engine)
{
    make_receiver(conn, engine);
    make_sender(conn, engine);
}

uint64_t ptcp_engine_window(const struct ptcp_endpoint *endpoint, uint64_t wish)
{
    const uint64_t memory = endpoint->options.memory_bytes, windows = endpoint->windows;
    const uint64_t left = memory > windows ? memory - windows : 0;

    if (wish <= left)
        return wish;
    return left > STK_PTCP_BUFFER_MIN ? left : STK_PTCP_BUFFER_MIN;
}

bool ptcp_conn_wake(struct ptcp_conn *conn)
{
    if (conn->engine)
        return true;
    assert(!conn->buried);
    conn->engine = ptcp_spares_take(&conn->endpoint->engines);
    if (!conn->engine)
        return false;
    ptcp_engine_make(conn, conn->engine);
    conn->engine->flow.window = ptcp_engine_window(conn->endpoint, conn->engine->flow.window);
    conn->endpoint->windows += conn->engine->flow.window;
    return true;
}

static bool receiver_is_quiet(const struct ptcp_engine *engine)
{
    const struct ptcp_acks *acks = &engine->acks;
    const struct ptcp_reasm *in = &engine->in;

    return acks->waiting == 0 && acks->due_us == UINT64_MAX && ptcp_reasm_readable(in) == 0 &&
           in->ahead.count == 0 && (in->fin_offset == UINT64_MAX || ptcp_reasm_complete(in)) &&
           !engine->flow.update && (acks->ecn[0] | acks->ecn[1] | acks->ecn[2]) <= UINT32_MAX;
}

static bool sender_is_quiet(const struct ptcp_engine *engine)
{
    const struct ptcp_recovery *recovery = &engine->recovery;
    const struct ptcp_ecn_counts *ecn = &recovery->ecn;

    return recovery->ring.first == recovery->ring.next && recovery->in_flight == 0 &&
           recovery->loss_us == UINT64_MAX && recovery->probes == 0 &&
           (ecn->sent | ecn->ect0 | ecn->ce) <= UINT32_MAX && !ptcp_sendbuf_busy(&engine->out);
}

/* Whoever watches, or may have to go on elsewhere, wants to see everything. */
bool ptcp_conn_is_quiet(const struct ptcp_conn *conn)
{
    return conn->engine && ptcp_state_is_open(conn->state) && conn->state != PTCP_STATE_TIME_WAIT &&
           conn->confirmed && !(conn->due & ~(unsigned)PTCP_DUE_FREQUENCY) && conn->error == 0 &&
           !conn->trace && !conn->durable && conn->turn.state == PTCP_TURN_IDLE &&
           receiver_is_quiet(conn->engine) && sender_is_quiet(conn->engine);
}

static uint32_t capped(uint64_t value) { return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX; }

void ptcp_conn_rest(struct ptcp_conn *conn)
{
    const struct ptcp_engine *engine = conn->engine;
    const struct ptcp_recovery *recovery = &engine->recovery;
    const struct ptcp_acks *acks = &engine->acks;

    assert(ptcp_conn_is_quiet(conn));
    conn->rest = (struct ptcp_rest){
        .next_packet = recovery->ring.next,
        .expected_packet = ptcp_acks_expected(acks),
        .sent = engine->out.end,
        .received = engine->in.contiguous,
        .granted = engine->flow.granted,
        .peer_limit = engine->flow.peer_limit,
        .last_eliciting_us = recovery->last_eliciting_us,
        .frequency_sequence = acks->frequency_sequence,
        .window = (uint32_t)engine->flow.window,
        .window_max = (uint32_t)engine->flow.window_max,
        .send_limit = (uint32_t)engine->out.limit,
        .ack_delay_us = (uint32_t)acks->max_delay_us,
        .peer_ack_delay_us = (uint32_t)recovery->peer_ack_delay_us,
        .lost = capped(recovery->lost_packets),
        .spurious = capped(recovery->spurious_packets),
        .timeouts = capped(recovery->timeouts),
        .persistent = capped(recovery->persistent),
        .ecn_sent = (uint32_t)recovery->ecn.sent,
        .ecn_ect0 = (uint32_t)recovery->ecn.ect0,
        .ecn_ce = (uint32_t)recovery->ecn.ce,
        .ecn = {(uint32_t)acks->ecn[0], (uint32_t)acks->ecn[1], (uint32_t)acks->ecn[2]},
        .ack_every = (uint16_t)acks->every,
        .reorder_packets = (uint16_t)recovery->reorder_packets,
        .reorder_eighths = (uint8_t)recovery->reorder_eighths,
        .finished = engine->out.finished,
        .ended = ptcp_reasm_complete(&engine->in),
        .cut = acks->cut,
    };
    ptcp_engine_free(conn);
}

void ptcp_engine_free(struct ptcp_conn *conn)
{
    struct ptcp_engine *engine = conn->engine;

    if (!engine)
        return;
    assert(conn->endpoint->windows >= engine->flow.window);
    conn->endpoint->windows -= engine->flow.window;
    ptcp_recovery_free(&engine->recovery, conn->path);
    ptcp_acks_free(&engine->acks);
    ptcp_sendbuf_free(&engine->out);
    ptcp_reasm_free(&engine->in);
    ptcp_spares_put(&conn->endpoint->engines, engine);
    conn->engine = NULL;
}

void ptcp_conn_bound_window(struct ptcp_conn *conn, uint64_t before)
{
    struct ptcp_endpoint *endpoint = conn->endpoint;
    struct ptcp_flow *flow = &conn->engine->flow;
    const uint64_t grown = flow->window - before;

    if (endpoint->windows + flow->window > endpoint->options.memory_bytes)
        flow->window = before;
    else
        endpoint->windows += grown;
    if (flow->window > conn->path->careful.memory.window)
        conn->path->careful.memory.window = (uint32_t)flow->window;
}
