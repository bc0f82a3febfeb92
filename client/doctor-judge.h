/* What the checks of doctor are made of: one list of them, how they find, and what they look into. For
 * doctor-checks.c and the doctor-judge-*.c only. */
#pragma once

#include <json-c/json_object.h>
#include <stdio.h>

#include "doctor-checks.h"

/* X(judge, name), in the order in which they are told. */
#define CHECKS(X)                                                                                           \
        X(daemon, "daemon")                                                                                 \
        X(version, "version")                                                                               \
        X(kernel, "kernel")                                                                                 \
        X(namespaces, "namespaces")                                                                         \
        X(user_namespaces, "user-namespaces")                                                               \
        X(seccomp, "seccomp")                                                                               \
        X(memfd_exec, "memfd-exec")                                                                         \
        X(tmpfs_attributes, "tmpfs-attributes")                                                             \
        X(overlay, "overlay")                                                                               \
        X(idmapped_mounts, "idmapped-mounts")                                                               \
        X(control_groups, "control-groups")                                                                 \
        X(descriptor_store, "descriptor-store")                                                             \
        X(space, "space")                                                                                   \
        X(cache, "cache")                                                                                   \
        X(sessions, "sessions")                                                                             \
        X(connections, "connections")                                                                       \
        X(charging, "charging")                                                                             \
        X(limits, "limits")                                                                                 \
        X(roots, "roots")

/* Each sets *f by one of found_…, or leaves it where there is nothing to judge by. */
#define X(judge, name) void judge_##judge(const Evidence *e, Finding *f);
CHECKS(X)
#undef X

void finding_set(Finding *f, CheckStatus status, const char *advice, const char *format, ...) _printf_(4, 5);
#define found_ok(f, ...)               finding_set(f, CHECK_OK, NULL, __VA_ARGS__)
#define found_degraded(f, advice, ...) finding_set(f, CHECK_DEGRADED, advice, __VA_ARGS__)
#define found_missing(f, advice, ...)  finding_set(f, CHECK_MISSING, advice, __VA_ARGS__)

#define ADVICE_LOOK                    "see 'systemctl status nsrootd' and 'journalctl -u nsrootd'"
#define ADVICE_ASK                     "ask the administrator of this machine: nsrootd.conf(5)"

/* Words with commas between them. */
typedef struct Words {
        FILE *stream;
        char *text;
        size_t size, n;
} Words;

bool words_begin(Words *w); /* false: out of memory */
void words_add(Words *w, const char *format, ...) _printf_(2, 3);
char *words_end(Words *w); /* the caller's; NULL: out of memory */

/* What nsrootd answered, the Evidence's; NULL where it did not. */
struct json_object *evidence_host(const Evidence *e);
struct json_object *evidence_allowance(const Evidence *e);
/* Of the host: 1, 0; -1: not said. */
int evidence_flag(const Evidence *e, const char *key);
/* Whether this nsrootd is behind nsrootd.socket. */
bool evidence_is_of_units(const Evidence *e);

/* Of a list of texts, or NULL: as if it had none. */
size_t list_length(struct json_object *list);
const char *list_item(struct json_object *list, size_t index); /* "" where it is no text */
bool list_has(struct json_object *list, const char *text);
