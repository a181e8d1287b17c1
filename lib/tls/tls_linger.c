#include "tls_linger.h"

#include "tls.h"
#include "tls_bio.h"

#include <assert.h>

enum { THROWN_AWAY_MAX = 1024 * 1024 };

void tls_linger_end(struct tls_layer *tls)
{
    assert(tls->state == TLS_LINGERING && stk_layer_error(&tls->layer) != 0);
    stk_layer_set_timer(&tls->layer, 0);
    tls_move(tls, TLS_FAILED);
    stk_layer_raise(&tls->layer, STK_ERROR | STK_RX);
}

static bool end_our_direction(struct tls_layer *tls)
{
    int status = tls_bio_drain(tls);

    if (status == 0 && tls->fin != TLS_FIN_SENT) {
        status = (int)stk_layer_send_below(&tls->layer, NULL, 0, STK_FIN);
        if (status == 0)
            tls->fin = TLS_FIN_SENT;
    }
    return status == 0 || status == STK_AGAIN;
}

/* False after an error, or when too much came. */
static bool throw_away(struct tls_layer *tls)
{
    uint8_t rubbish[4096];
    const struct iovec iov = {rubbish, sizeof rubbish};
    long got = STK_AGAIN;

    while (tls->read_budget > 0 && (got = stk_layer_recv_below(&tls->layer, &iov, 1)) > 0)
        tls->read_budget -= (size_t)got < tls->read_budget ? (size_t)got : tls->read_budget;
    tls->peer_gone = got == 0;
    return got == STK_AGAIN || got == 0;
}

void tls_linger_advance(struct tls_layer *tls, unsigned events)
{
    if (events & STK_TX_DONE)
        tls->alert_delivered = true;
    if (!end_our_direction(tls) || !throw_away(tls) || (events & STK_ERROR) ||
        (tls->peer_gone && tls->alert_delivered))
        tls_linger_end(tls);
}

void tls_linger_begin(struct tls_layer *tls)
{
    tls_move(tls, TLS_LINGERING);
    tls->read_budget = THROWN_AWAY_MAX;
    stk_layer_set_timer(&tls->layer,
                        stk_loop_now_us(stk_layer_loop(&tls->layer)) + STK_TLS_LINGER_US);
    tls_linger_advance(tls, 0);
}
