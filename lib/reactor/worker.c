/*
 * A bounded pool of threads for calls that block. Threads start when a job finds none idle, and
 * end with the loop. A job is in one list at a time: waiting, or done and not yet handed out.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>

enum job_state { JOB_NEW, JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_CANCELED };

struct reactor_pool {
    struct stk_loop *loop;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct stk_node waiting, done;
    unsigned waiting_count, thread_count, idle_count;
    bool closing;
    pthread_t threads[];
};

static struct reactor_pool *pool_of(struct stk_loop *loop)
{
    const size_t size = sizeof(struct reactor_pool) + loop->worker_threads * sizeof(pthread_t);
    struct reactor_pool *pool = loop->pool;

    if (pool)
        return pool;
    pool = stk_alloc_zero(size);
    if (!pool)
        return NULL;
    pool->loop = loop;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->changed, NULL);
    stk_list_init(&pool->waiting);
    stk_list_init(&pool->done);
    loop->pool = pool;
    return pool;
}

static void finish(struct reactor_pool *pool, struct stk_job *job, enum job_state state)
{
    job->state = state;
    stk_list_append(&pool->done, &job->node);
    stk_loop_wake(pool->loop);
}

/* NULL when the pool closes. Called and left with the mutex held. */
static struct stk_job *next_job(struct reactor_pool *pool)
{
    struct stk_node *node;

    pool->idle_count++;
    while (stk_list_empty(&pool->waiting) && !pool->closing)
        pthread_cond_wait(&pool->changed, &pool->mutex);
    pool->idle_count--;
    node = stk_list_pop(&pool->waiting);
    if (!node)
        return NULL;
    pool->waiting_count--;
    return STK_CONTAINER(node, struct stk_job, node);
}

static void *run_jobs(void *argument)
{
    struct reactor_pool *pool = argument;
    struct stk_job *job;

    pthread_mutex_lock(&pool->mutex);
    while ((job = next_job(pool)) != NULL) {
        job->state = JOB_RUNNING;
        pthread_mutex_unlock(&pool->mutex);
        job->work(job);
        pthread_mutex_lock(&pool->mutex);
        finish(pool, job, JOB_DONE);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Signals are for the threads that run loops. */
static int start_thread(struct reactor_pool *pool)
{
    sigset_t all, former;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    error = pthread_create(&pool->threads[pool->thread_count], NULL, run_jobs, pool);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (error == 0)
        pool->thread_count++;
    return -error;
}

static bool needs_thread(const struct reactor_pool *pool)
{
    return pool->waiting_count >= pool->idle_count &&
           pool->thread_count < pool->loop->worker_threads;
}

static int submit_locked(struct reactor_pool *pool, struct stk_job *job)
{
    if (pool->closing || pool->waiting_count >= pool->loop->worker_queue)
        return -EAGAIN;
    if (needs_thread(pool) && start_thread(pool) < 0 && pool->thread_count == 0)
        return -EAGAIN;
    job->state = JOB_WAITING;
    stk_list_append(&pool->waiting, &job->node);
    pool->waiting_count++;
    pthread_cond_signal(&pool->changed);
    return 0;
}

int stk_job_submit(struct stk_job *job, struct stk_loop *loop)
{
    struct reactor_pool *pool = pool_of(loop);
    int result;

    if (!pool)
        return -ENOMEM;
    job->loop = loop;
    stk_list_init(&job->node);
    pthread_mutex_lock(&pool->mutex);
    result = submit_locked(pool, job);
    pthread_mutex_unlock(&pool->mutex);
    if (result == 0)
        loop->job_count++;
    return result;
}

static void cancel_locked(struct reactor_pool *pool, struct stk_job *job)
{
    if (job->state != JOB_WAITING)
        return;
    stk_list_remove(&job->node);
    pool->waiting_count--;
    finish(pool, job, JOB_CANCELED);
}

void stk_job_cancel(struct stk_job *job)
{
    struct reactor_pool *pool = job->loop->pool;

    pthread_mutex_lock(&pool->mutex);
    cancel_locked(pool, job);
    pthread_mutex_unlock(&pool->mutex);
}

unsigned stk_loop_job_count(const struct stk_loop *loop) { return loop->job_count; }

static struct stk_job *take_done(struct reactor_pool *pool)
{
    struct stk_node *node;

    pthread_mutex_lock(&pool->mutex);
    node = stk_list_pop(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
    return node ? STK_CONTAINER(node, struct stk_job, node) : NULL;
}

unsigned reactor_run_jobs(struct stk_loop *loop)
{
    struct stk_job *job = NULL;
    unsigned count = 0;

    while (loop->pool && count < REACTOR_JOBS_PER_TURN && (job = take_done(loop->pool)) != NULL) {
        assert(loop->job_count > 0);
        loop->job_count--;
        job->done(job, job->state == JOB_CANCELED ? -ECANCELED : 0);
        count++;
    }
    /* What the bound left over must not sleep through the next wait. */
    if (count == REACTOR_JOBS_PER_TURN)
        stk_loop_wake(loop);
    return count;
}

static void join_threads(struct reactor_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    while (!stk_list_empty(&pool->waiting))
        cancel_locked(pool, STK_CONTAINER(pool->waiting.next, struct stk_job, node));
    pool->closing = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pool->thread_count = 0;
}

/* A callback can't submit another job any more: no thread would be left for it. */
void reactor_pool_close(struct stk_loop *loop)
{
    struct reactor_pool *pool = loop->pool;

    if (!pool)
        return;
    join_threads(pool);
    while (reactor_run_jobs(loop) > 0)
        continue;
    assert(loop->job_count == 0);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->mutex);
    stk_free(pool);
    loop->pool = NULL;
}
