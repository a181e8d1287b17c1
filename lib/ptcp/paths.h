/*
 * The paths of an endpoint. A path lives while a connection holds it; that of an association
 * that was heard from stays for as long as TIME_WAIT lasts after the last one, and keeps the
 * association, so that the next connection starts with what its predecessors learnt.
 */
#ifndef STK_PTCP_PATHS_H
#define STK_PTCP_PATHS_H

#include "path.h"
#include "ptcp.h"

struct ptcp_conn;
struct ptcp_endpoint;

/*
 * Gives the connection its path: a new one, or in sealed mode that of the association, where
 * congestion control and datagram size are those that its first connection asked for. 0 or -ENOMEM.
 */
int ptcp_paths_join(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t association,
                    const struct stk_ptcp_options *options);
/* Over to the path of another association; what was in flight goes again there. 0 or -ENOMEM. */
int ptcp_paths_move(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn, uint64_t association);
/* The connection is over: it waits for no turn any more. */
void ptcp_paths_retire(struct ptcp_endpoint *endpoint, struct ptcp_conn *conn);
/* And now it goes. */
void ptcp_paths_leave(struct ptcp_endpoint *endpoint, struct ptcp_path *path);
/* NULL if no connection uses the association, or did lately. */
struct ptcp_path *ptcp_paths_find(const struct ptcp_endpoint *endpoint, uint64_t association);
/*
 * The path has its first RTT, so the peer has proved who it is: what was such a path like before?
 */
void ptcp_paths_recall(struct ptcp_endpoint *endpoint, struct ptcp_path *path);
/* The association has moved: what was learnt is for when it comes back, and all begins anew, with
 * what was sent since then (`now_us`: nothing). */
void ptcp_paths_renew(struct ptcp_endpoint *endpoint, struct ptcp_path *path, uint64_t now_us,
                      uint64_t since_us);
/* The association has failed. The path lives until its last connection goes. */
void ptcp_paths_give_up(struct ptcp_endpoint *endpoint, struct ptcp_path *path);
/* Its alarm rang. */
void ptcp_paths_ring(struct ptcp_endpoint *endpoint, struct ptcp_path *path);
/* Forgets those that no connection holds: all are, when connections are gone. */
void ptcp_paths_free(struct ptcp_endpoint *endpoint);

/* Somebody waits for a turn, or what is in flight has changed. */
void ptcp_paths_wake(struct ptcp_endpoint *endpoint, struct ptcp_path *path);

#endif
