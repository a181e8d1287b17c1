#include "qlog.h"

#include "alloc.h"
#include "error.h"
#include "log.h"
#include "sys.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { NAMES_MAX = 1000, STAMP_MAX = 48 };

static void warn(struct ptcp_qlog *qlog, const char *what, int error)
{
    if (!qlog->warned)
        stk_log(STK_LOG_WARN, "ptcp", "qlog: %s %s: %s", qlog->path, what, stk_strerror(-error));
    qlog->warned = true;
}

/* --- Writing out ---------------------------------------------------------------------------------
 */

static void stop(struct ptcp_qlog_log *log)
{
    if (log->fd < 0)
        return;
    stk_loop_close_fd(log->qlog->loop, log->fd);
    log->fd = -1;
    log->len = 0;
    stk_list_remove(&log->unwritten);
}

static void write_out(struct ptcp_qlog_log *log)
{
    size_t done = 0;

    while (done < log->len) {
        const struct iovec iov = {log->buffer + done, log->len - done};
        const ssize_t wrote = stk_sys.writev(log->fd, &iov, 1);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            warn(log->qlog, "can't be written, so the log ends", wrote < 0 ? errno : EIO);
            stop(log);
            return;
        }
        done += (size_t)wrote;
    }
    log->bytes += log->len;
    log->len = 0;
    stk_list_remove(&log->unwritten);
}

static void write_all(struct stk_task *task)
{
    struct ptcp_qlog *qlog = STK_CONTAINER(task, struct ptcp_qlog, task);

    STK_LIST_EACH(node, &qlog->unwritten)
    {
        write_out(STK_CONTAINER(node, struct ptcp_qlog_log, unwritten));
    }
}

/* --- Records -------------------------------------------------------------------------------------
 */

static struct ptcp_json begin_record(struct ptcp_qlog_log *log)
{
    if (sizeof log->buffer - log->len < PTCP_QLOG_RECORD_MAX)
        write_out(log);
    if (log->fd < 0)
        return (struct ptcp_json){.failed = true};
    struct ptcp_json json = ptcp_json_of(log->buffer + log->len, PTCP_QLOG_RECORD_MAX);
    ptcp_json_raw(&json, "\x1e", 1);
    ptcp_json_open(&json, NULL, '{');
    return json;
}

struct ptcp_json ptcp_qlog_begin(struct ptcp_qlog_log *log, const char *name)
{
    struct ptcp_json json = begin_record(log);

    ptcp_json_ms(&json, "time", stk_loop_now_us(log->qlog->loop) - log->start_us);
    ptcp_json_text(&json, "name", name);
    ptcp_json_open(&json, "data", '{');
    return json;
}

static void close_record(struct ptcp_json *json)
{
    ptcp_json_close(json, '}');
    ptcp_json_close(json, '}');
    ptcp_json_raw(json, "\n", 1);
    assert(!json->failed);
}

static void keep_record(struct ptcp_qlog_log *log, const struct ptcp_json *json)
{
    log->len = (size_t)(json->at - log->buffer);
    if (stk_list_empty(&log->unwritten))
        stk_list_append(&log->qlog->unwritten, &log->unwritten);
    stk_task_queue(&log->qlog->task);
}

static void end_for_size(struct ptcp_qlog_log *log)
{
    struct ptcp_json json = ptcp_qlog_begin(log, "ptcp:log_ended");

    ptcp_json_text(&json, "reason", "size_limit");
    ptcp_json_number(&json, "limit_bytes", log->qlog->bytes_max);
    close_record(&json);
    keep_record(log, &json);
    write_out(log);
    stop(log);
}

void ptcp_qlog_end(struct ptcp_qlog_log *log, struct ptcp_json *json)
{
    if (log->fd < 0)
        return;
    close_record(json);
    const size_t len = (size_t)(json->at - log->buffer);
    if (log->bytes + len + PTCP_QLOG_LAST_RECORD_MAX > log->qlog->bytes_max)
        end_for_size(log);
    else
        keep_record(log, json);
}

void ptcp_qlog_close(struct ptcp_qlog_log *log)
{
    if (log->fd >= 0)
        write_out(log);
    stop(log);
    stk_free(log);
}

/* --- Files ---------------------------------------------------------------------------------------
 */

static const char *role(const struct ptcp_conn *conn)
{
    return conn->passive ? "server" : "client";
}

/* The id that both sides know: the one of the side that connects. */
static uint64_t group_id(const struct ptcp_conn *conn)
{
    return conn->passive ? conn->peer_id : conn->slot.id;
}

static const char *stamp(char text[STAMP_MAX], const char *format)
{
    struct timespec now;
    struct tm utc;
    char seconds[STAMP_MAX - 16];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(seconds, sizeof seconds, format, &utc);
    snprintf(text, STAMP_MAX, "%s.%06uZ", seconds, (unsigned)(now.tv_nsec / 1000) % 1000000);
    return text;
}

/* A name that is taken gets a number: no file is ever written to twice. */
static int create_file(const struct ptcp_qlog *qlog, const struct ptcp_conn *conn)
{
    char name[4096 + 128], base[4096 + 64], time[STAMP_MAX];
    const size_t len = strlen(qlog->path);
    int fd = -EEXIST;

    if (len > 0 && qlog->path[len - 1] == '/')
        snprintf(base, sizeof base, "%s%s-%016llx-%s.sqlog", qlog->path,
                 stamp(time, "%Y%m%dT%H%M%S"), (unsigned long long)group_id(conn), role(conn));
    else
        snprintf(base, sizeof base, "%s", qlog->path);
    snprintf(name, sizeof name, "%s", base);
    for (int i = 1; fd == -EEXIST && i <= NAMES_MAX; i++) {
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            fd = -errno;
        snprintf(name, sizeof name, "%s.%d", base, i);
    }
    return fd;
}

static void write_head(struct ptcp_qlog_log *log, const struct ptcp_conn *conn)
{
    struct ptcp_json json = begin_record(log);
    char time[STAMP_MAX];

    ptcp_json_text(&json, "file_schema", "urn:ietf:params:qlog:file:sequential");
    ptcp_json_text(&json, "serialization_format", "application/qlog+json-seq");
    ptcp_json_text(&json, "qlog_version", "0.3"); /* for readers of the drafts before 2024 */
    ptcp_json_text(&json, "qlog_format", "JSON-SEQ");
    ptcp_json_text(&json, "title", "libstack PTCP");
    ptcp_json_open(&json, "trace", '{');
    ptcp_json_open(&json, "vantage_point", '{');
    ptcp_json_text(&json, "name", "libstack");
    ptcp_json_text(&json, "type", role(conn));
    ptcp_json_close(&json, '}');
    ptcp_json_open(&json, "event_schemas", '[');
    ptcp_json_text(&json, NULL, PTCP_QLOG_EVENTS_URI);
    ptcp_json_close(&json, ']');
    ptcp_json_open(&json, "common_fields", '{');
    ptcp_json_hex(&json, "group_id", group_id(conn));
    ptcp_json_open(&json, "protocol_types", '[');
    ptcp_json_text(&json, NULL, "PTCP");
    ptcp_json_close(&json, ']');
    ptcp_json_text(&json, "time_format", "relative_to_epoch");
    ptcp_json_open(&json, "reference_time", '{');
    ptcp_json_text(&json, "clock_type", "monotonic");
    ptcp_json_text(&json, "epoch", "unknown");
    ptcp_json_text(&json, "wall_clock_time", stamp(time, "%Y-%m-%dT%H:%M:%S"));
    ptcp_json_close(&json, '}');
    ptcp_json_close(&json, '}');
    close_record(&json);
    keep_record(log, &json);
}

/* --- The writer ----------------------------------------------------------------------------------
 */

static struct ptcp_trace *begin_log(struct ptcp_tracer *tracer, const struct ptcp_conn *conn)
{
    struct ptcp_qlog *qlog = STK_CONTAINER(tracer, struct ptcp_qlog, tracer);
    struct ptcp_qlog_log *log = stk_alloc(sizeof(*log));

    if (!log)
        return NULL;
    log->trace.type = &ptcp_qlog_trace;
    log->qlog = qlog;
    log->said = (struct ptcp_qlog_said){.congestion = NULL};
    log->start_us = stk_loop_now_us(qlog->loop);
    log->bytes = log->len = 0;
    stk_list_init(&log->unwritten);
    log->fd = create_file(qlog, conn);
    if (log->fd < 0) {
        warn(qlog, "can't be written, so there is no log", -log->fd);
        stk_free(log);
        return NULL;
    }
    write_head(log, conn);
    ptcp_qlog_started(log, conn);
    return &log->trace;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *path_for(const struct stk_segment *segment)
{
    const char *from_environment = secure_getenv("STK_QLOG_DIR");

    return stk_segment_text(segment, "qlog", from_environment ? from_environment : "");
}

static uint64_t bytes_for(const struct stk_segment *segment)
{
    return stk_segment_number(segment, "qlog-max", PTCP_QLOG_BYTES_DEFAULT);
}

void ptcp_qlog_attach(struct ptcp_bridge *bridge, const struct stk_segment *segment)
{
    const char *path = path_for(segment);
    const size_t len = strlen(path);
    const bool directory = !stk_segment_text(segment, "qlog", NULL) || is_directory(path);

    if (len == 0)
        return;
    struct ptcp_qlog *qlog = stk_alloc_zero(sizeof(*qlog) + len + 2);
    if (!qlog)
        return;
    memcpy(qlog->path, path, len);
    if (directory && path[len - 1] != '/')
        qlog->path[len] = '/';
    qlog->tracer.begin = begin_log;
    qlog->loop = bridge->loop;
    qlog->bytes_max = bytes_for(segment);
    stk_list_init(&qlog->unwritten);
    stk_task_init(&qlog->task, bridge->loop, write_all);
    bridge->qlog = qlog;
    bridge->endpoint->tracer = &qlog->tracer;
}

bool ptcp_qlog_serves(const struct ptcp_qlog *qlog, const struct stk_segment *segment)
{
    const char *path = path_for(segment);
    const size_t len = strlen(path);

    if (len == 0 || !qlog)
        return len == 0 && !qlog;
    return strncmp(qlog->path, path, len) == 0 && /* a directory's has got a slash */
           (qlog->path[len] == '\0' || strcmp(qlog->path + len, "/") == 0) &&
           qlog->bytes_max == bytes_for(segment);
}

void ptcp_qlog_free(struct ptcp_qlog *qlog)
{
    if (!qlog)
        return;
    assert(stk_list_empty(&qlog->unwritten));
    stk_task_stop(&qlog->task);
    stk_free(qlog);
}
