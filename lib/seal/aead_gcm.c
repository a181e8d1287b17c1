/*
 * AES-256-GCM with OpenSSL. The cipher is fetched once, a key's context is kept, and only the
 * nonce is set per packet: everything else about OpenSSL's interface costs more than the cipher.
 */
#include "aead.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static EVP_CIPHER *cipher; /* lives as long as the process */

static void fetch(void) { cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL); }

static bool machine_has_aes(void)
{
#if defined(__aarch64__) && defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_AES;
#else
    return crypto_aead_aes256gcm_is_available();
#endif
}

static bool gcm_available(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (!machine_has_aes())
        return false;
    pthread_once(&once, fetch);
    return cipher != NULL;
}

static int gcm_init(struct seal_aead_key *key, const uint8_t bytes[SEAL_CIPHER_KEY])
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

    assert(cipher);
    if (!context)
        return -ENOMEM;
    if (!EVP_CipherInit_ex2(context, cipher, bytes, NULL, 1, NULL)) {
        EVP_CIPHER_CTX_free(context);
        return -ENOMEM;
    }
    key->context = context;
    return 0;
}

/* OpenSSL clears the key schedule when it frees the context. */
static void gcm_wipe(struct seal_aead_key *key) { EVP_CIPHER_CTX_free(key->context); }

/* Noise: 32 zero bits, then the counter with its highest byte first. */
static bool set_nonce(EVP_CIPHER_CTX *context, uint64_t counter, int sealing)
{
    uint8_t nonce[12] = {0};

    stk_store_be64(nonce + 4, counter);
    return EVP_CipherInit_ex2(context, NULL, NULL, nonce, sealing, NULL);
}

/* Authenticates the header and turns `size` bytes in place. */
static bool turn(EVP_CIPHER_CTX *context, const uint8_t *header, unsigned header_len, uint8_t *data,
                 size_t size)
{
    int len;

    if (header_len && !EVP_CipherUpdate(context, NULL, &len, header, (int)header_len))
        return false;
    return !size || EVP_CipherUpdate(context, data, &len, data, (int)size);
}

static void seal_one(EVP_CIPHER_CTX *context, uint8_t *data, size_t size, unsigned header,
                     uint64_t counter)
{
    int len;
    const bool sealed = set_nonce(context, counter, 1) &&
                        turn(context, data - header, header, data, size) &&
                        EVP_CipherFinal_ex(context, data + size, &len) &&
                        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, data + size);

    /* It allocates nothing and can't fail on valid arguments; plaintext must not leave if it does.
     */
    if (!sealed)
        sodium_memzero(data, size + SEAL_TAG);
    assert(sealed);
}

static void gcm_seal_run(struct seal_aead_key *key, const struct stk_run *run, unsigned header,
                         uint64_t counter)
{
    for (unsigned i = 0; i < run->count; i++) {
        stk_run_place(run, i);
        seal_one(key->context, stk_run_at(run, i), stk_run_size(run, i), header, counter + i);
    }
}

static bool open_one(EVP_CIPHER_CTX *context, uint8_t *packet, size_t packet_size, unsigned header,
                     uint64_t counter)
{
    uint8_t *data = packet + header, nothing[16];
    const size_t size = packet_size - header - SEAL_TAG;
    int len;

    return set_nonce(context, counter, 0) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, data + size) &&
           turn(context, packet, header, data, size) && EVP_CipherFinal_ex(context, nothing, &len);
}

static uint64_t gcm_open_run(struct seal_aead_key *key, const struct stk_run *run, unsigned header,
                             const uint64_t counters[STK_RUN_COUNT_MAX])
{
    uint64_t genuine = 0;

    for (unsigned i = 0; i < run->count; i++)
        if (open_one(key->context, stk_run_at(run, i), stk_run_size(run, i), header, counters[i]))
            genuine |= UINT64_C(1) << i;
    return genuine;
}

const struct seal_aead seal_aead_aes_256_gcm = {
    .name = "aes-256-gcm",
    .bit = SEAL_AES_256_GCM,
    .rekey_after_packets = UINT64_C(1) << 32,
    .available = gcm_available,
    .init = gcm_init,
    .wipe = gcm_wipe,
    .seal_run = gcm_seal_run,
    .open_run = gcm_open_run,
};
