/*
 * Runs of full packets with new stream bytes and nothing else: what a transfer consists of.
 *
 * conn_packet.c builds every kind of packet, one at a time, and looks at all limits before each.
 * Here they are looked at once for as many packets as they allow; what is special about a packet
 * (lost bytes, control frames, the end of the stream, a number to leave out) is left to it.
 */
#ifndef STK_PTCP_BULK_H
#define STK_PTCP_BULK_H

#include "connection.h"

/* Adds packets to a run of full ones, up to `limit` in all; maybe none. */
void ptcp_bulk_add(struct ptcp_conn *conn, uint64_t now_us, struct stk_run *run, unsigned limit);

#endif
