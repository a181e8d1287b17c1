/* AES-128-GCM of one datagram at a time, by the libraries that a secure protocol could use. */
#ifndef STK_BENCH_CIPHER_H
#define STK_BENCH_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CIPHER_HEADER = 9,  /* bytes that are authenticated with each datagram, … */
    CIPHER_COUNTER = 4, /* … its counter at their end */
    CIPHER_NONCE = 12,
    CIPHER_TAG = 16, /* behind the ciphertext */
};

struct cipher_type {
    void *(*create)(bool sealing); /* with a fixed key; NULL: no memory */
    bool (*seal)(void *cipher, const uint8_t nonce[CIPHER_NONCE], const uint8_t *header,
                 uint8_t *out, const uint8_t *in, size_t len);
    /* In place; false if it is not genuine. */
    bool (*open)(void *cipher, const uint8_t nonce[CIPHER_NONCE], const uint8_t *header,
                 uint8_t *data, size_t len);
    void (*destroy)(void *cipher);
};

extern const struct cipher_type cipher_openssl;
#ifdef HAVE_IPSEC_MB
extern const struct cipher_type cipher_ipsec_mb;
#endif

#endif
