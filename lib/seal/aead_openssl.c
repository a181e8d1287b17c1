/*
 * Ciphers of OpenSSL: the functions of its provider, called as provider-cipher(7) and
 * openssl-core_dispatch.h(7) specify them.
 *
 * EVP, which stands before them, looks the nonce's length and the tag up by their names for each
 * packet and checks much that can't be otherwise: a seventh to a fifth of the time for 1,400 bytes.
 * EVP still finds the cipher, so that configured providers are respected.
 */
#include "aead_list.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

/* A cipher's functions. They live as long as the process, as does what they belong to. */
struct functions {
    EVP_CIPHER *fetched; /* NULL: not to be had */
    void *provider;      /* whom its functions work for */
    OSSL_FUNC_cipher_newctx_fn *create;
    OSSL_FUNC_cipher_freectx_fn *destroy;
    OSSL_FUNC_cipher_encrypt_init_fn *begin_sealing;
    OSSL_FUNC_cipher_decrypt_init_fn *begin_opening;
    OSSL_FUNC_cipher_update_fn *update;
    OSSL_FUNC_cipher_final_fn *finish;
    OSSL_FUNC_cipher_get_ctx_params_fn *get;
};

static struct functions known[SEAL_CIPHERS + 1]; /* by bit */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void take_functions(struct functions *f, const OSSL_DISPATCH *entry)
{
    for (; entry->function_id != 0; entry++)
        switch (entry->function_id) {
        case OSSL_FUNC_CIPHER_NEWCTX:
            f->create = OSSL_FUNC_cipher_newctx(entry);
            break;
        case OSSL_FUNC_CIPHER_FREECTX:
            f->destroy = OSSL_FUNC_cipher_freectx(entry);
            break;
        case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
            f->begin_sealing = OSSL_FUNC_cipher_encrypt_init(entry);
            break;
        case OSSL_FUNC_CIPHER_DECRYPT_INIT:
            f->begin_opening = OSSL_FUNC_cipher_decrypt_init(entry);
            break;
        case OSSL_FUNC_CIPHER_UPDATE:
            f->update = OSSL_FUNC_cipher_update(entry);
            break;
        case OSSL_FUNC_CIPHER_FINAL:
            f->finish = OSSL_FUNC_cipher_final(entry);
            break;
        case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
            f->get = OSSL_FUNC_cipher_get_ctx_params(entry);
            break;
        }
}

/* True if `name` is one of an algorithm's names, between which there are colons. */
static bool is_named(const OSSL_ALGORITHM *algorithm, const char *name)
{
    const size_t len = strlen(name);

    for (const char *at = algorithm->algorithm_names;; at++) {
        const size_t here = strcspn(at, ":");
        if (here == len && strncasecmp(at, name, len) == 0)
            return true;
        at += here;
        if (!*at)
            return false;
    }
}

static bool is_complete(const struct functions *f)
{
    return f->create && f->destroy && f->begin_sealing && f->begin_opening && f->update &&
           f->finish && f->get;
}

static void fetch(enum seal_cipher bit, const char *name)
{
    struct functions *f = &known[bit];
    int no_store;

    f->fetched = EVP_CIPHER_fetch(NULL, name, NULL);
    if (!f->fetched)
        return;
    const OSSL_PROVIDER *provider = EVP_CIPHER_get0_provider(f->fetched);
    const OSSL_ALGORITHM *algorithm =
        OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_store);
    while (algorithm && algorithm->algorithm_names && !is_named(algorithm, name))
        algorithm++;
    if (algorithm && algorithm->algorithm_names)
        take_functions(f, algorithm->implementation);
    f->provider = OSSL_PROVIDER_get0_provider_ctx(provider);
}

static void fetch_all(void)
{
    fetch(SEAL_AES_128_GCM, "AES-128-GCM");
    fetch(SEAL_AES_256_GCM, "AES-256-GCM");
    fetch(SEAL_CHACHA20_POLY1305, "ChaCha20-Poly1305");
}

static bool has(enum seal_cipher bit)
{
    pthread_once(&once, fetch_all);
    return is_complete(&known[bit]);
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
    const struct functions *f;
    void *context;
    uint8_t mask[SEAL_NONCE];
    bool is_gcm;
};

static int expand(const struct seal_aead *aead, void *expanded,
                  const uint8_t bytes[SEAL_CIPHER_KEY])
{
    struct key *key = expanded;
    const bool found = has(aead->bit);
    const struct functions *f = &known[aead->bit];
    const size_t len = (size_t)EVP_CIPHER_get_key_length(f->fetched);

    assert(found && len <= SEAL_CIPHER_KEY);
    (void)found;
    key->f = f;
    key->context = f->create(f->provider);
    if (!key->context)
        return -ENOMEM;
    if (!f->begin_sealing(key->context, bytes, len, NULL, 0, NULL)) {
        f->destroy(key->context);
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
    key->f->destroy(key->context);
    sodium_memzero(key, sizeof(*key));
}

static void make_nonce(uint8_t nonce[SEAL_NONCE], const struct key *key, uint64_t counter)
{
    memset(nonce, 0, SEAL_NONCE);
    if (key->is_gcm)
        seal_gcm_nonce(nonce, key->mask, counter);
    else /* Noise: the lowest byte first */
        for (int i = 0; i < 8; i++)
            nonce[4 + i] = (uint8_t)(counter >> 8 * i);
}

/* Authenticates the header and turns `size` bytes, in place or to another one. */
static bool turn(const struct key *key, const uint8_t *header, unsigned header_len, uint8_t *data,
                 const uint8_t *from, size_t size)
{
    const struct functions *f = key->f;
    size_t len;

    if (header_len && !f->update(key->context, NULL, &len, header_len, header, header_len))
        return false;
    return !size || f->update(key->context, data, &len, size, from, size);
}

/* The tag at `tag`, for OpenSSL to write or to read. */
static void name_tag(OSSL_PARAM params[2], uint8_t *tag)
{
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, SEAL_TAG);
    params[1] = OSSL_PARAM_construct_end();
}

static void seal_one(const struct key *key, uint8_t *data, const uint8_t *plain, size_t size,
                     unsigned header, uint64_t counter)
{
    const struct functions *f = key->f;
    uint8_t nonce[SEAL_NONCE];
    OSSL_PARAM tag[2];
    size_t len;

    make_nonce(nonce, key, counter);
    name_tag(tag, data + size);
    const bool sealed = f->begin_sealing(key->context, NULL, 0, nonce, SEAL_NONCE, NULL) &&
                        turn(key, data - header, header, data, plain, size) &&
                        f->finish(key->context, data + size, &len, SEAL_TAG) &&
                        f->get(key->context, tag);

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
    const struct functions *f = key->f;
    uint8_t *data = packet + header, nonce[SEAL_NONCE], nothing[16];
    const size_t size = packet_size - header - SEAL_TAG;
    OSSL_PARAM tag[2];
    size_t len;

    make_nonce(nonce, key, counter);
    name_tag(tag, data + size);
    return f->begin_opening(key->context, NULL, 0, nonce, SEAL_NONCE, tag) &&
           turn(key, packet, header, data, data, size) &&
           f->finish(key->context, nothing, &len, sizeof(nothing));
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
