/* How connections begin, cross and resume: see arrival.h. */
#include "arrival.h"
#include "tag.h"

/*
 * The id of the connection that a SYN asks for: the same for each copy of it, so that copies find
 * the connection, and not to be guessed by anyone else.
 */
static uint64_t id_for(const struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival)
{
    uint8_t text[24];
    const struct stk_addr *peer = arrival->run->peer;

    stk_store_be64(text, arrival->header.source);
    stk_store_be64(text + 8, arrival->run->association);
    stk_store_be64(text + 16, ptcp_arrival_is_plain(arrival) && peer ? stk_addr_hash(peer, 0) : 0);
    const uint64_t id = ptcp_prf(endpoint->id_key, text, sizeof(text));
    return id ? id : 1;
}

static void learn_addresses(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    if (arrival->run->peer)
        conn->path->peer = *arrival->run->peer;
    if (arrival->run->local)
        conn->path->local = *arrival->run->local;
}

static void admit(struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival, uint64_t id,
                  const struct ptcp_params *params)
{
    struct ptcp_conn *conn;

    if (endpoint->waiting >= endpoint->backlog ||
        endpoint->connections >= endpoint->options.max_connections)
        return; /* it comes again */
    conn = ptcp_endpoint_add(endpoint, id, arrival->now_us, arrival->run->association,
                             &endpoint->listen_options);
    if (!conn)
        return;
    conn->passive = conn->queued = true;
    endpoint->waiting++;
    learn_addresses(conn, arrival);
    conn->peer_id = arrival->header.source;
    ptcp_endpoint_watch(endpoint, conn);
    ptcp_conn_take_params(conn, params);
    ptcp_conn_move(conn, PTCP_STATE_SYN_RECEIVED);
    ptcp_endpoint_set_alarm(endpoint, conn, arrival->now_us);
    /* An early SYN may be a recording: until the association is READY nobody hears of it. */
    if (!ptcp_arrival_is_plain(arrival) && !arrival->run->early)
        ptcp_conn_establish(conn, arrival->now_us);
    ptcp_arrival_deliver(conn, arrival);
}

static bool cookie_is_right(const struct ptcp_endpoint *endpoint,
                            const struct ptcp_arrival *arrival)
{
    struct ptcp_frame cookie;

    return ptcp_arrival_find(arrival->frames, PTCP_FRAME_COOKIE, &cookie) &&
           ptcp_cookie_ok(cookie.data, cookie.len, endpoint->cookie_key, arrival->now_us,
                          arrival->run->peer, arrival->header.source);
}

/* In plain mode anybody can send a SYN in somebody else's name. */
static bool lacks_cookie(const struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival)
{
    return ptcp_arrival_is_plain(arrival) && !cookie_is_right(endpoint, arrival);
}

/* Two SYNs that cross become one connection, if it is clear which one. */
static struct ptcp_conn *find_crossing(struct ptcp_endpoint *endpoint,
                                       const struct ptcp_arrival *arrival)
{
    struct ptcp_conn *found = NULL;

    STK_LIST_EACH(node, &endpoint->opening)
    {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, queue);

        if (conn->passive ||
            !ptcp_arrival_is_from(arrival, ptcp_conn_association(conn), &conn->path->peer))
            continue;
        if (conn->state == PTCP_STATE_SYN_RECEIVED && conn->peer_id == arrival->header.source)
            return conn;
        if (conn->state != PTCP_STATE_SYN_SENT)
            continue;
        if (found)
            return NULL;
        found = conn;
    }
    return found;
}

static void cross(struct ptcp_conn *conn, const struct ptcp_arrival *arrival,
                  const struct ptcp_params *params)
{
    if (conn->state == PTCP_STATE_SYN_SENT) {
        conn->peer_id = arrival->header.source;
        ptcp_conn_take_params(conn, params);
        ptcp_conn_move(conn, PTCP_STATE_SYN_RECEIVED);
    }
    conn->due |= PTCP_DUE_PARAMS;
    ptcp_arrival_deliver(conn, arrival);
}

/* A copy of the SYN that began this connection: our SYN_ACK may have been lost. */
static void repeat_syn(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    if (conn->peer_id != arrival->header.source || conn->confirmed ||
        !ptcp_state_takes(conn->state, PTCP_SYN))
        return;
    conn->due |= PTCP_DUE_PARAMS;
    ptcp_arrival_deliver(conn, arrival);
}

void ptcp_opening_syn(struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival)
{
    struct ptcp_frame params;
    struct ptcp_conn *crossing;
    struct ptcp_slot *slot;

    if (arrival->header.destination != 0 || arrival->header.source == 0 ||
        !ptcp_arrival_tag_ok(arrival) || (ptcp_arrival_is_plain(arrival) && !arrival->run->peer) ||
        !ptcp_arrival_find(arrival->frames, PTCP_FRAME_PARAMS, &params))
        return;
    if (!endpoint->listening) {
        crossing = find_crossing(endpoint, arrival);
        if (!crossing)
            ptcp_arrival_answer(endpoint, arrival, PTCP_REFUSE, PTCP_RESET_REFUSED);
        else if (crossing->state == PTCP_STATE_SYN_SENT && lacks_cookie(endpoint, arrival))
            ptcp_arrival_answer(endpoint, arrival, PTCP_RETRY, 0);
        else
            cross(crossing, arrival, &params.params);
        return;
    }
    const uint64_t id = id_for(endpoint, arrival);
    slot = ptcp_table_find(&endpoint->table, id);
    if (slot && !slot->over)
        repeat_syn(STK_CONTAINER(slot, struct ptcp_conn, slot), arrival);
    else if (!slot && lacks_cookie(endpoint, arrival))
        ptcp_arrival_answer(endpoint, arrival, PTCP_RETRY, 0);
    else if (!slot)
        admit(endpoint, arrival, id, &params.params);
}

void ptcp_opening_syn_ack(struct ptcp_conn *conn, const struct ptcp_arrival *arrival)
{
    struct ptcp_frame params;

    if (conn->state == PTCP_STATE_SYN_SENT) {
        if (arrival->header.source == 0 ||
            !ptcp_arrival_find(arrival->frames, PTCP_FRAME_PARAMS, &params))
            return;
        conn->peer_id = arrival->header.source;
        if (arrival->run->local)
            conn->path->local = *arrival->run->local;
        ptcp_conn_take_params(conn, &params.params);
    } else if (conn->peer_id != arrival->header.source) {
        return;
    }
    if (!ptcp_state_is_open(conn->state))
        ptcp_conn_establish(conn, arrival->now_us);
    conn->confirmed = true;
    conn->due &= ~(unsigned)PTCP_DUE_PARAMS;
    ptcp_arrival_deliver(conn, arrival);
}

/* It was sent after everything that has come: else somebody holds it back, or it was overtaken. */
static bool is_newest(const struct ptcp_arrival *arrival, uint64_t expected)
{
    return ptcp_packet_number(&arrival->header, expected) >= expected;
}

void ptcp_opening_resume(struct ptcp_endpoint *endpoint, struct ptcp_slot *slot,
                         const struct ptcp_arrival *arrival)
{
    struct ptcp_conn *conn =
        slot && !slot->over ? STK_CONTAINER(slot, struct ptcp_conn, slot) : NULL;
    struct ptcp_frame token;

    /* What came in a handshake may be a recording; the opener repeats it. */
    if (ptcp_arrival_is_plain(arrival) || arrival->run->early ||
        !ptcp_arrival_find(arrival->frames, PTCP_FRAME_TOKEN, &token))
        return;
    const uint64_t shown[2] = {token.value, token.second};
    if (slot && slot->over &&
        ptcp_late_resume(endpoint, STK_CONTAINER(slot, struct ptcp_timewait, slot), arrival, shown))
        return;
    if (!conn || conn->peer_id != arrival->header.source ||
        !ptcp_durable_takes(conn, arrival->run->association, shown)) {
        ptcp_arrival_answer(endpoint, arrival, PTCP_REFUSE, PTCP_RESET_UNKNOWN);
        return;
    }
    if (ptcp_conn_association(conn) != arrival->run->association) {
        if (!is_newest(arrival, ptcp_conn_expected(conn)))
            return;
        if (ptcp_paths_move(endpoint, conn, arrival->run->association) < 0)
            return; /* it comes again */
        if (conn->durable->lost)
            ptcp_durable_resumed(conn, arrival->now_us);
        else
            ptcp_endpoint_go_on(endpoint, conn);
    }
    ptcp_arrival_deliver(conn, arrival);
}

void ptcp_opening_stray(struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival)
{
    enum { BEYOND_ANY_SYN = 1 << 16 };
    struct ptcp_reply reply = {.type = PTCP_DATA,
                               .reset = true,
                               .destination = arrival->header.source,
                               .source = arrival->header.destination,
                               .packet = BEYOND_ANY_SYN,
                               .code = PTCP_RESET_CANCELLED,
                               .association = arrival->run->association};

    if (arrival->header.source == 0 || !ptcp_arrival_tag_ok(arrival) ||
        (ptcp_arrival_is_plain(arrival) && !arrival->run->peer))
        return;
    if (arrival->run->peer)
        reply.peer = *arrival->run->peer;
    if (arrival->run->local)
        reply.local = *arrival->run->local;
    ptcp_endpoint_reply(endpoint, &reply);
}
