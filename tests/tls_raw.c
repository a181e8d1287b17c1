#include "tls_raw.h"

#include "tls_certs.h"
#include "tls_pair.h"

#include <CUnit/Basic.h>

static void count_messages(int writes, int version, int type, const void *data, size_t len,
                           SSL *ssl, void *arg)
{
    struct raw *raw = arg;

    (void)version, (void)ssl;
    if (!writes && type == SSL3_RT_HANDSHAKE && len > 0 &&
        *(const uint8_t *)data == SSL3_MT_KEY_UPDATE)
        raw->key_updates++;
}

static void load(struct raw *raw, const char *pem)
{
    CU_ASSERT_EQUAL_FATAL(SSL_CTX_use_certificate_chain_file(raw->ctx, certs_path(pem)), 1);
    CU_ASSERT_EQUAL_FATAL(SSL_CTX_use_PrivateKey_file(raw->ctx, certs_path(pem), SSL_FILETYPE_PEM),
                          1);
}

void raw_init(struct raw *raw, bool is_server, bool asks_client)
{
    *raw = (struct raw){.pass = RAW_HOLD_NOTHING};
    raw->ctx = SSL_CTX_new(TLS_method());
    load(raw, is_server ? "server.pem" : "client.pem");
    SSL_CTX_load_verify_locations(raw->ctx, certs_path("ca.crt"), NULL);
    SSL_CTX_set_session_id_context(raw->ctx, (const unsigned char *)"raw", 3);
    if (asks_client)
        SSL_CTX_set_verify(raw->ctx, SSL_VERIFY_PEER, NULL);
    raw->ssl = SSL_new(raw->ctx);
    raw->in = BIO_new(BIO_s_mem());
    raw->out = BIO_new(BIO_s_mem());
    SSL_set_bio(raw->ssl, raw->in, raw->out);
    SSL_set_msg_callback(raw->ssl, count_messages);
    SSL_set_msg_callback_arg(raw->ssl, raw);
    if (is_server)
        SSL_set_accept_state(raw->ssl);
    else
        SSL_set_connect_state(raw->ssl);
}

void raw_free(struct raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->ctx);
}

static void flush(struct raw *raw)
{
    uint8_t block[1024];

    while (raw->conn != NULL && raw->left < raw->pass && stk_conn_write_room(raw->conn) > 2048) {
        const size_t may = raw->pass - raw->left;
        const int len =
            BIO_read(raw->out, block, may < sizeof block ? (int)may : (int)sizeof block);

        if (len <= 0)
            return;
        for (int i = 0; i < len; i++)
            if (raw->break_at != 0 && raw->left + (size_t)i >= raw->break_at)
                block[i] ^= 0xff;
        stk_conn_write(raw->conn, block, (size_t)len);
        raw->left += (size_t)len;
    }
}

static void take_plain(struct raw *raw)
{
    uint8_t block[4096];
    int len;

    while (!raw->deaf && (len = SSL_read(raw->ssl, block, sizeof block)) > 0) {
        for (int i = 0; i < len; i++)
            if (block[i] != pair_byte(raw->received + (uint64_t)i))
                raw->wrong = true;
        raw->received += (uint64_t)len;
    }
    raw->peer_closed = (SSL_get_shutdown(raw->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void raw_pump(struct raw *raw)
{
    if (SSL_do_handshake(raw->ssl) == 1)
        take_plain(raw);
    flush(raw);
}

void raw_write(struct raw *raw, const void *data, size_t len)
{
    CU_ASSERT_EQUAL(SSL_write(raw->ssl, data, (int)len), (int)len);
    raw_pump(raw);
}

static struct raw *raw_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static int accepted(struct stk_conn *conn)
{
    raw_of(conn)->conn = conn;
    return 0;
}

static void opened(struct stk_conn *conn) { raw_pump(raw_of(conn)); }

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct raw *raw = raw_of(conn);

    BIO_write(raw->in, data, (int)len);
    raw_pump(raw);
    return len;
}

static void finished(struct stk_conn *conn)
{
    if (!raw_of(conn)->silent)
        stk_conn_close(conn);
}

static void writable(struct stk_conn *conn) { raw_pump(raw_of(conn)); }

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct raw *raw = raw_of(conn);

    raw->closed = true;
    raw->conn = NULL;
    if (error != NULL)
        raw->error = *error;
}

const struct stk_protocol raw_protocol = {
    .accepted = accepted,
    .opened = opened,
    .received = received,
    .finished = finished,
    .writable = writable,
    .closed = closed,
};
