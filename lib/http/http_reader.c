#include "http_reader.h"

#include <assert.h>
#include <ctype.h>

enum {
    HEADER_BYTES_DEFAULT = 16 * 1024,
    HEADER_COUNT_DEFAULT = 100,
    TARGET_BYTES_DEFAULT = 8 * 1024,
    METHOD_BYTES_MAX = 32,
    CHUNK_DIGITS_MAX = 15,
    CHUNK_LINE_MAX = 512,
    BLOCK_FIRST = 512,
};

int http_reader_fail(struct http_reader *r, int status, int code, const char *problem)
{
    assert(code < 0);
    r->state = HTTP_READ_FAILED;
    r->status = status;
    r->code = code;
    r->problem = problem;
    return code;
}

static int bad(struct http_reader *r, const char *problem)
{
    return http_reader_fail(r, 400, -EPROTO, problem);
}

/* --- llhttp ----------------------------------------------------------------------------------- */

static int on_headers_complete(llhttp_t *parser)
{
    struct http_reader *r = parser->data;
    const int status = parser->status_code;

    r->saw_headers = true;
    r->parser_length = parser->content_length;
    if (!r->response)
        return 0;
    /* RFC 9112 section 6.3: these have no body, whatever their fields say. */
    return r->to_head || status / 100 == 1 || status == 204 || status == 304 ? 1 : 0;
}

static int on_chunk_header(llhttp_t *parser)
{
    struct http_reader *r = parser->data;

    r->saw_chunk = true;
    r->parser_length = parser->content_length;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http_reader *r = parser->data;

    r->saw_end = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

/* Every message gets a parser in its first state: nothing is carried over from the one before. */
static void start_parser(struct http_reader *r)
{
    llhttp_init(&r->parser, r->response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    r->parser.data = r;
}

/* Feeds what the gate has let through. */
static int feed(struct http_reader *r, const void *data, size_t len)
{
    r->saw_headers = r->saw_chunk = r->saw_end = false;

    const llhttp_errno_t status = llhttp_execute(&r->parser, data, len);
    if (status == HPE_OK || (r->saw_end && (status == HPE_PAUSED || status == HPE_PAUSED_UPGRADE)))
        return 0;
    if (status == HPE_INVALID_METHOD)
        return http_reader_fail(r, 501, -EPROTO, "the method is not known");
    return bad(r, llhttp_get_error_reason(&r->parser) ? llhttp_get_error_reason(&r->parser)
                                                      : "the message is malformed");
}

/* --- Life ------------------------------------------------------------------------------------- */

void http_reader_init(struct http_reader *r, bool response, const struct stk_http_limits *limits)
{
    *r = (struct http_reader){.response = response, .limits = *limits};
    if (r->limits.header_bytes == 0)
        r->limits.header_bytes = HEADER_BYTES_DEFAULT;
    if (r->limits.header_count == 0)
        r->limits.header_count = HEADER_COUNT_DEFAULT;
    if (r->limits.header_count > STK_HTTP_FIELDS_MAX)
        r->limits.header_count = STK_HTTP_FIELDS_MAX;
    if (r->limits.target_bytes == 0)
        r->limits.target_bytes = TARGET_BYTES_DEFAULT;
    if (r->limits.body_bytes == 0)
        r->limits.body_bytes = STK_HTTP_UNLIMITED;
    start_parser(r);
}

void http_reader_free(struct http_reader *r)
{
    stk_free(r->block);
    stk_free(r->fields);
    stk_free(r->authority);
    r->block = NULL;
    r->fields = NULL;
    r->authority = NULL;
}

void http_reader_restart(struct http_reader *r)
{
    const struct stk_http_limits limits = r->limits;
    const bool response = r->response;

    assert(r->state == HTTP_READ_ENDED);
    http_reader_free(r);
    http_reader_init(r, response, &limits);
}

bool http_reader_is_idle(const struct http_reader *r)
{
    return r->state == HTTP_READ_HEAD && r->len == 0;
}

/* --- Heads ------------------------------------------------------------------------------------ */

static int grow_block(struct http_reader *r)
{
    const size_t capacity = r->capacity ? 2 * r->capacity : BLOCK_FIRST;
    char *block = stk_realloc(r->block, capacity);

    if (block == NULL)
        return http_reader_fail(r, 500, -ENOMEM, "no memory for the head");
    r->block = block;
    r->capacity = capacity;
    return 0;
}

/* RFC 9112 section 2.2: lines end with CR LF; RFC 9110 section 5.5: no other controls. */
static int gate_byte(struct http_reader *r, uint8_t byte)
{
    if (byte == '\n')
        return r->previous == '\r' ? 0 : bad(r, "a line ends without CR");
    if (r->previous == '\r')
        return bad(r, "a CR stands within a line");
    if ((byte < ' ' && byte != '\t' && byte != '\r') || byte == 0x7f)
        return bad(r, "a control character stands in the head");
    return 0;
}

/* Finds lengthy methods and targets before their line ends. */
static int gate_first_line(struct http_reader *r, uint8_t byte)
{
    if (byte == ' ') {
        r->spaces++;
        r->word_len = 0;
        return 0;
    }
    r->word_len++;
    if (r->response)
        return 0;
    if (r->spaces == 0 && r->word_len > METHOD_BYTES_MAX)
        return http_reader_fail(r, 501, -EPROTO, "the method is not known");
    if (r->spaces == 1 && r->word_len > r->limits.target_bytes)
        return http_reader_fail(r, 414, STK_ELIMIT, "the target is too long");
    return 0;
}

static int gate_head_byte(struct http_reader *r, uint8_t byte)
{
    const bool at_start = r->previous == 0;
    int status;

    if ((status = gate_byte(r, byte)) < 0)
        return status;
    /* RFC 9112 section 5.2: obsolete folding; and leading space is no start line either. */
    if (at_start && (byte == ' ' || byte == '\t'))
        return bad(r, r->lines == 0 ? "the message begins with a space" : "a field is folded");
    if (r->lines == 0 && byte != '\r' && byte != '\n' && (status = gate_first_line(r, byte)) < 0)
        return status;
    if (r->len >= r->limits.header_bytes)
        return http_reader_fail(r, 431, STK_ELIMIT, "the head is too long");
    if (r->len == r->capacity && (status = grow_block(r)) < 0)
        return status;
    r->block[r->len++] = (char)byte;
    r->previous = byte;
    return 0;
}

/* A line of the head is complete: 1 if that was the last one, 0 if not, or the failure. */
static int end_head_line(struct http_reader *r)
{
    r->previous = 0;
    if (r->len == 2) {
        /* RFC 9112 section 2.2: one empty line before a request is forgiven. */
        if (r->response || r->blank_before)
            return bad(r, "an empty line stands where a message shall begin");
        r->blank_before = true;
        r->len = 0;
        return 0;
    }
    if (r->block[r->len - 3] == '\n')
        return 1;
    if (r->lines++ > r->limits.header_count)
        return http_reader_fail(r, 431, STK_ELIMIT, "the head has too many fields");
    return 0;
}

/* How the body that follows the head is delimited (RFC 9112 section 6.3). */
static void choose_framing(struct http_reader *r)
{
    if (r->saw_end) {
        r->state = HTTP_READ_COMPLETE;
    } else if (r->head.chunked) {
        r->state = HTTP_READ_CHUNK_SIZE;
    } else if (r->head.content_length >= 0) {
        r->state = HTTP_READ_LENGTH;
        r->left = (uint64_t)r->head.content_length;
    } else {
        r->state = HTTP_READ_TO_EOF;
    }
}

/* Both readings of the head must give the same length. */
static int compare_readings(struct http_reader *r)
{
    const bool body = !r->saw_end;
    const bool length = r->head.content_length > 0;

    if (!r->saw_headers)
        return bad(r, "the head does not end where its empty line is");
    if (length && r->parser_length != (uint64_t)r->head.content_length)
        return bad(r, "the length can be read in two ways");
    if (!r->response && r->parser.method != HTTP_CONNECT && body != (length || r->head.chunked))
        return bad(r, "the body's end can be read in two ways");
    return 0;
}

static enum http_event finish_head(struct http_reader *r)
{
    if (http_head_parse(r) < 0 || compare_readings(r) < 0)
        return HTTP_EVENT_ERROR;
    choose_framing(r);
    return HTTP_EVENT_HEAD;
}

static enum http_event read_head(struct http_reader *r, const uint8_t *data, size_t len,
                                 size_t *used)
{
    for (size_t i = 0; i < len; i++) {
        *used = i + 1;
        if (gate_head_byte(r, data[i]) < 0)
            return HTTP_EVENT_ERROR;
        if (data[i] != '\n')
            continue;

        const int last = end_head_line(r);
        if (last < 0)
            return HTTP_EVENT_ERROR;
        if (last == 0)
            continue;
        /* llhttp sees the head before strings are cut out of it. */
        if (feed(r, r->block, r->len) < 0) {
            /* Where both refuse it, the status that says more wins. */
            http_head_parse(r);
            return HTTP_EVENT_ERROR;
        }
        return finish_head(r);
    }
    return HTTP_EVENT_MORE;
}

/* --- Chunks ------------------------------------------------------------------------------------
 */

static int gate_size_byte(struct http_reader *r, uint8_t byte)
{
    if (byte == ';' && r->line_len > 0)
        r->in_extension = true;
    if (r->in_extension)
        return ++r->overhead_bytes > r->limits.header_bytes || r->line_len > CHUNK_LINE_MAX
                   ? bad(r, "chunk extensions are too long")
                   : 0;
    if (!isxdigit(byte) || r->line_len >= CHUNK_DIGITS_MAX)
        return bad(r, "the size of a chunk is malformed");
    r->size = r->size * 16 + (uint64_t)(isdigit(byte) ? byte - '0' : (byte | 32) - 'a' + 10);
    return 0;
}

static int gate_line_byte(struct http_reader *r, uint8_t byte)
{
    int status;

    if ((status = gate_byte(r, byte)) < 0)
        return status;
    if (byte == '\n' || byte == '\r')
        return byte == '\r' && r->line_len == 0 && r->state == HTTP_READ_CHUNK_SIZE
                   ? bad(r, "the size of a chunk is missing")
                   : 0;
    if (r->state == HTTP_READ_CHUNK_END)
        return bad(r, "a chunk is longer than its size");
    if (r->state == HTTP_READ_CHUNK_SIZE && (status = gate_size_byte(r, byte)) < 0)
        return status;
    if (r->state == HTTP_READ_TRAILERS) {
        if (r->line_len == 0 && (byte == ' ' || byte == '\t'))
            return bad(r, "a trailer is folded");
        if (++r->overhead_bytes > r->limits.header_bytes)
            return http_reader_fail(r, 431, STK_ELIMIT, "trailers are too long");
    }
    r->line_len++;
    return 0;
}

static int begin_chunk(struct http_reader *r)
{
    if (!r->saw_chunk || r->parser_length != r->size)
        return bad(r, "the size of a chunk can be read in two ways");
    if (r->size == 0) {
        r->state = HTTP_READ_TRAILERS;
        return 0;
    }
    if (r->size > r->limits.body_bytes - r->body_bytes)
        return http_reader_fail(r, 413, STK_ELIMIT, "the body is too long");
    r->left = r->size;
    r->state = HTTP_READ_CHUNK_DATA;
    return 0;
}

/* A line between chunks is complete. */
static int end_line(struct http_reader *r)
{
    const bool empty = r->line_len == 0;

    r->line_len = 0;
    r->previous = 0;
    switch (r->state) {
    case HTTP_READ_CHUNK_SIZE:
        return begin_chunk(r);
    case HTTP_READ_CHUNK_END:
        r->size = 0;
        r->in_extension = false;
        r->state = HTTP_READ_CHUNK_SIZE;
        return 0;
    default:
        assert(r->state == HTTP_READ_TRAILERS);
        if (empty != r->saw_end)
            return bad(r, "the trailers' end can be read in two ways");
        if (empty)
            r->state = HTTP_READ_COMPLETE;
        return 0;
    }
}

/* Chunk extensions mean nothing here, and are not shown to llhttp. */
static bool is_skipped(const struct http_reader *r, uint8_t byte)
{
    return r->state == HTTP_READ_CHUNK_SIZE && r->in_extension && byte != '\r' && byte != '\n';
}

/* Feeds the bytes of a line that the gate lets through, up to its end; counts them. */
static int pass_line(struct http_reader *r, const uint8_t *data, size_t len, size_t *passed)
{
    size_t from = 0, i = 0;

    while (i < len && r->previous != '\n') {
        if (gate_line_byte(r, data[i]) < 0) {
            /* llhttp's view of what came before counts first, as it would byte by byte. */
            feed(r, data + from, i - from);
            return r->code;
        }
        r->previous = data[i++];
        if (is_skipped(r, r->previous)) {
            if (i - 1 > from && feed(r, data + from, i - 1 - from) < 0)
                return r->code;
            from = i;
        }
    }
    *passed = i;
    return i > from ? feed(r, data + from, i - from) : 0;
}

static enum http_event read_line(struct http_reader *r, const uint8_t *data, size_t len,
                                 size_t *used)
{
    size_t passed = 0;

    if (pass_line(r, data, len, &passed) < 0)
        return HTTP_EVENT_ERROR;
    *used += passed;
    return r->previous == '\n' && end_line(r) < 0 ? HTTP_EVENT_ERROR : HTTP_EVENT_MORE;
}

/* --- Events -------------------------------------------------------------------------------------
 */

static enum http_event too_long(struct http_reader *r)
{
    http_reader_fail(r, 413, STK_ELIMIT, "the body is too long");
    return HTTP_EVENT_ERROR;
}

static enum http_event read_data(struct http_reader *r, size_t len, size_t *body_len)
{
    if (r->state == HTTP_READ_LENGTH && r->body_bytes == 0 && r->left > r->limits.body_bytes)
        return too_long(r);
    if (len == 0)
        return HTTP_EVENT_MORE;
    if (r->state == HTTP_READ_TO_EOF && r->body_bytes == r->limits.body_bytes)
        return too_long(r);
    if (r->state == HTTP_READ_TO_EOF)
        r->left = r->limits.body_bytes - r->body_bytes;
    *body_len = len < r->left ? len : (size_t)r->left;
    return HTTP_EVENT_BODY;
}

enum http_event http_reader_next(struct http_reader *r, const uint8_t *data, size_t len,
                                 size_t *used, size_t *body_len)
{
    *used = 0;
    *body_len = 0;
    for (;;) {
        switch (r->state) {
        case HTTP_READ_HEAD:
            return read_head(r, data, len, used);
        case HTTP_READ_LENGTH:
        case HTTP_READ_TO_EOF:
        case HTTP_READ_CHUNK_DATA:
            return read_data(r, len - *used, body_len);
        case HTTP_READ_COMPLETE:
            r->state = HTTP_READ_ENDED;
            return HTTP_EVENT_END;
        case HTTP_READ_ENDED:
            return HTTP_EVENT_MORE;
        case HTTP_READ_FAILED:
            return HTTP_EVENT_ERROR;
        default:
            if (*used == len)
                return HTTP_EVENT_MORE;
            if (read_line(r, data + *used, len - *used, used) == HTTP_EVENT_ERROR)
                return HTTP_EVENT_ERROR;
        }
    }
}

void http_reader_took(struct http_reader *r, const uint8_t *data, size_t len)
{
    assert(len <= r->left);
    if (len == 0 || feed(r, data, len) < 0)
        return;
    r->body_bytes += len;
    if (r->state == HTTP_READ_TO_EOF)
        return;
    r->left -= len;
    if (r->left > 0)
        return;
    if (r->state == HTTP_READ_CHUNK_DATA)
        r->state = HTTP_READ_CHUNK_END;
    else if (r->saw_end)
        r->state = HTTP_READ_COMPLETE;
    else
        bad(r, "the body's end can be read in two ways");
}

enum http_event http_reader_eof(struct http_reader *r)
{
    if (r->state == HTTP_READ_FAILED)
        return HTTP_EVENT_ERROR;
    if (r->state == HTTP_READ_ENDED || http_reader_is_idle(r))
        return HTTP_EVENT_MORE;
    if (r->state == HTTP_READ_COMPLETE || r->state == HTTP_READ_TO_EOF) {
        r->state = HTTP_READ_ENDED;
        return HTTP_EVENT_END;
    }
    http_reader_fail(r, 400, STK_ETRUNCATED, "the message is cut off");
    return HTTP_EVENT_ERROR;
}
