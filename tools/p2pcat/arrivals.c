#include "arrivals.h"

#include "talk.h"

#include <string.h>

static void on_opened(struct stk_conn *conn)
{
    struct arrivals *arrivals = stk_conn_user(conn);

    if (arrivals->closed)
        stk_conn_abort(conn);
    else
        arrivals->arrived(arrivals, conn);
}

static void on_closed(struct stk_conn *conn, const struct stk_error *error)
{
    const struct arrivals *arrivals = stk_conn_user(conn);

    if (error != NULL && !arrivals->closed)
        talk_verbose("a connection failed before it was open: %s: %s", error->layer, error->text);
}

static const struct stk_protocol arriving = {.opened = on_opened, .closed = on_closed};

static void on_failed(struct stk_listener *listener, const struct stk_error *error)
{
    (void)listener;
    talk_error("the listener failed: %s: %s", error->layer, error->text);
}

void arrivals_init(struct arrivals *arrivals,
                   void (*arrived)(struct arrivals *arrivals, struct stk_conn *conn), void *user)
{
    memset(arrivals, 0, sizeof *arrivals);
    arrivals->arrived = arrived;
    arrivals->user = user;
}

int arrivals_listen(struct arrivals *arrivals, struct stk_loop *loop, const char *address,
                    struct stk_error *error)
{
    const int status = stk_listen(loop, address, &arriving, arrivals, &arrivals->listener, error);

    if (status == 0)
        stk_listener_on_failed(arrivals->listener, on_failed);
    return status;
}

void arrivals_announce(const struct arrivals *arrivals, const char *address)
{
    struct stk_addr addr;
    char text[STK_ADDR_TEXT_MAX];

    if (stk_listener_addr(arrivals->listener, &addr) == 0)
        talk_info("listening on %s (%s)", stk_addr_format(&addr, text), address);
    else
        talk_info("listening on %s", address);
}

void arrivals_close(struct arrivals *arrivals)
{
    if (arrivals->closed || arrivals->listener == NULL)
        return;
    arrivals->closed = true;
    stk_listener_close(arrivals->listener);
    arrivals->listener = NULL;
}
