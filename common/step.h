/* Steps in words, for messages to people: "mount /proc: Operation not permitted: <hint>". Only the daemon
 * needs them; who fails sends numbers. */
#pragma once

#include "order.h"

/* The step and what it was about, for example "mask /proc/kcore"; "unknown step" for a number that is none.
 */
void step_describe(uint32_t step, uint32_t index, char *ret, size_t size);
/* What the errno means in this step and what to do about it; NULL where the errno says it all. Static. */
const char *step_hint(uint32_t step, int error);
