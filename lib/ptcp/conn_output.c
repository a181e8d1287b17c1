#include "bulk.h"
#include "company.h"
#include "connection.h"
#include "endpoint.h"
#include "error.h"
#include "tag.h"

#include <assert.h>

enum {
    SKIP_MIN = 128, /* packets between two numbers that are left out */
    SKIP_SPREAD = 1024,
    BESIDE_ACK_BYTES = 64, /* enough for one of each frame that has a bounded length */
    STREAM_ROOM_MIN = 16,  /* less is not worth a STREAM frame */
};

/*
 * One packet in the making. Its record is made where it stays: a copy of what was just written has
 * to wait until it is written, and for whatever was on its way to memory before.
 */
struct draft {
    struct stk_writer writer;
    uint8_t *start;
    struct ptcp_sent *record;
};

/* Behind the packet: short headers have their tag within. */
static size_t tag_len(const struct ptcp_conn *conn, uint8_t type)
{
    return ptcp_conn_is_plain(conn) && type != PTCP_DATA ? PTCP_TAG_BYTES : 0;
}

/* --- What is due ---------------------------------------------------------------------------------
 */

static bool is_handshaking(const struct ptcp_conn *conn)
{
    return conn->state == PTCP_STATE_SYN_SENT || conn->state == PTCP_STATE_SYN_RECEIVED;
}

static bool handshake_is_due(const struct ptcp_conn *conn, uint64_t now_us)
{
    if (conn->confirmed || conn->state == PTCP_STATE_CLOSED)
        return false;
    if (!is_handshaking(conn) && !conn->passive)
        return false;
    return conn->due & PTCP_DUE_PARAMS || conn->engine->recovery.probes > 0 ||
           (conn->state == PTCP_STATE_SYN_RECEIVED && conn->engine->acks.due_us <= now_us);
}

/* How often to acknowledge is said by the way, in the next packet with something else. */
static bool control_is_due(const struct ptcp_conn *conn, uint64_t now_us)
{
    return conn->engine->acks.due_us <= now_us || conn->engine->flow.update ||
           (conn->due & ~(unsigned)(PTCP_DUE_PARAMS | PTCP_DUE_FREQUENCY));
}

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
    if (conn->state == PTCP_STATE_CLOSED || is_handshaking(conn))
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
    if (handshake_is_due(conn, now_us))
        return !handshake_needs_turn(conn);
    return !is_handshaking(conn) && control_is_due(conn, now_us);
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

/* --- Frames --------------------------------------------------------------------------------------
 */

/* After a reserve. */
static void begin(struct draft *draft, struct ptcp_conn *conn, uint8_t type, uint8_t *at,
                  size_t size)
{
    const struct ptcp_header header = {
        .type = type,
        .destination = type == PTCP_SYN ? 0 : conn->peer_id,
        .source = conn->slot.id,
        .packet = conn->engine->recovery.ring.next,
    };

    *draft = (struct draft){.start = at, .record = ptcp_sent_room(&conn->engine->recovery.ring)};
    *draft->record = (struct ptcp_sent){.packet = 0};
    draft->writer = stk_writer_of(at, size - tag_len(conn, type));
    ptcp_header_write(&draft->writer, &header);
}

/* The peer says how many intervals there are: they may take half of the packet, not all of it. */
static struct stk_writer room_for_ack(const struct draft *draft)
{
    struct stk_writer part = draft->writer;
    const size_t left = stk_writer_left(&part);
    const size_t kept = left / 2 > BESIDE_ACK_BYTES ? left / 2 : BESIDE_ACK_BYTES;

    part.end -= kept < left ? kept : left;
    return part;
}

static void add_ack(struct draft *draft, struct ptcp_conn *conn, uint64_t now_us)
{
    struct ptcp_acks *acks = &conn->engine->acks;
    const uint64_t delay_us = now_us > acks->newest_us ? now_us - acks->newest_us : 0;
    struct stk_writer part = room_for_ack(draft);
    const uint32_t told = ptcp_acks_any(acks)
                              ? ptcp_ack_write(&part, &acks->received, delay_us,
                                               ptcp_acks_has_ecn(acks) ? acks->ecn : NULL)
                              : 0;

    ptcp_acks_sent(acks, told); /* also where there is nothing to say: it would stay due for ever */
    if (told == 0)
        return;
    draft->writer.at = part.at;
    draft->record->flags |= PTCP_CARRIED_ACK;
    draft->record->ack_largest = ptcp_acks_expected(acks) - 1;
}

/*
 * A grant that gets lost is made up for by the next, or by who asks for it. Their ACKs measure the
 * path's RTT: of a path with several connections, one at a time is enough.
 */
static bool is_worth_an_ack(const struct ptcp_conn *conn)
{
    return conn->engine->flow.surely || conn->path->users == 1 ||
           conn->path->delivery.in_flight == 0;
}

static void add_max_data(struct draft *draft, struct ptcp_conn *conn)
{
    if (!conn->engine->flow.update)
        return;
    const bool loud = is_worth_an_ack(conn);
    ptcp_value_write(&draft->writer, loud ? PTCP_FRAME_MAX_DATA : PTCP_FRAME_MAX_DATA_QUIET,
                     ptcp_flow_grant(&conn->engine->flow, conn->engine->in.consumed));
    draft->record->flags |= PTCP_CARRIED_MAX_DATA | (loud ? PTCP_SENT_ELICITING : 0);
}

static void add_due(struct draft *draft, struct ptcp_conn *conn)
{
    struct stk_writer *writer = &draft->writer;

    if (conn->due & PTCP_DUE_BLOCKED) {
        ptcp_value_write(writer, PTCP_FRAME_DATA_BLOCKED, conn->engine->flow.blocked_at);
        draft->record->flags |= PTCP_CARRIED_BLOCKED | PTCP_SENT_ELICITING;
    }
    if (conn->due & PTCP_DUE_FREQUENCY) {
        ptcp_ack_frequency_write(writer, conn->frequency_sequence++, conn->asked_every,
                                 ptcp_path_ack_delay_us(conn->path));
        draft->record->flags |= PTCP_CARRIED_FREQUENCY | PTCP_SENT_ELICITING;
    }
    if (conn->due & PTCP_DUE_PATH_RESPONSE) {
        ptcp_path_write(writer, PTCP_FRAME_PATH_RESPONSE, conn->challenge);
        draft->record->flags |= PTCP_SENT_ELICITING;
    }
    if (conn->due & PTCP_DUE_PING) {
        stk_write_u8(writer, PTCP_FRAME_PING);
        draft->record->flags |= PTCP_SENT_PING | PTCP_SENT_ELICITING;
    }
    conn->due &= PTCP_DUE_PARAMS;
}

/* Nothing is in it yet: what comes last makes it a STREAM packet. */
static bool is_bare(const struct draft *draft)
{
    return draft->start[0] == PTCP_DATA &&
           draft->writer.at == draft->start + PTCP_SHORT_HEADER_BYTES;
}

/* For bytes of the stream from `offset` on, to the packet's end. */
static size_t stream_room(const struct draft *draft, uint64_t offset)
{
    const size_t left = stk_writer_left(&draft->writer);
    const size_t header = is_bare(draft) ? PTCP_STREAM_HEADER_BYTES - PTCP_SHORT_HEADER_BYTES
                                         : 1 + stk_varint_len(offset);

    return left > header ? left - header : 0;
}

static void write_piece_header(struct draft *draft, const struct ptcp_conn *conn,
                               const struct ptcp_piece *piece)
{
    if (!is_bare(draft)) {
        ptcp_stream_write(&draft->writer, piece->offset, piece->len, piece->fin, true);
        return;
    }
    draft->writer.at = draft->start;
    ptcp_header_write(&draft->writer,
                      &(struct ptcp_header){.type = PTCP_DATA,
                                            .stream = true,
                                            .fin = piece->fin,
                                            .destination = conn->peer_id,
                                            .packet = conn->engine->recovery.ring.next,
                                            .offset = piece->offset});
}

static void add_piece(struct draft *draft, struct ptcp_conn *conn, const struct ptcp_piece *piece)
{
    const bool again = piece->offset < conn->engine->out.next;

    write_piece_header(draft, conn, piece);
    uint8_t *room = stk_write_room(&draft->writer, piece->len);
    assert(room);
    ptcp_store_copy(&conn->engine->out.store, piece->offset, piece->len, room);
    if (again)
        conn->bytes_resent += piece->len;
    if (ptcp_sendbuf_sent(&conn->engine->out, piece) < 0)
        conn->error = -ENOMEM; /* made known by the next packet that comes in */
    draft->record->offset = piece->offset;
    draft->record->len = piece->len;
    draft->record->flags |= PTCP_CARRIED_STREAM | PTCP_SENT_ELICITING;
    if (piece->fin)
        draft->record->flags |= PTCP_CARRIED_FIN;
}

/* What goes next, first to learn its offset: how long that is says how much fits. */
static bool pick(struct ptcp_conn *conn, const struct draft *draft, struct ptcp_piece *piece)
{
    const struct ptcp_sendbuf *out = &conn->engine->out;
    const uint64_t limit = conn->engine->flow.peer_limit;

    if (!ptcp_sendbuf_pick(out, limit, STREAM_ROOM_MIN, piece))
        return false;
    const size_t room = stream_room(draft, piece->offset);
    return room >= STREAM_ROOM_MIN && ptcp_sendbuf_pick(out, limit, room, piece);
}

/* The n-th oldest packet with stream data that may have been lost. */
static bool pick_oldest(struct ptcp_conn *conn, const struct draft *draft, unsigned skip,
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
        const size_t room = stream_room(draft, piece->offset);
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

static size_t finish(struct draft *draft, struct ptcp_conn *conn, uint64_t now_us)
{
    const struct ptcp_whole whole = {.destination = draft->start[0] == PTCP_SYN ? 0 : conn->peer_id,
                                     .source = conn->slot.id,
                                     .packet = conn->engine->recovery.ring.next,
                                     .offset = draft->record->offset};
    const size_t len = (size_t)(draft->writer.at - draft->start);
    size_t size = len;

    assert(!draft->writer.failed);
    if (ptcp_conn_is_plain(conn))
        size = ptcp_tag_put(draft->start, len, &whole);
    draft->record->size = (uint16_t)(size + conn->path->overhead);
    ptcp_conn_end_wait(conn);
    ptcp_recovery_sent(&conn->engine->recovery, conn->path, now_us, draft->record);
    PTCP_TRACE(conn->trace, sent, conn, draft->record, draft->start, len);
    conn->packets_sent++;
    conn->bytes_sent += draft->record->size;
    if (draft->record->flags & PTCP_SENT_ELICITING)
        ptcp_pacer_spend(&conn->path->pacer, draft->record->size);
    return size;
}

static size_t build_handshake(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size)
{
    const bool syn = conn->state == PTCP_STATE_SYN_SENT;
    struct ptcp_params params;
    struct ptcp_piece piece;
    struct draft draft;

    if (ptcp_sent_reserve(&conn->engine->recovery.ring, false) < 0)
        return 0;
    begin(&draft, conn, syn ? PTCP_SYN : PTCP_SYN_ACK, at, size);
    ptcp_conn_offer_params(conn, &params);
    ptcp_params_write(&draft.writer, &params);
    draft.record->flags |= PTCP_CARRIED_PARAMS | PTCP_SENT_ELICITING;
    if (syn && conn->cookie)
        ptcp_cookie_write(&draft.writer, conn->cookie->bytes, conn->cookie->len);
    if (!syn)
        add_ack(&draft, conn, now_us);
    const size_t early = stream_room(&draft, PTCP_NUMBER_MAX - 1);
    if (syn && conn->early && ptcp_sendbuf_pick(&conn->engine->out, early, early, &piece))
        add_piece(&draft, conn, &piece);
    conn->due &= ~(unsigned)PTCP_DUE_PARAMS;
    conn->engine->recovery.probes = 0;
    return finish(&draft, conn, now_us);
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

enum part { PART_CONTROL, PART_STREAM, PART_LAST };

/*
 * The first packet of a run may carry everything, the others only stream data; the last one of a
 * turn asks for an ACK at once, as no later one brings it about.
 */
static size_t build_data(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size,
                         bool first, enum part part)
{
    const bool data = part != PART_CONTROL && data_is_due(conn, now_us);
    const bool probe = conn->engine->recovery.probes > 0;
    struct ptcp_piece piece;
    struct draft draft;

    notice_blocked(conn);
    if (!data && !probe && !(first && control_is_due(conn, now_us)))
        return 0;
    if (ptcp_sent_reserve(&conn->engine->recovery.ring, false) < 0)
        return 0;
    skip_a_number(conn);
    begin(&draft, conn, PTCP_DATA, at, probe ? probe_size(conn, size) : size);
    if (first && ack_is_worth(conn, now_us))
        add_ack(&draft, conn, now_us);
    if (first) {
        add_max_data(&draft, conn);
        add_due(&draft, conn);
    }
    if (data && part == PART_LAST) {
        stk_write_u8(&draft.writer, PTCP_FRAME_PING);
        draft.record->flags |= PTCP_SENT_PING | PTCP_SENT_ELICITING;
    }
    if (probe) {
        conn->engine->recovery.probes--;
        if (pick_oldest(conn, &draft, PTCP_PTO_PROBES - 1 - conn->engine->recovery.probes,
                        &piece) ||
            pick(conn, &draft, &piece))
            add_piece(&draft, conn, &piece);
        else if (!(draft.record->flags & PTCP_SENT_ELICITING))
            stk_write_u8(&draft.writer, PTCP_FRAME_PING);
        draft.record->flags |= PTCP_SENT_ELICITING;
    } else if (data && pick(conn, &draft, &piece)) {
        add_piece(&draft, conn, &piece);
    }
    return finish(&draft, conn, now_us);
}

/*
 * A PING, padded to the size in question. It goes before the data, which would leave it no room:
 * one at a time may exceed the window by half of it.
 */
static size_t build_mtu_probe(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t room)
{
    struct ptcp_path *path = conn->path;
    const uint16_t wish = ptcp_mtu_probe(&path->mtu, now_us);
    struct draft draft;

    if (wish == 0 || !conn->confirmed || conn->engine->out.lost.count > 0 ||
        conn->engine->out.next - conn->engine->out.una < path->mtu.current || room < wish ||
        2 * (uint64_t)wish > path->cc.window_bytes || conn->engine->recovery.probes > 0 ||
        ptcp_sent_reserve(&conn->engine->recovery.ring, true) < 0)
        return 0;
    begin(&draft, conn, PTCP_DATA, at, (size_t)(wish - path->overhead));
    stk_write_u8(&draft.writer, PTCP_FRAME_PING);
    const size_t left = stk_writer_left(&draft.writer);
    memset(stk_write_room(&draft.writer, left), PTCP_FRAME_PADDING, left);
    draft.record->flags |= PTCP_SENT_PROBE | PTCP_SENT_ELICITING;
    ptcp_mtu_probe_sent(&path->mtu);
    return finish(&draft, conn, now_us);
}

/* Over another association, perhaps: the token says which connection goes on. */
static size_t build_resume(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size)
{
    struct draft draft;

    if (ptcp_sent_reserve(&conn->engine->recovery.ring, false) < 0)
        return 0;
    begin(&draft, conn, PTCP_RESUME, at, size);
    ptcp_token_write(&draft.writer, conn->durable->proof.token);
    add_ack(&draft, conn, now_us);
    draft.record->flags |= PTCP_SENT_ELICITING;
    ptcp_durable_shown(conn, now_us);
    return finish(&draft, conn, now_us);
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
static bool goes_on(const struct ptcp_conn *conn, uint32_t allowance)
{
    const uint64_t enough = PTCP_QUANTUM_BYTES + PTCP_QUANTUM_BYTES / 2;
    const struct ptcp_sendbuf *out = &conn->engine->out;
    const struct ptcp_path *path = conn->path;
    const uint64_t peer_limit = conn->engine->flow.peer_limit;
    const uint64_t limit = out->end < peer_limit ? out->end : peer_limit;

    return allowance > enough && limit > out->next + enough && out->lost.count == 0 &&
           path->cc.window_bytes > 2 * (conn->engine->recovery.in_flight + enough);
}

/* Of a turn's last run the last full packet asks, or else the only one. */
static enum part part_of(const struct ptcp_conn *conn, const struct stk_run *run, unsigned limit)
{
    const struct ptcp_sendbuf *out = &conn->engine->out;

    return run->count > 0 || limit == 1 || out->end - out->next <= run->size ? PART_LAST
                                                                             : PART_STREAM;
}

static int fill_run(struct ptcp_conn *conn, uint64_t now_us, struct stk_run *run, size_t capacity,
                    uint32_t allowance)
{
    const uint16_t full = ptcp_path_packet_size(conn->path);
    const bool asks = allowance > 0 && ptcp_turns_are_long(&conn->path->turns, &conn->turn) &&
                      !goes_on(conn, allowance);
    unsigned limit;

    run->size = full;
    run->stride = (uint32_t)full + conn->path->overhead;
    limit = run_limit(run, capacity, allowance);
    while (run->count < limit) {
        const enum part part = allowance == 0 ? PART_CONTROL
                               : asks         ? part_of(conn, run, limit)
                                              : PART_STREAM;
        const size_t size =
            build_data(conn, now_us, stk_run_at(run, run->count), full, run->count == 0, part);

        if (size == 0)
            break;
        conn->endpoint->gather[run->count++] = (struct iovec){NULL, 0};
        run->last_size = (uint16_t)size;
        if (size < full)
            break;
        if (allowance > 0)
            ptcp_bulk_add(conn, now_us, run, limit, asks && part != PART_LAST);
    }
    if (run->count == 1)
        run->size = run->last_size;
    return run->count > 0;
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

    if (!control_is_due(conn, now_us) || handshake_is_due(conn, now_us) ||
        ptcp_durable_shows(conn, now_us) || conn->engine->acks.received.count > PTCP_COMPANY_RANGES)
        return 0;
    size = build_data(conn, now_us, at, room, true, PART_CONTROL);
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
    const bool handshake = handshake_is_due(conn, now_us);
    mark(conn, run, handshake);
    if (handshake) {
        size = build_handshake(conn, now_us, run->data, ptcp_path_packet_size(conn->path));
        note_app_limited(conn); /* else the rate of openings would pass for the path's */
        return single(run, size);
    }
    if (is_handshaking(conn))
        return 0;
    if (ptcp_durable_shows(conn, now_us))
        return single(run,
                      build_resume(conn, now_us, run->data, PTCP_MTU_MIN - conn->path->overhead));
    if (ptcp_durable_is_silent(conn))
        return 0;
    size = build_mtu_probe(conn, now_us, run->data, capacity);
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
