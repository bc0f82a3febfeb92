/* What the protocol's errors mean to the person who reads them, as one line, and what nsrootctl exits with.
 * Knows every error that nsrootd answers with; pure. */
#pragma once

#include "base.h"

struct json_object;

/* The exit status. *ret_text: the line, without a newline, owned by the caller; NULL: there was no memory
 * for it. parameters may be NULL. */
int explain(const char *error, struct json_object *parameters, char **ret_text);

/* "Operation not permitted" for "EPERM"; the name itself where it is none. */
const char *explain_errno(const char *name);
