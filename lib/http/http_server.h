/* What the server's files share: the server, its connections, and the exchange on each. */
#ifndef STK_HTTP_SERVER_H
#define STK_HTTP_SERVER_H

#include "http_pace.h"
#include "http_reader.h"
#include "http_writer.h"

struct stk_http_server {
    struct stk_loop *loop;
    const struct stk_http_handler *handler;
    void *user;
    struct stk_http_server_options options; /* defaults filled in */
    struct stk_listener *listener;          /* NULL: none */
    struct stk_node connections;
    unsigned connection_count;
    bool closing;
};

enum http_request_state { HTTP_REQUEST_NONE, HTTP_REQUEST_BODY, HTTP_REQUEST_ENDED };
enum http_response_state { HTTP_RESPONSE_NONE, HTTP_RESPONSE_BODY, HTTP_RESPONSE_DONE };

struct stk_http_exchange {
    enum http_request_state request;
    enum http_response_state response;
    bool held;              /* body() left bytes: reading rests until stk_http_again() */
    bool wants_room;        /* a write came back short: owes writable() */
    bool no_body;           /* HEAD, 204, 304: counted, and not sent */
    bool continued;         /* 100 (Continue) is sent, or not needed any more */
    bool last;              /* the connection ends after this response */
    bool broken;            /* the connection is, or will be, lost before the end */
    int64_t left;           /* bytes of the response's body; STK_HTTP_CHUNKED */
    bool until_close;       /* HTTP/1.0 and no length: the connection's end is the body's */
    uint64_t dropped_bytes; /* of the request, behind the response's end */
    void *user;
};

struct http_server_conn {
    struct stk_http_server *server;
    struct stk_conn *conn; /* NULL: gone */
    struct stk_node node;
    struct stk_timer timer;
    struct stk_task task; /* ends an exchange: never inside a call of its handler */
    struct http_reader reader;
    struct http_out out;
    struct stk_http_exchange exchange;
    unsigned requests;
    bool ending; /* nothing is read any more */
    uint64_t read_bytes;
    struct http_pace sending, taking; /* of the client: requests' bodies, and responses */
};

static inline struct http_server_conn *http_conn_of(const struct stk_http_exchange *exchange)
{
    return STK_CONTAINER(exchange, struct http_server_conn, exchange);
}

static inline bool http_has_exchange(const struct http_server_conn *sc)
{
    return sc->exchange.request != HTTP_REQUEST_NONE;
}

/* http_server.c: the response has ended, or something changed that may end the exchange. */
void http_server_settle_soon(struct http_server_conn *sc);
/* http_exchange.c */
void http_send_continue(struct http_server_conn *sc);
/* A page of the server's own that ends the connection; exchange or not. */
void http_refuse(struct http_server_conn *sc, int status, const char *text);
void http_break(struct http_server_conn *sc, int code, const char *text);

#endif
