/*
 * The packets that a connection sends, kind by kind: whether one is due, and what is in it.
 *
 * Each is built at `at`, of at most `size` bytes, and counts as sent. They return its bytes, or 0:
 * nothing is due, or memory is short.
 */
#ifndef STK_PTCP_CONN_PACKET_H
#define STK_PTCP_CONN_PACKET_H

#include "connection.h"

/* What may be in a packet; probes go in any case. */
enum ptcp_may {
    PTCP_MAY_CONTROL = 1,
    PTCP_MAY_STREAM = 2,
};

bool ptcp_conn_handshake_is_due(const struct ptcp_conn *conn, uint64_t now_us);
/* Anything but stream bytes that is worth a packet of its own. */
bool ptcp_conn_control_is_due(const struct ptcp_conn *conn, uint64_t now_us);

/* SYN or SYN_ACK, which is due. */
size_t ptcp_conn_build_handshake(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size);
/* `may`: enum ptcp_may. */
size_t ptcp_conn_build_data(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size,
                            unsigned may);
/* A PING as large as the path is asked whether it takes. */
size_t ptcp_conn_build_mtu_probe(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t room);
/* Over another association, perhaps: the token says which connection goes on. */
size_t ptcp_conn_build_resume(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size);

#endif
