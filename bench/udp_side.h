/*
 * Raw UDP: the limit for anything over UDP. Datagrams in batches (UDP_SEGMENT, UDP_GRO) inside a
 * fixed window and no protocol but an answer to each batch; optionally each datagram is sealed and
 * opened, as little as a secure protocol can do.
 */
#ifndef STK_BENCH_UDP_SIDE_H
#define STK_BENCH_UDP_SIDE_H

#include "cipher.h"
#include "side.h"

/* cipher: NULL for plain datagrams. A sealed one has a header and a tag beside its payload. */
int udp_receive(struct side *side, const struct cipher_type *cipher, size_t payload_bytes);
int udp_send(struct side *side, const struct cipher_type *cipher, size_t payload_bytes);

#endif
