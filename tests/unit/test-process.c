/* The pure parts by tables; the rest with processes of the test's own. */
#include "daemon/process.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

Test(process, parse_fdinfo)
{
        const struct {
                const char *text;
                int r;
                pid_t pid;
        } table[] = {
                {"pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1\nPid:\t4711\nNSpid:\t4711\n", 0,        4711},
                { "pos:\t0\nPid:\t-1\nNSpid:\t-1\n",                                            -ESRCH,   0   },
                { "pos:\t0\nPid:\t0\nNSpid:\t0\n",                                              -EXDEV,   0   },
                { "pos:\t0\nNSpid:\t7\n",                                                       -EBADMSG, 0   },
                { "pos:\t0\nPid:\tx\n",                                                         -EBADMSG, 0   },
                { "",                                                                           -EBADMSG, 0   },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                pid_t pid = 0;

                cr_expect_eq(process_parse_fdinfo(table[i].text, &pid), table[i].r, "row %zu", i);
                cr_expect_eq(pid, table[i].pid, "row %zu", i);
        }
}

Test(process, check_cgroup)
{
        char longest[PROCESS_CGROUP_MAX + 2] = "";

        memset(longest, 'x', PROCESS_CGROUP_MAX);
        cr_expect_eq(process_check_cgroup(longest), 0);
        longest[PROCESS_CGROUP_MAX] = 'x';
        cr_expect_eq(process_check_cgroup(longest), -ENAMETOOLONG);
        cr_expect_eq(process_check_cgroup(""), 0);
        cr_expect_eq(process_check_cgroup("/user.slice/a b~\\x2d"), 0);
        cr_expect_eq(process_check_cgroup("/a\x1b[31m"), -EILSEQ);
        cr_expect_eq(process_check_cgroup("/b\xe4h"), -EILSEQ, "no text of JSON");
        cr_expect_eq(process_check_cgroup("/b\u00e4h"), -EILSEQ);
        cr_expect_eq(process_check_cgroup("/a\x7f"), -EILSEQ);
}

static pid_t start(int *ret_pidfd)
{
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                pause();
                _exit(1);
        }
        *ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        cr_assert_geq(*ret_pidfd, 0);
        return pid;
}

Test(process, its_cgroup_as_long_as_it_lives)
{
        _cleanup_close_ int proc_fd = -EBADF, pidfd = -EBADF;
        _cleanup_free_ char *path = NULL, *own = NULL;
        pid_t pid = start(&pidfd);
        int r;

        cr_assert_eq(process_open_proc(&proc_fd), 0);
        r = process_cgroup(proc_fd, pidfd, &path);
        if (r != -EOPNOTSUPP) {
                cr_assert_eq(r, 0, "%s", errno_text(r));
                cr_assert_eq(read_file_at(AT_FDCWD, "/proc/self/cgroup", 65536, &own, NULL), 0);
                cr_expect_not_null(strstr(own, path));
        }
        kill(pid, SIGKILL);
        cr_assert_eq(waitid(P_PID, (id_t)pid, &(siginfo_t){}, WEXITED | WNOWAIT), 0);
        cr_expect_eq(process_cgroup(proc_fd, pidfd, &path), -ESRCH,
                     "it has ended, and nobody has waited for it");
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cr_expect_eq(process_cgroup(proc_fd, pidfd, &path), -ESRCH);
        cr_expect_eq(process_oom_score_adj(proc_fd, pid), 0);
}

Test(process, how_likely_it_is_to_be_killed)
{
        _cleanup_close_ int proc_fd = -EBADF;

        cr_assert_eq(process_open_proc(&proc_fd), 0);
        cr_assert_eq(write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "321"), 0);
        cr_expect_eq(process_oom_score_adj(proc_fd, getpid()), 321);
}
