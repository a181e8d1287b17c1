/*
 * Two endpoints; the input chooses calls, deliveries, losses, flips and steps of the clock.
 * Stream bytes tell their position: none may ever be wrong.
 */
#include "../tests/ptcp_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 400 };

static struct {
    struct pair pair;
    struct pair_stream stream[2];
    uint8_t flip, lose;
} fuzz;

static bool disturb(struct pair *pair, int from, uint8_t *bytes, size_t size, bool probe)
{
    (void)from;
    (void)probe;
    if (fuzz.lose > 0) {
        fuzz.lose--;
        return false;
    }
    if (fuzz.flip > 0 && !pair->association) {
        bytes[fuzz.flip % size] ^= (uint8_t)(fuzz.flip | 1);
        fuzz.flip = 0;
    }
    return true;
}

static void meet(void)
{
    struct ptcp_conn *conn;

    if (!fuzz.stream[0].to && (conn = ptcp_accept(fuzz.pair.end[PAIR_B])))
        fuzz.stream[0].to = fuzz.stream[1].from = conn;
    while ((conn = ptcp_next_event(fuzz.pair.end[PAIR_A])) ||
           (conn = ptcp_next_event(fuzz.pair.end[PAIR_B])))
        ptcp_conn_take_events(conn);
}

static void leave(int side)
{
    struct ptcp_conn *conn = side ? fuzz.stream[1].from : fuzz.stream[0].from;

    if (!conn)
        return;
    ptcp_conn_release(conn, fuzz.pair.now_us);
    if (side)
        fuzz.stream[0].to = fuzz.stream[1].from = NULL;
    else
        fuzz.stream[0].from = fuzz.stream[1].to = NULL;
    fuzz.stream[0].eof = fuzz.stream[1].eof = true;
}

static void act(uint8_t what, uint8_t argument)
{
    struct pair *pair = &fuzz.pair;
    struct pair_stream *stream = &fuzz.stream[argument & 1];
    struct ptcp_conn *conn = stream->from;

    switch (what % 12) {
    case 0:
    case 1:
    case 2:
        stream->total = stream->finished ? stream->total : stream->total + argument * 40u;
        break;
    case 3:
        fuzz.lose = argument % 32;
        break;
    case 4:
        fuzz.flip = argument;
        break;
    case 5:
        pair->net.jitter_us = argument * 500u;
        break;
    case 6:
        if (conn && argument > 240)
            ptcp_conn_abort(conn, pair->now_us, argument);
        break;
    case 7:
        if (argument > 250)
            leave(argument & 1);
        break;
    case 8:
        pair->net.duplicate_permille = argument;
        break;
    case 9:
        pair->net.cut[argument & 1] = argument > 128;
        break;
    default:
        pair_run_for(pair, (uint64_t)argument * argument * 40);
    }
}

static void pump(void)
{
    for (int i = 0; i < 2; i++) {
        struct pair_stream *stream = &fuzz.stream[i];
        const bool finished = stream->finished;

        stream->finished = true; /* ends later */
        pair_pump(&fuzz.pair, stream);
        stream->finished = finished;
        assert(!stream->wrong && stream->read <= stream->written);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    memset(&fuzz, 0, sizeof(fuzz));
    pair_init(&fuzz.pair, data[0], data[1] & 1);
    fuzz.pair.tap = disturb;
    fuzz.stream[1].salt = 7;
    ptcp_listen(fuzz.pair.end[PAIR_B], NULL, 1 + data[2] % 3);
    fuzz.stream[0].from = fuzz.stream[1].to = pair_open(&fuzz.pair, PAIR_A, NULL);
    for (size_t i = 3; i + 1 < size && i < 2 * STEPS_MAX; i += 2) {
        act(data[i], data[i + 1]);
        meet();
        pump();
        pair_flush(&fuzz.pair, PAIR_A);
        pair_flush(&fuzz.pair, PAIR_B);
    }
    leave(0);
    leave(1);
    pair_run_for(&fuzz.pair, UINT64_C(200000000));
    meet();
    leave(1);
    pair_run_for(&fuzz.pair, UINT64_C(200000000));
    assert(ptcp_connections(fuzz.pair.end[0]) == 0 && ptcp_connections(fuzz.pair.end[1]) == 0);
    assert(ptcp_time_waits(fuzz.pair.end[0]) == 0);
    pair_free(&fuzz.pair);
    return 0;
}
