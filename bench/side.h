/*
 * The two sides of a transfer, each a process of its own, and what they know of one another. The
 * receiver listens, the sender connects and sends until its meter says that the window is over.
 */
#ifndef STK_BENCH_SIDE_H
#define STK_BENCH_SIDE_H

#include "measure.h"
#include "seal.h"

enum {
    CHUNK_BYTES = 64 * 1024, /* what a sender writes at a time */
    READ_BYTES = 128 * 1024, /* what a receiver reads at a time */
};

/* Made before the processes part. */
struct stage {
    struct stk_key_pair sender_key, receiver_key;
    char dir[64];          /* of the files below */
    char certificate[128]; /* a self-signed one with its key, for "bench.example" */
    char unix_path[128];
    uint8_t *bytes; /* CHUNK_BYTES that are sent again and again */
};

struct side {
    const struct stage *stage;
    const struct bench_case *bench_case;
    struct meter meter;
    uint16_t port; /* the sender's: where the receiver is */
    int port_pipe; /* the receiver's: it tells its port here */
};

typedef int side_fn(struct side *side); /* 0, or not after it said why on stderr */

struct bench_case {
    const char *name;
    side_fn *receive, *send;
    const char *listen, *connect; /* recipes of the library's cases; see stack_side.c */
    uint64_t datagram_bytes;      /* of the raw UDP cases */
    bool sealed;
};

/* stack_side.c: the library under test */
side_fn stack_receive, stack_send;
/* tcp_side.c: the kernel's TCP with blocking calls */
side_fn tcp_receive, tcp_send;
int tcp_accept_one(struct side *side); /* a connected socket, or -1 */
int tcp_connect_one(struct side *side);
/* tls_side.c: the same under TLS 1.3 with AES-128-GCM */
side_fn tls_receive, tls_send;
int tls_make_certificate(const char *path);
/* udp_side.c: the limit for anything over UDP */
side_fn udp_receive, udp_send;

/* Tells the sender that the receiver is ready, and where. */
void side_tell_port(struct side *side, uint16_t port);
int side_failed(const struct side *side, const char *what);

#endif
