/*
 * Payload whose every byte follows from a seed and its position: any piece of a stream can be made
 * and checked without the rest. Bytes that are lost, repeated, moved or mixed up show at once.
 */
#ifndef STK_TESTS_ORACLE_H
#define STK_TESTS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint8_t oracle_byte(uint64_t seed, uint64_t position);
void oracle_fill(uint64_t seed, uint64_t position, void *out, size_t len);
/* The index of the first byte that is wrong; `len` if all are right. */
size_t oracle_check(uint64_t seed, uint64_t position, const void *data, size_t len);

/* Checks a stream as it comes in. */
struct oracle_stream {
    uint64_t seed, size; /* what is to come */
    uint64_t position;   /* right so far */
    bool wrong;          /* a byte was not what it must be, or came behind the end */
};

/* False from the first wrong byte on; `position` then says where it stands. */
bool oracle_take(struct oracle_stream *stream, const void *data, size_t len);
bool oracle_is_complete(const struct oracle_stream *stream);

#endif
