/*
 * Logs of connections in qlog (draft-ietf-quic-qlog-main-schema) as JSON text sequences (RFC 7464).
 * docs/qlog.md specifies the files and their events. One writer for each bridge, one log and one
 * file for each of its connections.
 *
 * A log has one buffer of fixed size and allocates nothing more. It is written out at the end of
 * the loop's turn, or when the buffer is full. When the disk refuses, or the log is as long as it
 * may be, it ends: the connection never notices.
 */
#ifndef STK_PTCP_QLOG_H
#define STK_PTCP_QLOG_H

#include "bridge.h"
#include "json.h"

enum {
    PTCP_QLOG_BUFFER_BYTES = 16384,
    PTCP_QLOG_RECORD_MAX = 8192,    /* bytes of one event */
    PTCP_QLOG_FRAME_MAX = 3328,     /* of these, one frame at the most: an ACK of many ranges */
    PTCP_QLOG_LAST_RECORD_MAX = 256 /* of the record that says why the log ends */
};

#define PTCP_QLOG_BYTES_DEFAULT (UINT64_C(256) << 20)
#define PTCP_QLOG_BYTES_MIN     (64 << 10)
#define PTCP_QLOG_EVENTS_URI    "urn:libstack:qlog:events:ptcp"

/* What was said last: only what changed is said again. */
struct ptcp_qlog_said {
    uint64_t rtt_us, rtt_min_us, rtt_latest_us, rtt_var_us;
    uint64_t window_bytes, ssthresh_bytes, in_flight_bytes, pacing_bits_per_s, pto_count;
    uint16_t mtu_bytes;
    const char *congestion; /* state */
    bool own_params, peer_params;
};

struct ptcp_qlog;

struct ptcp_qlog_log {
    struct ptcp_trace trace;
    struct ptcp_qlog *qlog;
    struct stk_node unwritten; /* in qlog->unwritten while the buffer has bytes */
    struct ptcp_qlog_said said;
    uint64_t start_us, bytes;
    int fd; /* -1: the log has ended */
    size_t len;
    char buffer[PTCP_QLOG_BUFFER_BYTES];
};

struct ptcp_qlog {
    struct ptcp_tracer tracer;
    struct stk_loop *loop;
    struct stk_task task;
    struct stk_node unwritten;
    uint64_t bytes_max;
    bool warned;
    char path[]; /* a directory, or the name of a file */
};

/*
 * Watches the bridge's connections if the segment's option "qlog" or STK_QLOG_DIR in the
 * environment says where to. Without memory nothing is logged.
 */
void ptcp_qlog_attach(struct ptcp_bridge *bridge, const struct stk_segment *segment);
/* Does it log what the segment asks for? NULL: it logs nothing. */
bool ptcp_qlog_serves(const struct ptcp_qlog *qlog, const struct stk_segment *segment);
/* After the endpoint, and with it all logs, is gone. NULL is allowed. */
void ptcp_qlog_free(struct ptcp_qlog *qlog);

/* qlog.c for qlog_event.c: a record of the event "ptcp:NAME", open at its data. */
struct ptcp_json ptcp_qlog_begin(struct ptcp_qlog_log *log, const char *name);
void ptcp_qlog_end(struct ptcp_qlog_log *log, struct ptcp_json *json);
/* Writes out what is left and frees the log. */
void ptcp_qlog_close(struct ptcp_qlog_log *log);

/* qlog_event.c */
extern const struct ptcp_trace_type ptcp_qlog_trace;
void ptcp_qlog_started(struct ptcp_qlog_log *log, const struct ptcp_conn *conn);
/* qlog_frame.c: the member "frames", as many as there is room for. */
void ptcp_qlog_frames(struct ptcp_json *json, struct ptcp_frames frames);

#endif
