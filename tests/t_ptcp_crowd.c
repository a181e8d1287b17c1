/*
 * Goal: where many connections of an association have bytes to send, their users are invited to
 * write in turn, shortly before these are sent; nobody is forgotten, whatever the invited do.
 * Method: first the queue alone, against a recount; then two cores joined by a small simulated
 * network, with users who write only when they are told that they may.
 */
#include "harness.h"
#include "invitation.h"
#include "ptcp_pair.h"

enum {
    MANY = 40,
    MS = 1000,
    SECOND = 1000 * MS,
    PLACES = PTCP_UNSENT_BYTES / PTCP_QUANTUM_BYTES,
    RATE = 4000000,
};

/* --- The queue ------------------------------------------------------------------------------ */

static struct ptcp_turns turns;
static struct ptcp_turn turn[MANY];

static void init_turns(void)
{
    ptcp_turns_init(&turns);
    for (int i = 0; i < MANY; i++)
        ptcp_turn_init(&turn[i], PTCP_PRIORITY_DEFAULT);
}

static void who_asked_first_is_invited_first(void)
{
    init_turns();
    for (int i = 0; i < 5; i++)
        ptcp_turns_ask(&turns, &turn[i]);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_PTR_EQUAL(ptcp_turns_invite(&turns, 3), &turn[i]);
    CU_ASSERT_PTR_NULL(ptcp_turns_invite(&turns, 3));
    ptcp_turns_leave(&turns, &turn[1]); /* it was told */
    CU_ASSERT_PTR_EQUAL(ptcp_turns_invite(&turns, 3), &turn[3]);
    CU_ASSERT_PTR_NULL(ptcp_turns_invite(&turns, 3));
}

static void bytes_that_wait_hold_a_place(void)
{
    init_turns();
    ptcp_turns_join(&turns, &turn[0]);
    ptcp_turns_join(&turns, &turn[1]);
    ptcp_turns_ask(&turns, &turn[2]);
    CU_ASSERT_PTR_NULL(ptcp_turns_invite(&turns, 2));
    ptcp_turns_leave(&turns, &turn[0]);
    CU_ASSERT_PTR_EQUAL(ptcp_turns_invite(&turns, 2), &turn[2]);
}

/* Their users write unasked, again and again, and never wait for room. */
static void who_has_asked_for_long_needs_no_place(void)
{
    const unsigned most = PTCP_ASKING_ROUNDS * 4;
    unsigned ended = 0;

    init_turns();
    ptcp_turns_join(&turns, &turn[0]);
    ptcp_turns_join(&turns, &turn[1]);
    ptcp_turns_ask(&turns, &turn[2]);
    ptcp_turn_init(&turn[3], PTCP_PRIORITY_DEFAULT + 1);
    ptcp_turns_ask(&turns, &turn[3]);
    for (; !ptcp_turns_invite(&turns, 2) && ended < 2 * most; ended++)
        ptcp_turns_spend(&turns, ptcp_turns_next(&turns), PTCP_QUANTUM_BYTES, 1);
    CU_ASSERT_EQUAL(turn[2].state, PTCP_TURN_INVITED);
    CU_ASSERT_EQUAL(ended, most + 1);
    /* The less urgent one goes on waiting. */
    for (ended = 0; ended < 2 * most; ended++) {
        CU_ASSERT_PTR_NULL(ptcp_turns_invite(&turns, 2));
        ptcp_turns_spend(&turns, ptcp_turns_next(&turns), PTCP_QUANTUM_BYTES, 1);
    }
}

static void the_urgent_need_no_place_of_others(void)
{
    init_turns();
    for (int i = 0; i < 4; i++)
        ptcp_turns_join(&turns, &turn[i]);
    ptcp_turn_init(&turn[4], 0);
    ptcp_turns_ask(&turns, &turn[4]);
    ptcp_turn_init(&turn[5], PTCP_PRIORITIES - 1);
    ptcp_turns_ask(&turns, &turn[5]);
    CU_ASSERT_PTR_EQUAL(ptcp_turns_invite(&turns, 4), &turn[4]);
    CU_ASSERT_PTR_NULL(ptcp_turns_invite(&turns, 4)); /* all are held by more urgent ones */
}

static void another_urgency_changes_no_state(void)
{
    init_turns();
    ptcp_turns_join(&turns, &turn[0]);
    ptcp_turns_ask(&turns, &turn[1]);
    ptcp_turns_ask(&turns, &turn[2]);
    ptcp_turns_change(&turns, &turn[0], 1);
    ptcp_turns_change(&turns, &turn[2], 0);
    CU_ASSERT_TRUE(ptcp_turn_waits(&turn[0]));
    CU_ASSERT_PTR_EQUAL(ptcp_turns_invite(&turns, 8), &turn[2]);
    ptcp_turns_change(&turns, &turn[2], 7);
    CU_ASSERT_EQUAL(turn[2].state, PTCP_TURN_INVITED);
    CU_ASSERT_EQUAL(turns.queues[0].held, 0);
    CU_ASSERT_EQUAL(turns.queues[7].held, 1);
    CU_ASSERT_PTR_EQUAL(ptcp_turns_invite(&turns, 8), &turn[1]);
}

static void recount(void)
{
    uint32_t states[4] = {0}, held[PTCP_PRIORITIES] = {0};

    for (int i = 0; i < MANY; i++) {
        states[turn[i].state]++;
        held[turn[i].priority] +=
            turn[i].state == PTCP_TURN_WAITS || turn[i].state == PTCP_TURN_INVITED;
    }
    CU_ASSERT_EQUAL(turns.count, states[PTCP_TURN_WAITS]);
    CU_ASSERT_EQUAL(turns.asked, states[PTCP_TURN_ASKS]);
    CU_ASSERT_EQUAL(turns.busy, MANY - states[PTCP_TURN_IDLE]);
    for (int i = 0; i < PTCP_PRIORITIES; i++)
        CU_ASSERT_EQUAL(turns.queues[i].held, held[i]);
}

static void do_something(struct stk_prng *prng)
{
    struct ptcp_turn *one = &turn[stk_prng_below(prng, MANY)];
    const uint32_t places = 1 + (uint32_t)stk_prng_below(prng, 10);
    uint32_t held = 0;

    switch (stk_prng_below(prng, 6)) {
    case 0:
        ptcp_turns_join(&turns, one);
        break;
    case 1:
        ptcp_turns_leave(&turns, one);
        break;
    case 2:
        if (!ptcp_turn_asks(one))
            ptcp_turns_ask(&turns, one);
        break;
    case 3:
        one = ptcp_turns_invite(&turns, places);
        for (int i = 0; one && i < one->priority; i++)
            held += turns.queues[i].held;
        CU_ASSERT_TRUE(held < places || !one);
        CU_ASSERT_TRUE(!one || held + turns.queues[one->priority].held <= places ||
                       turns.ended - one->asked_at > PTCP_ASKING_ROUNDS * turns.busy);
        break;
    case 4:
        one = ptcp_turns_next(&turns);
        if (one)
            ptcp_turns_spend(&turns, one, (uint32_t)stk_prng_below(prng, 65507), 1472);
        break;
    default:
        ptcp_turns_change(&turns, one, (uint8_t)stk_prng_below(prng, PTCP_PRIORITIES));
    }
}

static void all_counts_are_right_after_any_calls(void)
{
    struct stk_prng prng;

    stk_prng_seed(&prng, 5);
    init_turns();
    for (int i = 0; i < 20000; i++) {
        do_something(&prng);
        recount();
    }
}

/* How many runs of so many bytes a turn has at that rate: who is first stays it for so long. */
static unsigned runs_of(uint32_t bytes, uint64_t bytes_per_s)
{
    unsigned runs = 0;

    init_turns();
    ptcp_turns_pace(&turns, bytes_per_s);
    ptcp_turns_join(&turns, &turn[0]);
    ptcp_turns_join(&turns, &turn[1]);
    for (; ptcp_turns_next(&turns) == &turn[0]; runs++)
        ptcp_turns_spend(&turns, &turn[0], bytes, 1500);
    CU_ASSERT_PTR_EQUAL(ptcp_turns_next(&turns), &turn[1]);
    return runs;
}

static unsigned runs_at(uint64_t bytes_per_s) { return runs_of(PTCP_QUANTUM_BYTES, bytes_per_s); }

/* 43 packets of 1,500 bytes are nearly a quantum. */
static void no_run_is_made_of_what_full_ones_leave(void)
{
    CU_ASSERT_EQUAL(runs_of(43 * 1500, 0), 1);
    CU_ASSERT_EQUAL(runs_of(43 * 1500, UINT64_MAX), PTCP_QUANTUM_RUNS_MAX);
    CU_ASSERT_EQUAL(runs_of(1500, 0), 43);
}

static void a_turn_has_as_many_runs_as_take_no_time(void)
{
    const uint64_t run_per_turn = PTCP_QUANTUM_BYTES * UINT64_C(1000000) / PTCP_QUANTUM_US;

    CU_ASSERT_EQUAL(runs_at(0), 1);
    CU_ASSERT_EQUAL(runs_at(2 * run_per_turn - PTCP_QUANTUM_BYTES), 1);
    CU_ASSERT_EQUAL(runs_at(2 * run_per_turn), 2);
    CU_ASSERT_EQUAL(runs_at(3 * run_per_turn), 3);
    CU_ASSERT_EQUAL(runs_at(UINT64_MAX), PTCP_QUANTUM_RUNS_MAX);
}

/* --- Users who wait until they are told ----------------------------------------------------- */

enum habit { WRITES, IS_SILENT, WRITES_LITTLE };

struct user {
    struct ptcp_conn *conn, *peer;
    enum habit habit;
    bool may;      /* write */
    unsigned told; /* times that it was told so */
    uint64_t written, got;
};

static struct pair pair;
static struct user users[MANY + 1];
static uint64_t most_unsent; /* of all connections together */

static void set_up(int count)
{
    pair_init(&pair, 3, true);
    pair.net.rate_bytes_per_s = RATE;
    pair.net.queue_us = 40 * MS;
    most_unsent = 0;
    memset(users, 0, sizeof users);
    for (int i = 0; i < count; i++) {
        pair_connect(&pair, &users[i].conn, &users[i].peer);
        CU_ASSERT_PTR_NOT_NULL_FATAL(users[i].peer);
        users[i].conn->user = &users[i];
        users[i].may = true;
    }
}

static long write_once(struct user *user, size_t len)
{
    static const uint8_t bytes[1 << 16];
    const long took =
        ptcp_conn_send(user->conn, pair.now_us, &(struct iovec){(void *)bytes, len}, 1);

    user->written += took > 0 ? (uint64_t)took : 0;
    return took;
}

static void use(struct user *user)
{
    if (!user->conn || !user->may || user->habit == IS_SILENT)
        return;
    user->may = false;
    if (user->habit == WRITES_LITTLE)
        CU_ASSERT_EQUAL(write_once(user, 1000), 1000);
    while (user->habit == WRITES && write_once(user, 1 << 16) == 1 << 16)
        ;
}

static void hear(void)
{
    struct ptcp_conn *conn;

    while ((conn = ptcp_next_event(pair.end[PAIR_A]))) {
        struct user *user = conn->user;

        if (!(ptcp_conn_take_events(conn) & PTCP_TX) || !user)
            continue;
        user->may = true;
        user->told++;
    }
}

static void read_everything(void)
{
    for (int i = 0; i <= MANY; i++) {
        if (users[i].peer)
            users[i].got += pair_read(&pair, users[i].peer);
    }
}

static void note_unsent(void)
{
    uint64_t sum = 0;

    for (int i = 0; i <= MANY; i++)
        if (users[i].conn && users[i].conn->engine)
            sum += users[i].conn->engine->out.end - users[i].conn->engine->out.next;
    most_unsent = sum > most_unsent ? sum : most_unsent;
}

/* Events first, as in the bridge: then users, then output. */
static void run_for(uint64_t duration_us)
{
    const uint64_t until_us = pair.now_us + duration_us;

    do {
        hear();
        for (int i = 0; i <= MANY; i++)
            use(&users[i]);
        note_unsent();
        read_everything();
    } while (pair_step(&pair, until_us));
}

static void forget_what_was_got(void)
{
    for (int i = 0; i <= MANY; i++)
        users[i].got = 0;
}

static double jain(int first, int last)
{
    double sum = 0, squares = 0;

    for (int i = first; i < last; i++) {
        sum += (double)users[i].got;
        squares += (double)users[i].got * (double)users[i].got;
    }
    return squares > 0 ? sum * sum / (squares * (last - first)) : 0;
}

static void many_writers_share_fairly_and_hold_little(void)
{
    uint64_t sum = 0;

    set_up(MANY);
    run_for(5 * (uint64_t)SECOND); /* what each wrote at first is gone */
    forget_what_was_got();
    most_unsent = 0;
    run_for(20 * (uint64_t)SECOND);
    for (int i = 0; i < MANY; i++)
        sum += users[i].got;
    CU_ASSERT_TRUE(sum > 20 * (uint64_t)RATE / 100 * 90);
    CU_ASSERT_TRUE(jain(0, MANY) > 0.99);
    CU_ASSERT_TRUE(most_unsent < 2 * PTCP_UNSENT_BYTES);
    pair_free(&pair);
}

static void loss_changes_nothing_of_that(void)
{
    set_up(MANY);
    pair.net.loss_permille = 20;
    run_for(5 * (uint64_t)SECOND);
    forget_what_was_got();
    most_unsent = 0;
    run_for(20 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(jain(0, MANY) > 0.98);
    CU_ASSERT_TRUE(most_unsent < 2 * PTCP_UNSENT_BYTES);
    pair_free(&pair);
}

static void the_more_urgent_are_invited_first(void)
{
    uint64_t urgent = 0, other = 0;

    set_up(MANY);
    run_for(5 * (uint64_t)SECOND);
    for (int i = 0; i < MANY / 2; i++)
        ptcp_conn_set_priority(users[i].conn, 1);
    run_for(2 * (uint64_t)SECOND);
    forget_what_was_got();
    run_for(5 * (uint64_t)SECOND);
    for (int i = 0; i < MANY; i++)
        *(i < MANY / 2 ? &urgent : &other) += users[i].got;
    CU_ASSERT_TRUE(urgent > 5 * (uint64_t)RATE / 100 * 85);
    CU_ASSERT_TRUE(other < urgent / 50);
    CU_ASSERT_TRUE(jain(0, MANY / 2) > 0.99);
    for (int i = 0; i < MANY / 2; i++)
        ptcp_conn_set_priority(users[i].conn, PTCP_PRIORITY_DEFAULT);
    forget_what_was_got();
    run_for(20 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(jain(0, MANY) > 0.95); /* the others were not forgotten */
    pair_free(&pair);
}

static void one_alone_is_not_held_back(void)
{
    set_up(MANY);
    pair.net.rate_bytes_per_s = 100000000;
    for (int i = 1; i < MANY; i++)
        users[i].habit = IS_SILENT;
    run_for(5 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(users[0].conn->engine->out.limit > 4 * PTCP_UNSENT_BYTES);
    pair_free(&pair);
}

/* --- What the invited do -------------------------------------------------------------------- */

/* The first half stopped to write; the others have the whole path. */
static void expect_the_others_to_go_on(void)
{
    uint64_t sum = 0;

    run_for(3 * (uint64_t)SECOND);
    forget_what_was_got();
    run_for(10 * (uint64_t)SECOND);
    for (int i = MANY / 2; i < MANY; i++)
        sum += users[i].got;
    CU_ASSERT_TRUE(sum > 10 * (uint64_t)RATE / 100 * 90);
    CU_ASSERT_TRUE(jain(MANY / 2, MANY) > 0.99);
}

static void the_invited_need_not_write(void)
{
    set_up(MANY);
    run_for(3 * (uint64_t)SECOND);
    for (int i = 0; i < MANY / 2; i++)
        users[i].habit = IS_SILENT;
    expect_the_others_to_go_on();
    for (int i = 0; i < MANY / 2; i++) {
        CU_ASSERT_TRUE(users[i].may); /* all have been told, and none of their bytes is left */
        CU_ASSERT_EQUAL(users[i].conn->engine ? ptcp_conn_unsent(users[i].conn) : 0, 0);
        users[i].habit = WRITES;
    }
    run_for(3 * (uint64_t)SECOND);
    forget_what_was_got();
    run_for(20 * (uint64_t)SECOND);
    CU_ASSERT_TRUE(jain(0, MANY) > 0.99);
    pair_free(&pair);
}

static void the_invited_may_write_little(void)
{
    set_up(MANY);
    run_for(3 * (uint64_t)SECOND);
    for (int i = 0; i < MANY / 2; i++)
        users[i].habit = WRITES_LITTLE;
    run_for(10 * (uint64_t)SECOND);
    for (int i = 0; i < MANY / 2; i++)
        CU_ASSERT_EQUAL(users[i].conn->engine ? ptcp_conn_unsent(users[i].conn) : 0,
                        0); /* it was sent all the same */
    expect_the_others_to_go_on();
    pair_free(&pair);
}

/* Calls `end` on half of them in different states, then sees whether the others go on. */
static void expect_ends_to_matter_to_nobody(void (*end)(struct user *user))
{
    set_up(MANY);
    run_for(3 * (uint64_t)SECOND);
    for (int i = 0; i < MANY / 2; i++) {
        run_for(29 * MS);
        end(&users[i]);
    }
    CU_ASSERT_TRUE(users[MANY / 2].conn->path->turns.asked > 0);
    expect_the_others_to_go_on();
}

static void finish(struct user *user)
{
    CU_ASSERT_EQUAL(ptcp_conn_finish(user->conn, pair.now_us), 0);
    user->habit = IS_SILENT;
}

static void who_finishes_sends_what_is_left(void)
{
    expect_ends_to_matter_to_nobody(finish);
    for (int i = 0; i < MANY / 2; i++) {
        CU_ASSERT_TRUE(users[i].conn->told_done);
        CU_ASSERT_EQUAL(users[i].conn->turn.state, PTCP_TURN_IDLE);
    }
    pair_free(&pair);
}

static void let_go(struct user *user)
{
    ptcp_conn_release(user->conn, pair.now_us);
    user->conn = NULL;
}

static void who_leaves_keeps_no_place(void)
{
    expect_ends_to_matter_to_nobody(let_go);
    pair_free(&pair);
}

static void reset(struct user *user)
{
    ptcp_conn_abort(user->conn, pair.now_us, 0);
    CU_ASSERT_EQUAL(user->conn->turn.state, PTCP_TURN_IDLE);
    user->habit = IS_SILENT;
}

static void who_is_reset_keeps_no_place(void)
{
    expect_ends_to_matter_to_nobody(reset);
    pair_free(&pair);
}

static void reset_by_the_peer(struct user *user)
{
    ptcp_conn_abort(user->peer, pair.now_us, 0);
    user->peer = NULL;
    user->habit = IS_SILENT;
}

static void who_is_reset_by_the_peer_keeps_no_place(void)
{
    expect_ends_to_matter_to_nobody(reset_by_the_peer);
    pair_free(&pair);
}

static void fall_asleep(struct user *user) { user->peer = NULL; /* nobody reads */ }

static void who_is_granted_nothing_keeps_no_place(void)
{
    expect_ends_to_matter_to_nobody(fall_asleep);
    pair_free(&pair);
}

/* Onto the path of another association, as a durable connection does. */
static void move_away(struct user *user)
{
    CU_ASSERT_EQUAL(ptcp_paths_move(pair.end[PAIR_A], user->conn, 8), 0);
    CU_ASSERT_EQUAL(user->conn->turn.state, PTCP_TURN_IDLE);
    ptcp_endpoint_go_on(pair.end[PAIR_A], user->conn);
}

static void who_moves_takes_its_wish_along(void)
{
    unsigned waits = 0;

    expect_ends_to_matter_to_nobody(move_away);
    for (int i = 0; i < MANY / 2; i++) {
        const struct user *user = &users[i];

        CU_ASSERT_EQUAL(user->conn->path->slot.id, 8);
        /* Nothing is answered there. Its user was told, or its buffer is full, or it asks. */
        waits += user->conn->turn.state != PTCP_TURN_IDLE;
    }
    CU_ASSERT_EQUAL(waits, MANY / 2);
    pair_free(&pair);
}

/* --- Small messages in a crowd -------------------------------------------------------------- */

/* How long a message of the last connection takes, among others that send all they can. */
static uint64_t message_takes_us(uint8_t priority)
{
    struct user *user = &users[MANY];

    set_up(MANY);
    pair_connect(&pair, &user->conn, &user->peer);
    CU_ASSERT_PTR_NOT_NULL_FATAL(user->peer);
    ptcp_conn_set_priority(user->conn, priority);
    user->habit = IS_SILENT;
    run_for(5 * (uint64_t)SECOND);
    const uint64_t begun_us = pair.now_us;
    CU_ASSERT_EQUAL(write_once(user, 1000), 1000);
    while (user->got < 1000 && pair.now_us < begun_us + 10 * (uint64_t)SECOND)
        run_for(MS);
    pair_free(&pair);
    return pair.now_us - begun_us;
}

/* As after a move, when all that was to be sent again turns out to have arrived. */
static void places_that_nobody_needs_any_more_are_given_to_others(void)
{
    struct user *last = &users[PLACES];

    set_up(PLACES + 1);
    pair_run_for(&pair, 200 * MS);
    hear();
    last->told = 0;
    struct ptcp_path *path = last->conn->path;
    for (int i = 0; i <= PLACES; i++)
        CU_ASSERT_TRUE_FATAL(ptcp_conn_wake(users[i].conn));
    for (int i = 0; i < PLACES; i++)
        ptcp_turns_join(&path->turns, &users[i].conn->turn);
    last->conn->wants_room = true;
    ptcp_turns_ask(&path->turns, &last->conn->turn);
    ptcp_paths_wake(pair.end[PAIR_A], path);
    pair_flush(&pair, PAIR_A);
    hear();
    CU_ASSERT_EQUAL(last->told, 1);
    CU_ASSERT_EQUAL(path->turns.busy, 0);
    pair_free(&pair);
}

/* What happens in one moment: events, users, output. How often, until there are no more events. */
static unsigned rounds_of_now(unsigned most)
{
    unsigned rounds = 0;

    do {
        hear();
        for (int i = 0; i < MANY; i++)
            use(&users[i]);
        pair_flush(&pair, PAIR_A);
    } while (ptcp_next_event(pair.end[PAIR_A]) && ++rounds < most);
    return rounds;
}

/* Told, refused, and told again, it would never end: its peer lets it send nothing. */
static void who_gets_no_memory_is_not_told_that_it_may_write(void)
{
    struct user *last = &users[MANY - 1];
    struct ptcp_pool *pool;
    unsigned rounds = 0;

    set_up(MANY);
    last->habit = IS_SILENT;
    run_for(SECOND);
    CU_ASSERT_TRUE_FATAL(ptcp_conn_wake(last->conn));
    last->conn->engine->flow.peer_limit = 1000;
    ptcp_conn_set_priority(last->conn, 0);
    pool = &pair.end[PAIR_A]->pool;
    const uint32_t limit = pool->limit;
    const uint64_t until_us = pair.now_us + 100 * MS;
    pool->limit = pool->chunks.used + 1;
    CU_ASSERT_EQUAL(write_once(last, 20000), PTCP_CHUNK_BYTES);
    last->habit = WRITES;
    do {
        pool->limit = pool->chunks.used;
        rounds += rounds_of_now(1000);
        read_everything();
    } while (rounds < 10000 && pair_step(&pair, until_us));
    CU_ASSERT_TRUE(rounds < 1000);
    pool->limit = limit;
    ptcp_conn_abort(last->conn, pair.now_us, 0);
    pair_free(&pair);
}

static void a_more_urgent_message_waits_for_nobody(void)
{
    /* One way, and what is queued in the network. */
    CU_ASSERT_TRUE(message_takes_us(0) < 10 * MS + 40 * MS);
}

static void another_message_waits_for_those_with_places(void)
{
    const uint64_t round_us = (PLACES + UINT64_C(1)) * PTCP_QUANTUM_BYTES * SECOND / (uint64_t)RATE;

    CU_ASSERT_TRUE(message_takes_us(PTCP_PRIORITY_DEFAULT) < 10 * MS + 40 * MS + round_us);
}

static CU_TestInfo tests[] = {
    {"who asked first is invited first", who_asked_first_is_invited_first},
    {"bytes that wait hold a place", bytes_that_wait_hold_a_place},
    {"who has asked for long needs no place", who_has_asked_for_long_needs_no_place},
    {"the urgent need no place of others", the_urgent_need_no_place_of_others},
    {"another urgency changes no state", another_urgency_changes_no_state},
    {"all counts are right after any calls", all_counts_are_right_after_any_calls},
    {"a turn has as many runs as take no time", a_turn_has_as_many_runs_as_take_no_time},
    {"no run is made of what full ones leave", no_run_is_made_of_what_full_ones_leave},
    {"many writers share fairly and hold little", many_writers_share_fairly_and_hold_little},
    {"loss changes nothing of that", loss_changes_nothing_of_that},
    {"the more urgent are invited first", the_more_urgent_are_invited_first},
    {"one alone is not held back", one_alone_is_not_held_back},
    {"the invited need not write", the_invited_need_not_write},
    {"the invited may write little", the_invited_may_write_little},
    {"who finishes sends what is left", who_finishes_sends_what_is_left},
    {"who leaves keeps no place", who_leaves_keeps_no_place},
    {"who is reset keeps no place", who_is_reset_keeps_no_place},
    {"who is reset by the peer keeps no place", who_is_reset_by_the_peer_keeps_no_place},
    {"who is granted nothing keeps no place", who_is_granted_nothing_keeps_no_place},
    {"who moves takes its wish along", who_moves_takes_its_wish_along},
    {"places that nobody needs any more are given to others",
     places_that_nobody_needs_any_more_are_given_to_others},
    {"who gets no memory is not told that it may write",
     who_gets_no_memory_is_not_told_that_it_may_write},
    {"a more urgent message waits for nobody", a_more_urgent_message_waits_for_nobody},
    {"another message waits for those with places", another_message_waits_for_those_with_places},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp crowd", tests)
