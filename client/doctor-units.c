/* See doctor-units.h. */
#include "doctor-units.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE   (5 * USEC_PER_SEC)
#define OUTPUT_MAX 8192

extern char **environ;

static void set_text(char **member, const char *value)
{
        free(*member);
        *member = *value ? strdup(value) : NULL;
}

static void set_socket(Units *u, const char *key, char *value)
{
        if (streq(key, "LoadState"))
                u->installed = streq(value, "loaded");
        else if (streq(key, "ActiveState"))
                set_text(&u->socket_state, value);
        else if (streq(key, "Listen") && !u->listens) { /* "/run/nsrootd/varlink (Stream)" */
                value[strcspn(value, " ")] = '\0';
                set_text(&u->listens, value);
        }
}

static void set_service(Units *u, const char *key, const char *value)
{
        uint64_t number;

        if (streq(key, "ActiveState"))
                set_text(&u->service_state, value);
        else if (streq(key, "FileDescriptorStoreMax") && parse_u64(value, INT64_MAX, &number) >= 0)
                u->descriptor_store_max = (int64_t)number;
}

/* Blocks of KEY=VALUE, in the order the units were named in, with an empty line between them. */
void units_parse(char *text, Units *ret)
{
        bool service = false;

        *ret = (Units){ .descriptor_store_max = -1 };
        for (char *line; (line = strsep(&text, "\n"));) {
                char *value = strchr(line, '=');

                if (!value) {
                        service = service || ret->known;
                        continue;
                }
                *value++ = '\0';
                ret->known = true;
                if (service)
                        set_service(ret, line, value);
                else
                        set_socket(ret, line, value);
        }
}

static int start(int output, pid_t *ret)
{
        static const char *const argv[] = { "systemctl",
                                            "show",
                                            "--no-pager",
                                            "--property=LoadState",
                                            "--property=ActiveState",
                                            "--property=Listen",
                                            "--property=FileDescriptorStoreMax",
                                            "nsrootd.socket",
                                            "nsrootd.service",
                                            NULL };
        posix_spawn_file_actions_t actions;
        int e = posix_spawn_file_actions_init(&actions);

        if (e != 0)
                return -e;
        e = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (e == 0)
                e = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        if (e == 0)
                e = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (e == 0)
                e = posix_spawnp(ret, argv[0], &actions, NULL, (char **)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return -e;
}

/* Up to its end, or for as long as there is patience. */
static void read_output(int fd, char text[static OUTPUT_MAX])
{
        uint64_t end = now_usec(CLOCK_MONOTONIC) + PATIENCE, now;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t length = 0;

        while (length + 1 < OUTPUT_MAX && (now = now_usec(CLOCK_MONOTONIC)) < end) {
                ssize_t n;

                if (poll(&p, 1, (int)((end - now) / USEC_PER_MSEC) + 1) <= 0)
                        continue;
                n = read(fd, text + length, OUTPUT_MAX - 1 - length);
                if (n <= 0)
                        break;
                length += (size_t)n;
        }
        text[length] = '\0';
}

void units_probe(Units *ret)
{
        _cleanup_close_ int reader = -EBADF, writer = -EBADF;
        char text[OUTPUT_MAX] = "";
        int ends[2];
        pid_t pid;

        *ret = (Units){ .descriptor_store_max = -1 };
        if (pipe2(ends, O_CLOEXEC) < 0)
                return;
        reader = ends[0];
        writer = ends[1];
        if (start(writer, &pid) < 0)
                return;
        writer = close_fd(writer);
        read_output(reader, text);
        (void)kill(pid, SIGKILL); /* its output is over, or nobody waits for it any more */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        units_parse(text, ret);
}

void units_done(Units *u)
{
        free(u->socket_state);
        free(u->service_state);
        free(u->listens);
        *u = (Units){};
}
