/*
 * When the user of a connection may write more, and how much: alone on its path, as soon as its
 * buffer has room; where others send as well, what they hold unsent is together about as much as
 * stays in the processor's cache until it is sent, and users are invited in turn (turns.h).
 */
#ifndef STK_PTCP_INVITATION_H
#define STK_PTCP_INVITATION_H

#include "connection.h"

enum {
    PTCP_UNSENT_BYTES = 1 << 20, /* of all connections of a path, or more: */
    PTCP_UNSENT_SHARE = 8,       /* this part of its window, so that users may be slow */
};

/* The user is about to write: sets the limit of the send buffer. */
void ptcp_invitation_bound(struct ptcp_conn *conn);
/* Its user wants room: there may be some, or it asks for an invitation. */
void ptcp_invitation_seek(struct ptcp_conn *conn);
/* The same after its turn, or before it: alone, only an ACK makes room. */
void ptcp_invitation_seek_beside_others(struct ptcp_conn *conn);
/*
 * The port's memory has refused it its first byte: true, it will be told when there is some. False:
 * that was not the cause.
 */
bool ptcp_invitation_starves(struct ptcp_conn *conn);
/* Tells those in the order in which they came, as many as there are chunks of memory. */
void ptcp_invitation_feed(struct ptcp_endpoint *endpoint);
/* Invites as many as there are places for. */
void ptcp_invitation_send(struct ptcp_path *path);
/* The user has been told: if it does not write now, others may. */
void ptcp_invitation_told(struct ptcp_conn *conn);

#endif
