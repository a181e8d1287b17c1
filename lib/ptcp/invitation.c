#include "invitation.h"

#include "endpoint.h"
#include "fetch.h"

enum {
    NEAR_US = 1000,
    SEND_BUFFER_NEAR = 4 << 20,
    UNSENT_ALONE = 96 << 10, /* what one may hold unsent on its own path, however many do */
    HELD_SHARE = 16,         /* what is left of a turn is no run: it waits for what comes next */
    CONTROL_BYTES = 64,      /* that a run carries beside the stream's */
};

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Bytes that have arrived or are lost, and wait in the buffer for those before them. */
static uint64_t held_by_holes(const struct ptcp_engine *engine)
{
    const uint64_t sent = engine->out.next - engine->out.una;

    return sent - min_u64(engine->recovery.in_flight, sent);
}

static bool is_near(const struct ptcp_path *path)
{
    return path->rtt.sampled && path->rtt.min_us < NEAR_US;
}

/*
 * Twice the window keeps the path busy while the user sleeps. Where a round trip takes less than a
 * millisecond, nothing may ever stop the window from growing, and what lies in a buffer that large
 * has left the processor's cache before it is sent.
 */
static uint64_t useful_buffer(const struct ptcp_conn *conn)
{
    return min_u64(2 * conn->path->cc.window_bytes + held_by_holes(conn->engine),
                   is_near(conn->path) ? SEND_BUFFER_NEAR : UINT64_MAX);
}

/*
 * Many that send, each on a path of its own, hold unsent together what one alone would hold, as far
 * as that leaves each a run and a half: with less, runs that leave between two calls of the user
 * get short. Where round trips are long, each may still have what keeps its path busy.
 */
static uint64_t fair_buffer(const struct ptcp_conn *conn)
{
    const struct ptcp_engine *engine = conn->engine;
    const uint64_t senders = engine->out.store.pool->senders;
    const uint64_t under_way = engine->out.next - engine->out.una;
    const uint64_t fair = under_way + max_u64(SEND_BUFFER_NEAR / senders, UNSENT_ALONE);

    return is_near(conn->path) ? fair : max_u64(fair, useful_buffer(conn));
}

/* Bytes that all connections of the path together may hold unsent. */
static uint64_t useful_unsent(const struct ptcp_path *path)
{
    return max_u64(PTCP_UNSENT_BYTES, path->cc.window_bytes / PTCP_UNSENT_SHARE);
}

static uint32_t places(const struct ptcp_path *path)
{
    return (uint32_t)(useful_unsent(path) / path->turns.quantum);
}

static uint32_t others(const struct ptcp_conn *conn)
{
    return ptcp_turns_others(&conn->path->turns, &conn->turn);
}

static bool is_crowded(const struct ptcp_conn *conn) { return others(conn) >= places(conn->path); }

/* What surely fits into a turn's runs, so that nothing is left which would lie there for a whole
 * round. */
static uint64_t turn_bytes(const struct ptcp_path *path)
{
    const uint64_t count = min_u64(STK_RUN_BYTES_MAX / path->mtu.current, STK_RUN_COUNT_MAX);
    const uint64_t header = PTCP_STREAM_HEADER_BYTES;
    const uint64_t run_bytes = count * (ptcp_path_packet_size(path) - header) - CONTROL_BYTES;

    return path->turns.quantum / PTCP_QUANTUM_BYTES * run_bytes;
}

/* What it may hold unsent: a turn's worth at least. */
static uint64_t share(const struct ptcp_conn *conn)
{
    return max_u64(useful_unsent(conn->path) / (others(conn) + UINT64_C(1)),
                   turn_bytes(conn->path));
}

/*
 * Alone, the buffer grows when it was full and yet nearly all of it has been sent before the user
 * comes again.
 */
static void bound_alone(struct ptcp_conn *conn)
{
    struct ptcp_sendbuf *out = &conn->engine->out;
    const uint64_t most = min_u64(useful_buffer(conn), conn->send_buffer_max);

    if (conn->was_full && out->limit < most && out->end - out->next < out->limit / 8)
        out->limit = min_u64(2 * out->limit, most);
    if (out->store.pool->senders > 1)
        out->limit = min_u64(out->limit, fair_buffer(conn));
}

static void bound(struct ptcp_conn *conn)
{
    struct ptcp_sendbuf *out = &conn->engine->out;

    if (others(conn) == 0)
        bound_alone(conn);
    else
        out->limit = min_u64(out->next - out->una + share(conn), conn->send_buffer_max);
}

void ptcp_invitation_bound(struct ptcp_conn *conn)
{
    bound(conn);
    conn->was_full = false;
}

static void offer(struct ptcp_conn *conn)
{
    conn->wants_room = false;
    ptcp_conn_raise(conn, PTCP_TX);
}

/* Room that is worth a word; where users are invited, it has its turn first. */
static uint64_t worthwhile(const struct ptcp_conn *conn)
{
    const uint64_t limit = conn->engine->out.limit;

    if (others(conn) == 0)
        return limit / 4;
    const uint64_t most = min_u64(limit, share(conn));
    if (ptcp_turn_waits(&conn->turn) && is_crowded(conn))
        return most - most / HELD_SHARE;
    return most / 4;
}

/* Whom the port's memory refuses bytes would be told again at once, and refused again. */
static bool is_refused(const struct ptcp_sendbuf *out)
{
    return (out->store.held == 0 || out->end % PTCP_CHUNK_BYTES == 0) &&
           !ptcp_pool_allows(out->store.pool, out->store.held);
}

/*
 * When more of its own is acknowledged it is looked at anew. Who has nothing under way is freed by
 * others alone, and stands in line for what they give back; an opening one hears when it is open.
 */
static void wait_for_memory(struct ptcp_conn *conn)
{
    const struct ptcp_sendbuf *out = &conn->engine->out;

    if (out->una == out->end && stk_list_empty(&conn->queue))
        stk_list_append(&conn->endpoint->starving, &conn->queue);
}

void ptcp_invitation_seek(struct ptcp_conn *conn)
{
    struct ptcp_sendbuf *out = &conn->engine->out;

    if (!conn->wants_room || ptcp_turn_asks(&conn->turn))
        return;
    if (is_refused(out)) {
        wait_for_memory(conn);
        return;
    }
    bound(conn);
    if (ptcp_sendbuf_room(out) < worthwhile(conn))
        return;
    if (!is_crowded(conn))
        offer(conn);
    else if (out->lost.count == 0)
        ptcp_turns_ask(&conn->path->turns, &conn->turn);
}

bool ptcp_invitation_starves(struct ptcp_conn *conn)
{
    if (!is_refused(&conn->engine->out))
        return false; /* it is the heap that has none */
    wait_for_memory(conn);
    return true;
}

void ptcp_invitation_feed(struct ptcp_endpoint *endpoint)
{
    struct stk_node *node;

    for (uint32_t left = ptcp_pool_left(&endpoint->pool); left > 0; left--) {
        if (!(node = stk_list_pop(&endpoint->starving)))
            return;
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, queue);
        if (conn->wants_room)
            offer(conn);
    }
}

void ptcp_invitation_seek_beside_others(struct ptcp_conn *conn)
{
    if (conn->wants_room && others(conn) > 0)
        ptcp_invitation_seek(conn);
}

/* The user will soon write; and the next one will soon be asked. */
static void fetch_ahead(const struct ptcp_turn_queue *queue, const struct ptcp_conn *conn)
{
    const struct stk_node *next = queue->asking.next;

    stk_fetch(conn->engine, sizeof(struct ptcp_engine));
    stk_fetch(conn->user, STK_CACHE_LINE);
    if (next != &queue->asking)
        stk_fetch(STK_CONTAINER(next, struct ptcp_conn, turn.node), sizeof(*conn));
}

void ptcp_invitation_send(struct ptcp_path *path)
{
    struct ptcp_turn *turn;

    while ((turn = ptcp_turns_invite(&path->turns, places(path)))) {
        struct ptcp_conn *conn = STK_CONTAINER(turn, struct ptcp_conn, turn);

        fetch_ahead(&path->turns.queues[turn->priority], conn);
        offer(conn);
    }
}

void ptcp_invitation_told(struct ptcp_conn *conn)
{
    struct ptcp_endpoint *endpoint = conn->endpoint;

    if (conn->turn.state != PTCP_TURN_INVITED)
        return;
    ptcp_conn_leave_turn(conn);
    ptcp_endpoint_touch(endpoint, conn);
    /* Whether or not it writes: who comes next is found by output. */
    ptcp_schedule_set(&endpoint->schedule, &conn->path->alarm, endpoint->now_us);
}
