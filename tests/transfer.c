#include "transfer.h"

#include <stdlib.h>

enum { PIECE_BYTES = 64 * 1024 };

static uint64_t now_us(const struct transfer_side *side)
{
    return stk_sim_elapsed_us(side->transfer->sim);
}

static const char *name_of(const struct transfer_side *side)
{
    return side == &side->transfer->client ? "client" : "server";
}

#define SAY(side, ...)                                                                             \
    do {                                                                                           \
        if ((side)->transfer->verbose)                                                             \
            stk_sim_note((side)->transfer->sim, __VA_ARGS__);                                      \
    } while (0)

/* --- Writing ---------------------------------------------------------------------------------- */

/* One write; false when no more goes now. */
static bool write_some(struct transfer_side *side)
{
    static uint8_t piece[PIECE_BYTES];
    uint64_t len = side->send_bytes - side->written;
    long taken;

    if (side->write_max > 0 && len > side->write_max)
        len = side->write_max;
    if (len > sizeof piece)
        len = sizeof piece;
    if (len == 0)
        return false;
    oracle_fill(side->out_seed, side->written, piece, len);
    taken = stk_conn_write(side->conn, piece, len);
    if (taken > 0)
        side->written += (uint64_t)taken;
    return taken == (long)len;
}

static void end_if_done(struct transfer_side *side)
{
    if (side->finishing || side->written < side->send_bytes)
        return;
    /* close() throws away what still comes in, so it has to wait for all of that. */
    if (side->closes && !side->got_end)
        return;
    side->finishing = true;
    SAY(side, "%s %s", name_of(side), side->closes ? "closes" : "finishes");
    if (side->closes)
        stk_conn_close(side->conn);
    else
        stk_conn_finish(side->conn);
}

static void pump(struct transfer_side *side)
{
    if (!side->opened || (side->sends_after_end && !side->got_end) || side->finishing)
        return;
    while (write_some(side))
        continue;
    end_if_done(side);
}

/* --- The protocol ----------------------------------------------------------------------------- */

static void resume(struct stk_timer *timer)
{
    struct transfer_side *side = STK_CONTAINER(timer, struct transfer_side, resume);

    if (!side->closed)
        stk_conn_resume(side->conn);
}

static void on_opened(struct stk_conn *conn)
{
    struct transfer_side *side = stk_conn_user(conn);

    side->opened = true;
    side->opened_us = now_us(side);
    SAY(side, "%s is open", name_of(side));
    pump(side);
}

static void pause_now_and_then(struct transfer_side *side, size_t len)
{
    side->read_since_pause += len;
    if (side->pause_after == 0 || side->read_since_pause < side->pause_after)
        return;
    side->read_since_pause = 0;
    stk_conn_pause(side->conn);
    stk_timer_in(&side->resume, side->pause_us);
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct transfer_side *side = stk_conn_user(conn);
    size_t used = len;

    /* What stays behind comes again with what follows, so something has to follow. */
    if (side->leave_part > 0 && len > side->leave_part && side->in.position + len < side->in.size)
        used = len - side->leave_part;
    if (side->in.position == 0)
        side->first_byte_us = now_us(side);
    side->last_byte_us = now_us(side);
    if (!oracle_take(&side->in, data, used))
        SAY(side, "%s got a wrong byte at %llu", name_of(side),
            (unsigned long long)side->in.position);
    pause_now_and_then(side, used);
    return used;
}

static void on_finished(struct stk_conn *conn)
{
    struct transfer_side *side = stk_conn_user(conn);

    side->got_end = true;
    side->end_us = now_us(side);
    SAY(side, "%s has the other's end", name_of(side));
    stk_conn_query(conn, STK_QUERY_STATS, &side->stats, sizeof side->stats);
    pump(side);
    end_if_done(side);
}

static void on_writable(struct stk_conn *conn) { pump(stk_conn_user(conn)); }

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct transfer_side *side = stk_conn_user(conn);
    struct transfer *transfer = side->transfer;

    stk_conn_query(conn, STK_QUERY_STATS, &side->stats, sizeof side->stats);
    side->closed = true;
    side->closed_us = now_us(side);
    if (error)
        side->error = *error;
    SAY(side, "%s is closed: %s: %s", name_of(side), side->error.layer,
        error ? side->error.text : "in order");
    stk_timer_stop(&side->resume);
    if (transfer->listener && transfer->client.closed &&
        (transfer->server.closed || !transfer->server.conn)) {
        stk_listener_close(transfer->listener);
        transfer->listener = NULL;
    }
}

static int on_accepted(struct stk_conn *conn);

static const struct stk_protocol nothing;
static const struct stk_protocol protocol = {
    .accepted = on_accepted,
    .opened = on_opened,
    .received = on_received,
    .finished = on_finished,
    .writable = on_writable,
    .closed = on_closed,
};

static void begin(struct transfer_side *side, struct stk_conn *conn)
{
    side->conn = conn;
    stk_conn_set_user(conn, side);
    if (side->close_within_us > 0)
        stk_conn_set_close_timeout(conn, side->close_within_us);
    if (side->transfer->connect_within_us > 0)
        stk_conn_set_connect_timeout(conn, side->transfer->connect_within_us);
}

/* One handshake makes one connection, whatever the path does to it; the caller looks for others. */
static int on_accepted(struct stk_conn *conn)
{
    struct transfer *transfer = stk_conn_user(conn);
    struct transfer_side *server = &transfer->server;

    if (transfer->accepted++ > 0) {
        stk_conn_set_protocol(conn, &nothing, NULL);
        return -ECONNREFUSED;
    }
    begin(server, conn);
    SAY(server, "server accepts");
    return 0;
}

/* --- The caller's side ------------------------------------------------------------------------ */

static void prepare(struct transfer *transfer, struct transfer_side *side, uint64_t seed)
{
    side->transfer = transfer;
    side->out_seed = seed;
    stk_timer_init(&side->resume, stk_sim_loop(transfer->sim), resume);
}

int transfer_start(struct transfer *transfer, struct stk_sim *sim, const char *listen,
                   const char *connect, uint64_t seed, struct stk_error *error)
{
    struct stk_loop *loop = stk_sim_loop(sim);
    struct stk_conn *conn;
    int code;

    transfer->sim = sim;
    prepare(transfer, &transfer->client, 2 * seed);
    prepare(transfer, &transfer->server, 2 * seed + 1);
    transfer->client.in = (struct oracle_stream){2 * seed + 1, transfer->server.send_bytes, 0, 0};
    transfer->server.in = (struct oracle_stream){2 * seed, transfer->client.send_bytes, 0, 0};
    if (listen) {
        code = stk_listen(loop, listen, &protocol, transfer, &transfer->listener, error);
        if (code < 0)
            return code;
    }
    code = stk_connect(loop, connect, &protocol, &transfer->client, &conn, error);
    if (code == 0)
        begin(&transfer->client, conn);
    return code;
}

static bool is_done(const struct transfer_side *side)
{
    return side->closed && side->error.code == 0 && oracle_is_complete(&side->in);
}

bool transfer_is_complete(const struct transfer *transfer)
{
    return is_done(&transfer->client) && is_done(&transfer->server) && transfer->accepted == 1;
}
