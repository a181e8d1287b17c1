#include "conn.h"

#include "iov.h"

#include <assert.h>

/* A layer that fails in send() has set the error already, unless it only returned a code. */
static long failed(struct stk_conn *conn, long status)
{
    conn_set_error(conn, (int)status, "conn", stk_strerror((int)status));
    conn->failing = true;
    if (conn->peer_finished)
        conn_break(conn);
    conn->readable = true; /* what came before the error is still to be read */
    conn_schedule(conn);
    return conn_error_code(conn);
}

static long send_now(struct stk_conn *conn, const struct iovec *iov, int count, unsigned flags)
{
    const size_t want = stk_iov_bytes(iov, count);
    const long sent = layer_send(conn->top, iov, count, flags);
    if (sent == STK_AGAIN) {
        conn->write_blocked = true;
        return 0;
    }
    if (sent < 0)
        return failed(conn, sent);
    assert((size_t)sent <= want);
    if ((size_t)sent < want)
        conn->write_blocked = true;
    else if (flags & STK_FIN)
        conn->finish_sent = true;
    return sent;
}

/* What is written after a layer was inserted waits for it. */
static bool can_send(const struct stk_conn *conn)
{
    if (conn->insertion != NULL)
        return false;
    return (conn->state == CONN_OPEN || (conn->state == CONN_CLOSING && conn->top->ready)) &&
           !conn->write_blocked && conn->error == NULL;
}

/* Sends what waits, then FIN if that was asked for. */
void conn_flush(struct stk_conn *conn)
{
    while (can_send(conn) && stk_fifo_len(&conn->unwritten) > 0) {
        const struct iovec iov = {(void *)(uintptr_t)stk_fifo_data(&conn->unwritten),
                                  stk_fifo_len(&conn->unwritten)};
        const long sent = send_now(conn, &iov, 1, conn->finish_wanted ? STK_FIN : 0);

        if (sent <= 0)
            return;
        stk_fifo_consume(&conn->unwritten, (size_t)sent);
    }
    if (can_send(conn) && conn->finish_wanted && !conn->finish_sent &&
        stk_fifo_len(&conn->unwritten) == 0)
        send_now(conn, NULL, 0, STK_FIN);
}

/* After an error too: the write that follows gets it, also where a pause holds closed() back. */
void conn_tell_writable(struct stk_conn *conn)
{
    const bool low = stk_fifo_len(&conn->unwritten) <= conn->write_low;

    if (!conn->writable_owed || conn->finish_wanted || !conn_is_live(conn) ||
        conn->state == CONN_OPENING || (!low && conn->error == NULL))
        return;
    conn->writable_owed = false;
    if (conn->protocol->writable != NULL)
        conn->protocol->writable(conn);
}

static int writing_status(const struct stk_conn *conn)
{
    if (conn->error != NULL)
        return conn->error->code;
    if (conn->finish_wanted || conn->state >= CONN_CLOSING)
        return STK_ESHUTDOWN;
    return 0;
}

static long buffer_rest(struct stk_conn *conn, const struct iovec *iov, int count, size_t skip)
{
    long total = 0;

    for (int i = 0; i < count; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        const uint8_t *data = (const uint8_t *)iov[i].iov_base + skip;
        const size_t len = iov[i].iov_len - skip;
        const long put = stk_fifo_put(&conn->unwritten, data, len);

        skip = 0;
        if (put < 0)
            return total > 0 ? total : put;
        total += put;
        if ((size_t)put < len)
            break;
    }
    return total;
}

long stk_conn_writev(struct stk_conn *conn, const struct iovec *iov, int count)
{
    const int status = writing_status(conn);
    const size_t want = stk_iov_bytes(iov, count);
    long sent = 0;

    if (status < 0)
        return status;
    if (want == 0)
        return 0;
    if (can_send(conn) && stk_fifo_len(&conn->unwritten) == 0) {
        sent = send_now(conn, iov, count, 0);
        if (sent < 0)
            return sent;
    }
    if ((size_t)sent < want) {
        const long kept = buffer_rest(conn, iov, count, (size_t)sent);

        if (kept < 0 && sent == 0)
            return kept;
        sent += kept > 0 ? kept : 0;
        conn_schedule(conn);
    }
    if ((size_t)sent < want)
        conn->writable_owed = true;
    return sent > 0 ? sent : STK_AGAIN;
}

long stk_conn_write(struct stk_conn *conn, const void *data, size_t len)
{
    const struct iovec iov = {(void *)(uintptr_t)data, len};

    return stk_conn_writev(conn, &iov, 1);
}

size_t stk_conn_write_room(const struct stk_conn *conn)
{
    return writing_status(conn) < 0 ? 0 : stk_fifo_room(&conn->unwritten);
}

size_t stk_conn_write_pending(const struct stk_conn *conn)
{
    return stk_fifo_len(&conn->unwritten);
}

int stk_conn_set_marks(struct stk_conn *conn, size_t low, size_t high)
{
    if (high == 0 || low >= high || high > STK_FIFO_LIMIT_MAX ||
        high < stk_fifo_len(&conn->unwritten))
        return -EINVAL;
    conn->write_low = (uint32_t)low;
    conn->unwritten.limit = (uint32_t)high;
    return 0;
}

void stk_conn_finish(struct stk_conn *conn)
{
    if (conn->finish_wanted || !conn_is_live(conn))
        return;
    conn->finish_wanted = true;
    conn_schedule(conn);
}
