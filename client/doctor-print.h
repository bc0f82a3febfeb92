/* Findings, for people and for programs. Knows neither what is checked nor how. */
#pragma once

#include "doctor-checks.h"

/* A line each, its advice on the next; at last a line of those that were skipped. -ENOMEM; errors of writing
 * stay in stdout. */
int doctor_print(const Finding *findings, size_t n);
/* [{check, status, detail, advice}]; what was skipped is not in it, and an advice that is not there is "".
 */
int doctor_print_json(const Finding *findings, size_t n);
