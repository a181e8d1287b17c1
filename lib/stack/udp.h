/*
 * UDP as the bottom of a port: one socket, batches of datagrams both ways.
 *
 * udp.c opens and closes, udp_send.c and udp_recv.c move datagrams, udp_rest.c pauses between reads
 * while much comes, udp_report.c tells of peers that can't be reached, udp_apart.c has a second
 * socket for what may wait.
 */
#ifndef STK_STACK_UDP_H
#define STK_STACK_UDP_H

#include "dgram.h"

#include <sys/uio.h>

enum {
    STACK_UDP_BATCH = 16,           /* messages that one receive call takes */
    STACK_UDP_LARGE_BYTES = 16384,  /* messages that are longer on average are large ones */
    STACK_UDP_LARGE_BATCH = 4,      /* of these one call takes so many */
    STACK_UDP_ROUNDS = 4,           /* receive calls in one turn */
    STACK_UDP_TURN_BYTES = 262144,  /* after so many, who reads from above gets its turn */
    STACK_UDP_BUFFER_BYTES = 65536, /* one message: a whole run where the kernel coalesces */
    STACK_UDP_CONTROL_BYTES = 256,
    STACK_UDP_GAUGE_US = 200,          /* for so long at least bytes are counted for a rate */
    STACK_UDP_FAST_BYTES_PER_US = 500, /* from so many on an emptied socket rests */
    STACK_UDP_REST_US = 60,            /* for so long */
    STACK_UDP_REST_MIN_US = 20,   /* or not at all, if the buffer holds less than this brings */
    STACK_UDP_REST_LATE_US = 500, /* a rest that ends so much too late is one too many */
    STACK_UDP_ERRORS_MAX = 32,    /* ICMP reports taken in one turn */
    STACK_UDP_NOTHING_APART = -1,
};

/* Receive buffers: one set per loop, since datagrams are used before the next call. */
struct stack_udp_arena;

/* What a turn's reads have left in the socket. */
enum stack_udp_left {
    STACK_UDP_MORE,    /* perhaps */
    STACK_UDP_EMPTIED, /* of what had come */
    STACK_UDP_NOTHING, /* had come, or there is no memory, or ICMP told of a peer */
    STACK_UDP_FAILED,  /* for good */
};

/* How much comes: the rate of the last STACK_UDP_GAUGE_US, and what came since. */
struct stack_udp_gauge {
    uint64_t since_us, bytes, bytes_per_us;
};

/* Of a socket that has once been fast. */
struct stack_udp_rest;

/* What is left of a run that the socket took half of: sent before anything else. */
struct stack_udp_spill {
    struct stk_run run;
    struct stk_addr peer, local;
    unsigned next;
    uint8_t data[];
};

struct stack_udp {
    struct stk_dgram_layer layer;
    const struct stk_segment *segment;
    struct stk_watch watch;
    struct stk_task report; /* tells above what send() found out */
    struct stack_udp_arena *arena;
    struct stack_udp_spill *spill;
    struct stack_udp_rest *rest; /* NULL: it never had to rest */
    struct stack_udp_gauge gauge;
    struct stk_addr peer;              /* where runs without an address go; len 0: nowhere */
    struct stack_udp_reports *reports; /* NULL: none; else `report` is queued */
    uint64_t too_big_us;          /* when somebody was told last that a datagram was too long */
    struct stk_addr too_big_peer; /* of the last datagram that the interface was too small for */
    int fd;                       /* -1: not open */
    int family;                   /* of the socket */
    struct stk_udp_stats stats;   /* counters only; stack_udp_fill_stats() adds the rest */
    struct stk_watch apart_watch;
    int apart_fd;    /* -1: none */
    int apart_first; /* the first byte of what may wait, or STACK_UDP_NOTHING_APART */
    bool v6only;     /* of an IPv6 socket */
    bool gso;
    bool large;   /* what came last was */
    bool blocked; /* send() came back short: `writable` is owed */
};

/* udp.c */
/* A socket like the port's own, not bound yet. 0 or a negated errno; *fd is to be closed anyway. */
int stack_udp_socket(const struct stack_udp *udp, int *fd);
/* Watches for what the port waits for now. 0 or an error; then the watch is as it was. */
int stack_udp_watch(struct stack_udp *udp);

/* udp_apart.c */
void stack_udp_open_apart(struct stack_udp *udp);
void stack_udp_close_apart(struct stack_udp *udp);

/* udp_send.c */
int stack_udp_send(struct stk_dgram_layer *layer, struct stk_run *runs, int count);
void stack_udp_writable(struct stack_udp *udp);

/* udp_recv.c */
/* The loop's buffers; they go with the loop. -ENOMEM. */
int stack_udp_arena_of(struct stk_loop *loop, struct stack_udp_arena **out);
void stack_udp_readable(struct stack_udp *udp);
void stack_udp_readable_apart(struct stack_udp *udp);

/* udp_rest.c */
/* The timer reads, not the watch. */
bool stack_udp_is_resting(const struct stack_udp *udp);
/* To be called after a turn's reads of `bytes`, unless they failed for good. */
void stack_udp_after_read(struct stack_udp *udp, size_t bytes, enum stack_udp_left left);
void stack_udp_rest_free(struct stack_udp *udp);

/* udp_report.c */
/* The peer can't be reached, as send() found out: told above at the end of the turn. */
void stack_udp_report(struct stack_udp *udp, const struct stk_addr *peer, int error);
void stack_udp_tell_reports(struct stack_udp *udp);
/* Takes what the error queue of one of the two sockets tells of ICMP: until then it stays ready. */
void stack_udp_drain_errors(struct stack_udp *udp, int fd);
/* True for what ICMP can report of a peer. */
bool stack_udp_is_unreachable(int error);

/* udp_stats.c */
/* What the kernel granted for SO_RCVBUF or SO_SNDBUF; 0 if it does not say. */
uint32_t stack_udp_granted_bytes(int fd, int name);
void stack_udp_fill_stats(const struct stack_udp *udp, struct stk_udp_stats *stats);

#endif
