#include "seal_wire.h"

#include "base.h"

#include <string.h>

int seal_first_parse(struct seal_first *first, const uint8_t *payload, size_t len)
{
    struct stk_reader in = stk_reader_of(payload, len);

    first->timestamp = stk_read_be64(&in);
    first->tag = stk_read_be64(&in);
    const uint8_t *key = stk_read_bytes(&in, sizeof(first->key));
    const uint8_t whose = stk_read_u8(&in);
    first->ciphers = stk_read_u8(&in);
    first->datagram_len = stk_read_be16(&in);
    first->datagram = stk_read_bytes(&in, first->datagram_len);
    if (in.failed || whose > 1 || first->datagram_len > SEAL_FIRST_DATAGRAM_MAX)
        return -1;
    first->sender_drew = whose == 0;
    memcpy(first->key, key, sizeof(first->key));
    return 0;
}

size_t seal_first_write(const struct seal_first *first, uint8_t *payload, size_t least)
{
    struct stk_writer out = stk_writer_of(payload, SEAL_FIRST_FIELDS + first->datagram_len);

    assert(first->datagram_len <= SEAL_FIRST_DATAGRAM_MAX);
    stk_write_be64(&out, first->timestamp);
    stk_write_be64(&out, first->tag);
    stk_write_bytes(&out, first->key, sizeof(first->key));
    stk_write_u8(&out, !first->sender_drew);
    stk_write_u8(&out, first->ciphers);
    stk_write_be16(&out, first->datagram_len);
    stk_write_bytes(&out, first->datagram, first->datagram_len);
    assert(!out.failed);

    const size_t len = (size_t)(out.at - payload);
    if (len >= least)
        return len;
    memset(payload + len, 0, least - len);
    return least;
}

int seal_second_parse(struct seal_second *second, const uint8_t *payload, size_t len)
{
    struct stk_reader in = stk_reader_of(payload, len);

    second->status = stk_read_u8(&in);
    second->cipher = stk_read_u8(&in);
    second->datagram_len = stk_read_be16(&in);
    second->index = stk_read_be32(&in);
    second->timestamp = stk_read_be64(&in);
    second->datagram = stk_read_bytes(&in, second->datagram_len);
    return in.failed || second->datagram_len > SEAL_FIRST_DATAGRAM_MAX ? -1 : 0;
}

size_t seal_second_write(const struct seal_second *second, uint8_t *payload)
{
    struct stk_writer out = stk_writer_of(payload, SEAL_SECOND_FIELDS + second->datagram_len);

    assert(second->datagram_len <= SEAL_FIRST_DATAGRAM_MAX);
    stk_write_u8(&out, second->status);
    stk_write_u8(&out, second->cipher);
    stk_write_be16(&out, second->datagram_len);
    stk_write_be32(&out, second->index);
    stk_write_be64(&out, second->timestamp);
    stk_write_bytes(&out, second->datagram, second->datagram_len);
    assert(!out.failed);
    return (size_t)(out.at - payload);
}

void seal_handshake_header(uint8_t header[SEAL_HANDSHAKE_HEADER], enum seal_message type,
                           uint32_t index)
{
    header[0] = (uint8_t)type;
    header[1] = SEAL_VERSION;
    stk_store_be16(header + 2, 0);
    stk_store_be32(header + 4, index);
}

static int handshake_type(const uint8_t *packet, size_t len)
{
    if (len < SEAL_HANDSHAKE_HEADER || packet[1] != SEAL_VERSION || stk_load_be16(packet + 2))
        return 0;
    switch (packet[0]) {
    case SEAL_INITIATION:
        return len >= SEAL_INITIATION_MIN && len <= SEAL_INITIATION_MAX ? SEAL_INITIATION : 0;
    case SEAL_RESPONSE:
        return len >= SEAL_RESPONSE_OVERHEAD && len <= SEAL_RESPONSE_MAX ? SEAL_RESPONSE : 0;
    case SEAL_COOKIE:
        return len == SEAL_COOKIE_SIZE ? SEAL_COOKIE : 0;
    default:
        return 0;
    }
}

int seal_message_type(const uint8_t *packet, size_t len)
{
    if (len == 0)
        return 0;
    if (!seal_is_sealed_type(packet[0]))
        return handshake_type(packet, len);
    return len >= SEAL_OVERHEAD ? packet[0] : 0;
}
