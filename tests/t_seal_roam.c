/* Goal: keys are renewed and addresses change under traffic, without a loss and without a trick. */
#include "seal_pair.h"

#include "layer.h"

#include <sodium.h>

/* --- Rekeying -------------------------------------------------------------------------------- */

static bool jumble(struct world *w, struct world_packet *packet)
{
    /* Up to 200 ms late: across the change of keys packets of both come mixed. */
    packet->due_us += stk_prng_below(&w->prng, 200000);
    return true;
}

static void keys_change_under_traffic_and_reordering_without_a_loss(void)
{
    establish();
    world.filter = jumble;
    unsigned number = 0;
    for (int s = 0; s < 400; s++) { /* 400 s: three changes */
        for (int k = 0; k < 4; k++, number++) {
            world_send_number(a, id, number);
            world_send_number(b, b->retained, number);
            world_run(&world, SECOND / 4);
        }
        world.logged = 0;
    }
    world_run(&world, SECOND);
    unsigned lost = 0;
    for (unsigned i = 0; i < number; i++)
        lost += a->seen[i] != 1 || b->seen[i] != 1;
    CU_ASSERT_EQUAL(lost, 0);
    CU_ASSERT_TRUE(stats_of(a).handshakes >= 4);
    CU_ASSERT_EQUAL(stats_of(a).associations, 1);
    CU_ASSERT_EQUAL(stats_of(b).associations, 1);
    CU_ASSERT_EQUAL(a->moved + b->moved + a->failed + b->failed, 0);
    end();
}

static bool half(struct world *w, struct world_packet *packet)
{
    (void)packet;
    return stk_prng_below(&w->prng, 2);
}

static void keys_change_on_a_wire_that_loses_half(void)
{
    establish();
    world.filter = half;
    for (int s = 0; s < 400; s++) {
        world_send_number(a, id, 1);
        world_send_number(b, b->retained, 1);
        world_run(&world, SECOND);
        world.logged = 0;
    }
    world.filter = NULL;
    world_send_number(a, id, 2);
    world_send_number(b, b->retained, 3);
    world_run(&world, 3 * SECOND);
    CU_ASSERT_EQUAL(b->seen[2], 1);
    CU_ASSERT_EQUAL(a->seen[3], 1);
    CU_ASSERT_EQUAL(a->failed + b->failed, 0);
    CU_ASSERT_TRUE(stats_of(a).handshakes >= 3);
    end();
}

static bool only_to_b(struct world *w, struct world_packet *packet)
{
    (void)w;
    return stk_addr_equal(&packet->to, &b->addr);
}

static void old_keys_end_even_when_no_new_ones_can_be_made(void)
{
    establish();
    world.filter = only_to_b;
    for (int s = 0; s < 179; s++) {
        world_send_number(a, id, 1);
        world_run(&world, SECOND);
    }
    CU_ASSERT_TRUE(b->seen[1] >= 178);
    world_run(&world, 2 * SECOND);
    const int before = b->inputs;
    world_send_number(a, id, 2);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->inputs, before); /* not under keys of 180 seconds */
    CU_ASSERT_EQUAL(a->failed, 0);
    world.filter = NULL;
    world_run(&world, 2 * SECOND);
    CU_ASSERT_EQUAL(b->seen[2], 1); /* it waited */
    end();
}

static void the_side_that_was_called_renews_the_keys_when_only_it_sends(void)
{
    establish();
    for (int s = 0; s < 300; s++) {
        world_send_number(b, b->retained, (unsigned)s);
        world_run(&world, SECOND);
        world.logged = 0;
    }
    unsigned lost = 0;
    for (int s = 0; s < 300; s++)
        lost += a->seen[s] != 1;
    CU_ASSERT_EQUAL(lost, 0);
    CU_ASSERT_TRUE(stats_of(b).handshakes >= 2);
    end();
}

static void both_sides_renewing_at_once_agree(void)
{
    establish();
    for (int round = 0; round < 5; round++) {
        seal_attempt_start(world_association(a, id));
        seal_attempt_start(world_association(b, b->retained));
        for (unsigned i = 0; i < 10; i++) {
            world_send_number(a, id, (unsigned)round * 10 + i);
            world_send_number(b, b->retained, (unsigned)round * 10 + i);
            world_run(&world, 5000);
        }
        world_run(&world, SECOND);
    }
    unsigned lost = 0;
    for (unsigned i = 0; i < 50; i++)
        lost += a->seen[i] != 1 || b->seen[i] != 1;
    CU_ASSERT_EQUAL(lost, 0);
    CU_ASSERT_EQUAL(stats_of(a).handshakes, 6);
    CU_ASSERT_EQUAL(stats_of(b).handshakes, 6);
    CU_ASSERT_PTR_NULL(world_association(a, id)->attempt);
    CU_ASSERT_PTR_NULL(world_association(b, b->retained)->attempt);
    end();
}

/* Two programs of one person may share the identity file. */
static void one_identity_on_both_sides_agrees_too(void)
{
    char text[256];

    CU_ASSERT_TRUE_FATAL(world_init(&world, 13));
    snprintf(text, sizeof(text), ",peer=%s", alice_text);
    CU_ASSERT_EQUAL_FATAL(open_as(&alice, text, true, &a), 0);
    CU_ASSERT_EQUAL_FATAL(open_as(&alice, text, true, &b), 0);
    b->retain = true;
    uint64_t other;
    connect_and_say("one");
    CU_ASSERT_EQUAL(stk_port_associate(b->port, &a->addr, &other), 0);
    CU_ASSERT_EQUAL(world_send(b, other, "two", 3), 1);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->inputs, 1);
    CU_ASSERT_EQUAL(b->inputs, 1);
    CU_ASSERT_EQUAL(stats_of(a).associations, 1);
    for (unsigned round = 0; round < 5; round++) {
        seal_attempt_start(world_association(a, id));
        seal_attempt_start(world_association(b, other));
        world_send_number(a, id, round);
        world_send_number(b, other, round);
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(a->seen[round] + b->seen[round], 2);
    }
    CU_ASSERT_EQUAL(stats_of(a).handshakes, 6);
    CU_ASSERT_EQUAL(stats_of(b).handshakes, 6);
    end();
}

/* --- Roaming -----------------------------------------------------------------------------------
 */

static void a_new_address_is_used_once_it_has_answered(void)
{
    struct stk_addr before, after;

    establish();
    before = a->addr;
    after = world_addr(50, 5000);
    a->addr = after;
    world_send_number(a, id, 1);
    world_run(&world, WORLD_DELAY_US + 1000);
    CU_ASSERT_EQUAL(b->seen[1], 1); /* what it says counts at once */
    CU_ASSERT_EQUAL(b->moved, 0);
    const int mark = world.logged;
    world_send_number(b, b->retained, 2);
    CU_ASSERT_TRUE(stk_addr_equal(&world.log[mark].to, &before));
    world_run(&world, 2 * WORLD_DELAY_US);
    CU_ASSERT_EQUAL(b->moved, 1);
    world_send_number(b, b->retained, 3);
    CU_ASSERT_TRUE(stk_addr_equal(&world.log[world.logged - 1].to, &after));
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->seen[3], 1);
    end();
}

/* What A knew of the way to B says nothing of the way from its new address. */
static void who_has_moved_is_told_when_the_peer_has_followed(void)
{
    establish();
    a->addr = world_addr(50, 5000);
    world_send_number(a, id, 1);
    world_run(&world, 3 * WORLD_DELAY_US + 1000);
    CU_ASSERT_EQUAL(a->moved, 0); /* only a challenge has come to the new address */
    world_send_number(b, b->retained, 2);
    world_run(&world, WORLD_DELAY_US);
    CU_ASSERT_EQUAL(a->seen[2], 1);
    CU_ASSERT_EQUAL(a->moved, 1);
    world_send_number(b, b->retained, 3);
    world_send_number(a, id, 3);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->moved + b->moved, 2);
    CU_ASSERT_EQUAL(a->rebound, 0);

    /* Another port is a NAT's doing, which A can't see, or its own: not another way. */
    a->addr = world_addr(50, 6000);
    world_send_number(a, id, 4);
    world_run(&world, SECOND);
    world_send_number(b, b->retained, 4);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->moved, 1);
    end();
}

static void another_port_of_the_same_address_is_told_as_the_same_path(void)
{
    establish();
    a->addr = world_addr(1, 5000);
    world_send_number(a, id, 1);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->rebound, 1);
    CU_ASSERT_EQUAL(b->moved, 0);
    world_send_number(b, b->retained, 2);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(a->seen[2], 1);
    end();
}

static unsigned challenges_lost, challenges_to_lose;

/* The first ones that go to where A is now. */
static bool lose_challenges(struct world *w, struct world_packet *packet)
{
    (void)w;
    if (!stk_addr_equal(&packet->to, &a->addr) || packet->data[0] != SEAL_CONTROL ||
        packet->len != SEAL_CHALLENGE_BYTES || challenges_lost >= challenges_to_lose)
        return true;
    challenges_lost++;
    return false;
}

static void move_and_speak_for(uint64_t time_us)
{
    challenges_lost = 0;
    a->addr = world_addr(50, 5000);
    world.filter = lose_challenges;
    for (uint64_t us = 0; us < time_us; us += 20000) {
        world_send_number(a, id, 1);
        world_run(&world, 20000);
    }
}

static uint64_t rtt_of_path_in_use(const struct world_node *end)
{
    struct stk_seal_path paths[STK_SEAL_PATHS_MAX];
    const int count = stk_seal_paths(end->port, end->retained, paths, STK_SEAL_PATHS_MAX);

    for (int i = 0; i < count; i++)
        if (paths[i].in_use)
            return paths[i].rtt_us;
    return 0;
}

static void a_challenge_that_got_lost_is_repeated_when_the_peer_speaks(void)
{
    establish();
    challenges_to_lose = 2;
    move_and_speak_for(200000);
    CU_ASSERT_EQUAL(challenges_lost, 2);
    CU_ASSERT_EQUAL(b->moved, 1);
    CU_ASSERT_EQUAL(rtt_of_path_in_use(b), 2 * WORLD_DELAY_US); /* of the one that was answered */
    end();
}

static void who_speaks_and_never_echoes_gets_no_more_challenges_for_it(void)
{
    establish();
    challenges_to_lose = 100;
    move_and_speak_for(SECOND);
    CU_ASSERT_EQUAL(challenges_lost, SEAL_CHALLENGES_HURRIED + 3); /* at 0, 250 and 750 ms */
    move_and_speak_for(6 * SECOND); /* the others in their time, and none after them */
    CU_ASSERT_EQUAL(challenges_lost, 2);
    CU_ASSERT_EQUAL(b->moved, 0);
    end();
}

static void both_sides_may_move(void)
{
    establish();
    for (int i = 0; i < 10; i++) {
        a->addr = world_addr(50 + i, 5000);
        world_send_number(a, id, (unsigned)i);
        world_run(&world, SECOND / 5);
        b->addr = world_addr(80 + i, 6000);
        world_send_number(b, b->retained, (unsigned)i);
        world_run(&world, SECOND / 5);
    }
    CU_ASSERT_EQUAL(b->moved, 10);
    CU_ASSERT_EQUAL(a->moved, 10);
    world_send_number(a, id, 20);
    world_send_number(b, b->retained, 21);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[20], 1);
    CU_ASSERT_EQUAL(a->seen[21], 1);
    end();
}

static struct stk_addr victim;
static uint64_t to_victim, from_victim;

/* An attacker who can copy: it sends each packet of a's once more, first, from the victim. */
static bool copy_from_victim(struct world *w, struct world_packet *packet)
{
    if (stk_addr_equal(&packet->to, &victim)) {
        to_victim += packet->len;
        CU_ASSERT_TRUE(to_victim <= SEAL_AMPLIFICATION * from_victim);
        return false;
    }
    if (stk_addr_equal(&packet->from, &a->addr)) {
        world_inject(w, &victim, &packet->to, packet->data, packet->len);
        from_victim += packet->len;
    }
    return true;
}

static void a_copied_packet_moves_nothing(void)
{
    establish();
    victim = world_addr(99, 9);
    to_victim = from_victim = 0;
    world.filter = copy_from_victim;
    for (unsigned i = 0; i < 200; i++) {
        world_send_number(a, id, i);
        world_send_number(b, b->retained, i);
        world_run(&world, SECOND / 20);
    }
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->moved, 0);
    unsigned lost = 0;
    for (unsigned i = 0; i < 200; i++)
        lost += a->seen[i] != 1 || b->seen[i] != 1;
    CU_ASSERT_EQUAL(lost, 0);
    CU_ASSERT_TRUE(to_victim > 0);
    CU_ASSERT_TRUE(to_victim <= SEAL_AMPLIFICATION * from_victim);
    end();
}

static void a_copied_initiation_only_delays(void)
{
    begin("", "");
    victim = world_addr(99, 9);
    to_victim = from_victim = 0;
    world.filter = copy_from_victim;
    b->echo = true;
    connect_and_say("hello");
    world_run(&world, 2 * SECOND);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(b->ready, 1);
    CU_ASSERT_EQUAL(b->inputs, 1);
    world.filter = NULL;
    for (unsigned i = 0; i < 5; i++) {
        world_send_number(a, id, i);
        world_run(&world, SECOND / 5);
    }
    CU_ASSERT_TRUE(
        stk_addr_equal(&seal_path_active(world_association(b, b->retained))->peer, &a->addr));
    end();
}

static struct stk_addr elsewhere; /* what the other side's address looks like from here */

static bool answer_from_elsewhere(struct world *w, struct world_packet *packet)
{
    (void)w;
    if (stk_addr_equal(&packet->from, &b->addr))
        packet->from = elsewhere;
    if (stk_addr_equal(&packet->to, &elsewhere))
        packet->to = b->addr;
    return true;
}

static void where_a_response_came_from_is_asked_at_once(void)
{
    begin("", "");
    elsewhere = world_addr(50, 5);
    world.filter = answer_from_elsewhere;
    connect_and_say("hello");
    world_run(&world, 5 * WORLD_DELAY_US);
    CU_ASSERT_EQUAL(a->ready, 1);
    CU_ASSERT_EQUAL(a->moved, 1);
    CU_ASSERT_TRUE(stk_addr_equal(&seal_path_active(world_association(a, id))->peer, &elsewhere));
    end();
}

static bool drop_all(struct world *w, struct world_packet *packet)
{
    (void)w, (void)packet;
    return false;
}

static void a_forgery_behind_a_copied_probe_moves_nothing(void)
{
    uint8_t two[2 * SEAL_CHALLENGE_BYTES];
    const struct stk_addr thief = world_addr(66, 6);

    establish();
    world.filter = drop_all;
    stk_seal_probe_path(a->port, id, seal_path_active(world_association(a, id))->id);
    const struct world_packet *probe = &world.log[world.logged - 1];
    CU_ASSERT_EQUAL_FATAL(probe->len, SEAL_CHALLENGE_BYTES);
    memcpy(two, probe->data, SEAL_CHALLENGE_BYTES);
    memcpy(two + SEAL_CHALLENGE_BYTES, probe->data, SEAL_CHALLENGE_BYTES);
    two[SEAL_CHALLENGE_BYTES + 15]++; /* the next counter, and so no genuine packet */
    const struct stk_run run = {.data = two,
                                .stride = SEAL_CHALLENGE_BYTES,
                                .size = SEAL_CHALLENGE_BYTES,
                                .last_size = SEAL_CHALLENGE_BYTES,
                                .count = 2,
                                .peer = &thief,
                                .local = &b->addr};
    seal_take_runs(world_seal(b), &run, 1);
    CU_ASSERT_EQUAL(stats_of(b).forged, 1);
    const struct seal_association *at_b = world_association(b, b->retained);
    CU_ASSERT_PTR_NULL(at_b->candidate);
    CU_ASSERT_PTR_EQUAL(at_b->spoken, at_b->active);
    end();
}

static void more_addresses_than_places_are_survived(void)
{
    establish();
    const struct stk_addr home = a->addr;
    for (int i = 0; i < 50; i++) {
        a->addr = world_addr(50 + i, 5000);
        world_send_number(a, id, (unsigned)i);
        world_run(&world, 1000); /* no time to validate */
    }
    a->addr = home;
    world_send_number(a, id, 60);
    world_run(&world, SECOND);
    world_send_number(b, b->retained, 61);
    world_run(&world, SECOND);
    CU_ASSERT_EQUAL(b->seen[60], 1);
    CU_ASSERT_EQUAL(a->seen[61], 1);
    end();
}

static void keepalives_hold_the_path_open(void)
{
    begin(",keepalive=20s", "");
    connect_and_say("hello");
    world_run(&world, SECOND);
    const int before = count_logged(SEAL_CONTROL);
    world_run(&world, 100 * (uint64_t)SECOND);
    const int sent = count_logged(SEAL_CONTROL) - before;
    CU_ASSERT_TRUE(sent >= 4 && sent <= 6);
    CU_ASSERT_EQUAL(a->inputs, 0);
    CU_ASSERT_EQUAL(b->inputs, 1);
    end();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"keys change under traffic and reordering without a loss",
         keys_change_under_traffic_and_reordering_without_a_loss},
        {"keys change on a wire that loses half", keys_change_on_a_wire_that_loses_half},
        {"old keys end even when no new ones can be made",
         old_keys_end_even_when_no_new_ones_can_be_made},
        {"the side that was called renews the keys when only it sends",
         the_side_that_was_called_renews_the_keys_when_only_it_sends},
        {"both sides renewing at once agree", both_sides_renewing_at_once_agree},
        {"one identity on both sides agrees, too", one_identity_on_both_sides_agrees_too},
        {"a new address is used once it has answered", a_new_address_is_used_once_it_has_answered},
        {"who has moved is told when the peer has followed",
         who_has_moved_is_told_when_the_peer_has_followed},
        {"another port of the same address is told as the same path",
         another_port_of_the_same_address_is_told_as_the_same_path},
        {"a challenge that got lost is repeated when the peer speaks",
         a_challenge_that_got_lost_is_repeated_when_the_peer_speaks},
        {"who speaks and never echoes gets no more challenges for it",
         who_speaks_and_never_echoes_gets_no_more_challenges_for_it},
        {"both sides may move", both_sides_may_move},
        {"a copied packet moves nothing", a_copied_packet_moves_nothing},
        {"a copied initiation only delays", a_copied_initiation_only_delays},
        {"where a response came from is asked at once",
         where_a_response_came_from_is_asked_at_once},
        {"a forgery behind a copied probe moves nothing",
         a_forgery_behind_a_copied_probe_moves_nothing},
        {"more addresses than places are survived", more_addresses_than_places_are_survived},
        {"keepalives hold the path open", keepalives_hold_the_path_open},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    make_keys();
    return stk_test_run("seal roam", tests, STK_TEST_LIMIT_S);
}
