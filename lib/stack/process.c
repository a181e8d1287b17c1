/*
 * A child process as a stream: /process/COMMAND runs a shell whose standard input and output are
 * the two directions.
 *
 * The child outlives its layer until it is reaped, so what watches it is a block of its own.
 */
#include "fd_stream.h"
#include "iov.h"
#include "transports.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE_US = 2 * 1000 * 1000 }; /* between TERM and KILL */

extern char **environ;

struct process;

struct guard {
    struct stk_child child;
    struct stk_timer timer;
    struct stk_node node;    /* of the loop's list */
    struct process *process; /* NULL: its layer is gone */
    struct stk_loop *loop;
};

struct process {
    struct stk_layer layer;
    struct stack_stream stream;
    struct guard *guard; /* NULL: not started, or reaped */
    int wait_status;
    bool exited;
    bool at_end;       /* stdout has ended; the status decides how recv goes on */
    bool stdin_broken; /* the child takes no more input: told when it has ended */
    bool ignores_status;
    bool unread; /* nobody reads its output any more */
};

static struct process *process_of(struct stk_layer *layer)
{
    return STK_CONTAINER(layer, struct process, layer);
}

/* --- Guards: every child is reaped ---------------------------------------------------------------
 */

static const char guards_key;

static void guard_free(struct guard *guard)
{
    stk_timer_stop(&guard->timer);
    stk_child_stop(&guard->child);
    stk_list_remove(&guard->node);
    stk_free(guard);
}

/* The whole group, and the shell itself: it may have left the group that it was started in. */
static void kill_group(pid_t pid, int signo)
{
    kill(-pid, signo);
    kill(pid, signo);
}

/* The loop goes: so do the children that nobody will hear of. */
static void guards_destroy(void *data)
{
    struct stk_node *guards = data;

    STK_LIST_EACH(node, guards)
    {
        struct guard *guard = STK_CONTAINER(node, struct guard, node);
        const pid_t pid = guard->child.pid;

        if (guard->process)
            guard->process->guard = NULL;
        guard_free(guard);
        kill_group(pid, SIGKILL);
        while (stk_sys.waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    stk_free(guards);
}

static struct stk_node *guards_of(struct stk_loop *loop)
{
    struct stk_node *guards = stk_loop_data(loop, &guards_key);

    if (guards)
        return guards;
    guards = stk_alloc(sizeof *guards);
    if (!guards)
        return NULL;
    stk_list_init(guards);
    if (stk_loop_set_data(loop, &guards_key, guards, guards_destroy) < 0) {
        stk_free(guards);
        return NULL;
    }
    return guards;
}

static void on_exit_status(struct process *process, int wait_status);

static void on_child(struct stk_child *child, int wait_status)
{
    struct guard *guard = STK_CONTAINER(child, struct guard, child);
    struct process *process = guard->process;

    guard_free(guard);
    if (process)
        on_exit_status(process, wait_status);
}

static void on_grace_over(struct stk_timer *timer)
{
    const struct guard *guard = STK_CONTAINER(timer, struct guard, timer);

    kill_group(guard->child.pid, SIGKILL);
}

static void guard_terminate(struct guard *guard)
{
    if (stk_timer_armed(&guard->timer))
        return;
    kill_group(guard->child.pid, SIGTERM);
    stk_timer_in(&guard->timer, GRACE_US);
}

/* --- Starting
 * -------------------------------------------------------------------------------------- */

struct ends {
    int child_in, to_child;    /* a pipe: its reading and its writing end */
    int from_child, child_out; /* another one */
};

/* Above the standard numbers, which the child's descriptors are put in place of. */
static int lift(int *fd)
{
    if (*fd > STDERR_FILENO)
        return 0;
    const int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (lifted < 0)
        return -errno;
    close(*fd);
    *fd = lifted;
    return 0;
}

static void close_ends(const struct ends *ends)
{
    const int fds[] = {ends->child_in, ends->to_child, ends->from_child, ends->child_out};

    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int open_ends(struct ends *ends)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    int code = pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 ? -errno : 0;

    *ends = (struct ends){in[0], in[1], out[0], out[1]};
    if (code == 0)
        code = lift(&ends->child_in);
    if (code == 0)
        code = lift(&ends->child_out);
    /* Our ends only: each end of a pipe has flags of its own. */
    if (code == 0 && (fcntl(ends->to_child, F_SETFL, O_NONBLOCK) < 0 ||
                      fcntl(ends->from_child, F_SETFL, O_NONBLOCK) < 0))
        code = -errno;
    if (code < 0)
        close_ends(ends);
    return code;
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct ends *ends,
                       const char *stderr_goes)
{
    int failed = posix_spawn_file_actions_adddup2(actions, ends->child_in, STDIN_FILENO);

    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, ends->child_out, STDOUT_FILENO);
    if (!failed && !strcmp(stderr_goes, "merge"))
        failed = posix_spawn_file_actions_adddup2(actions, ends->child_out, STDERR_FILENO);
    if (!failed && !strcmp(stderr_goes, "null"))
        failed = posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    return failed;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setpgroup(attributes, 0);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
}

/* Everything that the library opens closes on exec: the child gets its three descriptors only. */
static int spawn(const struct stk_segment *segment, const struct ends *ends, pid_t *pid)
{
    char shell[] = "sh", option[] = "-c";
    char *const argv[] = {shell, option, (char *)(uintptr_t)segment->value, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failed = posix_spawn_file_actions_init(&actions);

    if (failed)
        return -failed;
    failed = posix_spawnattr_init(&attributes);
    if (!failed) {
        failed = add_actions(&actions, ends, stk_segment_text(segment, "stderr", "inherit"));
        if (!failed)
            failed = set_attributes(&attributes);
        if (!failed)
            failed = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return -failed;
}

static struct guard *guard_new(struct process *process)
{
    struct stk_loop *loop = stk_layer_loop(&process->layer);
    struct stk_node *guards = guards_of(loop);
    struct guard *guard = guards ? stk_alloc_zero(sizeof *guard) : NULL;

    if (!guard)
        return NULL;
    guard->process = process;
    guard->loop = loop;
    stk_list_append(guards, &guard->node);
    stk_timer_init(&guard->timer, loop, on_grace_over);
    return guard;
}

static int spawn_guarded(struct process *process, const struct ends *ends)
{
    struct guard *guard = guard_new(process);
    pid_t pid;

    if (!guard)
        return -ENOMEM;
    int code = spawn(process->layer.segment, ends, &pid);
    if (code == 0) {
        code = stk_child_start(&guard->child, guard->loop, pid, on_child);
        if (code < 0) {
            kill_group(pid, SIGKILL);
            while (stk_sys.waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        }
    }
    if (code < 0) {
        stk_list_remove(&guard->node);
        stk_free(guard);
        return code;
    }
    process->guard = guard;
    return 0;
}

/* As in a pipeline whose next command has ended: who writes on gets SIGPIPE. */
static void close_output(struct process *process)
{
    if (process->stream.open)
        stack_stream_close_input(&process->stream);
}

static void start(struct stk_layer *layer)
{
    struct process *process = process_of(layer);
    struct ends ends;
    int code = open_ends(&ends);

    if (code == 0) {
        code = spawn_guarded(process, &ends);
        if (code < 0)
            close_ends(&ends);
    }
    if (code < 0) {
        stk_layer_fail(layer, code, "can't run a shell: %s",
                       code == -ECHILD ? "this program ignores SIGCHLD and can't hear of its end"
                                       : strerror(-code));
        return;
    }
    close(ends.child_in);
    close(ends.child_out);
    stack_stream_open(&process->stream, ends.from_child, ends.to_child);
    if (process->unread)
        close_output(process);
}

/* --- Ending
 * ---------------------------------------------------------------------------------------- */

/* It wrote on when we had stopped reading: the shell tells of such a child, or is it. */
static bool ended_unread(const struct process *process)
{
    const int status = process->wait_status;

    return process->unread && ((WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) ||
                               (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGPIPE));
}

/* What the end means: 0 for success, else the sticky error. */
static int verdict(struct process *process)
{
    const char *const command = process->layer.segment->value;
    const int status = process->wait_status;

    if (ended_unread(process))
        return 0;
    if (!process->ignores_status && status == -1)
        return stk_layer_fail(&process->layer, STK_EEXIT,
                              "\"%.160s\" ended, but another part of this program took its status",
                              command);
    if (!process->ignores_status && WIFSIGNALED(status))
        return stk_layer_fail(&process->layer, STK_EEXIT, "\"%.160s\" was killed by signal %d",
                              command, WTERMSIG(status));
    if (!process->ignores_status && WEXITSTATUS(status) != 0)
        return stk_layer_fail(&process->layer, STK_EEXIT, "\"%.160s\" exited with status %d",
                              command, WEXITSTATUS(status));
    if (process->stdin_broken)
        return stk_layer_fail(&process->layer, -EPIPE,
                              "\"%.160s\" ended before it had read all of its input", command);
    return 0;
}

static void on_exit_status(struct process *process, int wait_status)
{
    process->guard = NULL;
    process->wait_status = wait_status;
    process->exited = true;
    if (process->at_end || process->stdin_broken)
        stk_layer_raise(&process->layer, STK_RX);
    /* With nobody to write to any more, the writer must hear of it. */
    if (process->stdin_broken)
        stk_layer_raise(&process->layer, STK_TX);
}

/* Closing its standard input is no crime of the child's: the exit status tells what to make of it.
 */
static int on_broken(struct stack_stream *stream)
{
    struct process *process = STK_CONTAINER(stream, struct process, stream);

    process->stdin_broken = true;
    if (process->exited)
        stk_layer_raise(&process->layer, STK_TX);
    return STK_AGAIN;
}

static long end_of_output(struct process *process)
{
    process->at_end = true;
    if (process->exited)
        return verdict(process);
    return process->ignores_status && !process->stdin_broken ? 0 : STK_AGAIN;
}

static long recv_bytes(struct stk_layer *layer, const struct iovec *iov, int count)
{
    struct process *process = process_of(layer);
    const long n = stack_stream_recv(&process->stream, iov, count);

    return n == 0 ? end_of_output(process) : n;
}

static long send_bytes(struct stk_layer *layer, const struct iovec *iov, int count, unsigned flags)
{
    struct process *process = process_of(layer);

    if (process->stdin_broken && stk_iov_bytes(iov, count) > 0)
        return process->exited ? verdict(process) : STK_AGAIN;
    return stack_stream_send(&process->stream, iov, count, flags);
}

static void abort_now(struct stk_layer *layer)
{
    struct process *process = process_of(layer);

    stack_stream_close(&process->stream, false);
    if (process->guard)
        guard_terminate(process->guard);
}

/* A child that nobody talks to any more is asked to go; it is reaped in any case. */
static void destroy(struct stk_layer *layer)
{
    struct process *process = process_of(layer);

    stack_stream_close(&process->stream, false);
    if (!process->guard)
        return;
    process->guard->process = NULL;
    guard_terminate(process->guard);
    process->guard = NULL;
}

/* --- The layer ----------------------------------------------------------------------------- */

static int prepare(const struct stk_segment *segment, bool listening, void **shared,
                   struct stk_error *error)
{
    const char *const goes = stk_segment_text(segment, "stderr", "inherit");
    const char *const status = stk_segment_text(segment, "status", "check");

    (void)listening;
    (void)shared;
    if (strcmp(goes, "inherit") && strcmp(goes, "merge") && strcmp(goes, "null"))
        return stk_error_set(error, STK_ESYNTAX, "process",
                             "stderr=%s is none of inherit, merge and null", goes);
    if (strcmp(status, "check") && strcmp(status, "ignore"))
        return stk_error_set(error, STK_ESYNTAX, "process", "status=%s is neither check nor ignore",
                             status);
    return 0;
}

static int init(struct stk_layer *layer)
{
    struct process *process = process_of(layer);

    stack_stream_init(&process->stream, layer);
    process->stream.broken = on_broken;
    process->ignores_status =
        !strcmp(stk_segment_text(layer->segment, "status", "check"), "ignore");
    return 0;
}

static int control(struct stk_layer *layer, int key, uint64_t value)
{
    struct process *process = process_of(layer);

    if (key != STK_CONTROL_UNREAD)
        return -ENOENT;
    if (value != 1)
        return -EINVAL;
    process->unread = true;
    close_output(process);
    return 0;
}

static int query(struct stk_layer *layer, int key, void *out, size_t len)
{
    struct process *process = process_of(layer);

    if (key == STK_QUERY_EXIT_STATUS && len >= sizeof(int) && process->exited) {
        *(int *)out = process->wait_status;
        return 0;
    }
    return stack_stream_query(&process->stream, key, out, len);
}

static const struct stk_option_type options[] = {
    {"stderr", STK_OPTION_TEXT, 0, 0, "inherit, merge into the output, or null (inherit)"},
    {"status", STK_OPTION_TEXT, 0, 0, "check the exit status, or ignore it (check)"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

static const struct stk_stream_type stream = {
    .size = sizeof(struct process),
    .lingers = true,
    .prepare = prepare,
    .init = init,
    .start = start,
    .recv = recv_bytes,
    .send = send_bytes,
    .abort = abort_now,
    .query = query,
    .control = control,
    .destroy = destroy,
};

const struct stk_layer_type stk_layer_process = {
    .name = "process",
    .summary = "a shell command's standard input and output",
    .below = STK_NOTHING,
    .above = STK_STREAM,
    .value = STK_VALUE_REQUIRED,
    .value_name = "COMMAND",
    .options = options,
    .stream = &stream,
};
