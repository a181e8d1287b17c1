#include "simworld.h"

#include <inttypes.h>
#include <stdarg.h>

static const char *const kind_names[] = {
    [SIM_SENT] = "sent",       [SIM_ARRIVED] = "arrived", [SIM_DROPPED] = "dropped",
    [SIM_COPIED] = "repeated", [SIM_NOTED] = "note",
};

static const char *const drop_names[STK_SIM_DROP_COUNT] = {
    [STK_SIM_DROP_QUEUE] = "queue full", [STK_SIM_DROP_MTU] = "larger than the MTU",
    [STK_SIM_DROP_LOSS] = "random loss", [STK_SIM_DROP_BURST] = "burst loss",
    [STK_SIM_DROP_MASK] = "loss mask",   [STK_SIM_DROP_DARK] = "blackout",
    [STK_SIM_DROP_ROUTE] = "no route",   [STK_SIM_DROP_CLOSED] = "nobody listens",
    [STK_SIM_DROP_HOOK] = "hook",        [STK_SIM_DROP_MEMORY] = "no memory",
};

const char *stk_sim_drop_name(enum stk_sim_drop cause)
{
    return (unsigned)cause < STK_SIM_DROP_COUNT ? drop_names[cause] : "unknown";
}

int sim_trace_init(struct sim_trace *trace, unsigned ring_size)
{
    trace->hash = UINT64_C(0xcbf29ce484222325);
    if (ring_size == 0)
        return 0;
    trace->ring = stk_alloc_zero(ring_size * sizeof *trace->ring);
    trace->ring_size = ring_size;
    return trace->ring ? 0 : -ENOMEM;
}

static void mix(struct sim_trace *trace, uint64_t word)
{
    uint64_t hash = trace->hash ^ word;

    hash *= UINT64_C(0x9fb21c651e98df25);
    trace->hash = hash ^ hash >> 29;
}

/* Words of one byte order, so that the hash is the same on every machine. */
static void mix_bytes(struct sim_trace *trace, const void *data, size_t len)
{
    const uint8_t *at = data;

    for (; len >= 8; at += 8, len -= 8)
        mix(trace, (uint64_t)stk_load_be32(at) << 32 | stk_load_be32(at + 4));
    for (; len > 0; at++, len--)
        mix(trace, *at);
}

static void mix_addr(struct sim_trace *trace, const struct stk_addr *addr)
{
    mix(trace, stk_addr_hash(addr, 1));
}

static void print_event(const struct sim_event *event, FILE *file)
{
    char from[STK_ADDR_TEXT_MAX], to[STK_ADDR_TEXT_MAX];

    fprintf(file, "%6" PRIu64 ".%06" PRIu64 " ", event->time_us / 1000000,
            event->time_us % 1000000);
    if (event->kind == SIM_NOTED) {
        fprintf(file, "%s\n", event->note);
        return;
    }
    fprintf(file, "%-8s #%" PRIu64 " %s > %s %u bytes", kind_names[event->kind], event->packet,
            stk_addr_format(&event->from, from), stk_addr_format(&event->to, to), event->size);
    if (event->host)
        fprintf(file, " at %s", event->host->name);
    if (event->kind == SIM_DROPPED)
        fprintf(file, ": %s", stk_sim_drop_name(event->cause));
    fputc('\n', file);
}

static void keep(struct sim_trace *trace, const struct sim_event *event)
{
    if (trace->ring_size > 0)
        trace->ring[trace->count % trace->ring_size] = *event;
    if (trace->file)
        print_event(event, trace->file);
    trace->count++;
}

static void mix_packet(struct sim_trace *trace, const struct sim_packet *packet,
                       enum sim_event_kind kind, enum stk_sim_drop cause)
{
    mix(trace, packet->sim->now_us << 8 | (uint64_t)kind << 4 | (uint64_t)cause);
    mix(trace, packet->serial << 20 | (uint64_t)packet->packet.size << 2 | packet->packet.ecn);
    mix_addr(trace, &packet->packet.from);
    mix_addr(trace, &packet->packet.to);
    if (!packet->sim->options.ignore_payload)
        mix_bytes(trace, packet->packet.data, packet->packet.size);
}

void sim_trace_packet(const struct sim_packet *packet, enum sim_event_kind kind,
                      enum stk_sim_drop cause)
{
    struct sim_trace *trace = &packet->sim->trace;

    mix_packet(trace, packet, kind, cause);
    if (trace->ring_size == 0 && !trace->file) {
        trace->count++;
        return;
    }
    keep(trace, &(struct sim_event){.time_us = stk_sim_elapsed_us(packet->sim),
                                    .packet = packet->serial,
                                    .kind = kind,
                                    .cause = cause,
                                    .host = packet->host,
                                    .from = packet->packet.from,
                                    .to = packet->packet.to,
                                    .size = packet->packet.size});
}

void stk_sim_note(struct stk_sim *sim, const char *format, ...)
{
    struct sim_event event = {.time_us = stk_sim_elapsed_us(sim), .kind = SIM_NOTED};
    va_list args;

    va_start(args, format);
    vsnprintf(event.note, sizeof event.note, format, args);
    va_end(args);
    mix(&sim->trace, sim->now_us << 8 | SIM_NOTED << 4);
    mix_bytes(&sim->trace, event.note, strlen(event.note));
    keep(&sim->trace, &event);
}

uint64_t stk_sim_hash(const struct stk_sim *sim) { return sim->trace.hash; }
uint64_t stk_sim_events(const struct stk_sim *sim) { return sim->trace.count; }
void stk_sim_trace_to(struct stk_sim *sim, FILE *file) { sim->trace.file = file; }

void stk_sim_print_trace(const struct stk_sim *sim, FILE *file)
{
    const struct sim_trace *trace = &sim->trace;
    const uint64_t kept = trace->count < trace->ring_size ? trace->count : trace->ring_size;

    if (trace->count > kept)
        fprintf(file, "… %" PRIu64 " earlier events\n", trace->count - kept);
    for (uint64_t i = trace->count - kept; i < trace->count; i++)
        print_event(&trace->ring[i % trace->ring_size], file);
}
