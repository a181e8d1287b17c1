#include "http_response.h"

#include <assert.h>

enum { BODY_FIRST = 4096 };

static size_t strings_len(const struct stk_http_head *head)
{
    size_t len = strlen(head->reason) + 1;

    for (int i = 0; i < head->field_count; i++)
        len += strlen(head->fields[i].name) + strlen(head->fields[i].value) + 2;
    return len;
}

static char *copy_string(char **at, const char *text)
{
    char *copy = *at;

    *at = stpcpy(copy, text) + 1;
    return copy;
}

static void copy_head(struct http_response *r, const struct stk_http_head *head)
{
    char *at = r->strings;

    r->head = *head;
    r->head.fields = r->fields;
    r->head.reason = copy_string(&at, head->reason);
    for (int i = 0; i < head->field_count; i++) {
        r->fields[i].name = copy_string(&at, head->fields[i].name);
        r->fields[i].value = copy_string(&at, head->fields[i].value);
    }
}

struct http_response *http_response_new(const struct stk_http_head *head, const char *address)
{
    struct http_response *r = stk_alloc_zero(sizeof *r);

    assert(head->method == NULL);
    if (r == NULL)
        return NULL;
    r->fields = stk_alloc((size_t)(head->field_count + 1) * sizeof *r->fields);
    r->strings = stk_alloc(strings_len(head));
    r->address = stk_strdup(address);
    if (r->fields == NULL || r->strings == NULL || r->address == NULL) {
        stk_http_response_free(r);
        return NULL;
    }
    copy_head(r, head);
    return r;
}

int http_response_append(struct http_response *r, const uint8_t *data, size_t len)
{
    size_t capacity = r->capacity ? r->capacity : BODY_FIRST;

    /* One more for the NUL behind it. */
    while (capacity < r->body_len + len + 1)
        capacity *= 2;
    if (capacity != r->capacity) {
        uint8_t *body = stk_realloc(r->body, capacity);

        if (body == NULL)
            return -ENOMEM;
        r->body = body;
        r->capacity = capacity;
    }
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
    r->body[r->body_len] = '\0';
    return 0;
}

void http_response_complete(struct http_response *r)
{
    r->public = (struct stk_http_response){
        .head = &r->head,
        .body = r->body ? r->body : (const uint8_t *)"",
        .body_len = r->body_len,
        .address = r->address,
    };
}

void stk_http_response_free(void *response)
{
    struct http_response *r = response;

    if (r == NULL)
        return;
    stk_free(r->fields);
    stk_free(r->strings);
    stk_free(r->address);
    stk_free(r->body);
    stk_free(r);
}
