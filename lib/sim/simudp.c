#include "simworld.h"

#include "layer.h"

#include <assert.h>
#include <stdlib.h>

/* A simulated socket as the bottom of a port. */
struct simudp {
    struct stk_dgram_layer layer;
    const struct stk_segment *segment;
    struct stk_sim_socket *socket; /* NULL: not open */
    struct stk_addr peer;          /* where runs without an address go; len 0: nowhere */
};

static struct simudp *simudp_of(struct stk_dgram_layer *layer)
{
    return STK_CONTAINER(layer, struct simudp, layer);
}

static int check_port(const char *value, struct stk_error *error)
{
    char *end;
    const unsigned long port = strtoul(value, &end, 10);

    if (*value >= '0' && *value <= '9' && *end == '\0' && end - value <= 5 && port <= UINT16_MAX)
        return 0;
    return stk_error_set(error, STK_ESYNTAX, "simudp", "a port is a number from 0 to 65535");
}

static int init(struct stk_dgram_layer *layer, const struct stk_segment *segment)
{
    simudp_of(layer)->segment = segment;
    return 0;
}

static void show(void *user, struct stk_run *runs, int count)
{
    stk_dgram_input_above(user, runs, count);
}

static void tell_writable(void *user) { stk_dgram_writable_above(user); }

static const struct stk_sim_socket_user socket_user = {.input = show, .writable = tell_writable};

/* The host that has the address, or the one that shall connect from here. */
static struct stk_sim_host *choose_host(struct simudp *udp, struct stk_sim *sim,
                                        const struct stk_addr *addr)
{
    const char *name = stk_segment_text(udp->segment, "host", NULL);

    if (name)
        return stk_sim_host_find(sim, name);
    if (stk_dgram_is_listening(&udp->layer) && !stk_addr_is_any(addr))
        return sim_host_with(sim, addr);
    return sim->current_host;
}

static void bind_any(const struct stk_addr *like, struct stk_addr *local)
{
    *local = *like;
    if (like->any.sa_family == AF_INET)
        local->in.sin_addr.s_addr = INADDR_ANY;
    else
        local->in6.sin6_addr = in6addr_any;
    stk_addr_set_port(local, 0);
}

/* Who connects by name has several peers: whoever looks the name up says which. */
static bool connects_by_name(const struct stk_dgram_layer *layer, const struct stk_segment *segment,
                             struct stk_addr *addr)
{
    if (stk_dgram_is_listening(layer) || !segment->host)
        return false;
    return stk_addr_parse_ip(addr,
                             strcmp(segment->host->type->name, "dns6") ? "0.0.0.0" : "::", 0) == 0;
}

static int open_layer(struct stk_dgram_layer *layer)
{
    struct simudp *udp = simudp_of(layer);
    struct stk_sim *sim = stk_sim_of_loop(stk_dgram_loop(layer));
    const struct stk_segment *segment = udp->segment;
    struct stk_addr addr, local;
    struct stk_sim_host *host;
    char text[STK_ADDR_TEXT_MAX];
    int code;

    if (!sim)
        return stk_dgram_fail(layer, -ENOTSUP, "this loop is not simulated: use udp");
    const bool literal =
        segment->host && stk_addr_parse_ip(&addr, segment->host->value,
                                           (uint16_t)strtoul(segment->value, NULL, 10)) == 0;
    if (!literal && !connects_by_name(layer, segment, &addr))
        return stk_dgram_fail(layer, STK_ENAME, "simulated hosts listen by address only");
    host = choose_host(udp, sim, &addr);
    if (!host)
        return stk_dgram_fail(layer, -EADDRNOTAVAIL, "no simulated host for %s",
                              stk_addr_format(&addr, text));
    local = addr;
    if (!stk_dgram_is_listening(layer)) {
        if (literal)
            udp->peer = addr;
        bind_any(&addr, &local);
    }
    code = stk_sim_socket_open(host, &local, &socket_user, layer, &udp->socket);
    if (code < 0)
        return stk_dgram_fail(layer, code, "can't bind %s: %s", stk_addr_format(&local, text),
                              stk_strerror(code));
    return 0;
}

static int send_runs(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    struct simudp *udp = simudp_of(layer);

    assert(udp->socket);
    for (int i = 0; i < count; i++)
        if (!runs[i].peer && udp->peer.len > 0)
            runs[i].peer = &udp->peer;
    return stk_sim_socket_send(udp->socket, runs, count);
}

static int query(struct stk_dgram_layer *layer, int key, uint64_t association, void *out,
                 size_t len)
{
    struct simudp *udp = simudp_of(layer);
    const struct stk_addr *source;
    struct stk_addr *local = out;

    (void)association;
    if (key != STK_QUERY_LOCAL_ADDR || len < sizeof *local || !udp->socket)
        return -ENOENT;
    stk_sim_socket_local(udp->socket, local);
    source = udp->peer.len > 0 ? sim_host_source(udp->socket->host, &udp->peer) : NULL;
    if (source) {
        const uint16_t port = stk_addr_port(local);

        *local = *source;
        stk_addr_set_port(local, port);
    }
    return 0;
}

static void destroy(struct stk_dgram_layer *layer)
{
    struct simudp *udp = simudp_of(layer);

    if (udp->socket)
        stk_sim_socket_close(udp->socket);
}

static const struct stk_option_type options[] = {
    {"host", STK_OPTION_TEXT, 0, 0, "name of the simulated host (listening: the address's)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_dgram_type dgram = {
    .name = "simudp",
    .size = sizeof(struct simudp),
    .init = init,
    .open = open_layer,
    .send = send_runs,
    .query = query,
    .destroy = destroy,
};

const struct stk_layer_type stk_layer_simudp = {
    .name = "simudp",
    .summary = "datagrams over a simulated network",
    .below = STK_HOST,
    .above = STK_DATAGRAMS,
    .value = STK_VALUE_REQUIRED,
    .value_name = "port",
    .check_value = check_port,
    .options = options,
    .dgram = &dgram,
};
