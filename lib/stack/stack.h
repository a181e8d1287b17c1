/*
 * Connecting, listening, and the protocol: what programs use.
 *
 * A protocol is a const record of callbacks, all optional, all called from the loop and never from
 * inside one of the functions here. From any callback everything may be called, closing included.
 *
 * Life: [accepted] … opened … received/writable … finished … closed. `closed` comes exactly once,
 * last; the connection is gone when it returns. `opened` comes only when every layer is ready and
 * verified.
 */
#ifndef STK_STACK_STACK_H
#define STK_STACK_STACK_H

#include "layer.h"

struct stk_conn;
struct stk_listener;

struct stk_protocol {
    /* A listener has a new connection, nothing is verified yet: make its state. Not 0: abort it. */
    int (*accepted)(struct stk_conn *conn);
    void (*opened)(struct stk_conn *conn);
    /*
     * Returns how many bytes it used. The rest comes again in front of what follows, in one piece;
     * more than STK_UNUSED_MAX of them is an error. Without this slot bytes are thrown away. `data`
     * may point into the layers: after a close or abort from inside, it must not be read any more.
     */
    size_t (*received)(struct stk_conn *conn, const uint8_t *data, size_t len);
    /* The peer sends no more. Without this slot the connection closes. */
    void (*finished)(struct stk_conn *conn);
    /* The write buffer is below the low mark again after a write came back short. */
    void (*writable)(struct stk_conn *conn);
    /* Everything written before stk_conn_finish() has been delivered. */
    void (*delivered)(struct stk_conn *conn);
    /* NULL if both sides closed in order, else the first error. */
    void (*closed)(struct stk_conn *conn, const struct stk_error *error);
};

enum {
    STK_UNUSED_MAX = 256 * 1024,
    STK_WRITE_HIGH_DEFAULT = 256 * 1024, /* bytes that may wait in the write buffer */
    STK_WRITE_LOW_DEFAULT = 64 * 1024,
    STK_TURN_BYTES_MAX = 1024 * 1024, /* read for one connection before others get their turn */
    STK_CLOSE_TIMEOUT_US = 10 * 1000 * 1000, /* a close without progress for so long is an abort */
    STK_CONNECT_TIMEOUT_US = 30 * 1000 * 1000, /* until opened */
};

/* Returns at once; what fails later is told by closed(). The address may be a recipe or a short
 * form. */
int stk_connect(struct stk_loop *loop, const char *address, const struct stk_protocol *protocol,
                void *user, struct stk_conn **out, struct stk_error *error);
int stk_connect_recipe(struct stk_loop *loop, struct stk_recipe *recipe,
                       const struct stk_protocol *protocol, void *user, struct stk_conn **out,
                       struct stk_error *error);
/*
 * Connections get `user` at first. Where the address has a name to listen on (/dns/…), the call
 * blocks while that is looked up, for seconds if no name server answers: give an address instead
 * where the loop serves others already.
 */
int stk_listen(struct stk_loop *loop, const char *address, const struct stk_protocol *protocol,
               void *user, struct stk_listener **out, struct stk_error *error);
int stk_listen_recipe(struct stk_loop *loop, struct stk_recipe *recipe,
                      const struct stk_protocol *protocol, void *user, struct stk_listener **out,
                      struct stk_error *error);

/* --- A listener ----------------------------------------------------------------------------------
 */

/* Stops accepting; connections stay. Allowed from every callback. */
void stk_listener_close(struct stk_listener *listener);
int stk_listener_addr(struct stk_listener *listener, struct stk_addr *addr);
void *stk_listener_user(const struct stk_listener *listener);
/* Called once if it dies by itself. */
void stk_listener_on_failed(struct stk_listener *listener,
                            void (*failed)(struct stk_listener *, const struct stk_error *));

/* --- A connection
 * --------------------------------------------------------------------------------- */

/*
 * Takes what fits below the high mark and returns the count. Less than `len`: writable() will
 * follow. STK_AGAIN if nothing fits; STK_ESHUTDOWN after finish or close; the error after an error.
 * Bytes may be written before opened().
 */
long stk_conn_write(struct stk_conn *conn, const void *data, size_t len);
long stk_conn_writev(struct stk_conn *conn, const struct iovec *iov, int count);
size_t stk_conn_write_room(const struct stk_conn *conn);
size_t stk_conn_write_pending(const struct stk_conn *conn); /* bytes in the write buffer */
/* low < high <= 1 GiB, and what waits already must fit: else -EINVAL. */
int stk_conn_set_marks(struct stk_conn *conn, size_t low, size_t high);

/* Half-close: no more will be written; reading goes on. */
void stk_conn_finish(struct stk_conn *conn);
/* Delivers what was written, ends both directions, then closed(). What still comes in is thrown
 * away. */
void stk_conn_close(struct stk_conn *conn);
/* At once; the peer sees a reset. closed() follows with -ECONNABORTED. */
void stk_conn_abort(struct stk_conn *conn);
/* Like abort, with an error of the caller's that closed() gets: a protocol's own failure. */
void stk_conn_fail(struct stk_conn *conn, int code, const char *layer, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * Back-pressure: while paused, nothing is read and the peer's window fills. Unread bytes hold an
 * error back: closed() comes after resume. Writes are told it at once, and writable() comes for the
 * next one.
 */
void stk_conn_pause(struct stk_conn *conn);
void stk_conn_resume(struct stk_conn *conn);
/* Delivers bytes that received() left, now that it can use them. */
void stk_conn_again(struct stk_conn *conn);

void *stk_conn_user(const struct stk_conn *conn);
void stk_conn_set_user(struct stk_conn *conn, void *user);
void stk_conn_set_protocol(struct stk_conn *conn, const struct stk_protocol *protocol, void *user);
struct stk_loop *stk_conn_loop(const struct stk_conn *conn);
struct stk_listener *
stk_conn_listener(const struct stk_conn *conn); /* NULL if connected, or it is closed */
bool stk_conn_is_open(const struct stk_conn *conn);
/* Whole milliseconds, rounded up; 49 days at most. */
void stk_conn_set_close_timeout(struct stk_conn *conn, uint64_t timeout_us);
void stk_conn_set_connect_timeout(struct stk_conn *conn, uint64_t timeout_us); /* before opened */

/*
 * Puts layers ("tls,sni=a.example") between the stack and the protocol of a live connection;
 * `protocol` takes over and its opened() comes when they are ready. What was written before goes
 * out below them. Unread bytes make it fail with -EPROTO, unless STK_INSERT_UNREAD hands them to
 * the new layers on purpose: bytes that somebody slipped in before a STARTTLS must not be taken for
 * protected ones. From inside received() the bytes that it does not use are the unread ones, and
 * failure closes the connection.
 */
enum stk_insert_flag { STK_INSERT_UNREAD = 1 };
int stk_conn_insert(struct stk_conn *conn, const char *fragment, unsigned flags,
                    const struct stk_protocol *protocol, void *user, struct stk_error *error);

/* 0, or -ENOENT if no layer knows. */
int stk_conn_query(struct stk_conn *conn, int key, void *out, size_t len);
/* Changes what a layer knows by that key (enum stk_control_key). 0, -EINVAL, or -ENOENT. */
int stk_conn_control(struct stk_conn *conn, int key, uint64_t value);
/* The stack as a recipe with the real peer address; returns `text`. */
const char *stk_conn_describe(struct stk_conn *conn, char *text, size_t size);
/* The sticky error; NULL while there is none. */
const struct stk_error *stk_conn_error(const struct stk_conn *conn);

/*
 * Another connection on the same socket and association as a connected PTCP one: no round trip,
 * shared path state. -ENOTSUP where the bottom of the stack can't; -ENOTCONN where that connection
 * is not open, or is durable and seeks its peer.
 */
int stk_conn_open_sibling(struct stk_conn *conn, const struct stk_protocol *protocol, void *user,
                          struct stk_conn **out, struct stk_error *error);

#endif
