#include "simworld.h"

#include <assert.h>

enum {
    PORT_FIRST = 49152,
    GATHERED_MAX = 256, /* packets; more are shown at once */
    GATHER_RUNS = 8,    /* shown by one call */
};

/* --- Life ------------------------------------------------------------------------------------- */

static void show_gathered(struct stk_timer *timer);
static void tell_writable(struct stk_task *task);

static bool overlap(const struct stk_addr *a, const struct stk_addr *b)
{
    struct stk_addr any_port = *a;

    if (a->any.sa_family != b->any.sa_family || stk_addr_port(a) != stk_addr_port(b))
        return false;
    return stk_addr_is_any(a) || stk_addr_is_any(b) || stk_addr_equal(&any_port, b);
}

static struct stk_sim_socket *find(struct stk_sim_host *host, const struct stk_addr *to)
{
    STK_LIST_EACH(node, &host->sockets)
    {
        struct stk_sim_socket *socket = STK_CONTAINER(node, struct stk_sim_socket, node);

        if (!socket->closed && overlap(&socket->local, to))
            return socket;
    }
    return NULL;
}

static int take_free_port(struct stk_sim_host *host, struct stk_addr *local)
{
    for (int i = PORT_FIRST; i <= UINT16_MAX; i++) {
        stk_addr_set_port(local, host->next_port);
        host->next_port = host->next_port == UINT16_MAX ? PORT_FIRST : host->next_port + 1;
        if (!find(host, local))
            return 0;
    }
    return -EADDRINUSE;
}

static int choose_local(struct stk_sim_host *host, struct stk_addr *local)
{
    if (!stk_addr_is_any(local) && !sim_host_has(host, local))
        return -EADDRNOTAVAIL;
    if (stk_addr_port(local) == 0)
        return take_free_port(host, local);
    return find(host, local) ? -EADDRINUSE : 0;
}

int stk_sim_socket_open(struct stk_sim_host *host, const struct stk_addr *local,
                        const struct stk_sim_socket_user *type, void *user,
                        struct stk_sim_socket **out)
{
    struct stk_addr chosen = *local;
    const int code = choose_local(host, &chosen);
    struct stk_sim_socket *socket;

    if (code < 0)
        return code;
    socket = stk_alloc_zero(sizeof *socket);
    if (!socket)
        return -ENOMEM;
    socket->host = host;
    socket->type = type;
    socket->user = user;
    socket->local = chosen;
    socket->references = 1;
    stk_list_init(&socket->gathered);
    stk_timer_init(&socket->gather, host->sim->loop, show_gathered);
    stk_task_init(&socket->wake, host->sim->loop, tell_writable);
    stk_list_append(&host->sockets, &socket->node);
    *out = socket;
    return 0;
}

static void unref(struct stk_sim_socket *socket)
{
    assert(socket->references > 0);
    if (--socket->references > 0)
        return;
    stk_list_remove(&socket->node);
    stk_free(socket);
}

static void drop_gathered(struct stk_sim_socket *socket)
{
    struct stk_node *node;

    while ((node = stk_list_pop(&socket->gathered)) != NULL)
        sim_packet_free(STK_CONTAINER(node, struct sim_packet, queue_node));
}

void sim_socket_quiet(struct stk_sim_socket *socket)
{
    stk_timer_stop(&socket->gather);
    stk_task_stop(&socket->wake);
}

void stk_sim_socket_close(struct stk_sim_socket *socket)
{
    assert(!socket->closed);
    socket->closed = true;
    sim_socket_quiet(socket);
    drop_gathered(socket);
    unref(socket);
}

void stk_sim_socket_local(const struct stk_sim_socket *socket, struct stk_addr *local)
{
    *local = socket->local;
}

/* --- Sending ---------------------------------------------------------------------------------- */

static void tell_writable(struct stk_task *task)
{
    struct stk_sim_socket *socket = STK_CONTAINER(task, struct stk_sim_socket, wake);

    socket->short_sent = false;
    if (socket->type->writable)
        socket->type->writable(socket->user);
}

void sim_socket_left(struct sim_packet *packet)
{
    struct stk_sim_socket *socket = packet->sender;

    if (!socket)
        return;
    packet->sender = NULL;
    socket->waiting_bytes -= packet->sender_bytes;
    if (socket->short_sent && !socket->closed && socket->host->sim->open &&
        socket->waiting_bytes <= socket->host->options.send_buffer_bytes / 2)
        stk_task_queue(&socket->wake);
    unref(socket);
}

static void leave(struct stk_timer *timer)
{
    struct sim_packet *packet = STK_CONTAINER(timer, struct sim_packet, timer);

    sim_host_send(packet->host, packet);
}

static void send_one(struct stk_sim_socket *socket, const struct stk_sim_packet *from,
                     uint64_t time_us)
{
    struct stk_sim_host *host = socket->host;
    struct sim_packet *packet = sim_packet_new(host->sim, from);

    if (!packet)
        return;
    packet->host = host;
    packet->sender = socket;
    packet->sender_bytes = from->size;
    socket->references++;
    socket->waiting_bytes += from->size;
    sim_trace_packet(packet, SIM_SENT, 0);
    if (time_us > host->sim->now_us)
        sim_packet_later(packet, leave, time_us);
    else
        sim_host_send(host, packet);
}

/* The address that a datagram of this run bears; false if the host has none that would do. */
static bool choose_source(const struct stk_sim_socket *socket, const struct stk_run *run,
                          struct stk_addr *from)
{
    const struct stk_addr *source = &socket->local;

    if (run->local && sim_host_has(socket->host, run->local))
        source = run->local;
    else if (stk_addr_is_any(source) || !sim_host_has(socket->host, source))
        source = sim_host_source(socket->host, run->peer);
    if (!source || source->any.sa_family != run->peer->any.sa_family)
        return false;
    *from = *source;
    stk_addr_set_port(from, stk_addr_port(&socket->local));
    return true;
}

static void send_run(struct stk_sim_socket *socket, const struct stk_run *run)
{
    struct stk_sim_packet packet = {.ecn = run->ecn};

    if (!run->peer || !choose_source(socket, run, &packet.from))
        return;
    packet.to = *run->peer;
    for (unsigned i = 0; i < run->count; i++) {
        packet.data = stk_run_at(run, i);
        packet.size = stk_run_size(run, i);
        if (packet.size <= STK_DGRAM_MAX)
            send_one(socket, &packet, run->time_us);
    }
}

int stk_sim_socket_send(struct stk_sim_socket *socket, const struct stk_run *runs, int count)
{
    const size_t bound = socket->host->options.send_buffer_bytes;

    assert(!socket->closed);
    for (int i = 0; i < count; i++) {
        if (bound > 0 && socket->waiting_bytes >= bound) {
            socket->short_sent = true;
            return i;
        }
        send_run(socket, &runs[i]);
    }
    return count;
}

/* --- Receiving -------------------------------------------------------------------------------- */

static struct stk_run run_of(const struct sim_packet *packet)
{
    return (struct stk_run){
        .data = packet->packet.data,
        .stride = packet->packet.size,
        .size = packet->packet.size,
        .last_size = packet->packet.size,
        .count = 1,
        .ecn = packet->packet.ecn,
        .peer = &packet->packet.from,
        .local = &packet->packet.to,
        .time_us = packet->sim->now_us,
    };
}

static void show_one(struct stk_sim_socket *socket, struct sim_packet *packet)
{
    struct stk_run run = run_of(packet);

    socket->references++;
    socket->type->input(socket->user, &run, 1);
    unref(socket);
    sim_packet_free(packet);
}

/* What GRO asks of a datagram that shall join a run: as large as the others, or a shorter last. */
static bool joins(const struct stk_run *run, const struct sim_packet *packet)
{
    return run->count < STK_RUN_COUNT_MAX && run->last_size == run->size &&
           packet->packet.size <= run->size && packet->packet.size > 0 &&
           packet->packet.ecn == run->ecn &&
           stk_run_bytes(run) + packet->packet.size <= STK_RUN_BYTES_MAX &&
           stk_addr_equal(&packet->packet.from, run->peer) &&
           stk_addr_equal(&packet->packet.to, run->local);
}

/* Moves packets from the front of `gathered` into one run; they stay in `used` until it is shown.
 */
static struct stk_run join_run(struct stk_node *gathered, struct stk_node *used, uint8_t *buffer)
{
    struct sim_packet *packet = STK_CONTAINER(gathered->next, struct sim_packet, queue_node);
    struct stk_run run = run_of(packet);
    size_t len = 0;

    run.data = buffer;
    run.count = 0;
    do {
        memcpy(buffer + len, packet->packet.data, packet->packet.size);
        len += packet->packet.size;
        run.last_size = packet->packet.size;
        run.count++;
        stk_list_remove(&packet->queue_node);
        stk_list_append(used, &packet->queue_node);
        packet = STK_CONTAINER(gathered->next, struct sim_packet, queue_node);
    } while (!stk_list_empty(gathered) && joins(&run, packet));
    return run;
}

static void show_runs(struct stk_sim_socket *socket, uint8_t *buffer)
{
    struct stk_run runs[GATHER_RUNS];
    struct stk_node used, *node;
    int count = 0;

    stk_list_init(&used);
    for (; count < GATHER_RUNS && !stk_list_empty(&socket->gathered); count++)
        runs[count] =
            join_run(&socket->gathered, &used, buffer + (size_t)count * STK_RUN_BYTES_MAX);
    socket->gathered_count = stk_list_empty(&socket->gathered) ? 0 : socket->gathered_count;
    socket->type->input(socket->user, runs, count);
    while ((node = stk_list_pop(&used)) != NULL)
        sim_packet_free(STK_CONTAINER(node, struct sim_packet, queue_node));
}

static void show_gathered(struct stk_timer *timer)
{
    struct stk_sim_socket *socket = STK_CONTAINER(timer, struct stk_sim_socket, gather);
    uint8_t *buffer = stk_alloc((size_t)GATHER_RUNS * STK_RUN_BYTES_MAX);

    socket->references++;
    if (!buffer)
        drop_gathered(socket);
    while (!stk_list_empty(&socket->gathered))
        show_runs(socket, buffer);
    unref(socket);
    stk_free(buffer);
}

static void gather(struct stk_sim_socket *socket, struct sim_packet *packet)
{
    const uint64_t now_us = socket->host->sim->now_us;

    stk_list_append(&socket->gathered, &packet->queue_node);
    if (++socket->gathered_count >= GATHERED_MAX)
        stk_timer_at(&socket->gather, now_us);
    else if (!stk_timer_armed(&socket->gather))
        stk_timer_at(&socket->gather, now_us + socket->host->options.gather_us);
}

bool sim_socket_deliver(struct stk_sim_host *host, struct sim_packet *packet)
{
    struct stk_sim_socket *socket = find(host, &packet->packet.to);

    if (!socket)
        return false;
    sim_trace_packet(packet, SIM_ARRIVED, 0);
    if (host->options.gather_us > 0)
        gather(socket, packet);
    else
        show_one(socket, packet);
    return true;
}
