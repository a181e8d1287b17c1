/*
 * Two sealed ports in a small world: a connects, b listens. One test program, one pair.
 */
#ifndef STK_TESTS_SEAL_PAIR_H
#define STK_TESTS_SEAL_PAIR_H

#include "seal_world.h"

#include "harness.h"

#include <string.h>

enum { SECOND = 1000000 };

static struct stk_key_pair alice, bob, carol;
static char alice_text[STK_KEY_TEXT_MAX], bob_text[STK_KEY_TEXT_MAX], carol_text[STK_KEY_TEXT_MAX];

static struct world world;
static struct world_node *a, *b; /* a connects, b listens */
static uint64_t id;

static inline void make_keys(void)
{
    uint8_t seeds[3][32];

    for (int i = 0; i < 96; i++)
        seeds[i / 32][i % 32] = (uint8_t)(41 * i + 7); /* no pattern that memory has by itself */
    stk_key_pair_from_seed(&alice, seeds[0]);
    stk_key_pair_from_seed(&bob, seeds[1]);
    stk_key_pair_from_seed(&carol, seeds[2]);
    stk_key_format(alice.public_key, alice_text);
    stk_key_format(bob.public_key, bob_text);
    stk_key_format(carol.public_key, carol_text);
}

static inline int open_as(const struct stk_key_pair *pair, const char *options, bool listening,
                          struct world_node **node)
{
    struct stk_error error = {0};

    stk_seal_set_identity(world.loop, pair);
    const int code = world_open(&world, options, listening, node, &error);
    if (code)
        printf("\n    %s\n", error.text);
    return code;
}

static inline void begin(const char *connect_options, const char *listen_options)
{
    char text[512];

    CU_ASSERT_TRUE_FATAL(world_init(&world, 7));
    snprintf(text, sizeof(text), ",peer=%s%s", bob_text, connect_options);
    CU_ASSERT_EQUAL_FATAL(open_as(&alice, text, false, &a), 0);
    CU_ASSERT_EQUAL_FATAL(open_as(&bob, listen_options, true, &b), 0);
    b->retain = true;
}

static inline void connect_to(const struct stk_addr *to)
{
    CU_ASSERT_EQUAL_FATAL(stk_port_associate(a->port, to, &id), 0);
}

static inline void connect_and_say(const char *text)
{
    connect_to(&b->addr);
    CU_ASSERT_EQUAL(world_send(a, id, text, strlen(text)), 1);
}

static inline void end(void) { world_free(&world); }

static inline void establish(void)
{
    begin("", "");
    connect_and_say("hello");
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL_FATAL(a->ready, 1);
    CU_ASSERT_EQUAL_FATAL(b->ready, 1);
    b->association = b->retained;
}

static inline struct stk_seal_stats stats_of(struct world_node *node)
{
    struct stk_seal_stats stats = {0};

    stk_port_query(node->port, STK_QUERY_SEAL_STATS, 0, &stats, sizeof(stats));
    return stats;
}

static inline int count_logged(int type)
{
    int n = 0;

    for (int i = 0; i < world.logged; i++)
        n += world.log[i].data[0] == type;
    return n;
}

#endif
