/*
 * Goal: a command is a stream with an exit status; it never leaks, lingers or gets more than its
 * three descriptors. Method: real shells that say what they see.
 */
#include "fault.h"
#include "harness.h"
#include "recipe.h"
#include "talker.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

static struct stk_loop *loop;
static struct talker talker;
static struct stk_error error;

static void open_loop(void)
{
    memset(&talker, 0, sizeof talker);
    memset(&error, 0, sizeof error);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
}

/* Every child was reaped: there is none to wait for. */
static void close_loop(void)
{
    stk_loop_turn(loop, 0);
    stk_loop_free(loop);
    CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
    CU_ASSERT_EQUAL(errno, ECHILD);
}

static void begin(const char *command, const char *options)
{
    char text[600], address[700];

    snprintf(address, sizeof address, "/process/%s%s",
             stk_percent_encode(command, text, sizeof text), options);
    CU_ASSERT_EQUAL_FATAL(talker_connect(&talker, loop, address, &error), 0);
}

static void run(const char *command, const char *options)
{
    begin(command, options);
    talker_wait_closed(&talker, loop);
    talker.kept[talker.received < TALKER_KEEP_MAX ? talker.received : TALKER_KEEP_MAX - 1] = '\0';
}

static const char *output(void) { return (const char *)talker.kept; }

static void bytes_cross_a_child_and_come_back(void)
{
    open_loop();
    talker.seed = talker.incoming.seed = 7;
    talker.size = talker.incoming.size = 2 << 20;
    talker.finish = true;
    run("cat", "");
    CU_ASSERT_TRUE(oracle_is_complete(&talker.incoming));
    CU_ASSERT_EQUAL(talker.error.code, 0);
    close_loop();
}

static void half_close_ends_its_input(void)
{
    open_loop();
    talker.size = 1000;
    talker.finish = true;
    run("wc -c; echo done", "");
    CU_ASSERT_PTR_NOT_NULL(strstr(output(), "1000\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(output(), "done\n"));
    CU_ASSERT_EQUAL(talker.error.code, 0);
    close_loop();
}

static void an_exit_status_is_told_after_the_bytes(void)
{
    open_loop();
    run("echo before; exit 3", "");
    CU_ASSERT_STRING_EQUAL(output(), "before\n");
    CU_ASSERT_EQUAL(talker.error.code, STK_EEXIT);
    CU_ASSERT_STRING_EQUAL(talker.error.text, "\"echo before; exit 3\" exited with status 3");
    close_loop();
}

static void a_signal_that_killed_it_is_told(void)
{
    open_loop();
    run("kill -9 $$", "");
    CU_ASSERT_EQUAL(talker.error.code, STK_EEXIT);
    CU_ASSERT_STRING_EQUAL(talker.error.text, "\"kill -9 $$\" was killed by signal 9");
    close_loop();
}

static void the_status_may_be_ignored(void)
{
    open_loop();
    run("echo before; exit 3", ",status=ignore");
    CU_ASSERT_STRING_EQUAL(output(), "before\n");
    CU_ASSERT_EQUAL(talker.error.code, 0);
    close_loop();
}

static int wait_status;

static void ask_status(struct stk_conn *conn)
{
    struct talker *t = stk_conn_user(conn);

    t->finished++;
    CU_ASSERT_EQUAL(stk_conn_query(conn, STK_QUERY_EXIT_STATUS, &wait_status, sizeof wait_status),
                    0);
    stk_conn_close(conn);
}

static void the_status_can_be_asked_for(void)
{
    struct stk_protocol protocol = talker_protocol;

    open_loop();
    wait_status = -1;
    protocol.finished = ask_status;
    CU_ASSERT_EQUAL(stk_connect(loop, "/process/true", &protocol, &talker, &talker.conn, &error),
                    0);
    talker_wait_closed(&talker, loop);
    CU_ASSERT_TRUE(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
    close_loop();
}

static void standard_error_goes_where_it_is_sent(void)
{
    open_loop();
    run("echo out; echo err >&2", ",stderr=merge");
    CU_ASSERT_STRING_EQUAL(output(), "out\nerr\n");
    close_loop();
    open_loop();
    run("echo out; echo err >&2", ",stderr=null");
    CU_ASSERT_STRING_EQUAL(output(), "out\n");
    close_loop();
    open_loop();
    CU_ASSERT_EQUAL(talker_connect(&talker, loop, "/process/true,stderr=up", &error), STK_ESYNTAX);
    CU_ASSERT_EQUAL(talker_connect(&talker, loop, "/process/true,status=up", &error), STK_ESYNTAX);
    close_loop();
}

/* Those above the standard ones that this program itself inherited, and passes on. */
static int inherited_descriptors(void)
{
    int count = 0;

    for (int fd = 3; fd < 1024; fd++) {
        const int flags = fcntl(fd, F_GETFD);
        count += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

static void it_gets_three_descriptors_and_a_process_group_of_its_own(void)
{
    open_loop();
    const int inherited = inherited_descriptors();
    /* ls has one more open: the directory that it lists. Field 5 of stat is the group. */
    run("ls /proc/self/fd | wc -l; cut -d ' ' -f 5 /proc/$$/stat; echo $$", "");
    int count = 0, group = 0, pid = -1;
    CU_ASSERT_EQUAL(sscanf(output(), "%d %d %d", &count, &group, &pid), 3);
    CU_ASSERT_EQUAL(count, 4 + inherited);
    CU_ASSERT_EQUAL(group, pid);
    close_loop();
}

static void signals_are_as_in_a_fresh_process(void)
{
    sigset_t blocked, before;

    open_loop();
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGPIPE, SIG_IGN);
    run("grep -E 'SigBlk|SigIgn' /proc/self/status", "");
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    unsigned long long blocks = 1, ignores = 1;
    CU_ASSERT_EQUAL(sscanf(output(), "SigBlk: %llx SigIgn: %llx", &blocks, &ignores), 2);
    CU_ASSERT_EQUAL(blocks, 0);
    CU_ASSERT_EQUAL(ignores & 0x7fffffff, 0); /* 32 and 33 are libc's own */
    close_loop();
}

static void abort_ends_the_whole_group_and_reaps_it(void)
{
    open_loop();
    begin("echo up; sleep 1000 & wait", "");
    while (talker.received < 3)
        stk_loop_turn(loop, 1000000);
    stk_conn_abort(talker.conn);
    talker_wait_closed(&talker, loop);
    CU_ASSERT_EQUAL(talker.error.code, -ECONNABORTED);
    while (waitpid(-1, NULL, WNOHANG | WNOWAIT) == 0)
        stk_loop_turn(loop, 1000000);
    close_loop();
}

static void a_loop_that_goes_takes_deaf_children_with_it(void)
{
    open_loop();
    begin("trap '' TERM; echo up; while :; do sleep 1000; done", "");
    while (talker.received < 3)
        stk_loop_turn(loop, 1000000);
    stk_conn_abort(talker.conn);
    talker_wait_closed(&talker, loop);
    close_loop();
}

/* Its connection is still open: both hear of the loop's end. */
static void a_loop_that_goes_takes_live_children_with_it(void)
{
    open_loop();
    begin("echo up; exec sleep 1000", "");
    while (talker.received < 3)
        stk_loop_turn(loop, 1000000);
    close_loop();
    CU_ASSERT_TRUE(talker.closed);
    CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
    CU_ASSERT_EQUAL(errno, ECHILD);
}

static void input_that_it_did_not_read_is_an_error(void)
{
    open_loop();
    talker.size = 4 << 20;
    talker.finish = true;
    run("head -c 5 >/dev/null; echo enough", "");
    CU_ASSERT_STRING_EQUAL(output(), "enough\n");
    CU_ASSERT_EQUAL(talker.error.code, -EPIPE);
    CU_ASSERT_PTR_NOT_NULL(strstr(talker.error.text, "before it had read all of its input"));
    close_loop();
}

static void a_failure_tells_more_than_unread_input(void)
{
    open_loop();
    talker.size = 4 << 20;
    talker.finish = true;
    run("exit 7", "");
    CU_ASSERT_EQUAL(talker.error.code, STK_EEXIT);
    close_loop();
}

static bool has_exited;

static void ask_whether_it_has_exited(struct stk_conn *conn, const struct stk_error *problem)
{
    has_exited = stk_conn_query(conn, STK_QUERY_EXIT_STATUS, &wait_status, sizeof wait_status) == 0;
    talker_protocol.closed(conn, problem);
}

/* Without the news it would write on until the close deadline and be left behind. */
static void who_writes_on_when_nobody_reads_gets_sigpipe(void)
{
    static const char *const commands[] = {"yes", /* the shell becomes it, or tells of it */
                                           "yes; exit $?", /* the shell tells of it */
                                           "trap '' PIPE; while echo y; do :; done; :"}; /* EPIPE */

    struct stk_protocol protocol = talker_protocol;

    protocol.closed = ask_whether_it_has_exited;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        open_loop();
        begin(commands[i], ",stderr=null");
        stk_conn_set_protocol(talker.conn, &protocol, &talker);
        while (talker.received == 0 && stk_loop_turn(loop, -1) > 0)
            continue;
        CU_ASSERT_EQUAL(stk_conn_control(talker.conn, STK_CONTROL_UNREAD, 1), 0);
        stk_conn_close(talker.conn);
        talker_wait_closed(&talker, loop);
        CU_ASSERT_TRUE(has_exited);
        CU_ASSERT_EQUAL(talker.error.code, 0);
        close_loop();
    }
}

static void a_child_that_is_read_by_nobody_may_fail_all_the_same(void)
{
    open_loop();
    begin("cat >/dev/null; exit 3", "");
    CU_ASSERT_EQUAL(stk_conn_control(talker.conn, STK_CONTROL_UNREAD, 1), 0); /* not there yet */
    stk_conn_close(talker.conn);
    talker_wait_closed(&talker, loop);
    CU_ASSERT_EQUAL(talker.error.code, STK_EEXIT);
    close_loop();
}

static void a_command_that_does_not_exist_is_the_shells_127(void)
{
    open_loop();
    run("/no/such/command", ",stderr=null");
    CU_ASSERT_EQUAL(talker.error.code, STK_EEXIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(talker.error.text, "status 127"));
    close_loop();
}

static int open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static void many_children_leave_no_descriptor_behind(void)
{
    open_loop();
    run("true", "");
    stk_loop_turn(loop, 0);
    const int before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        memset(&talker, 0, sizeof talker);
        run("true", "");
        CU_ASSERT_EQUAL(talker.error.code, 0);
        stk_loop_turn(loop, 0);
    }
    CU_ASSERT_EQUAL(open_descriptors(), before);
    close_loop();
}

static void any_allocation_may_fail_without_a_leak_or_a_zombie(void)
{
    for (long n = 1;; n++) {
        fault_heap_install();
        open_loop();
        fault_heap_fail(n, FAULT_ONCE);
        if (talker_connect(&talker, loop, "/process/cat", &error) == 0) {
            talker.finish = true;
            talker_wait_closed(&talker, loop);
            CU_ASSERT_TRUE(talker.error.code == 0 || fault_heap_has_failed());
        }
        const bool failed = fault_heap_has_failed();
        fault_heap_fail(0, FAULT_ONCE);
        close_loop();
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
        if (!failed)
            return;
    }
}

static void a_child_that_cannot_be_watched_does_not_stay(void)
{
    open_loop();
    fault_sys_install();
    fault_sys_fail(FAULT_PIDFD_OPEN, 1, EMFILE, FAULT_ONCE);
    begin("cat", "");
    talker.finish = true;
    talker_wait_closed(&talker, loop);
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_PIDFD_OPEN));
    /* Some other way to watch it will do as well. */
    CU_ASSERT_TRUE(talker.error.code == 0 || talker.error.code == -EMFILE);
    fault_sys_remove();
    close_loop();
}

static CU_TestInfo tests[] = {
    {"bytes cross a child and come back", bytes_cross_a_child_and_come_back},
    {"half-close ends its input", half_close_ends_its_input},
    {"an exit status is told after the bytes", an_exit_status_is_told_after_the_bytes},
    {"a signal that killed it is told", a_signal_that_killed_it_is_told},
    {"the status may be ignored", the_status_may_be_ignored},
    {"the status can be asked for", the_status_can_be_asked_for},
    {"standard error goes where it is sent", standard_error_goes_where_it_is_sent},
    {"it gets three descriptors and a process group of its own",
     it_gets_three_descriptors_and_a_process_group_of_its_own},
    {"signals are as in a fresh process", signals_are_as_in_a_fresh_process},
    {"abort ends the whole group and reaps it", abort_ends_the_whole_group_and_reaps_it},
    {"a loop that goes takes deaf children with it", a_loop_that_goes_takes_deaf_children_with_it},
    {"a loop that goes takes live children with it", a_loop_that_goes_takes_live_children_with_it},
    {"input that it did not read is an error", input_that_it_did_not_read_is_an_error},
    {"a failure tells more than unread input", a_failure_tells_more_than_unread_input},
    {"who writes on when nobody reads gets SIGPIPE", who_writes_on_when_nobody_reads_gets_sigpipe},
    {"a child that is read by nobody may fail all the same",
     a_child_that_is_read_by_nobody_may_fail_all_the_same},
    {"a command that does not exist is the shell's 127",
     a_command_that_does_not_exist_is_the_shells_127},
    {"many children leave no descriptor behind", many_children_leave_no_descriptor_behind},
    {"any allocation may fail without a leak or a zombie",
     any_allocation_may_fail_without_a_leak_or_a_zombie},
    {"a child that cannot be watched does not stay", a_child_that_cannot_be_watched_does_not_stay},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("process", tests)
