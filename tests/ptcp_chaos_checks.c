/* What must hold at all times, when all is calm, and when all have left. */
#include "ptcp_books.h"
#include "ptcp_chaos.h"

void chaos_check_books(int side)
{
    const char *wrong = books_wrong(world.pair.end[side], world.records[side]);

    if (wrong)
        printf("\n    books of side %d: %s", side, wrong);
    CHECK(!wrong);
}

bool chaos_check_outcome(const struct chaos_user *user)
{
    const struct chaos_user *other = user->other;

    if (!user->serial || !user->conn || user->failed || user->lied_to || other->failed ||
        other->left)
        return false;
    if (!other->conn) { /* never got to its user, and failed with its association */
        CHECK(!world.calm || user->failed || !user->opener);
        return false;
    }
    CHECK(user->eof && user->read == other->written);
    CHECK(user->finished && user->written == user->wish);
    return true;
}

void chaos_check_nothing_is_left(int side)
{
    struct ptcp_endpoint *end = world.pair.end[side];

    chaos_check_books(side);
    CHECK(ptcp_connections(end) == 0);
    CHECK(ptcp_time_waits(end) == 0);
    CHECK(end->waiting == 0);
    CHECK(end->paths.count == 0);
}
