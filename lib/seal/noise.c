#include "noise.h"

#include "curve.h"

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

static int mix_dh(struct seal_noise *noise, const uint8_t secret[SEAL_NOISE_KEY],
                  const uint8_t public_key[SEAL_NOISE_KEY])
{
    uint8_t shared[crypto_scalarmult_BYTES], first[SEAL_NOISE_HASH], second[SEAL_NOISE_HASH];
    const int low_order = crypto_scalarmult(shared, secret, public_key);

    hkdf(first, second, noise->chaining_key, shared, sizeof(shared));
    memcpy(noise->chaining_key, first, SEAL_NOISE_HASH);
    memcpy(noise->key, second, SEAL_NOISE_KEY);
    noise->nonce = 0;
    sodium_memzero(shared, sizeof(shared));
    sodium_memzero(first, sizeof(first));
    sodium_memzero(second, sizeof(second));
    return low_order;
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

static void take_ephemeral(struct seal_noise *noise, const uint8_t secret[SEAL_NOISE_KEY])
{
    memcpy(noise->local_ephemeral.secret, secret, SEAL_NOISE_KEY);
    seal_curve_public(noise->local_ephemeral.public_key, secret);
}

void seal_noise_init(struct seal_noise *noise, bool initiator,
                     const struct seal_noise_pair *local_static, const uint8_t *remote_static,
                     const void *prologue, size_t prologue_len)
{
    static_assert(sizeof(protocol_name) - 1 <= SEAL_NOISE_HASH, "the name is hashed if longer");
    assert(initiator == (remote_static != NULL));

    memset(noise, 0, sizeof(*noise));
    noise->initiator = initiator;
    noise->local_static = *local_static;
    memcpy(noise->hash, protocol_name, sizeof(protocol_name) - 1);
    memcpy(noise->chaining_key, noise->hash, SEAL_NOISE_HASH);
    mix_hash(noise, prologue, prologue_len);
    if (initiator)
        memcpy(noise->remote_static, remote_static, SEAL_NOISE_KEY);
    mix_hash(noise, initiator ? remote_static : local_static->public_key, SEAL_NOISE_KEY);
}

void seal_noise_wipe(struct seal_noise *noise) { sodium_memzero(noise, sizeof(*noise)); }

int seal_noise_write_first(struct seal_noise *noise, const uint8_t ephemeral_secret[SEAL_NOISE_KEY],
                           const uint8_t *payload, size_t payload_len, uint8_t *out)
{
    assert(noise->initiator && noise->step == SEAL_NOISE_FIRST);

    take_ephemeral(noise, ephemeral_secret);
    memcpy(out, noise->local_ephemeral.public_key, SEAL_NOISE_KEY);
    mix_hash(noise, out, SEAL_NOISE_KEY);
    if (mix_dh(noise, noise->local_ephemeral.secret, noise->remote_static))
        return -1;
    encrypt_and_hash(noise, noise->local_static.public_key, SEAL_NOISE_KEY, out + SEAL_NOISE_KEY);
    if (mix_dh(noise, noise->local_static.secret, noise->remote_static))
        return -1;
    encrypt_and_hash(noise, payload, payload_len, out + 2 * SEAL_NOISE_KEY + SEAL_NOISE_TAG);
    noise->step = SEAL_NOISE_SECOND;
    return 0;
}

int seal_noise_read_first(struct seal_noise *noise, const uint8_t *message, size_t len,
                          uint8_t *payload)
{
    const uint8_t *sealed_static = message + SEAL_NOISE_KEY;
    const uint8_t *sealed_payload = sealed_static + SEAL_NOISE_KEY + SEAL_NOISE_TAG;

    assert(!noise->initiator && noise->step == SEAL_NOISE_FIRST);
    if (len < SEAL_NOISE_FIRST_OVERHEAD)
        return -1;

    memcpy(noise->remote_ephemeral, message, SEAL_NOISE_KEY);
    mix_hash(noise, message, SEAL_NOISE_KEY);
    if (mix_dh(noise, noise->local_static.secret, noise->remote_ephemeral))
        return -1;
    if (decrypt_and_hash(noise, sealed_static, SEAL_NOISE_KEY + SEAL_NOISE_TAG,
                         noise->remote_static))
        return -1;
    if (mix_dh(noise, noise->local_static.secret, noise->remote_static))
        return -1;
    if (decrypt_and_hash(noise, sealed_payload, len - (size_t)(sealed_payload - message), payload))
        return -1;
    noise->step = SEAL_NOISE_SECOND;
    return 0;
}

int seal_noise_write_second(struct seal_noise *noise,
                            const uint8_t ephemeral_secret[SEAL_NOISE_KEY], const uint8_t *payload,
                            size_t payload_len, uint8_t *out)
{
    assert(!noise->initiator && noise->step == SEAL_NOISE_SECOND);

    take_ephemeral(noise, ephemeral_secret);
    memcpy(out, noise->local_ephemeral.public_key, SEAL_NOISE_KEY);
    mix_hash(noise, out, SEAL_NOISE_KEY);
    if (mix_dh(noise, noise->local_ephemeral.secret, noise->remote_ephemeral))
        return -1;
    if (mix_dh(noise, noise->local_ephemeral.secret, noise->remote_static))
        return -1;
    encrypt_and_hash(noise, payload, payload_len, out + SEAL_NOISE_KEY);
    noise->step = SEAL_NOISE_SPLIT;
    return 0;
}

static int read_second(struct seal_noise *noise, const uint8_t *message, size_t len,
                       uint8_t *payload)
{
    memcpy(noise->remote_ephemeral, message, SEAL_NOISE_KEY);
    mix_hash(noise, message, SEAL_NOISE_KEY);
    if (mix_dh(noise, noise->local_ephemeral.secret, noise->remote_ephemeral))
        return -1;
    if (mix_dh(noise, noise->local_static.secret, noise->remote_ephemeral))
        return -1;
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
