/* Goal: links do what their settings say, to the microsecond; the same seed gives the same run.
 * Method: numbered datagrams from bare sockets across one or two links, and what becomes of them.
 */
#include "fault.h"
#include "harness.h"
#include "oracle.h"
#include "sim.h"

enum { ARRIVALS_MAX = 20000, PORT = 4000 };

struct arrival {
    uint64_t time_us;
    uint32_t number;
    uint16_t size;
    uint8_t ecn;
    bool damaged;
};

struct world {
    struct stk_sim *sim;
    struct stk_sim_host *a, *b;
    struct stk_sim_link *link;
    struct stk_sim_socket *from, *to;
    struct stk_addr to_addr;
    struct arrival *arrivals;
    int count, runs, writable;
    uint32_t next;
};

static const struct arrival *at(const struct world *w, int i) { return &w->arrivals[i]; }

static void take_datagram(struct world *w, const struct stk_run *run, unsigned i)
{
    struct arrival *arrival = &w->arrivals[w->count];
    const uint8_t *data = stk_run_at(run, i);
    const uint16_t size = stk_run_size(run, i);

    if (w->count == ARRIVALS_MAX)
        return;
    w->count++;
    *arrival =
        (struct arrival){.time_us = stk_sim_elapsed_us(w->sim), .size = size, .ecn = run->ecn};
    if (size < 4)
        return;
    arrival->number = stk_load_be32(data);
    arrival->damaged = oracle_check(arrival->number, 4, data + 4, size - 4u) != size - 4u;
}

static void on_input(void *user, struct stk_run *runs, int count)
{
    struct world *w = user;

    for (int r = 0; r < count; r++) {
        w->runs++;
        for (unsigned i = 0; i < runs[r].count; i++)
            take_datagram(w, &runs[r], i);
    }
}

static void on_writable(void *user) { ((struct world *)user)->writable++; }

static const struct stk_sim_socket_user user_type = {.input = on_input, .writable = on_writable};

static void open_world_with(struct world *w, const struct stk_sim_options *options,
                            const struct stk_sim_wire *wire)
{
    struct stk_addr local;

    memset(w, 0, sizeof *w);
    w->arrivals = calloc(ARRIVALS_MAX, sizeof *w->arrivals);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(options, &w->sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w->sim, "a", "10.0.0.1", &w->a), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w->sim, "b", "10.0.0.2", &w->b), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(w->sim, w->a, w->b, wire, NULL, &w->link), 0);
    stk_addr_parse(&local, "0.0.0.0:0");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(w->a, &local, &user_type, w, &w->from), 0);
    stk_addr_parse(&w->to_addr, "10.0.0.2:4000");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(w->b, &w->to_addr, &user_type, w, &w->to), 0);
}

static void open_world(struct world *w, uint64_t seed, const struct stk_sim_wire *wire)
{
    open_world_with(w, &(struct stk_sim_options){.seed = seed, .trace_events = 16}, wire);
}

static void close_world(struct world *w)
{
    stk_sim_socket_close(w->from);
    stk_sim_socket_close(w->to);
    stk_sim_free(w->sim);
    free(w->arrivals);
}

/* One run of `count` datagrams of `size` bytes; returns what send() says. */
static int send_run(struct world *w, unsigned count, uint16_t size, uint8_t ecn)
{
    uint8_t *data = malloc((size_t)count * size);
    struct stk_run run = {.data = data,
                          .stride = size,
                          .size = size,
                          .last_size = size,
                          .count = (uint16_t)count,
                          .ecn = ecn,
                          .peer = &w->to_addr};
    int taken;

    for (unsigned i = 0; i < count; i++) {
        const uint32_t number = w->next++;

        if (size >= 4) {
            stk_store_be32(data + (size_t)i * size, number);
            oracle_fill(number, 4, data + (size_t)i * size + 4, size - 4u);
        }
    }
    taken = stk_sim_socket_send(w->from, &run, 1);
    free(data);
    return taken;
}

static void send_many(struct world *w, unsigned count, uint16_t size)
{
    for (; count > 0; count--)
        send_run(w, 1, size, STK_ECN_NOT);
}

/* One a millisecond, so that nothing queues. */
static void send_spaced(struct world *w, unsigned count, uint16_t size)
{
    for (; count > 0; count--) {
        send_run(w, 1, size, STK_ECN_NOT);
        stk_sim_run_for(w->sim, 1000);
    }
    stk_sim_run(w->sim);
}

static struct stk_sim_wire_stats forth(const struct world *w)
{
    struct stk_sim_wire_stats stats;

    stk_sim_link_stats(w->link, STK_SIM_FORTH, &stats);
    return stats;
}

/* --- Time ------------------------------------------------------------------------------------- */

static void rate_and_delay_are_exact(void)
{
    struct world w;

    /* 972 bytes are 1,000 on the wire: 1 ms each at 8 Mbit/s. */
    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .delay_us = 25000});
    send_run(&w, 50, 972, STK_ECN_NOT);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL_FATAL(w.count, 50);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_EQUAL(at(&w, i)->time_us, 25000u + 1000u * ((unsigned)i + 1));
    close_world(&w);
}

static void rates_above_a_packet_a_microsecond_are_kept(void)
{
    struct world w;

    /* 100 bytes at 10 Gbit/s take 80 ns. */
    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = UINT64_C(10000000000)});
    for (int i = 0; i < 10; i++)
        send_run(&w, 64, 72, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 640);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_EQUAL(at(&w, i)->time_us, (80u * ((unsigned)i + 1) + 999) / 1000);
    close_world(&w);
}

static void a_perfect_wire_delivers_in_order_and_never_inside_send(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){0});
    send_many(&w, 100, 100);
    CU_ASSERT_EQUAL(w.count, 0);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 100);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_TRUE(at(&w, i)->number == (uint32_t)i && !at(&w, i)->damaged &&
                       at(&w, i)->time_us == 0);
    close_world(&w);
}

static void a_hop_after_the_other_adds_up(void)
{
    const struct stk_sim_wire first = {.rate_bit_s = 80000000, .delay_us = 1000};
    const struct stk_sim_wire second = {.rate_bit_s = 8000000, .delay_us = 10000};
    struct stk_sim_host *a, *router, *b;
    struct stk_sim_link *links[2];
    struct stk_addr local;
    struct world w = {0};

    w.arrivals = calloc(ARRIVALS_MAX, sizeof *w.arrivals);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(NULL, &w.sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w.sim, "a", "fd00::1", &a), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w.sim, "router", NULL, &router), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(w.sim, "b", "fd00::2", &b), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(w.sim, a, router, &first, NULL, &links[0]), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_link_add(w.sim, router, b, &second, NULL, &links[1]), 0);
    stk_addr_parse(&local, "[::]:0");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(a, &local, &user_type, &w, &w.from), 0);
    stk_addr_parse(&w.to_addr, "[fd00::2]:4000");
    CU_ASSERT_EQUAL_FATAL(stk_sim_socket_open(b, &w.to_addr, &user_type, &w, &w.to), 0);

    /* IPv6 and UDP headers are 48 bytes: 1,000 on the wire. */
    send_run(&w, 3, 952, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 3);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(at(&w, (int)i)->time_us, 100 + 1000 + 1000 * (i + 1) + 10000);
    close_world(&w);
}

static void a_run_can_be_held_back(void)
{
    struct world w;
    uint8_t data[4] = {0};
    struct stk_run run = {.data = data, .stride = 4, .size = 4, .last_size = 4, .count = 1};

    open_world(&w, 1, &(struct stk_sim_wire){.delay_us = 100});
    run.peer = &w.to_addr;
    run.time_us = stk_loop_now_us(stk_sim_loop(w.sim)) + 5000;
    stk_sim_socket_send(w.from, &run, 1);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 1);
    CU_ASSERT_EQUAL(at(&w, 0)->time_us, 5100);
    close_world(&w);
}

static void jitter_keeps_the_order_unless_told_otherwise(void)
{
    struct stk_sim_wire wire = {.delay_us = 1000, .jitter_us = 20000};
    int backwards[2] = {0, 0};

    for (int overtaking = 0; overtaking < 2; overtaking++) {
        struct world w;

        wire.overtaking = overtaking;
        open_world(&w, 7, &wire);
        send_spaced(&w, 1000, 100);
        CU_ASSERT_EQUAL_FATAL(w.count, 1000);
        for (int i = 1; i < w.count; i++)
            backwards[overtaking] += at(&w, i)->number < at(&w, i - 1)->number;
        for (int i = 0; i < w.count; i++) {
            const uint64_t sent_us = at(&w, i)->number * UINT64_C(1000);

            CU_ASSERT_TRUE(at(&w, i)->time_us >= sent_us + 1000);
            CU_ASSERT_TRUE(at(&w, i)->time_us <= sent_us + 21000);
        }
        close_world(&w);
    }
    CU_ASSERT_EQUAL(backwards[0], 0);
    CU_ASSERT_TRUE(backwards[1] > 200);
}

static void normal_jitter_has_its_mean_and_deviation(void)
{
    double mean = 0, variance = 0;
    struct world w;

    open_world(
        &w, 3,
        &(struct stk_sim_wire){
            .delay_us = 50000, .jitter_us = 5000, .jitter = STK_SIM_NORMAL, .overtaking = true});
    send_spaced(&w, 4000, 20);
    CU_ASSERT_EQUAL_FATAL(w.count, 4000);
    for (int i = 0; i < w.count; i++) {
        const double delay = (double)at(&w, i)->time_us - at(&w, i)->number * 1000.0;

        mean += delay / w.count;
        variance += (delay - 50000) * (delay - 50000) / w.count;
    }
    CU_ASSERT_DOUBLE_EQUAL(mean, 50000, 300);
    CU_ASSERT_DOUBLE_EQUAL(variance, 25e6, 25e5);
    close_world(&w);
}

/* --- The queue -------------------------------------------------------------------------------- */

static void a_full_queue_drops_the_newest(void)
{
    struct stk_sim_wire_stats stats;
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .queue_bytes = 5000});
    send_run(&w, 20, 972, STK_ECN_NOT);
    stk_sim_run(w.sim);
    /* One is being sent while five wait. */
    CU_ASSERT_EQUAL_FATAL(w.count, 6);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_EQUAL(at(&w, i)->number, (uint32_t)i);
    stats = forth(&w);
    CU_ASSERT_EQUAL(stats.packets_in, 20);
    CU_ASSERT_EQUAL(stats.packets_out, 6);
    CU_ASSERT_EQUAL(stats.dropped[STK_SIM_DROP_QUEUE], 14);
    CU_ASSERT_EQUAL(stats.queue_max_bytes, 5000);
    /* 5, 4, 3, 2, 1, 0 thousand bytes for a millisecond each. */
    CU_ASSERT_DOUBLE_EQUAL(stats.queue_mean_bytes, 2500, 1);
    close_world(&w);
}

static void a_queue_can_be_bounded_in_packets(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .queue_packets = 3});
    send_run(&w, 10, 100, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.count, 4);
    close_world(&w);
}

static void a_filling_queue_marks_what_can_be_marked(void)
{
    struct world w;
    int marked = 0;

    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000, .mark_bytes = 4000});
    send_run(&w, 10, 972, STK_ECN_ECT0);
    send_run(&w, 10, 972, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 20);
    for (int i = 0; i < w.count; i++)
        marked += at(&w, i)->ecn == STK_ECN_CE;
    CU_ASSERT_EQUAL(marked, 5);
    CU_ASSERT_EQUAL(at(&w, 4)->ecn, STK_ECN_ECT0);
    CU_ASSERT_EQUAL(at(&w, 5)->ecn, STK_ECN_CE);
    CU_ASSERT_EQUAL(at(&w, 19)->ecn, STK_ECN_NOT);
    CU_ASSERT_EQUAL(forth(&w).marked, 5);
    close_world(&w);
}

static void a_send_buffer_pushes_back_and_tells_when_there_is_room(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000});
    stk_sim_host_set(w.a, &(struct stk_sim_host_options){.send_buffer_bytes = 3000});
    CU_ASSERT_EQUAL(send_run(&w, 4, 972, STK_ECN_NOT), 1);
    CU_ASSERT_EQUAL(send_run(&w, 1, 972, STK_ECN_NOT), 0);
    CU_ASSERT_EQUAL(w.writable, 0);
    stk_sim_run_for(w.sim, 2900);
    CU_ASSERT_EQUAL(w.writable, 0);
    stk_sim_run_for(w.sim, 200);
    CU_ASSERT_EQUAL(w.writable, 1);
    CU_ASSERT_EQUAL(send_run(&w, 1, 972, STK_ECN_NOT), 1);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.writable, 1);
    CU_ASSERT_EQUAL(w.count, 5);
    close_world(&w);
}

static void settings_can_change_while_packets_are_under_way(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000000});
    send_run(&w, 3, 972, STK_ECN_NOT);
    stk_sim_run_for(w.sim, 1500);
    stk_sim_link_set(w.link, STK_SIM_FORTH,
                     &(struct stk_sim_wire){.rate_bit_s = 800000, .delay_us = 7});
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 3);
    CU_ASSERT_EQUAL(at(&w, 0)->time_us, 1000);
    CU_ASSERT_EQUAL(at(&w, 1)->time_us, 2007);
    CU_ASSERT_EQUAL(at(&w, 2)->time_us, 12007);
    CU_ASSERT_EQUAL(stk_sim_link_wire(w.link, STK_SIM_BACK)->rate_bit_s, 8000000);
    close_world(&w);
}

/* --- Loss ------------------------------------------------------------------------------------- */

static void random_loss_has_its_rate(void)
{
    struct world w;

    open_world(&w, 11, &(struct stk_sim_wire){.loss_ppm = 100000});
    send_spaced(&w, 10000, 40);
    /* Four deviations of a binomial with n = 10,000, p = 0.1. */
    CU_ASSERT_TRUE(w.count > 9000 - 120 && w.count < 9000 + 120);
    CU_ASSERT_EQUAL(forth(&w).dropped[STK_SIM_DROP_LOSS], 10000u - (unsigned)w.count);
    close_world(&w);
}

static void bursts_have_their_length_and_frequency(void)
{
    struct world w;
    int bursts = 0, lost = 0;
    uint32_t expected = 0;

    /* On average 1 burst in 100 packets, 5 packets long. */
    open_world(&w, 5,
               &(struct stk_sim_wire){
                   .to_bad_ppm = 10000, .to_good_ppm = 200000, .bad_loss_ppm = 1000000});
    send_spaced(&w, 20000, 40);
    for (int i = 0; i < w.count; i++) {
        bursts += at(&w, i)->number != expected;
        lost += (int)(at(&w, i)->number - expected);
        expected = at(&w, i)->number + 1;
    }
    CU_ASSERT_DOUBLE_EQUAL((double)lost / bursts, 5, 0.8);
    CU_ASSERT_DOUBLE_EQUAL(bursts, 20000 / 105.0, 60);
    CU_ASSERT_EQUAL(forth(&w).dropped[STK_SIM_DROP_BURST], 20000u - (unsigned)w.count);
    close_world(&w);
}

static void the_loss_mask_names_the_packets_that_go(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.loss_mask = UINT64_C(0x8000000000000005)});
    send_spaced(&w, 130, 40);
    CU_ASSERT_EQUAL(w.count, 130 - 3 - 3 - 1);
    CU_ASSERT_EQUAL(at(&w, 0)->number, 1);
    CU_ASSERT_EQUAL(at(&w, 1)->number, 3);
    CU_ASSERT_EQUAL(forth(&w).dropped[STK_SIM_DROP_MASK], 7);
    close_world(&w);
}

static void blackouts_come_and_go(void)
{
    struct world w;

    open_world(
        &w, 1,
        &(struct stk_sim_wire){.dark_from_us = 10000, .dark_for_us = 5000, .dark_every_us = 50000});
    send_spaced(&w, 100, 40);
    CU_ASSERT_EQUAL(w.count, 90);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_FALSE(at(&w, i)->number % 50 >= 10 && at(&w, i)->number % 50 < 15);
    CU_ASSERT_EQUAL(forth(&w).dropped[STK_SIM_DROP_DARK], 10);
    close_world(&w);
}

static void what_exceeds_the_mtu_vanishes(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.mtu = 1500});
    send_run(&w, 1, 1472, STK_ECN_NOT);
    send_run(&w, 1, 1473, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 1);
    CU_ASSERT_EQUAL(at(&w, 0)->size, 1472);
    CU_ASSERT_EQUAL(forth(&w).dropped[STK_SIM_DROP_MTU], 1);
    close_world(&w);
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
        open_world(&w, 21, &wire);
        send_spaced(&w, 600, 40);
        for (int i = 0, k = 0; i < w.count && k < 500; i++)
            if (k == 0 || numbers[round][k - 1] != at(&w, i)->number)
                numbers[round][k++] = at(&w, i)->number;
        close_world(&w);
    }
    CU_ASSERT_EQUAL(memcmp(numbers[0], numbers[1], sizeof numbers[0]), 0);
}

/* --- What else happens to packets ------------------------------------------------------------- */

static void held_back_packets_are_overtaken(void)
{
    struct world w;
    int backwards = 0;

    open_world(&w, 2,
               &(struct stk_sim_wire){.delay_us = 100, .reorder_ppm = 100000, .reorder_us = 5000});
    send_spaced(&w, 1000, 40);
    CU_ASSERT_EQUAL_FATAL(w.count, 1000);
    for (int i = 1; i < w.count; i++)
        backwards += at(&w, i)->number < at(&w, i - 1)->number;
    CU_ASSERT_TRUE(backwards > 40 && backwards < 130);
    CU_ASSERT_DOUBLE_EQUAL((double)forth(&w).reordered, 100, 38);
    close_world(&w);
}

static void duplicates_are_equal_and_may_come_late(void)
{
    static int seen[1000];
    struct world w;
    int twice = 0;

    memset(seen, 0, sizeof seen);
    open_world(&w, 2, &(struct stk_sim_wire){.duplicate_ppm = 200000, .duplicate_us = 50000});
    send_spaced(&w, 1000, 200);
    for (int i = 0; i < w.count; i++) {
        CU_ASSERT_FALSE(at(&w, i)->damaged);
        seen[at(&w, i)->number]++;
    }
    for (int i = 0; i < 1000; i++) {
        CU_ASSERT_TRUE(seen[i] == 1 || seen[i] == 2);
        twice += seen[i] == 2;
    }
    CU_ASSERT_DOUBLE_EQUAL(twice, 200, 51);
    CU_ASSERT_EQUAL(forth(&w).duplicated, (unsigned)twice);
    close_world(&w);
}

static void corruption_flips_bits_and_is_delivered(void)
{
    struct world w;
    int damaged = 0;

    open_world(&w, 2, &(struct stk_sim_wire){.corrupt_ppm = 100000, .corrupt_bits = 3});
    send_spaced(&w, 1000, 1000);
    CU_ASSERT_EQUAL_FATAL(w.count, 1000);
    for (int i = 0; i < w.count; i++)
        damaged += at(&w, i)->damaged || at(&w, i)->number != (uint32_t)i;
    CU_ASSERT_DOUBLE_EQUAL(damaged, 100, 38);
    CU_ASSERT_TRUE(forth(&w).corrupted >= (unsigned)damaged);
    close_world(&w);
}

static void gathered_datagrams_come_in_runs(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = UINT64_C(1000000000)});
    stk_sim_host_set(w.b, &(struct stk_sim_host_options){.gather_us = 5000});
    send_run(&w, 20, 1200, STK_ECN_NOT);
    send_run(&w, 1, 300, STK_ECN_NOT);
    send_run(&w, 2, 1200, STK_ECN_NOT);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 23);
    CU_ASSERT_EQUAL(w.runs, 2);
    for (int i = 0; i < w.count; i++)
        CU_ASSERT_TRUE(at(&w, i)->number == (uint32_t)i && !at(&w, i)->damaged);
    close_world(&w);
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

    open_world(&w, 1, &(struct stk_sim_wire){0});
    stk_sim_host_set_hook(w.b, drop_odd, &count);
    send_many(&w, 10, 100);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(count, 10);
    CU_ASSERT_EQUAL_FATAL(w.count, 5);
    CU_ASSERT_TRUE(at(&w, 0)->number == 1 && at(&w, 0)->damaged);
    close_world(&w);
}

static void packets_can_be_forged(void)
{
    struct world w;
    uint8_t data[8] = {0, 0, 0, 77};
    struct stk_sim_packet packet = {.data = data, .size = 4};

    open_world(&w, 1, &(struct stk_sim_wire){0});
    stk_addr_parse(&packet.from, "192.0.2.1:1");
    packet.to = w.to_addr;
    CU_ASSERT_EQUAL(stk_sim_inject(w.a, &packet), 0);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL_FATAL(w.count, 1);
    CU_ASSERT_EQUAL(at(&w, 0)->number, 77);
    close_world(&w);
}

/* --- Hosts and sockets ------------------------------------------------------------------------ */

static void addresses_and_ports_belong_to_one_owner(void)
{
    struct world w;
    struct stk_sim_host *host;
    struct stk_sim_socket *socket;
    struct stk_addr addr;

    open_world(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_sim_host_add(w.sim, "a", "10.0.0.3", &host), -EEXIST);
    CU_ASSERT_EQUAL(stk_sim_host_add(w.sim, "c", "10.0.0.1", &host), -EEXIST);
    CU_ASSERT_EQUAL(stk_sim_host_add(w.sim, "c", "10.0.0.300", &host), STK_ESYNTAX);
    CU_ASSERT_EQUAL(stk_sim_host_add_addr(w.a, "10.0.0.2"), -EEXIST);
    CU_ASSERT_EQUAL(stk_sim_socket_open(w.b, &w.to_addr, &user_type, &w, &socket), -EADDRINUSE);
    stk_addr_parse(&addr, "0.0.0.0:4000");
    CU_ASSERT_EQUAL(stk_sim_socket_open(w.b, &addr, &user_type, &w, &socket), -EADDRINUSE);
    stk_addr_parse(&addr, "10.0.0.1:4000");
    CU_ASSERT_EQUAL(stk_sim_socket_open(w.b, &addr, &user_type, &w, &socket), -EADDRNOTAVAIL);
    close_world(&w);
}

static void a_host_that_moves_is_not_found_at_its_old_address(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_sim_host_remove_addr(w.b, "10.0.0.2"), 0);
    CU_ASSERT_EQUAL(stk_sim_host_remove_addr(w.b, "10.0.0.2"), -ENOENT);
    send_many(&w, 1, 10);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.count, 0);
    CU_ASSERT_EQUAL(stk_sim_host_add_addr(w.b, "10.0.0.2"), 0);
    send_many(&w, 1, 10);
    stk_sim_run(w.sim);
    CU_ASSERT_EQUAL(w.count, 1);
    close_world(&w);
}

static void packets_for_nobody_are_dropped(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){0});
    stk_addr_set_port(&w.to_addr, 4001);
    send_many(&w, 1, 10);
    stk_addr_parse(&w.to_addr, "10.9.9.9:4000");
    send_many(&w, 1, 10);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL(w.count, 0);
    CU_ASSERT_EQUAL(stk_sim_events(w.sim), 4);
    close_world(&w);
}

static void a_sim_can_end_with_packets_under_way(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){.rate_bit_s = 8000, .delay_us = 1000000});
    stk_sim_host_set(w.b, &(struct stk_sim_host_options){.gather_us = 5000});
    send_run(&w, 20, 100, STK_ECN_NOT);
    stk_sim_run_for(w.sim, 1500000);
    close_world(&w);
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
        take_datagram(w, &runs[i], 0);
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

    open_world(&w, 1, &(struct stk_sim_wire){.delay_us = 1000});
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
    CU_ASSERT_TRUE(at(&w, 0)->number == 5 && at(&w, 0)->time_us == 2000);
    stk_port_unref(server);
    stk_port_unref(client);
    close_world(&w);
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
        {"/dns/example.org/simudp/4000", false, STK_ENAME},
        {"/ip4/10.0.0.2/simudp/65536", true, STK_ESYNTAX},
        {"/ip4/10.0.0.2/simudp/x", true, STK_ESYNTAX},
    };
    struct stk_loop *loop;
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){0});
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
    close_world(&w);
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
        stk_sim_socket_open(b, &w.to_addr, &user_type, &w, &socket) == 0) {
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

    open_world_with(&w, &options, &(struct stk_sim_wire){0});
    stk_timer_init(&timer, stk_sim_loop(w.sim), again_in_a_second);
    stk_timer_in(&timer, 0);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), -ETIMEDOUT);
    CU_ASSERT_EQUAL(stk_sim_elapsed_us(w.sim), 60000000);
    stk_timer_stop(&timer);
    stk_timer_init(&timer, stk_sim_loop(w.sim), again_at_once);
    stk_timer_in(&timer, 0);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), STK_ELIMIT);
    stk_timer_stop(&timer);
    close_world(&w);
}

static void time_passes_exactly_as_asked(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_sim_run_for(w.sim, 12345678), 0);
    CU_ASSERT_EQUAL(stk_sim_elapsed_us(w.sim), 12345678);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL(stk_sim_elapsed_us(w.sim), 12345678);
    close_world(&w);
}

static void descriptors_and_foreign_loops_are_refused(void)
{
    struct stk_watch watch;
    struct stk_loop *loop;
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){0});
    stk_watch_init(&watch, stk_sim_loop(w.sim), 0, NULL);
    CU_ASSERT_TRUE(stk_watch_set(&watch, STK_READABLE) < 0);
    CU_ASSERT_PTR_EQUAL(stk_sim_of_loop(stk_sim_loop(w.sim)), w.sim);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    CU_ASSERT_PTR_NULL(stk_sim_of_loop(loop));
    stk_loop_free(loop);
    close_world(&w);
}

static void note_post(void *arg) { stk_sim_note(arg, "posted"); }

static void posts_reach_a_simulated_loop(void)
{
    struct world w;

    open_world(&w, 1, &(struct stk_sim_wire){0});
    CU_ASSERT_EQUAL(stk_loop_post(stk_sim_loop(w.sim), note_post, w.sim), 0);
    CU_ASSERT_EQUAL(stk_sim_run(w.sim), 0);
    CU_ASSERT_EQUAL(stk_sim_events(w.sim), 1);
    close_world(&w);
}

static uint64_t hash_of_a_busy_run(uint64_t seed, uint8_t first_byte)
{
    struct world w;
    uint64_t hash, random;

    open_world(&w, seed,
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
        send_run(&w, 10, (uint16_t)(100 + 20 * i), STK_ECN_NOT);
        stk_sim_run_for(w.sim, 5000);
    }
    stk_sim_run(w.sim);
    stk_loop_random(stk_sim_loop(w.sim), &random, sizeof random);
    hash = stk_sim_hash(w.sim) ^ random;
    close_world(&w);
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

    open_world_with(&w, &(struct stk_sim_options){.trace_events = 3},
                    &(struct stk_sim_wire){.delay_us = 1500000, .loss_mask = 1});
    stk_sim_trace_to(w.sim, live);
    send_many(&w, 2, 10);
    stk_sim_run(w.sim);
    stk_sim_note(w.sim, "the end of %s", "it");
    stk_sim_print_trace(w.sim, kept);
    close_world(&w);
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

STK_TEST_MAIN("sim", tests)
