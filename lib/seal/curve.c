#include "curve.h"

#include <sodium.h>
#include <string.h>

#ifdef __SIZEOF_INT128__

/* --- Numbers modulo p = 2^255 - 19, in five limbs of 51 bits -----------------------------------
 */

__extension__ typedef unsigned __int128 uint128;

enum { LIMBS = 5, LIMB_BITS = 51 };

#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)

/* Limbs stay below 2^52 between operations, so that no sum of products overflows. */
struct number {
    uint64_t limb[LIMBS];
};

static const struct number one = {{1}};

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static void store_le64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* Bit 255 is left out. */
static struct number number_from(const uint8_t bytes[SEAL_CURVE_BYTES])
{
    return (struct number){{
        load_le64(bytes) & LIMB_MASK,
        load_le64(bytes + 6) >> 3 & LIMB_MASK,
        load_le64(bytes + 12) >> 6 & LIMB_MASK,
        load_le64(bytes + 19) >> 1 & LIMB_MASK,
        load_le64(bytes + 24) >> 12 & LIMB_MASK,
    }};
}

/* The same value modulo p in limbs below 2^51, but for the lowest, which may be a bit more. */
static struct number carried(struct number a)
{
    for (int i = 0; i < LIMBS; i++) {
        const uint64_t carry = a.limb[i] >> LIMB_BITS;
        a.limb[i] &= LIMB_MASK;
        a.limb[(i + 1) % LIMBS] += i + 1 < LIMBS ? carry : 19 * carry;
    }
    return a;
}

static struct number add(struct number a, struct number b)
{
    for (int i = 0; i < LIMBS; i++)
        a.limb[i] += b.limb[i];
    return carried(a);
}

/* 8 p is added first: no limb goes below zero. */
static struct number subtract(struct number a, struct number b)
{
    for (int i = 0; i < LIMBS; i++)
        a.limb[i] += 8 * (i ? LIMB_MASK : LIMB_MASK - 18) - b.limb[i];
    return carried(a);
}

static uint128 product(uint64_t a, uint64_t b) { return (uint128)a * b; }

/* By hand: compilers don't unroll it at -O2, and it would take thrice as long. */
static struct number multiply(struct number x, struct number y)
{
    const uint64_t *const a = x.limb, *const b = y.limb;
    /* 2^255 is 19. */
    const uint64_t b1 = 19 * b[1], b2 = 19 * b[2], b3 = 19 * b[3], b4 = 19 * b[4];
    uint128 s0, s1, s2, s3, s4;

    s0 = product(a[0], b[0]) + product(a[1], b4) + product(a[2], b3) + product(a[3], b2) +
         product(a[4], b1);
    s1 = product(a[0], b[1]) + product(a[1], b[0]) + product(a[2], b4) + product(a[3], b3) +
         product(a[4], b2);
    s2 = product(a[0], b[2]) + product(a[1], b[1]) + product(a[2], b[0]) + product(a[3], b4) +
         product(a[4], b3);
    s3 = product(a[0], b[3]) + product(a[1], b[2]) + product(a[2], b[1]) + product(a[3], b[0]) +
         product(a[4], b4);
    s4 = product(a[0], b[4]) + product(a[1], b[3]) + product(a[2], b[2]) + product(a[3], b[1]) +
         product(a[4], b[0]);
    s1 += s0 >> LIMB_BITS;
    s2 += s1 >> LIMB_BITS;
    s3 += s2 >> LIMB_BITS;
    s4 += s3 >> LIMB_BITS;

    const uint64_t low = ((uint64_t)s0 & LIMB_MASK) + 19 * (uint64_t)(s4 >> LIMB_BITS);
    return (struct number){{
        low & LIMB_MASK,
        ((uint64_t)s1 & LIMB_MASK) + (low >> LIMB_BITS),
        (uint64_t)s2 & LIMB_MASK,
        (uint64_t)s3 & LIMB_MASK,
        (uint64_t)s4 & LIMB_MASK,
    }};
}

static struct number squared(struct number a, int times)
{
    while (times-- > 0)
        a = multiply(a, a);
    return a;
}

/* The one way to write it. */
static void number_write(struct number a, uint8_t bytes[SEAL_CURVE_BYTES])
{
    uint64_t above = 19;

    a = carried(carried(a));
    /* a + 19 reaches 2^255 where a is p or more: then p is taken off. */
    for (int i = 0; i < LIMBS; i++)
        above = (a.limb[i] + above) >> LIMB_BITS;
    a.limb[0] += 19 * above;
    for (int i = 0; i + 1 < LIMBS; i++) {
        a.limb[i + 1] += a.limb[i] >> LIMB_BITS;
        a.limb[i] &= LIMB_MASK;
    }
    a.limb[LIMBS - 1] &= LIMB_MASK;
    const uint64_t *const l = a.limb;
    store_le64(bytes, l[0] | l[1] << 51);
    store_le64(bytes + 8, l[1] >> 13 | l[2] << 38);
    store_le64(bytes + 16, l[2] >> 26 | l[3] << 25);
    store_le64(bytes + 24, l[3] >> 39 | l[4] << 12);
}

static bool is_equal(struct number a, struct number b)
{
    uint8_t left[SEAL_CURVE_BYTES], right[SEAL_CURVE_BYTES];

    number_write(a, left);
    number_write(b, right);
    return !memcmp(left, right, sizeof(left));
}

/* a^(2^250 - 1), and a^11 on the way. */
static struct number power_250(struct number a, struct number *eleventh)
{
    const struct number second = squared(a, 1);
    const struct number ninth = multiply(squared(second, 2), a);
    *eleventh = multiply(ninth, second);
    const struct number p5 = multiply(squared(*eleventh, 1), ninth); /* a^(2^5 - 1) */
    const struct number p10 = multiply(squared(p5, 5), p5);
    const struct number p20 = multiply(squared(p10, 10), p10);
    const struct number p40 = multiply(squared(p20, 20), p20);
    const struct number p50 = multiply(squared(p40, 10), p10);
    const struct number p100 = multiply(squared(p50, 50), p50);
    const struct number p200 = multiply(squared(p100, 100), p100);

    return multiply(squared(p200, 50), p50);
}

/* a^(p - 2) = a^(2^255 - 21) */
static struct number inverse(struct number a)
{
    struct number eleventh;
    const struct number power = power_250(a, &eleventh);

    return multiply(squared(power, 5), eleventh);
}

/* By Euler's criterion: a^((p - 1) / 2) = a^(2^254 - 10) is 1. */
static bool is_square(struct number a)
{
    struct number eleventh;
    const struct number power = power_250(a, &eleventh);
    const struct number sixth = multiply(squared(a, 2), squared(a, 1));

    /* 2^254 - 10 = 16 (2^250 - 1) + 6 */
    return is_equal(multiply(squared(power, 4), sixth), one);
}

/* --- Points ---------------------------------------------------------------------------------- */

/* v^2 = u^3 + 486662 u^2 + u has a solution other than zero. */
static bool is_on_curve(struct number u)
{
    static const struct number a = {{486662}};
    const struct number inner = add(multiply(add(u, a), u), one);

    return is_square(multiply(inner, u));
}

/* Bit 255 is no part of the number. */
static bool is_canonical(const uint8_t bytes[SEAL_CURVE_BYTES], uint8_t last)
{
    uint8_t again[SEAL_CURVE_BYTES];

    number_write(number_from(bytes), again);
    return !memcmp(bytes, again, SEAL_CURVE_BYTES - 1) && again[SEAL_CURVE_BYTES - 1] == last;
}

bool seal_curve_is_same(const uint8_t ed25519[SEAL_CURVE_BYTES],
                        const uint8_t x25519[SEAL_CURVE_BYTES])
{
    const struct number y = number_from(ed25519), u = number_from(x25519);

    if (!is_canonical(ed25519, ed25519[SEAL_CURVE_BYTES - 1] & 0x7f) ||
        !is_canonical(x25519, x25519[SEAL_CURVE_BYTES - 1]))
        return false;
    /* RFC 7748: u = (1 + y) / (1 - y); y = 1 fits no u. */
    return is_equal(multiply(u, subtract(one, y)), add(one, y)) && is_on_curve(u);
}

void seal_curve_public(uint8_t x25519[SEAL_CURVE_BYTES], const uint8_t secret[SEAL_CURVE_BYTES])
{
    uint8_t point[crypto_scalarmult_ed25519_BYTES];

    /* It fails for no clamped secret: none is a multiple of the base point's order. */
    if (crypto_scalarmult_ed25519_base(point, secret)) {
        crypto_scalarmult_base(x25519, secret);
        return;
    }
    const struct number y = number_from(point);
    number_write(multiply(add(one, y), inverse(subtract(one, y))), x25519);
}

#else

bool seal_curve_is_same(const uint8_t ed25519[SEAL_CURVE_BYTES],
                        const uint8_t x25519[SEAL_CURVE_BYTES])
{
    uint8_t converted[SEAL_CURVE_BYTES];

    return !crypto_sign_ed25519_pk_to_curve25519(converted, ed25519) &&
           !memcmp(converted, x25519, sizeof(converted));
}

void seal_curve_public(uint8_t x25519[SEAL_CURVE_BYTES], const uint8_t secret[SEAL_CURVE_BYTES])
{
    crypto_scalarmult_base(x25519, secret);
}

#endif
