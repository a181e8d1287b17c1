#include "seal_state.h"

#include <sodium.h>
#include <string.h>

/* --- Sending -----------------------------------------------------------------------------------
 */

static void write_headers(const struct stk_run *run, enum seal_message type, uint32_t index,
                          uint64_t counter)
{
    for (unsigned i = 0; i < run->count; i++)
        seal_header_write(stk_run_at(run, i) - SEAL_HEADER, type, index, counter + i);
}

/* Seals in place, tails from elsewhere too, and turns the run of datagrams into one of packets. */
static void seal_in_place(struct seal_session *s, void *key, struct stk_run *run,
                          enum seal_message type)
{
    assert(run->count == 1 || run->stride >= (unsigned)run->size + SEAL_OVERHEAD);

    write_headers(run, type, s->remote_index, s->counter);
    s->send.aead->seal_run(key, run, SEAL_HEADER, s->counter);
    s->counter += run->count;
    run->gather = NULL;
    run->data -= SEAL_HEADER;
    run->size = (uint16_t)(run->size + SEAL_OVERHEAD);
    run->last_size = (uint16_t)(run->last_size + SEAL_OVERHEAD);
}

/* Whoever sends has keys that last; the session's initiator renews them first. */
static void renew_in_time(struct seal_association *a, const struct seal_session *s, uint64_t now_us)
{
    const uint64_t age_us = now_us - s->born_us;
    const uint64_t due_us = s->initiator ? SEAL_REKEY_AFTER_US : SEAL_REKEY_LATE_US;

    if (a->attempt || a->rekey)
        return;
    if (age_us < due_us && s->counter < s->send.aead->rekey_after_packets)
        return;
    a->rekey = true;
    seal_life_soon(a);
}

static void note_sent(struct seal_association *a, const struct seal_session *s, uint64_t now_us)
{
    a->sent_us = now_us;
    if (s == a->current)
        a->confirm = false;
    renew_in_time(a, s, now_us);
}

static void hold(struct seal_association *a, const struct stk_run *run)
{
    const unsigned len = stk_run_size(run, 0);

    assert(!run->gather);
    if (a->held || len == 0 || len > SEAL_FIRST_DATAGRAM_MAX)
        return;
    a->held = stk_alloc_zero(sizeof(*a->held));
    if (!a->held)
        return;
    a->held->len = (uint16_t)len;
    a->held->ecn = run->ecn;
    memcpy(a->held->data + SEAL_HEADER, run->data, len);
}

void seal_held_free(struct seal_association *a)
{
    if (a->held)
        sodium_memzero(a->held, sizeof(*a->held));
    stk_free(a->held);
    a->held = NULL;
}

/* There are no keys: one datagram waits for them, or rides in the handshake. */
static void send_without_keys(struct seal_association *a, struct stk_run *run)
{
    if (a->state == SEAL_CLOSING || a->state == SEAL_DEAD)
        return;
    stk_run_flatten(run);
    hold(a, run);
    a->rekey = true;
    seal_life_soon(a);
}

/* Runs that went through sealing, so that those not taken can be given back as they were. */
struct batch {
    struct stk_run sealed[SEAL_SEND_RUNS];
    struct {
        struct seal_association *association;
        struct seal_session *session;
        struct seal_path *path;
        uint64_t counter;
        int index;
    } of[SEAL_SEND_RUNS];
    int count;
};

/* Drops the first `n` datagrams of a run. */
static void skip(struct stk_run *run, unsigned n)
{
    run->data += (size_t)n * run->stride;
    run->count = (uint16_t)(run->count - n);
    if (run->gather)
        run->gather += n;
    if (run->count == 1)
        run->size = run->last_size;
}

static void add_sealed(struct batch *b, struct seal_association *a, struct stk_run run, int index)
{
    const uint64_t now_us = seal_now(a->port);
    struct seal_session *s = seal_session_to_send(a, now_us);
    struct seal_path *path = run.peer ? seal_path_find(a, run.way, run.peer, run.local) : NULL;

    void *key = seal_session_key(a, &s->send, now_us);

    if (!path)
        path = seal_path_active(a);
    if (!key || !seal_path_take(path, stk_run_bytes(&run) + (size_t)run.count * SEAL_OVERHEAD))
        return;
    b->of[b->count].association = a;
    b->of[b->count].session = s;
    b->of[b->count].path = path;
    b->of[b->count].counter = s->counter;
    b->of[b->count].index = index;
    const struct stk_run over = seal_path_run(a, path);
    run.peer = over.peer;
    run.way = over.way;
    if (over.local)
        run.local = over.local;
    seal_in_place(s, key, &run, SEAL_DATA);
    b->sealed[b->count++] = run;
    note_sent(a, s, now_us);
    a->used_us = now_us;
}

static void send_run(struct batch *b, struct seal_port *port, const struct stk_run *original,
                     int index)
{
    struct seal_association *a = seal_association_by_id(port, original->association);
    struct stk_run run = *original;

    if (!a || a->freed || run.count == 0 || run.size > STK_DGRAM_MAX - SEAL_OVERHEAD)
        return;
    if (a->answer && !a->answer->sent) {
        stk_run_place(&run, 0);
        if (seal_answer_send(a, run.data, stk_run_size(&run, 0))) {
            if (run.count == 1)
                return;
            skip(&run, 1);
        }
    }
    if (seal_session_to_send(a, seal_now(port)))
        add_sealed(b, a, run, index);
    else
        send_without_keys(a, &run);
}

/*
 * What the layer below did not take comes back open, so that the caller can offer it again. The
 * counters stay used up. A run whose first datagram left in a response comes back whole.
 */
static void unseal(struct batch *b, int from, uint64_t now_us)
{
    uint64_t counters[STK_RUN_COUNT_MAX];

    for (int i = from; i < b->count; i++) {
        struct seal_session *s = b->of[i].session;
        void *key = seal_session_key(b->of[i].association, &s->send, now_us);
        struct stk_run *run = &b->sealed[i];
        for (unsigned k = 0; k < run->count; k++)
            counters[k] = b->of[i].counter + k;
        assert(key); /* it has sealed the run, and the cache holds more keys than a batch has */
        const uint64_t whole = s->send.aead->open_run(key, run, SEAL_HEADER, counters);
        assert(whole);
        (void)whole;
        seal_path_untake(b->of[i].path, stk_run_bytes(run));
    }
}

int seal_data_send(struct seal_port *port, struct stk_run *runs, int count)
{
    const int most = count < SEAL_SEND_RUNS ? count : SEAL_SEND_RUNS;
    struct batch b;

    b.count = 0;
    for (int i = 0; i < most; i++)
        send_run(&b, port, &runs[i], i);
    const int sent = b.count ? seal_transport_send(port, b.sealed, b.count) : 0;
    if (sent >= b.count)
        return most;
    unseal(&b, sent < 0 ? 0 : sent, seal_now(port));
    return b.of[sent < 0 ? 0 : sent].index;
}

static void send_control(struct seal_association *a, struct seal_path *path,
                         const struct stk_addr *local, enum seal_control kind, const uint8_t *body,
                         size_t len)
{
    uint8_t room[SEAL_MARGIN + SEAL_HEADER + 1 + SEAL_TOKEN + SEAL_TAG + SEAL_MARGIN];
    const uint64_t now_us = seal_now(a->port);
    struct seal_session *s = seal_session_to_send(a, now_us);
    struct stk_run run = seal_path_run(a, path);

    assert(len <= SEAL_TOKEN);
    void *key = s ? seal_session_key(a, &s->send, now_us) : NULL;
    if (!key || !seal_path_take(path, 1 + len + SEAL_OVERHEAD))
        return;
    run.data = room + SEAL_MARGIN + SEAL_HEADER;
    run.local = local;
    run.size = run.last_size = (uint16_t)(1 + len);
    run.count = 1;
    run.data[0] = (uint8_t)kind;
    if (len)
        memcpy(run.data + 1, body, len);
    seal_in_place(s, key, &run, SEAL_CONTROL);
    run.stride = run.size;
    note_sent(a, s, now_us);
    seal_transport_send(a->port, &run, 1);
}

void seal_send_control(struct seal_association *a, struct seal_path *path, enum seal_control kind)
{
    send_control(a, path, seal_path_run(a, path).local, kind, NULL, 0);
}

void seal_send_probing(struct seal_association *a, struct seal_path *path,
                       const struct stk_addr *local, enum seal_control kind,
                       const uint8_t token[SEAL_TOKEN])
{
    send_control(a, path, local, kind, token, SEAL_TOKEN);
}

void seal_send_held(struct seal_association *a)
{
    struct seal_held *held = a->held;
    const uint64_t now_us = seal_now(a->port);
    struct seal_session *s = seal_session_to_send(a, now_us);
    struct seal_path *path = seal_path_active(a);

    if (!held || !s)
        return;
    /* Now or never: others go before it from now on, and it must not come after many of them. */
    void *key = seal_session_key(a, &s->send, now_us);
    if (!key || !seal_path_take(path, held->len + (size_t)SEAL_OVERHEAD)) {
        seal_held_free(a);
        return;
    }
    uint8_t room[SEAL_MARGIN + sizeof(held->data) + SEAL_MARGIN];
    struct stk_run run = seal_path_run(a, path);

    run.data = room + SEAL_MARGIN + SEAL_HEADER;
    run.size = run.last_size = held->len;
    run.count = 1;
    run.ecn = held->ecn;
    memcpy(run.data, held->data + SEAL_HEADER, held->len);
    seal_held_free(a);
    seal_in_place(s, key, &run, SEAL_DATA);
    run.stride = run.size;
    note_sent(a, s, now_us);
    a->used_us = now_us;
    seal_transport_send(a->port, &run, 1);
}

/* --- Receiving ---------------------------------------------------------------------------------
 */

void seal_flush_up(struct seal_port *port)
{
    const int count = port->up_count;

    assert(port->up || !count);
    port->up_count = 0;
    if (count)
        stk_dgram_input_above(&port->layer, port->up, count);
}

void seal_push_up(struct seal_port *port, const struct stk_run *run)
{
    assert(port->up);
    if (port->up_count == SEAL_UP_RUNS)
        seal_flush_up(port);
    port->up[port->up_count++] = *run;
}

/* Datagrams [from, to) of a run as a run of their own. */
static struct stk_run slice_of(const struct stk_run *run, unsigned from, unsigned to)
{
    struct stk_run part = *run;

    assert(from < to && to <= run->count);
    part.data = stk_run_at(run, from);
    part.count = (uint16_t)(to - from);
    part.last_size = stk_run_size(run, to - 1);
    if (part.count == 1)
        part.size = part.last_size;
    return part;
}

/* `local`: the address that it came to. */
static void take_control(struct seal_association *a, struct seal_path *path,
                         const struct stk_addr *local, const uint8_t *data, size_t len)
{
    if (len == 0)
        return;
    switch (data[0]) {
    case SEAL_CHALLENGE:
        if (len == 1 + SEAL_TOKEN)
            seal_send_probing(a, path, local, SEAL_ECHO, data + 1);
        return;
    case SEAL_ECHO:
        if (len == 1 + SEAL_TOKEN)
            seal_path_echo(a, local, data + 1);
        return;
    case SEAL_CLOSE:
        seal_life_closed_by_peer(a);
        return;
    default: /* a keepalive, or something of a later version */
        return;
    }
}

static void deliver(struct seal_association *a, struct seal_path *path, const struct stk_run *run,
                    int type)
{
    struct stk_run plain = *run;

    plain.data += SEAL_HEADER;
    plain.size = (uint16_t)(plain.size - SEAL_OVERHEAD);
    plain.last_size = (uint16_t)(plain.last_size - SEAL_OVERHEAD);
    plain.association = a->id;
    if (type == SEAL_DATA) {
        seal_push_up(a->port, &plain);
        return;
    }
    for (unsigned i = 0; i < plain.count; i++)
        take_control(a, path, run->local, stk_run_at(&plain, i), stk_run_size(&plain, i));
}

/* The peer has our answer: what waited for that is done. */
static void confirm(struct seal_association *a, struct seal_path *path)
{
    if (a->answer && !a->answer->ambiguous && a->answer->path == path->id)
        seal_path_validate(path); /* it could not know the keys had the answer not arrived there */
    seal_session_confirm(a);
    seal_answer_free(a);
    if (a->attempt && a->attempt->yielded)
        seal_attempt_free(a);
    a->port->stats.handshakes++;
    seal_send_held(a);
    if (a->state == SEAL_ANSWERING)
        seal_life_ready(a);
    seal_life_arm(a);
}

/* What is only about the path says nothing about where the peer wants to be. */
static bool is_probing(const struct stk_run *run, uint64_t genuine)
{
    for (unsigned i = 0; i < run->count; i++) {
        const uint8_t *packet = stk_run_at(run, i);
        if (!(genuine >> i & 1))
            continue;
        if (packet[0] != SEAL_CONTROL || stk_run_size(run, i) <= SEAL_OVERHEAD ||
            (packet[SEAL_HEADER] != SEAL_CHALLENGE && packet[SEAL_HEADER] != SEAL_ECHO))
            return false;
    }
    return true;
}

/* NULL: there is no memory for a new path, and the packets count as lost. */
static struct seal_path *note_received(struct seal_association *a, struct seal_session *s,
                                       const struct stk_run *run, uint64_t genuine, bool newest)
{
    const uint64_t now_us = seal_now(a->port);
    struct seal_path *path = seal_path_of(a, run);

    if (!path)
        return NULL;
    seal_path_received(path, stk_run_bytes(run));
    a->used_us = now_us;
    if (s == a->next)
        confirm(a, path);
    if (s == a->current)
        seal_path_heard(a, path, run->local, newest, is_probing(run, genuine));
    if (s == a->current && now_us - s->born_us >= SEAL_REKEY_LATE_US && !a->attempt) {
        a->rekey = true;
        seal_life_soon(a);
    }
    return path;
}

static bool is_row(const uint64_t *counters, unsigned count)
{
    unsigned i = 1;

    while (i < count && counters[i] == counters[0] + i)
        i++;
    return i == count;
}

/* Notes the genuine ones; a counter that stands twice in one run is genuine once. */
static uint64_t note_counters(struct seal_session *s, const uint64_t *counters, unsigned count,
                              uint64_t genuine, struct stk_seal_stats *stats)
{
    if (genuine == UINT64_MAX >> (64 - count) && counters[0] >= s->replay.next &&
        is_row(counters, count)) {
        seal_replay_note_row(&s->replay, counters[0], count);
        return genuine;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!(genuine >> i & 1)) {
            stats->forged++;
        } else if (!seal_replay_is_fresh(&s->replay, counters[i])) {
            stats->replayed++;
            genuine &= ~(UINT64_C(1) << i);
        } else {
            seal_replay_note(&s->replay, counters[i]);
        }
    }
    return genuine;
}

/* Opens packets whose counters are all fresh; what is genuine goes up, in as few runs as it takes.
 */
static void open_packets(struct seal_association *a, struct seal_session *s,
                         const struct stk_run *run, const uint64_t *counters)
{
    const int type = run->data[0];
    const uint64_t highest = s->replay.next;
    void *key = seal_session_key(a, &s->receive, seal_now(a->port));

    if (!key)
        return;
    uint64_t genuine = s->receive.aead->open_run(key, run, SEAL_HEADER, counters);
    genuine = note_counters(s, counters, run->count, genuine, &a->port->stats);
    if (!genuine)
        return;
    struct seal_path *path = note_received(a, s, run, genuine, s->replay.next > highest);
    for (unsigned from = 0; path && from < run->count;) {
        unsigned to = from;
        while (to < run->count && genuine >> to & 1)
            to++;
        if (to > from) {
            const struct stk_run part = slice_of(run, from, to);
            deliver(a, path, &part, type);
        }
        from = to + 1;
    }
}

/*
 * Neither again nor late, by the packets that are known to have been sent after it: what stands
 * above may then write the low bits of its own numbers only.
 */
static bool may_open(const struct seal_session *s, uint64_t counter, uint64_t later,
                     struct stk_seal_stats *stats)
{
    if (counter < SEAL_REJECT_AFTER_PACKETS &&
        (counter >= s->replay.next || seal_replay_is_fresh(&s->replay, counter)) &&
        (later == 0 || seal_replay_is_recent(&s->replay, counter, later)))
        return true;
    stats->replayed++;
    return false;
}

void seal_take_sealed(struct seal_port *port, const struct stk_run *run)
{
    const uint32_t index = seal_header_index(run->data);
    struct seal_association *a = seal_association_by_index(port, index);
    const struct seal_session *first = a && !a->freed ? seal_session_by_index(a, index) : NULL;
    uint64_t counters[STK_RUN_COUNT_MAX];
    unsigned from = 0;

    assert(run->count <= STK_RUN_COUNT_MAX);
    for (unsigned i = 0; first && i < run->count; i++)
        counters[i] = seal_header_counter(stk_run_at(run, i), first->replay.next);
    while (from < run->count) {
        struct seal_session *s = a && !a->freed ? seal_session_by_index(a, index) : NULL;
        unsigned to = from;
        if (!s || seal_now(port) - s->born_us >= SEAL_REJECT_AFTER_US) {
            port->stats.forged += run->count - from;
            return;
        }
        const uint64_t later = seal_session_sent_later(a, s);
        while (to < run->count && may_open(s, counters[to], later, &port->stats))
            to++;
        if (to > from) {
            const struct stk_run part = slice_of(run, from, to);
            open_packets(a, s, &part, counters + from);
        }
        from = to + 1;
    }
}
