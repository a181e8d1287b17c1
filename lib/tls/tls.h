/*
 * TLS as a layer: a verified, encrypted stream on any stream ("/ip4/192.0.2.1/tcp/443/tls").
 *
 * Everything is said in the recipe; docs/tls.md describes the options. Both sides speak TLS 1.3,
 * and 1.2 only with min=1.2. The peer is verified unless the recipe says verify=no.
 *
 * What can be asked of a connection: STK_QUERY_ALPN ("" if none was agreed), STK_QUERY_TLS_VERSION,
 * STK_QUERY_CIPHER, STK_QUERY_PEER_NAME ("" if the peer's certificate was not verified) and
 * STK_QUERY_RESUMED.
 *
 * Error codes: STK_ECERT if the peer's certificate does not verify, STK_EPEER if the peer has the
 * wrong key or refuses us, STK_ETRUNCATED if its bytes end without close_notify, -EPROTO if it does
 * not keep to the protocol.
 */
#ifndef STK_TLS_TLS_H
#define STK_TLS_TLS_H

#include "recipe.h"

enum {
    STK_TLS_SESSIONS_MAX = 256,    /* sessions that clients of this process keep for resumption */
    STK_TLS_IDENTITIES_MAX = 1024, /* certificates that one listener chooses from */
    STK_TLS_PINS_MAX = 8,
    STK_TLS_LINGER_US = 1000 * 1000, /* a refused peer gets so long to read why */
};

extern const struct stk_layer_type stk_layer_tls;

/* Clients of this process resume none of the sessions they had so far. Any thread. */
void stk_tls_forget_sessions(void);

#endif
