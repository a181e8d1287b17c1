#include "seal_state.h"

#include <string.h>

/* --- Up ----------------------------------------------------------------------------------------
 */

static bool is_there(const struct seal_port *port, uint8_t number, uint64_t serial)
{
    const struct seal_transport *transport = port->transports[number - 1];

    return transport && transport->serial == serial;
}

static void on_input(void *user, const struct stk_run *runs, int count)
{
    const struct seal_transport *transport = user;
    struct seal_port *port = transport->port;
    const uint8_t number = transport->number;
    const uint64_t serial = transport->serial;

    /* Whoever is told may remove the transport, and another may get the number. */
    for (int i = 0; i < count && is_there(port, number, serial); i++) {
        struct stk_run run = runs[i];
        run.way = number;
        run.association = 0;
        seal_take_runs(port, &run, 1);
    }
}

static void on_writable(void *user)
{
    stk_dgram_writable_above(&((struct seal_transport *)user)->port->layer);
}

static void on_unreachable(void *user, const struct stk_addr *peer, int code)
{
    seal_take_unreachable(((struct seal_transport *)user)->port, peer, code);
}

static void on_too_big(void *user, uint64_t association, const struct stk_addr *peer, uint32_t size)
{
    if (association == 0)
        seal_take_too_big(((struct seal_transport *)user)->port, peer, size);
}

static void tell_failed(struct seal_port *port, uint8_t number)
{
    for (uint32_t i = 0; i < port->slot_count; i++) {
        struct seal_association *a = port->slots[i];
        for (struct seal_path *path = a ? seal_path_first(a) : NULL; path; path = path->next)
            if (path->way == number)
                seal_watch_tell(a, path, STK_SEAL_PATH_FAILED);
    }
}

static void on_failed(void *user, const struct stk_error *error)
{
    struct seal_transport *transport = user;

    stk_log(STK_LOG_INFO, "seal", "transport %u has died: %s", transport->number, error->text);
    stk_port_set_user(transport->below, NULL, NULL);
    stk_port_unref(transport->below);
    transport->below = NULL;
    tell_failed(transport->port, transport->number);
}

static const struct stk_port_user user_type = {
    .input = on_input,
    .writable = on_writable,
    .unreachable = on_unreachable,
    .too_big = on_too_big,
    .failed = on_failed,
};

/* --- Down --------------------------------------------------------------------------------------
 */

/* As many datagrams of a run as one run of the transport's holds, with the room that it needs. */
static unsigned copy_with_room(const struct seal_transport *transport, const struct stk_run *run,
                               unsigned from, struct stk_run *copy)
{
    const uint16_t head = stk_port_head(transport->below), tail = stk_port_tail(transport->below);
    const uint32_t stride = (uint32_t)head + run->size + tail;
    unsigned count = 0;

    *copy = *run;
    copy->data = transport->room + head;
    copy->stride = stride;
    while (from + count < run->count && (count + 1) * stride <= STK_RUN_BYTES_MAX) {
        const unsigned i = from + count;
        memcpy(copy->data + (size_t)count * stride, stk_run_at(run, i), stk_run_size(run, i));
        copy->last_size = stk_run_size(run, i);
        count++;
    }
    copy->count = (uint16_t)count;
    if (count == 1)
        copy->size = copy->last_size;
    return count;
}

/* What does not fit such a transport at all is lost: the size that PTCP uses will shrink. */
static int send_with_room(struct seal_transport *transport, const struct stk_run *run)
{
    for (unsigned from = 0; from < run->count;) {
        struct stk_run copy;
        const unsigned count = copy_with_room(transport, run, from, &copy);
        if (count == 0)
            return 1;
        if (stk_port_send(transport->below, &copy, 1) == 0)
            return from > 0; /* a run is taken whole: the rest of a begun one is lost */
        from += count;
    }
    return 1;
}

static struct seal_transport *transport_of(const struct seal_port *port, uint8_t number)
{
    return number <= STK_SEAL_TRANSPORTS_MAX ? port->transports[number - 1] : NULL;
}

static int send_over(struct seal_transport *transport, struct stk_run *runs, int count)
{
    if (!transport || !transport->below)
        return count;
    for (int i = 0; i < count; i++)
        runs[i].association = 0; /* ours means nothing there */
    if (!transport->room)
        return stk_port_send(transport->below, runs, count);
    for (int i = 0; i < count; i++)
        if (send_with_room(transport, &runs[i]) == 0)
            return i;
    return count;
}

int seal_transport_send(struct seal_port *port, struct stk_run *runs, int count)
{
    int sent = 0;

    while (sent < count) {
        const uint8_t way = runs[sent].way;
        int to = sent + 1;
        while (to < count && runs[to].way == way)
            to++;
        const int took = way == 0 ? stk_dgram_send_below(&port->layer, runs + sent, to - sent)
                                  : send_over(transport_of(port, way), runs + sent, to - sent);
        if (took < 0)
            return sent;
        sent += took;
        if (sent < to)
            break;
    }
    return sent;
}

/* --- Adding and removing -----------------------------------------------------------------------
 */

static unsigned free_index(const struct seal_port *port)
{
    unsigned i = 0;

    while (i < STK_SEAL_TRANSPORTS_MAX && port->transports[i])
        i++;
    return i;
}

int stk_seal_add_transport(struct stk_port *port, struct stk_port *below, uint8_t *number)
{
    struct seal_port *seal = seal_port_under(port);
    const unsigned index = seal ? free_index(seal) : 0;

    if (!seal || below == port)
        return -ENOTSUP;
    if (index == STK_SEAL_TRANSPORTS_MAX)
        return STK_ELIMIT;
    struct seal_transport *transport = stk_alloc_zero(sizeof(*transport));
    if (!transport)
        return -ENOMEM;
    const unsigned extra = (unsigned)stk_port_head(below) + stk_port_tail(below);
    if (extra && !(transport->room = stk_alloc(STK_RUN_BYTES_MAX + extra))) {
        stk_free(transport);
        return -ENOMEM;
    }
    transport->port = seal;
    transport->below = stk_port_ref(below);
    transport->number = (uint8_t)(index + 1);
    transport->serial = ++seal->transport_serials;
    seal->transports[index] = transport;
    stk_port_set_user(below, &user_type, transport);
    *number = transport->number;
    return 0;
}

void seal_transport_free(struct seal_port *port, unsigned index)
{
    struct seal_transport *transport = port->transports[index];

    if (!transport)
        return;
    port->transports[index] = NULL;
    if (transport->below) {
        stk_port_set_user(transport->below, NULL, NULL);
        stk_port_unref(transport->below);
    }
    stk_free(transport->room);
    stk_free(transport);
}

/* A number that is used again must not find the paths of before. */
static void drop_paths(struct seal_association *a, uint8_t number)
{
    for (struct seal_path *path = seal_path_first(a); path; path = path->next) {
        if (path->way != number)
            continue;
        path->way = SEAL_WAY_GONE;
        path->dropped = path != a->active;
        if (path->dropped)
            seal_path_forget(a, path);
        a->dropping = true;
        seal_life_soon(a);
    }
}

void stk_seal_remove_transport(struct stk_port *port, uint8_t number)
{
    struct seal_port *seal = seal_port_under(port);

    if (!seal || number == 0 || number > STK_SEAL_TRANSPORTS_MAX || !seal->transports[number - 1])
        return;
    for (uint32_t i = 0; i < seal->slot_count; i++)
        if (seal->slots[i])
            drop_paths(seal->slots[i], number);
    seal_transport_free(seal, number - 1U);
}
