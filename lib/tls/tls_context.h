/* What all connections of a recipe or listener have in common: one SSL_CTX and the options. */
#ifndef STK_TLS_CONTEXT_H
#define STK_TLS_CONTEXT_H

#include "tls_identity.h"
#include "tls_pin.h"

enum { TLS_ALPN_BYTES = 256, TLS_DIGEST_BYTES = 32 };

struct tls_context {
    SSL_CTX *ssl_ctx;
    const struct stk_segment *segment;
    bool listening;
    bool verify;     /* the peer's chain must verify */
    bool needs_peer; /* a certificate of the peer is asked for at all */
    bool resume;
    struct tls_identities identities;
    struct tls_pins pins;
    uint8_t alpn[TLS_ALPN_BYTES]; /* in wire form (RFC 7301 section 3.1) */
    unsigned alpn_len;
    uint64_t rekey_bytes;             /* new keys after so many sent */
    uint8_t digest[TLS_DIGEST_BYTES]; /* of options and the state of the files they name */
};

int tls_context_new(const struct stk_segment *segment, bool listening, struct tls_context **out,
                    struct stk_error *error);
void tls_context_free(struct tls_context *context);

#endif
