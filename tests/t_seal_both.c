/*
 * Goal: two sides that open at once agree on one association, whatever is lost; and no recording,
 * of the peer's or of one's own, takes an opening away. Method: ports on a virtual wire that dial
 * one another, lose packets by chance, play recordings back.
 */
#include "seal_pair.h"

#include "fault.h"

#include <sodium.h>

enum { SEEDS = 400 };

static uint64_t ids[2]; /* of a's and b's own openings */

/* Two listening ports; each expects the other where `expecting`. */
static void open_both(const struct stk_key_pair *at_a, const struct stk_key_pair *at_b,
                      bool expecting)
{
    char text[2][STK_KEY_TEXT_MAX], options[128];

    stk_key_format(at_a->public_key, text[0]);
    stk_key_format(at_b->public_key, text[1]);
    snprintf(options, sizeof(options), expecting ? ",peer=%s" : "%.0s", text[1]);
    CU_ASSERT_EQUAL_FATAL(open_as(at_a, options, true, &a), 0);
    snprintf(options, sizeof(options), expecting ? ",peer=%s" : "%.0s", text[0]);
    CU_ASSERT_EQUAL_FATAL(open_as(at_b, options, true, &b), 0);
}

/* As a program does that dials an address under a key, as for a hole in a NAT. */
static uint64_t dial(struct world_node *from, struct world_node *to)
{
    const struct stk_seal_offer way = {.peer = &to->addr};
    const uint8_t *key = world_seal(to)->identity.public_key;
    uint64_t association = 0;

    CU_ASSERT_EQUAL(stk_seal_associate(from->port, key, &way, &association), 0);
    return association;
}

static void dial_both(void)
{
    ids[0] = dial(a, b);
    ids[1] = dial(b, a);
}

/* Does what one side says on its association come out of the other's, both ways? */
static bool talks(unsigned number)
{
    const bool went =
        world_send_number(a, ids[0], number) == 1 && world_send_number(b, ids[1], number + 1) == 1;

    world_run(&world, SECOND / 10);
    return went && b->seen[number] == 1 && b->association == ids[1] && a->seen[number + 1] == 1 &&
           a->association == ids[0];
}

static void expect_one_association(void)
{
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(b->ready, 1);
    CU_ASSERT_EQUAL(a->failed + b->failed, 0);
    CU_ASSERT_TRUE(talks(1));
    CU_ASSERT_EQUAL(stats_of(a).associations, 1);
    CU_ASSERT_EQUAL(stats_of(b).associations, 1);
    const struct seal_association *x = world_association(a, ids[0]);
    const struct seal_association *y = world_association(b, ids[1]);
    CU_ASSERT_EQUAL(x->tag, y->tag);
    CU_ASSERT_NOT_EQUAL(x->initiator, y->initiator);
    CU_ASSERT_TRUE(!x->attempt && !y->attempt && !x->answer && !y->answer);
    CU_ASSERT_EQUAL(x->port->opening + x->port->attempts, 0);
    CU_ASSERT_EQUAL(y->port->opening + y->port->attempts, 0);
}

/* --- Both at once ------------------------------------------------------------------------------
 */

static void whoever_dials_at_once_shares_one_association_and_one_initiator(void)
{
    for (int expecting = 0; expecting < 2; expecting++)
        for (int swap = 0; swap < 2; swap++) {
            CU_ASSERT_TRUE_FATAL(world_init(&world, 7));
            open_both(swap ? &bob : &alice, swap ? &alice : &bob, expecting);
            dial_both();
            world_run(&world, SECOND);
            expect_one_association();
            CU_ASSERT_EQUAL(count_logged(SEAL_RESPONSE), 1);
            end();
        }
}

static void one_identity_on_both_sides_agrees_too(void)
{
    for (unsigned seed = 0; seed < 20; seed++) {
        CU_ASSERT_TRUE_FATAL(world_init(&world, seed));
        open_both(&alice, &alice, false);
        dial_both();
        world_run(&world, SECOND);
        expect_one_association();
        end();
    }
}

static bool lose_some(struct world *w, struct world_packet *packet)
{
    packet->due_us += stk_prng_below(&w->prng, 30000);
    return stk_prng_below(&w->prng, 10) >= *(unsigned *)w->context;
}

/* After what was lost, both are ready, and what one says arrives at the other: nobody is left with
 * an association that the peer does not know. */
static void openings_at_once_agree_whatever_is_lost(void)
{
    static const struct stk_key_pair *const pairs[][2] = {
        {&alice, &bob}, {&bob, &alice}, {&alice, &alice}};
    unsigned tenths;

    for (unsigned seed = 0; seed < SEEDS; seed++) {
        tenths = seed % 6;
        CU_ASSERT_TRUE_FATAL(world_init(&world, seed));
        open_both(pairs[seed % 3][0], pairs[seed % 3][1], false);
        world.filter = lose_some;
        world.context = &tenths;
        ids[0] = dial(a, b);
        world_run(&world, stk_prng_below(&world.prng, 40000));
        ids[1] = dial(b, a);
        world_run(&world, 8 * SECOND);
        world.filter = NULL;
        world_run(&world, 6 * SECOND);
        /* Who joins what is ready already is told so again. */
        const bool agree = a->ready && b->ready && talks(1) && talks(3);
        if (!agree)
            printf("\n    seed %u: ready %d %d, failed %d %d", seed, a->ready, b->ready, a->failed,
                   b->failed);
        CU_ASSERT_TRUE(agree);
        end();
    }
}

/* --- Recordings --------------------------------------------------------------------------------
 */

static struct world_node *lower, *higher; /* by key: the lower one's initiation counts */
static struct world_packet recording;

/* An initiation of the lower side's to the higher one, of an association that is over. */
static void record(void)
{
    CU_ASSERT_TRUE_FATAL(world_init(&world, 7));
    open_both(&alice, &bob, true);
    const bool in_order = memcmp(world_seal(a)->local_static.public_key,
                                 world_seal(b)->local_static.public_key, SEAL_NOISE_KEY) < 0;
    lower = in_order ? a : b;
    higher = in_order ? b : a;
    const uint64_t passing = dial(lower, higher);
    world_send_number(lower, passing, 1000);
    world_run(&world, SECOND);
    recording = world.log[0];
    CU_ASSERT_EQUAL_FATAL(recording.data[0], SEAL_INITIATION);
    stk_port_release(lower->port, passing);
    world_run(&world, 200 * (uint64_t)SECOND);
    CU_ASSERT_EQUAL(stats_of(a).associations + stats_of(b).associations, 0);
    a->ready = b->ready = a->inputs = b->inputs = 0;
}

static void forget_timestamps(void)
{
    if (world_seal(higher)->stamps)
        memset(world_seal(higher)->stamps, 0, sizeof(*world_seal(higher)->stamps));
}

static void replay(void)
{
    world_inject(&world, &lower->addr, &higher->addr, recording.data, recording.len);
}

/* The numbers are ids[0] of a, ids[1] of b. */
static void expect_talk(uint64_t at_higher)
{
    ids[higher == b] = at_higher;
    ids[lower == b] = lower->association;
    CU_ASSERT_EQUAL(higher->ready, 1);
    CU_ASSERT_EQUAL(higher->failed, 0);
    CU_ASSERT_TRUE(talks(11));
    CU_ASSERT_EQUAL(world_association(higher, at_higher)->initiator,
                    !world_association(lower, lower->association)->initiator);
}

static void a_recording_takes_no_opening_away(void)
{
    for (int restarted = 0; restarted < 2; restarted++) {
        record();
        if (restarted)
            forget_timestamps();
        const uint64_t association = dial(higher, lower);
        world_send_number(higher, association, 5);
        replay();
        world_run(&world, 3 * WORLD_DELAY_US);
        CU_ASSERT_EQUAL(higher->ready, 1); /* as if nothing had been */
        CU_ASSERT_EQUAL(lower->seen[5], 1);
        world_run(&world, SECOND);
        expect_talk(association);
        stk_port_retain(lower->port, lower->association);
        world_run(&world, 20 * (uint64_t)SECOND);
        CU_ASSERT_EQUAL(stats_of(lower).associations, 1);
        /* Keys are renewed under the tag that the peer knows. */
        world_run(&world, 200 * (uint64_t)SECOND);
        world_send_number(higher, association, 6);
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(lower->seen[6], 1);
        CU_ASSERT_EQUAL(stats_of(lower).associations, 1);
        world_run(&world, 200 * (uint64_t)SECOND);
        world_send_number(lower, lower->association, 7);
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(higher->seen[7], 1);
        CU_ASSERT_EQUAL(stats_of(higher).associations, 1);
        end();
    }
}

static int responses_to_drop;

static bool drop_responses(struct world *w, struct world_packet *packet)
{
    (void)w;
    return packet->data[0] != SEAL_RESPONSE || !stk_addr_equal(&packet->from, &lower->addr) ||
           responses_to_drop-- <= 0;
}

static void a_recording_and_lost_responses_cost_a_second(void)
{
    record();
    forget_timestamps();
    responses_to_drop = 1;
    world.filter = drop_responses;
    const uint64_t association = dial(higher, lower);
    replay();
    world_run(&world, WORLD_DELAY_US / 2);
    for (int i = 0; i < 30; i++) { /* it is played again and again */
        replay();
        world_run(&world, SECOND / 20);
    }
    expect_talk(association);
    end();
}

static void a_recording_before_the_dial_costs_a_second(void)
{
    record();
    forget_timestamps();
    replay();
    world_run(&world, 5 * SECOND);
    CU_ASSERT_EQUAL(stats_of(higher).associations, 1); /* a listener can't know */
    const uint64_t association = dial(higher, lower);
    world_run(&world, 2 * SECOND);
    expect_talk(association);
    end();
}

static void a_recording_in_the_turn_of_the_dial_costs_a_second(void)
{
    record();
    forget_timestamps();
    const struct stk_run run = {.data = recording.data,
                                .stride = recording.len,
                                .size = recording.len,
                                .last_size = recording.len,
                                .count = 1,
                                .peer = &lower->addr,
                                .local = &higher->addr};
    const uint64_t association = dial(higher, lower);
    seal_take_runs(world_seal(higher), &run, 1);
    world_run(&world, 2 * SECOND);
    expect_talk(association);
    end();
}

static void who_is_not_there_is_given_up_in_time_with_a_recording_too(void)
{
    record();
    forget_timestamps();
    world_close(lower);
    const uint64_t association = dial(higher, lower);
    (void)association;
    for (int i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(higher->failed, i > 14);
        replay();
        world_run(&world, SECOND);
    }
    CU_ASSERT_EQUAL(higher->failed, 1);
    CU_ASSERT_EQUAL(higher->error.code, -ETIMEDOUT);
    CU_ASSERT_EQUAL(higher->ready, 0);
    end();
}

/* --- Reflections -------------------------------------------------------------------------------
 */

static bool reflect(struct world *w, struct world_packet *packet)
{
    if (packet->data[0] == SEAL_INITIATION)
        world_inject(w, &packet->to, &packet->from, packet->data, packet->len);
    return true;
}

static void own_initiations_sent_back_are_ignored(void)
{
    CU_ASSERT_TRUE_FATAL(world_init(&world, 7));
    open_both(&alice, &alice, false);
    world.filter = reflect;
    ids[0] = dial(a, b);
    world_send_number(a, ids[0], 1);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(a->inputs, 0);
    stk_port_retain(b->port, b->association);
    /* Those that renew the keys, with a datagram in them, at once and once they are answered. */
    world_run(&world, 200 * (uint64_t)SECOND);
    const int first = world.logged;
    world_send_number(a, ids[0], 2);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[2], 1);
    CU_ASSERT_EQUAL(world.log[first].data[0], SEAL_INITIATION);
    const struct world_packet own = world.log[first];
    world_inject(&world, &own.to, &own.from, own.data, own.len);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->inputs, 0);
    CU_ASSERT_EQUAL(count_logged(SEAL_RESPONSE), 2); /* all of b's */
    world_send_number(b, b->association, 3);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->seen[3], 1);
    end();
}

static void a_peer_that_was_called_and_lost_may_call_back_under_the_same_tag(void)
{
    CU_ASSERT_TRUE_FATAL(world_init(&world, 7));
    open_both(&alice, &bob, false);
    ids[0] = dial(a, b);
    world_run(&world, SECOND);
    ids[1] = b->association;
    stk_port_retain(b->port, ids[1]);
    const struct stk_addr before = a->addr;
    a->full = true; /* so that it says goodbye to nobody */
    world_close(a);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL_FATAL(open_as(&alice, "", true, &a), 0);
    a->addr = before;
    stk_port_renew(b->port, ids[1]);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->ready, 1);
    ids[0] = a->association;
    CU_ASSERT_TRUE(talks(5));
    CU_ASSERT_TRUE(world_association(a, ids[0])->initiator);
    stk_port_retain(a->port, ids[0]);
    /* And each may renew the keys. */
    stk_port_renew(a->port, ids[0]);
    world_run(&world, SECOND);
    stk_port_renew(b->port, ids[1]);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(stats_of(a).handshakes, 3);
    CU_ASSERT_TRUE(talks(7));
    end();
}

/* --- Memory ------------------------------------------------------------------------------------
 */

static void open_with_too_little_memory(void)
{
    struct stk_error error = {0};

    a = b = NULL;
    if (!world_init(&world, 5))
        return;
    stk_seal_set_identity(world.loop, &alice);
    int code = world_open(&world, "", true, &a, &error);
    stk_seal_set_identity(world.loop, &bob);
    code = code ? code : world_open(&world, "", true, &b, &error);
    const struct stk_seal_offer to_b = {.peer = code ? NULL : &b->addr};
    const struct stk_seal_offer to_a = {.peer = code ? NULL : &a->addr};
    if (!code && !stk_seal_associate(a->port, bob.public_key, &to_b, &ids[0])) {
        world_send_number(a, ids[0], 1);
        world_run(&world, 5000);
        if (!stk_seal_associate(b->port, alice.public_key, &to_a, &ids[1]))
            world_send_number(b, ids[1], 2);
        world_run(&world, 3 * SECOND);
    }
    if (!code) {
        CU_ASSERT_EQUAL(a->told_inside + b->told_inside, 0);
        CU_ASSERT_EQUAL(a->heard_late + b->heard_late, 0);
    }
    world_free(&world);
}

static void nothing_is_told_from_inside_send_or_after_the_end_without_memory(void)
{
    bool failed = true;

    for (long n = 1; failed && n < 200; n++) {
        fault_heap_install();
        fault_heap_fail(n, FAULT_ONCE);
        open_with_too_little_memory();
        failed = fault_heap_has_failed();
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
    }
    CU_ASSERT_FALSE(failed);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"whoever dials at once shares one association and one initiator",
         whoever_dials_at_once_shares_one_association_and_one_initiator},
        {"one identity on both sides agrees, too", one_identity_on_both_sides_agrees_too},
        {"openings at once agree, whatever is lost", openings_at_once_agree_whatever_is_lost},
        {"a recording takes no opening away", a_recording_takes_no_opening_away},
        {"a recording and lost responses cost a second",
         a_recording_and_lost_responses_cost_a_second},
        {"a recording before the dial costs a second", a_recording_before_the_dial_costs_a_second},
        {"a recording in the turn of the dial costs a second",
         a_recording_in_the_turn_of_the_dial_costs_a_second},
        {"who is not there is given up in time, with a recording, too",
         who_is_not_there_is_given_up_in_time_with_a_recording_too},
        {"own initiations sent back are ignored", own_initiations_sent_back_are_ignored},
        {"a peer that was called and lost may call back under the same tag",
         a_peer_that_was_called_and_lost_may_call_back_under_the_same_tag},
        {"nothing is told from inside send or after the end, without memory",
         nothing_is_told_from_inside_send_or_after_the_end_without_memory},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    make_keys();
    return stk_test_run("seal both", tests, STK_TEST_LIMIT_S);
}
