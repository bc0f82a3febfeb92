/* The private protocol between the daemon, its child before the exec, and nsroot-init after it: orders down,
 * events up, over one SOCK_SEQPACKET socketpair. Plain structures in this machine's layout; a message is a
 * header, its structure and, for some, a blob of strings. Descriptors come with the message that names them.
 *
 * A session outlives upgrades of the daemon, so both sides begin with a hello that carries the version. A
 * structure only ever grows at its end (but the hello, which no later daemon sends: it may change with the
 * version): what a sender did not know is zero at the receiver (order_copy pads), and a receiver ignores
 * what it does not know.
 *
 * Knows libc and nothing else: it is linked into nsroot-init. */
#pragma once

#include <sys/resource.h>

#include "base.h"
#include "profile.h"

#define ORDER_VERSION  5u
/* A Varlink message's strings fit with room to spare, and the kernel's default socket buffer (wmem_max)
 * takes it. */
#define ORDER_SIZE_MAX (320 * 1024)
#define ORDER_FDS_MAX  8

/* Everything that is done between the clone and the command's exec, in order; a failure names one of them by
 * its number and by an index into the step's own list. X(identifier, function, words): see step.h. Steps are
 * numbered by their place, so a change of these lists is a new ORDER_VERSION. */
#define PARENT_STEPS(X)                                                                                     \
        X(LEAF, leaf, "create the session's cgroup")                                                        \
        X(CLONE, clone, "create the session's namespaces")                                                  \
        X(MAPS, maps, "write the session's id maps")                                                        \
        X(OOM, oom, "set oom_score_adj")                                                                    \
        X(TREE, tree, "prepare the cached root")                                                            \
        X(ORDERS, orders, "send the first orders")                                                          \
        X(START, start, "start the session in time")

#define CHILD_STEPS(X)                                                                                      \
        X(WAIT, wait, "wait for the daemon")                                                                \
        X(CGROUP, cgroup, "enter its cgroup and cgroup namespace")                                          \
        X(IDS, ids, "become root of the session")                                                           \
        X(PROCESS, process, "reset the process")                                                            \
        X(PRIVATE, private, "make mounts private")                                                          \
        X(STORAGE, storage, "mount the session's storage")                                                  \
        X(LOWER, lower, "attach the cached root")                                                           \
        X(OVERLAY, overlay, "mount the root")                                                               \
        X(PROC, proc, "mount /proc")                                                                        \
        X(SYS, sys, "mount /sys")                                                                           \
        X(DEV, dev, "mount /dev")                                                                           \
        X(NODES, nodes, "bind /dev/")                                                                       \
        X(LINKS, links, "link /dev/")                                                                       \
        X(PTS, pts, "mount /dev/pts")                                                                       \
        X(SHM, shm, "mount /dev/shm")                                                                       \
        X(MQUEUE, mqueue, "mount /dev/mqueue")                                                              \
        X(SCRATCH, scratch, "mount ")                                                                       \
        X(MASKS, masks, "mask ")                                                                            \
        X(CPU_MASKS, cpu_masks, "mask thermal_throttle of processor ")                                      \
        X(USER_LIMITS, user_limits, "write /proc/sys/user/")                                                \
        X(READ_ONLY, read_only, "make read-only: ")                                                         \
        X(PIVOT, pivot, "pivot_root")                                                                       \
        X(DETACH, detach, "detach the old root")                                                            \
        X(GIVE, give, "give to the session's user: ")                                                       \
        X(LOOPBACK, loopback, "bring up the loopback interface")                                            \
        X(HOSTNAME, hostname, "set the host name")                                                          \
        X(FORGO, forgo, "give up all privileges")                                                           \
        X(INIT, init, "execute nsroot-init")

#define INIT_STEPS(X)                                                                                       \
        X(HELLO, hello, "agree on the order protocol")                                                      \
        X(FILTER, filter, "read the seccomp filter")                                                        \
        X(INIT_CAPS, init_caps, "reduce the capabilities of nsroot-init")                                   \
        X(CHECK_NAMESPACES, check_namespaces, "check the namespace ")                                       \
        X(CHECK_MOUNTS, check_mounts, "check the mount ")                                                   \
        X(SECCOMP, seccomp, "install the seccomp filter")                                                   \
        X(ORDER, order, "understand the order")                                                             \
        X(USER, user, "look up the user")                                                                   \
        X(TERMINAL, terminal, "open a terminal")                                                            \
        X(FORK, fork, "fork")

#define SPAWN_STEPS(X)                                                                                      \
        X(SESSION, session, "start a process session")                                                      \
        X(STDIO, stdio, "set up standard input and output")                                                 \
        X(LIMITS, limits, "set the resource limit ")                                                        \
        X(BOUNDING, bounding, "drop the bounding set")                                                      \
        X(SECUREBITS, securebits, "lock the securebits")                                                    \
        X(BECOME, become, "become the user")                                                                \
        X(DIRECTORY, directory, "enter the working directory")                                              \
        X(CAPS, caps, "set the capabilities")                                                               \
        X(CHECK, check, "check the profile: ")                                                              \
        X(EXEC, exec, "execute the command")

typedef enum Step {
#define X(id, function, words) STEP_##id,
        PARENT_STEPS(X) CHILD_STEPS(X) INIT_STEPS(X) SPAWN_STEPS(X)
#undef X
                STEPS
} Step;

/* The parts of the profile that STEP_CHECK reads back, in the order of its index. */
#define CHECKS(X)                                                                                           \
        X(UIDS, "uids")                                                                                     \
        X(GIDS, "gids")                                                                                     \
        X(GROUPS, "supplementary groups")                                                                   \
        X(CAP_INHERITABLE, "inheritable capabilities")                                                      \
        X(CAP_PERMITTED, "permitted capabilities")                                                          \
        X(CAP_EFFECTIVE, "effective capabilities")                                                          \
        X(CAP_BOUNDING, "bounding set")                                                                     \
        X(CAP_AMBIENT, "ambient capabilities")                                                              \
        X(NO_NEW_PRIVS, "no_new_privs")                                                                     \
        X(SECCOMP_MODE, "seccomp mode")                                                                     \
        X(SECCOMP_FILTERS, "number of seccomp filters")                                                     \
        X(SECUREBITS, "securebits")                                                                         \
        X(DESCRIPTORS, "open descriptors")                                                                  \
        X(LIMITS, "resource limits")                                                                        \
        X(UMASK, "umask")

typedef enum Check {
#define X(id, words) CHECK_##id,
        CHECKS(X)
#undef X
                CHECKS_COUNT
} Check;

typedef enum OrderType {
        ORDER_GO = 1, /* to the child: the id maps are written; with the cached root's mount, and the file by
                         which to enter another cgroup, if it is to */
        ORDER_HELLO,  /* to init, first */
        ORDER_SPAWN,  /* run a command */
        ORDER_SIGNAL, /* signal one, or everything */
        ORDER_ATTACH, /* somebody wants to see the output, and to type; with the stream's descriptor */
        ORDER_RESIZE, /* a command's terminal has another size */
        ORDER_WATCH,  /* tell, once, when there is more output than that */
        ORDER_FORK,   /* to the forker (child.h) */
        EVENT_HELLO = 64,
        EVENT_STARTED, /* with the pty's master, where a terminal was asked for */
        EVENT_FAILED,  /* a step failed; for the first command, or for the session, init ends after it */
        EVENT_EXITED,  /* a command ended */
        EVENT_ENDING,  /* init ends the session of its own accord */
        EVENT_OUTPUT,  /* there is more output than an ORDER_WATCH said */
        EVENT_FORKED,  /* of the forker */
} OrderType;

typedef struct OrderHeader {
        uint32_t type;
        uint32_t size;    /* of the structure, this header included; the blob follows it */
        uint64_t command; /* which command this is about; 0: the session */
} OrderHeader;

typedef struct OrderGo {
        OrderHeader header;
} OrderGo;

#define ORDER_NAMESPACES 8 /* room for one more kind than there are now */

typedef struct OrderHello {
        OrderHeader header;
        uint32_t version;
        uint32_t filter_count; /* instructions of the seccomp filter in the memfd that comes along */
        uint32_t read_only;    /* the root is */
        uint32_t plain_root;   /* it is a tmpfs, and no overlay */
        uint32_t only_id;      /* 0: it has a user namespace; else it has none, and this one uid and gid */
        uint64_t daemon_namespaces[ORDER_NAMESPACES]; /* st_ino of the daemon's own: none may be the
                                                         session's */
} OrderHello;

typedef enum SpawnFlag {
        SPAWN_MAIN = 1 << 0,     /* the session ends when this command ends */
        SPAWN_TERMINAL = 1 << 1, /* open a pty; stdio that was not given is its slave */
        SPAWN_STDIN = 1 << 2, /* a descriptor comes along, in this order; what does not is the null device */
        SPAWN_STDOUT = 1 << 3,
        SPAWN_STDERR = 1 << 4,
        SPAWN_LIFELINE =
                1 << 5,         /* a pipe's read end: its end of file ends the command (main: the session) */
        SPAWN_RING = 1 << 6,    /* main only: the memfd of ring.h comes along, for results and output */
        SPAWN_CAPTURE = 1 << 7, /* main only: its terminal stays here, or its stdout and stderr where none
                                   were given, and what it prints goes to the ring */
} SpawnFlag;

typedef struct OrderSpawn {
        OrderHeader header;
        uint32_t flags;
        uint16_t columns, rows;
        uint32_t argc, envc;
        uint32_t
                blob_size; /* argv, environment, user ("" is root), working directory: each ended by a NUL */
        uint32_t unused;
        struct {
                uint64_t soft, hard;
        } limits[RLIMIT_NLIMITS];
} OrderSpawn;

typedef struct OrderSignal {
        OrderHeader header;
        uint32_t signal;
        uint32_t everyone; /* not the command's process group but everything in the session */
} OrderSignal;

/* A stream socket comes along. Output from now on goes to it, and, where the session has a terminal, what is
 * read from it is typed there. */
typedef struct OrderAttach {
        OrderHeader header;
        uint32_t replay; /* begin with what the ring still has, from a line's beginning */
        uint32_t unused;
} OrderAttach;

/* The program is told in any case (SIGWINCH), so that it draws itself again for who has just come. */
typedef struct OrderResize {
        OrderHeader header;
        uint16_t columns, rows;
        uint32_t unused;
} OrderResize;

typedef struct OrderWatch {
        OrderHeader header;
        uint64_t head; /* the reader has read up to here */
} OrderWatch;

typedef struct EventHello {
        OrderHeader header;
        uint32_t version;
        uint32_t unused;
} EventHello;

typedef struct EventStarted {
        OrderHeader header;
        uint32_t pid; /* inside */
        uint32_t has_master;
        uint64_t monotonic_usec;
} EventStarted;

typedef struct EventFailed {
        OrderHeader header;
        uint32_t step;  /* Step */
        uint32_t index; /* in that step's own list */
        uint32_t error; /* errno, positive */
        uint32_t unused;
} EventFailed;

typedef struct EventExited {
        OrderHeader header;
        int32_t status;   /* as wait(2) gives it */
        uint32_t is_last; /* of the main command: nothing is left of the session but its init, which ends */
        uint64_t user_usec, system_usec; /* of the command and all it waited for */
        uint64_t monotonic_usec;
} EventExited;

typedef enum EndReason { END_DISCONNECTED = 1, END_TERMINATED } EndReason;

typedef struct EventEnding {
        OrderHeader header;
        uint32_t reason; /* EndReason */
        uint32_t unused;
} EventEnding;

typedef struct EventOutput {
        OrderHeader header;
} EventOutput;

/* The number of a session's first command, which the session ends with. */
#define ORDER_MAIN_COMMAND 1

#define ORDER_INIT(t, command_id)                                                                           \
        {                                                                                                   \
                .type = (t), .command = (command_id)                                                        \
        }

/* Sends one message: the structure (its header's size is filled in from size), then the blob. Descriptors
 * stay the caller's. Does not block: -EAGAIN when the other side does not read. Raises no SIGPIPE. */
int order_send(int fd, void *message, size_t size, const void *blob, size_t blob_size, const int *fds,
               size_t n_fds);

/* A message as it was received, in a buffer of the caller's (aligned as an OrderHeader; ORDER_SIZE_MAX bytes
 * hold any). */
typedef struct OrderMessage {
        const OrderHeader *header;
        const char *blob; /* what follows the structure */
        size_t blob_size;
        int fds[ORDER_FDS_MAX]; /* the caller's to close; CLOEXEC */
        size_t n_fds;
} OrderMessage;

/* Receives one message. flags are recvmsg(2)'s. 1: *ret is set; 0: the other side is gone; -EAGAIN;
 * -EBADMSG: not a message of ours (its descriptors are closed). */
int order_receive(int fd, int flags, void *buffer, size_t size, OrderMessage *ret);
/* Copies a message's structure into one of `size` bytes of this release: cut or padded with zeros. */
void order_copy(const OrderMessage *m, void *ret, size_t size);
void order_message_done(OrderMessage *m); /* closes the descriptors that are left */
