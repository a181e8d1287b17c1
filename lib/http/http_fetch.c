#include "http_address.h"
#include "http_response.h"

#include <assert.h>
#include <strings.h>

enum { BODY_BYTES_DEFAULT = 16 * 1024 * 1024, REDIRECTS_MAX = 50 };

/* One stk_http_get() from its start to its result, over as many connections as redirects ask. */
struct fetch {
    struct stk_loop *loop;
    struct stk_deferred *deferred; /* NULL: canceled */
    struct stk_task task;          /* connects: never inside the caller's call */
    struct stk_http_client *client;
    struct stk_http_options options; /* its pointers lead to copies, in `copies` */
    char *copies;
    char *address;
    struct http_response *response;
    struct stk_error error; /* why the call was canceled, if by us */
    int redirects;
    bool other_origin; /* credentials stay behind */
};

/* --- The end
 * -------------------------------------------------------------------------------------------- */

static void let_client_go(struct fetch *f)
{
    if (f->client != NULL)
        stk_http_client_close(f->client);
    f->client = NULL;
}

static void free_fetch(struct fetch *f)
{
    let_client_go(f);
    stk_task_stop(&f->task);
    stk_http_response_free(f->response);
    stk_free(f->copies);
    stk_free(f->address);
    stk_free(f);
}

static void fail_fetch(struct fetch *f, const struct stk_error *error)
{
    struct stk_deferred *deferred = f->deferred;
    const struct stk_error copy = *error;

    free_fetch(f);
    if (deferred != NULL)
        stk_deferred_fail(deferred, &copy);
}

static void succeed(struct fetch *f)
{
    struct stk_deferred *deferred = f->deferred;
    struct http_response *response = f->response;

    http_response_complete(response);
    f->response = NULL;
    free_fetch(f);
    stk_deferred_succeed(deferred, response, stk_http_response_free);
}

/* --- Redirects
 * ---------------------------------------------------------------------------------------------- */

static bool is_redirect(const struct fetch *f)
{
    const int status = f->response->head.status;

    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           f->options.redirects > 0 && stk_http_head_get(&f->response->head, "Location") != NULL;
}

/* RFC 9110 section 15.4: what a request becomes. */
static void change_method(struct fetch *f)
{
    const int status = f->response->head.status;
    const char *method = f->options.method ? f->options.method : "GET";
    const bool get_anyway = status == 303 && strcmp(method, "HEAD") != 0;

    if (get_anyway || ((status == 301 || status == 302) && strcmp(method, "POST") == 0)) {
        f->options.method = NULL;
        f->options.body = NULL;
        f->options.body_len = 0;
        f->options.expect_continue = false;
    }
}

static void follow(struct fetch *f)
{
    const char *location = stk_http_head_get(&f->response->head, "Location");
    struct stk_error error = {0};
    bool other_origin;
    char *next;

    if (f->redirects++ >= f->options.redirects) {
        stk_error_set(&error, STK_ELIMIT, "http", "more than %d redirects", f->options.redirects);
        fail_fetch(f, &error);
        return;
    }
    if (http_address_resolve(f->address, location, &next, &other_origin, &error) < 0) {
        fail_fetch(f, &error);
        return;
    }
    change_method(f);
    f->other_origin = f->other_origin || other_origin;
    stk_free(f->address);
    f->address = next;
    stk_http_response_free(f->response);
    f->response = NULL;
    let_client_go(f);
    stk_task_queue(&f->task);
}

/* --- The response
 * -------------------------------------------------------------------------------------------- */

static void give_up(struct fetch *f, struct stk_http_call *call, int code, const char *text)
{
    if (f->error.code == 0)
        stk_error_set(&f->error, code, "http", "%s", text);
    stk_http_call_cancel(call);
}

static void on_head(struct stk_http_call *call, const struct stk_http_head *head)
{
    struct fetch *f = stk_http_call_user(call);

    f->response = http_response_new(head, f->address);
    if (f->response == NULL)
        give_up(f, call, -ENOMEM, "out of memory for the response");
}

static size_t on_body(struct stk_http_call *call, const uint8_t *data, size_t len)
{
    struct fetch *f = stk_http_call_user(call);

    if (f->error.code != 0)
        return len;
    if (len > f->options.body_bytes_max - f->response->body_len)
        give_up(f, call, STK_ELIMIT, "the response's body is longer than allowed");
    else if (http_response_append(f->response, data, len) < 0)
        give_up(f, call, -ENOMEM, "out of memory for the response");
    return len;
}

static void on_failed(struct stk_http_call *call, const struct stk_error *error)
{
    struct fetch *f = stk_http_call_user(call);

    fail_fetch(f, f->error.code != 0 ? &f->error : error);
}

static void on_end(struct stk_http_call *call)
{
    struct fetch *f = stk_http_call_user(call);

    if (f->error.code != 0)
        fail_fetch(f, &f->error);
    else if (f->deferred == NULL)
        free_fetch(f);
    else if (is_redirect(f))
        follow(f);
    else
        succeed(f);
}

static const struct stk_http_response_handler handler = {
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .failed = on_failed,
};

/* --- The request
 * --------------------------------------------------------------------------------------------- */

static bool is_credential(const char *name)
{
    return strcasecmp(name, "Authorization") == 0 || strcasecmp(name, "Cookie") == 0 ||
           strcasecmp(name, "Proxy-Authorization") == 0 || strcasecmp(name, "Host") == 0;
}

static int send_request(struct fetch *f, struct stk_error *error)
{
    const struct stk_http_options *o = &f->options;
    struct stk_http_field fields[STK_HTTP_FIELDS_MAX];
    int count = 0;

    for (int i = 0; i < o->field_count; i++)
        if (!f->other_origin || !is_credential(o->fields[i].name))
            fields[count++] = o->fields[i];

    const struct stk_http_request request = {
        .method = o->method,
        .fields = fields,
        .field_count = count,
        .body = o->body,
        .length = (int64_t)o->body_len,
        .expect_continue = o->expect_continue,
    };
    return stk_http_client_send(f->client, &request, &handler, f, NULL, error);
}

static void start(struct stk_task *task)
{
    struct fetch *f = STK_CONTAINER(task, struct fetch, task);
    struct stk_error error = {0};

    if (stk_http_client_new(f->loop, f->address, &f->options.client, &f->client, &error) < 0 ||
        send_request(f, &error) < 0)
        fail_fetch(f, &error);
}

/* The call's failure follows and frees; without a call nothing would. */
static void cancel(struct stk_deferred *deferred, void *user)
{
    struct fetch *f = user;

    assert(f->deferred == deferred);
    f->deferred = NULL;
    if (f->client == NULL) {
        free_fetch(f);
    } else {
        let_client_go(f);
    }
}

/* --- Copies of what the caller gave
 * --------------------------------------------------------------------------- */

static size_t copies_size(const struct stk_http_options *o)
{
    size_t size = (size_t)o->field_count * sizeof *o->fields + o->body_len + 1;

    size += o->method ? strlen(o->method) + 1 : 0;
    for (int i = 0; i < o->field_count; i++)
        size += strlen(o->fields[i].name) + strlen(o->fields[i].value) + 2;
    return size;
}

static const char *copy_string(char **at, const char *text)
{
    char *copy = *at;

    *at = stpcpy(copy, text) + 1;
    return copy;
}

static int copy_options(struct fetch *f, const struct stk_http_options *o)
{
    struct stk_http_field *fields;
    char *at;

    f->options = *o;
    if (o->field_count < 0 || o->field_count > STK_HTTP_FIELDS_MAX)
        return -EINVAL;
    if ((f->copies = stk_alloc(copies_size(o))) == NULL)
        return -ENOMEM;
    fields = (struct stk_http_field *)(void *)f->copies;
    at = f->copies + (size_t)o->field_count * sizeof *fields;
    for (int i = 0; i < o->field_count; i++) {
        fields[i].name = copy_string(&at, o->fields[i].name);
        fields[i].value = copy_string(&at, o->fields[i].value);
    }
    f->options.fields = fields;
    f->options.method = o->method ? copy_string(&at, o->method) : NULL;
    if (o->body_len > 0)
        f->options.body = memcpy(at, o->body, o->body_len);
    return 0;
}

static struct fetch *new_fetch(struct stk_loop *loop, const char *address,
                               const struct stk_http_options *options)
{
    static const struct stk_http_options none;
    struct fetch *f = stk_alloc_zero(sizeof *f);

    if (f == NULL)
        return NULL;
    f->loop = loop;
    stk_task_init(&f->task, loop, start);
    f->address = stk_strdup(address);
    if (f->address == NULL || copy_options(f, options ? options : &none) < 0 ||
        (f->deferred = stk_deferred_new(loop, cancel, f)) == NULL) {
        free_fetch(f);
        return NULL;
    }
    if (f->options.body_bytes_max == 0)
        f->options.body_bytes_max = BODY_BYTES_DEFAULT;
    if (f->options.redirects > REDIRECTS_MAX)
        f->options.redirects = REDIRECTS_MAX;
    return f;
}

struct stk_deferred *stk_http_get(struct stk_loop *loop, const char *address,
                                  const struct stk_http_options *options)
{
    struct fetch *f = new_fetch(loop, address, options);

    if (f == NULL)
        return NULL;
    if (f->options.timeout_us != 0)
        stk_deferred_timeout(f->deferred, f->options.timeout_us);
    stk_task_queue(&f->task);
    return f->deferred;
}
