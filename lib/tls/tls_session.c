#include "tls_session.h"

#include "tls.h"

#include <pthread.h>
#include <string.h>

struct entry {
    uint8_t key[TLS_SESSION_KEY_BYTES];
    SSL_SESSION *session; /* NULL: free */
    uint64_t sequence;    /* higher is newer */
};

static struct {
    pthread_mutex_t lock;
    struct entry list[STK_TLS_SESSIONS_MAX];
    uint64_t sequence;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool has_key(const struct entry *entry, const uint8_t *key)
{
    return entry->session != NULL && memcmp(entry->key, key, TLS_SESSION_KEY_BYTES) == 0;
}

static bool is_older(const struct entry *entry, const struct entry *other)
{
    return other == NULL || entry->sequence < other->sequence;
}

/* The place for a new session: where its key has enough, else a free one, else the oldest. */
static struct entry *place_for(const uint8_t *key)
{
    struct entry *oldest_of_key = NULL, *oldest = NULL;
    unsigned count = 0;

    for (struct entry *e = store.list; e < store.list + STK_TLS_SESSIONS_MAX; e++) {
        if (has_key(e, key)) {
            count++;
            if (is_older(e, oldest_of_key))
                oldest_of_key = e;
        }
        /* Free places have the sequence 0 and so are the oldest. */
        if (is_older(e, oldest))
            oldest = e;
    }
    return count >= TLS_SESSIONS_PER_KEY_MAX ? oldest_of_key : oldest;
}

static struct entry *newest_of(const uint8_t *key)
{
    struct entry *newest = NULL;

    for (struct entry *e = store.list; e < store.list + STK_TLS_SESSIONS_MAX; e++)
        if (has_key(e, key) && (newest == NULL || is_older(newest, e)))
            newest = e;
    return newest;
}

void tls_session_put(const uint8_t key[TLS_SESSION_KEY_BYTES], SSL_SESSION *session)
{
    pthread_mutex_lock(&store.lock);
    struct entry *place = place_for(key);
    SSL_SESSION *old = place->session;

    memcpy(place->key, key, TLS_SESSION_KEY_BYTES);
    place->session = session;
    place->sequence = ++store.sequence;
    pthread_mutex_unlock(&store.lock);
    SSL_SESSION_free(old);
}

SSL_SESSION *tls_session_take(const uint8_t key[TLS_SESSION_KEY_BYTES])
{
    SSL_SESSION *session = NULL;

    pthread_mutex_lock(&store.lock);
    struct entry *entry = newest_of(key);
    if (entry != NULL) {
        session = entry->session;
        *entry = (struct entry){0};
    }
    pthread_mutex_unlock(&store.lock);
    return session;
}

void stk_tls_forget_sessions(void)
{
    pthread_mutex_lock(&store.lock);
    for (struct entry *e = store.list; e < store.list + STK_TLS_SESSIONS_MAX; e++) {
        SSL_SESSION_free(e->session);
        *e = (struct entry){0};
    }
    pthread_mutex_unlock(&store.lock);
}
