#include "http_writer.h"

#include "http_reader.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum {
    CHUNK_FRAME_MAX = 24, /* "fffffffffffffff\r\n" and "\r\n" */
    CHUNK_CARRIED_MAX = 1024,
};

/* --- Heads ------------------------------------------------------------------------------------ */

struct http_text http_text_of(char *buffer, size_t size)
{
    return (struct http_text){buffer, buffer + size, false};
}

void http_text_add(struct http_text *text, const char *format, ...)
{
    const size_t room = (size_t)(text->end - text->at);
    va_list arguments;

    va_start(arguments, format);
    const int len = vsnprintf(text->at, room, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= room)
        text->failed = true;
    else
        text->at += len;
}

void http_text_field(struct http_text *text, const char *name, const char *value)
{
    if (!http_is_token(name, strlen(name)) || !http_is_field_value(value))
        text->failed = true;
    else
        http_text_add(text, "%s: %s\r\n", name, value);
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {"Content-Length", "Transfer-Encoding", "Connection",
                                       "Keep-Alive",     "Trailer",           "Upgrade"};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return false;
}

void http_text_fields(struct http_text *text, const struct stk_http_field *fields, int count)
{
    for (int i = 0; i < count; i++) {
        if (is_ours(fields[i].name))
            text->failed = true;
        else
            http_text_field(text, fields[i].name, fields[i].value);
    }
}

/* --- Onto the connection ------------------------------------------------------------------------
 */

void http_out_init(struct http_out *out, struct stk_conn *conn)
{
    *out = (struct http_out){.conn = conn};
    stk_fifo_init(&out->carry, HTTP_CARRY_MAX);
}

void http_out_free(struct http_out *out) { stk_fifo_free(&out->carry); }

int http_out_put(struct http_out *out, const void *data, size_t len)
{
    long sent = 0;

    if (stk_fifo_len(&out->carry) == 0 && len > 0) {
        sent = stk_conn_write(out->conn, data, len);
        if (sent == STK_AGAIN)
            sent = 0;
        if (sent < 0)
            return (int)sent;
    }
    const size_t rest = len - (size_t)sent;
    if (rest > stk_fifo_room(&out->carry))
        return -EMSGSIZE;
    if (rest > 0 && stk_fifo_put(&out->carry, (const uint8_t *)data + sent, rest) != (long)rest)
        return -ENOMEM;
    out->total_bytes += len;
    return 0;
}

bool http_out_flush(struct http_out *out)
{
    while (stk_fifo_len(&out->carry) > 0) {
        const long sent =
            stk_conn_write(out->conn, stk_fifo_data(&out->carry), stk_fifo_len(&out->carry));

        if (sent <= 0)
            return false;
        stk_fifo_consume(&out->carry, (size_t)sent);
    }
    return true;
}

long http_out_body(struct http_out *out, const void *data, size_t len)
{
    if (stk_fifo_len(&out->carry) > 0)
        return STK_AGAIN;

    const long sent = stk_conn_write(out->conn, data, len);
    if (sent > 0)
        out->total_bytes += (uint64_t)sent;
    return sent;
}

/* One chunk that fits into the connection's buffer as a whole. */
static int write_chunk(struct http_out *out, const void *data, size_t len)
{
    char size[CHUNK_FRAME_MAX];
    const int size_len = snprintf(size, sizeof size, "%zx\r\n", len);
    const struct iovec iov[] = {
        {size, (size_t)size_len}, {(void *)(uintptr_t)data, len}, {(char[]){'\r', '\n'}, 2}};
    const long want = size_len + (long)len + 2;
    const long sent = stk_conn_writev(out->conn, iov, 3);

    if (sent < 0 && sent != STK_AGAIN)
        return (int)sent;
    if (sent != want)
        return -ENOMEM; /* room was there: only memory can have failed, and half a chunk is out */
    out->total_bytes += (uint64_t)want;
    return 0;
}

/* A chunk that does not fit: it waits here, and the connection owes writable(). */
static int carry_chunk(struct http_out *out, const void *data, size_t len)
{
    char frame[CHUNK_FRAME_MAX + CHUNK_CARRIED_MAX];
    const int size_len = snprintf(frame, sizeof frame, "%zx\r\n", len);

    memcpy(frame + size_len, data, len);
    memcpy(frame + size_len + len, "\r\n", 2);
    return http_out_put(out, frame, (size_t)size_len + len + 2);
}

long http_out_chunk(struct http_out *out, const void *data, size_t len)
{
    size_t taken = 0;

    while (taken < len && stk_fifo_len(&out->carry) == 0) {
        const uint8_t *at = (const uint8_t *)data + taken;
        const size_t room = stk_conn_write_room(out->conn);
        size_t piece = len - taken;
        int status;

        if (room >= CHUNK_FRAME_MAX + CHUNK_CARRIED_MAX) {
            if (piece > room - CHUNK_FRAME_MAX)
                piece = room - CHUNK_FRAME_MAX;
            status = write_chunk(out, at, piece);
        } else {
            if (piece > CHUNK_CARRIED_MAX)
                piece = CHUNK_CARRIED_MAX;
            status = carry_chunk(out, at, piece);
        }
        if (status < 0)
            return status;
        taken += piece;
    }
    return taken > 0 || len == 0 ? (long)taken : STK_AGAIN;
}

int http_out_last_chunk(struct http_out *out) { return http_out_put(out, "0\r\n\r\n", 5); }

static uint64_t waiting(const struct http_out *out)
{
    uint64_t unsent = 0;

    stk_conn_query(out->conn, STK_QUERY_UNSENT, &unsent, sizeof unsent);
    return unsent + stk_conn_write_pending(out->conn) + stk_fifo_len(&out->carry);
}

uint64_t http_out_delivered(const struct http_out *out)
{
    const uint64_t left = waiting(out);

    return left < out->total_bytes ? out->total_bytes - left : 0;
}
