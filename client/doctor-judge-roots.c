/* The roots: which there are, what room there is for them, and whose they are. */
#include "doctor-judge.h"
#include "protocol.h"
#include "text.h"
#include "value.h"

#define SPACE_LOW  (64 * MIB)
#define SPACE_NONE (4 * MIB) /* what the smallest root takes, and some metadata */

void judge_space(const Evidence *e, Finding *f)
{
        int64_t bytes = value_number(evidence_host(e), "stateFreeBytes", -1);
        _cleanup_free_ char *size = bytes >= 0 ? text_size((uint64_t)bytes) : NULL;
        static const char advice[] = "make room in the state directory (" STATE_DIR_DEFAULT
                                     ", or --state-dir), or remove roots with 'nsrootctl root remove'";

        if (!size)
                return;
        if ((uint64_t)bytes < SPACE_NONE)
                found_missing(f, advice, "%s free in the state directory: no root can be made", size);
        else if ((uint64_t)bytes < SPACE_LOW)
                found_degraded(f, advice, "%s free in the state directory: a root may not fit", size);
        else
                found_ok(f, "%s free in the state directory", size);
}

/* All roots that are cached, or all that are not. */
static char *list_roots(struct json_object *roots, bool cached)
{
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < list_length(roots); i++) {
                struct json_object *root = json_object_array_get_idx(roots, i);
                int64_t bytes = value_number(root, "sizeBytes", -1);
                _cleanup_free_ char *size = bytes >= 0 ? text_size((uint64_t)bytes) : NULL;

                if (value_flag(root, "cached") == cached)
                        words_add(&w, "%s%s%s%s", value_text(root, "name") ?: "?", size ? " (" : "",
                                  size ?: "", size ? ")" : "");
        }
        return words_end(&w);
}

void judge_cache(const Evidence *e, Finding *f)
{
        struct json_object *roots = value_array(e->daemon.roots, "roots");
        _cleanup_free_ char *there = list_roots(roots, true), *others = list_roots(roots, false);

        if (!roots || !there || !others)
                return;
        if (list_length(roots) == 0)
                found_missing(f, "write a section [Root NAME] into nsrootd.conf", "no root is configured");
        else if (*others)
                found_degraded(f, "get it now, as root, with 'nsrootctl root pull NAME'",
                               "not cached: %s, which the first run has to wait for%s%s", others,
                               *there ? "; cached: " : "", there);
        else
                found_ok(f, "cached: %s", there);
}

static char *list_texts(struct json_object *list)
{
        Words w;

        if (!words_begin(&w))
                return NULL;
        for (size_t i = 0; i < list_length(list); i++)
                words_add(&w, "%s", list_item(list, i));
        return words_end(&w);
}

void judge_roots(const Evidence *e, Finding *f)
{
        struct json_object *roots = value_array(evidence_allowance(e), "roots");
        const char *first = value_text(evidence_allowance(e), "defaultRoot");
        const char *changes = value_flag(evidence_allowance(e), "changesRoots") ? "you may change them"
                                                                                : "others change them";
        _cleanup_free_ char *words = list_texts(roots);

        if (!roots || !first || !words)
                return;
        if (list_length(roots) == 0)
                found_missing(f, ADVICE_ASK, "you may use no root");
        else if (!list_has(roots, first))
                found_degraded(f, "name one: 'nsrootctl run --root NAME'",
                               "you may use %s, but not %s, which is taken where none is named; %s", words,
                               first, changes);
        else
                found_ok(f, "you may use %s; %s is taken where none is named; %s", words, first, changes);
}
