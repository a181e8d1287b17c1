/*
 * HTTP/1.1 (RFC 9110, RFC 9112) as client and as server, over any stream.
 *
 * Bodies are streamed: whoever receives one returns how many bytes it took, whoever sends one is
 * told how many were taken, and nothing in between grows without a bound. Parsing is strict: what
 * two parsers could read in two ways is refused.
 *
 * All callbacks come from the loop, never from inside a function of this header.
 */
#ifndef STK_HTTP_HTTP_H
#define STK_HTTP_HTTP_H

#include "deferred.h"
#include "stack.h"

/* --- Messages ------------------------------------------------------------------------------- */

struct stk_http_field {
    const char *name, *value;
};

/* The head of a message as it came in. Strings live until the message's last callback. */
struct stk_http_head {
    const char *method; /* NULL in a response */
    const char *target; /* as it was sent: "/path?query", "http://host/path", "*" */
    const char *path;   /* of the target, from its first slash; "*" and authorities as they are */
    const char *authority; /* of an absolute target, else the Host field; NULL: none */
    int status;            /* 0 in a request */
    const char *reason;
    int minor; /* HTTP/1.minor: 0 or 1 */
    const struct stk_http_field *fields;
    int field_count;
    int64_t content_length; /* -1: not given */
    bool chunked;           /* the body comes in chunks */
    bool keep_alive;        /* the sender is willing to go on after this message */
    bool expect_continue;   /* the sender waits for 100 (Continue) */
    bool upgrade;           /* asks for another protocol on this connection; it may be ignored */
};

/* The first field of that name, in any case; NULL if there is none. */
const char *stk_http_head_get(const struct stk_http_head *head, const char *name);
/* True if the comma-separated list in the fields of that name has the token. */
bool stk_http_head_has(const struct stk_http_head *head, const char *name, const char *token);
/* "Not Found"; "Unknown" for numbers that nobody has registered. */
const char *stk_http_reason(int status);

enum {
    STK_HTTP_DATE_MAX = 30, /* "Sun, 06 Nov 1994 08:49:37 GMT" and the NUL */
    STK_HTTP_CHUNKED = -1,  /* as a length: not known before the end */
};

/* Seconds since 1970, UTC. The three forms of RFC 9110 section 5.6.7. -1: no date. */
int64_t stk_http_date_parse(const char *text);
const char *stk_http_date_format(int64_t seconds, char text[STK_HTTP_DATE_MAX]);

/* What is accepted from the other side. 0 stands for the default. */
struct stk_http_limits {
    size_t header_bytes; /* of a whole head: 16 KiB; also of all trailers */
    int header_count;    /* fields: 100, STK_HTTP_FIELDS_MAX at most */
    size_t target_bytes; /* 8 KiB */
    uint64_t body_bytes; /* a server's default is 16 MiB, a client's none */
};

enum { STK_HTTP_FIELDS_MAX = 1000 };
#define STK_HTTP_UNLIMITED UINT64_MAX

/* --- Server --------------------------------------------------------------------------------- */

struct stk_http_server;
struct stk_http_exchange; /* one request and its response */

/*
 * What answers requests. Requests of one connection come one after the other: the next one's head()
 * follows the gone() of the one before. All slots but head() are optional.
 */
struct stk_http_handler {
    /* Everything before the body. The response may begin here or at any time later. */
    void (*head)(struct stk_http_exchange *exchange, const struct stk_http_head *head);
    /* Returns how many bytes it took; less than `len` stops reading until stk_http_again().
     * Without this slot bodies are read and dropped. */
    size_t (*body)(struct stk_http_exchange *exchange, const uint8_t *data, size_t len);
    void (*end)(struct stk_http_exchange *exchange); /* the request is complete */
    /* The response takes bytes again, after a write that came back short. */
    void (*writable)(struct stk_http_exchange *exchange);
    /* Always, once and last: answered, or the connection is lost. `complete` tells which. */
    void (*gone)(struct stk_http_exchange *exchange, bool complete);
};

struct stk_http_server_options {
    struct stk_http_limits limits;
    unsigned connections;             /* at a time: 1000 */
    unsigned requests_per_connection; /* 1000 */
    uint64_t header_timeout_us;       /* from the first byte, or accept, to the whole head: 10 s */
    uint64_t idle_timeout_us;         /* between requests: 60 s */
    /* A client that is waited for moves `min_rate` bytes per second, averaged over each
     * stall_timeout_us, or all that there is: 256, 60 s. */
    uint64_t min_rate, stall_timeout_us;
    const char *server_name;       /* value of the Server field; NULL: none */
    int64_t (*wall_clock_s)(void); /* for the Date field; NULL: the system's */
};

/*
 * Serves on a stack such as "/ip4/127.0.0.1/tcp/8080" (a trailing "/http" is allowed). `options`
 * may be NULL; it and the handler's record must live as long as the server.
 */
int stk_http_serve(struct stk_loop *loop, const char *address,
                   const struct stk_http_handler *handler, void *user,
                   const struct stk_http_server_options *options, struct stk_http_server **out,
                   struct stk_error *error);
/* Serves one connection that is there already, as its protocol; for memory pairs and the like. */
int stk_http_server_adopt(struct stk_http_server *server, struct stk_conn *conn);
/* A server that listens nowhere: for stk_http_server_adopt(). */
int stk_http_server_new(struct stk_loop *loop, const struct stk_http_handler *handler, void *user,
                        const struct stk_http_server_options *options,
                        struct stk_http_server **out);
int stk_http_server_addr(struct stk_http_server *server, struct stk_addr *addr);
void *stk_http_server_user(const struct stk_http_server *server);
/* Stops listening, ends idle connections, lets running exchanges end. Forget the pointer. */
void stk_http_server_close(struct stk_http_server *server);
/* The same, and aborts what is running. */
void stk_http_server_abort(struct stk_http_server *server);

/*
 * Begins the response: `length` bytes of body, or STK_HTTP_CHUNKED. Date, Content-Length,
 * Transfer-Encoding and Connection are added by themselves and refused in `fields`. -EINVAL for a
 * bad field, -EALREADY if it has begun. For HEAD, 204 and 304 the body is counted, and not sent.
 */
int stk_http_respond(struct stk_http_exchange *exchange, int status,
                     const struct stk_http_field *fields, int field_count, int64_t length);
/* Takes what fits; short: writable() follows. STK_AGAIN, STK_ELIMIT beyond the length,
 * STK_ESHUTDOWN after the end or when the connection is lost. */
long stk_http_write(struct stk_http_exchange *exchange, const void *data, size_t len);
/* Ends the response. A body that is shorter than promised breaks the connection: -EPROTO. */
int stk_http_finish(struct stk_http_exchange *exchange);
/* All in one, for short bodies: what does not fit at once is copied. */
int stk_http_reply(struct stk_http_exchange *exchange, int status, const char *content_type,
                   const void *body, size_t len);
/* A page with the status in words; `text` may be NULL. */
int stk_http_reply_error(struct stk_http_exchange *exchange, int status, const char *text);
/* Breaks the connection: the only honest end of a body that can't be completed. */
void stk_http_break(struct stk_http_exchange *exchange);

/* Delivers the body bytes that body() left. */
void stk_http_again(struct stk_http_exchange *exchange);
/* In head() only: another bound for this body. */
void stk_http_set_body_limit(struct stk_http_exchange *exchange, uint64_t bytes);
void *stk_http_exchange_user(const struct stk_http_exchange *exchange);
/* The handler's own state for this request; NULL at first. */
void stk_http_exchange_set_user(struct stk_http_exchange *exchange, void *user);
const struct stk_http_head *stk_http_exchange_head(const struct stk_http_exchange *exchange);
struct stk_http_server *stk_http_exchange_server(const struct stk_http_exchange *exchange);
struct stk_conn *stk_http_exchange_conn(const struct stk_http_exchange *exchange);
/* Closes the connection after this response. */
void stk_http_exchange_set_last(struct stk_http_exchange *exchange);

/* --- Static files ---------------------------------------------------------------------------- */

struct stk_http_files;

struct stk_http_files_options {
    bool listing;      /* a directory without index.html is listed; else 403 */
    const char *index; /* NULL: "index.html" */
    const char
        *no_type; /* for unknown suffixes, 100 bytes at most; NULL: "application/octet-stream" */
};

/* Nothing outside of `directory` is ever opened: no "..", no symbolic link that leads out. */
int stk_http_files_new(const char *directory, const struct stk_http_files_options *options,
                       struct stk_http_files **out, struct stk_error *error);
void stk_http_files_free(struct stk_http_files *files); /* after the server's last exchange */
/* The handler for a server whose user pointer is the stk_http_files. */
extern const struct stk_http_handler stk_http_files_handler;
/* "text/html; charset=utf-8" for "x.html"; NULL if unknown. */
const char *stk_http_mime_type(const char *path);

/* --- Client ---------------------------------------------------------------------------------- */

struct stk_http_client; /* one connection; its requests are answered in order */
struct stk_http_call;   /* one request and its response */

/* Exactly one of end() and failed() comes, once and last. */
struct stk_http_response_handler {
    /* The final head; 1xx ones are not shown. */
    void (*head)(struct stk_http_call *call, const struct stk_http_head *head);
    /* As in a server's handler; stk_http_call_again() goes on. */
    size_t (*body)(struct stk_http_call *call, const uint8_t *data, size_t len);
    /* The request's body takes bytes (again); also once at its start. */
    void (*writable)(struct stk_http_call *call);
    void (*end)(struct stk_http_call *call);
    void (*failed)(struct stk_http_call *call, const struct stk_error *error);
};

struct stk_http_request {
    const char *method; /* NULL: "GET" */
    const char *target; /* NULL: the path of the client's address, else "/" */
    const struct stk_http_field *fields;
    int field_count;
    const void *body;     /* copied; or NULL, and `length` bytes come by stk_http_call_write() */
    int64_t length;       /* bytes of body, or STK_HTTP_CHUNKED */
    bool expect_continue; /* waits for 100 (Continue), a second at most, before the body */
};

struct stk_http_client_options {
    struct stk_http_limits limits;
    unsigned pipeline;            /* requests sent before the first is answered: 1 */
    unsigned queue;               /* requests waiting: 64 */
    uint64_t response_timeout_us; /* without a byte either way while a call is open: 60 s */
    uint64_t idle_timeout_us;     /* without any call the connection closes: 60 s */
    uint64_t continue_timeout_us; /* 1 s */
    uint64_t request_body_bytes;  /* of one request given as `body`: 16 MiB */
    void (*closed)(struct stk_http_client *client, const struct stk_error *error, void *user);
    void *user;
};

/* A URL or a stack with or without "/http/PATH" at its end. The client is its owner's until
 * stk_http_client_close(); `options` (NULL: defaults) is copied. */
int stk_http_client_new(struct stk_loop *loop, const char *address,
                        const struct stk_http_client_options *options, struct stk_http_client **out,
                        struct stk_error *error);
/* Uses a connection that is there already; `host` goes into the Host field. */
int stk_http_client_adopt(struct stk_conn *conn, const char *host,
                          const struct stk_http_client_options *options,
                          struct stk_http_client **out);
/* Open calls fail with -ECANCELED. Forget the pointer. */
void stk_http_client_close(struct stk_http_client *client);
/* False once the connection is lost or can take no further request. */
bool stk_http_client_is_usable(const struct stk_http_client *client);
struct stk_conn *stk_http_client_conn(const struct stk_http_client *client); /* NULL: lost */

/* Queues a request. -ENOBUFS: the queue is full; STK_ESHUTDOWN: not usable; -EINVAL. */
int stk_http_client_send(struct stk_http_client *client, const struct stk_http_request *request,
                         const struct stk_http_response_handler *handler, void *user,
                         struct stk_http_call **out, struct stk_error *error);
long stk_http_call_write(struct stk_http_call *call, const void *data, size_t len);
int stk_http_call_finish(struct stk_http_call *call);
void stk_http_call_again(struct stk_http_call *call);
/* failed() follows with -ECANCELED. The connection is lost if the request had been sent. */
void stk_http_call_cancel(struct stk_http_call *call);
void *stk_http_call_user(const struct stk_http_call *call);
struct stk_http_client *stk_http_call_client(const struct stk_http_call *call);

/* --- One request, one result ------------------------------------------------------------------ */

struct stk_http_options {
    struct stk_http_client_options client;
    const char *method; /* NULL: "GET" */
    const struct stk_http_field *fields;
    int field_count;
    const void *body;
    size_t body_len;
    bool expect_continue;
    int redirects;         /* followed at most; 0: none, a 3xx is a result like any other */
    size_t body_bytes_max; /* of the response: 16 MiB */
    uint64_t timeout_us;   /* for everything; 0: none beyond the client's own */
};

struct stk_http_response {
    const struct stk_http_head *head;
    const uint8_t *body; /* followed by a NUL */
    size_t body_len;
    const char *address; /* where it came from, after redirects */
};

/*
 * The value is a struct stk_http_response; who takes it frees it with stk_http_response_free().
 * All of `options` (may be NULL) is copied. NULL: no memory, or more than STK_HTTP_FIELDS_MAX
 * fields.
 */
struct stk_deferred *stk_http_get(struct stk_loop *loop, const char *address,
                                  const struct stk_http_options *options);
void stk_http_response_free(void *response);

/* "/…/http[,host=NAME]/PATH": names the resource in a recipe; nothing stands on it. */
extern const struct stk_layer_type stk_layer_http;

#endif
