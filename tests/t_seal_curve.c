/*
 * Goal: the shortcuts around Curve25519 give what libsodium gives, and take no key that it would
 * not, but for parts of small order. Method: many keys against libsodium, keys with a bit
 * changed, all ways to write small numbers, points of small order, points of the twist.
 */
#include "curve.h"
#include "harness.h"

#include <sodium.h>
#include <string.h>

enum { KEYS = 2000 };

static uint8_t ed25519[32], x25519[32];

/* A key pair's public keys from a number. */
static void make_keys(unsigned n)
{
    uint8_t seed[32] = {0}, secret[64];

    memcpy(seed, &n, sizeof(n));
    crypto_sign_seed_keypair(ed25519, secret, seed);
    CU_ASSERT_EQUAL_FATAL(crypto_sign_ed25519_pk_to_curve25519(x25519, ed25519), 0);
}

static void keys_that_belong_together_are_the_same(void)
{
    for (unsigned n = 0; n < KEYS; n++) {
        make_keys(n);
        CU_ASSERT_TRUE(seal_curve_is_same(ed25519, x25519));
        /* The other point with this y: its form of Montgomery is the same. */
        ed25519[31] ^= 0x80;
        CU_ASSERT_TRUE(seal_curve_is_same(ed25519, x25519));
    }
}

static void others_are_not(void)
{
    uint8_t other[32];

    make_keys(1);
    memcpy(other, x25519, sizeof(other));
    for (unsigned n = 2; n < KEYS; n++) {
        make_keys(n);
        CU_ASSERT_FALSE(seal_curve_is_same(ed25519, other));
    }
    for (int bit = 0; bit < 256; bit++) {
        x25519[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_FALSE(seal_curve_is_same(ed25519, x25519));
        x25519[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (int bit = 0; bit < 255; bit++) {
        ed25519[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_FALSE(seal_curve_is_same(ed25519, x25519));
        ed25519[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CU_ASSERT_TRUE(seal_curve_is_same(ed25519, x25519));
}

static const uint8_t p_bytes[32] = {
    0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};

static void small_numbers_are_taken_as_libsodium_takes_them(void)
{
    unsigned taken = 0;

    for (unsigned y = 0; y < 256; y++) {
        memset(ed25519, 0, sizeof(ed25519));
        ed25519[0] = (uint8_t)y;
        if (crypto_sign_ed25519_pk_to_curve25519(x25519, ed25519))
            continue;
        taken++;
        CU_ASSERT_TRUE(seal_curve_is_same(ed25519, x25519));
        /* y + p is the same number, written in another way. */
        memcpy(ed25519, p_bytes, sizeof(ed25519));
        if (y < 19) {
            ed25519[0] = (uint8_t)(0xed + y);
            CU_ASSERT_FALSE(seal_curve_is_same(ed25519, x25519));
        }
    }
    CU_ASSERT_TRUE(taken > 4);
}

static void points_of_small_order_give_no_exchange(void)
{
    static const uint8_t us[][32] = {{0}, {1}};
    uint8_t y[32];

    for (unsigned i = 0; i < 2; i++)
        for (unsigned first = 0; first < 256; first++) {
            memset(y, 0, sizeof(y));
            y[0] = (uint8_t)first;
            /* u = 0 is y = -1 and has no v but zero; u = 1 is y = 0, a point of order four. */
            CU_ASSERT_EQUAL(seal_curve_is_same(y, us[i]), i == 1 && first == 0);
        }
    memcpy(y, p_bytes, sizeof(y));
    y[0] = 0xec; /* -1 */
    CU_ASSERT_FALSE(seal_curve_is_same(y, us[0]));
    /* What is let through, an exchange refuses. */
    uint8_t secret[32], shared[32];
    randombytes_buf(secret, sizeof(secret));
    CU_ASSERT_NOT_EQUAL(crypto_scalarmult(shared, secret, us[1]), 0);
}

static void points_of_the_twist_are_refused(void)
{
    /* u = 2 has no point on the curve; its y would be 1 / 3. */
    static const uint8_t third[32] = {0x49, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55,
                                      0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55,
                                      0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55,
                                      0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55};
    static const uint8_t two[32] = {2};

    CU_ASSERT_FALSE(crypto_core_ed25519_is_valid_point(third));
    CU_ASSERT_FALSE(seal_curve_is_same(third, two));
}

static void public_keys_are_libsodiums(void)
{
    uint8_t secret[32], expected[32], got[32];

    for (unsigned n = 0; n < KEYS; n++) {
        crypto_generichash(secret, sizeof(secret), (const uint8_t *)&n, sizeof(n), NULL, 0);
        crypto_scalarmult_base(expected, secret);
        seal_curve_public(got, secret);
        CU_ASSERT_EQUAL(memcmp(expected, got, sizeof(got)), 0);
    }
    for (int fill = 0; fill < 256; fill += 255) {
        memset(secret, fill, sizeof(secret));
        crypto_scalarmult_base(expected, secret);
        seal_curve_public(got, secret);
        CU_ASSERT_EQUAL(memcmp(expected, got, sizeof(got)), 0);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"keys that belong together are the same", keys_that_belong_together_are_the_same},
        {"others are not", others_are_not},
        {"small numbers are taken as libsodium takes them",
         small_numbers_are_taken_as_libsodium_takes_them},
        {"points of small order give no exchange", points_of_small_order_give_no_exchange},
        {"points of the twist are refused", points_of_the_twist_are_refused},
        {"public keys are libsodium's", public_keys_are_libsodiums},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    return stk_test_run("seal, curve", tests, STK_TEST_LIMIT_S);
}
