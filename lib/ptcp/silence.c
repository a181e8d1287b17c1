#include "silence.h"

#include "endpoint.h"

enum { LOOKS = 64 }; /* at connections, for one that is in the middle of something */

static bool has_ended(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->in.fin_offset != UINT64_MAX : conn->rest.ended;
}

static uint64_t peer_ack_delay_us(const struct ptcp_conn *conn)
{
    return conn->engine ? conn->engine->recovery.peer_ack_delay_us : conn->rest.peer_ack_delay_us;
}

/* Who has something under way asks by that. */
static bool is_in_the_middle(const struct ptcp_conn *conn)
{
    return ptcp_conn_received(conn) >= conn->silence_from && !ptcp_conn_is_plain(conn) &&
           ptcp_state_is_open(conn->state) && !has_ended(conn) && !ptcp_conn_is_busy(conn);
}

static uint64_t due_us(const struct ptcp_conn *conn)
{
    return conn->path->heard_us +
           ptcp_rtt_probe_timeout_us(&conn->path->rtt, peer_ack_delay_us(conn));
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
    conn->silence_from = ptcp_conn_received(conn) + PTCP_SILENCE_BYTES;
    conn->due |= PTCP_DUE_PING;
    ptcp_acks_hurry(&conn->engine->acks, now_us); /* the last ones may have gone astray */
    ptcp_endpoint_touch(endpoint, conn);
}
