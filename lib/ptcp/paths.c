#include "paths.h"

#include "alloc.h"
#include "endpoint.h"
#include "error.h"
#include "silence.h"

#include <assert.h>

static struct ptcp_path *path_of(struct ptcp_slot *slot)
{
    return STK_CONTAINER(slot, struct ptcp_path, slot);
}

struct ptcp_path *ptcp_paths_find(const struct ptcp_endpoint *endpoint, uint64_t association)
{
    struct ptcp_slot *slot = ptcp_table_find(&endpoint->paths, association);

    return slot ? path_of(slot) : NULL;
}

static struct ptcp_path *path_new(struct ptcp_endpoint *endpoint, uint64_t association,
                                  const struct stk_ptcp_options *options)
{
    const struct ptcp_endpoint_options *port = &endpoint->options;
    struct ptcp_path *path = stk_alloc(sizeof(*path));

    if (!path)
        return NULL;
    ptcp_path_init(path, ptcp_cc_find(options->congestion), (uint16_t)(port->head + port->tail),
                   port->max_datagram, options->mtu);
    if (ptcp_schedule_join(&endpoint->schedule, &path->alarm, PTCP_ALARM_PATH) < 0) {
        stk_free(path);
        return NULL;
    }
    if (ptcp_schedule_join(&endpoint->schedule, &path->silence, PTCP_ALARM_SILENCE) < 0) {
        ptcp_schedule_leave(&endpoint->schedule, &path->alarm);
        stk_free(path);
        return NULL;
    }
    path->careful.off = options->resume_off;
    path->slot.id = association;
    if (association == 0)
        return path;
    ptcp_table_add(&endpoint->paths, &path->slot);
    if (port->retain)
        port->retain(port->context, association);
    return path;
}

static void path_free(struct ptcp_endpoint *endpoint, struct ptcp_path *path)
{
    const struct ptcp_endpoint_options *port = &endpoint->options;
    const uint64_t association = path->slot.id;

    assert(path->users == 0 && stk_list_empty(&path->connections) && path->turns.busy == 0);
    ptcp_schedule_leave(&endpoint->schedule, &path->alarm);
    ptcp_schedule_leave(&endpoint->schedule, &path->silence);
    stk_list_remove(&path->turns.active);
    if (association && !path->gone)
        ptcp_table_remove(&endpoint->paths, &path->slot);
    stk_free(path);
    if (association && port->release)
        port->release(port->context, association);
}

static int join(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, struct ptcp_path *path)
{
    if (!path)
        return -ENOMEM;
    path->users++;
    ptcp_schedule_set(&endpoint->schedule, &path->alarm, UINT64_MAX);
    stk_list_append(&path->connections, &conn->on_path);
    conn->path = path;
    return 0;
}

int ptcp_paths_join(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t association,
                    const struct stk_ptcp_options *options)
{
    struct ptcp_path *path = association ? ptcp_paths_find(endpoint, association) : NULL;

    return join(endpoint, conn, path ? path : path_new(endpoint, association, options));
}

int ptcp_paths_move(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t association)
{
    struct ptcp_path *old = conn->path, *path = ptcp_paths_find(endpoint, association);
    const struct stk_ptcp_options same = {.congestion = old->cc.type->name,
                                          .mtu = old->mtu.fixed ? old->mtu.current : 0,
                                          .resume_off = old->careful.off};

    if (!path)
        path = path_new(endpoint, association, &same);
    if (!path)
        return -ENOMEM;
    ptcp_recovery_abandon(&conn->engine->recovery, old, &ptcp_conn_owner, conn);
    if (path == old)
        return 0; /* only its keys are new */
    ptcp_recovery_moved(&conn->engine->recovery, old, UINT64_MAX);
    ptcp_paths_retire(endpoint, conn);
    path->peer = old->peer;
    path->local = old->local;
    ptcp_paths_leave(endpoint, old);
    return join(endpoint, conn, path);
}

void ptcp_paths_retire(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn)
{
    stk_list_remove(&conn->on_path);
    ptcp_silence_leave(conn);
    ptcp_turns_leave(&conn->path->turns, &conn->turn);
    ptcp_paths_wake(endpoint, conn->path);
}

/* --- Memories -------------------------------------------------------------------------------- */

static void grant_as_before(struct ptcp_conn *conn, uint64_t window)
{
    struct ptcp_flow *flow = conn->engine ? &conn->engine->flow : NULL;
    const uint64_t before = flow ? flow->window : 0;

    if (!flow || window <= before || conn->engine->in.fin_offset != UINT64_MAX)
        return;
    flow->window = window < flow->window_max ? window : flow->window_max;
    ptcp_conn_bound_window(conn, before);
    flow->update |= flow->window > before;
    ptcp_endpoint_touch(conn->endpoint, conn);
}

void ptcp_paths_recall(struct ptcp_endpoint *endpoint, struct ptcp_path *path)
{
    const struct ptcp_endpoint_options *port = &endpoint->options;
    struct ptcp_careful *careful = &path->careful;
    struct ptcp_memory memory = careful->memory;

    careful->asked = true;
    if (careful->off || !port->history || !path->slot.id || path->gone)
        return;
    memory.who = careful->memory.who = port->who(port->context, path->slot.id);
    if (ptcp_history_take(port->history, memory.who, endpoint->now_us, &memory))
        careful->borrowed = false;
    ptcp_careful_begin(path, &memory);
    STK_LIST_EACH(node, &path->connections)
    grant_as_before(STK_CONTAINER(node, struct ptcp_conn, on_path), memory.window);
}

static void remember(struct ptcp_endpoint *endpoint, const struct ptcp_path *path,
                     struct ptcp_memory *memory)
{
    if (endpoint->options.history && ptcp_careful_remember(path, endpoint->now_us, memory))
        ptcp_history_put(endpoint->options.history, memory);
}

/* A small window lives on ACKs that a large one could spare. */
static void leave_behind(struct ptcp_conn *conn, uint64_t since_us)
{
    if (conn->engine)
        ptcp_recovery_moved(&conn->engine->recovery, conn->path, since_us);
    if (conn->asked_every > PTCP_ACK_PACKETS) {
        conn->asked_every = PTCP_ACK_PACKETS;
        conn->due |= PTCP_DUE_FREQUENCY;
    }
}

void ptcp_paths_renew(struct ptcp_endpoint *endpoint, struct ptcp_path *path, uint64_t now_us,
                      uint64_t since_us)
{
    /* What left in this turn, left before. */
    const uint64_t before_us = since_us < now_us ? since_us : UINT64_MAX;

    ptcp_careful_break_off(&path->careful);
    struct ptcp_memory memory = path->careful.memory;
    remember(endpoint, path, &memory);
    STK_LIST_EACH(node, &path->connections)
    leave_behind(STK_CONTAINER(node, struct ptcp_conn, on_path), before_us);
    ptcp_path_reset(path, now_us, since_us);
    path->careful.memory = memory;
    path->careful.memory.who = 0;
    path->careful.borrowed = true;
}

/* --- Ends ------------------------------------------------------------------------------------ */

void ptcp_paths_leave(struct ptcp_endpoint *endpoint, struct ptcp_path *path)
{
    struct ptcp_memory memory;

    assert(path->users > 0);
    if (--path->users > 0)
        return;
    stk_list_remove(&path->turns.active); /* who looks there for turns would stop its alarm */
    remember(endpoint, path, &memory);
    /* One that was never heard from is not worth the association's handshakes. */
    if (path->slot.id == 0 || path->gone || !path->rtt.sampled)
        path_free(endpoint, path);
    else
        ptcp_schedule_set(&endpoint->schedule, &path->alarm,
                          endpoint->now_us + endpoint->options.time_wait_us);
}

void ptcp_paths_give_up(struct ptcp_endpoint *endpoint, struct ptcp_path *path)
{
    if (path->gone)
        return;
    ptcp_table_remove(&endpoint->paths, &path->slot);
    path->gone = true;
    if (path->users == 0)
        path_free(endpoint, path);
}

void ptcp_paths_ring(struct ptcp_endpoint *endpoint, struct ptcp_path *path)
{
    if (path->users == 0)
        path_free(endpoint, path);
    else
        ptcp_paths_wake(endpoint, path);
}

void ptcp_paths_free(struct ptcp_endpoint *endpoint)
{
    for (uint32_t i = 0; i < endpoint->paths.capacity; i++) {
        while (endpoint->paths.buckets[i])
            path_free(endpoint, path_of(endpoint->paths.buckets[i]));
    }
    ptcp_table_free(&endpoint->paths);
}

void ptcp_paths_wake(struct ptcp_endpoint *endpoint, struct ptcp_path *path)
{
    if (path->turns.count + path->turns.asked > 0 && stk_list_empty(&path->turns.active))
        stk_list_append(&endpoint->active, &path->turns.active);
}
