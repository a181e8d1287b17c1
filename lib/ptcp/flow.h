/*
 * Flow control: what the peer may send, and what we may. The granted window grows while the
 * reader keeps up with the path (as TCP's dynamic right-sizing does), and when it stops the peer
 * without the reader's fault; never beyond its maximum.
 */
#ifndef STK_PTCP_FLOW_H
#define STK_PTCP_FLOW_H

#include <stdbool.h>
#include <stdint.h>

struct ptcp_flow {
    uint64_t window, window_max;  /* bytes granted beyond what was consumed */
    uint64_t granted;             /* the offset last told to the peer */
    uint64_t mark, mark_us;       /* consumed offset and time when the window was last judged */
    uint64_t arrived, arrived_us; /* bytes that came behind holes, since then */
    uint64_t grown_us, grown_at; /* when it last grew because the peer was blocked; bytes by then */
    uint64_t peer_limit;         /* the offset that the peer granted */
    uint64_t blocked_at;         /* a limit that was already reported; UINT64_MAX: none */
    bool update;                 /* MAX_DATA must be sent (again) */
    bool surely;                 /* and acknowledged: the peer waits for it, or lacks one */
};

void ptcp_flow_init(struct ptcp_flow *flow, uint64_t window, uint64_t window_max);
/* The reader consumed up to `offset`. Sets `update` when the peer should know. */
void ptcp_flow_consumed(struct ptcp_flow *flow, uint64_t offset, uint64_t now_us, uint64_t rtt_us);
/*
 * So many bytes have come behind a hole. If little lies unread, the reader waits for the hole and
 * can't show how fast the peer is: what arrives does.
 */
void ptcp_flow_arrived(struct ptcp_flow *flow, uint64_t bytes, uint64_t unread, uint64_t now_us,
                       uint64_t rtt_us);
/*
 * The peer says that the window stops it; `received` bytes have come since the stream began. If
 * little lies unread, the reader is not the cause: losses need a window of several round trips.
 * What the peer says alone is worth nothing: a quarter of it must have come since it last grew so.
 */
void ptcp_flow_blocked(struct ptcp_flow *flow, uint64_t received, uint64_t unread, uint64_t now_us,
                       uint64_t rtt_us);
/* The offset to tell the peer now; it is then granted. */
uint64_t ptcp_flow_grant(struct ptcp_flow *flow, uint64_t consumed);
/* The peer's MAX_DATA; false if it is not news. */
bool ptcp_flow_raise(struct ptcp_flow *flow, uint64_t limit);

#endif
