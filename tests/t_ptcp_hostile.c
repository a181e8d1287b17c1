/*
 * Goal: a peer that holds a connection and lies costs a bounded amount of memory and gets no more
 * out of it than it puts in. Method: packets made by hand against one core; every byte of the heap
 * is counted.
 */
#include "ptcp_liar.h"

static void forged_reports_of_small_sizes_change_nothing_that_passes(void)
{
    connect_liar(0);
    const struct ptcp_mtu *mtu = &liar.conn->path->mtu;
    const uint16_t before = mtu->current;
    const size_t memory = live;

    CU_ASSERT_TRUE(before >= PTCP_MTU_BASE);
    for (uint32_t i = 0; i < 200000; i++) {
        const uint32_t size = i % 3 ? (uint32_t)stk_prng_next(&liar.prng) : i % 70000;

        ptcp_too_big(liar.victim, liar.conn->path->slot.id, NULL, size);
        ptcp_too_big(liar.victim, stk_prng_next(&liar.prng), NULL, size);
    }
    CU_ASSERT_EQUAL(mtu->current, before);
    CU_ASSERT_EQUAL(live, memory);
    end_liar();
}

/* --- What is sent to the victim --------------------------------------------------------------- */

static void one_byte_in_each_chunk_costs_no_more_than_the_window(void)
{
    connect_liar(0);
    for (uint64_t offset = 1; offset < WINDOW; offset += PTCP_CHUNK_BYTES)
        send_stream(offset, (const uint8_t *)"x", 1);
    listen_to();
    CU_ASSERT_TRUE(grown() <= WINDOW + SLACK);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    CU_ASSERT_EQUAL(liar.conn->engine->flow.granted, WINDOW);
    end_liar();
}

static void a_hole_after_each_byte_makes_a_bounded_list(void)
{
    static uint8_t bytes[1000];

    connect_liar(0);
    for (uint64_t i = 0; i < WINDOW / 2; i++) {
        send_stream(2 * i + 1, (const uint8_t *)"x", 1);
        listen_to();
    }
    CU_ASSERT_TRUE(liar.conn->engine->in.ahead.count <= PTCP_REASM_HOLES_MAX);
    CU_ASSERT_TRUE(grown() <=
                   WINDOW + 2 * PTCP_REASM_HOLES_MAX * sizeof(struct ptcp_range) + SLACK);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    /* An honest sender gets through all the same. */
    for (uint64_t offset = 0; offset < WINDOW - 1000; offset += 1000)
        send_stream(offset, bytes, 1000);
    CU_ASSERT_TRUE(liar.conn->engine->in.contiguous >= WINDOW - 2000);
    CU_ASSERT_TRUE(liar.conn->engine->in.ahead.count <= PTCP_REASM_HOLES_MAX);
    end_liar();
}

static void who_sends_without_end_fills_the_window_once(void)
{
    static uint8_t bytes[1024];

    connect_liar(0);
    for (uint64_t offset = 0; offset < WINDOW; offset += sizeof bytes) {
        send_stream(offset, bytes, sizeof bytes);
        listen_to();
    }
    wait_us(10000000);
    CU_ASSERT_EQUAL(liar.conn->engine->flow.granted, WINDOW);
    CU_ASSERT_TRUE(grown() <= WINDOW + SLACK);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    send_stream(WINDOW, bytes, 1);
    CU_ASSERT_EQUAL(liar.conn->error, -EPROTO);
    end_liar();
}

static void packet_numbers_with_gaps_make_a_bounded_list(void)
{
    connect_liar(0);
    for (int i = 0; i < 50000; i++) {
        liar.next += 1 + stk_prng_below(&liar.prng, 1000);
        send_value(PTCP_FRAME_DATA_BLOCKED, 0);
        listen_to();
    }
    /* Each question is answered, and no answer acknowledged: their records have a bound, too. */
    CU_ASSERT_TRUE(grown() <= RECORDS_MAX + SLACK);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    end_liar();
}

/* --- What it is asked to do ------------------------------------------------------------------- */

static void a_storm_of_acks_gets_no_answer_and_no_memory(void)
{
    connect_liar(0);
    for (int i = 0; i < 50000; i++) {
        liar.next += i % 3;
        send_ack(0, 1);
        listen_to();
    }
    CU_ASSERT_EQUAL(liar.out, 0);
    CU_ASSERT_TRUE(grown() <= SLACK);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    end_liar();
}

static void a_storm_of_challenges_gets_no_more_than_it_sends(void)
{
    connect_liar(0);
    for (int i = 0; i < 20000; i++) {
        uint8_t packet[2048];
        struct stk_writer writer = begin_data(packet, sizeof packet);

        for (int n = 0; n < 1 + i % 100; n++)
            ptcp_path_write(&writer, PTCP_FRAME_PATH_CHALLENGE, (uint64_t)i);
        deliver(packet, (size_t)(writer.at - packet));
        listen_to();
    }
    CU_ASSERT_TRUE(liar.out <= liar.in);
    CU_ASSERT_TRUE(liar.out_bytes <= 3 * liar.in_bytes);
    CU_ASSERT_TRUE(grown() <= RECORDS_MAX + SLACK);
    end_liar();
}

static void the_wish_for_every_single_ack_is_honoured_and_bounded(void)
{
    connect_liar(0);
    for (uint64_t i = 0; i < 1000; i++) {
        uint8_t packet[64];
        struct stk_writer writer = begin_data(packet, sizeof packet);

        ptcp_ack_frequency_write(&writer, i, i % 2 ? UINT64_C(1) << 61 : 0,
                                 i % 3 ? UINT64_C(1) << 61 : 0);
        deliver(packet, (size_t)(writer.at - packet));
        listen_to();
        wait_us(PTCP_ACK_DELAY_MAX_US + 1);
        /* Nothing is owed any more. */
        CU_ASSERT_TRUE(!liar.conn->engine || liar.conn->engine->acks.due_us > liar.now_us);
    }
    CU_ASSERT_TRUE(liar.out <= 2 * liar.in);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    end_liar();
}

/* --- ACKs that fill a packet ------------------------------------------------------------------ */

/* Each number is so far from the one before that its interval takes 5 bytes of an ACK. */
static void leave_wide_gaps(void)
{
    uint8_t packet[64];

    for (int i = 0; i < PTCP_ACK_RANGES_MAX + 6; i++) {
        liar.next += 0x700000;
        struct stk_writer writer = begin_data(packet, sizeof packet);
        stk_write_u8(&writer, PTCP_FRAME_PADDING);
        deliver(packet, (size_t)(writer.at - packet));
    }
    CU_ASSERT_EQUAL(liar.conn->engine->acks.received.count, PTCP_ACK_RANGES_MAX);
}

static void the_longest_ack_leaves_room_for_all_else_that_is_due(void)
{
    uint8_t packet[128];

    make_victim();
    ptcp_listen(liar.victim, NULL, 0);
    struct stk_writer writer = begin_syn(liar.id, 1, packet, sizeof packet);
    deliver(packet, (size_t)(writer.at - packet));
    listen_to();
    liar.conn = ptcp_accept(liar.victim);
    CU_ASSERT_PTR_NOT_NULL_FATAL(liar.conn);
    send_ack(0, 1);
    CU_ASSERT_TRUE(liar.conn->path->mtu.current <= PTCP_MTU_MIN);
    leave_wide_gaps();
    liar.out = 0;
    writer = begin_data(packet, sizeof packet);
    ptcp_value_write(&writer, PTCP_FRAME_DATA_BLOCKED, 0);
    ptcp_path_write(&writer, PTCP_FRAME_PATH_CHALLENGE, 1);
    deliver(packet, (size_t)(writer.at - packet));
    listen_to();
    CU_ASSERT_EQUAL(liar.out, 1);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    end_liar();
}

static void the_longest_ack_leaves_room_for_what_a_probe_repeats(void)
{
    static uint8_t block[5000];

    connect_liar(0);
    leave_wide_gaps();
    send_value(PTCP_FRAME_PING, 0);
    CU_ASSERT_EQUAL(ptcp_conn_send(liar.conn, liar.now_us, &(struct iovec){block, sizeof block}, 1),
                    sizeof block);
    wait_us(20000000);
    CU_ASSERT_TRUE(liar.conn->engine->recovery.pto_count > PTCP_MTU_SMALL_TIMEOUTS);
    CU_ASSERT_TRUE(liar.conn->bytes_resent > 0);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    end_liar();
}

/* --- Packets that can't be kept --------------------------------------------------------------- */

/* One-byte pieces with a hole before each. */
/* The liar ends its stream, in so many packets with gaps between them, and then the victim its own.
 */
static void end_in_pieces(int count)
{
    uint8_t packet[64], byte;

    connect_liar(0);
    for (int i = 0; i < count; i++, liar.next++)
        send_stream((uint64_t)i, (const uint8_t *)"", 1);
    struct stk_writer writer = begin_data(packet, sizeof packet);
    ptcp_stream_write(&writer, (uint64_t)count, 0, true, true);
    deliver(packet, (size_t)(writer.at - packet));
    while (ptcp_conn_recv(liar.conn, liar.now_us, &(struct iovec){&byte, 1}, 1) > 0)
        ;
    ptcp_conn_finish(liar.conn, liar.now_us);
    listen_to();
    send_ack(liar.peer_next - 1, liar.peer_next);
    listen_to();
    CU_ASSERT_EQUAL(liar.conn->state, PTCP_STATE_TIME_WAIT);
}

/* What no ACK has told of is sent again, and asked about. */
static void who_could_not_tell_of_all_packets_stays_to_answer(void)
{
    end_in_pieces(PTCP_ACK_RANGES_MAX / 2);
    CU_ASSERT_EQUAL(ptcp_time_waits(liar.victim), 0);
    end_liar();
    end_in_pieces(2 * PTCP_ACK_RANGES_MAX);
    CU_ASSERT_EQUAL(ptcp_time_waits(liar.victim), 1);
    end_liar();
}

static void write_pieces(struct stk_writer *writer, int count, uint64_t base)
{
    for (int i = 0; i < count; i++) {
        ptcp_stream_write(writer, base + 2 * (uint64_t)i + 1, 1, false, false);
        stk_write_u8(writer, 'x');
    }
}

/* The SYN asks for an answer to its DATA_BLOCKED, and has no room in memory for its bytes. */
static void open_without_memory(bool early)
{
    uint8_t packet[256];

    make_victim();
    liar.early = early;
    liar.victim->pool.limit = 0;
    ptcp_listen(liar.victim, NULL, 0);
    struct stk_writer writer = begin_syn(liar.id, 1400, packet, sizeof packet);
    ptcp_value_write(&writer, PTCP_FRAME_DATA_BLOCKED, 0);
    write_pieces(&writer, 4, 0);
    deliver(packet, (size_t)(writer.at - packet));
}

static void a_first_packet_that_is_not_kept_gets_no_endless_answer(void)
{
    struct stk_run run;

    for (int early = 0; early < 2; early++) {
        open_without_memory(early);
        for (int i = 0; i < 10 && ptcp_output(liar.victim, liar.now_us, &run, liar.buffer,
                                              PTCP_OUTPUT_BYTES_MIN);
             i++)
            liar.out += run.count;
        CU_ASSERT_TRUE(liar.out <= 2);
        end_liar();
    }
}

static void a_packet_of_many_stream_frames_breaks_the_rules(void)
{
    uint8_t packet[1024];

    connect_liar(0);
    struct stk_writer writer = begin_data(packet, sizeof packet);
    write_pieces(&writer, PTCP_STREAM_FRAMES_MAX, 0);
    deliver(packet, (size_t)(writer.at - packet));
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    CU_ASSERT_EQUAL(liar.conn->engine->in.ahead.count, PTCP_STREAM_FRAMES_MAX);
    writer = begin_data(packet, sizeof packet);
    write_pieces(&writer, PTCP_STREAM_FRAMES_MAX + 1, 1000);
    deliver(packet, (size_t)(writer.at - packet));
    CU_ASSERT_EQUAL(liar.conn->error, -EPROTO);
    end_liar();
}

/* --- What it lets the victim send ------------------------------------------------------------- */

static void a_peer_that_reads_nothing_holds_no_more_than_the_send_buffer(void)
{
    enum { BUFFER = 512 << 10 };
    const size_t records = 64 << 10; /* of what the first window carried */

    connect_liar(BUFFER);
    const uint64_t took = write_all();
    CU_ASSERT_TRUE(took <= BUFFER);
    listen_to();
    for (int i = 0; i < 50 && !liar.conn->error; i++) {
        write_all();
        send_value(PTCP_FRAME_PING, 0); /* it is there, and acknowledges nothing */
        wait_us(1000000);
    }
    CU_ASSERT_TRUE(grown() <= BUFFER + records + SLACK);
    wait_us(60000000);
    CU_ASSERT_EQUAL(liar.conn->error, -ETIMEDOUT);
    CU_ASSERT_TRUE(liar.saw_reset);
    CU_ASSERT_TRUE(live <= liar.base + SLACK);
    end_liar();
}

static void a_window_that_shrinks_takes_nothing_back(void)
{
    connect_liar(0);
    const uint64_t limit = liar.conn->engine->flow.peer_limit;
    for (uint64_t value = 0; value < 100; value++)
        send_value(PTCP_FRAME_MAX_DATA, value);
    CU_ASSERT_EQUAL(liar.conn->engine->flow.peer_limit, limit);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    write_all();
    listen_to();
    CU_ASSERT_TRUE(liar.out_bytes > 4000);
    end_liar();
}

/* Every other packet: pieces that never join. */
static void acks_with_gaps_make_bounded_lists(void)
{
    enum { BUFFER = 1 << 20 };

    connect_liar(BUFFER);
    for (int round = 0; round < 3000 && !liar.conn->error; round++) {
        const uint64_t from = liar.peer_next;

        write_all();
        listen_to();
        for (uint64_t packet = from | 1; packet < liar.peer_next; packet += 2)
            send_ack(packet, packet + 1);
        wait_us(20000);
    }
    CU_ASSERT_TRUE(grown() <= BUFFER + RECORDS_MAX + SLACK);
    end_liar();
}

/* One run, of those that are due. */
static void listen_to_a_run(void)
{
    struct stk_run run;

    CU_ASSERT_EQUAL_FATAL(
        ptcp_output(liar.victim, liar.now_us, &run, liar.buffer, PTCP_OUTPUT_BYTES_MIN), 1);
    for (unsigned i = 0; i < run.count; i++)
        look_at(stk_run_at(&run, i), stk_run_size(&run, i));
}

/* Its question got lost, and bytes before it. When it learns that, it waits somewhere else, and has
 * asked or was about to. */
static bool lose_a_question(uint64_t limit)
{
    connect_liar(0);
    struct ptcp_flow *flow = &liar.conn->engine->flow;

    flow->peer_limit = 10000;
    write_all();
    listen_to();
    CU_ASSERT_EQUAL(flow->blocked_at, 10000);
    const uint64_t question = liar.peer_next - 1;
    liar.now_us += 20000;
    send_ack(1, question - 2);
    send_value(PTCP_FRAME_MAX_DATA, limit);
    liar.now_us += 20000;
    listen_to_a_run();
    const bool about_to = liar.conn->due & PTCP_DUE_BLOCKED;
    send_ack(question + 1, liar.peer_next);
    CU_ASSERT_EQUAL(liar.conn->engine->out.lost.count, 1);
    liar.now_us += 20000;
    listen_to();
    CU_ASSERT_EQUAL(flow->blocked_at, limit);
    CU_ASSERT_FALSE(liar.conn->due & PTCP_DUE_BLOCKED);
    end_liar();
    return about_to;
}

static void a_question_for_more_that_gets_lost_is_asked_where_it_waits_now(void)
{
    unsigned about_to = 0;

    /* With each length of the last packet, a full one among them. */
    for (uint64_t limit = 18000; limit < 18000 + 1472; limit++)
        about_to += lose_a_question(limit);
    CU_ASSERT_TRUE(about_to > 0);
}

/* --- Optimism --------------------------------------------------------------------------------- */

static void an_ack_of_what_was_never_sent_ends_the_connection(void)
{
    connect_liar(0);
    send_ack(0, liar.peer_next + 1);
    CU_ASSERT_EQUAL(liar.conn->error, -EPROTO);
    listen_to();
    CU_ASSERT_TRUE(liar.saw_reset);
    end_liar();
}

static void a_packet_with_two_acks_breaks_the_rules(void)
{
    uint8_t packet[64];

    connect_liar(0);
    struct stk_writer writer = begin_data(packet, sizeof packet);
    write_range(&writer, 0, 1);
    write_range(&writer, 0, 1);
    deliver(packet, (size_t)(writer.at - packet));
    CU_ASSERT_EQUAL(liar.conn->error, -EPROTO);
    end_liar();
}

/* It acknowledges all that must have been sent by now, without looking at what came. */
static void acks_of_what_did_not_come_are_caught(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        connect_liar(0);
        while (!liar.conn->error && liar.out < 4000) {
            write_all();
            listen_to();
            send_ack(0, liar.peer_next);
            wait_us(10000);
        }
        CU_ASSERT_EQUAL(liar.conn->error, -EPROTO);
        CU_ASSERT_TRUE(liar.out < 4000);
        end_liar();
        stk_prng_seed(&liar.prng, seed);
    }
}

static void random_acks_leave_the_accounts_in_order(void)
{
    for (int run = 0; run < 50; run++) {
        struct stk_prng prng;

        stk_prng_seed(&prng, (uint64_t)run + 1);
        connect_liar(0);
        for (int i = 0; i < 300 && !liar.conn->error; i++) {
            write_all();
            listen_to();
            const uint64_t end = 1 + stk_prng_below(&prng, liar.peer_next);
            const uint64_t first = end - 1 - stk_prng_below(&prng, end < 8 ? end : 8);
            send_ack(first, end);
            wait_us(stk_prng_below(&prng, 30000));
            CU_ASSERT_TRUE(liar.conn->engine->out.una <= liar.conn->engine->out.next);
            CU_ASSERT_TRUE(liar.conn->engine->out.next <= liar.conn->engine->out.end);
        }
        CU_ASSERT_TRUE(liar.conn->error == 0 || liar.conn->error == -EPROTO);
        end_liar();
    }
}

/* Acknowledges, one by one, what came; true when that much may be under way. */
static bool grow_window(uint64_t bytes)
{
    const struct ptcp_sent_ring *ring = &liar.conn->engine->recovery.ring;

    for (int round = 0; round < 400 && liar.conn->path->cc.window_bytes < bytes; round++) {
        struct ptcp_sent *record;

        write_all();
        listen_to();
        while ((record = ptcp_sent_oldest(ring)) && !liar.conn->error) {
            while (record && record->state == PTCP_SENT_SKIPPED)
                record = ptcp_sent_after(ring, record);
            if (!record)
                break;
            send_ack(record->packet, record->packet + 1);
        }
        wait_us(20000);
    }
    return liar.conn->path->cc.window_bytes >= bytes;
}

/* Old numbers can't have a long list of packets looked through with each ACK of them. */
static void an_ack_looks_through_a_bounded_number_of_lost_packets(void)
{
    const struct ptcp_recovery *recovery;
    uint64_t first, last;

    connect_liar(32 << 20);
    recovery = &liar.conn->engine->recovery;
    CU_ASSERT_TRUE(grow_window(16 << 20));
    liar.conn->engine->out.limit = 16 << 20; /* as it becomes where round trips are longer */
    first = liar.peer_next;
    for (int i = 0; i < 100 && liar.peer_next < first + 3 * PTCP_LATE_MAX; i++) {
        write_all();
        listen_to();
        wait_us(100);
    }
    last = ptcp_sent_slot(&recovery->ring, recovery->ring.live.tail)->packet;
    CU_ASSERT_TRUE(last > first + 2 * PTCP_LATE_MAX);
    wait_us(20000);
    send_ack(last, last + 1);
    CU_ASSERT_TRUE(recovery->lost_packets > 2 * PTCP_LATE_MAX);
    const struct ptcp_sent *oldest = ptcp_sent_slot(&recovery->ring, recovery->ring.lost.head);
    const struct ptcp_sent *newest = ptcp_sent_newest_lost(&recovery->ring);
    const uint64_t far = oldest->packet, near = newest->packet;
    send_ack(far, far + 1);
    CU_ASSERT_EQUAL(recovery->spurious_packets, 0);
    send_ack(near, near + 1);
    CU_ASSERT_EQUAL(recovery->spurious_packets, 1);
    CU_ASSERT_EQUAL(liar.conn->error, 0);
    end_liar();
}

/* --- Many connections ------------------------------------------------------------------------- */

static void syns_that_nobody_accepts_fill_the_backlog_and_no_more(void)
{
    enum { BACKLOG = 100 };

    make_victim();
    ptcp_listen(liar.victim, NULL, BACKLOG);
    liar.base = live;
    for (uint64_t id = 1; id <= 20000; id++) {
        send_syn(id);
        listen_to();
    }
    CU_ASSERT_EQUAL(ptcp_connections(liar.victim), BACKLOG);
    CU_ASSERT_TRUE(grown() <= BACKLOG * CONN_MAX + SLACK);
    CU_ASSERT_TRUE(liar.out <= BACKLOG);
    end_liar();
}

static void connections_of_one_peer_share_the_bound_of_stream_memory(void)
{
    enum { CONNECTIONS = 200, MEMORY = 4 << 20 };
    struct ptcp_conn *conns[CONNECTIONS];

    make_victim();
    liar.victim->pool.limit = MEMORY / PTCP_CHUNK_BYTES;
    ptcp_listen(liar.victim, NULL, 0);
    liar.base = live;
    for (int i = 0; i < CONNECTIONS; i++) {
        send_syn((uint64_t)i + 1);
        listen_to();
        conns[i] = ptcp_accept(liar.victim);
        CU_ASSERT_PTR_NOT_NULL_FATAL(conns[i]);
        liar.peer_id = conns[i]->slot.id;
        for (uint64_t offset = 1; offset < WINDOW; offset += PTCP_CHUNK_BYTES)
            send_stream(offset, (const uint8_t *)"x", 1);
    }
    CU_ASSERT_TRUE(grown() <= MEMORY + CONNECTIONS * (size_t)CONN_MAX + SLACK);
    for (int i = 0; i < CONNECTIONS; i++) {
        CU_ASSERT_EQUAL(conns[i]->error, 0);
        ptcp_conn_release(conns[i], liar.now_us);
    }
    end_liar();
}

static CU_TestInfo tests[] = {
    {"forged reports of small sizes change nothing that passes",
     forged_reports_of_small_sizes_change_nothing_that_passes},
    {"one byte in each chunk costs no more than the window",
     one_byte_in_each_chunk_costs_no_more_than_the_window},
    {"a hole after each byte makes a bounded list", a_hole_after_each_byte_makes_a_bounded_list},
    {"who sends without end fills the window once", who_sends_without_end_fills_the_window_once},
    {"packet numbers with gaps make a bounded list", packet_numbers_with_gaps_make_a_bounded_list},
    {"a storm of ACKs gets no answer and no memory", a_storm_of_acks_gets_no_answer_and_no_memory},
    {"a storm of challenges gets no more than it sends",
     a_storm_of_challenges_gets_no_more_than_it_sends},
    {"the wish for every single ACK is honoured and bounded",
     the_wish_for_every_single_ack_is_honoured_and_bounded},
    {"the longest ACK leaves room for all else that is due",
     the_longest_ack_leaves_room_for_all_else_that_is_due},
    {"the longest ACK leaves room for what a probe repeats",
     the_longest_ack_leaves_room_for_what_a_probe_repeats},
    {"who could not tell of all packets stays to answer",
     who_could_not_tell_of_all_packets_stays_to_answer},
    {"a first packet that is not kept gets no endless answer",
     a_first_packet_that_is_not_kept_gets_no_endless_answer},
    {"a packet of many STREAM frames breaks the rules",
     a_packet_of_many_stream_frames_breaks_the_rules},
    {"a peer that reads nothing holds no more than the send buffer",
     a_peer_that_reads_nothing_holds_no_more_than_the_send_buffer},
    {"a window that shrinks takes nothing back", a_window_that_shrinks_takes_nothing_back},
    {"a question for more that gets lost is asked where it waits now",
     a_question_for_more_that_gets_lost_is_asked_where_it_waits_now},
    {"ACKs with gaps make bounded lists", acks_with_gaps_make_bounded_lists},
    {"an ACK of what was never sent ends the connection",
     an_ack_of_what_was_never_sent_ends_the_connection},
    {"a packet with two ACKs breaks the rules", a_packet_with_two_acks_breaks_the_rules},
    {"ACKs of what did not come are caught", acks_of_what_did_not_come_are_caught},
    {"random ACKs leave the accounts in order", random_acks_leave_the_accounts_in_order},
    {"an ACK looks through a bounded number of lost packets",
     an_ack_looks_through_a_bounded_number_of_lost_packets},
    {"SYNs that nobody accepts fill the backlog and no more",
     syns_that_nobody_accepts_fill_the_backlog_and_no_more},
    {"connections of one peer share the bound of stream memory",
     connections_of_one_peer_share_the_bound_of_stream_memory},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("ptcp hostile", tests)
