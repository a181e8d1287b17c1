/*
 * p2pcat listen: waits on UDP, prints a ticket, joins what comes to standard input and output or
 * to a command.
 */
#include "arrivals.h"
#include "local.h"
#include "ticket.h"
#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WAITING_MAX = 16,  /* streams that may wait for their turn at standard input and output */
    RUNNING_MAX = 256, /* commands side by side */
};

struct listen {
    struct app app;
    struct arrivals arrivals;
    struct stk_conn *waiting[WAITING_MAX];
    int waiting_count;
    struct stk_conn *stdio; /* with --keep-open it outlives the streams */
    bool stdin_ended;
    struct transfer *current; /* who has standard input and output */
};

/* --- Standard input and output between two streams
 * ------------------------------------------------- */

static void stdio_finished(struct stk_conn *conn)
{
    ((struct listen *)stk_conn_user(conn))->stdin_ended = true;
}

static void stdio_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct listen *l = stk_conn_user(conn);

    l->stdio = NULL;
    if (error != NULL && !l->app.stopping) {
        talk_failure(error);
        app_fail(&l->app, EXIT_LOCAL);
        app_quit(&l->app);
    }
}

static const struct stk_protocol idle_stdio = {.finished = stdio_finished, .closed = stdio_closed};

static void release_stdio(struct listen *l, struct transfer *t)
{
    struct join_side *side = &t->join.b;

    if (side->conn == NULL) { /* it failed in the meantime */
        l->stdio = NULL;
        return;
    }
    l->stdin_ended = side->finished;
    stk_conn_pause(side->conn);
    stk_conn_set_protocol(side->conn, &idle_stdio, l);
}

static void attach_stdio(struct listen *l, struct transfer *t)
{
    struct stk_error error = {0};

    if (l->stdio == NULL &&
        stk_connect(l->app.loop, "/stdio", &idle_stdio, l, &l->stdio, &error) < 0) {
        join_side_failed(&t->join.b, &error);
        return;
    }
    t->join.b.keep = true;
    t->join.b.local = true;
    t->join.b.finished = l->stdin_ended;
    join_attach(&t->join.b, l->stdio, false);
    stk_conn_resume(l->stdio);
    if (l->stdin_ended || l->app.options.receive_only)
        join_stop_reading(&t->join.b);
}

/* --- Streams
 * ------------------------------------------------------------------------------------------- */

static void take_stream(struct listen *l, struct stk_conn *conn);

static void on_done(struct transfer *t)
{
    struct listen *l = t->user;

    if (t == l->current) {
        l->current = NULL;
        if (l->app.options.keep_open)
            release_stdio(l, t);
    }
    if (!l->app.options.keep_open) {
        app_quit(&l->app);
        return;
    }
    talk_verbose("stream ended");
    if (l->current == NULL && l->waiting_count > 0 && !l->app.stopping) {
        struct stk_conn *next = l->waiting[0];

        memmove(l->waiting, l->waiting + 1, (size_t)--l->waiting_count * sizeof *l->waiting);
        take_stream(l, next);
    }
}

static void take_stream(struct listen *l, struct stk_conn *conn)
{
    struct transfer *t = transfer_new(&l->app);

    if (t == NULL) {
        stk_conn_abort(conn);
        return;
    }
    t->done = on_done;
    t->user = l;
    stk_conn_resume(conn);
    join_attach(&t->join.a, conn, true);
    if (l->app.options.exec != NULL) {
        transfer_connect_local(t);
    } else {
        l->current = t;
        if (l->app.options.keep_open)
            attach_stdio(l, t);
        else
            transfer_connect_local(t);
    }
}

/* A stream that waits for its turn: it may give up meanwhile. */
static void waiting_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct listen *l = stk_conn_user(conn);

    (void)error;
    for (int i = 0; i < l->waiting_count; i++)
        if (l->waiting[i] == conn) {
            memmove(l->waiting + i, l->waiting + i + 1,
                    (size_t)(--l->waiting_count - i) * sizeof *l->waiting);
            return;
        }
}

static const struct stk_protocol waiting_protocol = {.closed = waiting_closed};

static void wait_for_turn(struct listen *l, struct stk_conn *conn)
{
    if (l->waiting_count == WAITING_MAX) {
        talk_verbose("too many streams wait: one is turned away");
        stk_conn_abort(conn);
        return;
    }
    stk_conn_pause(conn);
    stk_conn_set_protocol(conn, &waiting_protocol, l);
    l->waiting[l->waiting_count++] = conn;
}

static void on_arrival(struct arrivals *arrivals, struct stk_conn *conn)
{
    struct listen *l = arrivals->user;
    const struct app_options *o = &l->app.options;

    if (!o->keep_open) {
        arrivals_close(arrivals);
        take_stream(l, conn);
    } else if (o->exec != NULL && l->app.transfer_count >= RUNNING_MAX) {
        talk_verbose("%d commands are running: a stream is turned away", RUNNING_MAX);
        stk_conn_abort(conn);
    } else if (o->exec == NULL && l->current != NULL) {
        wait_for_turn(l, conn);
    } else {
        take_stream(l, conn);
    }
}

static void on_stop(struct app *app)
{
    struct listen *l = STK_CONTAINER(app, struct listen, app);

    arrivals_close(&l->arrivals);
    while (l->waiting_count > 0)
        stk_conn_abort(l->waiting[--l->waiting_count]);
}

/* --- The ticket
 * ------------------------------------------------------------------------------------------ */

static int fill_ticket(struct listen *l, struct ticket *ticket)
{
    struct stk_addr bound;

    memcpy(ticket->key, l->app.identity.public_key, sizeof ticket->key);
    if (stk_listener_addr(l->arrivals.listener, &bound) < 0)
        return -1;
    if (!stk_addr_is_any(&bound)) {
        ticket->addresses[0] = bound;
        ticket->count = 1;
        return 0;
    }
    ticket->count = local_addresses(ticket->addresses, TICKET_ADDRESSES_MAX,
                                    bound.any.sa_family == AF_INET ? AF_INET : AF_UNSPEC,
                                    stk_addr_port(&bound));
    return ticket->count > 0 ? 0 : -1;
}

static bool write_line(const char *path, const char *mode, const char *text)
{
    FILE *file = fopen(path, mode);

    if (file == NULL)
        return false;
    const bool written = fprintf(file, "%s\n", text) >= 0;
    return fclose(file) == 0 && written;
}

/* A pipe, a terminal or a link such as /dev/stdout is written to, and not replaced by a file. */
static bool is_to_be_replaced(const char *path)
{
    struct stat st;

    return lstat(path, &st) < 0 || S_ISREG(st.st_mode);
}

/* Whoever waits for the file never sees half a ticket. */
static int write_ticket(const char *path, const char *text)
{
    char temporary[4096];
    bool written;

    if (is_to_be_replaced(path)) {
        snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
        written = write_line(temporary, "wxe", text) && rename(temporary, path) == 0;
    } else {
        *temporary = '\0';
        written = write_line(path, "we", text);
    }
    if (written)
        return 0;
    talk_error("the ticket can't be written to %s: %s", path, strerror(errno));
    if (*temporary != '\0')
        unlink(temporary);
    return EXIT_LOCAL;
}

static int publish_ticket(struct listen *l)
{
    const struct app_options *o = &l->app.options;
    struct ticket ticket = {0};
    char text[TICKET_TEXT_MAX];
    char address[STK_ADDR_TEXT_MAX];

    if (fill_ticket(l, &ticket) < 0) {
        talk_error("this machine has no address that others could reach");
        talk_hint("name one with --bind ADDRESS");
        return EXIT_LOCAL;
    }
    ticket_format(&ticket, text);
    for (int i = 0; i < ticket.count; i++)
        talk_verbose("reachable at %s", stk_addr_format(&ticket.addresses[i], address));
    if (o->ticket_file != NULL)
        return write_ticket(o->ticket_file, text);
    if (talk_on_terminal())
        talk_info("On the other machine: p2pcat connect");
    fprintf(stderr, "%s\n", text);
    return 0;
}

/* --- Starting
 * ---------------------------------------------------------------------------------------------- */

static int check_keys(const struct app_options *o)
{
    uint8_t key[STK_KEY_BYTES];
    struct stk_error error;

    for (int i = 0; i < o->allow_count; i++)
        if (stk_key_parse(key, o->allow[i], &error) < 0) {
            talk_error("--allow %s: %s", o->allow[i], error.text);
            talk_hint("\"p2pcat id\" on the other machine prints its key");
            return EXIT_USAGE;
        }
    return 0;
}

static void make_address(const struct app_options *o, const char *host, char *address, size_t size)
{
    size_t len = (size_t)snprintf(address, size, "%s/udp/%u/seal", host, o->port);

    for (int i = 0; i < o->allow_count && len < size; i++)
        len += (size_t)snprintf(address + len, size - len, "%s%s", i == 0 ? ",allow=" : "+",
                                o->allow[i]);
    if (len < size)
        snprintf(address + len, size - len, "/ptcp%s", app_durable_option(o));
}

static int host_of(const struct app_options *o, char *host, size_t size)
{
    struct stk_addr addr;
    char ip[STK_ADDR_TEXT_MAX];

    if (stk_addr_parse_ip(&addr, o->bind, 0) < 0) {
        talk_error("--bind %s: expected an IPv4 or IPv6 address", o->bind);
        return EXIT_USAGE;
    }
    snprintf(host, size, "%s", stk_addr_format_ip(&addr, ip));
    return 0;
}

/* Without --bind: both families on one socket, IPv4 alone where there is no IPv6. */
static int start_listening(struct listen *l)
{
    const struct app_options *o = &l->app.options;
    char host[STK_ADDR_TEXT_MAX + 8] = "/ip6/::", address[STK_RECIPE_TEXT_MAX];
    struct stk_error error = {0};
    int status = o->bind != NULL ? host_of(o, host, sizeof host) : 0;

    if (status != 0)
        return status;
    make_address(o, host, address, sizeof address);
    status = arrivals_listen(&l->arrivals, l->app.loop, address, &error);
    if (status < 0 && o->bind == NULL && error.code != -EADDRINUSE) {
        make_address(o, "/ip4/0.0.0.0", address, sizeof address);
        status = arrivals_listen(&l->arrivals, l->app.loop, address, &error);
    }
    if (status == 0)
        return 0;
    talk_failure(&error);
    return app_code_of(&error, false, true);
}

int cmd_listen(const struct app_options *options, int count, char **words)
{
    struct listen l = {0};
    int status;

    if (count > 0) {
        talk_error("listen takes no argument, but \"%s\" was given", words[0]);
        talk_hint("--port N chooses the port; p2pcat listen:STACK STACK waits on a stack");
        return EXIT_USAGE;
    }
    if ((status = check_keys(options)) != 0 || (status = app_init(&l.app, options)) != 0)
        return status;
    l.app.stop = on_stop;
    arrivals_init(&l.arrivals, on_arrival, &l);
    if ((status = app_load_identity(&l.app)) == 0 && (status = start_listening(&l)) == 0 &&
        (status = publish_ticket(&l)) == 0)
        status = app_run(&l.app);
    on_stop(&l.app);
    app_free(&l.app);
    return status;
}
