/* Sessions as objects: asked for by id, and as cells of a table. Knows the method List and the type Session
 * of org.nsroot.session. */
#pragma once

#include "base.h"
#include "failure.h"

struct json_object;

/* The session of that id, prefix or name, the caller's. */
int listing_find(const char *socket, const char *id, struct json_object **ret, Failure *f);

/* Each makes the text of one cell; owned by the caller, NULL: there is none (or no memory: shown alike). */
char *session_cell_id(struct json_object *session);
char *session_cell_name(struct json_object *session);
char *session_cell_root(struct json_object *session);
char *session_cell_state(struct json_object *session); /* how it ended, if it did */
char *session_cell_owner(struct json_object *session);
char *session_cell_age(struct json_object *session);
char *session_cell_command(struct json_object *session);
