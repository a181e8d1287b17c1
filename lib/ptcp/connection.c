#include "connection.h"

#include "alloc.h"
#include "endpoint.h"
#include "error.h"
#include "invitation.h"
#include "iov.h"
#include "silence.h"

#include <assert.h>
#include <string.h>

enum { SEND_BUFFER_START = 256 << 10 };

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static uint64_t or_default(uint64_t value, uint64_t fallback) { return value ? value : fallback; }

/* --- Birth and death ---------------------------------------------------------------------------
 */

static void take_options(struct ptcp_conn *conn, const struct stk_ptcp_options *options)
{
    const uint64_t window_max =
        clamp(or_default(options->receive_window_max, STK_PTCP_RECEIVE_WINDOW_MAX),
              STK_PTCP_BUFFER_MIN, UINT64_C(1) << 30);
    const uint64_t wish =
        clamp(or_default(options->receive_window_init, STK_PTCP_RECEIVE_WINDOW_INIT),
              STK_PTCP_BUFFER_MIN, window_max);
    const uint64_t window = ptcp_engine_window(conn->endpoint, wish);

    conn->connect_timeout_ms =
        ptcp_conn_ms(or_default(options->connect_timeout_us, STK_PTCP_CONNECT_TIMEOUT_US));
    conn->user_timeout_ms =
        ptcp_conn_ms(or_default(options->user_timeout_us, STK_PTCP_USER_TIMEOUT_US));
    conn->idle_timeout_ms = ptcp_conn_ms(options->idle_timeout_us);
    conn->keepalive_ms =
        options->keepalive_off
            ? 0
            : ptcp_conn_ms(or_default(options->keepalive_us, STK_PTCP_KEEPALIVE_US));
    conn->linger_ms = ptcp_conn_ms(or_default(options->linger_us, STK_PTCP_LINGER_US));
    conn->send_buffer_max =
        (uint32_t)clamp(or_default(options->send_buffer_max, STK_PTCP_SEND_BUFFER_MAX),
                        STK_PTCP_BUFFER_MIN, 1 << 30);
    /* The first engine is made of it, as all others are. */
    conn->rest.window = (uint32_t)window;
    conn->rest.window_max = (uint32_t)window_max;
    conn->rest.granted = window;
}

static uint8_t priority_of(const struct stk_ptcp_options *options)
{
    const uint8_t urgency = options->priority_given ? options->priority : PTCP_PRIORITY_DEFAULT;

    return urgency < PTCP_PRIORITIES ? urgency : PTCP_PRIORITIES - 1;
}

static void take_defaults(struct ptcp_conn *conn)
{
    const struct ptcp_path *path = conn->path;

    conn->rest.send_limit =
        (uint32_t)clamp(SEND_BUFFER_START, STK_PTCP_BUFFER_MIN, conn->send_buffer_max);
    conn->rest.ack_every = PTCP_ACK_PACKETS;
    /* The path may be known by those before it. */
    conn->rest.ack_delay_us =
        path->rtt.sampled ? (uint32_t)ptcp_path_ack_delay_us(path) : PTCP_ACK_DELAY_US;
    conn->rest.peer_ack_delay_us = PTCP_ACK_DELAY_US;
    conn->rest.reorder_packets = PTCP_REORDER_PACKETS;
    conn->rest.reorder_eighths = 1;
}

static int find_place(struct ptcp_conn *conn, uint64_t association,
                      const struct stk_ptcp_options *options)
{
    if (options->durable_us && conn->endpoint->options.sealed &&
        ptcp_durable_new(conn, options->durable_us) < 0)
        return -ENOMEM;
    if (ptcp_paths_join(conn->endpoint, conn, association, options) < 0)
        return -ENOMEM;
    take_defaults(conn);
    if (ptcp_conn_wake(conn))
        return 0;
    ptcp_paths_retire(conn->endpoint, conn);
    ptcp_paths_leave(conn->endpoint, conn->path);
    return -ENOMEM;
}

struct ptcp_conn *ptcp_conn_new(struct ptcp_endpoint *endpoint, uint64_t id, uint64_t now_us,
                                uint64_t association, const struct stk_ptcp_options *options)
{
    struct ptcp_conn *conn = stk_alloc_zero(sizeof(*conn));

    if (!conn)
        return NULL;
    if (ptcp_schedule_join(&endpoint->schedule, &conn->alarm, PTCP_ALARM_CONN) < 0) {
        stk_free(conn);
        return NULL;
    }
    conn->endpoint = endpoint;
    conn->slot.id = id;
    stk_list_init(&conn->ready);
    stk_list_init(&conn->eventful);
    stk_list_init(&conn->queue);
    ptcp_turn_init(&conn->turn, priority_of(options));
    take_options(conn, options);
    conn->opened_us = conn->heard_us = conn->progress_us = now_us;
    conn->due = PTCP_DUE_PARAMS;
    conn->blocked_us = UINT64_MAX;
    conn->ended_packet = UINT64_MAX;
    conn->skip_at = 64 + ptcp_endpoint_random(endpoint) % 512;
    conn->asked_every = PTCP_ACK_PACKETS;
    if (find_place(conn, association, options) < 0) {
        ptcp_durable_free(conn);
        ptcp_schedule_leave(&endpoint->schedule, &conn->alarm);
        stk_free(conn);
        return NULL;
    }
    return conn;
}

void ptcp_conn_forget_sent(struct ptcp_conn *conn)
{
    const struct ptcp_sent_ring *ring;

    if (!conn->engine)
        return;
    ring = &conn->engine->recovery.ring;
    for (const struct ptcp_sent *record = ptcp_sent_oldest(ring); record;
         record = ptcp_sent_after(ring, record)) {
        if (record->flags & PTCP_SENT_PROBE && record->state == PTCP_SENT_OUTSTANDING &&
            ptcp_recovery_went_here(&conn->engine->recovery, conn->path, record))
            ptcp_mtu_probe_dropped(&conn->path->mtu);
    }
    ptcp_recovery_free(&conn->engine->recovery, conn->path);
}

void ptcp_conn_free(struct ptcp_conn *conn)
{
    assert(stk_list_empty(&conn->ready));
    stk_list_remove(&conn->queue);
    stk_list_remove(&conn->eventful);
    ptcp_conn_forget_sent(conn);
    ptcp_engine_free(conn);
    ptcp_paths_leave(conn->endpoint, conn->path);
    ptcp_durable_free(conn);
    stk_free(conn->cookie);
    stk_free(conn);
}

/* --- States and events ---------------------------------------------------------------------------
 */

void ptcp_conn_move(struct ptcp_conn *conn, enum ptcp_state state)
{
    if (state == conn->state)
        return;
    /* The first state is entered from the zeroed struct. */
    assert(ptcp_state_may_move(conn->state, state) ||
           (conn->state == PTCP_STATE_CLOSED && !conn->buried));
    const enum ptcp_state old = conn->state;
    conn->state = (uint8_t)state;
    PTCP_TRACE(conn->trace, moved, conn, old);
}

void ptcp_conn_raise(struct ptcp_conn *conn, unsigned events)
{
    conn->events |= (uint16_t)events;
    if (conn->owned && stk_list_empty(&conn->eventful))
        stk_list_append(&conn->endpoint->eventful, &conn->eventful);
}

unsigned ptcp_conn_take_events(struct ptcp_conn *conn)
{
    const unsigned events = conn->events;

    conn->events = 0;
    stk_list_remove(&conn->eventful);
    ptcp_invitation_told(conn);
    return events;
}

static void end_with_error(struct ptcp_conn *conn, int code, const char *text)
{
    assert(code < 0);
    conn->error = code;
    conn->error_text = text;
    ptcp_conn_move(conn, PTCP_STATE_CLOSED);
    ptcp_conn_raise(conn, PTCP_ERROR | PTCP_CLOSED);
}

/* In TIME_WAIT nothing is left that could fail. */
static bool is_over(const struct ptcp_conn *conn)
{
    return conn->state == PTCP_STATE_CLOSED || conn->state == PTCP_STATE_TIME_WAIT;
}

void ptcp_conn_fail(struct ptcp_conn *conn, uint64_t now_us, int code, const char *text)
{
    if (is_over(conn))
        return;
    end_with_error(conn, code, text);
    ptcp_endpoint_bury(conn->endpoint, conn, now_us, false, 0);
}

void ptcp_conn_reset(struct ptcp_conn *conn, uint64_t now_us, uint64_t reset, int code,
                     const char *text)
{
    const bool told = conn->state != PTCP_STATE_SYN_SENT;

    if (is_over(conn))
        return;
    end_with_error(conn, code, text);
    ptcp_endpoint_bury(conn->endpoint, conn, now_us, told, reset);
}

static void happen(struct ptcp_conn *conn, enum ptcp_state_event event)
{
    ptcp_conn_move(conn, ptcp_state_after(conn->state, event));
}

/* Output finds out whether it is blocked, and where. */
void ptcp_conn_ask_anew(struct ptcp_conn *conn)
{
    conn->engine->flow.blocked_at = UINT64_MAX;
    conn->due &= ~(unsigned)PTCP_DUE_BLOCKED;
}

void ptcp_conn_step(struct ptcp_conn *conn, uint64_t now_us)
{
    if (!ptcp_state_is_open(conn->state))
        return;
    if (!conn->told_eof && ptcp_reasm_complete(&conn->engine->in)) {
        conn->told_eof = true;
        conn->ended_packet = ptcp_conn_expected(conn);
        ptcp_acks_hurry(&conn->engine->acks, now_us);
        happen(conn, PTCP_EVENT_FIN);
        ptcp_conn_raise(conn, PTCP_RX | PTCP_RX_EOF);
    }
    if (!conn->told_done && conn->engine->out.fin_acked &&
        conn->engine->out.una == conn->engine->out.end) {
        conn->told_done = true;
        happen(conn, PTCP_EVENT_FIN_ACKED);
        ptcp_conn_raise(conn, PTCP_TX_DONE);
    }
    if (conn->state == PTCP_STATE_TIME_WAIT)
        ptcp_conn_raise(conn, PTCP_CLOSED);
}

bool ptcp_conn_end_in_order(struct ptcp_conn *conn, uint64_t now_us)
{
    if ((conn->state != PTCP_STATE_LAST_ACK && conn->state != PTCP_STATE_CLOSING) ||
        conn->engine->out.una != conn->engine->out.end)
        return false;
    conn->engine->out.fin_acked = true;
    ptcp_conn_step(conn, now_us);
    ptcp_conn_move(conn, PTCP_STATE_CLOSED); /* nobody is left for whom to wait */
    ptcp_endpoint_bury(conn->endpoint, conn, now_us, false, 0);
    return true;
}

void ptcp_conn_establish(struct ptcp_conn *conn, uint64_t now_us)
{
    ptcp_conn_move(conn, PTCP_STATE_ESTABLISHED);
    stk_free(conn->cookie);
    conn->cookie = NULL;
    conn->handshake_us = (uint32_t)clamp(now_us - conn->opened_us, 1, UINT32_MAX);
    conn->progress_us = now_us;
    stk_list_remove(&conn->queue);
    if (conn->passive)
        stk_list_append(&conn->endpoint->accepting, &conn->queue);
    ptcp_conn_raise(conn, PTCP_READY | PTCP_TX);
    if (conn->engine->out.finished)
        happen(conn, PTCP_EVENT_FINISH);
}

/* --- Parameters ----------------------------------------------------------------------------------
 */

void ptcp_conn_offer_params(const struct ptcp_conn *conn, struct ptcp_params *params)
{
    *params = (struct ptcp_params){
        .window = conn->engine->flow.granted,
        .max_ack_delay_us = PTCP_ACK_DELAY_US,
        .max_datagram = (uint64_t)(conn->path->mtu.max - conn->path->overhead),
        .ack_packets = PTCP_ACK_PACKETS,
        .idle_timeout_us = ptcp_ms(conn->idle_timeout_ms),
    };
    ptcp_durable_offer(conn, params);
}

void ptcp_conn_take_params(struct ptcp_conn *conn, const struct ptcp_params *params)
{
    const uint32_t idle_ms = ptcp_conn_ms(params->idle_timeout_us);

    ptcp_flow_raise(&conn->engine->flow, params->window);
    conn->engine->recovery.peer_ack_delay_us =
        clamp(params->max_ack_delay_us, 0, PTCP_ACK_DELAY_MAX_US);
    if (params->max_datagram)
        ptcp_mtu_limit(&conn->path->mtu,
                       clamp(params->max_datagram, 0, UINT16_MAX) + conn->path->overhead);
    ptcp_path_resize(conn->path);
    if (params->ack_packets)
        conn->engine->acks.every = (uint32_t)clamp(params->ack_packets, 1, PTCP_ACK_PACKETS_MAX);
    if (idle_ms && (conn->idle_timeout_ms == 0 || idle_ms < conn->idle_timeout_ms))
        conn->idle_timeout_ms = idle_ms;
    ptcp_durable_agree(conn, params);
}

/* --- The user's calls
 * ------------------------------------------------------------------------------ */

long ptcp_conn_send(struct ptcp_conn *conn, uint64_t now_us, const struct iovec *iov, int count)
{
    const size_t wish = stk_iov_bytes(iov, count);
    long took;

    (void)now_us;
    if (conn->error)
        return conn->error;
    if (conn->state == PTCP_STATE_CLOSED)
        return STK_ESHUTDOWN;
    if (!ptcp_conn_wake(conn))
        return -ENOMEM;
    if (conn->engine->out.finished)
        return STK_ESHUTDOWN;
    if (wish == 0)
        return 0;
    ptcp_invitation_bound(conn);
    took = ptcp_sendbuf_put(&conn->engine->out, iov, count);
    if (took == -ENOMEM && conn->engine->out.una == conn->engine->out.end &&
        !ptcp_invitation_starves(conn))
        return -ENOMEM; /* nothing that could make room later */
    if (took <= 0 || (size_t)took < wish)
        conn->wants_room = conn->was_full = true;
    if (took > 0) {
        if (ptcp_turn_asks(&conn->turn))
            ptcp_conn_leave_turn(conn);
        if (ptcp_conn_wants_turn(conn))
            ptcp_turns_join(&conn->path->turns, &conn->turn);
        ptcp_endpoint_touch(conn->endpoint, conn);
    }
    return took > 0 ? took : STK_AGAIN;
}

int ptcp_conn_finish(struct ptcp_conn *conn, uint64_t now_us)
{
    if (conn->error)
        return conn->error;
    if (conn->buried)
        return 0;
    if (!ptcp_conn_wake(conn))
        return -ENOMEM;
    if (conn->engine->out.finished)
        return 0;
    conn->engine->out.finished = true;
    conn->wants_room = false;
    if (ptcp_turn_asks(&conn->turn))
        ptcp_conn_leave_turn(conn);
    if (ptcp_state_is_open(conn->state))
        happen(conn, PTCP_EVENT_FINISH);
    ptcp_conn_step(conn, now_us);
    ptcp_endpoint_touch(conn->endpoint, conn);
    return 0;
}

int ptcp_conn_peek(struct ptcp_conn *conn, struct iovec *slices, int max)
{
    const int count = conn->engine ? ptcp_reasm_peek(&conn->engine->in, slices, max) : 0;

    if (count > 0 || max == 0)
        return count;
    if (conn->engine ? ptcp_reasm_complete(&conn->engine->in) : conn->rest.ended)
        return 0;
    return conn->error ? conn->error : STK_AGAIN;
}

void ptcp_conn_consume(struct ptcp_conn *conn, uint64_t now_us, size_t len)
{
    if (len == 0)
        return;
    ptcp_reasm_consume(&conn->engine->in, len);
    if (conn->buried || conn->engine->in.fin_offset != UINT64_MAX)
        return; /* nobody waits for more room */
    const uint64_t window = conn->engine->flow.window;
    ptcp_flow_consumed(&conn->engine->flow, conn->engine->in.consumed, now_us,
                       conn->path->rtt.smoothed_us);
    ptcp_conn_bound_window(conn, window);
    if (conn->engine->flow.update)
        ptcp_endpoint_touch(conn->endpoint, conn);
}

long ptcp_conn_recv(struct ptcp_conn *conn, uint64_t now_us, const struct iovec *iov, int count)
{
    size_t total = 0, room;

    for (int i = 0; i < count; i++) {
        uint8_t *to = iov[i].iov_base;

        for (room = iov[i].iov_len; room > 0;) {
            struct iovec slice;
            const int rc = ptcp_conn_peek(conn, &slice, 1);

            if (rc <= 0)
                return total ? (long)total : rc;
            const size_t len = slice.iov_len < room ? slice.iov_len : room;
            memcpy(to, slice.iov_base, len);
            ptcp_conn_consume(conn, now_us, len);
            to += len;
            room -= len;
            total += len;
        }
    }
    return (long)total;
}

void ptcp_conn_set_priority(struct ptcp_conn *conn, uint8_t priority)
{
    ptcp_turns_change(&conn->path->turns, &conn->turn, priority);
}

void ptcp_conn_abort(struct ptcp_conn *conn, uint64_t now_us, uint64_t code)
{
    ptcp_conn_reset(conn, now_us, code, -ECONNABORTED, "aborted by this side");
}

void ptcp_conn_release(struct ptcp_conn *conn, uint64_t now_us)
{
    struct ptcp_endpoint *endpoint = conn->endpoint;

    assert(conn->owned);
    if (!conn->buried && conn->engine && ptcp_reasm_readable(&conn->engine->in) > 0)
        ptcp_conn_reset(conn, now_us, PTCP_RESET_CANCELLED, -ECONNABORTED,
                        "released with bytes unread");
    ptcp_conn_take_events(conn);
    conn->owned = false;
    conn->released = true;
    conn->released_us = now_us;
    conn->user = NULL;
    if (conn->buried) {
        ptcp_conn_free(conn);
        return;
    }
    if (conn->state == PTCP_STATE_SYN_SENT) {
        ptcp_conn_fail(conn, now_us, -ECONNABORTED, "released before it was connected");
        return;
    }
    if (ptcp_conn_finish(conn, now_us) == -ENOMEM) {
        ptcp_conn_reset(conn, now_us, PTCP_RESET_RESOURCES, -ENOMEM, "out of memory");
        return;
    }
    ptcp_endpoint_touch(endpoint, conn);
}

int ptcp_conn_error(const struct ptcp_conn *conn, const char **text)
{
    *text = conn->error_text ? conn->error_text : "";
    return conn->error;
}

void ptcp_conn_stats(const struct ptcp_conn *conn, struct stk_ptcp_stats *stats)
{
    const struct ptcp_path *path = conn->path;
    const struct ptcp_rtt *rtt = &path->rtt;
    const struct ptcp_engine *engine = conn->engine;
    struct ptcp_engine made;

    if (!engine) {
        ptcp_engine_make(conn, &made);
        engine = &made;
    }
    const struct ptcp_flow *flow = &engine->flow;
    *stats = (struct stk_ptcp_stats){
        .state = ptcp_state_name(conn->state),
        .congestion = path->cc.type->name,
        .rtt_us = rtt->smoothed_us,
        .rtt_var_us = rtt->variance_us,
        .rtt_min_us = rtt->sampled ? rtt->min_us : 0,
        .rtt_latest_us = rtt->latest_us,
        .cwnd_bytes = path->cc.window_bytes,
        .ssthresh_bytes = path->cc.ssthresh_bytes,
        .in_flight_bytes = engine->recovery.in_flight,
        .pacing_bytes_per_s = path->pacer.rate,
        .delivery_bytes_per_s = path->delivery.rate,
        .packets_sent = conn->packets_sent,
        .packets_received = conn->packets_received,
        .packets_lost = engine->recovery.lost_packets,
        .packets_spurious = engine->recovery.spurious_packets,
        .probe_timeouts = engine->recovery.timeouts,
        .persistent_congestions = engine->recovery.persistent,
        .bytes_sent = conn->bytes_sent,
        .bytes_received = conn->bytes_received,
        .bytes_resent = conn->bytes_resent,
        .stream_sent = engine->out.next,
        .stream_acked = engine->out.una,
        .stream_received = engine->in.contiguous,
        .stream_consumed = engine->in.consumed,
        .send_window_bytes =
            flow->peer_limit > engine->out.next ? flow->peer_limit - engine->out.next : 0,
        .receive_window_bytes = flow->window,
        .ecn_ce_received = engine->acks.ecn[2],
        .ecn_ce_sent = engine->recovery.ecn.ce,
        .handshake_us = conn->handshake_us,
        .path_changes = conn->path_changes,
        .mtu_bytes = path->mtu.current,
    };
}
