/*
 * Sending: plaintext into records of a fitting size, and the end of our direction.
 *
 * While ciphertext is staged nothing more is taken, so what a connection holds is one record, and
 * one more of plaintext after STK_MORE.
 */
#ifndef STK_TLS_WRITE_H
#define STK_TLS_WRITE_H

#include "tls_layer.h"

/* The send slot. */
long tls_write(struct tls_layer *tls, const struct iovec *iov, int count, unsigned flags);
/* Something below changed: hands down what waits, pays the TX that is owed. */
void tls_write_advance(struct tls_layer *tls);

#endif
