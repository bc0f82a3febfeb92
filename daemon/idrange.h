/* Hands out ranges of 65,536 uids and gids, one to a live session, disjoint, least recently used first.
 * Pure. */
#pragma once

#include "base.h"

#define ID_RANGE_SIZE 65536u

typedef struct IdRanges IdRanges;

/* first and last: ids of the host (inclusive); as many whole, aligned ranges as lie between them. -ERANGE:
 * none. */
int idranges_new(uint64_t first, uint64_t last, IdRanges **ret);
IdRanges *idranges_free(IdRanges *r);
DEFINE_CLEANUP(IdRanges *, idranges_free);
/* -EAGAIN: all in use. *ret is the range's first id. */
int idranges_take(IdRanges *r, uint32_t *ret);
/* A range a session already has (taken up after a restart). -EBUSY, -ERANGE. */
int idranges_claim(IdRanges *r, uint32_t first);
void idranges_give_back(IdRanges *r, uint32_t first);
size_t idranges_used(const IdRanges *r);
