/* A whole response in memory, as a deferred's value. */
#ifndef STK_HTTP_RESPONSE_H
#define STK_HTTP_RESPONSE_H

#include "http.h"

struct http_response {
    struct stk_http_response public; /* the pointers of it lead into what follows */
    struct stk_http_head head;
    struct stk_http_field *fields;
    char *strings;
    char *address;
    uint8_t *body;
    size_t body_len, capacity;
};

/* Copies the head; NULL without memory. */
struct http_response *http_response_new(const struct stk_http_head *head, const char *address);
/* 0 or -ENOMEM. */
int http_response_append(struct http_response *response, const uint8_t *data, size_t len);
/* Sets the public part. */
void http_response_complete(struct http_response *response);

#endif
