/*
 * Goal: somebody on the way can't hold a datagram back until many others have overtaken it, across
 * changes of keys too; method: packets are kept and played back when the counters say so.
 */
#include "seal_pair.h"

#include "alloc.h"

#include <stdlib.h>

static struct world_packet kept;
static int kept_type; /* what is kept, the last of them, and dropped */
static const struct world_node *kept_from;

static bool keep(struct world *w, struct world_packet *packet)
{
    (void)w;
    if (packet->data[0] != kept_type || !stk_addr_equal(&packet->from, &kept_from->addr))
        return true;
    kept = *packet;
    return false;
}

static void keep_all(struct world_node *from, int type)
{
    kept_type = type;
    kept_from = from;
    world.filter = keep;
}

static void play(void)
{
    world_inject(&world, &kept.from, &kept.to, kept.data, kept.len);
    world_run(&world, 2 * WORLD_DELAY_US);
}

static struct seal_association *at_a(void) { return world_association(a, id); }
static struct seal_association *at_b(void) { return world_association(b, b->retained); }

static void hold_back(struct world_node *from, uint64_t association, unsigned number)
{
    keep_all(from, SEAL_DATA);
    world_send_number(from, association, number);
    world.filter = NULL;
}

/* By the handshake of either side, until both send in the new session. */
static void change_keys(struct seal_association *initiator)
{
    seal_attempt_start(initiator);
    world_run(&world, SECOND / 10);
    CU_ASSERT_PTR_NULL_FATAL(initiator->attempt);
    CU_ASSERT_PTR_NOT_NULL_FATAL(initiator->previous);
}

/* The next packet in the session, and it arrives, is the `nth`. */
static void send_nth(struct world_node *from, uint64_t association, uint64_t nth)
{
    struct seal_session *s = world_association(from, association)->current;

    CU_ASSERT_TRUE_FATAL(nth > s->counter);
    s->counter = nth - 1;
    world_send_number(from, association, 4000);
    world_run(&world, 2 * WORLD_DELAY_US);
}

static void a_window_of_packets_of_the_new_session_and_no_fewer_closes_the_one_before(void)
{
    for (unsigned i = 0; i < 4; i++) {
        const unsigned by_b = i & 1, more = i / 2;

        establish();
        hold_back(a, id, 1);
        change_keys(by_b ? at_b() : at_a());
        send_nth(a, id, SEAL_REPLAY_WINDOW - 1 + more);
        const uint64_t replayed = stats_of(b).replayed;
        play();
        CU_ASSERT_EQUAL(b->seen[1], !more);
        CU_ASSERT_EQUAL(stats_of(b).replayed, replayed + more);
        play();
        CU_ASSERT_EQUAL(b->seen[1], !more);
        end();
    }
}

static void what_the_called_side_sends_is_not_late_either(void)
{
    establish();
    hold_back(b, b->retained, 1);
    change_keys(at_a());
    send_nth(b, b->retained, SEAL_REPLAY_WINDOW);
    play();
    CU_ASSERT_EQUAL(a->seen[1], 0);
    end();
}

static void both_sessions_count(void)
{
    for (unsigned more = 0; more < 2; more++) {
        establish();
        send_nth(a, id, 100); /* so that the window is the wide one */
        hold_back(a, id, 1);
        send_nth(a, id, 1101); /* a thousand after it */
        change_keys(at_a());
        send_nth(a, id, SEAL_REPLAY_WINDOW - 1000 - 1 + more);
        play();
        CU_ASSERT_EQUAL(b->seen[1], !more);
        end();
    }
}

/* --- Datagrams in handshakes -------------------------------------------------------------------
 */

/*
 * X has no keys, and its initiation with a datagram does not arrive. Y makes keys then, and X uses
 * them: what X initiated before is worth nothing any more.
 */
static void an_initiation_that_was_held_back_brings_no_old_datagram(void)
{
    establish();
    world_run(&world, 200 * (uint64_t)SECOND); /* the keys are gone */
    const bool b_yields = memcmp(world_seal(a)->local_static.public_key,
                                 world_seal(b)->local_static.public_key, SEAL_NOISE_KEY) < 0;
    struct world_node *x = b_yields ? b : a, *y = b_yields ? a : b;
    const uint64_t x_id = b_yields ? b->retained : id, y_id = b_yields ? id : b->retained;
    keep_all(x, SEAL_INITIATION);
    world_send_number(x, x_id, 1);
    world_run(&world, 2 * WORLD_DELAY_US);
    world_send_number(y, y_id, 2);
    world_run(&world, SECOND);
    world.filter = NULL;
    CU_ASSERT_EQUAL(kept.data[0], SEAL_INITIATION);
    CU_ASSERT_EQUAL(y->seen[1], 1); /* it came in the response */
    CU_ASSERT_EQUAL(x->seen[2], 1);
    send_nth(x, x_id, 100000);
    const int responses = count_logged(SEAL_RESPONSE);
    play();
    CU_ASSERT_EQUAL(y->seen[1], 1);
    CU_ASSERT_EQUAL(count_logged(SEAL_RESPONSE), responses);
    end();
}

/* A has lost its keys, and B has not yet: what B answers goes under those, in no response. */
static void a_response_carries_no_datagram_where_there_are_keys(void)
{
    establish();
    at_a()->current->born_us -= SEAL_REJECT_AFTER_US;
    b->echo = true;
    world_send_number(a, id, 1);
    const int from = world.logged;
    world_run(&world, SECOND);
    unsigned data = 0, responses = 0;
    for (int i = from; i < world.logged; i++) {
        if (!stk_addr_equal(&world.log[i].from, &b->addr))
            continue;
        data += world.log[i].data[0] == SEAL_DATA;
        responses += world.log[i].data[0] == SEAL_RESPONSE;
        if (world.log[i].data[0] == SEAL_RESPONSE)
            CU_ASSERT_EQUAL(world.log[i].len, SEAL_RESPONSE_OVERHEAD);
    }
    CU_ASSERT_EQUAL(b->seen[1], 1);
    CU_ASSERT_EQUAL(data, 1);
    CU_ASSERT_EQUAL(responses, 1);
    end();
}

/* --- A datagram that waits for keys -------------------------------------------------------------
 */

static size_t starved_from_bytes; /* 0: there is memory */

static void *starving(void *context, void *block, size_t size)
{
    (void)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return starved_from_bytes && size >= starved_from_bytes ? NULL : realloc(block, size);
}

/* It waits while A's handshake is under way, and there are keys then, but no memory to use them. */
static void a_datagram_that_could_not_leave_with_new_keys_never_leaves(void)
{
    stk_alloc_hook(starving, NULL);
    establish();
    const size_t expanded_bytes = at_a()->current->send.aead->expanded_size;
    world_run(&world, 200 * (uint64_t)SECOND);
    CU_ASSERT_PTR_NULL_FATAL(at_a()->current);
    seal_attempt_start(at_a());
    world_send_number(a, id, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at_a()->held);
    world_run(&world, WORLD_DELAY_US + WORLD_DELAY_US / 2); /* B has answered */
    starved_from_bytes = expanded_bytes;
    world_run(&world, WORLD_DELAY_US);
    starved_from_bytes = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(at_a()->current);
    CU_ASSERT_PTR_NULL(at_a()->held);
    send_nth(a, id, 100000);
    change_keys(at_a());
    send_nth(a, id, 100);
    CU_ASSERT_EQUAL(b->seen[1], 0);
    CU_ASSERT_EQUAL(b->seen[4000], 2);
    end();
    stk_alloc_hook(NULL, NULL);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a window of packets of the new session, and no fewer, closes the one before",
         a_window_of_packets_of_the_new_session_and_no_fewer_closes_the_one_before},
        {"what the called side sends is not late either",
         what_the_called_side_sends_is_not_late_either},
        {"both sessions count", both_sessions_count},
        {"an initiation that was held back brings no old datagram",
         an_initiation_that_was_held_back_brings_no_old_datagram},
        {"a response carries no datagram where there are keys",
         a_response_carries_no_datagram_where_there_are_keys},
        {"a datagram that could not leave with new keys never leaves",
         a_datagram_that_could_not_leave_with_new_keys_never_leaves},
        CU_TEST_INFO_NULL,
    };

    make_keys();
    return stk_test_run("seal late", tests, STK_TEST_LIMIT_S);
}
