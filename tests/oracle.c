#include "oracle.h"

#include <string.h>

/* Eight bytes at a time, from the number of the word: splitmix64's mixer. */
static uint64_t word_at(uint64_t seed, uint64_t number)
{
    uint64_t z = seed * UINT64_C(0xd1342543de82ef95) + (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void word_bytes(uint64_t seed, uint64_t number, uint8_t bytes[8])
{
    const uint64_t word = word_at(seed, number);

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(word >> 8 * i);
}

uint8_t oracle_byte(uint64_t seed, uint64_t position)
{
    return (uint8_t)(word_at(seed, position / 8) >> 8 * (position % 8));
}

void oracle_fill(uint64_t seed, uint64_t position, void *out, size_t len)
{
    uint8_t *at = out, bytes[8];

    while (len > 0) {
        const size_t skip = position % 8;
        const size_t part = len < 8 - skip ? len : 8 - skip;

        word_bytes(seed, position / 8, bytes);
        memcpy(at, bytes + skip, part);
        at += part;
        position += part;
        len -= part;
    }
}

size_t oracle_check(uint64_t seed, uint64_t position, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint8_t bytes[8];

    for (size_t i = 0; i < len;) {
        const size_t skip = (position + i) % 8;
        const size_t part = len - i < 8 - skip ? len - i : 8 - skip;

        word_bytes(seed, (position + i) / 8, bytes);
        for (size_t k = 0; k < part; k++)
            if (at[i + k] != bytes[skip + k])
                return i + k;
        i += part;
    }
    return len;
}

bool oracle_take(struct oracle_stream *stream, const void *data, size_t len)
{
    size_t right;

    if (stream->wrong)
        return false;
    right = oracle_check(stream->seed, stream->position, data, len);
    if (right > stream->size - stream->position)
        right = stream->size - stream->position;
    stream->position += right;
    stream->wrong = right < len;
    return !stream->wrong;
}

bool oracle_is_complete(const struct oracle_stream *stream)
{
    return !stream->wrong && stream->position == stream->size;
}
