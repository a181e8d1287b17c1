/* All of libstack, for programs that want one include. */
#ifndef STK_LIBSTACK_H
#define STK_LIBSTACK_H

#include "base.h"
#include "deferred.h"
#include "http.h"
#include "ptcp.h"
#include "reactor.h"
#include "resolver.h"
#include "seal.h"
#include "sim.h"
#include "stack.h"
#include "tls.h"
#include "transports.h"
#include "wrappers.h"

#endif
