#include "http_server.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

/* --- The head
 * -------------------------------------------------------------------------------------- */

static int64_t wall_clock_s(const struct stk_http_server *server)
{
    return server->options.wall_clock_s ? server->options.wall_clock_s() : (int64_t)time(NULL);
}

static struct http_text begin_head(struct http_server_conn *sc, char *buffer, size_t size,
                                   int status)
{
    struct http_text text = http_text_of(buffer, size);
    char date[STK_HTTP_DATE_MAX];

    http_text_add(&text, "HTTP/1.1 %d %s\r\n", status, stk_http_reason(status));
    http_text_field(&text, "Date", stk_http_date_format(wall_clock_s(sc->server), date));
    if (sc->server->options.server_name != NULL)
        http_text_field(&text, "Server", sc->server->options.server_name);
    return text;
}

/* RFC 9110 section 8.6: no length where no body can be, but one where a HEAD asks for it. */
static void add_framing(struct http_text *text, struct stk_http_exchange *x, int status, int minor,
                        int64_t length)
{
    if (status == 204 || status == 304)
        return;
    if (length >= 0)
        http_text_add(text, "Content-Length: %lld\r\n", (long long)length);
    else if (minor == 1)
        http_text_add(text, "Transfer-Encoding: chunked\r\n");
    else
        x->until_close = x->last = true;
}

/* Whether the connection may carry another request after this one (RFC 9112 section 9.3). */
static void choose_last(struct http_server_conn *sc)
{
    struct stk_http_exchange *x = &sc->exchange;
    const bool unwanted_body = x->request == HTTP_REQUEST_BODY && !x->continued;

    if (!sc->reader.head.keep_alive || sc->server->closing || unwanted_body ||
        sc->requests >= sc->server->options.requests_per_connection)
        x->last = true;
}

static bool is_taken(const struct stk_http_exchange *x)
{
    return x->response != HTTP_RESPONSE_NONE;
}

int stk_http_respond(struct stk_http_exchange *x, int status, const struct stk_http_field *fields,
                     int field_count, int64_t length)
{
    struct http_server_conn *sc = http_conn_of(x);
    const struct stk_http_head *head = &sc->reader.head;
    char buffer[HTTP_HEAD_MAX];
    int result;

    if (status < 200 || status > 599 || length < STK_HTTP_CHUNKED)
        return -EINVAL;
    if (x->broken)
        return STK_ESHUTDOWN;
    if (is_taken(x))
        return -EALREADY;
    /* Success before the body has come means that the body is wanted. */
    if (!x->continued && status < 300)
        http_send_continue(sc);
    choose_last(sc);
    struct http_text text = begin_head(sc, buffer, sizeof buffer, status);
    http_text_fields(&text, fields, field_count);
    add_framing(&text, x, status, head->minor, length);
    if (x->last || head->minor == 0)
        http_text_add(&text, "Connection: %s\r\n", x->last ? "close" : "keep-alive");
    http_text_add(&text, "\r\n");
    if (text.failed)
        return -EINVAL;
    if ((result = http_out_put(&sc->out, buffer, (size_t)(text.at - buffer))) < 0) {
        http_break(sc, result, "the response can't be written");
        return result;
    }
    x->no_body = status == 204 || status == 304 || strcmp(head->method, "HEAD") == 0;
    x->left = length;
    x->response = HTTP_RESPONSE_BODY;
    return 0;
}

/* --- The body
 * --------------------------------------------------------------------------------------- */

static long write_framed(struct http_server_conn *sc, const void *data, size_t len)
{
    struct stk_http_exchange *x = &sc->exchange;

    if (x->no_body)
        return (long)len;
    if (x->left >= 0 || x->until_close)
        return http_out_body(&sc->out, data, len);
    return http_out_chunk(&sc->out, data, len);
}

long stk_http_write(struct stk_http_exchange *x, const void *data, size_t len)
{
    struct http_server_conn *sc = http_conn_of(x);

    if (x->broken || x->response == HTTP_RESPONSE_DONE)
        return STK_ESHUTDOWN;
    if (x->response == HTTP_RESPONSE_NONE)
        return -EINVAL;
    if (x->left >= 0 && len > (uint64_t)x->left)
        return STK_ELIMIT;
    if (len == 0)
        return 0;

    const long taken = write_framed(sc, data, len);
    if (taken < 0 && taken != STK_AGAIN) {
        http_break(sc, (int)taken, "the response can't be written");
        return taken;
    }
    if (taken > 0 && x->left >= 0)
        x->left -= taken;
    if (taken != (long)len)
        x->wants_room = true;
    return taken;
}

int stk_http_finish(struct stk_http_exchange *x)
{
    struct http_server_conn *sc = http_conn_of(x);
    int status = 0;

    if (x->broken || x->response == HTTP_RESPONSE_DONE)
        return STK_ESHUTDOWN;
    if (x->response == HTTP_RESPONSE_NONE)
        return -EINVAL;
    if (!x->no_body && x->left > 0) {
        http_break(sc, -EPROTO, "the response is shorter than it promised");
        return -EPROTO;
    }
    if (!x->no_body && x->left < 0 && !x->until_close &&
        (status = http_out_last_chunk(&sc->out)) < 0) {
        http_break(sc, status, "the response can't be written");
        return status;
    }
    x->response = HTTP_RESPONSE_DONE;
    x->wants_room = false;
    http_server_settle_soon(sc);
    return 0;
}

int stk_http_reply(struct stk_http_exchange *x, int status, const char *content_type,
                   const void *body, size_t len)
{
    const struct stk_http_field fields[] = {{"Content-Type", content_type}};
    struct http_server_conn *sc = http_conn_of(x);
    int result;

    if (len > HTTP_CARRY_MAX / 2)
        return -EMSGSIZE;
    result = stk_http_respond(x, status, fields, content_type != NULL, (int64_t)len);
    if (result < 0)
        return result;
    if (!x->no_body && len > 0 && (result = http_out_put(&sc->out, body, len)) < 0) {
        http_break(sc, result, "the response can't be written");
        return result;
    }
    x->left = 0;
    return stk_http_finish(x);
}

static int error_page(char *page, size_t size, int status, const char *text)
{
    const int len = snprintf(page, size, "%d %s%s%.400s\n", status, stk_http_reason(status),
                             text ? ": " : "", text ? text : "");

    return len < (int)size ? len : (int)size - 1;
}

int stk_http_reply_error(struct stk_http_exchange *x, int status, const char *text)
{
    char page[512];
    const int len = error_page(page, sizeof page, status, text);

    return stk_http_reply(x, status, "text/plain; charset=utf-8", page, (size_t)len);
}

void stk_http_break(struct stk_http_exchange *x)
{
    http_break(http_conn_of(x), -ECONNABORTED, "the handler gave the response up");
}

/* --- The server's own words
 * ------------------------------------------------------------------------- */

void http_send_continue(struct http_server_conn *sc)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    sc->exchange.continued = true;
    if (http_out_put(&sc->out, text, sizeof text - 1) < 0)
        http_break(sc, -EIO, "100 can't be written");
}

void http_refuse(struct http_server_conn *sc, int status, const char *why)
{
    const char *method = sc->reader.head.method;
    char buffer[1024], page[512];

    if (is_taken(&sc->exchange)) {
        http_break(sc, -EPROTO, why);
        return;
    }
    const int len = error_page(page, sizeof page, status, why);
    struct http_text text = begin_head(sc, buffer, sizeof buffer, status);
    http_text_field(&text, "Content-Type", "text/plain; charset=utf-8");
    http_text_add(&text, "Content-Length: %d\r\nConnection: close\r\n\r\n", len);
    if (method == NULL || strcmp(method, "HEAD") != 0)
        http_text_add(&text, "%s", page);
    sc->exchange.broken = true;
    sc->ending = true;
    if (text.failed || http_out_put(&sc->out, buffer, (size_t)(text.at - buffer)) < 0)
        http_break(sc, -EIO, "the refusal can't be written");
    http_server_settle_soon(sc);
}

void http_break(struct http_server_conn *sc, int code, const char *text)
{
    sc->exchange.broken = true;
    sc->ending = true;
    stk_conn_fail(sc->conn, code, "http", "%s", text);
}

/* --- Asking and telling
 * ------------------------------------------------------------------------------- */

void stk_http_again(struct stk_http_exchange *x)
{
    if (!x->held || x->broken)
        return;
    x->held = false;
    stk_conn_resume(http_conn_of(x)->conn);
}

void stk_http_set_body_limit(struct stk_http_exchange *x, uint64_t bytes)
{
    http_conn_of(x)->reader.limits.body_bytes = bytes;
}

void *stk_http_exchange_user(const struct stk_http_exchange *x) { return x->user; }
void stk_http_exchange_set_user(struct stk_http_exchange *x, void *user) { x->user = user; }
void stk_http_exchange_set_last(struct stk_http_exchange *x) { x->last = true; }

const struct stk_http_head *stk_http_exchange_head(const struct stk_http_exchange *x)
{
    return &http_conn_of(x)->reader.head;
}

struct stk_http_server *stk_http_exchange_server(const struct stk_http_exchange *x)
{
    return http_conn_of(x)->server;
}

struct stk_conn *stk_http_exchange_conn(const struct stk_http_exchange *x)
{
    return http_conn_of(x)->conn;
}
