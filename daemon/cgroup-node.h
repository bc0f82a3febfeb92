/* Where in the cgroup2 filesystem the sessions' cgroups are: finding the node they are all below, and giving
 * it and its children controllers. For the files cgroup*.c, which are one module together. */
#pragma once

#include "cgroup-parse.h"

typedef struct Node {
        int fd;
        int parent_fd; /* of its parent where the node is ours to remove, else -EBADF */
        char *path;    /* below the mount, no slash at the end: "" is the root */
} Node;

#define NODE_NONE ((Node){ .fd = -EBADF, .parent_fd = -EBADF })

/* cgroups_new's part; *ret is the caller's. */
int node_find(int mount_fd, const char *configured, const char *fallback_name, Node *ret);
void node_done(Node *n);

/* -EOPNOTSUPP: no cgroup2 filesystem is mounted, or what is visible at its place is another one. */
int node_open_mount(int *ret);
/* Opens a directory below another one, by a path that may begin with a slash and stays below it. */
int node_open_below(int dir_fd, const char *path, int *ret);
/* A name of ours: without a dot, because the names of all the kernel's own files have one. */
bool node_name_is_valid(const char *name);
/* Gives the children of a cgroup each controller that it has itself, one by one, so that one that cannot be
 * had costs only itself. Which the children have then. */
unsigned node_enable_controllers(int fd);
