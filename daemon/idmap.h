/* Whether a filesystem can be mounted with mapped ids (mount_setattr(2), MOUNT_ATTR_IDMAP). Knows mounts and
 * user namespaces; knows nothing of roots. */
#pragma once

#include "base.h"

/* Tries it on a clone of the tree at dir_fd (which may be O_PATH), with a user namespace made for that. 1:
 * it can; 0: it cannot, or there are no user namespaces to map with; negative: it could not be tried. */
int idmap_try(int dir_fd);
