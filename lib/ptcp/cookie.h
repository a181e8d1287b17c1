/*
 * The stateless retry cookie of plain mode: proof that a peer receives at its address.
 * It is the time of issue and a MAC over time, address and connection id.
 */
#ifndef STK_PTCP_COOKIE_H
#define STK_PTCP_COOKIE_H

#include "addr.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    PTCP_COOKIE_BYTES = 24,
    PTCP_COOKIE_KEY_BYTES = 32,
    PTCP_COOKIE_LIFETIME_US = 15000000,
};

void ptcp_cookie_make(uint8_t cookie[PTCP_COOKIE_BYTES], const uint8_t key[PTCP_COOKIE_KEY_BYTES],
                      uint64_t now_us, const struct stk_addr *peer, uint64_t id);
/* True if this key made it for this peer and id at most PTCP_COOKIE_LIFETIME_US ago. */
bool ptcp_cookie_ok(const uint8_t *cookie, size_t len, const uint8_t key[PTCP_COOKIE_KEY_BYTES],
                    uint64_t now_us, const struct stk_addr *peer, uint64_t id);

#endif
