#include "endpoint.h"

#include "alloc.h"
#include "company.h"
#include "error.h"
#include "tag.h"

#include <assert.h>

static const uint64_t DEFAULT_MEMORY_BYTES = UINT64_C(1) << 30;
static const uint64_t DEFAULT_TIME_WAIT_US = 30000000;
static const uint32_t DEFAULT_TIME_WAITS = 1024, DEFAULT_SEALED_TIME_WAITS = 16384;
static const uint64_t RETRY_US = 10000;

/* --- Birth and death ---------------------------------------------------------------------------
 */

static void take_options(struct ptcp_endpoint *endpoint, const struct ptcp_endpoint_options *given)
{
    struct ptcp_endpoint_options *options = &endpoint->options;

    *options = *given;
    if (options->max_datagram == 0)
        options->max_datagram = STK_DGRAM_MAX;
    if (options->max_datagram < PTCP_MTU_MIN)
        options->max_datagram = PTCP_MTU_MIN;
    if (options->max_connections == 0)
        options->max_connections = PTCP_CONNECTIONS_MAX;
    if (options->memory_bytes == 0)
        options->memory_bytes = DEFAULT_MEMORY_BYTES;
    if (options->time_wait_us == 0)
        options->time_wait_us = DEFAULT_TIME_WAIT_US;
    if (options->time_wait_max == 0)
        options->time_wait_max = options->sealed ? DEFAULT_SEALED_TIME_WAITS : DEFAULT_TIME_WAITS;
}

uint64_t ptcp_endpoint_random(struct ptcp_endpoint *endpoint)
{
    return endpoint->options.random(endpoint->options.context);
}

static void make_keys(struct ptcp_endpoint *endpoint)
{
    for (size_t i = 0; i < sizeof(endpoint->cookie_key); i += 8)
        stk_store_be64(endpoint->cookie_key + i, ptcp_endpoint_random(endpoint));
    for (size_t i = 0; i < sizeof(endpoint->id_key); i += 8)
        stk_store_be64(endpoint->id_key + i, ptcp_endpoint_random(endpoint));
}

int ptcp_endpoint_new(const struct ptcp_endpoint_options *options, struct ptcp_endpoint **out)
{
    struct ptcp_endpoint *endpoint = stk_alloc_zero(sizeof(*endpoint));

    if (!endpoint)
        return -ENOMEM;
    if (ptcp_table_init(&endpoint->table) < 0 || ptcp_table_init(&endpoint->paths) < 0) {
        ptcp_table_free(&endpoint->table);
        stk_free(endpoint);
        return -ENOMEM;
    }
    take_options(endpoint, options);
    ptcp_pool_init(&endpoint->pool, endpoint->options.memory_bytes);
    ptcp_timewaits_init(&endpoint->timewaits, endpoint->options.time_wait_max,
                        endpoint->options.time_wait_us);
    stk_list_init(&endpoint->ready);
    stk_list_init(&endpoint->active);
    stk_list_init(&endpoint->eventful);
    stk_list_init(&endpoint->opening);
    stk_list_init(&endpoint->accepting);
    stk_list_init(&endpoint->buried);
    make_keys(endpoint);
    *out = endpoint;
    return 0;
}

static void forget(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn)
{
    ptcp_table_remove(&endpoint->table, &conn->slot);
    ptcp_schedule_leave(&endpoint->schedule, &conn->alarm);
    ptcp_paths_retire(endpoint, conn);
    stk_list_remove(&conn->ready);
    stk_list_remove(&conn->queue);
    if (conn->queued) {
        assert(endpoint->waiting > 0);
        endpoint->waiting--;
        conn->queued = false;
    }
    endpoint->connections--;
    conn->buried = true;
    PTCP_TRACE(conn->trace, ended, conn);
    conn->trace = NULL;
}

void ptcp_endpoint_free(struct ptcp_endpoint *endpoint)
{
    struct stk_node *node;

    ptcp_timewaits_free(&endpoint->timewaits, &endpoint->table);
    for (uint32_t i = 0; i < endpoint->table.capacity; i++) {
        while (endpoint->table.buckets[i]) {
            struct ptcp_conn *conn =
                STK_CONTAINER(endpoint->table.buckets[i], struct ptcp_conn, slot);

            forget(endpoint, conn);
            ptcp_conn_free(conn);
        }
    }
    while ((node = stk_list_pop(&endpoint->buried)))
        ptcp_conn_free(STK_CONTAINER(node, struct ptcp_conn, queue));
    ptcp_paths_free(endpoint);
    ptcp_schedule_free(&endpoint->schedule);
    ptcp_table_free(&endpoint->table);
    ptcp_pool_free(&endpoint->pool);
    stk_free(endpoint->replies);
    stk_free(endpoint);
}

static void leave_an_answer(struct ptcp_endpoint *endpoint, const struct ptcp_conn *conn,
                            uint64_t now_us, bool reset, uint64_t code)
{
    struct ptcp_timewait *entry =
        ptcp_timewaits_add(&endpoint->timewaits, &endpoint->table, conn->slot.id,
                           ptcp_conn_is_plain(conn) ? &conn->path->peer : NULL, now_us);

    if (!entry)
        return;
    entry->peer_id = conn->peer_id;
    entry->association = ptcp_conn_association(conn);
    entry->next_packet = ptcp_conn_next_packet(conn) + (reset ? 1 : 0);
    entry->received = ptcp_conn_expected(conn);
    entry->reset = reset;
    entry->code = code;
}

/*
 * Does the peer wait for no further word of ours? It has acknowledged a packet that acknowledged
 * its last one. In plain mode an entry also keeps copies of the SYN from beginning anew.
 */
static bool peer_knows_all(const struct ptcp_conn *conn)
{
    return !ptcp_conn_is_plain(conn) && conn->engine &&
           conn->engine->acks.known >= conn->ended_packet;
}

static void tell_reset(struct ptcp_endpoint *endpoint, const struct ptcp_conn *conn, uint64_t code)
{
    ptcp_endpoint_reply(endpoint, &(struct ptcp_reply){.type = PTCP_DATA,
                                                       .reset = true,
                                                       .destination = conn->peer_id,
                                                       .source = conn->slot.id,
                                                       .packet = ptcp_conn_next_packet(conn),
                                                       .code = code,
                                                       .association = ptcp_conn_association(conn),
                                                       .peer = conn->path->peer,
                                                       .local = conn->path->local});
}

void ptcp_endpoint_bury(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t now_us,
                        bool reset, uint64_t code)
{
    const bool waits = conn->state == PTCP_STATE_TIME_WAIT;

    assert(!conn->buried);
    forget(endpoint, conn);
    if (reset)
        tell_reset(endpoint, conn, code);
    if (reset || (waits && !peer_knows_all(conn)))
        leave_an_answer(endpoint, conn, now_us, reset, code);
    ptcp_conn_forget_sent(conn);
    if (conn->engine)
        ptcp_sendbuf_free(&conn->engine->out);
    if (conn->owned)
        stk_list_append(&endpoint->buried, &conn->queue);
    else
        ptcp_conn_free(conn);
}

/* --- Small services ------------------------------------------------------------------------------
 */

void ptcp_endpoint_touch(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn)
{
    if (!conn->buried && stk_list_empty(&conn->ready))
        stk_list_append(&endpoint->ready, &conn->ready);
    ptcp_paths_wake(endpoint, conn->path);
}

/* What is due, and yet was not done after output, lacks memory or a socket: later, not at once. */
static void set_alarm(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t now_us)
{
    const uint64_t due_us = ptcp_conn_due_us(conn, now_us);

    ptcp_schedule_set(&endpoint->schedule, &conn->alarm,
                      due_us > now_us ? due_us : now_us + RETRY_US);
}

void ptcp_endpoint_reply(struct ptcp_endpoint *endpoint, const struct ptcp_reply *reply)
{
    if (!endpoint->replies)
        endpoint->replies = stk_alloc(PTCP_REPLIES_MAX * sizeof(*endpoint->replies));
    if (!endpoint->replies || endpoint->reply_count == PTCP_REPLIES_MAX)
        return; /* the peer asks again */
    endpoint->replies[(endpoint->reply_first + endpoint->reply_count++) % PTCP_REPLIES_MAX] =
        *reply;
}

struct ptcp_conn *ptcp_next_event(struct ptcp_endpoint *endpoint)
{
    return stk_list_empty(&endpoint->eventful)
               ? NULL
               : STK_CONTAINER(endpoint->eventful.next, struct ptcp_conn, eventful);
}

uint32_t ptcp_connections(const struct ptcp_endpoint *endpoint) { return endpoint->connections; }
uint32_t ptcp_time_waits(const struct ptcp_endpoint *endpoint) { return endpoint->timewaits.count; }

/* --- Opening and accepting
 * ------------------------------------------------------------------------ */

void ptcp_listen(struct ptcp_endpoint *endpoint, const struct stk_ptcp_options *options,
                 uint32_t backlog)
{
    endpoint->listen_options = options ? *options : (struct stk_ptcp_options){0};
    endpoint->listening = true;
    endpoint->backlog = backlog ? backlog : PTCP_BACKLOG_DEFAULT;
}

static void reset_passive(struct stk_node *list, uint64_t now_us)
{
    STK_LIST_EACH(node, list)
    {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, queue);

        if (conn->passive)
            ptcp_conn_reset(conn, now_us, PTCP_RESET_REFUSED, -ECONNABORTED, "nobody accepted it");
    }
}

void ptcp_unlisten(struct ptcp_endpoint *endpoint, uint64_t now_us)
{
    endpoint->listening = false;
    reset_passive(&endpoint->opening, now_us);
    reset_passive(&endpoint->accepting, now_us);
}

struct ptcp_conn *ptcp_accept(struct ptcp_endpoint *endpoint)
{
    struct stk_node *node = stk_list_pop(&endpoint->accepting);
    struct ptcp_conn *conn;

    if (!node)
        return NULL;
    conn = STK_CONTAINER(node, struct ptcp_conn, queue);
    assert(conn->queued && endpoint->waiting > 0);
    conn->queued = false;
    endpoint->waiting--;
    conn->owned = true;
    ptcp_conn_raise(conn, 0);
    return conn;
}

static uint64_t new_id(struct ptcp_endpoint *endpoint)
{
    uint64_t id;

    do
        id = ptcp_endpoint_random(endpoint);
    while (id == 0 || ptcp_table_find(&endpoint->table, id));
    return id;
}

static struct ptcp_conn *add_connection(struct ptcp_endpoint *endpoint, uint64_t id,
                                        uint64_t now_us, uint64_t association,
                                        const struct stk_ptcp_options *options)
{
    struct ptcp_conn *conn;

    endpoint->now_us = now_us;
    conn = ptcp_conn_new(endpoint, id, now_us, association, options);
    if (!conn)
        return NULL;
    ptcp_table_add(&endpoint->table, &conn->slot);
    endpoint->connections++;
    stk_list_append(&endpoint->opening, &conn->queue);
    ptcp_endpoint_touch(endpoint, conn);
    return conn;
}

static void watch(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn)
{
    if (endpoint->tracer)
        conn->trace = endpoint->tracer->begin(endpoint->tracer, conn);
}

int ptcp_open(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct ptcp_open *open,
              struct ptcp_conn **out)
{
    static const struct stk_ptcp_options defaults;
    const struct stk_ptcp_options *options = open->options ? open->options : &defaults;
    struct ptcp_conn *conn;

    if (!ptcp_cc_find(options->congestion) ||
        (open->association != 0) != endpoint->options.sealed ||
        (open->association == 0 && (!open->peer || open->peer->len == 0)))
        return -EINVAL;
    if (endpoint->connections >= endpoint->options.max_connections)
        return STK_ELIMIT;
    conn = add_connection(endpoint, new_id(endpoint), now_us, open->association, options);
    if (!conn)
        return -ENOMEM;
    conn->owned = true;
    if (open->peer)
        conn->path->peer = *open->peer;
    conn->early = open->association && open->ready;
    conn->path->validated = true; /* what we send to it before it answers is our own wish */
    watch(endpoint, conn);
    ptcp_conn_move(conn, PTCP_STATE_SYN_SENT);
    set_alarm(endpoint, conn, now_us);
    *out = conn;
    return 0;
}

/* --- Input
 * ----------------------------------------------------------------------------------------- */

/* One datagram on its way to whom it concerns. */
struct arrival {
    uint64_t now_us;
    const struct stk_run *run;
    const uint8_t *bytes;
    size_t size;
    struct ptcp_header header;
    struct stk_reader frames; /* without the tag */
};

static bool is_plain(const struct arrival *arrival) { return arrival->run->association == 0; }

static bool tag_is_right(const struct arrival *arrival, uint64_t source)
{
    return !is_plain(arrival) ||
           ptcp_tag_ok(arrival->header.destination, source, arrival->bytes, arrival->size);
}

static bool comes_from(const struct arrival *arrival, uint64_t association,
                       const struct stk_addr *peer)
{
    if (!is_plain(arrival))
        return association == arrival->run->association;
    return association == 0 && arrival->run->peer && stk_addr_equal(peer, arrival->run->peer);
}

/* The first frame of that type, if the packet is well-formed up to there. */
static bool find_frame(struct stk_reader frames, uint8_t type, struct ptcp_frame *frame)
{
    struct ptcp_ack ack;

    while (ptcp_frame_read(&frames, frame, &ack) > 0) {
        if (frame->type == type)
            return true;
    }
    return false;
}

static void deliver(struct ptcp_conn *conn, const struct arrival *arrival)
{
    ptcp_conn_input(conn, arrival->now_us, &arrival->header, arrival->frames, arrival->run,
                    arrival->size);
}

static void answer_syn(struct ptcp_endpoint *endpoint, const struct arrival *arrival, uint8_t type,
                       uint64_t code)
{
    struct ptcp_reply reply = {.type = type,
                               .destination = arrival->header.source,
                               .code = code,
                               .association = arrival->run->association};

    if (arrival->run->peer)
        reply.peer = *arrival->run->peer;
    if (arrival->run->local)
        reply.local = *arrival->run->local;
    ptcp_endpoint_reply(endpoint, &reply);
}

/*
 * The id of the connection that a SYN asks for: the same for each copy of it, so that copies find
 * the connection, and not to be guessed by anyone else.
 */
static uint64_t id_for(const struct ptcp_endpoint *endpoint, const struct arrival *arrival)
{
    uint8_t text[24];
    const struct stk_addr *peer = arrival->run->peer;

    stk_store_be64(text, arrival->header.source);
    stk_store_be64(text + 8, arrival->run->association);
    stk_store_be64(text + 16, is_plain(arrival) && peer ? stk_addr_hash(peer, 0) : 0);
    const uint64_t id = ptcp_prf(endpoint->id_key, text, sizeof(text));
    return id ? id : 1;
}

static void learn_addresses(struct ptcp_conn *conn, const struct arrival *arrival)
{
    if (arrival->run->peer)
        conn->path->peer = *arrival->run->peer;
    if (arrival->run->local)
        conn->path->local = *arrival->run->local;
}

static void admit(struct ptcp_endpoint *endpoint, const struct arrival *arrival, uint64_t id,
                  const struct ptcp_params *params)
{
    struct ptcp_conn *conn;

    if (endpoint->waiting >= endpoint->backlog ||
        endpoint->connections >= endpoint->options.max_connections)
        return; /* it comes again */
    conn = add_connection(endpoint, id, arrival->now_us, arrival->run->association,
                          &endpoint->listen_options);
    if (!conn)
        return;
    conn->passive = conn->queued = true;
    endpoint->waiting++;
    learn_addresses(conn, arrival);
    conn->peer_id = arrival->header.source;
    conn->path->validated = true; /* by cookie, or by the association */
    watch(endpoint, conn);
    ptcp_conn_take_params(conn, params);
    ptcp_conn_move(conn, PTCP_STATE_SYN_RECEIVED);
    set_alarm(endpoint, conn, arrival->now_us);
    /* An early SYN may be a recording: until the association is READY nobody hears of it. */
    if (!is_plain(arrival) && !arrival->run->early)
        ptcp_conn_establish(conn, arrival->now_us);
    deliver(conn, arrival);
}

static bool cookie_is_right(const struct ptcp_endpoint *endpoint, const struct arrival *arrival)
{
    struct ptcp_frame cookie;

    return find_frame(arrival->frames, PTCP_FRAME_COOKIE, &cookie) &&
           ptcp_cookie_ok(cookie.data, cookie.len, endpoint->cookie_key, arrival->now_us,
                          arrival->run->peer, arrival->header.source);
}

/* Two SYNs that cross become one connection, if it is clear which one. */
static struct ptcp_conn *find_crossing(struct ptcp_endpoint *endpoint,
                                       const struct arrival *arrival)
{
    struct ptcp_conn *found = NULL;

    STK_LIST_EACH(node, &endpoint->opening)
    {
        struct ptcp_conn *conn = STK_CONTAINER(node, struct ptcp_conn, queue);

        if (conn->passive || !comes_from(arrival, ptcp_conn_association(conn), &conn->path->peer))
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

/*
 * Its address needs no proof: we went there by our own wish, and until it has used our id only
 * handshake packets go there, one for each of its own.
 */
static void cross(struct ptcp_conn *conn, const struct arrival *arrival,
                  const struct ptcp_params *params)
{
    if (conn->state == PTCP_STATE_SYN_SENT) {
        conn->peer_id = arrival->header.source;
        ptcp_conn_take_params(conn, params);
        ptcp_conn_move(conn, PTCP_STATE_SYN_RECEIVED);
    }
    conn->path->unvalidated_in += arrival->size;
    conn->due |= PTCP_DUE_PARAMS;
    deliver(conn, arrival);
}

/* A copy of the SYN that began this connection: our SYN_ACK may have been lost. */
static void repeat_syn(struct ptcp_conn *conn, const struct arrival *arrival)
{
    if (conn->peer_id != arrival->header.source || conn->confirmed ||
        !ptcp_state_takes(conn->state, PTCP_SYN))
        return;
    conn->due |= PTCP_DUE_PARAMS;
    deliver(conn, arrival);
}

static void on_syn(struct ptcp_endpoint *endpoint, const struct arrival *arrival)
{
    struct ptcp_frame params;
    struct ptcp_conn *crossing;
    struct ptcp_slot *slot;

    if (arrival->header.destination != 0 || arrival->header.source == 0 ||
        !tag_is_right(arrival, arrival->header.source) ||
        (is_plain(arrival) && !arrival->run->peer) ||
        !find_frame(arrival->frames, PTCP_FRAME_PARAMS, &params))
        return;
    if (!endpoint->listening) {
        crossing = find_crossing(endpoint, arrival);
        if (crossing)
            cross(crossing, arrival, &params.params);
        else
            answer_syn(endpoint, arrival, PTCP_REFUSE, PTCP_RESET_REFUSED);
        return;
    }
    const uint64_t id = id_for(endpoint, arrival);
    slot = ptcp_table_find(&endpoint->table, id);
    if (slot && !slot->over)
        repeat_syn(STK_CONTAINER(slot, struct ptcp_conn, slot), arrival);
    else if (!slot && is_plain(arrival) && !cookie_is_right(endpoint, arrival))
        answer_syn(endpoint, arrival, PTCP_RETRY, 0);
    else if (!slot)
        admit(endpoint, arrival, id, &params.params);
}

static void on_syn_ack(struct ptcp_conn *conn, const struct arrival *arrival)
{
    struct ptcp_frame params;

    if (conn->state == PTCP_STATE_SYN_SENT) {
        if (arrival->header.source == 0 || !find_frame(arrival->frames, PTCP_FRAME_PARAMS, &params))
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
    conn->confirmed = conn->path->validated = true;
    conn->due &= ~(unsigned)PTCP_DUE_PARAMS;
    deliver(conn, arrival);
}

/* The opener of a durable connection comes over an association that may be another one. */
static void on_resume(struct ptcp_endpoint *endpoint, struct ptcp_slot *slot,
                      const struct arrival *arrival)
{
    struct ptcp_conn *conn =
        slot && !slot->over ? STK_CONTAINER(slot, struct ptcp_conn, slot) : NULL;
    struct ptcp_frame token;

    /* What came in a handshake may be a recording; the opener repeats it. */
    if (is_plain(arrival) || arrival->run->early ||
        !find_frame(arrival->frames, PTCP_FRAME_TOKEN, &token))
        return;
    if (!conn || conn->peer_id != arrival->header.source ||
        !ptcp_durable_takes(conn, arrival->run->association,
                            (const uint64_t[2]){token.value, token.second})) {
        answer_syn(endpoint, arrival, PTCP_REFUSE, PTCP_RESET_UNKNOWN);
        return;
    }
    if (ptcp_conn_association(conn) != arrival->run->association) {
        if (ptcp_paths_move(endpoint, conn, arrival->run->association) < 0)
            return; /* it comes again */
        if (conn->durable->lost)
            ptcp_durable_resumed(conn, arrival->now_us);
        else
            ptcp_endpoint_go_on(endpoint, conn);
    }
    deliver(conn, arrival);
}

static void on_data(struct ptcp_conn *conn, const struct arrival *arrival)
{
    if (conn->durable)
        ptcp_durable_resumed(conn, arrival->now_us);
    if (conn->state == PTCP_STATE_SYN_RECEIVED)
        ptcp_conn_establish(conn, arrival->now_us);
    conn->confirmed = conn->path->validated = true;
    conn->due &= ~(unsigned)PTCP_DUE_PARAMS;
    deliver(conn, arrival);
}

static void on_retry(struct ptcp_conn *conn, const struct arrival *arrival)
{
    struct ptcp_frame cookie;

    if (find_frame(arrival->frames, PTCP_FRAME_COOKIE, &cookie))
        ptcp_conn_retry(conn, arrival->now_us, cookie.data, cookie.len);
}

static void on_refuse(struct ptcp_conn *conn, const struct arrival *arrival)
{
    ptcp_conn_fail(conn, arrival->now_us, -ECONNREFUSED, "nobody listens there");
}

/* What an entry in TIME_WAIT says to a packet. */
static void answer_late(struct ptcp_endpoint *endpoint, struct ptcp_timewait *entry,
                        uint64_t packet, const struct stk_addr *local)
{
    struct ptcp_reply reply = {.type = PTCP_DATA,
                               .reset = entry->reset,
                               .destination = entry->peer_id,
                               .source = entry->slot.id,
                               .packet = entry->next_packet++,
                               .acked = packet,
                               .code = entry->code,
                               .association = entry->association};

    if (entry->association == 0)
        reply.peer = entry->peer;
    if (local)
        reply.local = *local;
    ptcp_endpoint_reply(endpoint, &reply);
}

/* The connection is over; the peer may not know. */
static void on_time_wait(struct ptcp_endpoint *endpoint, struct ptcp_timewait *entry,
                         const struct arrival *arrival)
{
    const uint64_t packet = ptcp_packet_number(arrival->header.packet, entry->received);
    struct ptcp_frame frame;

    if (arrival->header.type != PTCP_DATA || !tag_is_right(arrival, entry->peer_id) ||
        !comes_from(arrival, entry->association, &entry->peer) ||
        find_frame(arrival->frames, PTCP_FRAME_RESET, &frame))
        return;
    struct stk_reader frames = arrival->frames;
    struct ptcp_ack ack;
    bool eliciting = false;
    while (ptcp_frame_read(&frames, &frame, &ack) > 0)
        eliciting |= ptcp_frame_elicits(frame.type);
    if (!eliciting)
        return;
    if (packet >= entry->received)
        entry->received = packet + 1;
    answer_late(endpoint, entry, packet, arrival->run->local);
}

void ptcp_say_goodbye(struct ptcp_endpoint *endpoint)
{
    const uint32_t count = endpoint->timewaits.count;
    uint32_t skip = count > PTCP_REPLIES_MAX ? count - PTCP_REPLIES_MAX : 0; /* the oldest */

    STK_LIST_EACH(node, &endpoint->timewaits.list)
    {
        struct ptcp_timewait *entry = STK_CONTAINER(node, struct ptcp_timewait, node);

        if (skip > 0)
            skip--;
        else if (entry->received > 0)
            answer_late(endpoint, entry, entry->received - 1, NULL);
    }
}

/* Only who shows its token over this association is told so. */
static void on_unknown(struct ptcp_conn *conn, const struct arrival *arrival)
{
    if (conn->durable && conn->durable->seek == PTCP_SEEK_SHOW &&
        comes_from(arrival, ptcp_conn_association(conn), &conn->path->peer))
        ptcp_conn_fail(conn, arrival->now_us, -ECONNRESET,
                       "the peer does not know this connection any more, so it can't be resumed");
}

static void on_connection(struct ptcp_conn *conn, const struct arrival *arrival)
{
    const uint8_t type = arrival->header.type;
    const uint64_t source = type == PTCP_DATA ? conn->peer_id : arrival->header.source;

    if (type == PTCP_REFUSE && ptcp_state_is_open(conn->state)) {
        on_unknown(conn, arrival);
        return;
    }
    if (!ptcp_state_takes(conn->state, type) || !tag_is_right(arrival, source) ||
        !comes_from(arrival, ptcp_conn_association(conn), &conn->path->peer))
        return;
    switch (type) {
    case PTCP_SYN_ACK:
        on_syn_ack(conn, arrival);
        break;
    case PTCP_RETRY:
        on_retry(conn, arrival);
        break;
    case PTCP_REFUSE:
        on_refuse(conn, arrival);
        break;
    default:
        assert(type == PTCP_DATA);
        on_data(conn, arrival);
    }
}

/* Somebody answers a SYN whose sender is gone, and would wait for its next word. */
static void on_stray_syn_ack(struct ptcp_endpoint *endpoint, const struct arrival *arrival)
{
    enum { BEYOND_ANY_SYN = 1 << 16 };
    struct ptcp_reply reply = {.type = PTCP_DATA,
                               .reset = true,
                               .destination = arrival->header.source,
                               .source = arrival->header.destination,
                               .packet = BEYOND_ANY_SYN,
                               .code = PTCP_RESET_CANCELLED,
                               .association = arrival->run->association};

    if (arrival->header.source == 0 || !tag_is_right(arrival, arrival->header.source) ||
        (is_plain(arrival) && !arrival->run->peer))
        return;
    if (arrival->run->peer)
        reply.peer = *arrival->run->peer;
    if (arrival->run->local)
        reply.local = *arrival->run->local;
    ptcp_endpoint_reply(endpoint, &reply);
}

static void take_packet(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *run,
                        const uint8_t *bytes, size_t size)
{
    struct arrival arrival = {.now_us = now_us, .run = run, .bytes = bytes, .size = size};
    const size_t tag = is_plain(&arrival) ? PTCP_TAG_BYTES : 0;
    struct ptcp_slot *slot;

    if (size < tag || is_plain(&arrival) == endpoint->options.sealed)
        return;
    arrival.frames = stk_reader_of(bytes, size - tag);
    if (ptcp_header_read(&arrival.frames, &arrival.header) < 0)
        return;
    if (arrival.header.type == PTCP_SYN) {
        on_syn(endpoint, &arrival);
        return;
    }
    slot = ptcp_table_find(&endpoint->table, arrival.header.destination);
    if (arrival.header.type == PTCP_RESUME) {
        on_resume(endpoint, slot, &arrival);
        return;
    }
    if (!slot && arrival.header.type == PTCP_SYN_ACK)
        on_stray_syn_ack(endpoint, &arrival);
    if (!slot)
        return;
    if (slot->over)
        on_time_wait(endpoint, STK_CONTAINER(slot, struct ptcp_timewait, slot), &arrival);
    else
        on_connection(STK_CONTAINER(slot, struct ptcp_conn, slot), &arrival);
}

void ptcp_input(struct ptcp_endpoint *endpoint, uint64_t now_us, const struct stk_run *runs,
                int count)
{
    endpoint->now_us = now_us;
    for (int r = 0; r < count; r++) {
        for (unsigned i = 0; i < runs[r].count; i++)
            take_packet(endpoint, now_us, &runs[r], stk_run_at(&runs[r], i),
                        stk_run_size(&runs[r], i));
    }
}

/* --- Output
 * ---------------------------------------------------------------------------------------- */

static size_t write_reply(struct ptcp_endpoint *endpoint, uint64_t now_us,
                          const struct ptcp_reply *reply, uint8_t *at)
{
    const struct ptcp_header header = {
        .type = reply->type, .destination = reply->destination, .packet = (uint32_t)reply->packet};
    struct stk_writer writer = stk_writer_of(at, PTCP_MTU_MIN);
    size_t size;

    ptcp_header_write(&writer, &header);
    if (reply->type == PTCP_RETRY) {
        uint8_t cookie[PTCP_COOKIE_BYTES];

        ptcp_cookie_make(cookie, endpoint->cookie_key, now_us, &reply->peer, reply->destination);
        ptcp_cookie_write(&writer, cookie, sizeof(cookie));
    } else if (reply->type == PTCP_REFUSE || reply->reset) {
        ptcp_value_write(&writer, PTCP_FRAME_RESET, reply->code);
    } else {
        struct ptcp_ranges one = {.count = 1, .capacity = PTCP_RANGES_INLINE};

        one.fixed[0] = (struct ptcp_range){reply->acked, reply->acked + 1};
        ptcp_ack_write(&writer, &one, 0, NULL);
    }
    size = (size_t)(writer.at - at);
    if (reply->association)
        return size;
    stk_store_be64(at + size, ptcp_tag(reply->destination, reply->source, at, size));
    return size + PTCP_TAG_BYTES;
}

static void output_reply(struct ptcp_endpoint *endpoint, uint64_t now_us, struct stk_run *run,
                         uint8_t *buffer)
{
    struct ptcp_reply *reply = &endpoint->sending;

    *reply = endpoint->replies[endpoint->reply_first];
    endpoint->reply_first = (endpoint->reply_first + 1) % PTCP_REPLIES_MAX;
    endpoint->reply_count--;
    const bool plain = reply->association == 0;
    *run = (struct stk_run){.data = buffer + endpoint->options.head,
                            .count = 1,
                            .association = reply->association,
                            .peer = plain && reply->peer.len ? &reply->peer : NULL,
                            .local = plain && reply->local.len ? &reply->local : NULL};
    run->size = run->last_size = (uint16_t)write_reply(endpoint, now_us, reply, run->data);
    run->stride = (uint32_t)run->size + endpoint->options.head + endpoint->options.tail;
}

/* It has nothing to send now: sleep until its next deadline, or for ever. */
static void settle(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t now_us)
{
    const struct ptcp_engine *engine = conn->engine;
    const bool busy = ptcp_sendbuf_busy(&engine->out) || engine->recovery.in_flight > 0;

    if (busy && !conn->was_busy)
        conn->progress_us = now_us;
    conn->was_busy = busy;
    stk_list_remove(&conn->ready);
    if (conn->state == PTCP_STATE_TIME_WAIT) {
        ptcp_endpoint_bury(endpoint, conn, now_us, false, 0);
        return;
    }
    /* One that has just been opened may have to wait for long. */
    if (engine->out.end == 0 && engine->in.contiguous == 0 && ptcp_conn_is_quiet(conn))
        ptcp_conn_rest(conn);
    set_alarm(endpoint, conn, now_us);
}

/*
 * What a connection may send without a turn; or, if its turn comes at once, all of it then, in as
 * few packets. True if there is a run.
 */
static bool look_after(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t now_us,
                       struct stk_run *run, uint8_t *buffer, size_t capacity)
{
    struct ptcp_path *path = conn->path;
    uint64_t wait_us;

    if (!ptcp_conn_wake(conn)) {
        stk_list_remove(&conn->ready);
        ptcp_schedule_set(&endpoint->schedule, &conn->alarm, now_us + RETRY_US);
        return false;
    }
    const bool now = ptcp_conn_wants_turn(conn) && ptcp_turns_is_next(&path->turns, &conn->turn) &&
                     ptcp_path_is_open(path, now_us, &wait_us);

    if (!now && ptcp_conn_output(conn, now_us, run, buffer, capacity, 0)) {
        /* The next connection has its turn. */
        stk_list_remove(&conn->ready);
        stk_list_append(&endpoint->ready, &conn->ready);
        return true;
    }
    if (ptcp_conn_wants_turn(conn)) {
        ptcp_turns_join(&path->turns, &conn->turn);
        ptcp_paths_wake(endpoint, path);
    }
    settle(endpoint, conn, now_us);
    return false;
}

/* One run of the connection whose turn it is. False: nobody can send here now. */
static bool serve(struct ptcp_endpoint *endpoint, struct ptcp_path *path, uint64_t now_us,
                  struct stk_run *run, uint8_t *buffer, size_t capacity)
{
    struct ptcp_turn *turn;

    while ((turn = ptcp_turns_next(&path->turns))) {
        struct ptcp_conn *conn = STK_CONTAINER(turn, struct ptcp_conn, turn);
        uint64_t wait_us;

        if (!ptcp_path_is_open(path, now_us, &wait_us)) {
            ptcp_schedule_set(&endpoint->schedule, &path->alarm, wait_us);
            return false;
        }
        const uint32_t credit = turn->credit > 0 ? (uint32_t)turn->credit : 1;

        if (ptcp_conn_wants_turn(conn) &&
            ptcp_conn_output(conn, now_us, run, buffer, capacity, credit)) {
            ptcp_turns_spend(&path->turns, turn,
                             (uint32_t)stk_run_bytes(run) + (uint32_t)run->count * path->overhead,
                             path->mtu.current);
            if (!ptcp_conn_wants_turn(conn))
                ptcp_turns_leave(&path->turns, turn);
            ptcp_endpoint_touch(endpoint, conn);
            return true;
        }
        ptcp_turns_leave(&path->turns, turn);
        set_alarm(endpoint, conn, now_us);
    }
    return false;
}

static bool serve_paths(struct ptcp_endpoint *endpoint, uint64_t now_us, struct stk_run *run,
                        uint8_t *buffer, size_t capacity)
{
    struct stk_node *node;

    while ((node = stk_list_pop(&endpoint->active))) {
        struct ptcp_path *path = STK_CONTAINER(node, struct ptcp_path, turns.active);

        if (serve(endpoint, path, now_us, run, buffer, capacity)) {
            ptcp_paths_wake(endpoint, path); /* behind the others */
            return true;
        }
    }
    return false;
}

int ptcp_output(struct ptcp_endpoint *endpoint, uint64_t now_us, struct stk_run *run, void *buffer,
                size_t capacity)
{
    uint8_t *const datagrams = (uint8_t *)buffer + PTCP_OUTPUT_GATHER_BYTES;
    const size_t room = capacity - PTCP_OUTPUT_GATHER_BYTES;

    assert(capacity >= PTCP_OUTPUT_BYTES_MIN);
    endpoint->now_us = now_us;
    if (endpoint->reply_count > 0) {
        output_reply(endpoint, now_us, run, datagrams);
        return 1;
    }
    endpoint->gather = buffer;
    while (!stk_list_empty(&endpoint->ready)) {
        struct ptcp_conn *conn = STK_CONTAINER(endpoint->ready.next, struct ptcp_conn, ready);

        if (look_after(endpoint, conn, now_us, run, datagrams, room)) {
            ptcp_company_controls(endpoint, conn, now_us, run, room);
            return 1;
        }
    }
    return serve_paths(endpoint, now_us, run, datagrams, room);
}

/* --- Time
 * ------------------------------------------------------------------------------- */

uint64_t ptcp_next_timeout_us(struct ptcp_endpoint *endpoint, uint64_t now_us)
{
    const uint64_t grave_us = ptcp_timewaits_next_us(&endpoint->timewaits);

    const uint64_t alarm_us = ptcp_schedule_next_us(&endpoint->schedule);
    const uint64_t trim_us = ptcp_pool_due_us(&endpoint->pool, now_us);
    const uint64_t first_us = alarm_us < grave_us ? alarm_us : grave_us;
    return first_us < trim_us ? first_us : trim_us;
}

/* Until output has looked after it, what was due keeps its place. */
static void ring(struct ptcp_endpoint *endpoint, struct ptcp_alarm *alarm, uint64_t now_us)
{
    struct ptcp_conn *conn = STK_CONTAINER(alarm, struct ptcp_conn, alarm);

    if (alarm->of_path) {
        ptcp_paths_ring(endpoint, STK_CONTAINER(alarm, struct ptcp_path, alarm));
        return;
    }
    if (ptcp_conn_timeout(conn, now_us))
        set_alarm(endpoint, conn, now_us);
}

void ptcp_timeout(struct ptcp_endpoint *endpoint, uint64_t now_us)
{
    struct ptcp_alarm *alarm;

    endpoint->now_us = now_us;
    ptcp_timewaits_expire(&endpoint->timewaits, &endpoint->table, now_us);
    ptcp_pool_trim(&endpoint->pool, now_us);
    while ((alarm = ptcp_schedule_pop(&endpoint->schedule, now_us)))
        ring(endpoint, alarm, now_us);
}
