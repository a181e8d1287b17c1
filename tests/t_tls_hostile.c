/*
 * Goal: whatever the peer does, the layer ends in an orderly or a failed connection: no hang, no
 * lost wake-up, no byte accepted that was not protected.
 * Method: a peer of our own (tls_raw.h) that breaks, cuts, holds back and never answers; aborts at
 * every turn and allocations that fail, one after the other.
 */
#include "harness.h"
#include "tls.h"
#include "tls_certs.h"
#include "tls_pair.h"
#include "tls_raw.h"

#define SERVER "/tls,cert=%sserver.pem"
#define CLIENT "/tls,sni=server.example,ca=%sca.crt"

enum { TURNS_MAX = 20000, WAIT_US = 2 * 1000 * 1000 };

/* Ours is one side of the pair, the raw peer the other. */
struct duel {
    struct pair pair;
    struct side *ours;
    struct raw raw;
};

static void duel_open(struct duel *duel, bool we_listen, const char *options, bool asks_client)
{
    struct pair *pair = &duel->pair;
    char filled[512], tls[600];

    pair_init(pair);
    raw_init(&duel->raw, !we_listen, asks_client);
    snprintf(tls, sizeof tls, "/memory/duel%s", pair_options(options, filled, sizeof filled));
    duel->ours = we_listen ? &pair->server : &pair->client;
    if (we_listen) {
        CU_ASSERT_EQUAL(
            stk_listen(pair->loop, tls, &pair_protocol, pair, &pair->listener, &pair->error), 0);
        CU_ASSERT_EQUAL(stk_connect(pair->loop, "/memory/duel", &raw_protocol, &duel->raw,
                                    &duel->raw.conn, &pair->error),
                        0);
    } else {
        CU_ASSERT_EQUAL(stk_listen(pair->loop, "/memory/duel", &raw_protocol, &duel->raw,
                                   &pair->listener, &pair->error),
                        0);
        CU_ASSERT_EQUAL(stk_connect(pair->loop, tls, &pair_protocol, &pair->client,
                                    &pair->client.conn, &pair->error),
                        0);
    }
}

static void duel_turn(struct duel *duel, int turns)
{
    for (int i = 0; i < turns; i++)
        stk_loop_turn(duel->pair.loop, 0);
}

static bool duel_end(struct duel *duel)
{
    for (int i = 0; i < TURNS_MAX && !duel->ours->closed; i++)
        stk_loop_turn(duel->pair.loop, WAIT_US);
    return duel->ours->closed;
}

static void duel_free(struct duel *duel)
{
    if (duel->raw.conn != NULL)
        stk_conn_abort(duel->raw.conn);
    pair_free(&duel->pair);
    raw_free(&duel->raw);
}

/* --- Post-handshake messages
 * ---------------------------------------------------------------------- */

static void the_peer_may_renew_keys_at_any_time(void)
{
    for (int we_listen = 0; we_listen < 2; we_listen++) {
        struct duel duel;
        uint8_t byte;

        duel_open(&duel, we_listen, we_listen ? SERVER : CLIENT, false);
        duel_turn(&duel, 20);
        CU_ASSERT_TRUE_FATAL(duel.ours->opened);
        for (unsigned i = 0; i < 200; i++) {
            SSL_key_update(duel.raw.ssl, SSL_KEY_UPDATE_REQUESTED);
            byte = pair_byte(i);
            raw_write(&duel.raw, &byte, 1);
            duel.ours->to_send += 700;
            pair_protocol.writable(duel.ours->conn);
            duel_turn(&duel, 4);
        }
        CU_ASSERT_EQUAL(duel.ours->received, 200);
        CU_ASSERT_EQUAL(duel.raw.received, 200 * 700);
        CU_ASSERT_FALSE(duel.ours->wrong || duel.raw.wrong);
        CU_ASSERT_TRUE(duel.raw.key_updates >= 100);
        duel_free(&duel);
    }
}

/* It may ask for ours too; we have said our last word, and the answer would come behind it. */
static void the_peer_may_renew_keys_after_we_have_finished(void)
{
    for (int we_listen = 0; we_listen < 2; we_listen++) {
        struct duel duel;
        uint8_t byte;

        duel_open(&duel, we_listen, we_listen ? SERVER : CLIENT, false);
        duel_turn(&duel, 20);
        duel.raw.silent = true;
        stk_conn_finish(duel.ours->conn);
        duel_turn(&duel, 20);
        CU_ASSERT_TRUE(duel.raw.peer_closed);
        for (unsigned i = 0; i < 20; i++) {
            SSL_key_update(duel.raw.ssl, SSL_KEY_UPDATE_REQUESTED);
            byte = pair_byte(i);
            raw_write(&duel.raw, &byte, 1);
            duel_turn(&duel, 4);
        }
        CU_ASSERT_EQUAL(duel.ours->received, 20);
        CU_ASSERT_FALSE(duel.ours->closed);
        CU_ASSERT_EQUAL(duel.ours->error.code, 0);
        duel_free(&duel);
    }
}

static void we_renew_keys_after_so_many_bytes(void)
{
    struct duel duel;

    duel_open(&duel, true, SERVER ",rekey=64k", false);
    duel_turn(&duel, 20);
    duel.ours->to_send = 1 << 20;
    pair_protocol.writable(duel.ours->conn);
    duel_turn(&duel, 500);
    CU_ASSERT_EQUAL(duel.raw.received, 1 << 20);
    CU_ASSERT_FALSE(duel.raw.wrong);
    CU_ASSERT_TRUE(duel.raw.key_updates >= 10 && duel.raw.key_updates <= 16);
    duel_free(&duel);
}

static void a_write_waits_for_the_rest_of_a_message_and_goes_on(void)
{
    for (size_t held = 1; held < 1500; held += 97) {
        struct duel duel;

        /* Tickets that hold a client's certificate are longer than a record of 512 bytes. */
        duel_open(&duel, false, CLIENT ",cert=%sclient.pem", true);
        SSL_set_max_send_fragment(duel.raw.ssl, 512);
        for (int i = 0; i < 20 && !duel.ours->opened; i++) {
            duel_turn(&duel, 1);
            if (duel.raw.ssl != NULL && SSL_is_init_finished(duel.raw.ssl) == 0)
                duel.raw.pass = RAW_HOLD_NOTHING;
            if (duel.raw.left > 0 && duel.raw.pass == RAW_HOLD_NOTHING)
                duel.raw.pass = duel.raw.left + held;
        }
        duel_turn(&duel, 10);
        CU_ASSERT_TRUE_FATAL(duel.ours->opened);
        duel.ours->to_send = 30000;
        duel.ours->finish = true;
        pair_protocol.writable(duel.ours->conn);
        duel_turn(&duel, 20);
        duel.raw.pass = RAW_HOLD_NOTHING;
        raw_pump(&duel.raw);
        duel_turn(&duel, 40);
        CU_ASSERT_EQUAL(duel.raw.received, 30000);
        CU_ASSERT_FALSE(duel.raw.wrong);
        CU_ASSERT_TRUE(duel.raw.peer_closed);
        duel_free(&duel);
    }
}

/* --- Ends
 * ------------------------------------------------------------------------------------------- */

static void an_end_without_close_notify_is_truncation(void)
{
    for (int we_listen = 0; we_listen < 2; we_listen++) {
        uint8_t data[5000];
        struct duel duel;

        for (size_t i = 0; i < sizeof data; i++)
            data[i] = pair_byte(i);
        duel_open(&duel, we_listen, we_listen ? SERVER : CLIENT, false);
        duel_turn(&duel, 20);
        raw_write(&duel.raw, data, sizeof data);
        stk_conn_finish(duel.raw.conn);
        CU_ASSERT_TRUE(duel_end(&duel));
        CU_ASSERT_EQUAL(duel.ours->received, sizeof data);
        CU_ASSERT_FALSE(duel.ours->finished);
        CU_ASSERT_EQUAL(duel.ours->error.code, STK_ETRUNCATED);
        CU_ASSERT_PTR_NOT_NULL(strstr(duel.ours->error.text, "without close_notify"));
        duel_free(&duel);
    }
}

static void a_cut_record_is_truncation_and_gives_no_bytes(void)
{
    struct duel duel;

    duel_open(&duel, false, CLIENT, false);
    duel_turn(&duel, 20);
    duel.raw.pass = duel.raw.left + 50;
    raw_write(&duel.raw, "0123456789012345678901234567890123456789012345678901234567890", 60);
    stk_conn_finish(duel.raw.conn);
    CU_ASSERT_TRUE(duel_end(&duel));
    CU_ASSERT_EQUAL(duel.ours->received, 0);
    CU_ASSERT_EQUAL(duel.ours->error.code, STK_ETRUNCATED);
    duel_free(&duel);
}

static void a_changed_record_is_refused(void)
{
    struct duel duel;

    duel_open(&duel, false, CLIENT, false);
    duel_turn(&duel, 20);
    duel.raw.break_at = duel.raw.left + 20;
    raw_write(&duel.raw, "0123456789012345678901234567890123456789012345678901234567890", 60);
    CU_ASSERT_TRUE(duel_end(&duel));
    CU_ASSERT_EQUAL(duel.ours->received, 0);
    CU_ASSERT_EQUAL(duel.ours->error.code, -EPROTO);
    duel_free(&duel);
}

static void a_peer_that_never_answers_close_notify_is_left_at_the_deadline(void)
{
    struct duel duel;

    duel_open(&duel, false, CLIENT, false);
    duel_turn(&duel, 20);
    duel.raw.silent = true;
    stk_conn_set_close_timeout(duel.ours->conn, 20000);
    stk_conn_close(duel.ours->conn);
    CU_ASSERT_TRUE(duel_end(&duel));
    CU_ASSERT_TRUE(duel.raw.peer_closed);
    duel_free(&duel);
}

static void a_refused_peer_that_stays_is_left_after_the_linger_time(void)
{
    struct duel duel;

    duel_open(&duel, false, "/tls,sni=other.example,ca=%sca.crt", false);
    duel.raw.silent = true;
    const uint64_t begin_us = stk_loop_now_us(duel.pair.loop);
    CU_ASSERT_TRUE(duel_end(&duel));
    CU_ASSERT_EQUAL(duel.ours->error.code, STK_ECERT);
    CU_ASSERT_TRUE(stk_loop_now_us(duel.pair.loop) - begin_us >= STK_TLS_LINGER_US);
    duel_free(&duel);
}

/* --- Garbage
 * ------------------------------------------------------------------------------------------ */

static const struct {
    const char *text, *shown;
} strangers[] = {
    {"SSH-2.0-OpenSSH_9.2p1\r\n", "not TLS: \"SSH-2.0-OpenSSH_9"},
    {"HTTP/1.1 400 Bad Request\r\n\r\n", "not TLS: \"HTTP/1.1 400"},
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "not TLS: \"GET / HTTP/1.1"},
    {"220 mail.example ESMTP\r\n", "not TLS: \"220 mail"},
    {"\x01", "closed the connection within the TLS handshake"},
    {"", "closed the connection within the TLS handshake"},
    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not TLS: \"...."},
};

static void a_peer_without_tls_is_told_by_its_words(void)
{
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        for (int we_listen = 0; we_listen < 2; we_listen++) {
            struct duel duel;

            duel_open(&duel, we_listen, we_listen ? SERVER : CLIENT, false);
            duel.raw.pass = 0;
            for (int turn = 0; turn < 10 && duel.raw.conn == NULL; turn++)
                duel_turn(&duel, 1);
            stk_conn_write(duel.raw.conn, strangers[i].text, strlen(strangers[i].text));
            stk_conn_finish(duel.raw.conn);
            CU_ASSERT_TRUE(duel_end(&duel));
            CU_ASSERT_FALSE(duel.ours->opened);
            if (strstr(duel.ours->error.text, strangers[i].shown) == NULL)
                printf("\n    %s\n", duel.ours->error.text);
            CU_ASSERT_PTR_NOT_NULL(strstr(duel.ours->error.text, strangers[i].shown));
            duel_free(&duel);
        }
}

/* Breaks the peer's bytes from the n-th on; returns false when the handshake got through before. */
static bool broken_at(bool we_listen, size_t n)
{
    struct duel duel;

    duel_open(&duel, we_listen, we_listen ? SERVER : CLIENT, false);
    duel.raw.break_at = n;
    for (int i = 0; i < 200 && !duel.ours->closed && !duel.ours->opened; i++)
        duel_turn(&duel, 1);
    /* A broken length makes ours wait for more: the end shows that it is not content. */
    if (!duel.ours->closed && !duel.ours->opened && duel.raw.conn != NULL)
        stk_conn_close(duel.raw.conn);
    for (int i = 0; i < 200 && !duel.ours->closed && !duel.ours->opened; i++)
        duel_turn(&duel, 1);
    const bool opened = duel.ours->opened;
    if (!opened) {
        CU_ASSERT_TRUE(duel.ours->closed);
        CU_ASSERT_TRUE(duel.ours->error.code < 0);
    }
    CU_ASSERT_EQUAL(duel.ours->received, 0);
    duel_free(&duel);
    return !opened;
}

static void garbage_at_any_point_of_the_handshake_fails_it(void)
{
    for (int we_listen = 0; we_listen < 2; we_listen++) {
        size_t n = 1;

        while (n < 4000 && broken_at(we_listen, n))
            n += 11;
        /* The flights are some hundred bytes at least, and end. */
        CU_ASSERT_TRUE(n > 200 && n < 4000);
    }
}

/* --- Aborts and missing memory
 * ---------------------------------------------------------------------- */

static bool aborted_at(unsigned turn, bool by_client, const char *transport)
{
    struct pair pair;

    pair_init(&pair);
    pair.client.to_send = pair.server.to_send = 9000;
    pair.client.finish = pair.server.finish = true;
    (by_client ? &pair.client : &pair.server)->abort_at_turn = turn;
    CU_ASSERT_EQUAL(pair_start(&pair, &(struct pair_recipe){transport, SERVER, CLIENT}), 0);
    CU_ASSERT_TRUE(pair_run(&pair, TURNS_MAX));
    CU_ASSERT_FALSE(pair.client.wrong || pair.server.wrong);
    const struct side *side = by_client ? &pair.client : &pair.server;
    const bool too_late = side->error.code != -ECONNABORTED;
    pair_free(&pair);
    return !too_late;
}

static void an_abort_at_any_turn_ends_both_sides(void)
{
    static const char *const transports[] = {"/memory/pair,quota=300", "/ip4/127.0.0.1/tcp/0"};
    unsigned most = 0;

    for (size_t t = 0; t < 2; t++)
        for (int by_client = 0; by_client < 2; by_client++) {
            unsigned turn = 1;

            while (turn < 300 && aborted_at(turn, by_client, transports[t]))
                turn++;

            CU_ASSERT_TRUE(turn < 300);
            most = turn > most ? turn : most;
        }
}

static struct {
    unsigned calls, fail_at;
} heap;

static void *failing_heap(void *context, void *block, size_t size)
{
    (void)context;
    if (size == 0) {
        free(block);
        return NULL;
    }
    if (++heap.calls == heap.fail_at)
        return NULL;
    return realloc(block, size);
}

static void any_allocation_may_fail(void)
{
    unsigned n;

    for (n = 1; n < 2000; n++) {
        struct pair pair;

        pair_init(&pair);
        pair.client.to_send = pair.server.to_send = 40000;
        pair.client.finish = pair.server.finish = true;
        heap.calls = 0;
        heap.fail_at = n;
        stk_alloc_hook(failing_heap, NULL);
        if (pair_start(&pair, &(struct pair_recipe){"/memory/pair,quota=3000", SERVER, CLIENT}) ==
            0)
            CU_ASSERT_TRUE(pair_run(&pair, TURNS_MAX));
        const bool failed = heap.calls >= n;
        heap.fail_at = 0;
        pair_free(&pair);
        stk_alloc_hook(NULL, NULL);
        if (!failed)
            break;
    }
    CU_ASSERT_TRUE(n > 10 && n < 2000);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the peer may renew keys at any time", the_peer_may_renew_keys_at_any_time},
        {"the peer may renew keys after we have finished",
         the_peer_may_renew_keys_after_we_have_finished},
        {"we renew keys after so many bytes", we_renew_keys_after_so_many_bytes},
        {"a write waits for the rest of a message and goes on",
         a_write_waits_for_the_rest_of_a_message_and_goes_on},
        {"an end without close_notify is truncation", an_end_without_close_notify_is_truncation},
        {"a cut record is truncation and gives no bytes",
         a_cut_record_is_truncation_and_gives_no_bytes},
        {"a changed record is refused", a_changed_record_is_refused},
        {"a peer that never answers close_notify is left at the deadline",
         a_peer_that_never_answers_close_notify_is_left_at_the_deadline},
        {"a refused peer that stays is left after the linger time",
         a_refused_peer_that_stays_is_left_after_the_linger_time},
        {"a peer without TLS is told by its words", a_peer_without_tls_is_told_by_its_words},
        {"garbage at any point of the handshake fails it",
         garbage_at_any_point_of_the_handshake_fails_it},
        {"an abort at any turn ends both sides", an_abort_at_any_turn_ends_both_sides},
        {"any allocation may fail", any_allocation_may_fail},
        CU_TEST_INFO_NULL,
    };

    certs_make_all();
    const int failed = stk_test_run("tls_hostile", tests, STK_TEST_LIMIT_S);
    certs_remove();
    return failed;
}
