#include "binary.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#if __SIZEOF_POINTER__ == 8
typedef Elf64_Ehdr Header;
typedef Elf64_Phdr Segment;
typedef Elf64_Dyn Dynamic;
#else
typedef Elf32_Ehdr Header;
typedef Elf32_Phdr Segment;
typedef Elf32_Dyn Dynamic;
#endif

/* Far above what linkers make; a header that says more is not worth reading. */
#define SEGMENTS_MAX 64
#define DYNAMIC_MAX  512

/* Our own header, by the linker: "this machine" is whatever this program was built for, with no list to
 * keep. */
extern const Header __ehdr_start __attribute__((visibility("hidden")));

static int refuse(const char **ret_reason, const char *reason)
{
        *ret_reason = reason;
        return -ENOEXEC;
}

/* 1: all of it was there; 0: the file ends before. */
static int read_at(int fd, void *to, size_t size, uint64_t offset)
{
        ssize_t n;

        if (offset > INT64_MAX - size)
                return 0;
        n = pread(fd, to, size, (off_t)offset);
        if (n < 0)
                return -errno;
        return (size_t)n == size;
}

static int check_header(int fd, Header *ret, const char **ret_reason)
{
        int r = read_at(fd, ret, sizeof(*ret), 0);

        if (r < 0)
                return r;
        if (r == 0 || memcmp(ret->e_ident, ELFMAG, SELFMAG) != 0)
                return refuse(ret_reason, "is not an executable");
        if (ret->e_ident[EI_CLASS] != __ehdr_start.e_ident[EI_CLASS] ||
            ret->e_ident[EI_DATA] != __ehdr_start.e_ident[EI_DATA] ||
            ret->e_machine != __ehdr_start.e_machine)
                return refuse(ret_reason, "is for another machine");
        if (ret->e_type != ET_EXEC && ret->e_type != ET_DYN)
                return refuse(ret_reason, "is not an executable");
        if (ret->e_phentsize != sizeof(Segment) || ret->e_phnum == 0 || ret->e_phnum > SEGMENTS_MAX)
                return refuse(ret_reason, "is damaged");
        return 0;
}

/* A static program that can be loaded anywhere has a dynamic section too, but needs no library in it. */
static int check_dynamic(int fd, const Segment *s, const char **ret_reason)
{
        for (uint64_t i = 0; i < MIN(s->p_filesz / sizeof(Dynamic), (uint64_t)DYNAMIC_MAX); i++) {
                Dynamic d;
                int r = read_at(fd, &d, sizeof(d), s->p_offset + i * sizeof(d));

                if (r < 0)
                        return r;
                if (r == 0)
                        return refuse(ret_reason, "is damaged");
                if (d.d_tag == DT_NEEDED)
                        return refuse(ret_reason, "is dynamically linked");
                if (d.d_tag == DT_NULL)
                        break;
        }
        return 0;
}

static int check_segment(int fd, const Segment *s, uint64_t file_size, const char **ret_reason)
{
        switch (s->p_type) {
        case PT_INTERP:
                return refuse(ret_reason, "is dynamically linked");
        case PT_DYNAMIC:
                return check_dynamic(fd, s, ret_reason);
        case PT_LOAD:
                if (s->p_filesz > file_size || s->p_offset > file_size - s->p_filesz)
                        return refuse(ret_reason, "is damaged");
                return 1;
        default:
                return 0;
        }
}

int binary_check(int fd, const char **ret_reason)
{
        bool loadable = false;
        struct stat st;
        Header h;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        r = check_header(fd, &h, ret_reason);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < h.e_phnum; i++) {
                Segment s;

                r = read_at(fd, &s, sizeof(s), h.e_phoff + i * sizeof(s));
                if (r == 0)
                        return refuse(ret_reason, "is damaged");
                if (r > 0)
                        r = check_segment(fd, &s, (uint64_t)st.st_size, ret_reason);
                if (r < 0)
                        return r;
                loadable |= r > 0;
        }
        if (!loadable)
                return refuse(ret_reason, "is not an executable");
        return 0;
}
