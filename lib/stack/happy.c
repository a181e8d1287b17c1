#include "happy.h"

#include "host.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* --- The error -----------------------------------------------------------------------------------
 */

/* How much an error tells: a host that answers "no" says more than a missing route. */
static int rank(int code)
{
    switch (-code) {
    case ECONNREFUSED:
    case ECONNRESET:
        return 6;
    case EACCES:
    case EPERM:
        return 5;
    case ETIMEDOUT:
        return 4;
    case EHOSTUNREACH:
        return 3;
    case ENETUNREACH:
        return 2;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return 1;
    default:
        return 7; /* trouble of this machine's own, such as too many open files */
    }
}

static int most_telling(const struct stk_happy *happy)
{
    int best = 0;

    for (int i = 1; i < happy->count; i++)
        if (rank(happy->list[i].code) > rank(happy->list[best].code))
            best = i;
    return best;
}

/* Every other address that was tried; where they are too many, how many more there are. */
static void describe_others(const struct stk_happy *happy, int best, char *text, size_t size)
{
    static const char tail[] = ", 99 more";
    const char *before = "; tried as well: ";
    char addr[STK_ADDR_TEXT_MAX];

    for (int i = 0, left = happy->count - 1; i < happy->count; i++) {
        if (i == best)
            continue;
        stk_addr_format(&happy->list[i].addr, addr);
        if (strlen(before) + strlen(addr) + sizeof tail > size) {
            snprintf(text, size, "%s%u more", before, (unsigned)left % 100);
            return;
        }
        const int len = snprintf(text, size, "%s%s", before, addr);
        text += len;
        size -= (size_t)len;
        before = ", ";
        left--;
    }
}

static void describe(const struct stk_happy *happy, struct stk_error *error)
{
    const int best = most_telling(happy);
    const int code = happy->list[best].code;
    char addr[STK_ADDR_TEXT_MAX], text[STK_ERROR_TEXT_MAX];
    int len;

    stk_addr_format(&happy->list[best].addr, addr);
    if (code == -ECONNREFUSED)
        len = snprintf(text, sizeof text, "connection refused: nothing listens on %s", addr);
    else
        len = snprintf(text, sizeof text, "%s: %s", addr, stack_net_strerror(code));
    if (len >= (int)sizeof text)
        len = (int)sizeof text - 1;
    describe_others(happy, best, text + len, sizeof text - (size_t)len);
    stk_error_set(error, code, happy->layer, "%s", text);
}

static void fail(struct stk_happy *happy)
{
    struct stk_error error;

    if (happy->count > 0)
        describe(happy, &error);
    else
        stk_error_set(&error, STK_ENAME, happy->layer, "can't find an address of %s: %s",
                      happy->name, happy->reason);
    stk_happy_stop(happy);
    happy->type->failed(happy, &error);
}

/* --- Attempts ------------------------------------------------------------------------------------
 */

/* The first one of the other family than the latest attempt's, else the first; -1: none waits. */
static int next_waiting(const struct stk_happy *happy)
{
    const int wanted = happy->last_family == AF_INET6 ? AF_INET : AF_INET6;
    int any = -1;

    for (int i = 0; i < happy->count; i++) {
        if (happy->list[i].state != STK_HAPPY_WAITING)
            continue;
        if (happy->list[i].addr.any.sa_family == wanted)
            return i;
        if (any < 0)
            any = i;
    }
    return any;
}

static int count_in(const struct stk_happy *happy, enum stk_happy_state state)
{
    int count = 0;

    for (int i = 0; i < happy->count; i++)
        count += happy->list[i].state == state;
    return count;
}

static void begin(struct stk_happy *happy, int index)
{
    happy->last_family = happy->list[index].addr.any.sa_family;
    happy->list[index].state = STK_HAPPY_TRYING;
    const int code = happy->type->attempt(happy, index, &happy->list[index].addr);
    if (!happy->running)
        return;
    if (code < 0) {
        happy->list[index].state = STK_HAPPY_FAILED;
        happy->list[index].code = code;
        return;
    }
    happy->due = false;
    stk_timer_in(&happy->timer, STK_HAPPY_ATTEMPT_DELAY_US);
}

static bool is_looking_up(const struct stk_happy *happy)
{
    return happy->lookups[0] || happy->lookups[1];
}

/* Attempts that fail at once are followed by the next at once. */
static void go_on(struct stk_task *task)
{
    struct stk_happy *happy = STK_CONTAINER(task, struct stk_happy, task);
    int index;

    while (happy->running && happy->due && !happy->held && (index = next_waiting(happy)) >= 0)
        begin(happy, index);
    if (!happy->running || is_looking_up(happy))
        return;
    if (count_in(happy, STK_HAPPY_FAILED) == happy->count)
        fail(happy);
}

static void timer_fired(struct stk_timer *timer)
{
    struct stk_happy *happy = STK_CONTAINER(timer, struct stk_happy, timer);

    happy->held = false;
    happy->due = true;
    go_on(&happy->task);
}

void stk_happy_done(struct stk_happy *happy, int index, int code)
{
    assert(happy->running && index >= 0 && index < happy->count);
    assert(happy->list[index].state == STK_HAPPY_TRYING);

    /* It is over: nothing is left to cancel. */
    happy->list[index].state = STK_HAPPY_FAILED;
    happy->list[index].code = code;
    if (code == 0) {
        stk_happy_stop(happy);
        happy->type->succeeded(happy, index, &happy->list[index].addr);
        return;
    }
    happy->due = true;
    stk_task_queue(&happy->task);
}

/* --- Addresses -----------------------------------------------------------------------------------
 */

static void add_addresses(struct stk_happy *happy, const struct stk_addr *addrs, int count)
{
    for (int i = 0; i < count && happy->count < STK_HAPPY_ADDRS_MAX; i++) {
        happy->list[happy->count].addr = addrs[i];
        happy->list[happy->count].state = STK_HAPPY_WAITING;
        happy->count++;
    }
}

/* IPv4 gives IPv6 a moment; IPv6, or the last answer, begins at once. */
static void hold_or_begin(struct stk_happy *happy, int family)
{
    const bool first = happy->last_family == AF_UNSPEC;

    if (first && family == AF_INET && happy->lookups[0]) {
        happy->held = true;
        stk_timer_in(&happy->timer, STK_HAPPY_RESOLUTION_DELAY_US);
    } else if (first) {
        happy->held = false;
        happy->due = true;
    }
}

static void looked_up(void *user, int family, const struct stk_addr *addrs, int count,
                      const char *reason)
{
    struct stk_happy *happy = user;

    happy->lookups[family == AF_INET] = NULL;
    if (count == 0)
        snprintf(happy->reason, sizeof happy->reason, "%s", reason);
    add_addresses(happy, addrs, count);
    if (happy->count > 0)
        hold_or_begin(happy, count > 0 ? family : AF_INET);
    go_on(&happy->task);
}

static void prepare(struct stk_happy *happy, struct stk_loop *loop,
                    const struct stk_happy_type *type, const char *layer)
{
    memset(happy, 0, sizeof *happy);
    happy->type = type;
    happy->loop = loop;
    happy->layer = layer;
    happy->last_family = AF_UNSPEC;
    happy->due = happy->running = true;
    stk_timer_init(&happy->timer, loop, timer_fired);
    stk_task_init(&happy->task, loop, go_on);
}

int stk_happy_start(struct stk_happy *happy, struct stk_loop *loop,
                    const struct stk_happy_type *type, const char *layer, const char *name,
                    int family, uint16_t port)
{
    int code = 0;

    prepare(happy, loop, type, layer);
    snprintf(happy->name, sizeof happy->name, "%s", name);
    if (family != AF_INET)
        code = stk_lookup_start(loop, name, AF_INET6, port, looked_up, happy, &happy->lookups[0]);
    if (code == 0 && family != AF_INET6)
        code = stk_lookup_start(loop, name, AF_INET, port, looked_up, happy, &happy->lookups[1]);
    if (code < 0)
        stk_happy_stop(happy);
    return code;
}

void stk_happy_start_with(struct stk_happy *happy, struct stk_loop *loop,
                          const struct stk_happy_type *type, const char *layer,
                          const struct stk_addr *addrs, int count)
{
    prepare(happy, loop, type, layer);
    snprintf(happy->reason, sizeof happy->reason, "there is none");
    add_addresses(happy, addrs, count);
    stk_task_queue(&happy->task);
}

void stk_happy_stop(struct stk_happy *happy)
{
    if (!happy->running)
        return;
    happy->running = false;
    stk_timer_stop(&happy->timer);
    stk_task_stop(&happy->task);
    for (int i = 0; i < 2; i++)
        if (happy->lookups[i])
            stk_lookup_cancel(happy->lookups[i]);
    happy->lookups[0] = happy->lookups[1] = NULL;
    for (int i = 0; i < happy->count; i++)
        if (happy->list[i].state == STK_HAPPY_TRYING)
            happy->type->cancel(happy, i);
}
