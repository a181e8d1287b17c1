#include "draft.h"

#include "endpoint.h"
#include "error.h"
#include "tag.h"

#include <assert.h>

enum { BESIDE_ACK_BYTES = 64 }; /* enough for one of each frame that has a bounded length */

/* Behind the packet: short headers have their tag within. */
static size_t tag_len(const struct ptcp_conn *conn, uint8_t type)
{
    return ptcp_conn_is_plain(conn) && type != PTCP_DATA ? PTCP_TAG_BYTES : 0;
}

void ptcp_draft_begin(struct ptcp_draft *draft, struct ptcp_conn *conn, uint8_t type, uint8_t *at,
                      size_t size)
{
    const struct ptcp_header header = {
        .type = type,
        .destination = type == PTCP_SYN ? 0 : conn->peer_id,
        .source = conn->slot.id,
        .packet = conn->engine->recovery.ring.next,
    };

    *draft =
        (struct ptcp_draft){.start = at, .record = ptcp_sent_room(&conn->engine->recovery.ring)};
    *draft->record = (struct ptcp_sent){.packet = 0};
    draft->writer = stk_writer_of(at, size - tag_len(conn, type));
    ptcp_header_write(&draft->writer, &header);
}

/* The peer says how many intervals there are: they may take half of the packet, not all of it. */
static struct stk_writer room_for_ack(const struct ptcp_draft *draft)
{
    struct stk_writer part = draft->writer;
    const size_t left = stk_writer_left(&part);
    const size_t kept = left / 2 > BESIDE_ACK_BYTES ? left / 2 : BESIDE_ACK_BYTES;

    part.end -= kept < left ? kept : left;
    return part;
}

void ptcp_draft_add_ack(struct ptcp_draft *draft, struct ptcp_conn *conn, uint64_t now_us)
{
    struct ptcp_acks *acks = &conn->engine->acks;
    const uint64_t delay_us = now_us > acks->newest_us ? now_us - acks->newest_us : 0;
    struct stk_writer part = room_for_ack(draft);
    const uint32_t told = ptcp_acks_any(acks)
                              ? ptcp_ack_write(&part, &acks->received, delay_us,
                                               ptcp_acks_has_ecn(acks) ? acks->ecn : NULL)
                              : 0;

    ptcp_acks_sent(acks, told); /* also where there is nothing to say: it would stay due for ever */
    if (told == 0)
        return;
    draft->writer.at = part.at;
    draft->record->flags |= PTCP_CARRIED_ACK;
    draft->record->ack_largest = ptcp_acks_expected(acks) - 1;
}

/*
 * A grant that gets lost is made up for by the next, or by who asks for it. Their ACKs measure the
 * path's RTT: of a path with several connections, one at a time is enough.
 */
static bool is_worth_an_ack(const struct ptcp_conn *conn)
{
    return conn->engine->flow.surely || conn->path->users == 1 ||
           conn->path->delivery.in_flight == 0;
}

void ptcp_draft_add_grant(struct ptcp_draft *draft, struct ptcp_conn *conn)
{
    if (!conn->engine->flow.update)
        return;
    const bool loud = is_worth_an_ack(conn);
    ptcp_value_write(&draft->writer, loud ? PTCP_FRAME_MAX_DATA : PTCP_FRAME_MAX_DATA_QUIET,
                     ptcp_flow_grant(&conn->engine->flow, conn->engine->in.consumed));
    draft->record->flags |= PTCP_CARRIED_MAX_DATA | (loud ? PTCP_SENT_ELICITING : 0);
}

void ptcp_draft_add_ping(struct ptcp_draft *draft, unsigned flags)
{
    stk_write_u8(&draft->writer, PTCP_FRAME_PING);
    draft->record->flags |= (uint16_t)(PTCP_SENT_ELICITING | flags);
}

void ptcp_draft_add_due(struct ptcp_draft *draft, struct ptcp_conn *conn)
{
    struct stk_writer *writer = &draft->writer;

    if (conn->due & PTCP_DUE_BLOCKED) {
        ptcp_value_write(writer, PTCP_FRAME_DATA_BLOCKED, conn->engine->flow.blocked_at);
        draft->record->flags |= PTCP_CARRIED_BLOCKED | PTCP_SENT_ELICITING;
    }
    if (conn->due & PTCP_DUE_FREQUENCY) {
        ptcp_ack_frequency_write(writer, conn->frequency_sequence++, conn->asked_every,
                                 ptcp_path_ack_delay_us(conn->path));
        draft->record->flags |= PTCP_CARRIED_FREQUENCY | PTCP_SENT_ELICITING;
    }
    if (conn->due & PTCP_DUE_PATH_RESPONSE) {
        ptcp_path_write(writer, PTCP_FRAME_PATH_RESPONSE, conn->challenge);
        draft->record->flags |= PTCP_SENT_ELICITING;
    }
    if (conn->due & PTCP_DUE_PING)
        ptcp_draft_add_ping(draft, 0);
    conn->due &= PTCP_DUE_PARAMS;
}

/* Nothing is in it yet: what comes last makes it a STREAM packet. */
static bool is_bare(const struct ptcp_draft *draft)
{
    return draft->start[0] == PTCP_DATA &&
           draft->writer.at == draft->start + PTCP_SHORT_HEADER_BYTES;
}

size_t ptcp_draft_stream_room(const struct ptcp_draft *draft, uint64_t offset)
{
    const size_t left = stk_writer_left(&draft->writer);
    const size_t header = is_bare(draft) ? PTCP_STREAM_HEADER_BYTES - PTCP_SHORT_HEADER_BYTES
                                         : 1 + stk_varint_len(offset);

    return left > header ? left - header : 0;
}

static void write_piece_header(struct ptcp_draft *draft, const struct ptcp_conn *conn,
                               const struct ptcp_piece *piece)
{
    if (!is_bare(draft)) {
        ptcp_stream_write(&draft->writer, piece->offset, piece->len, piece->fin, true);
        return;
    }
    draft->writer.at = draft->start;
    ptcp_header_write(&draft->writer,
                      &(struct ptcp_header){.type = PTCP_DATA,
                                            .stream = true,
                                            .fin = piece->fin,
                                            .destination = conn->peer_id,
                                            .packet = conn->engine->recovery.ring.next,
                                            .offset = piece->offset});
}

void ptcp_draft_add_piece(struct ptcp_draft *draft, struct ptcp_conn *conn,
                          const struct ptcp_piece *piece)
{
    const bool again = piece->offset < conn->engine->out.next;

    write_piece_header(draft, conn, piece);
    uint8_t *room = stk_write_room(&draft->writer, piece->len);
    assert(room);
    ptcp_store_copy(&conn->engine->out.store, piece->offset, piece->len, room);
    if (again)
        conn->bytes_resent += piece->len;
    if (ptcp_sendbuf_sent(&conn->engine->out, piece) < 0)
        conn->error = -ENOMEM; /* made known by the next packet that comes in */
    draft->record->offset = piece->offset;
    draft->record->len = piece->len;
    draft->record->flags |= PTCP_CARRIED_STREAM | PTCP_SENT_ELICITING;
    if (piece->fin)
        draft->record->flags |= PTCP_CARRIED_FIN;
}

size_t ptcp_draft_finish(struct ptcp_draft *draft, struct ptcp_conn *conn, uint64_t now_us)
{
    const struct ptcp_whole whole = {.destination = draft->start[0] == PTCP_SYN ? 0 : conn->peer_id,
                                     .source = conn->slot.id,
                                     .packet = conn->engine->recovery.ring.next,
                                     .offset = draft->record->offset};
    const size_t len = (size_t)(draft->writer.at - draft->start);
    size_t size = len;

    assert(!draft->writer.failed);
    if (ptcp_conn_is_plain(conn))
        size = ptcp_tag_put(draft->start, len, &whole);
    draft->record->size = (uint16_t)(size + conn->path->overhead);
    ptcp_conn_end_wait(conn);
    ptcp_recovery_sent(&conn->engine->recovery, conn->path, now_us, draft->record);
    PTCP_TRACE(conn->trace, sent, conn, draft->record, draft->start, len);
    conn->packets_sent++;
    conn->bytes_sent += draft->record->size;
    if (draft->record->flags & PTCP_SENT_ELICITING)
        ptcp_pacer_spend(&conn->path->pacer, draft->record->size);
    return size;
}
