#include "simworld.h"

#include <assert.h>

enum { PORT_FIRST = 49152 };

/* --- Packets ---------------------------------------------------------------------------------- */

struct sim_packet *sim_packet_new(struct stk_sim *sim, const struct stk_sim_packet *from)
{
    struct sim_packet *packet;

    if (!sim->open || sim->packet_count >= STK_SIM_PACKETS_MAX)
        return NULL;
    packet = stk_alloc(sizeof *packet + from->size);
    if (!packet)
        return NULL;
    memset(packet, 0, sizeof *packet);
    packet->packet = *from;
    packet->packet.data = packet->bytes;
    if (from->size > 0)
        memcpy(packet->bytes, from->data, from->size);
    packet->capacity = from->size;
    packet->sim = sim;
    packet->serial = sim->next_serial++;
    stk_list_init(&packet->queue_node);
    stk_timer_init(&packet->timer, sim->loop, NULL);
    stk_list_append(&sim->packets, &packet->node);
    sim->packet_count++;
    return packet;
}

void sim_packet_free(struct sim_packet *packet)
{
    sim_socket_left(packet);
    stk_timer_stop(&packet->timer);
    stk_list_remove(&packet->node);
    stk_list_remove(&packet->queue_node);
    packet->sim->packet_count--;
    stk_free(packet);
}

void sim_packet_drop(struct sim_packet *packet, enum stk_sim_drop cause)
{
    if (packet->pipe)
        packet->pipe->stats.dropped[cause]++;
    sim_trace_packet(packet, SIM_DROPPED, cause);
    sim_packet_free(packet);
}

unsigned sim_packet_wire_size(const struct sim_packet *packet)
{
    const bool ip6 = packet->packet.to.any.sa_family == AF_INET6;

    return packet->packet.size + (ip6 ? STK_SIM_HEADER_IP6 : STK_SIM_HEADER_IP4);
}

void sim_packet_later(struct sim_packet *packet, stk_timer_fn *fn, uint64_t due_us)
{
    assert(!stk_timer_armed(&packet->timer));
    packet->timer.fn = fn;
    stk_timer_at(&packet->timer, due_us);
}

/* --- Addresses -------------------------------------------------------------------------------- */

static bool same_ip(const struct stk_addr *a, const struct stk_addr *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

static int find_addr(const struct stk_sim_host *host, const struct stk_addr *addr)
{
    for (int i = 0; i < host->addr_count; i++)
        if (same_ip(&host->addrs[i], addr))
            return i;
    return -ENOENT;
}

bool sim_host_has(const struct stk_sim_host *host, const struct stk_addr *addr)
{
    return find_addr(host, addr) >= 0;
}

const struct stk_addr *sim_host_source(const struct stk_sim_host *host, const struct stk_addr *peer)
{
    for (int i = 0; i < host->addr_count; i++)
        if (host->addrs[i].any.sa_family == peer->any.sa_family)
            return &host->addrs[i];
    return NULL;
}

struct stk_sim_host *sim_host_with(const struct stk_sim *sim, const struct stk_addr *addr)
{
    STK_LIST_EACH(node, &sim->hosts)
    {
        struct stk_sim_host *host = STK_CONTAINER(node, struct stk_sim_host, node);

        if (sim_host_has(host, addr))
            return host;
    }
    return NULL;
}

int stk_sim_host_add_addr(struct stk_sim_host *host, const char *address)
{
    struct stk_addr addr;
    const int code = stk_addr_parse_ip(&addr, address, 0);

    if (code < 0)
        return code;
    if (sim_host_with(host->sim, &addr))
        return -EEXIST;
    if (host->addr_count == STK_SIM_ADDRS_MAX)
        return -ENOSPC;
    host->addrs[host->addr_count++] = addr;
    return 0;
}

int stk_sim_host_remove_addr(struct stk_sim_host *host, const char *address)
{
    struct stk_addr addr;
    int i = stk_addr_parse_ip(&addr, address, 0);

    if (i == 0)
        i = find_addr(host, &addr);
    if (i < 0)
        return i;
    host->addr_count--;
    for (; i < host->addr_count; i++)
        host->addrs[i] = host->addrs[i + 1];
    return 0;
}

/* --- Hosts ------------------------------------------------------------------------------------ */

struct stk_sim_host *stk_sim_host_find(const struct stk_sim *sim, const char *name)
{
    STK_LIST_EACH(node, &sim->hosts)
    {
        struct stk_sim_host *host = STK_CONTAINER(node, struct stk_sim_host, node);

        if (strcmp(host->name, name) == 0)
            return host;
    }
    return NULL;
}

static struct stk_sim_host *make_host(struct stk_sim *sim, const char *name)
{
    struct stk_sim_host *host = stk_alloc_zero(sizeof *host);

    if (!host)
        return NULL;
    memcpy(host->name, name, strlen(name) + 1);
    host->sim = sim;
    host->index = sim->host_count++;
    host->next_port = PORT_FIRST;
    stk_list_init(&host->sockets);
    stk_list_append(&sim->hosts, &host->node);
    sim->routes_stale = true;
    return host;
}

int stk_sim_host_add(struct stk_sim *sim, const char *name, const char *address,
                     struct stk_sim_host **out)
{
    struct stk_sim_host *host;
    struct stk_addr addr;
    int code;

    if (stk_sim_host_find(sim, name))
        return -EEXIST;
    if (strlen(name) >= STK_SIM_NAME_MAX)
        return -ENAMETOOLONG;
    if (sim->host_count == STK_SIM_HOSTS_MAX)
        return -ENOSPC;
    code = address ? stk_addr_parse_ip(&addr, address, 0) : 0;
    if (code < 0)
        return code;
    if (address && sim_host_with(sim, &addr))
        return -EEXIST;
    host = make_host(sim, name);
    if (!host)
        return -ENOMEM;
    if (address)
        host->addrs[host->addr_count++] = addr;
    sim->current_host = host;
    *out = host;
    return 0;
}

const char *stk_sim_host_name(const struct stk_sim_host *host) { return host->name; }

void stk_sim_host_set(struct stk_sim_host *host, const struct stk_sim_host_options *options)
{
    host->options = *options;
}

void stk_sim_host_set_hook(struct stk_sim_host *host, stk_sim_hook_fn *hook, void *user)
{
    host->hook = hook;
    host->hook_user = user;
}

void stk_sim_set_current_host(struct stk_sim *sim, struct stk_sim_host *host)
{
    assert(host->sim == sim);
    sim->current_host = host;
}

void sim_host_quiet(struct stk_sim_host *host)
{
    STK_LIST_EACH(node, &host->sockets)
    sim_socket_quiet(STK_CONTAINER(node, struct stk_sim_socket, node));
}

void sim_host_free(struct stk_sim_host *host)
{
    struct stk_node *node;

    while ((node = stk_list_pop(&host->sockets)) != NULL)
        stk_free(STK_CONTAINER(node, struct stk_sim_socket, node));
    stk_free(host);
}

/* --- Routes: the way with the fewest links, the one added first among equals --------------------
 */

static void find_ways_to(struct stk_sim *sim, struct stk_sim_host *target)
{
    struct stk_sim_host *queue[STK_SIM_HOSTS_MAX];
    bool seen[STK_SIM_HOSTS_MAX] = {false};
    int head = 0, tail = 0;

    queue[tail++] = target;
    seen[target->index] = true;
    while (head < tail) {
        struct stk_sim_host *at = queue[head++];

        STK_LIST_EACH(node, &sim->links)
        {
            struct stk_sim_link *link = STK_CONTAINER(node, struct stk_sim_link, node);
            const int far = link->end[0] == at ? 1 : link->end[1] == at ? 0 : -1;
            struct stk_sim_host *neighbour = far < 0 ? NULL : link->end[far];

            if (!neighbour || seen[neighbour->index])
                continue;
            seen[neighbour->index] = true;
            neighbour->routes[target->index] = &link->pipe[far];
            queue[tail++] = neighbour;
        }
    }
}

static void find_routes(struct stk_sim *sim)
{
    STK_LIST_EACH(node, &sim->hosts)
    find_ways_to(sim, STK_CONTAINER(node, struct stk_sim_host, node));
    sim->routes_stale = false;
}

/* --- The way of a packet ---------------------------------------------------------------------- */

static void come_home(struct stk_timer *timer)
{
    struct sim_packet *packet = STK_CONTAINER(timer, struct sim_packet, timer);

    sim_host_take(packet->host, packet);
}

void sim_host_send(struct stk_sim_host *host, struct sim_packet *packet)
{
    struct stk_sim *sim = host->sim;
    struct stk_sim_host *target = sim_host_with(sim, &packet->packet.to);

    if (sim->routes_stale)
        find_routes(sim);
    packet->host = host;
    if (target == host) {
        sim_socket_left(packet);
        sim_packet_later(packet, come_home, sim->now_us);
    } else if (!target || !host->routes[target->index] || packet->hops == STK_SIM_HOPS_MAX) {
        sim_packet_drop(packet, STK_SIM_DROP_ROUTE);
    } else {
        packet->hops++;
        sim_pipe_send(host->routes[target->index], packet);
    }
}

static bool hook_passes(struct stk_sim_host *host, struct sim_packet *packet)
{
    if (!host->hook)
        return true;
    if (host->hook(host->hook_user, host, &packet->packet) != STK_SIM_PASS)
        return false;
    if (packet->packet.size > packet->capacity)
        packet->packet.size = packet->capacity;
    return true;
}

void sim_host_take(struct stk_sim_host *host, struct sim_packet *packet)
{
    packet->host = host;
    if (!hook_passes(host, packet))
        sim_packet_drop(packet, STK_SIM_DROP_HOOK);
    else if (!sim_host_has(host, &packet->packet.to))
        sim_host_send(host, packet);
    else if (!sim_socket_deliver(host, packet))
        sim_packet_drop(packet, STK_SIM_DROP_CLOSED);
}

int stk_sim_inject(struct stk_sim_host *host, const struct stk_sim_packet *from)
{
    struct sim_packet *packet = sim_packet_new(host->sim, from);

    if (!packet)
        return -ENOMEM;
    packet->host = host;
    sim_trace_packet(packet, SIM_SENT, 0);
    sim_host_send(host, packet);
    return 0;
}
