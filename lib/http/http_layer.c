#include "http.h"

static const struct stk_option_type options[] = {
    {"host", STK_OPTION_TEXT, 0, 0, "value of the Host field; the name that is connected to"},
    {NULL, STK_OPTION_TEXT, 0, 0, NULL},
};

const struct stk_layer_type stk_layer_http = {
    .name = "http",
    .summary = "names a resource that is fetched over the stream below",
    .below = STK_STREAM,
    .above = STK_NOTHING,
    .value = STK_VALUE_REST,
    .value_name = "PATH",
    .options = options,
};
