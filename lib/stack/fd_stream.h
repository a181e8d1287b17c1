/*
 * A byte stream on descriptors of the kernel: what tcp, unix, pipe and process have in common.
 *
 * One descriptor for both directions (sockets, terminals) or one for each (pipes). The layer that
 * embeds it owns the descriptors through it. It watches for READABLE only while nobody is told of
 * bytes, and for WRITABLE only while TX is owed.
 */
#ifndef STK_STACK_FD_STREAM_H
#define STK_STACK_FD_STREAM_H

#include "layer.h"

struct stack_stream {
    struct stk_layer *layer;
    struct stk_watch in, out; /* `out` only where the descriptors differ */
    int in_fd, out_fd;        /* -1: none, or closed */
    /* Ends the sending direction; NULL: shutdown() or close(). Returns 0 or an error. */
    int (*finish)(struct stack_stream *stream);
    /* The error of a broken pipe; NULL: -EPIPE. May answer STK_AGAIN to report later. */
    int (*broken)(struct stack_stream *stream);
    int failure; /* recv gives it after the last byte */
    bool in_is_socket, out_is_socket;
    bool open;
    bool eof, finished;
    bool told;     /* RX was raised and recv has not said AGAIN since */
    bool resting;  /* nobody reads what it was told of: READABLE is not watched */
    bool drained;  /* a short read: the next one would find nothing */
    bool awaiting; /* nothing is read before the first event */
    bool tx_owed;
    bool guards_sigpipe; /* pipes: the signal would end the program */
};

/* Both may be -1 for now. */
void stack_stream_init(struct stack_stream *stream, struct stk_layer *layer);
/*
 * Takes the descriptors over (-1: that direction has ended) and raises READY. They need not be
 * non-blocking where they are sockets or regular files.
 */
void stack_stream_open(struct stack_stream *stream, int in_fd, int out_fd);
/* Nothing can be read before the descriptor says so: a FIFO without a writer looks ended. */
void stack_stream_await_input(struct stack_stream *stream);
long stack_stream_recv(struct stack_stream *stream, const struct iovec *iov, int count);
long stack_stream_send(struct stack_stream *stream, const struct iovec *iov, int count,
                       unsigned flags);
/* Where the directions have descriptors of their own: nothing more is read, and whoever writes to
 * the other end is told so by his system. Needs to be open. */
void stack_stream_close_input(struct stack_stream *stream);
/* Closes at once; with `reset`, so that a TCP peer sees a reset. Harmless when closed. */
void stack_stream_close(struct stack_stream *stream, bool reset);
/* STK_QUERY_UNSENT and STK_QUERY_LOCAL_ADDR. */
int stack_stream_query(struct stack_stream *stream, int key, void *out, size_t len);
/* Fails the connection with the text for `code`; returns `code`. */
int stack_stream_fail(struct stack_stream *stream, int code);

#endif
