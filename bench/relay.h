/* A NAT in user space for one flow of UDP, which keeps batches together (UDP_SEGMENT, UDP_GRO). */
#ifndef STK_BENCH_RELAY_H
#define STK_BENCH_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct relay {
    int inside, outside;
    struct sockaddr_in receiver;
};

/* *port: where the sender finds it on 127.0.0.1. */
bool relay_open(struct relay *relay, const struct sockaddr_in *receiver, uint16_t *port);
/* Forwards until nothing came for a second; from after_us on from another port, and *moved_us says
 * when that was. Returns false on failure. */
bool relay_run(struct relay *relay, uint64_t after_us, uint64_t *moved_us);

#endif
