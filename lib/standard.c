/* The layers that every program has: the one place that knows all rooms. */
#include "http.h"
#include "ptcp.h"
#include "seal.h"
#include "tls.h"
#include "transports.h"
#include "wrappers.h"

const struct stk_layer_type *const stk_standard_layers[] = {
    &stk_layer_ip4,
    &stk_layer_ip6,
    &stk_layer_dns,
    &stk_layer_dns4,
    &stk_layer_dns6,
    &stk_layer_memory,
    &stk_layer_tcp,
    &stk_layer_udp,
    &stk_layer_unix,
    &stk_layer_unix_dgram,
    &stk_layer_stdio,
    &stk_layer_fd,
    &stk_layer_fifo,
    &stk_layer_process,
    &stk_layer_limit,
    &stk_layer_idle,
    &stk_layer_record,
    &stk_layer_chaos,
    &stk_layer_seal,
    &stk_layer_ptcp,
    &stk_layer_tls,
    &stk_layer_http,
    NULL,
};
