/* Goal: links do what their settings say, to the microsecond.
 * Method: numbered datagrams from bare sockets across one or two links, and what becomes of them.
 */
#include "sim_world.h"

/* --- Time ------------------------------------------------------------------------------------- */

static void rate_and_delay_are_exact(void)
{
    struct world w;

    /* 972 bytes are 1,000 on the wire: 1 ms each at 8 Mbit/s. */
    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .delay_us = 25000});
    world_send_run(&w, 50, 972, STK_ECN_NOT);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL_FATAL(w.count, 50);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_EQUAL(world_at(&w, i)->time_us, 25000u + 1000u * ((unsigned)i + 1));
    world_close(&w);
}

static void rates_above_a_packet_a_microsecond_are_kept(void)
{
    struct world w;

    /* 100 bytes at 10 Gbit/s take 80 ns. */
    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = UINT64_C(10000000000)});
    for (int i = 0; i < 10; i++)
        world_send_run(&w, 64, 72, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 640);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_EQUAL(world_at(&w, i)->time_us, (80u * ((unsigned)i + 1) + 999) / 1000);
    world_close(&w);
}

static void a_perfect_wire_delivers_in_order_and_never_inside_send(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){0});
    world_send_many(&w, 100, 100);
    CU_ASSERT_EQUAL(w.count, 0);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 100);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_TRUE(world_at(&w, i)->number == (uint32_t)i && !world_at(&w, i)->damaged &&
                       world_at(&w, i)->time_us == 0);
    world_close(&w);
}

static void a_hop_after_the_other_adds_up(void)
{
    const struct stk_sim_wire first = {.rate_bit_s = 80000000, .delay_us = 1000};
    const struct stk_sim_wire second = {.rate_bit_s = 8000000, .delay_us = 10000};
    struct stk_sim_host *a, *router, *b;
    struct stk_sim_link *links[2];
    struct stk_addr local;
    struct world w = {0};

    w.arrivals = calloc(WORLD_ARRIVALS_MAX, sizeof *w.arrivals);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(NULL, &w.sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w.sim, "a", "fd00::1", &a), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w.sim, "router", NULL, &router), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w.sim, "b", "fd00::2", &b), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(w.sim, a, router, &first, NULL, &links[0]), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(w.sim, router, b, &second, NULL, &links[1]), 0);
    stk_addr_parse(&local, "[::]:0");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(a, &local, &world_user, &w, &w.from), 0);
    stk_addr_parse(&w.to_addr, "[fd00::2]:4000");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(b, &w.to_addr, &world_user, &w, &w.to), 0);

    /* IPv6 and UDP headers are 48 bytes: 1,000 on the wire. */
    world_send_run(&w, 3, 952, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 3);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(world_at(&w, (int)i)->time_us, 100 + 1000 + 1000 * (i + 1) + 10000);
    world_close(&w);
}

static void a_run_can_be_held_back(void)
{
    struct world w;
    uint8_t data[4] = {0};
    struct stk_run run = {.data = data, .stride = 4, .size = 4, .last_size = 4, .count = 1};

    world_open(&w, 1, &(struct stk_sim_wire){.delay_us = 100});
    run.peer = &w.to_addr;
    run.time_us = stk_loop_now_us(stk_sim_loop(w.sim)) + 5000;
    stk_sim_socket_send(w.from, &run, 1);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 1);
    CU_ASSERT_EQUAL(world_at(&w, 0)->time_us, 5100);
    world_close(&w);
}

static void jitter_keeps_the_order_unless_told_otherwise(void)
{
    struct stk_sim_wire wire = {.delay_us = 1000, .jitter_us = 20000};
    int backwards[2] = {0, 0};

    for (int overtaking = 0; overtaking < 2; overtaking++) {
        struct world w;

        wire.overtaking = overtaking;
        world_open(&w, 7, &wire);
        world_send_spaced(&w, 1000, 100);
        CU_ASSERT_EQUAL_FATAL(w.count, 1000);
        for (int i = 1; i < w.count; i++)
            backwards[overtaking] += world_at(&w, i)->number < world_at(&w, i - 1)->number;
        for (int i = 0; i < w.count; i++) {
            const uint64_t sent_us = world_at(&w, i)->number * UINT64_C(1000);

            CU_ASSERT_TRUE(world_at(&w, i)->time_us >= sent_us + 1000);
            CU_ASSERT_TRUE(world_at(&w, i)->time_us <= sent_us + 21000);
        }
        world_close(&w);
    }
    CU_ASSERT_EQUAL(backwards[0], 0);
    CU_ASSERT_TRUE(backwards[1] > 200);
}

static void normal_jitter_has_its_mean_and_deviation(void)
{
    double mean = 0, variance = 0;
    struct world w;

    world_open(
        &w, 3,
        &(struct stk_sim_wire){
            .delay_us = 50000, .jitter_us = 5000, .jitter = STK_SIM_NORMAL, .overtaking = true});
    world_send_spaced(&w, 4000, 20);
    CU_ASSERT_EQUAL_FATAL(w.count, 4000);
    for (int i = 0; i < w.count; i++) {
        const double delay = (double)world_at(&w, i)->time_us - world_at(&w, i)->number * 1000.0;

        mean += delay / w.count;
        variance += (delay - 50000) * (delay - 50000) / w.count;
    }
    CU_ASSERT_DOUBLE_EQUAL(mean, 50000, 300);
    CU_ASSERT_DOUBLE_EQUAL(variance, 25e6, 25e5);
    world_close(&w);
}

/* --- The queue -------------------------------------------------------------------------------- */

static void a_full_queue_drops_the_newest(void)
{
    struct stk_sim_wire_stats stats;
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .queue_bytes = 5000});
    world_send_run(&w, 20, 972, STK_ECN_NOT);
    stk_sim_run(w.sim);
    /* One is being sent while five wait. */
    CU_ASSERT_EQUAL_FATAL(w.count, 6);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_EQUAL(world_at(&w, i)->number, (uint32_t)i);
    stats = world_forth(&w);
    CU_ASSERT_EQUAL(stats.packets_in, 20);
    CU_ASSERT_EQUAL(stats.packets_out, 6);
    CU_ASSERT_EQUAL(stats.dropped[STK_SIM_DROP_QUEUE], 14);
    CU_ASSERT_EQUAL(stats.queue_max_bytes, 5000);
    /* 5, 4, 3, 2, 1, 0 thousand bytes for a millisecond each. */
    CU_ASSERT_DOUBLE_EQUAL(stats.queue_mean_bytes, 2500, 1);
    world_close(&w);
}

static void a_queue_can_be_bounded_in_packets(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .queue_packets = 3});
    world_send_run(&w, 10, 100, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.count, 4);
    world_close(&w);
}

static void a_filling_queue_marks_what_can_be_marked(void)
{
    struct world w;
    int marked = 0;

    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .mark_bytes = 4000});
    world_send_run(&w, 10, 972, STK_ECN_ECT0);
    world_send_run(&w, 10, 972, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 20);
    for (int i = 0; i < w.count; i++)
        marked += world_at(&w, i)->ecn == STK_ECN_CE;
    CU_ASSERT_EQUAL(marked, 5);
    CU_ASSERT_EQUAL(world_at(&w, 4)->ecn, STK_ECN_ECT0);
    CU_ASSERT_EQUAL(world_at(&w, 5)->ecn, STK_ECN_CE);
    CU_ASSERT_EQUAL(world_at(&w, 19)->ecn, STK_ECN_NOT);
    CU_ASSERT_EQUAL(world_forth(&w).marked, 5);
    world_close(&w);
}

static void a_send_buffer_pushes_back_and_tells_when_there_is_room(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000});
    stk_sim_host_set(w.a, &(struct stk_sim_host_options){.send_buffer_bytes = 3000});
    CU_ASSERT_EQUAL(world_send_run(&w, 4, 972, STK_ECN_NOT), 1);
    CU_ASSERT_EQUAL(world_send_run(&w, 1, 972, STK_ECN_NOT), 0);
    CU_ASSERT_EQUAL(w.writable, 0);
    stk_sim_run_for(w.sim, 2900);
    CU_ASSERT_EQUAL(w.writable, 0);
    stk_sim_run_for(w.sim, 200);
    CU_ASSERT_EQUAL(w.writable, 1);
    CU_ASSERT_EQUAL(world_send_run(&w, 1, 972, STK_ECN_NOT), 1);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.writable, 1);
    CU_ASSERT_EQUAL(w.count, 5);
    world_close(&w);
}

static void settings_can_change_while_packets_are_under_way(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000});
    world_send_run(&w, 3, 972, STK_ECN_NOT);
    stk_sim_run_for(w.sim, 1500);
    stk_sim_link_set(w.link, STK_SIM_FORTH,
                     &(struct stk_sim_wire){.rate_bit_s = 800000, .delay_us = 7});
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 3);
    CU_ASSERT_EQUAL(world_at(&w, 0)->time_us, 1000);
    CU_ASSERT_EQUAL(world_at(&w, 1)->time_us, 2007);
    CU_ASSERT_EQUAL(world_at(&w, 2)->time_us, 12007);
    CU_ASSERT_EQUAL(stk_sim_link_wire(w.link, STK_SIM_BACK)->rate_bit_s, 8000000);
    world_close(&w);
}

/* --- Loss ------------------------------------------------------------------------------------- */

static void random_loss_has_its_rate(void)
{
    struct world w;

    world_open(&w, 11, &(struct stk_sim_wire){.loss_ppm = 100000});
    world_send_spaced(&w, 10000, 40);
    /* Four deviations of a binomial with n = 10,000, p = 0.1. */
    CU_ASSERT_TRUE(w.count > 9000 - 120 && w.count < 9000 + 120);
    CU_ASSERT_EQUAL(world_forth(&w).dropped[STK_SIM_DROP_LOSS], 10000u - (unsigned)w.count);
    world_close(&w);
}

static void bursts_have_their_length_and_frequency(void)
{
    struct world w;
    int bursts = 0, lost = 0;
    uint32_t expected = 0;

    /* On average 1 burst in 100 packets, 5 packets long. */
    world_open(&w, 5,
               &(struct stk_sim_wire){
                   .to_bad_ppm = 10000, .to_good_ppm = 200000, .bad_loss_ppm = 1000000});
    world_send_spaced(&w, 20000, 40);
    for (int i = 0; i < w.count; i++) {
        bursts += world_at(&w, i)->number != expected;
        lost += (int)(world_at(&w, i)->number - expected);
        expected = world_at(&w, i)->number + 1;
    }
    CU_ASSERT_DOUBLE_EQUAL((double)lost / bursts, 5, 0.8);
    CU_ASSERT_DOUBLE_EQUAL(bursts, 20000 / 105.0, 60);
    CU_ASSERT_EQUAL(world_forth(&w).dropped[STK_SIM_DROP_BURST], 20000u - (unsigned)w.count);
    world_close(&w);
}

static void the_loss_mask_names_the_packets_that_go(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.loss_mask = UINT64_C(0x8000000000000005)});
    world_send_spaced(&w, 130, 40);
    CU_ASSERT_EQUAL(w.count, 130 - 3 - 3 - 1);
    CU_ASSERT_EQUAL(world_at(&w, 0)->number, 1);
    CU_ASSERT_EQUAL(world_at(&w, 1)->number, 3);
    CU_ASSERT_EQUAL(world_forth(&w).dropped[STK_SIM_DROP_MASK], 7);
    world_close(&w);
}

static void blackouts_come_and_go(void)
{
    struct world w;

    world_open(
        &w, 1,
        &(struct stk_sim_wire){.dark_from_us = 10000, .dark_for_us = 5000, .dark_every_us = 50000});
    world_send_spaced(&w, 100, 40);
    CU_ASSERT_EQUAL(w.count, 90);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_FALSE(world_at(&w, i)->number % 50 >= 10 && world_at(&w, i)->number % 50 < 15);
    CU_ASSERT_EQUAL(world_forth(&w).dropped[STK_SIM_DROP_DARK], 10);
    world_close(&w);
}

static void what_exceeds_the_mtu_vanishes(void)
{
    struct world w;

    world_open(&w, 1, &(struct stk_sim_wire){.mtu = 1500});
    world_send_run(&w, 1, 1472, STK_ECN_NOT);
    world_send_run(&w, 1, 1473, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 1);
    CU_ASSERT_EQUAL(world_at(&w, 0)->size, 1472);
    CU_ASSERT_EQUAL(world_forth(&w).dropped[STK_SIM_DROP_MTU], 1);
    world_close(&w);
}

static void one_impairment_does_not_move_another(void)
{
    struct stk_sim_wire wire = {.loss_ppm = 100000};
    uint32_t numbers[2][500];

    for (int round = 0; round < 2; round++) {
        struct world w;

        if (round == 1) {
            wire.duplicate_ppm = 300000;
            wire.jitter_us = 100;
            wire.corrupt_ppm = 0;
            wire.reorder_ppm = 1;
        }
        world_open(&w, 21, &wire);
        world_send_spaced(&w, 600, 40);
        for (int i = 0, k = 0; i < w.count && k < 500; i++)
            if (k == 0 || numbers[round][k - 1] != world_at(&w, i)->number)
                numbers[round][k++] = world_at(&w, i)->number;
        world_close(&w);
    }
    CU_ASSERT_EQUAL(memcmp(numbers[0], numbers[1], sizeof numbers[0]), 0);
}

/* --- What else happens to packets ------------------------------------------------------------- */

static void held_back_packets_are_overtaken(void)
{
    struct world w;
    int backwards = 0;

    world_open(&w, 2,
               &(struct stk_sim_wire){.delay_us = 100, .reorder_ppm = 100000, .reorder_us = 5000});
    world_send_spaced(&w, 1000, 40);
    CU_ASSERT_EQUAL_FATAL(w.count, 1000);
    for (int i = 1; i < w.count; i++)
        backwards += world_at(&w, i)->number < world_at(&w, i - 1)->number;
    CU_ASSERT_TRUE(backwards > 40 && backwards < 130);
    CU_ASSERT_DOUBLE_EQUAL((double)world_forth(&w).reordered, 100, 38);
    world_close(&w);
}

static void duplicates_are_equal_and_may_come_late(void)
{
    static int seen[1000];
    struct world w;
    int twice = 0;

    memset(seen, 0, sizeof seen);
    world_open(&w, 2, &(struct stk_sim_wire){.duplicate_ppm = 200000, .duplicate_us = 50000});
    world_send_spaced(&w, 1000, 200);
    for (int i = 0; i < w.count; i++) {
        CU_ASSERT_FALSE(world_at(&w, i)->damaged);
        seen[world_at(&w, i)->number]++;
    }
    for (int i = 0; i < 1000; i++) {
        CU_ASSERT_TRUE(seen[i] == 1 || seen[i] == 2);
        twice += seen[i] == 2;
    }
    CU_ASSERT_DOUBLE_EQUAL(twice, 200, 51);
    CU_ASSERT_EQUAL(world_forth(&w).duplicated, (unsigned)twice);
    world_close(&w);
}

static void corruption_flips_bits_and_is_delivered(void)
{
    struct world w;
    int damaged = 0;

    world_open(&w, 2, &(struct stk_sim_wire){.corrupt_ppm = 100000, .corrupt_bits = 3});
    world_send_spaced(&w, 1000, 1000);
    CU_ASSERT_EQUAL_FATAL(w.count, 1000);
    for (int i = 0; i < w.count; i++)
        damaged += world_at(&w, i)->damaged || world_at(&w, i)->number != (uint32_t)i;
    CU_ASSERT_DOUBLE_EQUAL(damaged, 100, 38);
    CU_ASSERT_TRUE(world_forth(&w).corrupted >= (unsigned)damaged);
    world_close(&w);
}

static CU_TestInfo tests[] = {
    {"rate and delay are exact", rate_and_delay_are_exact},
    {"rates above a packet a microsecond are kept", rates_above_a_packet_a_microsecond_are_kept},
    {"a perfect wire delivers in order and never inside send",
     a_perfect_wire_delivers_in_order_and_never_inside_send},
    {"a hop after the other adds up", a_hop_after_the_other_adds_up},
    {"a run can be held back", a_run_can_be_held_back},
    {"jitter keeps the order unless told otherwise", jitter_keeps_the_order_unless_told_otherwise},
    {"normal jitter has its mean and deviation", normal_jitter_has_its_mean_and_deviation},
    {"a full queue drops the newest", a_full_queue_drops_the_newest},
    {"a queue can be bounded in packets", a_queue_can_be_bounded_in_packets},
    {"a filling queue marks what can be marked", a_filling_queue_marks_what_can_be_marked},
    {"a send buffer pushes back and tells when there is room",
     a_send_buffer_pushes_back_and_tells_when_there_is_room},
    {"settings can change while packets are under way",
     settings_can_change_while_packets_are_under_way},
    {"random loss has its rate", random_loss_has_its_rate},
    {"bursts have their length and frequency", bursts_have_their_length_and_frequency},
    {"the loss mask names the packets that go", the_loss_mask_names_the_packets_that_go},
    {"blackouts come and go", blackouts_come_and_go},
    {"what exceeds the MTU vanishes", what_exceeds_the_mtu_vanishes},
    {"one impairment does not move another", one_impairment_does_not_move_another},
    {"held-back packets are overtaken", held_back_packets_are_overtaken},
    {"duplicates are equal and may come late", duplicates_are_equal_and_may_come_late},
    {"corruption flips bits and is delivered", corruption_flips_bits_and_is_delivered},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("sim", tests)
