/*
 * Goal: a child process keeps the layer contract.
 * Method: the contract suite with children that echo: cat, and this program.
 */
#include "contract.h"

int main(int argc, char **argv)
{
    const int code = contract_echo(argc, argv);
    const char *child = contract_echo_process("/stdio");
    const struct contract_stack stacks[] = {
        {.name = "process cat", .connect = "/process/cat", .echo = true, .slow = true},
        {.name = "process that echoes", .connect = child, .echo = true, .slow = true},
        {0},
    };

    if (code >= 0)
        return code;
    return contract_run("contract: process", stacks);
}
