/* Which files the configuration is made of, and whether one is such as can be read. Knows directories and
 * files; knows nothing of what stands in them. */
#pragma once

#include <stdio.h>

#include "base.h"

#define CONFIG_FILE_NAME "nsrootd.conf"

/* The files to be read, in this order, of directories that lie one over the other (systemd-system.conf(5)):
 * the main file of the first directory that has one, then nsrootd.conf.d/NAME.conf of all, sorted by NAME;
 * of two of one name that of the first directory counts. So an empty file, or a link to /dev/null, masks
 * what lies below it. directories ends with NULL, the first is the highest. A list for words_free. On
 * failure *ret_why says which directory cannot be read. */
int config_files_find(const char *const *directories, char ***ret_paths, char **ret_why);

/* Opens one of them: *ret is NULL where there is nothing in it. Errors of open(2), and -EINVAL for what
 * is no file or too large, with "FILE: what, and what to do" in *ret_why. What others than root could change
 * is logged as a warning. */
int config_file_open(const char *path, FILE **ret, char **ret_why);
