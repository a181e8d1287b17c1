/*
 * The records of all ciphers, by the file that holds them.
 */
#ifndef STK_SEAL_AEAD_LIST_H
#define STK_SEAL_AEAD_LIST_H

#include "aead.h"

extern const struct seal_aead seal_aead_openssl_aes_128_gcm;
extern const struct seal_aead seal_aead_openssl_aes_256_gcm;
extern const struct seal_aead seal_aead_openssl_chacha20_poly1305;
/* Where the library was found when libstack was built. */
extern const struct seal_aead seal_aead_ipsec_mb_aes_128_gcm;
extern const struct seal_aead seal_aead_ipsec_mb_aes_256_gcm;

#endif
