/* What an endpoint is told of peers and associations by those below. */
#include "endpoint.h"
#include "error.h"

void ptcp_unreachable(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_addr *peer)
{
    STK_LIST_EACH(node, &endpoint->opening)
    {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, queue);

        if (conn->state == PTCP_STATE_SYN_SENT && ptcp_conn_is_plain(conn) &&
            stk_addr_equal(&conn->path->peer, peer))
            ptcp_conn_fail(conn, now_us, -ECONNREFUSED, "the host says that nobody listens there");
    }
}

/* In plain mode each connection has a path of its own. So many are looked at for a report. */
enum { TOO_BIG_LOOKS = 256 };

static void hint_to_peer(struct ptcp_endpoint *endpoint, const struct stk_addr *peer, uint32_t size)
{
    int looks = 0;

    for (uint32_t i = 0; i < endpoint->table.capacity; i++) {
        for (struct ptcp_slot *slot = endpoint->table.buckets[i]; slot; slot = slot->next) {
            struct ptcp_conn *conn = STK_CONTAINER(slot, struct ptcp_conn, slot);

            if (slot->over)
                continue;
            if (stk_addr_equal(&conn->path->peer, peer))
                ptcp_mtu_hint(&conn->path->mtu, size);
            if (++looks >= TOO_BIG_LOOKS)
                return;
        }
    }
}

void ptcp_too_big(struct ptcp_endpoint *endpoint, uint64_t association, const struct stk_addr *peer,
                  uint32_t size)
{
    struct ptcp_path *path = association ? ptcp_paths_find(endpoint, association) : NULL;

    if (path)
        ptcp_mtu_hint(&path->mtu, size);
    else if (!association && !endpoint->options.sealed && peer)
        hint_to_peer(endpoint, peer, size);
}

void ptcp_association_ready(struct ptcp_endpoint *endpoint, uint64_t now_us, uint64_t association)
{
    struct ptcp_path *path = ptcp_paths_find(endpoint, association);

    if (!path)
        return;
    STK_LIST_EACH(node, &path->connections)
    {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, on_path);

        ptcp_durable_ready(conn, now_us);
        if (!conn->passive || conn->state != PTCP_STATE_SYN_RECEIVED)
            continue;
        ptcp_conn_establish(conn, now_us);
        ptcp_conn_step(conn, now_us);
        ptcp_endpoint_touch(endpoint, conn);
    }
}

/*
 * What is in flight goes again at once, and nobody is blamed: the peer is no more where it went.
 * But where the way before still answers, the switch was made before that one broke, and the
 * packets under way will arrive; and where it is this side that has moved, they were sent from
 * there.
 */
static void give_up_flight(struct ptcp_conn *conn, uint64_t now_us, enum ptcp_move move)
{
    if (!conn->engine || move == PTCP_MOVE_SELF ||
        (move == PTCP_MOVE_PATH &&
         ptcp_recovery_is_answered(&conn->engine->recovery, conn->path, now_us)))
        return;
    ptcp_recovery_abandon(&conn->engine->recovery, conn->path, &ptcp_conn_owner, conn);
}

void ptcp_endpoint_go_on(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn)
{
    conn->path_changes += conn->path_changes < UINT16_MAX;
    PTCP_TRACE(conn->trace, migrated, conn);
    conn->due |= ptcp_state_is_open(conn->state) ? PTCP_DUE_PING : PTCP_DUE_PARAMS;
    if (conn->engine) /* the last ACKs went to where the peer is no more */
        ptcp_acks_hurry(&conn->engine->acks, endpoint->now_us);
    ptcp_endpoint_touch(endpoint, conn);
}

/* From when on the new way was taken: at once, or before it was known. */
static uint64_t taken_since_us(const struct ptcp_path *path, uint64_t now_us, enum ptcp_move move)
{
    const uint64_t before_us = path->rtt.sampled ? 2 * path->rtt.smoothed_us : 0;

    return move != PTCP_MOVE_SELF ? now_us : now_us > before_us ? now_us - before_us : 0;
}

void ptcp_association_moved(struct ptcp_endpoint *endpoint, uint64_t now_us, uint64_t association,
                            enum ptcp_move move)
{
    struct ptcp_path *path = ptcp_paths_find(endpoint, association);

    if (!path)
        return;
    STK_LIST_EACH(node, &path->connections)
    give_up_flight(STK_CONTAINER(node, struct ptcp_conn, on_path), now_us, move);
    if (move != PTCP_MOVE_PORT)
        ptcp_paths_renew(endpoint, path, now_us, taken_since_us(path, now_us, move));
    ptcp_path_pace(path, now_us);
    STK_LIST_EACH(node, &path->connections)
    ptcp_endpoint_go_on(endpoint, STK_CONTAINER(node, struct ptcp_conn, on_path));
}

static void fail_on(struct ptcp_path *path, uint64_t now_us, int code, const char *text)
{
    STK_LIST_EACH(node, &path->connections)
    {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, on_path);

        const bool over = code == -ECONNRESET && ptcp_conn_end_in_order(conn, now_us);
        if (!over && !ptcp_durable_suspend(conn, now_us))
            ptcp_conn_fail(conn, now_us, code, text);
    }
}

void ptcp_association_failed(struct ptcp_endpoint *endpoint, uint64_t now_us, uint64_t association,
                             int code, const char *text)
{
    struct ptcp_path *path = ptcp_paths_find(endpoint, association);

    if (!path)
        return;
    path->users++; /* it stays until its connections are told */
    ptcp_paths_give_up(endpoint, path);
    fail_on(path, now_us, code, text);
    ptcp_paths_leave(endpoint, path);
}

void ptcp_fail_all(struct ptcp_endpoint *endpoint, uint64_t now_us, int code, const char *text)
{
    for (uint32_t i = 0; i < endpoint->table.capacity; i++) {
        for (struct ptcp_slot *slot = endpoint->table.buckets[i], *next; slot; slot = next) {
            next = slot->next;
            if (!slot->over)
                ptcp_conn_fail(STK_CONTAINER(slot, struct ptcp_conn, slot), now_us, code, text);
        }
    }
}
