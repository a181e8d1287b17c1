/*
 * p2pcat STACK STACK: joins any two stacks. "listen:" before a stack waits for a connection on it;
 * then the other one is connected. With --keep-open every connection gets one of its own.
 */
#include "arrivals.h"
#include "transfer.h"

#include <stdio.h>
#include <string.h>

static const char listen_prefix[] = "listen:";

struct stacks {
    struct app app;
    const char *address[2]; /* without the prefix */
    bool listens[2];
    struct arrivals arrivals[2];
    struct transfer *waiting; /* has one side, and waits for the other to arrive */
};

static void on_done(struct transfer *transfer)
{
    struct stacks *s = transfer->user;

    if (transfer == s->waiting)
        s->waiting = NULL;
    if (!s->app.options.keep_open)
        app_quit(&s->app);
}

static struct transfer *new_transfer(struct stacks *s)
{
    struct transfer *t = transfer_new(&s->app);

    if (t != NULL) {
        t->done = on_done;
        t->user = s;
    }
    return t;
}

static struct join_side *side_at(struct transfer *t, int index)
{
    return index == 0 ? &t->join.a : &t->join.b;
}

/* Whoever came and left again before the other end was there is not joined to the next one. */
static void forget_who_left(struct stacks *s)
{
    struct transfer *t = s->waiting;

    if (t == NULL || !s->app.options.keep_open)
        return;
    for (int i = 0; i < 2 && s->waiting != NULL; i++)
        if (side_at(t, i)->closed) {
            s->waiting = NULL;
            join_side_failed(side_at(t, 1 - i), NULL);
        }
}

/* The second of two listening stacks has a connection, or the one that listens has. */
static void on_arrival(struct arrivals *arrivals, struct stk_conn *conn)
{
    struct stacks *s = arrivals->user;
    const int index = arrivals == &s->arrivals[0] ? 0 : 1, other = 1 - index;

    forget_who_left(s);
    struct transfer *t =
        s->waiting != NULL && side_at(s->waiting, index)->conn == NULL ? s->waiting : NULL;

    if (t == NULL && s->waiting != NULL) { /* this end is taken: the other one is waited for */
        stk_conn_abort(conn);
        return;
    }
    if (t == NULL && (t = new_transfer(s)) == NULL) {
        stk_conn_abort(conn);
        return;
    }
    if (!s->app.options.keep_open)
        arrivals_close(arrivals);
    join_attach(side_at(t, index), conn, true);
    if (!s->listens[other])
        transfer_connect(t, side_at(t, other), s->address[other]);
    else
        s->waiting = s->waiting == NULL ? t : NULL;
}

static void on_stop(struct app *app)
{
    struct stacks *s = STK_CONTAINER(app, struct stacks, app);

    for (int i = 0; i < 2; i++)
        if (s->listens[i])
            arrivals_close(&s->arrivals[i]);
}

/* --- Starting ------------------------------------------------------------------------------------
 */

static int check(const char *address)
{
    struct stk_recipe *recipe;
    struct stk_error error;

    if (stk_recipe_parse(address, &recipe, &error) < 0) {
        talk_error("%s", error.text);
        return EXIT_USAGE;
    }
    const enum stk_shape shape = stk_recipe_shape(recipe);
    stk_recipe_unref(recipe);
    if (shape == STK_STREAM)
        return 0;
    talk_error("%s ends in %s, but two streams are joined", address,
               shape == STK_DATAGRAMS ? "datagrams" : "no stream");
    talk_hint("%s", shape == STK_DATAGRAMS ? "put ptcp on top" : "p2pcat http fetches pages");
    return EXIT_USAGE;
}

static bool uses_seal(const char *address) { return strstr(address, "/seal") != NULL; }

static int start_listening(struct stacks *s, int index)
{
    struct stk_error error;

    arrivals_init(&s->arrivals[index], on_arrival, s);
    if (arrivals_listen(&s->arrivals[index], s->app.loop, s->address[index], &error) < 0) {
        talk_failure(&error);
        return app_code_of(&error, false, true);
    }
    arrivals_announce(&s->arrivals[index], s->address[index]);
    return 0;
}

static int start(struct stacks *s)
{
    int status = 0;

    for (int i = 0; i < 2 && status == 0; i++)
        status = check(s->address[i]);
    if (status == 0 && (uses_seal(s->address[0]) || uses_seal(s->address[1])))
        status = app_load_identity(&s->app);
    for (int i = 0; i < 2 && status == 0; i++)
        if (s->listens[i])
            status = start_listening(s, i);
    if (status != 0 || s->listens[0] || s->listens[1])
        return status;

    struct transfer *t = new_transfer(s);
    if (t == NULL)
        return EXIT_OTHER;
    transfer_connect(t, &t->join.a, s->address[0]);
    transfer_connect(t, &t->join.b, s->address[1]);
    return 0;
}

int cmd_stacks(const struct app_options *options, int count, char **words)
{
    struct stacks s = {0};
    int status;

    if (count != 2) {
        talk_error("two stacks are joined, but %d %s given", count, count == 1 ? "was" : "were");
        talk_hint("p2pcat - /dns/example.org/tcp/80, for example; p2pcat --help shows more");
        return EXIT_USAGE;
    }
    for (int i = 0; i < 2; i++) {
        s.listens[i] = strncmp(words[i], listen_prefix, sizeof listen_prefix - 1) == 0;
        s.address[i] = words[i] + (s.listens[i] ? sizeof listen_prefix - 1 : 0);
    }
    /* Statistics and -v speak of side a: the local end is the other one. */
    if (transfer_is_local(s.address[0]) && !transfer_is_local(s.address[1])) {
        const char *address = s.address[0];
        const bool listens = s.listens[0];

        s.address[0] = s.address[1];
        s.listens[0] = s.listens[1];
        s.address[1] = address;
        s.listens[1] = listens;
    }
    if (options->keep_open && !s.listens[0] && !s.listens[1]) {
        talk_error("--keep-open is for a stack that listens: write listen: before it");
        return EXIT_USAGE;
    }
    if ((status = app_refuse_for_stacks(options)) != 0 || (status = app_init(&s.app, options)) != 0)
        return status;
    s.app.stop = on_stop;
    status = start(&s);
    if (status == 0)
        status = app_run(&s.app);
    on_stop(&s.app);
    app_free(&s.app);
    return status;
}
