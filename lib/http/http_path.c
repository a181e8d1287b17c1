#include "http_file.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

static int hex_digit(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10
                                        : -1;
}

static bool is_dots(const char *segment, size_t len)
{
    return (len == 1 && segment[0] == '.') || (len == 2 && segment[0] == '.' && segment[1] == '.');
}

/* Decoded already, so that %2e%2e is seen for what it is. */
static bool has_dots(const char *path)
{
    while (*path != '\0') {
        const size_t len = strcspn(path, "/");

        if (is_dots(path, len))
            return true;
        path += len + (path[len] == '/');
    }
    return false;
}

int http_path_decode(const char *target, char out[HTTP_PATH_MAX])
{
    const char *in = target + strspn(target, "/");
    const char *const end = target + strcspn(target, "?");
    size_t len = 0;

    if (target[0] != '/')
        return 400;
    for (; in < end; in++) {
        char c = *in;

        if (c == '%') {
            const int high = hex_digit(in[1]);
            const int low = high < 0 ? -1 : hex_digit(in[2]);

            if (low < 0)
                return 400;
            c = (char)(high << 4 | low);
            if (c == '\0')
                return 400;
            /* A slash that is written so belongs to a name, and no name has one. */
            if (c == '/')
                return 404;
            in += 2;
        }
        if (len + 1 >= HTTP_PATH_MAX)
            return 404;
        out[len++] = c;
    }
    out[len] = '\0';
    return has_dots(out) ? 404 : 0;
}

int http_path_walk(int root, const char *path)
{
    char name[NAME_MAX + 1];
    int at;

    if (has_dots(path))
        return -EXDEV;
    at = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    while (at >= 0 && *path != '\0') {
        const size_t len = strcspn(path, "/");
        const bool last = path[len] == '\0';

        if (len >= sizeof name) {
            stk_sys.close(at);
            return -ENAMETOOLONG;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        path += len + !last;
        if (len == 0)
            continue;
        const int next = openat(at, name,
                                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
                                    (last ? 0 : O_DIRECTORY));
        const int failure = errno;
        stk_sys.close(at);
        errno = failure;
        at = next;
    }
    return at >= 0 ? at : -errno;
}

int http_path_open(int root, const char *path)
{
    const struct open_how how = {
        .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    const int fd = (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);

    if (fd >= 0)
        return fd;
    return errno == ENOSYS || errno == EPERM ? http_path_walk(root, path) : -errno;
}
