#include "race.h"

#include <stdio.h>
#include <string.h>

static void start_next(struct race *race);

/* A refusal or a wrong key says more than a time-out of another address. */
static int telling(const struct stk_error *error)
{
    switch (error->code) {
    case 0:
        return 0;
    case -ETIMEDOUT:
        return 2;
    case -ENETUNREACH:
    case -EHOSTUNREACH:
    case -EADDRNOTAVAIL:
    case -EAFNOSUPPORT:
        return 1;
    case STK_EPEER:
        return 4;
    default:
        return 3;
    }
}

static void note_error(struct race *race, const struct stk_error *error)
{
    if (telling(error) > telling(&race->error))
        race->error = *error;
}

static void check_lost(struct race *race)
{
    if (!race->over && race->running == 0 && race->started == race->count)
        stk_task_queue(&race->verdict);
}

static void tell_lost(struct stk_task *task)
{
    struct race *race = STK_CONTAINER(task, struct race, verdict);

    if (race->over)
        return;
    race->over = true;
    stk_timer_stop(&race->next);
    race->lost(race, &race->error);
}

static const struct stk_protocol loser_protocol = {0};

static void abort_others(struct race *race, const struct race_entry *winner)
{
    for (int i = 0; i < race->started; i++)
        if (&race->entries[i] != winner && race->entries[i].conn != NULL) {
            stk_conn_set_protocol(race->entries[i].conn, &loser_protocol, NULL);
            stk_conn_abort(race->entries[i].conn);
            race->entries[i].conn = NULL;
        }
}

static void on_opened(struct stk_conn *conn)
{
    struct race_entry *entry = stk_conn_user(conn);
    struct race *race = entry->race;

    race->over = true;
    stk_timer_stop(&race->next);
    stk_task_stop(&race->verdict);
    entry->conn = NULL;
    abort_others(race, entry);
    race->won(race, conn);
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct race_entry *entry = stk_conn_user(conn);
    struct race *race = entry->race;

    entry->conn = NULL;
    race->running--;
    if (error != NULL)
        note_error(race, error);
    /* A failure does not wait for the stagger (RFC 8305 section 5). */
    if (race->started < race->count)
        start_next(race);
    check_lost(race);
}

static const struct stk_protocol race_protocol = {.opened = on_opened, .closed = on_closed};

static void start_next(struct race *race)
{
    struct race_entry *entry = &race->entries[race->started++];
    struct stk_error error = {0};

    if (stk_connect(race->loop, entry->address, &race_protocol, entry, &entry->conn, &error) < 0) {
        note_error(race, &error);
        stk_timer_in(&race->next, 0);
    } else {
        race->running++;
        if (race->timeout_us != 0)
            stk_conn_set_connect_timeout(entry->conn, race->timeout_us);
        stk_timer_in(&race->next, RACE_STAGGER_US);
    }
}

static void on_stagger(struct stk_timer *timer)
{
    struct race *race = STK_CONTAINER(timer, struct race, next);

    if (race->started < race->count)
        start_next(race);
    check_lost(race);
}

void race_init(struct race *race, struct stk_loop *loop, uint64_t timeout_us)
{
    memset(race, 0, sizeof *race);
    race->loop = loop;
    race->timeout_us = timeout_us;
    stk_timer_init(&race->next, loop, on_stagger);
    stk_task_init(&race->verdict, loop, tell_lost);
}

void race_add(struct race *race, const char *address)
{
    if (race->count == RACE_MAX)
        return;
    struct race_entry *entry = &race->entries[race->count++];
    entry->race = race;
    snprintf(entry->address, sizeof entry->address, "%s", address);
}

void race_start(struct race *race) { start_next(race); }

void race_abort(struct race *race)
{
    race->over = true;
    stk_timer_stop(&race->next);
    stk_task_stop(&race->verdict);
    abort_others(race, NULL);
}
