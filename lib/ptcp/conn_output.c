#include "bulk.h"
#include "company.h"
#include "conn_packet.h"
#include "endpoint.h"

#include <assert.h>

/* --- Who needs a turn ----------------------------------------------------------------------------
 */

/* The window is everybody's: what a SYN carries early waits for its turn like other bytes. */
static bool handshake_needs_turn(const struct ptcp_conn *conn)
{
    return conn->state == PTCP_STATE_SYN_SENT && conn->early &&
           conn->engine->recovery.probes == 0 && conn->due & PTCP_DUE_PARAMS;
}

/* Its peer does not answer. What it sends then is in the way of others, when they want to send. */
static bool only_probes(const struct ptcp_conn *conn)
{
    return conn->engine && conn->engine->recovery.pto_count >= PTCP_PTO_ASIDE &&
           conn->path->users > 1;
}

bool ptcp_conn_stands_aside(const struct ptcp_conn *conn)
{
    return only_probes(conn) && ptcp_turns_others(&conn->path->turns, &conn->turn) > 0;
}

bool ptcp_conn_wants_turn(const struct ptcp_conn *conn)
{
    if (conn->state == PTCP_STATE_CLOSED || ptcp_state_is_opening(conn->state))
        return handshake_needs_turn(conn);
    if (ptcp_durable_is_silent(conn) || only_probes(conn))
        return false;
    /* Few bytes may wait for those that the user will write when it is invited. */
    if (ptcp_turn_asks(&conn->turn))
        return conn->engine->out.lost.count > 0;
    return ptcp_sendbuf_has(&conn->engine->out, conn->engine->flow.peer_limit);
}

bool ptcp_conn_is_overdue(const struct ptcp_conn *conn, uint64_t now_us)
{
    if (conn->state == PTCP_STATE_CLOSED || ptcp_durable_is_silent(conn))
        return false;
    if (!conn->engine)
        return conn->due & ~(unsigned)PTCP_DUE_FREQUENCY;
    if (ptcp_conn_handshake_is_due(conn, now_us))
        return !handshake_needs_turn(conn);
    return !ptcp_state_is_opening(conn->state) && ptcp_conn_control_is_due(conn, now_us);
}

/* --- Runs ----------------------------------------------------------------------------------------
 */

static void describe(struct ptcp_conn *conn, struct stk_run *run, uint8_t *data)
{
    /* A sealed association knows where its peer is now; only plain packets say where to. */
    const bool plain = ptcp_conn_is_plain(conn);
    const struct ptcp_path *path = conn->path;

    *run = (struct stk_run){.data = data,
                            .association = ptcp_conn_association(conn),
                            .peer = plain && path->peer.len ? &path->peer : NULL,
                            .local = plain && path->local.len ? &path->local : NULL};
}

static int single(struct stk_run *run, size_t size)
{
    run->size = run->last_size = (uint16_t)size;
    run->count = size > 0;
    return size > 0;
}

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

static unsigned run_limit(const struct stk_run *run, size_t capacity, uint32_t allowance)
{
    const size_t by_room = capacity / run->stride, by_size = STK_RUN_BYTES_MAX / run->stride;
    const size_t by_turn = allowance ? allowance / run->stride : SIZE_MAX;
    const size_t limit = min_size(min_size(by_room, by_size), by_turn);

    return limit < 1 ? 1 : limit < STK_RUN_COUNT_MAX ? (unsigned)limit : STK_RUN_COUNT_MAX;
}

/*
 * Beside this run and half of another one, without which a turn is over, it has bytes and credit:
 * the run after this one is sure to follow soon. Where the window is full, ACKs of others open it,
 * unless most of what is in flight would be its own.
 */
static bool run_follows(const struct ptcp_conn *conn, uint32_t allowance)
{
    const uint64_t enough = PTCP_QUANTUM_BYTES + PTCP_QUANTUM_BYTES / 2;
    const struct ptcp_sendbuf *out = &conn->engine->out;
    const struct ptcp_path *path = conn->path;
    const uint64_t peer_limit = conn->engine->flow.peer_limit;
    const uint64_t limit = out->end < peer_limit ? out->end : peer_limit;

    return allowance > enough && limit > out->next + enough && out->lost.count == 0 &&
           path->cc.window_bytes > 2 * (ptcp_recovery_here(&conn->engine->recovery) + enough);
}

/*
 * The end of a turn, whose ACK no later packet brings about. A packet that a full window lets go
 * alone is no end: as more is acknowledged, others follow.
 */
static bool ends_turn(const struct ptcp_conn *conn, const struct stk_run *run, unsigned limit)
{
    return run->count > 1 || limit == 1 || !ptcp_sendbuf_has(&conn->engine->out, UINT64_MAX);
}

/* Where several share a path, packets are sealed: no tag of PTCP covers the type. */
static void ask_for_ack(const struct ptcp_conn *conn, const struct stk_run *run)
{
    assert(!ptcp_conn_is_plain(conn));
    stk_run_at(run, run->count - 1)[0] |= PTCP_ASKS;
}

/* The first packet of a run may carry everything, the others only stream bytes. */
static unsigned may_carry(const struct stk_run *run, uint32_t allowance)
{
    return (run->count == 0 ? PTCP_MAY_CONTROL : 0) | (allowance > 0 ? PTCP_MAY_STREAM : 0);
}

static int fill_run(struct ptcp_conn *conn, uint64_t now_us, struct stk_run *run, size_t capacity,
                    uint32_t allowance)
{
    const uint16_t full = ptcp_path_packet_size(conn->path);
    const bool last = allowance > 0 && ptcp_turns_are_long(&conn->path->turns, &conn->turn) &&
                      !run_follows(conn, allowance);
    unsigned limit;

    run->size = full;
    run->stride = (uint32_t)full + conn->path->overhead;
    limit = run_limit(run, capacity, allowance);
    while (run->count < limit) {
        const size_t size = ptcp_conn_build_data(conn, now_us, stk_run_at(run, run->count), full,
                                                 may_carry(run, allowance));

        if (size == 0)
            break;
        conn->endpoint->gather[run->count++] = (struct iovec){NULL, 0};
        run->last_size = (uint16_t)size;
        if (size < full)
            break;
        if (allowance > 0)
            ptcp_bulk_add(conn, now_us, run, limit);
    }
    if (run->count == 0)
        return 0;
    if (run->count == 1)
        run->size = run->last_size;
    if (last && ends_turn(conn, run, limit))
        ask_for_ack(conn, run);
    return 1;
}

static void note_app_limited(struct ptcp_conn *conn)
{
    struct ptcp_path *path = conn->path;
    const bool others = ptcp_turns_others(&path->turns, &conn->turn) > 0;

    /* A peer's window that is full, or our buffer, limits as a network would. */
    if (path->delivery.in_flight < path->cc.window_bytes && !others && !conn->wants_room &&
        !ptcp_sendbuf_has(&conn->engine->out, UINT64_MAX))
        ptcp_delivery_app_limited(&path->delivery);
}

/* The handshake goes without, so that it passes where marks don't. */
static void mark(struct ptcp_conn *conn, struct stk_run *run, bool handshake)
{
    conn->engine->recovery.marks = !handshake && ptcp_ecn_marks(&conn->path->ecn);
    run->ecn = conn->engine->recovery.marks ? STK_ECN_ECT0 : STK_ECN_NOT;
}

size_t ptcp_conn_control(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t room)
{
    size_t size;

    if (!ptcp_conn_control_is_due(conn, now_us) || ptcp_conn_handshake_is_due(conn, now_us) ||
        ptcp_durable_shows(conn, now_us) || conn->engine->acks.received.count > PTCP_COMPANY_RANGES)
        return 0;
    size = ptcp_conn_build_data(conn, now_us, at, room, PTCP_MAY_CONTROL);
    if (size == 0)
        return 0;
    note_app_limited(conn);
    PTCP_TRACE(conn->trace, updated, conn);
    return size;
}

int ptcp_conn_output(struct ptcp_conn *conn, uint64_t now_us, struct stk_run *run, uint8_t *buffer,
                     size_t capacity, uint32_t allowance)
{
    const uint16_t head = conn->endpoint->options.head;
    size_t size;

    assert(capacity >= conn->path->mtu.current);
    describe(conn, run, buffer + head);
    if (conn->state == PTCP_STATE_CLOSED)
        return 0;
    if (allowance == 0 && handshake_needs_turn(conn))
        return 0;
    const bool handshake = ptcp_conn_handshake_is_due(conn, now_us);
    mark(conn, run, handshake);
    if (handshake) {
        size =
            ptcp_conn_build_handshake(conn, now_us, run->data, ptcp_path_packet_size(conn->path));
        note_app_limited(conn); /* else the rate of openings would pass for the path's */
        return single(run, size);
    }
    if (ptcp_state_is_opening(conn->state))
        return 0;
    if (ptcp_durable_shows(conn, now_us))
        return single(run, ptcp_conn_build_resume(conn, now_us, run->data,
                                                  PTCP_MTU_MIN - conn->path->overhead));
    if (ptcp_durable_is_silent(conn))
        return 0;
    size = ptcp_conn_build_mtu_probe(conn, now_us, run->data, capacity);
    if (size > 0) {
        run->probe = true;
        return single(run, size);
    }
    if (!fill_run(conn, now_us, run, capacity, allowance))
        return 0;
    note_app_limited(conn);
    PTCP_TRACE(conn->trace, updated, conn);
    return 1;
}
