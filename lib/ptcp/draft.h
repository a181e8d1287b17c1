/*
 * One packet in the making: its header, its frames, the record of what is in it; in plain mode its
 * tag. What it carries, and why, is up to conn_packet.c.
 */
#ifndef STK_PTCP_DRAFT_H
#define STK_PTCP_DRAFT_H

#include "connection.h"

/*
 * The record is made where it stays: a copy of what was just written has to wait until it is
 * written, and for whatever was on its way to memory before.
 */
struct ptcp_draft {
    struct stk_writer writer;
    uint8_t *start;
    struct ptcp_sent *record;
};

/* At most `size` bytes, the tag included. After a ptcp_sent_reserve(). */
void ptcp_draft_begin(struct ptcp_draft *draft, struct ptcp_conn *conn, uint8_t type, uint8_t *at,
                      size_t size);
/* Of what has come; room is left for other frames. */
void ptcp_draft_add_ack(struct ptcp_draft *draft, struct ptcp_conn *conn, uint64_t now_us);
/* MAX_DATA, if there is something new to tell. */
void ptcp_draft_add_grant(struct ptcp_draft *draft, struct ptcp_conn *conn);
/* What `conn->due` tells, but for PARAMS. */
void ptcp_draft_add_due(struct ptcp_draft *draft, struct ptcp_conn *conn);
/* `flags`: of enum ptcp_sent_flag, besides ELICITING. */
void ptcp_draft_add_ping(struct ptcp_draft *draft, unsigned flags);
/* For bytes of the stream from `offset` on, to the packet's end. */
size_t ptcp_draft_stream_room(const struct ptcp_draft *draft, uint64_t offset);
/* No more than there is room for. They end the packet. */
void ptcp_draft_add_piece(struct ptcp_draft *draft, struct ptcp_conn *conn,
                          const struct ptcp_piece *piece);
/* The packet is recorded, and counts as sent. Its bytes, with the tag. */
size_t ptcp_draft_finish(struct ptcp_draft *draft, struct ptcp_conn *conn, uint64_t now_us);

#endif
