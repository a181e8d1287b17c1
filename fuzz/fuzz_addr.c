/* Goal: whatever parses as an address prints as text that parses to the same address. */
#include "addr.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct stk_addr *addr)
{
    char text[STK_ADDR_TEXT_MAX];
    struct stk_addr again;

    stk_addr_format(addr, text);
    if (strlen(text) >= sizeof(text) || stk_addr_parse(&again, text) != 0 ||
        !stk_addr_equal(addr, &again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stk_addr addr;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (stk_addr_parse(&addr, text) == 0)
        check_round_trip(&addr);
    free(text);
    return 0;
}
