/* Goal: Unix sockets keep the layer contract. Method: the contract suite on one path. */
#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    char dir[] = "/tmp/stk-contract-XXXXXX", recipe[64];
    const struct contract_stack stacks[] = {
        {.name = "unix", .listen = recipe, .connect = recipe},
        {0},
    };

    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(recipe, sizeof recipe, "/unix/%s/x.sock", dir);
    const int code = contract_run("contract: unix", stacks);
    rmdir(dir);
    return code;
}
