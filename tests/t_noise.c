/* Goal: the Noise code gives, byte for byte, what the published vectors say; forgeries fail. */
#include "key_cache.h"
#include "noise.h"

#include "harness.h"

#include <limits.h>
#include <sodium.h>
#include <string.h>

enum { MESSAGES_MAX = 8, FIELD_MAX = 512 };

struct field {
    uint8_t bytes[FIELD_MAX];
    size_t len;
};

struct vector {
    struct field prologue, init_static, init_ephemeral, init_remote, resp_static, resp_ephemeral;
    struct {
        struct field payload, ciphertext;
    } messages[MESSAGES_MAX];
    int count;
};

static void parse_hex(struct field *field, const char *hex)
{
    CU_ASSERT_EQUAL(
        sodium_hex2bin(field->bytes, FIELD_MAX, hex, strlen(hex), NULL, &field->len, NULL), 0);
}

static void parse_line(struct vector *v, const char *name, const char *first, const char *second)
{
    const struct {
        const char *name;
        struct field *field;
    } fields[] = {{"init_prologue", &v->prologue},        {"init_static", &v->init_static},
                  {"init_ephemeral", &v->init_ephemeral}, {"init_remote_static", &v->init_remote},
                  {"resp_static", &v->resp_static},       {"resp_ephemeral", &v->resp_ephemeral}};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (!strcmp(name, fields[i].name))
            parse_hex(fields[i].field, first);
    if (!strcmp(name, "message") && v->count < MESSAGES_MAX) {
        parse_hex(&v->messages[v->count].payload, first);
        parse_hex(&v->messages[v->count++].ciphertext, second);
    }
}

static bool load(struct vector *v, const char *file)
{
    const char *dir = getenv("srcdir");
    char path[PATH_MAX], line[2048], name[64], first[1024], second[1024];

    memset(v, 0, sizeof(*v));
    snprintf(path, sizeof(path), "%s/tests/vectors/%s", dir ? dir : ".", file);
    FILE *in = fopen(path, "r");
    if (!in)
        return false;
    while (fgets(line, sizeof(line), in)) {
        const int n = sscanf(line, "%63s %1023s %1023s", name, first, second);
        if (n >= 2 && name[0] != '#')
            parse_line(v, name, first, second);
    }
    fclose(in);
    return v->count > 2;
}

static struct seal_noise_pair pair_of(const struct field *secret)
{
    struct seal_noise_pair pair;

    memcpy(pair.secret, secret->bytes, SEAL_NOISE_KEY);
    crypto_scalarmult_base(pair.public_key, pair.secret);
    return pair;
}

static int read_first(struct seal_noise *noise, const uint8_t *message, size_t len, uint8_t *out)
{
    struct seal_noise_reading reading = {noise, message, len, out, 0};

    seal_noise_read_first(&reading, 1);
    return reading.code;
}

/* One side writes, the other reads: both against the vector. */
static void check_handshake(const struct vector *v, struct seal_noise *i, struct seal_noise *r)
{
    const struct field *p0 = &v->messages[0].payload, *c0 = &v->messages[0].ciphertext;
    const struct field *p1 = &v->messages[1].payload, *c1 = &v->messages[1].ciphertext;
    const struct seal_noise_pair is = pair_of(&v->init_static), rs = pair_of(&v->resp_static);
    uint8_t out[FIELD_MAX];

    CU_ASSERT_EQUAL(memcmp(rs.public_key, v->init_remote.bytes, 32), 0);
    seal_noise_init(i, &is, v->init_remote.bytes, v->init_ephemeral.bytes, v->prologue.bytes,
                    v->prologue.len);
    seal_noise_init(r, &rs, NULL, v->resp_ephemeral.bytes, v->prologue.bytes, v->prologue.len);

    CU_ASSERT_EQUAL(seal_noise_write_first(i, p0->bytes, p0->len, out), 0);
    CU_ASSERT_EQUAL(c0->len, p0->len + SEAL_NOISE_FIRST_OVERHEAD);
    CU_ASSERT_EQUAL(memcmp(out, c0->bytes, c0->len), 0);
    CU_ASSERT_EQUAL(read_first(r, c0->bytes, c0->len, out), 0);
    CU_ASSERT_EQUAL(memcmp(out, p0->bytes, p0->len), 0);
    CU_ASSERT_EQUAL(memcmp(r->remote_static, is.public_key, 32), 0);

    CU_ASSERT_EQUAL(seal_noise_write_second(r, p1->bytes, p1->len, out), 0);
    CU_ASSERT_EQUAL(memcmp(out, c1->bytes, c1->len), 0);
    CU_ASSERT_EQUAL(seal_noise_read_second(i, c1->bytes, c1->len, out), 0);
    CU_ASSERT_EQUAL(memcmp(out, p1->bytes, p1->len), 0);
    CU_ASSERT_EQUAL(memcmp(i->hash, r->hash, SEAL_NOISE_HASH), 0);
}

/* Messages after the handshake go through the very cipher that carries data. */
static void check_transport(const struct vector *v, struct seal_noise *i, struct seal_noise *r)
{
    uint8_t keys[2][32], other[2][32], data[FIELD_MAX];
    const struct seal_aead *aead = seal_aead_choose(SEAL_CHACHA20_POLY1305, SEAL_ANY_PROVIDER);
    struct seal_key seal[2] = {{0}}, open[2] = {{0}};
    struct seal_key_cache cache;
    uint64_t counters[2] = {0, 0};

    seal_noise_split(i, keys[0], keys[1]);
    seal_noise_split(r, other[0], other[1]);
    CU_ASSERT_EQUAL(memcmp(keys, other, sizeof(keys)), 0);
    seal_key_cache_init(&cache, 4);
    for (int k = 0; k < 2; k++) {
        seal_key_set(&seal[k], aead, keys[k]);
        seal_key_set(&open[k], aead, keys[k]);
    }
    for (int m = 2; m < v->count; m++) {
        const struct field *p = &v->messages[m].payload, *c = &v->messages[m].ciphertext;
        const int from = m % 2;
        struct stk_run run = {.data = data, .size = (uint16_t)p->len, .count = 1};
        uint64_t counter[STK_RUN_COUNT_MAX] = {counters[from]};

        run.last_size = run.size;
        memcpy(data, p->bytes, p->len);
        aead->seal_run(seal_key_use(&cache, &seal[from], 0), &run, 0, counters[from]++);
        CU_ASSERT_EQUAL(memcmp(data, c->bytes, c->len), 0);
        run.size = run.last_size = (uint16_t)c->len;
        CU_ASSERT_EQUAL(aead->open_run(seal_key_use(&cache, &open[from], 0), &run, 0, counter), 1);
        CU_ASSERT_EQUAL(memcmp(data, p->bytes, p->len), 0);
    }
    for (int k = 0; k < 2; k++) {
        seal_key_wipe(&cache, &seal[k]);
        seal_key_wipe(&cache, &open[k]);
    }
}

static void check_file(const char *file)
{
    struct seal_noise i, r;
    struct vector v;

    const bool loaded = load(&v, file);
    CU_ASSERT_TRUE_FATAL(loaded);
    check_handshake(&v, &i, &r);
    check_transport(&v, &i, &r);
}

static void cacophony_vector_passes(void) { check_file("noise_ik_cacophony.txt"); }
static void snow_vector_passes(void) { check_file("noise_ik_snow.txt"); }

static void every_flipped_byte_fails(void)
{
    struct vector v;
    struct seal_noise r, i;
    uint8_t out[FIELD_MAX], message[FIELD_MAX];

    CU_ASSERT_TRUE_FATAL(load(&v, "noise_ik_cacophony.txt"));
    const struct seal_noise_pair is = pair_of(&v.init_static), rs = pair_of(&v.resp_static);
    const struct field *c0 = &v.messages[0].ciphertext, *c1 = &v.messages[1].ciphertext;
    for (size_t k = 0; k < c0->len; k++) {
        memcpy(message, c0->bytes, c0->len);
        message[k] ^= 0x20;
        seal_noise_init(&r, &rs, NULL, v.resp_ephemeral.bytes, v.prologue.bytes, v.prologue.len);
        CU_ASSERT_EQUAL(read_first(&r, message, c0->len, out), -1);
    }
    seal_noise_init(&i, &is, v.init_remote.bytes, v.init_ephemeral.bytes, v.prologue.bytes,
                    v.prologue.len);
    seal_noise_write_first(&i, out, 0, message);
    seal_noise_init(&i, &is, v.init_remote.bytes, v.init_ephemeral.bytes, v.prologue.bytes,
                    v.prologue.len);
    seal_noise_write_first(&i, v.messages[0].payload.bytes, v.messages[0].payload.len, message);
    for (size_t k = 0; k < c1->len; k++) {
        memcpy(message, c1->bytes, c1->len);
        message[k] ^= 1;
        CU_ASSERT_EQUAL(seal_noise_read_second(&i, message, c1->len, out), -1);
    }
    /* After all of these the genuine one still counts. */
    CU_ASSERT_EQUAL(seal_noise_read_second(&i, c1->bytes, c1->len, out), 0);
}

/* Each of several in one call: the damaged ones fail, the others are answered as if alone. */
static void first_messages_read_together_do_not_mix(void)
{
    struct vector v;
    struct seal_noise i, r[SEAL_NOISE_TOGETHER];
    struct seal_noise_reading readings[SEAL_NOISE_TOGETHER];
    uint8_t messages[SEAL_NOISE_TOGETHER][FIELD_MAX], out[FIELD_MAX];

    CU_ASSERT_TRUE_FATAL(load(&v, "noise_ik_cacophony.txt"));
    const struct seal_noise_pair rs = pair_of(&v.resp_static);
    const struct field *p0 = &v.messages[0].payload;
    struct seal_noise_pair is = pair_of(&v.init_static);

    for (unsigned damaged = 0; damaged < 1u << SEAL_NOISE_TOGETHER; damaged += 37) {
        for (unsigned k = 0; k < SEAL_NOISE_TOGETHER; k++) {
            v.init_ephemeral.bytes[0] = v.resp_ephemeral.bytes[0] = (uint8_t)(8 * k);
            seal_noise_init(&i, &is, rs.public_key, v.init_ephemeral.bytes, "", 0);
            seal_noise_init(&r[k], &rs, NULL, v.resp_ephemeral.bytes, "", 0);
            seal_noise_write_first(&i, p0->bytes, p0->len, messages[k]);
            messages[k][30 * (k % 4)] ^= damaged >> k & 1;
            readings[k] = (struct seal_noise_reading){
                &r[k], messages[k], p0->len + SEAL_NOISE_FIRST_OVERHEAD, messages[k], 0};
        }
        seal_noise_read_first(readings, SEAL_NOISE_TOGETHER);
        for (unsigned k = 0; k < SEAL_NOISE_TOGETHER; k++) {
            CU_ASSERT_EQUAL(readings[k].code, damaged >> k & 1 ? -1 : 0);
            if (readings[k].code)
                continue;
            CU_ASSERT_EQUAL(memcmp(messages[k], p0->bytes, p0->len), 0);
            v.init_ephemeral.bytes[0] = (uint8_t)(8 * k);
            seal_noise_init(&i, &is, rs.public_key, v.init_ephemeral.bytes, "", 0);
            seal_noise_write_first(&i, p0->bytes, p0->len, out);
            CU_ASSERT_EQUAL(seal_noise_write_second(&r[k], p0->bytes, p0->len, out), 0);
            CU_ASSERT_EQUAL(
                seal_noise_read_second(&i, out, p0->len + SEAL_NOISE_SECOND_OVERHEAD, out), 0);
        }
    }
}

static void a_point_of_low_order_is_refused(void)
{
    const uint8_t zero[32] = {0}, secret[32] = {1, 2, 3};
    struct seal_noise_pair pair;
    struct seal_noise i;
    uint8_t out[FIELD_MAX];

    memcpy(pair.secret, secret, 32);
    crypto_scalarmult_base(pair.public_key, secret);
    seal_noise_init(&i, &pair, zero, secret, "", 0);
    CU_ASSERT_EQUAL(seal_noise_write_first(&i, secret, 0, out), -1);
}

static void wiping_leaves_zeros(void)
{
    const uint8_t secret[32] = {9};
    struct seal_noise_pair pair;
    struct seal_noise i, zeros;

    memcpy(pair.secret, secret, 32);
    crypto_scalarmult_base(pair.public_key, secret);
    seal_noise_init(&i, &pair, pair.public_key, secret, "x", 1);
    seal_noise_wipe(&i);
    memset(&zeros, 0, sizeof(zeros));
    CU_ASSERT_EQUAL(memcmp(&i, &zeros, sizeof(i)), 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"cacophony's vector passes", cacophony_vector_passes},
        {"snow's vector passes", snow_vector_passes},
        {"every flipped byte fails", every_flipped_byte_fails},
        {"first messages read together do not mix", first_messages_read_together_do_not_mix},
        {"a point of low order is refused", a_point_of_low_order_is_refused},
        {"wiping leaves zeros", wiping_leaves_zeros},
        CU_TEST_INFO_NULL,
    };

    return sodium_init() < 0 ? 99 : stk_test_run("noise", tests, STK_TEST_LIMIT_S);
}
