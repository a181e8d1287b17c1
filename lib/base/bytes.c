#include "bytes.h"

#include <assert.h>

uint64_t stk_read_varint(struct stk_reader *r)
{
    const uint8_t first = stk_read_u8(r);
    const size_t more = ((size_t)1 << (first >> 6)) - 1;
    const uint8_t *rest = stk_read_bytes(r, more);
    const uint64_t high = first & 0x3f;

    if (!rest)
        return 0;
    switch (more) {
    case 0:
        return high;
    case 1:
        return high << 8 | rest[0];
    case 3:
        return stk_load_be32(rest - 1) & 0x3fffffff;
    default:
        return stk_load_be64(rest - 1) & STK_VARINT_MAX;
    }
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

void stk_write_varint(struct stk_writer *w, uint64_t v)
{
    const size_t len = stk_varint_len(v);
    uint8_t *p = stk_write_room(w, len);

    if (p)
        stk_store_varint(p, v, len);
}
