#include "http_file.h"

#include "http_reader.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 64 * 1024, /* read in one turn, so that others get theirs */
    TYPE_MAX = 100,          /* so that the head of a part fits into `between` */
    LISTING_PATHS = 2 * HTTP_PATH_MAX,
};

struct stk_http_files {
    int root;
    struct stk_http_files_options options;
};

/* One response that is on its way: a whole file, a range, or several with heads between them. */
struct transfer {
    struct stk_http_exchange *exchange;
    struct stk_task task; /* goes on in the next turn */
    int fd;
    struct http_range ranges[HTTP_RANGES_MAX];
    int count, index;
    uint64_t at;       /* in the file */
    char between[256]; /* a part's head, or what ends the last one */
    size_t between_len, between_sent;
    uint64_t size; /* of the file */
    const char *type;
    char boundary[33]; /* "": one part, without heads */
};

/* --- Sending
 * --------------------------------------------------------------------------------------- */

static void free_transfer(struct transfer *t)
{
    stk_task_stop(&t->task);
    stk_sys.close(t->fd);
    stk_free(t);
}

static int part_head(const struct transfer *t, int index, char *out, size_t size)
{
    if (index == t->count)
        return snprintf(out, size, "\r\n--%s--\r\n", t->boundary);
    return snprintf(
        out, size, "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
        index > 0 ? "\r\n" : "", t->boundary, t->type, (unsigned long long)t->ranges[index].first,
        (unsigned long long)t->ranges[index].last, (unsigned long long)t->size);
}

static void begin_part(struct transfer *t)
{
    t->between_len = t->between_sent = 0;
    if (t->boundary[0] != '\0')
        t->between_len = (size_t)part_head(t, t->index, t->between, sizeof t->between);
    if (t->index < t->count)
        t->at = t->ranges[t->index].first;
}

/* True if all of it is on its way. */
static bool send_between(struct transfer *t)
{
    while (t->between_sent < t->between_len) {
        const long sent = stk_http_write(t->exchange, t->between + t->between_sent,
                                         t->between_len - t->between_sent);
        if (sent <= 0)
            return false;
        t->between_sent += (size_t)sent;
    }
    return true;
}

/* Reads one piece at its place. A file that shrank, or can't be read, ends the connection. */
static long read_piece(struct transfer *t, void *piece, size_t len)
{
    const struct iovec iov = {piece, len};

    if (lseek(t->fd, (off_t)t->at, SEEK_SET) < 0)
        return -errno;
    const ssize_t got = stk_sys.readv(t->fd, &iov, 1);
    return got < 0 ? -errno : got == 0 ? STK_ETRUNCATED : got;
}

static void send_piece(struct transfer *t)
{
    const uint64_t left = t->ranges[t->index].last - t->at + 1;
    uint8_t piece[PIECE_BYTES];
    const long got = read_piece(t, piece, left < sizeof piece ? (size_t)left : sizeof piece);

    if (got < 0) {
        stk_http_break(t->exchange);
        return;
    }
    const long sent = stk_http_write(t->exchange, piece, (size_t)got);
    if (sent > 0)
        t->at += (uint64_t)sent;
    if (t->at > t->ranges[t->index].last) {
        t->index++;
        begin_part(t);
    }
    /* A short write is followed by writable(); an error by gone(). */
    if (sent == got)
        stk_task_queue(&t->task);
}

static void send_on(struct transfer *t)
{
    if (!send_between(t))
        return;
    if (t->index < t->count)
        send_piece(t);
    else
        stk_http_finish(t->exchange);
}

static void task_runs(struct stk_task *task)
{
    send_on(STK_CONTAINER(task, struct transfer, task));
}

/* --- The head of a response
 * -------------------------------------------------------------------------- */

struct fields {
    struct stk_http_field list[8];
    int count;
};

static void add(struct fields *fields, const char *name, const char *value)
{
    assert(fields->count < 8);
    fields->list[fields->count++] = (struct stk_http_field){name, value};
}

static uint64_t multipart_len(const struct transfer *t)
{
    char head[256];
    uint64_t total = 0;

    for (int i = 0; i <= t->count; i++)
        total += (uint64_t)part_head(t, i, head, sizeof head);
    for (int i = 0; i < t->count; i++)
        total += t->ranges[i].last - t->ranges[i].first + 1;
    return total;
}

static void make_boundary(struct transfer *t)
{
    uint8_t random[16];

    stk_loop_random(t->task.loop, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(t->boundary + 2 * i, 3, "%02x", random[i]);
}

static void reply_unsatisfiable(struct transfer *t)
{
    struct fields fields = {.count = 0};
    char range[48];

    snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)t->size);
    add(&fields, "Content-Range", range);
    stk_http_respond(t->exchange, 416, fields.list, fields.count, 0);
    stk_http_finish(t->exchange);
}

/* Fills in the ranges: 200, 206, or 416. */
static int choose_ranges(struct transfer *t, const struct stk_http_head *head,
                         const struct http_validators *validators)
{
    const char *text = stk_http_head_get(head, "Range");
    int count = 0;

    if (text != NULL && strcmp(head->method, "GET") == 0 &&
        http_condition_if_range(head, validators))
        count = http_range_parse(text, t->size, t->ranges);
    if (count < 0)
        return 416;
    t->count = count;
    if (count == 0 && t->size > 0) {
        t->ranges[0] = (struct http_range){0, t->size - 1};
        t->count = 1;
    }
    return count == 0 ? 200 : 206;
}

static void begin_response(struct transfer *t, int status, const struct http_validators *validators)
{
    struct fields fields = {.count = 0};
    char modified[STK_HTTP_DATE_MAX], range[80], type[96];
    uint64_t len = t->count > 0 ? t->ranges[0].last - t->ranges[0].first + 1 : 0;

    if (status == 206 && t->count > 1) {
        make_boundary(t);
        snprintf(type, sizeof type, "multipart/byteranges; boundary=%s", t->boundary);
        len = multipart_len(t);
    } else if (status == 206) {
        snprintf(range, sizeof range, "bytes %llu-%llu/%llu",
                 (unsigned long long)t->ranges[0].first, (unsigned long long)t->ranges[0].last,
                 (unsigned long long)t->size);
        add(&fields, "Content-Range", range);
    }
    add(&fields, "Content-Type", t->boundary[0] ? type : t->type);
    add(&fields, "ETag", validators->etag);
    add(&fields, "Last-Modified", stk_http_date_format(validators->modified_s, modified));
    add(&fields, "Accept-Ranges", "bytes");
    add(&fields, "X-Content-Type-Options", "nosniff");
    begin_part(t);
    if (stk_http_respond(t->exchange, status, fields.list, fields.count, (int64_t)len) < 0) {
        stk_http_reply_error(t->exchange, 500, NULL);
        return;
    }
    if (strcmp(stk_http_exchange_head(t->exchange)->method, "HEAD") == 0)
        stk_http_finish(t->exchange);
    else
        send_on(t);
}

static void reply_unchanged(struct stk_http_exchange *x, int status,
                            const struct http_validators *validators)
{
    struct fields fields = {.count = 0};
    char modified[STK_HTTP_DATE_MAX];

    if (status == 412) {
        stk_http_reply_error(x, 412, NULL);
        return;
    }
    add(&fields, "ETag", validators->etag);
    add(&fields, "Last-Modified", stk_http_date_format(validators->modified_s, modified));
    stk_http_respond(x, 304, fields.list, fields.count, 0);
    stk_http_finish(x);
}

/* --- Files
 * ---------------------------------------------------------------------------------------------- */

/* Takes over `fd`. */
static void send_file(struct stk_http_exchange *x, const struct stk_http_files *files, int fd,
                      const struct stat *status, const char *path)
{
    const struct stk_http_head *head = stk_http_exchange_head(x);
    const char *type = stk_http_mime_type(path);
    struct http_validators validators;
    struct transfer *t;

    http_validators_of(status, &validators);
    const int condition = http_condition_check(head, &validators);
    if (condition != 0 || (t = stk_alloc_zero(sizeof *t)) == NULL) {
        stk_sys.close(fd);
        if (condition != 0)
            reply_unchanged(x, condition, &validators);
        else
            stk_http_reply_error(x, 503, NULL);
        return;
    }
    t->exchange = x;
    t->fd = fd;
    t->size = (uint64_t)status->st_size;
    t->type = type ? type : files->options.no_type;
    stk_task_init(&t->task, stk_conn_loop(stk_http_exchange_conn(x)), task_runs);
    stk_http_exchange_set_user(x, t);
    const int result = choose_ranges(t, head, &validators);
    if (result == 416)
        reply_unsatisfiable(t);
    else
        begin_response(t, result, &validators);
}

/* --- Directories
 * ------------------------------------------------------------------------------------------ */

/* The same path with a slash behind it. One slash in front: two would name another host. */
static void redirect_to_slash(struct stk_http_exchange *x, const char *target)
{
    const size_t path_len = strcspn(target, "?");
    const size_t skip = strspn(target, "/");
    char location[LISTING_PATHS * 2];

    const int len = snprintf(location, sizeof location, "/%.*s/%s", (int)(path_len - skip),
                             target + skip, target + path_len);
    const struct stk_http_field fields[] = {{"Location", location}};
    if (len >= (int)sizeof location || stk_http_respond(x, 301, fields, 1, 0) < 0)
        stk_http_reply_error(x, 414, NULL);
    else
        stk_http_finish(x);
}

static void send_listing(struct stk_http_exchange *x, int fd, const char *path)
{
    size_t len;
    char *page = http_listing_new(fd, path, &len);

    if (page == NULL || stk_http_reply(x, 200, "text/html; charset=utf-8", page, len) < 0)
        stk_http_reply_error(x, 503, NULL);
    stk_free(page);
}

/* Takes over `fd`, which is the directory's. */
static void send_directory(struct stk_http_exchange *x, const struct stk_http_files *files, int fd,
                           const char *path)
{
    const char *target = stk_http_exchange_head(x)->path;
    char index[HTTP_PATH_MAX + 256];
    struct stat status;

    if (target[strcspn(target, "?") - 1] != '/') {
        stk_sys.close(fd);
        redirect_to_slash(x, target);
        return;
    }
    snprintf(index, sizeof index, "%s%s", path, files->options.index);
    const int file = http_path_open(files->root, index);
    if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
        stk_sys.close(fd);
        send_file(x, files, file, &status, index);
        return;
    }
    if (file >= 0)
        stk_sys.close(file);
    if (files->options.listing) {
        send_listing(x, fd, path);
        return;
    }
    stk_sys.close(fd);
    stk_http_reply_error(x, 403, "there is no index here");
}

/* --- The handler
 * --------------------------------------------------------------------------------------------- */

static int status_for(int failure)
{
    switch (failure) {
    case -EACCES:
    case -EPERM:
        return 403;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN: /* somebody renames directories while the kernel resolves */
        return 503;
    case -EIO:
        return 500;
    default:
        return 404;
    }
}

static void serve_path(struct stk_http_exchange *x, const struct stk_http_files *files,
                       const char *path)
{
    struct stat status;
    const int fd = http_path_open(files->root, path);

    if (fd < 0) {
        stk_http_reply_error(x, status_for(fd), NULL);
    } else if (fstat(fd, &status) < 0) {
        stk_sys.close(fd);
        stk_http_reply_error(x, 500, NULL);
    } else if (S_ISDIR(status.st_mode)) {
        send_directory(x, files, fd, path);
    } else if (S_ISREG(status.st_mode)) {
        send_file(x, files, fd, &status, path);
    } else {
        stk_sys.close(fd); /* pipes and devices are no pages */
        stk_http_reply_error(x, 404, NULL);
    }
}

static void refuse_method(struct stk_http_exchange *x, int status)
{
    const struct stk_http_field fields[] = {{"Allow", "GET, HEAD, OPTIONS"}};

    stk_http_respond(x, status, fields, 1, 0);
    stk_http_finish(x);
}

static void files_head(struct stk_http_exchange *x, const struct stk_http_head *head)
{
    const struct stk_http_files *files = stk_http_server_user(stk_http_exchange_server(x));
    char path[HTTP_PATH_MAX];

    if (strcmp(head->method, "OPTIONS") == 0) {
        refuse_method(x, 204);
    } else if (strcmp(head->method, "CONNECT") == 0) {
        stk_http_reply_error(x, 501, NULL);
    } else if (strcmp(head->method, "GET") != 0 && strcmp(head->method, "HEAD") != 0) {
        refuse_method(x, 405);
    } else {
        const int status = http_path_decode(head->path, path);

        if (status != 0)
            stk_http_reply_error(x, status, NULL);
        else
            serve_path(x, files, path);
    }
}

static void files_writable(struct stk_http_exchange *x)
{
    struct transfer *t = stk_http_exchange_user(x);

    if (t != NULL)
        send_on(t);
}

static void files_gone(struct stk_http_exchange *x, bool complete)
{
    struct transfer *t = stk_http_exchange_user(x);

    (void)complete;
    if (t != NULL)
        free_transfer(t);
}

const struct stk_http_handler stk_http_files_handler = {
    .head = files_head,
    .writable = files_writable,
    .gone = files_gone,
};

int stk_http_files_new(const char *directory, const struct stk_http_files_options *options,
                       struct stk_http_files **out, struct stk_error *error)
{
    const char *no_type = options != NULL ? options->no_type : NULL;

    if (no_type != NULL && (strlen(no_type) > TYPE_MAX || !http_is_field_value(no_type)))
        return stk_error_set(error, -EINVAL, "http", "\"%.40s\" can't be sent as a type", no_type);
    struct stk_http_files *files = stk_alloc_zero(sizeof *files);
    if (files == NULL)
        return stk_error_set(error, -ENOMEM, "http", "out of memory");
    files->root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (files->root < 0) {
        const int failure = -errno;

        stk_free(files);
        return stk_error_set(error, failure, "http", "%.100s can't be opened: %s", directory,
                             stk_strerror(failure));
    }
    if (options != NULL)
        files->options = *options;
    if (files->options.index == NULL)
        files->options.index = "index.html";
    if (files->options.no_type == NULL)
        files->options.no_type = "application/octet-stream";
    *out = files;
    return 0;
}

void stk_http_files_free(struct stk_http_files *files)
{
    if (files == NULL)
        return;
    stk_sys.close(files->root);
    stk_free(files);
}
