#include "tag.h"

#include "bytes.h"
#include "crc32c.h"
#include "packet.h"

#include <sodium/crypto_shorthash.h>

_Static_assert(crypto_shorthash_KEYBYTES == 16, "two connection ids make one key");
_Static_assert(crypto_shorthash_BYTES == PTCP_TAG_BYTES, "the tag is one SipHash");

uint64_t ptcp_prf(const uint8_t secret[16], const void *text, size_t len)
{
    uint8_t out[crypto_shorthash_BYTES];

    crypto_shorthash(out, text, len, secret);
    return stk_load_be64(out);
}

uint64_t ptcp_tag(uint64_t destination, uint64_t source, const void *packet, size_t len)
{
    const uint8_t *bytes = packet;
    uint8_t key[16], text[PTCP_LONG_HEADER_BYTES + 8 + 4];
    size_t header =
        len > 0 && bytes[0] == PTCP_DATA ? PTCP_SHORT_HEADER_BYTES : PTCP_LONG_HEADER_BYTES;

    if (header > len)
        header = len;
    memcpy(text, bytes, header);
    stk_store_be64(text + header, len - header);
    stk_store_be32(text + header + 8, ptcp_crc32c(bytes + header, len - header));
    stk_store_be64(key, destination);
    stk_store_be64(key + 8, source);
    return ptcp_prf(key, text, header + 12);
}

bool ptcp_tag_ok(uint64_t destination, uint64_t source, const void *packet, size_t len)
{
    if (len < PTCP_TAG_BYTES)
        return false;
    len -= PTCP_TAG_BYTES;
    return ptcp_tag(destination, source, packet, len) ==
           stk_load_be64((const uint8_t *)packet + len);
}
