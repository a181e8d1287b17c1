/*
 * A ticket: all that somebody needs to connect, as one line to paste.
 *
 * "stk" then base32 (RFC 4648 section 6, lower case, no padding) of:
 *
 *   1  version, 1
 *   32 the listener's Ed25519 public key
 *   1  number of addresses, 1 to 16; the most likely one first
 *   …  each: 1 byte 4 or 6, 4 or 16 bytes of address, 2 bytes of UDP port (big-endian)
 *   4  the first bytes of BLAKE2b-256 over all before, against slips of the hand
 */
#ifndef P2PCAT_TICKET_H
#define P2PCAT_TICKET_H

#include "base.h"

enum {
    TICKET_ADDRESSES_MAX = 16,
    TICKET_TEXT_MAX = 640,
    TICKET_KEY_BYTES = 32,
};

struct ticket {
    uint8_t key[TICKET_KEY_BYTES];
    struct stk_addr addresses[TICKET_ADDRESSES_MAX];
    int count;
};

const char *ticket_format(const struct ticket *ticket, char text[TICKET_TEXT_MAX]);
/* Surrounding white space is ignored. 0 or STK_ESYNTAX with a text that says what is wrong. */
int ticket_parse(struct ticket *ticket, const char *text, struct stk_error *error);

#endif
