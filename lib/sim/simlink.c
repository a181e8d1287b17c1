#include "simworld.h"

#include <assert.h>

enum { MILLION = 1000 * 1000 };

/* --- Life ------------------------------------------------------------------------------------- */

static void first_has_left(struct stk_timer *timer);

static void init_pipe(struct sim_pipe *pipe, struct stk_sim_host *to, uint64_t number)
{
    pipe->sim = to->sim;
    pipe->to = to;
    stk_list_init(&pipe->queue);
    stk_timer_init(&pipe->sent, to->sim->loop, first_has_left);
    for (unsigned i = 0; i < SIM_STREAM_COUNT; i++)
        sim_prng(to->sim, (number + 1) * SIM_STREAM_COUNT + i, &pipe->streams[i]);
}

int stk_sim_link_add(struct stk_sim *sim, struct stk_sim_host *a, struct stk_sim_host *b,
                     const struct stk_sim_wire *forth, const struct stk_sim_wire *back,
                     struct stk_sim_link **out)
{
    struct stk_sim_link *link = stk_alloc_zero(sizeof *link);

    assert(a->sim == sim && b->sim == sim && a != b);
    if (!link)
        return -ENOMEM;
    link->end[0] = a;
    link->end[1] = b;
    init_pipe(&link->pipe[STK_SIM_FORTH], b, sim->pipe_count++);
    init_pipe(&link->pipe[STK_SIM_BACK], a, sim->pipe_count++);
    link->pipe[STK_SIM_FORTH].wire = *forth;
    link->pipe[STK_SIM_BACK].wire = back ? *back : *forth;
    stk_list_append(&sim->links, &link->node);
    sim->routes_stale = true;
    *out = link;
    return 0;
}

void sim_link_quiet(struct stk_sim_link *link)
{
    for (int i = 0; i < 2; i++)
        stk_timer_stop(&link->pipe[i].sent);
}

void stk_sim_link_set(struct stk_sim_link *link, enum stk_sim_direction direction,
                      const struct stk_sim_wire *wire)
{
    link->pipe[direction].wire = *wire;
}

const struct stk_sim_wire *stk_sim_link_wire(const struct stk_sim_link *link,
                                             enum stk_sim_direction direction)
{
    return &link->pipe[direction].wire;
}

/* --- Chance ----------------------------------------------------------------------------------- */

/* A stream is asked only while its knob is turned on, once a packet. */
static bool happens(struct sim_pipe *pipe, enum sim_stream stream, uint32_t chance_ppm)
{
    return chance_ppm > 0 && stk_prng_below(&pipe->streams[stream], MILLION) < chance_ppm;
}

/* Uniform in 0 … most. */
static uint64_t up_to(struct sim_pipe *pipe, enum sim_stream stream, uint64_t most)
{
    return most > 0 ? stk_prng_below(&pipe->streams[stream], most + 1) : 0;
}

/* The sum of twelve uniform numbers is as normal as a network is, and the same on every machine. */
static double normal(struct stk_prng *prng)
{
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += stk_prng_unit(prng);
    return sum;
}

static uint64_t draw_delay(struct sim_pipe *pipe)
{
    const struct stk_sim_wire *wire = &pipe->wire;
    double delay_us;

    if (wire->jitter_us == 0)
        return wire->delay_us;
    if (wire->jitter == STK_SIM_UNIFORM)
        return wire->delay_us + up_to(pipe, SIM_JITTER, wire->jitter_us);
    delay_us =
        (double)wire->delay_us + (double)wire->jitter_us * normal(&pipe->streams[SIM_JITTER]);
    return delay_us > 0 ? (uint64_t)delay_us : 0;
}

static bool is_dark(const struct sim_pipe *pipe)
{
    const struct stk_sim_wire *wire = &pipe->wire;
    const uint64_t now_us = stk_sim_elapsed_us(pipe->sim);
    uint64_t since_us;

    if (wire->dark_for_us == 0 || now_us < wire->dark_from_us)
        return false;
    since_us = now_us - wire->dark_from_us;
    if (wire->dark_every_us > 0)
        since_us %= wire->dark_every_us;
    return since_us < wire->dark_for_us;
}

static bool burst_takes_it(struct sim_pipe *pipe)
{
    const struct stk_sim_wire *wire = &pipe->wire;

    if (happens(pipe, SIM_BURST_STATE, pipe->bad ? wire->to_good_ppm : wire->to_bad_ppm))
        pipe->bad = !pipe->bad;
    return pipe->bad && happens(pipe, SIM_BURST_LOSS, wire->bad_loss_ppm);
}

/* Every impairment draws for every packet, lost or not, so that none depends on another. */
static enum stk_sim_drop wire_loses(struct sim_pipe *pipe)
{
    const bool masked = pipe->wire.loss_mask >> (pipe->crossed++ % 64) & 1;
    const bool lost = happens(pipe, SIM_LOSS, pipe->wire.loss_ppm);
    const bool in_burst = burst_takes_it(pipe);

    return is_dark(pipe) ? STK_SIM_DROP_DARK
           : masked      ? STK_SIM_DROP_MASK
           : lost        ? STK_SIM_DROP_LOSS
           : in_burst    ? STK_SIM_DROP_BURST
                         : STK_SIM_DROP_COUNT;
}

/* --- Across the wire -------------------------------------------------------------------------- */

static void arrive(struct stk_timer *timer)
{
    struct sim_packet *packet = STK_CONTAINER(timer, struct sim_packet, timer);
    struct sim_pipe *pipe = packet->pipe;

    pipe->stats.packets_out++;
    pipe->stats.bytes_out += sim_packet_wire_size(packet);
    packet->pipe = NULL;
    sim_host_take(pipe->to, packet);
}

static void corrupt(struct sim_pipe *pipe, struct sim_packet *packet)
{
    const unsigned most = pipe->wire.corrupt_bits > 0 ? pipe->wire.corrupt_bits - 1 : 0;
    const uint64_t bits = 1 + up_to(pipe, SIM_CORRUPT_BITS, most);

    if (packet->packet.size == 0)
        return;
    for (uint64_t i = 0; i < bits; i++) {
        const uint64_t bit = up_to(pipe, SIM_CORRUPT_BITS, packet->packet.size * 8u - 1);

        packet->packet.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    pipe->stats.corrupted++;
}

static void repeat(struct sim_pipe *pipe, const struct sim_packet *packet, uint64_t due_us)
{
    struct sim_packet *copy = sim_packet_new(pipe->sim, &packet->packet);

    if (!copy)
        return;
    copy->host = packet->host;
    copy->hops = packet->hops;
    copy->pipe = pipe;
    pipe->stats.duplicated++;
    sim_trace_packet(copy, SIM_COPIED, 0);
    sim_packet_later(copy, arrive, due_us + up_to(pipe, SIM_DUPLICATE, pipe->wire.duplicate_us));
}

/* When a packet that starts now is there. One that is held back does not hold up the others. */
static uint64_t draw_arrival(struct sim_pipe *pipe)
{
    const bool held_back = happens(pipe, SIM_REORDER, pipe->wire.reorder_ppm);
    uint64_t due_us = pipe->sim->now_us + draw_delay(pipe);

    if (!pipe->wire.overtaking && due_us < pipe->last_arrival_us)
        due_us = pipe->last_arrival_us;
    if (!held_back)
        return pipe->last_arrival_us = due_us;
    pipe->stats.reordered++;
    return due_us + 1 + up_to(pipe, SIM_REORDER_TIME, pipe->wire.reorder_us);
}

static void cross(struct sim_pipe *pipe, struct sim_packet *packet)
{
    const enum stk_sim_drop cause = wire_loses(pipe);
    const bool corrupted = happens(pipe, SIM_CORRUPT, pipe->wire.corrupt_ppm);
    const bool repeated = happens(pipe, SIM_DUPLICATE, pipe->wire.duplicate_ppm);
    const uint64_t due_us = draw_arrival(pipe);

    sim_socket_left(packet);
    if (cause != STK_SIM_DROP_COUNT) {
        sim_packet_drop(packet, cause);
        return;
    }
    if (repeated)
        repeat(pipe, packet, due_us);
    if (corrupted)
        corrupt(pipe, packet);
    sim_packet_later(packet, arrive, due_us);
}

/* --- The queue -------------------------------------------------------------------------------- */

static void waiting_changes(struct sim_pipe *pipe)
{
    const uint64_t now_us = pipe->sim->now_us;

    pipe->waiting_byte_us +=
        (double)pipe->waiting_bytes * (double)(now_us - pipe->waiting_since_us);
    pipe->waiting_since_us = now_us;
}

static struct sim_packet *first(const struct sim_pipe *pipe)
{
    return STK_CONTAINER(pipe->queue.next, struct sim_packet, queue_node);
}

/* The first packet begins at `start_ns`. What waits is the rest. */
static void begin(struct sim_pipe *pipe, uint64_t start_ns)
{
    const uint64_t bits = sim_packet_wire_size(first(pipe)) * UINT64_C(8);

    pipe->free_ns = start_ns;
    if (pipe->wire.rate_bit_s > 0)
        pipe->free_ns += bits * UINT64_C(1000000000) / pipe->wire.rate_bit_s;
}

static uint64_t free_us(const struct sim_pipe *pipe)
{
    return SIM_START_US + (pipe->free_ns + 999) / 1000;
}

static void begin_next(struct sim_pipe *pipe)
{
    const unsigned size = sim_packet_wire_size(first(pipe));

    waiting_changes(pipe);
    assert(pipe->waiting_bytes >= size && pipe->waiting_packets > 0);
    pipe->waiting_bytes -= size;
    pipe->waiting_packets--;
    begin(pipe, pipe->free_ns);
}

/* The loop's clock has microseconds, a fast wire several packets in one. */
static void first_has_left(struct stk_timer *timer)
{
    struct sim_pipe *pipe = STK_CONTAINER(timer, struct sim_pipe, sent);

    while (!stk_list_empty(&pipe->queue) && free_us(pipe) <= pipe->sim->now_us) {
        struct sim_packet *packet = first(pipe);

        stk_list_remove(&packet->queue_node);
        if (!stk_list_empty(&pipe->queue))
            begin_next(pipe);
        cross(pipe, packet);
    }
    if (!stk_list_empty(&pipe->queue))
        stk_timer_at(&pipe->sent, free_us(pipe));
}

static bool is_full(const struct sim_pipe *pipe, unsigned size)
{
    const struct stk_sim_wire *wire = &pipe->wire;

    if (wire->queue_bytes == 0 && wire->queue_packets == 0)
        return pipe->waiting_packets >= STK_SIM_QUEUE_PACKETS;
    return (wire->queue_bytes > 0 && pipe->waiting_bytes + size > wire->queue_bytes) ||
           (wire->queue_packets > 0 && pipe->waiting_packets >= wire->queue_packets);
}

static void mark(struct sim_pipe *pipe, struct sim_packet *packet)
{
    const uint64_t threshold = pipe->wire.mark_bytes;

    if (threshold == 0 || pipe->waiting_bytes < threshold || packet->packet.ecn == STK_ECN_NOT)
        return;
    packet->packet.ecn = STK_ECN_CE;
    pipe->stats.marked++;
}

static void wait_in_line(struct sim_pipe *pipe, struct sim_packet *packet, unsigned size)
{
    if (is_full(pipe, size)) {
        sim_packet_drop(packet, STK_SIM_DROP_QUEUE);
        return;
    }
    mark(pipe, packet);
    waiting_changes(pipe);
    pipe->waiting_bytes += size;
    pipe->waiting_packets++;
    if (pipe->waiting_bytes > pipe->stats.queue_max_bytes)
        pipe->stats.queue_max_bytes = pipe->waiting_bytes;
    stk_list_append(&pipe->queue, &packet->queue_node);
}

static void send_at_once(struct sim_pipe *pipe, struct sim_packet *packet)
{
    const uint64_t now_ns = stk_sim_elapsed_us(pipe->sim) * 1000;

    if (pipe->wire.rate_bit_s == 0) {
        cross(pipe, packet);
        return;
    }
    stk_list_append(&pipe->queue, &packet->queue_node);
    begin(pipe, pipe->free_ns > now_ns ? pipe->free_ns : now_ns);
    stk_timer_at(&pipe->sent, free_us(pipe));
}

void sim_pipe_send(struct sim_pipe *pipe, struct sim_packet *packet)
{
    const unsigned size = sim_packet_wire_size(packet);

    pipe->stats.packets_in++;
    pipe->stats.bytes_in += size;
    packet->pipe = pipe;
    if (pipe->wire.mtu > 0 && size > pipe->wire.mtu)
        sim_packet_drop(packet, STK_SIM_DROP_MTU);
    else if (stk_list_empty(&pipe->queue))
        send_at_once(pipe, packet);
    else
        wait_in_line(pipe, packet, size);
}

void stk_sim_link_stats(const struct stk_sim_link *link, enum stk_sim_direction direction,
                        struct stk_sim_wire_stats *stats)
{
    const struct sim_pipe *pipe = &link->pipe[direction];
    const uint64_t since_us = pipe->sim->now_us - pipe->waiting_since_us;
    const double elapsed_us = (double)stk_sim_elapsed_us(pipe->sim);
    const double byte_us = pipe->waiting_byte_us + (double)pipe->waiting_bytes * (double)since_us;

    *stats = pipe->stats;
    stats->queue_mean_bytes = elapsed_us > 0 ? byte_us / elapsed_us : 0;
}
