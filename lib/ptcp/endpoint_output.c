/* What goes out: answers to strangers, what is due at connections, and stream bytes in turns. */
#include "alloc.h"
#include "company.h"
#include "endpoint.h"
#include "invitation.h"
#include "silence.h"
#include "tag.h"

#include <assert.h>
#include <string.h>

static size_t write_reply(struct ptcp_endpoint *endpoint, uint64_t now_us,
                          const struct ptcp_reply *reply, uint8_t *at)
{
    const struct ptcp_header header = {
        .type = reply->type, .destination = reply->destination, .packet = reply->packet};
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
    return ptcp_tag_put(at, size,
                        &(struct ptcp_whole){.destination = reply->destination,
                                             .source = reply->source,
                                             .packet = reply->packet});
}

/* Few ports ever answer: the place for it is made with the first one. */
static bool has_sending(struct ptcp_endpoint *endpoint)
{
    if (!endpoint->sending)
        endpoint->sending = stk_alloc(sizeof(*endpoint->sending));
    return endpoint->sending != NULL;
}

/* An answer that waits, or a RESET of an entry in TIME_WAIT. */
static bool next_reply(struct ptcp_endpoint *endpoint, uint64_t now_us)
{
    struct ptcp_timewait *entry;

    if (endpoint->reply_count > 0) {
        if (!has_sending(endpoint))
            return false;
        *endpoint->sending = endpoint->replies[endpoint->reply_first];
        endpoint->reply_first = (endpoint->reply_first + 1) % PTCP_REPLIES_MAX;
        endpoint->reply_count--;
        return true;
    }
    entry = ptcp_timewaits_say(&endpoint->timewaits, now_us);
    if (!entry || !has_sending(endpoint))
        return false;
    *endpoint->sending = ptcp_late_reply(entry, 0);
    return true;
}

static bool serve_replies(struct ptcp_endpoint *endpoint, uint64_t now_us, struct stk_run *run,
                          uint8_t *buffer, size_t capacity)
{
    const struct ptcp_reply *reply;

    (void)capacity;
    if (!next_reply(endpoint, now_us))
        return false;
    reply = endpoint->sending;
    const bool plain = reply->association == 0;
    *run = (struct stk_run){.data = buffer + endpoint->options.head,
                            .count = 1,
                            .association = reply->association,
                            .peer = plain && reply->peer.len ? &reply->peer : NULL,
                            .local = plain && reply->local.len ? &reply->local : NULL};
    run->size = run->last_size = (uint16_t)write_reply(endpoint, now_us, reply, run->data);
    run->stride = (uint32_t)run->size + endpoint->options.head + endpoint->options.tail;
    return true;
}

/* It has nothing to send now: sleep until its next deadline, or for ever. */
static void put_to_sleep(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t now_us)
{
    const struct ptcp_engine *engine = conn->engine;
    const bool busy = ptcp_conn_is_busy(conn);

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
    ptcp_silence_watch(endpoint, conn);
    ptcp_endpoint_set_alarm(endpoint, conn, now_us);
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
        ptcp_schedule_set(&endpoint->schedule, &conn->alarm, now_us + PTCP_RETRY_US);
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
    ptcp_invitation_seek_beside_others(conn);
    if (ptcp_conn_wants_turn(conn))
        ptcp_turns_join(&path->turns, &conn->turn);
    ptcp_paths_wake(endpoint, path);
    put_to_sleep(endpoint, conn, now_us);
    return false;
}

/* One run of the connection whose turn it is. False: nobody can send here now. */
static bool serve(struct ptcp_endpoint *endpoint, struct ptcp_path *path, uint64_t now_us,
                  struct stk_run *run, uint8_t *buffer, size_t capacity)
{
    struct ptcp_turn *turn;

    ptcp_schedule_set(&endpoint->schedule, &path->alarm, UINT64_MAX);
    ptcp_invitation_send(path);
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
            ptcp_invitation_seek_beside_others(conn);
            if (ptcp_turn_waits(turn) && !ptcp_conn_wants_turn(conn))
                ptcp_turns_leave(&path->turns, turn);
            ptcp_endpoint_touch(endpoint, conn);
            return true;
        }
        ptcp_conn_leave_turn(conn);
        if (ptcp_conn_wants_turn(conn)) /* and lacks memory */
            ptcp_schedule_set(&endpoint->schedule, &conn->alarm, now_us + PTCP_RETRY_US);
        else
            ptcp_endpoint_set_alarm(endpoint, conn, now_us);
    }
    ptcp_invitation_send(path); /* those who waited, and need not any more, held places */
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

static bool serve_ready(struct ptcp_endpoint *endpoint, uint64_t now_us, struct stk_run *run,
                        uint8_t *buffer, size_t capacity)
{
    while (!stk_list_empty(&endpoint->ready)) {
        struct ptcp_conn *conn = STK_CONTAINER(endpoint->ready.next, struct ptcp_conn, ready);

        if (look_after(endpoint, conn, now_us, run, buffer, capacity)) {
            ptcp_company_controls(endpoint, conn, now_us, run, capacity);
            return true;
        }
    }
    return false;
}

/* The first that has anything goes first, but strangers who ask much must not stop the others. */
static bool (*const sources[PTCP_SOURCES])(struct ptcp_endpoint *endpoint, uint64_t now_us,
                                           struct stk_run *run, uint8_t *buffer,
                                           size_t capacity) = {serve_replies, serve_ready,
                                                               serve_paths};

static bool serve_sources(struct ptcp_endpoint *endpoint, uint64_t now_us, struct stk_run *run,
                          uint8_t *buffer, size_t capacity)
{
    for (int i = 0; i < PTCP_SOURCES; i++) {
        if (endpoint->served[i] < PTCP_SOURCE_RUNS &&
            sources[i](endpoint, now_us, run, buffer, capacity)) {
            endpoint->served[i]++;
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
    endpoint->gather = buffer;
    ptcp_invitation_feed(endpoint);
    if (serve_sources(endpoint, now_us, run, datagrams, room))
        return 1;
    memset(endpoint->served, 0, sizeof(endpoint->served));
    return serve_sources(endpoint, now_us, run, datagrams, room);
}
