/* The strict JSON scanner of scan.h, by the grammar of RFC 8259 (one function a rule) with the limits and
 * refusals on top. Knows characters and nesting; keeps no value. Recursion is bounded by depth_max. */
#include "scan.h"

/* How deep objects may not have the same key twice: the message and what lies directly in it. */
#define UNIQUE_DEPTH 2

typedef struct Text {
        const char *p, *end;
} Text;

typedef struct Keys {
        const char *start[SCAN_KEYS_MAX]; /* the opening quote */
        size_t n;
} Keys;

typedef struct Scanner {
        Text text;
        const ScanLimits *limits;
        size_t depth, values;
        Keys keys[UNIQUE_DEPTH]; /* of the objects that are open at each depth */
} Scanner;

static bool skip(Text *t, char c)
{
        if (t->p == t->end || *t->p != c)
                return false;
        t->p++;
        return true;
}

static void skip_space(Text *t)
{
        while (skip(t, ' ') || skip(t, '\t') || skip(t, '\n') || skip(t, '\r'))
                ;
}

static bool is_high_surrogate(uint32_t c)
{
        return c >= 0xd800 && c <= 0xdbff;
}

static bool is_low_surrogate(uint32_t c)
{
        return c >= 0xdc00 && c <= 0xdfff;
}

/* RFC 3629, section 3. */
static int scan_utf8(Text *t, uint32_t *ret)
{
        static const struct {
                unsigned char mask,
                        lead; /* of the leading byte; the rest of it is the character's first bits */
                int more;
                uint32_t min; /* below it a shorter form exists */
        } forms[] = {
                {0x80,  0x00, 0, 0      },
                { 0xe0, 0xc0, 1, 0x80   },
                { 0xf0, 0xe0, 2, 0x800  },
                { 0xf8, 0xf0, 3, 0x10000},
        };
        unsigned char lead = (unsigned char)*t->p++;
        uint32_t c;

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                if ((lead & forms[i].mask) != forms[i].lead)
                        continue;
                c = lead & ~forms[i].mask;
                for (int more = forms[i].more; more > 0; more--) {
                        if (t->p == t->end || (*t->p & 0xc0) != 0x80)
                                return -EBADMSG;
                        c = c << 6 | (*t->p++ & 0x3f);
                }
                if (c < forms[i].min || c > 0x10ffff || is_high_surrogate(c) || is_low_surrogate(c))
                        return -EBADMSG;
                *ret = c;
                return 1;
        }
        return -EBADMSG;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static int scan_hex4(Text *t, uint32_t *ret)
{
        uint32_t c = 0;

        for (int i = 0; i < 4; i++) {
                int digit = t->p < t->end ? hex_digit(*t->p) : -1;

                if (digit < 0)
                        return -EBADMSG;
                c = c << 4 | (uint32_t)digit;
                t->p++;
        }
        *ret = c;
        return 0;
}

/* After the \u: a surrogate stands for something only in a pair. */
static int scan_unicode_escape(Text *t, uint32_t *ret)
{
        uint32_t c, low;

        if (scan_hex4(t, &c) < 0 || c == 0 || is_low_surrogate(c))
                return -EBADMSG;
        if (is_high_surrogate(c)) {
                if (!skip(t, '\\') || !skip(t, 'u') || scan_hex4(t, &low) < 0 || !is_low_surrogate(low))
                        return -EBADMSG;
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
        *ret = c;
        return 1;
}

/* After the backslash. */
static int scan_escape(Text *t, uint32_t *ret)
{
        static const char escapes[][2] = {
                {'"',   '"' },
                { '\\', '\\'},
                { '/',  '/' },
                { 'b',  '\b'},
                { 'f',  '\f'},
                { 'n',  '\n'},
                { 'r',  '\r'},
                { 't',  '\t'},
        };

        if (skip(t, 'u'))
                return scan_unicode_escape(t, ret);
        for (size_t i = 0; i < ELEMENTSOF(escapes); i++)
                if (skip(t, escapes[i][0])) {
                        *ret = (uint32_t)escapes[i][1];
                        return 1;
                }
        return -EBADMSG;
}

/* The next character of a string. 1: it is *ret; 0: it was the closing quote. */
static int scan_char(Text *t, uint32_t *ret)
{
        if (skip(t, '"'))
                return 0;
        if (skip(t, '\\'))
                return scan_escape(t, ret);
        if (t->p == t->end || (unsigned char)*t->p < ' ')
                return -EBADMSG;
        return scan_utf8(t, ret);
}

static int scan_string(Text *t)
{
        uint32_t c;
        int r;

        if (!skip(t, '"'))
                return -EBADMSG;
        do
                r = scan_char(t, &c);
        while (r > 0);
        return r;
}

static bool skip_digits(Text *t)
{
        const char *start = t->p;

        while (t->p < t->end && *t->p >= '0' && *t->p <= '9')
                t->p++;
        return t->p > start;
}

static int scan_number(Text *t)
{
        skip(t, '-');
        if (!skip(t, '0') && !skip_digits(t))
                return -EBADMSG;
        if (skip(t, '.') && !skip_digits(t))
                return -EBADMSG;
        if (skip(t, 'e') || skip(t, 'E')) {
                if (!skip(t, '+'))
                        skip(t, '-');
                if (!skip_digits(t))
                        return -EBADMSG;
        }
        return 0;
}

static int scan_word(Text *t, const char *word)
{
        for (; *word; word++)
                if (!skip(t, *word))
                        return -EBADMSG;
        return 0;
}

/* Both were scanned already, so that both end. */
static bool same_string(Text a, Text b)
{
        uint32_t c, d;
        int r, q;

        skip(&a, '"');
        skip(&b, '"');
        do {
                r = scan_char(&a, &c);
                q = scan_char(&b, &d);
        } while (r > 0 && q > 0 && c == d);
        return r == 0 && q == 0;
}

/* Few keys are enough for any method and keep the time linear. */
static int add_key(Keys *keys, const char *start, const char *end)
{
        for (size_t i = 0; i < keys->n; i++)
                if (same_string((Text){ keys->start[i], end }, (Text){ start, end }))
                        return -EBADMSG;
        if (keys->n == SCAN_KEYS_MAX)
                return -E2BIG;
        keys->start[keys->n++] = start;
        return 0;
}

static int scan_value(Scanner *s);

static int scan_member(Scanner *s)
{
        const char *key;
        int r;

        skip_space(&s->text);
        key = s->text.p;
        r = scan_string(&s->text);
        if (r < 0)
                return r;
        if (s->depth <= UNIQUE_DEPTH) {
                r = add_key(&s->keys[s->depth - 1], key, s->text.end);
                if (r < 0)
                        return r;
        }
        skip_space(&s->text);
        if (!skip(&s->text, ':'))
                return -EBADMSG;
        return scan_value(s);
}

/* After the opening bracket. */
static int scan_container(Scanner *s, char closing, int (*scan_item)(Scanner *s))
{
        int r;

        if (++s->depth > s->limits->depth_max)
                return -E2BIG;
        if (s->depth <= UNIQUE_DEPTH)
                s->keys[s->depth - 1].n = 0;
        skip_space(&s->text);
        if (!skip(&s->text, closing)) {
                do {
                        r = scan_item(s);
                        if (r < 0)
                                return r;
                } while (skip(&s->text, ','));
                if (!skip(&s->text, closing))
                        return -EBADMSG;
        }
        s->depth--;
        return 0;
}

static int scan_bare_value(Scanner *s)
{
        Text *t = &s->text;

        if (t->p == t->end)
                return -EBADMSG;
        switch (*t->p) {
        case '{':
                t->p++;
                return scan_container(s, '}', scan_member);
        case '[':
                t->p++;
                return scan_container(s, ']', scan_value);
        case '"':
                return scan_string(t);
        case 't':
                return scan_word(t, "true");
        case 'f':
                return scan_word(t, "false");
        case 'n':
                return scan_word(t, "null");
        default:
                return scan_number(t);
        }
}

static int scan_value(Scanner *s)
{
        int r;

        if (++s->values > s->limits->values_max)
                return -E2BIG;
        skip_space(&s->text);
        r = scan_bare_value(s);
        skip_space(&s->text);
        return r;
}

static int scan_document(Scanner *s)
{
        int r;

        skip_space(&s->text);
        if (s->text.p == s->text.end || *s->text.p != '{')
                return -EBADMSG;
        r = scan_value(s);
        if (r < 0)
                return r;
        return s->text.p == s->text.end ? 0 : -EBADMSG;
}

int scan_object(const char *text, size_t length, const ScanLimits *limits, size_t *ret_offset)
{
        Scanner s = {
                .text = {text, text + length},
                  .limits = limits
        };
        int r;

        r = scan_document(&s);
        if (r < 0 && ret_offset)
                *ret_offset = (size_t)(s.text.p - text);
        return r;
}
