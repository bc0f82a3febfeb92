/* What a busybox root consists of: one static binary, a link for each applet it lists, a few files and the
 * directories. Pure but for busybox_build, which only writes below the directory it is given. Knows nothing
 * of where the binary comes from. */
#pragma once

#include "base.h"
#include "digest.h"

#define APPLET_NAME_MAX 63
#define APPLETS_MAX     1024
#define APPLETS_TEXT    ((size_t)64 * 1024) /* no list of applets is longer */

typedef struct Applet {
        char name[APPLET_NAME_MAX + 1];
        bool system; /* goes to /sbin, else to /bin */
} Applet;

typedef struct Applets {
        Applet *items;
        size_t n;
} Applets;

void applets_done(Applets *a);
/* What `busybox --list-full` ("usr/sbin/chroot") or `--list` ("chroot") printed. A root has no /usr: what
 * belongs in an sbin goes to /sbin and everything else to /bin. The binary is believed only so far:
 * -EBADMSG, with *ret_reason (static, words that follow the binary's name), for a name that is not plain,
 * for none and for too many. */
int applets_parse(const char *text, size_t length, Applets *ret, const char **ret_reason);

/* Writes the whole root into dir_fd, an empty directory, with all modes and owners as they shall be, and
 * syncs it. binary_fd is copied from its beginning. */
int busybox_build(int dir_fd, int binary_fd, const Applets *applets);
/* The digest of the binary in a root that busybox_build made. */
int busybox_digest(int dir_fd, char ret_hex[static DIGEST_HEX_SIZE]);
