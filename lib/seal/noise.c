#include "noise.h"

#include "exchange.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static const char protocol_name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2b";

enum { BLOCK = 128 }; /* bytes that BLAKE2b takes at a time: HMAC pads its key to that */

static void hash_two(uint8_t out[SEAL_NOISE_HASH], const void *a, size_t a_len, const void *b,
                     size_t b_len)
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, NULL, 0, SEAL_NOISE_HASH);
    crypto_generichash_update(&state, a, a_len);
    crypto_generichash_update(&state, b, b_len);
    crypto_generichash_final(&state, out, SEAL_NOISE_HASH);
    sodium_memzero(&state, sizeof(state));
}

/* RFC 2104 over BLAKE2b: Noise fixes HMAC and does not use BLAKE2's own keyed mode. */
static void hmac(uint8_t out[SEAL_NOISE_HASH], const uint8_t key[SEAL_NOISE_HASH], const void *data,
                 size_t len)
{
    uint8_t inner[BLOCK], outer[BLOCK], digest[SEAL_NOISE_HASH];

    memset(inner, 0x36, sizeof(inner));
    memset(outer, 0x5c, sizeof(outer));
    for (int i = 0; i < SEAL_NOISE_HASH; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }
    hash_two(digest, inner, sizeof(inner), data, len);
    hash_two(out, outer, sizeof(outer), digest, sizeof(digest));
    sodium_memzero(inner, sizeof(inner));
    sodium_memzero(outer, sizeof(outer));
    sodium_memzero(digest, sizeof(digest));
}

static void hkdf(uint8_t first[SEAL_NOISE_HASH], uint8_t second[SEAL_NOISE_HASH],
                 const uint8_t chaining_key[SEAL_NOISE_HASH], const void *input, size_t len)
{
    uint8_t temporary[SEAL_NOISE_HASH], chained[SEAL_NOISE_HASH + 1];

    hmac(temporary, chaining_key, input, len);
    chained[0] = 1;
    hmac(first, temporary, chained, 1);
    memcpy(chained, first, SEAL_NOISE_HASH);
    chained[SEAL_NOISE_HASH] = 2;
    hmac(second, temporary, chained, sizeof(chained));
    sodium_memzero(temporary, sizeof(temporary));
    sodium_memzero(chained, sizeof(chained));
}

static void mix_hash(struct seal_noise *noise, const void *data, size_t len)
{
    hash_two(noise->hash, noise->hash, SEAL_NOISE_HASH, data, len);
}

/* 0, or -1 if the exchange had a point of low order. */
static int mix_key(struct seal_noise *noise, const uint8_t shared[SEAL_NOISE_KEY])
{
    uint8_t first[SEAL_NOISE_HASH], second[SEAL_NOISE_HASH];

    hkdf(first, second, noise->chaining_key, shared, SEAL_NOISE_KEY);
    memcpy(noise->chaining_key, first, SEAL_NOISE_HASH);
    memcpy(noise->key, second, SEAL_NOISE_KEY);
    noise->nonce = 0;
    sodium_memzero(first, sizeof(first));
    sodium_memzero(second, sizeof(second));
    return sodium_is_zero(shared, SEAL_NOISE_KEY) ? -1 : 0;
}

static void next_nonce(struct seal_noise *noise, uint8_t nonce[12])
{
    memset(nonce, 0, 12);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(noise->nonce >> 8 * i);
    noise->nonce++;
}

static void encrypt_and_hash(struct seal_noise *noise, const uint8_t *plain, size_t len,
                             uint8_t *out)
{
    uint8_t nonce[12];

    next_nonce(noise, nonce);
    crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, noise->hash, SEAL_NOISE_HASH,
                                              NULL, nonce, noise->key);
    mix_hash(noise, out, len + SEAL_NOISE_TAG);
}

/* `out` may be `sealed`: what it hashes, it hashes before. */
static int decrypt_and_hash(struct seal_noise *noise, const uint8_t *sealed, size_t len,
                            uint8_t *out)
{
    uint8_t nonce[12], hash[SEAL_NOISE_HASH];

    next_nonce(noise, nonce);
    hash_two(hash, noise->hash, SEAL_NOISE_HASH, sealed, len);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, len, noise->hash,
                                                  SEAL_NOISE_HASH, nonce, noise->key))
        return -1;
    memcpy(noise->hash, hash, SEAL_NOISE_HASH);
    return 0;
}

void seal_noise_init(struct seal_noise *noise, const struct seal_noise_pair *local_static,
                     const uint8_t *remote_static, const uint8_t ephemeral_secret[SEAL_NOISE_KEY],
                     const void *prologue, size_t prologue_len)
{
    static_assert(sizeof(protocol_name) - 1 <= SEAL_NOISE_HASH, "the name is hashed if longer");

    memset(noise, 0, sizeof(*noise));
    noise->initiator = remote_static != NULL;
    noise->local_static = *local_static;
    memcpy(noise->local_ephemeral.secret, ephemeral_secret, SEAL_NOISE_KEY);
    memcpy(noise->hash, protocol_name, sizeof(protocol_name) - 1);
    memcpy(noise->chaining_key, noise->hash, SEAL_NOISE_HASH);
    mix_hash(noise, prologue, prologue_len);
    if (remote_static)
        memcpy(noise->remote_static, remote_static, SEAL_NOISE_KEY);
    mix_hash(noise, remote_static ? remote_static : local_static->public_key, SEAL_NOISE_KEY);
}

void seal_noise_wipe(struct seal_noise *noise) { sodium_memzero(noise, sizeof(*noise)); }

/* --- The initiator's side -------------------------------------------------------------------- */

int seal_noise_write_first(struct seal_noise *noise, const uint8_t *payload, size_t payload_len,
                           uint8_t *out)
{
    struct seal_noise_pair *const e = &noise->local_ephemeral, *const s = &noise->local_static;
    uint8_t es[SEAL_NOISE_KEY], ss[SEAL_NOISE_KEY];
    const struct seal_exchange exchanges[] = {
        {e->public_key, e->secret, NULL},
        {es, e->secret, noise->remote_static},
        {ss, s->secret, noise->remote_static},
    };

    assert(noise->initiator && noise->step == SEAL_NOISE_FIRST);
    seal_exchange(exchanges, 3);
    memcpy(out, e->public_key, SEAL_NOISE_KEY);
    mix_hash(noise, out, SEAL_NOISE_KEY);
    int code = mix_key(noise, es);
    encrypt_and_hash(noise, s->public_key, SEAL_NOISE_KEY, out + SEAL_NOISE_KEY);
    code |= mix_key(noise, ss);
    encrypt_and_hash(noise, payload, payload_len, out + 2 * SEAL_NOISE_KEY + SEAL_NOISE_TAG);
    sodium_memzero(es, sizeof(es));
    sodium_memzero(ss, sizeof(ss));
    if (!code)
        noise->step = SEAL_NOISE_SECOND;
    return code;
}

static int read_second(struct seal_noise *noise, const uint8_t *message, size_t len,
                       uint8_t *payload)
{
    uint8_t ee[SEAL_NOISE_KEY], se[SEAL_NOISE_KEY];
    const struct seal_exchange exchanges[] = {
        {ee, noise->local_ephemeral.secret, message},
        {se, noise->local_static.secret, message},
    };

    memcpy(noise->remote_ephemeral, message, SEAL_NOISE_KEY);
    mix_hash(noise, message, SEAL_NOISE_KEY);
    seal_exchange(exchanges, 2);
    int code = mix_key(noise, ee);
    code |= mix_key(noise, se);
    sodium_memzero(ee, sizeof(ee));
    sodium_memzero(se, sizeof(se));
    if (code)
        return code;
    return decrypt_and_hash(noise, message + SEAL_NOISE_KEY, len - SEAL_NOISE_KEY, payload);
}

int seal_noise_read_second(struct seal_noise *noise, const uint8_t *message, size_t len,
                           uint8_t *payload)
{
    assert(noise->initiator && noise->step == SEAL_NOISE_SECOND);
    if (len < SEAL_NOISE_SECOND_OVERHEAD)
        return -1;

    struct seal_noise trial = *noise;
    const int result = read_second(&trial, message, len, payload);

    if (!result) {
        *noise = trial;
        noise->step = SEAL_NOISE_SPLIT;
    }
    seal_noise_wipe(&trial);
    return result;
}

/* --- The responder's side -------------------------------------------------------------------- */

/* Exchanges that are to be made together, for those whose messages are good so far. */
struct plan {
    struct seal_exchange exchanges[3 * SEAL_NOISE_TOGETHER];
    unsigned count;
    uint8_t shared[SEAL_NOISE_TOGETHER][SEAL_NOISE_KEY];
};

static void plan_one(struct plan *plan, uint8_t *shared, const uint8_t *secret,
                     const uint8_t *point)
{
    plan->exchanges[plan->count++] = (struct seal_exchange){shared, secret, point};
}

static void carry_out(struct plan *plan)
{
    seal_exchange(plan->exchanges, plan->count);
    plan->count = 0;
}

/* es; and what the answer needs of the initiator's ephemeral key. */
static void plan_ephemeral(struct plan *plan, struct seal_noise *noise, uint8_t *es)
{
    plan_one(plan, es, noise->local_static.secret, noise->remote_ephemeral);
    if (!seal_exchange_is_wide())
        return;
    plan_one(plan, noise->local_ephemeral.public_key, noise->local_ephemeral.secret, NULL);
    plan_one(plan, noise->ee, noise->local_ephemeral.secret, noise->remote_ephemeral);
}

/* ss; and what the answer needs of the initiator's static key. */
static void plan_static(struct plan *plan, struct seal_noise *noise, uint8_t *ss)
{
    plan_one(plan, ss, noise->local_static.secret, noise->remote_static);
    if (!seal_exchange_is_wide())
        return;
    plan_one(plan, noise->se, noise->local_ephemeral.secret, noise->remote_static);
    noise->answer_ready = true;
}

static void take_ephemeral(struct seal_noise_reading *r)
{
    r->code = r->len < SEAL_NOISE_FIRST_OVERHEAD ? -1 : 0;
    if (r->code)
        return;
    assert(!r->noise->initiator && r->noise->step == SEAL_NOISE_FIRST);
    memcpy(r->noise->remote_ephemeral, r->message, SEAL_NOISE_KEY);
    mix_hash(r->noise, r->message, SEAL_NOISE_KEY);
}

static void take_static(struct seal_noise_reading *r, const uint8_t es[SEAL_NOISE_KEY])
{
    r->code = mix_key(r->noise, es);
    if (!r->code)
        r->code = decrypt_and_hash(r->noise, r->message + SEAL_NOISE_KEY,
                                   SEAL_NOISE_KEY + SEAL_NOISE_TAG, r->noise->remote_static);
}

static void take_payload(struct seal_noise_reading *r, const uint8_t ss[SEAL_NOISE_KEY])
{
    const size_t at = 2 * SEAL_NOISE_KEY + SEAL_NOISE_TAG;

    r->code = mix_key(r->noise, ss);
    if (!r->code)
        r->code = decrypt_and_hash(r->noise, r->message + at, r->len - at, r->payload);
    if (!r->code)
        r->noise->step = SEAL_NOISE_SECOND;
}

void seal_noise_read_first(struct seal_noise_reading *readings, unsigned count)
{
    struct plan plan = {.count = 0};

    assert(count <= SEAL_NOISE_TOGETHER);
    for (unsigned i = 0; i < count; i++) {
        take_ephemeral(&readings[i]);
        if (!readings[i].code)
            plan_ephemeral(&plan, readings[i].noise, plan.shared[i]);
    }
    carry_out(&plan);
    for (unsigned i = 0; i < count; i++) {
        if (!readings[i].code)
            take_static(&readings[i], plan.shared[i]);
        if (!readings[i].code)
            plan_static(&plan, readings[i].noise, plan.shared[i]);
    }
    carry_out(&plan);
    for (unsigned i = 0; i < count; i++)
        if (!readings[i].code)
            take_payload(&readings[i], plan.shared[i]);
    sodium_memzero(plan.shared, sizeof(plan.shared));
}

static void ready_answer(struct seal_noise *noise)
{
    struct seal_noise_pair *const e = &noise->local_ephemeral;
    const struct seal_exchange exchanges[] = {
        {e->public_key, e->secret, NULL},
        {noise->ee, e->secret, noise->remote_ephemeral},
        {noise->se, e->secret, noise->remote_static},
    };

    if (!noise->answer_ready)
        seal_exchange(exchanges, 3);
    noise->answer_ready = true;
}

int seal_noise_write_second(struct seal_noise *noise, const uint8_t *payload, size_t payload_len,
                            uint8_t *out)
{
    assert(!noise->initiator && noise->step == SEAL_NOISE_SECOND);

    ready_answer(noise);
    memcpy(out, noise->local_ephemeral.public_key, SEAL_NOISE_KEY);
    mix_hash(noise, out, SEAL_NOISE_KEY);
    if (mix_key(noise, noise->ee) || mix_key(noise, noise->se))
        return -1;
    encrypt_and_hash(noise, payload, payload_len, out + SEAL_NOISE_KEY);
    noise->step = SEAL_NOISE_SPLIT;
    return 0;
}

void seal_noise_split(struct seal_noise *noise, uint8_t from_initiator[SEAL_NOISE_KEY],
                      uint8_t from_responder[SEAL_NOISE_KEY])
{
    uint8_t first[SEAL_NOISE_HASH], second[SEAL_NOISE_HASH];

    assert(noise->step == SEAL_NOISE_SPLIT);
    hkdf(first, second, noise->chaining_key, NULL, 0);
    memcpy(from_initiator, first, SEAL_NOISE_KEY);
    memcpy(from_responder, second, SEAL_NOISE_KEY);
    sodium_memzero(first, sizeof(first));
    sodium_memzero(second, sizeof(second));
    noise->step = SEAL_NOISE_OVER;
}
