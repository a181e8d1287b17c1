/*
 * A server for tests that takes uploads: it answers every PUT and POST with the bytes that it got,
 * while they come.
 *
 *   http_echo STACK
 *
 * Prints where it listens, then serves until SIGTERM.
 */
#include "http.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct stk_loop *loop;

static void take_head(struct stk_http_exchange *x, const struct stk_http_head *head)
{
    static const struct stk_http_field allow[] = {{"Allow", "PUT, POST"}};

    if (strcmp(head->method, "PUT") == 0 || strcmp(head->method, "POST") == 0) {
        stk_http_set_body_limit(x, STK_HTTP_UNLIMITED);
        stk_http_respond(x, 200, NULL, 0,
                         head->chunked ? STK_HTTP_CHUNKED
                                       : (head->content_length > 0 ? head->content_length : 0));
        return;
    }
    stk_http_respond(x, 405, allow, 1, 0);
    stk_http_finish(x);
}

/* What the client does not read back yet is not taken. */
static size_t take_body(struct stk_http_exchange *x, const uint8_t *data, size_t len)
{
    const long taken = stk_http_write(x, data, len);

    return taken > 0 ? (size_t)taken : 0;
}

static void take_end(struct stk_http_exchange *x) { stk_http_finish(x); }

static const struct stk_http_handler handler = {
    .head = take_head, .body = take_body, .end = take_end, .writable = stk_http_again};

static void stop(struct stk_signal *signal, int signo)
{
    (void)signal, (void)signo;
    stk_loop_stop(loop);
}

static int serve(const char *address)
{
    char text[STK_ADDR_TEXT_MAX];
    struct stk_http_server *server;
    struct stk_error error = {0};
    struct stk_signal terminate;
    struct stk_addr addr;

    if (stk_http_serve(loop, address, &handler, NULL, NULL, &server, &error) < 0) {
        fprintf(stderr, "http_echo: %s\n", error.text);
        return 1;
    }
    stk_signal_start(&terminate, loop, SIGTERM, stop);
    if (stk_http_server_addr(server, &addr) == 0)
        printf("listening on %s\n", stk_addr_format(&addr, text));
    fflush(stdout);
    stk_loop_run(loop);
    stk_signal_stop(&terminate);
    stk_http_server_abort(server);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: http_echo STACK\n");
        return 2;
    }
    if (stk_loop_new(NULL, &loop) < 0)
        return 1;
    const int status = serve(argv[1]);
    stk_loop_free(loop);
    return status;
}
