/* Is the peer who it must be? And if not, why, in words that say what to do. */
#ifndef STK_TLS_VERIFY_H
#define STK_TLS_VERIFY_H

#include "tls_layer.h"

/* OpenSSL's hook in place of X509_verify_cert(); `context` is the struct tls_context. */
int tls_verify_chain(X509_STORE_CTX *store, void *context);
/* Finds out whom the client must meet and puts it into tls->name. 0, or the connection's error. */
int tls_verify_find_name(struct tls_layer *tls);
/* Tells OpenSSL about tls->name: SNI, and what the certificate must be for. */
int tls_verify_expect_name(struct tls_layer *tls);
/* The verified name of the peer, "" if there is none. */
void tls_verify_peer_name(const struct tls_layer *tls, char *out, size_t len);

#endif
