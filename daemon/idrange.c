/* The free ranges as one queue, longest unused first: a ring of indexes through an array, so that taking,
 * giving back and claiming from the middle are a few assignments each, and a range costs 4 bytes. Knows
 * nothing of users, maps or sessions, and makes no system call. */
#include "idrange.h"

/* Ranges of the host that are nobody's to give: the one that holds root, and the one that holds (uid_t)-1.
 */
#define RANGE_OF_ROOT    ((uint64_t)0)
#define RANGE_OF_INVALID ((uint64_t)UINT32_MAX / ID_RANGE_SIZE)

/* A place in the ring. One that is not in it, being in use, is linked to itself. */
typedef struct Slot {
        uint16_t previous, next;
} Slot;

#define HEAD 0 /* slots[HEAD] is the ring's head; range i is slots[i + 1] */

struct IdRanges {
        uint32_t first;
        size_t n, n_used;
        Slot slots[];
};

static bool slot_is_used(const IdRanges *r, uint16_t i)
{
        return r->slots[i].next == i;
}

static void slot_unlink(IdRanges *r, uint16_t i)
{
        Slot *s = &r->slots[i];

        r->slots[s->previous].next = s->next;
        r->slots[s->next].previous = s->previous;
        *s = (Slot){ i, i };
}

static void slot_append(IdRanges *r, uint16_t i)
{
        Slot *head = &r->slots[HEAD];

        r->slots[i] = (Slot){ .previous = head->previous, .next = HEAD };
        r->slots[head->previous].next = i;
        head->previous = i;
}

static uint16_t slot_of(const IdRanges *r, uint32_t first)
{
        uint64_t offset = (uint64_t)first - r->first;

        if (first < r->first || offset % ID_RANGE_SIZE != 0 || offset / ID_RANGE_SIZE >= r->n)
                return HEAD;
        return (uint16_t)(offset / ID_RANGE_SIZE + 1);
}

int idranges_new(uint64_t first, uint64_t last, IdRanges **ret)
{
        uint64_t from = MAX(first / ID_RANGE_SIZE + (first % ID_RANGE_SIZE != 0), RANGE_OF_ROOT + 1);
        uint64_t end =
                MIN(last / ID_RANGE_SIZE + (last % ID_RANGE_SIZE == ID_RANGE_SIZE - 1), RANGE_OF_INVALID);
        IdRanges *r;

        if (from >= end)
                return -ERANGE;
        r = malloc(sizeof *r + (end - from + 1) * sizeof r->slots[0]);
        if (!r)
                return -ENOMEM;
        *r = (IdRanges){ .first = (uint32_t)(from * ID_RANGE_SIZE), .n = end - from };
        r->slots[HEAD] = (Slot){ HEAD, HEAD };
        for (size_t i = 1; i <= r->n; i++)
                slot_append(r, (uint16_t)i);
        *ret = r;
        return 0;
}

IdRanges *idranges_free(IdRanges *r)
{
        free(r);
        return NULL;
}

int idranges_take(IdRanges *r, uint32_t *ret)
{
        uint16_t i = r->slots[HEAD].next;

        if (i == HEAD)
                return -EAGAIN;
        slot_unlink(r, i);
        r->n_used++;
        *ret = r->first + (i - 1u) * ID_RANGE_SIZE;
        return 0;
}

int idranges_claim(IdRanges *r, uint32_t first)
{
        uint16_t i = slot_of(r, first);

        if (i == HEAD)
                return -ERANGE;
        if (slot_is_used(r, i))
                return -EBUSY;
        slot_unlink(r, i);
        r->n_used++;
        return 0;
}

void idranges_give_back(IdRanges *r, uint32_t first)
{
        uint16_t i = slot_of(r, first);

        if (i == HEAD || !slot_is_used(r, i))
                return;
        slot_append(r, i);
        r->n_used--;
}

size_t idranges_used(const IdRanges *r)
{
        return r->n_used;
}
