#include "http_client.h"

#include <assert.h>
#include <stdio.h>

enum {
    QUEUE_DEFAULT = 64,
    RESPONSE_TIMEOUT_US = 60 * 1000 * 1000,
    IDLE_TIMEOUT_US = 60 * 1000 * 1000,
    CONTINUE_TIMEOUT_US = 1000 * 1000,
    INTERIM_MAX = 100, /* 1xx responses to one request: each counts as progress */
};

static struct stk_http_call *call_of(struct stk_node *node)
{
    return STK_CONTAINER(node, struct stk_http_call, node);
}

/* The call whose response comes next; NULL if none is sent. */
static struct stk_http_call *current(struct stk_http_client *client)
{
    if (stk_list_empty(&client->calls))
        return NULL;
    struct stk_http_call *call = call_of(client->calls.next);
    return call->state != HTTP_CALL_WAITING ? call : NULL;
}

void http_client_pump_soon(struct stk_http_client *client) { stk_task_queue(&client->task); }

/* --- The end of a call
 * -------------------------------------------------------------------------------- */

static void leave(struct stk_http_client *client, struct stk_http_call *call)
{
    stk_list_remove(&call->node);
    client->call_count--;
    if (client->call_count == 0 && client->conn != NULL)
        stk_timer_in(&client->timer, client->options.idle_timeout_us);
}

static void fail_call(struct stk_http_client *client, struct stk_http_call *call,
                      const struct stk_error *error)
{
    leave(client, call);
    if (call->handler->failed != NULL)
        call->handler->failed(call, error);
    http_call_free(call);
}

static struct stk_error error_for(const struct stk_http_call *call, const struct stk_error *cause)
{
    struct stk_error error;

    if (call->canceled)
        stk_error_set(&error, -ECANCELED, "http", "the request was canceled");
    else if (cause != NULL)
        error = *cause;
    else if (call->got_head)
        stk_error_set(&error, STK_ETRUNCATED, "http", "the response is cut off");
    else
        stk_error_set(&error, STK_ETRUNCATED, "http",
                      "the server closed the connection before it answered");
    return error;
}

/* Only those that are there now: a handler may queue new ones, which are refused. */
static void fail_all(struct stk_http_client *client, const struct stk_error *cause)
{
    while (!stk_list_empty(&client->calls)) {
        struct stk_http_call *call = call_of(client->calls.next);
        const struct stk_error error = error_for(call, cause);

        fail_call(client, call, &error);
    }
}

static void end_connection(struct stk_http_client *client)
{
    client->ending = true;
    if (client->conn != NULL) {
        stk_conn_resume(client->conn);
        stk_conn_close(client->conn);
    }
}

static void end_call(struct stk_http_client *client, struct stk_http_call *call)
{
    const bool reusable = client->reader.head.keep_alive && call->state == HTTP_CALL_SENT;

    stk_timer_stop(&client->continue_timer);
    leave(client, call);
    if (!reusable)
        end_connection(client);
    if (call->handler->end != NULL)
        call->handler->end(call);
    http_call_free(call);
    if (client->reader.state == HTTP_READ_ENDED)
        http_reader_restart(&client->reader);
    http_client_pump_soon(client);
}

/* --- Sending
 * ------------------------------------------------------------------------------------------- */

static void cancel_calls(struct stk_http_client *client)
{
    STK_LIST_EACH(node, &client->calls)
    {
        struct stk_http_call *call = call_of(node);

        if (!call->canceled)
            continue;
        if (call->state == HTTP_CALL_WAITING) {
            const struct stk_error error = error_for(call, NULL);
            fail_call(client, call, &error);
            http_client_pump_soon(client); /* the list may have changed: look again */
        } else if (client->conn != NULL) {
            stk_conn_fail(client->conn, -ECANCELED, "http", "a request before was canceled");
        }
        return;
    }
}

/* The next call that may send: requests go out whole and in order. */
static struct stk_http_call *next_sender(struct stk_http_client *client)
{
    unsigned sent = 0;
    bool all_safe = true;

    STK_LIST_EACH(node, &client->calls)
    {
        struct stk_http_call *call = call_of(node);

        if (call->state == HTTP_CALL_SENT) {
            sent++;
            all_safe = all_safe && call->is_safe;
            continue;
        }
        if (call->state != HTTP_CALL_WAITING)
            return call;
        if (client->ending || sent >= client->options.pipeline)
            return NULL;
        return sent == 0 || (all_safe && call->is_safe) ? call : NULL;
    }
    return NULL;
}

static void pump(struct stk_task *task)
{
    struct stk_http_client *client = STK_CONTAINER(task, struct stk_http_client, task);
    struct stk_http_call *call;

    cancel_calls(client);
    if (client->conn == NULL) {
        fail_all(client, NULL);
        return;
    }
    if (!http_out_flush(&client->out))
        return;
    while ((call = next_sender(client)) != NULL) {
        const enum http_call_state before = call->state;
        const int status = http_call_send(call);

        if (status < 0)
            return; /* the connection tells the error by itself */
        if (call->state == HTTP_CALL_EXPECTING && before != HTTP_CALL_EXPECTING)
            stk_timer_in(&client->continue_timer, client->options.continue_timeout_us);
        if (call->state != HTTP_CALL_SENT)
            return;
    }
}

/* --- Reading
 * --------------------------------------------------------------------------------------------- */

static void fail_reading(struct stk_http_client *client)
{
    client->ending = true;
    stk_conn_fail(client->conn, client->reader.code, "http", "%s", client->reader.problem);
}

static void take_head(struct stk_http_client *client, struct stk_http_call *call)
{
    const struct stk_http_head *head = &client->reader.head;

    if (head->status / 100 == 1) {
        if (head->status == 100)
            http_call_continue(call);
        return;
    }
    call->got_head = true;
    stk_timer_stop(&client->continue_timer);
    if (call->handler->head != NULL)
        call->handler->head(call, head);
}

static size_t take_body(struct stk_http_client *client, struct stk_http_call *call,
                        const uint8_t *data, size_t len)
{
    size_t taken = len;

    if (call->handler->body != NULL && !call->canceled)
        taken = call->handler->body(call, data, len);
    assert(taken <= len);
    http_reader_took(&client->reader, data, taken);
    if (taken < len) {
        call->held = true;
        stk_conn_pause(client->conn);
    }
    return taken;
}

static void take_end(struct stk_http_client *client, struct stk_http_call *call)
{
    if (call->got_head) {
        end_call(client, call);
        return;
    }
    http_reader_restart(&client->reader); /* a 1xx: the final one follows */
    if (++call->interim > INTERIM_MAX) {
        client->ending = true;
        stk_conn_fail(client->conn, STK_ELIMIT, "http", "more than %d interim responses",
                      INTERIM_MAX);
    }
}

/* One event of the current call's response; returns how many bytes it used. */
static size_t read_event(struct stk_http_client *client, struct stk_http_call *call,
                         const uint8_t *data, size_t len, bool *more)
{
    size_t used, body_len;

    client->reader.to_head = call->is_head;
    switch (http_reader_next(&client->reader, data, len, &used, &body_len)) {
    case HTTP_EVENT_MORE:
        *more = false;
        break;
    case HTTP_EVENT_HEAD:
        take_head(client, call);
        break;
    case HTTP_EVENT_BODY:
        used += take_body(client, call, data + used, body_len);
        break;
    case HTTP_EVENT_END:
        take_end(client, call);
        break;
    case HTTP_EVENT_ERROR:
        fail_reading(client);
        break;
    }
    return used;
}

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct stk_http_client *client = stk_conn_user(conn);
    size_t used = 0;
    bool more = true;

    client->read_bytes += len;
    while (more && !client->ending) {
        struct stk_http_call *call = current(client);

        if (call == NULL || call->held)
            break;
        used += read_event(client, call, data + used, len - used, &more);
    }
    if (client->ending)
        return len;
    /* Bytes that nobody asked for: no later response may be taken from them. */
    if (used < len && current(client) == NULL)
        end_connection(client);
    return client->ending ? len : used;
}

static void finished(struct stk_conn *conn)
{
    struct stk_http_client *client = stk_conn_user(conn);
    struct stk_http_call *call = current(client);
    enum http_event event;

    client->ending = true;
    if (call == NULL) {
        stk_conn_close(conn);
        return;
    }
    client->reader.to_head = call->is_head;
    event = http_reader_eof(&client->reader);
    if (event == HTTP_EVENT_END && call->got_head) {
        end_call(client, call);
        end_connection(client);
    } else {
        const struct stk_error error = error_for(call, NULL);
        stk_conn_fail(conn, error.code, "http", "%s", error.text);
    }
}

static void writable(struct stk_conn *conn)
{
    struct stk_http_client *client = stk_conn_user(conn);

    http_client_pump_soon(client);
}

/* --- Time
 * ---------------------------------------------------------------------------------------------------
 */

static void timer_fired(struct stk_timer *timer)
{
    struct stk_http_client *client = STK_CONTAINER(timer, struct stk_http_client, timer);
    struct stk_http_call *call = current(client);
    const uint64_t progress = client->read_bytes + http_out_delivered(&client->out);

    if (client->call_count == 0) {
        end_connection(client);
    } else if (progress != client->progress_before || (call != NULL && call->held)) {
        client->progress_before = progress;
        stk_timer_in(timer, client->options.response_timeout_us);
    } else {
        stk_conn_fail(client->conn, -ETIMEDOUT, "http", "no byte for %.3g s",
                      (double)client->options.response_timeout_us / 1e6);
    }
}

/* RFC 9110 section 10.1.1: a client does not wait for ever for 100. */
static void continue_fired(struct stk_timer *timer)
{
    struct stk_http_client *client = STK_CONTAINER(timer, struct stk_http_client, continue_timer);
    struct stk_http_call *call = next_sender(client);

    if (call != NULL)
        http_call_continue(call);
}

/* --- Life
 * ------------------------------------------------------------------------------------------------------
 */

static void free_client(struct stk_http_client *client)
{
    stk_timer_stop(&client->timer);
    stk_timer_stop(&client->continue_timer);
    stk_task_stop(&client->task);
    http_reader_free(&client->reader);
    http_out_free(&client->out);
    stk_free(client->target);
    stk_free(client);
}

static void finish_abandoned(struct stk_task *task)
{
    struct stk_http_client *client = STK_CONTAINER(task, struct stk_http_client, task);

    fail_all(client, NULL);
    free_client(client);
}

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct stk_http_client *client = stk_conn_user(conn);

    client->ending = true;
    client->conn = NULL;
    stk_timer_stop(&client->timer);
    stk_timer_stop(&client->continue_timer);
    fail_all(client, error);
    if (client->abandoned)
        free_client(client);
    else if (client->options.closed != NULL)
        client->options.closed(client, error, client->options.user);
}

static const struct stk_protocol client_protocol = {
    .opened = writable,
    .received = received,
    .finished = finished,
    .writable = writable,
    .closed = closed,
};

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

static struct stk_http_client *new_client(struct stk_loop *loop,
                                          const struct stk_http_client_options *options)
{
    struct stk_http_client *client = stk_alloc_zero(sizeof *client);

    if (client == NULL)
        return NULL;
    client->loop = loop;
    if (options != NULL)
        client->options = *options;
    DEFAULT(client->options.pipeline, 1);
    DEFAULT(client->options.queue, QUEUE_DEFAULT);
    DEFAULT(client->options.response_timeout_us, RESPONSE_TIMEOUT_US);
    DEFAULT(client->options.idle_timeout_us, IDLE_TIMEOUT_US);
    DEFAULT(client->options.continue_timeout_us, CONTINUE_TIMEOUT_US);
    http_reader_init(&client->reader, true, &client->options.limits);
    stk_list_init(&client->calls);
    stk_task_init(&client->task, loop, pump);
    stk_timer_init(&client->timer, loop, timer_fired);
    stk_timer_init(&client->continue_timer, loop, continue_fired);
    return client;
}

int stk_http_client_new(struct stk_loop *loop, const char *address,
                        const struct stk_http_client_options *options, struct stk_http_client **out,
                        struct stk_error *error)
{
    struct stk_http_client *client;
    struct http_address parsed;
    int status = http_address_parse(address, &parsed, error);

    if (status < 0)
        return status;
    if ((client = new_client(loop, options)) == NULL) {
        http_address_free(&parsed);
        return stk_error_set(error, -ENOMEM, "http", "out of memory");
    }
    status = stk_connect_recipe(loop, parsed.stack, &client_protocol, client, &client->conn, error);
    if (status < 0) {
        http_address_free(&parsed);
        free_client(client);
        return status;
    }
    snprintf(client->host, sizeof client->host, "%s", parsed.host);
    client->target = parsed.target;
    parsed.target = NULL;
    http_address_free(&parsed);
    http_out_init(&client->out, client->conn);
    stk_timer_in(&client->timer, client->options.idle_timeout_us);
    *out = client;
    return 0;
}

int stk_http_client_adopt(struct stk_conn *conn, const char *host,
                          const struct stk_http_client_options *options,
                          struct stk_http_client **out)
{
    struct stk_http_client *client = new_client(stk_conn_loop(conn), options);

    if (client == NULL)
        return -ENOMEM;
    client->conn = conn;
    snprintf(client->host, sizeof client->host, "%s", host);
    http_out_init(&client->out, conn);
    stk_timer_in(&client->timer, client->options.idle_timeout_us);
    stk_conn_set_protocol(conn, &client_protocol, client);
    *out = client;
    return 0;
}

void stk_http_client_close(struct stk_http_client *client)
{
    assert(!client->abandoned);
    client->abandoned = true;
    client->ending = true;
    STK_LIST_EACH(node, &client->calls) { call_of(node)->canceled = true; }
    if (client->conn == NULL) {
        stk_task_stop(&client->task);
        stk_task_init(&client->task, client->loop, finish_abandoned);
        stk_task_queue(&client->task);
    } else if (client->call_count > 0) {
        stk_conn_fail(client->conn, -ECANCELED, "http", "the client was closed");
    } else {
        end_connection(client);
    }
}

bool stk_http_client_is_usable(const struct stk_http_client *client)
{
    return client->conn != NULL && !client->ending;
}

struct stk_conn *stk_http_client_conn(const struct stk_http_client *client) { return client->conn; }

int stk_http_client_send(struct stk_http_client *client, const struct stk_http_request *request,
                         const struct stk_http_response_handler *handler, void *user,
                         struct stk_http_call **out, struct stk_error *error)
{
    struct stk_http_call *call;
    int status;

    if (!stk_http_client_is_usable(client))
        return stk_error_set(error, STK_ESHUTDOWN, "http", "the connection takes no more requests");
    if (client->call_count >= client->options.queue)
        return stk_error_set(error, -ENOBUFS, "http", "too many requests are waiting");
    if ((status = http_call_new(client, request, &call, error)) < 0)
        return status;
    call->handler = handler;
    call->user = user;
    stk_list_append(&client->calls, &call->node);
    if (client->call_count++ == 0)
        stk_timer_in(&client->timer, client->options.response_timeout_us);
    http_client_pump_soon(client);
    if (out != NULL)
        *out = call;
    return 0;
}
