#include "exchange.h"

/* Tests define SEAL_EXCHANGE_NARROW to be like a machine without these instructions. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(SEAL_EXCHANGE_NARROW)

#include <assert.h>
#include <immintrin.h>
#include <sodium.h>
#include <string.h>

#define IFMA __attribute__((target("avx512f,avx512ifma")))

enum { LIMBS = 5, LIMB_BITS = 51, WORDS = 4, LANES = SEAL_EXCHANGE_LANES };

/*
 * Eight numbers modulo p = 2^255 - 19, one in each lane, in five limbs of 51 bits. The instructions
 * multiply 52 bits by 52 and give the lower or the upper half of the product, so limbs have to stay
 * below 2^52: each function here takes limbs below 2^51 + 2^15 and gives such.
 */
struct wide {
    __m512i limb[LIMBS];
};

IFMA static inline __m512i low_product(__m512i sum, __m512i a, __m512i b)
{
    return _mm512_madd52lo_epu64(sum, a, b);
}

IFMA static inline __m512i high_product(__m512i sum, __m512i a, __m512i b)
{
    return _mm512_madd52hi_epu64(sum, a, b);
}

IFMA static inline __m512i plus(__m512i a, __m512i b) { return _mm512_add_epi64(a, b); }

IFMA static inline __m512i twice(__m512i a) { return _mm512_add_epi64(a, a); }

/* 2^255 is 19. */
IFMA static inline __m512i times_19(__m512i a)
{
    return plus(plus(_mm512_slli_epi64(a, 4), twice(a)), a);
}

/* From limbs below 2^63. All carries move up by one limb at once: 2^13 is the most that arrives. */
IFMA static inline void carry(struct wide *out, __m512i c0, __m512i c1, __m512i c2, __m512i c3,
                              __m512i c4)
{
    const __m512i mask = _mm512_set1_epi64((INT64_C(1) << LIMB_BITS) - 1);
    const __m512i above = times_19(_mm512_srli_epi64(c4, LIMB_BITS));

    out->limb[4] = plus(_mm512_and_si512(c4, mask), _mm512_srli_epi64(c3, LIMB_BITS));
    out->limb[3] = plus(_mm512_and_si512(c3, mask), _mm512_srli_epi64(c2, LIMB_BITS));
    out->limb[2] = plus(_mm512_and_si512(c2, mask), _mm512_srli_epi64(c1, LIMB_BITS));
    out->limb[1] = plus(_mm512_and_si512(c1, mask), _mm512_srli_epi64(c0, LIMB_BITS));
    out->limb[0] = plus(_mm512_and_si512(c0, mask), above);
}

/* A column of 51 bits: the upper halves of the column below begin at its bit 1, not 0. */
IFMA static inline __m512i column(__m512i low, __m512i high_below)
{
    return plus(low, twice(high_below));
}

/* Columns 5 to 9 are 2^255 above those 0 to 4. */
IFMA static inline void fold(struct wide *out, const __m512i low[9], const __m512i high[9])
{
    const __m512i c0 = plus(low[0], times_19(column(low[5], high[4])));
    const __m512i c1 = plus(column(low[1], high[0]), times_19(column(low[6], high[5])));
    const __m512i c2 = plus(column(low[2], high[1]), times_19(column(low[7], high[6])));
    const __m512i c3 = plus(column(low[3], high[2]), times_19(column(low[8], high[7])));
    const __m512i c4 = plus(column(low[4], high[3]), times_19(twice(high[8])));

    carry(out, c0, c1, c2, c3, c4);
}

IFMA static void multiply(struct wide *out, const struct wide *x, const struct wide *y)
{
    __m512i low[9], high[9];

#pragma GCC unroll 9
    for (int k = 0; k < 9; k++)
        low[k] = high[k] = _mm512_setzero_si512();
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
#pragma GCC unroll 5
        for (int j = 0; j < LIMBS; j++) {
            low[i + j] = low_product(low[i + j], x->limb[i], y->limb[j]);
            high[i + j] = high_product(high[i + j], x->limb[i], y->limb[j]);
        }
    }
    fold(out, low, high);
}

IFMA static void square(struct wide *out, const struct wide *x)
{
    __m512i low[9], high[9];

#pragma GCC unroll 9
    for (int k = 0; k < 9; k++)
        low[k] = high[k] = _mm512_setzero_si512();
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
#pragma GCC unroll 5
        for (int j = i + 1; j < LIMBS; j++) {
            low[i + j] = low_product(low[i + j], x->limb[i], x->limb[j]);
            high[i + j] = high_product(high[i + j], x->limb[i], x->limb[j]);
        }
    }
#pragma GCC unroll 9
    for (int k = 0; k < 9; k++) {
        low[k] = twice(low[k]);
        high[k] = twice(high[k]);
    }
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
        low[2 * i] = low_product(low[2 * i], x->limb[i], x->limb[i]);
        high[2 * i] = high_product(high[2 * i], x->limb[i], x->limb[i]);
    }
    fold(out, low, high);
}

IFMA static void square_often(struct wide *out, const struct wide *x, int times)
{
    square(out, x);
    while (--times > 0)
        square(out, out);
}

IFMA static inline void add(struct wide *out, const struct wide *x, const struct wide *y)
{
    const __m512i *const a = x->limb, *const b = y->limb;

    carry(out, plus(a[0], b[0]), plus(a[1], b[1]), plus(a[2], b[2]), plus(a[3], b[3]),
          plus(a[4], b[4]));
}

/* 2 p is added first: no limb goes below zero. */
IFMA static inline void subtract(struct wide *out, const struct wide *x, const struct wide *y)
{
    const __m512i lowest = _mm512_set1_epi64((INT64_C(1) << (LIMB_BITS + 1)) - 38);
    const __m512i other = _mm512_set1_epi64((INT64_C(1) << (LIMB_BITS + 1)) - 2);
    const __m512i *const a = x->limb, *const b = y->limb;

    carry(out, _mm512_sub_epi64(plus(a[0], lowest), b[0]),
          _mm512_sub_epi64(plus(a[1], other), b[1]), _mm512_sub_epi64(plus(a[2], other), b[2]),
          _mm512_sub_epi64(plus(a[3], other), b[3]), _mm512_sub_epi64(plus(a[4], other), b[4]));
}

/* x + 121665 y: RFC 7748 calls the factor a24. */
IFMA static inline void add_multiple(struct wide *out, const struct wide *x, const struct wide *y)
{
    const __m512i a24 = _mm512_set1_epi64(121665), zero = _mm512_setzero_si512();
    __m512i low[LIMBS], high[LIMBS];

#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
        low[i] = low_product(x->limb[i], y->limb[i], a24);
        high[i] = high_product(zero, y->limb[i], a24);
    }
    carry(out, plus(low[0], times_19(twice(high[4]))), column(low[1], high[0]),
          column(low[2], high[1]), column(low[3], high[2]), column(low[4], high[3]));
}

/* Lanes whose bit is set change places. */
IFMA static inline void swap(__mmask8 lanes, struct wide *x, struct wide *y)
{
#pragma GCC unroll 5
    for (int i = 0; i < LIMBS; i++) {
        const __m512i before = x->limb[i];
        x->limb[i] = _mm512_mask_blend_epi64(lanes, before, y->limb[i]);
        y->limb[i] = _mm512_mask_blend_epi64(lanes, y->limb[i], before);
    }
}

/* --- The ladder ------------------------------------------------------------------------------ */

/* Everything that depends on secrets, to be zeroed in one call. */
struct ladder {
    uint64_t scalars[WORDS][LANES], points[WORDS][LANES];
    struct wide u, x2, z2, x3, z3;
    struct wide sum, difference, other_sum, other_difference; /* A, B, C, D of RFC 7748 */
    struct wide sum_squared, difference_squared, e;
    struct wide power[6];
};

/* Bit 255 of a point is left out. */
IFMA static void read_points(struct ladder *l)
{
    const __m512i mask = _mm512_set1_epi64((INT64_C(1) << LIMB_BITS) - 1);
    const __m512i w0 = _mm512_load_si512(l->points[0]), w1 = _mm512_load_si512(l->points[1]);
    const __m512i w2 = _mm512_load_si512(l->points[2]), w3 = _mm512_load_si512(l->points[3]);

    l->u.limb[0] = _mm512_and_si512(w0, mask);
    l->u.limb[1] = _mm512_and_si512(
        _mm512_or_si512(_mm512_srli_epi64(w0, 51), _mm512_slli_epi64(w1, 13)), mask);
    l->u.limb[2] = _mm512_and_si512(
        _mm512_or_si512(_mm512_srli_epi64(w1, 38), _mm512_slli_epi64(w2, 26)), mask);
    l->u.limb[3] = _mm512_and_si512(
        _mm512_or_si512(_mm512_srli_epi64(w2, 25), _mm512_slli_epi64(w3, 39)), mask);
    l->u.limb[4] = _mm512_and_si512(_mm512_srli_epi64(w3, 12), mask);
}

IFMA static void step(struct ladder *l)
{
    add(&l->sum, &l->x2, &l->z2);
    subtract(&l->difference, &l->x2, &l->z2);
    add(&l->other_sum, &l->x3, &l->z3);
    subtract(&l->other_difference, &l->x3, &l->z3);
    square(&l->sum_squared, &l->sum);
    square(&l->difference_squared, &l->difference);
    multiply(&l->x3, &l->other_difference, &l->sum);
    multiply(&l->z3, &l->other_sum, &l->difference);
    subtract(&l->e, &l->sum_squared, &l->difference_squared);
    add(&l->other_sum, &l->x3, &l->z3);
    subtract(&l->other_difference, &l->x3, &l->z3);
    multiply(&l->x2, &l->sum_squared, &l->difference_squared);
    add_multiple(&l->z2, &l->sum_squared, &l->e);
    square(&l->x3, &l->other_sum);
    square(&l->other_difference, &l->other_difference);
    multiply(&l->z2, &l->z2, &l->e);
    multiply(&l->z3, &l->other_difference, &l->u);
}

IFMA static void climb(struct ladder *l)
{
    const __m512i zero = _mm512_setzero_si512(), one = _mm512_set1_epi64(1);
    __mmask8 swapped = 0;

    l->x2 = l->z3 = (struct wide){{one, zero, zero, zero, zero}};
    l->z2 = (struct wide){{zero, zero, zero, zero, zero}};
    l->x3 = l->u;
    for (int t = 254; t >= 0; t--) {
        const __m512i word = _mm512_load_si512(l->scalars[t / 64]);
        const __mmask8 bits =
            _mm512_test_epi64_mask(word, _mm512_slli_epi64(one, (unsigned)t % 64));
        swap((__mmask8)(swapped ^ bits), &l->x2, &l->x3);
        swap((__mmask8)(swapped ^ bits), &l->z2, &l->z3);
        swapped = bits;
        step(l);
    }
    swap(swapped, &l->x2, &l->x3);
    swap(swapped, &l->z2, &l->z3);
}

/* x2 / z2, by z2^(p - 2) = z2^(2^255 - 21); zero where z2 is. */
IFMA static void divide(struct ladder *l)
{
    struct wide *const eleventh = &l->power[0], *const ninth = &l->power[1];
    struct wide *const p5 = &l->power[2], *const p10 = &l->power[3], *const p50 = &l->power[4];
    struct wide *const p = &l->power[5]; /* pN is z2^(2^N - 1) */

    square(p, &l->z2);
    square_often(ninth, p, 2);
    multiply(ninth, ninth, &l->z2);
    multiply(eleventh, ninth, p);
    square(p5, eleventh);
    multiply(p5, p5, ninth);
    square_often(p10, p5, 5);
    multiply(p10, p10, p5);
    square_often(p, p10, 10);
    multiply(p, p, p10); /* p20 */
    square_often(p50, p, 20);
    multiply(p50, p50, p); /* p40 */
    square_often(p50, p50, 10);
    multiply(p50, p50, p10);
    square_often(p, p50, 50);
    multiply(p, p, p50); /* p100 */
    square_often(&l->e, p, 100);
    multiply(p, &l->e, p); /* p200 */
    square_often(p, p, 50);
    multiply(p, p, p50); /* p250 */
    square_often(p, p, 5);
    multiply(p, p, eleventh);
    multiply(&l->x2, &l->x2, p);
}

/* One carry from the lowest limb to the highest; what comes out above it. */
IFMA static __m512i ripple(struct wide *x, __m512i into)
{
    const __m512i mask = _mm512_set1_epi64((INT64_C(1) << LIMB_BITS) - 1);

    for (int i = 0; i < LIMBS; i++) {
        const __m512i sum = plus(x->limb[i], into);
        x->limb[i] = _mm512_and_si512(sum, mask);
        into = _mm512_srli_epi64(sum, LIMB_BITS);
    }
    return into;
}

/* x2 below p, written over the points. */
IFMA static void write_results(struct ladder *l)
{
    struct wide *const x = &l->x2;
    const __m512i above = ripple(x, _mm512_setzero_si512());

    /* Below 2^255 + 19 now. With 19 added it reaches 2^255 where it is p or more: p is taken off.
     */
    x->limb[0] = plus(x->limb[0], times_19(above));
    l->e = *x;
    ripple(x, times_19(ripple(&l->e, _mm512_set1_epi64(19))));
    const __m512i *const a = x->limb;
    _mm512_store_si512(l->points[0], _mm512_or_si512(a[0], _mm512_slli_epi64(a[1], 51)));
    _mm512_store_si512(l->points[1],
                       _mm512_or_si512(_mm512_srli_epi64(a[1], 13), _mm512_slli_epi64(a[2], 38)));
    _mm512_store_si512(l->points[2],
                       _mm512_or_si512(_mm512_srli_epi64(a[2], 26), _mm512_slli_epi64(a[3], 25)));
    _mm512_store_si512(l->points[3],
                       _mm512_or_si512(_mm512_srli_epi64(a[3], 39), _mm512_slli_epi64(a[4], 12)));
}

/* --- Lanes ----------------------------------------------------------------------------------- */

/* Words lie in memory as in the processor: this one has its lowest byte first. */
static void spread(uint64_t words[WORDS][LANES], unsigned lane, const uint8_t *bytes)
{
    for (unsigned w = 0; w < WORDS; w++)
        memcpy(&words[w][lane], bytes + 8 * w, 8);
}

static void fill(struct ladder *l, const struct seal_exchange *exchanges, unsigned count)
{
    static const uint8_t base[SEAL_EXCHANGE_BYTES] = {9};

    for (unsigned lane = 0; lane < LANES; lane++) {
        const struct seal_exchange *e = &exchanges[lane < count ? lane : 0];
        spread(l->points, lane, e->point ? e->point : base);
        spread(l->scalars, lane, e->secret);
        l->scalars[0][lane] &= ~UINT64_C(7);
        l->scalars[3][lane] &= ~(UINT64_C(1) << 63);
        l->scalars[3][lane] |= UINT64_C(1) << 62;
    }
}

bool seal_exchange_ifma_works(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
}

void seal_exchange_ifma(const struct seal_exchange *exchanges, unsigned count)
{
    struct ladder l;

    assert(count <= LANES);
    fill(&l, exchanges, count);
    read_points(&l);
    climb(&l);
    divide(&l);
    write_results(&l);
    for (unsigned lane = 0; lane < count; lane++)
        for (unsigned w = 0; w < WORDS; w++)
            memcpy(exchanges[lane].shared + 8 * w, &l.points[w][lane], 8);
    sodium_memzero(&l, sizeof(l));
}

#else

bool seal_exchange_ifma_works(void) { return false; }

void seal_exchange_ifma(const struct seal_exchange *exchanges, unsigned count)
{
    (void)exchanges, (void)count;
}

#endif
