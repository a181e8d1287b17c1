/*
 * What the files of this room share: the insides of a sim.
 *
 * A datagram becomes a sim_packet at sim_host_send(), goes from host to host through a pipe (one
 * direction of a link) at a time, and ends in sim_socket_deliver() or sim_packet_drop().
 */
#ifndef STK_SIM_SIMWORLD_H
#define STK_SIM_SIMWORLD_H

#include "backend.h"
#include "sim.h"

enum { SIM_NOTE_MAX = 96 };

enum sim_event_kind { SIM_SENT, SIM_ARRIVED, SIM_DROPPED, SIM_COPIED, SIM_NOTED };

struct sim_event {
    uint64_t time_us; /* since the start */
    uint64_t packet;
    enum sim_event_kind kind;
    enum stk_sim_drop cause; /* when dropped */
    const struct stk_sim_host *host;
    struct stk_addr from, to;
    uint16_t size;
    char note[SIM_NOTE_MAX];
};

struct sim_trace {
    uint64_t hash, count;
    struct sim_event *ring;
    unsigned ring_size;
    FILE *file;
};

/* One impairment's own source of chance: turning one knob does not disturb the others. */
enum sim_stream {
    SIM_LOSS,
    SIM_BURST_STATE,
    SIM_BURST_LOSS,
    SIM_REORDER,
    SIM_REORDER_TIME,
    SIM_DUPLICATE,
    SIM_CORRUPT,
    SIM_CORRUPT_BITS,
    SIM_JITTER,
    SIM_STREAM_COUNT,
};

/* One direction of a link. */
struct sim_pipe {
    struct stk_sim *sim;
    struct stk_sim_host *to;
    struct stk_sim_wire wire;
    struct stk_prng streams[SIM_STREAM_COUNT];
    struct stk_sim_wire_stats stats;

    struct stk_node queue; /* the first one is being sent */
    struct stk_timer sent; /* when it has left */
    uint64_t free_ns;      /* when the wire is free, exactly; since the sim's start */
    uint64_t waiting_bytes, waiting_packets;
    double waiting_byte_us; /* integral, for the mean */
    uint64_t waiting_since_us;

    bool bad; /* the Gilbert–Elliott state */
    uint64_t crossed;
    uint64_t last_arrival_us;
};

struct stk_sim_link {
    struct stk_node node;
    struct stk_sim_host *end[2];
    struct sim_pipe pipe[2]; /* [STK_SIM_FORTH] leads to end[1] */
};

struct sim_packet {
    struct stk_sim_packet packet; /* first: what hooks see */
    struct stk_node node;         /* in sim->packets */
    struct stk_node queue_node;
    struct stk_timer timer;
    struct stk_sim *sim;
    struct sim_pipe *pipe;         /* that it is in */
    struct stk_sim_host *host;     /* that it is at, or comes from */
    struct stk_sim_socket *sender; /* while it counts there as waiting */
    uint16_t sender_bytes;
    uint16_t capacity; /* bytes at `bytes` */
    uint64_t serial;
    unsigned hops;
    uint8_t bytes[];
};

struct stk_sim_socket {
    struct stk_node node;
    struct stk_sim_host *host;
    const struct stk_sim_socket_user *type;
    void *user;
    struct stk_addr local;
    uint64_t waiting_bytes;
    unsigned references; /* being open, each packet that points here, each call to its user */
    bool short_sent;     /* writable() is owed */
    bool closed;
    struct stk_node gathered; /* packets that came and were not yet shown */
    unsigned gathered_count;
    struct stk_timer gather;
    struct stk_task wake;
};

struct stk_sim_host {
    struct stk_node node;
    struct stk_sim *sim;
    char name[STK_SIM_NAME_MAX];
    int index;
    struct stk_addr addrs[STK_SIM_ADDRS_MAX];
    int addr_count;
    struct stk_sim_host_options options;
    stk_sim_hook_fn *hook;
    void *hook_user;
    struct stk_node sockets;
    uint16_t next_port;
    struct sim_pipe *routes[STK_SIM_HOSTS_MAX]; /* the first pipe of the way to host i */
};

struct stk_sim {
    struct stk_sim_options options;
    struct stk_loop *loop;
    uint64_t now_us, turns;
    struct stk_watch *wake; /* the loop's own descriptor, if it has one */
    bool open;              /* the world is made and not yet ending */
    struct stk_timer until;
    struct stk_prng random; /* what the loop gives away */

    struct stk_node hosts, links, packets;
    int host_count;
    uint64_t pipe_count;
    unsigned packet_count;
    uint64_t next_serial;
    bool routes_stale;
    struct stk_sim_host *current_host;
    struct sim_trace trace;
};

/* Programs see a clock that started long ago, as they do everywhere else. */
#define SIM_START_US UINT64_C(1000000000)

extern const struct stk_backend sim_clock;

/* A generator for one purpose. Streams below 2^32 are this room's. */
void sim_prng(const struct stk_sim *sim, uint64_t stream, struct stk_prng *prng);

/* --- Packets (simhost.c) ------------------------------------------------------------------------
 */

/* NULL when there is no memory or too many are under way. */
struct sim_packet *sim_packet_new(struct stk_sim *sim, const struct stk_sim_packet *from);
void sim_packet_free(struct sim_packet *packet);
void sim_packet_drop(struct sim_packet *packet, enum stk_sim_drop cause);
/* Bytes on the wire, headers included. */
unsigned sim_packet_wire_size(const struct sim_packet *packet);

/* Arms the packet's timer. */
void sim_packet_later(struct sim_packet *packet, stk_timer_fn *fn, uint64_t due_us);

/* The packet is at the host now: it stays, goes on, or is dropped. */
void sim_host_take(struct stk_sim_host *host, struct sim_packet *packet);
/* Sends from here without asking the host's hook. */
void sim_host_send(struct stk_sim_host *host, struct sim_packet *packet);
/* Stops all timers and tasks; the memory stays until sim_host_free(). */
void sim_host_quiet(struct stk_sim_host *host);
void sim_host_free(struct stk_sim_host *host);
/* NULL if nobody has the address. */
struct stk_sim_host *sim_host_with(const struct stk_sim *sim, const struct stk_addr *addr);
bool sim_host_has(const struct stk_sim_host *host, const struct stk_addr *addr);
/* The address that packets from this host to `peer` bear; NULL without one of its family. */
const struct stk_addr *sim_host_source(const struct stk_sim_host *host,
                                       const struct stk_addr *peer);

/* --- Links (simlink.c), sockets (simsocket.c), trace (simtrace.c) -------------------------------
 */

void sim_pipe_send(struct sim_pipe *pipe, struct sim_packet *packet);
void sim_link_quiet(struct stk_sim_link *link);

/* True if some socket of the host took it. */
bool sim_socket_deliver(struct stk_sim_host *host, struct sim_packet *packet);
/* The packet has left the first link's queue. */
void sim_socket_left(struct sim_packet *packet);
void sim_socket_quiet(struct stk_sim_socket *socket);

int sim_trace_init(struct sim_trace *trace, unsigned ring_size);
void sim_trace_packet(const struct sim_packet *packet, enum sim_event_kind kind,
                      enum stk_sim_drop cause);

#endif
