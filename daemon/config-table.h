/* Which keys nsrootd.conf has. Pure data: what reads, checks, prints and explains them goes by these rows.
 */
#pragma once

#include "config-value.h"

/* Those that have a name: [Root NAME]. The keys of the last two are those of KEY_OF_USER. */
#define SECTION_ROOT  "Root"
#define SECTION_USER  "User"
#define SECTION_GROUP "Group"

extern const ConfigKey config_keys[]; /* ends with a name of NULL */

/* By their place in Charge. */
extern const char *const config_charges[];

/* What ConditionArchitecture= of systemd.unit(5) calls them; ends with NULL. The second is this machine's.
 */
extern const char *const config_architectures[];
extern const char config_architecture[];

/* The root that is there with an empty /etc: its name and its lines Source=. */
extern const char root_builtin_name[];
extern const char *const root_builtin_sources[]; /* ends with NULL */

/* [a-z0-9][a-z0-9_.-]{0,62} */
bool root_name_is_good(const char *name);
