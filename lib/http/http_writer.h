/*
 * The writing half of HTTP/1: heads as text, and bodies framed onto a connection.
 *
 * A connection takes what fits. What can't be cut, such as a head or a chunk's frame, waits in
 * `carry`, which exists only meanwhile; while it holds bytes no body is taken.
 */
#ifndef STK_HTTP_WRITER_H
#define STK_HTTP_WRITER_H

#include "http.h"

enum {
    HTTP_HEAD_MAX = 16 * 1024,         /* bytes of a head that we write */
    HTTP_CARRY_MAX = 16 * 1024 * 1024, /* bytes that may be copied for one message */
};

struct http_text {
    char *at, *end;
    bool failed; /* too long, or a field that must not be written */
};

struct http_out {
    struct stk_conn *conn;
    struct stk_fifo carry;
    uint64_t total_bytes; /* ever taken */
};

struct http_text http_text_of(char *buffer, size_t size);
void http_text_add(struct http_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A name that is no token or a value with controls sets `failed`: nobody smuggles lines in. */
void http_text_field(struct http_text *text, const char *name, const char *value);
/* The caller's fields; those that this room writes itself are refused. */
void http_text_fields(struct http_text *text, const struct stk_http_field *fields, int count);

void http_out_init(struct http_out *out, struct stk_conn *conn);
void http_out_free(struct http_out *out);
/* Takes all of it, or fails. */
int http_out_put(struct http_out *out, const void *data, size_t len);
/* What fits; STK_AGAIN. A short count is followed by the connection's writable(). */
long http_out_body(struct http_out *out, const void *data, size_t len);
/* The same with chunks around it. */
long http_out_chunk(struct http_out *out, const void *data, size_t len);
int http_out_last_chunk(struct http_out *out);
/* Moves what is carried; true if nothing is left of it. */
bool http_out_flush(struct http_out *out);
/* Bytes that the other side is known to have taken. */
uint64_t http_out_delivered(const struct http_out *out);

#endif
