#include "qlog.h"

static void write_ack(struct ptcp_json *json, const struct ptcp_ack *ack)
{
    static const char *const names[] = {"ect0", "ect1", "ce"};

    ptcp_json_text(json, "frame_type", "ack");
    ptcp_json_ms(json, "ack_delay", ack->delay_us);
    ptcp_json_open(json, "acked_ranges", '[');
    for (uint32_t i = 0; i < ack->count; i++) {
        ptcp_json_open(json, NULL, '[');
        ptcp_json_number(json, NULL, ack->range[i].first);
        if (ack->range[i].end - ack->range[i].first > 1)
            ptcp_json_number(json, NULL, ack->range[i].end - 1);
        ptcp_json_close(json, ']');
    }
    ptcp_json_close(json, ']');
    for (int i = 0; ack->has_ecn && i < 3; i++)
        ptcp_json_number(json, names[i], ack->ecn[i]);
}

static void write_params(struct ptcp_json *json, const struct ptcp_params *params)
{
    ptcp_json_text(json, "frame_type", "params");
    ptcp_json_number(json, "initial_max_data", params->window);
    ptcp_json_number(json, "max_packet_size", params->max_datagram);
}

static void write_length(struct ptcp_json *json, size_t len)
{
    ptcp_json_open(json, "raw", '{');
    ptcp_json_number(json, "length", len);
    ptcp_json_close(json, '}');
}

static void write_stream(struct ptcp_json *json, const struct ptcp_frame *frame)
{
    ptcp_json_text(json, "frame_type", "stream");
    ptcp_json_number(json, "stream_id", 0); /* the only one; readers of QUIC's logs ask for it */
    ptcp_json_number(json, "offset", frame->value);
    if (frame->fin)
        ptcp_json_bool(json, "fin", true);
    write_length(json, frame->len);
}

static void write_value(struct ptcp_json *json, const char *name, const char *key, uint64_t value)
{
    ptcp_json_text(json, "frame_type", name);
    ptcp_json_number(json, key, value);
}

static void write_challenge(struct ptcp_json *json, const char *name, uint64_t value)
{
    ptcp_json_text(json, "frame_type", name);
    ptcp_json_hex(json, "data", value);
}

static void write_frequency(struct ptcp_json *json, const struct ptcp_frame *frame)
{
    ptcp_json_text(json, "frame_type", "ack_frequency");
    ptcp_json_number(json, "sequence_number", frame->value);
    ptcp_json_number(json, "ack_eliciting_threshold", frame->second);
    ptcp_json_ms(json, "request_max_ack_delay", frame->third);
}

static void write_frame(struct ptcp_json *json, const struct ptcp_frame *frame,
                        const struct ptcp_ack *ack)
{
    switch (frame->type) {
    case PTCP_FRAME_PING:
        ptcp_json_text(json, "frame_type", "ping");
        break;
    case PTCP_FRAME_ACK:
    case PTCP_FRAME_ACK_ECN:
        write_ack(json, ack);
        break;
    case PTCP_FRAME_RESET:
        write_value(json, "reset", "error_code", frame->value);
        break;
    case PTCP_FRAME_MAX_DATA:
    case PTCP_FRAME_MAX_DATA_QUIET:
        write_value(json, "max_data", "maximum", frame->value);
        break;
    case PTCP_FRAME_DATA_BLOCKED:
        write_value(json, "data_blocked", "limit", frame->value);
        break;
    case PTCP_FRAME_PATH_CHALLENGE:
        write_challenge(json, "path_challenge", frame->value);
        break;
    case PTCP_FRAME_PATH_RESPONSE:
        write_challenge(json, "path_response", frame->value);
        break;
    case PTCP_FRAME_ACK_FREQUENCY:
        write_frequency(json, frame);
        break;
    case PTCP_FRAME_PARAMS:
        write_params(json, &frame->params);
        break;
    case PTCP_FRAME_COOKIE:
        ptcp_json_text(json, "frame_type", "cookie");
        write_length(json, frame->len);
        break;
    case PTCP_FRAME_TOKEN:
        ptcp_json_text(json, "frame_type", "token"); /* whoever reads it could resume */
        break;
    case PTCP_FRAME_STREAM:
        write_stream(json, frame);
        break;
    default: /* padding is no frame for the reader */
        write_value(json, "unknown", "frame_type_bytes", frame->type);
    }
}

/* A datagram may hold more frames than a record: the rest is counted. */
void ptcp_qlog_frames(struct ptcp_json *json, struct ptcp_frames frames)
{
    struct ptcp_frame frame;
    struct ptcp_ack ack;
    uint64_t left_out = 0;
    int more;

    ptcp_json_open(json, "frames", '[');
    while ((more = ptcp_frame_read(&frames, &frame, &ack)) > 0) {
        if (ptcp_json_left(json) < PTCP_QLOG_FRAME_MAX) {
            left_out++;
            continue;
        }
        ptcp_json_open(json, NULL, '{');
        write_frame(json, &frame, &ack);
        ptcp_json_close(json, '}');
    }
    ptcp_json_close(json, ']');
    if (left_out > 0)
        ptcp_json_number(json, "frames_left_out", left_out);
    if (more < 0)
        ptcp_json_bool(json, "malformed", true);
}
