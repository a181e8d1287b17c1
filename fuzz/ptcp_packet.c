/* Packets as they come from the network: read, and what was read is written and read again. */
#include "qlog.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite_ack(const struct ptcp_ack *ack)
{
    uint8_t bytes[2048];
    struct stk_writer writer = stk_writer_of(bytes, sizeof(bytes));
    struct ptcp_ranges set;
    struct ptcp_frame frame;
    struct ptcp_ack again;

    ptcp_ranges_init(&set, PTCP_ACK_RANGES_MAX);
    for (uint32_t i = 0; i < ack->count; i++) {
        assert(ack->range[i].first < ack->range[i].end);
        assert(i == 0 || ack->range[i].end < ack->range[i - 1].first);
        if (ptcp_ranges_add(&set, ack->range[i].first, ack->range[i].end) < 0)
            abort();
    }
    if (!ptcp_ack_write(&writer, &set, ack->delay_us, ack->has_ecn ? ack->ecn : NULL))
        abort();
    struct ptcp_frames frames = ptcp_frames_of(bytes, (size_t)(writer.at - bytes));
    if (ptcp_frame_read(&frames, &frame, &again) != 1 || again.count != ack->count)
        abort();
    for (uint32_t i = 0; i < ack->count; i++)
        assert(again.range[i].first == ack->range[i].first &&
               again.range[i].end == ack->range[i].end);
    ptcp_ranges_free(&set);
}

/* Whatever frames a peer sends, the record of them in a log is whole. */
static void log_frames(struct ptcp_frames frames)
{
    char record[PTCP_QLOG_RECORD_MAX];
    struct ptcp_json json = ptcp_json_of(record, sizeof(record));

    ptcp_qlog_frames(&json, frames);
    if (json.failed)
        abort();
}

/* What was read of a header is what would be written. */
static void rewrite_header(const struct ptcp_header *header, const uint8_t *data)
{
    uint8_t bytes[PTCP_LONG_HEADER_BYTES];
    struct stk_writer writer = stk_writer_of(bytes, sizeof(bytes));

    ptcp_header_write(&writer, header);
    if (memcmp(bytes, data, (size_t)(writer.at - bytes)) != 0)
        abort();
}

static void read_packet(const uint8_t *data, size_t size, bool plain)
{
    struct ptcp_header header;
    struct ptcp_frames frames;
    struct ptcp_frame frame;
    struct ptcp_ack ack;

    if (ptcp_packet_read(data, size, plain, &header, &frames) < 0)
        return;
    rewrite_header(&header, data);
    ptcp_frames_place(&frames, size);
    log_frames(frames);
    while (ptcp_frame_read(&frames, &frame, &ack) > 0) {
        if (frame.type == PTCP_FRAME_ACK || frame.type == PTCP_FRAME_ACK_ECN)
            rewrite_ack(&ack);
        if (frame.len > 0)
            assert(frame.data >= data && frame.data + frame.len <= data + size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_packet(data, size, false);
    read_packet(data, size, true);
    return 0;
}
