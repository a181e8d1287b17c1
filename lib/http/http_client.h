/* What the client's files share: the client and its calls. */
#ifndef STK_HTTP_CLIENT_H
#define STK_HTTP_CLIENT_H

#include "http_address.h"
#include "http_reader.h"
#include "http_writer.h"

enum http_call_state {
    HTTP_CALL_WAITING,   /* nothing of it is sent */
    HTTP_CALL_EXPECTING, /* the head is sent; the body waits for 100 (Continue) */
    HTTP_CALL_SENDING,   /* the body */
    HTTP_CALL_SENT,
};

struct stk_http_call {
    struct stk_node node;
    struct stk_http_client *client;
    const struct stk_http_response_handler *handler;
    void *user;
    enum http_call_state state;
    bool is_head, is_safe; /* safe: may be sent before the one in front is answered */
    bool expects;
    bool streams;    /* the body comes by stk_http_call_write() */
    bool wants_room; /* owes writable() */
    bool held;       /* body() left bytes */
    bool got_head, canceled;
    unsigned interim; /* 1xx responses so far */
    int64_t left;     /* bytes of the body; STK_HTTP_CHUNKED */
    char *head;       /* the request's, and behind it a body that is given as a whole */
    size_t head_len, body_len, body_sent;
};

struct stk_http_client {
    struct stk_loop *loop;
    struct stk_conn *conn; /* NULL: lost */
    struct stk_http_client_options options;
    char host[HTTP_HOST_MAX];
    char *target; /* NULL: "/" */
    struct http_reader reader;
    struct http_out out;
    struct stk_node calls; /* in order: first those that are sent */
    unsigned call_count;
    struct stk_task task;
    struct stk_timer timer, continue_timer;
    uint64_t read_bytes, progress_before;
    bool ending;    /* no further request on this connection */
    bool abandoned; /* the owner has closed it: free when the connection is gone */
};

/* http_call.c */
int http_call_new(struct stk_http_client *client, const struct stk_http_request *request,
                  struct stk_http_call **out, struct stk_error *error);
void http_call_free(struct stk_http_call *call);
/* Sends what there is to send of its request. 0, or the failure of the connection. */
int http_call_send(struct stk_http_call *call);
/* The server wants the body. */
void http_call_continue(struct stk_http_call *call);

/* http_client.c: something may be sent, or a call ended. */
void http_client_pump_soon(struct stk_http_client *client);

#endif
