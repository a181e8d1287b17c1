/*
 * A plain conversation that becomes an encrypted one: starttls [STACK]
 *
 * Both sides run here, over memory or over the stack that is given, such as
 * /ip4/127.0.0.1/tcp/7025. The client says STARTTLS, the server answers, and each of them puts tls
 * between the running stack and itself with stk_conn_insert(). Bytes that an attacker slips in
 * behind the plain "go ahead" would be unread when the client inserts: it fails then, so that they
 * are never taken for protected ones.
 */
#include "certificate.h"
#include "stack.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char name[] = "starttls.example";

enum { GOODBYE_US = 200000 };

/* What both sides share: they are one program. */
struct talk {
    struct stk_listener *listener;
    char certificate[CERTIFICATE_PATH_MAX];
    int closed;
    bool done;
};

static void say(struct stk_conn *conn, const char *line)
{
    stk_conn_write(conn, line, strlen(line));
    stk_conn_write(conn, "\n", 1);
}

/* Cuts the first line out of what came; 0 while it is not complete. */
static size_t take_line(const uint8_t *data, size_t len, char line[80])
{
    const uint8_t *end = memchr(data, '\n', len);
    const size_t line_len = end != NULL ? (size_t)(end - data) : 0;

    if (end == NULL || line_len >= 80)
        return 0;
    memcpy(line, data, line_len);
    line[line_len] = '\0';
    return line_len + 1;
}

static void tell(struct stk_conn *conn, const char *who, const char *line)
{
    char stack[256];

    printf("%s reads \"%s\" from %s\n", who, line, stk_conn_describe(conn, stack, sizeof stack));
}

static void closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct talk *talk = stk_conn_user(conn);

    if (error != NULL)
        fprintf(stderr, "%s: %s\n", error->layer, error->text);
    if (++talk->closed == 2)
        stk_loop_stop(stk_conn_loop(conn));
}

/* --- Server ----------------------------------------------------------------------------------- */

static size_t secret_to_server(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    char line[80];
    const size_t used = take_line(data, len, line);

    if (used > 0) {
        tell(conn, "server", line);
        say(conn, "and nobody else hears it");
    }
    return used;
}

static const struct stk_protocol secret_server = {.received = secret_to_server, .closed = closed};

static size_t plain_to_server(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct talk *talk = stk_conn_user(conn);
    char line[80], fragment[160];
    const size_t used = take_line(data, len, line);

    if (used == 0)
        return 0;
    tell(conn, "server", line);
    say(conn, "go ahead"); /* still in plain: what is written before goes out below tls */
    snprintf(fragment, sizeof fragment, "tls,cert=%s", talk->certificate);
    if (stk_conn_insert(conn, fragment, 0, &secret_server, talk, NULL) < 0)
        stk_conn_abort(conn);
    return used;
}

static const struct stk_protocol plain_server = {.received = plain_to_server, .closed = closed};

/* --- Client ----------------------------------------------------------------------------------- */

static void secret_opened(struct stk_conn *conn) { say(conn, "this is secret"); }

static size_t secret_to_client(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct talk *talk = stk_conn_user(conn);
    char line[80];
    const size_t used = take_line(data, len, line);

    if (used > 0) {
        tell(conn, "client", line);
        talk->done = true;
        stk_conn_close(conn);
    }
    return used;
}

static const struct stk_protocol secret_client = {
    .opened = secret_opened, .received = secret_to_client, .closed = closed};

static void plain_opened(struct stk_conn *conn) { say(conn, "STARTTLS"); }

static size_t plain_to_client(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    struct talk *talk = stk_conn_user(conn);
    char line[80], fragment[160];
    const size_t used = take_line(data, len, line);

    if (used == 0)
        return 0;
    tell(conn, "client", line);
    snprintf(fragment, sizeof fragment, "tls,sni=%s,ca=%s", name, talk->certificate);
    if (stk_conn_insert(conn, fragment, 0, &secret_client, talk, NULL) < 0)
        stk_conn_abort(conn);
    return used;
}

static const struct stk_protocol plain_client = {
    .opened = plain_opened, .received = plain_to_client, .closed = closed};

/* --- Both ------------------------------------------------------------------------------------- */

static void run(struct talk *talk, const char *stack)
{
    struct stk_loop *loop;
    struct stk_conn *conn;
    struct stk_error error;

    if (stk_loop_new(NULL, &loop) < 0)
        return;
    if (stk_listen(loop, stack, &plain_server, talk, &talk->listener, &error) < 0 ||
        stk_connect(loop, stack, &plain_client, talk, &conn, &error) < 0)
        fprintf(stderr, "%s: %s\n", error.layer, error.text);
    else
        stk_loop_run(loop);
    if (talk->listener != NULL)
        stk_listener_close(talk->listener);
    stk_loop_drain(loop, GOODBYE_US); /* transports may have last words to repeat */
    stk_loop_free(loop);
}

int main(int argc, char **argv)
{
    struct talk talk = {0};

    if (certificate_make(name, talk.certificate) < 0)
        return 1;
    run(&talk, argc > 1 ? argv[1] : "/memory/starttls");
    unlink(talk.certificate);
    return talk.done ? 0 : 1;
}
