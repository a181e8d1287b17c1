/*
 * Three requests at once; when all have answered, the words of their pages are counted and added.
 *
 *   three_requests http://127.0.0.1:8080/a http://127.0.0.1:8080/b http://127.0.0.1:8080/c
 */
#include "http.h"

#include <ctype.h>
#include <stdio.h>

enum { REQUESTS = 3 };

static int exit_status = 1;

static size_t count_words(const struct stk_http_response *page)
{
    size_t words = 0;
    bool inside = false;

    for (size_t i = 0; i < page->body_len; i++) {
        const bool space = isspace(page->body[i]);

        words += inside && space;
        inside = !space;
    }
    return words + inside;
}

static struct stk_outcome add_up(void *user, struct stk_outcome all)
{
    void **pages = all.value;
    size_t words = 0;

    (void)user;
    for (int i = 0; i < REQUESTS; i++)
        words += count_words(pages[i]);
    printf("%zu words\n", words);
    exit_status = 0;
    return all; /* whoever comes last frees it */
}

static struct stk_outcome complain(void *user, struct stk_outcome failure)
{
    (void)user;
    fprintf(stderr, "three_requests: %s: %s\n", failure.error.layer, failure.error.text);
    return stk_outcome_value(NULL, NULL);
}

int main(int argc, char **argv)
{
    const struct stk_http_options options = {.redirects = 5, .timeout_us = 30 * 1000 * 1000};
    struct stk_deferred *pages[REQUESTS], *all;
    struct stk_loop *loop;

    if (argc != 1 + REQUESTS) {
        fprintf(stderr, "usage: three_requests URL URL URL\n");
        return 2;
    }
    if (stk_loop_new(NULL, &loop) < 0)
        return 1;
    for (int i = 0; i < REQUESTS; i++)
        pages[i] = stk_http_get(loop, argv[1 + i], &options);
    all = stk_deferred_all(loop, pages, REQUESTS);
    stk_deferred_then(all, add_up, NULL);
    stk_deferred_catch(all, complain, NULL);
    stk_deferred_unref(all);
    stk_loop_run(loop);
    stk_loop_free(loop);
    return exit_status;
}
