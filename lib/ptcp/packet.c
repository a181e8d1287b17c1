#include "packet.h"

#include "error.h"

#include <assert.h>

enum param_id {
    PARAM_WINDOW = 1,
    PARAM_MAX_ACK_DELAY = 2,
    PARAM_MAX_DATAGRAM = 3,
    PARAM_ACK_PACKETS = 4,
    PARAM_IDLE_TIMEOUT = 5,
    PARAM_DURABLE = 6,
    PARAM_TOKEN_FIRST = 7,
    PARAM_TOKEN_SECOND = 8,
    PARAMS_MAX = 8,
};

static bool is_long(uint8_t type)
{
    return (type >= PTCP_SYN && type <= PTCP_REFUSE) || type == PTCP_RESUME;
}

static uint32_t read_be24(struct stk_reader *reader)
{
    const uint8_t *bytes = stk_read_bytes(reader, 3);

    return bytes ? stk_load_be24(bytes) : 0;
}

static void read_long(struct stk_reader *reader, struct ptcp_header *header)
{
    reader->failed |= stk_read_u8(reader) != PTCP_VERSION;
    header->destination = stk_read_be64(reader);
    header->source = stk_read_be64(reader);
    header->packet = stk_read_be32(reader);
}

static void read_short(struct stk_reader *reader, struct ptcp_header *header)
{
    header->destination = stk_read_be64(reader);
    header->packet = read_be24(reader);
    header->asks = header->type & PTCP_ASKS;
    if (ptcp_short_header_bytes(header->type) == PTCP_STREAM_HEADER_BYTES) {
        header->stream = true;
        header->fin = header->type & PTCP_STREAM_FIN;
        header->offset = stk_read_be32(reader);
    }
    header->type = PTCP_DATA;
}

int ptcp_packet_read(const uint8_t *bytes, size_t size, bool plain, struct ptcp_header *header,
                     struct ptcp_frames *frames)
{
    struct stk_reader reader = stk_reader_of(bytes, size);

    *header = (struct ptcp_header){.type = stk_read_u8(&reader)};
    if (is_long(header->type)) {
        read_long(&reader, header);
        if (plain && stk_reader_left(&reader) < PTCP_TAG_BYTES)
            return -EBADMSG;
        reader.end -= plain ? PTCP_TAG_BYTES : 0;
    } else if (ptcp_short_header_bytes(header->type) > 0) {
        read_short(&reader, header);
    } else {
        return -EBADMSG;
    }
    *frames = (struct ptcp_frames){reader, header->stream, header->fin, header->offset};
    return reader.failed ? -EBADMSG : 0;
}

static void write_short(struct stk_writer *writer, const struct ptcp_header *header)
{
    const unsigned kind =
        header->stream ? PTCP_STREAM | (header->fin ? PTCP_STREAM_FIN : 0) : PTCP_DATA;
    uint8_t *number;

    stk_write_u8(writer, (uint8_t)(kind | (header->asks ? PTCP_ASKS : 0)));
    stk_write_be64(writer, header->destination);
    number = stk_write_room(writer, 3);
    if (number)
        stk_store_be24(number, (uint32_t)header->packet);
    if (header->stream)
        stk_write_be32(writer, (uint32_t)header->offset);
}

void ptcp_header_write(struct stk_writer *writer, const struct ptcp_header *header)
{
    if (!is_long(header->type)) {
        write_short(writer, header);
        return;
    }
    stk_write_u8(writer, header->type);
    stk_write_u8(writer, PTCP_VERSION);
    stk_write_be64(writer, header->destination);
    stk_write_be64(writer, header->source);
    stk_write_be32(writer, (uint32_t)header->packet);
}

uint64_t ptcp_packet_number(const struct ptcp_header *header, uint64_t expected)
{
    const unsigned bits = is_long(header->type) ? PTCP_LONG_NUMBER_BITS : PTCP_SHORT_NUMBER_BITS;

    return stk_number_near(header->packet, bits, expected, PTCP_NUMBER_MAX);
}

/* --- Reading ------------------------------------------------------------------------------ */

static int read_ack(struct stk_reader *reader, struct ptcp_ack *ack, bool ecn)
{
    const uint64_t largest = stk_read_varint(reader);
    uint64_t more, length, first;

    ack->delay_us = stk_read_varint(reader);
    more = stk_read_varint(reader);
    length = stk_read_varint(reader);
    if (reader->failed || more >= PTCP_ACK_RANGES_MAX || length > largest)
        return -EBADMSG;
    first = largest - length;
    ack->range[0] = (struct ptcp_range){first, largest + 1};
    ack->count = 1;
    for (uint64_t i = 0; i < more; i++) {
        const uint64_t gap = stk_read_varint(reader);

        /* A gap of 0 stands for one missing number: intervals never touch. */
        length = stk_read_varint(reader);
        if (reader->failed || gap > first || first - gap < 2 || length > first - gap - 2)
            return -EBADMSG;
        const uint64_t last = first - gap - 2;
        first = last - length;
        ack->range[ack->count++] = (struct ptcp_range){first, last + 1};
    }
    ack->has_ecn = ecn;
    for (int i = 0; ecn && i < 3; i++)
        ack->ecn[i] = stk_read_varint(reader);
    return reader->failed ? -EBADMSG : 0;
}

static int read_params(struct stk_reader *packet, struct ptcp_params *params)
{
    const uint64_t len = stk_read_varint(packet);
    const uint8_t *bytes = packet->failed ? NULL : stk_read_bytes(packet, len);

    *params = (struct ptcp_params){0};
    if (!bytes)
        return -EBADMSG;
    struct stk_reader reader = stk_reader_of(bytes, len);
    while (stk_reader_left(&reader) > 0 && !reader.failed) {
        const uint8_t id = stk_read_u8(&reader);
        const uint64_t value = stk_read_varint(&reader);

        switch (id) {
        case PARAM_WINDOW:
            params->window = value;
            break;
        case PARAM_MAX_ACK_DELAY:
            params->max_ack_delay_us = value;
            break;
        case PARAM_MAX_DATAGRAM:
            params->max_datagram = value;
            break;
        case PARAM_ACK_PACKETS:
            params->ack_packets = value;
            break;
        case PARAM_IDLE_TIMEOUT:
            params->idle_timeout_us = value;
            break;
        case PARAM_DURABLE:
            params->durable_us = value;
            break;
        case PARAM_TOKEN_FIRST:
        case PARAM_TOKEN_SECOND:
            params->token[id - PARAM_TOKEN_FIRST] = value;
            break;
        default: /* from a later revision */
            break;
        }
    }
    return reader.failed ? -EBADMSG : 0;
}

static int read_stream(struct stk_reader *reader, uint8_t type, struct ptcp_frame *frame)
{
    frame->type = PTCP_FRAME_STREAM;
    frame->fin = type & PTCP_STREAM_FIN;
    frame->value = stk_read_varint(reader);
    frame->len = type & PTCP_STREAM_LENGTH ? stk_read_varint(reader) : stk_reader_left(reader);
    if (reader->failed)
        return -EBADMSG;
    frame->data = stk_read_bytes(reader, frame->len);
    return reader->failed || frame->len >= PTCP_NUMBER_MAX - frame->value ? -EBADMSG : 1;
}

static int read_cookie(struct stk_reader *reader, struct ptcp_frame *frame)
{
    frame->len = stk_read_varint(reader);
    if (reader->failed || frame->len > PTCP_COOKIE_MAX_BYTES)
        return -EBADMSG;
    frame->data = stk_read_bytes(reader, frame->len);
    return reader->failed ? -EBADMSG : 1;
}

static void skip_padding(struct stk_reader *reader)
{
    while (reader->at < reader->end && *reader->at == PTCP_FRAME_PADDING)
        reader->at++;
}

static int read_only_stream(struct ptcp_frames *frames, struct ptcp_frame *frame)
{
    struct stk_reader *reader = &frames->reader;
    const size_t len = stk_reader_left(reader);

    *frame = (struct ptcp_frame){.type = PTCP_FRAME_STREAM,
                                 .fin = frames->fin,
                                 .value = frames->offset,
                                 .len = len,
                                 .data = stk_read_bytes(reader, len)};
    frames->stream = false;
    return len >= PTCP_NUMBER_MAX - frame->value ? -EBADMSG : 1;
}

int ptcp_frame_read(struct ptcp_frames *frames, struct ptcp_frame *frame, struct ptcp_ack *ack)
{
    struct stk_reader *reader = &frames->reader;
    uint8_t type;

    if (frames->stream)
        return read_only_stream(frames, frame);
    skip_padding(reader);
    if (stk_reader_left(reader) == 0)
        return 0;
    type = stk_read_u8(reader);
    *frame = (struct ptcp_frame){.type = type};
    switch (type) {
    case PTCP_FRAME_PING:
        return 1;
    case PTCP_FRAME_ACK:
    case PTCP_FRAME_ACK_ECN:
        return read_ack(reader, ack, type == PTCP_FRAME_ACK_ECN) < 0 ? -EBADMSG : 1;
    case PTCP_FRAME_RESET:
    case PTCP_FRAME_MAX_DATA:
    case PTCP_FRAME_MAX_DATA_QUIET:
    case PTCP_FRAME_DATA_BLOCKED:
        frame->value = stk_read_varint(reader);
        break;
    case PTCP_FRAME_PATH_CHALLENGE:
    case PTCP_FRAME_PATH_RESPONSE:
        frame->value = stk_read_be64(reader);
        break;
    case PTCP_FRAME_ACK_FREQUENCY:
        frame->value = stk_read_varint(reader);
        frame->second = stk_read_varint(reader);
        frame->third = stk_read_varint(reader);
        break;
    case PTCP_FRAME_TOKEN:
        frame->value = stk_read_varint(reader);
        frame->second = stk_read_varint(reader);
        break;
    case PTCP_FRAME_PARAMS:
        return read_params(reader, &frame->params) < 0 ? -EBADMSG : 1;
    case PTCP_FRAME_COOKIE:
        return read_cookie(reader, frame);
    case PTCP_FRAME_STREAM:
    case PTCP_FRAME_STREAM | PTCP_STREAM_FIN:
    case PTCP_FRAME_STREAM | PTCP_STREAM_LENGTH:
    case PTCP_FRAME_STREAM | PTCP_STREAM_LENGTH | PTCP_STREAM_FIN:
        return read_stream(reader, type, frame);
    default:
        return -EBADMSG;
    }
    return reader->failed ? -EBADMSG : 1;
}

/* --- Writing ------------------------------------------------------------------------------ */

static size_t ecn_len(const uint64_t ecn[3])
{
    return ecn ? stk_varint_len(ecn[0]) + stk_varint_len(ecn[1]) + stk_varint_len(ecn[2]) : 0;
}

/* How many intervals below the newest one fit into `room` bytes. */
static uint32_t count_that_fits(const struct ptcp_ranges *set, size_t room)
{
    uint32_t more = 0;

    for (uint32_t i = set->count - 1; i > 0 && more + 1 < PTCP_ACK_RANGES_MAX; i--, more++) {
        const struct ptcp_range *above = ptcp_ranges_at(set, i), *range = above - 1;
        const size_t len = stk_varint_len(above->first - range->end - 1) +
                           stk_varint_len(range->end - range->first - 1);

        if (len > room)
            break;
        room -= len;
    }
    return more;
}

uint32_t ptcp_ack_write(struct stk_writer *writer, const struct ptcp_ranges *received,
                        uint64_t delay_us, const uint64_t ecn[3])
{
    assert(received->count > 0);

    const struct ptcp_range *newest = ptcp_ranges_at(received, received->count - 1);
    const uint64_t length = newest->end - newest->first - 1;
    const size_t fixed = 1 + stk_varint_len(newest->end - 1) + stk_varint_len(delay_us) + 1 +
                         stk_varint_len(length) + ecn_len(ecn);

    if (writer->failed || stk_writer_left(writer) < fixed)
        return 0;
    const uint32_t more = count_that_fits(received, stk_writer_left(writer) - fixed);
    stk_write_u8(writer, ecn ? PTCP_FRAME_ACK_ECN : PTCP_FRAME_ACK);
    stk_write_varint(writer, newest->end - 1);
    stk_write_varint(writer, delay_us);
    stk_write_varint(writer, more);
    stk_write_varint(writer, length);
    for (uint32_t i = 0; i < more; i++) {
        const struct ptcp_range *above = newest - i, *range = above - 1;

        stk_write_varint(writer, above->first - range->end - 1);
        stk_write_varint(writer, range->end - range->first - 1);
    }
    for (int i = 0; ecn && i < 3; i++)
        stk_write_varint(writer, ecn[i]);
    return more + 1;
}

void ptcp_value_write(struct stk_writer *writer, enum ptcp_frame_type type, uint64_t value)
{
    stk_write_u8(writer, (uint8_t)type);
    stk_write_varint(writer, value);
}

void ptcp_path_write(struct stk_writer *writer, enum ptcp_frame_type type, uint64_t challenge)
{
    stk_write_u8(writer, (uint8_t)type);
    stk_write_be64(writer, challenge);
}

static void write_param(struct stk_writer *writer, enum param_id id, uint64_t value)
{
    stk_write_u8(writer, (uint8_t)id);
    stk_write_varint(writer, value);
}

void ptcp_params_write(struct stk_writer *writer, const struct ptcp_params *params)
{
    uint8_t bytes[PARAMS_MAX * (1 + STK_VARINT_MAX_BYTES)];
    struct stk_writer inner = stk_writer_of(bytes, sizeof(bytes));

    write_param(&inner, PARAM_WINDOW, params->window);
    write_param(&inner, PARAM_MAX_ACK_DELAY, params->max_ack_delay_us);
    write_param(&inner, PARAM_MAX_DATAGRAM, params->max_datagram);
    write_param(&inner, PARAM_ACK_PACKETS, params->ack_packets);
    write_param(&inner, PARAM_IDLE_TIMEOUT, params->idle_timeout_us);
    write_param(&inner, PARAM_DURABLE, params->durable_us);
    write_param(&inner, PARAM_TOKEN_FIRST, params->token[0]);
    write_param(&inner, PARAM_TOKEN_SECOND, params->token[1]);
    assert(!inner.failed);
    stk_write_u8(writer, PTCP_FRAME_PARAMS);
    stk_write_varint(writer, sizeof(bytes) - stk_writer_left(&inner));
    stk_write_bytes(writer, bytes, sizeof(bytes) - stk_writer_left(&inner));
}

void ptcp_token_write(struct stk_writer *writer, const uint64_t token[2])
{
    stk_write_u8(writer, PTCP_FRAME_TOKEN);
    stk_write_varint(writer, token[0]);
    stk_write_varint(writer, token[1]);
}

void ptcp_cookie_write(struct stk_writer *writer, const uint8_t *cookie, size_t len)
{
    assert(len <= PTCP_COOKIE_MAX_BYTES);
    stk_write_u8(writer, PTCP_FRAME_COOKIE);
    stk_write_varint(writer, len);
    stk_write_bytes(writer, cookie, len);
}

void ptcp_ack_frequency_write(struct stk_writer *writer, uint64_t sequence, uint64_t packets,
                              uint64_t delay_us)
{
    stk_write_u8(writer, PTCP_FRAME_ACK_FREQUENCY);
    stk_write_varint(writer, sequence);
    stk_write_varint(writer, packets);
    stk_write_varint(writer, delay_us);
}

void ptcp_stream_write(struct stk_writer *writer, uint64_t offset, size_t len, bool fin, bool last)
{
    stk_write_u8(writer, (uint8_t)(PTCP_FRAME_STREAM | (fin ? PTCP_STREAM_FIN : 0) |
                                   (last ? 0 : PTCP_STREAM_LENGTH)));
    stk_write_varint(writer, offset);
    if (!last)
        stk_write_varint(writer, len);
}
