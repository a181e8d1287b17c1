/* Packets of a peer who keeps to no rules. */
#include "ptcp_chaos.h"
#include "tag.h"

/* An ACK, a piece of the stream, or whatever else: within the rules or not. */
static void write_any_frame(struct stk_writer *writer)
{
    struct ptcp_ranges set;

    ptcp_ranges_init(&set, PTCP_ACK_RANGES_MAX);
    for (uint64_t n = 1 + below(20), at = below(300); n > 0; n--, at += 2 + below(20))
        ptcp_ranges_add(&set, at, at + 1 + below(10));
    switch (below(8)) {
    case 0:
    case 1:
        ptcp_ack_write(writer, &set, below(SECOND), chance(50) ? (uint64_t[3]){below(50)} : NULL);
        break;
    case 2:
        ptcp_stream_write(writer, below(300000), 0, chance(2), true);
        stk_write_bytes(writer, (const uint8_t *)"false", below(5));
        break;
    case 3:
        ptcp_value_write(writer, PTCP_FRAME_MAX_DATA, below(100000000));
        break;
    case 4:
        ptcp_value_write(writer, PTCP_FRAME_DATA_BLOCKED, below(1000000));
        break;
    case 5:
        ptcp_ack_frequency_write(writer, below(1000), below(1000), below(SECOND));
        break;
    case 6:
        ptcp_path_write(writer, PTCP_FRAME_PATH_CHALLENGE, below(1000));
        break;
    default:
        ptcp_value_write(writer, (enum ptcp_frame_type)below(256), below(1000000));
    }
    ptcp_ranges_free(&set);
}

/* What the peer might send next: of the stream alone, or with frames. */
static struct ptcp_header make_header(const struct ptcp_conn *conn)
{
    const uint8_t type = chance(90) ? PTCP_DATA : (uint8_t)(PTCP_SYN + below(6));
    const bool stream = type == PTCP_DATA && chance(30);

    return (struct ptcp_header){.type = type,
                                .stream = stream,
                                .fin = stream && chance(2),
                                .destination = type == PTCP_SYN ? 0 : ptcp_conn_id(conn),
                                .source = conn->peer_id,
                                .packet = ptcp_conn_expected(conn) + below(8),
                                .offset = stream ? below(ptcp_conn_received(conn) + 100000) : 0};
}

void chaos_lie_to(struct chaos_user *user)
{
    uint8_t packet[1024];
    struct stk_writer writer = stk_writer_of(packet, sizeof(packet) - PTCP_TAG_BYTES);
    const struct ptcp_conn *conn = user->conn;

    if (!conn || conn->buried)
        return;
    const struct ptcp_header header = make_header(conn);
    ptcp_header_write(&writer, &header);
    user->lied_to = user->other->lied_to = true;
    if (header.stream)
        stk_write_bytes(&writer, (const uint8_t *)"false", below(5));
    for (uint64_t n = header.stream ? 0 : 1 + below(3); n > 0; n--)
        write_any_frame(&writer);
    size_t size = (size_t)(writer.at - packet);
    if (!world.sealed)
        size = ptcp_tag_put(packet, size,
                            &(struct ptcp_whole){.destination = header.destination,
                                                 .source = header.source,
                                                 .packet = header.packet,
                                                 .offset = header.offset});
    pair_inject_on(&world.pair, ptcp_conn_association(conn), user->side, packet, size, STK_ECN_NOT);
}
