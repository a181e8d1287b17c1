#include "unix_socket.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int stack_unix_check_path(const char *value, struct stk_error *error)
{
    struct stk_addr addr;

    if (stk_addr_unix(&addr, value) < 0)
        return stk_error_set(error, STK_ESYNTAX, "", "a socket's path has 107 bytes at most");
    return 0;
}

int stack_unix_mode(const struct stk_segment *segment, struct stk_error *error)
{
    const char *const text = stk_segment_text(segment, "mode", NULL);
    char *end;

    if (!text)
        return -1;
    const unsigned long mode = strtoul(text, &end, 8);
    if (*text < '0' || *text > '7' || *end || mode > 0777)
        return stk_error_set(error, STK_ESYNTAX, segment->type->name,
                             "mode=%s is not an octal file mode: write 660", text);
    return (int)mode;
}

const char *stack_unix_strerror(int code)
{
    switch (-code) {
    case ENOENT:
        return "there is no such socket: the server is not running";
    case ECONNREFUSED:
        return "connection refused: nobody listens there any more";
    case ENOTSOCK:
        return "this is not a socket";
    case EPROTOTYPE:
        return "this socket is of the other kind (stream or datagram)";
    case EACCES:
        return "permission denied";
    case EEXIST:
        return "something stands there that is no socket";
    case EADDRINUSE:
        return "a living server uses this path";
    default:
        return strerror(-code);
    }
}

static bool is_file(const struct stk_addr *addr)
{
    return addr->len > offsetof(struct sockaddr_un, sun_path) && addr->un.sun_path[0] != '\0';
}

static bool is_other_file(const struct stk_addr *addr)
{
    struct stat st;

    return lstat(addr->un.sun_path, &st) == 0 && !S_ISSOCK(st.st_mode);
}

/* True where a socket file stands that nobody answers at. */
static bool is_stale(const struct stk_addr *addr, int type)
{
    bool stale = false;
    const int fd = stk_sys.socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    stale = stk_sys.connect(fd, &addr->any, addr->len) < 0 && errno == ECONNREFUSED;
    stk_sys.close(fd);
    return stale;
}

static int bind_path(int fd, const struct stk_addr *addr, int type)
{
    if (stk_sys.bind(fd, &addr->any, addr->len) == 0)
        return 0;
    if (errno != EADDRINUSE || !is_file(addr))
        return -errno;
    if (is_other_file(addr))
        return -EEXIST;
    if (!is_stale(addr, type) || unlink(addr->un.sun_path) < 0)
        return -EADDRINUSE;
    return stk_sys.bind(fd, &addr->any, addr->len) < 0 ? -errno : 0;
}

static void remember(struct stack_unix_path *path, const struct stk_addr *addr)
{
    struct stat st;

    path->addr.len = 0;
    if (!is_file(addr) || lstat(addr->un.sun_path, &st) < 0)
        return;
    path->addr = *addr;
    path->device = st.st_dev;
    path->inode = st.st_ino;
}

void stack_unix_unlink(struct stack_unix_path *path)
{
    struct stat st;

    if (path->addr.len && lstat(path->addr.un.sun_path, &st) == 0 && st.st_dev == path->device &&
        st.st_ino == path->inode)
        unlink(path->addr.un.sun_path);
    path->addr.len = 0;
}

int stack_unix_bind(const struct stk_segment *segment, int type, struct stack_unix_path *path,
                    struct stk_error *error)
{
    const char *const name = segment->type->name;
    const int mode = stack_unix_mode(segment, error);
    struct stk_addr addr;

    if (mode < -1)
        return mode;
    const int fd = stk_sys.socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return stk_error_set(error, -errno, name, "can't make a socket: %s", strerror(errno));
    stk_addr_unix(&addr, segment->value);
    /* Linux gives the file the socket's mode, less the umask: it is never open too far. */
    if (mode >= 0)
        (void)fchmod(fd, (mode_t)mode);
    int code = bind_path(fd, &addr, type);
    if (code == 0 && mode >= 0 && is_file(&addr) && chmod(segment->value, (mode_t)mode) < 0)
        code = -errno;
    if (code < 0) {
        stk_sys.close(fd);
        return stk_error_set(error, code, name, "can't bind %s: %s", segment->value,
                             stack_unix_strerror(code));
    }
    remember(path, &addr);
    return fd;
}
