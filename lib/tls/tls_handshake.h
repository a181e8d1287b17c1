/* From the first byte to READY. */
#ifndef STK_TLS_HANDSHAKE_H
#define STK_TLS_HANDSHAKE_H

#include "tls_layer.h"

void tls_handshake_begin(struct tls_layer *tls);
/* Goes on as far as bytes and room below allow. */
void tls_handshake_advance(struct tls_layer *tls);

/* OpenSSL's hooks. */
int tls_handshake_new_session(SSL *ssl, SSL_SESSION *session);
int tls_handshake_choose_identity(SSL *ssl, int *alert, void *arg);
int tls_handshake_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                              const unsigned char *offered, unsigned offered_len, void *context);

#endif
