#include "digest.h"

/* The functions of SHA-256 itself: through EVP, OpenSSL 3 loads all of its algorithms, which is a third of
 * what the daemon has in memory. */
#define OPENSSL_API_COMPAT 10100
#include <openssl/sha.h>
#include <stdio.h>
#include <unistd.h>

struct Digest {
        SHA256_CTX context;
};

int digest_new(Digest **ret)
{
        _cleanup_(digest_freep) Digest *d = calloc(1, sizeof(Digest));

        if (!d)
                return -ENOMEM;
        if (SHA256_Init(&d->context) != 1)
                return -EIO;
        *ret = TAKE_PTR(d);
        return 0;
}

Digest *digest_free(Digest *d)
{
        free(d);
        return NULL;
}

int digest_add(Digest *d, const void *data, size_t size)
{
        return SHA256_Update(&d->context, data, size) == 1 ? 0 : -EIO;
}

int digest_finish(Digest *d, char ret_hex[static DIGEST_HEX_SIZE])
{
        unsigned char raw[SHA256_DIGEST_LENGTH];

        _Static_assert(sizeof(raw) * 2 + 1 == DIGEST_HEX_SIZE, "it is SHA-256");
        if (SHA256_Final(raw, &d->context) != 1)
                return -EIO;
        for (size_t i = 0; i < sizeof(raw); i++)
                snprintf(ret_hex + 2 * i, 3, "%02x", raw[i]);
        return 0;
}

int digest_add_file(Digest *d, int fd, uint64_t *offset, uint64_t max)
{
        char block[32 * KIB];

        for (uint64_t end = *offset + max; *offset < end;) {
                ssize_t n = pread(fd, block, MIN(sizeof(block), end - *offset), (off_t)*offset);
                int r;

                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                r = digest_add(d, block, (size_t)n);
                if (r < 0)
                        return r;
                *offset += (uint64_t)n;
        }
        return 1;
}

int digest_file(int fd, char ret_hex[static DIGEST_HEX_SIZE])
{
        _cleanup_(digest_freep) Digest *d = NULL;
        uint64_t offset = 0;
        int r;

        r = digest_new(&d);
        while (r >= 0) {
                r = digest_add_file(d, fd, &offset, MIB);
                if (r == 0)
                        return digest_finish(d, ret_hex);
        }
        return r;
}
