/* Goal: the layer of docs/layers.md keeps the layer contract. Method: the contract suite. */
#include "contract.h"
#include "rot.h"

static const struct contract_stack stacks[] = {
    {.name = "rot", .listen = "/memory/x/rot", .connect = "/memory/x/rot"},
    {.name = "rot on rot",
     .listen = "/memory/x,chunk=700/rot,by=1/rot,by=2",
     .connect = "/memory/x/rot,by=1/rot,by=2"},
    {0},
};

int main(void)
{
    if (stk_layer_type_add(&rot_layer) < 0)
        return 1;
    return contract_run("contract: a layer outside of the library", stacks);
}
