/* Goal: messages are read strictly, and the same however their bytes are cut. Method: each case
 * is fed whole, byte by byte and in seeded random pieces, with bodies taken in part. */
#include "harness.h"
#include "http_reader.h"
#include "http_traces.h"

#include <string.h>

enum { ROUNDS = 24 };

struct trace {
    char text[4096];
    size_t len;
};

static void add(struct trace *trace, const char *text, size_t len)
{
    if (trace->len + len >= sizeof trace->text)
        return;
    memcpy(trace->text + trace->len, text, len);
    trace->text[trace->len += len] = '\0';
}

static void add_head(struct trace *trace, const struct stk_http_head *head)
{
    char text[512];

    if (head->method != NULL)
        snprintf(text, sizeof text, "%s %s 1.%d", head->method, head->path, head->minor);
    else
        snprintf(text, sizeof text, "%d", head->status);
    add(trace, text, strlen(text));
}

static void add_error(struct trace *trace, const struct http_reader *reader)
{
    char text[16];

    snprintf(text, sizeof text, "!%d", reader->status);
    add(trace, text, strlen(text));
}

/* How to cut: 0 gives everything at once, 1 single bytes, others random pieces. */
static size_t piece(struct stk_prng *prng, int round, size_t left)
{
    if (round == 0)
        return left;
    return round == 1 ? 1 : 1 + (size_t)stk_prng_below(prng, left < 20 ? left : 20);
}

struct run {
    struct http_reader reader;
    struct trace trace;
    struct stk_prng prng;
    int round;
    bool in_body;
};

/* Handles what `data` gives; returns the bytes that are used. */
static size_t drive(struct run *run, const uint8_t *data, size_t len)
{
    size_t at = 0;

    for (;;) {
        size_t used, body_len;
        const enum http_event event =
            http_reader_next(&run->reader, data + at, len - at, &used, &body_len);

        at += used;
        if (event == HTTP_EVENT_HEAD) {
            add_head(&run->trace, &run->reader.head);
        } else if (event == HTTP_EVENT_BODY) {
            const size_t take =
                run->round < 2 ? body_len : 1 + (size_t)stk_prng_below(&run->prng, body_len);

            if (!run->in_body)
                add(&run->trace, "+", 1);
            run->in_body = true;
            add(&run->trace, (const char *)data + at, take);
            http_reader_took(&run->reader, data + at, take);
            at += take;
        } else if (event == HTTP_EVENT_END) {
            run->in_body = false;
            add(&run->trace, ".", 1);
            http_reader_restart(&run->reader);
        } else {
            return at;
        }
    }
}

static void trace_of(const struct trace_case *c, bool response, int round, char out[4096])
{
    const size_t len = strlen(c->input);
    size_t start = 0, end = 0;
    struct run run = {.round = round};
    /* A block of just that size, so that a sanitizer sees every read beyond it. */
    uint8_t *copy = malloc(len);

    memcpy(copy, c->input, len);
    stk_prng_seed(&run.prng, (uint64_t)round);
    http_reader_init(&run.reader, response, &(struct stk_http_limits){0});
    while (run.reader.state != HTTP_READ_FAILED && end < len) {
        end += piece(&run.prng, round, len - end);
        start += drive(&run, copy + start, end - start);
    }
    if (run.reader.state != HTTP_READ_FAILED) {
        const enum http_event event = http_reader_eof(&run.reader);
        if (event == HTTP_EVENT_END)
            add(&run.trace, ".", 1);
    }
    if (run.reader.state == HTTP_READ_FAILED)
        add_error(&run.trace, &run.reader);
    http_reader_free(&run.reader);
    free(copy);
    memcpy(out, run.trace.text, sizeof run.trace.text);
}

static void check(const struct trace_case *cases, size_t count, bool response)
{
    char trace[4096];

    for (size_t i = 0; i < count; i++)
        for (int round = 0; round < ROUNDS; round++) {
            trace_of(&cases[i], response, round, trace);
            CU_ASSERT_STRING_EQUAL(trace, cases[i].trace);
            if (strcmp(trace, cases[i].trace) != 0) {
                printf("\n    %s, cut with seed %d: %s instead of %s\n", cases[i].name, round,
                       trace, cases[i].trace);
                break;
            }
        }
}

static void requests_are_read_strictly_however_they_are_cut(void)
{
    check(request_cases, sizeof request_cases / sizeof *request_cases, false);
}

static void responses_are_read_strictly_however_they_are_cut(void)
{
    check(response_cases, sizeof response_cases / sizeof *response_cases, true);
}

/* --- Zero bytes, which the tables can't hold
 * ------------------------------------------------------------ */

static int status_of(const char *data, size_t len, const struct stk_http_limits *limits)
{
    struct http_reader reader;
    size_t used, body_len;

    http_reader_init(&reader, false, limits);
    while (len > 0) {
        const enum http_event event =
            http_reader_next(&reader, (const uint8_t *)data, len, &used, &body_len);

        data += used;
        len -= used;
        if (event == HTTP_EVENT_BODY) {
            http_reader_took(&reader, (const uint8_t *)data, body_len);
            data += body_len;
            len -= body_len;
        } else if (event == HTTP_EVENT_ERROR || (event == HTTP_EVENT_MORE && used == 0)) {
            break;
        }
    }
    const int status = reader.status;
    http_reader_free(&reader);
    return status;
}

static void a_zero_byte_is_refused_everywhere(void)
{
    static const char in_target[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char in_value[] = "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n";
    const struct stk_http_limits limits = {0};

    CU_ASSERT_EQUAL(status_of(in_target, sizeof in_target - 1, &limits), 400);
    CU_ASSERT_EQUAL(status_of(in_value, sizeof in_value - 1, &limits), 400);
}

/* --- Limits
 * ------------------------------------------------------------------------------------------------
 */

static void a_long_target_is_414_before_its_line_ends(void)
{
    static char text[9000] = "GET /";

    memset(text + 5, 'x', sizeof text - 5);
    CU_ASSERT_EQUAL(status_of(text, sizeof text, &(struct stk_http_limits){0}), 414);
    CU_ASSERT_EQUAL(status_of(text, 8000, &(struct stk_http_limits){0}), 0);
}

static void a_long_head_is_431_before_it_ends(void)
{
    static char text[17000] = "GET / HTTP/1.1\r\nX: ";

    memset(text + 19, 'x', sizeof text - 19);
    CU_ASSERT_EQUAL(status_of(text, sizeof text, &(struct stk_http_limits){0}), 431);
    CU_ASSERT_EQUAL(status_of(text, 16384, &(struct stk_http_limits){0}), 0);
}

static void too_many_fields_are_431(void)
{
    char text[2048] = "GET / HTTP/1.1\r\nHost: a\r\n";

    for (int i = 0; i < 9; i++)
        strcat(text, "X: y\r\n");
    const struct stk_http_limits ten = {.header_count = 10}, nine = {.header_count = 9};
    CU_ASSERT_EQUAL(status_of(text, strlen(text), &ten), 0);
    CU_ASSERT_EQUAL(status_of(text, strlen(text), &nine), 431);
}

static void a_long_body_is_413_in_both_framings(void)
{
    static const char fixed[] =
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n12345678901";
    static const char chunks[] = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "6\r\n123456\r\n5\r\n12345\r\n0\r\n\r\n";
    const struct stk_http_limits eleven = {.body_bytes = 11}, ten = {.body_bytes = 10};

    CU_ASSERT_EQUAL(status_of(fixed, sizeof fixed - 1, &eleven), 0);
    CU_ASSERT_EQUAL(status_of(fixed, sizeof fixed - 1, &ten), 413);
    CU_ASSERT_EQUAL(status_of(chunks, sizeof chunks - 1, &eleven), 0);
    CU_ASSERT_EQUAL(status_of(chunks, sizeof chunks - 1, &ten), 413);
}

static void endless_extensions_and_trailers_end(void)
{
    static char text[40000] = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    const size_t head = strlen(text);

    snprintf(text + head, 4, "1;x");
    memset(text + head + 3, 'x', 30000);
    CU_ASSERT_EQUAL(status_of(text, head + 30000, &(struct stk_http_limits){0}), 400);
    snprintf(text + head, 7, "0\r\nX: ");
    memset(text + head + 6, 'x', 30000);
    CU_ASSERT_EQUAL(status_of(text, head + 30000, &(struct stk_http_limits){0}), 431);
}

static void the_answer_to_head_has_no_body(void)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    struct http_reader reader;
    size_t used, body_len;

    http_reader_init(&reader, true, &(struct stk_http_limits){0});
    reader.to_head = true;
    CU_ASSERT_EQUAL(
        http_reader_next(&reader, (const uint8_t *)text, sizeof text - 1, &used, &body_len),
        HTTP_EVENT_HEAD);
    CU_ASSERT_EQUAL(reader.head.content_length, 5);
    CU_ASSERT_EQUAL(http_reader_next(&reader, NULL, 0, &used, &body_len), HTTP_EVENT_END);
    http_reader_free(&reader);
}

/* --- Fields
 * ---------------------------------------------------------------------------------------------------
 */

static void fields_are_found_in_any_case_and_lists_are_split(void)
{
    const struct stk_http_field fields[] = {
        {"Connection", "keep-alive , \"a, b\""}, {"connection", "Upgrade"}, {"X", "y"}};
    const struct stk_http_head head = {.fields = fields, .field_count = 3};

    CU_ASSERT_STRING_EQUAL(stk_http_head_get(&head, "x"), "y");
    CU_ASSERT_PTR_NULL(stk_http_head_get(&head, "z"));
    CU_ASSERT_TRUE(stk_http_head_has(&head, "CONNECTION", "upgrade"));
    CU_ASSERT_TRUE(stk_http_head_has(&head, "Connection", "keep-alive"));
    CU_ASSERT_FALSE(stk_http_head_has(&head, "Connection", "b"));
    CU_ASSERT_FALSE(stk_http_head_has(&head, "Connection", "keep"));
}

static void dates_in_all_three_forms_are_read_and_written_back(void)
{
    char text[STK_HTTP_DATE_MAX];

    CU_ASSERT_EQUAL(stk_http_date_parse("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    CU_ASSERT_EQUAL(stk_http_date_parse("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    CU_ASSERT_EQUAL(stk_http_date_parse("Sun Nov  6 08:49:37 1994"), 784111777);
    CU_ASSERT_EQUAL(stk_http_date_parse("Thu, 29 Feb 2024 23:59:59 GMT"), 1709251199);
    CU_ASSERT_STRING_EQUAL(stk_http_date_format(784111777, text), "Sun, 06 Nov 1994 08:49:37 GMT");
    CU_ASSERT_EQUAL(stk_http_date_parse("yesterday"), -1);
    CU_ASSERT_EQUAL(stk_http_date_parse("Sun, 06 Nov 1994 08:49:37 PST"), -1);
    CU_ASSERT_EQUAL(stk_http_date_parse("Sun, 06 Nov 1994 28:49:37 GMT"), -1);
}

static CU_TestInfo tests[] = {
    {"requests are read strictly however they are cut",
     requests_are_read_strictly_however_they_are_cut},
    {"responses are read strictly however they are cut",
     responses_are_read_strictly_however_they_are_cut},
    {"a zero byte is refused everywhere", a_zero_byte_is_refused_everywhere},
    {"a long target is 414 before its line ends", a_long_target_is_414_before_its_line_ends},
    {"a long head is 431 before it ends", a_long_head_is_431_before_it_ends},
    {"too many fields are 431", too_many_fields_are_431},
    {"a long body is 413 in both framings", a_long_body_is_413_in_both_framings},
    {"endless extensions and trailers end", endless_extensions_and_trailers_end},
    {"the answer to HEAD has no body", the_answer_to_head_has_no_body},
    {"fields are found in any case and lists are split",
     fields_are_found_in_any_case_and_lists_are_split},
    {"dates in all three forms are read and written back",
     dates_in_all_three_forms_are_read_and_written_back},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("http reader", tests)
