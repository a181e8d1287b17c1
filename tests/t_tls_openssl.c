/*
 * Goal: the layer and OpenSSL's own programs understand each other, in both directions.
 * Method: `openssl s_client` and `openssl s_server` as child processes over tcp on loopback.
 */
#include "harness.h"
#include "tls.h"
#include "tls_certs.h"
#include "tls_pair.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/wait.h>

enum { PAYLOAD_BYTES = 300000, TURNS_MAX = 100000, WAIT_US = 100 * 1000 };

static bool has_openssl(void)
{
    if (system("openssl version >/dev/null 2>&1") == 0)
        return true;
    stk_test_skip("there is no openssl program");
    return false;
}

static void write_payload(const char *name)
{
    FILE *f = fopen(certs_path(name), "w");

    for (uint64_t i = 0; i < PAYLOAD_BYTES; i++)
        fputc(pair_byte(i), f);
    fclose(f);
}

static bool is_payload(const char *name)
{
    FILE *f = fopen(certs_path(name), "r");
    uint64_t i = 0;
    int c;

    while (f != NULL && (c = fgetc(f)) != EOF)
        if (c != pair_byte(i++))
            break;
    if (f != NULL)
        fclose(f);
    return i == PAYLOAD_BYTES;
}

static pid_t run(const char *command)
{
    const pid_t pid = fork();

    if (pid == 0) {
        if (chdir(certs_dir()) == 0)
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static int status_of(pid_t pid)
{
    int status;

    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void listen_for_client(struct pair *pair, const char *options, char *at, size_t size)
{
    char text[1024], filled[900];
    struct stk_addr addr;

    pair_init(pair);
    snprintf(text, sizeof text, "/ip4/127.0.0.1/tcp/0%s",
             pair_options(options, filled, sizeof filled));
    CU_ASSERT_EQUAL_FATAL(
        stk_listen(pair->loop, text, &pair_protocol, pair, &pair->listener, &pair->error), 0);
    CU_ASSERT_EQUAL_FATAL(stk_listener_addr(pair->listener, &addr), 0);
    snprintf(at, size, "127.0.0.1:%u", stk_addr_port(&addr));
}

/* Until our side has closed; ends its direction when all of the payload has come. */
static void serve(struct pair *pair)
{
    for (int i = 0; i < TURNS_MAX && !pair->server.closed; i++) {
        stk_loop_turn(pair->loop, WAIT_US);
        if (pair->server.conn != NULL && pair->server.received == PAYLOAD_BYTES)
            stk_conn_finish(pair->server.conn);
    }
}

static void exchange_with_s_client(const char *server, const char *more)
{
    char at[64], command[600];
    struct pair pair;

    listen_for_client(&pair, server, at, sizeof at);
    pair.server.to_send = PAYLOAD_BYTES;
    write_payload("payload");
    snprintf(command, sizeof command,
             "exec openssl s_client -connect %s -servername server.example -CAfile ca.crt "
             "-verify_return_error -quiet %s <payload >got 2>log",
             at, more);
    const pid_t pid = run(command);
    serve(&pair);
    CU_ASSERT_EQUAL(status_of(pid), 0);
    CU_ASSERT_EQUAL(pair.server.received, PAYLOAD_BYTES);
    CU_ASSERT_FALSE(pair.server.wrong);
    CU_ASSERT_TRUE(is_payload("got"));
    pair_free(&pair);
}

static void s_client_exchanges_a_file_with_our_listener(void)
{
    if (!has_openssl())
        return;
    exchange_with_s_client("/tls,cert=%sserver.pem", "");
    exchange_with_s_client("/tls,cert=%sserver.pem,min=1.2", "-tls1_2");
    exchange_with_s_client("/tls,cert=%sserver.pem,client-ca=%sca.crt",
                           "-cert client.crt -key client.key");
}

static void s_client_without_tls_1_3_is_refused(void)
{
    char at[64], command[600];
    struct pair pair;

    if (!has_openssl())
        return;
    listen_for_client(&pair, "/tls,cert=%sserver.pem", at, sizeof at);
    snprintf(command, sizeof command,
             "exec openssl s_client -connect %s -tls1_2 </dev/null >got 2>log", at);
    const pid_t pid = run(command);
    serve(&pair);
    CU_ASSERT_NOT_EQUAL(status_of(pid), 0);
    CU_ASSERT_FALSE(pair.server.opened);
    CU_ASSERT_EQUAL(pair.server.error.code, STK_EPEER);
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.server.error.text, "min=1.2"));
    pair_free(&pair);
}

/* --- s_server
 * ------------------------------------------------------------------------------------- */

struct fetch {
    struct pair *pair;
    char text[64];
    size_t len;
    bool closed;
    struct stk_error error;
};

static void fetch_opened(struct stk_conn *conn) { stk_conn_write(conn, "abcdef\n", 7); }

static size_t fetch_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct fetch *fetch = stk_conn_user(conn);

    for (size_t i = 0; i < len && fetch->len + 1 < sizeof fetch->text; i++)
        fetch->text[fetch->len++] = (char)data[i];
    if (memchr(data, '\n', len) != NULL)
        stk_conn_close(conn);
    return len;
}

static void fetch_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct fetch *fetch = stk_conn_user(conn);

    fetch->closed = true;
    if (error != NULL)
        fetch->error = *error;
}

static const struct stk_protocol fetch_protocol = {
    .opened = fetch_opened, .received = fetch_received, .closed = fetch_closed};

/* The port that s_server tells in its line "ACCEPT 127.0.0.1:PORT"; 0 if it ends without one. */
static unsigned port_of(FILE *f)
{
    char line[200];
    unsigned port = 0;

    while (port == 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "ACCEPT", 6) == 0 && strrchr(line, ':') != NULL)
            port = (unsigned)strtoul(strrchr(line, ':') + 1, NULL, 10);
    return port;
}

static void fetch_from_s_server(const char *arguments, const char *client, struct fetch *fetch)
{
    char command[600], text[1024], filled[900];
    struct pair pair;

    pair_init(&pair);
    *fetch = (struct fetch){0};
    snprintf(command, sizeof command,
             "cd %s && exec openssl s_server -accept 127.0.0.1:0 -naccept 1 -rev %s 2>log",
             certs_dir(), arguments);
    FILE *f = popen(command, "r");
    const unsigned port = port_of(f);
    CU_ASSERT_NOT_EQUAL_FATAL(port, 0);
    snprintf(text, sizeof text, "/ip4/127.0.0.1/tcp/%u%s", port,
             pair_options(client, filled, sizeof filled));
    CU_ASSERT_EQUAL(stk_connect(pair.loop, text, &fetch_protocol, fetch, NULL, &pair.error), 0);
    for (int i = 0; i < TURNS_MAX && !fetch->closed; i++)
        stk_loop_turn(pair.loop, WAIT_US);
    pclose(f);
    pair_free(&pair);
}

static void our_client_talks_to_s_server(void)
{
    static const char *const cases[][2] = {
        {"-cert server.crt -key server.key", "/tls,ca=%sca.crt"},
        {"-cert server.crt -key server.key -tls1_2", "/tls,ca=%sca.crt,min=1.2"},
        {"-cert server.crt -key server.key -CAfile ca.crt -Verify 1 -verify_return_error",
         "/tls,ca=%sca.crt,cert=%sclient.pem"},
        {"-cert second.crt -key second.key -servername server.example -cert2 server.crt -key2 "
         "server.key",
         "/tls,ca=%sca.crt,sni=server.example"},
    };

    for (size_t i = 0; has_openssl() && i < sizeof cases / sizeof *cases; i++) {
        struct fetch fetch;

        fetch_from_s_server(cases[i][0], cases[i][1], &fetch);
        if (fetch.error.code != 0)
            printf("\n    %s\n", fetch.error.text);
        CU_ASSERT_STRING_EQUAL(fetch.text, "fedcba\n");
    }
}

static void our_client_is_told_why_s_server_refuses_it(void)
{
    struct fetch fetch;

    if (!has_openssl())
        return;
    fetch_from_s_server("-cert server.crt -key server.key -CAfile ca.crt -Verify 1 "
                        "-verify_return_error",
                        "/tls,ca=%sca.crt,cert=%sstranger.pem", &fetch);
    CU_ASSERT_TRUE(fetch.error.code < 0);
    CU_ASSERT_EQUAL(fetch.len, 0);
    fetch_from_s_server("-cert expired.crt -key expired.key", "/tls,ca=%sca.crt", &fetch);
    CU_ASSERT_EQUAL(fetch.error.code, STK_ECERT);
    CU_ASSERT_PTR_NOT_NULL(strstr(fetch.error.text, "expired on"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"s_client exchanges a file with our listener",
         s_client_exchanges_a_file_with_our_listener},
        {"s_client without TLS 1.3 is refused", s_client_without_tls_1_3_is_refused},
        {"our client talks to s_server", our_client_talks_to_s_server},
        {"our client is told why s_server refuses it", our_client_is_told_why_s_server_refuses_it},
        CU_TEST_INFO_NULL,
    };

    certs_make_all();
    const int failed = stk_test_run("tls_openssl", tests, STK_TEST_LIMIT_S);
    certs_remove();
    return failed;
}
