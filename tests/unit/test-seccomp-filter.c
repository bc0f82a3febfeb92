/* Whether the compiled filter does what the profile says: by a small evaluator of classic BPF over made-up
 * calls, every number and every interesting argument, and then by the kernel, in children that install both
 * and run. */
#include "daemon/seccomp-filter.h"

#include <criterion/criterion.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "golden-syscalls.h"

#define PERMITTED   SECCOMP_RET_ALLOW
#define REFUSED     (SECCOMP_RET_ERRNO | EPERM)
#define UNKNOWN     (SECCOMP_RET_ERRNO | ENOSYS)
#define KILLED      SECCOMP_RET_KILL_PROCESS
#define BY_ARGUMENT UINT32_MAX
#define NUMBERS     512
#define X32_BIT     0x40000000
#define HIGH        0x100000000 /* a bit the kernel cuts off an int */

typedef struct Program {
        struct sock_filter *code;
        size_t n;
} Program;

static Program program;

static void compile(void)
{
        cr_assert_eq(seccomp_compile(&program.code, &program.n), 0);
}

static void release(void)
{
        free(program.code);
}

TestSuite(seccomp, .init = compile, .fini = release);

static bool jumps(const struct sock_filter *f, uint32_t a)
{
        switch (BPF_OP(f->code)) {
        case BPF_JEQ:
                return a == f->k;
        case BPF_JGT:
                return a > f->k;
        case BPF_JGE:
                return a >= f->k;
        case BPF_JSET:
                return a & f->k;
        }
        cr_assert_fail("instruction 0x%x is not known here", f->code);
        return false;
}

/* *ret_steps is how many instructions it took. */
static uint32_t run(const Program *p, const struct seccomp_data *data, size_t *ret_steps)
{
        uint32_t a = 0;

        *ret_steps = 0;
        for (size_t i = 0; i < p->n; i++, (*ret_steps)++) {
                const struct sock_filter *f = &p->code[i];

                switch (f->code) {
                case BPF_LD | BPF_W | BPF_ABS:
                        memcpy(&a, (const char *)data + f->k, sizeof a);
                        break;
                case BPF_ALU | BPF_AND | BPF_K:
                        a &= f->k;
                        break;
                case BPF_JMP | BPF_JA:
                        i += f->k;
                        break;
                case BPF_RET | BPF_K:
                        return f->k;
                default:
                        i += jumps(f, a) ? f->jt : f->jf;
                }
        }
        cr_assert_fail("runs off its end");
        return 0;
}

static uint32_t verdict_of(const struct seccomp_data *data)
{
        size_t steps;

        return run(&program, data, &steps);
}

static uint32_t verdict(int number, uint64_t a, uint64_t b, uint64_t c)
{
        return verdict_of(&(struct seccomp_data){
                .nr = number, .arch = AUDIT_ARCH_X86_64, .args = {a, b, c}
        });
}

static const struct {
        const char *name;
        uint32_t verdict;
} golden[NUMBERS] = {
#define ROW(number, name, verdict) [number] = { #name, verdict },
        GOLDEN_SYSCALLS(ROW)
#undef ROW
};

Test(seccomp, every_number_as_in_the_golden_table)
{
        const uint64_t arguments[] = { 0, 1, 0x7fffffff, UINT64_MAX };

        for (int i = 0; i < NUMBERS; i++) {
                uint32_t expected = golden[i].name ? golden[i].verdict : UNKNOWN;

                for (size_t k = 0; expected != BY_ARGUMENT && k < ELEMENTSOF(arguments); k++) {
                        uint32_t v = verdict(i, arguments[k], arguments[k], arguments[k]);

                        cr_expect_eq(v, expected, "%d (%s): 0x%x, not 0x%x", i, golden[i].name, v, expected);
                }
        }
}

Test(seccomp, numbers_beyond_any_call_are_unknown)
{
        const int numbers[] = { 600, 1024, 0xffff, 0x3fffffff };

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                cr_expect_eq(verdict(numbers[i], 0, 0, 0), UNKNOWN);
}

Test(seccomp, x32_and_other_architectures_kill)
{
        const uint32_t architectures[] = { AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_AARCH64, 0,
                                           UINT32_MAX };

        for (int i = 0; i < NUMBERS; i++) {
                cr_expect_eq(verdict(i | X32_BIT, 0, 0, 0), KILLED, "x32 %d", i);
                for (size_t k = 0; k < ELEMENTSOF(architectures); k++)
                        cr_expect_eq(verdict_of(&(struct seccomp_data){ .nr = i, .arch = architectures[k] }),
                                     KILLED);
        }
}

Test(seccomp, families_of_sockets)
{
        for (uint64_t family = 0; family < 64; family++) {
                bool good = family == AF_UNIX || family == AF_INET || family == AF_INET6;

                cr_expect_eq(verdict(SYS_socket, family, SOCK_RAW, 17), good ? PERMITTED : UNKNOWN);
                cr_expect_eq(verdict(SYS_socket, family | HIGH, SOCK_DGRAM, 0), UNKNOWN);
                cr_expect_eq(verdict(SYS_socketpair, family, SOCK_STREAM, 0),
                             family == AF_UNIX ? PERMITTED : UNKNOWN);
                cr_expect_eq(verdict(SYS_socketpair, family | HIGH, SOCK_STREAM, 0), UNKNOWN);
        }
        for (uint64_t protocol = 0; protocol < 64; protocol++)
                cr_expect_eq(verdict(SYS_socket, AF_NETLINK, SOCK_RAW, protocol),
                             protocol == 0 ? PERMITTED : UNKNOWN);
        cr_expect_eq(verdict(SYS_socket, AF_NETLINK, SOCK_RAW, HIGH), UNKNOWN);
        cr_expect_eq(verdict(SYS_socket, HIGH | 0x26, SOCK_SEQPACKET, 0), UNKNOWN);
}

Test(seccomp, terminals_cannot_be_typed_into)
{
        const uint64_t refused[] = { TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS };
        const uint64_t permitted[] = { TCGETS,   TIOCGWINSZ, TIOCSWINSZ, TIOCSCTTY, TIOCGPTN,
                                       FIONREAD, 0,          0x5411,     0x5413 };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                cr_expect_eq(verdict(SYS_ioctl, 0, refused[i], 0), REFUSED);
                for (int bit = 32; bit < 64; bit++)
                        cr_expect_eq(verdict(SYS_ioctl, 0, refused[i] | UINT64_C(1) << bit, 0), REFUSED,
                                     "bit %d", bit);
        }
        for (size_t i = 0; i < ELEMENTSOF(permitted); i++)
                cr_expect_eq(verdict(SYS_ioctl, 0, permitted[i], 0), PERMITTED);
}

Test(seccomp, clone_makes_no_namespaces)
{
        const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
        const uint64_t spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                CLONE_NEWPID | CLONE_NEWNET;

        cr_expect_eq(verdict(SYS_clone, SIGCHLD, 0, 0), PERMITTED);
        cr_expect_eq(verdict(SYS_clone, thread, 0, 0), PERMITTED);
        cr_expect_eq(verdict(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0), PERMITTED);
        for (int bit = 0; bit < 32; bit++) {
                uint64_t flag = UINT64_C(1) << bit;
                uint32_t expected = flag & spaces ? UNKNOWN : PERMITTED;

                cr_expect_eq(verdict(SYS_clone, flag, 0, 0), expected, "bit %d", bit);
                cr_expect_eq(verdict(SYS_clone, flag | thread | HIGH, 0, 0), expected, "bit %d", bit);
        }
}

Test(seccomp, personalities)
{
        const uint64_t good[] = { 0, 8, 0x20000, 0x20008, 0xffffffff };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                cr_expect_eq(verdict(SYS_personality, good[i], 0, 0), PERMITTED);
                cr_expect_eq(verdict(SYS_personality, good[i] | HIGH, 0, 0), UNKNOWN);
        }
        for (int bit = 0; bit < 32; bit++)
                if (bit != 3 && bit != 17)
                        cr_expect_eq(verdict(SYS_personality, UINT64_C(1) << bit, 0, 0), UNKNOWN, "bit %d",
                                     bit);
}

Test(seccomp, nodes_are_files_pipes_and_sockets)
{
        for (uint64_t type = 0; type <= S_IFMT; type += S_IFMT & -S_IFMT) {
                bool good = type == 0 || type == S_IFREG || type == S_IFIFO || type == S_IFSOCK;
                uint32_t expected = good                                 ? PERMITTED
                                    : type == S_IFBLK || type == S_IFCHR ? REFUSED
                                                                         : UNKNOWN;

                for (uint64_t mode = type | 0666; mode < HIGH * 2; mode += HIGH) {
                        cr_expect_eq(verdict(SYS_mknod, 0, mode, 0x103), expected, "0%lo", mode);
                        cr_expect_eq(verdict(SYS_mknodat, UINT64_MAX, 0, mode), expected, "0%lo", mode);
                }
        }
}

Test(seccomp, limits_of_oneself_only)
{
        cr_expect_eq(verdict(SYS_prlimit64, 0, 7, 0), PERMITTED);
        cr_expect_eq(verdict(SYS_prlimit64, 1, 7, 0), UNKNOWN);
        cr_expect_eq(verdict(SYS_prlimit64, HIGH, 7, 0), UNKNOWN);
        cr_expect_eq(verdict(SYS_prlimit64, UINT64_MAX, 7, 0), UNKNOWN);
}

/* The kernel runs it at every call of every session. */
Test(seccomp, small_and_quick)
{
        size_t worst = 0, steps;

        for (int i = 0; i < NUMBERS; i++) {
                run(&program, &(struct seccomp_data){ .nr = i, .arch = AUDIT_ARCH_X86_64 }, &steps);
                worst = MAX(worst, steps);
        }
        cr_expect_leq(program.n, 624);
        cr_expect_leq(worst, 48);
}

static void install(void)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                _exit(100);
        struct sock_fprog p = { .len = (unsigned short)program.n, .filter = program.code };

        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) < 0)
                _exit(101);
}

/* Runs f in a child; its wait status. */
static int in_child(void (*prepare)(void), void (*f)(void))
{
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                signal(SIGSEGV, SIG_DFL); /* a sanitizer has its own idea of it */
                prepare();
                f();
                _exit(0);
        }
        cr_assert_geq(pid, 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        return status;
}

/* Below the filter. */
static int filtered(void (*f)(void))
{
        return in_child(install, f);
}

static void prepare_nothing(void)
{
}

/* Ends a child with the line that failed, which fits an exit status. */
#define MUST(condition)                                                                                     \
        do {                                                                                                \
                if (!(condition))                                                                           \
                        _exit(__COUNTER__ + 1);                                                             \
        } while (0)

/* uretprobe and uprobe are the kernel's own, which no filter sees (6.14): they kill all but its trampolines.
 */
static bool is_beyond_filters(int number)
{
        return number == 335 || number == 336;
}

/* Arguments that no call can do anything with, should one of them be let through. */
static void make_denied_calls(void)
{
        for (int i = 0; i < NUMBERS; i++) {
                uint32_t expected = golden[i].name ? golden[i].verdict : UNKNOWN;
                long r;

                if (expected == PERMITTED || expected == BY_ARGUMENT || is_beyond_filters(i))
                        continue;
                r = syscall(i, -1L, -1L, -1L, -1L, -1L, -1L);
                if (r != -1 || (uint32_t)errno != (expected & SECCOMP_RET_DATA)) {
                        dprintf(2, "%d (%s): %ld, %m\n", i, golden[i].name, r);
                        _exit(1);
                }
        }
}

static void make_calls_by_argument(void)
{
        MUST(syscall(SYS_socket, 0x100000026, SOCK_SEQPACKET, 0) == -1 && errno == ENOSYS);
        MUST(syscall(SYS_socket, AF_ALG, SOCK_SEQPACKET, 0) == -1 && errno == ENOSYS);
        MUST(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) >= 0);
        MUST(syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0) >= 0);
        MUST(syscall(SYS_ioctl, 0, 0x5412L, "x") == -1 && errno == EPERM);
        MUST(syscall(SYS_ioctl, 0, 0x100005412, "x") == -1 && errno == EPERM);
        MUST(syscall(SYS_ioctl, -1, TIOCGWINSZ, 0) == -1 && errno == EBADF);
        MUST(syscall(SYS_personality, 0xffffffff) >= 0);
        MUST(syscall(SYS_personality, 0x0040000) == -1 && errno == ENOSYS);
        MUST(syscall(SYS_prlimit64, 0, 7, NULL, NULL) == 0);
        MUST(syscall(SYS_prlimit64, getppid(), 7, NULL, NULL) == -1 && errno == ENOSYS);
        MUST(syscall(SYS_mknod, "/nosuchdirectory/f", S_IFIFO, 0) == -1 && errno == ENOENT);
        MUST(syscall(SYS_mknod, "/nosuchdirectory/b", S_IFBLK, 0) == -1 && errno == EPERM);
        MUST(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) == -1 && errno == ENOSYS);
}

static void call_by_the_old_gate(void)
{
        long r;

        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); /* getpid */
}

static void call_x32(void)
{
        syscall(SYS_getpid | X32_BIT);
}

Test(seccomp, the_kernel_agrees)
{
        cr_expect_eq(filtered(make_denied_calls), 0);
        cr_expect_eq(filtered(make_calls_by_argument), 0);
}

/* A kernel without the gate (CONFIG_IA32_EMULATION) takes its use for a fault, with and without filters. */
Test(seccomp, the_kernel_kills)
{
        int gate = in_child(prepare_nothing, call_by_the_old_gate) == 0 ? SIGSYS : SIGSEGV;
        int old_gate = filtered(call_by_the_old_gate), x32 = filtered(call_x32);

        cr_expect(WIFSIGNALED(old_gate) && WTERMSIG(old_gate) == gate, "status 0x%x", old_gate);
        cr_expect(WIFSIGNALED(x32) && WTERMSIG(x32) == SIGSYS, "status 0x%x", x32);
}

static void run_shell(void)
{
        execl("/bin/sh", "sh", "-c",
              "x=$(ls / | sort | head -1) && (sleep 0; echo \"$x\") | grep -q . && test -e /proc/self",
              NULL);
}

static void run_threads(void)
{
        execl("/usr/bin/python3", "python3", "-I", "-c",
              "import subprocess, threading, socket, tempfile, multiprocessing.pool as m\n"
              "assert m.ThreadPool(4).map(abs, [-1, -2]) == [1, 2]\n"
              "assert subprocess.run(['true']).returncode == 0\n"
              "a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'\n"
              "tempfile.TemporaryFile().write(b'x')\n",
              NULL);
}

/* What people run: through fork, vfork, clone3 that is not there, and threads. */
Test(seccomp, programs_run)
{
        cr_expect_eq(filtered(run_shell), 0);
        if (access("/usr/bin/python3", X_OK) == 0)
                cr_expect_eq(filtered(run_threads), 0);
}
