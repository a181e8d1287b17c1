/* OpenSSL's TLS 1.3 with AES-128-GCM on a blocking TCP socket. */
#ifndef STK_BENCH_TLS_SIDE_H
#define STK_BENCH_TLS_SIDE_H

#include "side.h"

#include <openssl/ssl.h>

/* NULL on failure. No session is resumed. */
SSL_CTX *tls_server(const struct side *side);
SSL_CTX *tls_client(const struct side *side);
/* After the handshake; NULL if that fails. */
SSL *tls_over(SSL_CTX *ctx, int fd, bool server);

#endif
