/* What is taken for a program of this machine, by ELF files made for the purpose and by real ones. */
#include "binary.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file as a linker would make it: a header, one segment to load, one more of any kind, and a dynamic
 * section. */
typedef struct File {
        Elf64_Ehdr header;
        Elf64_Phdr segments[2];
        Elf64_Dyn dynamic[3];
} File;

static File good_file(void)
{
        File f = {
                .header = {.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                                         EV_CURRENT },
                           .e_type = ET_EXEC,
                           .e_machine = EM_X86_64,
                           .e_phoff = offsetof(File, segments),
                           .e_phentsize = sizeof(Elf64_Phdr),
                           .e_phnum = 2 },
                .segments = { { .p_type = PT_LOAD, .p_filesz = sizeof(File) },
                           { .p_type = PT_NOTE, .p_offset = offsetof(File, dynamic), .p_filesz = 48 }                                         },
                .dynamic = { { .d_tag = DT_FLAGS },      { .d_tag = DT_NULL }, { .d_tag = DT_NEEDED }          },
        };

        return f;
}

static int check(const void *data, size_t size, const char **ret_reason)
{
        _cleanup_close_ int fd = memfd_create("binary", MFD_CLOEXEC);

        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, data, size), (ssize_t)size);
        return binary_check(fd, ret_reason);
}

typedef void (*Change)(File *f);

static void nothing(File *f)
{
}
static void no_magic(File *f)
{
        f->header.e_ident[1] = 'e';
}
static void other_machine(File *f)
{
        f->header.e_machine = EM_AARCH64;
}
static void other_class(File *f)
{
        f->header.e_ident[EI_CLASS] = ELFCLASS32;
}
static void other_order(File *f)
{
        f->header.e_ident[EI_DATA] = ELFDATA2MSB;
}
static void object_file(File *f)
{
        f->header.e_type = ET_REL;
}
static void no_segments(File *f)
{
        f->header.e_phnum = 0;
}
static void many_segments(File *f)
{
        f->header.e_phnum = 65535;
}
static void odd_segments(File *f)
{
        f->header.e_phentsize = 8;
}
static void segments_elsewhere(File *f)
{
        f->header.e_phoff = UINT64_MAX - 8;
}
static void nothing_to_load(File *f)
{
        f->segments[0].p_type = PT_NOTE;
}
static void cut_short(File *f)
{
        f->segments[0].p_filesz = sizeof(File) + 1;
}
static void load_beyond(File *f)
{
        f->segments[0].p_offset = UINT64_MAX;
}
static void interpreter(File *f)
{
        f->segments[1].p_type = PT_INTERP;
}
static void static_pie(File *f)
{
        f->header.e_type = ET_DYN;
        f->segments[1].p_type = PT_DYNAMIC;
}
static void needs_library(File *f)
{
        f->segments[1].p_type = PT_DYNAMIC;
        f->dynamic[1].d_tag = DT_DEBUG;
}
static void dynamic_beyond(File *f)
{
        f->segments[1].p_type = PT_DYNAMIC;
        f->segments[1].p_offset = sizeof(File);
}

static const struct {
        Change change;
        const char *reason; /* NULL: it is good */
} cases[] = {
        {nothing,             NULL                    },
        { static_pie,         NULL                    },
        { no_magic,           "is not an executable"  },
        { object_file,        "is not an executable"  },
        { nothing_to_load,    "is not an executable"  },
        { other_machine,      "is for another machine"},
        { other_class,        "is for another machine"},
        { other_order,        "is for another machine"},
        { interpreter,        "is dynamically linked" },
        { needs_library,      "is dynamically linked" },
        { no_segments,        "is damaged"            },
        { many_segments,      "is damaged"            },
        { odd_segments,       "is damaged"            },
        { segments_elsewhere, "is damaged"            },
        { cut_short,          "is damaged"            },
        { load_beyond,        "is damaged"            },
        { dynamic_beyond,     "is damaged"            },
};

#ifdef __x86_64__
Test(binary, headers)
{
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                File f = good_file();
                const char *reason = NULL;
                int r;

                cases[i].change(&f);
                r = check(&f, sizeof(f), &reason);
                if (!cases[i].reason) {
                        cr_expect_eq(r, 0, "case %zu: %d %s", i, r, reason ? reason : "");
                        continue;
                }
                cr_expect_eq(r, -ENOEXEC, "case %zu: %d", i, r);
                cr_expect_str_eq(reason, cases[i].reason, "case %zu: %s", i, reason);
        }
}

/* Cut at every byte, it is never taken for whole, and never read past its end. */
Test(binary, every_truncation)
{
        File f = good_file();

        for (size_t size = 0; size < sizeof(f); size++) {
                const char *reason = NULL;

                cr_expect_eq(check(&f, size, &reason), -ENOEXEC, "%zu bytes", size);
        }
}
#endif

static int check_path(const char *path, const char **ret_reason)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : binary_check(fd, ret_reason);
}

Test(binary, real_files)
{
        const char *reason = NULL;

        cr_expect_eq(check_path("/proc/self/exe", &reason), -ENOEXEC);
        cr_expect_str_eq(reason, "is dynamically linked");
        cr_expect_eq(check_path("/etc/passwd", &reason), -ENOEXEC);
        cr_expect_str_eq(reason, "is not an executable");
        cr_expect_eq(check_path("/dev/null", &reason), -ENOEXEC);
        if (access("/bin/busybox", R_OK) == 0)
                cr_expect_eq(check_path("/bin/busybox", &reason), 0, "%s", reason);
}

Test(binary, position_stays)
{
        _cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        const char *reason;

        cr_assert_eq(lseek(fd, 5, SEEK_SET), 5);
        cr_expect_eq(binary_check(fd, &reason), -ENOEXEC);
        cr_expect_eq(lseek(fd, 0, SEEK_CUR), 5);
}
