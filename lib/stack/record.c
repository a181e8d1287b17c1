/*
 * The record layer: writes what passes at its height to a file, as text or as pcapng with made-up
 * TCP/IP headers, so that Wireshark follows the streams. Recording never fails a connection: when
 * the file can't be written it stops and says so in the log.
 */
#include "capture.h"
#include "clip.h"
#include "iov.h"
#include "layer.h"
#include "wrappers.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct record_file {
    FILE *file;
    const struct capture_format *format;
    unsigned connections; /* so far: names them apart */
    bool stopped;         /* it could not be written, and that was said */
};

struct record {
    struct stk_layer layer;
    struct capture capture;
};

static struct record *record_of(struct stk_layer *layer) { return (struct record *)layer; }

/* --- The file -----------------------------------------------------------------------------------
 */

static int record_prepare(const struct stk_segment *segment, bool listening, void **shared,
                          struct stk_error *error)
{
    const char *path = stk_segment_text(segment, "file", NULL);
    const char *format = stk_segment_text(segment, "format", "hex");

    (void)listening;
    if (path == NULL)
        return stk_error_set(error, STK_ESYNTAX, "record", "name a file: record,file=NAME");
    struct record_file *f = stk_alloc_zero(sizeof *f);
    if (f == NULL)
        return stk_error_set(error, -ENOMEM, "record", "out of memory");
    f->format = capture_format_find(format);
    if (f->format == NULL) {
        stk_free(f);
        return stk_error_set(error, STK_ESYNTAX, "record", "format=%s: expected hex or pcapng",
                             format);
    }
    f->file = fopen(path, "we");
    if (f->file == NULL) {
        const int code = -errno;

        stk_free(f);
        return stk_error_set(error, code, "record", "%s can't be written: %s", path,
                             stk_strerror(code));
    }
    f->format->begin(f->file);
    *shared = f;
    return 0;
}

static void record_unprepare(void *shared)
{
    struct record_file *f = shared;

    fclose(f->file);
    stk_free(f);
}

static int record_init(struct stk_layer *layer)
{
    struct record_file *f = layer->shared;

    record_of(layer)->capture.connection = ++f->connections;
    return 0;
}

/* --- What passes
 * --------------------------------------------------------------------------------------- */

static uint64_t wall_clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void check(struct record_file *f)
{
    if (f->stopped || !ferror(f->file))
        return;
    f->stopped = true;
    stk_log(STK_LOG_ERROR, "record", "the file can't be written: recording stops");
}

static void note(struct stk_layer *layer, enum capture_what what, const struct iovec *iov,
                 int count, size_t len)
{
    struct record_file *f = layer->shared;
    struct capture *capture = &record_of(layer)->capture;
    const uint64_t now_us = wall_clock_us();

    if (f->stopped)
        return;
    if (len == 0)
        f->format->write(f->file, capture, now_us, what, NULL, 0);
    for (int i = 0; i < count && len > 0; i++) {
        const size_t n = iov[i].iov_len < len ? iov[i].iov_len : len;

        f->format->write(f->file, capture, now_us, what, iov[i].iov_base, n);
        len -= n;
    }
    check(f);
}

static void record_start(struct stk_layer *layer)
{
    note(layer, CAPTURE_OPEN, NULL, 0, 0);
    stk_layer_raise(layer, STK_READY);
}

static long record_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct capture *capture = &record_of(layer)->capture;
    const long got = stk_layer_recv_below(layer, iov, count);

    if (got > 0)
        note(layer, CAPTURE_IN, iov, count, (size_t)got);
    else if (got == 0 && !capture->in_ended) {
        capture->in_ended = true;
        note(layer, CAPTURE_IN_END, NULL, 0, 0);
    }
    return got;
}

static long record_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    const size_t all = stk_iov_bytes(iov, count);
    const long sent = stk_layer_send_below(layer, iov, count, flags);
    if (sent > 0)
        note(layer, CAPTURE_OUT, iov, count, (size_t)sent);
    if (sent >= 0 && (size_t)sent == all && (flags & STK_FIN))
        note(layer, CAPTURE_OUT_END, NULL, 0, 0);
    return sent;
}

static void record_destroy(struct stk_layer *layer)
{
    struct record_file *f = layer->shared;

    if (f == NULL || f->stopped)
        return;
    fflush(f->file);
    check(f);
}

static const struct stk_stream_type record_type = {
    .size = sizeof(struct record),
    .prepare = record_prepare,
    .unprepare = record_unprepare,
    .init = record_init,
    .start = record_start,
    .recv = record_recv,
    .send = record_send,
    .destroy = record_destroy,
};

static const struct stk_option_type record_options[] = {
    {"file", STK_OPTION_TEXT, 0, 0, "where to write; replaced if it exists"},
    {"format", STK_OPTION_TEXT, 0, 0, "hex (default) or pcapng"},
    {0},
};

const struct stk_layer_type stk_layer_record = {
    .name = "record",
    .summary = "writes what passes to a file, as hex or pcapng",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .options = record_options,
    .stream = &record_type,
};
