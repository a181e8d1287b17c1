/*
 * Goal: nobody talks to a peer who is not the one wanted, and who is refused learns why.
 * Method: pairs over memory and tcp for each way in which certificates, names, pins, protocols and
 * versions can be wrong; READY must come on neither side that refuses, the texts must say what is
 * the matter.
 */
#include "harness.h"
#include "tls.h"
#include "tls_certs.h"
#include "tls_pair.h"

#define SERVER "/tls,cert=%sserver.pem"
#define CLIENT "/tls,sni=server.example,ca=%sca.crt"

struct refusal {
    const char *server, *client;
    int client_code;
    const char *client_text; /* a part of it; NULL: not looked at */
    int server_code;
    const char *server_text;
};

static const char *const transports[] = {"/memory/pair", "/memory/pair,quota=9",
                                         "/ip4/127.0.0.1/tcp/0"};

static void expect_text(const struct stk_error *error, int code, const char *part)
{
    const bool fits = error->code == code && (part == NULL || strstr(error->text, part) != NULL);

    if (!fits)
        printf("\n    wanted %d \"%s\", got %d \"%s\"\n", code, part != NULL ? part : "",
               error->code, error->text);
    CU_ASSERT_TRUE(fits);
}

static void expect_refusal_on(const char *transport, const struct refusal *r)
{
    const struct pair pair =
        pair_exchange(&(struct pair_recipe){transport, r->server, r->client}, 100, 100);

    expect_text(&pair.client.error, r->client_code, r->client_text);
    if (r->server_code != 0)
        expect_text(&pair.server.error, r->server_code, r->server_text);
    CU_ASSERT_FALSE(pair.server.opened);
    CU_ASSERT_EQUAL(pair.server.received, 0);
    CU_ASSERT_EQUAL(pair.client.received, 0);
}

static void expect_refusals(const struct refusal *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t t = 0; t < sizeof transports / sizeof *transports; t++)
            expect_refusal_on(transports[t], &list[i]);
}

#define EXPECT_REFUSALS(list) expect_refusals(list, sizeof(list) / sizeof *(list))

static void expect_good(const char *server, const char *client)
{
    for (size_t t = 0; t < sizeof transports / sizeof *transports; t++) {
        const struct pair pair =
            pair_exchange(&(struct pair_recipe){transports[t], server, client}, 3000, 3000);

        pair_expect_good(&pair, 3000, 3000);
    }
}

/* --- The server's certificate --------------------------------------------------------------------
 */

static void a_bad_server_certificate_is_refused_with_its_reason(void)
{
    static const struct refusal list[] = {
        {"/tls,cert=%sexpired.pem", CLIENT, STK_ECERT,
         "the certificate of server.example expired on 20", STK_EPEER,
         "the client refused our certificate: it has expired"},
        {"/tls,cert=%searly.pem", CLIENT, STK_ECERT, "is not valid before 20", STK_EPEER,
         "the client refused our certificate"},
        {"/tls,cert=%sself.pem", CLIENT, STK_ECERT,
         "self-signed certificate of server.example: give it, or its CA, with ca=FILE", STK_EPEER,
         "its CA is unknown there"},
        {"/tls,cert=%sforeign.pem", CLIENT, STK_ECERT, "is signed by Other CA, which is unknown",
         STK_EPEER, "its CA is unknown there"},
        {"/tls,cert=%schainless.pem", CLIENT, STK_ECERT, "is signed by Middle CA", STK_EPEER, NULL},
        {"/tls,cert=%swrong-use.pem", CLIENT, STK_ECERT, "not meant for a server", STK_EPEER,
         "not meant for this use"},
        {"/tls,cert=%ssecond.pem", CLIENT, STK_ECERT,
         "the certificate is for second.example, not for server.example", STK_EPEER, NULL},
        {"/tls,cert=%snameless.pem", CLIENT, STK_ECERT, "no subjectAltName", STK_EPEER, NULL},
        {"/tls,cert=%sserver.pem", "/tls,sni=server.example", STK_ECERT,
         "give that CA with ca=", STK_EPEER, NULL},
        {"/tls,cert=%sserver.pem", "/tls,sni=192.0.2.9,ca=%sca.crt", STK_ECERT,
         "server.example, alias.example, 127.0.0.1, ::1, not for 192.0.2.9", STK_EPEER, NULL},
    };

    EXPECT_REFUSALS(list);
}

static void a_good_server_certificate_is_accepted(void)
{
    expect_good(SERVER, CLIENT);
    expect_good(SERVER, "/tls,sni=alias.example,ca=%sca.crt");
    expect_good(SERVER, "/tls,sni=SERVER.Example.,ca=%sca.crt");
    expect_good(SERVER, "/tls,sni=127.0.0.1,ca=%sca.crt");
    expect_good(SERVER, "/tls,sni=::1,ca=%sca.crt");
    expect_good("/tls,cert=%sserver.crt,key=%sserver.key", CLIENT);
    expect_good("/tls,cert=%sdeep.pem", CLIENT);
    expect_good("/tls,cert=%schainless.pem", "/tls,sni=server.example,ca=%smiddle.crt");
    expect_good("/tls,cert=%sself.pem", "/tls,sni=server.example,ca=%sself.crt");
    expect_good("/tls,cert=%swild.pem", "/tls,sni=a.wild.example,ca=%sca.crt");
}

static void a_wildcard_stands_for_one_label(void)
{
    static const struct refusal list[] = {
        {"/tls,cert=%swild.pem", "/tls,sni=a.b.wild.example,ca=%sca.crt", STK_ECERT,
         "*.wild.example", STK_EPEER, NULL},
        {"/tls,cert=%swild.pem", "/tls,sni=wild.example,ca=%sca.crt", STK_ECERT, "*.wild.example",
         STK_EPEER, NULL},
    };

    EXPECT_REFUSALS(list);
}

static void verification_is_left_out_only_when_asked(void)
{
    expect_good("/tls,cert=%sexpired.pem", "/tls,verify=no");
    expect_good("/tls,cert=%sself.pem", "/tls,sni=other.example,verify=no");
    const struct pair pair =
        pair_exchange(&(struct pair_recipe){NULL, SERVER, "/tls,verify=no"}, 10, 10);
    CU_ASSERT_STRING_EQUAL(pair.client.name, "");
}

static void without_a_host_below_a_name_must_be_given(void)
{
    const struct pair pair =
        pair_exchange(&(struct pair_recipe){NULL, SERVER, "/tls,ca=%sca.crt"}, 1, 1);

    expect_text(&pair.client.error, STK_ESYNTAX, "give sni=NAME");
}

static void a_directory_of_cas_is_enough(void)
{
    const struct pair pair = pair_exchange(
        &(struct pair_recipe){NULL, SERVER, "/tls,sni=server.example,ca-dir=%strusted"}, 10, 10);

    pair_expect_good(&pair, 10, 10);
}

/* --- Pins
 * ------------------------------------------------------------------------------------------ */

static char *with_pin(const char *format, const char *name, char *out, size_t size)
{
    snprintf(out, size, format, certs_pin(name));
    return out;
}

static void a_pin_decides_beside_the_chain_or_instead(void)
{
    char text[300];

    expect_good(SERVER, with_pin("/tls,sni=server.example,ca=%%sca.crt,pin=%s", "server", text,
                                 sizeof text));
    expect_good("/tls,cert=%sself.pem",
                with_pin("/tls,verify=no,pin=%s", "self", text, sizeof text));
    expect_good("/tls,cert=%sself.pem",
                with_pin("/tls,verify=no,pin=00112233445566778899aabbccddeeff"
                         "00112233445566778899aabbccddeeff;%s",
                         "self", text, sizeof text));
}

static void a_wrong_pin_is_refused(void)
{
    char beside[300], instead[300];
    const struct refusal list[] = {
        {SERVER,
         with_pin("/tls,sni=server.example,ca=%%sca.crt,pin=%s", "second", beside, sizeof beside),
         STK_EPEER, "is not one of those given", STK_EPEER, "the client refused our certificate"},
        {SERVER, with_pin("/tls,verify=no,pin=%s", "second", instead, sizeof instead), STK_EPEER,
         "is not one of those given", STK_EPEER, NULL},
    };

    EXPECT_REFUSALS(list);
}

static void a_pin_does_not_save_a_bad_chain(void)
{
    char text[300];
    const struct refusal list[] = {
        {"/tls,cert=%sexpired.pem",
         with_pin("/tls,sni=server.example,ca=%%sca.crt,pin=%s", "expired", text, sizeof text),
         STK_ECERT, "expired", STK_EPEER, NULL},
    };

    EXPECT_REFUSALS(list);
}

/* --- The client's certificate
 * ---------------------------------------------------------------------- */

#define ASKING SERVER ",client-ca=%sca.crt"

static void a_client_shows_its_certificate(void)
{
    const struct pair pair = pair_exchange(
        &(struct pair_recipe){NULL, ASKING, CLIENT ",cert=%sclient.crt,key=%sclient.key"}, 10, 10);

    pair_expect_good(&pair, 10, 10);
    CU_ASSERT_STRING_EQUAL(pair.server.name, "alice");
    expect_good(ASKING, CLIENT ",cert=%sclient.pem");
    expect_good(ASKING ",min=1.2", CLIENT ",cert=%sclient.pem");
    expect_good(ASKING ",require=no", CLIENT);
}

static void a_client_without_the_right_certificate_is_refused(void)
{
    char text[300];
    const struct refusal list[] = {
        {ASKING, CLIENT, STK_EPEER, "the server wants a certificate of ours: give one with cert=",
         STK_EPEER, "the client gave no certificate"},
        {ASKING, CLIENT ",cert=%sstranger.pem", STK_EPEER,
         "the server refused our certificate: its CA is unknown there", STK_ECERT,
         "mallory is signed by Other CA"},
        {ASKING, CLIENT ",cert=%sold-client.pem", STK_EPEER,
         "the server refused our certificate: it has expired", STK_ECERT, "bob expired on"},
        {ASKING, CLIENT ",cert=%sserver.pem", STK_EPEER, "not meant for this use", STK_ECERT,
         "not meant for a client"},
        {ASKING ",require=no", CLIENT ",cert=%sstranger.pem", STK_EPEER, "its CA is unknown there",
         STK_ECERT, NULL},
        {with_pin("/tls,cert=%%sserver.pem,pin=%s", "client", text, sizeof text),
         CLIENT ",cert=%sstranger.pem", STK_EPEER, "the server refused our certificate", STK_EPEER,
         "is not one of those given"},
    };

    EXPECT_REFUSALS(list);
}

/* --- The choice of certificates
 * --------------------------------------------------------------------- */

static void link_to(const char *from, const char *to)
{
    if (symlink(certs_path(from), certs_path(to)) < 0)
        abort();
}

static void make_server_dir(void)
{
    static const char *const names[] = {"second", "wild", "rsa"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char from[80], to[80];

        snprintf(from, sizeof from, "%s.pem", names[i]);
        snprintf(to, sizeof to, "sites/%s.pem", names[i]);
        link_to(from, to);
    }
}

static void a_listener_chooses_by_the_name_asked_for(void)
{
    expect_good(SERVER ",certs=%ssites", CLIENT);
    expect_good(SERVER ",certs=%ssites", "/tls,sni=second.example,ca=%sca.crt");
    expect_good(SERVER ",certs=%ssites", "/tls,sni=x.wild.example,ca=%sca.crt");
    expect_good(SERVER ",certs=%ssites", "/tls,sni=rsa.example,ca=%sca.crt");
    expect_good("/tls,certs=%ssites", "/tls,sni=rsa.example,ca=%sca.crt,min=1.2");
}

static void a_name_that_no_certificate_has_is_refused(void)
{
    static const struct refusal list[] = {
        {"/tls,certs=%ssites", CLIENT, STK_EPEER,
         "the server has no certificate for server.example", STK_EPEER,
         "the client asks for \"server.example\""},
    };

    EXPECT_REFUSALS(list);
}

/* --- Protocols and versions
 * --------------------------------------------------------------------------- */

static void the_listeners_best_common_protocol_is_chosen(void)
{
    const struct pair pair =
        pair_exchange(&(struct pair_recipe){NULL, SERVER ",alpn=h2+http%2F1.1",
                                            CLIENT ",alpn=http%2F1.0+http%2F1.1+h2"},
                      10, 10);

    pair_expect_good(&pair, 10, 10);
    CU_ASSERT_STRING_EQUAL(pair.client.alpn, "h2");
    CU_ASSERT_STRING_EQUAL(pair.server.alpn, "h2");
}

static void who_does_not_ask_for_a_protocol_gets_none(void)
{
    struct pair pair =
        pair_exchange(&(struct pair_recipe){NULL, SERVER ",alpn=h2", CLIENT}, 10, 10);

    pair_expect_good(&pair, 10, 10);
    CU_ASSERT_STRING_EQUAL(pair.client.alpn, "");
    pair = pair_exchange(&(struct pair_recipe){NULL, SERVER, CLIENT ",alpn=h2"}, 10, 10);
    pair_expect_good(&pair, 10, 10);
    CU_ASSERT_STRING_EQUAL(pair.server.alpn, "");
}

static void no_common_protocol_is_an_error_that_names_them(void)
{
    static const struct refusal list[] = {
        {SERVER ",alpn=h2+http%2F1.1", CLIENT ",alpn=smtp+imap", STK_EPEER,
         "speaks none of the protocols that we offer: alpn=smtp+imap", STK_EPEER,
         "the client speaks smtp+imap, we speak h2+http/1.1"},
    };

    EXPECT_REFUSALS(list);
}

/* --- Files and options
 * ---------------------------------------------------------------------------------- */

static void expect_unprepared(bool listening, const char *options, int code, const char *part)
{
    struct pair pair;
    char text[1024], filled[900];

    pair_init(&pair);
    snprintf(text, sizeof text, "/memory/x%s", pair_options(options, filled, sizeof filled));
    const int status =
        listening ? stk_listen(pair.loop, text, &pair_protocol, &pair, &pair.listener, &pair.error)
                  : stk_connect(pair.loop, text, &pair_protocol, &pair.client, &pair.client.conn,
                                &pair.error);
    CU_ASSERT_EQUAL(status, code);
    expect_text(&pair.error, code, part);
    pair_free(&pair);
}

static void bad_files_are_told_before_anything_opens(void)
{
    expect_unprepared(true, "/tls", STK_ESYNTAX, "a listener needs a certificate");
    expect_unprepared(true, "/tls,cert=%snone.pem", -ENOENT, "none.pem");
    expect_unprepared(true, "/tls,cert=%s", STK_ESYNTAX, "holds no certificate");
    expect_unprepared(true, "/tls,cert=%sserver.crt", STK_ESYNTAX,
                      "holds no private key in PEM form: give key=FILE");
    expect_unprepared(true, "/tls,cert=%sserver.key", STK_ESYNTAX, "holds no certificate");
    expect_unprepared(true, "/tls,cert=%sserver.crt,key=%sclient.key", STK_ESYNTAX,
                      "does not belong to the certificate");
    expect_unprepared(true, "/tls,key=%sserver.key", STK_ESYNTAX, "no cert=FILE");
    expect_unprepared(true, "/tls,cert=%slocked.pem", STK_ESYNTAX, "the key is encrypted");
    expect_unprepared(true, "/tls,cert=%sweak.pem", -EPROTO, "key too small");
    expect_unprepared(true, "/tls,cert=%sbroken.pem", STK_ESYNTAX, "damaged");
    expect_unprepared(true, "/tls,certs=%sempty", STK_ESYNTAX, "holds neither");
    expect_unprepared(true, "/tls,certs=%snowhere", -ENOENT, "nowhere");
    expect_unprepared(true, SERVER ",client-ca=%snone", -ENOENT, "none");
    expect_unprepared(false, "/tls,sni=a,ca=%snone.pem", -ENOENT, "none.pem");
    expect_unprepared(false, "/tls,sni=a,ca=%sserver.key", STK_ESYNTAX, "holds no certificate");
    expect_unprepared(false, "/tls,sni=a,ca-dir=%sempty", STK_ESYNTAX, "holds no .pem");
}

static void bad_options_are_told_before_anything_opens(void)
{
    expect_unprepared(false, "/tls,sni=a,min=1.1", STK_ESYNTAX, "expected 1.2 or 1.3");
    expect_unprepared(false, "/tls,sni=a,pin=abc", STK_ESYNTAX, "expected the SHA-256");
    expect_unprepared(false, "/tls,sni=a,alpn=h2++x", STK_ESYNTAX, "separated by '+'");
    expect_unprepared(false, "/tls,sni=a,client-ca=%sca.crt", STK_ESYNTAX, "the side that listens");
    expect_unprepared(true, SERVER ",ca=%sca.crt", STK_ESYNTAX, "client-ca=FILE");
    expect_unprepared(true, SERVER ",verify=no", STK_ESYNTAX, "the side that connects");
    expect_unprepared(true, SERVER ",require=yes", STK_ESYNTAX, "needs client-ca");
}

static void make_bad_files(void)
{
    certs_write("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n");
    certs_lock("server", "locked");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a bad server certificate is refused with its reason",
         a_bad_server_certificate_is_refused_with_its_reason},
        {"a good server certificate is accepted", a_good_server_certificate_is_accepted},
        {"a wildcard stands for one label", a_wildcard_stands_for_one_label},
        {"verification is left out only when asked", verification_is_left_out_only_when_asked},
        {"without a host below a name must be given", without_a_host_below_a_name_must_be_given},
        {"a directory of CAs is enough", a_directory_of_cas_is_enough},
        {"a pin decides beside the chain or instead", a_pin_decides_beside_the_chain_or_instead},
        {"a wrong pin is refused", a_wrong_pin_is_refused},
        {"a pin does not save a bad chain", a_pin_does_not_save_a_bad_chain},
        {"a client shows its certificate", a_client_shows_its_certificate},
        {"a client without the right certificate is refused",
         a_client_without_the_right_certificate_is_refused},
        {"a listener chooses by the name asked for", a_listener_chooses_by_the_name_asked_for},
        {"a name that no certificate has is refused", a_name_that_no_certificate_has_is_refused},
        {"the listener's best common protocol is chosen",
         the_listeners_best_common_protocol_is_chosen},
        {"who does not ask for a protocol gets none", who_does_not_ask_for_a_protocol_gets_none},
        {"no common protocol is an error that names them",
         no_common_protocol_is_an_error_that_names_them},
        {"bad files are told before anything opens", bad_files_are_told_before_anything_opens},
        {"bad options are told before anything opens", bad_options_are_told_before_anything_opens},
        CU_TEST_INFO_NULL,
    };

    certs_make_all();
    certs_make_dir("empty");
    certs_make_dir("sites");
    make_server_dir();
    make_bad_files();
    certs_make_dir("trusted");
    link_to("other-ca.crt", "trusted/a.crt");
    link_to("ca.crt", "trusted/b.pem");
    const int failed = stk_test_run("tls_verify", tests, STK_TEST_LIMIT_S);
    certs_remove();
    return failed;
}
