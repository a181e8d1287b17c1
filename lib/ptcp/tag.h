/*
 * The keyed checksum of every packet in plain mode: SipHash-2-4, keyed with destination id and
 * source id, over the header, the length of what follows and its CRC-32C. It stops forgers who
 * can't see the packets and finds accidental damage; it is no protection against those who see
 * them (use seal).
 *
 * Long headers: 8 bytes behind the packet. Short ones: 32 bits, which hide the first half of the
 * destination id; and they cover the packet number and the stream offset whole, of which only the
 * low bits travel. So a packet that comes much too late is not taken for a new one.
 */
#ifndef STK_PTCP_TAG_H
#define STK_PTCP_TAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the tag covers beyond what is on the wire. */
struct ptcp_whole {
    uint64_t destination, source;
    uint64_t packet; /* of a short header */
    uint64_t offset; /* of a STREAM packet; else it counts for nothing */
};

/* Tags the packet of `len` bytes, with room for PTCP_TAG_BYTES behind it. Returns its size then. */
size_t ptcp_tag_put(uint8_t *packet, size_t len, const struct ptcp_whole *whole);
/* Does the packet, with its tag, carry the right one? */
bool ptcp_tag_ok(const uint8_t *packet, size_t size, const struct ptcp_whole *whole);

/* A pseudo-random function from a secret and a text to 64 bits. */
uint64_t ptcp_prf(const uint8_t secret[16], const void *text, size_t len);

#endif
