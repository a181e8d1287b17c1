/* Feeds an input to HTTP's reader whole, byte by byte and in pieces: the events must be the same.
 */
#ifndef STK_FUZZ_HTTP_SPLIT_H
#define STK_FUZZ_HTTP_SPLIT_H

#include "http_reader.h"

#include <assert.h>
#include <stdlib.h>

/* A running hash of all events and of their bytes. */
static inline void split_note(uint64_t *hash, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        *hash = (*hash ^ ((const uint8_t *)data)[i]) * UINT64_C(1099511628211);
}

static inline void split_note_head(uint64_t *hash, const struct stk_http_head *head)
{
    if (head->method != NULL) {
        split_note(hash, head->method, strlen(head->method));
        split_note(hash, head->path, strlen(head->path));
    }
    split_note(hash, &head->status, sizeof head->status);
    for (int i = 0; i < head->field_count; i++) {
        split_note(hash, head->fields[i].name, strlen(head->fields[i].name));
        split_note(hash, head->fields[i].value, strlen(head->fields[i].value));
    }
    assert(!(head->chunked && head->content_length >= 0));
}

static inline size_t split_drive(struct http_reader *reader, uint64_t *hash, const uint8_t *data,
                                 size_t len)
{
    for (size_t at = 0;;) {
        size_t used, body_len;
        const enum http_event event =
            http_reader_next(reader, data + at, len - at, &used, &body_len);

        at += used;
        assert(at <= len);
        if (event == HTTP_EVENT_HEAD) {
            split_note(hash, "head", 4);
            split_note_head(hash, &reader->head);
        } else if (event == HTTP_EVENT_BODY) {
            assert(body_len > 0 && body_len <= len - at);
            split_note(hash, data + at, body_len);
            http_reader_took(reader, data + at, body_len);
            at += body_len;
        } else if (event == HTTP_EVENT_END) {
            split_note(hash, "end", 3);
            http_reader_restart(reader);
        } else {
            return at;
        }
    }
}

static inline uint64_t split_hash(const uint8_t *data, size_t len, size_t piece, bool response)
{
    const struct stk_http_limits limits = {.header_bytes = 2048, .target_bytes = 256};
    uint64_t hash = UINT64_C(14695981039346656037);
    struct http_reader reader;
    size_t start = 0, end = 0;

    http_reader_init(&reader, response, &limits);
    while (reader.state != HTTP_READ_FAILED && end < len) {
        end += piece < len - end ? piece : len - end;
        start += split_drive(&reader, &hash, data + start, end - start);
    }
    if (reader.state != HTTP_READ_FAILED && http_reader_eof(&reader) == HTTP_EVENT_END)
        split_note(&hash, "end", 3);
    split_note(&hash, &reader.status, sizeof reader.status);
    http_reader_free(&reader);
    return hash;
}

static inline void split_check(const uint8_t *data, size_t len, bool response)
{
    const uint64_t whole = split_hash(data, len, len, response);

    if (split_hash(data, len, 1, response) != whole || split_hash(data, len, 7, response) != whole)
        abort();
}

#endif
