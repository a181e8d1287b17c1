/*
 * A small world for seal's tests: ports on a virtual clock, joined by a wire that the test can
 * listen to, cut, rewrite and play back. Addresses are 10.0.0.N:PORT; a packet takes 10 ms.
 */
#ifndef STK_TESTS_SEAL_WORLD_H
#define STK_TESTS_SEAL_WORLD_H

#include "seal_state.h"

#include <stdbool.h>

enum {
    WORLD_NODES = 8,
    WORLD_PACKETS = 4096,
    WORLD_PACKET_MAX = 2048,
    WORLD_DELAY_US = 10 * 1000,
};

struct world;

struct world_packet {
    struct stk_addr from, to;
    uint64_t due_us;
    uint16_t len;
    uint8_t ecn;
    uint8_t data[WORLD_PACKET_MAX];
};

struct world_node {
    struct world *world;
    struct stk_port *port;
    struct stk_addr addr;    /* where it is; a test may move it */
    struct stk_addr further; /* it is there as well, and speaks from there when told; len 0: not */
    struct stk_dgram_layer *wire;
    bool full; /* the wire takes nothing */
    /* What the layer told. */
    int ready, failed, moved, rebound, inputs, writable;
    int told_inside; /* of the above, from inside send() */
    int heard_late;  /* datagrams of an association that had failed */
    bool sending;
    uint64_t failed_id;
    struct stk_error error;
    uint64_t association; /* of the last input or event */
    uint8_t data[WORLD_PACKET_MAX];
    size_t len;
    uint8_t ecn;
    struct stk_addr from;
    uint8_t seen[4096]; /* by the number that world_send_number() put in */
    bool echo;          /* answers each datagram with itself, from inside input */
    bool retain;        /* retains associations that it hears of first by input */
    uint64_t retained;
};

struct world {
    struct stk_loop *loop;
    uint64_t now_us;
    struct stk_prng prng;
    struct world_node nodes[WORLD_NODES];
    int node_count;
    struct world_packet *queue; /* in flight */
    int queued;
    struct world_packet *log; /* all that was ever sent */
    int logged;
    uint64_t bytes_to[WORLD_NODES];
    struct stk_timer arrival, end;
    bool over;
    /* False drops the packet; it may change it. */
    bool (*filter)(struct world *world, struct world_packet *packet);
    void *context;
};

bool world_init(struct world *world, uint64_t seed);
void world_free(struct world *world);
/* A port at 10.0.0.(index + 1):4000 with "seal" and these options, such as ",peer=…". */
int world_open(struct world *world, const char *options, bool listening, struct world_node **out,
               struct stk_error *error);
/* The same with other layers, "/wire" or "/wire/pad": a transport for another node. */
int world_open_recipe(struct world *world, const char *text, bool listening,
                      struct world_node **out, struct stk_error *error);
void world_close(struct world_node *node);
void world_run(struct world *world, uint64_t us);
struct stk_addr world_addr(int host, uint16_t port);

/* Gives one datagram to the port; returns what send() returned. */
int world_send(struct world_node *node, uint64_t association, const void *data, size_t len);
int world_send_number(struct world_node *node, uint64_t association, unsigned number);
/* Puts bytes on the wire as if they came from `from`. */
void world_inject(struct world *world, const struct stk_addr *from, const struct stk_addr *to,
                  const void *data, size_t len);

/* It as it comes to a port, for those who give it one themselves; good as long as the packet. */
struct stk_run world_run_of(struct world_packet *packet);

struct seal_port *world_seal(struct world_node *node);
struct seal_association *world_association(struct world_node *node, uint64_t id);

#endif
