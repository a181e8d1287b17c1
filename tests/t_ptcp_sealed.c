/*
 * Goal: PTCP over seal keeps its word about who is there: a recording opens nothing, an honest peer
 * needs one round trip, and a side that leaves in order leaves no error behind.
 * Method: real stacks on a simulated network whose packets are recorded, replayed and dropped.
 */
#include "harness.h"
#include "resolver.h"
#include "seal.h"
#include "sim.h"
#include "stack.h"

#include <string.h>

enum { MS = 1000, SECOND = 1000 * MS, RECORDED_MAX = 64, BYTES_MAX = 1500 };

struct side {
    struct stk_conn *conn;
    int accepted, opened, closed, error;
    size_t received;
    bool finished, finishes;
    uint64_t opened_us;
    char text[STK_ERROR_TEXT_MAX];
};

static struct {
    struct stk_sim *sim;
    struct stk_sim_host *client_host, *server_host;
    struct stk_sim_link *link;
    struct stk_listener *listener;
    struct stk_key_pair key;
    struct side client, server;
    struct {
        struct stk_sim_packet packet;
        uint8_t bytes[BYTES_MAX];
    } recorded[RECORDED_MAX];
    int recorded_count;
    bool records;
} world;

static const struct stk_sim_wire wire = {.delay_us = 50 * MS};

/* --- A protocol that greets, listens, and finishes when told -----------------------------------
 */

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static int on_accepted(struct stk_conn *conn)
{
    world.server.accepted++;
    world.server.conn = conn;
    stk_conn_set_user(conn, &world.server);
    return 0;
}

static void on_opened(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    side->opened++;
    side->opened_us = stk_sim_elapsed_us(world.sim);
    stk_conn_write(conn, "hello", 5);
    if (side->finishes)
        stk_conn_finish(conn);
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    (void)data;
    side_of(conn)->received += len;
    return len;
}

static void on_finished(struct stk_conn *conn)
{
    side_of(conn)->finished = true;
    stk_conn_finish(conn);
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    side_of(conn)->closed++;
    side_of(conn)->error = error ? error->code : 0;
    if (error)
        snprintf(side_of(conn)->text, STK_ERROR_TEXT_MAX, "%s", error->text);
    side_of(conn)->conn = NULL;
}

static const struct stk_protocol protocol = {.accepted = on_accepted,
                                             .opened = on_opened,
                                             .received = on_received,
                                             .finished = on_finished,
                                             .closed = on_closed};

/* --- The world ----------------------------------------------------------------------------------
 */

static enum stk_sim_verdict record(void *user, struct stk_sim_host *host,
                                   struct stk_sim_packet *packet)
{
    (void)user;
    (void)host;
    if (!world.records || world.recorded_count == RECORDED_MAX || packet->size > BYTES_MAX)
        return STK_SIM_PASS;
    world.recorded[world.recorded_count].packet = *packet;
    memcpy(world.recorded[world.recorded_count++].bytes, packet->data, packet->size);
    return STK_SIM_PASS;
}

static void replay_all(void)
{
    for (int i = 0; i < world.recorded_count; i++) {
        world.recorded[i].packet.data = world.recorded[i].bytes;
        CU_ASSERT_EQUAL(stk_sim_inject(world.client_host, &world.recorded[i].packet), 0);
    }
}

static void listen_at_server(void)
{
    struct stk_error error = {0};

    CU_ASSERT_EQUAL_FATAL(stk_listen(stk_sim_loop(world.sim), "/ip4/10.0.0.1/simudp/4001/seal/ptcp",
                                     &protocol, NULL, &world.listener, &error),
                          0);
}

static void set_up(void)
{
    const uint8_t seed[32] = {7};

    memset(&world, 0, sizeof(world));
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 1}, &world.sim), 0);
    stk_sim_host_add(world.sim, "server", "10.0.0.1", &world.server_host);
    stk_sim_host_add(world.sim, "client", "10.0.0.2", &world.client_host);
    CU_ASSERT_EQUAL_FATAL(
        stk_sim_link_add(world.sim, world.client_host, world.server_host, &wire, NULL, &world.link),
        0);
    stk_sim_host_set_hook(world.server_host, record, NULL);
    stk_key_pair_from_seed(&world.key, seed);
    stk_seal_set_identity(stk_sim_loop(world.sim), &world.key);
    listen_at_server();
}

static void connect_client_to(const char *host)
{
    char key[STK_KEY_TEXT_MAX], recipe[256];
    struct stk_error error = {0};

    stk_key_format(world.key.public_key, key);
    snprintf(recipe, sizeof(recipe), "%s/simudp/4001/seal,peer=%s/ptcp", host, key);
    CU_ASSERT_EQUAL_FATAL(stk_connect(stk_sim_loop(world.sim), recipe, &protocol, &world.client,
                                      &world.client.conn, &error),
                          0);
}

static void connect_client(void) { connect_client_to("/ip4/10.0.0.1"); }

static void stop_listening(void)
{
    stk_listener_close(world.listener);
    world.listener = NULL;
}

static void tear_down(void)
{
    if (world.client.conn)
        stk_conn_abort(world.client.conn);
    if (world.server.conn)
        stk_conn_abort(world.server.conn);
    if (world.listener)
        stop_listening();
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    stk_sim_free(world.sim);
}

/* --- Tests --------------------------------------------------------------------------------------
 */

static void an_honest_peer_is_connected_after_one_round_trip(void)
{
    set_up();
    connect_client();
    stk_sim_run_for(world.sim, SECOND);
    CU_ASSERT_EQUAL(world.client.opened_us, 100 * MS);
    CU_ASSERT_EQUAL(world.server.accepted, 1);
    CU_ASSERT_EQUAL(world.server.opened_us, 150 * MS);
    CU_ASSERT_EQUAL(world.client.received, 5);
    CU_ASSERT_EQUAL(world.server.received, 5);
    tear_down();
}

static void a_recorded_first_flight_opens_nothing_at_a_listener_that_restarted(void)
{
    set_up();
    world.records = true;
    connect_client();
    stk_sim_run_for(world.sim, SECOND);
    world.records = false;
    CU_ASSERT_TRUE(world.recorded_count >= 2);
    stk_conn_abort(world.client.conn);
    stk_sim_run_for(world.sim, SECOND);
    stop_listening();
    stk_sim_run_for(world.sim, 200 * (uint64_t)SECOND);

    listen_at_server();
    for (int round = 0; round < 3; round++) {
        replay_all();
        stk_sim_run_for(world.sim, (uint64_t)round * 15 * SECOND);
    }
    CU_ASSERT_EQUAL(world.server.accepted, 1);
    CU_ASSERT_EQUAL(world.server.opened, 1);
    CU_ASSERT_EQUAL(world.server.received, 5);
    /* And it is still there for those who are real. */
    connect_client();
    stk_sim_run_for(world.sim, SECOND);
    CU_ASSERT_EQUAL(world.server.accepted, 2);
    CU_ASSERT_EQUAL(world.client.opened, 2);
    tear_down();
}

static char dead_address[] = "10.0.0.9", second_address[] = "10.0.0.5";

static void answer(void *context, struct stk_lookup *lookup)
{
    struct stk_addr addrs[2];

    stk_addr_parse_ip(&addrs[0], context, 0);
    stk_addr_parse_ip(&addrs[1], "10.0.0.1", 0);
    if (stk_lookup_family(lookup) == AF_INET)
        stk_lookup_answer(lookup, addrs, 2);
    else
        stk_lookup_fail(lookup, "no such name");
}

static void a_name_with_a_dead_address_is_connected_by_the_other_soon(void)
{
    set_up();
    stk_resolver_set(stk_sim_loop(world.sim), answer, dead_address);
    connect_client_to("/dns/server.example");
    stk_sim_run_for(world.sim, SECOND);
    CU_ASSERT_EQUAL(world.client.opened, 1);
    CU_ASSERT_EQUAL(world.client.opened_us, 350 * MS); /* the other's head start, a round trip */
    CU_ASSERT_EQUAL(world.client.received, 5);
    CU_ASSERT_EQUAL(world.server.accepted, 1);
    tear_down();
}

/* The second address is tried meanwhile and answers, too. */
static void a_slow_address_that_is_called_off_leaves_no_connection(void)
{
    struct stk_sim_wire slow = {.delay_us = 140 * MS};

    set_up();
    stk_sim_host_add_addr(world.server_host, "10.0.0.5");
    stk_sim_link_set(world.link, STK_SIM_FORTH, &slow);
    stk_sim_link_set(world.link, STK_SIM_BACK, &slow);
    stk_resolver_set(stk_sim_loop(world.sim), answer, second_address);
    connect_client_to("/dns/server.example");
    stk_sim_run_for(world.sim, 2 * SECOND);
    CU_ASSERT_EQUAL(world.client.opened, 1);
    CU_ASSERT_EQUAL(world.client.received, 5);
    CU_ASSERT_TRUE(world.server.accepted >= 1);
    CU_ASSERT_EQUAL(world.server.accepted - world.server.closed, 1);
    tear_down();
}

static void nobody_at_any_address_is_told_in_the_words_of_seal(void)
{
    set_up();
    stop_listening();
    stk_resolver_set(stk_sim_loop(world.sim), answer, dead_address);
    connect_client_to("/dns/server.example");
    CU_ASSERT_EQUAL(stk_sim_run(world.sim), 0);
    CU_ASSERT_EQUAL(world.client.error, -ETIMEDOUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.client.text, "2 addresses were tried"));
    tear_down();
}

static CU_TestInfo tests[] = {
    {"an honest peer is connected after one round trip",
     an_honest_peer_is_connected_after_one_round_trip},
    {"a recorded first flight opens nothing at a listener that restarted",
     a_recorded_first_flight_opens_nothing_at_a_listener_that_restarted},
    {"a name with a dead address is connected by the other soon",
     a_name_with_a_dead_address_is_connected_by_the_other_soon},
    {"a slow address that is called off leaves no connection",
     a_slow_address_that_is_called_off_leaves_no_connection},
    {"nobody at any address is told in the words of seal",
     nobody_at_any_address_is_told_in_the_words_of_seal},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp sealed", tests)
