/*
 * Goal: a child process keeps the layer contract.
 * Method: the contract suite with children that echo: cat, and this program.
 */
#include "contract.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    char recipe[700];
    const struct contract_stack stacks[] = {
        {.name = "process cat", .connect = "/process/cat", .echo = true, .slow = true},
        {.name = "process that echoes", .connect = recipe, .echo = true, .slow = true},
        {0},
    };
    const int code = contract_echo(argc, argv);

    if (code >= 0)
        return code;
    snprintf(recipe, sizeof recipe, "/process/%s --echo %%2Fstdio", contract_program());
    return contract_run("contract: process", stacks);
}
