#include "talker.h"

#include <string.h>

enum { PIECE_BYTES = 16384 };

static void talk(struct stk_conn *conn)
{
    struct talker *t = stk_conn_user(conn);
    uint8_t piece[PIECE_BYTES];

    while (t->sent < t->size) {
        const uint64_t left = t->size - t->sent;
        const size_t want = left < sizeof piece ? (size_t)left : sizeof piece;
        oracle_fill(t->seed, t->sent, piece, want);
        const long n = stk_conn_write(conn, piece, want);
        if (n < 0)
            return;
        t->sent += (uint64_t)n;
        if ((size_t)n < want)
            return;
    }
    if (t->finish)
        stk_conn_finish(conn);
}

static int on_accepted(struct stk_conn *conn)
{
    struct talker *t = stk_conn_user(conn);

    t->accepted++;
    t->conn = conn;
    t->sent = t->received = 0;
    t->incoming.position = 0;
    return 0;
}

static void on_opened(struct stk_conn *conn)
{
    ((struct talker *)stk_conn_user(conn))->opened++;
    talk(conn);
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct talker *t = stk_conn_user(conn);

    if (t->received < TALKER_KEEP_MAX) {
        const size_t room = TALKER_KEEP_MAX - (size_t)t->received;
        memcpy(t->kept + t->received, data, len < room ? len : room);
    }
    t->received += len;
    if (t->incoming.size > 0)
        oracle_take(&t->incoming, data, len);
    return len;
}

static void on_finished(struct stk_conn *conn)
{
    struct talker *t = stk_conn_user(conn);

    t->finished++;
    if (t->close_at_end)
        stk_conn_close(conn);
    else if (!t->finish && !t->stays_open)
        stk_conn_finish(conn);
}

static void on_delivered(struct stk_conn *conn)
{
    ((struct talker *)stk_conn_user(conn))->delivered++;
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct talker *t = stk_conn_user(conn);

    t->closed++;
    t->conn = NULL;
    if (error)
        t->error = *error;
}

const struct stk_protocol talker_protocol = {
    .accepted = on_accepted,
    .opened = on_opened,
    .received = on_received,
    .finished = on_finished,
    .writable = talk,
    .delivered = on_delivered,
    .closed = on_closed,
};

int talker_connect(struct talker *talker, struct stk_loop *loop, const char *address,
                   struct stk_error *error)
{
    return stk_connect(loop, address, &talker_protocol, talker, &talker->conn, error);
}

int talker_listen(struct talker *talker, struct stk_loop *loop, const char *address,
                  struct stk_listener **out, struct stk_error *error)
{
    return stk_listen(loop, address, &talker_protocol, talker, out, error);
}

void talker_wait(struct stk_loop *loop, const unsigned *counter, unsigned value)
{
    /* Bounded by the test program's time limit. */
    while (*counter < value)
        stk_loop_turn(loop, 1000000);
}

void talker_wait_closed(struct talker *talker, struct stk_loop *loop)
{
    talker_wait(loop, &talker->closed, 1);
}
