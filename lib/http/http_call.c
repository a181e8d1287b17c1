#include "http_client.h"

#include <assert.h>
#include <strings.h>

enum { REQUEST_BODY_DEFAULT = 16 * 1024 * 1024 };

/* --- The request as text
 * ---------------------------------------------------------------------------- */

static bool has_field(const struct stk_http_request *request, const char *name)
{
    for (int i = 0; i < request->field_count; i++)
        if (strcasecmp(request->fields[i].name, name) == 0)
            return true;
    return false;
}

static bool is_target(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            return false;
    return text[0] == '/' || strcmp(text, "*") == 0 || strncasecmp(text, "http", 4) == 0;
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/* RFC 9110 section 8.6: a length of 0 is told where a body could be expected. */
static void add_framing(struct http_text *text, const struct stk_http_request *request,
                        const char *method)
{
    static const char *const with_body[] = {"POST", "PUT", "PATCH", NULL};

    if (request->length == STK_HTTP_CHUNKED)
        http_text_add(text, "Transfer-Encoding: chunked\r\n");
    else if (request->length > 0 || is_one_of(method, with_body))
        http_text_add(text, "Content-Length: %lld\r\n", (long long)request->length);
    if (request->expect_continue && request->length != 0)
        http_text_add(text, "Expect: 100-continue\r\n");
}

static int format_head(const struct stk_http_client *client, const struct stk_http_request *request,
                       char *buffer, size_t size, struct stk_error *error)
{
    const char *method = request->method ? request->method : "GET";
    const char *target = request->target ? request->target : client->target;
    struct http_text text = http_text_of(buffer, size);

    if (target == NULL)
        target = "/";
    if (!http_is_token(method, strlen(method)) || strcmp(method, "CONNECT") == 0)
        return stk_error_set(error, -EINVAL, "http", "\"%.40s\" is no method for this client",
                             method);
    if (!is_target(target))
        return stk_error_set(error, -EINVAL, "http", "\"%.80s\" is no target", target);
    http_text_add(&text, "%s %s HTTP/1.1\r\n", method, target);
    if (!has_field(request, "Host"))
        http_text_field(&text, "Host", client->host);
    http_text_fields(&text, request->fields, request->field_count);
    add_framing(&text, request, method);
    http_text_add(&text, "\r\n");
    if (text.failed)
        return stk_error_set(error, -EINVAL, "http", "a field can't be sent as it is");
    return (int)(text.at - buffer);
}

int http_call_new(struct stk_http_client *client, const struct stk_http_request *request,
                  struct stk_http_call **out, struct stk_error *error)
{
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE", NULL};
    const uint64_t body_max = client->options.request_body_bytes
                                  ? client->options.request_body_bytes
                                  : REQUEST_BODY_DEFAULT;
    const char *method = request->method ? request->method : "GET";
    const size_t body_len = request->body && request->length > 0 ? (size_t)request->length : 0;
    char buffer[HTTP_HEAD_MAX];

    if (request->length < STK_HTTP_CHUNKED || body_len > body_max ||
        (request->body != NULL && request->length < 0))
        return stk_error_set(error, -EINVAL, "http", "the length of the request's body is wrong");
    const int head_len = format_head(client, request, buffer, sizeof buffer, error);
    if (head_len < 0)
        return head_len;

    struct stk_http_call *call = stk_alloc_zero(sizeof *call);
    char *head = stk_alloc((size_t)head_len + body_len);
    if (call == NULL || head == NULL) {
        stk_free(call);
        stk_free(head);
        return stk_error_set(error, -ENOMEM, "http", "out of memory");
    }
    memcpy(head, buffer, (size_t)head_len);
    if (body_len > 0)
        memcpy(head + head_len, request->body, body_len);
    *call = (struct stk_http_call){
        .client = client,
        .is_head = strcmp(method, "HEAD") == 0,
        .is_safe = is_one_of(method, safe) && request->length == 0,
        .expects = request->expect_continue && request->length != 0,
        .streams = request->length != 0 && body_len == 0,
        .left = request->length,
        .head = head,
        .head_len = (size_t)head_len,
        .body_len = body_len,
    };
    stk_list_init(&call->node);
    *out = call;
    return 0;
}

void http_call_free(struct stk_http_call *call)
{
    stk_list_remove(&call->node);
    stk_free(call->head);
    stk_free(call);
}

/* --- Sending
 * ------------------------------------------------------------------------------------------ */

static int send_given_body(struct stk_http_call *call)
{
    while (call->body_sent < call->body_len) {
        const long sent =
            http_out_body(&call->client->out, call->head + call->head_len + call->body_sent,
                          call->body_len - call->body_sent);

        if (sent == STK_AGAIN)
            return 0;
        if (sent < 0)
            return (int)sent;
        call->body_sent += (size_t)sent;
    }
    call->state = HTTP_CALL_SENT;
    return 0;
}

static void tell_writable(struct stk_http_call *call)
{
    call->wants_room = false;
    if (call->handler->writable != NULL)
        call->handler->writable(call);
}

int http_call_send(struct stk_http_call *call)
{
    int status;

    if (call->state == HTTP_CALL_WAITING) {
        status = http_out_put(&call->client->out, call->head, call->head_len);
        if (status < 0)
            return status;
        call->wants_room = call->streams;
        call->state = call->left == 0 ? HTTP_CALL_SENT
                      : call->expects ? HTTP_CALL_EXPECTING
                                      : HTTP_CALL_SENDING;
    }
    if (call->state != HTTP_CALL_SENDING)
        return 0;
    if (!call->streams)
        return send_given_body(call);
    if (call->wants_room && stk_fifo_len(&call->client->out.carry) == 0)
        tell_writable(call);
    return 0;
}

void http_call_continue(struct stk_http_call *call)
{
    if (call->state != HTTP_CALL_EXPECTING)
        return;
    call->state = HTTP_CALL_SENDING;
    stk_timer_stop(&call->client->continue_timer);
    http_client_pump_soon(call->client);
}

long stk_http_call_write(struct stk_http_call *call, const void *data, size_t len)
{
    struct stk_http_client *client = call->client;
    long taken;

    if (!call->streams)
        return -EINVAL;
    if (call->state == HTTP_CALL_SENT || client->conn == NULL || call->canceled)
        return STK_ESHUTDOWN;
    if (call->left >= 0 && len > (uint64_t)call->left)
        return STK_ELIMIT;
    if (len == 0)
        return 0;
    if (call->state == HTTP_CALL_SENDING)
        taken = call->left >= 0 ? http_out_body(&client->out, data, len)
                                : http_out_chunk(&client->out, data, len);
    else
        taken = STK_AGAIN;
    if (taken > 0 && call->left > 0)
        call->left -= taken;
    if (taken != (long)len)
        call->wants_room = true;
    return taken;
}

int stk_http_call_finish(struct stk_http_call *call)
{
    struct stk_http_client *client = call->client;
    int status = 0;

    if (!call->streams)
        return -EINVAL;
    if (call->state == HTTP_CALL_SENT || client->conn == NULL || call->canceled)
        return STK_ESHUTDOWN;
    if (call->state != HTTP_CALL_SENDING)
        return STK_AGAIN;
    if (call->left > 0)
        status = -EPROTO;
    else if (call->left < 0)
        status = http_out_last_chunk(&client->out);
    if (status < 0) {
        stk_conn_fail(client->conn, status, "http", "the request's body can't be completed");
        return status;
    }
    call->state = HTTP_CALL_SENT;
    http_client_pump_soon(client);
    return 0;
}

/* --- Asking and telling
 * ------------------------------------------------------------------------------------ */

void stk_http_call_again(struct stk_http_call *call)
{
    if (!call->held)
        return;
    call->held = false;
    if (call->client->conn != NULL)
        stk_conn_resume(call->client->conn);
}

void stk_http_call_cancel(struct stk_http_call *call)
{
    call->canceled = true;
    http_client_pump_soon(call->client);
}

void *stk_http_call_user(const struct stk_http_call *call) { return call->user; }
struct stk_http_client *stk_http_call_client(const struct stk_http_call *call)
{
    return call->client;
}
