/*
 * Watches that io_uring can't wait for. It answers every poll when the peer has ended its direction
 * (POLLRDHUP), whether that was asked for or not: one that waits for room only would be answered at
 * once, again and again. Such watches stand in an epoll set, and the ring polls that. Private.
 */
#ifndef STK_REACTOR_ASIDE_H
#define STK_REACTOR_ASIDE_H

#include "backend.h"

struct reactor_aside {
    int fd;         /* the set's; -1: none was needed yet */
    unsigned count; /* watches in it */
    bool armed;     /* the ring polls it */
};

void reactor_aside_init(struct reactor_aside *aside);
void reactor_aside_close(struct reactor_aside *aside);
/* 0, or an error: then it does not stand there. */
int reactor_aside_add(struct reactor_aside *aside, struct stk_watch *watch);
/* The events asked for are others now; without any it is taken out, which can't fail. */
int reactor_aside_change(struct reactor_aside *aside, struct stk_watch *watch);
/* Reports those that are ready. */
void reactor_aside_report(struct reactor_aside *aside, struct stk_loop *loop);

#endif
