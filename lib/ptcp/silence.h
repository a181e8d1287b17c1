/*
 * A path that falls silent in the middle of a stream.
 *
 * The peer may have nothing to say; but our address may be another since a NAT has forgotten us,
 * and then it is for us to speak: who has acknowledged everything would wait for ever, and the
 * peer's probes go where we were. So when nothing has come over a path for half a round trip, one
 * of its connections that are in the middle of the peer's stream sends a PING. Each asks again only
 * when something more has come: PTCP_SILENCE_BYTES, or less and PTCP_SILENCE_AGAIN_US after the
 * path was asked about last. So a peer that pauses is asked once.
 */
#ifndef STK_PTCP_SILENCE_H
#define STK_PTCP_SILENCE_H

#include "connection.h"

enum {
    PTCP_SILENCE_BYTES = 16 << 10, /* since it was last asked about: the middle of something */
    PTCP_SILENCE_LEAST_US = 25000, /* of a pause, unless a probe time-out is shorter */
    PTCP_SILENCE_AGAIN_US = 1000000,
};

/* After what came was looked at. */
void ptcp_silence_watch(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn);
/* The connection leaves its path. */
void ptcp_silence_leave(struct ptcp_conn *conn);
/* The path's alarm for silence rang. */
void ptcp_silence_ring(struct ptcp_endpoint *endpoint, struct ptcp_path *path);

#endif
