/* A client for the tests with real peers: fetches a URL or stack and writes the body to stdout;
 * says status and length on stderr. Options: -n COUNT requests over one connection, -r RANGE, -X
 * METHOD, -d BYTES of request body (-1: one empty chunk stream), -e waits for 100. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fetch {
    struct stk_loop *loop;
    struct stk_http_client *client;
    const char *address;
    struct stk_http_request request;
    struct stk_http_field range;
    int left;
    uint64_t bytes;
    int64_t to_send;
    int status;
};

static void send_one(struct fetch *f);

static void on_head(struct stk_http_call *call, const struct stk_http_head *head)
{
    struct fetch *f = stk_http_call_user(call);
    const char *location = stk_http_head_get(head, "Location");

    f->bytes = 0;
    fprintf(stderr, "status %d%s%s\n", head->status, location ? " location " : "",
            location ? location : "");
}

static size_t on_body(struct stk_http_call *call, const uint8_t *data, size_t len)
{
    struct fetch *f = stk_http_call_user(call);

    f->bytes += len;
    if (fwrite(data, 1, len, stdout) != len)
        exit(3);
    return len;
}

static void on_writable(struct stk_http_call *call)
{
    static const char piece[50000];
    struct fetch *f = stk_http_call_user(call);

    while (f->to_send > 0) {
        const size_t len = f->to_send < (int64_t)sizeof piece ? (size_t)f->to_send : sizeof piece;
        const long taken = stk_http_call_write(call, piece, len);

        if (taken <= 0)
            return;
        f->to_send -= taken;
    }
    stk_http_call_finish(call);
}

static void on_end(struct stk_http_call *call)
{
    struct fetch *f = stk_http_call_user(call);

    fprintf(stderr, "bytes %llu\n", (unsigned long long)f->bytes);
    if (--f->left > 0) {
        send_one(f);
    } else {
        f->status = 0;
        stk_http_client_close(f->client);
    }
}

static void on_failed(struct stk_http_call *call, const struct stk_error *error)
{
    struct fetch *f = stk_http_call_user(call);

    fprintf(stderr, "failed %d %s: %s\n", error->code, error->layer, error->text);
    stk_http_client_close(f->client);
}

static const struct stk_http_response_handler handler = {
    .head = on_head,
    .body = on_body,
    .writable = on_writable,
    .end = on_end,
    .failed = on_failed,
};

static void send_one(struct fetch *f)
{
    struct stk_error error = {0};

    f->to_send = f->request.length;
    if (stk_http_client_send(f->client, &f->request, &handler, f, NULL, &error) < 0) {
        fprintf(stderr, "failed %d: %s\n", error.code, error.text);
        stk_http_client_close(f->client);
    }
}

static void parse(struct fetch *f, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "n:r:X:d:e")) != -1) {
        if (option == 'n') {
            f->left = atoi(optarg);
        } else if (option == 'X') {
            f->request.method = optarg;
        } else if (option == 'd') {
            f->request.length = atoll(optarg);
        } else if (option == 'e') {
            f->request.expect_continue = true;
        } else if (option == 'r') {
            f->range = (struct stk_http_field){"Range", optarg};
            f->request.fields = &f->range;
            f->request.field_count = 1;
        } else {
            exit(2);
        }
    }
    if (optind + 1 != argc)
        exit(2);
    f->address = argv[optind];
}

int main(int argc, char **argv)
{
    struct fetch f = {.left = 1, .status = 1};
    struct stk_error error = {0};

    parse(&f, argc, argv);
    if (stk_loop_new(NULL, &f.loop) < 0)
        return 1;
    if (stk_http_client_new(f.loop, f.address, NULL, &f.client, &error) < 0) {
        fprintf(stderr, "failed %d: %s\n", error.code, error.text);
        return 1;
    }
    send_one(&f);
    stk_loop_run(f.loop);
    stk_loop_free(f.loop);
    return fflush(stdout) == 0 ? f.status : 3;
}
