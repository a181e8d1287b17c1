/*
 * Goal: whoever watches a connection sees all of its packets, losses and states, and the end.
 * Method: a tracer that counts, beside the connection's own statistics, over a lossy network.
 */
#include "ptcp_pair.h"

#include "harness.h"

enum { SEEN_MAX = 4 };

struct seen {
    struct ptcp_trace trace;
    struct stk_ptcp_stats stats; /* at the end */
    uint64_t sent, sent_bytes, received, again, received_bytes, stream_bytes;
    uint64_t lost, spurious, probe_timeouts, updates, migrations, ends;
    uint8_t state;
    bool gap, unparsed;
};

struct watcher {
    struct ptcp_tracer tracer;
    struct seen seen[SEEN_MAX];
    int count;
};

static struct seen *seen_of(struct ptcp_trace *trace) { return (struct seen *)trace; }

static void on_moved(struct ptcp_trace *trace, const struct ptcp_conn *conn, enum ptcp_state old)
{
    seen_of(trace)->gap |= seen_of(trace)->state != old;
    seen_of(trace)->state = conn->state;
}

static uint64_t stream_bytes(struct ptcp_frames frames, bool *unparsed)
{
    struct ptcp_frame frame;
    struct ptcp_ack ack;
    uint64_t sum = 0;
    int more;

    while ((more = ptcp_frame_read(&frames, &frame, &ack)) > 0)
        sum += frame.type == PTCP_FRAME_STREAM ? frame.len : 0;
    *unparsed |= more < 0;
    return sum;
}

static void on_sent(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                    const struct ptcp_sent *record, const uint8_t *start, size_t len)
{
    struct seen *seen = seen_of(trace);
    struct ptcp_header header;
    struct ptcp_frames frames;

    (void)conn;
    seen->sent++;
    seen->sent_bytes += record->size;
    seen->unparsed |= ptcp_packet_read(start, len, false, &header, &frames) < 0;
    seen->gap |= ptcp_packet_number(&header, record->packet) != record->packet;
    if (stream_bytes(frames, &seen->unparsed) != record->len)
        seen->unparsed = true;
}

static void on_received(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                        const struct ptcp_trace_packet *packet, bool again)
{
    struct seen *seen = seen_of(trace);

    (void)conn;
    seen->received++;
    seen->again += again;
    seen->received_bytes += packet->size;
    if (!again)
        seen->stream_bytes += stream_bytes(packet->frames, &seen->unparsed);
}

static void on_acked(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                     const struct ptcp_sent *record)
{
    (void)conn;
    seen_of(trace)->spurious += record->state == PTCP_SENT_LOST;
}

static void on_lost(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                    const struct ptcp_sent *record)
{
    (void)conn;
    seen_of(trace)->lost += record->state == PTCP_SENT_LOST && !(record->flags & PTCP_SENT_PROBE);
}

static void on_updated(struct ptcp_trace *trace, const struct ptcp_conn *conn)
{
    (void)conn;
    seen_of(trace)->updates++;
}

static void on_expired(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                       enum ptcp_trace_timer timer)
{
    (void)conn;
    seen_of(trace)->probe_timeouts += timer == PTCP_TRACE_PROBE;
}

static void on_migrated(struct ptcp_trace *trace, const struct ptcp_conn *conn)
{
    (void)conn;
    seen_of(trace)->migrations++;
}

static void on_ended(struct ptcp_trace *trace, const struct ptcp_conn *conn)
{
    seen_of(trace)->ends++;
    ptcp_conn_stats(conn, &seen_of(trace)->stats);
}

static const struct ptcp_trace_type trace_type = {
    on_moved,   on_sent,    on_received, on_acked, on_lost,
    on_updated, on_expired, on_migrated, on_ended,
};

static struct ptcp_trace *begin(struct ptcp_tracer *tracer, const struct ptcp_conn *conn)
{
    struct watcher *watcher = (struct watcher *)tracer;

    if (watcher->count == SEEN_MAX)
        return NULL;
    struct seen *seen = &watcher->seen[watcher->count++];
    *seen = (struct seen){.trace.type = &trace_type, .state = conn->state};
    return &seen->trace;
}

static void watch_both(struct pair *pair, struct watcher *watchers)
{
    for (int i = 0; i < 2; i++) {
        watchers[i] = (struct watcher){.tracer.begin = begin};
        pair->end[i]->tracer = &watchers[i].tracer;
    }
}

static void check_counts(const struct seen *seen)
{
    CU_ASSERT_FALSE(seen->gap);
    CU_ASSERT_FALSE(seen->unparsed);
    CU_ASSERT_EQUAL(seen->ends, 1);
    CU_ASSERT_EQUAL(seen->sent, seen->stats.packets_sent);
    CU_ASSERT_EQUAL(seen->sent_bytes, seen->stats.bytes_sent);
    CU_ASSERT_EQUAL(seen->received, seen->stats.packets_received);
    CU_ASSERT_EQUAL(seen->received_bytes, seen->stats.bytes_received);
    CU_ASSERT_EQUAL(seen->lost, seen->stats.packets_lost);
    CU_ASSERT_EQUAL(seen->spurious, seen->stats.packets_spurious);
    CU_ASSERT_EQUAL(seen->probe_timeouts, seen->stats.probe_timeouts);
    CU_ASSERT_TRUE(seen->updates > 0);
    CU_ASSERT_TRUE(seen->stats.handshake_us > 0);
}

static void transfer(struct pair *pair, uint64_t bytes)
{
    struct pair_stream one = {.total = bytes}, two = {.total = bytes, .salt = 5};

    pair_connect(pair, &one.from, &one.to);
    CU_ASSERT_PTR_NOT_NULL_FATAL(one.to);
    two.from = one.to;
    two.to = one.from;
    CU_ASSERT_TRUE(pair_transfer(pair, &one, &two, 600000000));
    ptcp_conn_release(one.from, pair->now_us);
    ptcp_conn_release(one.to, pair->now_us);
    pair_run_for(pair, 100000000);
}

static void what_is_seen_agrees_with_the_statistics(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct watcher watchers[2];
        struct pair pair;

        pair_init(&pair, seed, seed & 1);
        pair.net = (struct pair_net){.delay_us = 10000,
                                     .jitter_us = seed & 2 ? 20000 : 0,
                                     .loss_permille = 20,
                                     .duplicate_permille = 20};
        watch_both(&pair, watchers);
        transfer(&pair, 300000);
        pair_free(&pair);
        for (int i = 0; i < 2; i++) {
            CU_ASSERT_EQUAL_FATAL(watchers[i].count, 1);
            check_counts(&watchers[i].seen[0]);
            CU_ASSERT_TRUE(watchers[i].seen[0].stream_bytes >= 300000);
        }
    }
}

static void copies_are_told_apart(void)
{
    struct watcher watchers[2];
    struct pair pair;

    pair_init(&pair, 1, true);
    pair.net.duplicate_permille = 1000;
    watch_both(&pair, watchers);
    transfer(&pair, 50000);
    pair_free(&pair);
    CU_ASSERT_TRUE(watchers[1].seen[0].again > 20);
    CU_ASSERT_EQUAL(watchers[1].seen[0].stream_bytes, 50000);
}

static void an_endpoint_that_goes_ends_its_traces(void)
{
    struct watcher watchers[2];
    struct ptcp_conn *a, *b;
    struct pair pair;

    pair_init(&pair, 1, false);
    watch_both(&pair, watchers);
    pair_connect(&pair, &a, &b);
    CU_ASSERT_PTR_NOT_NULL(b);
    pair_free(&pair);
    CU_ASSERT_EQUAL(watchers[0].seen[0].ends, 1);
    CU_ASSERT_EQUAL(watchers[1].seen[0].ends, 1);
}

static void a_peer_that_moves_is_seen(void)
{
    struct watcher watchers[2];
    struct ptcp_conn *a, *b;
    struct pair pair;

    pair_init(&pair, 1, true);
    watch_both(&pair, watchers);
    pair_connect(&pair, &a, &b);
    ptcp_association_moved(pair.end[PAIR_B], pair.now_us, pair.association, PTCP_MOVE_PATH);
    pair_free(&pair);
    CU_ASSERT_EQUAL(watchers[0].seen[0].migrations, 0);
    CU_ASSERT_EQUAL(watchers[1].seen[0].migrations, 1);
    CU_ASSERT_EQUAL(watchers[1].seen[0].stats.path_changes, 1);
}

static void a_tracer_may_leave_connections_alone(void)
{
    struct watcher watchers[2];
    struct pair pair;

    pair_init(&pair, 1, false);
    watch_both(&pair, watchers);
    watchers[0].count = watchers[1].count = SEEN_MAX;
    memset(watchers[0].seen, 0, sizeof watchers[0].seen);
    transfer(&pair, 50000);
    pair_free(&pair);
    CU_ASSERT_EQUAL(watchers[0].seen[0].sent, 0);
}

static CU_TestInfo tests[] = {
    {"what is seen agrees with the statistics", what_is_seen_agrees_with_the_statistics},
    {"copies are told apart", copies_are_told_apart},
    {"an endpoint that goes ends its traces", an_endpoint_that_goes_ends_its_traces},
    {"a peer that moves is seen", a_peer_that_moves_is_seen},
    {"a tracer may leave connections alone", a_tracer_may_leave_connections_alone},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp trace", tests)
