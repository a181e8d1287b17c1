/* HTTP requests: no input breaks the reader, and none is read differently when it comes in pieces.
 */
#include "http_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    split_check(data, size, false);
    return 0;
}
