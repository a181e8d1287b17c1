#include "udp.h"

#include <assert.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <string.h>

enum {
    MESSAGES_MAX = 64,
    SLICES_MAX = 256,
    CONTROL_BYTES = 96,
    ATTEMPTS_MAX = 4,
};

/* --- One message ------------------------------------------------------------------------------ */

struct envelope {
    struct sockaddr_in6 name; /* takes IPv4's as well */
    alignas(struct cmsghdr) char control[CONTROL_BYTES];
};

static bool is_ipv4(const struct stk_addr *addr) { return addr->any.sa_family == AF_INET; }

static void map_address(struct sockaddr_in6 *mapped, const struct stk_addr *addr)
{
    *mapped = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = addr->in.sin_port};
    mapped->sin6_addr.s6_addr[10] = mapped->sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped->sin6_addr.s6_addr + 12, &addr->in.sin_addr, 4);
}

/* -EAFNOSUPPORT where this socket can't reach such an address. */
static int address_message(const struct stack_udp *udp, struct msghdr *message,
                           struct envelope *envelope, const struct stk_addr *peer)
{
    message->msg_name = &envelope->name;
    if (udp->family == AF_INET6 && is_ipv4(peer)) {
        map_address(&envelope->name, peer);
        message->msg_namelen = sizeof envelope->name;
        return 0;
    }
    if (peer->any.sa_family != udp->family)
        return -EAFNOSUPPORT;
    memcpy(&envelope->name, &peer->any, peer->len);
    message->msg_namelen = peer->len;
    return 0;
}

static void add_control(struct msghdr *message, int level, int type, const void *data, size_t len)
{
    char *const end = (char *)message->msg_control + message->msg_controllen;
    struct cmsghdr *control = (struct cmsghdr *)(void *)end;

    assert(message->msg_controllen + CMSG_SPACE(len) <= CONTROL_BYTES);
    memset(end, 0, CMSG_SPACE(len));
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(control), data, len);
    message->msg_controllen += CMSG_SPACE(len);
}

static void add_local(struct msghdr *message, const struct stk_addr *local)
{
    if (is_ipv4(local)) {
        const struct in_pktinfo info = {.ipi_spec_dst = local->in.sin_addr};
        add_control(message, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else {
        const struct in6_pktinfo info = {.ipi6_addr = local->in6.sin6_addr,
                                         .ipi6_ifindex = local->in6.sin6_scope_id};
        add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

static void add_ecn(struct msghdr *message, const struct stk_addr *peer, int ecn)
{
    if (is_ipv4(peer))
        add_control(message, IPPROTO_IP, IP_TOS, &ecn, sizeof ecn);
    else
        add_control(message, IPPROTO_IPV6, IPV6_TCLASS, &ecn, sizeof ecn);
}

static const struct stk_addr *peer_of(const struct stack_udp *udp, const struct stk_run *run)
{
    if (run->peer && run->peer->len)
        return run->peer;
    return udp->peer.len ? &udp->peer : NULL;
}

/* Everything but the bytes. `segment`: the kernel cuts the message into datagrams of that size. */
static int fill_message(const struct stack_udp *udp, struct msghdr *message,
                        struct envelope *envelope, const struct stk_run *run, bool with_local,
                        uint16_t segment)
{
    const struct stk_addr *peer = peer_of(udp, run);

    *message = (struct msghdr){.msg_control = envelope->control};
    if (!peer)
        return -EDESTADDRREQ;
    if (address_message(udp, message, envelope, peer) < 0)
        return -EAFNOSUPPORT;
    if (with_local && run->local && run->local->any.sa_family == peer->any.sa_family &&
        !stk_addr_is_any(run->local))
        add_local(message, run->local);
    if (run->ecn != STK_ECN_NOT)
        add_ecn(message, peer, run->ecn);
    if (segment)
        add_control(message, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
    return 0;
}

/* --- The slow path: one datagram at a time, every error looked at -------------------------------
 */

/*
 * A socket that is not connected is refused by ICMP only, which may be about what went to somebody
 * else before: the error queue says about whom.
 */
static void note_unreachable(struct stack_udp *udp, const struct stk_run *run, int error)
{
    const struct stk_addr *peer = peer_of(udp, run);

    if (peer && error == EMSGSIZE)
        udp->too_big_peer = *peer;
    if (peer && error != ECONNREFUSED && stack_udp_is_unreachable(error))
        stack_udp_report(udp, peer, error);
}

enum fate { SENT, SENT_FROM_ELSEWHERE, DROPPED, BLOCKED };

/*
 * A local address that went away must not hold the datagram back: another one may do. Linux calls
 * that a network that can't be reached, or an argument that is wrong, as its version has it; the
 * former may also be an old ICMP's error that the socket kept for the next call.
 */
static bool may_be_for_local(int error, int attempt)
{
    return error == EINVAL || error == EADDRNOTAVAIL || (error == ENETUNREACH && attempt > 0);
}

static enum fate send_one(struct stack_udp *udp, const struct stk_run *run, unsigned i)
{
    struct iovec iov = {stk_run_at(run, i), stk_run_size(run, i)};
    struct envelope envelope;
    struct msghdr message;
    bool with_local = true;
    int error = 0;

    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (fill_message(udp, &message, &envelope, run, with_local, 0) < 0)
            return DROPPED;
        message.msg_iov = &iov;
        message.msg_iovlen = 1;
        if (stk_sys.sendmsg(udp->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return with_local ? SENT : SENT_FROM_ELSEWHERE;
        error = errno;
        if (error == EAGAIN)
            return BLOCKED;
        if (error == EINTR)
            continue;
        if (with_local && run->local && may_be_for_local(error, attempt))
            with_local = false;
        /* The first such error may be an old ICMP's that the socket kept for the next call. */
        else if (!stack_udp_is_unreachable(error) || attempt > 0)
            break;
    }
    note_unreachable(udp, run, error);
    return DROPPED;
}

static void note_fate(struct stack_udp *udp, enum fate fate, size_t size)
{
    if (fate == DROPPED) {
        udp->stats.unsent++;
        return;
    }
    udp->stats.send_calls++;
    udp->stats.datagrams_sent++;
    udp->stats.bytes_sent += size;
}

static void spill(struct stack_udp *udp, const struct stk_run *run, unsigned first)
{
    const struct stk_addr *peer = peer_of(udp, run);
    const unsigned count = run->count - first;
    struct stack_udp_spill *spilled = stk_alloc(sizeof *spilled + (size_t)count * run->size);

    assert(!udp->spill && count > 0);
    if (!spilled || !peer) {
        stk_free(spilled); /* datagrams may be lost, memory may not */
        return;
    }
    spilled->next = 0;
    spilled->peer = *peer;
    spilled->run = *run;
    spilled->run.data = spilled->data;
    spilled->run.stride = run->size;
    spilled->run.count = (uint16_t)count;
    spilled->run.peer = &spilled->peer;
    if (run->local) {
        spilled->local = *run->local;
        spilled->run.local = &spilled->local;
    }
    for (unsigned i = 0; i < count; i++)
        memcpy(spilled->data + (size_t)i * run->size, stk_run_at(run, first + i),
               stk_run_size(run, first + i));
    udp->spill = spilled;
}

/* Returns how many of the datagrams from `first` on were dealt with; `*sent` how many went out. */
static unsigned send_singly(struct stack_udp *udp, const struct stk_run *run, unsigned first,
                            unsigned count, unsigned *sent)
{
    *sent = 0;
    for (unsigned i = 0; i < count; i++) {
        const enum fate fate = send_one(udp, run, first + i);
        if (fate == BLOCKED)
            return i;
        *sent += fate == SENT;
        note_fate(udp, fate, stk_run_size(run, first + i));
    }
    return count;
}

/* --- The fast path: many messages in one call ----------------------------------------------------
 */

struct piece {
    uint16_t run, first, count; /* which datagrams a message carries */
};

struct batch {
    struct mmsghdr messages[MESSAGES_MAX];
    struct envelope envelopes[MESSAGES_MAX];
    struct piece pieces[MESSAGES_MAX];
    struct iovec slices[SLICES_MAX];
    int message_count, slice_count;
};

static void add_slices(struct batch *batch, struct msghdr *message, const struct stk_run *run,
                       struct piece piece)
{
    message->msg_iov = &batch->slices[batch->slice_count];
    if (piece.count == run->count && run->stride == run->size) {
        batch->slices[batch->slice_count++] = (struct iovec){run->data, stk_run_bytes(run)};
        message->msg_iovlen = 1;
        return;
    }
    for (unsigned i = piece.first; i < (unsigned)piece.first + piece.count; i++)
        batch->slices[batch->slice_count++] =
            (struct iovec){stk_run_at(run, i), stk_run_size(run, i)};
    message->msg_iovlen = piece.count;
}

static void add_message(struct stack_udp *udp, struct batch *batch, const struct stk_run *run,
                        struct piece piece)
{
    const int n = batch->message_count;
    struct msghdr *message = &batch->messages[n].msg_hdr;

    /* Undeliverable runs are dropped here and count as taken. */
    if (fill_message(udp, message, &batch->envelopes[n], run, true,
                     piece.count > 1 ? run->size : 0) < 0) {
        udp->stats.unsent += piece.count;
        return;
    }
    add_slices(batch, message, run, piece);
    batch->pieces[n] = piece;
    batch->message_count++;
}

/* Fills the batch; returns how many runs are in it. */
static int fill_batch(struct stack_udp *udp, struct batch *batch, const struct stk_run *runs,
                      int count)
{
    int taken = 0;

    batch->message_count = batch->slice_count = 0;
    for (; taken < count; taken++) {
        const struct stk_run *run = &runs[taken];
        const bool whole = udp->gso && stk_run_bytes(run) <= STK_RUN_BYTES_MAX;
        const int messages = whole ? 1 : run->count;

        assert(run->count >= 1 && run->count <= STK_RUN_COUNT_MAX);
        assert(run->last_size <= run->size && run->size <= STK_DGRAM_MAX);
        if (batch->message_count + messages > MESSAGES_MAX ||
            batch->slice_count + run->count > SLICES_MAX)
            break;
        for (int i = 0; i < messages; i++)
            add_message(
                udp, batch, run,
                (struct piece){(uint16_t)taken, (uint16_t)i, whole ? run->count : (uint16_t)1});
    }
    return taken;
}

/* The socket is full at this piece. Returns how many runs count as taken. */
static int stop_at(struct stack_udp *udp, const struct stk_run *runs, struct piece piece)
{
    udp->stats.blocked++;
    udp->blocked = true;
    if (stack_udp_watch(udp) < 0) {
        /* Nobody would tell when there is room: lost, as datagrams may be. */
        udp->blocked = false;
        udp->stats.unsent += runs[piece.run].count - piece.first;
        return piece.run + 1;
    }
    if (piece.first == 0)
        return piece.run;
    spill(udp, &runs[piece.run], piece.first);
    return piece.run + 1;
}

/* One message failed with `error`. True if its datagrams are dealt with, else `piece` says from
 * where on they are not. */
static bool retry_singly(struct stack_udp *udp, const struct stk_run *run, struct piece *piece,
                         int error)
{
    unsigned sent;
    const unsigned done = send_singly(udp, run, piece->first, piece->count, &sent);

    /* Segments failed where datagrams pass: a device or a path that can't do it. */
    if (piece->count > 1 && sent == piece->count && (error == EIO || error == EINVAL)) {
        stk_log(STK_LOG_INFO, "stack", "udp: no segmentation offload here (%s)", strerror(error));
        udp->gso = false;
        udp->stats.fallbacks++;
    }
    if (done == piece->count)
        return true;
    piece->first = (uint16_t)(piece->first + done);
    return false;
}

/* The kernel took `count` messages of the batch from `at` on. */
static void note_sent(struct stack_udp *udp, const struct batch *batch, int at, int count)
{
    udp->stats.send_calls++;
    for (int i = at; i < at + count; i++) {
        udp->stats.datagrams_sent += batch->pieces[i].count;
        udp->stats.bytes_sent += batch->messages[i].msg_len;
        udp->stats.segmented += batch->pieces[i].count > 1;
    }
}

/* Returns how many runs of the batch count as taken. */
static int send_batch(struct stack_udp *udp, struct batch *batch, const struct stk_run *runs,
                      int taken)
{
    for (int at = 0; at < batch->message_count;) {
        const int n =
            stk_sys.sendmmsg(udp->fd, batch->messages + at, (unsigned)(batch->message_count - at),
                             MSG_DONTWAIT | MSG_NOSIGNAL);
        struct piece piece = batch->pieces[at];

        if (n > 0) {
            note_sent(udp, batch, at, n);
            at += n;
            continue;
        }
        const int error = errno;
        if (error == EAGAIN)
            return stop_at(udp, runs, piece);
        if (!retry_singly(udp, &runs[piece.run], &piece, error))
            return stop_at(udp, runs, piece);
        at++;
    }
    return taken;
}

int stack_udp_send(struct stk_dgram_layer *layer, struct stk_run *runs, int count)
{
    struct stack_udp *udp = STK_CONTAINER(layer, struct stack_udp, layer);
    struct batch batch;
    int taken = 0;

    if (udp->fd < 0)
        return count;
    while (taken < count && !udp->blocked) {
        const int filled = fill_batch(udp, &batch, runs + taken, count - taken);
        taken += send_batch(udp, &batch, runs + taken, filled);
    }
    return taken;
}

/* Returns false while the socket is still full. */
static bool flush_spill(struct stack_udp *udp)
{
    struct stack_udp_spill *spilled = udp->spill;
    unsigned sent;

    if (!spilled)
        return true;
    spilled->next +=
        send_singly(udp, &spilled->run, spilled->next, spilled->run.count - spilled->next, &sent);
    if (spilled->next < spilled->run.count)
        return false;
    udp->spill = NULL;
    stk_free(spilled);
    return true;
}

void stack_udp_writable(struct stack_udp *udp)
{
    if (!udp->blocked || !flush_spill(udp))
        return;
    udp->blocked = false;
    stack_udp_watch(udp);
    stk_dgram_writable_above(&udp->layer);
}
