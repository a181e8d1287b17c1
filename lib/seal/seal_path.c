#include "seal_path.h"

#include "seal_state.h"

#include <sodium.h>
#include <string.h>

#define BIT(state) (1u << (state))

/* From each state, where it may go. */
static const unsigned moves[SEAL_PATH_STATES] = {
    [SEAL_PATH_HEARD] = BIT(SEAL_PATH_PROBING) | BIT(SEAL_PATH_VALID),
    [SEAL_PATH_PROBING] = BIT(SEAL_PATH_VALID) | BIT(SEAL_PATH_HEARD),
    [SEAL_PATH_VALID] = BIT(SEAL_PATH_CHECKING),
    [SEAL_PATH_CHECKING] = BIT(SEAL_PATH_VALID) | BIT(SEAL_PATH_SILENT),
    [SEAL_PATH_SILENT] = BIT(SEAL_PATH_CHECKING) | BIT(SEAL_PATH_VALID),
};

void seal_path_enter(struct seal_path *path, enum seal_path_state state)
{
    assert(moves[path->state] & BIT(state));
    path->state = (uint8_t)state;
}

static bool is_any_asked(const struct seal_association *a)
{
    const struct seal_path *path = seal_path_first(a);

    while (path && (!seal_path_is_asked(path) || seal_path_is_gone(path)))
        path = path->next;
    return path != NULL;
}

/* Where nobody has answered: what answers a later probe is no reason to go there. */
static void end_doubt(struct seal_association *a)
{
    if (!is_any_asked(a))
        a->doubted = false;
}

/* --- Which there are ---------------------------------------------------------------------------
 */

struct seal_path *seal_path_active(const struct seal_association *a)
{
    assert(a->active);
    return a->active;
}

static void set_up(struct seal_association *a, struct seal_path *path, uint8_t way,
                   const struct stk_addr *peer, const struct stk_addr *local)
{
    *path = (struct seal_path){.next = path->next,
                               .peer = *peer,
                               .id = ++a->path_ids,
                               .way = way,
                               .heard_us = seal_now(a->port)};
    if (local)
        path->local = *local;
}

struct seal_path *seal_path_begin(struct seal_association *a, uint8_t way,
                                  const struct stk_addr *peer, const struct stk_addr *local)
{
    assert(!a->active && !a->first_path.next);
    set_up(a, &a->first_path, way, peer, local);
    a->active = a->spoken = &a->first_path;
    return a->active;
}

static bool same_host(const struct stk_addr *a, const struct stk_addr *b)
{
    struct stk_addr copy = *a;

    stk_addr_set_port(&copy, stk_addr_port(b));
    return stk_addr_equal(&copy, b);
}

static bool matches(const struct seal_path *path, uint8_t way, const struct stk_addr *peer,
                    const struct stk_addr *local)
{
    return path->way == way && stk_addr_equal(&path->peer, peer) &&
           (!path->pinned || !local || same_host(&path->local, local));
}

struct seal_path *seal_path_find(const struct seal_association *a, uint8_t way,
                                 const struct stk_addr *peer, const struct stk_addr *local)
{
    struct seal_path *found = NULL;

    for (struct seal_path *path = seal_path_first(a); peer && path; path = path->next)
        if (matches(path, way, peer, local) && (!found || path->pinned))
            found = path;
    return found;
}

struct seal_path *seal_path_by_id(const struct seal_association *a, uint32_t id)
{
    struct seal_path *path = seal_path_first(a);

    while (path && (path->id != id || seal_path_is_gone(path)))
        path = path->next;
    return path;
}

/* The one of the peer's making that was heard longest ago, where there are too many. */
static struct seal_path *heard_too_many(const struct seal_association *a)
{
    struct seal_path *oldest = NULL;
    unsigned count = 0;

    for (struct seal_path *path = seal_path_first(a); path; path = path->next) {
        if (path->offered || seal_path_is_gone(path))
            continue;
        count++;
        if (path != a->active && path != &a->first_path &&
            (!oldest || path->heard_us < oldest->heard_us))
            oldest = path;
    }
    return count >= SEAL_PATHS_HEARD ? oldest : NULL;
}

static struct seal_path *add(struct seal_association *a, uint8_t way, const struct stk_addr *peer,
                             const struct stk_addr *local)
{
    struct seal_path *path = stk_alloc_zero(sizeof(*path));

    if (!path)
        return NULL;
    path->next = a->first_path.next;
    a->first_path.next = path;
    set_up(a, path, way, peer, local);
    return path;
}

/* Where this side has another address, what the peer says came there by another way. */
void seal_path_called(struct seal_association *a, struct seal_path *path,
                      const struct stk_addr *local)
{
    if (!local || path->pinned)
        return;
    const bool moved = path->local.len != 0 && !same_host(&path->local, local);

    path->local = *local;
    if (!moved || path != a->active || a->state != SEAL_READY)
        return;
    seal_flush_up(a->port);
    stk_dgram_association_above(&a->port->layer, a->id, STK_ASSOCIATION_READDRESSED, NULL);
}

struct seal_path *seal_path_of(struct seal_association *a, const struct stk_run *run)
{
    struct seal_path *path = seal_path_find(a, run->way, run->peer, run->local);

    if (!run->peer)
        return seal_path_active(a);
    if (!path) {
        struct seal_path *oldest = heard_too_many(a);
        if (oldest)
            seal_path_remove(a, oldest);
        path = add(a, run->way, run->peer, run->local);
    }
    return path;
}

int seal_path_offer(struct seal_association *a, uint8_t way, const struct stk_addr *peer,
                    const struct stk_addr *local, struct seal_path **out)
{
    struct seal_path *path = seal_path_find(a, way, peer, local);
    unsigned count = 0;

    if (!path || path->pinned != (local != NULL)) {
        for (const struct seal_path *other = seal_path_first(a); other; other = other->next)
            count += other->offered;
        if (count >= STK_SEAL_PATHS_OFFERED_MAX)
            return STK_ELIMIT;
        path = add(a, way, peer, local);
        if (!path)
            return -ENOMEM;
        path->pinned = local != NULL;
    }
    path->offered = true;
    path->dropped = false; /* it may have been, in this turn */
    *out = path;
    return 0;
}

/* Who was called answers from where it was called; who calls may have moved meanwhile. */
struct stk_run seal_path_run(const struct seal_association *a, const struct seal_path *path)
{
    const bool fixed = path->pinned || !a->initiator;

    return (struct stk_run){.association = a->id,
                            .peer = &path->peer,
                            .local = fixed && path->local.len ? &path->local : NULL,
                            .way = path->way};
}

void seal_path_forget(struct seal_association *a, const struct seal_path *path)
{
    if (a->spoken == path)
        a->spoken = NULL;
    if (a->candidate == path)
        a->candidate = NULL;
    if (a->wanted == path)
        a->wanted = NULL;
}

void seal_path_remove(struct seal_association *a, struct seal_path *path)
{
    struct seal_path *before = &a->first_path;

    assert(path != a->active);
    seal_path_forget(a, path);
    if (path == before) {
        *path = (struct seal_path){.next = path->next, .way = SEAL_WAY_GONE};
    } else {
        while (before->next != path)
            before = before->next;
        before->next = path->next;
        stk_free(path);
    }
    end_doubt(a);
}

void seal_path_free_all(struct seal_association *a)
{
    while (a->first_path.next) {
        struct seal_path *path = a->first_path.next;
        a->first_path.next = path->next;
        stk_free(path);
    }
}

/* --- How much may be sent ------------------------------------------------------------------------
 */

void seal_path_received(struct seal_path *path, size_t bytes)
{
    if (!seal_path_is_valid(path))
        path->received_bytes += bytes;
}

bool seal_path_take(struct seal_path *path, size_t bytes)
{
    if (seal_path_is_valid(path))
        return true;
    if (path->sent_bytes + bytes > SEAL_AMPLIFICATION * path->received_bytes)
        return false;
    path->sent_bytes += bytes;
    return true;
}

void seal_path_untake(struct seal_path *path, size_t bytes)
{
    if (!seal_path_is_valid(path))
        path->sent_bytes -= bytes;
}

void seal_path_validate(struct seal_path *path)
{
    if (!seal_path_is_valid(path))
        seal_path_enter(path, SEAL_PATH_VALID);
}

/* --- Which is in use
 * ------------------------------------------------------------------------------
 */

/* Another port of the same address is a NAT that forgot: the way behind it is the same. */
static enum stk_association_event kind_of_move(const struct seal_path *from,
                                               const struct seal_path *to)
{
    return from->way == to->way && same_host(&from->peer, &to->peer) &&
                   from->pinned == to->pinned && !to->offered
               ? STK_ASSOCIATION_REBOUND
               : STK_ASSOCIATION_MOVED;
}

void seal_path_use(struct seal_association *a, struct seal_path *path)
{
    struct seal_path *from = seal_path_active(a);
    const enum stk_association_event event = kind_of_move(from, path);

    a->candidate = NULL;
    a->wanted = NULL;
    a->doubted = false;
    assert(!seal_path_is_gone(path));
    if (path == from)
        return;
    a->active = path;
    if (seal_path_is_gone(from)) {
        from->dropped = a->dropping = true;
        seal_life_soon(a);
    }
    a->port->stats.moved++;
    seal_flush_up(a->port);
    stk_dgram_association_above(&a->port->layer, a->id, event, NULL);
    seal_watch_tell(a, path, STK_SEAL_PATH_IN_USE);
}

/* --- Validation
 * ------------------------------------------------------------------------------------
 */

static void challenge(struct seal_association *a, struct seal_path *path)
{
    path->challenged_us[path->challenges++] = seal_now(a->port);
    path->token[SEAL_TOKEN - 1] = path->challenges;
    /* Who was told of an address may knock there; where a packet merely came from, thrice its
     * bytes are the limit. */
    if (path->offered)
        seal_path_received(path, SEAL_CHALLENGE_BYTES / SEAL_AMPLIFICATION + 1);
    seal_send_probing(a, path, path->stray ? NULL : seal_path_run(a, path).local, SEAL_CHALLENGE,
                      path->token);
}

static unsigned timed_challenges(const struct seal_path *path)
{
    return path->challenges - path->hurried;
}

static void challenge_in_time(struct seal_association *a, struct seal_path *path)
{
    path->challenge_due_us =
        seal_now(a->port) + ((uint64_t)SEAL_RETRY_US << timed_challenges(path));
    challenge(a, path);
}

/*
 * The peer speaks from there, and has not echoed what should have come back by now: that got lost,
 * or came before the peer.
 */
static void hurry(struct seal_association *a, struct seal_path *path)
{
    if (path->state != SEAL_PATH_PROBING || path->hurried == SEAL_CHALLENGES_HURRIED)
        return;
    if (seal_now(a->port) - path->challenged_us[path->challenges - 1] < (uint64_t)SEAL_HURRY_US
                                                                            << path->hurried)
        return;
    path->hurried++;
    challenge(a, path);
}

void seal_path_probe(struct seal_association *a, struct seal_path *path)
{
    if (seal_path_is_asked(path))
        return;
    seal_path_enter(path, seal_path_is_valid(path) ? SEAL_PATH_CHECKING : SEAL_PATH_PROBING);
    stk_loop_random(stk_dgram_loop(&a->port->layer), path->token, SEAL_TOKEN);
    path->challenges = path->hurried = 0;
    challenge_in_time(a, path);
    seal_life_arm(a);
}

/*
 * The peer speaks from another address than before. Whoever can copy a packet can do so too, and
 * faster than the peer itself: so the address must answer before anything moves there. Probes move
 * nothing: a peer may try a path and stay where it is.
 */
void seal_path_heard(struct seal_association *a, struct seal_path *path,
                     const struct stk_addr *local, bool newest, bool probing)
{
    path->heard_us = seal_now(a->port);
    if (!newest)
        return;
    if (!probing)
        seal_path_called(a, path, local);
    if (!probing && path != a->spoken) {
        a->spoken = path;
        a->candidate = path == a->active ? NULL : path;
    }
    if (path == a->candidate || path->state == SEAL_PATH_HEARD)
        seal_path_probe(a, path);
    hurry(a, path);
}

/* The peer reaches this address of ours, and was told so by the challenge. */
static void find_local(struct seal_association *a, struct seal_path *path,
                       const struct stk_addr *local)
{
    const bool is_other = path->stray && local && !same_host(&path->local, local);

    path->stray = false;
    if (!is_other)
        return;
    seal_path_called(a, path, local);
    if (path == a->active)
        seal_send_control(a, path, SEAL_KEEPALIVE); /* so that the peer hears where to speak to */
}

static void answered(struct seal_association *a, struct seal_path *path, unsigned number)
{
    path->rtt_us = seal_now(a->port) - path->challenged_us[number - 1];
    if (path->state != SEAL_PATH_VALID)
        seal_path_enter(path, SEAL_PATH_VALID);
    path->challenges = path->hurried = 0;
    if (path == a->active)
        a->doubted = false;
    seal_watch_tell(a, path, STK_SEAL_PATH_VALIDATED);
    if (path == a->candidate || (a->doubted && path != a->active))
        seal_path_use(a, path);
}

void seal_path_echo(struct seal_association *a, const struct stk_addr *local,
                    const uint8_t token[SEAL_TOKEN])
{
    const uint8_t number = token[SEAL_TOKEN - 1];

    for (struct seal_path *path = seal_path_first(a); path; path = path->next) {
        if (number == 0 || number > path->challenges || seal_path_is_gone(path) ||
            sodium_memcmp(path->token, token, SEAL_TOKEN - 1))
            continue;
        find_local(a, path, local);
        answered(a, path, number);
        return;
    }
}

/*
 * It may be that the address which the peer calls is not where this side can be reached any more,
 * though the system still has it: that of an interface that went down, for example. Data goes on
 * from there, since who sits behind a NAT hears from nowhere else.
 */
static void ask_from_elsewhere(struct seal_association *a)
{
    struct seal_path *path = seal_path_active(a);

    if (path->pinned || !seal_path_is_valid(path) || seal_path_is_gone(path))
        return;
    path->stray = true;
    seal_path_probe(a, path);
}

void seal_path_doubt(struct seal_association *a)
{
    if (a->state != SEAL_READY)
        return;
    /* One side chooses, and the other follows; and there must be something to choose from. */
    if (!a->initiator)
        ask_from_elsewhere(a);
    if (!a->initiator || !a->first_path.next)
        return;
    for (struct seal_path *path = seal_path_first(a); path; path = path->next)
        if (seal_path_is_valid(path) && !seal_path_is_gone(path))
            seal_path_probe(a, path);
    a->doubted = is_any_asked(a);
}

static void gave_up(struct seal_association *a, struct seal_path *path)
{
    path->stray = false;
    seal_path_enter(path, seal_path_is_valid(path) ? SEAL_PATH_SILENT : SEAL_PATH_HEARD);
    end_doubt(a);
    seal_watch_tell(a, path, STK_SEAL_PATH_FAILED);
}

uint64_t seal_path_service(struct seal_association *a, uint64_t now_us)
{
    uint64_t due_us = UINT64_MAX;

    for (struct seal_path *path = seal_path_first(a), *next; path; path = next) {
        next = path->next;
        if (!seal_path_is_asked(path) || seal_path_is_gone(path))
            continue;
        if (path->challenge_due_us <= now_us) {
            if (timed_challenges(path) < SEAL_CHALLENGES_TIMED) {
                challenge_in_time(a, path);
            } else {
                gave_up(a, path);
                continue;
            }
        }
        if (path->challenge_due_us < due_us)
            due_us = path->challenge_due_us;
    }
    return due_us;
}
