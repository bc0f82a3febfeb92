/* A stand-in for busybox in the tests of roots: a static program that, asked for its applets, prints what
 * stands behind its own image after the mark; or, where that is one of a few words, misbehaves, or says what
 * it can see of the machine it runs on, each thing as the name of an applet. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Not as one string, or it would be found in the image. */
#define MARK_LENGTH 8
static const char mark_letters[MARK_LENGTH] = { '\n', 'M', 'A', 'R', 'K', 'E', 'D', '\n' };

/* How many names there are in a directory; -1 if it cannot be read. */
static int count(const char *path)
{
        DIR *d = opendir(path);
        int n = -2; /* . and .. */

        if (!d)
                return -1;
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static unsigned bounding_set(void)
{
        unsigned n = 0;

        for (int i = 0; i < 64; i++)
                n += prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1;
        return n;
}

/* A line of /proc/self/status, as it is after the colon and blanks. */
static void print_status(const char *key)
{
        FILE *f = fopen("/proc/self/status", "re");
        char line[256], value[128];

        while (f && fgets(line, sizeof(line), f))
                if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), ":%127s", value) == 1)
                        printf("%s-%s\n", key, value);
        if (f)
                fclose(f);
}

static void print_view(void)
{
        struct rlimit limit;

        printf("uid-%u\ngid-%u\ngroups-%d\n", getuid(), getgid(), getgroups(0, NULL));
        printf("pid-%d\nparent-%d\n", getpid(), getppid());
        printf("bounding-%u\n", bounding_set());
        print_status("CapPrm");
        print_status("CapEff");
        print_status("CapAmb");
        print_status("NoNewPrivs");
        print_status("SigIgn");
        print_status("SigBlk");
        printf("root-%d\n", count("/"));            /* proc */
        printf("fds-%d\n", count("/proc/self/fd")); /* 0, 1, 2 and that of the directory itself */
        printf("processes-%d\n", access("/proc/2", F_OK) == 0 || access("/proc/uptime", F_OK) == 0);
        printf("interfaces-%d\n",
               access("/proc/self/net/dev", F_OK) == 0 ? count("/proc/self/net/dev_snmp6") : -1);
        printf("environment-%d\n", environ && environ[0]);
        printf("write-%d\n", open("/new", O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0);
        printf("mount-%d\n", mount("none", "/proc", "tmpfs", 0, NULL) < 0 ? errno : 0);
        printf("unshare-%d\n", unshare(CLONE_NEWNS) < 0 ? errno : 0);
        getrlimit(RLIMIT_CORE, &limit);
        printf("core-%d\n", (int)limit.rlim_max);
}

static void flood(void)
{
        for (;;)
                if (puts("sh") < 0)
                        exit(0);
}

static void hang(void)
{
        close(1);
        for (;;)
                pause();
}

static void crash(void)
{
        puts("sh");
        fflush(stdout);
        exit(3);
}

static const struct {
        const char *word;
        void (*act)(void);
} words[] = {
        {"FLOOD",  flood     },
        { "HANG",  hang      },
        { "CRASH", crash     },
        { "VIEW",  print_view},
};

static char text[1 << 21];

static const char *own_text(size_t *ret_length)
{
        int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
        char *found = n < 0 ? NULL : memmem(text, (size_t)n, mark_letters, MARK_LENGTH);

        for (char *next = found; next;
             next = memmem(next, (size_t)(text + n - next), mark_letters, MARK_LENGTH)) {
                found = next;
                next += MARK_LENGTH;
        }
        close(fd);
        if (!found)
                exit(4);
        *ret_length = (size_t)(text + n - found) - MARK_LENGTH;
        return found + MARK_LENGTH;
}

/* "OLD" in front: only the older question is understood. */
int main(int argc, char **argv)
{
        size_t length;
        const char *list = own_text(&length);

        if (length >= 3 && memcmp(list, "OLD", 3) == 0) {
                if (argc != 2 || strcmp(argv[1], "--list") != 0)
                        return 127;
                list += 3;
                length -= 3;
        }
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (length == strlen(words[i].word) && memcmp(list, words[i].word, length) == 0) {
                        words[i].act();
                        return 0;
                }
        return fwrite(list, 1, length, stdout) == length ? 0 : 5;
}
