/* Starts a command: forks, and walks a table of steps up to the exec, the mirror of child.c. Its
 * pid, and a failure, come back through a pipe that the exec closes. */
#include "spawn.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caps.h"
#include "family.h"
#include "init.h"
#include "keeper.h"
#include "terminal.h"

/* How often it is looked whether a command that is about to run was stopped. */
#define LOOK_MSEC 50

typedef struct Spawn {
        const Init *init;
        const Job *job;
        Failure failure; /* index is where the step is in its list */
} Spawn;

/* What comes through the pipe: first the command's pid, then a failure, if there is one. */
typedef struct Report {
        pid_t pid;
        Failure failure;
} Report;

static int do_session(Spawn *s)
{
        if (setsid() < 0)
                return -errno;
        if (s->job->order.flags & SPAWN_TERMINAL)
                return terminal_make_controlling(s->job->stdio);
        return 0;
}

/* All sources lie above 2: init keeps the null device on 0, 1 and 2, which is also what is meant by "none".
 */
static int do_stdio(Spawn *s)
{
        for (int i = 0; i < 3; i++)
                if (s->job->stdio[i] >= 0 && dup2(s->job->stdio[i], i) < 0)
                        return -errno;
        return result_of(syscall(SYS_close_range, SPAWN_STATUS_FD + 1, ~0U, 0));
}

static bool is_inherited(const Init *init, uint32_t resource, const struct rlimit *wanted)
{
        const struct rlimit *own = &init->limits[resource];

        return own->rlim_cur == wanted->rlim_cur && own->rlim_max == wanted->rlim_max;
}

static int do_limits(Spawn *s)
{
        for (s->failure.index = 0; s->failure.index < RLIM_NLIMITS; s->failure.index++) {
                uint32_t i = s->failure.index;
                struct rlimit l = { s->job->order.limits[i].soft, s->job->order.limits[i].hard };

                if (!is_inherited(s->init, i, &l) && setrlimit((int)i, &l) < 0)
                        return -errno;
        }
        return 0;
}

/* Where the session has one id only, nsroot-init has had nothing else since its exec (child.c): there
 * is nothing to give up in this step and the two below, and nobody who could. What holds is read back. */
static bool is_bound(const Spawn *s)
{
        return s->init->only_id != 0;
}

static int do_bounding(Spawn *s)
{
        return is_bound(s) || s->job->user.uid == 0 ? 0 : caps_drop_bounding(PROFILE_CAPS);
}

static int do_securebits(Spawn *s)
{
        if (is_bound(s))
                return 0;
        return result_of(prctl(PR_SET_SECUREBITS,
                               s->job->user.uid == 0 ? PROFILE_SECUREBITS_ROOT : PROFILE_SECUREBITS_USER, 0,
                               0, 0));
}

static int do_become(Spawn *s)
{
        uid_t uid = s->job->user.uid;
        gid_t gid = s->job->user.gid;

        if (is_bound(s))
                return 0;
        if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
            syscall(SYS_setresuid, uid, uid, uid) < 0)
                return -errno;
        return 0;
}

/* As the user, by whose rights it is looked up. A directory that is not below the root has a name that does
 * not begin with a slash (getcwd(2)). */
static int do_directory(Spawn *s)
{
        char name[PATH_MAX];

        if (chdir(s->job->directory) < 0 || syscall(SYS_getcwd, name, sizeof(name)) < 0)
                return -errno;
        return name[0] == '/' ? 0 : -EXDEV;
}

static int do_caps(Spawn *s)
{
        return caps_set(s->job->user.uid == 0 ? PROFILE_CAPS : 0);
}

static int do_check(Spawn *s)
{
        Failure f;

        if (profile_check(s->init, s->job, &f))
                return 0;
        s->failure.index = f.index;
        return -(int)f.error;
}

/* The errno that says most, of all places that were tried: something is there but cannot be run, before
 * nothing is. */
static int search(const char *path, char *const *argv, char *const *envp)
{
        int result = -ENOENT;

        for (const char *at = path; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
                size_t n = strcspn(at, ":");
                char file[PATH_MAX];

                if (n + 1 + strlen(argv[0]) >= sizeof(file))
                        continue;
                memcpy(file, at, n);
                stpcpy(stpcpy(file + n, n ? "/" : ""), argv[0]);
                execve(file, argv, envp);
                if (errno != ENOENT && errno != ENOTDIR)
                        result = -errno;
        }
        return result;
}

static int do_exec(Spawn *s)
{
        char *const *argv = s->job->argv, *const *envp = s->job->envp;
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (!argv[0][0])
                return -ENOENT;
        if (strchr(argv[0], '/'))
                return result_of(execve(argv[0], argv, envp));
        return search(s->job->path ? s->job->path : "/bin:/usr/bin", argv, envp);
}

static void report(pid_t pid, const Failure *f)
{
        Report r = { .pid = pid, .failure = *f };

        (void)!write(SPAWN_STATUS_FD, &r, sizeof(r));
}

static _noreturn_ void run(Spawn *s)
{
        static const struct {
                Step step;
                int (*run)(Spawn *s);
        } steps[] = {
#define X(id, function, words) { STEP_##id, do_##function },
                SPAWN_STEPS(X)
#undef X
        };

        report(getpid(), &s->failure);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                s->failure.index = 0;
                int r = steps[i].run(s);
                if (r < 0) {
                        fail(&s->failure, steps[i].step, s->failure.index, r);
                        break;
                }
        }
        report(getpid(), &s->failure);
        _exit(EXIT_FAILURE);
}

static void run_kept(void *data)
{
        run(data);
}

/* A main command's lifeline is the session's, which PID 1 ends. */
static bool is_kept(const Job *job)
{
        return job->lifeline >= 0 && !(job->order.flags & SPAWN_MAIN);
}

static _noreturn_ void run_child(const Init *init, const Job *job, int status)
{
        Spawn s = { .init = init, .job = job };

        if (status != SPAWN_STATUS_FD && dup3(status, SPAWN_STATUS_FD, O_CLOEXEC) < 0)
                _exit(EXIT_FAILURE);
        if (!is_kept(job))
                run(&s);
        fail(&s.failure, STEP_FORK, 0, keeper_run(job->lifeline, run_kept, &s));
        report(0, &s.failure);
        _exit(EXIT_FAILURE);
}

/* A SIGSTOP from inside the session reaches a command, or its keeper, before the exec too, and nobody but
 * who sent it would let it go on: we are not to wait for him. False: so it was, and it is killed. */
static bool await_report(int status, pid_t pid)
{
        struct pollfd p = { .fd = status, .events = POLLIN };

        while (poll(&p, 1, LOOK_MSEC) != 1)
                if (family_kill_stopped(pid))
                        return false;
        return true;
}

/* Waits for the exec or the failure. */
static bool await_exec(int status, pid_t pid, pid_t *ret_group, Failure *f)
{
        Report r;
        pid_t group = 0;
        ssize_t n;

        for (;;) {
                if (!await_report(status, pid))
                        return fail(f, STEP_EXEC, 0, EINTR);
                n = read(status, &r, sizeof(r));
                if (n != sizeof(r))
                        break;
                if (r.failure.error) {
                        *f = r.failure;
                        return false;
                }
                group = r.pid;
        }
        if (n != 0 || !group)
                return fail(f, STEP_FORK, 0, EIO);
        *ret_group = group;
        return true;
}

/* The first command is alone: nobody can stop it on its way to the exec, and so it may borrow our memory. */
static pid_t fork_child(const Init *init, const Job *job, int status)
{
        pid_t pid = job->order.flags & SPAWN_MAIN ? vfork() : fork();

        if (pid == 0)
                run_child(init, job, status);
        return pid;
}

static bool fork_and_run(const Init *init, const Job *job, Running *ret, Failure *f)
{
        int ends[2];
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return fail(f, STEP_FORK, 0, errno);
        _cleanup_close_ int reader = ends[0];
        _cleanup_close_ int writer = ends[1];
        pid = fork_child(init, job, writer);
        if (pid < 0)
                return fail(f, STEP_FORK, 0, errno);
        writer = close_fd(writer);
        if (!await_exec(reader, pid, &ret->group, f))
                return false;
        ret->pid = pid;
        return true;
}

bool spawn(const Init *init, Job *job, Running *ret, Failure *f)
{
        _cleanup_close_ int master = -EBADF, slave = -EBADF;

        if (job->order.flags & SPAWN_TERMINAL) {
                int r = terminal_open(job, &master, &slave);
                if (r < 0)
                        return fail(f, STEP_TERMINAL, 0, r);
        }
        if (!fork_and_run(init, job, ret, f))
                return false;
        ret->master = TAKE_FD(master);
        ret->slave = TAKE_FD(slave);
        return true;
}
