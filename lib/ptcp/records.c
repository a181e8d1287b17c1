#include "records.h"

#include "error.h"
#include "sent.h"

#include <assert.h>

static_assert(PTCP_RECORDS_SMALL << (PTCP_RECORDS_SIZES - 1) == (int)PTCP_SENT_MAX, "the sizes");

void ptcp_records_init(struct ptcp_records *records, uint64_t limit_bytes)
{
    const uint64_t limit = limit_bytes / sizeof(struct ptcp_sent);

    records->left = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    for (int i = 0; i < PTCP_RECORDS_SIZES; i++) {
        const size_t bytes = ((size_t)PTCP_RECORDS_SMALL << i) * sizeof(struct ptcp_sent);

        ptcp_spares_init(&records->sizes[i], bytes, (uint32_t)(PTCP_RECORDS_SPARE_BYTES / bytes));
    }
}

void ptcp_records_free(struct ptcp_records *records)
{
    for (int i = 0; i < PTCP_RECORDS_SIZES; i++)
        ptcp_spares_free(&records->sizes[i]);
}

static uint32_t charge(uint32_t capacity) { return capacity > PTCP_RECORDS_SMALL ? capacity : 0; }

static struct ptcp_spares *of_size(struct ptcp_records *records, uint32_t capacity)
{
    int i = 0;

    while (i < PTCP_RECORDS_SIZES - 1 && PTCP_RECORDS_SMALL << i < (int)capacity)
        i++;
    assert(PTCP_RECORDS_SMALL << i == (int)capacity);
    return &records->sizes[i];
}

int ptcp_records_take(struct ptcp_records *records, uint32_t capacity, struct ptcp_sent **block)
{
    void *taken;

    if (charge(capacity) > records->left / PTCP_RECORDS_PART)
        return STK_ELIMIT;
    taken = ptcp_spares_take(of_size(records, capacity));
    if (!taken)
        return -ENOMEM;
    records->left -= charge(capacity);
    *block = taken;
    return 0;
}

void ptcp_records_put(struct ptcp_records *records, uint32_t capacity, struct ptcp_sent *block)
{
    records->left += charge(capacity);
    ptcp_spares_put(of_size(records, capacity), block);
}

uint64_t ptcp_records_due_us(struct ptcp_records *records, uint64_t now_us)
{
    uint64_t due_us = UINT64_MAX;

    for (int i = 0; i < PTCP_RECORDS_SIZES; i++) {
        const uint64_t trim_us = ptcp_spares_due_us(&records->sizes[i], now_us);

        due_us = trim_us < due_us ? trim_us : due_us;
    }
    return due_us;
}

void ptcp_records_trim(struct ptcp_records *records, uint64_t now_us)
{
    for (int i = 0; i < PTCP_RECORDS_SIZES; i++)
        ptcp_spares_trim(&records->sizes[i], now_us);
}
