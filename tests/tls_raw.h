/*
 * A TLS peer of the test's own: OpenSSL over memory BIOs on a plain connection, whose bytes the
 * test may hold back, break or cut before they leave.
 */
#ifndef STK_TESTS_TLS_RAW_H
#define STK_TESTS_TLS_RAW_H

#include "stack.h"

#include <openssl/ssl.h>

enum { RAW_HOLD_NOTHING = 1 << 30 };

struct raw {
    struct stk_conn *conn;
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    size_t pass;     /* bytes that may leave; the others wait */
    size_t break_at; /* from this byte on all are inverted; 0: none */
    size_t left;     /* bytes that left */
    uint64_t received;
    unsigned key_updates; /* messages of the peer */
    bool wrong, closed, peer_closed, deaf;
    bool silent; /* ends neither for the peer's close_notify nor for its FIN */
    struct stk_error error;
};

extern const struct stk_protocol raw_protocol;

/* A server with NAME's certificate, or a client of `name`; `asks_client`: for a certificate. */
void raw_init(struct raw *raw, bool is_server, bool asks_client);
void raw_write(struct raw *raw, const void *data, size_t len);
/* Lets OpenSSL work and its bytes leave. */
void raw_pump(struct raw *raw);
void raw_free(struct raw *raw);

#endif
