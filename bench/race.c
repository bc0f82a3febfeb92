/* usage: race ROUNDS [PAUSE] < COMMANDS  each command in turn, ROUNDS times over, one at a time, and so many
 *                                        microseconds after each, so that none pays for another's remains
 *        race -j CALLERS SECONDS < COMMAND   as many at once as there are callers, for so long
 *
 * A command is a line: words between blanks, of which the first ones may be NAME=VALUE or uid=NUMBER (whom
 * it runs as); {n} stands for a number that is another each time. Its output goes nowhere. Prints, of the
 * first form, a line for each run: which command, microseconds from the vfork to the end, microseconds of
 * processor time of it and what it waited for, exit status. Of the second: how many ended well, how many did
 * not, and the microseconds of each.
 *
 * Written in C because what is measured takes less than what most languages need to start a process. */
#define _GNU_SOURCE
#include <ctype.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 64
#define WORDS_MAX    64
#define CALLERS_MAX  256

static FILE *figures; /* what is measured has a stderr of its own */

typedef struct Command {
        char *words[WORDS_MAX + 1], *environment[WORDS_MAX + 1];
        uid_t uid;
} Command;

static uint64_t now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int is_setting(const char *word)
{
        const char *equals = strchr(word, '=');

        return equals && (isupper((unsigned char)*word) || strncmp(word, "uid=", 4) == 0);
}

static void parse(char *line, Command *c)
{
        size_t n = 0, e = 0;

        *c = (Command){ .uid = 0 };
        c->environment[e++] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        for (char *word = strtok(line, " \n"); word && n < WORDS_MAX && e < WORDS_MAX;
             word = strtok(NULL, " \n")) {
                if (n > 0 || !is_setting(word))
                        c->words[n++] = word;
                else if (strncmp(word, "uid=", 4) == 0)
                        c->uid = (uid_t)atoi(word + 4);
                else
                        c->environment[e++] = word;
        }
}

/* The words with the number in place of {n}; into room that is used again. */
static void number(const Command *c, unsigned serial, char room[WORDS_MAX][256], char *ret[WORDS_MAX + 1])
{
        size_t i = 0;

        for (; c->words[i]; i++) {
                const char *at = strstr(c->words[i], "{n}");

                ret[i] = c->words[i];
                if (!at)
                        continue;
                snprintf(room[i], sizeof(room[i]), "%.*s%u%s", (int)(at - c->words[i]), c->words[i], serial,
                         at + 3);
                ret[i] = room[i];
        }
        ret[i] = NULL;
}

/* By the plain system calls: the C library's would tell threads that are not here, in memory that is the
 * caller's. */
static void become(uid_t uid)
{
        if (uid && (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, uid, uid, uid) < 0 ||
                    syscall(SYS_setresuid, uid, uid, uid) < 0))
                _exit(126);
}

static int run(const Command *c, unsigned serial, uint64_t *ret_usec, uint64_t *ret_cpu)
{
        static char room[WORDS_MAX][256];
        char *words[WORDS_MAX + 1];
        struct rusage usage;
        uint64_t begin;
        int status;
        pid_t pid;

        number(c, serial, room, words);
        begin = now();
        pid = vfork();
        if (pid == 0) {
                become(c->uid);
                execve(words[0], words, c->environment);
                _exit(127);
        }
        if (pid < 0 || wait4(pid, &status, 0, &usage) < 0)
                return -1;
        *ret_usec = now() - begin;
        *ret_cpu = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                   (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int in_turn(const Command *commands, size_t n, unsigned rounds, unsigned pause_usec)
{
        uint64_t usec, cpu;

        for (unsigned round = 0; round < rounds; round++)
                for (size_t i = 0; i < n; i++) {
                        int status = run(&commands[i], round, &usec, &cpu);

                        fprintf(figures, "%zu %lu %lu %d\n", i, usec, cpu, status);
                        if (pause_usec)
                                usleep(pause_usec);
                }
        return 0;
}

static void call(const Command *c, unsigned caller, uint64_t end, FILE *to)
{
        for (unsigned serial = caller * 1000000; now() < end; serial++) {
                uint64_t usec, cpu;
                int status = run(c, serial, &usec, &cpu);

                fprintf(to, "0 %lu %lu %d\n", usec, cpu, status);
        }
        fflush(to);
}

static int at_once(const Command *c, unsigned callers, unsigned seconds)
{
        uint64_t end = now() + (uint64_t)seconds * 1000000;

        for (unsigned i = 0; i < callers && i < CALLERS_MAX; i++)
                if (fork() == 0) {
                        FILE *own = tmpfile();
                        char line[128];

                        call(c, i, end, own);
                        rewind(own);
                        while (fgets(line, sizeof(line),
                                     own)) /* each line whole: they are shorter than a pipe's buffer */
                                if (write(fileno(figures), line, strlen(line)) < 0)
                                        _exit(1);
                        _exit(0);
                }
        while (wait(NULL) > 0)
                ;
        return 0;
}

int main(int argc, char **argv)
{
        static Command commands[COMMANDS_MAX];
        size_t n = 0;
        char *line = NULL;
        size_t size = 0;
        int null = open("/dev/null", O_RDWR);

        while (n < COMMANDS_MAX && getline(&line, &size, stdin) > 0)
                parse(strdup(line), &commands[n++]);
        if (argc < 2 || n == 0)
                return 2;
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        figures = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10), "w");
        dup2(null, STDERR_FILENO);
        return strcmp(argv[1], "-j") == 0
                       ? at_once(&commands[0], (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]))
                       : in_turn(commands, n, (unsigned)atoi(argv[1]),
                                 argc > 2 ? (unsigned)atoi(argv[2]) : 0);
}
