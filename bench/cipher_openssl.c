/* One cipher that is fetched once, and a context that is kept: only the nonce is set per packet. */
#include "cipher.h"

#include <openssl/evp.h>

static const uint8_t key[16] = "a benchmark key";

static void *create(bool sealing)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const bool done =
        cipher && context && EVP_CipherInit_ex2(context, cipher, key, NULL, sealing, NULL);

    EVP_CIPHER_free(cipher);
    if (done)
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

static bool seal(void *context, const uint8_t nonce[CIPHER_NONCE], const uint8_t *header,
                 uint8_t *out, const uint8_t *in, size_t len)
{
    int n;

    return EVP_EncryptInit_ex2(context, NULL, NULL, nonce, NULL) &&
           EVP_EncryptUpdate(context, NULL, &n, header, CIPHER_HEADER) &&
           EVP_EncryptUpdate(context, out, &n, in, (int)len) &&
           EVP_EncryptFinal_ex(context, out + n, &n) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CIPHER_TAG, out + len);
}

static bool open(void *context, const uint8_t nonce[CIPHER_NONCE], const uint8_t *header,
                 uint8_t *data, size_t len)
{
    int n;

    return EVP_DecryptInit_ex2(context, NULL, NULL, nonce, NULL) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CIPHER_TAG, data + len) &&
           EVP_DecryptUpdate(context, NULL, &n, header, CIPHER_HEADER) &&
           EVP_DecryptUpdate(context, data, &n, data, (int)len) &&
           EVP_DecryptFinal_ex(context, data + n, &n);
}

static void destroy(void *context) { EVP_CIPHER_CTX_free(context); }

const struct cipher_type cipher_openssl = {create, seal, open, destroy};
