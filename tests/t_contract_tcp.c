/* Goal: TCP keeps the layer contract. Method: the contract suite over loopback sockets. */
#include "contract.h"

#include <stddef.h>

static const struct contract_stack stacks[] = {
    {.name = "tcp", .listen = "/ip4/127.0.0.1/tcp/0", .connect = "/ip4/127.0.0.1/tcp/%u"},
    {.name = "tcp by name",
     .listen = "/dns4/localhost/tcp/0",
     .connect = "/dns4/localhost/tcp/%u",
     .slow = true},
    {0},
};

int main(void) { return contract_run("contract: tcp", stacks); }
