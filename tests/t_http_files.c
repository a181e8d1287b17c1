/* Goal: files are served with the right ranges, conditions and types, and nothing outside of the
 * root is. Method: a temporary directory, the file handler over memory, raw requests. */
#include "harness.h"
#include "http_bench.h"
#include "http_file.h"

#include <fcntl.h>
#include <sys/stat.h>

static char root[] = "/tmp/stk-http-XXXXXX";

static void write_file(const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    const struct timespec times[2] = {{784111777, 0}, {784111777, 0}};
    utimensat(AT_FDCWD, path, times, 0);
}

static void make_link(const char *target, const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    CU_ASSERT_EQUAL(symlink(target, path), 0);
}

static void make_directory(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
}

static void make_site(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
    write_file("ten.txt", "0123456789");
    write_file("empty", "");
    make_directory("sub");
    write_file("sub/index.html", "<p>index");
    make_directory("list");
    write_file("list/<&>.png", "x");
    make_link("/etc/passwd", "absolute");
    make_link("../../../../etc/passwd", "list/relative");
    make_link("../ten.txt", "list/inside");
    make_link("..", "list/up");
    make_link("loop", "loop");
    make_link("/proc/self/root", "magic");
}

static void remove_site(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", root);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* The answer to a GET with further fields; the caller frees it. */
static char *ask(const char *method, const char *target, const char *fields)
{
    const struct stk_http_files_options options = {.listing = true};
    struct stk_http_files *files;
    struct bench b;
    char request[1024];

    CU_ASSERT_EQUAL_FATAL(stk_http_files_new(root, &options, &files, NULL), 0);
    bench_begin(&b, &stk_http_files_handler, files, NULL);
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n",
             method, target, fields);
    char *got = raw_talk(&b, request);
    bench_end(&b);
    stk_http_files_free(files);
    return got;
}

static int status_of(const char *target, const char *fields)
{
    char *got = ask("GET", target, fields);
    const int status = atoi(got + 9);

    free(got);
    return status;
}

static void expect_body(const char *target, const char *fields, int status, const char *body)
{
    char *got = ask("GET", target, fields);

    CU_ASSERT_EQUAL(atoi(got + 9), status);
    CU_ASSERT_STRING_EQUAL(strstr(got, "\r\n\r\n") + 4, body);
    free(got);
}

static bool has(const char *target, const char *fields, const char *needle)
{
    char *got = ask("GET", target, fields);
    const bool found = strstr(got, needle) != NULL;

    if (!found)
        printf("\n    no %s in %s\n", needle, got);
    free(got);
    return found;
}

static void files_come_with_type_and_validators(void)
{
    expect_body("/ten.txt", "", 200, "0123456789");
    expect_body("/ten%2Etxt?query", "", 200, "0123456789");
    expect_body("/empty", "", 200, "");
    CU_ASSERT_TRUE(has("/ten.txt", "", "Content-Type: text/plain; charset=utf-8\r\n"));
    CU_ASSERT_TRUE(has("/ten.txt", "", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    CU_ASSERT_TRUE(has("/ten.txt", "", "ETag: \"a-"));
    CU_ASSERT_TRUE(has("/empty", "", "Content-Type: application/octet-stream\r\n"));
    CU_ASSERT_EQUAL(status_of("/none", ""), 404);
    CU_ASSERT_EQUAL(status_of("/ten.txt/", ""), 404);
}

static void nothing_leads_out_of_the_root(void)
{
    static const char *const escapes[] = {
        "/../etc/passwd",     "/sub/../../etc/passwd",
        "/%2e%2e/etc/passwd", "/.%2e/etc/passwd",
        "/sub%2findex.html",  "/sub/..%2f..%2fetc%2fpasswd",
        "/absolute",          "/list/relative",
        "/magic/etc/passwd",  "/loop",
        "/list/up/../../etc", "//etc/passwd",
        "/./ten.txt",         "/list/up/up",
    };

    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        CU_ASSERT_EQUAL(status_of(escapes[i], ""), 404);
    CU_ASSERT_EQUAL(status_of("/ten.txt%00", ""), 400);
    CU_ASSERT_EQUAL(status_of("/%zz", ""), 400);
    expect_body("/list/inside", "", 200, "0123456789");
}

static int walked(int at, const char *path)
{
    const int fd = http_path_walk(at, path);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static void without_openat2_nothing_leads_out_either(void)
{
    static const char *const escapes[] = {
        "../etc/passwd",   "sub/../../etc/passwd",
        "absolute",        "list/relative",
        "list/inside",     "magic/etc/passwd",
        "list/up/ten.txt", "loop",
        "list/up",         "ten.txt/",
        "sub/../ten.txt",  "none",
    };
    char name[300];
    const int at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    CU_ASSERT_TRUE_FATAL(at >= 0);
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++)
        CU_ASSERT_TRUE(walked(at, escapes[i]) < 0);
    CU_ASSERT_EQUAL(walked(at, "ten.txt"), 0);
    CU_ASSERT_EQUAL(walked(at, "sub/index.html"), 0);
    CU_ASSERT_EQUAL(walked(at, "sub//"), 0);
    CU_ASSERT_EQUAL(walked(at, ""), 0);
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CU_ASSERT_EQUAL(walked(at, name), -ENAMETOOLONG);
    close(at);
}

static void a_type_that_cannot_be_sent_is_refused(void)
{
    char type[102] = "text/";
    struct stk_http_files_options options = {.no_type = "a\nb"};
    struct stk_http_files *files;
    struct bench b;

    CU_ASSERT_EQUAL(stk_http_files_new(root, &options, &files, NULL), -EINVAL);
    memset(type + 5, 'x', 96);
    options.no_type = type;
    CU_ASSERT_EQUAL(stk_http_files_new(root, &options, &files, NULL), -EINVAL);
    type[100] = '\0';
    CU_ASSERT_EQUAL_FATAL(stk_http_files_new(root, &options, &files, NULL), 0);
    write_file("typeless", "0123456789");
    bench_begin(&b, &stk_http_files_handler, files, NULL);
    char *got = raw_talk(&b, "GET /typeless HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                             "Range: bytes=1-2,4-5\r\n\r\n");
    CU_ASSERT_EQUAL(strncmp(got, "HTTP/1.1 206 ", 13), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "xxx\r\nContent-Range: bytes 1-2/10\r\n\r\n12\r\n--"));
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "xxx\r\nContent-Range: bytes 4-5/10\r\n\r\n45\r\n--"));
    free(got);
    bench_end(&b);
    stk_http_files_free(files);
}

static void directories_have_a_slash_an_index_and_a_listing(void)
{
    CU_ASSERT_TRUE(has("/sub?a=b", "", "Location: /sub/?a=b\r\n"));
    CU_ASSERT_TRUE(has("//sub", "", "Location: /sub/\r\n"));
    expect_body("/sub/", "", 200, "<p>index");
    CU_ASSERT_TRUE(has("/list/", "", "<a href=\"./%3C%26%3E.png\">&lt;&amp;&gt;.png</a>"));
    CU_ASSERT_TRUE(has("/", "", "<a href=\"./sub/\">sub/</a>"));
}

static void ranges_are_cut_joined_or_refused(void)
{
    expect_body("/ten.txt", "Range: bytes=2-4\r\n", 206, "234");
    expect_body("/ten.txt", "Range: bytes=7-\r\n", 206, "789");
    expect_body("/ten.txt", "Range: bytes=-3\r\n", 206, "789");
    expect_body("/ten.txt", "Range: bytes=-99\r\n", 206, "0123456789");
    expect_body("/ten.txt", "Range: bytes=8-99\r\n", 206, "89");
    expect_body("/ten.txt", "Range: lines=1-2\r\n", 200, "0123456789");
    expect_body("/ten.txt", "Range: bytes=4-2\r\n", 200, "0123456789");
    expect_body("/ten.txt", "Range: bytes=x\r\n", 200, "0123456789");
    expect_body("/ten.txt", "Range: bytes=0-9,0-9\r\n", 200, "0123456789");
    CU_ASSERT_TRUE(has("/ten.txt", "Range: bytes=2-4\r\n", "Content-Range: bytes 2-4/10\r\n"));
    CU_ASSERT_TRUE(has("/ten.txt", "Range: bytes=10-\r\n", "Content-Range: bytes */10\r\n"));
    CU_ASSERT_EQUAL(status_of("/ten.txt", "Range: bytes=10-\r\n"), 416);
    CU_ASSERT_EQUAL(status_of("/empty", "Range: bytes=0-0\r\n"), 416);
    CU_ASSERT_EQUAL(status_of("/ten.txt", "Range: bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,"
                                          "0-0,0-0,0-0,0-0,0-0,0-0,0-0\r\n"),
                    200);
}

static void several_ranges_come_in_parts_of_the_promised_length(void)
{
    char *got = ask("GET", "/ten.txt", "Range: bytes=0-1,5-6\r\n");
    const char *body = strstr(got, "\r\n\r\n") + 4;
    const char *length = strstr(got, "Content-Length: ");

    CU_ASSERT_EQUAL(atoi(got + 9), 206);
    CU_ASSERT_EQUAL(strtoul(length + 16, NULL, 10), strlen(body));
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "Content-Type: multipart/byteranges; boundary="));
    CU_ASSERT_PTR_NOT_NULL(strstr(body, "Content-Range: bytes 0-1/10\r\n\r\n01\r\n--"));
    CU_ASSERT_PTR_NOT_NULL(strstr(body, "Content-Range: bytes 5-6/10\r\n\r\n56\r\n--"));
    free(got);
}

static void conditions_are_met_in_the_order_of_the_standard(void)
{
    static const char since[] = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    static const char old[] = "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n";
    static const char unmodified[] = "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n";
    char *got = ask("HEAD", "/ten.txt", ""), *tag = strstr(got, "ETag: ") + 6;
    char fields[300];

    *strchr(tag, '\r') = '\0';
    CU_ASSERT_EQUAL(status_of("/ten.txt", since), 304);
    CU_ASSERT_EQUAL(status_of("/ten.txt", old), 200);
    CU_ASSERT_EQUAL(status_of("/ten.txt", unmodified), 412);
    snprintf(fields, sizeof fields, "If-None-Match: \"x\", W/%s\r\n", tag);
    CU_ASSERT_EQUAL(status_of("/ten.txt", fields), 304);
    snprintf(fields, sizeof fields, "If-None-Match: \"x\"\r\n%s", since);
    CU_ASSERT_EQUAL(status_of("/ten.txt", fields), 200);
    snprintf(fields, sizeof fields, "If-Match: W/%s\r\n", tag);
    CU_ASSERT_EQUAL(status_of("/ten.txt", fields), 412);
    snprintf(fields, sizeof fields, "If-Match: %s\r\n%s", tag, unmodified);
    CU_ASSERT_EQUAL(status_of("/ten.txt", fields), 200);
    snprintf(fields, sizeof fields, "Range: bytes=0-0\r\nIf-Range: %s\r\n", tag);
    expect_body("/ten.txt", fields, 206, "0");
    expect_body("/ten.txt", "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n", 200, "0123456789");
    CU_ASSERT_EQUAL(status_of("/ten.txt", "If-None-Match: *\r\n"), 304);
    free(got);
}

static void other_methods_are_told_which_ones_there_are(void)
{
    char *got = ask("DELETE", "/ten.txt", "");

    CU_ASSERT_EQUAL(atoi(got + 9), 405);
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "Allow: GET, HEAD, OPTIONS\r\n"));
    free(got);
    got = ask("HEAD", "/ten.txt", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(got, "Content-Length: 10\r\n"));
    CU_ASSERT_STRING_EQUAL(strstr(got, "\r\n\r\n"), "\r\n\r\n");
    free(got);
}

/* Whoever allows long targets gets long places to be sent to, and some that no head has room for.
 */
static void a_redirect_that_is_too_long_is_answered_all_the_same(void)
{
    const struct stk_http_server_options limits = {
        .limits = {.header_bytes = 1 << 16, .target_bytes = 1 << 15}};
    static char request[1 << 15];
    struct stk_http_files *files;

    for (int len = 15000; len < 17000; len += 100) {
        struct bench b;

        CU_ASSERT_EQUAL_FATAL(stk_http_files_new(root, NULL, &files, NULL), 0);
        bench_begin(&b, &stk_http_files_handler, files, &limits);
        snprintf(request, sizeof request,
                 "GET /sub?%0*d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", len, 0);
        char *got = raw_talk(&b, request);
        const int status = got != NULL && strlen(got) > 12 ? atoi(got + 9) : 0;
        CU_ASSERT_TRUE(status == 301 || status == 414);
        bench_end(&b);
        stk_http_files_free(files);
        free(got);
    }
}

static CU_TestInfo tests[] = {
    {"(the site is made)", make_site},
    {"files come with type and validators", files_come_with_type_and_validators},
    {"nothing leads out of the root", nothing_leads_out_of_the_root},
    {"without openat2 nothing leads out either", without_openat2_nothing_leads_out_either},
    {"a type that can't be sent is refused", a_type_that_cannot_be_sent_is_refused},
    {"a redirect that is too long is answered all the same",
     a_redirect_that_is_too_long_is_answered_all_the_same},
    {"directories have a slash, an index and a listing",
     directories_have_a_slash_an_index_and_a_listing},
    {"ranges are cut, joined or refused", ranges_are_cut_joined_or_refused},
    {"several ranges come in parts of the promised length",
     several_ranges_come_in_parts_of_the_promised_length},
    {"conditions are met in the order of the standard",
     conditions_are_met_in_the_order_of_the_standard},
    {"other methods are told which ones there are", other_methods_are_told_which_ones_there_are},
    {"(the site is removed)", remove_site},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("http files", tests)
