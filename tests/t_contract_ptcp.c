/* Goal: PTCP on plain UDP keeps the layer contract. Method: the contract suite over loopback. */
#include "contract.h"

#include <stddef.h>

static const struct contract_stack stacks[] = {
    {.name = "ptcp",
     .listen = "/ip4/127.0.0.1/udp/0/ptcp",
     .connect = "/ip4/127.0.0.1/udp/%u/ptcp",
     .slow = true},
    {0},
};

int main(void) { return contract_run("contract: ptcp", stacks); }
