/*
 * Who we are: a certificate with its chain and key. A client has one at most; a server may
 * have many and chooses by the name that the client asks for (RFC 6066 section 3).
 */
#ifndef STK_TLS_IDENTITY_H
#define STK_TLS_IDENTITY_H

#include "recipe.h"

#include <openssl/ssl.h>

struct tls_identity {
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

struct tls_identities {
    struct tls_identity *list;
    size_t count;
    bool has_fallback; /* the first serves clients whose name fits none, or who send none */
};

/* From cert=, key= (else the key is in the file of cert) and certs=. None at all is no error. */
int tls_identities_load(const struct stk_segment *segment, struct tls_identities *identities,
                        struct stk_error *error);
void tls_identities_free(struct tls_identities *identities);
/* The one for this name (NULL: none was asked for), or NULL if the client must be refused. */
const struct tls_identity *tls_identities_find(const struct tls_identities *identities,
                                               const char *name);

#endif
