/*
 * all() and first(): one deferred made of many. Whatever the parts do, each reports once; the
 * gathering is freed with the last report, which may come long after its own result.
 */
#include "steps.h"

#include <assert.h>
#include <errno.h>

/* Values behind their count, so that destroying the array finds both. */
struct array {
    size_t count;
    struct part_value {
        void *value;
        void (*destroy)(void *);
    } * owned; /* behind the values, in the same block */
    void *values[];
};

struct gather;

struct part {
    struct gather *gather;
    struct stk_deferred *deferred; /* NULL when it has reported */
    struct reactor_step step;
};

struct gather {
    struct stk_deferred *result; /* NULL when it has fired or been canceled */
    struct array *array;         /* of all(); NULL for first() */
    size_t count, unreported;    /* parts */
    unsigned holds;              /* functions on the stack that still need the gathering */
    bool canceled;               /* the result must not be fired any more */
    struct part parts[];
};

static void destroy_array(void *values)
{
    struct array *array = STK_CONTAINER(values, struct array, values);

    for (size_t i = 0; i < array->count; i++)
        if (array->owned[i].destroy && array->owned[i].value)
            array->owned[i].destroy(array->owned[i].value);
    stk_free(array);
}

static struct array *array_new(size_t count)
{
    const size_t values = (count + 1) * sizeof(void *);
    struct array *array = stk_alloc_zero(sizeof *array + values + count * sizeof *array->owned);

    if (!array)
        return NULL;
    array->count = count;
    array->owned = (struct part_value *)(void *)((char *)array->values + values);
    return array;
}

static void release(struct gather *gather)
{
    assert(gather->holds > 0);
    if (--gather->holds > 0 || gather->unreported > 0)
        return;
    assert(!gather->result);
    if (gather->array)
        destroy_array(gather->array->values);
    stk_free(gather);
}

static void cancel_parts(struct gather *gather)
{
    for (size_t i = 0; i < gather->count; i++)
        if (gather->parts[i].deferred)
            stk_deferred_cancel(gather->parts[i].deferred);
}

/* From here on reports of the parts are dropped. */
static struct stk_deferred *take_result(struct gather *gather)
{
    struct stk_deferred *result = gather->result;

    gather->result = NULL;
    return result;
}

/* What is told of its cancel may cancel the result in turn. */
static void fail(struct gather *gather, const struct stk_error *error)
{
    struct stk_deferred *result = take_result(gather);

    cancel_parts(gather);
    if (!gather->canceled)
        stk_deferred_fail(result, error);
}

static void succeed_with_array(struct gather *gather)
{
    struct array *array = gather->array;

    gather->array = NULL;
    stk_deferred_succeed(take_result(gather), array->values, destroy_array);
}

static void succeed_with(struct gather *gather, struct stk_outcome outcome)
{
    struct stk_deferred *result = take_result(gather);

    cancel_parts(gather);
    if (gather->canceled)
        stk_outcome_drop(&outcome);
    else
        stk_deferred_succeed(result, outcome.value, outcome.destroy);
}

static void keep_value(struct gather *gather, size_t index, struct stk_outcome outcome)
{
    gather->array->values[index] = outcome.value;
    gather->array->owned[index] = (struct part_value){outcome.value, outcome.destroy};
    if (gather->unreported == 0)
        succeed_with_array(gather);
}

static void report(struct gather *gather, size_t index, struct stk_outcome outcome)
{
    if (!gather->result)
        stk_outcome_drop(&outcome);
    else if (outcome.code >= 0 && gather->array)
        keep_value(gather, index, outcome);
    else if (outcome.code >= 0)
        succeed_with(gather, outcome);
    else if (gather->array || gather->unreported == 0)
        fail(gather, &outcome.error);
}

static struct stk_outcome on_part(void *user, struct stk_outcome outcome)
{
    struct part *part = user;
    struct gather *gather = part->gather;
    struct stk_deferred *deferred = part->deferred;

    part->deferred = NULL;
    gather->unreported--;
    gather->holds++;
    report(gather, (size_t)(part - gather->parts), outcome);
    release(gather);
    stk_deferred_unref(deferred);
    return stk_outcome_value(NULL, NULL);
}

static void on_cancel(struct stk_deferred *deferred, void *user)
{
    struct gather *gather = user;

    (void)deferred;
    gather->canceled = true;
    take_result(gather);
    gather->holds++;
    cancel_parts(gather);
    release(gather);
}

static void give_up(struct stk_deferred **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        stk_deferred_cancel(list[i]);
        stk_deferred_unref(list[i]);
    }
}

static void add_steps(struct gather *gather, struct stk_deferred **list)
{
    for (size_t i = 0; i < gather->count; i++) {
        struct part *part = &gather->parts[i];

        part->gather = gather;
        part->deferred = list[i];
        part->step = (struct reactor_step){
            .fn = on_part,
            .user = part,
            .kinds = REACTOR_STEP_VALUE | REACTOR_STEP_ERROR,
        };
    }
    for (size_t i = 0; i < gather->count; i++) {
        /* A part that has its result runs the step at once, and may cancel the others. */
        reactor_deferred_add(list[i], &gather->parts[i].step);
    }
}

static struct gather *gather_new(size_t count, bool with_array)
{
    struct gather *gather = stk_alloc_zero(sizeof *gather + count * sizeof gather->parts[0]);

    if (!gather)
        return NULL;
    gather->count = count;
    gather->unreported = count;
    gather->holds = 1;
    if (!with_array)
        return gather;
    gather->array = array_new(count);
    if (gather->array)
        return gather;
    stk_free(gather);
    return NULL;
}

static void fire_without_parts(struct gather *gather)
{
    const struct stk_outcome nothing =
        stk_outcome_error(-EINVAL, "deferred", "nothing to choose from");

    if (gather->array)
        succeed_with_array(gather);
    else
        fail(gather, &nothing.error);
}

static struct stk_deferred *gather_all(struct stk_loop *loop, struct stk_deferred **list,
                                       size_t count, bool with_array)
{
    struct gather *gather = gather_new(count, with_array);
    struct stk_deferred *result = gather ? stk_deferred_new(loop, on_cancel, gather) : NULL;

    if (!result) {
        if (gather)
            stk_free(gather->array);
        stk_free(gather);
        give_up(list, count);
        return NULL;
    }
    gather->result = result;
    if (count > 0)
        add_steps(gather, list);
    else
        fire_without_parts(gather);
    release(gather);
    return result;
}

struct stk_deferred *stk_deferred_all(struct stk_loop *loop, struct stk_deferred **list,
                                      size_t count)
{
    return gather_all(loop, list, count, true);
}

struct stk_deferred *stk_deferred_first(struct stk_loop *loop, struct stk_deferred **list,
                                        size_t count)
{
    return gather_all(loop, list, count, false);
}
