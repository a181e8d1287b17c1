#include "qlog.h"

#include "error.h"

static struct ptcp_qlog_log *log_of(struct ptcp_trace *trace)
{
    return STK_CONTAINER(trace, struct ptcp_qlog_log, trace);
}

/* --- The beginning and the end -------------------------------------------------------------------
 */

static void write_endpoint(struct ptcp_json *json, const char *key, const struct stk_addr *addr,
                           uint64_t id)
{
    static const size_t prefix = sizeof "/ip4/" - 1;
    const bool v6 = addr->any.sa_family == AF_INET6;
    char text[STK_ADDR_TEXT_MAX];

    ptcp_json_open(json, key, '{');
    if (addr->len > 0 && strlen(stk_addr_format_ip(addr, text)) > prefix) {
        ptcp_json_text(json, v6 ? "ip_v6" : "ip_v4", text + prefix);
        ptcp_json_number(json, v6 ? "port_v6" : "port_v4", stk_addr_port(addr));
    }
    ptcp_json_open(json, "connection_ids", '[');
    if (id)
        ptcp_json_hex(json, NULL, id);
    ptcp_json_close(json, ']');
    ptcp_json_close(json, '}');
}

void ptcp_qlog_started(struct ptcp_qlog_log *log, const struct ptcp_conn *conn)
{
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:connection_started");

    write_endpoint(&json, "local", &conn->path->local, conn->slot.id);
    write_endpoint(&json, "remote", &conn->path->peer, conn->peer_id);
    ptcp_json_bool(&json, "sealed", !ptcp_conn_is_plain(conn));
    ptcp_json_text(&json, "congestion_control", conn->path->cc.type->name);
    ptcp_qlog_end(log, &json);
}

static void write_stats(struct ptcp_json *json, const struct ptcp_conn *conn)
{
    struct stk_ptcp_stats stats;

    ptcp_conn_stats(conn, &stats);
    ptcp_json_open(json, "stats", '{');
    ptcp_json_number(json, "packets_sent", stats.packets_sent);
    ptcp_json_number(json, "packets_received", stats.packets_received);
    ptcp_json_number(json, "packets_lost", stats.packets_lost);
    ptcp_json_number(json, "packets_spurious", stats.packets_spurious);
    ptcp_json_number(json, "probe_timeouts", stats.probe_timeouts);
    ptcp_json_number(json, "bytes_sent", stats.bytes_sent);
    ptcp_json_number(json, "bytes_received", stats.bytes_received);
    ptcp_json_number(json, "bytes_resent", stats.bytes_resent);
    ptcp_json_number(json, "stream_sent", stats.stream_sent);
    ptcp_json_number(json, "stream_received", stats.stream_received);
    ptcp_json_close(json, '}');
}

static void closed(struct ptcp_qlog_log *log, const struct ptcp_conn *conn)
{
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:connection_closed");
    const char *text;
    const int error = ptcp_conn_error(conn, &text);

    ptcp_json_text(&json, "initiator", error == -ECONNRESET ? "remote" : "local");
    ptcp_json_text(&json, "trigger",
                   error == -ETIMEDOUT                   ? "timeout"
                   : error < 0                           ? "error"
                   : conn->state == PTCP_STATE_TIME_WAIT ? "clean"
                                                         : "unspecified");
    if (error < 0)
        ptcp_json_text(&json, "reason", text);
    write_stats(&json, conn);
    ptcp_qlog_end(log, &json);
}

static void moved(struct ptcp_trace *trace, const struct ptcp_conn *conn, enum ptcp_state old)
{
    struct ptcp_qlog_log *log = log_of(trace);
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:connection_state_updated");

    ptcp_json_text(&json, "old", ptcp_state_name(old));
    ptcp_json_text(&json, "new", ptcp_state_name(conn->state));
    ptcp_qlog_end(log, &json);
}

static void write_parameters_set(struct ptcp_qlog_log *log, const char *initiator,
                                 const struct ptcp_params *params)
{
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:parameters_set");

    ptcp_json_text(&json, "initiator", initiator);
    ptcp_json_number(&json, "initial_max_data", params->window);
    ptcp_json_ms(&json, "max_ack_delay", params->max_ack_delay_us);
    ptcp_json_number(&json, "max_packet_size", params->max_datagram);
    ptcp_json_number(&json, "ack_eliciting_threshold", params->ack_packets);
    ptcp_json_ms(&json, "max_idle_timeout", params->idle_timeout_us);
    if (params->durable_us)
        ptcp_json_ms(&json, "durable", params->durable_us);
    ptcp_qlog_end(log, &json);
}

/* Said once for each side, although a handshake packet may be sent again. */
static void note_params(struct ptcp_qlog_log *log, struct ptcp_frames frames, bool own)
{
    bool *said = own ? &log->said.own_params : &log->said.peer_params;
    struct ptcp_frame frame;
    struct ptcp_ack ack;

    while (!*said && ptcp_frame_read(&frames, &frame, &ack) > 0) {
        if (frame.type != PTCP_FRAME_PARAMS)
            continue;
        *said = true;
        write_parameters_set(log, own ? "local" : "remote", &frame.params);
    }
}

/* --- Packets -------------------------------------------------------------------------------------
 */

static const char *type_name(uint8_t type)
{
    switch (type) {
    case PTCP_SYN:
        return "syn";
    case PTCP_SYN_ACK:
        return "syn_ack";
    case PTCP_RETRY:
        return "retry";
    case PTCP_REFUSE:
        return "refuse";
    case PTCP_RESUME:
        return "resume";
    default:
        return "data";
    }
}

static void write_header(struct ptcp_json *json, const char *type, uint64_t number)
{
    ptcp_json_open(json, "header", '{');
    ptcp_json_text(json, "packet_type", type);
    ptcp_json_number(json, "packet_number", number);
    ptcp_json_close(json, '}');
}

static void write_size(struct ptcp_json *json, size_t size)
{
    ptcp_json_open(json, "raw", '{');
    ptcp_json_number(json, "length", size);
    ptcp_json_close(json, '}');
}

static void sent(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                 const struct ptcp_sent *record, const uint8_t *start, size_t len)
{
    struct ptcp_qlog_log *log = log_of(trace);
    struct ptcp_header header = {0};
    struct ptcp_frames frames = {.offset = 0};

    (void)conn;
    (void)ptcp_packet_read(start, len, false, &header, &frames);
    ptcp_frames_place(&frames, record->offset);
    if (header.type != PTCP_DATA)
        note_params(log, frames, true);
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:packet_sent");
    write_header(&json, type_name(header.type), record->packet);
    write_size(&json, record->size);
    if (record->flags & PTCP_SENT_PROBE)
        ptcp_json_bool(&json, "is_mtu_probe_packet", true);
    ptcp_qlog_frames(&json, frames);
    ptcp_qlog_end(log, &json);
}

static void received(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                     const struct ptcp_trace_packet *packet, bool again)
{
    static const char *const ecn[] = {"Not-ECT", "ECT(1)", "ECT(0)", "CE"};
    struct ptcp_qlog_log *log = log_of(trace);

    (void)conn;
    if (packet->type != PTCP_DATA)
        note_params(log, packet->frames, false);
    struct ptcp_json json =
        ptcp_qlog_begin(log, again ? "ptcp:packet_dropped" : "ptcp:packet_received");
    write_header(&json, type_name(packet->type), packet->number);
    write_size(&json, packet->size);
    if (packet->ecn)
        ptcp_json_text(&json, "ecn", ecn[packet->ecn & 3]);
    if (again)
        ptcp_json_text(&json, "trigger", "duplicate");
    else
        ptcp_qlog_frames(&json, packet->frames);
    ptcp_qlog_end(log, &json);
}

/* A record does not say more of its packet's type. */
static const char *type_of(const struct ptcp_conn *conn, const struct ptcp_sent *record)
{
    if (!(record->flags & PTCP_CARRIED_PARAMS))
        return "data";
    return conn->passive ? "syn_ack" : "syn";
}

static void acked(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                  const struct ptcp_sent *record)
{
    struct ptcp_qlog_log *log = log_of(trace);

    if (record->state != PTCP_SENT_LOST)
        return;
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:packet_lost_spuriously");
    write_header(&json, type_of(conn, record), record->packet);
    ptcp_qlog_end(log, &json);
}

static const char *loss_trigger(const struct ptcp_conn *conn, const struct ptcp_sent *record)
{
    const struct ptcp_recovery *recovery = &conn->engine->recovery;

    if (record->state != PTCP_SENT_LOST)
        return "abandoned";
    return record->packet + recovery->reorder_packets < recovery->largest_acked
               ? "reordering_threshold"
               : "time_threshold";
}

static void mark_for_retransmit(struct ptcp_qlog_log *log, const struct ptcp_sent *record)
{
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:marked_for_retransmit");

    ptcp_json_open(&json, "frames", '[');
    ptcp_json_open(&json, NULL, '{');
    ptcp_json_text(&json, "frame_type", "stream");
    ptcp_json_number(&json, "stream_id", 0);
    ptcp_json_number(&json, "offset", record->offset);
    write_size(&json, record->len);
    ptcp_json_close(&json, '}');
    ptcp_json_close(&json, ']');
    ptcp_qlog_end(log, &json);
}

static void lost(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                 const struct ptcp_sent *record)
{
    struct ptcp_qlog_log *log = log_of(trace);
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:packet_lost");

    write_header(&json, type_of(conn, record), record->packet);
    if (record->flags & PTCP_SENT_PROBE)
        ptcp_json_bool(&json, "is_mtu_probe_packet", true);
    ptcp_json_text(&json, "trigger", loss_trigger(conn, record));
    ptcp_qlog_end(log, &json);
    if (record->flags & PTCP_CARRIED_STREAM)
        mark_for_retransmit(log, record);
}

/* --- Measures ------------------------------------------------------------------------------------
 */

static const char *congestion_state(const struct ptcp_conn *conn)
{
    const struct ptcp_cc *cc = &conn->path->cc;

    if (cc->type->phase)
        return cc->type->phase(cc);
    if (ptcp_cc_in_recovery(cc, conn->engine->recovery.newest_acked_us))
        return "recovery";
    return ptcp_cc_in_slow_start(cc) ? "slow_start" : "congestion_avoidance";
}

static void note_congestion(struct ptcp_qlog_log *log, const struct ptcp_conn *conn)
{
    const char *state = congestion_state(conn);

    if (state == log->said.congestion)
        return;
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:congestion_state_updated");
    if (log->said.congestion)
        ptcp_json_text(&json, "old", log->said.congestion);
    ptcp_json_text(&json, "new", state);
    ptcp_qlog_end(log, &json);
    log->said.congestion = state;
}

static void note_mtu(struct ptcp_qlog_log *log, const struct ptcp_conn *conn)
{
    const struct ptcp_mtu *mtu = &conn->path->mtu;

    if (mtu->current == log->said.mtu_bytes)
        return;
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:mtu_updated");
    if (log->said.mtu_bytes)
        ptcp_json_number(&json, "old", log->said.mtu_bytes);
    ptcp_json_number(&json, "new", mtu->current);
    ptcp_json_bool(&json, "done", mtu->fixed || mtu->current == mtu->max);
    ptcp_qlog_end(log, &json);
    log->said.mtu_bytes = mtu->current;
}

static void write_if_new(struct ptcp_json *json, const char *key, uint64_t value, uint64_t *said)
{
    if (value == *said)
        return;
    *said = value;
    ptcp_json_number(json, key, value);
}

static void write_ms_if_new(struct ptcp_json *json, const char *key, uint64_t value_us,
                            uint64_t *said)
{
    if (value_us == *said)
        return;
    *said = value_us;
    ptcp_json_ms(json, key, value_us);
}

static void write_metrics(struct ptcp_json *json, struct ptcp_qlog_said *said,
                          const struct ptcp_conn *conn)
{
    const struct ptcp_path *path = conn->path;

    if (path->rtt.sampled) {
        write_ms_if_new(json, "min_rtt", path->rtt.min_us, &said->rtt_min_us);
        write_ms_if_new(json, "smoothed_rtt", path->rtt.smoothed_us, &said->rtt_us);
        write_ms_if_new(json, "latest_rtt", path->rtt.latest_us, &said->rtt_latest_us);
        write_ms_if_new(json, "rtt_variance", path->rtt.variance_us, &said->rtt_var_us);
    }
    write_if_new(json, "congestion_window", path->cc.window_bytes, &said->window_bytes);
    if (path->cc.ssthresh_bytes != UINT64_MAX)
        write_if_new(json, "ssthresh", path->cc.ssthresh_bytes, &said->ssthresh_bytes);
    write_if_new(json, "bytes_in_flight", conn->engine->recovery.in_flight, &said->in_flight_bytes);
    /* qlog counts it in bits per second. */
    write_if_new(json, "pacing_rate", path->pacer.rate * 8, &said->pacing_bits_per_s);
    write_if_new(json, "pto_count", conn->engine->recovery.pto_count, &said->pto_count);
}

static void updated(struct ptcp_trace *trace, const struct ptcp_conn *conn)
{
    struct ptcp_qlog_log *log = log_of(trace);
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:recovery_metrics_updated");
    const char *empty = json.at;

    write_metrics(&json, &log->said, conn);
    if (json.at > empty)
        ptcp_qlog_end(log, &json);
    note_congestion(log, conn);
    note_mtu(log, conn);
}

static void expired(struct ptcp_trace *trace, const struct ptcp_conn *conn,
                    enum ptcp_trace_timer timer)
{
    static const char *const names[] = {"loss_timeout", "pto", "keep_alive", "blocked"};
    struct ptcp_qlog_log *log = log_of(trace);
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:timer_updated");

    (void)conn;
    ptcp_json_text(&json, "timer_type", names[timer]);
    ptcp_json_text(&json, "event_type", "expired");
    ptcp_qlog_end(log, &json);
}

static void migrated(struct ptcp_trace *trace, const struct ptcp_conn *conn)
{
    struct ptcp_qlog_log *log = log_of(trace);
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:migration_state_updated");

    ptcp_json_text(&json, "new", "migration_complete");
    ptcp_qlog_end(log, &json);
    updated(trace, conn);
}

static void ended(struct ptcp_trace *trace, const struct ptcp_conn *conn)
{
    struct ptcp_qlog_log *log = log_of(trace);

    closed(log, conn);
    ptcp_qlog_close(log);
}

const struct ptcp_trace_type ptcp_qlog_trace = {
    .moved = moved,
    .sent = sent,
    .received = received,
    .acked = acked,
    .lost = lost,
    .updated = updated,
    .expired = expired,
    .migrated = migrated,
    .ended = ended,
};
