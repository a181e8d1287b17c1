/*
 * Writes one JSON text (RFC 8259) into a buffer, without allocating. A text that does not fit is
 * `failed`: the writer never goes beyond the end, and what stands there is of no use.
 *
 * Keys are the program's own and written as they are; NULL for a member of an array. Values of
 * text are escaped, and bytes that are no UTF-8 become U+FFFD.
 */
#ifndef STK_PTCP_JSON_H
#define STK_PTCP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ptcp_json {
    char *at, *end;
    bool failed;
    bool comma; /* a member stands before the next one */
};

static inline struct ptcp_json ptcp_json_of(void *buffer, size_t size)
{
    return (struct ptcp_json){.at = buffer, .end = (char *)buffer + size};
}

static inline size_t ptcp_json_left(const struct ptcp_json *json)
{
    return (size_t)(json->end - json->at);
}

/* Bytes as they are: framing. */
void ptcp_json_raw(struct ptcp_json *json, const char *bytes, size_t len);
void ptcp_json_open(struct ptcp_json *json, const char *key, char bracket);
void ptcp_json_close(struct ptcp_json *json, char bracket);
void ptcp_json_text(struct ptcp_json *json, const char *key, const char *text);
/* From 2^53 on as a text of digits: not every reader has so large numbers. */
void ptcp_json_number(struct ptcp_json *json, const char *key, uint64_t value);
/* Microseconds as milliseconds with three decimals. */
void ptcp_json_ms(struct ptcp_json *json, const char *key, uint64_t value_us);
void ptcp_json_bool(struct ptcp_json *json, const char *key, bool value);
/* A text of 16 hexadecimal digits. */
void ptcp_json_hex(struct ptcp_json *json, const char *key, uint64_t value);

#endif
