#include "scenario.h"

#include "seal.h"
#include "tls.h"
#include "tls_certs.h"
#include "transfer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

enum { MS = 1000, SECOND = 1000 * MS, PORT = 4001 };

enum {
    TIMEOUT_S = 200,
    DEAD_TIMEOUT_S = 30,
    KEEPALIVE_S = 15,
    HANDSHAKE_S = 10, /* until a listener forgets a handshake that falls silent */
};

enum stack { PLAIN, SEALED, TLS };

static const char *const stack_names[] = {"ptcp", "seal/ptcp", "ptcp/tls"};

struct plan {
    uint64_t seed;
    struct stk_prng prng;
    enum stack stack;
    bool ip6, dies;
    struct stk_sim_wire wire[2];
    struct stk_sim_host_options host[2];
    struct transfer transfer;
};

/* --- Drawing ---------------------------------------------------------------------------------- */

static uint64_t between(struct plan *plan, uint64_t low, uint64_t high)
{
    return low + stk_prng_below(&plan->prng, high - low + 1);
}

/* Each power of two between the ends is as likely as the other. */
static uint64_t magnitude(struct plan *plan, uint64_t low, uint64_t high)
{
    uint64_t doublings = 0, from, to;

    while (low << doublings <= high / 2)
        doublings++;
    from = low << between(plan, 0, doublings);
    to = from <= high / 2 ? 2 * from - 1 : high;
    return between(plan, from, to);
}

static bool chance(struct plan *plan, unsigned percent)
{
    return stk_prng_below(&plan->prng, 100) < percent;
}

static void draw_loss(struct plan *plan, struct stk_sim_wire *wire)
{
    /* Together they stay near 30 %: beyond it, exponential back-off gives up on honest links. */
    switch (between(plan, 0, 4)) {
    case 0:
        wire->loss_ppm = (uint32_t)between(plan, 1000, 300000);
        break;
    case 1:
        wire->loss_ppm = (uint32_t)magnitude(plan, 100, 50000);
        break;
    case 2:
        wire->to_bad_ppm = (uint32_t)magnitude(plan, 500, 20000);
        wire->to_good_ppm = (uint32_t)between(plan, 50000, 500000);
        wire->bad_loss_ppm = (uint32_t)between(plan, 500000, 1000000);
        break;
    case 3:
        wire->loss_mask =
            stk_prng_next(&plan->prng) & stk_prng_next(&plan->prng) & stk_prng_next(&plan->prng);
        break;
    default:
        break;
    }
}

static void draw_mischief(struct plan *plan, struct stk_sim_wire *wire)
{
    if (chance(plan, 30)) {
        wire->reorder_ppm = (uint32_t)magnitude(plan, 1000, 200000);
        wire->reorder_us = magnitude(plan, 100, 200 * MS);
    }
    if (chance(plan, 25)) {
        wire->duplicate_ppm = (uint32_t)magnitude(plan, 1000, 200000);
        wire->duplicate_us = between(plan, 0, 1) * magnitude(plan, 100, SECOND);
    }
    if (chance(plan, 25)) {
        wire->corrupt_ppm = (uint32_t)magnitude(plan, 1000, 50000);
        wire->corrupt_bits = (unsigned)between(plan, 1, 12);
    }
    if (chance(plan, 40)) {
        wire->jitter_us = magnitude(plan, 100, 100 * MS);
        wire->jitter = chance(plan, 50) ? STK_SIM_NORMAL : STK_SIM_UNIFORM;
        wire->overtaking = chance(plan, 50);
    }
    if (chance(plan, 20)) {
        wire->dark_from_us = between(plan, 0, 5 * SECOND);
        wire->dark_for_us = magnitude(plan, 10 * MS, 20 * SECOND);
        wire->dark_every_us =
            chance(plan, 30) ? wire->dark_for_us + between(plan, 60, 120) * SECOND : 0;
    }
}

static void draw_wire(struct plan *plan, struct stk_sim_wire *wire)
{
    uint64_t bdp_bytes;

    *wire = (struct stk_sim_wire){.delay_us = magnitude(plan, 50, 400 * MS), .mtu = 1500};
    if (chance(plan, 90))
        wire->rate_bit_s = magnitude(plan, 128000, 1000000000);
    if (chance(plan, 60))
        wire->mtu = (uint16_t)between(plan, plan->ip6 ? 1280 : 576, 9000);
    bdp_bytes = wire->rate_bit_s / 8 * 2 * wire->delay_us / SECOND;
    wire->queue_bytes = 8u * wire->mtu + bdp_bytes * between(plan, 1, 12) / 4;
    if (chance(plan, 20))
        wire->mark_bytes = 1 + wire->queue_bytes / between(plan, 2, 8);
    if (chance(plan, 75))
        draw_loss(plan, wire);
    draw_mischief(plan, wire);
}

static uint64_t draw_size(struct plan *plan)
{
    const uint64_t kind = between(plan, 0, 99);

    return kind < 10   ? 0
           : kind < 50 ? magnitude(plan, 1, 10000)
           : kind < 92 ? magnitude(plan, 10000, 300000)
           : kind < 98 ? magnitude(plan, 300000, 1000000)
                       : magnitude(plan, 1000000, 4000000);
}

static void draw_side(struct plan *plan, struct transfer_side *side)
{
    side->send_bytes = draw_size(plan);
    if (chance(plan, 30))
        side->write_max = (uint32_t)magnitude(plan, 1 + (uint32_t)(side->send_bytes / 5000), 65536);
    side->closes = chance(plan, 30);
    if (chance(plan, 15)) {
        side->pause_after = magnitude(plan, 1000, 300000);
        side->pause_us = magnitude(plan, 1 * MS, 2 * SECOND);
    }
    if (chance(plan, 15))
        side->leave_part = magnitude(plan, 1, 2000);
    side->close_within_us = UINT64_C(2) * TIMEOUT_S * SECOND;
}

static void draw_ends(struct plan *plan)
{
    struct transfer *transfer = &plan->transfer;

    draw_side(plan, &transfer->client);
    draw_side(plan, &transfer->server);
    transfer->connect_within_us = UINT64_C(2) * TIMEOUT_S * SECOND;
    /* Two that both wait for the other's end to close would wait for ever. */
    if (transfer->client.closes)
        transfer->server.closes = false;
    if (chance(plan, 40))
        transfer->server.sends_after_end = !transfer->client.closes;
    for (int i = 0; i < 2; i++) {
        if (chance(plan, 30))
            plan->host[i].gather_us = magnitude(plan, 10, 2 * MS);
        if (chance(plan, 20))
            plan->host[i].send_buffer_bytes = magnitude(plan, 20000, 500000);
    }
}

static void draw(struct plan *plan, uint64_t seed)
{
    const uint64_t kind = (memset(plan, 0, sizeof *plan), seed % 100);

    plan->seed = seed;
    stk_prng_seed(&plan->prng, seed);
    plan->stack = kind < 60 ? PLAIN : kind < 95 ? SEALED : TLS;
    plan->ip6 = chance(plan, 25);
    draw_wire(plan, &plan->wire[0]);
    if (chance(plan, 50))
        plan->wire[1] = plan->wire[0];
    else
        draw_wire(plan, &plan->wire[1]);
    draw_ends(plan);
    plan->dies = chance(plan, 5);
    if (plan->dies) {
        plan->wire[0].dark_from_us = magnitude(plan, 10 * MS, 8 * SECOND);
        plan->wire[0].dark_for_us = UINT64_MAX / 2;
        plan->wire[0].dark_every_us = 0;
        if (chance(plan, 50))
            plan->wire[1] = plan->wire[0];
    }
}

/* --- Running ---------------------------------------------------------------------------------- */

struct run {
    struct plan plan;
    struct stk_sim *sim;
    struct stk_key_pair key;
    struct scenario_result *result;
};

static void fail(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The first reason stays. */
static void fail(struct run *run, const char *format, ...)
{
    char *text = run->result->text;
    const size_t len = strlen(text);
    va_list args;

    if (!run->result->passed)
        return;
    run->result->passed = false;
    va_start(args, format);
    vsnprintf(text + len, SCENARIO_TEXT_MAX - len, format, args);
    va_end(args);
}

static void describe_wire(const struct stk_sim_wire *wire, char *text, size_t size)
{
    snprintf(text, size,
             "[%" PRIu64 " kbit/s %" PRIu64 " us queue %" PRIu64 " mtu %u loss %u burst %u/%u/%u "
             "mask %" PRIx64 " reorder %u/%" PRIu64 " dup %u/%" PRIu64 " corrupt %u jitter %" PRIu64
             "%s dark %" PRIu64 "+%" PRIu64 "/%" PRIu64 " ms]",
             wire->rate_bit_s / 1000, wire->delay_us, wire->queue_bytes, wire->mtu, wire->loss_ppm,
             wire->to_bad_ppm, wire->to_good_ppm, wire->bad_loss_ppm, wire->loss_mask,
             wire->reorder_ppm, wire->reorder_us, wire->duplicate_ppm, wire->duplicate_us,
             wire->corrupt_ppm, wire->jitter_us, wire->overtaking ? "!" : "",
             wire->dark_from_us / MS, wire->dark_for_us / MS, wire->dark_every_us / MS);
}

static void describe(struct run *run)
{
    const struct plan *plan = &run->plan;
    char wires[2][320];

    for (int i = 0; i < 2; i++)
        describe_wire(&plan->wire[i], wires[i], sizeof wires[i]);
    snprintf(run->result->text, SCENARIO_TEXT_MAX,
             "%s%s%s, %" PRIu64 " bytes up, %" PRIu64 " down%s, forth %s, back %s: ",
             stack_names[plan->stack], plan->ip6 ? " over IPv6" : "", plan->dies ? ", dies" : "",
             plan->transfer.client.send_bytes, plan->transfer.server.send_bytes,
             plan->transfer.server.sends_after_end ? " as a reply" : "", wires[0], wires[1]);
}

static int build_network(struct run *run)
{
    struct plan *plan = &run->plan;
    struct stk_sim_host *client, *server;
    struct stk_sim_link *link;
    int code = stk_sim_host_add(run->sim, "server", plan->ip6 ? "fd00::1" : "10.0.0.1", &server);

    if (code == 0)
        code = stk_sim_host_add(run->sim, "client", plan->ip6 ? "fd00::2" : "10.0.0.2", &client);
    if (code == 0)
        code = stk_sim_link_add(run->sim, client, server, &plan->wire[0], &plan->wire[1], &link);
    if (code < 0)
        return code;
    stk_sim_host_set(client, &plan->host[0]);
    stk_sim_host_set(server, &plan->host[1]);
    return 0;
}

static void make_certificates(void)
{
    static bool made;

    if (made)
        return;
    made = true;
    certs_make(&(struct cert){.file = "ca", .cn = "Scenario CA", .is_ca = true});
    certs_make(&(struct cert){
        .file = "server", .cn = "server", .san = "DNS:server.example", .issuer = "ca"});
}

static void write_tls(bool listening, char *text, size_t size)
{
    char path[512];

    make_certificates();
    if (listening)
        snprintf(text, size, "/tls,cert=%s",
                 stk_percent_encode(certs_path("server.pem"), path, sizeof path));
    else
        snprintf(text, size, "/tls,sni=server.example,ca=%s",
                 stk_percent_encode(certs_path("ca.crt"), path, sizeof path));
}

static void write_stack(const struct run *run, bool listening, char *text, size_t size)
{
    const struct plan *plan = &run->plan;
    const unsigned timeout_s = plan->dies ? DEAD_TIMEOUT_S : TIMEOUT_S;
    char key[STK_KEY_TEXT_MAX], seal[STK_KEY_TEXT_MAX + 48] = "", tls[600] = "";

    if (plan->stack == SEALED && listening)
        snprintf(seal, sizeof seal, "/seal");
    else if (plan->stack == SEALED)
        snprintf(seal, sizeof seal, "/seal,peer=%s,handshake-timeout=%us",
                 stk_key_format(run->key.public_key, key), timeout_s);
    if (plan->stack == TLS)
        write_tls(listening, tls, sizeof tls);
    snprintf(text, size, "%s/simudp/%d%s/ptcp,connect-timeout=%us,user-timeout=%us,keepalive=%us%s",
             plan->ip6 ? "/ip6/fd00::1" : "/ip4/10.0.0.1", PORT, seal, timeout_s, timeout_s,
             KEEPALIVE_S, tls);
}

static void start(struct run *run)
{
    char listen[STK_RECIPE_TEXT_MAX], connect[STK_RECIPE_TEXT_MAX];
    struct stk_error error = {0};
    uint8_t seed[32];
    int code;

    stk_prng_bytes(&run->plan.prng, seed, sizeof seed);
    stk_key_pair_from_seed(&run->key, seed);
    write_stack(run, true, listen, sizeof listen);
    write_stack(run, false, connect, sizeof connect);
    if (stk_seal_set_identity(stk_sim_loop(run->sim), &run->key) < 0 || build_network(run) < 0) {
        fail(run, "can't build the network");
        return;
    }
    code = transfer_start(&run->plan.transfer, run->sim, listen, connect, run->plan.seed, &error);
    if (code < 0)
        fail(run, "can't start: %s: %s", error.layer, error.text);
}

/* --- Judging ---------------------------------------------------------------------------------- */

/*
 * A side that learns of the link's death may tell the other one, if only one direction is dead.
 */
static bool may_end_so(const struct plan *plan, int code)
{
    const bool both = plan->wire[1].dark_for_us == plan->wire[0].dark_for_us;

    return plan->dies && (code == -ETIMEDOUT || (code == -ECONNRESET && !both));
}

static void judge_side(struct run *run, const struct transfer_side *side, const char *name)
{
    if (!side->conn && run->plan.dies)
        return;
    if (side->in.wrong)
        fail(run, "the %s got a wrong byte at %" PRIu64, name, side->in.position);
    else if (!side->closed)
        fail(run, "the %s never closed, has %" PRIu64 " of %" PRIu64, name, side->in.position,
             side->in.size);
    else if (side->error.code != 0 && !may_end_so(&run->plan, side->error.code))
        fail(run, "the %s: %s: %s (%d) at %" PRIu64 " ms, has %" PRIu64 " of %" PRIu64, name,
             side->error.layer, side->error.text, side->error.code, side->closed_us / MS,
             side->in.position, side->in.size);
    else if (side->error.code == 0 && !oracle_is_complete(&side->in))
        fail(run, "the %s closed in order with %" PRIu64 " of %" PRIu64, name, side->in.position,
             side->in.size);
}

/* Nothing is heard any more: what is unanswered times out, and who only waits asks first. */
static void judge_time_out(struct run *run, const struct transfer_side *side, const char *name,
                           unsigned least_s)
{
    const uint64_t dead_us = run->plan.wire[0].dark_from_us;
    const uint64_t last_us = (DEAD_TIMEOUT_S + KEEPALIVE_S + 15) * UINT64_C(1000000);

    if (side->error.code == 0)
        return;
    if (side->closed_us > dead_us + last_us)
        fail(run, "the %s noticed only %" PRIu64 " ms after the link died", name,
             (side->closed_us - dead_us) / MS);
    if (side->closed_us < least_s * UINT64_C(1000000))
        fail(run, "the %s gave up after %" PRIu64 " ms already: %s: %s", name, side->closed_us / MS,
             side->error.layer, side->error.text);
}

static void judge(struct run *run)
{
    const struct transfer *transfer = &run->plan.transfer;

    judge_side(run, &transfer->client, "client");
    judge_side(run, &transfer->server, "server");
    if (run->plan.dies) {
        judge_time_out(run, &transfer->client, "client", DEAD_TIMEOUT_S);
        judge_time_out(run, &transfer->server, "server", HANDSHAKE_S);
    } else if (transfer->accepted != 1) {
        fail(run, "%d connections were accepted", transfer->accepted);
    }
}

static void measure(struct run *run)
{
    struct scenario_result *result = run->result;

    result->hash = stk_sim_hash(run->sim);
    result->events = stk_sim_events(run->sim);
    result->elapsed_us = stk_sim_elapsed_us(run->sim);
    result->bytes = run->plan.transfer.client.in.position + run->plan.transfer.server.in.position;
}

static bool is_over(const struct transfer *transfer)
{
    return !transfer->listener && (!transfer->client.conn || transfer->client.closed) &&
           (!transfer->server.conn || transfer->server.closed);
}

void scenario_run(uint64_t seed, bool verbose, struct scenario_result *result)
{
    struct run *run = calloc(1, sizeof *run);
    int code;

    memset(result, 0, sizeof *result);
    result->passed = true;
    run->result = result;
    draw(&run->plan, seed);
    describe(run);
    run->plan.transfer.verbose = verbose;
    result->repeatable = run->plan.stack != TLS;
    if (stk_sim_new(&(struct stk_sim_options){.seed = seed, .ignore_payload = !result->repeatable},
                    &run->sim) < 0)
        abort();
    if (verbose) {
        printf("%s\n", result->text);
        stk_sim_trace_to(run->sim, stdout);
    }
    start(run);
    code = result->passed ? stk_sim_run(run->sim) : 0;
    if (code < 0)
        fail(run,
             "hangs: %s; client has %" PRIu64 " of %" PRIu64 ", server %" PRIu64 " of %" PRIu64,
             stk_strerror(code), run->plan.transfer.client.in.position,
             run->plan.transfer.client.in.size, run->plan.transfer.server.in.position,
             run->plan.transfer.server.in.size);
    if (result->passed)
        judge(run);
    measure(run);
    stk_tls_forget_sessions();
    /* What hangs can't be taken down: it stays until the process ends. */
    if (code == 0 && is_over(&run->plan.transfer))
        stk_sim_free(run->sim);
    free(run);
}
