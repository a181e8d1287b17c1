/*
 * Goal: packets that share a record fare as if each had one of its own, and memory for records is
 * kept only where there are some. Method: records split by hand, rings that fill and run empty; and
 * two accounts of one random transfer with losses, late packets and time-outs, one with shared
 * records and one without, which must agree after each step.
 */
#include "prng.h"
#include "recovery.h"

#include "harness.h"

enum { SIZE = 1000, LEN = 900, PACKETS_MAX = 20000, STEPS = 2000, RUN_MAX = 44 };

struct account {
    struct ptcp_recovery recovery;
    struct ptcp_path path;
    uint64_t offset;
    uint8_t fate[PACKETS_MAX]; /* 'A'cknowledged or 'L'ost, by the place in the stream */
    unsigned calls;            /* of the owner, for acknowledged ones */
};

static void set_fates(struct account *account, const struct ptcp_sent *record, uint8_t fate)
{
    const struct ptcp_piece piece = ptcp_sent_piece(record);

    CU_ASSERT_EQUAL(piece.offset % LEN, 0);
    CU_ASSERT_EQUAL(piece.len, LEN * ptcp_sent_count(record));
    for (uint32_t i = 0; i < ptcp_sent_count(record); i++)
        account->fate[piece.offset / LEN + i] = fate;
}

static void on_acked(void *owner, const struct ptcp_sent *record)
{
    ((struct account *)owner)->calls++;
    set_fates(owner, record, 'A');
}

static void on_lost(void *owner, const struct ptcp_sent *record) { set_fates(owner, record, 'L'); }

static const struct ptcp_recovery_owner owner_type = {on_acked, on_lost};
static struct ptcp_records records; /* of both accounts */

static void begin(struct account *account, const struct ptcp_cc_type *cc)
{
    *account = (struct account){.offset = 0};
    ptcp_recovery_init(&account->recovery, &records);
    ptcp_path_init(&account->path, cc, 0, 1472, 1200);
}

static void end(struct account *account) { ptcp_recovery_free(&account->recovery, &account->path); }

/* One record, or fewer packets if there is no room; how many. */
static uint32_t send_run(struct account *account, uint64_t now_us, uint32_t wish)
{
    const uint32_t count = ptcp_sent_reserve_run(&account->recovery.ring, wish);
    struct ptcp_sent record = {.offset = account->offset,
                               .len = LEN,
                               .size = SIZE,
                               .more = (uint16_t)(count - 1),
                               .flags = PTCP_CARRIED_STREAM | PTCP_SENT_ELICITING};

    if (count == 0)
        return 0;
    ptcp_recovery_sent(&account->recovery, &account->path, now_us, &record);
    account->offset += (uint64_t)count * LEN;
    return count;
}

static int take_ack(struct account *account, uint64_t now_us, const struct ptcp_ack *ack)
{
    return ptcp_recovery_ack(&account->recovery, &account->path, now_us, ack, &owner_type, account);
}

static int ack_range(struct account *account, uint64_t now_us, uint64_t first, uint64_t last)
{
    struct ptcp_ack ack = {.count = 1};

    ack.range[0] = (struct ptcp_range){first, last + 1};
    return take_ack(account, now_us, &ack);
}

/* --- By hand ------------------------------------------------------------------------------------
 */

static struct account one, other;

static void open_port(uint32_t limit)
{
    ptcp_records_init(&records, (uint64_t)limit * sizeof(struct ptcp_sent));
}

static void begin_one(uint32_t limit)
{
    open_port(limit);
    begin(&one, &ptcp_cubic);
}

static void end_one(void)
{
    end(&one);
    ptcp_records_free(&records);
}

static void a_record_is_acknowledged_in_one_step(void)
{
    begin_one(1 << 20);
    CU_ASSERT_EQUAL(send_run(&one, 1000000, 40), 40);
    CU_ASSERT_EQUAL(one.recovery.ring.next, 40);
    CU_ASSERT_EQUAL(one.path.delivery.in_flight, 40 * SIZE);
    CU_ASSERT_EQUAL(ack_range(&one, 1010000, 0, 39), 1);
    CU_ASSERT_EQUAL(one.calls, 1);
    CU_ASSERT_EQUAL(one.path.delivery.in_flight, 0);
    CU_ASSERT_EQUAL(one.path.delivery.delivered, 40 * SIZE);
    CU_ASSERT_EQUAL(one.recovery.ring.first, 40);
    end_one();
}

static void an_ack_of_the_middle_splits_it_in_three(void)
{
    const struct ptcp_sent *record;

    begin_one(1 << 20);
    send_run(&one, 1000000, 10);
    CU_ASSERT_EQUAL(ack_range(&one, 1010000, 1, 2), 1);
    record = ptcp_sent_oldest(&one.recovery.ring);
    CU_ASSERT_EQUAL(record->packet, 0);
    CU_ASSERT_EQUAL(ptcp_sent_count(record), 1);
    record = ptcp_sent_after(&one.recovery.ring, record);
    CU_ASSERT_EQUAL(record->packet, 3);
    CU_ASSERT_EQUAL(record->offset, 3 * LEN);
    CU_ASSERT_EQUAL(record->in_flight, 4 * SIZE); /* when the fourth had left */
    CU_ASSERT_EQUAL(ptcp_sent_count(record), 7);
    CU_ASSERT_PTR_NULL(ptcp_sent_after(&one.recovery.ring, record));
    CU_ASSERT_EQUAL(one.path.delivery.in_flight, 8 * SIZE);
    end_one();
}

static void what_is_overtaken_by_three_is_lost_and_the_rest_is_not(void)
{
    begin_one(1 << 20);
    send_run(&one, 1000000, 10);
    CU_ASSERT_EQUAL(ack_range(&one, 1010000, 5, 5), 1);
    CU_ASSERT_EQUAL(one.recovery.lost_packets, 3); /* 0, 1, 2 */
    CU_ASSERT_EQUAL(memcmp(one.fate, "LLL\0\0A\0\0\0\0", 10), 0);
    CU_ASSERT_EQUAL(one.recovery.in_flight, 6 * SIZE);
    end_one();
}

static void the_ring_keeps_room_for_packets_without_data(void)
{
    uint32_t sent = 0, more;

    begin_one(1 << 20);
    while ((more = ptcp_sent_reserve_run(&one.recovery.ring, RUN_MAX))) {
        struct ptcp_sent record = {
            .size = SIZE, .more = (uint16_t)(more - 1), .flags = PTCP_SENT_ELICITING};

        ptcp_recovery_sent(&one.recovery, &one.path, 1000000, &record);
        sent += more;
    }
    CU_ASSERT_EQUAL(sent, PTCP_SENT_MAX - PTCP_SENT_RESERVED - 1); /* a number may be skipped */
    CU_ASSERT_EQUAL(ptcp_sent_reserve(&one.recovery.ring, false), 0);
    end_one();
}

/* --- Memory -------------------------------------------------------------------------------------
 */

static void send_turn(struct account *account)
{
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL_FATAL(send_run(account, 1000000, 40), 40);
    CU_ASSERT_EQUAL(account->recovery.ring.capacity, 512);
}

static uint32_t blocks_of_512(bool lent)
{
    const struct ptcp_spares *spares = &records.sizes[5];

    CU_ASSERT_EQUAL(spares->size, 512 * sizeof(struct ptcp_sent));
    return lent ? spares->used : spares->count;
}

static void rings_that_fill_in_turn_have_one_block(void)
{
    begin_one(1 << 20);
    begin(&other, &ptcp_cubic);
    send_turn(&one);
    const void *block = one.recovery.ring.slots;
    ack_range(&one, 1010000, 0, 318);
    CU_ASSERT_PTR_EQUAL(one.recovery.ring.slots, block); /* one packet is under way */
    ack_range(&one, 1010000, 319, 319);
    CU_ASSERT_PTR_NULL(one.recovery.ring.slots);
    CU_ASSERT_EQUAL(records.left, 1 << 20);
    send_turn(&other);
    CU_ASSERT_PTR_EQUAL(other.recovery.ring.slots, block);
    CU_ASSERT_EQUAL(blocks_of_512(true), 1);
    CU_ASSERT_EQUAL(blocks_of_512(false), 0);
    send_turn(&one); /* both at once: numbers go on */
    CU_ASSERT_EQUAL(one.recovery.ring.first, 320);
    CU_ASSERT_EQUAL(ack_range(&one, 1020000, 320, 639), 1);
    CU_ASSERT_EQUAL(one.recovery.in_flight, 0);
    end(&other);
    end_one();
}

static void a_block_that_nobody_needs_is_freed_after_a_while(void)
{
    begin_one(1 << 20);
    CU_ASSERT_EQUAL(ptcp_records_due_us(&records, 1000000), UINT64_MAX);
    send_turn(&one);
    ack_range(&one, 1010000, 0, 319);
    CU_ASSERT_EQUAL(blocks_of_512(false), 1);
    for (int i = 0; i < 2; i++) {
        const uint64_t due_us = ptcp_records_due_us(&records, 1010000);

        CU_ASSERT_TRUE_FATAL(due_us < 4000000);
        ptcp_records_trim(&records, due_us);
    }
    CU_ASSERT_EQUAL(blocks_of_512(false), 0);
    CU_ASSERT_EQUAL(ptcp_records_due_us(&records, 4000000), UINT64_MAX);
    end_one();
}

static void no_ring_takes_what_others_need(void)
{
    uint32_t sent = 0, more;

    begin_one(1024);
    while ((more = send_run(&one, 1000000, RUN_MAX)))
        sent += more;
    CU_ASSERT_EQUAL(one.recovery.ring.capacity, 64); /* 128 are more than an eighth of the rest */
    CU_ASSERT_EQUAL(sent, 64 - 64 / 8 - 1);
    CU_ASSERT_EQUAL(records.left, 1024 - 64);
    end_one();
}

static void records_of_what_was_given_up_make_room_for_more(void)
{
    begin_one(1024);
    while (send_run(&one, 1000000, RUN_MAX))
        ;
    records.left = 0; /* others came */
    ptcp_recovery_abandon(&one.recovery, &one.path, &owner_type, &one);
    CU_ASSERT_EQUAL(send_run(&one, 1000000, RUN_MAX), 16 - 16 / 8 - 1);
    CU_ASSERT_EQUAL(one.recovery.ring.capacity, PTCP_RECORDS_SMALL);
    CU_ASSERT_EQUAL(records.left, 64);
    end_one();
}

/* --- Against records of their own ---------------------------------------------------------------
 */

static void send_both(struct stk_prng *prng, uint64_t now_us)
{
    const uint32_t wish = 1 + (uint32_t)stk_prng_below(prng, RUN_MAX);
    const uint32_t count = send_run(&one, now_us, wish);

    for (uint32_t i = 0; i < count; i++)
        CU_ASSERT_EQUAL_FATAL(send_run(&other, now_us, 1), 1);
}

/* Some of the newest numbers. */
static void ack_both(struct stk_prng *prng, uint64_t now_us)
{
    const uint64_t next = one.recovery.ring.next;
    struct ptcp_ack ack = {.count = 0};
    uint64_t end = next > 0 ? next - stk_prng_below(prng, next < 100 ? next : 100) : 0;

    while (end > 0 && ack.count < 4) {
        const uint64_t first = end - 1 - stk_prng_below(prng, end < 60 ? end : 60);

        ack.range[ack.count++] = (struct ptcp_range){first, end};
        if (first < 12)
            break;
        end = first - 1 - stk_prng_below(prng, 10);
    }
    if (ack.count == 0)
        return;
    CU_ASSERT_EQUAL(take_ack(&one, now_us, &ack), take_ack(&other, now_us, &ack));
}

static void time_out_both(uint64_t now_us)
{
    const uint64_t due_us = ptcp_recovery_due_us(&one.recovery, &one.path, false);

    CU_ASSERT_EQUAL(due_us, ptcp_recovery_due_us(&other.recovery, &other.path, false));
    if (due_us > now_us)
        return;
    ptcp_recovery_timeout(&one.recovery, &one.path, now_us, &owner_type, &one);
    ptcp_recovery_timeout(&other.recovery, &other.path, now_us, &owner_type, &other);
}

static bool agree(void)
{
    const struct ptcp_recovery *a = &one.recovery, *b = &other.recovery;

    return a->in_flight == b->in_flight && a->lost_packets == b->lost_packets &&
           a->spurious_packets == b->spurious_packets && a->timeouts == b->timeouts &&
           a->persistent == b->persistent && a->ring.first == b->ring.first &&
           a->ring.next == b->ring.next && a->reorder_packets == b->reorder_packets &&
           one.path.delivery.delivered == other.path.delivery.delivered &&
           one.path.delivery.lost == other.path.delivery.lost &&
           one.path.delivery.rate == other.path.delivery.rate &&
           one.path.cc.window_bytes == other.path.cc.window_bytes &&
           one.path.rtt.smoothed_us == other.path.rtt.smoothed_us &&
           one.path.pacer.rate == other.path.pacer.rate &&
           memcmp(one.fate, other.fate, sizeof(one.fate)) == 0;
}

static void compare(const struct ptcp_cc_type *cc, uint64_t seed)
{
    uint64_t now_us = 1000000;
    struct stk_prng prng;

    stk_prng_seed(&prng, seed);
    open_port(1 << 20);
    begin(&one, cc);
    begin(&other, cc);
    for (int step = 0; step < STEPS && one.recovery.ring.next < PACKETS_MAX - RUN_MAX; step++) {
        now_us += stk_prng_below(&prng, 4000);
        if (stk_prng_below(&prng, 3) > 0)
            send_both(&prng, now_us);
        else
            ack_both(&prng, now_us);
        time_out_both(now_us);
        if (!agree()) {
            fprintf(stderr, "seed %llu, %s: step %d\n", (unsigned long long)seed, cc->name, step);
            CU_FAIL("the accounts differ");
            break;
        }
    }
    CU_ASSERT_TRUE(one.recovery.lost_packets > 0 && one.recovery.spurious_packets > 0);
    end(&other);
    end_one();
}

static void shared_records_change_nothing_but_the_cost(void)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        compare(&ptcp_cubic, seed);
        compare(&ptcp_bbr, seed);
    }
}

static CU_TestInfo tests[] = {
    {"a record is acknowledged in one step", a_record_is_acknowledged_in_one_step},
    {"an ACK of the middle splits it in three", an_ack_of_the_middle_splits_it_in_three},
    {"what is overtaken by three is lost, and the rest is not",
     what_is_overtaken_by_three_is_lost_and_the_rest_is_not},
    {"the ring keeps room for packets without data", the_ring_keeps_room_for_packets_without_data},
    {"rings that fill in turn have one block", rings_that_fill_in_turn_have_one_block},
    {"a block that nobody needs is freed after a while",
     a_block_that_nobody_needs_is_freed_after_a_while},
    {"no ring takes what others need", no_ring_takes_what_others_need},
    {"records of what was given up make room for more",
     records_of_what_was_given_up_make_room_for_more},
    {"shared records change nothing but the cost", shared_records_change_nothing_but_the_cost},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp sent", tests)
