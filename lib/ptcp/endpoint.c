#include "endpoint.h"

#include "alloc.h"
#include "error.h"
#include "silence.h"

#include <assert.h>

static const uint64_t DEFAULT_MEMORY_BYTES = UINT64_C(1) << 30;
static const uint64_t DEFAULT_TIME_WAIT_US = 30000000;
static const uint32_t DEFAULT_TIME_WAITS = 1024, DEFAULT_SEALED_TIME_WAITS = 16384;

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
    ptcp_records_init(&endpoint->records, endpoint->options.memory_bytes / PTCP_RECORDS_SHARE);
    ptcp_engines_init(&endpoint->engines);
    ptcp_timewaits_init(&endpoint->timewaits, endpoint->options.time_wait_max,
                        endpoint->options.time_wait_us);
    stk_list_init(&endpoint->ready);
    stk_list_init(&endpoint->active);
    stk_list_init(&endpoint->eventful);
    stk_list_init(&endpoint->opening);
    stk_list_init(&endpoint->accepting);
    stk_list_init(&endpoint->buried);
    stk_list_init(&endpoint->starving);
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
    ptcp_spares_free(&endpoint->pool.chunks);
    ptcp_spares_free(&endpoint->engines);
    ptcp_records_free(&endpoint->records);
    stk_free(endpoint->replies);
    stk_free(endpoint->sending);
    stk_free(endpoint);
}

static bool has_proof(const struct ptcp_conn *conn)
{
    return conn->durable && conn->durable->agreed && conn->passive;
}

static size_t answer_bytes(const struct ptcp_conn *conn)
{
    const struct ptcp_timewait *entry;

    return ptcp_conn_is_plain(conn) ? sizeof(entry->plain)
           : has_proof(conn)        ? sizeof(entry->proof)
                                    : 0;
}

/* False without memory. */
static bool leave_an_answer(struct ptcp_endpoint *endpoint, const struct ptcp_conn *conn,
                            uint64_t now_us, bool reset, uint64_t code)
{
    struct ptcp_timewait *entry = ptcp_timewaits_add(&endpoint->timewaits, &endpoint->table,
                                                     conn->slot.id, answer_bytes(conn), now_us);

    if (!entry)
        return false;
    if (ptcp_conn_is_plain(conn)) {
        entry->plain.peer = conn->path->peer;
        entry->plain.local = conn->path->local;
    } else if (has_proof(conn)) {
        entry->durable = true;
        entry->proof = conn->durable->proof;
    }
    entry->peer_id = conn->peer_id;
    entry->association = ptcp_conn_association(conn);
    entry->next_packet = ptcp_conn_next_packet(conn);
    entry->received = ptcp_conn_expected(conn);
    entry->stream = ptcp_conn_received(conn);
    entry->reset = reset;
    entry->code = code;
    return true;
}

/*
 * Does the peer wait for no further word of ours? It has acknowledged a packet that acknowledged
 * its last one, and all before that it may still ask about. In plain mode an entry also keeps
 * copies of the SYN from beginning anew.
 */
static bool peer_knows_all(const struct ptcp_conn *conn)
{
    return !ptcp_conn_is_plain(conn) && conn->engine && !conn->engine->acks.cut &&
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
    const bool answers = (reset || (waits && !peer_knows_all(conn))) &&
                         leave_an_answer(endpoint, conn, now_us, reset, code);
    if (reset && !answers)
        tell_reset(endpoint, conn, code);
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
    if (conn->engine)
        ptcp_sent_fetch(&conn->engine->recovery.ring); /* what it sends is recorded there */
}

void ptcp_endpoint_set_alarm(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn,
                             uint64_t now_us)
{
    const uint64_t due_us = ptcp_conn_due_us(conn, now_us);

    ptcp_schedule_set(&endpoint->schedule, &conn->alarm,
                      due_us > now_us ? due_us : now_us + PTCP_RETRY_US);
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

struct ptcp_conn *ptcp_endpoint_add(struct ptcp_endpoint *endpoint, uint64_t id, uint64_t now_us,
                                    uint64_t association, const struct stk_ptcp_options *options)
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

void ptcp_endpoint_watch(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn)
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
    conn = ptcp_endpoint_add(endpoint, new_id(endpoint), now_us, open->association, options);
    if (!conn)
        return -ENOMEM;
    conn->owned = true;
    if (open->peer)
        conn->path->peer = *open->peer;
    conn->early = open->association && open->ready;
    ptcp_endpoint_watch(endpoint, conn);
    ptcp_conn_move(conn, PTCP_STATE_SYN_SENT);
    ptcp_endpoint_set_alarm(endpoint, conn, now_us);
    *out = conn;
    return 0;
}

/* --- Time
 * ------------------------------------------------------------------------------- */

static uint64_t min_us(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t ptcp_next_timeout_us(struct ptcp_endpoint *endpoint, uint64_t now_us)
{
    const uint64_t spares_us = min_us(ptcp_spares_due_us(&endpoint->pool.chunks, now_us),
                                      ptcp_spares_due_us(&endpoint->engines, now_us));
    const uint64_t trim_us = min_us(spares_us, ptcp_records_due_us(&endpoint->records, now_us));

    return min_us(min_us(ptcp_timewaits_next_us(&endpoint->timewaits), trim_us),
                  ptcp_schedule_next_us(&endpoint->schedule));
}

/* Until output has looked after it, what was due keeps its place. */
static void ring(struct ptcp_endpoint *endpoint, struct ptcp_alarm *alarm, uint64_t now_us)
{
    struct ptcp_conn *conn = STK_CONTAINER(alarm, struct ptcp_conn, alarm);

    if (alarm->kind == PTCP_ALARM_PATH)
        ptcp_paths_ring(endpoint, STK_CONTAINER(alarm, struct ptcp_path, alarm));
    else if (alarm->kind == PTCP_ALARM_SILENCE)
        ptcp_silence_ring(endpoint, STK_CONTAINER(alarm, struct ptcp_path, silence));
    else if (ptcp_conn_timeout(conn, now_us))
        ptcp_endpoint_set_alarm(endpoint, conn, now_us);
}

void ptcp_timeout(struct ptcp_endpoint *endpoint, uint64_t now_us)
{
    struct ptcp_alarm *alarm;

    endpoint->now_us = now_us;
    ptcp_timewaits_expire(&endpoint->timewaits, &endpoint->table, now_us);
    ptcp_spares_trim(&endpoint->pool.chunks, now_us);
    ptcp_spares_trim(&endpoint->engines, now_us);
    ptcp_records_trim(&endpoint->records, now_us);
    while ((alarm = ptcp_schedule_pop(&endpoint->schedule, now_us)))
        ring(endpoint, alarm, now_us);
}
