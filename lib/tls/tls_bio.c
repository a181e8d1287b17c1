#include "tls_bio.h"

#include <assert.h>
#include <openssl/bio.h>
#include <pthread.h>

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void remember_first(struct tls_layer *tls, const char *data, size_t len)
{
    const size_t room = TLS_FIRST_BYTES - tls->first_len;
    const size_t part = len < room ? len : room;

    memcpy(tls->first + tls->first_len, data, part);
    tls->first_len += (unsigned)part;
}

static int below_stopped(struct tls_layer *tls, BIO *bio, long status)
{
    if (status == STK_AGAIN) {
        tls->below = TLS_BELOW_DRY;
        BIO_set_retry_read(bio);
    } else if (status == 0) {
        tls->below = TLS_BELOW_ENDED;
    } else {
        tls->below = TLS_BELOW_FAILED;
        tls->below_status = (int)status;
    }
    return 0;
}

static int read_below(BIO *bio, char *data, size_t len, size_t *taken)
{
    struct tls_layer *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    *taken = 0;
    if (tls->read_budget == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    const struct iovec iov = {data, len < tls->read_budget ? len : tls->read_budget};
    const long got = stk_layer_recv_below(&tls->layer, &iov, 1);
    if (got <= 0)
        return below_stopped(tls, bio, got);

    assert((size_t)got <= iov.iov_len);
    tls->below = TLS_BELOW_FLOWS;
    tls->read_budget -= (size_t)got;
    if (tls->state == TLS_HANDSHAKE && tls->first_len < TLS_FIRST_BYTES)
        remember_first(tls, data, (size_t)got);
    *taken = (size_t)got;
    return 1;
}

static int write_failed(struct tls_layer *tls, int status)
{
    tls->below = TLS_BELOW_FAILED;
    tls->below_status = status;
    return 0;
}

/* Straight down if nothing waits in front; returns what was taken, or the error. */
static long write_through(struct tls_layer *tls, const char *data, size_t len)
{
    const struct iovec iov = {(void *)data, len};

    if (stk_fifo_len(&tls->staged) > 0)
        return 0;
    const long sent = stk_layer_send_below(&tls->layer, &iov, 1, tls->more ? STK_MORE : 0);
    return sent == STK_AGAIN ? 0 : sent;
}

static int write_below(BIO *bio, const char *data, size_t len, size_t *taken)
{
    struct tls_layer *tls = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    *taken = 0;
    /* Nothing may follow close_notify, and nobody would read it: the new key that the peer asks
     * for, above all. Reading goes on. */
    if (tls->fin >= TLS_FIN_NOTIFIED) {
        *taken = len;
        return 1;
    }
    tls->alerted = true;
    const long sent = write_through(tls, data, len);
    if (sent < 0)
        return write_failed(tls, (int)sent);

    size_t rest = len - (size_t)sent;
    const size_t room = stk_fifo_room(&tls->staged);
    /* All or nothing, so that a record is never left inside OpenSSL; a longer flight may be cut. */
    if (rest > room && len <= TLS_STAGED_BYTES / 2 && sent == 0)
        rest = 0;
    else if (rest > room)
        rest = room;
    if (rest > 0 && stk_fifo_put(&tls->staged, data + sent, rest) != (long)rest)
        return write_failed(tls, -ENOMEM);
    *taken = (size_t)sent + rest;
    if (*taken == 0)
        BIO_set_retry_write(bio);
    return *taken > 0;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stk_layer");
    if (method == NULL)
        return;
    BIO_meth_set_read_ex(method, read_below);
    BIO_meth_set_write_ex(method, write_below);
    BIO_meth_set_ctrl(method, control);
}

int tls_bio_attach(struct tls_layer *tls)
{
    pthread_once(&method_once, make_method);
    BIO *bio = method != NULL ? BIO_new(method) : NULL;

    if (bio == NULL)
        return -ENOMEM;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    return 0;
}

int tls_bio_drain(struct tls_layer *tls)
{
    while (stk_fifo_len(&tls->staged) > 0) {
        const struct iovec iov = {(void *)stk_fifo_data(&tls->staged), stk_fifo_len(&tls->staged)};
        const long sent = stk_layer_send_below(&tls->layer, &iov, 1, 0);

        if (sent < 0)
            return (int)sent;
        if (sent == 0)
            return STK_AGAIN;
        stk_fifo_consume(&tls->staged, (size_t)sent);
    }
    return 0;
}
