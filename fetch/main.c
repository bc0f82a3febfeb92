/* nsroot-fetch: downloads one file for nsrootd, which starts it without privileges, gives it a socket and an
 * open file, and believes nothing it says but how far it is and how it ended. Takes no arguments and reads
 * no environment. */
#include <stdio.h>
#include <sys/socket.h>

#include "http.h"
#include "sandbox.h"

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
        return "detect_leaks=0"; /* which would need ptrace */
}
#endif

static int send_report(const FetchReport *report, int flags)
{
        return send(FETCH_FD_CONTROL, report, sizeof(*report), flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A report that finds no room is not worth waiting for. That nobody listens any more is. */
static int on_progress(const FetchReport *report, void *userdata)
{
        int r = send_report(report, MSG_DONTWAIT);

        return r == -EAGAIN ? 0 : r;
}

static int read_request(FetchRequest *ret)
{
        ssize_t n = recv(FETCH_FD_CONTROL, ret, sizeof(*ret), MSG_TRUNC);

        if (n < 0)
                return -errno;
        if (n != sizeof(*ret) || ret->offset > ret->size_max || ret->size_max > INT64_MAX ||
            !memchr(ret->url, '\0', sizeof(ret->url)) || !memchr(ret->proxy, '\0', sizeof(ret->proxy)))
                return -EPROTO;
        return 0;
}

static int fail(const char *what, int r)
{
        fprintf(stderr, "nsroot-fetch is started by nsrootd: %s: %s\n", what, strerror(-r));
        return EXIT_FAILURE;
}

int main(void)
{
        static FetchRequest request;
        FetchReport report;
        int r;

        r = sandbox_enter();
        if (r < 0)
                return fail("cannot enter its sandbox", r);
        r = read_request(&request);
        if (r < 0)
                return fail("cannot read its request", r);
        report = http_download(&request, FETCH_FD_OUTPUT, on_progress, NULL);
        r = send_report(&report, 0);
        return r < 0 ? fail("cannot send its report", r) : EXIT_SUCCESS;
}
