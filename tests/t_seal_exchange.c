/*
 * Goal: exchanges made together are X25519, each on its own. Method: RFC 7748's vectors in every
 * lane; random keys, numbers next to p and next to limbs' ends, and points of low order, against
 * libsodium; all counts of exchanges.
 */
#include "exchange.h"
#include "harness.h"

#include <sodium.h>
#include <string.h>

enum { MOST = 3 * SEAL_EXCHANGE_LANES, ROUNDS = 400 };

static uint8_t secrets[MOST][32], points[MOST][32], shared[MOST][32];
static struct seal_exchange exchanges[MOST];

static void prepare(void)
{
    for (unsigned i = 0; i < MOST; i++)
        exchanges[i] = (struct seal_exchange){shared[i], secrets[i], points[i]};
}

static void read_hex(uint8_t out[32], const char *hex)
{
    size_t len = 0;

    sodium_hex2bin(out, 32, hex, strlen(hex), NULL, &len, NULL);
    CU_ASSERT_EQUAL(len, 32);
}

/* Numbers from a seed, the same in each run. */
static void fill(uint8_t out[32], unsigned round, unsigned n)
{
    const unsigned in[2] = {round, n};

    crypto_generichash(out, 32, (const uint8_t *)in, sizeof(in), NULL, 0);
}

static void expect_libsodiums(unsigned count)
{
    uint8_t expected[32];

    for (unsigned i = 0; i < count; i++) {
        memset(expected, 0, sizeof(expected));
        if (!exchanges[i].point)
            crypto_scalarmult_base(expected, secrets[i]);
        else if (crypto_scalarmult(expected, secrets[i], points[i]))
            memset(expected, 0, sizeof(expected));
        CU_ASSERT_EQUAL(memcmp(shared[i], expected, 32), 0);
    }
}

static void rfc_7748s_vectors_pass_in_every_lane(void)
{
    static const char *const vectors[][3] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    };
    uint8_t expected[32];

    prepare();
    for (unsigned i = 0; i < SEAL_EXCHANGE_LANES; i++) {
        read_hex(secrets[i], vectors[i % 2][0]);
        read_hex(points[i], vectors[i % 2][1]);
    }
    seal_exchange(exchanges, SEAL_EXCHANGE_LANES);
    for (unsigned i = 0; i < SEAL_EXCHANGE_LANES; i++) {
        read_hex(expected, vectors[i % 2][2]);
        CU_ASSERT_EQUAL(memcmp(shared[i], expected, 32), 0);
    }
}

/* RFC 7748, section 5.2: each result is the next secret, each secret the next point. */
static void a_thousand_rounds_lead_where_rfc_7748_says(void)
{
    uint8_t expected[32];

    prepare();
    memset(secrets, 0, sizeof(secrets));
    memset(points, 0, sizeof(points));
    for (unsigned i = 0; i < 2; i++)
        secrets[i][0] = points[i][0] = 9;
    for (int round = 0; round < 1000; round++) {
        seal_exchange(exchanges, 2);
        memcpy(points, secrets, sizeof(points));
        memcpy(secrets, shared, sizeof(secrets));
    }
    read_hex(expected, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    CU_ASSERT_EQUAL(memcmp(shared[0], expected, 32), 0);
    CU_ASSERT_EQUAL(memcmp(shared[1], expected, 32), 0);
}

static void any_number_of_them_gives_what_libsodium_gives(void)
{
    prepare();
    for (unsigned round = 0; round < ROUNDS; round++) {
        const unsigned count = round % (MOST + 1);
        for (unsigned i = 0; i < MOST; i++) {
            fill(secrets[i], round, 2 * i);
            fill(points[i], round, 2 * i + 1);
            exchanges[i].point = (round + i) % 3 ? points[i] : NULL;
        }
        memset(shared, 0xaa, sizeof(shared));
        seal_exchange(exchanges, count);
        expect_libsodiums(count);
        for (unsigned i = count; i < MOST; i++)
            CU_ASSERT_EQUAL(shared[i][0] & shared[i][31], 0xaa);
    }
}

/* Runs of ones and zeros around each bit; p, 2 p, 2^255, with a little more and less. */
static void numbers_at_the_edges_give_what_libsodium_gives(void)
{
    prepare();
    for (unsigned bit = 0; bit < 256; bit++) {
        for (unsigned i = 0; i < SEAL_EXCHANGE_LANES; i++) {
            memset(points[i], i & 1 ? 0xff : 0, 32);
            memset(secrets[i], i & 2 ? 0xff : 0, 32);
            points[i][bit / 8] ^= (uint8_t)(1 << bit % 8);
            secrets[i][bit / 8] ^= (uint8_t)(i & 4 ? 0xff << bit % 8 : 0);
        }
        seal_exchange(exchanges, SEAL_EXCHANGE_LANES);
        expect_libsodiums(SEAL_EXCHANGE_LANES);
    }
    for (unsigned lowest = 0; lowest < 256; lowest++) {
        for (unsigned i = 0; i < SEAL_EXCHANGE_LANES; i++) {
            fill(secrets[i], lowest, i);
            memset(points[i], i & 1 ? 0xff : 0, 32);
            points[i][0] = (uint8_t)lowest;
            points[i][31] ^= i & 2 ? 0x80 : 0;
        }
        seal_exchange(exchanges, SEAL_EXCHANGE_LANES);
        expect_libsodiums(SEAL_EXCHANGE_LANES);
    }
}

static void points_of_low_order_give_zero_and_disturb_nobody(void)
{
    static const char *const low[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };

    prepare();
    for (unsigned first = 0; first < sizeof(low) / sizeof(low[0]); first++) {
        for (unsigned i = 0; i < SEAL_EXCHANGE_LANES; i++) {
            fill(secrets[i], first, i);
            fill(points[i], first, i + 100);
        }
        read_hex(points[first], low[first]);
        memset(shared, 0xaa, sizeof(shared));
        seal_exchange(exchanges, SEAL_EXCHANGE_LANES);
        CU_ASSERT_TRUE(sodium_is_zero(shared[first], 32));
        expect_libsodiums(SEAL_EXCHANGE_LANES);
    }
}

/* --- Arithmetic that is wrong ------------------------------------------------------------------
 */

static unsigned wrong_lane, wrong_byte;

static void one_by_one(const struct seal_exchange *e, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (crypto_scalarmult(e[i].shared, e[i].secret, e[i].point))
            memset(e[i].shared, 0, 32);
}

static void wrong_in_a_lane(const struct seal_exchange *e, unsigned count)
{
    one_by_one(e, count);
    e[wrong_lane].shared[wrong_byte] ^= 0x10;
}

static void lanes_mixed_up(const struct seal_exchange *e, unsigned count)
{
    uint8_t first[32];

    one_by_one(e, count);
    memcpy(first, e[0].shared, 32);
    memcpy(e[0].shared, e[1].shared, 32);
    memcpy(e[1].shared, first, 32);
}

static void nothing(const struct seal_exchange *e, unsigned count) { (void)e, (void)count; }

static void a_lane_that_is_wrong_does_not_pass(void)
{
    CU_ASSERT_TRUE(seal_exchange_passes(one_by_one));
    CU_ASSERT_FALSE(seal_exchange_passes(nothing));
    CU_ASSERT_FALSE(seal_exchange_passes(lanes_mixed_up));
    for (wrong_lane = 0; wrong_lane < SEAL_EXCHANGE_LANES; wrong_lane++)
        for (wrong_byte = 0; wrong_byte < 32; wrong_byte++)
            CU_ASSERT_FALSE(seal_exchange_passes(wrong_in_a_lane));
    CU_ASSERT_EQUAL(seal_exchange_is_wide(), seal_exchange_ifma_works());
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"RFC 7748's vectors pass in every lane", rfc_7748s_vectors_pass_in_every_lane},
        {"a thousand rounds lead where RFC 7748 says", a_thousand_rounds_lead_where_rfc_7748_says},
        {"any number of them gives what libsodium gives",
         any_number_of_them_gives_what_libsodium_gives},
        {"numbers at the edges give what libsodium gives",
         numbers_at_the_edges_give_what_libsodium_gives},
        {"points of low order give zero and disturb nobody",
         points_of_low_order_give_zero_and_disturb_nobody},
        {"a lane that is wrong does not pass", a_lane_that_is_wrong_does_not_pass},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    if (!seal_exchange_is_wide())
        stk_test_skip("this machine makes exchanges one by one; so do these tests");
    return stk_test_run("seal, exchange", tests, STK_TEST_LIMIT_S);
}
