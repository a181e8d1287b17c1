#include "tag.h"

#include "bytes.h"
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
    uint8_t key[16];

    stk_store_be64(key, destination);
    stk_store_be64(key + 8, source);
    return ptcp_prf(key, packet, len);
}

bool ptcp_tag_ok(uint64_t destination, uint64_t source, const void *packet, size_t len)
{
    if (len < PTCP_TAG_BYTES)
        return false;
    len -= PTCP_TAG_BYTES;
    return ptcp_tag(destination, source, packet, len) ==
           stk_load_be64((const uint8_t *)packet + len);
}
