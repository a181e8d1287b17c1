/*
 * The sessions that clients of this process may resume: one bounded store for all threads.
 *
 * A key stands for everything that made the session trustworthy: the stack below, the name, the CA,
 * the pins. A ticket is handed out once (RFC 8446 appendix C.4), so that nobody can link two
 * connections by it.
 */
#ifndef STK_TLS_SESSION_H
#define STK_TLS_SESSION_H

#include <openssl/ssl.h>
#include <stdint.h>

enum { TLS_SESSION_KEY_BYTES = 32, TLS_SESSIONS_PER_KEY_MAX = 4 };

/* Takes over the reference. The oldest one makes room. */
void tls_session_put(const uint8_t key[TLS_SESSION_KEY_BYTES], SSL_SESSION *session);
/* The newest one, with its reference, or NULL. */
SSL_SESSION *tls_session_take(const uint8_t key[TLS_SESSION_KEY_BYTES]);

#endif
