#include "dial.h"

#include "alloc.h"
#include "error.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct ptcp_dial {
    struct stk_happy happy;
    struct ptcp_bridge *bridge;
    const struct stk_recipe *recipe; /* the owner's */
    const struct ptcp_dial_type *type;
    void *owner;
    struct stk_ptcp_options options;
    struct stk_error error;                          /* of the attempt that failed last */
    struct ptcp_conn *attempts[STK_HAPPY_ADDRS_MAX]; /* NULL: not under way */
};

static struct ptcp_dial *dial_of(struct stk_happy *happy)
{
    return STK_CONTAINER(happy, struct ptcp_dial, happy);
}

/* --- One attempt --------------------------------------------------------------------------------
 */

int ptcp_dial_open(struct ptcp_bridge *bridge, const struct ptcp_open *open, void *owner,
                   struct ptcp_conn **out)
{
    const int code = ptcp_open(bridge->endpoint, ptcp_bridge_now_us(bridge), open, out);

    if (code < 0)
        return code;
    (*out)->user = owner;
    ptcp_bridge_wake(bridge);
    return 0;
}

static int attempt(struct stk_happy *happy, int index, const struct stk_addr *addr)
{
    struct ptcp_dial *dial = dial_of(happy);
    struct stk_port *port = dial->bridge->port;
    struct ptcp_open open = {.peer = addr, .options = &dial->options};
    int code = 0;

    if (stk_port_is_sealed(port))
        code = stk_port_associate_for(port, dial->recipe, addr, &open.association);
    if (code == 0)
        code = ptcp_dial_open(dial->bridge, &open, dial->owner, &dial->attempts[index]);
    if (open.association)
        stk_port_release(port, open.association); /* the connection's path keeps it */
    if (code < 0)
        return stk_error_set(&dial->error, code, "ptcp", "can't connect: %s", stk_strerror(code));
    return 0;
}

/* Nothing was said to the peer but SYNs: should it answer them yet, it is reset. */
static void cancel(struct stk_happy *happy, int index)
{
    struct ptcp_dial *dial = dial_of(happy);
    struct ptcp_conn *conn = dial->attempts[index];

    assert(conn);
    dial->attempts[index] = NULL;
    ptcp_conn_release(conn, ptcp_bridge_now_us(dial->bridge));
}

static int index_of(const struct ptcp_dial *dial, const struct ptcp_conn *conn)
{
    for (int i = 0; i < STK_HAPPY_ADDRS_MAX; i++)
        if (dial->attempts[i] == conn)
            return i;
    return -1;
}

void ptcp_dial_notify(struct ptcp_dial *dial, struct ptcp_conn *conn, unsigned events)
{
    const int index = index_of(dial, conn);
    const char *text;

    assert(index >= 0);
    if (events & PTCP_ERROR) {
        const int code = ptcp_conn_error(conn, &text);

        stk_error_set(&dial->error, code, "ptcp", "%s", text);
        cancel(&dial->happy, index);
        stk_happy_done(&dial->happy, index, code);
    } else if (events & PTCP_READY) {
        stk_happy_done(&dial->happy, index, 0);
    }
}

/* --- The outcome --------------------------------------------------------------------------------
 */

static void succeeded(struct stk_happy *happy, int index, const struct stk_addr *addr)
{
    struct ptcp_dial *dial = dial_of(happy);
    const struct ptcp_dial_type *type = dial->type;
    struct ptcp_conn *conn = dial->attempts[index];
    void *owner = dial->owner;

    (void)addr;
    stk_free(dial);
    type->connected(owner, conn);
}

/* The attempt's own words, where they are about this error. */
static void choose_words(const struct ptcp_dial *dial, struct stk_error *error)
{
    if (error->code != dial->error.code)
        return;
    if (dial->happy.count == 1)
        *error = dial->error;
    else
        stk_error_set(error, error->code, "ptcp", "%s (%d addresses were tried)", dial->error.text,
                      dial->happy.count);
}

static void failed(struct stk_happy *happy, const struct stk_error *of_happy)
{
    struct ptcp_dial *dial = dial_of(happy);
    const struct ptcp_dial_type *type = dial->type;
    struct stk_error error = *of_happy;
    void *owner = dial->owner;

    choose_words(dial, &error);
    stk_free(dial);
    type->failed(owner, &error);
}

static const struct stk_happy_type happy_type = {attempt, cancel, succeeded, failed};

/* --- Begin and end ------------------------------------------------------------------------------
 */

const struct stk_segment *ptcp_dial_transport(const struct stk_recipe *recipe)
{
    for (int i = 0; i < recipe->count; i++) {
        if (recipe->segments[i].host)
            return &recipe->segments[i];
    }
    return NULL;
}

static int family_of(const struct stk_segment *host)
{
    return strcmp(host->type->name, "dns4") == 0   ? AF_INET
           : strcmp(host->type->name, "dns6") == 0 ? AF_INET6
                                                   : AF_UNSPEC;
}

static int start(struct ptcp_dial *dial, const struct stk_segment *transport)
{
    struct stk_loop *loop = dial->bridge->loop;
    struct stk_addr literal;

    if (!transport || !transport->value || !transport->host->value) {
        stk_happy_start_with(&dial->happy, loop, &happy_type, "ptcp", NULL, 0);
        return 0;
    }
    const uint16_t port = (uint16_t)strtoul(transport->value, NULL, 10);
    if (stk_addr_parse_ip(&literal, transport->host->value, port) < 0)
        return stk_happy_start(&dial->happy, loop, &happy_type, "ptcp", transport->host->value,
                               family_of(transport->host), port);
    stk_happy_start_with(&dial->happy, loop, &happy_type, "ptcp", &literal, 1);
    return 0;
}

int ptcp_dial_start(struct ptcp_bridge *bridge, const struct stk_recipe *recipe,
                    const struct stk_ptcp_options *options, const struct ptcp_dial_type *type,
                    void *owner, struct ptcp_dial **out)
{
    struct ptcp_dial *dial = stk_alloc_zero(sizeof(*dial));
    int code;

    if (!dial)
        return -ENOMEM;
    dial->bridge = bridge;
    dial->recipe = recipe;
    dial->options = *options;
    dial->type = type;
    dial->owner = owner;
    code = start(dial, ptcp_dial_transport(recipe));
    if (code < 0) {
        stk_free(dial);
        return code;
    }
    *out = dial;
    return 0;
}

void ptcp_dial_stop(struct ptcp_dial *dial)
{
    if (!dial)
        return;
    stk_happy_stop(&dial->happy);
    stk_free(dial);
}
