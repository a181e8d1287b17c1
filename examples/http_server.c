/*
 * A static file server on any stack:
 *
 *   http_server . /ip4/127.0.0.1/tcp/8080
 *   http_server . /ip4/0.0.0.0/tcp/8443/tls,cert=cert.pem,key=key.pem
 *   http_server . /ip4/0.0.0.0/udp/4001/ptcp
 *
 * Prints where it listens, then serves until SIGINT or SIGTERM.
 */
#include "http.h"

#include <signal.h>
#include <stdio.h>

struct site {
    struct stk_http_server *server;
    struct stk_loop *loop;
};

static struct site site;

static void stop(struct stk_signal *signal, int signo)
{
    (void)signal;
    (void)signo;
    stk_loop_stop(site.loop);
}

static void say_where(void)
{
    char text[STK_ADDR_TEXT_MAX];
    struct stk_addr addr;

    if (stk_http_server_addr(site.server, &addr) == 0)
        printf("listening on %s\n", stk_addr_format(&addr, text));
    else
        printf("listening\n");
    fflush(stdout);
}

static int serve(const char *directory, const char *address)
{
    const struct stk_http_files_options options = {.listing = true};
    struct stk_signal interrupt, terminate;
    struct stk_http_files *files;
    struct stk_error error = {0};

    if (stk_http_files_new(directory, &options, &files, &error) < 0 ||
        stk_http_serve(site.loop, address, &stk_http_files_handler, files, NULL, &site.server,
                       &error) < 0) {
        fprintf(stderr, "http_server: %s\n", error.text);
        return 1;
    }
    stk_signal_start(&interrupt, site.loop, SIGINT, stop);
    stk_signal_start(&terminate, site.loop, SIGTERM, stop);
    say_where();
    stk_loop_run(site.loop);

    stk_signal_stop(&interrupt);
    stk_signal_stop(&terminate);
    stk_http_server_abort(site.server);
    while (stk_loop_turn(site.loop, 0) > 0)
        ;
    stk_http_files_free(files);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: http_server DIRECTORY STACK\n");
        return 2;
    }
    if (stk_loop_new(NULL, &site.loop) < 0)
        return 1;
    const int status = serve(argv[1], argv[2]);
    stk_loop_free(site.loop);
    return status;
}
