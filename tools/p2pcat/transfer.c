#include "transfer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TICK_US = 250000, LAST_WORDS_MAX_US = 2000000 };

/* --- Progress
 * -------------------------------------------------------------------------------------- */

static uint64_t moved(const struct transfer *t) { return t->join.a.received + t->join.b.received; }

static bool is_file(int fd, uint64_t *size)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    *size = (uint64_t)st.st_size;
    return true;
}

/* Progress is for files: a pipe of a program that talks needs none. */
static bool wants_progress(struct transfer *t)
{
    uint64_t size = 0;
    const struct app_options *o = &t->app->options;

    if (!talk_on_terminal() || o->quiet || o->keep_open || o->exec != NULL)
        return false;
    if (is_file(STDIN_FILENO, &size)) {
        const off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);

        t->total = at > 0 && (uint64_t)at < size ? size - (uint64_t)at : size;
        return true;
    }
    return o->progress || is_file(STDOUT_FILENO, &size);
}

static void show_progress(struct transfer *t)
{
    char done[TALK_SIZE_MAX], all[TALK_SIZE_MAX], rate[TALK_SIZE_MAX], brief[STATS_BRIEF_MAX] = "";

    if (t->app->options.stats) {
        join_take_stats(&t->join);
        stats_brief(&t->join.stats, brief);
    }
    talk_size(moved(t), done);
    talk_size((uint64_t)t->rate, rate);
    if (t->total > 0 && t->join.b.received <= t->total && t->join.b.received > 0) {
        const double left_s = t->rate > 1 ? (double)(t->total - t->join.b.received) / t->rate : 0;

        talk_progress("%s of %s  %3.0f %%  %s/s  %.0f s left  %s", done, talk_size(t->total, all),
                      100.0 * (double)t->join.b.received / (double)t->total, rate, left_s, brief);
    } else {
        talk_progress("%s  %s/s  %s", done, rate, brief);
    }
}

static void on_tick(struct stk_timer *timer)
{
    struct transfer *t = STK_CONTAINER(timer, struct transfer, tick);
    const uint64_t now_us = stk_loop_now_us(t->app->loop);
    const double seconds = (double)(now_us - t->shown_us) / 1e6;

    if (seconds > 0) {
        const double rate = (double)(moved(t) - t->shown_bytes) / seconds;

        t->rate = t->rate > 0 ? 0.7 * t->rate + 0.3 * rate : rate;
    }
    t->shown_bytes = moved(t);
    t->shown_us = now_us;
    show_progress(t);
    stk_timer_in(&t->tick, TICK_US);
}

/* --- The stack
 * ------------------------------------------------------------------------------------------ */

static void note_remote(struct transfer *t, struct stk_conn *conn)
{
    uint8_t key[STK_KEY_BYTES];
    char text[STK_KEY_TEXT_MAX];
    struct stk_addr peer;
    char address[STK_ADDR_TEXT_MAX];

    stk_conn_describe(conn, t->stack, sizeof t->stack);
    if (stk_conn_query(conn, STK_QUERY_PATH, t->path, sizeof t->path) != 0 &&
        stk_conn_query(conn, STK_QUERY_PEER_ADDR, &peer, sizeof peer) == 0)
        snprintf(t->path, sizeof t->path, "direct %s", stk_addr_format(&peer, address));
    talk_verbose("stack %s", t->stack);
    if (t->path[0] != '\0')
        talk_verbose("path %s", t->path);
    if (stk_conn_query(conn, STK_QUERY_PEER_KEY, key, sizeof key) == 0)
        talk_verbose("peer %s", stk_key_format(key, text));
}

static void on_opened(struct join *join, struct join_side *side)
{
    struct transfer *t = join->user;

    if (side->local) {
        if (side == &join->b && t->app->options.receive_only)
            join_stop_reading(side);
        return;
    }
    if (t->opened_us == 0) {
        t->opened_us = stk_loop_now_us(t->app->loop);
        if (stk_conn_listener(side->conn) == NULL)
            t->handshake_us = t->opened_us - t->join.started_us;
    }
    note_remote(t, side->conn);
    if (side == &join->a && wants_progress(t) && !stk_timer_armed(&t->tick)) {
        t->shown_us = t->opened_us;
        stk_timer_in(&t->tick, TICK_US);
    }
}

/* --- The end
 * ------------------------------------------------------------------------------------------------
 */

static void show_stats(const struct transfer *t, double seconds)
{
    const struct stats_sums sums = {.stack = t->stack,
                                    .sent_bytes = t->join.b.received,
                                    .received_bytes = t->join.a.received,
                                    .handshake_us = t->handshake_us,
                                    .seconds = seconds};

    stats_show(&t->join.stats, &sums, t->app->options.json);
}

/* Whom an initiation is not meant for can't read it, and says nothing. */
static bool may_have_another_key(const struct transfer *t, const struct join_side *side,
                                 const struct stk_error *error)
{
    return error->code == -ETIMEDOUT && !side->opened && !side->local && t->address != NULL &&
           strstr(t->address, "/seal,") != NULL;
}

static void tell_error(struct transfer *t)
{
    const struct join_side *side;
    const struct stk_error *error = join_error(&t->join, &side);

    if (error == NULL || t->app->stopping)
        return;
    talk_failure(error);
    if (may_have_another_key(t, side, error))
        talk_hint("a peer with another key than that of peer= does not answer either");
    if (moved(t) > 0 && side->opened && !side->local) {
        char sent[TALK_SIZE_MAX], received[TALK_SIZE_MAX];

        talk_hint("after %s sent and %s received", talk_size(t->join.b.received, sent),
                  talk_size(t->join.a.received, received));
    }
    app_fail(t->app, side->stillborn ? app_code_of_start(error)
                                     : app_code_of(error, side->opened, side->local));
}

/*
 * If the last acknowledgement is lost, the peer repeats its end after a probe time-out (RFC 9002
 * section 6.2.1): three of them are waited for.
 */
static uint64_t last_words_us(const struct join *join)
{
    const struct stk_stats *s = &join->stats.path;
    const uint64_t wait_us = 3 * (s->rtt_us + 4 * s->rtt_variance_us + 25000);

    if (!join->stats.has_path)
        return 0;
    return wait_us < LAST_WORDS_MAX_US ? wait_us : LAST_WORDS_MAX_US;
}

static void on_done(struct join *join)
{
    struct transfer *t = join->user;
    struct app *app = t->app;
    const uint64_t now_us = stk_loop_now_us(app->loop);
    const double seconds = t->opened_us > 0 ? (double)(now_us - t->opened_us) / 1e6 : 0;

    stk_timer_stop(&t->tick);
    talk_progress_clear();
    app->last_words_us = last_words_us(join);
    tell_error(t);
    if (t->opened_us > 0 && (app->options.json || app->options.stats))
        show_stats(t, seconds);
    stk_list_remove(&t->node);
    app->transfer_count--;
    if (t->done != NULL)
        t->done(t);
    stk_free(t);
    if (app->stopping && app->transfer_count == 0)
        app_quit(app);
}

/* --- The public face
 * ------------------------------------------------------------------------------------------ */

struct transfer *transfer_new(struct app *app)
{
    struct transfer *t = stk_alloc_zero(sizeof *t);

    if (t == NULL) {
        talk_error("out of memory");
        app_fail(app, EXIT_OTHER);
        return NULL;
    }
    t->app = app;
    join_init(&t->join, app->loop, on_done, t);
    t->join.opened = on_opened;
    stk_timer_init(&t->tick, app->loop, on_tick);
    stk_list_append(&app->transfers, &t->node);
    app->transfer_count++;
    return t;
}

bool transfer_is_local(const char *address)
{
    static const char *const local[] = {"-", "/stdio", "/fd/", "/fifo/", "/process/"};

    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (strncmp(address, local[i], strlen(local[i])) == 0)
            return true;
    return false;
}

void transfer_connect(struct transfer *t, struct join_side *side, const char *address)
{
    struct stk_error error = {0};
    struct stk_conn *conn;

    side->local = transfer_is_local(address);
    if (!side->local)
        t->address = address;
    if (stk_connect(t->app->loop, address, &join_protocol, side, &conn, &error) < 0) {
        side->stillborn = true;
        join_side_failed(side, &error);
        return;
    }
    if (t->app->options.timeout_us != 0)
        stk_conn_set_connect_timeout(conn, t->app->options.timeout_us);
    join_attach(side, conn, false);
}

void transfer_connect_local(struct transfer *t)
{
    const struct app_options *o = &t->app->options;
    char address[STK_RECIPE_TEXT_MAX] = "/stdio";

    if (o->exec != NULL) {
        char command[STK_RECIPE_TEXT_MAX - sizeof "/process/" + 4]; /* app_check_command() */

        snprintf(address, sizeof address, "/process/%s",
                 stk_percent_encode(o->exec, command, sizeof command));
    } else if (isatty(STDIN_FILENO)) {
        t->join.finish_with_peer = true;
    }
    transfer_connect(t, &t->join.b, address);
}

void transfer_abort_all(struct app *app)
{
    STK_LIST_EACH(node, &app->transfers)
    {
        join_abort(&STK_CONTAINER(node, struct transfer, node)->join);
    }
}
