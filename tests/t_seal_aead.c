/*
 * Goal: every cipher from every library gives the same bytes, the published ones, and opens nothing
 * that was changed. Method: test vectors (NIST's for GCM by way of McGrew and Viega, RFC 8439), all
 * libraries and libsodium against one another at all sizes of a datagram, and bits flipped.
 */
#include "aead.h"
#include "harness.h"
#include "key_cache.h"

#include <sodium.h>

enum {
    ROOM = 70000,
    HEADER = 16,
    LARGEST = STK_DGRAM_MAX - HEADER - SEAL_TAG,
};

static uint8_t packet[ROOM], other[ROOM], plain[ROOM];

/* --- What every case needs ------------------------------------------------------------------- */

static struct seal_key_cache cache;
static struct seal_key key;

static void *begin_key(const struct seal_aead *aead, const uint8_t bytes[SEAL_CIPHER_KEY])
{
    seal_key_cache_init(&cache, 2);
    key = (struct seal_key){0};
    seal_key_set(&key, aead, bytes);
    void *state = seal_key_use(&cache, &key, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(state);
    CU_ASSERT_EQUAL((uintptr_t)state % 64, 0);
    return state;
}

static void end_key(void)
{
    seal_key_wipe(&cache, &key);
    CU_ASSERT_EQUAL(seal_key_cache_count(&cache), 0);
}

/* One datagram with its header before it; as a packet, the run begins at the header. */
static struct stk_run datagram(uint8_t *at, unsigned header, size_t size)
{
    return (struct stk_run){
        .data = at + header, .size = (uint16_t)size, .last_size = (uint16_t)size, .count = 1};
}

static void seal_one(const struct seal_aead *aead, const uint8_t *bytes, uint8_t *at,
                     unsigned header, size_t size, uint64_t counter)
{
    const struct stk_run run = datagram(at, header, size);

    aead->seal_run(begin_key(aead, bytes), &run, header, counter);
    end_key();
}

static bool open_one(const struct seal_aead *aead, const uint8_t *bytes, uint8_t *at,
                     unsigned header, size_t size, uint64_t counter)
{
    const struct stk_run run = datagram(at, 0, header + size + SEAL_TAG);
    const uint64_t opened = aead->open_run(begin_key(aead, bytes), &run, header, &counter);

    end_key();
    return opened == 1;
}

static size_t from_hex(uint8_t *out, const char *hex)
{
    size_t len = 0;

    CU_ASSERT_EQUAL_FATAL(sodium_hex2bin(out, ROOM, hex, strlen(hex), " ", &len, NULL), 0);
    return len;
}

/* --- Published vectors -------------------------------------------------------------------------
 */

struct vector {
    unsigned bit;
    const char *key, *aad, *plain, *sealed; /* the last with the tag */
    uint64_t counter;
};

/*
 * The key of AES-128 is followed by the mask that is added to the nonce, so that with counter 0 it
 * is the vector's nonce. For AES-256 only vectors do whose nonce is zero.
 */
static const struct vector vectors[] = {
    {SEAL_AES_128_GCM, "feffe9928665731c6d6a8f9467308308 cafebabefacedbaddecaf888 00000000",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
     "5bc94fbc3221a5db94fae95ae7121a47",
     0},
    {SEAL_AES_128_GCM, "00000000000000000000000000000000 000000000000000000000000 00000000", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a", 0},
    {SEAL_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b", 0},
    {SEAL_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000", "",
     "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", 0},
    {SEAL_CHACHA20_POLY1305, "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
     "f33388860000000000004e91",
     "496e7465726e65742d4472616674732061726520647261667420646f63756d65"
     "6e74732076616c696420666f722061206d6178696d756d206f6620736978206d"
     "6f6e74687320616e64206d617920626520757064617465642c207265706c6163"
     "65642c206f72206f62736f6c65746564206279206f7468657220646f63756d65"
     "6e747320617420616e792074696d652e20497420697320696e617070726f7072"
     "6961746520746f2075736520496e7465726e65742d4472616674732061732072"
     "65666572656e6365206d6174657269616c206f7220746f206369746520746865"
     "6d206f74686572207468616e206173202fe2809c776f726b20696e2070726f67"
     "726573732e2fe2809d",
     "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
     "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
     "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
     "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
     "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
     "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
     "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
     "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
     "a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38",
     0x0807060504030201},
};

static void check_vector(const struct seal_aead *aead, const struct vector *v)
{
    uint8_t bytes[ROOM];

    from_hex(bytes, v->key);
    const size_t header = from_hex(packet, v->aad);
    const size_t size = from_hex(packet + header, v->plain);
    const size_t sealed = from_hex(other, v->sealed);
    CU_ASSERT_EQUAL_FATAL(sealed, size + SEAL_TAG);
    seal_one(aead, bytes, packet, (unsigned)header, size, v->counter);
    CU_ASSERT_EQUAL(memcmp(packet + header, other, sealed), 0);
    CU_ASSERT_TRUE(open_one(aead, bytes, packet, (unsigned)header, size, v->counter));
    from_hex(other, v->plain);
    CU_ASSERT_EQUAL(memcmp(packet + header, other, size), 0);
}

static void published_vectors_hold(void)
{
    const struct seal_aead *aead;

    for (unsigned i = 0; (aead = seal_aead_at(i)) != NULL; i++)
        for (unsigned k = 0; k < sizeof(vectors) / sizeof(vectors[0]); k++)
            if (vectors[k].bit == aead->bit)
                check_vector(aead, &vectors[k]);
}

/* --- One against another ------------------------------------------------------------------------
 */

static uint8_t random_key[SEAL_CIPHER_KEY];

/* What libsodium makes of `plain`; false where it has no such cipher. */
static bool seal_by_sodium(unsigned bit, uint8_t *at, size_t size, uint64_t counter)
{
    uint8_t nonce[SEAL_NONCE] = {0};

    memcpy(at, plain, HEADER + size);
    if (bit == SEAL_CHACHA20_POLY1305) {
        for (int i = 0; i < 8; i++)
            nonce[4 + i] = (uint8_t)(counter >> 8 * i);
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(at + HEADER, at + HEADER + size, NULL,
                                                           at + HEADER, size, at, HEADER, NULL,
                                                           nonce, random_key);
        return true;
    }
    if (bit != SEAL_AES_256_GCM)
        return false;
    stk_store_be64(nonce + 4, counter);
    crypto_aead_aes256gcm_encrypt_detached(at + HEADER, at + HEADER + size, NULL, at + HEADER, size,
                                           at, HEADER, NULL, nonce, random_key);
    return true;
}

/* The first library that has the cipher is the measure where libsodium has it not. */
static void seal_by_first(unsigned bit, uint8_t *at, size_t size, uint64_t counter)
{
    const struct seal_aead *first = NULL;

    for (unsigned i = 0; !first || first->bit != bit; i++)
        first = seal_aead_at(i);
    memcpy(at, plain, HEADER + size);
    seal_one(first, random_key, at, HEADER, size, counter);
}

static void check_size(const struct seal_aead *aead, size_t size)
{
    const uint64_t counter = UINT64_C(0x0123456789abcdef) ^ size;

    if (!seal_by_sodium(aead->bit, other, size, counter))
        seal_by_first(aead->bit, other, size, counter);
    memcpy(packet, plain, HEADER + size);
    seal_one(aead, random_key, packet, HEADER, size, counter);
    if (memcmp(packet, other, HEADER + size + SEAL_TAG) != 0)
        CU_FAIL("two libraries differ");
    if (!open_one(aead, random_key, other, HEADER, size, counter) ||
        memcmp(other, plain, HEADER + size) != 0)
        CU_FAIL("what one library sealed another does not open");
}

static void all_libraries_agree_at_all_sizes(void)
{
    const struct seal_aead *aead;

    for (unsigned i = 0; (aead = seal_aead_at(i)) != NULL; i++) {
        for (size_t size = 0; size <= 1500; size++)
            check_size(aead, size);
        for (size_t size = 2048; size <= 1 << 15; size *= 2)
            check_size(aead, size - 1 + size % 3);
        check_size(aead, LARGEST);
    }
}

/* --- What was changed ---------------------------------------------------------------------------
 */

static void check_flip(const struct seal_aead *aead, size_t size, size_t at)
{
    const size_t whole = HEADER + size + SEAL_TAG;

    memcpy(packet, plain, HEADER + size);
    seal_one(aead, random_key, packet, HEADER, size, 7);
    packet[at % whole] ^= (uint8_t)(1 << at % 8);
    CU_ASSERT_FALSE(open_one(aead, random_key, packet, HEADER, size, 7));
}

static void a_flipped_bit_anywhere_is_found(void)
{
    const struct seal_aead *aead;

    for (unsigned i = 0; (aead = seal_aead_at(i)) != NULL; i++)
        for (size_t size = 0; size < 100; size += 33)
            for (size_t at = 0; at < HEADER + size + SEAL_TAG; at++)
                check_flip(aead, size, at);
}

static void another_counter_or_key_opens_nothing(void)
{
    const struct seal_aead *aead;
    uint8_t another[SEAL_CIPHER_KEY];

    for (unsigned i = 0; (aead = seal_aead_at(i)) != NULL; i++)
        for (int bit = 0; bit < 64; bit++) {
            memcpy(packet, plain, 100);
            seal_one(aead, random_key, packet, HEADER, 64, 0);
            memcpy(other, packet, 200);
            CU_ASSERT_FALSE(open_one(aead, random_key, other, HEADER, 64, UINT64_C(1) << bit));
            memcpy(another, random_key, sizeof(another));
            another[bit % 16] ^= (uint8_t)(1 << bit % 8);
            CU_ASSERT_FALSE(open_one(aead, another, packet, HEADER, 64, 0));
        }
}

static void the_mask_of_a_short_key_is_part_of_it(void)
{
    const struct seal_aead *aead;
    uint8_t another[SEAL_CIPHER_KEY];

    for (unsigned i = 0; (aead = seal_aead_at(i)) != NULL; i++) {
        if (aead->bit != SEAL_AES_128_GCM)
            continue;
        for (unsigned at = SEAL_AES_128_KEY; at < SEAL_AES_128_KEY + SEAL_NONCE; at++) {
            memcpy(packet, plain, 100);
            seal_one(aead, random_key, packet, HEADER, 64, 0);
            memcpy(another, random_key, sizeof(another));
            another[at] ^= 1;
            CU_ASSERT_FALSE(open_one(aead, another, packet, HEADER, 64, 0));
        }
    }
}

/* --- Runs ------------------------------------------------------------------------------------ */

enum { COUNT = 9, SIZE = 77, STRIDE = HEADER + SIZE + SEAL_TAG + 5 };

static void check_run(const struct seal_aead *aead)
{
    uint64_t counters[STK_RUN_COUNT_MAX];
    struct stk_run run = {.data = packet + HEADER,
                          .stride = STRIDE,
                          .size = SIZE,
                          .last_size = SIZE - 9,
                          .count = COUNT};

    memcpy(packet, plain, COUNT * STRIDE);
    void *state = begin_key(aead, random_key);
    aead->seal_run(state, &run, HEADER, 1000);
    for (unsigned i = 0; i < COUNT; i++)
        counters[i] = 1000 + i;
    stk_run_at(&run, 2)[3] ^= 1; /* ciphertext */
    counters[5]++;
    stk_run_at(&run, 8)[SIZE - 9] ^= 128; /* the shorter one's tag */
    run.data -= HEADER;
    run.size += HEADER + SEAL_TAG;
    run.last_size += HEADER + SEAL_TAG;
    CU_ASSERT_EQUAL(aead->open_run(state, &run, HEADER, counters),
                    0x1ff & ~(1u << 2 | 1u << 5 | 1u << 8));
    end_key();
    for (unsigned i = 0; i < COUNT; i++)
        if (i != 2 && i != 5 && i != 8)
            CU_ASSERT_EQUAL(memcmp(packet + i * STRIDE, plain + i * STRIDE, HEADER + SIZE), 0);
}

static void a_forged_packet_costs_its_run_nothing_else(void)
{
    const struct seal_aead *aead;

    for (unsigned i = 0; (aead = seal_aead_at(i)) != NULL; i++)
        check_run(aead);
}

/* --- Choosing -------------------------------------------------------------------------------- */

static void the_best_common_cipher_is_chosen(void)
{
    const unsigned offer = seal_aead_offer(SEAL_ANY_PROVIDER);

    CU_ASSERT_EQUAL(seal_aead_choose(SEAL_CHACHA20_POLY1305, SEAL_ANY_PROVIDER)->bit,
                    SEAL_CHACHA20_POLY1305);
    CU_ASSERT_EQUAL(seal_aead_choose(SEAL_CHACHA20_POLY1305, SEAL_IPSEC_MB)->provider,
                    SEAL_OPENSSL);
    CU_ASSERT_PTR_NULL(seal_aead_choose(0, SEAL_ANY_PROVIDER));
    CU_ASSERT_PTR_NULL(seal_aead_choose(~(unsigned)SEAL_CIPHERS, SEAL_ANY_PROVIDER));
    if (!(offer & SEAL_AES_128_GCM)) {
        stk_test_skip("this machine has no AES instructions");
        return;
    }
    CU_ASSERT_EQUAL(seal_aead_choose(SEAL_CIPHERS, SEAL_ANY_PROVIDER)->bit, SEAL_AES_128_GCM);
    CU_ASSERT_EQUAL(seal_aead_choose(SEAL_CIPHERS, SEAL_OPENSSL)->provider, SEAL_OPENSSL);
    CU_ASSERT_EQUAL(seal_aead_choose(SEAL_AES_256_GCM | SEAL_CHACHA20_POLY1305, SEAL_OPENSSL)->bit,
                    SEAL_AES_256_GCM);
}

/* --- The cache of expanded keys -----------------------------------------------------------------
 */

static void only_keys_in_use_stand_expanded(void)
{
    const struct seal_aead *aead = seal_aead_choose(SEAL_CIPHERS, SEAL_ANY_PROVIDER);
    struct seal_key keys[3] = {{0}};

    seal_key_cache_init(&cache, 2);
    for (int i = 0; i < 3; i++)
        seal_key_set(&keys[i], aead, random_key);
    seal_key_use(&cache, &keys[0], 1);
    seal_key_use(&cache, &keys[1], 2);
    seal_key_use(&cache, &keys[0], 3);
    seal_key_use(&cache, &keys[2], 4); /* pushes out the one that was not used for longest */
    CU_ASSERT_PTR_NOT_NULL(keys[0].expanded);
    CU_ASSERT_PTR_NULL(keys[1].expanded);
    CU_ASSERT_EQUAL(seal_key_cache_count(&cache), 2);
    CU_ASSERT_EQUAL(seal_key_cache_expire(&cache, SEAL_KEY_IDLE_US), 3 + SEAL_KEY_IDLE_US);
    CU_ASSERT_EQUAL(seal_key_cache_expire(&cache, 3 + SEAL_KEY_IDLE_US), 4 + SEAL_KEY_IDLE_US);
    CU_ASSERT_PTR_NULL(keys[0].expanded);
    CU_ASSERT_PTR_NOT_NULL(seal_key_use(&cache, &keys[0], SEAL_KEY_IDLE_US)); /* comes back */
    CU_ASSERT_EQUAL(seal_key_cache_expire(&cache, 3 * (uint64_t)SEAL_KEY_IDLE_US), 0);
    CU_ASSERT_EQUAL(seal_key_cache_count(&cache), 0);
    for (int i = 0; i < 3; i++)
        seal_key_wipe(&cache, &keys[i]);
    CU_ASSERT_PTR_NULL(keys[0].aead);
}

static void keys_that_were_used_a_few_times_push_out_none_that_are_used_often(void)
{
    const struct seal_aead *aead = seal_aead_choose(SEAL_CIPHERS, SEAL_ANY_PROVIDER);
    static struct seal_key keys[2 * SEAL_KEYS_FRESH];

    memset(keys, 0, sizeof(keys));
    seal_key_cache_init(&cache, SEAL_KEYS_EXPANDED);
    for (int i = 0; i < 2 * SEAL_KEYS_FRESH; i++)
        seal_key_set(&keys[i], aead, random_key);
    for (int i = 0; i < SEAL_KEY_FRESH_USES; i++)
        seal_key_use(&cache, &keys[0], 1);
    const struct seal_expanded *expanded = keys[0].expanded;
    for (int i = 1; i < 2 * SEAL_KEYS_FRESH; i++)
        seal_key_use(&cache, &keys[i], 1);
    CU_ASSERT_PTR_EQUAL(keys[0].expanded, expanded);
    CU_ASSERT_EQUAL(seal_key_cache_count(&cache), 1 + SEAL_KEYS_FRESH);
    CU_ASSERT_PTR_NULL(keys[SEAL_KEYS_FRESH - 1].expanded);
    CU_ASSERT_PTR_NOT_NULL(keys[SEAL_KEYS_FRESH].expanded);
    /* Whoever goes on being used settles, even if it was pushed out meanwhile. */
    for (int i = 0; i < SEAL_KEY_FRESH_USES; i++) {
        seal_key_use(&cache, &keys[1], 2);
        seal_key_detach(&cache, &keys[1]);
    }
    seal_key_use(&cache, &keys[1], 2);
    CU_ASSERT_EQUAL(cache.settled.count, 2);
    CU_ASSERT_EQUAL(seal_key_cache_expire(&cache, 2 + SEAL_KEY_IDLE_US), 0);
    CU_ASSERT_EQUAL(seal_key_cache_count(&cache), 0);
}

static unsigned dirty;

/* Looks at what is given back: nothing of a key may be left in it. */
static void *look(void *context, void *old, size_t size)
{
    (void)context;
    if (size)
        return old ? realloc(old, size) : malloc(size);
    const struct seal_expanded *e = old;
    const size_t whole = e->owner ? e->owner->aead->expanded_size : 0;
    for (size_t i = 0; i < whole; i++)
        dirty += ((const uint8_t *)e->state)[i] != 0;
    free(old);
    return NULL;
}

static void an_expanded_key_is_zeroed_before_its_memory_goes(void)
{
    const struct seal_aead *aead;

    for (unsigned i = 0; (aead = seal_aead_at(i)) != NULL; i++) {
        dirty = 0;
        stk_alloc_hook(look, NULL);
        begin_key(aead, random_key);
        seal_key_detach(&cache, &key);
        stk_alloc_hook(NULL, NULL);
        CU_ASSERT_EQUAL(dirty, 0);
        end_key();
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"published vectors hold", published_vectors_hold},
        {"all libraries agree at all sizes", all_libraries_agree_at_all_sizes},
        {"a flipped bit anywhere is found", a_flipped_bit_anywhere_is_found},
        {"another counter or key opens nothing", another_counter_or_key_opens_nothing},
        {"the mask of a short key is part of it", the_mask_of_a_short_key_is_part_of_it},
        {"a forged packet costs its run nothing else", a_forged_packet_costs_its_run_nothing_else},
        {"the best common cipher is chosen", the_best_common_cipher_is_chosen},
        {"only keys in use stand expanded", only_keys_in_use_stand_expanded},
        {"keys that were used a few times push out none that are used often",
         keys_that_were_used_a_few_times_push_out_none_that_are_used_often},
        {"an expanded key is zeroed before its memory goes",
         an_expanded_key_is_zeroed_before_its_memory_goes},
        CU_TEST_INFO_NULL,
    };

    if (sodium_init() < 0)
        return 99;
    for (unsigned i = 0; i < sizeof(random_key); i++)
        random_key[i] = (uint8_t)(37 * i + 11);
    for (unsigned i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * i >> 3 ^ i);
    return stk_test_run("seal, ciphers", tests, STK_TEST_LIMIT_S);
}
