#include "conn.h"

#include <stdio.h>

static void not_opened(struct stk_conn *conn)
{
    const struct stk_layer *layer = conn->bottom;
    char text[128];

    while (layer->ready && layer->above != NULL)
        layer = layer->above;
    snprintf(text, sizeof text, "no answer within %.3g s: check that the peer is up and reachable",
             (double)conn->open_timeout_us / 1e6);
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

bool deadline_in(struct stk_conn *conn, uint64_t delay_us)
{
    if (conn->deadline == NULL) {
        conn->deadline = stk_alloc_zero(sizeof *conn->deadline);
        if (conn->deadline == NULL)
            return false;
        conn->deadline->conn = conn;
        stk_timer_init(&conn->deadline->timer, conn->loop, passed);
    }
    stk_timer_in(&conn->deadline->timer, delay_us);
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
