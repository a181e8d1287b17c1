#include "probe.h"

#include "layer.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 4 };

struct probe {
    struct stk_layer layer;
    bool started, ready, aborted;
    bool inside;    /* a call down is under way */
    bool at_end;    /* recv gave 0 */
    bool fin_taken; /* by the layer below */
    bool tx_owed;   /* send came back short */
    bool tx_done, tx_greeted;
    bool on_chaos;
    int failure; /* that recv or send gave */
    int sticky;  /* the connection's error as it was seen first */
};

static int violations, alive;

static struct probe *probe_of(struct stk_layer *layer) { return (struct probe *)layer; }

static void expect(struct probe *p, bool kept, const char *rule)
{
    if (kept)
        return;
    if (violations++ < SHOWN_MAX)
        printf("\n    probe on %s (%s side): %s\n", p->layer.below->segment->type->name,
               stk_layer_is_listening(&p->layer) ? "listening" : "connecting", rule);
}

/* --- From below ------------------------------------------------------------------------------- */

static int probe_init(struct stk_layer *layer)
{
    probe_of(layer)->on_chaos = strcmp(layer->below->segment->type->name, "chaos") == 0;
    alive++;
    return 0;
}

static void probe_start(struct stk_layer *layer)
{
    struct probe *p = probe_of(layer);

    expect(p, !p->inside, "READY comes from inside a call");
    expect(p, !p->started, "READY comes twice");
    p->started = p->ready = true;
    stk_layer_raise(layer, STK_READY);
}

static void watch_error(struct probe *p, unsigned events)
{
    const int code = stk_layer_error(&p->layer);

    expect(p, !(events & STK_ERROR) || code != 0, "ERROR is raised without an error");
    expect(p, p->sticky == 0 || p->sticky == code, "the first error does not stick");
    p->sticky = code;
}

static void watch_tx(struct probe *p)
{
    /* Together with READY a layer may say that there is room. */
    expect(p, p->tx_owed || !p->tx_greeted || p->on_chaos, "TX comes though none is owed");
    p->tx_greeted = true;
    p->tx_owed = false;
}

static void probe_on_below(struct stk_layer *layer, unsigned events)
{
    struct probe *p = probe_of(layer);

    expect(p, !p->inside, "an event comes from inside a call");
    expect(p, p->started || (events & STK_ERROR), "an event comes before READY");
    expect(p, !(events & (STK_CLOSED | STK_READY)), "CLOSED or READY comes as an event");
    watch_error(p, events);
    if (events & STK_TX)
        watch_tx(p);
    if (events & STK_TX_DONE) {
        expect(p, p->fin_taken, "TX_DONE comes before FIN was taken");
        expect(p, !p->tx_done, "TX_DONE comes twice");
        p->tx_done = true;
    }
    stk_layer_raise(layer, events);
}

/* --- From above ------------------------------------------------------------------------------- */

static size_t bytes_of(const struct iovec *iov, int count)
{
    size_t total = 0;

    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

static void watch_call(struct probe *p)
{
    expect(p, p->ready, "a call comes before READY");
    expect(p, !p->inside, "a call comes from inside another one");
    expect(p, !p->aborted, "a call comes after abort");
}

static long watch_failure(struct probe *p, long status)
{
    if (status >= 0 || status == STK_AGAIN || status == STK_ESHUTDOWN)
        return status;
    expect(p, p->failure == 0 || p->failure == status, "an error changes its code");
    p->failure = (int)status;
    return status;
}

static long probe_recv(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct probe *p = probe_of(layer);
    const size_t want = bytes_of(iov, count);

    watch_call(p);
    p->inside = true;
    const long got = stk_layer_recv_below(layer, iov, count);
    p->inside = false;
    expect(p, got <= (long)want, "recv gives more than was asked for");
    expect(p, !p->at_end || got <= 0, "bytes come after the end");
    expect(p, !p->at_end || got != STK_AGAIN || p->on_chaos, "AGAIN comes after the end");
    if (got == 0 && want > 0)
        p->at_end = true;
    return watch_failure(p, got);
}

static long probe_send(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    struct probe *p = probe_of(layer);
    const size_t want = bytes_of(iov, count);

    watch_call(p);
    expect(p, !p->fin_taken || want == 0, "bytes are sent behind FIN");
    p->inside = true;
    const long sent = stk_layer_send_below(layer, iov, count, flags);
    p->inside = false;
    expect(p, sent <= (long)want, "send takes more than there is");
    expect(p, p->failure == 0 || sent < 0 || want == 0, "send takes bytes after an error");
    if (sent == STK_AGAIN || (sent >= 0 && (size_t)sent < want))
        p->tx_owed = true;
    else if (sent >= 0 && (flags & STK_FIN))
        p->fin_taken = true;
    return watch_failure(p, sent);
}

static void probe_abort(struct stk_layer *layer)
{
    struct probe *p = probe_of(layer);

    expect(p, !p->inside, "abort comes from inside a call");
    p->aborted = true;
    stk_layer_abort_below(layer);
}

static void probe_destroy(struct stk_layer *layer)
{
    (void)layer;
    alive--;
}

static const struct stk_stream_type probe_type = {
    .size = sizeof(struct probe),
    .init = probe_init,
    .start = probe_start,
    .recv = probe_recv,
    .send = probe_send,
    .on_below = probe_on_below,
    .abort = probe_abort,
    .destroy = probe_destroy,
};

static const struct stk_layer_type probe_layer = {
    .name = "probe",
    .summary = "watches whether its neighbours keep the contract",
    .below = STK_STREAM,
    .above = STK_STREAM,
    .stream = &probe_type,
};

void probe_register(void) { stk_layer_type_add(&probe_layer); }

int probe_take_violations(void)
{
    const int taken = violations;

    violations = 0;
    return taken;
}

int probe_alive(void) { return alive; }
