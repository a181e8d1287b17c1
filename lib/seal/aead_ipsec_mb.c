/*
 * AES-GCM of intel-ipsec-mb: one call a packet, and AVX-512 where the machine has it. Only its
 * direct calls are used, none of its job queues: they touch nothing but their arguments, so all
 * threads share one table of functions.
 */
#include "aead_list.h"

#include <assert.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <sodium.h>

static IMB_MGR *manager; /* lives as long as the process; NULL: not usable here */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find_out(void)
{
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    IMB_MGR *made = alloc_mb_mgr(0);

    if (!made)
        return;
    init_mb_mgr_auto(made, NULL);
    const bool tested =
        !(made->features & IMB_FEATURE_SELF_TEST) || made->features & IMB_FEATURE_SELF_TEST_PASS;
    if (imb_get_errno(made) == 0 && (made->features & needed) == needed && tested)
        manager = made;
    else
        free_mb_mgr(made);
}

static bool available(void)
{
    pthread_once(&once, find_out);
    return manager != NULL;
}

struct key {
    struct gcm_key_data data;
    uint8_t mask[SEAL_NONCE];
};

static int expand(const struct seal_aead *aead, void *expanded,
                  const uint8_t bytes[SEAL_CIPHER_KEY])
{
    struct key *key = expanded;

    assert(manager);
    if (aead->bit == SEAL_AES_128_GCM)
        IMB_AES128_GCM_PRE(manager, bytes, &key->data);
    else
        IMB_AES256_GCM_PRE(manager, bytes, &key->data);
    seal_gcm_mask(key->mask, aead->bit, bytes);
    return 0;
}

static void wipe(const struct seal_aead *aead, void *expanded)
{
    (void)aead;
    sodium_memzero(expanded, sizeof(struct key));
}

static void seal_with(aes_gcm_enc_dec_t encrypt, const struct key *key, const struct stk_run *run,
                      unsigned header, uint64_t counter)
{
    struct gcm_context_data context;
    struct seal_plain plain;
    uint8_t nonce[SEAL_NONCE];

    for (unsigned i = 0; i < run->count; i++) {
        uint8_t *data = stk_run_at(run, i);
        const size_t size = stk_run_size(run, i);
        seal_plain_begin(&plain, run, i);
        seal_gcm_nonce(nonce, key->mask, counter + i);
        encrypt(&key->data, &context, data, plain.bytes, size, nonce, data - header, header,
                data + size, SEAL_TAG);
        seal_plain_end(&plain);
    }
    sodium_memzero(&context, sizeof(context));
}

/* Takes the same time for all tags. Libsodium's byte by byte costs a tenth of opening. */
static bool same_tag(const uint8_t a[SEAL_TAG], const uint8_t b[SEAL_TAG])
{
    uint64_t x[2], y[2];

    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static uint64_t open_with(aes_gcm_enc_dec_t decrypt, const struct key *key,
                          const struct stk_run *run, unsigned header, const uint64_t *counters)
{
    struct gcm_context_data context;
    uint8_t nonce[SEAL_NONCE], tag[SEAL_TAG];
    uint64_t genuine = 0;

    for (unsigned i = 0; i < run->count; i++) {
        uint8_t *packet = stk_run_at(run, i), *data = packet + header;
        const size_t size = stk_run_size(run, i) - header - SEAL_TAG;
        seal_gcm_nonce(nonce, key->mask, counters[i]);
        decrypt(&key->data, &context, data, data, size, nonce, packet, header, tag, SEAL_TAG);
        genuine |= (uint64_t)same_tag(tag, data + size) << i;
    }
    sodium_memzero(&context, sizeof(context));
    return genuine;
}

static void seal_run_128(void *expanded, const struct stk_run *run, unsigned header,
                         uint64_t counter)
{
    seal_with(manager->gcm128_enc, expanded, run, header, counter);
}

static void seal_run_256(void *expanded, const struct stk_run *run, unsigned header,
                         uint64_t counter)
{
    seal_with(manager->gcm256_enc, expanded, run, header, counter);
}

static uint64_t open_run_128(void *expanded, const struct stk_run *run, unsigned header,
                             const uint64_t counters[STK_RUN_COUNT_MAX])
{
    return open_with(manager->gcm128_dec, expanded, run, header, counters);
}

static uint64_t open_run_256(void *expanded, const struct stk_run *run, unsigned header,
                             const uint64_t counters[STK_RUN_COUNT_MAX])
{
    return open_with(manager->gcm256_dec, expanded, run, header, counters);
}

const struct seal_aead seal_aead_ipsec_mb_aes_128_gcm = {
    .name = "aes-128-gcm",
    .bit = SEAL_AES_128_GCM,
    .provider = SEAL_IPSEC_MB,
    .rekey_after_packets = SEAL_GCM_PACKETS,
    .expanded_size = sizeof(struct key),
    .available = available,
    .expand = expand,
    .wipe = wipe,
    .seal_run = seal_run_128,
    .open_run = open_run_128,
};

const struct seal_aead seal_aead_ipsec_mb_aes_256_gcm = {
    .name = "aes-256-gcm",
    .bit = SEAL_AES_256_GCM,
    .provider = SEAL_IPSEC_MB,
    .rekey_after_packets = SEAL_GCM_PACKETS,
    .expanded_size = sizeof(struct key),
    .available = available,
    .expand = expand,
    .wipe = wipe,
    .seal_run = seal_run_256,
    .open_run = open_run_256,
};
