/*
 * Goal: an association that nobody needs ends, whatever is said to keep others alive; one that
 * somebody needs does not. Method: hours on a virtual clock, with a peer that is gone or has let
 * go.
 */
#include "seal_pair.h"

#include <sodium.h>

enum { MINUTE = 60 * SECOND };

static bool drop_all(struct world *w, struct world_packet *packet)
{
    (void)w, (void)packet;
    return false;
}

static void a_peer_that_vanished_is_forgotten_with_and_without_keepalives(void)
{
    static const char *const options[] = {"", ",keepalive=20s", ",keepalive=60s"};

    for (int i = 0; i < 3; i++) {
        begin("", options[i]);
        b->retain = false;
        connect_and_say("hello");
        world_run(&world, SECOND);
        CU_ASSERT_EQUAL(b->ready, 1);
        world.filter = drop_all;
        world_run(&world, 3 * (uint64_t)MINUTE);
        CU_ASSERT_EQUAL(stats_of(b).associations, 0);
        const int logged = world.logged;
        world_close(a);
        world_run(&world, 10 * (uint64_t)MINUTE);
        for (int k = logged; k < world.logged; k++)
            CU_ASSERT_FALSE(stk_addr_equal(&world.log[k].from, &b->addr));
        end();
    }
}

static void associations_that_both_sides_let_go_end_at_both(void)
{
    begin(",keepalive=20s", ",keepalive=20s");
    b->retain = false;
    for (int i = 0; i < 5; i++) {
        const struct seal_wish wish = {.key = bob.public_key, .peer = &b->addr, .own = true};
        CU_ASSERT_EQUAL_FATAL(seal_associate(world_seal(a), &wish, &id), 0);
        world_send(a, id, "hello", 5);
        world_run(&world, SECOND);
        stk_port_release(a->port, id);
    }
    CU_ASSERT_EQUAL(stats_of(a).associations, 5);
    world_run(&world, 3 * (uint64_t)MINUTE);
    CU_ASSERT_EQUAL(stats_of(a).associations, 0);
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    end();
}

static void keepalives_of_who_retains_it_keep_it_at_both_ends(void)
{
    begin(",keepalive=20s", "");
    b->retain = false;
    connect_and_say("hello");
    world_run(&world, 60 * (uint64_t)MINUTE);
    CU_ASSERT_EQUAL(stats_of(a).associations, 1);
    CU_ASSERT_EQUAL(stats_of(b).associations, 1);
    CU_ASSERT_EQUAL(a->failed, 0);
    end();
}

static void keepalives_begin_when_it_is_retained(void)
{
    begin("", ",keepalive=20s");
    b->retain = false;
    connect_and_say("hello");
    world_run(&world, 50 * (uint64_t)SECOND);
    stk_port_retain(b->port, b->association);
    const int logged = world.logged;
    world_run(&world, 25 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(world.logged > logged);
    end();
}

static void whoever_sends_datagrams_is_not_idle(void)
{
    begin("", "");
    b->retain = false;
    connect_and_say("hello");
    world_run(&world, SECOND);
    world.filter = drop_all;
    for (int i = 0; i < 170; i++) {
        world_send_number(b, b->association, 1);
        world_run(&world, SECOND);
    }
    CU_ASSERT_EQUAL(stats_of(b).associations, 1);
    world_run(&world, MINUTE + SECOND);
    CU_ASSERT_EQUAL(stats_of(b).associations, 0);
    end();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a peer that vanished is forgotten, with and without keepalives",
         a_peer_that_vanished_is_forgotten_with_and_without_keepalives},
        {"associations that both sides let go end at both",
         associations_that_both_sides_let_go_end_at_both},
        {"keepalives of who retains it keep it at both ends",
         keepalives_of_who_retains_it_keep_it_at_both_ends},
        {"keepalives begin when it is retained", keepalives_begin_when_it_is_retained},
        {"whoever sends datagrams is not idle", whoever_sends_datagrams_is_not_idle},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    make_keys();
    return stk_test_run("seal idle", tests, STK_TEST_LIMIT_S);
}
