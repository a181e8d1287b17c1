/*
 * The packets that a connection sends, kind by kind: whether one is due, and what is in it.
 *
 * Each is built at `at`, of at most `size` bytes, and counts as sent. They return its bytes, or 0:
 * nothing is due, or memory is short.
 */
#ifndef STK_PTCP_CONN_PACKET_H
#define STK_PTCP_CONN_PACKET_H

#include "connection.h"

/* What may be in a packet, besides control frames. */
enum ptcp_part {
    PTCP_PART_CONTROL, /* nothing */
    PTCP_PART_STREAM,
    PTCP_PART_LAST, /* stream bytes, the last ones of a turn */
};

bool ptcp_conn_handshake_is_due(const struct ptcp_conn *conn, uint64_t now_us);
/* Anything but stream bytes that is worth a packet of its own. */
bool ptcp_conn_control_is_due(const struct ptcp_conn *conn, uint64_t now_us);

/* SYN or SYN_ACK, which is due. */
size_t ptcp_conn_build_handshake(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size);
/*
 * The first packet of a run may carry everything, the others only stream bytes; the last one of a
 * turn asks for an ACK at once, as no later one brings it about.
 */
size_t ptcp_conn_build_data(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size,
                            bool first, enum ptcp_part part);
/* A PING as large as the path is asked whether it takes. */
size_t ptcp_conn_build_mtu_probe(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t room);
/* Over another association, perhaps: the token says which connection goes on. */
size_t ptcp_conn_build_resume(struct ptcp_conn *conn, uint64_t now_us, uint8_t *at, size_t size);

#endif
