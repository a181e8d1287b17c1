/*
 * Byte order, and the bounds-checked cursors that all wire formats are read and written with.
 *
 * A cursor that runs out sets `failed` and from then on reads zeros or writes nothing, so
 * that a parser checks once, at its end. And numbers of which only the low bits are on the wire.
 */
#ifndef STK_BASE_BYTES_H
#define STK_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t stk_load_be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline uint32_t stk_load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t stk_load_be24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint64_t stk_load_be64(const uint8_t *p)
{
    return (uint64_t)stk_load_be32(p) << 32 | stk_load_be32(p + 4);
}

static inline void stk_store_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* The low 24 bits. */
static inline void stk_store_be24(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    stk_store_be16(p + 1, (uint16_t)v);
}

static inline void stk_store_be32(uint8_t *p, uint32_t v)
{
    stk_store_be16(p, (uint16_t)(v >> 16));
    stk_store_be16(p + 2, (uint16_t)v);
}

static inline void stk_store_be64(uint8_t *p, uint64_t v)
{
    stk_store_be32(p, (uint32_t)(v >> 32));
    stk_store_be32(p + 4, (uint32_t)v);
}

struct stk_reader {
    const uint8_t *at, *end;
    bool failed;
};

struct stk_writer {
    uint8_t *at, *end;
    bool failed;
};

static inline struct stk_reader stk_reader_of(const void *data, size_t len)
{
    return (struct stk_reader){data, (const uint8_t *)data + len, false};
}

static inline struct stk_writer stk_writer_of(void *data, size_t len)
{
    return (struct stk_writer){data, (uint8_t *)data + len, false};
}

static inline size_t stk_reader_left(const struct stk_reader *r)
{
    return (size_t)(r->end - r->at);
}
static inline size_t stk_writer_left(const struct stk_writer *w)
{
    return (size_t)(w->end - w->at);
}

/* The next `len` bytes in place, or NULL and `failed`. */
static inline const uint8_t *stk_read_bytes(struct stk_reader *r, size_t len)
{
    const uint8_t *at = r->at;

    if (r->failed || stk_reader_left(r) < len) {
        r->failed = true;
        return NULL;
    }
    r->at += len;
    return at;
}

static inline uint8_t stk_read_u8(struct stk_reader *r)
{
    const uint8_t *p = stk_read_bytes(r, 1);
    return p ? p[0] : 0;
}

static inline uint16_t stk_read_be16(struct stk_reader *r)
{
    const uint8_t *p = stk_read_bytes(r, 2);
    return p ? stk_load_be16(p) : 0;
}

static inline uint32_t stk_read_be32(struct stk_reader *r)
{
    const uint8_t *p = stk_read_bytes(r, 4);
    return p ? stk_load_be32(p) : 0;
}

static inline uint64_t stk_read_be64(struct stk_reader *r)
{
    const uint8_t *p = stk_read_bytes(r, 8);
    return p ? stk_load_be64(p) : 0;
}

/* A variable-length integer of 1, 2, 4 or 8 bytes (RFC 9000 section 16). */
uint64_t stk_read_varint(struct stk_reader *r);

/* Room for `len` bytes to be filled in by the caller, or NULL and `failed`. */
static inline uint8_t *stk_write_room(struct stk_writer *w, size_t len)
{
    uint8_t *at = w->at;

    if (w->failed || stk_writer_left(w) < len) {
        w->failed = true;
        return NULL;
    }
    w->at += len;
    return at;
}

static inline void stk_write_bytes(struct stk_writer *w, const void *data, size_t len)
{
    uint8_t *p = stk_write_room(w, len);
    if (p && len)
        memcpy(p, data, len);
}

static inline void stk_write_u8(struct stk_writer *w, uint8_t v) { stk_write_bytes(w, &v, 1); }

static inline void stk_write_be16(struct stk_writer *w, uint16_t v)
{
    uint8_t *p = stk_write_room(w, 2);
    if (p)
        stk_store_be16(p, v);
}

static inline void stk_write_be32(struct stk_writer *w, uint32_t v)
{
    uint8_t *p = stk_write_room(w, 4);
    if (p)
        stk_store_be32(p, v);
}

static inline void stk_write_be64(struct stk_writer *w, uint64_t v)
{
    uint8_t *p = stk_write_room(w, 8);
    if (p)
        stk_store_be64(p, v);
}

enum { STK_VARINT_MAX_BYTES = 8 };
#define STK_VARINT_MAX ((UINT64_C(1) << 62) - 1)

void stk_write_varint(struct stk_writer *w, uint64_t v); /* v <= STK_VARINT_MAX */
size_t stk_varint_len(uint64_t v);

/* The same without a cursor, for who knows the length. */
static inline void stk_store_varint(uint8_t *p, uint64_t v, size_t len)
{
    switch (len) {
    case 1:
        p[0] = (uint8_t)v;
        break;
    case 2:
        stk_store_be16(p, (uint16_t)(v | 1 << 14));
        break;
    case 4:
        stk_store_be32(p, (uint32_t)v | UINT32_C(2) << 30);
        break;
    default:
        stk_store_be64(p, v | UINT64_C(3) << 62);
    }
}

/*
 * The number below `limit` whose low `bits` bits are those of `low`, and which is nearest to
 * `expected`; if two are, the higher (RFC 9000, A.3). `bits` < 64, 2^`bits` <= `limit`,
 * `expected` <= `limit`.
 */
static inline uint64_t stk_number_near(uint64_t low, unsigned bits, uint64_t expected,
                                       uint64_t limit)
{
    const uint64_t window = UINT64_C(1) << bits;
    const uint64_t ahead = (low - expected) & (window - 1), behind = window - ahead;

    if (behind > expected || (ahead <= behind && ahead < limit - expected))
        return expected + ahead;
    return expected - behind;
}

#endif
