#include "metadata.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "field.h"
#include "scan.h"
#include "tree.h"

/* A newer form gets a new number; this program reads all up to its own. */
#define FORMAT_VERSION    1
#define METADATA_SIZE_MAX ((size_t)16 * 1024)
#define URL_LENGTH_MAX    4096

/* The file's fields as field.h reads them. */
typedef struct Record {
        int64_t format;
        char *name;
        char *source;
        char *digest;
        char *binary_digest;
        int64_t size_bytes;
} Record;

static const Field record_fields[] = {
        {"format",         FIELD_INT, offsetof(Record, format), true, 1, FORMAT_VERSION },
        { "name", FIELD_STRING, offsetof(Record, name), true, 1, 63 },
        { "source",            FIELD_STRING, offsetof(Record, source), true, 1, URL_LENGTH_MAX },
        { "digest",  FIELD_STRING, offsetof(Record, digest), true, 64, 64 },
        { "binaryDigest",          FIELD_STRING, offsetof(Record, binary_digest), true, 64, 64 },
        { "sizeBytes", FIELD_INT, offsetof(Record, size_bytes), true, 0, INT64_MAX },
        {             },
};

static void record_done(Record *r)
{
        fields_done(record_fields, r);
}

void metadata_done(Metadata *m)
{
        free(m->name);
        free(m->source);
        *m = (Metadata){};
}

/* The digest becomes the name of a directory: hex digits only. */
static bool is_digest(const char *text)
{
        return strlen(text) == DIGEST_HEX_SIZE - 1 &&
               strspn(text, "0123456789abcdef") == DIGEST_HEX_SIZE - 1;
}

static int parse_record(const char *text, size_t length, Record *ret)
{
        _cleanup_error_ Error ignored = {};
        struct json_object *object;
        int r;

        if (scan_object(text, length, &(ScanLimits){ .depth_max = 1, .values_max = 64 }, NULL) < 0)
                return -EBADMSG;
        object = json_tokener_parse(text);
        if (!object)
                return -EBADMSG;
        r = fields_parse(object, record_fields, ret, &ignored);
        json_object_put(object);
        return r == -EREMOTEIO ? -EBADMSG : r;
}

int metadata_parse(const char *text, size_t length, Metadata *ret)
{
        _cleanup_(record_done) Record record = { .format = FIELD_ABSENT };
        int r;

        r = parse_record(text, length, &record);
        if (r < 0)
                return r;
        if (!is_digest(record.digest) || !is_digest(record.binary_digest))
                return -EBADMSG;
        *ret = (Metadata){ .name = TAKE_PTR(record.name),
                           .source = TAKE_PTR(record.source),
                           .size_bytes = record.size_bytes };
        memcpy(ret->digest, record.digest, DIGEST_HEX_SIZE);
        memcpy(ret->binary_digest, record.binary_digest, DIGEST_HEX_SIZE);
        return 0;
}

static int add(struct json_object *object, const char *key, struct json_object *value)
{
        if (value && json_object_object_add(object, key, value) == 0)
                return 0;
        json_object_put(value);
        return -ENOMEM;
}

int metadata_format(const Metadata *m, char **ret)
{
        struct json_object *object = json_object_new_object();
        const char *text;
        int r = -ENOMEM;

        if (object && add(object, "format", json_object_new_int(FORMAT_VERSION)) >= 0 &&
            add(object, "name", json_object_new_string(m->name)) >= 0 &&
            add(object, "source", json_object_new_string(m->source)) >= 0 &&
            add(object, "digest", json_object_new_string(m->digest)) >= 0 &&
            add(object, "binaryDigest", json_object_new_string(m->binary_digest)) >= 0 &&
            add(object, "sizeBytes", json_object_new_int64(m->size_bytes)) >= 0) {
                text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
                                                                      JSON_C_TO_STRING_NOSLASHESCAPE);
                r = text && asprintf(ret, "%s\n", text) >= 0 ? 0 : -ENOMEM;
        }
        json_object_put(object);
        return r;
}

static int file_name(const char *name, char **ret)
{
        return asprintf(ret, "%s.json", name) < 0 ? -ENOMEM : 0;
}

/* Nothing that a read might wait for. */
static int check_regular(int dir_fd, const char *file)
{
        struct stat st;

        if (fstatat(dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? 0 : -EBADMSG;
}

int metadata_read(int dir_fd, const char *name, Metadata *ret)
{
        _cleanup_(metadata_done) Metadata m = {};
        _cleanup_free_ char *file = NULL, *text = NULL;
        size_t length;
        int r;

        r = file_name(name, &file);
        if (r >= 0)
                r = check_regular(dir_fd, file);
        if (r >= 0)
                r = read_file_at(dir_fd, file, METADATA_SIZE_MAX, &text, &length);
        if (r >= 0)
                r = metadata_parse(text, length, &m);
        if (r < 0)
                return r;
        if (!streq(m.name, name))
                return -EBADMSG;
        *ret = m;
        m = (Metadata){};
        return 0;
}

/* Writes the text under a name that a start of the daemon clears away, so that a crash leaves nothing. */
static int write_synced(int dir_fd, const char *name, const char *text)
{
        _cleanup_close_ int fd =
                openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        size_t length = strlen(text);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = write(fd, text, length);
        if (n < 0)
                return -errno;
        if ((size_t)n != length)
                return -ENOSPC;
        return fsync(fd) < 0 ? -errno : 0;
}

/* A directory there is none of ours. */
static int put_in_place(int dir_fd, const char *temporary, const char *file)
{
        int r;

        if (renameat(dir_fd, temporary, dir_fd, file) == 0)
                return 0;
        if (errno != EISDIR)
                return -errno;
        r = tree_remove(dir_fd, file);
        if (r < 0)
                return r;
        return renameat(dir_fd, temporary, dir_fd, file) < 0 ? -errno : 0;
}

int metadata_write(int dir_fd, const Metadata *m)
{
        _cleanup_free_ char *file = NULL, *text = NULL;
        char temporary[TREE_NAME_SIZE];
        int r;

        r = file_name(m->name, &file);
        if (r >= 0)
                r = metadata_format(m, &text);
        if (r >= 0)
                r = tree_name(".metadata-", temporary);
        if (r < 0)
                return r;
        r = write_synced(dir_fd, temporary, text);
        if (r >= 0)
                r = put_in_place(dir_fd, temporary, file);
        if (r < 0) {
                unlinkat(dir_fd, temporary, 0);
                return r;
        }
        return fsync(dir_fd) < 0 ? -errno : 0;
}

int metadata_remove(int dir_fd, const char *name)
{
        _cleanup_free_ char *file = NULL;
        int r;

        r = file_name(name, &file);
        if (r < 0)
                return r;
        r = tree_remove(dir_fd, file);
        if (r < 0)
                return r;
        return fsync(dir_fd) < 0 ? -errno : 0;
}
