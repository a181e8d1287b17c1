#include "careful.h"

#include "path.h"

#include <assert.h>

#define BIT(phase) (1u << PTCP_CAREFUL_##phase)

/* From each phase, where it may go. */
static const unsigned moves[PTCP_CAREFUL_COUNT] = {
    [PTCP_CAREFUL_NORMAL] = BIT(RECONNAISSANCE),
    [PTCP_CAREFUL_RECONNAISSANCE] = BIT(UNVALIDATED) | BIT(NORMAL),
    [PTCP_CAREFUL_UNVALIDATED] = BIT(VALIDATING) | BIT(RETREAT) | BIT(NORMAL),
    [PTCP_CAREFUL_VALIDATING] = BIT(RETREAT) | BIT(NORMAL),
    [PTCP_CAREFUL_RETREAT] = BIT(NORMAL),
};

static uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static void enter(struct ptcp_careful *careful, enum ptcp_careful_phase phase)
{
    assert(moves[careful->phase] >> phase & 1);
    careful->phase = (uint8_t)phase;
}

static uint64_t jump_bytes(const struct ptcp_careful *careful)
{
    return careful->memory.bytes / PTCP_CAREFUL_JUMP_DIVISOR;
}

static bool is_jumping(const struct ptcp_careful *careful)
{
    return careful->phase == PTCP_CAREFUL_UNVALIDATED || careful->phase == PTCP_CAREFUL_VALIDATING;
}

/* --- Reconnaissance -------------------------------------------------------------------------- */

void ptcp_careful_init(struct ptcp_path *path, bool off)
{
    path->careful = (struct ptcp_careful){.off = off, .pipe_bytes = path->cc.window_bytes};
}

void ptcp_careful_begin(struct ptcp_path *path, const struct ptcp_memory *memory)
{
    struct ptcp_careful *careful = &path->careful;

    careful->memory = *memory;
    if (memory->bytes > 0)
        enter(careful, PTCP_CAREFUL_RECONNAISSANCE);
}

static bool is_like_before(const struct ptcp_path *path, uint64_t now_us)
{
    const struct ptcp_memory *memory = &path->careful.memory;
    const uint64_t rtt_us = path->rtt.min_us;

    return rtt_us >= memory->rtt_us / PTCP_CAREFUL_RTT_FACTOR &&
           rtt_us <= (uint64_t)memory->rtt_us * PTCP_CAREFUL_RTT_FACTOR &&
           now_us - memory->at_us <= PTCP_HISTORY_LIFETIME_US;
}

static void jump(struct ptcp_path *path, uint64_t now_us)
{
    struct ptcp_careful *careful = &path->careful;

    enter(careful, PTCP_CAREFUL_UNVALIDATED);
    careful->first_us = now_us;
    careful->pipe_bytes = path->delivery.in_flight;
    careful->lost_bytes = 0;
    path->cc.window_bytes = jump_bytes(careful);
}

/* The first window has arrived, the path looks as it did, and there is more to send. */
static void explore(struct ptcp_path *path, const struct ptcp_ack_sample *ack)
{
    struct ptcp_careful *careful = &path->careful;

    if (!is_like_before(path, ack->now_us) || path->cc.window_bytes >= jump_bytes(careful))
        enter(careful, PTCP_CAREFUL_NORMAL);
    else if (careful->pipe_bytes <= (uint64_t)PTCP_CAREFUL_LATE * path->cc.mtu && !ack->app_limited)
        jump(path, ack->now_us);
}

/* --- Unvalidated, Validating, Safe Retreat --------------------------------------------------- */

/*
 * What is acknowledged lets twice as much go, as in any slow start. A controller that knows the
 * rates of whole round trips would hold it back for one.
 */
static void grow(struct ptcp_path *path, const struct ptcp_ack_sample *ack)
{
    struct ptcp_careful *careful = &path->careful;

    careful->window_bytes += ack->acked_bytes;
    path->cc.window_bytes = max_u64(path->cc.window_bytes, careful->window_bytes);
    if (ack->newest_sent_us > careful->last_us)
        enter(careful, PTCP_CAREFUL_NORMAL);
}

/* No more than what was under way: who had less to send than the jump allowed has not tried it. */
static void validate(struct ptcp_path *path, const struct ptcp_ack_sample *ack)
{
    struct ptcp_careful *careful = &path->careful;
    const bool tried = path->delivery.in_flight > careful->pipe_bytes;

    careful->last_us = ack->now_us;
    careful->window_bytes = max_u64(max_u64(ack->in_flight_before, careful->pipe_bytes),
                                    (uint64_t)PTCP_CC_INITIAL_PACKETS * path->cc.mtu);
    path->cc.window_bytes = careful->window_bytes;
    enter(careful, tried ? PTCP_CAREFUL_VALIDATING : PTCP_CAREFUL_NORMAL);
    if (tried)
        grow(path, ack);
}

static uint64_t safe_window(const struct ptcp_path *path)
{
    return max_u64(path->careful.pipe_bytes / 2, ptcp_cc_min_window(&path->cc));
}

static void retreat(struct ptcp_path *path, uint64_t now_us)
{
    struct ptcp_careful *careful = &path->careful;

    if (careful->phase == PTCP_CAREFUL_UNVALIDATED)
        careful->last_us = now_us;
    enter(careful, PTCP_CAREFUL_RETREAT);
    careful->memory.bytes = 0; /* it is not so any more */
    if (path->cc.type->restart)
        path->cc.type->restart(&path->cc, now_us, safe_window(path));
    path->cc.window_bytes = min_u64(path->cc.window_bytes, safe_window(path));
    path->reduction = (struct ptcp_reduction){.lost = UINT32_MAX}; /* not to be undone */
}

static void stay_back(struct ptcp_path *path, const struct ptcp_ack_sample *ack)
{
    struct ptcp_careful *careful = &path->careful;

    path->cc.window_bytes = min_u64(path->cc.window_bytes, safe_window(path));
    if (ack->newest_sent_us > careful->last_us)
        enter(careful, PTCP_CAREFUL_NORMAL);
}

void ptcp_careful_acked(struct ptcp_path *path, const struct ptcp_ack_sample *ack)
{
    struct ptcp_careful *careful = &path->careful;

    if (careful->phase <= PTCP_CAREFUL_RECONNAISSANCE)
        careful->pipe_bytes -= min_u64(careful->pipe_bytes, ack->acked_bytes);
    if (careful->phase == PTCP_CAREFUL_NORMAL)
        return;
    if (careful->phase == PTCP_CAREFUL_RECONNAISSANCE) {
        explore(path, ack);
        return;
    }
    careful->pipe_bytes += ack->acked_bytes;
    if (careful->phase == PTCP_CAREFUL_RETREAT)
        stay_back(path, ack);
    else if (careful->phase == PTCP_CAREFUL_VALIDATING)
        grow(path, ack);
    else if (careful->phase == PTCP_CAREFUL_UNVALIDATED &&
             (ack->newest_sent_us > careful->first_us ||
              ack->now_us - careful->first_us >= path->rtt.smoothed_us))
        validate(path, ack);
}

/* A controller to which little loss tells nothing jumps where others would, too. */
static bool is_too_much(const struct ptcp_path *path)
{
    const struct ptcp_careful *careful = &path->careful;
    const uint64_t borne = jump_bytes(careful) / 1000 * path->cc.type->loss_ppm / 1000;

    return path->cc.type->loss_ppm == 0 ||
           careful->lost_bytes > max_u64(borne, (uint64_t)PTCP_CAREFUL_LOSSES * path->cc.mtu);
}

void ptcp_careful_lost(struct ptcp_path *path, uint64_t now_us, uint64_t bytes, uint64_t newest_us)
{
    struct ptcp_careful *careful = &path->careful;

    if (careful->phase == PTCP_CAREFUL_RECONNAISSANCE)
        enter(careful, PTCP_CAREFUL_NORMAL);
    /* What was lost before the jump, and found too late to forbid it, ends it. */
    if (!is_jumping(careful) ||
        (careful->phase == PTCP_CAREFUL_VALIDATING && newest_us < careful->first_us))
        return;
    careful->lost_bytes += bytes;
    if (is_too_much(path))
        retreat(path, now_us);
}

void ptcp_careful_marked(struct ptcp_path *path, uint64_t now_us)
{
    if (path->careful.phase == PTCP_CAREFUL_RECONNAISSANCE)
        enter(&path->careful, PTCP_CAREFUL_NORMAL);
    else if (is_jumping(&path->careful))
        retreat(path, now_us);
}

void ptcp_careful_break_off(struct ptcp_careful *careful)
{
    if (is_jumping(careful))
        careful->memory.bytes = min_u64(careful->memory.bytes, careful->pipe_bytes);
}

/* --- Pace and memory ------------------------------------------------------------------------- */

/* The jump is spread over a round trip, and what follows it over another. */
uint64_t ptcp_careful_rate(const struct ptcp_path *path, uint64_t rate)
{
    const struct ptcp_careful *careful = &path->careful;

    if (!is_jumping(careful))
        return rate;
    const uint64_t even = jump_bytes(careful) * 1000000 / max_u64(path->rtt.smoothed_us, 1) + 1;
    return careful->phase == PTCP_CAREFUL_UNVALIDATED ? even : max_u64(rate, 5 * even / 2);
}

bool ptcp_careful_remember(const struct ptcp_path *path, uint64_t now_us,
                           struct ptcp_memory *memory)
{
    const struct ptcp_careful *careful = &path->careful;
    const uint64_t bytes = path->cc.type->capacity(&path->cc);

    *memory = careful->memory;
    if (careful->memory.who == 0 || !path->rtt.sampled)
        return false;
    if (bytes > 0 && careful->phase == PTCP_CAREFUL_NORMAL) {
        memory->bytes = bytes;
        memory->rtt_us = (uint32_t)min_u64(path->rtt.min_us, UINT32_MAX);
        memory->at_us = now_us;
        return true;
    }
    return memory->bytes > 0 && !careful->borrowed;
}
