/* Goal: PTCP on sealed UDP keeps the layer contract. Method: the contract suite over loopback. */
#include "contract.h"
#include "seal.h"

#include <stdio.h>

static struct stk_key_pair identity;

static void set_identity(struct stk_loop *loop) { stk_seal_set_identity(loop, &identity); }

int main(void)
{
    static const uint8_t seed[32] = "the seed of a contract's peer";
    char connect[160], key[STK_KEY_TEXT_MAX];
    const struct contract_stack stacks[] = {
        {.name = "seal/ptcp",
         .listen = "/ip4/127.0.0.1/udp/0/seal/ptcp",
         .connect = connect,
         .prepare = set_identity,
         .slow = true},
        {0},
    };

    stk_key_pair_from_seed(&identity, seed);
    snprintf(connect, sizeof connect, "/ip4/127.0.0.1/udp/%%u/seal,peer=%s/ptcp",
             stk_key_format(identity.public_key, key));
    return contract_run("contract: seal", stacks);
}
