#include "rot.h"

enum { PIECE_BYTES = 4096, TURN_DEFAULT = 13, LETTERS = 26 };

struct rot {
    struct stk_layer layer; /* first: the connection sees only this */
    unsigned by;
    uint64_t bytes; /* both directions */
};

static struct rot *rot_of(struct stk_layer *layer) { return (struct rot *)layer; }

static uint8_t turn(uint8_t c, unsigned by)
{
    const uint8_t first = c >= 'a' && c <= 'z' ? 'a' : 'A';

    if (c < first || c >= first + LETTERS)
        return c;
    return (uint8_t)(first + (c - first + by) % LETTERS);
}

static int rot_init(struct stk_layer *layer)
{
    rot_of(layer)->by = (unsigned)stk_segment_number(layer->segment, "by", TURN_DEFAULT);
    return 0;
}

/* The caller's memory is written in place: a layer that changes bytes needs no buffer to read. */
static long rot_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct rot *rot = rot_of(layer);
    const long got = stk_layer_recv_below(layer, iov, count);
    size_t left = got > 0 ? (size_t)got : 0;

    for (int i = 0; left > 0; i++) {
        uint8_t *at = iov[i].iov_base;
        const size_t len = left < iov[i].iov_len ? left : iov[i].iov_len;

        for (size_t k = 0; k < len; k++)
            at[k] = turn(at[k], LETTERS - rot->by);
        left -= len;
        rot->bytes += len;
    }
    return got; /* AGAIN, 0 and errors as they are */
}

static size_t gather(uint8_t piece[PIECE_BYTES], const struct iovec *iov, int count, size_t skip)
{
    size_t len = 0;

    for (int i = 0; i < count && len < PIECE_BYTES; i++) {
        const uint8_t *from = iov[i].iov_base;

        for (size_t k = skip; k < iov[i].iov_len && len < PIECE_BYTES; k++)
            piece[len++] = from[k];
        skip -= skip < iov[i].iov_len ? skip : iov[i].iov_len;
    }
    return len;
}

static size_t bytes_of(const struct iovec *iov, int count)
{
    size_t all = 0;

    for (int i = 0; i < count; i++)
        all += iov[i].iov_len;
    return all;
}

/*
 * The user's bytes are not ours to change, so they are turned in a copy, piece by piece. What the
 * layer below refuses was not taken here either, and its TX, which passes through, makes the user
 * come again: nothing is stored.
 */
static long rot_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    struct rot *rot = rot_of(layer);
    const size_t all = bytes_of(iov, count);
    uint8_t piece[PIECE_BYTES];
    size_t done = 0;

    do {
        const size_t len = gather(piece, iov, count, done);
        const struct iovec out = {piece, len};

        for (size_t k = 0; k < len; k++)
            piece[k] = turn(piece[k], rot->by);
        /* FIN belongs to the last byte alone; before it there is more to come. */
        const long sent = stk_layer_send_below(
            layer, &out, 1, done + len == all ? flags : (flags & ~(unsigned)STK_FIN) | STK_MORE);
        if (sent < 0)
            return done > 0 && sent == STK_AGAIN ? (long)done : sent;
        done += (size_t)sent;
        rot->bytes += (size_t)sent;
        if ((size_t)sent < len)
            break;
    } while (done < all);
    return (long)done;
}

static int rot_query(struct stk_layer *layer, int key, void *out, size_t len)
{
    if (key != QUERY_ROT_BYTES || len != sizeof(uint64_t))
        return -ENOENT;
    memcpy(out, &rot_of(layer)->bytes, len);
    return 0;
}

static const struct stk_stream_type rot_type = {
    .size = sizeof(struct rot),
    .init = rot_init,
    .recv = rot_recv,
    .send = rot_send,
    .query = rot_query,
};

static const struct stk_option_type rot_options[] = {
    {"by", STK_OPTION_NUMBER, 1, LETTERS - 1, "how many letters further (13)"},
    {0},
};

const struct stk_layer_type rot_layer = {
    .name = "rot",
    .summary = "turns letters round the alphabet",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .options = rot_options,
    .stream = &rot_type,
};
