#include "conn.h"

#include <stdio.h>

static void not_opened(struct stk_conn *conn)
{
    const struct stk_layer *layer = conn->bottom;
    char text[128];

    while (layer->ready && layer->above != NULL)
        layer = layer->above;
    snprintf(text, sizeof text, "no answer within %.3g s: check that the peer is up and reachable",
             (double)conn->open_timeout_ms / 1e3);
    conn_set_error(conn, -ETIMEDOUT, layer->segment->type->name, text);
    conn_break(conn);
}

static void passed(struct stk_timer *timer)
{
    struct stk_conn *conn = STK_CONTAINER(timer, struct deadline, timer)->conn;

    if (conn->state == CONN_CLOSING)
        conn_closing_deadline(conn);
    else if (conn->state == CONN_OPENING)
        not_opened(conn);
}

uint32_t deadline_ms(uint64_t delay_us)
{
    const uint64_t delay_ms = delay_us / 1000 + (delay_us % 1000 > 0);

    return delay_ms < UINT32_MAX ? (uint32_t)delay_ms : UINT32_MAX;
}

bool deadline_in(struct stk_conn *conn, uint32_t delay_ms)
{
    if (conn->deadline == NULL) {
        conn->deadline = stk_alloc_zero(sizeof *conn->deadline);
        if (conn->deadline == NULL)
            return false;
        conn->deadline->conn = conn;
        stk_timer_init(&conn->deadline->timer, conn_loop(conn), passed);
    }
    stk_timer_in(&conn->deadline->timer, (uint64_t)delay_ms * 1000);
    return true;
}

void deadline_stop(struct stk_conn *conn)
{
    if (conn->deadline == NULL)
        return;
    stk_timer_stop(&conn->deadline->timer);
    stk_free(conn->deadline);
    conn->deadline = NULL;
}
