/* The direct calls of intel-ipsec-mb: one a packet. */
#include "cipher.h"

#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t key[16] = "a benchmark key";

struct cipher {
    alignas(64) struct gcm_key_data key; /* the library's instructions want it aligned */
    alignas(64) struct gcm_context_data context;
    IMB_MGR *manager;
};

static void destroy(void *opaque)
{
    struct cipher *cipher = opaque;

    if (cipher->manager)
        free_mb_mgr(cipher->manager);
    free(cipher);
}

static void *create(bool sealing)
{
    struct cipher *cipher = aligned_alloc(alignof(struct cipher), sizeof *cipher);

    (void)sealing;
    if (!cipher)
        return NULL;
    memset(cipher, 0, sizeof *cipher);
    cipher->manager = alloc_mb_mgr(0);
    if (!cipher->manager) {
        destroy(cipher);
        return NULL;
    }
    init_mb_mgr_auto(cipher->manager, NULL);
    IMB_AES128_GCM_PRE(cipher->manager, key, &cipher->key);
    return cipher;
}

static bool seal(void *opaque, const uint8_t nonce[CIPHER_NONCE], const uint8_t *header,
                 uint8_t *out, const uint8_t *in, size_t len)
{
    struct cipher *cipher = opaque;

    IMB_AES128_GCM_ENC(cipher->manager, &cipher->key, &cipher->context, out, in, len, nonce, header,
                       CIPHER_HEADER, out + len, CIPHER_TAG);
    return true;
}

static bool open(void *opaque, const uint8_t nonce[CIPHER_NONCE], const uint8_t *header,
                 uint8_t *data, size_t len)
{
    struct cipher *cipher = opaque;
    uint8_t tag[CIPHER_TAG];

    IMB_AES128_GCM_DEC(cipher->manager, &cipher->key, &cipher->context, data, data, len, nonce,
                       header, CIPHER_HEADER, tag, CIPHER_TAG);
    return memcmp(tag, data + len, CIPHER_TAG) == 0;
}

const struct cipher_type cipher_ipsec_mb = {create, seal, open, destroy};
#endif
