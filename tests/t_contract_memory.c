/* Goal: the memory transport keeps the layer contract. Method: the contract suite. */
#include "contract.h"

#include <stddef.h>

static const struct contract_stack stacks[] = {
    {.name = "memory", .listen = "/memory/x", .connect = "/memory/x"},
    {.name = "memory of one byte",
     .listen = "/memory/x,quota=1",
     .connect = "/memory/x,quota=1",
     .small = true},
    {.name = "memory in small pieces",
     .listen = "/memory/x,chunk=3",
     .connect = "/memory/x,chunk=3",
     .small = true},
    {.name = "limit",
     .listen = "/memory/x/limit,rate=1G",
     .connect = "/memory/x/limit,rate=100M,burst=100"},
    {.name = "idle", .listen = "/memory/x/idle", .connect = "/memory/x/idle,timeout=1m"},
    {.name = "record",
     .listen = "/memory/x/record,file=%2Fdev%2Fnull",
     .connect = "/memory/x/record,file=%2Fdev%2Fnull,format=pcapng"},
    {0},
};

int main(void) { return contract_run("contract: memory", stacks); }
