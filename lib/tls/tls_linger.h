/*
 * After a failed handshake the peer shall be able to read the alert that says why. A reset right
 * behind it would tear it out of the peer's hands, so our direction is ended in order, and what the
 * peer still sends is thrown away, until it ends too or a moment is over.
 */
#ifndef STK_TLS_LINGER_H
#define STK_TLS_LINGER_H

#include "tls_layer.h"

/* The error is set; ERROR is raised when lingering ends. */
void tls_linger_begin(struct tls_layer *tls);
void tls_linger_advance(struct tls_layer *tls, unsigned events);
void tls_linger_end(struct tls_layer *tls);

#endif
