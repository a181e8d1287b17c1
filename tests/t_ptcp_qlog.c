/*
 * Goal: logs of connections are well-formed, complete, agree with the statistics, stay within their
 * bound, and never harm a connection. Method: transfers in the simulator whose logs are read back,
 * every record checked as JSON; the JSON writer alone at every size of its buffer.
 */
#include "fault.h"
#include "harness.h"
#include "json_check.h"
#include "log.h"
#include "qlog.h"
#include "transfer.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { TEXT_MAX = 32 << 20, FILES_MAX = 16 };

/* --- The JSON writer -------------------------------------------------------------------------- */

static bool write_sample(char *buffer, size_t size, size_t *len)
{
    struct ptcp_json json = ptcp_json_of(buffer, size);

    ptcp_json_open(&json, NULL, '{');
    ptcp_json_text(&json, "text", "a\"b\\c\n\x7f \xc3\xa9 \xff \xed\xa0\x80 \xf0\x9f\x98\x80");
    ptcp_json_number(&json, "zero", 0);
    ptcp_json_number(&json, "safe", (UINT64_C(1) << 53) - 1);
    ptcp_json_number(&json, "large", UINT64_C(1) << 53);
    ptcp_json_number(&json, "most", UINT64_MAX);
    ptcp_json_ms(&json, "ms", 1002003);
    ptcp_json_ms(&json, "less", 7);
    ptcp_json_open(&json, "list", '[');
    ptcp_json_bool(&json, NULL, true);
    ptcp_json_bool(&json, NULL, false);
    ptcp_json_hex(&json, NULL, 0x0123456789abcdef);
    ptcp_json_close(&json, ']');
    ptcp_json_open(&json, "empty", '{');
    ptcp_json_close(&json, '}');
    ptcp_json_close(&json, '}');
    *len = (size_t)(json.at - buffer);
    return !json.failed;
}

static void what_is_written_is_json(void)
{
    static const char expected[] =
        "{\"text\":\"a\\\"b\\\\c\\u000a\\u007f \xc3\xa9 \xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd"
        "\xef\xbf\xbd \xf0\x9f\x98\x80\",\"zero\":0,\"safe\":9007199254740991,"
        "\"large\":\"9007199254740992\",\"most\":\"18446744073709551615\","
        "\"ms\":1002.003,\"less\":0.007,\"list\":[true,false,\"0123456789abcdef\"],\"empty\":{}}";
    char buffer[1024];
    size_t len;

    CU_ASSERT_TRUE(write_sample(buffer, sizeof buffer, &len));
    CU_ASSERT_EQUAL(len, sizeof expected - 1);
    CU_ASSERT_EQUAL(memcmp(buffer, expected, len), 0);
    CU_ASSERT_TRUE(json_check(buffer, len));
}

static void a_buffer_that_is_too_small_is_never_overrun(void)
{
    char buffer[1024];
    size_t whole, len;

    CU_ASSERT_TRUE(write_sample(buffer, sizeof buffer, &whole));
    for (size_t size = 0; size < whole; size++) {
        memset(buffer, '#', sizeof buffer);
        CU_ASSERT_FALSE(write_sample(buffer, size, &len));
        CU_ASSERT_TRUE(len <= size);
        CU_ASSERT_EQUAL(buffer[size], '#');
    }
    CU_ASSERT_TRUE(write_sample(buffer, whole, &len));
}

/* --- Frames ----------------------------------------------------------------------------------- */

static bool frames_fit(const uint8_t *bytes, size_t len, const char *expected)
{
    char buffer[PTCP_QLOG_RECORD_MAX + 1];
    struct ptcp_json json = ptcp_json_of(buffer, sizeof buffer - 1);

    ptcp_json_open(&json, NULL, '{');
    ptcp_qlog_frames(&json, ptcp_frames_of(bytes, len));
    ptcp_json_close(&json, '}');
    *json.at = '\0';
    return !json.failed && json_check(buffer, (size_t)(json.at - buffer)) &&
           strstr(buffer, expected);
}

static size_t write_wide_ack(uint8_t *bytes, size_t size)
{
    struct stk_writer writer = stk_writer_of(bytes, size);
    const uint64_t ecn[3] = {PTCP_NUMBER_MAX - 1, PTCP_NUMBER_MAX - 1, PTCP_NUMBER_MAX - 1};
    struct ptcp_ranges set;

    ptcp_ranges_init(&set, PTCP_ACK_RANGES_MAX);
    for (uint64_t i = 0; i < PTCP_ACK_RANGES_MAX; i++)
        CU_ASSERT_EQUAL(ptcp_ranges_add(&set, PTCP_NUMBER_MAX - 1000 + 8 * i,
                                        PTCP_NUMBER_MAX - 1000 + 8 * i + 4),
                        0);
    CU_ASSERT_TRUE(ptcp_ack_write(&writer, &set, PTCP_NUMBER_MAX - 1, ecn));
    ptcp_ranges_free(&set);
    return (size_t)(writer.at - bytes);
}

static void a_packet_full_of_frames_is_one_bounded_record(void)
{
    static uint8_t bytes[65507];
    size_t len = 0;

    memset(bytes, PTCP_FRAME_PING, sizeof bytes);
    CU_ASSERT_TRUE(frames_fit(bytes, sizeof bytes, "\"frames_left_out\":6"));
    while (len + 1024 < sizeof bytes)
        len += write_wide_ack(bytes + len, sizeof bytes - len);
    CU_ASSERT_TRUE(frames_fit(bytes, len, "\"frames_left_out\":"));
    CU_ASSERT_TRUE(frames_fit((const uint8_t *)"\x01\x33", 2, "\"malformed\":true"));
    /* The token of a durable connection is nobody else's business. */
    CU_ASSERT_TRUE(frames_fit((const uint8_t *)"\x0c\x21\x22", 3, "[{\"frame_type\":\"token\"}]"));
}

static size_t write_all_frames(uint8_t *bytes, size_t size)
{
    struct stk_writer writer = stk_writer_of(bytes, size);
    const struct ptcp_params params = {.window = 1, .token = {1, 2}};

    stk_write_u8(&writer, PTCP_FRAME_PING);
    ptcp_value_write(&writer, PTCP_FRAME_RESET, 1);
    ptcp_value_write(&writer, PTCP_FRAME_MAX_DATA, 2);
    ptcp_value_write(&writer, PTCP_FRAME_DATA_BLOCKED, 3);
    ptcp_path_write(&writer, PTCP_FRAME_PATH_CHALLENGE, 4);
    ptcp_path_write(&writer, PTCP_FRAME_PATH_RESPONSE, 5);
    ptcp_ack_frequency_write(&writer, 6, 7, 8);
    ptcp_params_write(&writer, &params);
    ptcp_cookie_write(&writer, (const uint8_t *)"cookie", 6);
    ptcp_token_write(&writer, params.token);
    ptcp_stream_write(&writer, 9, 0, true, true);
    return (size_t)(writer.at - bytes);
}

/* Whatever type the parser knows has a name in logs; what may be secret has no more. */
static void each_kind_of_frame_has_its_name(void)
{
    static const char *const names[] = {
        "ping",          "reset",  "max_data", "data_blocked", "path_challenge", "path_response",
        "ack_frequency", "params", "cookie",   "token",        "stream",
    };
    uint8_t bytes[256], one[32] = {0};
    char text[64];
    const size_t len = write_all_frames(bytes, sizeof bytes);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(text, sizeof text, "{\"frame_type\":\"%s\"", names[i]);
        CU_ASSERT_TRUE(frames_fit(bytes, len, text));
    }
    for (unsigned type = 1; type < 256; type++) {
        struct ptcp_frames frames = ptcp_frames_of(one, sizeof one);
        struct ptcp_frame frame;
        struct ptcp_ack ack;

        one[0] = (uint8_t)type;
        if (ptcp_frame_read(&frames, &frame, &ack) > 0) {
            CU_ASSERT_FALSE(frames_fit(one, sizeof one, "\"unknown\""));
        }
    }
}

/* --- Transfers -------------------------------------------------------------------------------- */

static char directory[64];
static int warnings;

static void on_log(void *context, enum stk_log_level level, const char *room, const char *text)
{
    (void)context;
    (void)room;
    (void)text;
    warnings += level == STK_LOG_WARN;
}

static void empty_directory(void)
{
    char path[400];
    DIR *dir = opendir(directory);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    if (dir)
        closedir(dir);
    warnings = 0;
}

/* The names of all logs that end so; returns how many. */
static int find_logs(const char *end, char (*paths)[400])
{
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    int count = 0;

    while (dir && count < FILES_MAX && (entry = readdir(dir))) {
        const size_t len = strlen(entry->d_name);

        if (entry->d_name[0] != '.' && len >= strlen(end) &&
            strcmp(entry->d_name + len - strlen(end), end) == 0)
            snprintf(paths[count++], 400, "%s/%s", directory, entry->d_name);
    }
    if (dir)
        closedir(dir);
    return count;
}

struct net {
    struct stk_sim *sim;
    struct stk_sim_host *client, *server;
    struct stk_sim_link *link;
    struct transfer transfer;
};

static bool run_transfer(struct net *net, const struct stk_sim_wire *wire, uint64_t bytes,
                         const char *options)
{
    char listen[512], connect[512];
    struct stk_error error = {0};

    memset(net, 0, sizeof *net);
    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 1}, &net->sim), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(net->sim, "server", "10.0.0.1", &net->server), 0);
    CU_ASSERT_EQUAL_FATAL(stk_sim_host_add(net->sim, "client", "10.0.0.2", &net->client), 0);
    CU_ASSERT_EQUAL_FATAL(
        stk_sim_link_add(net->sim, net->client, net->server, wire, NULL, &net->link), 0);
    snprintf(listen, sizeof listen, "/ip4/10.0.0.1/simudp/4001/ptcp%s", options);
    snprintf(connect, sizeof connect, "/ip4/10.0.0.1/simudp/4001/ptcp%s", options);
    net->transfer.client.send_bytes = net->transfer.server.send_bytes = bytes;
    CU_ASSERT_EQUAL_FATAL(transfer_start(&net->transfer, net->sim, listen, connect, 1, &error), 0);
    CU_ASSERT_EQUAL(stk_sim_run(net->sim), 0);
    const bool complete = transfer_is_complete(&net->transfer);
    stk_sim_free(net->sim);
    return complete;
}

static const char *option_for(const char *path, const char *more)
{
    static char option[600];
    char encoded[500];

    snprintf(option, sizeof option, ",qlog=%s%s", stk_percent_encode(path, encoded, sizeof encoded),
             more);
    return option;
}

/* --- Reading logs ----------------------------------------------------------------------------- */

struct counts {
    uint64_t records, sent, sent_bytes, received, received_bytes, lost, spurious, probes, resent;
    uint64_t metrics, states, params, bbr_phases;
    bool bad, ordered;
    char last[4096];
};

static uint64_t number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static bool is_event(const char *record, const char *name)
{
    char text[80];

    snprintf(text, sizeof text, "\"name\":\"ptcp:%s\"", name);
    return strstr(record, text) != NULL;
}

static void count_record(struct counts *counts, const char *record)
{
    const bool received = is_event(record, "packet_received") || is_event(record, "packet_dropped");
    const uint64_t length = number_after(record, "\"raw\":{\"length\":");

    counts->sent += is_event(record, "packet_sent");
    counts->sent_bytes += is_event(record, "packet_sent") ? length : 0;
    counts->received += received;
    counts->received_bytes += received ? length : 0;
    counts->lost += is_event(record, "packet_lost") && !strstr(record, "is_mtu_probe_packet") &&
                    !strstr(record, "abandoned");
    counts->spurious += is_event(record, "packet_lost_spuriously");
    counts->probes += is_event(record, "timer_updated") && strstr(record, "\"pto\"");
    counts->metrics += is_event(record, "recovery_metrics_updated");
    counts->bbr_phases += is_event(record, "congestion_state_updated") &&
                          (strstr(record, "\"startup\"") || strstr(record, "\"probe_bw"));
    counts->states += is_event(record, "connection_state_updated");
    counts->params += is_event(record, "parameters_set");
}

/* What the draft asks of the first record. */
static bool is_head(const char *record)
{
    static const char *const members[] = {
        "\"file_schema\":\"urn:ietf:params:qlog:file:sequential\"",
        "\"serialization_format\":\"application/qlog+json-seq\"",
        "\"trace\":{",
        "\"event_schemas\":[\"urn:",
        "\"time_format\":\"relative_to_epoch\"",
        "\"clock_type\":\"monotonic\",\"epoch\":\"unknown\"",
    };
    bool all = true;

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        all &= strstr(record, members[i]) != NULL;
    return all;
}

/* And of the others. */
static bool read_event(const char *record, double *time)
{
    static const char before[] = "{\"time\":", behind[] = ",\"name\":\"ptcp:";
    char *end;

    if (strncmp(record, before, sizeof before - 1) != 0)
        return false;
    *time = strtod(record + sizeof before - 1, &end);
    return strncmp(end, behind, sizeof behind - 1) == 0 && strstr(end, "\",\"data\":{");
}

/* RFC 7464: a record separator, the text, a line feed. */
static void read_log(const char *path, struct counts *counts)
{
    char *text = malloc(TEXT_MAX);
    FILE *file = fopen(path, "r");
    double time = 0;

    *counts = (struct counts){.ordered = true};
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    const size_t size = fread(text, 1, TEXT_MAX - 1, file);
    fclose(file);
    text[size] = '\0';
    for (char *at = text, *end; at < text + size; at = end + 1) {
        end = strchr(at, '\n');
        if (*at != '\x1e' || !end) {
            counts->bad = true;
            break;
        }
        *end = '\0';
        counts->bad |= !json_check(at + 1, (size_t)(end - at - 1));
        if (counts->records++ == 0) {
            counts->bad |= !is_head(at + 1);
        } else {
            double then = 0;

            counts->bad |= !read_event(at + 1, &then);
            counts->bad |= (counts->records == 2) != is_event(at + 1, "connection_started");
            counts->ordered &= then >= time;
            time = then;
            count_record(counts, at + 1);
        }
        snprintf(counts->last, sizeof counts->last, "%s", at + 1);
    }
    free(text);
}

static void check_against_stats(const struct counts *counts)
{
    const char *last = counts->last;

    CU_ASSERT_FALSE(counts->bad);
    CU_ASSERT_TRUE(counts->ordered);
    CU_ASSERT_TRUE(is_event(last, "connection_closed"));
    CU_ASSERT_EQUAL(counts->sent, number_after(last, "\"packets_sent\":"));
    CU_ASSERT_EQUAL(counts->sent_bytes, number_after(last, "\"bytes_sent\":"));
    CU_ASSERT_EQUAL(counts->received, number_after(last, "\"packets_received\":"));
    CU_ASSERT_EQUAL(counts->received_bytes, number_after(last, "\"bytes_received\":"));
    CU_ASSERT_EQUAL(counts->lost, number_after(last, "\"packets_lost\":"));
    CU_ASSERT_EQUAL(counts->spurious, number_after(last, "\"packets_spurious\":"));
    CU_ASSERT_EQUAL(counts->probes, number_after(last, "\"probe_timeouts\":"));
    CU_ASSERT_EQUAL(counts->params, 2);
    CU_ASSERT_TRUE(counts->metrics > 0 && counts->states >= 4);
}

static const struct stk_sim_wire lossy = {.rate_bit_s = 20000000,
                                          .delay_us = 10000,
                                          .jitter_us = 5000,
                                          .overtaking = true,
                                          .loss_ppm = 20000,
                                          .duplicate_ppm = 20000,
                                          .mark_bytes = 30000};
static const struct stk_sim_wire clean = {.rate_bit_s = 100000000, .delay_us = 1000};

static void both_sides_logs_agree_with_their_statistics(void)
{
    char paths[FILES_MAX + 1][400];
    struct counts counts;
    struct net net;

    empty_directory();
    CU_ASSERT_TRUE(run_transfer(&net, &lossy, 500000, option_for(directory, "")));
    CU_ASSERT_EQUAL_FATAL(find_logs("-client.sqlog", paths), 1);
    CU_ASSERT_EQUAL_FATAL(find_logs("-server.sqlog", paths + 1), 1);
    for (int i = 0; i < 2; i++) {
        struct stat st;

        read_log(paths[i], &counts);
        check_against_stats(&counts);
        CU_ASSERT_TRUE(counts.lost > 0);
        CU_ASSERT_TRUE(counts.bbr_phases > 0);
        CU_ASSERT_EQUAL(stat(paths[i], &st), 0);
        CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
    }
    CU_ASSERT_EQUAL(warnings, 0);
}

static void the_environment_names_a_directory(void)
{
    char paths[FILES_MAX + 1][400];
    struct net net;

    empty_directory();
    setenv("STK_QLOG_DIR", directory, 1);
    CU_ASSERT_TRUE(run_transfer(&net, &clean, 10000, ""));
    unsetenv("STK_QLOG_DIR");
    CU_ASSERT_EQUAL(find_logs(".sqlog", paths), 2);
    CU_ASSERT_TRUE(run_transfer(&net, &clean, 10000, ""));
    CU_ASSERT_EQUAL(find_logs(".sqlog", paths), 2);
}

static void no_file_is_written_over(void)
{
    char paths[FILES_MAX + 1][400], path[100];
    struct counts counts;
    struct net net;

    empty_directory();
    snprintf(path, sizeof path, "%s/here", directory);
    CU_ASSERT_TRUE(run_transfer(&net, &clean, 10000, option_for(path, "")));
    CU_ASSERT_TRUE(run_transfer(&net, &clean, 10000, option_for(path, "")));
    CU_ASSERT_EQUAL(find_logs("", paths), 4);
    for (int i = 0; i < 4; i++) {
        read_log(paths[i], &counts);
        check_against_stats(&counts);
    }
    CU_ASSERT_EQUAL(find_logs("here.3", paths), 1);
}

static void a_log_keeps_to_its_bound_and_says_so_at_its_end(void)
{
    char paths[FILES_MAX + 1][400];
    struct counts counts;
    struct net net;
    struct stat st;

    empty_directory();
    CU_ASSERT_TRUE(run_transfer(&net, &clean, 2000000, option_for(directory, ",qlog-max=64k")));
    CU_ASSERT_EQUAL_FATAL(find_logs(".sqlog", paths), 2);
    for (int i = 0; i < 2; i++) {
        read_log(paths[i], &counts);
        CU_ASSERT_FALSE(counts.bad);
        CU_ASSERT_TRUE(is_event(counts.last, "log_ended"));
        CU_ASSERT_PTR_NOT_NULL(strstr(counts.last, "\"reason\":\"size_limit\""));
        CU_ASSERT_EQUAL(stat(paths[i], &st), 0);
        CU_ASSERT_TRUE(st.st_size <= 65536 && st.st_size > 56000);
    }
}

static void a_full_disk_ends_the_log_and_not_the_connection(void)
{
    char paths[FILES_MAX + 1][400];
    struct net net;

    empty_directory();
    fault_sys_install();
    fault_sys_fail(FAULT_WRITEV, 3, ENOSPC, FAULT_FROM_THEN_ON);
    CU_ASSERT_TRUE(run_transfer(&net, &clean, 500000, option_for(directory, "")));
    CU_ASSERT_TRUE(fault_sys_has_failed(FAULT_WRITEV));
    fault_sys_remove();
    CU_ASSERT_EQUAL(find_logs(".sqlog", paths), 2);
    CU_ASSERT_EQUAL(warnings, 2); /* each side has its own writer */
}

static void a_directory_that_is_not_there_costs_one_warning(void)
{
    char paths[FILES_MAX + 1][400];
    struct net net;

    empty_directory();
    CU_ASSERT_TRUE(run_transfer(&net, &clean, 10000, option_for("/nowhere/at/all/", "")));
    CU_ASSERT_EQUAL(warnings, 2);
    CU_ASSERT_EQUAL(find_logs("", paths), 0);
}

static void an_event_allocates_nothing(void)
{
    long calls[2];
    struct net net;

    for (int i = 0; i < 2; i++) {
        empty_directory();
        fault_heap_install();
        CU_ASSERT_TRUE(run_transfer(&net, &lossy, 300000, i ? option_for(directory, "") : ""));
        calls[i] = fault_heap_calls();
        CU_ASSERT_EQUAL(fault_heap_remove(), 0);
    }
    CU_ASSERT_EQUAL(calls[1] - calls[0], 4); /* two writers, two logs */
}

/* A STREAM packet has its low 32 bits only. */
static void an_offset_is_told_whole(void)
{
    static struct ptcp_qlog_log log;
    static struct ptcp_qlog qlog = {.bytes_max = PTCP_QLOG_BYTES_DEFAULT};
    const struct ptcp_sent record = {.offset = (UINT64_C(5) << 32) + 7};
    const uint8_t packet[PTCP_STREAM_HEADER_BYTES + 1] = {[0] = PTCP_STREAM, [15] = 7};
    struct stk_sim *sim;

    CU_ASSERT_EQUAL_FATAL(stk_sim_new(&(struct stk_sim_options){.seed = 1}, &sim), 0);
    qlog.loop = stk_sim_loop(sim);
    log.qlog = &qlog;
    stk_list_init(&qlog.unwritten);
    stk_list_init(&log.unwritten);
    stk_list_append(&qlog.unwritten, &log.unwritten); /* so that nobody is asked to write it */
    ptcp_qlog_trace.sent(&log.trace, NULL, &record, packet, sizeof packet);
    CU_ASSERT_TRUE(log.len > 0 && json_check(log.buffer + 1, log.len - 2));
    CU_ASSERT_PTR_NOT_NULL(strstr(log.buffer, "\"offset\":21474836487,"));
    stk_sim_free(sim);
}

static CU_TestInfo tests[] = {
    {"what is written is JSON", what_is_written_is_json},
    {"a buffer that is too small is never overrun", a_buffer_that_is_too_small_is_never_overrun},
    {"a packet full of frames is one bounded record",
     a_packet_full_of_frames_is_one_bounded_record},
    {"each kind of frame has its name", each_kind_of_frame_has_its_name},
    {"an offset is told whole", an_offset_is_told_whole},
    {"both sides' logs agree with their statistics", both_sides_logs_agree_with_their_statistics},
    {"the environment names a directory", the_environment_names_a_directory},
    {"no file is written over", no_file_is_written_over},
    {"a log keeps to its bound and says so at its end",
     a_log_keeps_to_its_bound_and_says_so_at_its_end},
    {"a full disk ends the log and not the connection",
     a_full_disk_ends_the_log_and_not_the_connection},
    {"a directory that is not there costs one warning",
     a_directory_that_is_not_there_costs_one_warning},
    {"an event allocates nothing", an_event_allocates_nothing},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    snprintf(directory, sizeof directory, "/tmp/t_ptcp_qlog.XXXXXX");
    if (!mkdtemp(directory))
        return 1;
    unsetenv("STK_QLOG_DIR");
    stk_log_hook(on_log, NULL, STK_LOG_WARN);
    const int status = stk_test_run("ptcp qlog", tests, 0);
    empty_directory();
    rmdir(directory);
    return status;
}
