/*
 * Goal: bytes pass through TLS unchanged and end in order, on any stream, however it cuts them.
 * Method: pairs over memory (with quotas and chunks down to one byte) and tcp, TLS inside TLS.
 */
#include "harness.h"
#include "tls.h"
#include "tls_certs.h"
#include "tls_pair.h"

#define SERVER "/tls,cert=%sserver.pem"
#define CLIENT "/tls,sni=server.example,ca=%sca.crt"

static const struct pair_recipe plain = {NULL, SERVER, CLIENT};

static void bytes_pass_both_ways_and_end_in_order(void)
{
    const struct pair pair = pair_exchange(&plain, 1000, 2000);

    pair_expect_good(&pair, 1000, 2000);
    CU_ASSERT_STRING_EQUAL(pair.client.version, "TLSv1.3");
    CU_ASSERT_STRING_EQUAL(pair.client.name, "server.example");
    CU_ASSERT_STRING_EQUAL(pair.server.name, "");
    CU_ASSERT_TRUE(pair.client.delivered);
}

static void an_empty_stream_ends_in_order(void)
{
    const struct pair pair = pair_exchange(&plain, 0, 0);

    pair_expect_good(&pair, 0, 0);
}

static void megabytes_pass_both_ways(void)
{
    const struct pair pair = pair_exchange(&plain, 4 << 20, 3 << 20);

    pair_expect_good(&pair, 4 << 20, 3 << 20);
}

static void a_stream_of_one_byte_at_a_time_is_enough(void)
{
    static const char *const transports[] = {
        "/memory/pair,quota=1",
        "/memory/pair,chunk=1",
        "/memory/pair,quota=7,chunk=3",
        "/memory/pair,quota=100k,chunk=1000",
    };

    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
        const struct pair pair =
            pair_exchange(&(struct pair_recipe){transports[i], SERVER, CLIENT}, 5000, 20000);

        pair_expect_good(&pair, 5000, 20000);
    }
}

static void writes_of_one_byte_pass(void)
{
    struct pair pair;

    pair_init(&pair);
    pair.client.to_send = pair.server.to_send = 3000;
    pair.client.step = pair.server.step = 1;
    pair.client.finish = pair.server.finish = true;
    CU_ASSERT_EQUAL(pair_start(&pair, &plain), 0);
    CU_ASSERT_TRUE(pair_run(&pair, 100000));
    pair_free(&pair);
    pair_expect_good(&pair, 3000, 3000);
}

static void tls_1_2_is_spoken_where_both_allow_it(void)
{
    const struct pair pair =
        pair_exchange(&(struct pair_recipe){NULL, SERVER ",min=1.2", CLIENT ",min=1.2"}, 100, 100);

    pair_expect_good(&pair, 100, 100);
    CU_ASSERT_STRING_EQUAL(pair.client.version, "TLSv1.3");
}

static void tcp_carries_it(void)
{
    const struct pair pair =
        pair_exchange(&(struct pair_recipe){"/ip4/127.0.0.1/tcp/0", SERVER, "/tls,ca=%sca.crt"},
                      4 << 20, 2 << 20);

    pair_expect_good(&pair, 4 << 20, 2 << 20);
    CU_ASSERT_STRING_EQUAL(pair.client.name, "127.0.0.1");
}

static void tls_inside_tls_moves_megabytes(void)
{
    static const struct pair_recipe recipes[] = {
        {NULL, SERVER SERVER, CLIENT CLIENT},
        {"/memory/pair,quota=3000", SERVER SERVER SERVER, CLIENT CLIENT CLIENT},
        {"/ip4/127.0.0.1/tcp/0", SERVER SERVER, CLIENT CLIENT},
    };

    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        const struct pair pair = pair_exchange(&recipes[i], 4 << 20, 4 << 20);

        pair_expect_good(&pair, 4 << 20, 4 << 20);
    }
}

/* --- Half-close ----------------------------------------------------------------------------------
 */

static void either_side_may_end_first_and_go_on_reading(void)
{
    for (int first = 0; first < 2; first++) {
        struct pair pair;

        pair_init(&pair);
        struct side *ends = first == 0 ? &pair.client : &pair.server;
        struct side *goes_on = first == 0 ? &pair.server : &pair.client;
        ends->finish = true;
        ends->to_send = 10;
        /* Sends only when the other's end has come. */
        goes_on->keep_reading_closed = true;
        CU_ASSERT_EQUAL(pair_start(&pair, &plain), 0);
        for (int i = 0; i < 1000 && !goes_on->finished; i++)
            stk_loop_turn(pair.loop, 0);
        CU_ASSERT_TRUE_FATAL(goes_on->finished);
        CU_ASSERT_FALSE(ends->closed);
        goes_on->to_send = 500000;
        pair_protocol.writable(goes_on->conn);
        CU_ASSERT_TRUE(pair_run(&pair, 100000));
        CU_ASSERT_EQUAL(ends->received, 500000);
        CU_ASSERT_EQUAL(goes_on->received, 10);
        CU_ASSERT_EQUAL(ends->error.code, 0);
        CU_ASSERT_EQUAL(goes_on->error.code, 0);
        pair_free(&pair);
    }
}

/* --- Sessions ------------------------------------------------------------------------------------
 */

static int second_is_resumed(const char *server, const char *first, const char *second)
{
    static struct pair pair;
    struct pair_recipe recipe = {NULL, server, first};

    stk_tls_forget_sessions();
    pair_init(&pair);
    for (int i = 0; i < 2; i++) {
        pair.client = (struct side){.pair = &pair, .finish = true, .to_send = 10};
        pair.server = (struct side){.pair = &pair, .finish = true, .to_send = 10};
        recipe.client = i == 0 ? first : second;
        if (i == 0) {
            CU_ASSERT_EQUAL(pair_start(&pair, &recipe), 0);
        } else {
            char options[2048], text[2200];

            snprintf(text, sizeof text, "/memory/pair%s",
                     pair_options(second, options, sizeof options));
            CU_ASSERT_EQUAL(stk_connect(pair.loop, text, &pair_protocol, &pair.client,
                                        &pair.client.conn, &pair.error),
                            0);
        }
        CU_ASSERT_TRUE(pair_run(&pair, 10000));
        pair_expect_good(&pair, 10, 10);
    }
    pair_free(&pair);
    stk_tls_forget_sessions();
    return pair.client.resumed;
}

static void a_session_is_resumed_by_the_same_client_only(void)
{
    CU_ASSERT_EQUAL(second_is_resumed(SERVER, CLIENT, CLIENT), 1);
    CU_ASSERT_EQUAL(second_is_resumed(SERVER, CLIENT, CLIENT ",resume=no"), 0);
    CU_ASSERT_EQUAL(second_is_resumed(SERVER, CLIENT, "/tls,sni=alias.example,ca=%sca.crt"), 0);
    CU_ASSERT_EQUAL(second_is_resumed(SERVER, "/tls,sni=server.example,verify=no", CLIENT), 0);
}

static void a_resumed_peer_keeps_its_name(void)
{
    static const char server[] = SERVER ",client-ca=%sca.crt";
    static const char client[] = CLIENT ",cert=%sclient.pem";

    CU_ASSERT_EQUAL(second_is_resumed(server, client, client), 1);
}

/* --- Keys ----------------------------------------------------------------------------------------
 */

static void keys_are_renewed_in_mid_stream(void)
{
    const struct pair pair = pair_exchange(
        &(struct pair_recipe){NULL, SERVER ",rekey=64k", CLIENT ",rekey=64k"}, 2 << 20, 2 << 20);

    pair_expect_good(&pair, 2 << 20, 2 << 20);
}

/* --- Insertion -----------------------------------------------------------------------------------
 */

static void tls_is_inserted_into_a_live_connection(void)
{
    struct pair pair;
    char options[512];
    struct stk_error error = {0};

    pair_init(&pair);
    CU_ASSERT_EQUAL(pair_start(&pair, &(struct pair_recipe){NULL, "", ""}), 0);
    for (int i = 0; i < 100 && !(pair.client.opened && pair.server.opened); i++)
        stk_loop_turn(pair.loop, 0);
    pair.client.opened = pair.server.opened = false;
    pair.client.to_send = pair.server.to_send = 1000;
    pair.client.finish = pair.server.finish = true;
    CU_ASSERT_EQUAL(stk_conn_insert(pair.client.conn,
                                    pair_options(CLIENT, options, sizeof options) + 1, 0,
                                    &pair_protocol, &pair.client, &error),
                    0);
    CU_ASSERT_EQUAL(stk_conn_insert(pair.server.conn,
                                    pair_options(SERVER, options, sizeof options) + 1, 0,
                                    &pair_protocol, &pair.server, &error),
                    0);
    CU_ASSERT_TRUE(pair_run(&pair, 10000));
    pair_free(&pair);
    pair_expect_good(&pair, 1000, 1000);
    CU_ASSERT_STRING_EQUAL(pair.client.version, "TLSv1.3");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"bytes pass both ways and end in order", bytes_pass_both_ways_and_end_in_order},
        {"an empty stream ends in order", an_empty_stream_ends_in_order},
        {"megabytes pass both ways", megabytes_pass_both_ways},
        {"a stream of one byte at a time is enough", a_stream_of_one_byte_at_a_time_is_enough},
        {"writes of one byte pass", writes_of_one_byte_pass},
        {"TLS 1.2 is allowed and 1.3 preferred", tls_1_2_is_spoken_where_both_allow_it},
        {"tcp carries it", tcp_carries_it},
        {"TLS inside TLS moves megabytes", tls_inside_tls_moves_megabytes},
        {"either side may end first and go on reading",
         either_side_may_end_first_and_go_on_reading},
        {"a session is resumed by the same client only",
         a_session_is_resumed_by_the_same_client_only},
        {"a resumed peer keeps its name", a_resumed_peer_keeps_its_name},
        {"keys are renewed in mid-stream", keys_are_renewed_in_mid_stream},
        {"TLS is inserted into a live connection", tls_is_inserted_into_a_live_connection},
        CU_TEST_INFO_NULL,
    };

    certs_make_all();
    return stk_test_run("tls", tests, STK_TEST_LIMIT_S);
}
