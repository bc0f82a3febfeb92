/* Pieces of output, by record.h. */
#include "record.h"

#include <json-c/linkhash.h>

#include "text.h"
#include "value.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The six bits that a character stands for; -1: it is none. */
static int six_bits(char c)
{
        const char *found = c ? strchr(alphabet, c) : NULL;

        return found ? (int)(found - alphabet) : -1;
}

/* *ret has room for three bytes for each four. */
static int decode(const char *text, char *ret, size_t *ret_length)
{
        size_t length = strlen(text), n = 0;
        uint32_t bits = 0;

        if (length % 4 != 0)
                return -EBADMSG;
        while (length > 0 && text[length - 1] == '=' && n < 2)
                length--, n++;
        n = 0;
        for (size_t i = 0; i < length; i++) {
                int six = six_bits(text[i]);

                if (six < 0)
                        return -EBADMSG;
                bits = bits << 6 | (uint32_t)six;
                if (i % 4 != 0)
                        ret[n++] = (char)(bits >> (6 - 2 * (i % 4)));
        }
        *ret_length = n;
        return 0;
}

static char *encode(const char *data, size_t length)
{
        char *text = calloc(1, (length + 2) / 3 * 4 + 1), *to = text;

        for (size_t i = 0; text && i < length; i += 3, to += 4) {
                uint32_t bits = 0;

                for (size_t k = 0; k < 3; k++)
                        bits = bits << 8 | (i + k < length ? (unsigned char)data[i + k] : 0);
                for (size_t k = 0; k < 4; k++)
                        to[k] = i + k <= length ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
        }
        return text;
}

int record_parse(struct json_object *o, Record *ret)
{
        const char *stream = value_text(o, "stream"), *text = value_text(o, "dataBase64");
        int64_t lost = value_number(o, "lost", 0);
        _cleanup_free_ char *data = NULL;
        size_t length = 0;

        if (!stream || !text || lost < 0)
                return -EBADMSG;
        data = calloc(1, strlen(text) / 4 * 3 + 1);
        if (!data)
                return -ENOMEM;
        if (decode(text, data, &length) < 0)
                return -EBADMSG;
        data[length] = '\0';
        *ret = (Record){ stream, TAKE_PTR(data), length, (uint64_t)lost };
        return 0;
}

void record_done(Record *r)
{
        free(r->data);
        *r = (Record){};
}

struct json_object *record_build(struct json_object *o, const Record *r)
{
        _cleanup_value_ struct json_object *built = json_object_new_object();
        _cleanup_free_ char *text = encode(r->data, r->length);
        bool readable = strlen(r->data) == r->length && text_is_utf8(r->data);

        if (!built || !text)
                return NULL;
        json_object_object_foreach(o, key, value)
        {
                if (!streq(key, "dataBase64") && !streq(key, "lost") &&
                    json_object_object_add(built, key, json_object_get(value)) < 0)
                        return NULL;
        }
        if (value_add_text(built, "dataBase64", text) < 0 ||
            (readable && value_add_text(built, "data", r->data) < 0) ||
            (r->lost > 0 && value_add_number(built, "lost", (int64_t)r->lost) < 0))
                return NULL;
        return TAKE_PTR(built);
}

/* How many of the next n bytes were seen. */
static uint64_t pass(Place *p, uint64_t n)
{
        uint64_t old = p->at < p->seen ? MIN(n, p->seen - p->at) : 0;

        p->at += n;
        p->seen = MAX(p->seen, p->at);
        return old;
}

bool place_pass(Place *p, Record *r)
{
        size_t old;

        r->lost -= pass(p, r->lost);
        old = (size_t)pass(p, r->length);
        r->length -= old;
        memmove(r->data, r->data + old, r->length + 1);
        return r->lost > 0 || r->length > 0;
}
