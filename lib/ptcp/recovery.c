#include "recovery.h"

#include "error.h"

#include <assert.h>

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

void ptcp_recovery_init(struct ptcp_recovery *recovery, struct ptcp_records *records)
{
    *recovery = (struct ptcp_recovery){
        .loss_us = UINT64_MAX, .reorder_packets = PTCP_REORDER_PACKETS, .reorder_eighths = 1};
    ptcp_sent_init(&recovery->ring, records);
}

static void leaves_flight(struct ptcp_recovery *recovery, struct ptcp_path *path,
                          const struct ptcp_sent *record)
{
    const uint64_t bytes = ptcp_sent_bytes(record);

    assert(recovery->in_flight >= bytes);
    recovery->in_flight -= bytes;
    if (record->packet < recovery->elsewhere_end)
        recovery->elsewhere -= bytes;
    else
        ptcp_delivery_gone(&path->delivery, bytes);
}

static void all_leaves_flight(struct ptcp_recovery *recovery, struct ptcp_path *path)
{
    ptcp_delivery_gone(&path->delivery, ptcp_recovery_here(recovery));
    recovery->in_flight = recovery->elsewhere = 0;
}

void ptcp_recovery_free(struct ptcp_recovery *recovery, struct ptcp_path *path)
{
    all_leaves_flight(recovery, path);
    ptcp_sent_free(&recovery->ring);
}

void ptcp_recovery_moved(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t since_us)
{
    const struct ptcp_sent *record = ptcp_sent_oldest(&recovery->ring);
    uint64_t bytes = 0;

    for (; record && record->time_us < since_us; record = ptcp_sent_after(&recovery->ring, record))
        if (record->state == PTCP_SENT_OUTSTANDING && record->packet >= recovery->elsewhere_end)
            bytes += ptcp_sent_bytes(record);
    ptcp_delivery_gone(&path->delivery, bytes);
    recovery->elsewhere += bytes;
    recovery->elsewhere_end =
        max_u64(recovery->elsewhere_end, record ? record->packet : recovery->ring.next);
}

void ptcp_recovery_sent(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                        struct ptcp_sent *record)
{
    const bool eliciting = record->flags & PTCP_SENT_ELICITING;

    record->packet = recovery->ring.next;
    record->time_us = now_us;
    record->state = eliciting ? PTCP_SENT_OUTSTANDING : PTCP_SENT_DONE;
    if (recovery->marks) {
        record->flags |= PTCP_SENT_ECT;
        ptcp_ecn_sent(&path->ecn, &recovery->ecn, ptcp_sent_count(record));
    }
    if (eliciting) {
        if (path->cc.type->on_sent)
            path->cc.type->on_sent(&path->cc, now_us, path->delivery.delivered,
                                   path->delivery.in_flight,
                                   ptcp_delivery_is_app_limited(&path->delivery));
        if (path->cc.calm)
            record->flags |= PTCP_SENT_CALM;
        ptcp_delivery_sent(&path->delivery, record);
        recovery->in_flight += ptcp_sent_bytes(record);
        recovery->last_eliciting_us = now_us;
    }
    ptcp_sent_push(&recovery->ring, record);
}

/* --- Acknowledgements ------------------------------------------------------------------------ */

/* What one ACK newly told. */
struct news {
    struct ptcp_sent newest; /* a copy: records go when they are done */
    uint64_t oldest_packet;
    uint64_t bytes, calm_bytes;
    uint32_t count, spurious, marked;
    bool late; /* packets that had been abandoned */
};

static void take_spurious(struct ptcp_recovery *recovery, struct ptcp_path *path,
                          const struct ptcp_sent *record)
{
    const uint64_t distance = recovery->largest_acked - record->packet;

    recovery->spurious_packets++;
    path->reduction.spurious += ptcp_recovery_went_here(recovery, path, record);
    if (distance >= recovery->reorder_packets)
        recovery->reorder_packets = (uint32_t)min_u64(distance + 1, PTCP_REORDER_PACKETS_MAX);
}

/* What went over a path before this one is under way no more, and else tells nothing. */
static void take_acked(struct ptcp_recovery *recovery, struct ptcp_path *path,
                       struct ptcp_sent *record, struct news *news)
{
    const uint64_t bytes = ptcp_sent_bytes(record);
    const bool outstanding = record->state == PTCP_SENT_OUTSTANDING;

    if (outstanding) {
        leaves_flight(recovery, path, record);
    } else {
        news->spurious++;
        take_spurious(recovery, path, record);
    }
    if (ptcp_recovery_went_here(recovery, path, record)) {
        news->bytes += outstanding ? bytes : 0;
        news->calm_bytes += record->flags & PTCP_SENT_CALM ? bytes : 0;
        news->marked += record->flags & PTCP_SENT_ECT ? ptcp_sent_count(record) : 0;
        ptcp_delivery_acked(&path->delivery, bytes);
    }
    if (news->count == 0 || record->packet < news->oldest_packet)
        news->oldest_packet = record->packet;
    if (news->count == 0 || record->packet > news->newest.packet)
        news->newest = ptcp_sent_from(record, record->more);
    news->count += ptcp_sent_count(record);
}

/* Late after all? Only the lost ones that the ACK reaches are looked at, the newest first. */
static void walk_lost(struct ptcp_recovery *recovery, struct ptcp_path *path,
                      const struct ptcp_ack *ack, struct news *news,
                      const struct ptcp_recovery_owner *type, void *owner)
{
    const uint64_t lowest = ack->range[ack->count - 1].first;
    struct ptcp_sent *prev, *record = ptcp_sent_newest_lost(&recovery->ring);
    uint32_t i = 0, looked_at = 0;

    /* Who repeats an ACK of old packets without end must not have all of them looked at each time.
     */
    for (; record && record->packet >= lowest && looked_at < PTCP_LATE_MAX; record = prev) {
        looked_at++;
        prev = ptcp_sent_before(&recovery->ring, record);
        while (ack->range[i].first > record->packet)
            i++;
        if (ack->range[i].end <= record->packet)
            continue;
        if (record->flags & PTCP_SENT_ABANDONED)
            news->late = true;
        else
            take_acked(recovery, path, record, news);
        type->acked(owner, record);
        ptcp_sent_done(&recovery->ring, record);
    }
}

/* Of a record that begins below the range's end: what the range covers, NULL if nothing. */
static struct ptcp_sent *covered(struct ptcp_recovery *recovery, struct ptcp_sent *record,
                                 const struct ptcp_range *range)
{
    if (record->packet + record->more < range->first)
        return NULL;
    if (record->packet < range->first)
        record = ptcp_sent_split(&recovery->ring, record, range->first);
    if (record->packet + record->more >= range->end)
        ptcp_sent_split(&recovery->ring, record, range->end);
    return record;
}

static int walk(struct ptcp_recovery *recovery, struct ptcp_path *path, const struct ptcp_ack *ack,
                struct news *news, const struct ptcp_recovery_owner *type, void *owner)
{
    uint32_t i = ack->count - 1;
    struct ptcp_sent *next, *record = ptcp_sent_oldest(&recovery->ring);

    for (; record && record->packet < ack->range[0].end; record = next) {
        while (ack->range[i].end <= record->packet)
            i--;
        struct ptcp_sent *acked = covered(recovery, record, &ack->range[i]);
        next = ptcp_sent_after(&recovery->ring, acked ? acked : record);
        if (!acked)
            continue;
        if (acked->state == PTCP_SENT_SKIPPED)
            return -EPROTO;
        take_acked(recovery, path, acked, news);
        type->acked(owner, acked);
        ptcp_sent_done(&recovery->ring, acked);
    }
    return 0;
}

static void sample_rtt(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                       const struct ptcp_ack *ack, const struct news *news,
                       struct ptcp_ack_sample *sample)
{
    if (news->newest.packet + 1 != ack->range[0].end || now_us < news->newest.time_us ||
        !ptcp_recovery_went_here(recovery, path, &news->newest))
        return;
    sample->rtt_us = max_u64(now_us - news->newest.time_us, 1);
    ptcp_rtt_sample(&path->rtt, sample->rtt_us,
                    min_u64(ack->delay_us, recovery->peer_ack_delay_us));
}

/* --- Losses ---------------------------------------------------------------------------------- */

struct losses {
    uint64_t bytes, newest_us;
    uint64_t span_first_us, span_last_us; /* of losses with nothing acknowledged between them */
    uint32_t count, span_count;
};

static uint64_t patience_us(const struct ptcp_recovery *recovery, const struct ptcp_path *path)
{
    const uint64_t rtt_us = max_u64(path->rtt.latest_us, path->rtt.smoothed_us);

    return max_u64(rtt_us + rtt_us * recovery->reorder_eighths / 8, PTCP_RTT_GRANULARITY_US);
}

static void tell_controller(struct ptcp_path *path, uint64_t now_us, const struct ptcp_sent *record)
{
    const struct ptcp_delivery *delivery = &path->delivery;

    if (!path->cc.type->on_packet_lost)
        return;
    path->cc.type->on_packet_lost(
        &path->cc, &(struct ptcp_lost_packet){.now_us = now_us,
                                              .sent_us = record->time_us,
                                              .bytes = record->size,
                                              .sent_in_flight = record->in_flight,
                                              .lost_since = (uint32_t)delivery->lost - record->lost,
                                              .delivered = delivery->delivered,
                                              .app_limited = record->flags & PTCP_SENT_APP_LIMITED,
                                              .calm = record->flags & PTCP_SENT_CALM});
}

static void blame_path(struct ptcp_path *path, uint64_t now_us, const struct ptcp_sent *record,
                       struct losses *losses)
{
    path->delivery.lost += record->size;
    tell_controller(path, now_us, record);
    if (path->reduction.lost < UINT32_MAX)
        path->reduction.lost++;
    losses->count++;
    losses->bytes += record->size;
    losses->newest_us = max_u64(losses->newest_us, record->time_us);
}

static void take_lost(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                      struct ptcp_sent *record, struct losses *losses)
{
    const bool probe = record->flags & PTCP_SENT_PROBE; /* too large, not congested */

    ptcp_sent_give_up(&recovery->ring, record);
    leaves_flight(recovery, path, record);
    recovery->lost_packets += !probe;
    if (!ptcp_recovery_went_here(recovery, path, record))
        return;
    if (record->flags & PTCP_SENT_ECT)
        ptcp_ecn_lost(&path->ecn);
    if (!probe)
        blame_path(path, now_us, record, losses);
}

static void extend_span(struct losses *losses, const struct ptcp_sent *record, uint64_t after_us,
                        uint64_t below_packet)
{
    if (record->time_us <= after_us || record->packet >= below_packet)
        return;
    if (losses->span_count++ == 0)
        losses->span_first_us = record->time_us;
    losses->span_last_us = record->time_us;
}

static void find_losses(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                        uint64_t after_us, uint64_t below_packet, struct losses *losses,
                        const struct ptcp_recovery_owner *type, void *owner)
{
    const uint64_t wait_us = patience_us(recovery, path);
    struct ptcp_sent *next, *record = ptcp_sent_oldest(&recovery->ring);

    recovery->loss_us = UINT64_MAX;
    for (; record && record->packet + 1 < recovery->largest_acked; record = next) {
        next = ptcp_sent_after(&recovery->ring, record);
        if (record->state != PTCP_SENT_OUTSTANDING)
            continue;
        if (record->time_us + wait_us > now_us &&
            record->packet + recovery->reorder_packets >= recovery->largest_acked) {
            recovery->loss_us = record->time_us + wait_us;
            break; /* all that follow are younger */
        }
        if (record->more > 0)
            next = ptcp_sent_split(&recovery->ring, record, record->packet + 1);
        take_lost(recovery, path, now_us, record, losses);
        extend_span(losses, record, max_u64(after_us, path->since_us), below_packet);
        type->lost(owner, record);
    }
}

static bool is_persistent(const struct ptcp_recovery *recovery, const struct ptcp_path *path,
                          const struct losses *losses)
{
    const uint64_t pto_us = ptcp_rtt_probe_timeout_us(&path->rtt, recovery->peer_ack_delay_us);

    return path->rtt.sampled && losses->span_count >= 2 &&
           losses->span_last_us - losses->span_first_us >= PTCP_PERSISTENT_PTOS * pto_us;
}

static void report_losses(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                          const struct losses *losses)
{
    const uint64_t reduced_us = path->cc.recovery_start_us;
    const bool reduced = path->cc.reduced;

    if (losses->count == 0)
        return;
    const struct ptcp_loss_sample sample = {.now_us = now_us,
                                            .lost_bytes = losses->bytes,
                                            .newest_lost_sent_us = losses->newest_us,
                                            .in_flight = path->delivery.in_flight,
                                            .persistent = is_persistent(recovery, path, losses)};
    recovery->persistent += sample.persistent;
    path->cc.type->on_loss(&path->cc, &sample);
    if (path->cc.reduced != reduced || path->cc.recovery_start_us != reduced_us)
        path->reduction = (struct ptcp_reduction){.lost = losses->count};
    ptcp_careful_lost(path, now_us, losses->bytes, losses->newest_us);
    ptcp_path_pace(path, now_us);
}

/* --- Put together ---------------------------------------------------------------------------- */

static void undo_if_all_was_wrong(struct ptcp_recovery *recovery, struct ptcp_path *path,
                                  const struct news *news)
{
    if (news->spurious == 0)
        return;
    if (recovery->reorder_eighths < PTCP_REORDER_EIGHTHS_MAX)
        recovery->reorder_eighths++;
    if (path->reduction.spurious < path->reduction.lost)
        return;
    path->reduction = (struct ptcp_reduction){0};
    path->cc.type->on_undo(&path->cc, path->delivery.delivered);
}

/* Counts of an ACK that was overtaken say nothing: others may have told more already. */
static void take_ecn(struct ptcp_recovery *recovery, struct ptcp_path *path,
                     const struct ptcp_ack *ack, const struct news *news,
                     const struct ptcp_ack_sample *sample)
{
    if (news->newest.packet + 1 != ack->range[0].end)
        return;
    if (!ptcp_recovery_went_here(recovery, path, &news->newest)) {
        ptcp_ecn_note(&recovery->ecn, ack);
        return;
    }
    if (!ptcp_ecn_acked(&path->ecn, &recovery->ecn, ack, news->marked))
        return;
    path->cc.type->on_ecn(&path->cc, sample);
    path->reduction = (struct ptcp_reduction){.lost = UINT32_MAX}; /* no losses: nothing to undo */
    ptcp_careful_marked(path, sample->now_us);
}

static void inform_controller(struct ptcp_recovery *recovery, struct ptcp_path *path,
                              uint64_t now_us, const struct ptcp_ack *ack, const struct news *news,
                              uint64_t before)
{
    struct ptcp_ack_sample sample = {.now_us = now_us,
                                     .acked_bytes = news->bytes,
                                     .in_flight_before = before,
                                     .in_flight = path->delivery.in_flight,
                                     .delivered = path->delivery.delivered,
                                     .prior_delivered = news->newest.delivered,
                                     .total_lost = path->delivery.lost,
                                     .newest_sent_us = news->newest.time_us,
                                     .sent_in_flight = news->newest.in_flight,
                                     .lost_since =
                                         (uint32_t)path->delivery.lost - news->newest.lost,
                                     .calm_bytes = news->calm_bytes,
                                     .rtt = &path->rtt};

    const bool took = ptcp_recovery_went_here(recovery, path, &news->newest);

    sample_rtt(recovery, path, now_us, ack, news, &sample);
    if (took)
        sample.rate_bytes_per_s = ptcp_delivery_sample(&path->delivery, now_us, &news->newest);
    sample.app_limited = news->newest.flags & PTCP_SENT_APP_LIMITED;
    sample.unused = sample.app_limited && before * 2 < path->cc.window_bytes;
    take_ecn(recovery, path, ack, news, &sample);
    if (news->bytes > 0 && took) {
        path->cc.type->on_ack(&path->cc, &sample);
        ptcp_careful_acked(path, &sample);
    }
    if (path->cc.low_samples)
        ptcp_delivery_app_limited(&path->delivery);
}

int ptcp_recovery_ack(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                      const struct ptcp_ack *ack, const struct ptcp_recovery_owner *type,
                      void *owner)
{
    const uint64_t before = path->delivery.in_flight, prior_us = recovery->newest_acked_us;
    struct news news = {.count = 0};
    struct losses losses = {.count = 0};
    int rc;

    if (ack->range[0].end > recovery->ring.next)
        return -EPROTO;
    recovery->largest_acked = max_u64(recovery->largest_acked, ack->range[0].end);
    walk_lost(recovery, path, ack, &news, type, owner);
    rc = walk(recovery, path, ack, &news, type, owner);
    if (rc < 0)
        return rc;
    if (news.count == 0)
        return news.late;
    recovery->pto_count = 0;
    recovery->probes = 0;
    recovery->newest_acked_us = max_u64(prior_us, news.newest.time_us);
    undo_if_all_was_wrong(recovery, path, &news);
    inform_controller(recovery, path, now_us, ack, &news, before);
    find_losses(recovery, path, now_us, prior_us, news.oldest_packet, &losses, type, owner);
    report_losses(recovery, path, now_us, &losses);
    ptcp_path_pace(path, now_us);
    const uint64_t keep_us = 3 * patience_us(recovery, path);
    ptcp_sent_trim(&recovery->ring, now_us > keep_us ? now_us - keep_us : 0);
    return 1;
}

static uint64_t probe_timeout_us(const struct ptcp_recovery *recovery, const struct ptcp_path *path,
                                 bool handshake)
{
    const uint64_t base_us = ptcp_rtt_probe_timeout_us(&path->rtt, recovery->peer_ack_delay_us);
    const uint64_t most_us =
        handshake ? PTCP_PTO_HANDSHAKE_US : max_u64(2 * base_us, PTCP_PTO_MAX_US);
    const uint32_t shift =
        recovery->pto_count < PTCP_PTO_SHIFT_MAX ? recovery->pto_count : PTCP_PTO_SHIFT_MAX;

    return min_u64(base_us << shift, most_us);
}

uint64_t ptcp_recovery_due_us(const struct ptcp_recovery *recovery, const struct ptcp_path *path,
                              bool handshake)
{
    if (recovery->loss_us != UINT64_MAX)
        return recovery->loss_us;
    if (recovery->in_flight == 0)
        return UINT64_MAX;
    return recovery->last_eliciting_us + probe_timeout_us(recovery, path, handshake);
}

/* The oldest under way tells: probes for a size may get lost. */
static bool has_large_packet(const struct ptcp_recovery *recovery, const struct ptcp_path *path)
{
    const struct ptcp_sent *record = ptcp_sent_oldest(&recovery->ring);

    while (record && (record->state != PTCP_SENT_OUTSTANDING || record->flags & PTCP_SENT_PROBE))
        record = ptcp_sent_after(&recovery->ring, record);
    return record && record->size > PTCP_MTU_MIN && ptcp_recovery_went_here(recovery, path, record);
}

void ptcp_recovery_timeout(struct ptcp_recovery *recovery, struct ptcp_path *path, uint64_t now_us,
                           const struct ptcp_recovery_owner *type, void *owner)
{
    struct losses losses = {.count = 0};

    if (recovery->loss_us <= now_us) {
        find_losses(recovery, path, now_us, recovery->newest_acked_us, UINT64_MAX, &losses, type,
                    owner);
        report_losses(recovery, path, now_us, &losses);
        return;
    }
    recovery->timeouts++;
    recovery->pto_count++;
    /* Others get answers: marks are not what keeps ours away. */
    if (path->acked_us <= recovery->last_eliciting_us)
        ptcp_ecn_timeout(&path->ecn, recovery->pto_count);
    recovery->probes = PTCP_PTO_PROBES;
    if (has_large_packet(recovery, path) &&
        ptcp_mtu_timeout(&path->mtu, now_us,
                         ptcp_rtt_probe_timeout_us(&path->rtt, recovery->peer_ack_delay_us)))
        ptcp_path_resize(path);
}

/* Who answers still acknowledges what was sent a round trip ago; who is gone, nothing younger than
 * two. */
bool ptcp_recovery_is_answered(const struct ptcp_recovery *recovery, const struct ptcp_path *path,
                               uint64_t now_us)
{
    return path->rtt.sampled && now_us - recovery->newest_acked_us <= path->rtt.smoothed_us * 7 / 4;
}

/* Packet by packet. */
static void set_aside(struct ptcp_sent_ring *ring, struct ptcp_sent *record)
{
    for (struct ptcp_sent *rest = record; rest; record = rest) {
        rest = record->more > 0 ? ptcp_sent_split(ring, record, record->packet + 1) : NULL;
        ptcp_sent_give_up(ring, record);
    }
}

/*
 * An ACK may yet come of what had arrived. The peer counts on it that it is heeded: when it has
 * everything, and knows that we have heard so, it goes, and would not answer what is sent again.
 */
void ptcp_recovery_abandon(struct ptcp_recovery *recovery, struct ptcp_path *path,
                           const struct ptcp_recovery_owner *type, void *owner)
{
    struct ptcp_sent_ring *ring = &recovery->ring;
    struct ptcp_sent *next, *record = ptcp_sent_oldest(ring);

    for (; record; record = next) {
        next = ptcp_sent_after(ring, record);
        if (record->state != PTCP_SENT_OUTSTANDING)
            continue;
        type->lost(owner, record);
        set_aside(ring, record);
    }
    for (record = ptcp_sent_newest_lost(ring); record; record = ptcp_sent_before(ring, record)) {
        record->flags |= PTCP_SENT_ABANDONED;
        record->flags &= (uint16_t)~PTCP_SENT_PROBE;
    }
    all_leaves_flight(recovery, path);
    recovery->loss_us = UINT64_MAX;
    recovery->probes = 0;
    recovery->pto_count = 0;
}

void ptcp_recovery_stand_aside(struct ptcp_recovery *recovery, struct ptcp_path *path,
                               const struct ptcp_recovery_owner *type, void *owner)
{
    const uint32_t pto_count = recovery->pto_count, probes = recovery->probes;

    ptcp_recovery_abandon(recovery, path, type, owner);
    recovery->pto_count = pto_count;
    recovery->probes = probes;
}
