#include "bridge.h"

#include "alloc.h"
#include "bytes.h"
#include "error.h"
#include "qlog.h"

#include <assert.h>
#include <sodium/crypto_shorthash.h>

enum { PUT_OFF_MAX = 64 }; /* inputs; users without end must not keep output back */

static const uint64_t TIME_WAIT_US = 30000000;
static const char bridges_key, scratch_key, history_key;

uint64_t ptcp_bridge_now_us(const struct ptcp_bridge *bridge)
{
    return stk_loop_now_us(bridge->loop);
}

static uint64_t next_random(void *context)
{
    struct ptcp_bridge *bridge = context;
    uint64_t value;

    stk_loop_random(bridge->loop, &value, sizeof(value));
    return value;
}

static int peer_key(void *context, uint64_t association, uint8_t key[32])
{
    return stk_port_query(((struct ptcp_bridge *)context)->port, STK_QUERY_PEER_KEY, association,
                          key, 32);
}

/* The address without its port, which a NAT changes, and this side's, where it is known. */
static uint64_t who(void *context, uint64_t association)
{
    const struct ptcp_bridge *bridge = context;
    struct stk_addr peer, local = {0};
    uint8_t text[32 + 2 * sizeof(uint64_t)], hash[crypto_shorthash_BYTES];

    if (peer_key(context, association, text) < 0 ||
        stk_port_query(bridge->port, STK_QUERY_PEER_ADDR, association, &peer, sizeof(peer)) < 0)
        return 0;
    stk_port_query(bridge->port, STK_QUERY_LOCAL_ADDR, association, &local, sizeof(local));
    stk_addr_set_port(&peer, 0);
    stk_addr_set_port(&local, 0);
    stk_store_be64(text + 32, stk_addr_hash(&peer, 0));
    stk_store_be64(text + 40, stk_addr_hash(&local, 0));
    crypto_shorthash(hash, text, sizeof(text), bridge->history->key);
    return stk_load_be64(hash);
}

static void retain(void *context, uint64_t association)
{
    stk_port_retain(((struct ptcp_bridge *)context)->port, association);
}

static void release(void *context, uint64_t association)
{
    stk_port_release(((struct ptcp_bridge *)context)->port, association);
}

/* --- Output ---------------------------------------------------------------------------------- */

static void hold(struct ptcp_bridge *bridge, struct stk_run *run)
{
    const uint16_t head = bridge->endpoint->options.head;
    /* A single datagram may be longer than its stride says. */
    const size_t size = head + (size_t)(run->count - 1) * run->stride + run->last_size +
                        bridge->endpoint->options.tail;

    struct ptcp_held *held = stk_alloc(sizeof(*held) + size);

    if (!held)
        return; /* lost, as datagrams may be */
    bridge->held = held;
    stk_run_flatten(run);
    memcpy(held->bytes, run->data - head, size);
    held->run = *run;
    held->run.data = held->bytes + head;
    if (run->peer) {
        held->peer = *run->peer;
        held->run.peer = &held->peer;
    }
    if (run->local) {
        held->local = *run->local;
        held->run.local = &held->local;
    }
}

/* True if the port takes more. */
static bool send_held(struct ptcp_bridge *bridge)
{
    if (!bridge->held)
        return true;
    if (stk_port_send(bridge->port, &bridge->held->run, 1) == 0)
        return false;
    stk_free(bridge->held);
    bridge->held = NULL;
    return true;
}

static void *scratch_of(struct stk_loop *loop)
{
    void *scratch = stk_loop_data(loop, &scratch_key);

    if (scratch)
        return scratch;
    scratch = stk_alloc(PTCP_OUTPUT_BYTES_MIN);
    if (scratch && stk_loop_set_data(loop, &scratch_key, scratch, stk_free) < 0) {
        stk_free(scratch);
        return NULL;
    }
    return scratch;
}

static void flush(struct ptcp_bridge *bridge, void *scratch)
{
    struct stk_run run;

    if (!scratch || !send_held(bridge))
        return;
    for (int i = 0; i < PTCP_BRIDGE_RUNS; i++) {
        if (!ptcp_output(bridge->endpoint, ptcp_bridge_now_us(bridge), &run, scratch,
                         PTCP_OUTPUT_BYTES_MIN))
            return;
        if (stk_port_send(bridge->port, &run, 1) == 0) {
            hold(bridge, &run);
            return; /* writable() goes on */
        }
    }
    bridge->more = true;
}

/* --- Events --------------------------------------------------------------------------------------
 */

static void greet(struct ptcp_bridge *bridge)
{
    struct ptcp_conn *conn;

    while (bridge->listener && (conn = ptcp_accept(bridge->endpoint))) {
        if (stk_listener_accept(bridge->listener, conn, NULL) == 0)
            continue;
        ptcp_conn_abort(conn, ptcp_bridge_now_us(bridge), PTCP_RESET_RESOURCES);
        ptcp_conn_release(conn, ptcp_bridge_now_us(bridge));
    }
}

static void fetch_next(const struct ptcp_bridge *bridge)
{
    const struct ptcp_conn *conn = ptcp_next_event(bridge->endpoint);

    if (conn && conn->user)
        stk_layer_fetch(conn->user);
}

static void tell(struct ptcp_bridge *bridge)
{
    struct ptcp_conn *conn;

    greet(bridge);
    while ((conn = ptcp_next_event(bridge->endpoint))) {
        const unsigned events = ptcp_conn_take_events(conn);

        fetch_next(bridge);

        if (events & PTCP_DOUBT)
            stk_port_doubt(bridge->port, ptcp_conn_association(conn));
        if (conn->user)
            ptcp_layer_notify(conn->user, conn, events);
    }
}

void ptcp_bridge_wake(struct ptcp_bridge *bridge) { stk_task_queue(&bridge->task); }

/* --- The end
 * ---------------------------------------------------------------------------------------- */

static void destroy(struct ptcp_bridge *bridge)
{
    stk_port_set_user(bridge->port, NULL, NULL);
    stk_task_stop(&bridge->task);
    stk_timer_stop(&bridge->timer);
    stk_list_remove(&bridge->node);
    stk_free(bridge->held);
    stk_free(bridge->failure);
    ptcp_endpoint_free(bridge->endpoint);
    if (bridge->history)
        ptcp_history_leave(bridge->history);
    ptcp_qlog_free(bridge->qlog);
    stk_port_unref(bridge->port);
    stk_free(bridge);
}

/* Resets for those whom an abort cut off, as far as the socket takes them. */
static void say_goodbye(struct ptcp_bridge *bridge)
{
    void *scratch = stk_alloc(PTCP_OUTPUT_BYTES_MIN);

    ptcp_say_goodbye(bridge->endpoint);
    do {
        bridge->more = false;
        flush(bridge, scratch);
    } while (bridge->more);
    stk_free(scratch);
    destroy(bridge);
}

static bool is_needed(const struct ptcp_bridge *bridge)
{
    return bridge->users > 0 || bridge->held || ptcp_connections(bridge->endpoint) > 0 ||
           ptcp_time_waits(bridge->endpoint) > 0;
}

static void arm(struct ptcp_bridge *bridge)
{
    const uint64_t due_us = ptcp_next_timeout_us(bridge->endpoint, ptcp_bridge_now_us(bridge));

    /* In the next turn, after what has come meanwhile: users who are told now would write, and what
     * they write be sent, until the window is full and nobody has heard an ACK. */
    if (bridge->more || ptcp_next_event(bridge->endpoint))
        stk_timer_at(&bridge->timer, ptcp_bridge_now_us(bridge));
    else if (due_us == UINT64_MAX)
        stk_timer_stop(&bridge->timer);
    else
        stk_timer_at(&bridge->timer, due_us);
}

static void on_task(struct stk_task *task)
{
    struct ptcp_bridge *bridge = STK_CONTAINER(task, struct ptcp_bridge, task);

    tell(bridge);
    if (bridge->dying)
        return;
    bridge->more = false;
    bridge->put_off = 0;
    flush(bridge, scratch_of(bridge->loop));
    if (is_needed(bridge))
        arm(bridge);
    else
        destroy(bridge);
}

static void on_timer(struct stk_timer *timer)
{
    struct ptcp_bridge *bridge = STK_CONTAINER(timer, struct ptcp_bridge, timer);

    ptcp_timeout(bridge->endpoint, ptcp_bridge_now_us(bridge));
    tell(bridge);
    ptcp_bridge_wake(bridge);
}

/* --- The port's user
 * ----------------------------------------------------------------------------------- */

/*
 * What users take of what came, and what they answer, leaves with the ACKs: they have their turn
 * before output, also those whom a later batch has woken.
 */
static void wake_behind_users(struct ptcp_bridge *bridge)
{
    if (bridge->put_off < PUT_OFF_MAX) {
        bridge->put_off++;
        stk_task_stop(&bridge->task);
    }
    ptcp_bridge_wake(bridge);
}

static void on_input(void *user, const struct stk_run *runs, int count)
{
    struct ptcp_bridge *bridge = user;

    ptcp_input(bridge->endpoint, ptcp_bridge_now_us(bridge), runs, count);
    tell(bridge);
    wake_behind_users(bridge);
}

static void on_writable(void *user) { ptcp_bridge_wake(user); }

/* Its text is read before the next failure comes. */
static const char *keep_text(struct ptcp_bridge *bridge, const struct stk_error *error)
{
    if (!bridge->failure)
        bridge->failure = stk_alloc(sizeof(*bridge->failure));
    if (!bridge->failure || !error)
        return "what carried the connection has failed";
    *bridge->failure = *error;
    return bridge->failure->text;
}

static void on_association(void *user, uint64_t association, enum stk_association_event event,
                           const struct stk_error *error)
{
    struct ptcp_bridge *bridge = user;
    const uint64_t now_us = ptcp_bridge_now_us(bridge);

    if (event == STK_ASSOCIATION_READY) {
        ptcp_association_ready(bridge->endpoint, now_us, association);
        tell(bridge);
    } else if (event == STK_ASSOCIATION_MOVED) {
        ptcp_association_moved(bridge->endpoint, now_us, association, PTCP_MOVE_PATH);
    } else if (event == STK_ASSOCIATION_READDRESSED) {
        ptcp_association_moved(bridge->endpoint, now_us, association, PTCP_MOVE_SELF);
    } else if (event == STK_ASSOCIATION_REBOUND) {
        ptcp_association_moved(bridge->endpoint, now_us, association, PTCP_MOVE_PORT);
    } else if (event == STK_ASSOCIATION_FAILED) {
        ptcp_association_failed(bridge->endpoint, now_us, association,
                                error && error->code ? error->code : -ECONNABORTED,
                                keep_text(bridge, error));
        tell(bridge);
    }
    ptcp_bridge_wake(bridge);
}

static void on_unreachable(void *user, const struct stk_addr *peer, int code)
{
    struct ptcp_bridge *bridge = user;

    (void)code;
    ptcp_unreachable(bridge->endpoint, ptcp_bridge_now_us(bridge), peer);
    tell(bridge);
    ptcp_bridge_wake(bridge);
}

static void on_too_big(void *user, uint64_t association, const struct stk_addr *peer, uint32_t size)
{
    ptcp_too_big(((struct ptcp_bridge *)user)->endpoint, association, peer, size);
}

static void on_failed(void *user, const struct stk_error *error)
{
    struct ptcp_bridge *bridge = user;

    ptcp_fail_all(bridge->endpoint, ptcp_bridge_now_us(bridge), error->code,
                  keep_text(bridge, error));
    if (bridge->listener)
        stk_listener_fail(bridge->listener, error);
    tell(bridge);
    ptcp_bridge_wake(bridge);
}

static const struct stk_port_user port_user = {
    .input = on_input,
    .writable = on_writable,
    .association = on_association,
    .unreachable = on_unreachable,
    .too_big = on_too_big,
    .failed = on_failed,
};

/* --- Opening
 * -------------------------------------------------------------------------------------------- */

/* The loop goes. Layers that still live end in its last tasks, and then their bridge does. */
static void free_all(void *data)
{
    struct stk_node *bridges = data;

    STK_LIST_EACH(node, bridges)
    {
        struct ptcp_bridge *bridge = STK_CONTAINER(node, struct ptcp_bridge, node);

        stk_list_remove(node);
        stk_timer_stop(&bridge->timer);
        bridge->dying = true;
        if (bridge->users == 0)
            say_goodbye(bridge);
    }
    stk_free(bridges);
}

static struct stk_node *bridges_of(struct stk_loop *loop)
{
    struct stk_node *bridges = stk_loop_data(loop, &bridges_key);

    if (bridges)
        return bridges;
    bridges = stk_alloc(sizeof(*bridges));
    if (!bridges)
        return NULL;
    stk_list_init(bridges);
    if (stk_loop_set_data(loop, &bridges_key, bridges, free_all) < 0) {
        stk_free(bridges);
        return NULL;
    }
    return bridges;
}

static void leave_history(void *data) { ptcp_history_leave(data); }

/* NULL without memory: then nothing is remembered. */
static struct ptcp_history *history_of(struct stk_loop *loop)
{
    struct ptcp_history *history = stk_loop_data(loop, &history_key);
    uint8_t key[crypto_shorthash_KEYBYTES];

    if (history)
        return ptcp_history_use(history);
    stk_loop_random(loop, key, sizeof(key));
    history = ptcp_history_new(key);
    if (history && stk_loop_set_data(loop, &history_key, history, leave_history) < 0) {
        ptcp_history_leave(history);
        return NULL;
    }
    return history ? ptcp_history_use(history) : NULL;
}

static int make_endpoint(struct ptcp_bridge *bridge)
{
    const uint16_t head = stk_port_head(bridge->port), tail = stk_port_tail(bridge->port);
    const struct ptcp_endpoint_options options = {
        .random = next_random,
        .peer_key = peer_key,
        .retain = retain,
        .release = release,
        .who = who,
        .history = bridge->history,
        .context = bridge,
        .head = head,
        .tail = tail,
        .max_datagram = (uint16_t)(stk_port_max_size(bridge->port) + head + tail),
        .sealed = stk_port_is_sealed(bridge->port),
        .time_wait_us = TIME_WAIT_US,
    };

    return ptcp_endpoint_new(&options, &bridge->endpoint);
}

int ptcp_bridge_open(struct stk_loop *loop, const struct stk_recipe *recipe,
                     const struct stk_segment *segment, bool listening, struct ptcp_bridge **out,
                     struct stk_error *error)
{
    struct stk_node *bridges = bridges_of(loop);
    struct ptcp_bridge *bridge = bridges ? stk_alloc_zero(sizeof(*bridge)) : NULL;
    int code;

    if (!bridge)
        return stk_error_set(error, -ENOMEM, "ptcp", "out of memory");
    bridge->loop = loop;
    bridge->users = 1;
    stk_task_init(&bridge->task, loop, on_task);
    stk_timer_init(&bridge->timer, loop, on_timer);
    code = stk_port_open(loop, recipe, listening, &bridge->port, error);
    if (code < 0) {
        stk_free(bridge);
        return code;
    }
    if (stk_port_is_sealed(bridge->port))
        bridge->history = history_of(loop);
    if (make_endpoint(bridge) < 0) {
        if (bridge->history)
            ptcp_history_leave(bridge->history);
        stk_port_unref(bridge->port);
        stk_free(bridge);
        return stk_error_set(error, -ENOMEM, "ptcp", "out of memory");
    }
    ptcp_qlog_attach(bridge, segment);
    bridge->shareable = stk_port_serves(bridge->port, recipe);
    if (bridge->shareable)
        stk_list_prepend(bridges, &bridge->node);
    else
        stk_list_append(bridges, &bridge->node);
    stk_port_set_user(bridge->port, &port_user, bridge);
    *out = bridge;
    return 0;
}

static struct ptcp_bridge *find_bridge(struct stk_node *bridges, const struct stk_recipe *recipe,
                                       const struct stk_segment *segment)
{
    int tried = 0;

    STK_LIST_EACH(node, bridges)
    {
        struct ptcp_bridge *bridge = STK_CONTAINER(node, struct ptcp_bridge, node);

        if (!bridge->shareable || tried++ == PTCP_BRIDGES_TRIED)
            return NULL;
        if (bridge->users < PTCP_BRIDGE_USERS_MAX && ptcp_qlog_serves(bridge->qlog, segment) &&
            stk_port_serves(bridge->port, recipe))
            return bridge;
    }
    return NULL;
}

int ptcp_bridge_share(struct stk_loop *loop, const struct stk_recipe *recipe,
                      const struct stk_segment *segment, struct ptcp_bridge **out,
                      struct stk_error *error)
{
    struct stk_node *bridges = bridges_of(loop);
    struct ptcp_bridge *bridge = bridges ? find_bridge(bridges, recipe, segment) : NULL;

    if (!bridge)
        return ptcp_bridge_open(loop, recipe, segment, false, out, error);
    stk_list_remove(&bridge->node);
    stk_list_prepend(bridges, &bridge->node);
    *out = ptcp_bridge_use(bridge);
    return 0;
}

struct ptcp_bridge *ptcp_bridge_use(struct ptcp_bridge *bridge)
{
    bridge->users++;
    return bridge;
}

void ptcp_bridge_leave(struct ptcp_bridge *bridge)
{
    assert(bridge->users > 0);
    bridge->users--;
    if (bridge->dying && bridge->users == 0)
        say_goodbye(bridge);
    else
        ptcp_bridge_wake(bridge);
}
