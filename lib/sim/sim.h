/*
 * A network inside one process, for tests: virtual time, hosts, links that misbehave on demand.
 *
 * The sim owns a loop whose clock jumps from timer to timer, so an hour of silence costs nothing,
 * and everything random in it comes from one seed: the same seed gives the same run. Real stacks
 * run on it unchanged, with "simudp" in the place of "udp":
 *
 *     stk_listen(loop, "/ip4/10.0.0.1/simudp/4001/ptcp", …);
 *     stk_connect(loop, "/ip4/10.0.0.1/simudp/4001,host=client/ptcp", …);
 *
 * Times are microseconds; points in time are on the loop's clock unless the comment says otherwise.
 * Everything belongs to the sim and goes with it. Single-threaded, as the loop is.
 */
#ifndef STK_SIM_SIM_H
#define STK_SIM_SIM_H

#include "dgram.h"
#include "recipe.h"

#include <stdio.h>

struct stk_sim;
struct stk_sim_host;
struct stk_sim_link;
struct stk_sim_socket;

enum {
    STK_SIM_NAME_MAX = 32, /* bytes of a host's name, with the NUL */
    STK_SIM_HOSTS_MAX = 256,
    STK_SIM_ADDRS_MAX = 8,         /* addresses of one host */
    STK_SIM_HOPS_MAX = 32,         /* links that one packet may cross */
    STK_SIM_PACKETS_MAX = 1 << 18, /* under way at a time; further ones are dropped */
    STK_SIM_QUEUE_PACKETS = 1000,  /* of a link that sets no bound of its own */
    STK_SIM_HEADER_IP4 = 28,       /* bytes of IP and UDP header that each datagram costs */
    STK_SIM_HEADER_IP6 = 48,
};

struct stk_sim_options {
    uint64_t seed;
    uint64_t time_limit_us; /* a run that takes longer is a hang; 0: one hour */
    uint64_t event_limit;   /* the same for the number of turns; 0: 50 million */
    unsigned trace_events;  /* so many of the last events can be printed; 0: none */
    bool ignore_payload;    /* bytes of datagrams stay out of the hash: for OpenSSL, which has
                             * random numbers of its own */
};

/* `options` may be NULL. 0 or -ENOMEM. */
int stk_sim_new(const struct stk_sim_options *options, struct stk_sim **out);
/* The loop goes too: all that stood on it must be closed, and the loop run until it is gone. */
void stk_sim_free(struct stk_sim *sim);
struct stk_loop *stk_sim_loop(const struct stk_sim *sim);
/* The sim that a loop belongs to; NULL for a real loop. */
struct stk_sim *stk_sim_of_loop(const struct stk_loop *loop);

/*
 * Runs until stk_loop_stop() or until nothing is left to happen: 0. -ETIMEDOUT at the time limit
 * and STK_ELIMIT at the event limit: the run hangs. stk_loop_run() does the same.
 */
int stk_sim_run(struct stk_sim *sim);
/* The same for at most so long; the clock then stands exactly there unless the loop was stopped. */
int stk_sim_run_for(struct stk_sim *sim, uint64_t time_us);
uint64_t stk_sim_elapsed_us(const struct stk_sim *sim);

/* A generator of the caller's own, independent of all others of this seed. */
void stk_sim_prng(const struct stk_sim *sim, uint64_t stream, struct stk_prng *prng);

/* --- Hosts ------------------------------------------------------------------------------------ */

struct stk_sim_host_options {
    /* Bytes of one socket that may wait for the first link; more make send() come back short, as a
     * socket buffer does. 0: no bound, the link's queue drops. */
    size_t send_buffer_bytes;
    /*
     * How long a host gathers arriving datagrams before a socket sees them. Equal-size neighbours
     * from one sender then come as one run, as GRO makes them. 0: each comes at once, alone.
     */
    uint64_t gather_us;
};

/* `address` as in "10.0.0.1" or "fd00::1"; NULL for a router. -EEXIST, STK_ESYNTAX, -ENOSPC,
 * -ENOMEM. */
int stk_sim_host_add(struct stk_sim *sim, const char *name, const char *address,
                     struct stk_sim_host **out);
struct stk_sim_host *stk_sim_host_find(const struct stk_sim *sim, const char *name);
const char *stk_sim_host_name(const struct stk_sim_host *host);
int stk_sim_host_add_addr(struct stk_sim_host *host, const char *address);
/* Datagrams to it go nowhere from now on: a machine that changes its network. -ENOENT. */
int stk_sim_host_remove_addr(struct stk_sim_host *host, const char *address);
void stk_sim_host_set(struct stk_sim_host *host, const struct stk_sim_host_options *options);
/* Where "simudp" without host=NAME binds when it connects; at first the host that was added last.
 */
void stk_sim_set_current_host(struct stk_sim *sim, struct stk_sim_host *host);

/* A datagram under way. Addresses and bytes may be changed in a hook; `size` may shrink. */
struct stk_sim_packet {
    struct stk_addr from, to;
    uint8_t *data;
    uint16_t size;
    uint8_t ecn; /* enum stk_ecn */
};

enum stk_sim_verdict { STK_SIM_PASS, STK_SIM_DROP };

/*
 * Sees every packet that comes to a host, to stay or to be passed on, and may change, redirect or
 * drop it: the place for NATs, firewalls and attackers. `host` is where it is now. Runs before the
 * host looks at the address.
 */
typedef enum stk_sim_verdict stk_sim_hook_fn(void *user, struct stk_sim_host *host,
                                             struct stk_sim_packet *packet);
void stk_sim_host_set_hook(struct stk_sim_host *host, stk_sim_hook_fn *hook, void *user);
/* Sends a copy from a host, with any addresses: forged, recorded, whatever. 0 or -ENOMEM. */
int stk_sim_inject(struct stk_sim_host *host, const struct stk_sim_packet *packet);

/* --- Links ------------------------------------------------------------------------------------ */

enum stk_sim_jitter {
    STK_SIM_UNIFORM, /* 0 to jitter_us on top of the delay */
    STK_SIM_NORMAL,  /* deviation jitter_us around the delay, which never falls below 0 */
};

/*
 * One direction of a link. A packet waits in the queue, is sent at the rate, and then meets what
 * the wire does: loss, corruption, duplication, delay. All zero: a perfect wire. Sizes count IP and
 * UDP headers. Chances are in parts per million.
 */
struct stk_sim_wire {
    uint64_t rate_bit_s; /* 0: no limit */
    uint64_t delay_us;
    uint64_t jitter_us;
    enum stk_sim_jitter jitter;
    bool overtaking; /* packets with less jitter pass others; otherwise the order is kept */

    uint64_t queue_bytes, queue_packets; /* waiting, without the one being sent; 0: no bound; both
                                          * 0: STK_SIM_QUEUE_PACKETS. Drop-tail. */
    uint64_t mark_bytes; /* ECN-capable packets that find so much waiting are marked; 0: never */
    uint16_t mtu;        /* larger packets vanish; 0: none do */

    uint32_t loss_ppm;
    /* Gilbert–Elliott: the state changes before each packet. All 0: off. */
    uint32_t to_bad_ppm, to_good_ppm, bad_loss_ppm;
    uint64_t loss_mask; /* packet n is lost if bit n % 64 is set */

    uint32_t reorder_ppm; /* held back by 1 to reorder_us, so that others overtake it */
    uint64_t reorder_us;
    uint32_t duplicate_ppm; /* a copy comes with it, or up to duplicate_us later */
    uint64_t duplicate_us;
    uint32_t corrupt_ppm; /* 1 to corrupt_bits bits of the payload flip, and UDP does not notice */
    unsigned corrupt_bits;

    /* Blackouts: whatever would start across the wire is lost. In time since the sim's start. */
    uint64_t dark_from_us, dark_for_us; /* dark_for_us 0: none */
    uint64_t dark_every_us;             /* again after so long; 0: once */
};

enum stk_sim_direction { STK_SIM_FORTH, STK_SIM_BACK }; /* from a to b, from b to a */

enum stk_sim_drop {
    STK_SIM_DROP_QUEUE,
    STK_SIM_DROP_MTU,
    STK_SIM_DROP_LOSS,
    STK_SIM_DROP_BURST,
    STK_SIM_DROP_MASK,
    STK_SIM_DROP_DARK,
    STK_SIM_DROP_ROUTE,  /* no way there, or too many hops */
    STK_SIM_DROP_CLOSED, /* nobody has the address and port */
    STK_SIM_DROP_HOOK,
    STK_SIM_DROP_MEMORY,
    STK_SIM_DROP_COUNT,
};

struct stk_sim_wire_stats {
    uint64_t packets_in, bytes_in;   /* offered */
    uint64_t packets_out, bytes_out; /* arrived, duplicates included */
    uint64_t dropped[STK_SIM_DROP_COUNT];
    uint64_t duplicated, reordered, corrupted, marked;
    uint64_t queue_max_bytes;
    double queue_mean_bytes; /* over the time since the start */
};

/* Joins two hosts; `back` may be NULL: like `forth`. Packets take the way with the fewest links. */
int stk_sim_link_add(struct stk_sim *sim, struct stk_sim_host *a, struct stk_sim_host *b,
                     const struct stk_sim_wire *forth, const struct stk_sim_wire *back,
                     struct stk_sim_link **out);
/* Changes hold for packets that start across the wire from now on. */
void stk_sim_link_set(struct stk_sim_link *link, enum stk_sim_direction direction,
                      const struct stk_sim_wire *wire);
const struct stk_sim_wire *stk_sim_link_wire(const struct stk_sim_link *link,
                                             enum stk_sim_direction direction);
void stk_sim_link_stats(const struct stk_sim_link *link, enum stk_sim_direction direction,
                        struct stk_sim_wire_stats *stats);
const char *stk_sim_drop_name(enum stk_sim_drop cause);

/* --- Sockets: bare datagrams, for protocols that don't use the library's layers ----------------
 */

struct stk_sim_socket_user {
    void (*input)(void *user, struct stk_run *runs, int count);
    void (*writable)(void *user); /* after send() came back short; may be NULL */
};

/*
 * Port 0 takes a free one; the any-address takes all of the host's. -EADDRINUSE, -EADDRNOTAVAIL,
 * -ENOMEM.
 */
int stk_sim_socket_open(struct stk_sim_host *host, const struct stk_addr *local,
                        const struct stk_sim_socket_user *type, void *user,
                        struct stk_sim_socket **out);
void stk_sim_socket_close(struct stk_sim_socket *socket);
/* Runs as in dgram.h; returns how many were taken. `time_us` of a run holds it back until then. */
int stk_sim_socket_send(struct stk_sim_socket *socket, const struct stk_run *runs, int count);
void stk_sim_socket_local(const struct stk_sim_socket *socket, struct stk_addr *local);

/* --- The trace ----------------------------------------------------------------------------------
 */

/* Covers every event so far, its time, place and bytes. */
uint64_t stk_sim_hash(const struct stk_sim *sim);
uint64_t stk_sim_events(const struct stk_sim *sim);
/* Prints each event as it happens; NULL ends it. */
void stk_sim_trace_to(struct stk_sim *sim, FILE *file);
/* Prints the events that options.trace_events kept. */
void stk_sim_print_trace(const struct stk_sim *sim, FILE *file);
/* Puts a line of the program's own into the trace and the hash. */
void stk_sim_note(struct stk_sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The layer "simudp,host=NAME": stk_sim_new() makes it known to recipes. */
extern const struct stk_layer_type stk_layer_simudp;

#endif
