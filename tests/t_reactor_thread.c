/*
 * Goal: posts from any thread arrive once and in order; jobs end exactly once, whatever happens.
 * Method: four posting threads; jobs that wait at a gate which the test opens.
 */
#include "every_backend.h"
#include "fault.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

/* --- Posts ---------------------------------------------------------------------------------- */

enum { THREADS = 4, POSTS = 5000 };

struct poster {
    pthread_t thread;
    struct stk_loop *loop;
    struct numbered {
        struct poster *poster;
        int number;
    } posts[POSTS];
    int next_number; /* that must arrive next */
};

static struct poster posters[THREADS];
static int arrived;

static void arrive(void *arg)
{
    struct numbered *post = arg;
    struct poster *poster = post->poster;

    if (post->number != poster->next_number++)
        CU_FAIL("posts of one thread arrive out of order");
    if (++arrived == THREADS * POSTS)
        stk_loop_stop(poster->loop);
}

static void *post_all(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < POSTS; i++) {
        poster->posts[i] = (struct numbered){poster, i};
        while (stk_loop_post(poster->loop, arrive, &poster->posts[i]) < 0)
            continue;
    }
    return NULL;
}

static void never(struct stk_timer *timer)
{
    (void)timer;
    CU_FAIL("an hour is over");
}

static void four_threads(struct stk_loop *loop)
{
    struct stk_timer keeps_running;

    arrived = 0;
    stk_timer_init(&keeps_running, loop, never);
    stk_timer_in(&keeps_running, 3600 * UINT64_C(1000000));
    for (int i = 0; i < THREADS; i++) {
        posters[i].loop = loop;
        posters[i].next_number = 0;
        CU_ASSERT_EQUAL(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(posters[i].thread, NULL);
    stk_timer_stop(&keeps_running);
    CU_ASSERT_EQUAL(arrived, THREADS * POSTS);
}

static void posts_of_four_threads_arrive_once_and_in_order(void) { on_every_backend(four_threads); }

static void count_up(void *arg) { ++*(int *)arg; }

static void post_left(struct stk_loop *loop)
{
    int count = 0;

    CU_ASSERT_EQUAL(stk_loop_post(loop, count_up, &count), 0);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(count, 1);
    count = 0;
    for (int i = 0; i < 3000; i++)
        CU_ASSERT_EQUAL(stk_loop_post(loop, count_up, &count), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(count, 1024);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 1);
    CU_ASSERT_EQUAL(count, 3000);
}

static void pending_posts_keep_run_going_and_are_bounded_per_turn(void)
{
    on_every_backend(post_left);
}

static int posts_at_the_end;

static void post_at_the_end(struct stk_loop *loop)
{
    posts_at_the_end = 0;
    CU_ASSERT_EQUAL(stk_loop_post(loop, count_up, &posts_at_the_end), 0);
    fault_heap_fail(1, FAULT_ONCE);
    CU_ASSERT_EQUAL(stk_loop_post(loop, count_up, &posts_at_the_end), -ENOMEM);
}

static void a_freed_loop_has_run_its_posts(void)
{
    fault_heap_install();
    on_every_backend(post_at_the_end);
    CU_ASSERT_EQUAL(posts_at_the_end, 1);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static void *wake_it(void *loop)
{
    stk_loop_wake(loop);
    return NULL;
}

static void wake(struct stk_loop *loop)
{
    pthread_t thread;

    CU_ASSERT_EQUAL(pthread_create(&thread, NULL, wake_it, loop), 0);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 0);
    pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++)
        stk_loop_wake(loop);
    CU_ASSERT_EQUAL(stk_loop_turn(loop, -1), 0);
}

static void a_wake_ends_the_wait(void) { on_every_backend(wake); }

/* --- Jobs ----------------------------------------------------------------------------------- */

enum { JOBS = 6 };

static sem_t gate;
static struct counted_job {
    struct stk_job job;
    int works, dones, status;
} jobs[JOBS];

static void work_at_gate(struct stk_job *job)
{
    while (sem_wait(&gate) < 0)
        continue;
    STK_CONTAINER(job, struct counted_job, job)->works++;
}

static void job_done(struct stk_job *job, int status)
{
    struct counted_job *counted = STK_CONTAINER(job, struct counted_job, job);

    counted->dones++;
    counted->status = status;
}

static void begin_jobs(void)
{
    memset(jobs, 0, sizeof jobs);
    sem_init(&gate, 0, 0);
    for (int i = 0; i < JOBS; i++) {
        jobs[i].job.work = work_at_gate;
        jobs[i].job.done = job_done;
    }
}

static void open_gate(int times)
{
    while (times-- > 0)
        sem_post(&gate);
}

static void run_jobs(struct stk_loop *loop)
{
    begin_jobs();
    for (int i = 0; i < JOBS; i++)
        CU_ASSERT_EQUAL(stk_job_submit(&jobs[i].job, loop), 0);
    open_gate(JOBS);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    for (int i = 0; i < JOBS; i++) {
        CU_ASSERT_EQUAL(jobs[i].works, 1);
        CU_ASSERT_EQUAL(jobs[i].dones, 1);
        CU_ASSERT_EQUAL(jobs[i].status, 0);
    }
    sem_destroy(&gate);
}

static void jobs_run_in_threads_and_end_in_the_loop(void) { on_every_backend(run_jobs); }

/* Two threads may hold the first two jobs; the last one waits for certain. */
static void cancel_jobs(struct stk_loop *loop)
{
    begin_jobs();
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(stk_job_submit(&jobs[i].job, loop), 0);
    stk_job_cancel(&jobs[2].job);
    stk_job_cancel(&jobs[2].job);
    CU_ASSERT_EQUAL(jobs[2].dones, 0);
    CU_ASSERT_EQUAL(stk_loop_job_count(loop), 3);
    open_gate(2);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(stk_loop_job_count(loop), 0);
    CU_ASSERT_EQUAL(jobs[2].works, 0);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(jobs[i].dones, 1);
    stk_job_cancel(&jobs[0].job);
    stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(jobs[0].dones, 1);
    sem_destroy(&gate);
}

static void a_canceled_job_ends_once_and_never_at_once(void)
{
    on_every_backend(cancel_jobs);
    CU_ASSERT_EQUAL(jobs[2].status, -ECANCELED);
}

static void full_queue_on(const char *backend)
{
    const struct stk_loop_options options = {
        .backend = backend, .worker_threads = 1, .worker_queue = 2};
    struct stk_loop *loop;
    int accepted = 0, canceled = 0;

    if (stk_loop_new(&options, &loop) < 0)
        return;
    begin_jobs();
    while (accepted < JOBS && stk_job_submit(&jobs[accepted].job, loop) == 0)
        accepted++;
    /* Two wait, and one more where the thread has taken its first already. */
    CU_ASSERT_TRUE(accepted == 2 || accepted == 3);
    open_gate(accepted);
    stk_loop_free(loop);
    for (int i = 0; i < accepted; i++) {
        CU_ASSERT_EQUAL(jobs[i].dones, 1);
        CU_ASSERT_EQUAL(jobs[i].works, jobs[i].status == 0);
        canceled += jobs[i].status == -ECANCELED;
    }
    CU_ASSERT_TRUE(canceled <= accepted);
    sem_destroy(&gate);
}

static void a_full_queue_refuses_and_a_freed_loop_ends_all_jobs(void)
{
    for (const char *const *name = stk_loop_backend_names(); *name; name++)
        full_queue_on(*name);
}

static void resubmit(struct stk_job *job, int status)
{
    job_done(job, status);
    if (jobs[0].dones < 5)
        CU_ASSERT_EQUAL(stk_job_submit(job, job->loop), 0);
}

static void submit_again(struct stk_loop *loop)
{
    begin_jobs();
    jobs[0].job.done = resubmit;
    open_gate(5);
    CU_ASSERT_EQUAL(stk_job_submit(&jobs[0].job, loop), 0);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(jobs[0].works, 5);
    sem_destroy(&gate);
}

static void a_done_job_may_be_submitted_again(void) { on_every_backend(submit_again); }

static int late_result;

static void submit_late(struct stk_job *job, int status)
{
    job_done(job, status);
    late_result = stk_job_submit(&jobs[1].job, job->loop);
}

static void a_freed_loop_takes_no_further_job(void)
{
    for (const char *const *name = stk_loop_backend_names(); *name; name++) {
        const struct stk_loop_options options = {.backend = *name};
        struct stk_loop *loop;

        if (stk_loop_new(&options, &loop) < 0)
            continue;
        begin_jobs();
        jobs[0].job.done = submit_late;
        open_gate(2);
        CU_ASSERT_EQUAL(stk_job_submit(&jobs[0].job, loop), 0);
        stk_loop_free(loop);
        CU_ASSERT_EQUAL(late_result, -EAGAIN);
        CU_ASSERT_EQUAL(jobs[1].works + jobs[1].dones, 0);
        sem_destroy(&gate);
    }
}

static void job_without_memory(struct stk_loop *loop)
{
    begin_jobs();
    fault_heap_fail(1, FAULT_ONCE);
    CU_ASSERT_EQUAL(stk_job_submit(&jobs[0].job, loop), -ENOMEM);
    CU_ASSERT_EQUAL(stk_loop_run(loop), 0);
    CU_ASSERT_EQUAL(jobs[0].dones, 0);
    sem_destroy(&gate);
}

static void a_job_without_memory_is_refused(void)
{
    fault_heap_install();
    on_every_backend(job_without_memory);
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static CU_TestInfo tests[] = {
    {"posts of four threads arrive once and in order",
     posts_of_four_threads_arrive_once_and_in_order},
    {"pending posts keep run going and are bounded per turn",
     pending_posts_keep_run_going_and_are_bounded_per_turn},
    {"a freed loop has run its posts", a_freed_loop_has_run_its_posts},
    {"a wake ends the wait", a_wake_ends_the_wait},
    {"jobs run in threads and end in the loop", jobs_run_in_threads_and_end_in_the_loop},
    {"a canceled job ends once and never at once", a_canceled_job_ends_once_and_never_at_once},
    {"a full queue refuses, and a freed loop ends all jobs",
     a_full_queue_refuses_and_a_freed_loop_ends_all_jobs},
    {"a done job may be submitted again", a_done_job_may_be_submitted_again},
    {"a freed loop takes no further job", a_freed_loop_takes_no_further_job},
    {"a job without memory is refused", a_job_without_memory_is_refused},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("reactor threads", tests)
