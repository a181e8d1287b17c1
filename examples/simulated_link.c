/*
 * 200,000 bytes over a bad link, in virtual time: a real stack between two simulated hosts.
 * Another seed gives other losses; the same seed gives the same run, to the microsecond.
 */
#include "sim.h"
#include "stack.h"

#include <stdlib.h>

static size_t total;

static void opened(struct stk_conn *conn)
{
    static const uint8_t data[200000];

    stk_conn_write(conn, data, sizeof data);
    stk_conn_close(conn);
}

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    (void)conn, (void)data;
    total += len;
    return len;
}

int main(int argc, char **argv)
{
    static const struct stk_protocol source = {.opened = opened}, sink = {.received = received};
    const struct stk_sim_options options = {.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1};
    const struct stk_sim_wire wire = {
        .rate_bit_s = 2000000, .delay_us = 40000, .loss_ppm = 50000, .reorder_ppm = 20000};
    struct stk_sim *sim;
    struct stk_sim_host *server, *client;
    struct stk_sim_link *link;
    struct stk_listener *listener;
    struct stk_conn *conn;
    struct stk_error error;

    if (stk_sim_new(&options, &sim) < 0 ||
        stk_sim_host_add(sim, "server", "10.0.0.1", &server) < 0 ||
        stk_sim_host_add(sim, "client", "10.0.0.2", &client) < 0 ||
        stk_sim_link_add(sim, client, server, &wire, NULL, &link) < 0)
        return 1;
    if (stk_listen(stk_sim_loop(sim), "/ip4/10.0.0.1/simudp/4001/ptcp", &sink, NULL, &listener,
                   &error) < 0 ||
        stk_connect(stk_sim_loop(sim), "/ip4/10.0.0.1/simudp/4001,host=client/ptcp", &source, NULL,
                    &conn, &error) < 0)
        return fprintf(stderr, "%s: %s\n", error.layer, error.text), 1;

    stk_sim_run_for(sim, 60 * 1000000);
    stk_listener_close(listener);
    stk_sim_run(sim);
    printf("%zu bytes, trace hash %016llx\n", total, (unsigned long long)stk_sim_hash(sim));
    stk_sim_free(sim);
    return total == 200000 ? 0 : 1;
}
