#include "join.h"

#include <string.h>
#include <sys/wait.h>

static struct join_side *side_of(const struct stk_conn *conn) { return stk_conn_user(conn); }

static void take_stats(struct join_side *side)
{
    struct join *join = side->join;

    if (side->conn == NULL || (join->of != NULL && join->of != side))
        return;
    stats_take(&join->stats, side->conn);
    if (join->stats.has_path)
        join->of = side;
}

void join_take_stats(struct join *join)
{
    take_stats(&join->a);
    take_stats(&join->b);
}

/* A side that stays is done when the other one is. */
static bool is_over(const struct join_side *side)
{
    return side->closed || (side->keep && side->other->closed);
}

static void check_done(struct join *join)
{
    if (join->ended || !is_over(&join->a) || !is_over(&join->b))
        return;
    join->ended = true;
    stk_task_queue(&join->task);
}

static void tell_done(struct stk_task *task)
{
    struct join *join = STK_CONTAINER(task, struct join, task);

    join->done(join);
}

/* --- Passing on
 * ----------------------------------------------------------------------------------- */

static void on_opened(struct stk_conn *conn)
{
    struct join_side *side = side_of(conn);

    side->opened = true;
    if (side->join->opened != NULL)
        side->join->opened(side->join, side);
}

static void unblock(struct join_side *side)
{
    if (!side->blocked || side->conn == NULL)
        return;
    side->blocked = false;
    stk_conn_resume(side->conn);
}

/* What one side did because the other one had failed explains nothing. */
static void note_error(struct join_side *side, const struct stk_error *error)
{
    struct join *join = side->join;

    if (side->error.code != 0)
        return;
    side->error = *error;
    if (join->failed == NULL && error->code != -ECONNABORTED)
        join->failed = side;
}

/*
 * A local end that takes no more: the news would wait behind what it has to say, and that may wait
 * for the peer.
 */
static void writing_failed(struct join_side *side)
{
    const struct stk_error *error = stk_conn_error(side->conn);

    if (!side->local || error == NULL || side->error.code != 0)
        return;
    note_error(side, error);
    stk_conn_abort(side->conn);
}

static size_t on_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct join_side *side = side_of(conn), *other = side->other;
    size_t used = 0;

    if (other->closed)
        used = len; /* nobody is left to take it */
    else if (other->conn != NULL) {
        const long sent = stk_conn_write(other->conn, data, len);

        used = sent > 0 ? (size_t)sent : (sent == STK_AGAIN ? 0 : len);
        if (sent < 0 && sent != STK_AGAIN)
            writing_failed(other);
    }
    side->received += used;
    if (used < len) {
        side->blocked = true;
        stk_conn_pause(conn);
    }
    return used;
}

static void on_writable(struct stk_conn *conn) { unblock(side_of(conn)->other); }

static void pass_finish(struct join_side *to)
{
    if (to->keep || to->closed)
        return;
    if (to->conn != NULL)
        stk_conn_finish(to->conn);
    else
        to->finish_other = true;
}

static void on_finished(struct stk_conn *conn)
{
    struct join_side *side = side_of(conn);

    side->finished = true;
    pass_finish(side->other);
    if (side->join->finish_with_peer)
        pass_finish(side);
}

static void on_delivered(struct stk_conn *conn) { take_stats(side_of(conn)); }

/* A command that ended by itself: its output is whole, whatever its exit status says. */
static bool is_child_that_exited(const struct join_side *side)
{
    int status;

    return stk_conn_query(side->conn, STK_QUERY_EXIT_STATUS, &status, sizeof status) == 0 &&
           WIFEXITED(status);
}

/*
 * One side is gone. After an error a local end still gets what came before it; to a remote end a
 * clean finish would lie about what it has, so it sees a reset.
 */
static void end_other(struct join_side *side, const struct stk_error *error)
{
    struct join_side *other = side->other;

    if (other->conn == NULL || other->closed || other->keep)
        return;
    if (error != NULL && !other->local && !side->exited) {
        stk_conn_fail(other->conn, -ECONNABORTED, "p2pcat", "the other side of the join failed");
        return;
    }
    /* A command that writes on is told, as in a pipeline, and not heard out. */
    stk_conn_control(other->conn, STK_CONTROL_UNREAD, 1);
    stk_conn_close(other->conn);
}

static void side_closed(struct join_side *side, const struct stk_error *error)
{
    if (error != NULL)
        note_error(side, error);
    take_stats(side);
    side->exited = side->conn != NULL && is_child_that_exited(side);
    side->closed = true;
    side->conn = NULL;
    unblock(side->other);
    end_other(side, error);
    check_done(side->join);
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    side_closed(side_of(conn), error);
}

const struct stk_protocol join_protocol = {
    .opened = on_opened,
    .received = on_received,
    .finished = on_finished,
    .writable = on_writable,
    .delivered = on_delivered,
    .closed = on_closed,
};

/* --- The public face
 * ---------------------------------------------------------------------------------- */

void join_init(struct join *join, struct stk_loop *loop, void (*done)(struct join *), void *user)
{
    memset(join, 0, sizeof *join);
    join->a.join = join->b.join = join;
    join->a.other = &join->b;
    join->b.other = &join->a;
    join->done = done;
    join->user = user;
    join->started_us = stk_loop_now_us(loop);
    stk_task_init(&join->task, loop, tell_done);
}

void join_attach(struct join_side *side, struct stk_conn *conn, bool is_open)
{
    side->conn = conn;
    stk_conn_set_protocol(conn, &join_protocol, side);
    if (is_open)
        on_opened(conn);
    if (side->finish_other)
        stk_conn_finish(conn);
    if (side->other->closed) /* it failed before this one was there */
        end_other(side->other, side->other->error.code != 0 ? &side->other->error : NULL);
    unblock(side->other);
}

void join_side_failed(struct join_side *side, const struct stk_error *error)
{
    side_closed(side, error);
}

void join_stop_reading(struct join_side *side)
{
    stk_conn_pause(side->conn);
    side->finished = true;
    pass_finish(side->other);
}

void join_abort(struct join *join)
{
    struct join_side *sides[] = {&join->a, &join->b};

    for (int i = 0; i < 2; i++) {
        if (sides[i]->conn != NULL)
            stk_conn_abort(sides[i]->conn);
        else if (!sides[i]->closed)
            side_closed(sides[i], NULL);
    }
}

const struct stk_error *join_error(const struct join *join, const struct join_side **side)
{
    if (join->failed == NULL)
        return NULL;
    *side = join->failed;
    return &join->failed->error;
}
