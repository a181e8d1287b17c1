#include "conn_packet.h"

#include "draft.h"
#include "endpoint.h"

#include <assert.h>

enum {
    SKIP_MIN = 128, /* packets between two numbers that are left out */
    SKIP_SPREAD = 1024,
    STREAM_ROOM_MIN = 16, /* less is not worth a STREAM frame */
};

/* --- What is due ---------------------------------------------------------------------------------
 */

bool ptcp_conn_handshake_is_due(const struct ptcp_conn *conn, uint64_t now_us)
{
    if (conn->confirmed || conn->state == PTCP_STATE_CLOSED)
        return false;
    if (!ptcp_state_is_opening(conn->state) && !conn->passive)
        return false;
    return conn->due & PTCP_DUE_PARAMS || conn->engine->recovery.probes > 0 ||
           (conn->state == PTCP_STATE_SYN_RECEIVED && conn->engine->acks.due_us <= now_us);
}

/* How often to acknowledge is said by the way, in the next packet with something else. */
bool ptcp_conn_control_is_due(const struct ptcp_conn *conn, uint64_t now_us)
{
    return conn->engine->acks.due_us <= now_us || conn->engine->flow.update ||
           (conn->due & ~(unsigned)(PTCP_DUE_PARAMS | PTCP_DUE_FREQUENCY));
}

static bool data_is_due(struct ptcp_conn *conn, uint64_t now_us)
{
    uint64_t wait_us;

    return ptcp_sendbuf_has(&conn->engine->out, conn->engine->flow.peer_limit) &&
           ptcp_path_is_open(conn->path, now_us, &wait_us) &&
           ptcp_sent_reserve(&conn->engine->recovery.ring, true) == 0;
}

static void notice_blocked(struct ptcp_conn *conn)
{
    const struct ptcp_sendbuf *out = &conn->engine->out;

    if (out->lost.count > 0 || out->next >= out->end || out->next < conn->engine->flow.peer_limit ||
        conn->engine->flow.blocked_at == conn->engine->flow.peer_limit)
        return;
    conn->engine->flow.blocked_at = conn->engine->flow.peer_limit;
    conn->due |= PTCP_DUE_BLOCKED;
}

/* --- Which bytes of the stream -------------------------------------------------------------------
 */

/* What goes next, first to learn its offset: how long that is says how much fits. */
static bool pick(struct ptcp_conn *conn, const struct ptcp_draft *draft, struct ptcp_piece *piece)
{
    const struct ptcp_sendbuf *out = &conn->engine->out;
    const uint64_t limit = conn->engine->flow.peer_limit;

    if (!ptcp_sendbuf_pick(out, limit, STREAM_ROOM_MIN, piece))
        return false;
    const size_t room = ptcp_draft_stream_room(draft, piece->offset);
    return room >= STREAM_ROOM_MIN && ptcp_sendbuf_pick(out, limit, room, piece);
}

/* The n-th oldest packet with stream data that may have been lost. */
static bool pick_oldest(struct ptcp_conn *conn, const struct ptcp_draft *draft, unsigned skip,
                        struct ptcp_piece *piece)
{
    const struct ptcp_sent_ring *ring = &conn->engine->recovery.ring;
    const struct ptcp_sent *record = ptcp_sent_oldest(ring);

    for (; record; record = ptcp_sent_after(ring, record)) {
        if (record->state != PTCP_SENT_OUTSTANDING || !(record->flags & PTCP_CARRIED_STREAM))
            continue;
        if (skip >= ptcp_sent_count(record)) {
            skip -= ptcp_sent_count(record);
            continue;
        }
        *piece = ptcp_sent_piece(record);
        piece->offset += (uint64_t)skip * record->len;
        piece->len = record->len;
        if (piece->offset < conn->engine->out.una) {
            const uint64_t gone = conn->engine->out.una - piece->offset;

            piece->len -= (uint32_t)(gone < piece->len ? gone : piece->len);
            piece->offset = conn->engine->out.una;
        }
        const size_t room = ptcp_draft_stream_room(draft, piece->offset);
        if (room < STREAM_ROOM_MIN)
            return false;
        if (piece->len > room) {
            piece->len = (uint32_t)room;
            piece->fin = false;
        }
        return piece->len > 0 || (piece->fin && piece->offset == conn->engine->out.end);
    }
    return false;
}

/* --- Packets -------------------------------------------------------------------------------------
 */

size_t ptcp_conn_build_handshake(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size)
{
    const bool syn = conn->state == PTCP_STATE_SYN_SENT;
    struct ptcp_params params;
    struct ptcp_piece piece;
    struct ptcp_draft draft;

    if (ptcp_sent_reserve(&conn->engine->recovery.ring, false) < 0)
        return 0;
    ptcp_draft_begin(&draft, conn, syn ? PTCP_SYN : PTCP_SYN_ACK, at, size);
    ptcp_conn_offer_params(conn, &params);
    ptcp_params_write(&draft.writer, &params);
    draft.record->flags |= PTCP_CARRIED_PARAMS | PTCP_SENT_ELICITING;
    if (syn && conn->cookie)
        ptcp_cookie_write(&draft.writer, conn->cookie->bytes, conn->cookie->len);
    if (!syn)
        ptcp_draft_add_ack(&draft, conn, now_us);
    const size_t early = ptcp_draft_stream_room(&draft, PTCP_NUMBER_MAX - 1);
    if (syn && conn->early && ptcp_sendbuf_pick(&conn->engine->out, early, early, &piece))
        ptcp_draft_add_piece(&draft, conn, &piece);
    conn->due &= ~(unsigned)PTCP_DUE_PARAMS;
    conn->engine->recovery.probes = 0;
    return ptcp_draft_finish(&draft, conn, now_us);
}

static void skip_a_number(struct ptcp_conn *conn)
{
    if (conn->engine->recovery.ring.next < conn->skip_at || conn->engine->recovery.in_flight == 0)
        return;
    ptcp_sent_skip(&conn->engine->recovery.ring);
    conn->skip_at = conn->engine->recovery.ring.next + SKIP_MIN +
                    ptcp_endpoint_random(conn->endpoint) % SKIP_SPREAD;
}

/* With our FIN, once the peer's has come: who acknowledges the one then knows of the other. */
static bool ack_is_worth(const struct ptcp_conn *conn, uint64_t now_us)
{
    const struct ptcp_engine *engine = conn->engine;

    return engine->acks.waiting > 0 || engine->acks.due_us <= now_us ||
           (engine->out.finished && conn->told_eof);
}

/* Where large packets vanish, small ones tell: after the first probes, they are small. */
static size_t probe_size(const struct ptcp_conn *conn, size_t size)
{
    const size_t small = (size_t)PTCP_MTU_MIN - conn->path->overhead;

    return conn->engine->recovery.pto_count >= PTCP_MTU_SMALL_TIMEOUTS && small < size ? small
                                                                                       : size;
}

size_t ptcp_conn_build_data(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size,
                            unsigned may)
{
    const bool data = may & PTCP_MAY_STREAM && data_is_due(conn, now_us);
    const bool control = may & PTCP_MAY_CONTROL;
    const bool probe = conn->engine->recovery.probes > 0;
    struct ptcp_piece piece;
    struct ptcp_draft draft;

    notice_blocked(conn);
    if (!data && !probe && !(control && ptcp_conn_control_is_due(conn, now_us)))
        return 0;
    if (ptcp_sent_reserve(&conn->engine->recovery.ring, false) < 0)
        return 0;
    skip_a_number(conn);
    ptcp_draft_begin(&draft, conn, PTCP_DATA, at, probe ? probe_size(conn, size) : size);
    if (control && ack_is_worth(conn, now_us))
        ptcp_draft_add_ack(&draft, conn, now_us);
    if (control) {
        ptcp_draft_add_grant(&draft, conn);
        ptcp_draft_add_due(&draft, conn);
    }
    if (probe) {
        conn->engine->recovery.probes--;
        if (pick_oldest(conn, &draft, PTCP_PTO_PROBES - 1 - conn->engine->recovery.probes,
                        &piece) ||
            pick(conn, &draft, &piece))
            ptcp_draft_add_piece(&draft, conn, &piece);
        else if (!(draft.record->flags & PTCP_SENT_ELICITING))
            ptcp_draft_add_ping(&draft, 0);
    } else if (data && pick(conn, &draft, &piece)) {
        ptcp_draft_add_piece(&draft, conn, &piece);
    }
    return ptcp_draft_finish(&draft, conn, now_us);
}

/* What is lost goes before a larger size; but a path that a connection has moved to, with all that
 * is to be sent again, would stay at the first size for long. */
static bool repairs_first(const struct ptcp_conn *conn)
{
    return conn->engine->out.lost.count > 0 && conn->path->mtu.proven > PTCP_MTU_BASE;
}

/*
 * A PING, padded to the size in question. It goes before the data, which would leave it no room:
 * one at a time may exceed the window by half of it.
 */
size_t ptcp_conn_build_mtu_probe(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t room)
{
    struct ptcp_path *path = conn->path;
    const uint16_t wish = ptcp_mtu_probe(&path->mtu, now_us);
    struct ptcp_draft draft;

    if (wish == 0 || !conn->confirmed || repairs_first(conn) ||
        conn->engine->out.next - conn->engine->out.una < path->mtu.current || room < wish ||
        2 * (uint64_t)wish > path->cc.window_bytes || conn->engine->recovery.probes > 0 ||
        ptcp_sent_reserve(&conn->engine->recovery.ring, true) < 0)
        return 0;
    ptcp_draft_begin(&draft, conn, PTCP_DATA, at, (size_t)(wish - path->overhead));
    ptcp_draft_add_ping(&draft, PTCP_SENT_PROBE);
    const size_t left = stk_writer_left(&draft.writer);
    memset(stk_write_room(&draft.writer, left), PTCP_FRAME_PADDING, left);
    ptcp_mtu_probe_sent(&path->mtu);
    return ptcp_draft_finish(&draft, conn, now_us);
}

size_t ptcp_conn_build_resume(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size)
{
    struct ptcp_draft draft;

    if (ptcp_sent_reserve(&conn->engine->recovery.ring, false) < 0)
        return 0;
    ptcp_draft_begin(&draft, conn, PTCP_RESUME, at, size);
    ptcp_token_write(&draft.writer, conn->durable->proof.token);
    ptcp_draft_add_ack(&draft, conn, now_us);
    draft.record->flags |= PTCP_SENT_ELICITING;
    ptcp_durable_shown(conn, now_us);
    return ptcp_draft_finish(&draft, conn, now_us);
}
