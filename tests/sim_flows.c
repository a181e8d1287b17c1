#include "sim_flows.h"

#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>

enum { PORT = 4001, SECOND = 1000000, LEAST_QUEUE_BYTES = 4 * SIM_FLOWS_MTU };

void sim_flows_link(struct sim_flows *flows, uint64_t rate_bit_s, uint64_t rtt_us, double loss,
                    double queue_bdp)
{
    const double bdp_bytes = (double)rate_bit_s / 8 * (double)rtt_us / SECOND;
    const uint64_t queue_bytes = (uint64_t)(bdp_bytes * queue_bdp);

    flows->forth = (struct stk_sim_wire){
        .rate_bit_s = rate_bit_s,
        .delay_us = rtt_us / 2,
        .queue_bytes = queue_bytes > LEAST_QUEUE_BYTES ? queue_bytes : LEAST_QUEUE_BYTES,
        .mtu = SIM_FLOWS_MTU};
    flows->back = flows->forth;
    flows->forth.loss_ppm = (uint32_t)(loss * 1e6);
}

/* Programs without CUnit use this too. */
static void must(bool works, const char *what)
{
    if (works)
        return;
    fprintf(stderr, "sim flows: %s\n", what);
    exit(1);
}

static struct stk_sim *make_network(const struct sim_flows *flows, struct stk_sim_link **link)
{
    struct stk_sim_host *client, *server;
    struct stk_sim *sim;

    must(stk_sim_new(&(struct stk_sim_options){.seed = flows->seed}, &sim) == 0, "no network");
    must(stk_sim_host_add(sim, "server", "10.0.0.1", &server) == 0, "no server");
    must(stk_sim_host_add(sim, "client", "10.0.0.2", &client) == 0, "no client");
    must(stk_sim_link_add(sim, client, server, &flows->forth, &flows->back, link) == 0, "no link");
    return sim;
}

static void start(const struct sim_flows *flows, int i, struct stk_sim *sim,
                  struct transfer *transfer)
{
    const char *options = flows->options[i];
    struct stk_error error = {0};
    char recipe[128];

    snprintf(recipe, sizeof recipe, "/ip4/10.0.0.1/simudp/%d/ptcp%s%s", PORT + i,
             options ? "," : "", options ? options : "");
    transfer->client.send_bytes = UINT64_C(1) << 44;
    must(transfer_start(transfer, sim, recipe, recipe, flows->seed + (uint64_t)i, &error) == 0,
         error.text);
}

static void run_to(struct stk_sim *sim, uint64_t time_us)
{
    const uint64_t now_us = stk_sim_elapsed_us(sim);

    if (time_us > now_us)
        must(stk_sim_run_for(sim, time_us - now_us) == 0, "the run hangs");
}

static void end(struct stk_sim *sim, struct transfer *transfers, int count)
{
    for (int i = 0; i < count; i++) {
        must(!transfers[i].server.in.wrong, "wrong bytes");
        must(!transfers[i].client.closed, transfers[i].client.error.text);
        stk_conn_abort(transfers[i].client.conn);
        if (transfers[i].server.conn && !transfers[i].server.closed)
            stk_conn_abort(transfers[i].server.conn);
    }
    must(stk_sim_run(sim) == 0, "the end hangs");
    stk_sim_free(sim);
}

/* Byte-microseconds that packets have waited so far. */
static double waited(struct stk_sim *sim, struct stk_sim_link *link)
{
    struct stk_sim_wire_stats stats;

    stk_sim_link_stats(link, STK_SIM_FORTH, &stats);
    return stats.queue_mean_bytes * (double)stk_sim_elapsed_us(sim);
}

static void take_queue(struct sim_flows *flows, struct stk_sim_link *link, double byte_us)
{
    const double bytes = byte_us / (double)(flows->to_us - flows->from_us);
    struct stk_sim_wire_stats stats;

    stk_sim_link_stats(link, STK_SIM_FORTH, &stats);
    flows->queue_us = bytes * 8 * SECOND / (double)flows->forth.rate_bit_s;
    flows->loss = (double)stats.dropped[STK_SIM_DROP_QUEUE] / (double)stats.packets_in;
    flows->marked = stats.marked;
}

void sim_flows_run(struct sim_flows *flows)
{
    struct transfer transfers[SIM_FLOWS_MAX] = {{.sim = NULL}};
    uint64_t before[SIM_FLOWS_MAX];
    struct stk_sim_link *link;
    struct stk_sim *sim = make_network(flows, &link);
    double byte_us;

    for (int i = 0; i < flows->count; i++) { /* in the order of their starts */
        run_to(sim, flows->start_us[i]);
        start(flows, i, sim, &transfers[i]);
    }
    run_to(sim, flows->from_us);
    byte_us = waited(sim, link);
    for (int i = 0; i < flows->count; i++)
        before[i] = transfers[i].server.in.position;
    run_to(sim, flows->to_us);
    for (int i = 0; i < flows->count; i++)
        flows->bit_s[i] = (double)(transfers[i].server.in.position - before[i]) * 8 * SECOND /
                          (double)(flows->to_us - flows->from_us);
    take_queue(flows, link, waited(sim, link) - byte_us);
    end(sim, transfers, flows->count);
}

double sim_flows_total_bit_s(const struct sim_flows *flows)
{
    double total = 0;

    for (int i = 0; i < flows->count; i++)
        total += flows->bit_s[i];
    return total;
}
