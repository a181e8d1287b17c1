/* Tickets: no text crashes the parser, and what it takes is printed and read the same again. */
#include "ticket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ticket ticket, again;
    struct stk_error error = {0};
    char text[TICKET_TEXT_MAX];
    char *input = malloc(size + 1);

    if (input == NULL)
        return 0;
    memcpy(input, data, size);
    input[size] = '\0';
    if (ticket_parse(&ticket, input, &error) < 0) {
        assert(error.code == STK_ESYNTAX && error.text[0] != '\0');
    } else {
        assert(ticket_parse(&again, ticket_format(&ticket, text), &error) == 0);
        assert(again.count == ticket.count);
        assert(memcmp(again.key, ticket.key, sizeof again.key) == 0);
    }
    free(input);
    return 0;
}
