#include "loop.h"

void stk_task_init(struct stk_task *task, struct stk_loop *loop, stk_task_fn *fn)
{
    *task = (struct stk_task){.fn = fn, .loop = loop};
    stk_list_init(&task->node);
}

void stk_task_queue(struct stk_task *task)
{
    if (stk_list_empty(&task->node))
        stk_list_append(&task->loop->tasks, &task->node);
}

void stk_task_stop(struct stk_task *task) { stk_list_remove(&task->node); }

unsigned reactor_run_tasks(struct stk_loop *loop)
{
    unsigned count = 0;

    while (count < REACTOR_TASKS_PER_TURN && !stk_list_empty(&loop->tasks)) {
        struct stk_node *node = stk_list_pop(&loop->tasks);
        struct stk_task *task = STK_CONTAINER(node, struct stk_task, node);

        task->fn(task);
        count++;
    }
    return count;
}
