#include "tls_pair.h"

#include "tls.h"
#include "tls_certs.h"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>

enum { TURNS_MAX = 2000000, WAIT_US = 5 * 1000 * 1000 };

uint8_t pair_byte(uint64_t at) { return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16)); }

/* --- One side -----------------------------------------------------------------------------------
 */

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void write_on(struct side *side)
{
    uint8_t block[16384];
    const size_t step = side->step > 0 ? side->step : sizeof block;

    while (side->sent < side->to_send) {
        size_t len = step;

        if (len > side->to_send - side->sent)
            len = side->to_send - side->sent;
        for (size_t i = 0; i < len; i++)
            block[i] = pair_byte(side->sent + i);
        const long taken = stk_conn_write(side->conn, block, len);
        if (taken <= 0)
            return;
        side->sent += (uint64_t)taken;
        if ((size_t)taken < len)
            return;
    }
    if (side->finish)
        stk_conn_finish(side->conn);
}

static int accepted(struct stk_conn *conn)
{
    struct pair *pair = stk_conn_user(conn);

    stk_conn_set_user(conn, &pair->server);
    pair->server.conn = conn;
    return 0;
}

static void opened(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    CU_ASSERT_FALSE(side->opened);
    side->opened = true;
    stk_conn_query(conn, STK_QUERY_ALPN, side->alpn, sizeof side->alpn);
    stk_conn_query(conn, STK_QUERY_TLS_VERSION, side->version, sizeof side->version);
    stk_conn_query(conn, STK_QUERY_PEER_NAME, side->name, sizeof side->name);
    stk_conn_query(conn, STK_QUERY_RESUMED, &side->resumed, sizeof side->resumed);
    write_on(side);
}

static size_t received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct side *side = side_of(conn);

    for (size_t i = 0; i < len; i++)
        if (data[i] != pair_byte(side->received + i))
            side->wrong = true;
    side->received += len;
    return len;
}

static void finished(struct stk_conn *conn)
{
    struct side *side = side_of(conn);

    side->finished = true;
    side->finish = true;
    if (!side->keep_reading_closed)
        write_on(side);
}

static void writable(struct stk_conn *conn) { write_on(side_of(conn)); }
static void delivered(struct stk_conn *conn) { side_of(conn)->delivered = true; }

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = stk_conn_user(conn);

    CU_ASSERT_FALSE(side->closed);
    side->closed = true;
    side->conn = NULL;
    if (error != NULL)
        side->error = *error;
}

const struct stk_protocol pair_protocol = {
    .accepted = accepted,
    .opened = opened,
    .received = received,
    .finished = finished,
    .writable = writable,
    .delivered = delivered,
    .closed = closed,
};

/* --- Both ---------------------------------------------------------------------------------------
 */

static void know_tls(void)
{
    if (stk_layer_type_find("tls") == NULL)
        stk_layer_type_add(&stk_layer_tls);
}

void pair_init(struct pair *pair)
{
    know_tls();
    memset(pair, 0, sizeof *pair);
    pair->client.pair = pair->server.pair = pair;
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &pair->loop), 0);
}

const char *pair_options(const char *format, char *out, size_t size)
{
    char encoded[200];
    size_t len = 0;

    stk_percent_encode(certs_dir(), encoded, sizeof encoded);
    for (; *format != '\0' && len + 1 < size; format++) {
        if (format[0] == '%' && format[1] == 's') {
            len += (size_t)snprintf(out + len, size - len, "%s%%2F", encoded);
            format++;
        } else {
            out[len++] = *format;
        }
    }
    out[len < size ? len : size - 1] = '\0';
    return out;
}

/* Where a listener on port 0 really is. */
static void transport_of_client(struct pair *pair, const char *transport, char *out, size_t size)
{
    struct stk_addr addr;
    char ip[STK_ADDR_TEXT_MAX];

    snprintf(out, size, "%s", transport);
    if (strstr(transport, "/tcp/0") == NULL || stk_listener_addr(pair->listener, &addr) < 0)
        return;
    snprintf(out, size, "%s/tcp/%u", stk_addr_format_ip(&addr, ip), stk_addr_port(&addr));
}

int pair_start(struct pair *pair, const struct pair_recipe *recipe)
{
    const char *transport = recipe->transport != NULL ? recipe->transport : "/memory/pair";
    char options[2048], at[256], text[2400];
    int status;

    snprintf(text, sizeof text, "%s%s", transport,
             pair_options(recipe->server, options, sizeof options));
    status = stk_listen(pair->loop, text, &pair_protocol, pair, &pair->listener, &pair->error);
    if (status < 0)
        return status;
    transport_of_client(pair, transport, at, sizeof at);
    snprintf(text, sizeof text, "%s%s", at, pair_options(recipe->client, options, sizeof options));
    return stk_connect(pair->loop, text, &pair_protocol, &pair->client, &pair->client.conn,
                       &pair->error);
}

static void abort_in_time(struct pair *pair, struct side *side)
{
    if (side->abort_at_turn != 0 && side->abort_at_turn == pair->turns && side->conn != NULL)
        stk_conn_abort(side->conn);
}

static bool server_is_gone(const struct pair *pair)
{
    return pair->server.closed || (pair->client.closed && pair->server.conn == NULL);
}

bool pair_run(struct pair *pair, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        if (pair->client.closed && server_is_gone(pair))
            return true;
        abort_in_time(pair, &pair->client);
        abort_in_time(pair, &pair->server);
        if (stk_loop_turn(pair->loop, WAIT_US) < 0)
            return false;
        pair->turns++;
    }
    return pair->client.closed && server_is_gone(pair);
}

void pair_free(struct pair *pair)
{
    if (pair->client.conn != NULL)
        stk_conn_abort(pair->client.conn);
    if (pair->server.conn != NULL)
        stk_conn_abort(pair->server.conn);
    if (pair->listener != NULL)
        stk_listener_close(pair->listener);
    for (int i = 0; i < 4; i++)
        stk_loop_turn(pair->loop, 0);
    stk_loop_free(pair->loop);
    pair->loop = NULL;
}

struct pair pair_exchange(const struct pair_recipe *recipe, uint64_t up, uint64_t down)
{
    static struct pair pair;

    pair_init(&pair);
    pair.client.to_send = up;
    pair.server.to_send = down;
    pair.client.finish = pair.server.finish = true;
    if (pair_start(&pair, recipe) < 0)
        pair.client.error = pair.error;
    else
        CU_ASSERT_TRUE(pair_run(&pair, TURNS_MAX));
    pair_free(&pair);
    return pair;
}

static void expect_good_side(const struct side *side, uint64_t received)
{
    if (side->error.code != 0)
        printf("\n    %s: %s\n", side->error.layer, side->error.text);
    CU_ASSERT_EQUAL(side->error.code, 0);
    CU_ASSERT_TRUE(side->opened);
    CU_ASSERT_TRUE(side->finished);
    CU_ASSERT_TRUE(side->closed);
    CU_ASSERT_FALSE(side->wrong);
    CU_ASSERT_EQUAL(side->received, received);
}

void pair_expect_good(const struct pair *pair, uint64_t up, uint64_t down)
{
    if (pair->error.code != 0)
        printf("\n    %s: %s\n", pair->error.layer, pair->error.text);
    CU_ASSERT_EQUAL(pair->error.code, 0);
    expect_good_side(&pair->client, down);
    expect_good_side(&pair->server, up);
}
