#include "conn.h"

#include <assert.h>

/* One piece of memory a loop, not a connection, takes what is read and used at once. */
enum { SCRATCH_BYTES = 128 * 1024, SLICES = 16 };

static const char scratch_key;

static uint8_t *scratch_of(struct stk_loop *loop)
{
    uint8_t *scratch = stk_loop_data(loop, &scratch_key);

    if (scratch != NULL)
        return scratch;
    scratch = stk_alloc(SCRATCH_BYTES);
    if (scratch != NULL && stk_loop_set_data(loop, &scratch_key, scratch, stk_free) < 0) {
        stk_free(scratch);
        return NULL;
    }
    return scratch;
}

static bool wants_bytes(const struct stk_conn *conn)
{
    return conn->state == CONN_CLOSING || (conn->state == CONN_OPEN && !conn->paused);
}

static size_t give(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    conn->again = false; /* what was asked for comes now */
    conn->in_received = true;
    const size_t used = conn->protocol->received(conn, data, len);
    conn->in_received = false;
    assert(used <= len);
    return used;
}

static bool out_of_memory(struct stk_conn *conn)
{
    stk_conn_fail(conn, -ENOMEM, "conn", "out of memory for unused bytes");
    return false;
}

/* Puts bytes behind the unused ones and offers all. */
static bool offer_unused(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    if (len > 0 && stk_fifo_put(&conn->unused, data, len) != (long)len) {
        if (stk_fifo_room(&conn->unused) < len)
            stk_conn_fail(conn, STK_ELIMIT, "conn",
                          "the protocol left %zu bytes unused: no message may be longer",
                          stk_fifo_len(&conn->unused));
        else
            out_of_memory(conn);
        return false;
    }
    const size_t used = give(conn, stk_fifo_data(&conn->unused), stk_fifo_len(&conn->unused));
    stk_fifo_consume(&conn->unused, used);
    return true;
}

/* Hands bytes to the protocol and keeps what it leaves. */
static bool offer(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    bool kept = true;

    if (conn->state == CONN_CLOSING || conn->protocol->received == NULL)
        return true; /* thrown away */
    if (stk_fifo_len(&conn->unused) > 0) {
        kept = offer_unused(conn, data, len);
    } else {
        const size_t used = give(conn, data, len);

        if (used < len &&
            stk_fifo_put(&conn->unused, data + used, len - used) != (long)(len - used))
            kept = out_of_memory(conn);
    }
    if (kept && conn->insertion != NULL)
        conn_insert_pending(conn);
    return kept && conn_is_live(conn);
}

/* --- Two ways to get at bytes
 * --------------------------------------------------------------------------- */

/* What comes behind unused bytes must fit behind them; one byte too many shows that none can. */
static size_t fitting(const struct stk_conn *conn, size_t len)
{
    const size_t room = stk_fifo_room(&conn->unused);

    if (len <= room)
        return len;
    return room > 0 ? room : 1;
}

/* False where no more is to be offered now; counts what was. */
static bool offer_slice(struct stk_conn *conn, const struct iovec *slice, size_t *taken)
{
    const struct stk_layer *was_top = conn->top;

    for (size_t at = 0; at < slice->iov_len;) {
        const size_t len = fitting(conn, slice->iov_len - at);
        const bool kept = offer(conn, (const uint8_t *)slice->iov_base + at, len);

        at += len;
        *taken += len;
        if (!kept || !wants_bytes(conn) || conn->top != was_top)
            return false;
    }
    return true;
}

static long read_slices(struct stk_conn *conn, struct stk_layer *top)
{
    struct iovec slices[SLICES];
    const int count = top->type->peek(top, slices, SLICES);
    size_t taken = 0;

    for (int i = 0; i < count; i++)
        if (!offer_slice(conn, &slices[i], &taken))
            break;
    if (taken > 0 && conn_is_live(conn))
        top->type->consume(top, taken);
    return count > 0 ? (long)taken : count;
}

static long read_copies(struct stk_conn *conn, size_t budget)
{
    uint8_t *scratch = scratch_of(conn_loop(conn));
    const size_t want = fitting(conn, budget < SCRATCH_BYTES ? budget : SCRATCH_BYTES);

    if (scratch == NULL) {
        out_of_memory(conn);
        return -ENOMEM;
    }
    const struct iovec iov = {scratch, want};
    const long got = layer_recv(conn->top, &iov, 1);
    if (got > 0)
        offer(conn, scratch, (size_t)got);
    return got;
}

static long read_some(struct stk_conn *conn, size_t budget)
{
    struct stk_layer *top = conn->top;

    while (top->type->peek == NULL && top->type->recv == NULL)
        top = top->below;
    return top->type->peek != NULL ? read_slices(conn, top) : read_copies(conn, budget);
}

/* The protocol asked for the bytes that it had left: they come before anything else. */
static bool wants_unused(const struct stk_conn *conn)
{
    return conn->again && conn->state == CONN_OPEN && stk_fifo_len(&conn->unused) > 0;
}

/* False if the connection ended. */
static bool offer_again(struct stk_conn *conn, size_t *budget)
{
    while (wants_unused(conn) && wants_bytes(conn) && *budget > 0) {
        if (!offer(conn, NULL, 0))
            return false;
        --*budget;
    }
    return true;
}

/* --- The end of reading
 * ---------------------------------------------------------------------------------- */

static void tell_finished(struct stk_conn *conn)
{
    if (conn->finished_told || conn->state != CONN_OPEN || wants_unused(conn))
        return;
    conn->finished_told = true;
    if (conn->protocol->finished != NULL)
        conn->protocol->finished(conn);
    else
        stk_conn_close(conn);
}

static void stopped(struct stk_conn *conn, long status)
{
    conn->readable = false;
    if (status == 0) {
        conn->peer_finished = true;
        tell_finished(conn);
        if (conn->failing) /* and this was all that came before the error */
            conn_break(conn);
    } else if (status != STK_AGAIN && conn_is_live(conn)) {
        conn_set_error(conn, (int)status, "conn", stk_strerror((int)status));
        conn_break(conn);
    }
}

void conn_read(struct stk_conn *conn)
{
    size_t budget = STK_TURN_BYTES_MAX;

    if (!offer_again(conn, &budget))
        return;
    while (conn->readable && wants_bytes(conn) && budget > 0) {
        const long got = read_some(conn, budget);

        if (!conn_is_live(conn))
            return;
        if (got <= 0) {
            stopped(conn, got);
            break;
        }
        budget -= (size_t)got < budget ? (size_t)got : budget;
        if (!offer_again(conn, &budget))
            return;
    }
    if (conn->peer_finished && conn_is_live(conn) && !conn->paused)
        tell_finished(conn);
    if (wants_bytes(conn) && (conn->readable || wants_unused(conn)))
        conn_schedule(conn);
}

void stk_conn_pause(struct stk_conn *conn) { conn->paused = true; }

void stk_conn_resume(struct stk_conn *conn)
{
    if (!conn->paused)
        return;
    conn->paused = false;
    conn->again = true;
    conn_schedule(conn);
}

void stk_conn_again(struct stk_conn *conn)
{
    conn->again = true;
    conn_schedule(conn);
}
