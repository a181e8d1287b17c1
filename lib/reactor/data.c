#include "loop.h"

#include <errno.h>

struct reactor_datum {
    const void *key;
    void *data;
    void (*destroy)(void *data);
};

static struct reactor_datum *find(const struct stk_loop *loop, const void *key)
{
    for (unsigned i = 0; i < loop->data_count; i++)
        if (loop->data[i].key == key)
            return &loop->data[i];
    return NULL;
}

static struct reactor_datum *add(struct stk_loop *loop, const void *key)
{
    const size_t size = (loop->data_count + 1) * sizeof *loop->data;
    struct reactor_datum *grown = stk_realloc(loop->data, size);

    if (!grown)
        return NULL;
    loop->data = grown;
    grown += loop->data_count++;
    *grown = (struct reactor_datum){.key = key};
    return grown;
}

static void destroy(struct reactor_datum datum)
{
    if (datum.destroy && datum.data)
        datum.destroy(datum.data);
}

int stk_loop_set_data(struct stk_loop *loop, const void *key, void *data,
                      void (*destroy_fn)(void *))
{
    struct reactor_datum *datum = find(loop, key);
    struct reactor_datum former;

    if (!datum)
        datum = add(loop, key);
    if (!datum)
        return -ENOMEM;
    former = *datum;
    *datum = (struct reactor_datum){.key = key, .data = data, .destroy = destroy_fn};
    if (former.data != data)
        destroy(former);
    return 0;
}

void *stk_loop_data(const struct stk_loop *loop, const void *key)
{
    const struct reactor_datum *datum = find(loop, key);

    return datum ? datum->data : NULL;
}

/* The last to come is the first to go: a room's data may lean on that of the rooms below it. */
void reactor_data_free(struct stk_loop *loop)
{
    while (loop->data_count > 0)
        destroy(loop->data[--loop->data_count]);
    stk_free(loop->data);
    loop->data = NULL;
}
