/*
 * Goal: a datagram whose tail lies elsewhere is sealed as if it lay in the packet, in every state
 * of an association, and tails and what stands before them are afterwards as they were. Method:
 * runs with tails of several lengths between two ports on a virtual clock.
 */
#include "seal_pair.h"

#include <sodium.h>

enum { COUNT = 6, SIZE = 90, STRIDE = SIZE + SEAL_OVERHEAD };

static const size_t tails[COUNT] = {0, 1, 40, SIZE - 1, SIZE, 20};
static uint8_t memory[STK_GATHER_ROOM + COUNT * SIZE], *const elsewhere = memory + STK_GATHER_ROOM;
static struct iovec gather[COUNT];
static uint8_t room[64 + COUNT * STRIDE + 64];

/* Byte k of datagram i, wherever it lies. */
static uint8_t byte_of(unsigned i, unsigned k) { return (uint8_t)(17 * i + k); }

/* Datagram i has tail `first` + i; the packets hold 0xEE where the tails belong. */
static struct stk_run gathered_run(unsigned count, uint16_t last_size, unsigned first)
{
    struct stk_run run = {.data = room + 64,
                          .stride = STRIDE,
                          .size = count == 1 ? last_size : SIZE,
                          .last_size = last_size,
                          .count = (uint16_t)count,
                          .association = id,
                          .gather = gather};

    for (unsigned i = 0; i < count; i++) {
        const unsigned size = stk_run_size(&run, i), head = size - (unsigned)tails[first + i];
        gather[i] = (struct iovec){elsewhere + (size_t)i * SIZE, tails[first + i]};
        for (unsigned k = 0; k < size; k++) {
            stk_run_at(&run, i)[k] = k < head ? byte_of(i, k) : 0xEE;
            if (k >= head)
                elsewhere[i * SIZE + k - head] = byte_of(i, k);
        }
    }
    return run;
}

static int arrived, wrong;

/* Counts what comes up at the listener. */
static void check_input(void *user, const struct stk_run *runs, int count)
{
    (void)user;
    for (int r = 0; r < count; r++)
        for (unsigned i = 0; i < runs[r].count; i++, arrived++)
            for (unsigned k = 0; k < stk_run_size(&runs[r], i); k++)
                wrong += stk_run_at(&runs[r], i)[k] != byte_of((unsigned)arrived, k);
}

static const struct stk_port_user checking = {.input = check_input};

static void expect_arrivals(int expected)
{
    arrived = wrong = 0;
    stk_port_set_user(b->port, &checking, NULL);
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(arrived, expected);
    CU_ASSERT_EQUAL(wrong, 0);
}

static void tails_from_elsewhere_are_sealed(void)
{
    establish();
    struct stk_run run = gathered_run(COUNT, SIZE / 2, 0);
    uint8_t before[sizeof(memory)];

    memcpy(before, memory, sizeof(before));
    CU_ASSERT_EQUAL(stk_port_send(a->port, &run, 1), 1);
    CU_ASSERT_EQUAL(memcmp(before, memory, sizeof(before)), 0);
    expect_arrivals(COUNT);
    end();
}

static void what_was_not_taken_can_be_offered_again(void)
{
    establish();
    struct stk_run run = gathered_run(COUNT, SIZE, 0);

    a->full = true;
    CU_ASSERT_EQUAL(stk_port_send(a->port, &run, 1), 0);
    a->full = false;
    CU_ASSERT_EQUAL(stk_port_send(a->port, &run, 1), 1);
    expect_arrivals(COUNT);
    end();
}

static void the_datagram_that_waits_for_keys_is_whole(void)
{
    begin("", "");
    connect_to(&b->addr);
    struct stk_run run = gathered_run(1, SIZE, 2);

    CU_ASSERT_EQUAL(stk_port_send(a->port, &run, 1), 1);
    expect_arrivals(1);
    end();
}

/* From inside the input of the handshake's datagram: the first one rides in the response. */
static void answer_input(void *user, const struct stk_run *runs, int count)
{
    struct stk_run run = gathered_run(COUNT, SIZE, 0);

    (void)user, (void)count;
    run.association = runs[0].association;
    stk_port_retain(b->port, run.association);
    CU_ASSERT_EQUAL(stk_port_send(b->port, &run, 1), 1);
}

static const struct stk_port_user answering = {.input = answer_input};

static void an_answer_takes_the_first_and_the_rest_follows(void)
{
    begin("", "");
    stk_port_set_user(b->port, &answering, NULL);
    stk_port_set_user(a->port, &checking, NULL);
    arrived = wrong = 0;
    connect_and_say("hello");
    world_run(&world, SECOND / 10);
    CU_ASSERT_EQUAL(count_logged(SEAL_DATA), COUNT - 1);
    CU_ASSERT_EQUAL(arrived, COUNT);
    CU_ASSERT_EQUAL(wrong, 0);
    end();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"tails from elsewhere are sealed", tails_from_elsewhere_are_sealed},
        {"what was not taken can be offered again", what_was_not_taken_can_be_offered_again},
        {"the datagram that waits for keys is whole", the_datagram_that_waits_for_keys_is_whole},
        {"an answer takes the first and the rest follows",
         an_answer_takes_the_first_and_the_rest_follows},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 1;
    make_keys();
    return stk_test_run("seal, tails from elsewhere", tests, STK_TEST_LIMIT_S);
}
