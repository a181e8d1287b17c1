#include "seal_state.h"

#include <string.h>

/* The header is part of what both sides must agree on: nobody else can change the index in it. */
size_t seal_prologue(uint8_t out[64], const uint8_t header[SEAL_HANDSHAKE_HEADER])
{
    const size_t len = sizeof(SEAL_PROLOGUE) - 1;

    memcpy(out, SEAL_PROLOGUE, len);
    memcpy(out + len, header, SEAL_HANDSHAKE_HEADER);
    return len + SEAL_HANDSHAKE_HEADER;
}

static void send_copy(struct seal_port *port, struct stk_run run, const uint8_t *packet, size_t len)
{
    uint8_t room[SEAL_MARGIN + SEAL_INITIATION_MAX + SEAL_MARGIN];

    static_assert(SEAL_RESPONSE_MAX <= SEAL_INITIATION_MAX, "the room is for both");
    assert(len <= SEAL_INITIATION_MAX);
    run.data = room + SEAL_MARGIN;
    run.stride = (uint32_t)len;
    run.size = run.last_size = (uint16_t)len;
    run.count = 1;
    memcpy(run.data, packet, len);
    seal_transport_send(port, &run, 1);
}

void seal_send_back(struct seal_port *port, const struct stk_run *to, const uint8_t *packet,
                    size_t len)
{
    send_copy(port, (struct stk_run){.peer = to->peer, .local = to->local, .way = to->way}, packet,
              len);
}

void seal_reply_later(struct seal_port *port, const struct stk_run *to,
                      const uint8_t packet[SEAL_COOKIE_SIZE])
{
    struct seal_replies *replies = port->replies;

    assert(replies);
    if (replies->count == SEAL_REPLIES)
        seal_flush_replies(port);
    uint8_t *room = replies->packets[replies->count] + SEAL_MARGIN;
    memcpy(room, packet, SEAL_COOKIE_SIZE);
    replies->runs[replies->count++] = (struct stk_run){.data = room,
                                                       .stride = SEAL_COOKIE_SIZE,
                                                       .size = SEAL_COOKIE_SIZE,
                                                       .last_size = SEAL_COOKIE_SIZE,
                                                       .count = 1,
                                                       .peer = to->peer,
                                                       .local = to->local,
                                                       .way = to->way};
}

/* Whether they are taken matters to nobody. */
void seal_flush_replies(struct seal_port *port)
{
    struct seal_replies *replies = port->replies;

    if (replies->count)
        seal_transport_send(port, replies->runs, replies->count);
    replies->count = 0;
}

void seal_send_packet(struct seal_association *a, struct seal_path *path, const uint8_t *packet,
                      size_t len)
{
    if (!seal_path_take(path, len))
        return;
    send_copy(a->port, seal_path_run(a, path), packet, len);
    a->sent_us = seal_now(a->port);
}

void seal_hand_up(struct seal_association *a, const struct stk_run *from, const uint8_t *datagram,
                  size_t len)
{
    struct stk_run run = *from;

    run.data = (uint8_t *)(uintptr_t)datagram;
    run.stride = (uint32_t)len;
    run.size = run.last_size = (uint16_t)len;
    run.count = 1;
    run.association = a->id;
    run.early = a->state == SEAL_ANSWERING;
    seal_push_up(a->port, &run);
    seal_flush_up(a->port);
}
