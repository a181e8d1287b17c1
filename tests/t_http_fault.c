/* Goal: no failed allocation makes the HTTP server or client leak, hang or lie. Method: an upload,
 * a redirect, a chunked download, a listing and a range, each run once for every allocation that
 * can fail: that one alone, and that one with all that follow. */
#include "fault.h"
#include "harness.h"
#include "http.h"

#include <string.h>

enum { BODY_BYTES = 150 * 1000, TURNS_MAX = 20000, QUIET_US = 5 * 1000 * 1000 };

static uint8_t body[BODY_BYTES];

/* --- The site ------------------------------------------------------------------------------- */

/* The state of an exchange is a number: bytes received or sent so far, and one. */
static size_t count_of(const struct stk_http_exchange *x)
{
    return (size_t)(uintptr_t)stk_http_exchange_user(x);
}

static void set_count(struct stk_http_exchange *x, size_t count)
{
    stk_http_exchange_set_user(x, (void *)(uintptr_t)count);
}

static void send_on(struct stk_http_exchange *x)
{
    long sent = 1;

    while (sent > 0 && count_of(x) < BODY_BYTES) {
        sent = stk_http_write(x, body + count_of(x), BODY_BYTES - count_of(x));
        if (sent > 0)
            set_count(x, count_of(x) + (size_t)sent);
    }
    if (count_of(x) == BODY_BYTES)
        stk_http_finish(x);
}

static void site_head(struct stk_http_exchange *x, const struct stk_http_head *head)
{
    static const struct stk_http_field fields[] = {{"Location", "/download"}};

    if (strcmp(head->path, "/download") == 0) {
        stk_http_respond(x, 200, NULL, 0, STK_HTTP_CHUNKED);
        send_on(x);
    }
    if (strcmp(head->path, "/away") == 0) {
        stk_http_respond(x, 302, fields, 1, 0);
        stk_http_finish(x);
    }
}

static size_t site_body(struct stk_http_exchange *x, const uint8_t *data, size_t len)
{
    (void)data;
    set_count(x, count_of(x) + len);
    return len;
}

static void site_end(struct stk_http_exchange *x)
{
    char text[40];

    if (strcmp(stk_http_exchange_head(x)->path, "/upload") != 0)
        return;
    snprintf(text, sizeof text, "%zu", count_of(x));
    stk_http_reply(x, 200, "text/plain", text, strlen(text));
}

static const struct stk_http_handler site = {
    .head = site_head, .body = site_body, .end = site_end, .writable = send_on};

/* --- One request that may fail ---------------------------------------------------------------- */

struct world {
    struct stk_loop *loop;
    struct stk_http_server *server;
    struct stk_http_files *files;
    bool done;
    int code, status;
    size_t body_len;
    char start[16]; /* of the body */
};

static struct stk_outcome note(void *user, struct stk_outcome outcome)
{
    struct world *w = user;
    const struct stk_http_response *response = outcome.value;

    w->done = true;
    w->code = outcome.code;
    if (outcome.code == 0) {
        w->status = response->head->status;
        w->body_len = response->body_len;
        snprintf(w->start, sizeof w->start, "%s", (const char *)response->body);
    }
    stk_outcome_drop(&outcome);
    return outcome;
}

static void ask(struct world *w, const char *address, const struct stk_http_options *options)
{
    struct stk_deferred *deferred = stk_http_get(w->loop, address, options);

    w->done = deferred == NULL;
    w->code = deferred == NULL ? -ENOMEM : 0;
    if (deferred == NULL)
        return;
    if (stk_deferred_both(deferred, note, w) < 0) {
        w->done = true;
        w->code = -ENOMEM;
        stk_deferred_cancel(deferred);
    }
    stk_deferred_unref(deferred);
    for (int i = 0; i < TURNS_MAX && !w->done; i++)
        if (stk_loop_turn(w->loop, QUIET_US) <= 0)
            break;
}

static void upload(struct world *w)
{
    const struct stk_http_options options = {
        .method = "POST", .body = body, .body_len = sizeof body, .expect_continue = true};

    ask(w, "/memory/web/http/upload", &options);
    if (w->code == 0 && w->status == 200)
        CU_ASSERT_STRING_EQUAL(w->start, "150000");
}

static void download(struct world *w)
{
    const struct stk_http_options options = {.redirects = 3};

    ask(w, "/memory/web/http/away", &options);
    if (w->code == 0 && w->status == 200)
        CU_ASSERT_EQUAL(w->body_len, BODY_BYTES);
}

static void list(struct world *w)
{
    ask(w, "/memory/web/http/", NULL);
    if (w->code == 0 && w->status == 200)
        CU_ASSERT_EQUAL(strncmp(w->start, "<!DOCTYPE html>", 15), 0);
}

static void range(struct world *w)
{
    static const struct stk_http_field fields[] = {{"Range", "bytes=0-3,6-9"}};
    const struct stk_http_options options = {.fields = fields, .field_count = 1};

    ask(w, "/memory/web/http/numbers", &options);
    if (w->code == 0 && w->status == 206)
        CU_ASSERT_TRUE(w->body_len > 8);
}

/* --- Every allocation ------------------------------------------------------------------------ */

static char directory[64];

static bool open_world(struct world *w, bool files)
{
    static const struct stk_http_files_options listing = {.listing = true};
    /* A server that reads nothing sees the loss of a connection at its next tick. */
    static const struct stk_http_server_options quick = {.stall_timeout_us = 100 * 1000};
    struct stk_error error = {0};

    *w = (struct world){0};
    if (stk_loop_new(NULL, &w->loop) < 0)
        return false;
    if (files && stk_http_files_new(directory, &listing, &w->files, &error) < 0) {
        CU_ASSERT_EQUAL(error.code, -ENOMEM);
        return false;
    }
    if (stk_http_serve(w->loop, "/memory/web", files ? &stk_http_files_handler : &site, w->files,
                       &quick, &w->server, &error) < 0) {
        CU_ASSERT_EQUAL(error.code, -ENOMEM);
        return false;
    }
    return true;
}

static void close_world(struct world *w)
{
    if (w->server != NULL)
        stk_http_server_abort(w->server);
    stk_loop_free(w->loop);
    stk_http_files_free(w->files);
}

/* True if something failed. */
static bool run_with(void (*scenario)(struct world *), bool files, long n, enum fault_repeat repeat)
{
    struct world w;

    fault_heap_install();
    fault_heap_fail(n, repeat);
    if (open_world(&w, files)) {
        scenario(&w);
        CU_ASSERT_TRUE(w.done);
        if (!w.done)
            printf("\n    hangs when allocation %ld fails\n", n);
        CU_ASSERT_TRUE(fault_heap_has_failed() || (w.code == 0 && w.status / 100 == 2));
    }
    const bool failed = fault_heap_has_failed();
    fault_heap_fail(0, FAULT_ONCE);
    close_world(&w);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
    return failed;
}

static void fail_each(void (*scenario)(struct world *), bool files)
{
    for (int repeat = FAULT_ONCE; repeat <= FAULT_FROM_THEN_ON; repeat++) {
        long n = 1;

        while (run_with(scenario, files, n, (enum fault_repeat)repeat))
            n++;
        CU_ASSERT_TRUE(n > 20);
    }
}

static void an_upload_survives_it(void) { fail_each(upload, false); }
static void a_redirect_and_a_download_survive_it(void) { fail_each(download, false); }
static void a_listing_survives_it(void) { fail_each(list, true); }
static void ranges_survive_it(void) { fail_each(range, true); }

static void make_site(void)
{
    char path[100];
    FILE *file;

    snprintf(directory, sizeof directory, "/tmp/stk-http-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/numbers", directory);
    file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs("0123456789", file);
    fclose(file);
}

static void remove_site(void)
{
    char path[100];

    snprintf(path, sizeof path, "%s/numbers", directory);
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static CU_TestInfo tests[] = {
    {"(the site is made)", make_site},
    {"an upload survives any failed allocation", an_upload_survives_it},
    {"a redirect and a download survive any failed allocation",
     a_redirect_and_a_download_survive_it},
    {"a listing survives any failed allocation", a_listing_survives_it},
    {"ranges survive any failed allocation", ranges_survive_it},
    {"(the site is removed)", remove_site},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("http faults", tests)
