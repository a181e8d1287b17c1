/*
 * Goal: TLS keeps the layer contract on pipes, a child process, PTCP and sealed PTCP.
 * Method: the contract suite; the child is this program.
 */
#include "contract.h"
#include "seal.h"
#include "tls_certs.h"

#include <stdio.h>

static struct stk_key_pair identity;

static void set_identity(struct stk_loop *loop) { stk_seal_set_identity(loop, &identity); }

int main(int argc, char **argv)
{
    static const uint8_t seed[32] = "the seed of a contract's peer";
    static char texts[8][STK_RECIPE_TEXT_MAX];
    const char *server, *client;
    char server_text[200], client_text[200], key[STK_KEY_TEXT_MAX];
    const int code = contract_echo(argc, argv);

    if (code >= 0)
        return code;
    certs_make_all();
    stk_key_pair_from_seed(&identity, seed);
    stk_key_format(identity.public_key, key);
    server = server_text;
    client = client_text;
    snprintf(server_text, sizeof server_text, "/tls,cert=%s", certs_path("server.pem"));
    snprintf(client_text, sizeof client_text, "/tls,sni=server.example,ca=%s",
             certs_path("ca.crt"));
    snprintf(texts[0], sizeof texts[0], "/fd/%%d%s", server);
    snprintf(texts[1], sizeof texts[0], "/fd/%%d%s", client);
    snprintf(texts[2], sizeof texts[0], "/stdio%s", server);
    snprintf(texts[3], sizeof texts[0], "%s%s", contract_echo_process(texts[2]), client);
    snprintf(texts[4], sizeof texts[0], "/ip4/127.0.0.1/udp/0/ptcp%s", server);
    snprintf(texts[5], sizeof texts[0], "/ip4/127.0.0.1/udp/%%u/ptcp%s", client);
    snprintf(texts[6], sizeof texts[0], "/ip4/127.0.0.1/udp/0/seal/ptcp%s", server);
    snprintf(texts[7], sizeof texts[0], "/ip4/127.0.0.1/udp/%%u/seal,peer=%s/ptcp%s", key, client);
    const struct contract_stack stacks[] = {
        {.name = "tls on pipes",
         .listen = texts[0],
         .connect = texts[1],
         .fds = CONTRACT_PIPES,
         .slow = true},
        {.name = "tls on a process", .connect = texts[3], .echo = true, .slow = true},
        {.name = "tls on ptcp", .listen = texts[4], .connect = texts[5], .slow = true},
        {.name = "tls on seal/ptcp",
         .listen = texts[6],
         .connect = texts[7],
         .prepare = set_identity,
         .slow = true},
        {0},
    };
    return contract_run("contract: tls more", stacks);
}
