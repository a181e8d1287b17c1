#include "aead.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* Best first. */
static const struct seal_aead *const ciphers[] = {
    &seal_aead_aes_256_gcm,
    &seal_aead_chacha20_poly1305,
};

enum { CIPHERS = sizeof(ciphers) / sizeof(ciphers[0]) };

unsigned seal_aead_offer(void)
{
    unsigned bits = 0;

    if (sodium_init() < 0) /* finds out what the machine can do */
        return SEAL_CHACHA20_POLY1305;
    for (int i = 0; i < CIPHERS; i++)
        if (ciphers[i]->available())
            bits |= ciphers[i]->bit;
    assert(bits & SEAL_CHACHA20_POLY1305);
    return bits;
}

const struct seal_aead *seal_aead_choose(unsigned bits)
{
    for (int i = 0; i < CIPHERS; i++)
        if (ciphers[i]->bit & bits)
            return ciphers[i];
    return NULL;
}

const struct seal_aead *seal_aead_find(const char *name)
{
    for (int i = 0; i < CIPHERS; i++)
        if (!strcmp(ciphers[i]->name, name) && ciphers[i]->available())
            return ciphers[i];
    return NULL;
}

int seal_aead_key_init(struct seal_aead_key *key, const struct seal_aead *aead,
                       const uint8_t bytes[SEAL_CIPHER_KEY])
{
    assert(!key->aead);
    const int code = aead->init(key, bytes);

    if (!code)
        key->aead = aead;
    return code;
}

void seal_aead_key_wipe(struct seal_aead_key *key)
{
    if (key->aead)
        key->aead->wipe(key);
    sodium_memzero(key, sizeof(*key));
}

/* --- ChaCha20-Poly1305 (RFC 8439) with libsodium ------------------------------------------- */

static bool always(void) { return true; }

static int chacha_init(struct seal_aead_key *key, const uint8_t bytes[SEAL_CIPHER_KEY])
{
    memcpy(key->bytes, bytes, SEAL_CIPHER_KEY);
    return 0;
}

static void chacha_wipe(struct seal_aead_key *key) { sodium_memzero(key->bytes, SEAL_CIPHER_KEY); }

/* Noise: 32 zero bits, then the counter with its lowest byte first. */
static void chacha_nonce(uint8_t nonce[12], uint64_t counter)
{
    memset(nonce, 0, 4);
    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> 8 * i);
}

static void chacha_seal_run(struct seal_aead_key *key, const struct stk_run *run, unsigned header,
                            uint64_t counter)
{
    uint8_t nonce[12];

    for (unsigned i = 0; i < run->count; i++) {
        uint8_t *data = stk_run_at(run, i);
        const size_t size = stk_run_size(run, i);

        stk_run_place(run, i);
        chacha_nonce(nonce, counter + i);
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(
            data, data + size, NULL, data, size, data - header, header, NULL, nonce, key->bytes);
    }
}

static uint64_t chacha_open_run(struct seal_aead_key *key, const struct stk_run *run,
                                unsigned header, const uint64_t counters[STK_RUN_COUNT_MAX])
{
    uint64_t genuine = 0;
    uint8_t nonce[12];

    for (unsigned i = 0; i < run->count; i++) {
        uint8_t *packet = stk_run_at(run, i), *data = packet + header;
        const size_t size = stk_run_size(run, i) - header - SEAL_TAG;

        chacha_nonce(nonce, counters[i]);
        if (!crypto_aead_chacha20poly1305_ietf_decrypt_detached(data, NULL, data, size, data + size,
                                                                packet, header, nonce, key->bytes))
            genuine |= UINT64_C(1) << i;
    }
    return genuine;
}

const struct seal_aead seal_aead_chacha20_poly1305 = {
    .name = "chacha20-poly1305",
    .bit = SEAL_CHACHA20_POLY1305,
    .rekey_after_packets = UINT64_C(1) << 60,
    .available = always,
    .init = chacha_init,
    .wipe = chacha_wipe,
    .seal_run = chacha_seal_run,
    .open_run = chacha_open_run,
};
