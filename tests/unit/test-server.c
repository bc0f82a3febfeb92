/* The server and its clients in one process: what a real daemon's methods cannot be made to do on demand.
 * The rules a stranger can see from outside are in tests/integration/test_protocol.py. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <grp.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol.h"
#include "server.h"
#include "socket.h"

#define WAIT_STEPS 300 /* of 10 ms: how long to wait for what must come */
#define SILENCE    20  /* of 10 ms: how long nothing must come */

static sd_event *event;
static Server *server;
static char directory[] = "/tmp/test-server-XXXXXX", path[64];
static const char *refuse_with; /* what admission says */
static int admission_fails_with, reading_groups_fails_with;
static unsigned connections_of_user = 3;
static gid_t *peer_groups; /* what it saw */
static size_t n_peer_groups;

/* What the methods below did. */
static Call *kept;
static unsigned touched, gone;

static const ServerLimits limits = {
        .connections_max = 10,
        .connections_kept_for_root = 2,
        .idle_usec = 30 * USEC_PER_SEC,
        .message_usec = 100 * USEC_PER_MSEC,
        .queue_max = 64 * KIB,
};

static void on_gone(Call *c, void *userdata)
{
        cr_assert_eq(c, kept);
        cr_assert_eq(call_peer(c)->uid, getuid());
        kept = NULL;
        gone++;
}

static int method_touch(Call *c, json_object *params, void *userdata, Error *e)
{
        touched++;
        call_reply(c, NULL, NULL);
        return 0;
}

static int method_keep(Call *c, json_object *params, void *userdata, Error *e)
{
        cr_assert_null(kept);
        kept = c;
        call_on_gone(c, on_gone, NULL);
        return 0;
}

static int method_park(Call *c, json_object *params, void *userdata, Error *e)
{
        call_set_parked(c);
        return method_keep(c, params, userdata, e);
}

static int method_echo_fd(Call *c, json_object *params, void *userdata, Error *e)
{
        Fds fds = {};
        int fd = call_take_fd(c, json_object_get_int64(json_object_object_get(params, "index")));
        if (fd < 0)
                return fd;
        cr_assert_eq(call_take_fd(c, 0), -EBADF);
        fds.fd[fds.n++] = fd;
        call_notify(c, NULL, &fds);
        call_reply(c, NULL, NULL);
        return 0;
}

static int method_too_long(Call *c, json_object *params, void *userdata, Error *e)
{
        _cleanup_free_ char *text = malloc(REPLY_SIZE_MAX);
        memset(text, 'x', REPLY_SIZE_MAX);
        json_object *reply = json_object_new_object();
        json_object_object_add(reply, "text", json_object_new_string_len(text, REPLY_SIZE_MAX));
        call_reply(c, reply, NULL);
        return 0;
}

static int method_flood(Call *c, json_object *params, void *userdata, Error *e)
{
        method_keep(c, params, userdata, e);
        for (int i = 0; i < 20000; i++) {
                call_notify(c, NULL, NULL);
                cr_assert_eq(gone, 0, "the method must not be told while it talks");
        }
        return 0;
}

static int method_fail(Call *c, json_object *params, void *userdata, Error *e)
{
        return -EIO;
}

static int method_fault(Call *c, json_object *params, void *userdata, Error *e)
{
        return error_setf(e, "test.Fault", "why", "%s", "because");
}

static int method_fault_object(Call *c, json_object *params, void *userdata, Error *e)
{
        json_object *list = json_object_new_array(), *parameters = json_object_new_object();
        json_object_array_add(list, json_object_new_int(1));
        json_object_object_add(parameters, "list", list);
        call_error_object(c, "test.Fault", parameters);
        return 0;
}

static int method_free_server(Call *c, json_object *params, void *userdata, Error *e)
{
        server = server_free(server);
        return -EIO;
}

static const Method methods[] = {
        {.name = "Touch",           .handle = method_touch },
        { .name = "Keep",                        .handle = method_keep },
        { .name = "Park",.handle = method_park },
        { .name = "EchoFd",           .handle = method_echo_fd },
        { .name = "TooLong",                        .handle = method_too_long },
        { .name = "Flood",.handle = method_flood },
        { .name = "Fail",        .handle = method_fail },
        { .name = "Fault",                        .handle = method_fault },
        { .name = "FaultObject",             .handle = method_fault_object },
        { .name = "FreeServer",           .handle = method_free_server },
        { .name = "Later"                       },
        {   },
};

static const Interface interface = { .name = "test.some", .methods = methods };

static int admit(const Peer *peer, const char **ret_rule, unsigned *ret_connections_max, void *userdata)
{
        cr_assert_eq(peer->uid, getuid());
        cr_assert_eq(peer->pid, getpid());
        free(peer_groups);
        peer_groups = NULL;
        cr_assert_eq(socket_peer_groups(peer, &peer_groups, &n_peer_groups), reading_groups_fails_with);
        *ret_rule = refuse_with;
        *ret_connections_max = connections_of_user;
        return admission_fails_with;
}

static void setup(void)
{
        const ServerIdentity identity = { "vendor", "product", "1", "url" };

        cr_assert_not_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/socket", directory);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(server_new(event, &identity, &limits, admit, NULL, &server), 0);
        cr_assert_eq(server_add_interface(server, &interface), 0);
        cr_assert_eq(server_listen_path(server, path), 0);
}

static void teardown(void)
{
        server_free(server);
        sd_event_unref(event);
        free(peer_groups);
        unlink(path);
        rmdir(directory);
}

TestSuite(server, .init = setup, .fini = teardown, .timeout = 60);

/* --- a client */

static int dial(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path, path, sizeof(path));
        cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static void turn(unsigned steps)
{
        for (unsigned i = 0; i < steps; i++)
                cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
}

/* How often the server wakes up within so many milliseconds. */
static unsigned events_in(unsigned msec)
{
        unsigned n = 0;
        for (uint64_t end = now_usec(CLOCK_MONOTONIC) + msec * USEC_PER_MSEC;
             now_usec(CLOCK_MONOTONIC) < end;)
                n += sd_event_run(event, 10 * USEC_PER_MSEC) > 0;
        return n;
}

/* Sends text with its NUL. */
static void say(int fd, const char *text)
{
        cr_assert_eq(send(fd, text, strlen(text) + 1, MSG_NOSIGNAL), (ssize_t)strlen(text) + 1);
}

/* The next message; "(closed)" when there is none to come; "(silence)" when nothing came in so many steps.
 */
static const char *hear_within(int fd, unsigned steps)
{
        static char text[128 * KIB];
        size_t n = 0;

        for (unsigned i = 0; i < steps;) {
                ssize_t r = recv(fd, text + n, 1, MSG_DONTWAIT);
                if (r == 0 || (r < 0 && errno == ECONNRESET))
                        return n == 0 ? "(closed)" : "(cut off)";
                if (r < 0) {
                        turn(1);
                        i++;
                } else if (text[n++] == '\0')
                        return text;
        }
        return "(silence)";
}

static const char *hear(int fd)
{
        return hear_within(fd, WAIT_STEPS);
}

/* Says something and lets the server act on it. */
static void tell(int fd, const char *text)
{
        say(fd, text);
        turn(SILENCE);
}

static unsigned open_fds(void)
{
        unsigned n = 0;
        DIR *d = opendir("/proc/self/fd");
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

#define CALL(name)    "{\"method\":\"test.some." name "\"}"
#define MORE(name)    "{\"method\":\"test.some." name "\",\"more\":true}"
#define ONEWAY(name)  "{\"method\":\"test.some." name "\",\"oneway\":true}"
#define EMPTY         "{\"parameters\":{}}"
#define CONTINUES     "{\"parameters\":{},\"continues\":true}"
#define REFUSED(rule) "{\"error\":\"org.nsroot.session.Refused\",\"parameters\":{\"rule\":\"" rule "\"}}"

/* --- answers */

Test(server, each_way_a_method_can_end)
{
        static const struct {
                const char *call, *reply;
        } table[] = {
                {CALL("Touch"),                     EMPTY                                                                                           },
                { MORE("Touch"),                    EMPTY                                                                                           },
                { CALL("Fault"),                    "{\"error\":\"test.Fault\",\"parameters\":{\"why\":\"because\"}}"                               },
                { CALL("FaultObject"),              "{\"error\":\"test.Fault\",\"parameters\":{\"list\":[1]}}"                                      },
                { CALL("Fail"),                     "{\"error\":\"io.systemd.System\",\"parameters\":{\"origin\":\"linux\","
                                "\"errno\":5,\"errnoName\":\"EIO\"}}"                                                },
                { CALL("TooLong"),                  "{\"error\":\"io.systemd.System\",\"parameters\":{\"origin\":\"linux\","
                                   "\"errno\":7,\"errnoName\":\"E2BIG\"}}"                                        },
                { CALL("Later"),                    "{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":{"
                                 "\"method\":\"test.some.Later\"}}"                                                 },
                { CALL("Nothing"),                  "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
                                   "\"method\":\"test.some.Nothing\"}}"                                           },
                { "{\"method\":\"test.so.Touch\"}", "{\"error\":\"org.varlink.service.InterfaceNotFound\","
                                                    "\"parameters\":{\"interface\":\"test.so\"}}"},
        };
        _cleanup_close_ int fd = dial();

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                say(fd, table[i].call);
                cr_expect_str_eq(hear(fd), table[i].reply);
        }
}

Test(server, one_call_at_a_time_and_answers_in_order)
{
        _cleanup_close_ int fd = dial();

        say(fd, CALL("Keep"));
        say(fd, CALL("Fault"));
        say(fd, CALL("Touch"));
        turn(SILENCE);
        cr_assert_not_null(kept);
        cr_assert_eq(touched, 0, "the next message is not looked at yet");
        call_reply(TAKE_PTR(kept), NULL, NULL);
        cr_assert_str_eq(hear(fd), EMPTY);
        cr_assert_str_eq(hear(fd), "{\"error\":\"test.Fault\",\"parameters\":{\"why\":\"because\"}}");
        cr_assert_str_eq(hear(fd), EMPTY);
        cr_assert_eq(touched, 1);
}

Test(server, continues_goes_only_to_a_call_with_more)
{
        _cleanup_close_ int fd = dial();

        tell(fd, MORE("Keep"));
        cr_assert(call_more(kept));
        call_notify(kept, NULL, NULL);
        call_notify(kept, NULL, NULL);
        call_reply(TAKE_PTR(kept), NULL, NULL);
        cr_assert_str_eq(hear(fd), CONTINUES);
        cr_assert_str_eq(hear(fd), CONTINUES);
        cr_assert_str_eq(hear(fd), EMPTY);

        tell(fd, CALL("Keep"));
        cr_assert_not(call_more(kept));
        call_notify(kept, NULL, NULL);
        call_reply(TAKE_PTR(kept), NULL, NULL);
        cr_assert_str_eq(hear(fd), EMPTY);
        cr_assert_str_eq(hear_within(fd, SILENCE), "(silence)");
}

Test(server, nothing_is_sent_to_a_oneway_call)
{
        _cleanup_close_ int fd = dial();

        say(fd, ONEWAY("Touch"));
        say(fd, ONEWAY("Fail"));
        say(fd, ONEWAY("Fault"));
        say(fd, ONEWAY("FaultObject"));
        say(fd, ONEWAY("Nothing"));
        say(fd, ONEWAY("TooLong"));
        tell(fd, ONEWAY("Keep"));
        cr_assert_eq(touched, 1);
        call_fail(TAKE_PTR(kept), -EIO);
        cr_assert_str_eq(hear_within(fd, SILENCE), "(silence)");
        say(fd, CALL("Touch"));
        cr_assert_str_eq(hear(fd), EMPTY);
}

/* --- who goes away when */

Test(server, a_hang_up_is_told_at_once)
{
        int fd = dial();

        tell(fd, MORE("Keep"));
        call_notify(kept, NULL, NULL);
        cr_assert_eq(server_connections(server), 1);
        close(fd);
        turn(SILENCE);
        cr_assert_eq(gone, 1);
        cr_assert_eq(server_connections(server), 0);
}

Test(server, a_hang_up_is_not_told_twice_nor_to_those_who_unset_it)
{
        int fd = dial();

        tell(fd, CALL("Keep"));
        call_on_gone(kept, NULL, NULL);
        close(fd);
        turn(SILENCE);
        cr_assert_eq(gone, 0);
        cr_assert_eq(server_connections(server), 0);
}

Test(server, who_only_stops_sending_gets_the_answer)
{
        _cleanup_close_ int fd = dial();

        say(fd, CALL("Keep"));
        shutdown(fd, SHUT_WR);
        turn(SILENCE);
        cr_assert_eq(gone, 0);
        call_reply(TAKE_PTR(kept), NULL, NULL);
        cr_assert_str_eq(hear(fd), EMPTY);
        cr_assert_str_eq(hear(fd), "(closed)");
}

Test(server, a_oneway_call_outlives_its_caller)
{
        int fd = dial();

        say(fd, ONEWAY("Keep"));
        say(fd, ONEWAY("Touch"));
        close(fd);
        turn(SILENCE);
        cr_assert_eq(gone, 0);
        cr_assert_not_null(kept);
        call_reply(TAKE_PTR(kept), NULL, NULL);
        turn(SILENCE);
        cr_assert_eq(touched, 1, "what came after it is done too");
        cr_assert_eq(server_connections(server), 0);
}

Test(server, unread_output_closes_the_connection)
{
        _cleanup_close_ int fd = dial();

        tell(fd, MORE("Flood"));
        cr_assert_eq(gone, 1);
        cr_assert_eq(server_connections(server), 0);
}

Test(server, unread_output_of_a_late_answer_too_but_not_under_its_feet)
{
        _cleanup_close_ int fd = dial();

        tell(fd, MORE("Keep"));
        for (int i = 0; i < 20000; i++)
                call_notify(kept, NULL, NULL);
        cr_assert_eq(gone, 0);
        turn(SILENCE);
        cr_assert_eq(gone, 1);
        cr_assert_eq(server_connections(server), 0);
}

/* For who has only news: there is no end to those that are left out. */
Test(server, who_does_not_read_can_be_spared)
{
        _cleanup_close_ int fd = dial();
        char buffer[4096];

        tell(fd, MORE("Keep"));
        for (int i = 0; i < 20000; i++)
                if (!call_has_backlog(kept))
                        call_notify(kept, NULL, NULL);
        cr_assert(call_has_backlog(kept));
        turn(SILENCE);
        cr_assert_eq(gone, 0);
        for (int i = 0; i < 20000 && call_has_backlog(kept); i++) {
                while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
                        ;
                turn(1);
        }
        cr_assert_not(call_has_backlog(kept), "it is all read");
}

Test(server, unread_answers_stop_the_reading)
{
        _cleanup_close_ int fd = dial();
        struct timeval soon = { .tv_usec = 1000 };
        unsigned sent = 0, heard = 0;

        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
        while (send(fd, CALL("Touch"), sizeof(CALL("Touch")), MSG_NOSIGNAL) ==
               (ssize_t)sizeof(CALL("Touch"))) {
                sent++;
                sd_event_run(event, 0);
                sd_event_run(event, 0);
        }
        cr_assert_gt(sent, 500);
        cr_assert_lt(touched, sent, "the server waits for its reader");
        cr_assert_lt(events_in(200), 5, "without spinning");
        while (streq(hear_within(fd, SILENCE), EMPTY))
                heard++;
        cr_assert_geq(heard, sent, "and then serves all");
}

Test(server, a_method_may_end_the_server)
{
        _cleanup_close_ int other = dial(), fd = dial();

        tell(other, CALL("Keep"));
        say(fd, CALL("FreeServer"));
        cr_assert_str_eq(hear(fd), "(closed)");
        cr_assert_eq(gone, 1);
        cr_assert_null(server);
}

/* --- time */

Test(server, half_a_message_and_idleness_and_neither)
{
        ServerLimits hasty = limits;
        hasty.idle_usec = 300 * USEC_PER_MSEC;
        server_set_limits(server, &hasty);
        _cleanup_close_ int half = dial(), idle = dial(), busy = dial();

        cr_assert_eq(send(half, "{", 1, 0), 1);
        tell(busy, CALL("Keep"));
        cr_assert_str_eq(hear_within(half, 40), "(closed)");
        cr_assert_str_eq(hear_within(idle, 80), "(closed)");
        turn(80);
        cr_assert_eq(gone, 0);
        call_reply(TAKE_PTR(kept), NULL, NULL);
        cr_assert_str_eq(hear(busy), EMPTY);
        cr_assert_str_eq(hear_within(busy, 80), "(closed)");
}

Test(server, a_message_in_small_pieces_is_not_given_more_time)
{
        _cleanup_close_ int fd = dial();

        for (int i = 0; i < 80 && send(fd, " ", 1, MSG_NOSIGNAL) == 1; i++) {
                usleep(10000);
                turn(1);
        }
        cr_assert_str_eq(hear_within(fd, 1), "(closed)");
}

/* --- descriptors */

static void say_with_fd(int fd, const char *text, int lent, unsigned copies)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(64 * sizeof(int))];
        } control = {};
        struct iovec iov = { (char *)text, strlen(text) + 1 };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
        int *fds = (int *)CMSG_DATA(&control.header);

        message.msg_controllen = CMSG_SPACE(copies * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(copies * sizeof(int));
        for (unsigned i = 0; i < copies; i++)
                fds[i] = lent;
        cr_assert_eq(sendmsg(fd, &message, 0), (ssize_t)iov.iov_len);
}

/* Closing is another process's, and what watches it is a descriptor too. */
static unsigned open_fds_in_the_end(unsigned expected)
{
        for (int i = 0; i < WAIT_STEPS && open_fds() > expected; i++)
                turn(1);
        return open_fds();
}

Test(server, descriptors_that_no_method_took_are_closed_with_the_call)
{
        static const struct {
                const char *call, *reply;
                unsigned copies;
        } table[] = {
                {CALL("Touch"),                                                      EMPTY, 5 },
                { CALL("Touch"),                                                     EMPTY, 64},
                { CALL("Nothing"),
                 "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"test.some."
                  "Nothing\"}}",                                                            3 },
                { "{\"method\":\"test.some.EchoFd\",\"parameters\":{\"index\":9}}",
                 "{\"error\":\"io.systemd.System\",\"parameters\":{\"origin\":\"linux\",\"errno\":9,"
                  "\"errnoName\":\"EBADF\"}}",                                              3 },
                { "{\"method\":\"test.some.EchoFd\",\"parameters\":{\"index\":-1}}",
                 "{\"error\":\"io.systemd.System\",\"parameters\":{\"origin\":\"linux\",\"errno\":9,"
                  "\"errnoName\":\"EBADF\"}}",                                              3 },
                { CALL("EchoFd"),                                                    EMPTY, 3 }, /* without more: the descriptor of the notify goes nowhere */
        };
        _cleanup_close_ int fd = dial();
        turn(2);
        unsigned before = open_fds();

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                say_with_fd(fd, table[i].call, STDERR_FILENO, table[i].copies);
                cr_expect_str_eq(hear(fd), table[i].reply);
                cr_expect_eq(open_fds_in_the_end(before), before, "row %zu", i);
        }
        say_with_fd(fd, "{}", STDERR_FILENO, 3);
        cr_assert_str_eq(hear(fd), "(closed)");
        cr_assert_leq(open_fds_in_the_end(before - 1), before - 1,
                      "a message that closes the connection keeps none either");
}

Test(server, a_descriptor_goes_back_with_the_first_reply)
{
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(4 * sizeof(int))];
        } control = {};
        char text[256];
        struct iovec iov = { text, sizeof(text) };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        _cleanup_close_ int fd = dial();
        struct stat lent, came;

        say_with_fd(fd, MORE("EchoFd"), STDERR_FILENO, 1);
        turn(SILENCE);
        cr_assert_gt(recvmsg(fd, &message, MSG_DONTWAIT), 0);
        cr_assert_eq(control.header.cmsg_len, CMSG_LEN(sizeof(int)));
        _cleanup_close_ int received = *(int *)CMSG_DATA(&control.header);
        cr_assert_eq(fstat(STDERR_FILENO, &lent), 0);
        cr_assert_eq(fstat(received, &came), 0);
        cr_assert_eq(lent.st_ino, came.st_ino);
}

/* --- admission */

Test(server, who_is_refused_is_told_when_it_says_something)
{
        refuse_with = "no-lunch";
        _cleanup_close_ int fd = dial(), silent = dial();

        cr_assert_str_eq(hear_within(fd, SILENCE), "(silence)");
        cr_assert_eq(server_connections(server), 0);
        say(fd, "anything");
        cr_assert_str_eq(hear(fd), REFUSED("no-lunch"));
        cr_assert_str_eq(hear(fd), "(closed)");
        cr_assert_str_eq(hear_within(silent, 150), "(closed)", "and after a second in any case");
}

Test(server, not_even_the_refused_are_without_number)
{
        int fds[80];
        unsigned closed = 0;

        refuse_with = "no-lunch";
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = dial();
        turn(ELEMENTSOF(fds));
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                closed += streq(hear_within(fds[i], 1), "(closed)");
        cr_assert_eq(closed, ELEMENTSOF(fds) - 64);
}

Test(server, a_parked_connection_leaves_room_for_another)
{
        int fds[5];

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = dial();
        tell(fds[3], CALL("Touch"));
        cr_assert_str_eq(hear(fds[3]), REFUSED("connections-per-user"));
        tell(fds[0], CALL("Park"));
        int next = dial();
        say(next, CALL("Touch"));
        cr_assert_str_eq(hear(next), EMPTY);
        close(next);

        call_reply(TAKE_PTR(kept), NULL, NULL);
        cr_assert_str_eq(hear(fds[0]), EMPTY);
        _cleanup_close_ int last = dial();
        say(last, CALL("Touch"));
        cr_assert_str_eq(hear(last), REFUSED("connections-per-user"),
                         "it counts again when its call is over");
}

Test(server, places_are_given_back)
{
        for (int i = 0; i < 100; i++) {
                refuse_with = i % 2 ? "no-lunch" : NULL;
                _cleanup_close_ int fd = dial();
                say(fd, CALL("Touch"));
                cr_assert_str_eq(hear(fd), i % 2 ? REFUSED("no-lunch") : EMPTY);
        }
        refuse_with = "no-lunch";
        for (int i = 0; i < 100; i++) {
                _cleanup_close_ int fd = dial();
                say(fd, CALL("Touch"));
                cr_assert_str_eq(hear(fd), REFUSED("no-lunch"));
        }
}

Test(server, limits_can_change)
{
        ServerLimits fewer = limits;
        fewer.connections_max = 4;
        fewer.connections_kept_for_root = 4;
        _cleanup_close_ int first = dial();

        say(first, CALL("Touch"));
        cr_assert_str_eq(hear(first), EMPTY);
        server_set_limits(server, &fewer);
        connections_of_user = 1;
        _cleanup_close_ int second = dial();
        say(second, CALL("Touch"));
        cr_assert_str_eq(hear(second), REFUSED("connections-per-user"));
        say(first, CALL("Touch"));
        cr_assert_str_eq(hear(first), EMPTY, "who is there already stays");
        connections_of_user = 9;
        _cleanup_close_ int third = dial();
        say(third, CALL("Touch"));
        cr_assert_str_eq(hear(third), getuid() == 0 ? EMPTY : REFUSED("connections"));
}

Test(server, who_cannot_be_told_is_not_served)
{
        admission_fails_with = -EIO;
        _cleanup_close_ int fd = dial();
        say(fd, CALL("Touch"));
        cr_assert_str_eq(hear(fd), "(closed)");
        cr_assert_eq(server_connections(server), 0);
}

/* Connects in these groups and looks at what the server sees when the process is in none of them any more.
 */
static void connect_in_groups(const gid_t *groups, size_t n)
{
        cr_assert_eq(setgroups(n, groups), 0);
        _cleanup_close_ int fd = dial();
        cr_assert_eq(setgroups(0, NULL), 0);
        turn(2);
        cr_assert_eq(server_connections(server), 1);
}

static void expect_groups(size_t n, const gid_t *expected)
{
        cr_assert_eq(n_peer_groups, n, "%zu", n_peer_groups);
        for (size_t i = 0; i < n; i++)
                cr_expect_eq(peer_groups[i], expected[i], "%u", peer_groups[i]);
}

Test(server, groups_are_those_of_the_connecting_process)
{
        if (getuid() != 0)
                cr_skip_test("only root can choose its groups");

        connect_in_groups(NULL, 0);
        expect_groups(1, (gid_t[]){ 0 });
        connect_in_groups((gid_t[]){ 10, 30, 4000000000 }, 3);
        expect_groups(4, (gid_t[]){ 10, 30, 4000000000, 0 });
        cr_assert_eq(setegid(25), 0);
        connect_in_groups((gid_t[]){ 10, 30 }, 2);
        expect_groups(3, (gid_t[]){ 10, 30, 25 });
}

Test(server, groups_are_looked_at_up_to_a_number)
{
        static gid_t groups[65536];

        if (getuid() != 0)
                cr_skip_test("only root can choose its groups");
        for (size_t i = 0; i < ELEMENTSOF(groups); i++)
                groups[i] = (gid_t)(2 * i + 2);
        connect_in_groups(groups, PEER_GROUPS_MAX);
        cr_assert_eq(n_peer_groups, PEER_GROUPS_MAX + 1);
        for (size_t i = 0; i < PEER_GROUPS_MAX; i++)
                cr_assert_eq(peer_groups[i], groups[i]);

        reading_groups_fails_with = -E2BIG;
        connect_in_groups(groups, PEER_GROUPS_MAX + 1);
        connect_in_groups(groups, ELEMENTSOF(groups));
}

Test(server, no_descriptors_left_does_not_spin)
{
        struct rlimit before, none;
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        _cleanup_close_ int fd = dial();
        none.rlim_cur = (rlim_t)fd + 1;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);

        unsigned events = 0;
        for (uint64_t end = now_usec(CLOCK_MONOTONIC) + 300 * USEC_PER_MSEC;
             now_usec(CLOCK_MONOTONIC) < end;)
                events += sd_event_run(event, 10 * USEC_PER_MSEC) > 0;
        cr_assert_lt(events, 20);
        cr_assert_eq(server_connections(server), 0);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        say(fd, CALL("Touch"));
        cr_assert_str_eq(hear(fd), EMPTY, "it was only put off");
}

/* --- the place in the file system */

Test(server, the_socket_is_for_everybody)
{
        struct stat st;
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode, S_IFSOCK | 0666);
}

Test(server, a_socket_in_use_is_not_replaced_but_a_stale_one_is)
{
        Server *second;
        const ServerIdentity identity = { "vendor", "product", "1", "url" };
        cr_assert_eq(server_new(event, &identity, &limits, admit, NULL, &second), 0);

        cr_assert_eq(server_listen_path(second, path), -EADDRINUSE);
        server = server_free(server);
        cr_assert_eq(server_listen_path(second, path), 0);
        server = second;
        cr_assert_eq(server_add_interface(server, &interface), 0);
        _cleanup_close_ int fd = dial();
        say(fd, CALL("Touch"));
        cr_assert_str_eq(hear(fd), EMPTY);
}

Test(server, what_is_not_a_socket_is_left_alone)
{
        char file[80], long_path[200];
        struct stat st;
        snprintf(file, sizeof(file), "%s/file", directory);
        fclose(fopen(file, "w"));
        cr_assert_eq(server_listen_path(server, file), -EEXIST);
        cr_assert_eq(stat(file, &st), 0);
        cr_assert(S_ISREG(st.st_mode));
        unlink(file);
        memset(long_path, 'x', sizeof(long_path) - 1);
        long_path[sizeof(long_path) - 1] = '\0';
        cr_assert_eq(server_listen_path(server, long_path), -ENAMETOOLONG);
}
