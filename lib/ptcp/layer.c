/* PTCP as a stream layer: the bottom of a stream stack, on a port of datagrams. */
#include "layer.h"

#include "bridge.h"
#include "dial.h"
#include "error.h"
#include "iov.h"
#include "ptcp.h"
#include "qlog.h"
#include "resolver.h"

#include <assert.h>
#include <stdio.h>

struct ptcp_layer {
    struct stk_layer layer;
    struct ptcp_bridge *bridge; /* NULL before start */
    struct ptcp_conn *conn;     /* NULL before it is connected */
    union {
        struct ptcp_dial *dial;    /* without `conn`: while it is being connected */
        struct stk_lookup *lookup; /* with it: of the peer's name, while it seeks an association */
    };
};

struct ptcp_listening {
    struct ptcp_bridge *bridge;
};

static struct ptcp_layer *ptcp_of(struct stk_layer *layer)
{
    return STK_CONTAINER(layer, struct ptcp_layer, layer);
}

static uint64_t now_us(const struct ptcp_layer *ptcp) { return ptcp_bridge_now_us(ptcp->bridge); }

static void read_options(const struct stk_segment *segment, struct stk_ptcp_options *options)
{
    const uint64_t keepalive_us = stk_segment_number(segment, "keepalive", STK_PTCP_KEEPALIVE_US);

    *options = (struct stk_ptcp_options){
        .congestion = stk_segment_text(segment, "cc", NULL),
        .connect_timeout_us = stk_segment_number(segment, "connect-timeout", 0),
        .user_timeout_us = stk_segment_number(segment, "user-timeout", 0),
        .idle_timeout_us = stk_segment_number(segment, "idle-timeout", 0),
        .keepalive_us = keepalive_us,
        .keepalive_off = keepalive_us == 0,
        .resume_off = !stk_segment_flag(segment, "resume", true),
        .durable_us = stk_segment_number(segment, "durable", 0),
        .linger_us = stk_segment_number(segment, "linger", 0),
        .send_buffer_max = (uint32_t)stk_segment_number(segment, "sndbuf", 0),
        .receive_window_max = (uint32_t)stk_segment_number(segment, "window", 0),
        .mtu = (uint16_t)stk_segment_number(segment, "mtu", 0),
        .priority = (uint8_t)stk_segment_number(segment, "priority", PTCP_PRIORITY_DEFAULT),
        .priority_given = 1,
    };
}

static int prepare(const struct stk_segment *segment, bool listening, void **shared,
                   struct stk_error *error)
{
    const char *name = stk_segment_text(segment, "cc", NULL);

    (void)listening;
    (void)shared;
    if (ptcp_cc_find(name))
        return 0;
    return stk_error_set(error, STK_ESYNTAX, "ptcp", "cc=%s is not known: use bbr, cubic or reno",
                         name);
}

static int check_durable(const struct ptcp_bridge *bridge, const struct stk_ptcp_options *options,
                         struct stk_error *error)
{
    if (options->durable_us == 0 || stk_port_is_sealed(bridge->port))
        return 0;
    return stk_error_set(error, STK_ESYNTAX, "ptcp",
                         "durable= needs seal below: only a peer with a key is known again");
}

/* --- Connecting ----------------------------------------------------------------------------------
 */

static void connected(void *owner, struct ptcp_conn *conn)
{
    struct ptcp_layer *ptcp = ptcp_of(owner);

    ptcp->conn = conn;
    ptcp->lookup = NULL;
}

static void failed(void *owner, const struct stk_error *error)
{
    struct ptcp_layer *ptcp = ptcp_of(owner);

    ptcp->dial = NULL;
    stk_layer_fail(&ptcp->layer, error->code, "%s", error->text);
}

static const struct ptcp_dial_type dial_type = {connected, failed};

static void start(struct stk_layer *layer)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);
    const struct stk_recipe *recipe = stk_layer_recipe(layer);
    struct stk_ptcp_options options;
    struct stk_error error = {.code = 0};
    int code;

    if (ptcp->conn)
        return; /* accepted, or beside another one */
    code = ptcp_bridge_share(stk_layer_loop(layer), recipe, layer->segment, &ptcp->bridge, &error);
    if (code < 0) {
        stk_layer_fail(layer, code, "%s", error.text);
        return;
    }
    read_options(layer->segment, &options);
    code = check_durable(ptcp->bridge, &options, &error);
    if (code < 0) {
        stk_layer_fail(layer, code, "%s", error.text);
        return;
    }
    code = ptcp_dial_start(ptcp->bridge, recipe, &options, &dial_type, layer, &ptcp->dial);
    if (code < 0)
        stk_layer_fail(layer, code, "can't look the name up: %s", stk_strerror(code));
}

static int open_beside(struct ptcp_layer *ptcp, const struct ptcp_conn *other)
{
    struct stk_ptcp_options options;
    const struct ptcp_open open = {.peer = other->path->peer.len ? &other->path->peer : NULL,
                                   .association = ptcp_conn_association(other),
                                   .ready = !ptcp_durable_is_silent(other),
                                   .options = &options};

    read_options(ptcp->layer.segment, &options);
    return ptcp_dial_open(ptcp->bridge, &open, &ptcp->layer, &ptcp->conn);
}

static int sibling(struct stk_layer *layer, struct stk_layer *of)
{
    struct ptcp_layer *ptcp = ptcp_of(layer), *other = ptcp_of(of);
    int code;

    if (!other->conn || !of->ready || other->conn->buried)
        return stk_layer_fail(layer, -ENOTCONN, "the connection beside it is not open");
    if (other->conn->path->gone)
        return stk_layer_fail(layer, -ENOTCONN, "the connection beside it seeks its peer");
    ptcp->bridge = ptcp_bridge_use(other->bridge);
    code = open_beside(ptcp, other->conn);
    return code < 0 ? stk_layer_fail(layer, code, "can't connect: %s", stk_strerror(code)) : 0;
}

/* --- Durable: another association ---------------------------------------------------------------
 */

/* Where it is the one that it had, its keys are made anew: the peer may have lost its own. */
static void associate(struct ptcp_layer *ptcp)
{
    struct stk_port *port = ptcp->bridge->port;
    const uint64_t had = ptcp_conn_association(ptcp->conn);
    uint64_t association = had;

    if (stk_port_associate_for(port, stk_layer_recipe(&ptcp->layer), &ptcp->conn->path->peer,
                               &association) < 0)
        association = 0;
    else if (association == had)
        stk_port_renew(port, association);
    ptcp_durable_carry(ptcp->conn, now_us(ptcp), association);
    if (association)
        stk_port_release(port, association); /* the connection's path keeps it */
    ptcp_bridge_wake(ptcp->bridge);
}

/* A peer with several addresses may answer at another of them now. */
static void found(void *user, int family, const struct stk_addr *addrs, int count,
                  const char *reason)
{
    struct ptcp_layer *ptcp = user;
    const struct ptcp_durable *durable = ptcp->conn->durable;

    (void)family;
    (void)reason;
    ptcp->lookup = NULL;
    if (ptcp->conn->buried || durable->seek != PTCP_SEEK_ASK)
        return;
    if (count > 0)
        ptcp->conn->path->peer = addrs[durable->rounds % count];
    associate(ptcp);
}

static void seek(struct ptcp_layer *ptcp)
{
    struct ptcp_conn *conn = ptcp->conn;
    const struct stk_segment *transport = ptcp_dial_transport(stk_layer_recipe(&ptcp->layer));
    struct stk_addr literal;

    if (ptcp->lookup || conn->buried || conn->durable->seek != PTCP_SEEK_ASK)
        return;
    if (transport && transport->host && transport->host->value &&
        stk_addr_parse_ip(&literal, transport->host->value, 0) < 0 &&
        stk_lookup_start(ptcp->bridge->loop, transport->host->value, conn->path->peer.any.sa_family,
                         stk_addr_port(&conn->path->peer), found, ptcp, &ptcp->lookup) == 0)
        return;
    associate(ptcp);
}

/* --- What the core tells
 * ---------------------------------------------------------------------------- */

void ptcp_layer_notify(struct stk_layer *layer, struct ptcp_conn *conn, unsigned events)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);
    const char *text;

    if (!ptcp->conn && ptcp->dial)
        ptcp_dial_notify(ptcp->dial, conn, events);
    if (ptcp->conn != conn)
        return;
    if (events & PTCP_SEEK)
        seek(ptcp);
    if (events & PTCP_ERROR) {
        const int code = ptcp_conn_error(conn, &text);
        stk_layer_fail(layer, code, "%s", text);
    }
    stk_layer_raise(layer, events & PTCP_LAYER_EVENTS);
}

/* --- The stream
 * ----------------------------------------------------------------------------------- */

static long no_connection(struct stk_layer *layer)
{
    const int code = stk_layer_error(layer);

    return code < 0 ? code : STK_AGAIN;
}

static long recv_bytes(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);
    long len;

    if (!ptcp->conn)
        return no_connection(layer);
    len = ptcp_conn_recv(ptcp->conn, now_us(ptcp), iov, count);
    ptcp_bridge_wake(ptcp->bridge);
    return len;
}

static int peek(struct stk_layer *layer, struct iovec *slices, int count)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);

    return ptcp->conn ? ptcp_conn_peek(ptcp->conn, slices, count) : (int)no_connection(layer);
}

static void consume(struct stk_layer *layer, size_t len)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);

    ptcp_conn_consume(ptcp->conn, now_us(ptcp), len);
    ptcp_bridge_wake(ptcp->bridge);
}

static long send_bytes(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);
    const size_t wish = stk_iov_bytes(iov, count);
    long took;

    if (!ptcp->conn)
        return no_connection(layer);
    took = wish > 0 ? ptcp_conn_send(ptcp->conn, now_us(ptcp), iov, count) : 0;
    if (took >= 0 && (size_t)took == wish && flags & STK_FIN) {
        const int code = ptcp_conn_finish(ptcp->conn, now_us(ptcp));
        if (code < 0)
            return code;
    }
    ptcp_bridge_wake(ptcp->bridge);
    return took;
}

static void stop_dialing(struct ptcp_layer *ptcp)
{
    ptcp_dial_stop(ptcp->dial);
    ptcp->dial = NULL;
}

static void abort_now(struct stk_layer *layer)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);

    if (!ptcp->conn) {
        stop_dialing(ptcp);
        return;
    }
    ptcp->conn->user = NULL;
    ptcp_conn_abort(ptcp->conn, now_us(ptcp), PTCP_RESET_CANCELLED);
    ptcp_bridge_wake(ptcp->bridge);
}

static void leave_connection(struct ptcp_layer *ptcp)
{
    if (ptcp->lookup)
        stk_lookup_cancel(ptcp->lookup);
    ptcp_conn_release(ptcp->conn, now_us(ptcp));
}

static void destroy(struct stk_layer *layer)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);

    if (!ptcp->conn)
        stop_dialing(ptcp);
    else
        leave_connection(ptcp);
    if (ptcp->bridge)
        ptcp_bridge_leave(ptcp->bridge);
}

/* --- Queries
 * ------------------------------------------------------------------------------------------ */

static void fill_stats(const struct ptcp_conn *conn, struct stk_stats *out)
{
    struct stk_ptcp_stats stats;

    ptcp_conn_stats(conn, &stats);
    *out = (struct stk_stats){
        .rtt_us = stats.rtt_us,
        .min_rtt_us = stats.rtt_min_us,
        .rtt_variance_us = stats.rtt_var_us,
        .cwnd_bytes = stats.cwnd_bytes,
        .rate_bytes_per_s = stats.delivery_bytes_per_s,
        .bytes_sent = stats.stream_sent,
        .bytes_received = stats.stream_received,
        .packets_sent = stats.packets_sent,
        .packets_received = stats.packets_received,
        .packets_lost = stats.packets_lost - stats.packets_spurious,
        .bytes_retransmitted = stats.bytes_resent,
        .ecn_ce = stats.ecn_ce_sent,
        .mtu = stats.mtu_bytes,
    };
    snprintf(out->congestion_control, sizeof(out->congestion_control), "%s", stats.congestion);
}

/* The address that packets came to, of which they don't tell the port. */
static void fill_local(const struct ptcp_layer *ptcp, struct stk_addr *addr)
{
    struct stk_addr bound;

    *addr = ptcp->conn->path->local;
    if (stk_addr_port(addr) == 0 && stk_port_local(ptcp->bridge->port, &bound) == 0)
        stk_addr_set_port(addr, stk_addr_port(&bound));
}

static int query_port(const struct ptcp_layer *ptcp, int key, void *out, size_t len)
{
    const struct ptcp_conn *conn = ptcp->conn;

    if (key == STK_QUERY_LOCAL_ADDR && conn->path->local.len && len >= sizeof(struct stk_addr)) {
        fill_local(ptcp, out);
        return 0;
    }
    if (key == STK_QUERY_ASSOCIATION && !ptcp_conn_is_plain(conn) &&
        len >= sizeof(struct stk_association)) {
        *(struct stk_association *)out =
            (struct stk_association){.port = ptcp->bridge->port, .id = ptcp_conn_association(conn)};
        return 0;
    }
    return stk_port_query(ptcp->bridge->port, key, ptcp_conn_association(conn), out, len);
}

static int query(struct stk_layer *layer, int key, void *out, size_t len)
{
    const struct ptcp_layer *ptcp = ptcp_of(layer);

    if (!ptcp->conn)
        return -ENOENT;
    if (key == STK_QUERY_STATS && len >= sizeof(struct stk_stats)) {
        fill_stats(ptcp->conn, out);
        return 0;
    }
    if (key == STK_QUERY_PTCP_STATS && len >= sizeof(struct stk_ptcp_stats)) {
        ptcp_conn_stats(ptcp->conn, out);
        return 0;
    }
    if ((key == STK_QUERY_UNSENT || key == STK_QUERY_MTU) && len >= sizeof(uint64_t)) {
        *(uint64_t *)out =
            key == STK_QUERY_MTU ? ptcp->conn->path->mtu.current : ptcp_conn_unsent(ptcp->conn);
        return 0;
    }
    if (key == STK_QUERY_PEER_ADDR && ptcp_conn_is_plain(ptcp->conn) &&
        len >= sizeof(struct stk_addr)) {
        *(struct stk_addr *)out = ptcp->conn->path->peer;
        return 0;
    }
    return query_port(ptcp, key, out, len);
}

static int control(struct stk_layer *layer, int key, uint64_t value)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);

    if (key != STK_CONTROL_PRIORITY)
        return -ENOENT;
    if (value >= PTCP_PRIORITIES || !ptcp->conn)
        return -EINVAL;
    ptcp_conn_set_priority(ptcp->conn, (uint8_t)value);
    return 0;
}

/* --- Listening
 * ----------------------------------------------------------------------------------------- */

static int listen_on(struct stk_listener *listener, void *state, struct stk_error *error)
{
    struct ptcp_listening *listening = state;
    const struct stk_segment *segment = stk_listener_segment(listener);
    struct stk_ptcp_options options;
    int code;

    code = ptcp_bridge_open(stk_listener_loop(listener), stk_listener_recipe(listener), segment,
                            true, &listening->bridge, error);
    if (code < 0)
        return code;
    read_options(segment, &options);
    code = check_durable(listening->bridge, &options, error);
    if (code < 0) {
        ptcp_bridge_leave(listening->bridge);
        return code;
    }
    listening->bridge->listener = listener;
    listening->bridge->endpoint->options.max_connections =
        (uint32_t)stk_segment_number(segment, "connections", PTCP_CONNECTIONS_DEFAULT);
    ptcp_listen(listening->bridge->endpoint, &options,
                (uint32_t)stk_segment_number(segment, "backlog", 0));
    return 0;
}

static void unlisten(struct stk_listener *listener, void *state)
{
    struct ptcp_bridge *bridge = ((struct ptcp_listening *)state)->bridge;

    (void)listener;
    bridge->listener = NULL;
    ptcp_unlisten(bridge->endpoint, ptcp_bridge_now_us(bridge));
    ptcp_bridge_leave(bridge);
}

static int listen_addr(struct stk_listener *listener, void *state, struct stk_addr *addr)
{
    (void)listener;
    return stk_port_local(((struct ptcp_listening *)state)->bridge->port, addr);
}

static int accept_one(struct stk_layer *layer, void *accepted)
{
    struct ptcp_layer *ptcp = ptcp_of(layer);
    struct ptcp_conn *conn = accepted;

    ptcp->conn = conn;
    ptcp->bridge = ptcp_bridge_use(conn->endpoint->options.context);
    conn->user = layer;
    return 0;
}

#define HOUR_US UINT64_C(3600000000)

static const struct stk_option_type options[] = {
    {"cc", STK_OPTION_TEXT, 0, 0, "congestion control: bbr, cubic or reno (bbr)"},
    {"connect-timeout", STK_OPTION_DURATION, 1000, HOUR_US, "for the handshake (15s)"},
    {"user-timeout", STK_OPTION_DURATION, 1000, 24 * HOUR_US,
     "give up when nothing sent is acknowledged for so long (60s)"},
    {"durable", STK_OPTION_DURATION, 0, 30 * 24 * HOUR_US,
     "outlive silence, other addresses and the loss of the association for so long, if the peer "
     "says so, too; needs seal (no)"},
    {"idle-timeout", STK_OPTION_DURATION, 1000, 24 * HOUR_US,
     "give up when nothing is heard for so long (never)"},
    {"keepalive", STK_OPTION_DURATION, 0, HOUR_US, "ask a silent peer so often; 0: never (15s)"},
    {"linger", STK_OPTION_DURATION, 1000, HOUR_US,
     "wait for the peer's end after this side has left (60s)"},
    {"mtu", STK_OPTION_NUMBER, 512, 65507, "datagram size to keep to (searched)"},
    {"priority", STK_OPTION_NUMBER, 0, PTCP_PRIORITIES - 1,
     "among connections of one association, 0 goes first (3)"},
    {"sndbuf", STK_OPTION_SIZE, STK_PTCP_BUFFER_MIN, 1 << 30, "send buffer, at most (32M)"},
    {"window", STK_OPTION_SIZE, STK_PTCP_BUFFER_MIN, 1 << 30, "receive window, at most (32M)"},
    {"resume", STK_OPTION_FLAG, 0, 0,
     "begin as fast as the last path to this peer allows; needs seal (yes)"},
    {"backlog", STK_OPTION_NUMBER, 1, 65535, "handshakes under way at a time (128)"},
    {"connections", STK_OPTION_NUMBER, 1, PTCP_CONNECTIONS_MAX,
     "of a listener, at a time, opened or opening (65536)"},
    {"qlog", STK_OPTION_TEXT, 0, 0,
     "log each connection into this directory, or file (STK_QLOG_DIR)"},
    {"qlog-max", STK_OPTION_SIZE, PTCP_QLOG_BYTES_MIN, UINT64_C(1) << 40,
     "bytes of one such log (256M)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_stream_type stream = {
    .size = sizeof(struct ptcp_layer),
    .lingers = true,
    .prepare = prepare,
    .start = start,
    .recv = recv_bytes,
    .peek = peek,
    .consume = consume,
    .send = send_bytes,
    .abort = abort_now,
    .query = query,
    .control = control,
    .destroy = destroy,
    .listener_size = sizeof(struct ptcp_listening),
    .listen = listen_on,
    .unlisten = unlisten,
    .accept = accept_one,
    .listen_addr = listen_addr,
    .sibling = sibling,
};

const struct stk_layer_type stk_layer_ptcp = {
    .name = "ptcp",
    .summary = "a reliable byte stream over datagrams",
    .below = STK_DATAGRAMS,
    .above = STK_STREAM,
    .value = STK_VALUE_NONE,
    .options = options,
    .stream = &stream,
};
