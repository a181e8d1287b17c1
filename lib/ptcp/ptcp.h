/*
 * PTCP: a reliable byte stream over datagrams, with the semantics of TCP. docs/ptcp.md is its
 * specification. This header is what users of the stream layer see; the layer's recipe segment
 * is "ptcp", above a datagram stack: /udp/4001/ptcp or /udp/4001/seal,peer=KEY/ptcp.
 *
 * Its option "qlog", or STK_QLOG_DIR in the environment, logs connections: docs/qlog.md.
 */
#ifndef STK_PTCP_PTCP_H
#define STK_PTCP_PTCP_H

#include <stdint.h>

struct stk_layer_type;

/* The layer "ptcp"; a program's registry has it already. */
extern const struct stk_layer_type stk_layer_ptcp;

/*
 * Zero means the default everywhere, but where it is said to switch something off. Time-outs of a
 * connection count in whole milliseconds, rounded up.
 */
struct stk_ptcp_options {
    const char *congestion;       /* "bbr" (default), "cubic" or "reno" */
    uint64_t connect_timeout_us;  /* handshake; default 15 s */
    uint64_t user_timeout_us;     /* sent data without any acknowledgement; default 60 s */
    uint64_t idle_timeout_us;     /* nothing heard from the peer; 0: never */
    uint64_t keepalive_us;        /* a PING after that much silence; default 15 s */
    uint64_t linger_us;           /* for the peer's FIN after the user has left; default 60 s */
    uint32_t send_buffer_max;     /* bytes, at least 16 KiB; default 32 MiB */
    uint32_t receive_window_max;  /* bytes, at least 16 KiB; default 32 MiB */
    uint32_t receive_window_init; /* bytes; default 256 KiB */
    uint64_t durable_us; /* sealed mode: outlives silence and its association for so long; 0: no */
    uint16_t mtu;        /* datagram size to keep to, 512 to 65507; 0: search */
    uint8_t keepalive_off;  /* 1: no keep-alive */
    uint8_t resume_off;     /* 1: the path begins as if nothing were known of it */
    uint8_t priority_given; /* 1: `priority` counts */
    uint8_t priority;       /* among connections of one association, 0 first, 7 last; 3 */
};

enum {
    STK_PTCP_CONNECT_TIMEOUT_US = 15000000,
    STK_PTCP_USER_TIMEOUT_US = 60000000,
    STK_PTCP_KEEPALIVE_US = 15000000,
    STK_PTCP_LINGER_US = 60000000,
    STK_PTCP_SEND_BUFFER_MAX = 32 << 20,
    STK_PTCP_RECEIVE_WINDOW_MAX = 32 << 20,
    STK_PTCP_RECEIVE_WINDOW_INIT = 256 << 10,
    STK_PTCP_BUFFER_MIN = 16 << 10,
};

/* stk_conn_query(conn, STK_QUERY_PTCP_STATS, …) */
enum { STK_QUERY_PTCP_STATS = 500 };

/*
 * What one connection has seen: a snapshot, of one moment of the loop's turn. Packets, bytes and
 * time-outs are counted from the connection's start, never go back and are never reset: whoever
 * wants a rate keeps the last snapshot and subtracts. RTT, windows, rates and the MTU are of the
 * path in use, and start again when that changes.
 */
struct stk_ptcp_stats {
    const char *state;                                      /* "ESTABLISHED" …, static */
    const char *congestion;                                 /* "cubic" …, static */
    uint64_t rtt_us, rtt_var_us, rtt_min_us, rtt_latest_us; /* minimum 0: no sample yet */
    uint64_t cwnd_bytes, ssthresh_bytes, in_flight_bytes;
    uint64_t pacing_bytes_per_s, delivery_bytes_per_s;
    uint64_t packets_sent, packets_received;
    uint64_t packets_lost, packets_spurious; /* spurious: declared lost, yet acknowledged later */
    uint64_t probe_timeouts, persistent_congestions;
    uint64_t bytes_sent, bytes_received; /* datagram bytes, all packets */
    uint64_t bytes_resent;               /* stream bytes sent again */
    uint64_t stream_sent, stream_acked, stream_received, stream_consumed; /* offsets */
    uint64_t send_window_bytes;    /* what the peer allows beyond stream_sent */
    uint64_t receive_window_bytes; /* what is granted to the peer at a time */
    uint64_t ecn_ce_received;      /* marks on the peer's packets */
    uint64_t ecn_ce_sent;          /* marks on ours, of which the peer told */
    uint64_t handshake_us;         /* from the first SYN to ESTABLISHED; 0: not yet */
    uint64_t path_changes;         /* times that the peer was found at another address */
    uint32_t mtu_bytes;            /* datagram size in use, with everything that lower layers add */
};

#endif
