/*
 * Goal: streams on pipes, files, sockets and FIFOs lose nothing, end as asked and leave others'
 * descriptors as they were. Method: pairs in one loop; descriptors 0 and 1 are replaced for the
 * time of a case.
 */
#include "fault.h"
#include "harness.h"
#include "pipe.h"
#include "recipe.h"
#include "talker.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stk_loop *loop;
static struct talker left, right;
static struct stk_error error;

static void open_loop(void)
{
    memset(&left, 0, sizeof left);
    memset(&right, 0, sizeof right);
    memset(&error, 0, sizeof error);
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
}

static void close_loop(void)
{
    if (left.conn)
        stk_conn_abort(left.conn);
    if (right.conn)
        stk_conn_abort(right.conn);
    while (left.conn || right.conn)
        stk_loop_turn(loop, 0);
    stk_loop_turn(loop, 0);
    stk_loop_free(loop);
}

static void open_pair(enum stk_pipe_kind kind)
{
    const struct stk_protocol *const protocols[2] = {&talker_protocol, &talker_protocol};
    void *const users[2] = {&left, &right};
    struct stk_conn *conns[2];

    CU_ASSERT_EQUAL_FATAL(stk_pipe_pair(loop, kind, protocols, users, conns, &error), 0);
    left.conn = conns[0];
    right.conn = conns[1];
}

static void give(struct talker *from, struct talker *to, uint64_t seed, uint64_t size)
{
    from->seed = seed;
    from->size = size;
    from->finish = true;
    if (to) {
        to->incoming.seed = seed;
        to->incoming.size = size;
    }
}

static void wait_both(void)
{
    talker_wait_closed(&left, loop);
    talker_wait_closed(&right, loop);
}

/* --- Pairs
 * ---------------------------------------------------------------------------------------- */

static void pairs_carry_megabytes_both_ways(void)
{
    for (int kind = STK_PIPE_SOCKETS; kind <= STK_PIPE_PIPES; kind++) {
        open_loop();
        give(&left, &right, 1, 5 << 20);
        give(&right, &left, 2, 3 << 20);
        open_pair((enum stk_pipe_kind)kind);
        wait_both();
        CU_ASSERT_TRUE(oracle_is_complete(&left.incoming) && oracle_is_complete(&right.incoming));
        CU_ASSERT_TRUE(left.error.code == 0 && right.error.code == 0);
        close_loop();
    }
}

static void half_close_leaves_the_other_direction_open(void)
{
    for (int kind = STK_PIPE_SOCKETS; kind <= STK_PIPE_PIPES; kind++) {
        open_loop();
        left.finish = true;
        right.stays_open = true;
        open_pair((enum stk_pipe_kind)kind);
        talker_wait(loop, &right.finished, 1);
        CU_ASSERT_EQUAL(stk_conn_write(right.conn, "late", 4), 4);
        stk_conn_finish(right.conn);
        wait_both();
        CU_ASSERT_EQUAL(left.received, 4);
        CU_ASSERT_TRUE(left.error.code == 0 && right.error.code == 0);
        close_loop();
    }
}

static void a_reader_that_is_gone_is_an_error_and_no_signal(void)
{
    open_loop();
    signal(SIGPIPE, SIG_DFL);
    left.stays_open = true;
    open_pair(STK_PIPE_PIPES);
    talker_wait(loop, &left.opened, 1);
    stk_conn_abort(right.conn);
    talker_wait_closed(&right, loop);
    while (left.conn && stk_conn_write(left.conn, "x", 1) > 0)
        stk_loop_turn(loop, 1000);
    talker_wait_closed(&left, loop);
    CU_ASSERT_EQUAL(left.error.code, -EPIPE);
    CU_ASSERT_PTR_NOT_NULL(strstr(left.error.text, "nobody reads"));
    close_loop();
}

static void interrupts_and_short_calls_change_nothing(void)
{
    open_loop();
    fault_sys_install();
    fault_sys_fail(FAULT_READV, 2, EINTR, FAULT_ONCE);
    fault_sys_fail(FAULT_WRITEV, 2, EINTR, FAULT_ONCE);
    give(&left, &right, 1, 2 << 20);
    give(&right, &left, 2, 2 << 20);
    open_pair(STK_PIPE_PIPES);
    wait_both();
    CU_ASSERT_TRUE(oracle_is_complete(&left.incoming) && oracle_is_complete(&right.incoming));
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_READV) && fault_sys_has_failed(FAULT_WRITEV));
    fault_sys_remove();
    close_loop();
}

static void failing_reads_and_writes_end_it_with_words(void)
{
    static const struct {
        enum fault_site site;
        int code;
    } cases[] = {{FAULT_READV, EIO}, {FAULT_WRITEV, EIO}, {FAULT_WRITEV, ENOSPC}};

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_loop();
        fault_sys_install();
        fault_sys_fail(cases[i].site, 3, cases[i].code, FAULT_ONCE);
        give(&left, &right, 1, 1 << 20);
        right.finish = true;
        open_pair(STK_PIPE_PIPES);
        wait_both();
        CU_ASSERT_TRUE(left.error.code == -cases[i].code || right.error.code == -cases[i].code);
        CU_ASSERT_FALSE(right.incoming.wrong);
        fault_sys_remove();
        close_loop();
    }
}

static void any_allocation_may_fail_without_a_leak(void)
{
    const struct stk_protocol *const protocols[2] = {&talker_protocol, &talker_protocol};
    void *const users[2] = {&left, &right};

    for (long n = 1;; n++) {
        struct stk_conn *conns[2];

        fault_heap_install();
        open_loop();
        fault_heap_fail(n, FAULT_ONCE);
        left.finish = right.finish = true;
        if (stk_pipe_pair(loop, STK_PIPE_PIPES, protocols, users, conns, &error) == 0)
            wait_both();
        const bool failed = fault_heap_has_failed();
        fault_heap_fail(0, FAULT_ONCE);
        while (stk_loop_turn(loop, 0) > 0)
            ;
        stk_loop_free(loop);
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
        if (!failed)
            return;
    }
}

/* --- Standard input and output
 * --------------------------------------------------------------------- */

static int saved[2];

/* Puts `in` and `out` in place of the standard ones; -1 leaves a number closed. */
static void replace_standard(int in, int out)
{
    const int fds[2] = {in, out};

    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
        if (fds[i] >= 0)
            dup2(fds[i], i);
        else
            close(i);
    }
}

static void restore_standard(void)
{
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
}

static void run_stdio(int in, int out)
{
    replace_standard(in, out);
    const int code = talker_connect(&left, loop, "/stdio", &error);
    if (code == 0)
        talker_wait_closed(&left, loop);
    restore_standard();
    CU_ASSERT_EQUAL(code, 0);
}

static int file_of(uint64_t seed, size_t size)
{
    char path[] = "/tmp/stk-pipe-XXXXXX";
    uint8_t piece[4096];
    const int fd = mkstemp(path);

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    unlink(path);
    for (size_t at = 0; at < size; at += sizeof piece) {
        oracle_fill(seed, at, piece, sizeof piece);
        CU_ASSERT_EQUAL(write(fd, piece, sizeof piece), (ssize_t)sizeof piece);
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void check_file(int fd, uint64_t seed, size_t size)
{
    uint8_t piece[4096];
    size_t at = 0;
    ssize_t n;

    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, piece, sizeof piece)) > 0) {
        CU_ASSERT_EQUAL(oracle_check(seed, at, piece, (size_t)n), (size_t)n);
        at += (size_t)n;
    }
    CU_ASSERT_EQUAL(at, size);
}

static void standard_streams_may_be_files(void)
{
    const int in = file_of(3, 1 << 20), out = file_of(0, 0);

    open_loop();
    left.incoming = (struct oracle_stream){.seed = 3, .size = 1 << 20};
    give(&left, NULL, 4, 700001);
    run_stdio(in, out);
    CU_ASSERT_TRUE(oracle_is_complete(&left.incoming));
    CU_ASSERT_EQUAL(left.error.code, 0);
    CU_ASSERT_EQUAL(left.delivered, 1);
    check_file(out, 4, 700001);
    close(in);
    close(out);
    close_loop();
}

static void a_full_disk_is_an_error_and_nothing_is_lost_silently(void)
{
    const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int out = open("/dev/full", O_WRONLY | O_CLOEXEC);

    open_loop();
    give(&left, NULL, 4, 10000);
    run_stdio(in, out);
    CU_ASSERT_EQUAL(left.error.code, -ENOSPC);
    CU_ASSERT_STRING_EQUAL(left.error.layer, "stdio");
    CU_ASSERT_STRING_EQUAL(left.error.text, "no space left on the device");
    CU_ASSERT_EQUAL(left.delivered, 0);
    close(in);
    close(out);
    close_loop();
}

static void blocking_pipes_stay_blocking_for_others_and_never_block_the_loop(void)
{
    int in[2], out[2];

    open_loop();
    CU_ASSERT_EQUAL(pipe2(in, O_CLOEXEC), 0);
    CU_ASSERT_EQUAL(pipe2(out, O_CLOEXEC), 0);
    left.stays_open = true;
    replace_standard(in[0], out[1]);
    CU_ASSERT_EQUAL(talker_connect(&left, loop, "/stdio", &error), 0);
    talker_wait(loop, &left.opened, 1);
    stk_loop_turn(loop, 0); /* would hang on an empty pipe */
    CU_ASSERT_EQUAL(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0);
    CU_ASSERT_EQUAL(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
    CU_ASSERT_EQUAL(write(in[1], "hello", 5), 5);
    while (left.received < 5)
        stk_loop_turn(loop, 1000000);
    stk_conn_finish(left.conn);
    while (left.delivered == 0)
        stk_loop_turn(loop, 1000000);
    /* Half-close has closed the number: only this test's own writing end is left. */
    struct stat st;
    CU_ASSERT_EQUAL(fstat(1, &st), 0);
    CU_ASSERT_TRUE(S_ISCHR(st.st_mode));
    close(out[1]);
    char byte;
    CU_ASSERT_EQUAL(read(out[0], &byte, 1), 0);
    close(in[1]);
    talker_wait_closed(&left, loop);
    restore_standard();
    CU_ASSERT_EQUAL(left.error.code, 0);
    close(in[0]);
    close(out[0]);
    close_loop();
}

static void a_descriptor_that_cannot_be_opened_again_gets_its_flags_back(void)
{
    int pair[2];

    open_loop();
    CU_ASSERT_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    give(&left, NULL, 4, 5000);
    replace_standard(pair[0], pair[0]);
    CU_ASSERT_EQUAL(talker_connect(&left, loop, "/stdio", &error), 0);
    CU_ASSERT_EQUAL(write(pair[1], "hello", 5), 5);
    shutdown(pair[1], SHUT_WR);
    talker_wait_closed(&left, loop);
    restore_standard();
    CU_ASSERT_EQUAL(left.error.code, 0);
    CU_ASSERT_EQUAL(left.received, 5);
    CU_ASSERT_EQUAL(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    uint8_t bytes[8000];
    CU_ASSERT_EQUAL(recv(pair[1], bytes, sizeof bytes, MSG_WAITALL), 5000);
    close(pair[0]);
    close(pair[1]);
    close_loop();
}

static void closed_standard_streams_are_an_end_and_an_error(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    open_loop();
    left.finish = true;
    run_stdio(-1, null);
    CU_ASSERT_EQUAL(left.error.code, 0);
    CU_ASSERT_EQUAL(left.received, 0);
    close_loop();

    open_loop();
    give(&left, NULL, 4, 100);
    run_stdio(null, -1);
    CU_ASSERT_EQUAL(left.error.code, -EBADF);
    close_loop();

    open_loop();
    run_stdio(-1, -1);
    CU_ASSERT_EQUAL(left.error.code, -EBADF);
    CU_ASSERT_PTR_NOT_NULL(strstr(left.error.text, "both closed"));
    close(null);
    close_loop();
}

static void a_terminal_is_one_stream_in_both_directions(void)
{
    char name[64];

    open_loop();
    const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
        ptsname_r(master, name, sizeof name) != 0) {
        stk_test_skip("no pseudo-terminals here");
        close_loop();
        return;
    }
    const int terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    snprintf(name, sizeof name, "/fd/%d", terminal);
    left.stays_open = true;
    CU_ASSERT_EQUAL(talker_connect(&left, loop, name, &error), 0);
    CU_ASSERT_EQUAL(write(master, "line\n", 5), 5);
    while (left.received < 5)
        stk_loop_turn(loop, 1000000);
    CU_ASSERT_EQUAL(memcmp(left.kept, "line\n", 5), 0);
    stk_conn_finish(left.conn);
    CU_ASSERT_EQUAL(write(master, "\004", 1), 1); /* end of input */
    talker_wait_closed(&left, loop);
    CU_ASSERT_EQUAL(left.error.code, 0);
    close(master);
    close_loop();
}

/* --- Numbers and names
 * ----------------------------------------------------------------------------- */

static void numbers_are_checked(void)
{
    static const char *const bad[] = {"/fd/x", "/fd/3:", "/fd/-1", "/fd/3:4:5", "/fd/99999999999"};

    open_loop();
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_EQUAL(talker_connect(&left, loop, bad[i], &error), STK_ESYNTAX);
    CU_ASSERT_EQUAL(talker_connect(&left, loop, "/fd/999", &error), 0);
    talker_wait_closed(&left, loop);
    CU_ASSERT_EQUAL(left.error.code, -EBADF);
    CU_ASSERT_PTR_NOT_NULL(strstr(left.error.text, "999"));
    close_loop();
}

static void a_connection_that_never_starts_closes_its_descriptors(void)
{
    int ends[2];
    char address[40];

    open_loop();
    CU_ASSERT_EQUAL(pipe2(ends, O_CLOEXEC), 0);
    snprintf(address, sizeof address, "/fd/%d", ends[0]);
    CU_ASSERT_EQUAL(talker_connect(&left, loop, address, &error), 0);
    stk_conn_abort(left.conn);
    talker_wait_closed(&left, loop);
    CU_ASSERT_EQUAL(fcntl(ends[0], F_GETFD), -1);
    close(ends[1]);
    close_loop();
}

static void a_fifo_waits_for_its_other_end(void)
{
    char directory[] = "/tmp/stk-fifo-XXXXXX", path[64], text[100], address[200];

    open_loop();
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/f", directory);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    give(&left, &right, 6, 300000);
    stk_percent_encode(path, text, sizeof text);
    snprintf(address, sizeof address, "/fifo/%s,direction=write", text);
    CU_ASSERT_EQUAL(talker_connect(&left, loop, address, &error), 0);
    stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(left.opened, 0);
    snprintf(address, sizeof address, "/fifo/%s", text);
    right.finish = true;
    CU_ASSERT_EQUAL(talker_connect(&right, loop, address, &error), 0);
    wait_both();
    CU_ASSERT_TRUE(oracle_is_complete(&right.incoming));
    CU_ASSERT_TRUE(left.error.code == 0 && right.error.code == 0);
    close_loop();
    unlink(path);
    rmdir(directory);
}

static void a_fifo_reader_waits_for_the_first_writer(void)
{
    char directory[] = "/tmp/stk-fifo-XXXXXX", path[64], text[100], address[200];

    open_loop();
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/f", directory);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    snprintf(address, sizeof address, "/fifo/%s", stk_percent_encode(path, text, sizeof text));
    CU_ASSERT_EQUAL(talker_connect(&right, loop, address, &error), 0);
    talker_wait(loop, &right.opened, 1);
    for (int i = 0; i < 5; i++)
        stk_loop_turn(loop, 1000);
    CU_ASSERT_EQUAL(right.finished, 0);
    const int writer = open(path, O_WRONLY | O_CLOEXEC);
    CU_ASSERT_EQUAL(write(writer, "hello", 5), 5);
    close(writer);
    talker_wait_closed(&right, loop);
    CU_ASSERT_EQUAL(right.received, 5);
    CU_ASSERT_EQUAL(right.error.code, 0);
    close_loop();
    unlink(path);
    rmdir(directory);
}

static void what_is_no_fifo_is_refused(void)
{
    open_loop();
    CU_ASSERT_EQUAL(talker_connect(&left, loop, "/fifo/%2Fdev%2Fnull", &error), 0);
    talker_wait_closed(&left, loop);
    CU_ASSERT_EQUAL(left.error.code, -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(left.error.text, "not a FIFO"));
    CU_ASSERT_EQUAL(talker_connect(&left, loop, "/fifo/x,direction=up", &error), STK_ESYNTAX);
    close_loop();
}

static CU_TestInfo tests[] = {
    {"pairs carry megabytes both ways", pairs_carry_megabytes_both_ways},
    {"half-close leaves the other direction open", half_close_leaves_the_other_direction_open},
    {"a reader that is gone is an error and no signal",
     a_reader_that_is_gone_is_an_error_and_no_signal},
    {"interrupts and short calls change nothing", interrupts_and_short_calls_change_nothing},
    {"failing reads and writes end it with words", failing_reads_and_writes_end_it_with_words},
    {"any allocation may fail without a leak", any_allocation_may_fail_without_a_leak},
    {"standard streams may be files", standard_streams_may_be_files},
    {"a full disk is an error and nothing is lost silently",
     a_full_disk_is_an_error_and_nothing_is_lost_silently},
    {"blocking pipes stay blocking for others and never block the loop",
     blocking_pipes_stay_blocking_for_others_and_never_block_the_loop},
    {"a descriptor that cannot be opened again gets its flags back",
     a_descriptor_that_cannot_be_opened_again_gets_its_flags_back},
    {"closed standard streams are an end and an error",
     closed_standard_streams_are_an_end_and_an_error},
    {"a terminal is one stream in both directions", a_terminal_is_one_stream_in_both_directions},
    {"numbers are checked", numbers_are_checked},
    {"a connection that never starts closes its descriptors",
     a_connection_that_never_starts_closes_its_descriptors},
    {"a FIFO waits for its other end", a_fifo_waits_for_its_other_end},
    {"a FIFO reader waits for the first writer", a_fifo_reader_waits_for_the_first_writer},
    {"what is no FIFO is refused", what_is_no_fifo_is_refused},
    CU_TEST_INFO_NULL,
};

STK_TEST_MAIN("pipe", tests)
