/*
 * The keyed checksum that ends every packet in plain mode: SipHash-2-4, keyed with destination id
 * and source id, over the header, the length of the frames and their CRC-32C. It stops forgers who
 * can't see the packets and finds accidental damage; it is no protection against those who see
 * them (use seal).
 */
#ifndef STK_PTCP_TAG_H
#define STK_PTCP_TAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t ptcp_tag(uint64_t destination, uint64_t source, const void *packet, size_t len);
/* Does the packet, whose last 8 bytes are the tag, carry the right one? */
bool ptcp_tag_ok(uint64_t destination, uint64_t source, const void *packet, size_t len);

/* A pseudo-random function from a secret and a text to 64 bits. */
uint64_t ptcp_prf(const uint8_t secret[16], const void *text, size_t len);

#endif
