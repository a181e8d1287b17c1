/*
 * Goal: TLS keeps the layer contract on memory, TCP, Unix sockets, and on TLS.
 * Method: the contract suite, with chaos and probes below, between and above.
 */
#include "contract.h"
#include "tls_certs.h"

#include <stdio.h>

int main(void)
{
    char server[200], client[200], texts[8][600];
    const char *const transports[][2] = {
        {"/memory/x", "/memory/x"},
        {"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/%u"},
    };

    certs_make_all();
    snprintf(server, sizeof server, "/tls,cert=%s", certs_path("server.pem"));
    snprintf(client, sizeof client, "/tls,sni=server.example,ca=%s", certs_path("ca.crt"));
    for (int i = 0; i < 2; i++) {
        snprintf(texts[2 * i], sizeof texts[0], "%s%s", transports[i][0], server);
        snprintf(texts[2 * i + 1], sizeof texts[0], "%s%s", transports[i][1], client);
    }
    snprintf(texts[4], sizeof texts[0], "/unix/%s%s", certs_path("x.sock"), server);
    snprintf(texts[5], sizeof texts[0], "/unix/%s%s", certs_path("x.sock"), client);
    snprintf(texts[6], sizeof texts[0], "/memory/x%s%s", server, server);
    snprintf(texts[7], sizeof texts[0], "/memory/x%s%s", client, client);
    const struct contract_stack stacks[] = {
        {.name = "tls", .listen = texts[0], .connect = texts[1], .slow = true},
        {.name = "tls on tcp", .listen = texts[2], .connect = texts[3], .slow = true},
        {.name = "tls on unix", .listen = texts[4], .connect = texts[5], .slow = true},
        {.name = "tls on tls", .listen = texts[6], .connect = texts[7], .slow = true},
        {0},
    };
    return contract_run("contract: tls", stacks);
}
