#include "connection.h"
#include "endpoint.h"
#include "error.h"

enum { DOUBT_TIMEOUTS = 2 }; /* probe time-outs in a row: another path is looked for */

/* Who shares a path asks for itself after so many times the silence after which one asks for all,
 * and a quarter of that by chance. */
enum { OWN_SILENCES = 16 };

/* It rests after so long: in a transfer the engine is needed again soon. */
enum { QUIET_US = 1000000 };

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

bool ptcp_conn_is_busy(const struct ptcp_conn *conn)
{
    const struct ptcp_engine *engine = conn->engine;

    return (engine && (ptcp_sendbuf_busy(&engine->out) || engine->recovery.in_flight > 0)) ||
           conn->due & PTCP_DUE_PING || ptcp_durable_is_silent(conn);
}

/*
 * While others have their turns, or write, and nothing of its own is under way, nothing of it can
 * be acknowledged: what the path acknowledges to the others shows that the peer is there.
 */
static uint64_t counts_from_us(const struct ptcp_conn *conn, uint64_t since_us)
{
    if (conn->turn.state == PTCP_TURN_IDLE || conn->engine->recovery.in_flight > 0)
        return since_us;
    return max_u64(since_us, conn->path->acked_us);
}

void ptcp_conn_end_wait(struct ptcp_conn *conn)
{
    if (ptcp_state_is_opening(conn->state))
        conn->opened_us = counts_from_us(conn, conn->opened_us);
    conn->progress_us = counts_from_us(conn, conn->progress_us);
    conn->released_us = counts_from_us(conn, conn->released_us);
}

void ptcp_conn_leave_turn(struct ptcp_conn *conn)
{
    ptcp_conn_end_wait(conn);
    ptcp_turns_leave(&conn->path->turns, &conn->turn);
}

static uint64_t connect_due_us(const struct ptcp_conn *conn)
{
    return counts_from_us(conn, conn->opened_us) + ptcp_ms(conn->connect_timeout_ms);
}

static uint64_t user_due_us(const struct ptcp_conn *conn)
{
    return ptcp_conn_is_busy(conn)
               ? counts_from_us(conn, conn->progress_us) + ptcp_ms(conn->user_timeout_ms)
               : UINT64_MAX;
}

/* The peer's life counts, as with the keep-alive: who is heard on one connection is there. */
static uint64_t idle_due_us(const struct ptcp_conn *conn)
{
    const uint64_t heard_us = max_u64(conn->heard_us, conn->path->heard_us);

    return conn->idle_timeout_ms ? heard_us + ptcp_ms(conn->idle_timeout_ms) : UINT64_MAX;
}

static uint64_t linger_due_us(const struct ptcp_conn *conn)
{
    return conn->released ? counts_from_us(conn, conn->released_us) + ptcp_ms(conn->linger_ms)
                          : UINT64_MAX;
}

static uint64_t last_eliciting_us(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->recovery.last_eliciting_us : conn->rest.last_eliciting_us;
}

/* Those that fell silent together do not ask together. */
static uint64_t own_patience_us(const struct ptcp_conn *conn)
{
    const uint64_t least_us = OWN_SILENCES * ptcp_ms(conn->keepalive_ms);

    return least_us + least_us / 4 * (conn->slot.id % 1024) / 1024;
}

/*
 * Who shares a path need not ask each for itself whether the peer is there. But whether it still
 * knows the connection, nobody else can ask: its RESET may have been lost.
 */
static uint64_t keepalive_due_us(const struct ptcp_conn *conn)
{
    const struct ptcp_path *path = conn->path;
    const uint64_t own_us = max_u64(conn->heard_us, last_eliciting_us(conn));
    const uint64_t all_us = max_u64(own_us, max_u64(path->heard_us, path->asked_us));

    if (conn->keepalive_ms == 0 || ptcp_conn_is_busy(conn) || conn->state == PTCP_STATE_TIME_WAIT)
        return UINT64_MAX;
    return min_u64(all_us + ptcp_ms(conn->keepalive_ms), own_us + own_patience_us(conn));
}

/*
 * What is left of records when nothing is under way is of packets that were given up. It is looked
 * at when it is due even if it is not quiet yet: it may have become so without a packet.
 */
static uint64_t quiet_due_us(const struct ptcp_conn *conn, uint64_t now_us)
{
    if (!conn->engine || conn->engine->recovery.in_flight > 0)
        return UINT64_MAX;
    const uint64_t due_us = max_u64(conn->heard_us, last_eliciting_us(conn)) + QUIET_US;
    const bool helps = conn->engine->recovery.ring.slots || ptcp_conn_is_quiet(conn);

    return due_us > now_us || helps ? due_us : UINT64_MAX;
}

/* It rests, or at least the records of sent packets go. */
static void calm_down(struct ptcp_conn *conn)
{
    ptcp_sent_trim(&conn->engine->recovery.ring, UINT64_MAX);
    if (ptcp_conn_is_quiet(conn))
        ptcp_conn_rest(conn);
    else
        ptcp_sent_free(&conn->engine->recovery.ring);
}

static uint64_t open_due_us(const struct ptcp_conn *conn, uint64_t now_us)
{
    uint64_t due_us = min_u64(keepalive_due_us(conn), quiet_due_us(conn, now_us));

    due_us = min_u64(due_us, user_due_us(conn));
    due_us = min_u64(due_us, idle_due_us(conn));
    due_us = min_u64(due_us, linger_due_us(conn));
    return min_u64(due_us, conn->blocked_us);
}

static uint64_t recovery_due_us(const struct ptcp_conn *conn)
{
    if (ptcp_durable_is_silent(conn) || !conn->engine)
        return UINT64_MAX;
    return ptcp_recovery_due_us(&conn->engine->recovery, conn->path,
                                ptcp_state_is_opening(conn->state));
}

uint64_t ptcp_conn_due_us(const struct ptcp_conn *conn, uint64_t now_us)
{
    uint64_t due_us;

    if (conn->state == PTCP_STATE_CLOSED)
        return UINT64_MAX;
    if (ptcp_conn_is_overdue(conn, now_us))
        return now_us;
    due_us = min_u64(recovery_due_us(conn), ptcp_durable_due_us(conn));
    if (ptcp_state_is_opening(conn->state))
        due_us = min_u64(due_us, connect_due_us(conn));
    else
        due_us = min_u64(due_us, open_due_us(conn, now_us));
    if (conn->engine && conn->engine->acks.due_us > now_us)
        due_us = min_u64(due_us, conn->engine->acks.due_us);
    return due_us;
}

/* True if the connection is over. */
static bool check_limits(struct ptcp_conn *conn, uint64_t now_us)
{
    if (ptcp_state_is_opening(conn->state)) {
        if (now_us < connect_due_us(conn))
            return false;
        ptcp_conn_fail(conn, now_us, -ETIMEDOUT, "no answer within the connect time-out");
        return true;
    }
    if (user_due_us(conn) <= now_us)
        ptcp_conn_reset(conn, now_us, PTCP_RESET_TIMEOUT, -ETIMEDOUT,
                        "the peer acknowledged nothing within the user time-out");
    else if (idle_due_us(conn) <= now_us)
        ptcp_conn_reset(conn, now_us, PTCP_RESET_TIMEOUT, -ETIMEDOUT,
                        "nothing was heard within the idle time-out");
    else if (linger_due_us(conn) <= now_us)
        ptcp_conn_reset(conn, now_us, PTCP_RESET_TIMEOUT, -ETIMEDOUT,
                        "the peer did not finish after the user had left");
    else
        return false;
    return true;
}

/* The user time-out counts from when the peer was last heard, but not from before a suspension. */
static void keep_alive(struct ptcp_conn *conn, uint64_t now_us)
{
    const uint64_t earliest_us = now_us - min_u64(now_us, ptcp_ms(conn->keepalive_ms));

    conn->due |= PTCP_DUE_PING;
    conn->path->asked_us = now_us;
    conn->was_busy = true;
    conn->progress_us =
        conn->keepalive_ms < conn->user_timeout_ms ? max_u64(conn->heard_us, earliest_us) : now_us;
}

bool ptcp_conn_timeout(struct ptcp_conn *conn, uint64_t now_us)
{
    if (conn->state == PTCP_STATE_CLOSED || check_limits(conn, now_us))
        return false;
    if (!conn->engine && (ptcp_conn_due_us(conn, now_us) > now_us || !ptcp_conn_wake(conn)))
        return true;
    ptcp_durable_timeout(conn, now_us);
    if (quiet_due_us(conn, now_us) <= now_us && keepalive_due_us(conn) > now_us) {
        calm_down(conn);
        if (!conn->engine)
            return true;
    }
    if (keepalive_due_us(conn) <= now_us && !ptcp_state_is_opening(conn->state)) {
        PTCP_TRACE(conn->trace, expired, conn, PTCP_TRACE_KEEPALIVE);
        keep_alive(conn, now_us);
    }
    if (conn->blocked_us <= now_us) {
        PTCP_TRACE(conn->trace, expired, conn, PTCP_TRACE_BLOCKED);
        conn->blocked_us = UINT64_MAX;
        ptcp_conn_ask_anew(conn);
    }
    if (recovery_due_us(conn) <= now_us) {
        const bool late = conn->engine->recovery.loss_us <= now_us;
        /* Others are, since the last probes left: the path is not what keeps our answers away. */
        const bool answered = conn->path->acked_us > conn->engine->recovery.last_eliciting_us;

        PTCP_TRACE(conn->trace, expired, conn, late ? PTCP_TRACE_LOSS : PTCP_TRACE_PROBE);
        ptcp_recovery_timeout(&conn->engine->recovery, conn->path, now_us, &ptcp_conn_owner, conn);
        if (!late)
            ptcp_acks_hurry(&conn->engine->acks, now_us);
        if (!late && ptcp_conn_stands_aside(conn))
            ptcp_recovery_stand_aside(&conn->engine->recovery, conn->path, &ptcp_conn_owner, conn);
        PTCP_TRACE(conn->trace, updated, conn);
        if (!ptcp_conn_is_plain(conn) && !answered &&
            conn->engine->recovery.pto_count >= DOUBT_TIMEOUTS)
            ptcp_conn_raise(conn, PTCP_DOUBT);
        if (conn->engine->recovery.pto_count >= PTCP_DURABLE_DOUBT_TIMEOUTS)
            ptcp_durable_doubt(conn, now_us);
    }
    ptcp_endpoint_touch(conn->endpoint, conn);
    return true;
}
