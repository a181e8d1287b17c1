/* What is said for connections that are over: see arrival.h. */
#include "arrival.h"

struct ptcp_reply ptcp_late_reply(struct ptcp_timewait *entry, uint64_t packet)
{
    struct ptcp_reply reply = {.type = PTCP_DATA,
                               .reset = entry->reset,
                               .destination = entry->peer_id,
                               .source = entry->slot.id,
                               .packet = entry->next_packet++,
                               .acked = packet,
                               .code = entry->code,
                               .association = entry->association};

    if (entry->association == 0) {
        reply.peer = entry->plain.peer;
        reply.local = entry->plain.local;
    }
    return reply;
}

static void answer(struct ptcp_endpoint *endpoint, struct ptcp_timewait *entry,
                   const struct ptcp_arrival *arrival)
{
    const uint64_t packet = ptcp_packet_number(&arrival->header, entry->received);

    if (packet >= entry->received)
        entry->received = packet + 1;
    struct ptcp_reply reply = ptcp_late_reply(entry, packet);
    if (arrival->run->local)
        reply.local = *arrival->run->local;
    ptcp_endpoint_reply(endpoint, &reply);
}

void ptcp_late_packet(struct ptcp_endpoint *endpoint, struct ptcp_timewait *entry,
                      const struct ptcp_arrival *arrival)
{
    struct ptcp_frame frame;

    if (arrival->header.type != PTCP_DATA ||
        !ptcp_arrival_is_from(arrival, entry->association, &entry->plain.peer) ||
        ptcp_arrival_find(arrival->frames, PTCP_FRAME_RESET, &frame))
        return;
    struct ptcp_frames frames = arrival->frames;
    struct ptcp_ack ack;
    bool eliciting = false;
    while (ptcp_frame_read(&frames, &frame, &ack) > 0)
        eliciting |= ptcp_frame_elicits(frame.type);
    if (eliciting)
        answer(endpoint, entry, arrival);
}

bool ptcp_late_resume(struct ptcp_endpoint *endpoint, struct ptcp_timewait *entry,
                      const struct ptcp_arrival *arrival, const uint64_t token[2])
{
    if (!entry->durable || entry->peer_id != arrival->header.source ||
        !ptcp_durable_proves(endpoint, &entry->proof, arrival->run->association, token))
        return false;
    if (ptcp_packet_number(&arrival->header, entry->received) < entry->received)
        return true; /* held back, or overtaken */
    entry->association = arrival->run->association;
    answer(endpoint, entry, arrival);
    return true;
}

void ptcp_say_goodbye(struct ptcp_endpoint *endpoint)
{
    const uint32_t count = endpoint->timewaits.count;
    uint32_t skip = count > PTCP_REPLIES_MAX ? count - PTCP_REPLIES_MAX : 0; /* the oldest */

    STK_LIST_EACH(node, &endpoint->timewaits.list)
    {
        struct ptcp_timewait *entry = STK_CONTAINER(node, struct ptcp_timewait, node);

        if (skip > 0) {
            skip--;
        } else if (entry->received > 0) {
            const struct ptcp_reply reply = ptcp_late_reply(entry, entry->received - 1);

            ptcp_endpoint_reply(endpoint, &reply);
        }
    }
}
