/* What the result of a session means for who waited for it: an exit status, and a line where the status
 * alone would not say why. Knows the type Result of org.nsroot.session; prints nothing. */
#pragma once

#include "base.h"

struct json_object;

/* The status that nsrootctl exits with. *ret_note: a line that says why the session ended where the command
 * did not end by itself, owned by the caller; else NULL. result may be NULL (then it is a failure of ours).
 */
int outcome_status(struct json_object *result, char **ret_note);
/* The same in a word or two, for a table: "exited 7", "SIGKILL", "timedOut". Owned by the caller; NULL: no
 * memory. */
char *outcome_words(struct json_object *result);
