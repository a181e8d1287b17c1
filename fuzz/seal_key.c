/* Goal: whatever parses as a key prints as the same text but for capitals. */
#include "seal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), printed[STK_KEY_TEXT_MAX];
    struct stk_error error = {0};
    uint8_t key[STK_KEY_BYTES];

    if (!text || sodium_init() < 0)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    const int code = stk_key_parse(key, text, &error);
    if (code == 0 && strcasecmp(stk_key_format(key, printed), text) != 0)
        abort();
    if (code != 0 && error.text[0] == '\0')
        abort();
    free(text);
    return 0;
}
