#include "dial.h"

#include <stdio.h>
#include <stdlib.h>

enum { IP6, IP4, PER_FAMILY = PTCP_DIAL_ADDRS_MAX / 2 };

static const struct stk_segment *transport_of(const struct stk_recipe *recipe)
{
    for (int i = 0; i < recipe->count; i++) {
        if (recipe->segments[i].host)
            return &recipe->segments[i];
    }
    return NULL;
}

static void on_lookup(void *user, int family, const struct stk_addr *addrs, int count,
                      const char *reason)
{
    struct ptcp_dial *dial = user;
    const int which = family == AF_INET6 ? IP6 : IP4;

    dial->lookups[which] = NULL;
    for (int i = 0; i < count && dial->count[which] < PER_FAMILY; i++)
        dial->found[which][dial->count[which]++] = addrs[i];
    if (count == 0 && reason)
        snprintf(dial->reason, sizeof(dial->reason), "%s", reason);
    if (!dial->lookups[IP6] && !dial->lookups[IP4])
        dial->done(dial);
}

static int look_up(struct ptcp_dial *dial, struct stk_loop *loop,
                   const struct stk_segment *transport, uint16_t port)
{
    const char *kind = transport->host->type->name, *name = transport->host->value;
    int code = 0;

    if (strcmp(kind, "dns4") != 0)
        code = stk_lookup_start(loop, name, AF_INET6, port, on_lookup, dial, &dial->lookups[IP6]);
    if (code == 0 && strcmp(kind, "dns6") != 0)
        code = stk_lookup_start(loop, name, AF_INET, port, on_lookup, dial, &dial->lookups[IP4]);
    if (code < 0)
        ptcp_dial_stop(dial);
    return code;
}

int ptcp_dial_start(struct ptcp_dial *dial, struct stk_loop *loop, const struct stk_recipe *recipe,
                    void (*done)(struct ptcp_dial *dial))
{
    const struct stk_segment *transport = transport_of(recipe);
    struct stk_addr literal;
    uint16_t port;

    *dial = (struct ptcp_dial){.done = done};
    if (!transport || !transport->value || !transport->host->value)
        return 1; /* no host at all: the transport knows its peer */
    port = (uint16_t)strtoul(transport->value, NULL, 10);
    if (stk_addr_parse_ip(&literal, transport->host->value, port) < 0)
        return look_up(dial, loop, transport, port);
    const int which = literal.any.sa_family == AF_INET6 ? IP6 : IP4;
    dial->found[which][dial->count[which]++] = literal;
    return 1;
}

void ptcp_dial_stop(struct ptcp_dial *dial)
{
    for (int i = 0; i < 2; i++) {
        if (dial->lookups[i])
            stk_lookup_cancel(dial->lookups[i]);
        dial->lookups[i] = NULL;
    }
}

const struct stk_addr *ptcp_dial_next(struct ptcp_dial *dial)
{
    const int total = dial->count[IP6] + dial->count[IP4];

    while (dial->next / 2 < PER_FAMILY && total > 0) {
        const int which = dial->next % 2, i = dial->next / 2;

        dial->next++;
        if (i < dial->count[which])
            return &dial->found[which][i];
    }
    return NULL;
}
