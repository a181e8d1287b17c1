#include "udp.h"

#include <assert.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <string.h>

/* --- Receive buffers ------------------------------------------------------------------------- */

struct stack_udp_arena {
    struct mmsghdr messages[STACK_UDP_BATCH];
    struct iovec iov[STACK_UDP_BATCH];
    struct sockaddr_in6 names[STACK_UDP_BATCH]; /* takes IPv4's as well */
    alignas(struct cmsghdr) char control[STACK_UDP_BATCH][STACK_UDP_CONTROL_BYTES];
    uint8_t buffers[STACK_UDP_BATCH][STACK_UDP_BUFFER_BYTES];
};

static const char arena_key;

int stack_udp_arena_of(struct stk_loop *loop, struct stack_udp_arena **out)
{
    struct stack_udp_arena *arena = stk_loop_data(loop, &arena_key);

    if (!arena) {
        arena = stk_alloc(sizeof *arena);
        const int code = arena ? stk_loop_set_data(loop, &arena_key, arena, stk_free) : -ENOMEM;
        if (code < 0) {
            stk_free(arena);
            return code;
        }
    }
    *out = arena;
    return 0;
}

static void arena_reset(struct stack_udp_arena *arena, int count)
{
    for (int i = 0; i < count; i++) {
        arena->iov[i] = (struct iovec){arena->buffers[i], STACK_UDP_BUFFER_BYTES};
        arena->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &arena->names[i],
            .msg_namelen = sizeof arena->names[i],
            .msg_iov = &arena->iov[i],
            .msg_iovlen = 1,
            .msg_control = arena->control[i],
            .msg_controllen = sizeof arena->control[i],
        };
    }
}

/* --- What came with a message ---------------------------------------------------------------- */

struct arrival {
    struct stk_addr peer, local;
    uint8_t ecn;
    uint16_t segment; /* bytes of each datagram in a coalesced message; 0: it is one datagram */
};

static void read_local4(struct arrival *arrival, const struct cmsghdr *control)
{
    const struct sockaddr_in in = {.sin_family = AF_INET};
    struct in_pktinfo info;

    memcpy(&info, CMSG_DATA(control), sizeof info);
    stk_addr_from_sockaddr(&arrival->local, (const struct sockaddr *)&in, sizeof in);
    arrival->local.in.sin_addr = info.ipi_addr;
}

static void read_local6(struct arrival *arrival, const struct cmsghdr *control)
{
    const struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct in6_pktinfo info;

    memcpy(&info, CMSG_DATA(control), sizeof info);
    stk_addr_from_sockaddr(&arrival->local, (const struct sockaddr *)&in6, sizeof in6);
    arrival->local.in6.sin6_addr = info.ipi6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
        arrival->local.in6.sin6_scope_id = (uint32_t)info.ipi6_ifindex;
    stk_addr_unmap(&arrival->local);
}

static int read_int(const struct cmsghdr *control)
{
    int value = 0;
    uint8_t byte;

    /* IP_TOS comes as one byte, the others as an int. */
    if (control->cmsg_len >= CMSG_LEN(sizeof value)) {
        memcpy(&value, CMSG_DATA(control), sizeof value);
        return value;
    }
    memcpy(&byte, CMSG_DATA(control), sizeof byte);
    return byte;
}

static void read_control(struct arrival *arrival, const struct cmsghdr *control)
{
    const int level = control->cmsg_level, type = control->cmsg_type;

    if (level == IPPROTO_IP && type == IP_PKTINFO)
        read_local4(arrival, control);
    else if (level == IPPROTO_IPV6 && type == IPV6_PKTINFO)
        read_local6(arrival, control);
    else if (level == IPPROTO_IP && type == IP_TOS)
        arrival->ecn = (uint8_t)(read_int(control) & 3);
    else if (level == IPPROTO_IPV6 && type == IPV6_TCLASS)
        arrival->ecn = (uint8_t)(read_int(control) & 3);
    else if (level == SOL_UDP && type == UDP_GRO)
        arrival->segment = (uint16_t)read_int(control);
}

static void read_arrival(struct arrival *arrival, struct msghdr *message)
{
    *arrival = (struct arrival){.ecn = STK_ECN_NOT};
    stk_addr_from_sockaddr(&arrival->peer, message->msg_name, message->msg_namelen);
    stk_addr_unmap(&arrival->peer);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        read_control(arrival, c);
}

/* --- Runs ------------------------------------------------------------------------------------ */

enum { RUNS_MAX = 2 * STACK_UDP_BATCH };

struct intake {
    struct stack_udp *udp;
    struct stk_run runs[RUNS_MAX];
    int count;
};

static void deliver(struct intake *intake)
{
    if (intake->count > 0)
        stk_dgram_input_above(&intake->udp->layer, intake->runs, intake->count);
    intake->count = 0;
}

/* Where the kernel did not say at which address a datagram came, there is none. */
static bool same_local(const struct stk_addr *local, const struct stk_addr *other)
{
    if (!local)
        return other->len == 0;
    return local->len == other->len && stk_addr_equal(local, other);
}

/* A lone datagram joins the run before it if it continues it: same way, same size. */
static bool joins(const struct intake *intake, const struct arrival *arrival, const uint8_t *data,
                  size_t len)
{
    if (intake->count == 0)
        return false;
    const struct stk_run *run = &intake->runs[intake->count - 1];
    return run->stride == STACK_UDP_BUFFER_BYTES && run->count < STK_RUN_COUNT_MAX &&
           data == run->data + (size_t)run->count * run->stride && run->last_size == run->size &&
           len <= run->size && stk_run_bytes(run) + len <= STK_RUN_BYTES_MAX &&
           run->ecn == arrival->ecn && stk_addr_equal(run->peer, &arrival->peer) &&
           same_local(run->local, &arrival->local);
}

static void add_run(struct intake *intake, const struct arrival *arrival, uint8_t *data, size_t len,
                    size_t size)
{
    const size_t count = (len + size - 1) / size;

    assert(count >= 1 && count <= STK_RUN_COUNT_MAX);
    if (intake->count == RUNS_MAX)
        deliver(intake);
    intake->runs[intake->count++] = (struct stk_run){
        .data = data,
        .stride = count == 1 ? STACK_UDP_BUFFER_BYTES : (uint32_t)size,
        .size = (uint16_t)size,
        .last_size = (uint16_t)(len - (count - 1) * size),
        .count = (uint16_t)count,
        .ecn = arrival->ecn,
        .peer = &arrival->peer,
        .local = arrival->local.len ? &arrival->local : NULL,
        .time_us = stk_loop_now_us(stk_dgram_loop(&intake->udp->layer)),
    };
}

static void note_received(struct stk_udp_stats *stats, size_t len, size_t size)
{
    stats->datagrams_received += (len + size - 1) / size;
    stats->bytes_received += len;
    stats->coalesced += size < len;
}

static void add_message(struct intake *intake, const struct arrival *arrival, uint8_t *data,
                        size_t len)
{
    const size_t size = arrival->segment && arrival->segment < len ? arrival->segment : len;
    const size_t most = size * STK_RUN_COUNT_MAX;

    note_received(&intake->udp->stats, len, size);
    if (size == len && joins(intake, arrival, data, len)) {
        struct stk_run *run = &intake->runs[intake->count - 1];
        run->count++;
        run->last_size = (uint16_t)len;
        return;
    }
    for (; len > most; data += most, len -= most)
        add_run(intake, arrival, data, most, size);
    add_run(intake, arrival, data, len, size);
}

/* Returns the bytes of the batch. */
static size_t take_batch(struct stack_udp *udp, int count)
{
    struct stack_udp_arena *arena = udp->arena;
    struct arrival arrivals[STACK_UDP_BATCH];
    struct intake intake = {.udp = udp};
    size_t total = 0;

    for (int i = 0; i < count; i++) {
        const size_t len = arena->messages[i].msg_len;
        struct msghdr *message = &arena->messages[i].msg_hdr;

        total += len;
        /* Empty datagrams carry nothing, and a cut one is not what was sent. */
        if (len == 0 || len > UINT16_MAX || (message->msg_flags & MSG_TRUNC)) {
            udp->stats.malformed++;
            continue;
        }
        read_arrival(&arrivals[i], message);
        add_message(&intake, &arrivals[i], arena->buffers[i], len);
    }
    deliver(&intake);
    return total;
}

/*
 * Returns how many messages came, or a negated errno. Few large messages come at a time: their
 * bytes are copied or opened next, and by then have to be in the processor's cache still.
 */
static int receive(struct stack_udp *udp, int fd, int most)
{
    arena_reset(udp->arena, most);
    const int count =
        stk_sys.recvmmsg(fd, udp->arena->messages, (unsigned)most, MSG_DONTWAIT, NULL);
    return count < 0 ? -errno : count;
}

static enum stack_udp_left receive_failed(struct stack_udp *udp, int fd, int code)
{
    /* The error queue tells of ICMP with the peer's address; the bare errno does not. */
    if (code == STK_AGAIN || stack_udp_is_unreachable(-code) || code == -EMSGSIZE) {
        stack_udp_drain_errors(udp, fd);
        return STACK_UDP_NOTHING;
    }
    if (code == -EINTR || code == -ENOMEM || code == -ENOBUFS)
        return STACK_UDP_NOTHING;
    stack_udp_rest_free(udp);
    stk_watch_set(&udp->watch, 0);
    if (udp->apart_fd >= 0)
        stk_watch_set(&udp->apart_watch, 0);
    stk_dgram_fail(&udp->layer, code, "can't receive: %s", stk_strerror(code));
    return STACK_UDP_FAILED;
}

static enum stack_udp_left read_turn(struct stack_udp *udp, size_t *total)
{
    for (int round = 0; round < STACK_UDP_ROUNDS && *total < STACK_UDP_TURN_BYTES; round++) {
        const int most = udp->large ? STACK_UDP_LARGE_BATCH : STACK_UDP_BATCH;
        const int count = receive(udp, udp->fd, most);
        if (count < 0) {
            const enum stack_udp_left left = receive_failed(udp, udp->fd, count);
            return left == STACK_UDP_NOTHING && *total > 0 ? STACK_UDP_EMPTIED : left;
        }
        const size_t bytes = take_batch(udp, count);
        udp->stats.receive_calls++;
        udp->large = bytes > (size_t)count * STACK_UDP_LARGE_BYTES;
        *total += bytes;
        if (count < most)
            return STACK_UDP_EMPTIED;
    }
    return STACK_UDP_MORE;
}

void stack_udp_readable(struct stack_udp *udp)
{
    size_t total = 0;
    const enum stack_udp_left left = read_turn(udp, &total);

    if (left != STACK_UDP_FAILED)
        stack_udp_after_read(udp, total, left);
}

/* What may wait: one batch a turn, so that the rest soon has its turn again. */
void stack_udp_readable_apart(struct stack_udp *udp)
{
    const int count = receive(udp, udp->apart_fd, STACK_UDP_BATCH);

    if (count < 0) {
        receive_failed(udp, udp->apart_fd, count);
        return;
    }
    take_batch(udp, count);
    udp->stats.receive_calls++;
}
