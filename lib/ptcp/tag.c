#include "tag.h"

#include "bytes.h"
#include "crc32c.h"
#include "packet.h"

#include <sodium/crypto_shorthash.h>

_Static_assert(crypto_shorthash_KEYBYTES == 16, "two connection ids make one key");
_Static_assert(crypto_shorthash_BYTES == PTCP_TAG_BYTES, "the tag is one SipHash");

enum {
    SUM_BYTES = 8 + 4,
    SHORT_TEXT_BYTES = 1 + 8 + 8 + SUM_BYTES,
};

uint64_t ptcp_prf(const uint8_t secret[16], const void *text, size_t len)
{
    uint8_t out[crypto_shorthash_BYTES];

    crypto_shorthash(out, text, len, secret);
    return stk_load_be64(out);
}

static uint64_t keyed(const struct ptcp_whole *whole, const uint8_t *text, size_t len)
{
    uint8_t key[16];

    stk_store_be64(key, whole->destination);
    stk_store_be64(key + 8, whole->source);
    return ptcp_prf(key, text, len);
}

static void write_sum(uint8_t *at, const uint8_t *bytes, size_t len)
{
    stk_store_be64(at, len);
    stk_store_be32(at + 8, ptcp_crc32c(bytes, len));
}

static uint64_t long_tag(const uint8_t *packet, size_t len, const struct ptcp_whole *whole)
{
    uint8_t text[PTCP_LONG_HEADER_BYTES + SUM_BYTES];

    memcpy(text, packet, PTCP_LONG_HEADER_BYTES);
    write_sum(text + PTCP_LONG_HEADER_BYTES, packet + PTCP_LONG_HEADER_BYTES,
              len - PTCP_LONG_HEADER_BYTES);
    return keyed(whole, text, sizeof(text));
}

/* The id as it is on the wire. */
static uint64_t hidden_id(const uint8_t *packet, size_t len, const struct ptcp_whole *whole)
{
    const size_t header = ptcp_short_header_bytes(packet[0]);
    uint8_t text[SHORT_TEXT_BYTES];

    text[0] = packet[0];
    stk_store_be64(text + 1, whole->packet);
    stk_store_be64(text + 9, header == PTCP_STREAM_HEADER_BYTES ? whole->offset : 0);
    write_sum(text + 17, packet + header, len - header);
    return whole->destination ^ keyed(whole, text, sizeof(text)) << 32;
}

size_t ptcp_tag_put(uint8_t *packet, size_t len, const struct ptcp_whole *whole)
{
    if (ptcp_short_header_bytes(packet[0]) > 0) {
        stk_store_be64(packet + PTCP_SHORT_ID_AT, hidden_id(packet, len, whole));
        return len;
    }
    stk_store_be64(packet + len, long_tag(packet, len, whole));
    return len + PTCP_TAG_BYTES;
}

bool ptcp_tag_ok(const uint8_t *packet, size_t size, const struct ptcp_whole *whole)
{
    if (size < PTCP_SHORT_HEADER_BYTES)
        return false;
    const size_t header = ptcp_short_header_bytes(packet[0]);
    if (header > 0)
        return size >= header &&
               stk_load_be64(packet + PTCP_SHORT_ID_AT) == hidden_id(packet, size, whole);
    if (size < PTCP_LONG_HEADER_BYTES + PTCP_TAG_BYTES)
        return false;
    size -= PTCP_TAG_BYTES;
    return stk_load_be64(packet + size) == long_tag(packet, size, whole);
}
