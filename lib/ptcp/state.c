#include "state.h"

#include "packet.h"

#include <assert.h>

#define BIT(name)    (1u << PTCP_STATE_##name)
#define PACKET(name) (1u << (PTCP_##name - PTCP_SYN))

static const struct {
    const char *name;
    unsigned next;    /* states that may follow */
    unsigned packets; /* types that are looked at */
} states[PTCP_STATE_COUNT] = {
    [PTCP_STATE_CLOSED] = {"CLOSED", 0, 0},
    [PTCP_STATE_SYN_SENT] = {"SYN_SENT", BIT(SYN_RECEIVED) | BIT(ESTABLISHED) | BIT(CLOSED),
                             PACKET(SYN) | PACKET(SYN_ACK) | PACKET(RETRY) | PACKET(REFUSE)},
    [PTCP_STATE_SYN_RECEIVED] = {"SYN_RECEIVED", BIT(ESTABLISHED) | BIT(CLOSED),
                                 PACKET(SYN) | PACKET(SYN_ACK) | PACKET(DATA)},
    [PTCP_STATE_ESTABLISHED] = {"ESTABLISHED", BIT(FIN_WAIT_1) | BIT(CLOSE_WAIT) | BIT(CLOSED),
                                PACKET(SYN) | PACKET(SYN_ACK) | PACKET(DATA)},
    [PTCP_STATE_FIN_WAIT_1] = {"FIN_WAIT_1", BIT(FIN_WAIT_2) | BIT(CLOSING) | BIT(CLOSED),
                               PACKET(SYN) | PACKET(SYN_ACK) | PACKET(DATA)},
    [PTCP_STATE_FIN_WAIT_2] = {"FIN_WAIT_2", BIT(TIME_WAIT) | BIT(CLOSED),
                               PACKET(SYN_ACK) | PACKET(DATA)},
    [PTCP_STATE_CLOSE_WAIT] = {"CLOSE_WAIT", BIT(LAST_ACK) | BIT(CLOSED),
                               PACKET(SYN) | PACKET(SYN_ACK) | PACKET(DATA)},
    [PTCP_STATE_CLOSING] = {"CLOSING", BIT(TIME_WAIT) | BIT(CLOSED),
                            PACKET(SYN_ACK) | PACKET(DATA)},
    [PTCP_STATE_LAST_ACK] = {"LAST_ACK", BIT(TIME_WAIT) | BIT(CLOSED),
                             PACKET(SYN) | PACKET(SYN_ACK) | PACKET(DATA)},
    [PTCP_STATE_TIME_WAIT] = {"TIME_WAIT", BIT(CLOSED), PACKET(SYN_ACK) | PACKET(DATA)},
};

static const uint8_t after[PTCP_STATE_COUNT][PTCP_EVENT_COUNT] = {
#define ROW(state, finish, fin, acked)                                                             \
    [PTCP_STATE_##state] = {PTCP_STATE_##finish, PTCP_STATE_##fin, PTCP_STATE_##acked}
    /*  state         FINISH        FIN           FIN_ACKED */
    ROW(CLOSED, CLOSED, CLOSED, CLOSED),
    ROW(SYN_SENT, SYN_SENT, SYN_SENT, SYN_SENT),
    ROW(SYN_RECEIVED, SYN_RECEIVED, SYN_RECEIVED, SYN_RECEIVED),
    ROW(ESTABLISHED, FIN_WAIT_1, CLOSE_WAIT, ESTABLISHED),
    ROW(FIN_WAIT_1, FIN_WAIT_1, CLOSING, FIN_WAIT_2),
    ROW(FIN_WAIT_2, FIN_WAIT_2, TIME_WAIT, FIN_WAIT_2),
    ROW(CLOSE_WAIT, LAST_ACK, CLOSE_WAIT, CLOSE_WAIT),
    ROW(CLOSING, CLOSING, CLOSING, TIME_WAIT),
    ROW(LAST_ACK, LAST_ACK, LAST_ACK, TIME_WAIT),
    ROW(TIME_WAIT, TIME_WAIT, TIME_WAIT, TIME_WAIT),
#undef ROW
};

const char *ptcp_state_name(enum ptcp_state state)
{
    assert(state < PTCP_STATE_COUNT);
    return states[state].name;
}

bool ptcp_state_may_move(enum ptcp_state from, enum ptcp_state to)
{
    assert(from < PTCP_STATE_COUNT && to < PTCP_STATE_COUNT);
    return states[from].next >> to & 1;
}

enum ptcp_state ptcp_state_after(enum ptcp_state state, enum ptcp_state_event event)
{
    assert(state < PTCP_STATE_COUNT && event < PTCP_EVENT_COUNT);
    return after[state][event];
}

bool ptcp_state_takes(enum ptcp_state state, uint8_t packet_type)
{
    assert(state < PTCP_STATE_COUNT);
    if (packet_type < PTCP_SYN || packet_type > PTCP_DATA)
        return false;
    return states[state].packets >> (packet_type - PTCP_SYN) & 1;
}

bool ptcp_state_is_opening(enum ptcp_state state)
{
    return state == PTCP_STATE_SYN_SENT || state == PTCP_STATE_SYN_RECEIVED;
}

bool ptcp_state_is_open(enum ptcp_state state)
{
    return state >= PTCP_STATE_ESTABLISHED && state < PTCP_STATE_COUNT;
}
