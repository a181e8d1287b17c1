#include "seal.h"

#include "base.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The file: lines that start with '#' are for people, one line holds "secret " and the seed in
 * hexadecimal. It is written whole under a name of its own, then linked into place.
 */
enum { FILE_MAX = 1024, SEED_HEX = 64, PATH_BYTES = 4096 };

static const char marker[] = "secret ";

static int system_error(struct stk_error *error, const char *what, const char *path)
{
    const int code = errno;

    return stk_error_set(error, -code, "seal", "can't %s %s: %s", what, path, strerror(code));
}

static int check_mode(int fd, const char *path, struct stk_error *error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return system_error(error, "look at", path);
    if (!S_ISREG(st.st_mode))
        return stk_error_set(error, STK_ESYNTAX, "seal", "%s is not a file", path);
    if (st.st_mode & 077)
        return stk_error_set(
            error, -EACCES, "seal",
            "others can read the secret in %s (mode %03o): chmod 600 it, or make a "
            "new key if they may have",
            path, (unsigned)st.st_mode & 0777);
    return 0;
}

static int parse_seed(const char *text, uint8_t seed[32])
{
    const char *line = text;

    while (line && *line == '#') {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    if (!line || strncmp(line, marker, sizeof(marker) - 1) != 0)
        return -1;
    line += sizeof(marker) - 1;
    size_t len;
    const size_t digits = strspn(line, "0123456789abcdef");
    if (digits != SEED_HEX || (line[digits] != '\n' && line[digits] != '\0'))
        return -1;
    return sodium_hex2bin(seed, 32, line, SEED_HEX, NULL, &len, NULL) || len != 32 ? -1 : 0;
}

static int read_identity(int fd, const char *path, struct stk_key_pair *pair,
                         struct stk_error *error)
{
    char text[FILE_MAX + 1];
    uint8_t seed[32];
    int code = check_mode(fd, path, error);

    if (code)
        return code;
    const ssize_t len = read(fd, text, FILE_MAX);
    if (len < 0)
        return system_error(error, "read", path);
    text[len] = '\0';
    if (parse_seed(text, seed))
        code =
            stk_error_set(error, STK_ESYNTAX, "seal",
                          "%s is no identity file: it has no line \"secret\" with 64 hexadecimal "
                          "digits",
                          path);
    else
        stk_key_pair_from_seed(pair, seed);
    sodium_memzero(text, sizeof(text));
    sodium_memzero(seed, sizeof(seed));
    return code;
}

static int load(const char *path, struct stk_key_pair *pair, struct stk_error *error)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return system_error(error, "open", path);
    const int code = read_identity(fd, path, pair, error);
    close(fd);
    return code;
}

/* The directories above `path`, for their owner only where they are new. */
static void make_directories(const char *path)
{
    char part[PATH_BYTES];
    const size_t len = strlen(path);

    for (size_t i = 1; i < len && i < sizeof(part); i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        mkdir(part, 0700); /* what is wrong with it shows when the file is made */
    }
}

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd);
}

static int write_file(const char *path, const struct stk_key_pair *pair)
{
    char text[FILE_MAX], hex[SEED_HEX + 1], key[STK_KEY_TEXT_MAX];
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    sodium_bin2hex(hex, sizeof(hex), pair->seed, sizeof(pair->seed));
    const int len = snprintf(text, sizeof(text),
                             "# An identity of libstack: keep it secret. Its public key is\n# %s\n"
                             "%s%s\n",
                             stk_key_format(pair->public_key, key), marker, hex);
    int failed = write_all(fd, text, (size_t)len);
    const int code = errno;
    failed |= close(fd);
    sodium_memzero(text, sizeof(text));
    sodium_memzero(hex, sizeof(hex));
    errno = code;
    return failed ? -1 : 0;
}

/* 0 also when somebody else was faster: their file is the one to load then. */
static int create_identity(const char *path, struct stk_error *error)
{
    char temporary[PATH_BYTES];
    uint64_t random;
    struct stk_key_pair pair;
    int code = 0;

    stk_random_secret(&random, sizeof(random));
    const int len =
        snprintf(temporary, sizeof(temporary), "%s.%016llx", path, (unsigned long long)random);
    if (len < 0 || (size_t)len >= sizeof(temporary))
        return stk_error_set(error, -ENAMETOOLONG, "seal", "the identity's path is too long");
    make_directories(path);
    stk_key_pair_new(&pair);
    if (write_file(temporary, &pair) < 0)
        code = system_error(error, "write", temporary);
    else if (link(temporary, path) < 0 && errno != EEXIST)
        code = system_error(error, "make", path);
    unlink(temporary);
    stk_key_pair_wipe(&pair);
    return code;
}

int stk_identity_load(const char *path, bool create, struct stk_key_pair *pair,
                      struct stk_error *error)
{
    struct stk_error ignored;

    if (!error)
        error = &ignored;
    if (sodium_init() < 0)
        return stk_error_set(error, -EIO, "seal", "libsodium does not start");
    int code = load(path, pair, error);
    if (code != -ENOENT || !create)
        return code;
    code = create_identity(path, error);
    return code ? code : load(path, pair, error);
}
