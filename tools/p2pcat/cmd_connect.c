/* p2pcat connect TICKET: the other side of "p2pcat listen". */
#include "race.h"
#include "ticket.h"
#include "transfer.h"

#include <stdio.h>
#include <string.h>

enum { TICKET_FILE_MAX = 4096 };

struct connect {
    struct app app;
    struct race race;
    struct transfer *transfer;
};

static void on_won(struct race *race, struct stk_conn *conn)
{
    struct connect *c = race->user;

    join_attach(&c->transfer->join.a, conn, true);
    transfer_connect_local(c->transfer);
}

static void on_lost(struct race *race, const struct stk_error *error)
{
    struct connect *c = race->user;

    join_side_failed(&c->transfer->join.a, error);
    join_side_failed(&c->transfer->join.b, NULL);
}

static void on_done(struct transfer *transfer)
{
    struct connect *c = transfer->user;

    c->transfer = NULL;
    app_quit(&c->app);
}

static void on_stop(struct app *app)
{
    struct connect *c = STK_CONTAINER(app, struct connect, app);

    race_abort(&c->race);
}

/* --- The ticket ----------------------------------------------------------------------------------
 */

static int read_ticket_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");

    if (file == NULL || fgets(text, (int)size, file) == NULL) {
        talk_error("the ticket file %s can't be read: %s", path,
                   file == NULL ? strerror(errno) : "it is empty");
        if (file != NULL)
            fclose(file);
        return EXIT_USAGE;
    }
    fclose(file);
    return 0;
}

static int check_expected(const struct app_options *o, const struct ticket *ticket)
{
    for (int i = 0; i < o->allow_count; i++) {
        uint8_t key[STK_KEY_BYTES];
        struct stk_error error;

        if (stk_key_parse(key, o->allow[i], &error) < 0) {
            talk_error("--peer: %s", error.text);
            return EXIT_USAGE;
        }
        if (memcmp(key, ticket->key, sizeof key) == 0)
            return 0;
    }
    if (o->allow_count == 0)
        return 0;
    talk_error("the ticket is of another peer than --peer names");
    return EXIT_UNTRUSTED;
}

static void add_addresses(struct race *race, const struct ticket *ticket,
                          const struct app_options *o)
{
    char key[STK_KEY_TEXT_MAX], ip[STK_ADDR_TEXT_MAX], address[512];

    stk_key_format(ticket->key, key);
    for (int i = 0; i < ticket->count; i++) {
        snprintf(address, sizeof address, "%s/udp/%u/seal,peer=%s/ptcp%s",
                 stk_addr_format_ip(&ticket->addresses[i], ip),
                 stk_addr_port(&ticket->addresses[i]), key, app_durable_option(o));
        race_add(race, address);
    }
}

/* What is pasted in its place by mistake. */
static int refuse_ticket(const char *text, const struct stk_error *error)
{
    uint8_t key[STK_KEY_BYTES];

    if (stk_key_parse(key, text, NULL) == 0) {
        talk_error("a key tells who the peer is, and not where it is");
        talk_hint("ask for a ticket, or write p2pcat - /ip4/ADDRESS/udp/PORT/seal,peer=KEY/ptcp");
        return EXIT_USAGE;
    }
    talk_error("%s", error->text);
    if (strchr(text, ':') != NULL)
        talk_hint("to an address: p2pcat - %.200s", text);
    return EXIT_USAGE;
}

static int add_target(struct connect *c, const char *text)
{
    struct ticket ticket;
    struct stk_error error;

    if (text[0] == '/') { /* a stack does as well */
        if (strlen(text) >= STK_RECIPE_TEXT_MAX) {
            talk_error("the stack is longer than %d bytes", STK_RECIPE_TEXT_MAX - 1);
            return EXIT_USAGE;
        }
        race_add(&c->race, text);
        return app_refuse_for_stacks(&c->app.options);
    }
    if (ticket_parse(&ticket, text, &error) < 0)
        return refuse_ticket(text, &error);
    const int status = check_expected(&c->app.options, &ticket);
    if (status == 0)
        add_addresses(&c->race, &ticket, &c->app.options);
    return status;
}

static int run(struct connect *c, const char *target)
{
    int status = app_load_identity(&c->app);

    if (status != 0)
        return status;
    race_init(&c->race, c->app.loop, c->app.options.timeout_us);
    c->race.user = c;
    c->race.won = on_won;
    c->race.lost = on_lost;
    if ((status = add_target(c, target)) != 0)
        return status;
    if ((c->transfer = transfer_new(&c->app)) == NULL)
        return EXIT_OTHER;
    c->transfer->done = on_done;
    c->transfer->user = c;
    c->app.stop = on_stop;
    race_start(&c->race);
    return app_run(&c->app);
}

int cmd_connect(const struct app_options *options, int count, char **words)
{
    struct connect c = {0};
    char text[TICKET_FILE_MAX];
    const char *target = count > 0 ? words[0] : NULL;
    int status;

    if (count > 1 || (count == 0) == (options->ticket_file == NULL)) {
        talk_error("connect takes one ticket%s", count > 1 ? ", but more words were given" : "");
        talk_hint("p2pcat connect TICKET, or p2pcat connect --ticket-file FILE");
        return EXIT_USAGE;
    }
    if (target == NULL) {
        if ((status = read_ticket_file(options->ticket_file, text, sizeof text)) != 0)
            return status;
        target = text;
    }
    if ((status = app_init(&c.app, options)) != 0)
        return status;
    status = run(&c, target);
    app_free(&c.app);
    return status;
}
