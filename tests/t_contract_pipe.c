/* Goal: pipes and socket pairs keep the layer contract. Method: the contract suite over both. */
#include "contract.h"

#include <stddef.h>

static const struct contract_stack stacks[] = {
    {.name = "pipes", .listen = "/fd/%d", .connect = "/fd/%d", .fds = CONTRACT_PIPES},
    {.name = "socket pair", .listen = "/fd/%d", .connect = "/fd/%d", .fds = CONTRACT_SOCKETS},
    {0},
};

int main(void) { return contract_run("contract: pipe", stacks); }
