/* Text made fit to be printed, by text.h. */
#include "text.h"

#include <stdio.h>

#define INVALID UINT32_MAX

/* One character from the text's start; *ret_length is how many bytes it is. A byte that begins none is
 * INVALID, alone. (RFC 3629: shortest form only, no surrogates, nothing above U+10FFFF.) */
static uint32_t decode(const char *text, size_t *ret_length)
{
        static const struct {
                unsigned char mask, lead;
                uint32_t min;
        } forms[] = {
                {0x80,  0x00, 0      },
                { 0xe0, 0xc0, 0x80   },
                { 0xf0, 0xe0, 0x800  },
                { 0xf8, 0xf0, 0x10000}
        };
        const unsigned char *s = (const unsigned char *)text;

        *ret_length = 1;
        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                uint32_t c = s[0] & (unsigned char)~forms[i].mask;

                if ((s[0] & forms[i].mask) != forms[i].lead)
                        continue;
                for (size_t k = 1; k <= i; k++) {
                        if ((s[k] & 0xc0) != 0x80)
                                return INVALID;
                        c = c << 6 | (s[k] & 0x3f);
                }
                if (c < forms[i].min || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
                        return INVALID;
                *ret_length = i + 1;
                return c;
        }
        return INVALID;
}

/* Characters that move the cursor, turn the writing's direction or break a line without being seen (Unicode
 * 15, the categories Cc, Zl, Zp and the format characters among Cf that change what is around them). */
static const struct {
        uint32_t first, last;
} dangerous[] = {
        {0x00,     0x1f   },
        { 0x7f,    0x9f   },
        { 0x61c,   0x61c  },
        { 0x200b,  0x200b },
        { 0x200e,  0x200f },
        { 0x2028,  0x202e },
        { 0x2060,  0x206f },
        { 0xfeff,  0xfeff },
        { 0xfff9,  0xfffb },
        { 0xe0000, 0xe007f},
};

static bool is_dangerous(uint32_t c)
{
        for (size_t i = 0; i < ELEMENTSOF(dangerous); i++)
                if (c >= dangerous[i].first && c <= dangerous[i].last)
                        return true;
        return false;
}

bool text_is_utf8(const char *text)
{
        size_t n;

        for (; *text; text += n)
                if (decode(text, &n) == INVALID)
                        return false;
        return true;
}

static void write_for_people(FILE *stream, uint32_t c, const char *bytes, size_t n)
{
        if (c == INVALID)
                fprintf(stream, "\\x%02x", (unsigned char)*bytes);
        else if (!is_dangerous(c))
                fwrite(bytes, 1, n, stream);
        else if (c < 0x80)
                fprintf(stream, "\\x%02x", c);
        else
                fprintf(stream, "\\u%04x", c);
}

/* Control characters outside of strings are the document's own white space. */
static void write_for_json(FILE *stream, uint32_t c, const char *bytes, size_t n)
{
        if (c == INVALID)
                fputs("\\ufffd", stream);
        else if (c < 0x20 || !is_dangerous(c))
                fwrite(bytes, 1, n, stream);
        else if (c < 0x10000)
                fprintf(stream, "\\u%04x", c);
        else
                fprintf(stream, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
}

static char *rewrite(const char *text, void (*write)(FILE *, uint32_t, const char *, size_t))
{
        char *copy = NULL;
        size_t size, n;
        FILE *stream;

        stream = open_memstream(&copy, &size);
        if (!stream)
                return NULL;
        for (; *text; text += n) {
                uint32_t c = decode(text, &n);

                write(stream, c, text, n);
        }
        if (fclose(stream) == EOF) {
                free(copy);
                return NULL;
        }
        return copy;
}

char *text_escape(const char *text)
{
        return rewrite(text, write_for_people);
}

char *text_escape_json(const char *json)
{
        return rewrite(json, write_for_json);
}

size_t text_width(const char *text)
{
        size_t width = 0, n;

        for (; *text; text += n, width++)
                decode(text, &n);
        return width;
}

size_t text_prefix(const char *text, size_t columns)
{
        const char *p = text;
        size_t n;

        for (; *p && columns > 0; p += n, columns--)
                decode(p, &n);
        return (size_t)(p - text);
}

static char *with_unit(double number, int digits, const char *unit)
{
        char *text;

        return asprintf(&text, "%.*f%s", digits, number, unit) < 0 ? NULL : text;
}

char *text_age(uint64_t usec)
{
        static const struct {
                uint64_t seconds;
                const char *name;
        } units[] = {
                {24 * 3600, "d"  },
                { 3600,     "h"  },
                { 60,       "min"}
        };
        uint64_t seconds = usec / USEC_PER_SEC;

        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (seconds >= 2 * units[i].seconds)
                        return with_unit((double)(seconds / units[i].seconds), 0, units[i].name);
        return with_unit((double)seconds, 0, "s");
}

char *text_size(uint64_t bytes)
{
        static const char *const units[] = { "K", "M", "G", "T" };
        double number = (double)bytes;
        size_t i;

        if (bytes < KIB)
                return with_unit(number, 0, "B");
        for (i = 0, number /= KIB; number >= KIB && i + 1 < ELEMENTSOF(units); i++)
                number /= KIB;
        return with_unit(number, 1, units[i]);
}
