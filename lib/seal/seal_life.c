#include "seal_state.h"

void seal_life_soon(struct seal_association *a)
{
    if (!a->queued)
        a->hops = 0;
    a->queued = true;
    stk_task_queue(&a->task);
}

void seal_life_arm(struct seal_association *a) { stk_timer_at(&a->timer, seal_now(a->port)); }

static void raise(struct seal_association *a, enum stk_association_event event,
                  const struct stk_error *error)
{
    seal_flush_up(a->port);
    stk_dgram_association_above(&a->port->layer, a->id, event, error);
}

void seal_life_ready(struct seal_association *a)
{
    seal_association_enter(a, SEAL_READY);
    a->tell_ready = false;
    raise(a, STK_ASSOCIATION_READY, NULL);
}

static void drop_secrets(struct seal_association *a)
{
    seal_attempt_free(a);
    seal_answer_free(a);
    for (int i = 0; i < SEAL_SESSIONS; i++)
        seal_session_drop(a, a->sessions[i]);
}

static void free_soon(struct seal_association *a)
{
    a->freed = true;
    seal_life_soon(a);
}

void seal_life_fail(struct seal_association *a, const struct stk_error *error)
{
    seal_association_enter(a, SEAL_DEAD);
    seal_association_leave(a);
    drop_secrets(a);
    raise(a, STK_ASSOCIATION_FAILED, error);
    if (!a->retained)
        free_soon(a);
}

/* Not at once: the close may have overtaken what was sent before it. */
void seal_life_closed_by_peer(struct seal_association *a)
{
    if (a->state != SEAL_READY)
        return;
    seal_association_enter(a, SEAL_CLOSING);
    a->made_us = seal_now(a->port);
    seal_life_arm(a);
}

/* Whoever retains it wants its keepalives. */
void seal_life_retain(struct seal_association *a)
{
    if (a->retained++ == 0)
        seal_life_arm(a);
}

void seal_life_release(struct seal_association *a)
{
    assert(a->retained > 0);
    if (--a->retained > 0)
        return;
    if (a->state == SEAL_NEW || a->state == SEAL_INITIATING || a->state == SEAL_DEAD)
        free_soon(a);
    else
        seal_life_arm(a);
}

static void end_closed(struct seal_association *a)
{
    struct stk_error error = {0};

    stk_error_set(&error, -ECONNRESET, "seal", "the peer has closed the association");
    seal_life_fail(a, &error);
}

static void end_unconfirmed(struct seal_association *a)
{
    struct stk_error error = {0};

    stk_error_set(&error, -ETIMEDOUT, "seal", "the peer began a handshake and fell silent");
    seal_life_fail(a, &error);
}

static void end_unanswered(struct seal_association *a)
{
    struct stk_error error = {0};

    stk_error_set(&error, -ENOMEM, "seal", "no memory for a session");
    seal_life_fail(a, &error);
}

static void end_idle(struct seal_association *a)
{
    seal_send_control(a, seal_path_active(a), SEAL_CLOSE);
    free_soon(a);
}

static uint64_t min_us(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* When the keys are too old to be kept. */
static uint64_t service_sessions(struct seal_association *a, uint64_t now_us)
{
    uint64_t due_us = UINT64_MAX;

    seal_session_expire(a, now_us);
    for (int i = 0; i < SEAL_SESSIONS; i++)
        if (a->sessions[i])
            due_us = min_us(due_us, a->sessions[i]->born_us + SEAL_REJECT_AFTER_US);
    return due_us;
}

/* Two that nothing retains must not keep one another alive, nor one a peer that is gone. */
static uint64_t service_keepalive(struct seal_association *a, uint64_t now_us)
{
    const uint64_t every_us = a->port->keepalive_us;

    if (!every_us || a->state != SEAL_READY || !a->retained)
        return UINT64_MAX;
    if (now_us - a->sent_us >= every_us) {
        if (seal_session_to_send(a, now_us))
            seal_send_control(a, seal_path_active(a), SEAL_KEEPALIVE);
        else
            seal_attempt_start(a);
        a->sent_us = now_us;
    }
    return a->sent_us + every_us;
}

/* When the association as a whole ends if nothing happens; acts if that is now. */
static uint64_t service_end(struct seal_association *a, uint64_t now_us)
{
    uint64_t end_us = UINT64_MAX;
    void (*end)(struct seal_association *) = end_idle;

    if (a->state == SEAL_CLOSING) {
        end_us = a->made_us + SEAL_LINGER_US;
        end = end_closed;
    } else if (a->state == SEAL_ANSWERING && !a->attempt) {
        end_us = a->made_us + SEAL_CONFIRM_US;
        end = end_unconfirmed;
    } else if (a->state == SEAL_READY && !a->retained) {
        end_us = a->used_us + SEAL_IDLE_US;
    }
    if (now_us < end_us)
        return end_us;
    end(a);
    return UINT64_MAX;
}

static void on_timer(struct stk_timer *timer)
{
    struct seal_association *a = STK_CONTAINER(timer, struct seal_association, timer);
    const uint64_t now_us = seal_now(a->port);
    uint64_t due_us = UINT64_MAX;

    if (a->freed || a->state == SEAL_DEAD)
        return;
    due_us = min_us(due_us, service_end(a, now_us));
    if (a->freed || a->state == SEAL_DEAD)
        return;
    due_us = min_us(due_us, service_sessions(a, now_us));
    due_us = min_us(due_us, seal_attempt_service(a, now_us));
    if (a->freed || a->state == SEAL_DEAD)
        return;
    due_us = min_us(due_us, seal_path_service(a, now_us));
    due_us = min_us(due_us, service_keepalive(a, now_us));
    if (due_us != UINT64_MAX)
        stk_timer_at(&a->timer, due_us);
}

static void send_owed(struct seal_association *a)
{
    if (a->answer && !a->answer->sent)
        seal_answer_send(a, NULL, 0);
    if (a->state == SEAL_ANSWERING && !a->answer && !a->attempt) {
        end_unanswered(a);
        return;
    }
    if (a->state == SEAL_NEW || (a->rekey && !a->freed)) {
        a->rekey = false;
        if (a->state != SEAL_ANSWERING)
            seal_attempt_start(a);
    }
    if (a->confirm && a->current) {
        a->confirm = false;
        seal_send_control(a, seal_path_active(a), SEAL_KEEPALIVE);
    }
    seal_offer_settle(a);
    if (a->tell_ready && a->state == SEAL_READY) {
        a->tell_ready = false;
        raise(a, STK_ASSOCIATION_READY, NULL);
    }
}

/* At the end of a turn, and behind what the layers above have put off to the end of it, too. */
static void on_task(struct stk_task *task)
{
    struct seal_association *a = STK_CONTAINER(task, struct seal_association, task);

    if (a->freed) {
        seal_association_free(a);
        return;
    }
    if (a->hops < 2) {
        a->hops++;
        stk_task_queue(task);
        return;
    }
    a->queued = false;
    send_owed(a);
}

void seal_life_start(struct seal_association *a)
{
    struct stk_loop *loop = stk_dgram_loop(&a->port->layer);

    stk_timer_init(&a->timer, loop, on_timer);
    stk_task_init(&a->task, loop, on_task);
}
