/* p2pcat http URL-or-STACK: fetches one resource over any stack. */
#include "app.h"

#include "http.h"
#include "stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fetch {
    struct app app;
    struct stk_http_client *client;
    struct stk_http_call *call;
    struct stk_conn *out; /* standard output or the file of -o */
    bool blocked;
    int out_fd; /* of -o; -1: none */
    uint64_t received, total;
    uint64_t over_us; /* when the last byte was there */
    struct stk_timer tick;
    char stack[512];
    struct stats stats;
};

static void note_conn(struct fetch *f)
{
    struct stk_conn *conn = stk_http_client_conn(f->client);

    if (conn == NULL)
        return;
    stats_take(&f->stats, conn);
    if (f->stack[0] == '\0') {
        stk_conn_describe(conn, f->stack, sizeof f->stack);
        talk_verbose("stack %s", f->stack);
    }
}

/* --- The output ----------------------------------------------------------------------------------
 */

static void out_writable(struct stk_conn *conn)
{
    struct fetch *f = stk_conn_user(conn);

    if (f->blocked && f->call != NULL) {
        f->blocked = false;
        stk_http_call_again(f->call);
    }
}

static void out_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct fetch *f = stk_conn_user(conn);

    f->out = NULL;
    if (error != NULL && error->code != -ECONNABORTED) {
        talk_error("%s: %s", f->app.options.output != NULL ? f->app.options.output : error->layer,
                   error->text);
        app_fail(&f->app, EXIT_LOCAL);
    }
    if (f->call != NULL) /* nobody is left to write for */
        stk_http_call_cancel(f->call);
    app_quit(&f->app);
}

/* Its reading half is empty: standard input is not ours to read. */
static void out_finished(struct stk_conn *conn) { (void)conn; }

static const struct stk_protocol out_protocol = {
    .writable = out_writable,
    .finished = out_finished,
    .closed = out_closed,
};

static int open_output(struct fetch *f)
{
    const char *name = f->app.options.output;
    char address[48];
    struct stk_error error = {0};
    int nothing, out;

    if (name != NULL)
        f->out_fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    /* The layer closes its own; the last close is ours, because only it may say "disk full". */
    out = name != NULL ? f->out_fd : STDOUT_FILENO;
    if (out >= 0)
        out = fcntl(out, F_DUPFD_CLOEXEC, 0);
    if (out < 0) {
        talk_error("%s: %s", name != NULL ? name : "standard output", strerror(errno));
        return EXIT_LOCAL;
    }
    nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    snprintf(address, sizeof address, "/fd/%d:%d", nothing, out);
    if (nothing < 0 || stk_connect(f->app.loop, address, &out_protocol, f, &f->out, &error) < 0) {
        talk_error("%s: %s", name != NULL ? name : "standard output",
                   nothing < 0 ? strerror(errno) : error.text);
        return EXIT_LOCAL;
    }
    return 0;
}

/* --- The response
 * -------------------------------------------------------------------------------------- */

static void print_head(struct fetch *f, const struct stk_http_head *head)
{
    char line[2048];
    int len = snprintf(line, sizeof line, "HTTP/1.%d %d %s\n", head->minor, head->status,
                       head->reason != NULL ? head->reason : "");

    stk_conn_write(f->out, line, (size_t)len);
    for (int i = 0; i < head->field_count; i++) {
        len = snprintf(line, sizeof line, "%s: %s\n", head->fields[i].name, head->fields[i].value);
        stk_conn_write(f->out, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
    }
}

/* A file keeps what it has until there is something to put in its place. */
static void empty_output(const struct fetch *f)
{
    if (f->out_fd >= 0)
        (void)!ftruncate(f->out_fd, 0); /* pipes and devices have nothing to lose */
}

static void on_head(struct stk_http_call *call, const struct stk_http_head *head)
{
    struct fetch *f = stk_http_call_user(call);
    const char *location = stk_http_head_get(head, "Location");

    note_conn(f);
    empty_output(f);
    talk_verbose("status %d %s", head->status, head->reason != NULL ? head->reason : "");
    if (head->content_length > 0)
        f->total = (uint64_t)head->content_length;
    if (head->status >= 400) {
        talk_error("the server answers %d %s", head->status, stk_http_reason(head->status));
        app_fail(&f->app, EXIT_HTTP);
    } else if (head->status >= 300 && location != NULL) {
        talk_info("the server points to %s", location);
    }
    if (f->app.options.head_only && f->out != NULL)
        print_head(f, head);
}

static size_t on_body(struct stk_http_call *call, const uint8_t *data, size_t len)
{
    struct fetch *f = stk_http_call_user(call);
    const long sent = f->out != NULL ? stk_conn_write(f->out, data, len) : 0;
    const size_t used = sent > 0 ? (size_t)sent : 0;

    f->blocked = used < len;
    f->received += used;
    return used;
}

static void over(struct fetch *f)
{
    f->call = NULL;
    f->over_us = stk_loop_now_us(f->app.loop);
    note_conn(f);
    stk_timer_stop(&f->tick);
    if (f->out != NULL)
        stk_conn_close(f->out);
    else
        app_quit(&f->app);
}

static void on_end(struct stk_http_call *call) { over(stk_http_call_user(call)); }

/* What HTTP itself complains of came from somebody who was reached, but for silence. */
static bool was_reached(const struct fetch *f, const struct stk_error *error)
{
    return f->stack[0] != '\0' || (strcmp(error->layer, "http") == 0 && error->code != -ETIMEDOUT);
}

static void on_failed(struct stk_http_call *call, const struct stk_error *error)
{
    struct fetch *f = stk_http_call_user(call);

    if (error->code != -ECANCELED && !f->app.stopping) {
        talk_failure(error);
        app_fail(&f->app, app_code_of(error, was_reached(f, error), false));
    }
    over(f);
}

static const struct stk_http_response_handler handler = {
    .head = on_head,
    .body = on_body,
    .end = on_end,
    .failed = on_failed,
};

/* --- Progress, stopping, the end
 * ------------------------------------------------------------------------- */

static void on_tick(struct stk_timer *timer)
{
    struct fetch *f = STK_CONTAINER(timer, struct fetch, tick);
    char done[TALK_SIZE_MAX], all[TALK_SIZE_MAX];

    talk_size(f->received, done);
    if (f->total > 0)
        talk_progress("%s of %s", done, talk_size(f->total, all));
    else
        talk_progress("%s", done);
    stk_timer_in(&f->tick, 250000);
}

static void on_stop(struct app *app)
{
    struct fetch *f = STK_CONTAINER(app, struct fetch, app);

    if (f->call != NULL)
        stk_http_call_cancel(f->call);
    else
        app_quit(app);
}

static void show_stats(const struct fetch *f, uint64_t took_us)
{
    const struct stats_sums sums = {
        .stack = f->stack, .received_bytes = f->received, .seconds = (double)took_us / 1e6};

    if (f->app.options.json || f->app.options.stats)
        stats_show(&f->stats, &sums, f->app.options.json);
}

static void hint_at_addresses(void)
{
    talk_hint("p2pcat http https://example.org/, or p2pcat http /ip4/127.0.0.1/tcp/8080/http/PATH");
}

static int refuse_address(const struct stk_error *error)
{
    talk_failure(error);
    if (strcmp(error->layer, "recipe") == 0)
        hint_at_addresses();
    return app_code_of_start(error);
}

static int start(struct fetch *f, const char *address)
{
    const struct stk_http_request request = {.method = f->app.options.head_only ? "HEAD" : NULL};
    const struct stk_http_client_options options = {
        .response_timeout_us = f->app.options.timeout_us,
    };
    struct stk_error error = {0};
    int status = strstr(address, "/seal") != NULL ? app_load_identity(&f->app) : 0;

    if (status != 0)
        return status;
    if (stk_http_client_new(f->app.loop, address, &options, &f->client, &error) < 0)
        return refuse_address(&error);
    if (stk_http_client_send(f->client, &request, &handler, f, &f->call, &error) < 0) {
        talk_failure(&error);
        return EXIT_OTHER;
    }
    if ((status = open_output(f)) != 0)
        return status;
    stk_timer_init(&f->tick, f->app.loop, on_tick);
    if (talk_on_terminal() && (f->app.options.output != NULL || !isatty(STDOUT_FILENO)) &&
        !f->app.options.quiet)
        stk_timer_in(&f->tick, 1000000);
    return 0;
}

int cmd_http(const struct app_options *options, int count, char **words)
{
    struct fetch f = {.out_fd = -1};
    int status;

    if (count != 1) {
        talk_error("http takes one URL or stack");
        hint_at_addresses();
        return EXIT_USAGE;
    }
    if ((status = app_refuse_for_stacks(options)) != 0 || (status = app_init(&f.app, options)) != 0)
        return status;
    f.app.stop = on_stop;

    const uint64_t begin_us = stk_loop_now_us(f.app.loop);
    if ((status = start(&f, words[0])) == 0) {
        status = app_run(&f.app);
        show_stats(&f, (f.over_us > begin_us ? f.over_us : begin_us) - begin_us);
    }
    f.call = NULL;
    if (f.client != NULL)
        stk_http_client_close(f.client);
    app_free(&f.app);
    if (f.out_fd >= 0 && close(f.out_fd) < 0 && status == 0) {
        talk_error("%s: %s", options->output, strerror(errno));
        status = EXIT_LOCAL;
    }
    return status;
}
