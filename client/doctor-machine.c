/* See doctor-machine.h. */
#include "doctor-machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILE_MAX (16 * MIB) /* of what is read here: modules.dep is the largest, some hundred KiB */

static char *read_text(int root_fd, const char *path)
{
        char *text;

        return read_file_at(root_fd, path, FILE_MAX, &text, NULL) < 0 ? NULL : text;
}

static int64_t read_number(int root_fd, const char *path)
{
        _cleanup_free_ char *text = read_text(root_fd, path);
        uint64_t number;

        if (!text)
                return -1;
        text[strcspn(text, "\n")] = '\0';
        return parse_u64(text, INT64_MAX, &number) < 0 ? -1 : (int64_t)number;
}

static bool is_there(int root_fd, const char *path)
{
        return faccessat(root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

/* Whether it is one of the words of the text. */
static bool has_word(const char *text, const char *word)
{
        for (size_t n; *(text += strspn(text, " \t\n")); text += n) {
                n = strcspn(text, " \t\n");
                if (n == strlen(word) && strncmp(text, word, n) == 0)
                        return true;
        }
        return false;
}

static void probe_kernel(int root_fd, Machine *m)
{
        m->release = read_text(root_fd, "proc/sys/kernel/osrelease");
        if (!m->release)
                return;
        m->release[strcspn(m->release, "\n")] = '\0';
        if (sscanf(m->release, "%u.%u", &m->major, &m->minor) != 2)
                m->major = m->minor = 0;
}

/* On a file of a tmpfs that is nobody's else, as nsrootd tries it (daemon/launcher.c). */
static int try_tmpfs_attributes(void)
{
        _cleanup_close_ int fd = memfd_create("nsrootctl", MFD_CLOEXEC);

        if (fd < 0)
                return -1;
        return fsetxattr(fd, "user.nsroot", "", 0, 0) >= 0;
}

/* seccomp(2): what the filters of a session return. */
static bool probe_seccomp(int root_fd)
{
        _cleanup_free_ char *actions = read_text(root_fd, "proc/sys/kernel/seccomp/actions_avail");

        return actions && has_word(actions, "kill_process") && has_word(actions, "errno") &&
               has_word(actions, "allow");
}

static const char *find_missing_namespace(int root_fd)
{
        static const char *const kinds[] = { "mnt", "pid", "ipc", "uts", "cgroup", "net" };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                char path[64];

                snprintf(path, sizeof(path), "proc/self/ns/%s", kinds[i]);
                if (!is_there(root_fd, path))
                        return kinds[i];
                snprintf(path, sizeof(path), "proc/sys/user/max_%s_namespaces", kinds[i]);
                if (read_number(root_fd, path) == 0)
                        return kinds[i];
        }
        return NULL;
}

/* A kernel's list of modules has their paths: "kernel/fs/overlayfs/overlay.ko: …", perhaps compressed. */
static bool lists_overlay(int root_fd, const char *release, const char *list)
{
        _cleanup_free_ char *path = NULL, *text = NULL;

        if (asprintf(&path, "lib/modules/%s/%s", release, list) < 0)
                return false;
        text = read_text(root_fd, path);
        return text && strstr(text, "/overlay.ko");
}

static MachineOverlay probe_overlay(int root_fd, const char *release)
{
        _cleanup_free_ char *filesystems = read_text(root_fd, "proc/filesystems");

        if (filesystems && has_word(filesystems, "overlay"))
                return OVERLAY_THERE;
        if (release && (lists_overlay(root_fd, release, "modules.dep") ||
                        lists_overlay(root_fd, release, "modules.builtin")))
                return OVERLAY_MODULE;
        return OVERLAY_NONE;
}

/* What one line of mountinfo (proc(5)) says of cgroups. */
static void note_mount(int root_fd, const char *line, bool *ret_v1, Machine *m)
{
        _cleanup_free_ char *point = NULL, *path = NULL;
        const char *rest = strstr(line, " - ");
        char type[16];

        if (!rest || sscanf(rest, " - %15s", type) != 1)
                return;
        if (streq(type, "cgroup"))
                *ret_v1 = true;
        if (!streq(type, "cgroup2") || m->controllers || sscanf(line, "%*u %*u %*s %*s %ms", &point) != 1)
                return;
        if (asprintf(&path, "%s/cgroup.controllers", point + strspn(point, "/")) < 0)
                path = NULL;
        m->controllers = path ? read_text(root_fd, path) : NULL;
        if (m->controllers)
                m->controllers[strcspn(m->controllers, "\n")] = '\0';
}

static void probe_cgroups(int root_fd, Machine *m)
{
        _cleanup_free_ char *mounts = read_text(root_fd, "proc/self/mountinfo");
        bool v1 = false;
        char *next = mounts;

        for (char *line; (line = strsep(&next, "\n"));)
                note_mount(root_fd, line, &v1, m);
        if (m->controllers)
                m->cgroups = v1 ? CGROUPS_HYBRID : CGROUPS_V2;
        else
                m->cgroups = v1 ? CGROUPS_V1 : CGROUPS_NONE;
}

void machine_probe(int root_fd, Machine *ret)
{
        *ret = (Machine){
                .tmpfs_attributes = try_tmpfs_attributes(),
                .memfd_noexec = read_number(root_fd, "proc/sys/vm/memfd_noexec"),
                .seccomp = probe_seccomp(root_fd),
                .missing_namespace = find_missing_namespace(root_fd),
                .user_namespaces = is_there(root_fd, "proc/self/ns/user"),
                .max_user_namespaces = read_number(root_fd, "proc/sys/user/max_user_namespaces"),
                .systemd = is_there(root_fd, "run/systemd/system"),
        };
        probe_kernel(root_fd, ret);
        ret->overlay = probe_overlay(root_fd, ret->release);
        probe_cgroups(root_fd, ret);
}

void machine_done(Machine *m)
{
        free(m->release);
        free(m->controllers);
        *m = (Machine){};
}
