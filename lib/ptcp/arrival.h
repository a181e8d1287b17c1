/*
 * Datagrams on their way in: arrival.c leads each to whom it concerns, opening.c answers those that
 * begin or resume a connection, late.c those that come after its end.
 */
#ifndef STK_PTCP_ARRIVAL_H
#define STK_PTCP_ARRIVAL_H

#include "endpoint.h"

struct ptcp_arrival {
    uint64_t now_us;
    const struct stk_run *run;
    const uint8_t *bytes;
    size_t size;
    struct ptcp_header header;
    struct ptcp_frames frames;
};

bool ptcp_arrival_is_plain(const struct ptcp_arrival *arrival);
/* Of a packet with a long header. Always so for a sealed one. */
bool ptcp_arrival_tag_ok(const struct ptcp_arrival *arrival);
bool ptcp_arrival_is_from(const struct ptcp_arrival *arrival, uint64_t association,
                          const struct stk_addr *peer);
/* The first frame of that type, if the packet is well-formed up to there. */
bool ptcp_arrival_find(struct ptcp_frames frames, uint8_t type, struct ptcp_frame *frame);
void ptcp_arrival_deliver(struct ptcp_conn *conn, const struct ptcp_arrival *arrival);
/* With RETRY or REFUSE, to a peer that has no connection here. */
void ptcp_arrival_answer(struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival,
                         uint8_t type, uint64_t code);

/* opening.c */
void ptcp_opening_syn(struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival);
void ptcp_opening_syn_ack(struct ptcp_conn *conn, const struct ptcp_arrival *arrival);
/* The opener of a durable connection comes over an association that may be another one. */
void ptcp_opening_resume(struct ptcp_endpoint *endpoint, struct ptcp_slot *slot,
                         const struct ptcp_arrival *arrival);
/* Somebody answers a SYN whose sender is gone, and would wait for its next word. */
void ptcp_opening_stray(struct ptcp_endpoint *endpoint, const struct ptcp_arrival *arrival);

/* late.c: the connection is over; the peer may not know. */
void ptcp_late_packet(struct ptcp_endpoint *endpoint, struct ptcp_timewait *entry,
                      const struct ptcp_arrival *arrival);
/* The peer comes over another association to ask; false: it has not proved that it is the peer. */
bool ptcp_late_resume(struct ptcp_endpoint *endpoint, struct ptcp_timewait *entry,
                      const struct ptcp_arrival *arrival, const uint64_t token[2]);

#endif
