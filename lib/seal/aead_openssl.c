/*
 * Ciphers of OpenSSL. Each is fetched once, a key's context is kept, and only the nonce is set per
 * packet: everything else about OpenSSL's interface costs more than the cipher.
 */
#include "aead_list.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

/* Live as long as the process; by bit. */
static EVP_CIPHER *fetched[SEAL_CIPHERS + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    fetched[SEAL_AES_128_GCM] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    fetched[SEAL_AES_256_GCM] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    fetched[SEAL_CHACHA20_POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

static bool has(enum seal_cipher bit)
{
    pthread_once(&once, fetch);
    return fetched[bit] != NULL;
}

static bool machine_has_aes(void)
{
#if defined(__aarch64__) && defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_AES;
#else
    return sodium_init() >= 0 && crypto_aead_aes256gcm_is_available();
#endif
}

static bool has_aes_128(void) { return machine_has_aes() && has(SEAL_AES_128_GCM); }
static bool has_aes_256(void) { return machine_has_aes() && has(SEAL_AES_256_GCM); }
static bool has_chacha(void) { return has(SEAL_CHACHA20_POLY1305); }

struct key {
    EVP_CIPHER_CTX *context;
    uint8_t mask[SEAL_NONCE];
    bool is_gcm;
};

static int expand(const struct seal_aead *aead, void *expanded,
                  const uint8_t bytes[SEAL_CIPHER_KEY])
{
    struct key *key = expanded;

    assert(has(aead->bit));
    key->context = EVP_CIPHER_CTX_new();
    if (!key->context)
        return -ENOMEM;
    if (!EVP_CipherInit_ex2(key->context, fetched[aead->bit], bytes, NULL, 1, NULL)) {
        EVP_CIPHER_CTX_free(key->context);
        return -ENOMEM;
    }
    seal_gcm_mask(key->mask, aead->bit, bytes);
    key->is_gcm = aead->bit != SEAL_CHACHA20_POLY1305;
    return 0;
}

/* OpenSSL clears the key schedule when it frees the context. */
static void wipe(const struct seal_aead *aead, void *expanded)
{
    struct key *key = expanded;

    (void)aead;
    EVP_CIPHER_CTX_free(key->context);
    sodium_memzero(key, sizeof(*key));
}

static bool set_nonce(const struct key *key, uint64_t counter, int sealing)
{
    uint8_t nonce[SEAL_NONCE] = {0};

    if (key->is_gcm)
        seal_gcm_nonce(nonce, key->mask, counter);
    else /* Noise: the lowest byte first */
        for (int i = 0; i < 8; i++)
            nonce[4 + i] = (uint8_t)(counter >> 8 * i);
    return EVP_CipherInit_ex2(key->context, NULL, NULL, nonce, sealing, NULL);
}

/* Authenticates the header and turns `size` bytes, in place or to another one. */
static bool turn(EVP_CIPHER_CTX *context, const uint8_t *header, unsigned header_len, uint8_t *data,
                 const uint8_t *from, size_t size)
{
    int len;

    if (header_len && !EVP_CipherUpdate(context, NULL, &len, header, (int)header_len))
        return false;
    return !size || EVP_CipherUpdate(context, data, &len, from, (int)size);
}

static void seal_one(const struct key *key, uint8_t *data, const uint8_t *plain, size_t size,
                     unsigned header, uint64_t counter)
{
    EVP_CIPHER_CTX *context = key->context;
    int len;
    const bool sealed = set_nonce(key, counter, 1) &&
                        turn(context, data - header, header, data, plain, size) &&
                        EVP_CipherFinal_ex(context, data + size, &len) &&
                        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, data + size);

    /* It allocates nothing and can't fail on valid arguments; plaintext must not leave if it does.
     */
    if (!sealed)
        sodium_memzero(data, size + SEAL_TAG);
    assert(sealed);
}

static void seal_run(void *expanded, const struct stk_run *run, unsigned header, uint64_t counter)
{
    struct seal_plain plain;

    for (unsigned i = 0; i < run->count; i++) {
        seal_plain_begin(&plain, run, i);
        seal_one(expanded, stk_run_at(run, i), plain.bytes, stk_run_size(run, i), header,
                 counter + i);
        seal_plain_end(&plain);
    }
}

static bool open_one(const struct key *key, uint8_t *packet, size_t packet_size, unsigned header,
                     uint64_t counter)
{
    EVP_CIPHER_CTX *context = key->context;
    uint8_t *data = packet + header, nothing[16];
    const size_t size = packet_size - header - SEAL_TAG;
    int len;

    return set_nonce(key, counter, 0) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, data + size) &&
           turn(context, packet, header, data, data, size) &&
           EVP_CipherFinal_ex(context, nothing, &len);
}

static uint64_t open_run(void *expanded, const struct stk_run *run, unsigned header,
                         const uint64_t counters[STK_RUN_COUNT_MAX])
{
    uint64_t genuine = 0;

    for (unsigned i = 0; i < run->count; i++)
        if (open_one(expanded, stk_run_at(run, i), stk_run_size(run, i), header, counters[i]))
            genuine |= UINT64_C(1) << i;
    return genuine;
}

#define OPENSSL_CIPHER(cipher_name, cipher, packets, test)                                         \
    {                                                                                              \
        .name = cipher_name, .bit = cipher, .provider = SEAL_OPENSSL,                              \
        .rekey_after_packets = packets, .expanded_size = sizeof(struct key), .available = test,    \
        .expand = expand, .wipe = wipe, .seal_run = seal_run, .open_run = open_run,                \
    }

const struct seal_aead seal_aead_openssl_aes_128_gcm =
    OPENSSL_CIPHER("aes-128-gcm", SEAL_AES_128_GCM, SEAL_GCM_PACKETS, has_aes_128);
const struct seal_aead seal_aead_openssl_aes_256_gcm =
    OPENSSL_CIPHER("aes-256-gcm", SEAL_AES_256_GCM, SEAL_GCM_PACKETS, has_aes_256);
const struct seal_aead seal_aead_openssl_chacha20_poly1305 =
    OPENSSL_CIPHER("chacha20-poly1305", SEAL_CHACHA20_POLY1305, UINT64_C(1) << 60, has_chacha);
