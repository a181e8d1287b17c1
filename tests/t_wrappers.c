/*
 * Goal: limit keeps its rate to the byte, idle ends at its time, record writes files that others
 * can read and never fails a connection, chaos is the same for the same seed. Method: memory pairs
 * in the simulator's loop, whose clock is virtual; files are read back here.
 */
#include "bytes.h"
#include "harness.h"
#include "log.h"
#include "sim.h"
#include "stack.h"

#include <string.h>
#include <sys/stat.h>

enum { LOG_MAX = 4096 };

struct side {
    struct stk_conn *conn;
    uint64_t to_send, sent, received;
    uint64_t opened_us, last_us, closed_us;
    unsigned calls;
    uint64_t hash; /* of the sizes and times of what was received */
    int closed, code;
    char layer[STK_ERROR_LAYER_MAX];
};

static struct stk_sim *sim;
static struct stk_loop *loop;
static struct stk_listener *listener;
static struct side client, server;

static uint64_t now_us(void) { return stk_loop_now_us(loop); }
static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void write_more(struct stk_conn *conn)
{
    static const uint8_t bytes[16384] = "the bytes that are sent";
    struct side *side = side_of(conn);

    while (side->sent < side->to_send) {
        const uint64_t left = side->to_send - side->sent;
        const long taken =
            stk_conn_write(conn, bytes, left < sizeof bytes ? (size_t)left : sizeof bytes);
        if (taken <= 0)
            return;
        side->sent += (uint64_t)taken;
    }
}

static void on_opened(struct stk_conn *conn)
{
    side_of(conn)->conn = conn;
    side_of(conn)->opened_us = side_of(conn)->last_us = now_us();
    write_more(conn);
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct side *side = side_of(conn);

    (void)data;
    side->received += len;
    side->last_us = now_us();
    side->calls++;
    side->hash = (side->hash ^ len ^ side->last_us) * UINT64_C(0x100000001b3);
    return len;
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = side_of(conn);

    side->closed++;
    side->conn = NULL;
    side->closed_us = now_us();
    side->code = error != NULL ? error->code : 0;
    snprintf(side->layer, sizeof side->layer, "%s", error != NULL ? error->layer : "");
}

static const struct stk_protocol protocol = {
    .opened = on_opened, .received = on_received, .writable = write_more, .closed = on_closed};

static void begin(const char *listens, const char *connects, uint64_t up, uint64_t down)
{
    struct stk_error error = {0};

    memset(&client, 0, sizeof client);
    memset(&server, 0, sizeof server);
    client.to_send = up;
    server.to_send = down;
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(NULL, &sim), 0);
    loop = stk_sim_loop(sim);
    CU_ASSERT_EQUAL_FATAL(stk_listen(loop, listens, &protocol, &server, &listener, &error), 0);
    CU_ASSERT_EQUAL_FATAL(stk_connect(loop, connects, &protocol, &client, &client.conn, &error), 0);
}

static void run_for(uint64_t time_us) { stk_sim_run_for(sim, time_us); }

static void end(void)
{
    if (client.conn != NULL)
        stk_conn_abort(client.conn);
    if (server.conn != NULL)
        stk_conn_abort(server.conn);
    stk_listener_close(listener);
    stk_sim_run_for(sim, 1000);
    stk_sim_free(sim);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(server.closed, 1);
}

/* --- limit --------------------------------------------------------------------------------------
 */

/* What passes in `time_us` is the burst and rate times time: not a byte more, at most one wait
 * less. */
static void expect_rate(uint64_t bytes, uint64_t rate, uint64_t burst, uint64_t time_us)
{
    const uint64_t most = burst + rate * time_us / 1000000;
    const uint64_t wait = rate / 100 + 1; /* bytes that gather before a wake-up */

    if (bytes > most || bytes + wait < most)
        printf("\n    %llu bytes passed; %llu at most, at rate %llu\n", (unsigned long long)bytes,
               (unsigned long long)most, (unsigned long long)rate);
    CU_ASSERT_TRUE(bytes <= most && bytes + wait >= most);
}

static void a_rate_is_exact_in_the_sending_direction(void)
{
    static const uint64_t rates[] = {1, 7, 1500, 99999, 1048576, 50000000};

    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        char recipe[80];

        snprintf(recipe, sizeof recipe, "/memory/x/limit,send=%llu,burst=1000k",
                 (unsigned long long)rates[i]);
        begin("/memory/x", recipe, UINT64_C(1) << 40, 0);
        run_for(10 * 1000000);
        expect_rate(server.received, rates[i], 1000 << 10, 10 * 1000000);
        end();
    }
}

static void a_rate_is_exact_in_the_receiving_direction(void)
{
    begin("/memory/x", "/memory/x/limit,recv=12345,burst=10", 0, UINT64_C(1) << 40);
    run_for(20 * 1000000);
    expect_rate(client.received, 12345, 10, 20 * 1000000);
    end();
}

static void directions_have_rates_of_their_own(void)
{
    begin("/memory/x", "/memory/x/limit,rate=1000,recv=5000,burst=1", UINT64_C(1) << 40,
          UINT64_C(1) << 40);
    run_for(5 * 1000000);
    expect_rate(server.received, 1000, 1, 5 * 1000000);
    expect_rate(client.received, 5000, 1, 5 * 1000000);
    end();
}

static void a_burst_passes_at_once_and_gathers_again(void)
{
    begin("/memory/x", "/memory/x/limit,send=1000,burst=5000", 5000, 0);
    run_for(1);
    CU_ASSERT_EQUAL(server.received, 5000);
    run_for(3 * 1000000);
    client.to_send = 10000;
    write_more(client.conn);
    run_for(1);
    CU_ASSERT_EQUAL(server.received, 8000); /* what three seconds brought */
    run_for(2 * 1000000 + 1000);
    CU_ASSERT_EQUAL(server.received, 10000);
    end();
}

/* --- idle ---------------------------------------------------------------------------------------
 */

static void silence_ends_at_exactly_the_time(void)
{
    begin("/memory/x", "/memory/x/idle,timeout=5s", 0, 0);
    run_for(20 * 1000000);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.code, -ETIMEDOUT);
    CU_ASSERT_STRING_EQUAL(client.layer, "idle");
    CU_ASSERT_EQUAL(client.closed_us - client.opened_us, 5 * 1000000);
    CU_ASSERT_EQUAL(server.closed, 1);
    end();
}

static void traffic_either_way_puts_the_end_off(void)
{
    begin("/memory/x", "/memory/x/idle,timeout=5s", 0, 0);
    for (int i = 0; i < 10; i++) {
        struct side *side = i % 2 == 0 ? &client : &server;

        run_for(4 * 1000000);
        side->to_send++;
        write_more(side->conn);
    }
    run_for(1);
    CU_ASSERT_EQUAL(client.closed, 0);
    run_for(20 * 1000000);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_EQUAL(client.closed_us - client.opened_us, 45 * 1000000);
    CU_ASSERT_EQUAL(client.received, 5);
    end();
}

/* --- record -------------------------------------------------------------------------------------
 */

static char path[64], logged[LOG_MAX];

static void keep_log(void *context, enum stk_log_level level, const char *room, const char *text)
{
    (void)context, (void)level;
    snprintf(logged + strlen(logged), LOG_MAX - strlen(logged), "%s: %s\n", room, text);
}

static size_t read_file(uint8_t *out, size_t size)
{
    FILE *file = fopen(path, "r");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    const size_t len = fread(out, 1, size - 1, file);
    fclose(file);
    out[len] = '\0';
    return len;
}

static void exchange_and_close(const char *options, uint64_t up, uint64_t down)
{
    char recipe[160], encoded[100];

    snprintf(path, sizeof path, "/tmp/stk-record-%ld", (long)getpid());
    snprintf(recipe, sizeof recipe, "/memory/x/record,file=%s%s",
             stk_percent_encode(path, encoded, sizeof encoded), options);
    begin("/memory/x", recipe, up, down);
    run_for(1000);
    stk_conn_close(client.conn);
    run_for(1000);
    end();
}

static void hex_shows_what_passed_and_which_way(void)
{
    uint8_t text[4096];

    exchange_and_close("", 23, 3);
    read_file(text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)text, "connection 1: opened\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)text, "connection 1: 23 bytes sent\n"
                                                "> 00000000  74 68 65 20 62 79 74 65 73 20 74 68 "
                                                "61 74 20 61  the bytes that a\n"
                                                "> 00000010  72 65 20 73 65 6e 74      "));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)text, "connection 1: 3 bytes received\n"
                                                "< 00000000  74 68 65 "));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)text, "this side's end\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)text, "the peer's end\n"));
    remove(path);
}

struct stream {
    uint32_t next_seq; /* what the next segment must begin with */
    uint64_t bytes;
    bool syn, fin;
};

/* One enhanced packet block: an IP packet with a TCP segment of one direction. */
static bool read_packet(const uint8_t *packet, uint32_t len, struct stream streams[2])
{
    if (len < 40 || packet[0] != 0x45 || packet[9] != 6 || stk_load_be16(packet + 2) != len)
        return false;
    struct stream *s = &streams[packet[15] == 2]; /* 10.0.0.1 is this side */
    const uint32_t seq = stk_load_be32(packet + 24);
    const uint8_t flags = packet[33];
    uint32_t sum = 0;

    for (int i = 0; i < 20; i += 2)
        sum += stk_load_be16(packet + i);
    if ((sum & 0xffff) + (sum >> 16) != 0xffff || s->fin || (s->syn && seq != s->next_seq))
        return false;
    s->syn |= (flags & 2) != 0;
    s->fin |= (flags & 1) != 0;
    s->bytes += len - 40;
    s->next_seq = seq + (len - 40) + ((flags & 3) != 0);
    return s->syn;
}

/* Walks over the blocks; returns how many, or -1 if the file is not well-formed. */
static int read_blocks(const uint8_t *data, size_t len, struct stream streams[2])
{
    int count = 0;

    for (size_t at = 0; at < len; count++) {
        uint32_t type, total, again, captured;

        if (len - at < 12)
            return -1;
        memcpy(&type, data + at, 4);
        memcpy(&total, data + at + 4, 4);
        if (total % 4 != 0 || total < 12 || total > len - at)
            return -1;
        memcpy(&again, data + at + total - 4, 4);
        memcpy(&captured, data + at + 20, 4);
        if (again != total || (count == 0 && type != 0x0a0d0d0a) || (count == 1 && type != 1))
            return -1;
        if (count > 1 &&
            (type != 6 || captured > total - 32 || !read_packet(data + at + 28, captured, streams)))
            return -1;
        at += total;
    }
    return count;
}

static void pcapng_holds_two_whole_tcp_streams(void)
{
    static uint8_t data[1 << 20];
    struct stream streams[2] = {{0}};

    exchange_and_close(",format=pcapng", 100001, 333);
    const size_t len = read_file(data, sizeof data);
    CU_ASSERT_TRUE(read_blocks(data, len, streams) > 6);
    CU_ASSERT_EQUAL(streams[0].bytes, 100001);
    CU_ASSERT_EQUAL(streams[1].bytes, 333);
    CU_ASSERT_TRUE(streams[0].fin && streams[1].fin);
    if (system("command -v capinfos >/dev/null 2>&1") == 0) {
        char command[128];

        snprintf(command, sizeof command, "capinfos %s >/dev/null 2>&1", path);
        CU_ASSERT_EQUAL(system(command), 0);
    }
    remove(path);
}

static void a_full_disk_stops_the_record_and_not_the_connection(void)
{
    static const struct {
        const char *recipe;
        uint64_t bytes;
    } cases[] = {{"/memory/x/record,file=%2Fdev%2Ffull", 100000},
                 {"/memory/x/record,file=%2Fdev%2Ffull", 10},
                 {"/memory/x/record,file=%2Fdev%2Ffull,format=pcapng", 100000}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        logged[0] = '\0';
        stk_log_hook(keep_log, NULL, STK_LOG_ERROR);
        begin("/memory/x", cases[i].recipe, cases[i].bytes, cases[i].bytes);
        run_for(1000);
        stk_conn_close(client.conn);
        run_for(1000);
        CU_ASSERT_EQUAL(client.received, cases[i].bytes);
        CU_ASSERT_EQUAL(server.received, cases[i].bytes);
        CU_ASSERT_EQUAL(client.code, 0);
        end();
        stk_log_hook(NULL, NULL, STK_LOG_ERROR);
        CU_ASSERT_STRING_EQUAL(logged, "record: the file can't be written: recording stops\n");
    }
}

static void a_record_needs_a_file_that_can_be_written(void)
{
    struct stk_error error = {0};

    CU_ASSERT_EQUAL_FATAL(stk_sim_new(NULL, &sim), 0);
    loop = stk_sim_loop(sim);
    CU_ASSERT_EQUAL(stk_connect(loop, "/memory/x/record", &protocol, NULL, NULL, &error),
                    STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "record,file=NAME"));
    CU_ASSERT_EQUAL(
        stk_connect(loop, "/memory/x/record,file=/nowhere/x", &protocol, NULL, NULL, &error),
        -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/nowhere/x can't be written"));
    CU_ASSERT_EQUAL(stk_connect(loop, "/memory/x/record,file=/dev/null,format=x", &protocol, NULL,
                                NULL, &error),
                    STK_ESYNTAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "expected hex or pcapng"));
    stk_sim_free(sim);
}

/* --- chaos --------------------------------------------------------------------------------------
 */

static uint64_t fate(unsigned seed)
{
    char recipe[80];

    snprintf(recipe, sizeof recipe, "/memory/x/chaos,again=60,delay=3ms,seed=%u", seed);
    begin("/memory/x", recipe, 50000, 50000);
    const uint64_t start_us = now_us();
    run_for(60 * 1000000);
    CU_ASSERT_EQUAL(client.received, 50000);
    CU_ASSERT_EQUAL(server.received, 50000);
    const uint64_t hash = client.hash ^ server.hash ^ (client.last_us - start_us);
    end();
    return hash;
}

static void the_same_seed_is_the_same_fate(void)
{
    CU_ASSERT_EQUAL(fate(1), fate(1));
    CU_ASSERT_EQUAL(fate(2), fate(2));
    CU_ASSERT_NOT_EQUAL(fate(1), fate(2));
}

static void chaos_fails_after_exactly_so_many_bytes(void)
{
    begin("/memory/x", "/memory/x/chaos,again=0,fail=12345", 0, 100000);
    run_for(1000000);
    CU_ASSERT_EQUAL(client.received, 12345); /* and what came before stays readable */
    CU_ASSERT_EQUAL(client.code, -ECONNRESET);
    CU_ASSERT_STRING_EQUAL(client.layer, "chaos");
    end();
}

static CU_TestInfo tests[] = {
    {"a rate is exact in the sending direction", a_rate_is_exact_in_the_sending_direction},
    {"a rate is exact in the receiving direction", a_rate_is_exact_in_the_receiving_direction},
    {"directions have rates of their own", directions_have_rates_of_their_own},
    {"a burst passes at once and gathers again", a_burst_passes_at_once_and_gathers_again},
    {"silence ends at exactly the time", silence_ends_at_exactly_the_time},
    {"traffic either way puts the end off", traffic_either_way_puts_the_end_off},
    {"hex shows what passed and which way", hex_shows_what_passed_and_which_way},
    {"pcapng holds two whole TCP streams", pcapng_holds_two_whole_tcp_streams},
    {"a full disk stops the record and not the connection",
     a_full_disk_stops_the_record_and_not_the_connection},
    {"a record needs a file that can be written", a_record_needs_a_file_that_can_be_written},
    {"the same seed is the same fate", the_same_seed_is_the_same_fate},
    {"chaos fails after exactly so many bytes", chaos_fails_after_exactly_so_many_bytes},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("wrappers", tests)
