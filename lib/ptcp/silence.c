#include "silence.h"

#include "endpoint.h"

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

enum { LOOKS = 64 }; /* at connections, for one that is in the middle of something */

static bool has_ended(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->in.fin_offset != UINT64_MAX : conn->rest.ended;
}

static uint64_t peer_ack_delay_us(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->recovery.peer_ack_delay_us : conn->rest.peer_ack_delay_us;
}

/* Who has sent since the silence began what the peer acknowledges asks by that. */
static bool asks_already(const struct ptcp_conn *conn)
{
    return (conn->engine && conn->engine->recovery.in_flight > 0 &&
            conn->engine->recovery.last_eliciting_us > conn->path->heard_us) ||
           conn->due & PTCP_DUE_PING || ptcp_durable_is_silent(conn);
}

static bool is_in_the_middle(const struct ptcp_conn *conn)
{
    return ptcp_conn_received(conn) > conn->silence_at && !ptcp_conn_is_plain(conn) &&
           ptcp_state_is_open(conn->state) && !has_ended(conn) && !asks_already(conn);
}

/* Little has come since it asked last: as from a peer that says something now and then. */
static bool can_wait(const struct ptcp_conn *conn)
{
    return conn->silence_at > 0 && ptcp_conn_received(conn) - conn->silence_at < PTCP_SILENCE_BYTES;
}

/* Where bytes came without a pause, one of half a round trip says as much as a probe time-out. */
static uint64_t due_us(const struct ptcp_conn *conn)
{
    const struct ptcp_rtt *rtt = &conn->path->rtt;
    const uint64_t timeout_us = ptcp_rtt_probe_timeout_us(rtt, peer_ack_delay_us(conn));
    const uint64_t pause_us = max_u64(rtt->smoothed_us / 2, PTCP_SILENCE_LEAST_US);

    const uint64_t silent_us = conn->path->heard_us + min_u64(timeout_us, pause_us);

    return can_wait(conn) ? max_u64(silent_us, conn->path->silence_us + PTCP_SILENCE_AGAIN_US)
                          : silent_us;
}

void ptcp_silence_watch(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn)
{
    struct ptcp_path *path = conn->path;

    if (!is_in_the_middle(conn))
        return;
    path->listener = conn;
    ptcp_schedule_set(&endpoint->schedule, &path->silence, due_us(conn));
}

void ptcp_silence_leave(struct ptcp_conn *conn)
{
    if (conn->path->listener == conn)
        conn->path->listener = NULL;
}

static struct ptcp_conn *who_asks(const struct ptcp_path *path)
{
    int looks = 0;

    if (path->listener && is_in_the_middle(path->listener))
        return path->listener;
    STK_LIST_EACH(node, &path->connections)
    {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, on_path);

        if (is_in_the_middle(conn))
            return conn;
        if (++looks == LOOKS)
            break;
    }
    return NULL;
}

void ptcp_silence_ring(struct ptcp_endpoint *endpoint, struct ptcp_path *path)
{
    const uint64_t now_us = endpoint->now_us;
    struct ptcp_conn *conn = who_asks(path);

    if (!conn)
        return;
    if (due_us(conn) > now_us || !ptcp_conn_wake(conn)) {
        ptcp_schedule_set(&endpoint->schedule, &path->silence,
                          due_us(conn) > now_us ? due_us(conn) : now_us + PTCP_RETRY_US);
        return;
    }
    PTCP_TRACE(conn->trace, expired, conn, PTCP_TRACE_KEEPALIVE);
    conn->silence_at = ptcp_conn_received(conn);
    path->silence_us = now_us;
    conn->due |= PTCP_DUE_PING;
    ptcp_acks_hurry(&conn->engine->acks, now_us); /* the last ones may have gone astray */
    ptcp_endpoint_touch(endpoint, conn);
}
