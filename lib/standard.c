/* The layers that every program has: the one place that knows all rooms. */
#include "transports.h"

const struct stk_layer_type *const stk_standard_layers[] = {
    &stk_layer_ip4,  &stk_layer_ip6,    &stk_layer_dns, &stk_layer_dns4,
    &stk_layer_dns6, &stk_layer_memory, &stk_layer_udp, NULL,
};
