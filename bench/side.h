/*
 * The two sides of a measurement, each a process of its own so that the CPU time of each can be
 * told. The receiver listens, the sender connects; what they do is up to the program.
 *
 * The environment says where they run (bench/run sets it):
 *
 *   BENCH_RECEIVER_NETNS, BENCH_SENDER_NETNS   files of network namespaces (none: this one)
 *   BENCH_RECEIVER_HOST                        the receiver's IPv4 address (127.0.0.1)
 *   BENCH_PIN                                  1: receiver on processor 0, sender on processor 1
 */
#ifndef STK_BENCH_SIDE_H
#define STK_BENCH_SIDE_H

#include "measure.h"
#include "seal.h"

#include <netinet/in.h>

enum {
    CHUNK_BYTES = 64 * 1024, /* what a sender writes at a time */
    READ_BYTES = 128 * 1024, /* what a receiver reads at a time */
    RECIPE_BYTES = 1024,
};

/* Made before the processes part. */
struct stage {
    struct stk_key_pair sender_key, receiver_key;
    char dir[64];          /* of the files below */
    char certificate[128]; /* a self-signed one with its key, for "bench.example" */
    char unix_path[128];
    const char *host; /* the receiver's */
    uint8_t *bytes;   /* CHUNK_BYTES that are sent again and again */
};

struct side {
    const struct stage *stage;
    const char *name; /* of the case */
    void *shared;     /* memory of both sides, for the program's results */
    struct meter meter;
    uint16_t port; /* the sender's: where the receiver is */
    int port_pipe; /* the receiver's: it tells its port here */
};

typedef int side_fn(struct side *side); /* 0, or not after it said why on stderr */

/* -1 if there is no memory or no temporary directory. */
int stage_set(struct stage *stage);
void stage_clear(struct stage *stage);
/* Zeroed memory that both sides see; NULL if there is none. */
void *shared_new(size_t size);

/* Starts the receiver and, when it has told its port, the sender. Each has deadline_s seconds.
 * True if both end well. */
bool sides_run(const struct stage *stage, const char *name, void *shared, side_fn *receive,
               side_fn *send, unsigned deadline_s);

/* Tells the sender that the receiver is ready, and where. */
void side_tell_port(struct side *side, uint16_t port);
struct sockaddr_in side_addr(const struct side *side, uint16_t port);
int side_failed(const struct side *side, const char *what);

/*
 * recipe.c: a case's name that begins with a slash is a stack without addresses. This adds the
 * address of the receiver to udp, tcp and unix, its key to seal and its certificate to tls.
 */
const char *recipe_listen(const struct side *side, char recipe[RECIPE_BYTES]);
const char *recipe_connect(const struct side *side, char recipe[RECIPE_BYTES]);

/* stack_side.c: the library under test */
side_fn stack_receive, stack_send;
int stack_loop(const struct stk_key_pair *key, struct stk_loop **loop); /* 0 or -1 */
int stack_refused(const struct side *side, const struct stk_error *error);
/* tcp_side.c: the kernel's TCP with blocking calls */
side_fn tcp_receive, tcp_send;
int tcp_listen(struct side *side);     /* tells the port */
int tcp_accept_one(struct side *side); /* a connected socket, or -1 */
int tcp_connect_one(struct side *side);
/* tls_side.c: the same under TLS 1.3 with AES-128-GCM */
side_fn tls_receive, tls_send;
int tls_make_certificate(const char *path);

#endif
