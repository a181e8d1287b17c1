#include "bytes.h"

#include <assert.h>

uint64_t stk_read_varint(struct stk_reader *r)
{
    const uint8_t first = stk_read_u8(r);
    const size_t more = ((size_t)1 << (first >> 6)) - 1;
    const uint8_t *rest = stk_read_bytes(r, more);
    uint64_t value = first & 0x3f;

    if (!rest)
        return 0;
    for (size_t i = 0; i < more; i++)
        value = value << 8 | rest[i];
    return value;
}

size_t stk_varint_len(uint64_t v)
{
    assert(v <= STK_VARINT_MAX);
    if (v < 1 << 6)
        return 1;
    if (v < 1 << 14)
        return 2;
    return v < 1 << 30 ? 4 : 8;
}

static unsigned length_bits(size_t len)
{
    switch (len) {
    case 1:
        return 0;
    case 2:
        return 1;
    case 4:
        return 2;
    default:
        return 3;
    }
}

void stk_write_varint(struct stk_writer *w, uint64_t v)
{
    const size_t len = stk_varint_len(v);
    uint8_t *p = stk_write_room(w, len);

    if (!p)
        return;
    for (size_t i = len; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
    p[0] |= (uint8_t)(length_bits(len) << 6);
}
