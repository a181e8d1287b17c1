#include "conn.h"

enum { DRAIN_MS = 1000 }; /* that the peer's lower layers get to end */

static bool makes_progress(struct stk_conn *conn)
{
    uint64_t unsent = 0;

    stk_conn_query(conn, STK_QUERY_UNSENT, &unsent, sizeof unsent);
    unsent += stk_fifo_len(&conn->unwritten);
    const bool moved = unsent < conn->deadline->unsent;
    conn->deadline->unsent = unsent;
    return moved;
}

void conn_closing_deadline(struct stk_conn *conn)
{
    if (!conn->delivered && makes_progress(conn)) {
        deadline_in(conn, conn->close_timeout_ms);
        return;
    }
    /* All is delivered and only the peer's end is missing: leave without a reset. */
    if (!conn->delivered) {
        conn_set_error(conn, -ETIMEDOUT, "conn", "the peer took nothing more while closing");
        layer_abort(conn->top);
    }
    conn_end(conn);
}

/*
 * The top layer has its end, and those below may have their own goodbyes to say still (TLS in TLS):
 * they find nobody, and the peer fails, unless somebody waits for the end of the bottom.
 */
static bool bottom_has_ended(struct stk_conn *conn)
{
    uint8_t rubbish[4096];
    const struct iovec iov = {rubbish, sizeof rubbish};
    size_t budget = STK_TURN_BYTES_MAX;
    long got = 1;

    if (!conn->bottom->type->lingers || conn->top == conn->bottom)
        return true;
    while (budget > 0 && (got = layer_recv(conn->bottom, &iov, 1)) > 0)
        budget -= (size_t)got < budget ? (size_t)got : budget;
    if (got > 0)
        conn_schedule(conn);
    return got <= 0 && got != STK_AGAIN;
}

static void wait_for_bottom(struct stk_conn *conn)
{
    if (conn->draining)
        return;
    conn->draining = true;
    if (conn->state == CONN_OPEN)
        conn_move(conn, CONN_CLOSING);
    if (!deadline_in(conn, conn->close_timeout_ms < DRAIN_MS ? conn->close_timeout_ms : DRAIN_MS))
        conn_end(conn); /* without memory to wait: all is delivered */
}

/* Both directions are done: nothing is left to say. */
void conn_check_finished(struct stk_conn *conn)
{
    if (conn->state != CONN_OPEN && conn->state != CONN_CLOSING)
        return;
    const bool peer_done = conn->state == CONN_CLOSING
                               ? conn->peer_finished || !conn->bottom->type->lingers
                               : conn->peer_finished && conn->finished_told;
    if (!conn->delivered || !peer_done)
        return;
    if (bottom_has_ended(conn))
        conn_end(conn);
    else
        wait_for_bottom(conn);
}

void stk_conn_close(struct stk_conn *conn)
{
    if (conn->state != CONN_OPENING && conn->state != CONN_OPEN)
        return;
    conn_move(conn, CONN_CLOSING);
    conn->paused = false;
    if (!deadline_in(conn, conn->close_timeout_ms)) {
        stk_conn_fail(conn, -ENOMEM, "conn", "out of memory for the time that closing may take");
        return;
    }
    makes_progress(conn);
    stk_conn_finish(conn);
    conn_check_finished(conn);
    conn_schedule(conn);
}

void stk_conn_set_close_timeout(struct stk_conn *conn, uint64_t timeout_us)
{
    conn->close_timeout_ms = deadline_ms(timeout_us);
    if (conn->state == CONN_CLOSING)
        deadline_in(conn, conn->close_timeout_ms);
}
