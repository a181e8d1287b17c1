#include "durable.h"

#include "alloc.h"
#include "endpoint.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BIT(state) (1u << PTCP_SEEK_##state)

/* From each state, where it may go. */
static const unsigned moves[PTCP_SEEK_COUNT] = {
    [PTCP_SEEK_NOT] = BIT(ASK),
    [PTCP_SEEK_WAIT] = BIT(ASK) | BIT(WAIT) | BIT(NOT),
    [PTCP_SEEK_ASK] = BIT(HOLD) | BIT(WAIT) | BIT(NOT),
    [PTCP_SEEK_HOLD] = BIT(SHOW) | BIT(WAIT) | BIT(NOT),
    [PTCP_SEEK_SHOW] = BIT(NOT) | BIT(WAIT) | BIT(ASK),
};

static void enter(struct ptcp_conn *conn, enum ptcp_seek seek, uint64_t next_us)
{
    struct ptcp_durable *durable = conn->durable;

    assert(moves[durable->seek] >> seek & 1);
    durable->seek = (uint8_t)seek;
    durable->next_us = next_us;
}

/* --- Agreeing ----------------------------------------------------------------------------------
 */

int ptcp_durable_new(struct ptcp_conn *conn, uint64_t time_out_us)
{
    struct ptcp_durable *durable = stk_alloc_zero(sizeof(*durable));

    if (!durable)
        return -ENOMEM;
    durable->time_out_us = time_out_us;
    durable->next_us = UINT64_MAX;
    for (int i = 0; i < 2; i++)
        durable->proof.token[i] = ptcp_endpoint_random(conn->endpoint) % PTCP_NUMBER_MAX;
    conn->durable = durable;
    return 0;
}

static void leave_count(struct ptcp_conn *conn)
{
    struct ptcp_durable *durable = conn->durable;

    if (durable->lost) {
        assert(conn->endpoint->suspended > 0);
        conn->endpoint->suspended--;
    }
    durable->lost = false;
}

void ptcp_durable_free(struct ptcp_conn *conn)
{
    if (!conn->durable)
        return;
    leave_count(conn);
    memset(conn->durable->proof.token, 0, sizeof(conn->durable->proof.token));
    stk_free(conn->durable);
    conn->durable = NULL;
}

void ptcp_durable_offer(const struct ptcp_conn *conn, struct ptcp_params *params)
{
    const struct ptcp_durable *durable = conn->durable;

    if (!durable || (conn->passive && !durable->agreed))
        return;
    params->durable_us = durable->time_out_us;
    if (conn->passive)
        memcpy(params->token, durable->proof.token, sizeof(params->token));
}

static int key_of(const struct ptcp_endpoint *endpoint, uint64_t association,
                  uint8_t key[PTCP_DURABLE_KEY_BYTES])
{
    const struct ptcp_endpoint_options *options = &endpoint->options;

    return options->peer_key ? options->peer_key(options->context, association, key) : -ENOENT;
}

void ptcp_durable_agree(struct ptcp_conn *conn, const struct ptcp_params *params)
{
    struct ptcp_durable *durable = conn->durable;

    if (!durable || durable->agreed || params->durable_us == 0 ||
        (!conn->passive && !(params->token[0] | params->token[1])) ||
        key_of(conn->endpoint, ptcp_conn_association(conn), durable->proof.peer_key) < 0)
        return;
    durable->agreed = true;
    if (params->durable_us < durable->time_out_us)
        durable->time_out_us = params->durable_us;
    if (!conn->passive)
        memcpy(durable->proof.token, params->token, sizeof(durable->proof.token));
    conn->user_timeout_ms = ptcp_conn_ms(durable->time_out_us);
}

/* --- Seeking ------------------------------------------------------------------------------------
 */

static void ask(struct ptcp_conn *conn)
{
    enter(conn, PTCP_SEEK_ASK, UINT64_MAX);
    conn->durable->tries = 0;
    ptcp_conn_raise(conn, PTCP_SEEK);
}

static uint64_t backoff_us(struct ptcp_conn *conn, unsigned step, uint64_t most_us)
{
    uint64_t wait_us = (uint64_t)PTCP_DURABLE_FIRST_US << (step < 8 ? step : 8);

    if (wait_us > most_us)
        wait_us = most_us;
    return wait_us + ptcp_endpoint_random(conn->endpoint) % (wait_us / 4);
}

static bool may_seek(const struct ptcp_conn *conn)
{
    return conn->durable && conn->durable->agreed && conn->owned && !conn->buried &&
           ptcp_state_is_open(conn->state) && conn->state != PTCP_STATE_TIME_WAIT;
}

bool ptcp_durable_suspend(struct ptcp_conn *conn, uint64_t now_us)
{
    struct ptcp_durable *durable = conn->durable;

    if (!may_seek(conn) || (!durable->lost && conn->endpoint->suspended >= PTCP_SUSPENDED_MAX))
        return false;
    if (!ptcp_conn_is_busy(conn))
        conn->progress_us = now_us;
    conn->was_busy = true;
    conn->endpoint->suspended += !durable->lost;
    durable->lost = true;
    ptcp_recovery_abandon(&conn->engine->recovery, conn->path, &ptcp_conn_owner, conn);
    if (conn->passive) {
        ptcp_endpoint_touch(conn->endpoint, conn);
        return true;
    }
    if (durable->seek == PTCP_SEEK_NOT) {
        durable->rounds = 0;
        ask(conn);
    } else {
        enter(conn, PTCP_SEEK_WAIT,
              now_us + backoff_us(conn, 2U + durable->rounds, 4 * PTCP_DURABLE_MOST_US));
        durable->rounds += durable->rounds < UINT8_MAX;
    }
    ptcp_endpoint_touch(conn->endpoint, conn);
    return true;
}

void ptcp_durable_doubt(struct ptcp_conn *conn, uint64_t now_us)
{
    (void)now_us;
    if (!may_seek(conn) || conn->passive || conn->durable->seek != PTCP_SEEK_NOT)
        return;
    conn->durable->rounds = 0;
    ask(conn);
}

void ptcp_durable_carry(struct ptcp_conn *conn, uint64_t now_us, uint64_t association)
{
    struct ptcp_durable *durable = conn->durable;

    assert(durable && durable->seek == PTCP_SEEK_ASK);
    if (association == 0 || ptcp_paths_move(conn->endpoint, conn, association) < 0) {
        enter(conn, PTCP_SEEK_WAIT,
              now_us + backoff_us(conn, 2U + durable->rounds, 4 * PTCP_DURABLE_MOST_US));
        durable->rounds += durable->rounds < UINT8_MAX;
    } else {
        leave_count(conn);
        enter(conn, PTCP_SEEK_HOLD, UINT64_MAX);
    }
    ptcp_endpoint_touch(conn->endpoint, conn);
}

void ptcp_durable_ready(struct ptcp_conn *conn, uint64_t now_us)
{
    if (!conn->durable || conn->durable->seek != PTCP_SEEK_HOLD)
        return;
    enter(conn, PTCP_SEEK_SHOW, now_us);
    ptcp_endpoint_touch(conn->endpoint, conn);
}

bool ptcp_durable_shows(const struct ptcp_conn *conn, uint64_t now_us)
{
    return conn->durable && conn->durable->seek == PTCP_SEEK_SHOW &&
           conn->durable->next_us <= now_us;
}

void ptcp_durable_shown(struct ptcp_conn *conn, uint64_t now_us)
{
    struct ptcp_durable *durable = conn->durable;

    durable->next_us = now_us + backoff_us(conn, durable->tries, PTCP_DURABLE_MOST_US);
    durable->tries++;
}

void ptcp_durable_timeout(struct ptcp_conn *conn, uint64_t now_us)
{
    struct ptcp_durable *durable = conn->durable;

    if (!durable || durable->next_us > now_us)
        return;
    if (durable->seek == PTCP_SEEK_WAIT ||
        (durable->seek == PTCP_SEEK_SHOW && durable->tries >= PTCP_DURABLE_TRIES))
        ask(conn);
}

uint64_t ptcp_durable_due_us(const struct ptcp_conn *conn)
{
    return conn->durable ? conn->durable->next_us : UINT64_MAX;
}

bool ptcp_durable_is_silent(const struct ptcp_conn *conn)
{
    return conn->durable && (conn->durable->lost || conn->durable->seek != PTCP_SEEK_NOT);
}

/* --- Found again
 * ----------------------------------------------------------------------------------
 */

void ptcp_durable_resumed(struct ptcp_conn *conn, uint64_t now_us)
{
    struct ptcp_durable *durable = conn->durable;

    if (!durable || (durable->seek == PTCP_SEEK_NOT && !durable->lost))
        return;
    leave_count(conn);
    if (durable->seek != PTCP_SEEK_NOT)
        enter(conn, PTCP_SEEK_NOT, UINT64_MAX);
    conn->progress_us = now_us;
    ptcp_recovery_abandon(&conn->engine->recovery, conn->path, &ptcp_conn_owner, conn);
    if (conn->path->users == 1)
        ptcp_paths_renew(conn->endpoint, conn->path, now_us, now_us);
    ptcp_endpoint_go_on(conn->endpoint, conn);
}

/* In the same time whether or not it is right. */
static bool same(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *left = a, *right = b;
    uint8_t difference = 0;

    for (size_t i = 0; i < len; i++)
        difference |= left[i] ^ right[i];
    return difference == 0;
}

bool ptcp_durable_proves(const struct ptcp_endpoint *endpoint, const struct ptcp_proof *proof,
                         uint64_t association, const uint64_t token[2])
{
    uint8_t key[PTCP_DURABLE_KEY_BYTES];

    return same(proof->token, token, sizeof(proof->token)) &&
           key_of(endpoint, association, key) == 0 && same(proof->peer_key, key, sizeof(key));
}

bool ptcp_durable_takes(struct ptcp_conn *conn, uint64_t association, const uint64_t token[2])
{
    const struct ptcp_durable *durable = conn->durable;

    return durable && durable->agreed && conn->passive && ptcp_state_is_open(conn->state) &&
           ptcp_durable_proves(conn->endpoint, &durable->proof, association, token);
}
