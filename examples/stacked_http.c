/*
 * HTTP over TLS over PTCP over UDP, server and client in one program: stacked_http [CERT KEY NAME]
 *
 * CERT and KEY are PEM files and NAME is what the certificate stands for; without them a
 * certificate is made for this run. The same two strings with "tcp" for "udp" and no "/ptcp" are
 * ordinary HTTPS: nothing else in this file would change.
 */
#include "certificate.h"
#include "http.h"

#include <stdio.h>
#include <unistd.h>

enum { GOODBYE_US = 200000 };

struct page {
    struct stk_loop *loop;
    struct stk_http_server *server;
    int status;
};

/* --- Server ----------------------------------------------------------------------------------- */

static void answer(struct stk_http_exchange *exchange, const struct stk_http_head *head)
{
    struct stk_conn *conn = stk_http_exchange_conn(exchange);
    struct stk_addr peer = {0};
    char from[STK_ADDR_TEXT_MAX], version[32] = "", cipher[64] = "", text[512];

    stk_conn_query(conn, STK_QUERY_PEER_ADDR, &peer, sizeof peer);
    stk_conn_query(conn, STK_QUERY_TLS_VERSION, version, sizeof version);
    stk_conn_query(conn, STK_QUERY_CIPHER, cipher, sizeof cipher);
    const int len =
        snprintf(text, sizeof text, "%s was asked for by %s, over %s (%s), PTCP and UDP\n",
                 head->path, stk_addr_format(&peer, from), version, cipher);
    stk_http_reply(exchange, 200, "text/plain", text, (size_t)len);
}

static const struct stk_http_handler handler = {.head = answer};

/* --- Client ----------------------------------------------------------------------------------- */

static struct stk_outcome show(void *user, struct stk_outcome outcome)
{
    struct page *page = user;
    const struct stk_http_response *response = outcome.value;

    page->status = response->head->status;
    printf("%d %s", response->head->status, (const char *)response->body);
    return outcome;
}

static struct stk_outcome complain(void *user, struct stk_outcome outcome)
{
    (void)user;
    fprintf(stderr, "%s: %s\n", outcome.error.layer, outcome.error.text);
    stk_outcome_drop(&outcome);
    return stk_outcome_value(NULL, NULL);
}

static struct stk_outcome end(void *user, struct stk_outcome outcome)
{
    struct page *page = user;

    stk_http_server_close(page->server);
    stk_loop_stop(page->loop);
    return outcome;
}

/* --- Both ------------------------------------------------------------------------------------- */

static int fetch(struct page *page, const char *ca, const char *name)
{
    struct stk_addr addr;
    struct stk_deferred *result;
    char address[512];

    stk_http_server_addr(page->server, &addr);
    snprintf(address, sizeof address, "/ip4/127.0.0.1/udp/%u/ptcp/tls,ca=%s,sni=%s/http/hello",
             stk_addr_port(&addr), ca, name);
    result = stk_http_get(page->loop, address, NULL);
    if (result == NULL)
        return -1;
    stk_deferred_then(result, show, page);
    stk_deferred_catch(result, complain, page);
    stk_deferred_both(result, end, page);
    stk_deferred_unref(result);
    const int status = stk_loop_run(page->loop);
    /* PTCP remembers a closed connection for 30 s, to repeat its last word. Nobody here asks. */
    stk_loop_drain(page->loop, GOODBYE_US);
    return status;
}

/* Paths may hold what separates layers. */
static int serve(struct page *page, const char *cert, const char *key, const char *name)
{
    char encoded_cert[300], encoded_key[300], address[700];
    struct stk_error error;

    stk_percent_encode(cert, encoded_cert, sizeof encoded_cert);
    stk_percent_encode(key, encoded_key, sizeof encoded_key);
    snprintf(address, sizeof address, "/ip4/127.0.0.1/udp/0/ptcp/tls,cert=%s,key=%s", encoded_cert,
             encoded_key);
    if (stk_http_serve(page->loop, address, &handler, NULL, NULL, &page->server, &error) < 0)
        return fprintf(stderr, "%s: %s\n", error.layer, error.text), -1;
    return fetch(page, encoded_cert, name);
}

static int run(const char *cert, const char *key, const char *name)
{
    struct page page = {0};

    if (stk_loop_new(NULL, &page.loop) < 0)
        return 1;
    serve(&page, cert, key, name);
    stk_loop_free(page.loop);
    return page.status == 200 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const char name[] = "stacked.example";
    char made[CERTIFICATE_PATH_MAX];

    if (argc == 4)
        return run(argv[1], argv[2], argv[3]);
    if (argc != 1)
        return fprintf(stderr, "usage: stacked_http [CERT KEY NAME]\n"), 2;
    if (certificate_make(name, made) < 0)
        return 1;
    const int status = run(made, made, name);
    unlink(made);
    return status;
}
