/*
 * The reading half of HTTP/1 without any I/O: bytes in, events out, one at a time.
 *
 * llhttp parses. In front of it stands a gate that knows only lines and bytes, and refuses
 * what parsers are known to read differently: bare CR or LF, folded fields, odd chunk sizes. What
 * llhttp and the gate make of a message's length must agree. Events do not depend on how the
 * input is cut into pieces.
 */
#ifndef STK_HTTP_READER_H
#define STK_HTTP_READER_H

#include "http.h"

#include <llhttp.h>

enum http_event {
    HTTP_EVENT_MORE,  /* all is used: needs more bytes */
    HTTP_EVENT_HEAD,  /* reader->head is filled in */
    HTTP_EVENT_BODY,  /* a piece of the body lies at the start of the rest */
    HTTP_EVENT_END,   /* of the message; restart before the next one */
    HTTP_EVENT_ERROR, /* status, code and problem are set; nothing can follow */
};

enum http_reader_state {
    HTTP_READ_HEAD,
    HTTP_READ_LENGTH, /* a body whose length is given */
    HTTP_READ_TO_EOF,
    HTTP_READ_CHUNK_SIZE,
    HTTP_READ_CHUNK_DATA,
    HTTP_READ_CHUNK_END,
    HTTP_READ_TRAILERS,
    HTTP_READ_COMPLETE, /* the end is known and not yet told */
    HTTP_READ_ENDED,
    HTTP_READ_FAILED,
};

struct http_reader {
    llhttp_t parser;
    enum http_reader_state state;
    bool response;
    bool to_head;      /* the response that is read answers a HEAD */
    bool blank_before; /* the one empty line that may stand before a request was seen */
    uint8_t previous;  /* the last byte of a line that goes on; 0 at a line's start */
    struct stk_http_limits limits;

    char *block; /* the head's bytes; strings of `head` point into it */
    size_t len, capacity;
    struct stk_http_field *fields;
    char *authority; /* of an absolute target */
    struct stk_http_head head;
    int lines;       /* of the head, complete ones */
    int spaces;      /* of the first line */
    size_t word_len; /* of the first line, since the last space */

    size_t line_len;       /* of a chunk size, chunk end or trailer */
    size_t overhead_bytes; /* of chunk extensions and trailers */
    uint64_t size;         /* of the chunk, as the gate reads it */
    bool in_extension;
    uint64_t left; /* bytes of the body or the chunk that are still to come */
    uint64_t body_bytes;

    bool saw_headers, saw_chunk, saw_end; /* what llhttp told in its last call */
    uint64_t parser_length;

    int status; /* what a server answers to an error */
    int code;   /* -EPROTO, STK_ELIMIT, STK_ETRUNCATED, -ENOMEM */
    const char *problem;
};

/* Fills in the defaults where `limits` has zeros. */
void http_reader_init(struct http_reader *reader, bool response,
                      const struct stk_http_limits *limits);
void http_reader_free(struct http_reader *reader);
/* Before each message but the first, after HTTP_EVENT_END. */
void http_reader_restart(struct http_reader *reader);
/* True before the first byte of a message. */
bool http_reader_is_idle(const struct http_reader *reader);

/*
 * The next event of `data`, the unread bytes. `*used` of them are done with, in any case. After
 * HTTP_EVENT_BODY `*body_len` bytes at data + *used are body: tell with http_reader_took() how many
 * of them are taken; those must not come again.
 */
enum http_event http_reader_next(struct http_reader *reader, const uint8_t *data, size_t len,
                                 size_t *used, size_t *body_len);
void http_reader_took(struct http_reader *reader, const uint8_t *data, size_t len);
/* The input ends: HTTP_EVENT_MORE between messages, HTTP_EVENT_END if that ends this message, or
 * HTTP_EVENT_ERROR. */
enum http_event http_reader_eof(struct http_reader *reader);

/* The rest is private to the two files of the reader. */
int http_reader_fail(struct http_reader *reader, int status, int code, const char *problem);
/* Checks and fills in reader->head from a complete block; 0 or the failure's code. */
int http_head_parse(struct http_reader *reader);

/* Grammar (RFC 9110 section 5.6). */
bool http_is_token(const char *text, size_t len);
bool http_is_field_value(const char *text);
/* Visits a comma-separated list: the next element without its whitespace, or NULL. */
const char *http_list_next(const char **cursor, size_t *len);

#endif
