/*
 * Goal: layers come into a live connection as stack.h says: in both roles, over every kind of
 * stream, with what was written before below them, and unread bytes only on purpose.
 * Method: a STARTTLS dialogue of lines over memory and TCP, from inside received() and outside.
 */
#include "fault.h"
#include "harness.h"
#include "stack.h"
#include "tls_certs.h"

#include <string.h>

struct side {
    struct stk_conn *conn;
    char got[256];
    size_t len;
    const char *fragment;
    unsigned flags;
    bool outside; /* inserts when the test says so, not in received() */
    bool silent;  /* the test writes in its place */
    bool eager;   /* writes right after it inserted */
    bool leaves;  /* and closes */
    int inserted; /* what stk_conn_insert() gave */
    int opened, opened_inside, closed, code;
    char layer[STK_ERROR_LAYER_MAX], text[STK_ERROR_TEXT_MAX];
};

static struct stk_loop *loop;
static struct stk_listener *listener;
static struct side client, server;
static char server_fragment[200], client_fragment[200];

static struct side *side_of(struct stk_conn *conn) { return stk_conn_user(conn); }

static void take(struct side *side, const uint8_t *data, size_t len)
{
    CU_ASSERT_FATAL(side->len + len < sizeof side->got);
    memcpy(side->got + side->len, data, len);
    side->len += len;
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    struct side *side = side_of(conn);

    side->closed++;
    side->conn = NULL;
    if (error == NULL)
        return;
    side->code = error->code;
    snprintf(side->layer, sizeof side->layer, "%s", error->layer);
    snprintf(side->text, sizeof side->text, "%s", error->text);
}

/* --- Behind the inserted layers */

static void inside_opened(struct stk_conn *conn)
{
    side_of(conn)->opened_inside++;
    stk_conn_write(conn, "secret\n", 7);
}

static size_t inside_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    take(side_of(conn), data, len);
    return len;
}

static const struct stk_protocol inside = {
    .opened = inside_opened, .received = inside_received, .closed = on_closed};

/* --- Before: the server greets, the client asks, the server agrees; then both insert. */

static void insert(struct side *side)
{
    struct stk_error error = {0};

    side->inserted =
        stk_conn_insert(side->conn, side->fragment, side->flags, &inside, side, &error);
    if (side->inserted < 0)
        snprintf(side->text, sizeof side->text, "%s", error.text);
    if (side->eager)
        stk_conn_write(side->conn, "eager\n", 6);
    if (side->leaves)
        stk_conn_close(side->conn);
}

static void outside_opened(struct stk_conn *conn)
{
    side_of(conn)->opened++;
    side_of(conn)->conn = conn;
    if (side_of(conn) == &server)
        stk_conn_write(conn, "hello\n", 6);
}

static size_t server_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    const uint8_t *end = memchr(data, '\n', len);

    if (end == NULL)
        return 0;
    take(&server, data, (size_t)(end - data) + 1);
    stk_conn_write(conn, "go\n", 3); /* goes out below the new layer */
    if (!server.outside)
        insert(&server);
    return (size_t)(end - data) + 1;
}

static size_t client_received(struct stk_conn *conn, const uint8_t *data, size_t len)
{
    const uint8_t *end = memchr(data, '\n', len);

    if (end == NULL)
        return 0;
    const size_t line = (size_t)(end - data) + 1;
    take(&client, data, line);
    if (*data == 'h' && !client.silent)
        stk_conn_write(conn, "starttls\n", 9);
    else if (*data == 'g' && !client.outside)
        insert(&client);
    if (line < len)
        stk_conn_again(conn);
    return line;
}

static const struct stk_protocol at_server = {
    .opened = outside_opened, .received = server_received, .closed = on_closed};
static const struct stk_protocol at_client = {
    .opened = outside_opened, .received = client_received, .closed = on_closed};

static void begin(const char *listens, const char *connects)
{
    struct stk_error error = {0};
    struct stk_addr addr = {0};
    char recipe[128];

    memset(&client, 0, sizeof client);
    memset(&server, 0, sizeof server);
    client.fragment = client_fragment;
    server.fragment = server_fragment;
    CU_ASSERT_EQUAL_FATAL(stk_loop_new(NULL, &loop), 0);
    CU_ASSERT_EQUAL_FATAL(stk_listen(loop, listens, &at_server, &server, &listener, &error), 0);
    stk_listener_addr(listener, &addr);
    snprintf(recipe, sizeof recipe, connects, stk_addr_port(&addr));
    CU_ASSERT_EQUAL_FATAL(stk_connect(loop, recipe, &at_client, &client, &client.conn, &error), 0);
}

static bool got(const struct side *side, const char *text)
{
    return side->len == strlen(text) && memcmp(side->got, text, side->len) == 0;
}

/* Turns until both sides got all, or one closed. */
static bool run(const char *client_gets, const char *server_gets)
{
    for (int i = 0; i < 5000; i++) {
        if (got(&client, client_gets) && got(&server, server_gets))
            return true;
        if (client.closed > 0 && server.closed > 0)
            return false;
        stk_loop_turn(loop, 2000);
    }
    return false;
}

static void end(void)
{
    if (client.conn != NULL)
        stk_conn_abort(client.conn);
    if (server.conn != NULL)
        stk_conn_abort(server.conn);
    stk_listener_close(listener);
    for (int i = 0; i < 20; i++)
        stk_loop_turn(loop, 0);
    stk_loop_free(loop);
    CU_ASSERT_EQUAL(client.closed, 1);
    CU_ASSERT_TRUE(server.closed == 1 || server.opened == 0);
}

#define ALL_CLIENT "hello\ngo\nsecret\n"
#define ALL_SERVER "starttls\nsecret\n"

static void starttls_works_from_inside_received(void)
{
    static const char *const stacks[][2] = {
        {"/memory/x", "/memory/x"},
        {"/memory/x,chunk=1", "/memory/x,chunk=1"},
        {"/memory/x,quota=5", "/memory/x,quota=5"},
        {"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/%u"},
        {"/memory/x/chaos,again=80", "/memory/x/chaos,again=80"},
        {"/memory/x/limit,rate=1G/idle", "/memory/x/idle"},
    };

    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++) {
        begin(stacks[i][0], stacks[i][1]);
        const bool done = run(ALL_CLIENT, ALL_SERVER);
        if (!done)
            printf("\n    %s: %s %s / %s %s\n", stacks[i][0], client.layer, client.text,
                   server.layer, server.text);
        CU_ASSERT_TRUE(done);
        CU_ASSERT_EQUAL(client.opened + server.opened, 2);
        CU_ASSERT_EQUAL(client.opened_inside + server.opened_inside, 2);
        end();
    }
}

static void starttls_works_from_outside_received(void)
{
    begin("/memory/x", "/memory/x");
    client.outside = server.outside = true;
    CU_ASSERT_TRUE(run("hello\ngo\n", "starttls\n"));
    insert(&server);
    insert(&client);
    CU_ASSERT_EQUAL(client.inserted, 0);
    CU_ASSERT_TRUE(run(ALL_CLIENT, ALL_SERVER));
    end();
}

/* Also where bytes from before still wait: those go out below. */
static void what_is_written_after_inserting_goes_through_the_new_layer(void)
{
    static const char *const stacks[] = {"/memory/x", "/memory/x,quota=1",
                                         "/memory/x/chaos,again=80"};

    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++) {
        for (int outside = 0; outside < 2; outside++) {
            begin(stacks[i], stacks[i]);
            client.eager = server.eager = true;
            client.outside = server.outside = outside;
            if (outside) {
                CU_ASSERT_TRUE(run("hello\ngo\n", "starttls\n"));
                insert(&server);
                insert(&client);
            }
            CU_ASSERT_TRUE(run("hello\ngo\neager\nsecret\n", "starttls\neager\nsecret\n"));
            CU_ASSERT_EQUAL(client.opened_inside + server.opened_inside, 2);
            end();
        }
    }
}

/* A close is no reason to say in the clear what was meant for the new layer. */
static void a_close_after_inserting_leaves_through_the_new_layer(void)
{
    for (int outside = 0; outside < 2; outside++) {
        begin("/memory/x", "/memory/x");
        client.eager = client.leaves = true;
        client.outside = server.outside = outside;
        if (outside) {
            CU_ASSERT_TRUE(run("hello\ngo\n", "starttls\n"));
            insert(&server);
            insert(&client);
        }
        run("never", "never");
        CU_ASSERT_TRUE(got(&server, "starttls\neager\n"));
        CU_ASSERT_EQUAL(server.opened_inside, 1);
        CU_ASSERT_EQUAL(client.code, 0);
        CU_ASSERT_EQUAL(server.code, 0);
        end();
    }
}

static void the_inserted_layers_show_in_the_description(void)
{
    char text[512], wanted[512];

    begin("/memory/x", "/memory/x");
    CU_ASSERT_TRUE(run(ALL_CLIENT, ALL_SERVER));
    struct stk_recipe *fragment;
    CU_ASSERT_EQUAL_FATAL(stk_recipe_parse_fragment(client_fragment, &fragment, NULL), 0);
    snprintf(wanted, sizeof wanted, "/memory/x%s", stk_recipe_text(fragment));
    stk_recipe_unref(fragment);
    CU_ASSERT_STRING_EQUAL(stk_conn_describe(client.conn, text, sizeof text), wanted);
    CU_ASSERT_EQUAL(stk_conn_query(client.conn, STK_QUERY_TLS_VERSION, text, sizeof text), 0);
    CU_ASSERT_STRING_EQUAL(text, "TLSv1.3");
    end();
}

static void layers_go_on_layers(void)
{
    begin("/memory/x", "/memory/x");
    client.fragment = server.fragment = "idle/limit,rate=1G";
    client.flags = server.flags = STK_INSERT_UNREAD; /* these greet nobody: bytes come at once */
    CU_ASSERT_TRUE(run(ALL_CLIENT, ALL_SERVER));
    client.fragment = client_fragment;
    server.fragment = server_fragment;
    insert(&client);
    insert(&server);
    CU_ASSERT_TRUE(run(ALL_CLIENT "secret\n", ALL_SERVER "secret\n"));
    end();
}

/* Somebody in the middle adds a line behind the request, in the clear. */
static void bytes_that_were_slipped_in_are_refused(void)
{
    begin("/memory/x", "/memory/x");
    client.outside = client.silent = true;
    for (int i = 0; i < 50 && client.opened == 0; i++)
        stk_loop_turn(loop, 0);
    stk_conn_write(client.conn, "starttls\nsecret\n", 16);
    CU_ASSERT_FALSE(run("never", "never"));
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_EQUAL(server.code, -EPROTO);
    CU_ASSERT_STRING_EQUAL(server.layer, "tls");
    CU_ASSERT_PTR_NOT_NULL(strstr(server.text, "7 bytes came before the new layer"));
    CU_ASSERT_TRUE(got(&server, "starttls\n"));
    CU_ASSERT_EQUAL(server.opened_inside, 0);
    end();
}

static void unread_bytes_are_handed_over_on_purpose(void)
{
    begin("/memory/x", "/memory/x");
    server.flags = STK_INSERT_UNREAD;
    server.fragment = "idle";
    client.outside = client.silent = true;
    for (int i = 0; i < 50 && client.opened == 0; i++)
        stk_loop_turn(loop, 0);
    stk_conn_write(client.conn, "starttls\nmore", 13);
    CU_ASSERT_TRUE(run(ALL_CLIENT, "starttls\nmore"));
    stk_conn_write(client.conn, " and more", 9);
    CU_ASSERT_TRUE(run(ALL_CLIENT, "starttls\nmore and more"));
    end();
}

static void what_was_written_goes_out_below_first(void)
{
    char line[3001];

    memset(line, 'x', sizeof line);
    begin("/memory/x,quota=100", "/memory/x,quota=100");
    client.outside = server.outside = true;
    CU_ASSERT_TRUE(run("hello\ngo\n", "starttls\n"));
    stk_conn_pause(client.conn);
    memset(client.got, 0, sizeof client.got);
    CU_ASSERT_EQUAL(stk_conn_write(server.conn, line, 200), 200); /* 100 of them wait */
    CU_ASSERT_TRUE(stk_conn_write_pending(server.conn) > 0);
    server.fragment = "idle";
    insert(&server);
    CU_ASSERT_EQUAL(server.inserted, 0);
    stk_conn_set_protocol(client.conn, &inside, &client);
    stk_conn_resume(client.conn);
    client.len = 0;
    for (int i = 0; i < 200 && client.len < 207; i++)
        stk_loop_turn(loop, 0);
    CU_ASSERT_EQUAL(client.len, 207);
    CU_ASSERT_EQUAL(memcmp(client.got, line, 200), 0);
    CU_ASSERT_EQUAL(memcmp(client.got + 200, "secret\n", 7), 0);
    end();
}

static void a_failed_insertion_closes(void)
{
    begin("/memory/x", "/memory/x");
    server.fragment = "tls,cert=/nonexistent.pem";
    CU_ASSERT_FALSE(run("never", "never"));
    CU_ASSERT_EQUAL(server.closed, 1);
    CU_ASSERT_TRUE(server.code < 0);
    CU_ASSERT_STRING_EQUAL(server.layer, "tls");
    CU_ASSERT_EQUAL(client.closed, 1);
    end();
}

static void a_wrong_fragment_is_refused_at_once(void)
{
    begin("/memory/x", "/memory/x");
    client.outside = server.outside = true;
    CU_ASSERT_TRUE(run("hello\ngo\n", "starttls\n"));
    client.fragment = "ptcp";
    insert(&client);
    CU_ASSERT_EQUAL(client.inserted, STK_ESTACK);
    client.fragment = "nothing";
    insert(&client);
    CU_ASSERT_EQUAL(client.inserted, STK_ESYNTAX);
    CU_ASSERT_TRUE(stk_conn_is_open(client.conn));
    stk_conn_finish(client.conn);
    client.fragment = "idle";
    insert(&client);
    CU_ASSERT_EQUAL(client.inserted, -EPROTO); /* not open in both directions */
    end();
}

static void the_peer_must_be_verified_before_opened(void)
{
    begin("/memory/x", "/memory/x");
    client.fragment = "tls,sni=wrong.example"; /* and it trusts the system's CAs only */
    CU_ASSERT_FALSE(run("never", "never"));
    CU_ASSERT_EQUAL(client.opened_inside, 0);
    CU_ASSERT_TRUE(got(&client, "hello\ngo\n"));
    CU_ASSERT_EQUAL(client.code, STK_ECERT);
    end();
}

static void every_allocation_may_fail(void)
{
    fault_heap_install();
    for (long n = 1; n < 1000; n++) {
        begin("/memory/x", "/memory/x");
        client.outside = server.outside = true;
        client.eager = server.eager = true;
        CU_ASSERT_TRUE(run("hello\ngo\n", "starttls\n"));
        fault_heap_fail(n, FAULT_ONCE);
        insert(&server);
        if (client.conn != NULL)
            insert(&client);
        for (int i = 0; i < 60; i++)
            stk_loop_turn(loop, 0);
        const bool failed = fault_heap_has_failed();
        fault_heap_fail(0, FAULT_ONCE);
        end();
        if (!failed)
            break;
    }
    CU_ASSERT_EQUAL(fault_heap_remove(), 0);
}

static CU_TestInfo tests[] = {
    {"STARTTLS works from inside received()", starttls_works_from_inside_received},
    {"STARTTLS works from outside of received()", starttls_works_from_outside_received},
    {"what is written after inserting goes through the new layer",
     what_is_written_after_inserting_goes_through_the_new_layer},
    {"a close after inserting leaves through the new layer",
     a_close_after_inserting_leaves_through_the_new_layer},
    {"the inserted layers show in the description", the_inserted_layers_show_in_the_description},
    {"layers go on layers", layers_go_on_layers},
    {"bytes that were slipped in are refused", bytes_that_were_slipped_in_are_refused},
    {"unread bytes are handed over on purpose", unread_bytes_are_handed_over_on_purpose},
    {"what was written goes out below first", what_was_written_goes_out_below_first},
    {"a failed insertion closes", a_failed_insertion_closes},
    {"a wrong fragment is refused at once", a_wrong_fragment_is_refused_at_once},
    {"the peer must be verified before opened", the_peer_must_be_verified_before_opened},
    {"every allocation may fail", every_allocation_may_fail},
    CU_TEST_INFO_NULL,
};

int main(void)
{
    certs_make_all();
    snprintf(server_fragment, sizeof server_fragment, "tls,cert=%s", certs_path("server.pem"));
    snprintf(client_fragment, sizeof client_fragment, "tls,sni=server.example,ca=%s",
             certs_path("ca.crt"));
    return stk_test_run("insert", tests, STK_TEST_LIMIT_S);
}
