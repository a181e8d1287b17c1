/* One TLS connection, as the files of this room see it. */
#ifndef STK_TLS_LAYER_H
#define STK_TLS_LAYER_H

#include "layer.h"
#include "tls_context.h"

enum {
    TLS_RECORD_BYTES = 16384,      /* RFC 8446 section 5.1 */
    TLS_STAGED_BYTES = 32 * 1024,  /* a record with all that may stand in front of it */
    TLS_READ_AT_ONCE = 512 * 1024, /* taken from below in one call from above */
    TLS_FIRST_BYTES = 24,          /* of the peer, kept until the handshake is done */
    TLS_WHY_BYTES = STK_ERROR_TEXT_MAX,
};

enum tls_state {
    TLS_NEW,
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_LINGERING, /* the handshake failed and the peer is being told */
    TLS_FAILED,
    TLS_STATES,
};

/* Our direction's end. */
enum tls_fin {
    TLS_FIN_NONE,
    TLS_FIN_WANTED,   /* close_notify stands behind bytes that wait */
    TLS_FIN_NOTIFIED, /* close_notify is written, the end below is not */
    TLS_FIN_SENT,
};

/* How the last read or write of the BIO ended; it tells OpenSSL's vague answers apart. */
enum tls_below { TLS_BELOW_FLOWS, TLS_BELOW_DRY, TLS_BELOW_ENDED, TLS_BELOW_FAILED };

struct tls_layer {
    struct stk_layer layer;
    SSL *ssl;
    enum tls_state state;
    enum tls_fin fin;

    /* Reading. */
    enum tls_below below;
    int below_status;     /* the error when TLS_BELOW_FAILED */
    size_t read_budget;   /* bytes that the BIO may still take in this call */
    bool read_wants_room; /* reading goes on when staged bytes have left */
    bool end_told;
    int broken; /* an error came up while bytes may still be readable: it follows them */

    /* Writing. */
    struct stk_fifo staged;   /* ciphertext that the layer below did not take */
    struct stk_fifo gathered; /* plaintext of a record that is not full */
    bool more;                /* another record follows the one being written */
    bool owes_tx;
    bool peer_gone, alert_delivered;     /* while lingering: what it waits for */
    bool alerted;                        /* something was written while failing */
    uint64_t burst_bytes, last_write_us; /* for the size of records */
    uint64_t bytes_under_key;

    char *name; /* who the peer must be; NULL on the listening side, or without verifying */
    bool name_is_ip;
    char *why; /* of a failure, in words that OpenSSL does not have; NULL: none */
    int why_code;
    uint8_t first[TLS_FIRST_BYTES];
    unsigned first_len;
};

static inline struct tls_layer *tls_of(struct stk_layer *layer)
{
    return (struct tls_layer *)layer;
}

static inline const struct tls_context *tls_context_of(const struct tls_layer *tls)
{
    return tls->layer.shared;
}

void tls_move(struct tls_layer *tls, enum tls_state next);
/* Remembers what a failure is about, for tls_fail(). The first one counts. */
void tls_explain(struct tls_layer *tls, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* After a call of OpenSSL that failed for good: sets the connection's error, returns its code. */
int tls_fail(struct tls_layer *tls);

#endif
