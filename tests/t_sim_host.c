/* Goal: hosts, sockets, ports and the trace of a sim keep their word; the same seed gives the same
 * run. Method: small networks, driven by bare sockets and by ports. */
#include "fault.h"
#include "sim_world.h"

static void gathered_datagrams_come_in_runs(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = UINT64_C(1000000000)});
    stk_sim_host_set(w.b, &(struct stk_sim_host_options){.gather_us = 5000});
    world_send_run(&w, 20, 1200, STK_ECN_NOT);
    world_send_run(&w, 1, 300, STK_ECN_NOT);
    world_send_run(&w, 2, 1200, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 23);
    CU_ASSERT_EQUAL(w.runs, 2);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_TRUE(world_at(&w, i)->number == (uint32_t)i && !world_at(&w, i)->damaged);
    world_close(&w);
}

static enum stk_sim_verdict drop_odd(void *user, struct stk_sim_host *host,
                                     struct stk_sim_packet *packet)
{
    int *count = user;

    (void)host;
    packet->data[packet->size - 1] ^= 0xff;
    return ++*count % 2 ? STK_SIM_DROP : STK_SIM_PASS;
}

static void a_hook_sees_changes_and_drops(void)
{
    struct world w;
    int count = 0;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    stk_sim_host_set_hook(w.b, drop_odd, &count);
    world_send_many(&w, 10, 100);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(count, 10);
    CU_ASSERT_EQUAL_FATAL(w.count, 5);
    CU_ASSERT_TRUE(world_at(&w, 0)->number == 1 && world_at(&w, 0)->damaged);
    world_close(&w);
}

static void packets_can_be_forged(void)
{
    struct world w;
    uint8_t data[8] = {0, 0, 0, 77};
    struct stk_sim_packet packet = {.data = data, .size = 4};

    world_open(&w, 1, &(struct stk_sim_wire){0});
    stk_addr_parse(&packet.from, "192.0.2.1:1");
    packet.to = w.to_addr;
    CU_ASSERT_EQUAL(stk_sim_inject(w.a, &packet), 0);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 1);
    CU_ASSERT_EQUAL(world_at(&w, 0)->number, 77);
    world_close(&w);
}

/* --- Hosts and sockets ------------------------------------------------------------------------ */

static void addresses_and_ports_belong_to_one_owner(void)
{
    struct world w;
    struct stk_sim_host *host;
    struct stk_sim_socket *socket;
    struct stk_addr addr;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_sim_host_add(w.sim, "a", "10.0.0.3", &host), -EEXIST);
    CU_ASSERT_EQUAL(stk_sim_host_add(w.sim, "c", "10.0.0.1", &host), -EEXIST);
    CU_ASSERT_EQUAL(stk_sim_host_add(w.sim, "c", "10.0.0.300", &host), STK_ESYNTAX);
    CU_ASSERT_EQUAL(stk_sim_host_add_addr(w.a, "10.0.0.2"), -EEXIST);
    CU_ASSERT_EQUAL(stk_sim_socket_open(w.b, &w.to_addr, &world_user, &w, &socket), -EADDRINUSE);
    stk_addr_parse(&addr, "0.0.0.0:4000");
    CU_ASSERT_EQUAL(stk_sim_socket_open(w.b, &addr, &world_user, &w, &socket), -EADDRINUSE);
    stk_addr_parse(&addr, "10.0.0.1:4000");
    CU_ASSERT_EQUAL(stk_sim_socket_open(w.b, &addr, &world_user, &w, &socket), -EADDRNOTAVAIL);
    world_close(&w);
}

static void a_host_that_moves_is_not_found_at_its_old_address(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_sim_host_remove_addr(w.b, "10.0.0.2"), 0);
    CU_ASSERT_EQUAL(stk_sim_host_remove_addr(w.b, "10.0.0.2"), -ENOENT);
    world_send_many(&w, 1, 10);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.count, 0);
    CU_ASSERT_EQUAL(stk_sim_host_add_addr(w.b, "10.0.0.2"), 0);
    world_send_many(&w, 1, 10);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.count, 1);
    world_close(&w);
}

static void packets_for_nobody_are_dropped(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    stk_addr_set_port(&w.to_addr, 4001);
    world_send_many(&w, 1, 10);
    stk_addr_parse(&w.to_addr, "10.9.9.9:4000");
    world_send_many(&w, 1, 10);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL(w.count, 0);
    CU_ASSERT_EQUAL(stk_sim_events(w.sim), 4);
    world_close(&w);
}

static void a_sim_can_end_with_packets_under_way(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000, .delay_us = 1000000});
    stk_sim_host_set(w.b, &(struct stk_sim_host_options){.gather_us = 5000});
    world_send_run(&w, 20, 100, STK_ECN_NOT);
    stk_sim_run_for(w.sim, 1500000);
    world_close(&w);
}

/* --- The layer simudp ------------------------------------------------------------------------- */

static int open_port(struct stk_loop *loop, const char *text, bool listening,
                     struct stk_port **port, struct stk_error *error)
{
    struct stk_recipe *recipe;
    int code = stk_recipe_parse(text, &recipe, error);

    if (code < 0)
        return code;
    code = stk_port_open(loop, recipe, listening, port, error);
    stk_recipe_unref(recipe);
    return code;
}

static void echo(void *user, const struct stk_run *runs, int count)
{
    struct stk_port *port = user;

    for (int i = 0; i < count; i++) {
        struct stk_run run = runs[i];

        CU_ASSERT_EQUAL(stk_port_send(port, &run, 1), 1);
    }
}

static void take_echo(void *user, const struct stk_run *runs, int count)
{
    struct world *w = user;

    for (int i = 0; i < count; i++) {
        w->runs++;
        world_take(w, &runs[i], 0);
    }
}

static void ports_stand_on_simulated_sockets(void)
{
    static const struct stk_port_user echo_user = {.input = echo};
    static const struct stk_port_user client_user = {.input = take_echo};
    struct stk_port *server, *client;
    struct stk_error error = {0};
    uint8_t data[] = {0, 0, 0, 5};
    struct stk_run run = {.data = data, .stride = 4, .size = 4, .last_size = 4, .count = 1};
    char text[STK_ADDR_TEXT_MAX];
    struct stk_addr local;
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.delay_us = 1000});
    struct stk_loop *loop = stk_sim_loop(w.sim);
    CU_ASSERT_EQUAL_FATAL(open_port(loop, "/ip4/10.0.0.2/simudp/7", true, &server, &error), 0);
    CU_ASSERT_EQUAL_FATAL(open_port(loop, "/ip4/10.0.0.2/simudp/7,host=a", false, &client, &error),
                          0);
    stk_port_set_user(server, &echo_user, server);
    stk_port_set_user(client, &client_user, &w);
    CU_ASSERT_EQUAL(stk_port_local(client, &local), 0);
    CU_ASSERT_STRING_EQUAL(stk_addr_format(&local, text), "10.0.0.1:49153");
    CU_ASSERT_EQUAL(stk_port_send(client, &run, 1), 1);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL_FATAL(w.count, 1);
    CU_ASSERT_TRUE(world_at(&w, 0)->number == 5 && world_at(&w, 0)->time_us == 2000);
    stk_port_unref(server);
    stk_port_unref(client);
    world_close(&w);
}

static void what_a_port_can_not_bind_is_an_error(void)
{
    static const struct {
        const char *text;
        bool listening;
        int code;
    } cases[] = {
        {"/ip4/10.0.0.2/simudp/4000", true, -EADDRINUSE},
        {"/ip4/10.0.0.77/simudp/4000", true, -EADDRNOTAVAIL},
        {"/ip4/10.0.0.2/simudp/4000,host=a", true, -EADDRNOTAVAIL},
        {"/ip4/10.0.0.2/simudp/4000,host=nobody", false, -EADDRNOTAVAIL},
        {"/dns/example.org/simudp/4000", true, STK_ENAME},
        {"/ip4/10.0.0.2/simudp/65536", true, STK_ESYNTAX},
        {"/ip4/10.0.0.2/simudp/x", true, STK_ESYNTAX},
    };
    struct stk_loop *loop;
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stk_error error = {0};
        struct stk_port *port;

        CU_ASSERT_EQUAL(
            open_port(stk_sim_loop(w.sim), cases[i].text, cases[i].listening, &port, &error),
            cases[i].code);
        CU_ASSERT_EQUAL(error.code, cases[i].code);
    }
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    struct stk_error error = {0};
    struct stk_port *port;
    CU_ASSERT_EQUAL(open_port(loop, "/ip4/10.0.0.2/simudp/4000", true, &port, &error), -ENOTSUP);
    stk_loop_free(loop);
    world_close(&w);
}

/* Builds a small world and sends through it; false if anything said that there is no memory. */
static bool live_a_little(void)
{
    static const struct stk_sim_options options = {.trace_events = 4};
    static const struct stk_sim_wire wire = {.rate_bit_s = 8000000, .duplicate_ppm = 1000000};
    struct stk_sim_socket *socket = NULL;
    struct stk_sim_link *link;
    struct stk_sim_host *a, *b;
    uint8_t data[64] = {0};
    struct stk_run run = {.data = data, .stride = 8, .size = 8, .last_size = 8, .count = 8};
    struct world w = {.arrivals = (struct arrival[64]){{0}}};

    if (stk_sim_new(&options, &w.sim) < 0)
        return false;
    stk_addr_parse(&w.to_addr, "10.0.0.2:4000");
    run.peer = &w.to_addr;
    if (stk_sim_host_add(w.sim, "a", "10.0.0.1", &a) == 0 &&
        stk_sim_host_add(w.sim, "b", "10.0.0.2", &b) == 0 &&
        stk_sim_link_add(w.sim, a, b, &wire, NULL, &link) == 0 &&
        stk_sim_socket_open(b, &w.to_addr, &world_user, &w, &socket) == 0) {
        stk_sim_host_set(b, &(struct stk_sim_host_options){.gather_us = 50});
        CU_ASSERT_EQUAL(stk_sim_socket_send(socket, &run, 1), 1);
        stk_addr_parse(&w.to_addr, "10.0.0.1:4000");
        CU_ASSERT_EQUAL(stk_sim_socket_send(socket, &run, 1), 1);
        CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    }
    if (socket)
        stk_sim_socket_close(socket);
    stk_sim_free(w.sim);
    return socket != NULL && w.count == 8;
}

static void without_memory_packets_are_lost_and_calls_fail(void)
{
    fault_heap_install();
    for (long n = 1;; n++) {
        fault_heap_fail(n, FAULT_ONCE);
        const bool all = live_a_little();

        if (!fault_heap_has_failed()) {
            CU_ASSERT_TRUE(all);
            break;
        }
    }
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

/* --- Time limits and the trace ---------------------------------------------------------------- */

static void again_at_once(struct stk_timer *timer)
{
    stk_timer_at(timer, stk_loop_now_us(timer->loop));
}

static void again_in_a_second(struct stk_timer *timer) { stk_timer_in(timer, 1000000); }

static void hangs_are_found_by_time_and_by_events(void)
{
    const struct stk_sim_options options = {.time_limit_us = 60000000, .event_limit = 1000};
    struct stk_timer timer;
    struct world w;

    world_open_with(&w, &options, &(struct stk_sim_wire){0});
    stk_timer_init(&timer, stk_sim_loop(w.sim), again_in_a_second);
    stk_timer_in(&timer, 0);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), -ETIMEDOUT);
    CU_ASSERT_EQUAL(stk_sim_elapsed_us(w.sim), 60000000);
    stk_timer_stop(&timer);
    stk_timer_init(&timer, stk_sim_loop(w.sim), again_at_once);
    stk_timer_in(&timer, 0);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), STK_ELIMIT);
    stk_timer_stop(&timer);
    world_close(&w);
}

static void time_passes_exactly_as_asked(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_sim_run_for(w.sim, 12345678), 0);
    CU_ASSERT_EQUAL(stk_sim_elapsed_us(w.sim), 12345678);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL(stk_sim_elapsed_us(w.sim), 12345678);
    world_close(&w);
}

static void descriptors_and_foreign_loops_are_refused(void)
{
    struct stk_watch watch;
    struct stk_loop *loop;
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    stk_watch_init(&watch, stk_sim_loop(w.sim), 0, NULL);
    CU_ASSERT_TRUE(stk_watch_set(&watch, STK_READABLE) < 0);
    CU_ASSERT_PTR_EQUAL(stk_sim_of_loop(stk_sim_loop(w.sim)), w.sim);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    CU_ASSERT_PTR_NULL(stk_sim_of_loop(loop));
    stk_loop_free(loop);
    world_close(&w);
}

static void note_post(void *arg) { stk_sim_note(arg, "posted"); }

static void posts_reach_a_simulated_loop(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_loop_post(stk_sim_loop(w.sim), note_post, w.sim), 0);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL(stk_sim_events(w.sim), 1);
    world_close(&w);
}

static uint64_t hash_of_a_busy_run(uint64_t seed, uint8_t first_byte)
{
    struct world w;
    uint64_t hash, random;

    world_open(&w, seed,
               &(struct stk_sim_wire){.rate_bit_s = 10000000,
                                      .delay_us = 3000,
                                      .jitter_us = 2000,
                                      .overtaking = true,
                                      .loss_ppm = 50000,
                                      .duplicate_ppm = 50000,
                                      .duplicate_us = 900,
                                      .corrupt_ppm = 50000,
                                      .corrupt_bits = 9,
                                      .reorder_ppm = 50000,
                                      .reorder_us = 9000,
                                      .to_bad_ppm = 10000,
                                      .to_good_ppm = 300000,
                                      .bad_loss_ppm = 900000});
    w.next = first_byte;
    for (int i = 0; i < 50; i++) {
        world_send_run(&w, 10, (uint16_t)(100 + 20 * i), STK_ECN_NOT);
        stk_sim_run_for(w.sim, 5000);
    }
    stk_sim_run(w.sim);
    stk_loop_random(stk_sim_loop(w.sim), &random, sizeof random);
    hash = stk_sim_hash(w.sim) ^ random;
    world_close(&w);
    return hash;
}

static void the_same_seed_gives_the_same_run(void)
{
    CU_ASSERT_EQUAL(hash_of_a_busy_run(1, 0), hash_of_a_busy_run(1, 0));
    CU_ASSERT_EQUAL(hash_of_a_busy_run(2, 0), hash_of_a_busy_run(2, 0));
    CU_ASSERT_NOT_EQUAL(hash_of_a_busy_run(1, 0), hash_of_a_busy_run(2, 0));
}

static void other_bytes_give_another_hash(void)
{
    CU_ASSERT_NOT_EQUAL(hash_of_a_busy_run(1, 0), hash_of_a_busy_run(1, 1));
}

static void read_file(FILE *file, char *text, size_t size)
{
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void the_last_events_can_be_read(void)
{
    FILE *live = tmpfile(), *kept = tmpfile();
    char live_text[8192], kept_text[8192];
    struct world w;

    world_open_with(&w, &(struct stk_sim_options){.trace_events = 3},
                    &(struct stk_sim_wire){.delay_us = 1500000, .loss_mask = 1});
    stk_sim_trace_to(w.sim, live);
    world_send_many(&w, 2, 10);
    stk_sim_run(w.sim);
    stk_sim_note(w.sim, "the end of %s", "it");
    stk_sim_print_trace(w.sim, kept);
    world_close(&w);
    read_file(live, live_text, sizeof live_text);
    read_file(kept, kept_text, sizeof kept_text);
    CU_ASSERT_PTR_NOT_NULL(strstr(live_text, "0.000000 dropped  #0 10.0.0.1:49152 > 10.0.0.2:4000 "
                                             "10 bytes at a: loss mask\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(live_text, "1.500000 arrived  #1 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(kept_text, "2 earlier events\n"));
    CU_ASSERT_PTR_NULL(strstr(kept_text, "dropped"));
    CU_ASSERT_PTR_NOT_NULL(strstr(kept_text, "1.500000 the end of it\n"));
}

static CU_TestInfo tests[] = {
    {"gathered datagrams come in runs", gathered_datagrams_come_in_runs},
    {"a hook sees, changes and drops", a_hook_sees_changes_and_drops},
    {"packets can be forged", packets_can_be_forged},
    {"addresses and ports belong to one owner", addresses_and_ports_belong_to_one_owner},
    {"a host that moves is not found at its old address",
     a_host_that_moves_is_not_found_at_its_old_address},
    {"packets for nobody are dropped", packets_for_nobody_are_dropped},
    {"a sim can end with packets under way", a_sim_can_end_with_packets_under_way},
    {"ports stand on simulated sockets", ports_stand_on_simulated_sockets},
    {"what a port can't bind is an error", what_a_port_can_not_bind_is_an_error},
    {"without memory packets are lost and calls fail",
     without_memory_packets_are_lost_and_calls_fail},
    {"hangs are found by time and by events", hangs_are_found_by_time_and_by_events},
    {"time passes exactly as asked", time_passes_exactly_as_asked},
    {"descriptors and foreign loops are refused", descriptors_and_foreign_loops_are_refused},
    {"posts reach a simulated loop", posts_reach_a_simulated_loop},
    {"the same seed gives the same run", the_same_seed_gives_the_same_run},
    {"other bytes give another hash", other_bytes_give_another_hash},
    {"the last events can be read", the_last_events_can_be_read},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("sim host", tests)
