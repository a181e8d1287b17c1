#include "alloc.h"
#include "connection.h"
#include "endpoint.h"
#include "error.h"
#include "invitation.h"

#include <assert.h>

enum {
    RETRIES_MAX = 4,
    BLOCKED_FIRST_US = 500000,
    BLOCKED_SHIFT_MAX = 4,
    FREQUENCY_WINDOW_SHARE = 8, /* an ACK for each such part of the window */
    FREQUENCY_CAREFUL_SHARE = 32,
    FREQUENCY_PACKETS_MAX = 32,
    LONG_TURN_BYTES = PTCP_QUANTUM_RUNS_MAX * PTCP_QUANTUM_BYTES,
};

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* --- What became of our packets
 * ------------------------------------------------------------------- */

/* What is lost may be sent again, but nothing new. */
static bool is_blocked(const struct ptcp_conn *conn)
{
    const struct ptcp_sendbuf *out = &conn->engine->out;

    return out->next < out->end && out->next >= conn->engine->flow.peer_limit;
}

/* The peer knows that we wait; in case its answer is lost in some way, we ask again. */
static void plan_next_question(struct ptcp_conn *conn, uint64_t now_us)
{
    const unsigned shift =
        conn->blocked_count < BLOCKED_SHIFT_MAX ? conn->blocked_count : BLOCKED_SHIFT_MAX;

    if (!is_blocked(conn))
        return;
    conn->blocked_us = now_us + ((uint64_t)BLOCKED_FIRST_US << shift);
    conn->blocked_count = (uint8_t)(shift + 1);
}

static void acked(void *owner, const struct ptcp_sent *record)
{
    struct ptcp_conn *conn = owner;

    PTCP_TRACE(conn->trace, acked, conn, record);
    if (record->flags & PTCP_CARRIED_STREAM) {
        const struct ptcp_piece piece = ptcp_sent_piece(record);

        if (ptcp_sendbuf_acked(&conn->engine->out, &piece) < 0)
            conn->error = -ENOMEM; /* made known when the packet is done */
    }
    if (record->flags & PTCP_CARRIED_ACK)
        ptcp_acks_confirmed(&conn->engine->acks, record->ack_largest);
    if (record->flags & PTCP_CARRIED_BLOCKED)
        plan_next_question(conn, conn->heard_us);
    if (ptcp_recovery_went_here(&conn->engine->recovery, conn->path, record) &&
        ptcp_mtu_acked(&conn->path->mtu, record->size, record->flags & PTCP_SENT_PROBE,
                       conn->heard_us))
        ptcp_path_resize(conn->path);
}

static void grant_surely(struct ptcp_conn *conn)
{
    struct ptcp_flow *flow = &conn->engine->flow;

    flow->update = flow->surely = conn->engine->in.fin_offset == UINT64_MAX;
}

static void lost(void *owner, const struct ptcp_sent *record)
{
    struct ptcp_conn *conn = owner;

    PTCP_TRACE(conn->trace, lost, conn, record);
    if (record->flags & PTCP_CARRIED_STREAM) {
        const struct ptcp_piece piece = ptcp_sent_piece(record);

        if (ptcp_sendbuf_lost(&conn->engine->out, &piece) < 0)
            conn->error = -ENOMEM;
    }
    if (record->flags & PTCP_CARRIED_PARAMS && !conn->confirmed)
        conn->due |= PTCP_DUE_PARAMS;
    if (record->flags & PTCP_CARRIED_MAX_DATA)
        grant_surely(conn);
    if (record->flags & PTCP_CARRIED_BLOCKED)
        ptcp_conn_ask_anew(conn);
    if (record->flags & PTCP_CARRIED_FREQUENCY)
        conn->due |= PTCP_DUE_FREQUENCY;
    if (record->flags & PTCP_SENT_PROBE &&
        ptcp_recovery_went_here(&conn->engine->recovery, conn->path, record))
        ptcp_mtu_probe_lost(&conn->path->mtu, conn->heard_us);
}

const struct ptcp_recovery_owner ptcp_conn_owner = {.acked = acked, .lost = lost};

/* --- Frames --------------------------------------------------------------------------------------
 */

/* What this connection has in flight when it has its part of the window: all, if it is alone. */
static uint64_t part_of_window(const struct ptcp_conn *conn, uint64_t in_flight)
{
    const struct ptcp_path *path = conn->path;

    return ptcp_recovery_here(&conn->engine->recovery) == path->delivery.in_flight
               ? path->cc.window_bytes
               : in_flight;
}

/* Beside others a connection may have so little in flight that no second packet would come. */
static uint64_t least_ack_packets(const struct ptcp_conn *conn, uint64_t in_flight)
{
    const struct ptcp_path *path = conn->path;

    return path->users > 1 && in_flight < 4 * (uint64_t)path->mtu.current ? 1 : PTCP_ACK_PACKETS;
}

/* With a large window ACKs may be rarer; with a small one they may not. */
static uint64_t ack_packets_of_window(const struct ptcp_conn *conn, uint64_t in_flight)
{
    const struct ptcp_path *path = conn->path;
    const uint64_t share = path->careful.phase == PTCP_CAREFUL_NORMAL ? FREQUENCY_WINDOW_SHARE
                                                                      : FREQUENCY_CAREFUL_SHARE;
    const uint64_t packets = part_of_window(conn, in_flight) / path->mtu.current / share;

    return min_u64(max_u64(packets, least_ack_packets(conn, in_flight)), FREQUENCY_PACKETS_MAX);
}

/* Who has long turns has one ACK for each, for which its last run asks. */
static void adapt_ack_frequency(struct ptcp_conn *conn, uint64_t in_flight)
{
    const struct ptcp_path *path = conn->path;
    const uint64_t wish = ptcp_turns_are_long(&path->turns, &conn->turn)
                              ? min_u64(LONG_TURN_BYTES / path->mtu.current, PTCP_ACK_PACKETS_MAX)
                              : ack_packets_of_window(conn, in_flight);

    if (wish < 2 * (uint64_t)conn->asked_every && 2 * wish > conn->asked_every)
        return;
    conn->asked_every = (uint16_t)wish;
    conn->due |= PTCP_DUE_FREQUENCY;
}

static int take_ack(struct ptcp_conn *conn, uint64_t now_us, const struct ptcp_ack *ack)
{
    const uint64_t una = conn->engine->out.una;
    const uint64_t in_flight = ptcp_recovery_here(&conn->engine->recovery);
    const int rc =
        ptcp_recovery_ack(&conn->engine->recovery, conn->path, now_us, ack, &ptcp_conn_owner, conn);

    if (rc <= 0)
        return rc;
    if (ptcp_mtu_small_passed(&conn->path->mtu, now_us))
        ptcp_path_resize(conn->path);
    conn->progress_us = conn->path->acked_us = now_us;
    if (!conn->path->careful.asked && conn->path->rtt.sampled)
        ptcp_paths_recall(conn->endpoint, conn->path);
    if (conn->engine->out.una > una)
        conn->released_us = now_us;
    ptcp_invitation_seek(conn);
    if (ptcp_state_is_open(conn->state))
        adapt_ack_frequency(conn, in_flight);
    return 0;
}

static void count_behind_hole(struct ptcp_conn *conn, uint64_t now_us, uint64_t bytes)
{
    const uint64_t window = conn->engine->flow.window;

    if (conn->engine->in.fin_offset != UINT64_MAX)
        return;
    ptcp_flow_arrived(&conn->engine->flow, bytes, ptcp_reasm_readable(&conn->engine->in), now_us,
                      conn->path->rtt.smoothed_us);
    ptcp_conn_bound_window(conn, window);
}

static int take_stream(struct ptcp_conn *conn, uint64_t now_us, const struct ptcp_frame *frame)
{
    const uint64_t before = conn->engine->in.contiguous;
    const uint64_t received = ptcp_reasm_received(&conn->engine->in);
    const int rc = ptcp_reasm_put(&conn->engine->in, frame->value, frame->data, frame->len,
                                  frame->fin, conn->engine->flow.granted);

    if (rc == 0 && conn->engine->in.contiguous > before)
        ptcp_conn_raise(conn, PTCP_RX);
    if (rc == 0 && conn->engine->in.ahead.count > 0)
        count_behind_hole(conn, now_us, ptcp_reasm_received(&conn->engine->in) - received);
    return rc;
}

static void take_max_data(struct ptcp_conn *conn, uint64_t limit)
{
    if (!ptcp_flow_raise(&conn->engine->flow, limit))
        return;
    conn->blocked_us = UINT64_MAX;
    conn->blocked_count = 0;
}

static void take_blocked(struct ptcp_conn *conn, uint64_t now_us)
{
    const uint64_t window = conn->engine->flow.window;
    const struct ptcp_reasm *in = &conn->engine->in;

    ptcp_flow_blocked(&conn->engine->flow, ptcp_reasm_received(in), ptcp_reasm_readable(in), now_us,
                      conn->path->rtt.smoothed_us);
    ptcp_conn_bound_window(conn, window);
    grant_surely(conn);
    ptcp_acks_hurry(&conn->engine->acks, now_us);
}

static int take_frame(struct ptcp_conn *conn, uint64_t now_us, const struct ptcp_frame *frame,
                      const struct ptcp_ack *ack)
{
    switch (frame->type) {
    case PTCP_FRAME_ACK:
    case PTCP_FRAME_ACK_ECN:
        return take_ack(conn, now_us, ack);
    case PTCP_FRAME_STREAM:
        return take_stream(conn, now_us, frame);
    case PTCP_FRAME_MAX_DATA:
    case PTCP_FRAME_MAX_DATA_QUIET:
        take_max_data(conn, frame->value);
        return 0;
    case PTCP_FRAME_DATA_BLOCKED:
        take_blocked(conn, now_us);
        return 0;
    case PTCP_FRAME_ACK_FREQUENCY:
        ptcp_acks_frequency(&conn->engine->acks, frame->value, frame->second, frame->third);
        return 0;
    case PTCP_FRAME_PATH_CHALLENGE:
        conn->challenge = frame->value;
        conn->due |= PTCP_DUE_PATH_RESPONSE;
        return 0;
    default: /* PING; PARAMS and COOKIE were seen before; PATH_RESPONSE to nothing we asked */
        return 0;
    }
}

/* --- Packets -------------------------------------------------------------------------------------
 */

struct outcome {
    int rc; /* of the frame that ended it */
    bool eliciting, unkept, reset, acked;
    bool grants;     /* MAX_DATA, which is eliciting but in no hurry */
    unsigned pieces; /* STREAM frames */
    uint64_t code;
};

/*
 * An ACK walks the records of packets in flight, a piece of the stream moves a list of thousands of
 * holes: many of them in one packet would stop everybody.
 */
static bool is_one_too_many(struct outcome *outcome, uint8_t type)
{
    if (type == PTCP_FRAME_STREAM)
        return ++outcome->pieces > PTCP_STREAM_FRAMES_MAX;
    if (type != PTCP_FRAME_ACK && type != PTCP_FRAME_ACK_ECN)
        return false;
    const bool second = outcome->acked;
    outcome->acked = true;
    return second;
}

static struct outcome take_frames(struct ptcp_conn *conn, uint64_t now_us,
                                  struct ptcp_frames frames)
{
    struct outcome outcome = {.rc = 0};
    struct ptcp_frame frame;
    struct ptcp_ack ack;
    int more;

    while ((more = ptcp_frame_read(&frames, &frame, &ack)) > 0) {
        outcome.grants |= frame.type == PTCP_FRAME_MAX_DATA; /* the one that needs an ACK */
        outcome.eliciting |= ptcp_frame_elicits(frame.type) && frame.type != PTCP_FRAME_MAX_DATA;
        if (frame.type == PTCP_FRAME_RESET) {
            outcome.reset = true;
            outcome.code = frame.value;
            return outcome;
        }
        const int rc = is_one_too_many(&outcome, frame.type)
                           ? -EPROTO
                           : take_frame(conn, now_us, &frame, &ack);
        if (rc == -ENOMEM || rc == STK_ELIMIT)
            outcome.unkept = true;
        else if (rc < 0)
            outcome.rc = rc;
        if (outcome.rc < 0)
            return outcome;
    }
    outcome.rc = more;
    return outcome;
}

static const char *reset_text(uint64_t code)
{
    switch (code) {
    case PTCP_RESET_PROTOCOL:
        return "reset by the peer: it found a protocol error";
    case PTCP_RESET_TIMEOUT:
        return "reset by the peer: it timed out";
    case PTCP_RESET_UNKNOWN:
        return "reset by the peer: it does not know the connection";
    case PTCP_RESET_RESOURCES:
        return "reset by the peer: it is out of memory";
    default:
        return "reset by the peer";
    }
}

/* Bytes for a user who has left: TCP's answer is a reset, and so is ours. */
static bool is_for_nobody(const struct ptcp_conn *conn)
{
    return conn->released && ptcp_reasm_readable(&conn->engine->in) > 0;
}

/* True if the connection lives on. */
static bool judge(struct ptcp_conn *conn, uint64_t now_us, const struct outcome *outcome)
{
    if (outcome->reset)
        ptcp_conn_fail(conn, now_us, -ECONNRESET, reset_text(outcome->code));
    else if (outcome->rc < 0)
        ptcp_conn_reset(conn, now_us, PTCP_RESET_PROTOCOL, -EPROTO, "the peer broke the protocol");
    else if (conn->error == -ENOMEM)
        ptcp_conn_reset(conn, now_us, PTCP_RESET_RESOURCES, -ENOMEM, "out of memory");
    else if (is_for_nobody(conn))
        ptcp_conn_reset(conn, now_us, PTCP_RESET_CANCELLED, -ECONNABORTED,
                        "bytes came after the user had left");
    else
        return true;
    return false;
}

static bool elicits(struct ptcp_frames frames)
{
    struct ptcp_frame frame;
    struct ptcp_ack ack;
    bool any = false;

    while (!any && ptcp_frame_read(&frames, &frame, &ack) > 0)
        any = ptcp_frame_elicits(frame.type);
    return any;
}

/* Who has its turn soon, beside others, acknowledges grants by the way. */
static void take_note(struct ptcp_conn *conn, uint64_t now_us, uint64_t packet, bool asks,
                      const struct outcome *outcome, unsigned ecn)
{
    struct ptcp_acks *acks = &conn->engine->acks;
    const bool later = outcome->grants && !outcome->eliciting &&
                       conn->turn.state != PTCP_TURN_IDLE &&
                       ptcp_turns_others(&conn->path->turns, &conn->turn) > 0;
    const bool eliciting = outcome->eliciting || (outcome->grants && !later);

    ptcp_acks_take(acks, packet, 1, now_us, eliciting, ecn);
    if (later)
        ptcp_acks_later(acks, now_us);
    else if (asks && eliciting)
        ptcp_acks_hurry(acks, now_us);
}

void ptcp_conn_input(struct ptcp_conn *conn, uint64_t now_us, const struct ptcp_header *header,
                     struct ptcp_frames frames, const struct stk_run *run, size_t size)
{
    const uint64_t packet = ptcp_packet_number(header, ptcp_conn_expected(conn));

    if (!ptcp_conn_wake(conn))
        return; /* it comes again */
    conn->packets_received++;
    conn->bytes_received += size;
    conn->heard_us = conn->path->heard_us = now_us;
    PTCP_TRACE(conn->trace, received, conn,
               &(struct ptcp_trace_packet){header->type, packet, size, run->ecn, frames},
               !ptcp_acks_is_new(&conn->engine->acks, packet));
    if (!ptcp_acks_is_new(&conn->engine->acks, packet)) {
        /* A copy. Our ACK may have been lost; repeating it costs little. */
        if (elicits(frames))
            ptcp_acks_hurry(&conn->engine->acks, now_us);
        ptcp_endpoint_touch(conn->endpoint, conn);
        return;
    }
    const struct outcome outcome = take_frames(conn, now_us, frames);
    if (!judge(conn, now_us, &outcome))
        return;
    if (!outcome.unkept)
        take_note(conn, now_us, packet, header->asks, &outcome, run->ecn);
    PTCP_TRACE(conn->trace, updated, conn);
    ptcp_conn_step(conn, now_us);
    ptcp_endpoint_touch(conn->endpoint, conn);
}

void ptcp_conn_retry(struct ptcp_conn *conn, uint64_t now_us, const uint8_t *cookie, size_t len)
{
    assert(len <= PTCP_COOKIE_MAX_BYTES);
    if (conn->retries >= RETRIES_MAX)
        return;
    if (!conn->cookie)
        conn->cookie = stk_alloc(sizeof(*conn->cookie));
    if (!conn->cookie)
        return; /* the next SYN is answered by another one */
    conn->retries++;
    conn->heard_us = now_us;
    memcpy(conn->cookie->bytes, cookie, len);
    conn->cookie->len = (uint8_t)len;
    ptcp_recovery_abandon(&conn->engine->recovery, conn->path, &ptcp_conn_owner, conn);
    conn->due |= PTCP_DUE_PARAMS;
    ptcp_endpoint_touch(conn->endpoint, conn);
}
