/* See progress.h. */
#include "progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "text.h"
#include "value.h"

#define PATIENCE        (300 * USEC_PER_MSEC)
#define COLUMNS_DEFAULT 80
#define BAR_MIN         10
#define BAR_MAX         40
#define ERASE           "\r\033[K"

Progress progress_new(bool quiet)
{
        return (Progress){ .enabled = !quiet && isatty(STDERR_FILENO),
                           .not_before = now_usec(CLOCK_MONOTONIC) + PATIENCE };
}

/* One column is left: a line that fills the last one would wrap on some terminals. */
static size_t columns_of_stderr(void)
{
        struct winsize size;

        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                return COLUMNS_DEFAULT - 1;
        return size.ws_col - 1U;
}

static char *draw_bar(double part, size_t width)
{
        char *bar = malloc(width + 3);
        size_t filled = (size_t)(part * (double)width);

        if (!bar)
                return NULL;
        bar[0] = '[';
        memset(bar + 1, '#', filled);
        memset(bar + 1 + filled, ' ', width - filled);
        strcpy(bar + 1 + width, "]");
        return bar;
}

/* What is known of how much: with a bar where there is room for one. NULL: out of memory. */
static char *describe_amount(int64_t done, int64_t total, size_t columns)
{
        _cleanup_free_ char *of = text_size((uint64_t)total), *bar = NULL;
        double part = (double)done / (double)total;
        char *text;
        size_t taken;

        if (!of)
                return NULL;
        taken = strlen("[] 100% of ") + strlen(of);
        if (columns >= taken + BAR_MIN) {
                bar = draw_bar(part, MIN(columns - taken, (size_t)BAR_MAX));
                if (!bar)
                        return NULL;
        }
        return asprintf(&text, "%s%s%d%% of %s", bar ?: "", bar ? " " : "", (int)(part * 100), of) < 0
                       ? NULL
                       : text;
}

static char *cut(char *line, size_t columns)
{
        if (line)
                line[text_prefix(line, columns)] = '\0';
        return line;
}

char *progress_line(const char *root, const char *state, int64_t done, int64_t total, size_t columns)
{
        _cleanup_free_ char *name = text_escape(root), *doing = text_escape(state), *amount = NULL;
        char *line;
        size_t taken;

        if (!name || !doing)
                return NULL;
        taken = text_width(name) + text_width(doing) + strlen(":  ");
        if (done >= 0 && total > 0 && done <= total)
                amount = describe_amount(done, total, columns > taken ? columns - taken : 0);
        else
                amount = done > 0 ? text_size((uint64_t)done) : strdup("");
        if (!amount || asprintf(&line, "%s: %s%s%s", name, doing, *amount ? " " : "", amount) < 0)
                return NULL;
        return cut(line, columns);
}

void progress_show(Progress *p, const char *root, struct json_object *reply)
{
        _cleanup_free_ char *line = NULL;

        if (!p->enabled || now_usec(CLOCK_MONOTONIC) < p->not_before)
                return;
        line = progress_line(root, value_text(reply, "state") ?: "preparing",
                             value_number(reply, "doneBytes", -1), value_number(reply, "totalBytes", -1),
                             columns_of_stderr());
        if (!line)
                return;
        fprintf(stderr, ERASE "%s", line);
        fflush(stderr);
        p->drawn = true;
}

void progress_done(Progress *p)
{
        if (TAKE_GENERIC(p->drawn, false)) {
                fputs(ERASE, stderr);
                fflush(stderr);
        }
}
