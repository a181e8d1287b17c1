#include "tls_write.h"

#include "iov.h"
#include "tls_bio.h"

#include <assert.h>
#include <openssl/err.h>

enum {
    SMALL_RECORD_BYTES = 1300,  /* one packet carries a whole record: the peer reads it at once */
    SMALL_BURST_BYTES = 32768,  /* so far; then the stream is bulk, and large records cost less */
    BURST_IDLE_US = 1000 * 1000 /* a pause so long starts over */
};

struct cursor {
    const struct iovec *iov;
    int count;
    size_t offset; /* in the first slice */
    size_t left;   /* bytes in all */
};

static void advance(struct cursor *c, size_t len)
{
    assert(len <= c->left);
    c->left -= len;
    c->offset += len;
    while (c->count > 0 && c->offset >= c->iov->iov_len) {
        c->offset -= c->iov->iov_len;
        c->iov++;
        c->count--;
    }
}

static struct cursor cursor_of(const struct iovec *iov, int count)
{
    struct cursor c = {iov, count, 0, stk_iov_bytes(iov, count)};

    advance(&c, 0);
    return c;
}

static const uint8_t *slice(const struct cursor *c, size_t *len)
{
    *len = c->iov->iov_len - c->offset;
    return (const uint8_t *)c->iov->iov_base + c->offset;
}

/* --- Records ------------------------------------------------------------------------------------
 */

static size_t record_bytes(struct tls_layer *tls)
{
    const uint64_t now_us = stk_loop_now_us(stk_layer_loop(&tls->layer));

    if (now_us - tls->last_write_us > BURST_IDLE_US)
        tls->burst_bytes = 0;
    tls->last_write_us = now_us;
    return tls->burst_bytes < SMALL_BURST_BYTES ? SMALL_RECORD_BYTES : TLS_RECORD_BYTES;
}

/* RFC 8446 section 5.5: a key protects a bounded number of records. */
static void renew_key(struct tls_layer *tls, size_t len)
{
    tls->bytes_under_key += len;
    if (tls->bytes_under_key < tls_context_of(tls)->rekey_bytes ||
        SSL_version(tls->ssl) != TLS1_3_VERSION)
        return;
    tls->bytes_under_key = 0;
    SSL_key_update(tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
    ERR_clear_error();
}

/*
 * One record. 0, STK_AGAIN if OpenSSL must read the rest of a handshake message first (nothing was
 * taken: an event from below brings us back), or the error.
 */
static int write_record(struct tls_layer *tls, const uint8_t *data, size_t len, bool more)
{
    size_t written;

    assert(stk_fifo_len(&tls->staged) == 0 && len > 0 && len <= TLS_RECORD_BYTES);
    ERR_clear_error();
    tls->below = TLS_BELOW_FLOWS;
    tls->read_budget = TLS_READ_AT_ONCE;
    tls->more = more;
    const int result = SSL_write_ex(tls->ssl, data, len, &written);
    tls->more = false;
    if (result == 1) {
        assert(written == len);
        tls->burst_bytes += len;
        renew_key(tls, len);
        return 0;
    }
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return STK_AGAIN;
    default:
        return tls_fail(tls);
    }
}

static int write_gathered(struct tls_layer *tls, bool more)
{
    const size_t len = stk_fifo_len(&tls->gathered);
    const int status = write_record(tls, stk_fifo_data(&tls->gathered), len, more);

    if (status == 0)
        stk_fifo_consume(&tls->gathered, len);
    return status;
}

/* Copies bytes behind those that wait for a full record. */
static int gather(struct tls_layer *tls, struct cursor *c, size_t size)
{
    const size_t have = stk_fifo_len(&tls->gathered);
    size_t len;
    const uint8_t *data = slice(c, &len);

    if (have >= size)
        return 0;
    if (len > size - have)
        len = size - have;
    if (stk_fifo_put(&tls->gathered, data, len) != (long)len)
        return tls->broken = stk_layer_fail(&tls->layer, -ENOMEM, "out of memory");
    advance(c, len);
    return 0;
}

/* Takes bytes for one record, or a part of one. 0, STK_AGAIN, or the error. */
static int take(struct tls_layer *tls, struct cursor *c, bool more_follows)
{
    const size_t size = record_bytes(tls);
    size_t len;
    const uint8_t *data = slice(c, &len);
    const bool whole = len >= size || (len == c->left && !more_follows);

    if (stk_fifo_len(&tls->gathered) == 0 && whole) {
        if (len > size)
            len = size;
        const int status = write_record(tls, data, len, len < c->left || more_follows);
        if (status == 0)
            advance(c, len);
        return status;
    }
    const int status = gather(tls, c, size);
    if (status < 0)
        return status;
    if (stk_fifo_len(&tls->gathered) < size && (c->left > 0 || more_follows))
        return 0;
    return write_gathered(tls, c->left > 0 || more_follows);
}

/* --- The end ------------------------------------------------------------------------------------
 */

/* The rest of a handshake message that was read in part stands in the way of close_notify. */
static int complete_message(struct tls_layer *tls)
{
    if (!SSL_in_init(tls->ssl))
        return 0;
    const int result = SSL_do_handshake(tls->ssl);
    if (result == 1)
        return 0;
    const int wanted = SSL_get_error(tls->ssl, result);
    if (wanted == SSL_ERROR_WANT_READ || wanted == SSL_ERROR_WANT_WRITE)
        return STK_AGAIN;
    return tls_fail(tls);
}

static int write_close_notify(struct tls_layer *tls)
{
    ERR_clear_error();
    tls->below = TLS_BELOW_FLOWS;
    tls->read_budget = TLS_READ_AT_ONCE;
    const int status = complete_message(tls);
    if (status < 0)
        return status;
    tls->more = true; /* the end below comes next */
    const int result = SSL_shutdown(tls->ssl);
    tls->more = false;
    if (result >= 0) {
        tls->fin = TLS_FIN_NOTIFIED;
        return 0;
    }
    return tls_fail(tls);
}

static void advance_fin(struct tls_layer *tls)
{
    if (tls->fin == TLS_FIN_WANTED && stk_fifo_len(&tls->gathered) == 0 &&
        stk_fifo_len(&tls->staged) == 0)
        write_close_notify(tls);
    if (tls->fin != TLS_FIN_NOTIFIED || stk_fifo_len(&tls->staged) > 0)
        return;
    const long sent = stk_layer_send_below(&tls->layer, NULL, 0, STK_FIN);
    if (sent == 0)
        tls->fin = TLS_FIN_SENT;
    else if (sent != STK_AGAIN)
        tls->broken = stk_layer_fail(&tls->layer, (int)sent, "%s", stk_strerror((int)sent));
}

/* --- The slots ----------------------------------------------------------------------------------
 */

/* Below has taken everything so far, and nothing full is waiting to become a record. */
static bool has_room(struct tls_layer *tls) { return stk_fifo_len(&tls->staged) == 0; }

static void await_more(struct tls_layer *tls)
{
    /* "At once" is the end of this turn: whoever promises more and has none holds nothing back. */
    if (stk_fifo_len(&tls->gathered) > 0)
        stk_layer_set_timer(&tls->layer, stk_loop_now_us(stk_layer_loop(&tls->layer)));
}

long tls_write(struct tls_layer *tls, const struct iovec *iov, int count, unsigned flags)
{
    struct cursor c = cursor_of(iov, count);
    const size_t all = c.left;
    int status = 0;

    if (tls->state == TLS_FAILED)
        return stk_layer_error(&tls->layer);
    if (tls->fin != TLS_FIN_NONE)
        return STK_ESHUTDOWN;
    if (tls->state != TLS_OPEN)
        return STK_AGAIN; /* READY comes with TX */

    while (c.left > 0 && status == 0 && has_room(tls))
        status = take(tls, &c, flags & STK_MORE);
    if (status < 0 && status != STK_AGAIN)
        return status;
    if (c.left == 0 && (flags & STK_FIN)) {
        tls->fin = TLS_FIN_WANTED;
        tls_write_advance(tls);
    }
    await_more(tls);
    if (c.left > 0)
        tls->owes_tx = true;
    return all > 0 && c.left == all ? STK_AGAIN : (long)(all - c.left);
}

void tls_write_advance(struct tls_layer *tls)
{
    int status = tls_bio_drain(tls);

    if (status == 0 && stk_fifo_len(&tls->gathered) > 0)
        status = write_gathered(tls, false);
    if (status < 0 && status != STK_AGAIN) {
        tls->broken = stk_layer_fail(&tls->layer, status, "%s", stk_strerror(status));
        return;
    }
    if (status == 0)
        advance_fin(tls);
    if (tls->owes_tx && has_room(tls) && status == 0) {
        tls->owes_tx = false;
        stk_layer_raise(&tls->layer, STK_TX);
    }
    if (tls->read_wants_room && has_room(tls)) {
        tls->read_wants_room = false;
        stk_layer_raise(&tls->layer, STK_RX);
    }
}
