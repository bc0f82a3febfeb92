/* See config-lines.h.
 *
 * inih is built with a buffer of 200 bytes for a line with its end, and of 50 for a section's name; what is
 * longer it divides, or cuts off without a word. So it is given the beginning of a line, which has the key,
 * and what may be longer is taken from the line itself: values and the titles of sections. */
#include "config-lines.h"

#include <ini.h>
#include <stdarg.h>

#define BLANKS          " \t"
#define LINE_LENGTH_MAX (8 * KIB)
#define INIH_LINE_MAX   190

void lines_fail(Lines *l, int error, const char *format, ...)
{
        _cleanup_free_ char *what = NULL;
        va_list arguments;

        if (l->error < 0)
                return;
        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0)
                what = NULL;
        va_end(arguments);
        l->error = error;
        if (!what || asprintf(&l->why, "%s:%u: %s", l->path, l->number, what) < 0)
                l->why = NULL;
}

static bool is_comment(const char *text)
{
        return *text == '#' || *text == ';';
}

/* What is between them, without the blanks around it; ends it there. */
static char *cut_out(char *begin, char *end)
{
        begin += strspn(begin, BLANKS);
        while (end > begin && strchr(BLANKS, end[-1]))
                end--;
        *MAX(begin, end) = '\0';
        return begin;
}

/* The value as inih takes it out of a line: after the first = or :, up to a blank with a semicolon. */
static char *value_of(char *line)
{
        char *value = strpbrk(line, "=:") + 1, *end;

        for (end = value; *end && !(*end == ';' && strchr(BLANKS, end[-1])); end++)
                continue;
        return cut_out(value, end);
}

/* inih's handler. Whatever is wrong is kept in the Lines; to inih it was always good. */
static int on_entry(void *userdata, const char *section, const char *name, const char *value)
{
        Lines *l = userdata;

        l->awaits_entry = false;
        l->on_entry(l, name, value_of(l->text));
        return 1;
}

/* Takes what inih need not see; what is left is to be an entry, or nothing. */
static const char *strip(Lines *l, char *text)
{
        char *end, *behind;

        if (is_comment(text))
                return "";
        end = *text == '[' ? strchr(text, ']') : NULL;
        if (!end)
                return text;
        behind = end + 1 + strspn(end + 1, BLANKS);
        if (*behind && !is_comment(behind))
                lines_warn(l, "%s", "what stands behind the ] is ignored");
        l->on_section(l, cut_out(text + 1, end));
        return "";
}

/* NULL: it can be a line. */
static const char *find_fault(const char *text, size_t length)
{
        if (strlen(text) != length)
                return "there is a NUL in it; take it out";
        for (const char *c = text; *c; c++)
                if ((unsigned char)*c < ' ' && *c != '\t')
                        return "there is a control character in it; take it out";
        return length > LINE_LENGTH_MAX ? "longer than 8192 characters; make it shorter" : NULL;
}

/* What some editors begin a file with. */
static char *without_bom(char *text)
{
        static const char bom[] = "\xEF\xBB\xBF";

        return strncmp(text, bom, strlen(bom)) == 0 ? text + strlen(bom) : text;
}

static size_t without_line_end(const char *text, size_t length)
{
        while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
                length--;
        return length;
}

/* The next line, without its indentation; NULL: there is none that can be read. */
static char *next_line(Lines *l)
{
        ssize_t length = getline(&l->text, &l->text_size, l->file);
        const char *fault;
        char *text;

        if (length < 0)
                return NULL;
        l->number++;
        length = (ssize_t)without_line_end(l->text, (size_t)length);
        l->text[length] = '\0';
        text = l->number == 1 ? without_bom(l->text) : l->text;
        text += strspn(text, BLANKS);
        fault = is_comment(text) ? NULL : find_fault(l->text, (size_t)length);
        if (fault)
                lines_fail(l, -EINVAL, "%s", fault);
        return fault ? NULL : text;
}

/* Gives inih a line as it can take it: without its indentation, for inih would make a second line of the
 * value above out of it. Whether inih understood it shows when the next is asked for. */
static char *read_line(char *buffer, int size, void *userdata)
{
        Lines *l = userdata;
        const char *rest;
        char *text;

        if (l->awaits_entry)
                lines_warn(l, "%s", "neither [Section] nor Key=value nor a comment; the line is ignored");
        l->awaits_entry = false;
        text = l->error < 0 ? NULL : next_line(l);
        if (!text)
                return NULL;
        rest = strip(l, text);
        l->awaits_entry = *rest != '\0';
        snprintf(buffer, MIN((size_t)size, INIH_LINE_MAX), "%s", rest);
        return buffer;
}

int lines_read(Lines *l, char **ret_why)
{
        ini_parse_stream(read_line, l, on_entry, l);
        if (ferror(l->file))
                lines_fail(l, -EIO, "cannot be read");
        free(l->text);
        if (l->error < 0)
                *ret_why = l->why;
        return l->error;
}
