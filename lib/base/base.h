/* All of the base room: what every other room leans on. */
#ifndef STK_BASE_BASE_H
#define STK_BASE_BASE_H

#include "addr.h"
#include "alloc.h"
#include "bytes.h"
#include "error.h"
#include "fetch.h"
#include "fifo.h"
#include "iov.h"
#include "list.h"
#include "log.h"
#include "prng.h"
#include "sys.h"

#endif
