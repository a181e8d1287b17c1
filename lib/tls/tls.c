#include "tls.h"

#include "tls_bio.h"
#include "tls_handshake.h"
#include "tls_linger.h"
#include "tls_verify.h"
#include "tls_write.h"

#include <assert.h>
#include <openssl/err.h>
#include <stdio.h>

/* Which states may follow which. */
static const unsigned allowed_next[TLS_STATES] = {
    [TLS_NEW] = 1u << TLS_HANDSHAKE | 1u << TLS_FAILED,
    [TLS_HANDSHAKE] = 1u << TLS_OPEN | 1u << TLS_LINGERING | 1u << TLS_FAILED,
    [TLS_OPEN] = 1u << TLS_FAILED,
    [TLS_LINGERING] = 1u << TLS_FAILED,
};

void tls_move(struct tls_layer *tls, enum tls_state next)
{
    assert(allowed_next[tls->state] & 1u << next);
    tls->state = next;
}

/* --- Life ---------------------------------------------------------------------------------------
 */

static int prepare(const struct stk_segment *segment, bool listening, void **shared,
                   struct stk_error *error)
{
    struct tls_context *context;
    const int status = tls_context_new(segment, listening, &context, error);

    if (status == 0)
        *shared = context;
    return status;
}

static void unprepare(void *shared) { tls_context_free(shared); }

static int init(struct stk_layer *layer)
{
    struct tls_layer *tls = tls_of(layer);

    stk_fifo_init(&tls->staged, TLS_STAGED_BYTES);
    stk_fifo_init(&tls->gathered, TLS_RECORD_BYTES);
    return tls_context_of(tls)->listening ? 0 : tls_verify_find_name(tls);
}

static void start(struct stk_layer *layer) { tls_handshake_begin(tls_of(layer)); }

static void destroy(struct stk_layer *layer)
{
    struct tls_layer *tls = tls_of(layer);

    SSL_free(tls->ssl);
    stk_fifo_free(&tls->staged);
    stk_fifo_free(&tls->gathered);
    stk_free(tls->name);
    stk_free(tls->why);
}

/* After an orderly goodbye nothing is left to reset, and a reset could still tear the alert out of
 * the peer's hands. */
static void abort_stream(struct stk_layer *layer)
{
    const struct tls_layer *tls = tls_of(layer);

    if (!tls->peer_gone || !tls->alert_delivered)
        stk_layer_abort_below(layer);
}

/* --- Reading ------------------------------------------------------------------------------------
 */

/* OpenSSL wants bytes: they will be told by below, unless only this call's budget is used up. */
static long read_later(struct tls_layer *tls)
{
    if (tls->below != TLS_BELOW_DRY)
        stk_layer_raise(&tls->layer, STK_RX);
    else if (tls->broken != 0)
        return tls->broken;
    return STK_AGAIN;
}

static long read_end(struct tls_layer *tls)
{
    if (!tls->end_told)
        stk_layer_raise(&tls->layer, STK_RX_EOF);
    tls->end_told = true;
    return 0;
}

static long read_some(struct tls_layer *tls, void *data, size_t len)
{
    size_t got;

    ERR_clear_error();
    const int result = SSL_read_ex(tls->ssl, data, len, &got);
    if (result == 1)
        return (long)got;
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return read_later(tls);
    case SSL_ERROR_WANT_WRITE:
        tls->read_wants_room = true;
        return STK_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return read_end(tls);
    default:
        return tls_fail(tls);
    }
}

static long recv_plain(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct tls_layer *tls = tls_of(layer);
    long total = 0;

    if (tls->state == TLS_FAILED)
        return stk_layer_error(layer);
    if (tls->state != TLS_OPEN)
        return STK_AGAIN;
    if (tls->below == TLS_BELOW_DRY)
        return tls->broken != 0 ? tls->broken : STK_AGAIN;
    tls->read_budget = TLS_READ_AT_ONCE;
    for (int i = 0; i < count; i++)
        for (size_t filled = 0; filled < iov[i].iov_len;) {
            const long got =
                read_some(tls, (uint8_t *)iov[i].iov_base + filled, iov[i].iov_len - filled);
            if (got <= 0)
                return total > 0 ? total : got;
            filled += (size_t)got;
            total += got;
        }
    return total;
}

static long send_plain(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    return tls_write(tls_of(layer), iov, count, flags);
}

/* --- Events -------------------------------------------------------------------------------------
 */

static void advance_open(struct tls_layer *tls, unsigned events)
{
    unsigned up = events & STK_ERROR;

    if (events & STK_ERROR)
        tls->broken = stk_layer_error(&tls->layer);
    if (events & (STK_RX | STK_RX_EOF | STK_ERROR)) {
        tls->below = TLS_BELOW_FLOWS;
        up |= STK_RX;
    }
    /* A write may have waited for bytes as well as for room. */
    tls_write_advance(tls);
    if ((events & STK_TX_DONE) && tls->fin == TLS_FIN_SENT)
        up |= STK_TX_DONE;
    if (up != 0)
        stk_layer_raise(&tls->layer, up);
}

static void advance_handshake(struct tls_layer *tls, unsigned events)
{
    if (tls_bio_drain(tls) != STK_AGAIN || (events & (STK_RX | STK_RX_EOF | STK_ERROR)))
        tls_handshake_advance(tls);
    if ((events & STK_ERROR) && tls->state == TLS_HANDSHAKE)
        stk_layer_raise(&tls->layer, STK_ERROR);
}

static void on_below(struct stk_layer *layer, unsigned events)
{
    struct tls_layer *tls = tls_of(layer);

    if (tls->state == TLS_HANDSHAKE)
        advance_handshake(tls, events);
    else if (tls->state == TLS_OPEN)
        advance_open(tls, events);
    else if (tls->state == TLS_LINGERING)
        tls_linger_advance(tls, events);
    else if (events & STK_ERROR)
        stk_layer_raise(layer, STK_ERROR | STK_RX);
}

static void on_timer(struct stk_layer *layer)
{
    struct tls_layer *tls = tls_of(layer);

    if (tls->state == TLS_LINGERING)
        tls_linger_end(tls);
    else if (tls->state == TLS_OPEN)
        tls_write_advance(tls);
    else if (tls->state == TLS_HANDSHAKE)
        tls_handshake_advance(tls);
}

/* --- Questions ----------------------------------------------------------------------------------
 */

static void query_alpn(const struct tls_layer *tls, char *out, size_t len)
{
    const unsigned char *name;
    unsigned name_len;

    SSL_get0_alpn_selected(tls->ssl, &name, &name_len);
    snprintf(out, len, "%.*s", (int)name_len, name != NULL ? (const char *)name : "");
}

/* Of several TLS layers the upper one answers, if only with "": the lower one's answer is another
 * one's. */
static int query(struct stk_layer *layer, int key, void *out, size_t len)
{
    struct tls_layer *tls = tls_of(layer);

    if (key < STK_QUERY_ALPN || key > STK_QUERY_RESUMED || len == 0)
        return -ENOENT;
    if (tls->ssl == NULL)
        return key <= STK_QUERY_PEER_NAME || key == STK_QUERY_RESUMED ? -ENOTCONN : -ENOENT;
    switch (key) {
    case STK_QUERY_ALPN:
        query_alpn(tls, out, len);
        return 0;
    case STK_QUERY_TLS_VERSION:
        snprintf(out, len, "%s", SSL_get_version(tls->ssl));
        return 0;
    case STK_QUERY_CIPHER:
        snprintf(out, len, "%s", SSL_get_cipher_name(tls->ssl));
        return 0;
    case STK_QUERY_PEER_NAME:
        tls_verify_peer_name(tls, out, len);
        return 0;
    case STK_QUERY_RESUMED:
        if (len < sizeof(int))
            return -EINVAL;
        *(int *)out = SSL_session_reused(tls->ssl);
        return 0;
    default:
        return -ENOENT;
    }
}

/* --- What the world knows -----------------------------------------------------------------------
 */

static const struct stk_stream_type tls_stream_type = {
    .size = sizeof(struct tls_layer),
    .prepare = prepare,
    .unprepare = unprepare,
    .init = init,
    .start = start,
    .recv = recv_plain,
    .send = send_plain,
    .on_below = on_below,
    .on_timer = on_timer,
    .abort = abort_stream,
    .query = query,
    .destroy = destroy,
};

static const struct stk_option_type tls_options[] = {
    {"sni", STK_OPTION_TEXT, 0, 0, "who the server must be (the host below)"},
    {"verify", STK_OPTION_FLAG, 0, 0, "no: accept any certificate (yes)"},
    {"ca", STK_OPTION_TEXT, 0, 0, "file of trusted CAs (the system's)"},
    {"ca-dir", STK_OPTION_TEXT, 0, 0, "directory of trusted CAs"},
    {"pin", STK_OPTION_TEXT, 0, 0, "SHA-256 of the peer's key, several with ';'"},
    {"cert", STK_OPTION_TEXT, 0, 0, "file of our certificate and its chain"},
    {"key", STK_OPTION_TEXT, 0, 0, "file of our key (that of cert)"},
    {"certs", STK_OPTION_TEXT, 0, 0, "directory of certificates that a listener chooses from"},
    {"client-ca", STK_OPTION_TEXT, 0, 0, "file of CAs that clients' certificates need"},
    {"require", STK_OPTION_FLAG, 0, 0, "no: clients without certificate may come (yes)"},
    {"alpn", STK_OPTION_TEXT, 0, 0, "protocols, best first, with '+' between"},
    {"min", STK_OPTION_TEXT, 0, 0, "lowest version: 1.2 or 1.3 (1.3)"},
    {"resume", STK_OPTION_FLAG, 0, 0, "no: never resume a session (yes)"},
    {"rekey", STK_OPTION_SIZE, 65536, UINT64_C(1) << 36, "bytes sent under one key (32G)"},
    {0},
};

const struct stk_layer_type stk_layer_tls = {
    .name = "tls",
    .summary = "TLS 1.3: verified and encrypted",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .value = STK_VALUE_NONE,
    .options = tls_options,
    .stream = &tls_stream_type,
};
