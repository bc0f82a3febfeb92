/* nsrootctl doctor: what this machine, this nsrootd and this caller have and lack. */
#include <fcntl.h>
#include <stdio.h>

#include "client.h"
#include "doctor-checks.h"
#include "doctor-print.h"
#include "failure.h"

static void look_at_units(Evidence *e)
{
        units_done(&e->units);
        e->units.descriptor_store_max = -1;
        if (e->machine.systemd)
                units_probe(&e->units);
}

/* The units before nsrootd, because asking it may start it; and after it, if that came to nothing. */
static int gather(const Client *client, Evidence *ret)
{
        _cleanup_close_ int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (root_fd < 0)
                return -errno;
        *ret = (Evidence){ .socket = client->socket };
        machine_probe(root_fd, &ret->machine);
        look_at_units(ret);
        daemon_ask(client->socket, &ret->daemon);
        if (ret->daemon.reach != REACH_ANSWERS)
                look_at_units(ret);
        return 0;
}

static void evidence_done(Evidence *e)
{
        machine_done(&e->machine);
        units_done(&e->units);
        daemon_answers_done(&e->daemon);
}

static int judge_all(const Evidence *e, Finding *findings)
{
        int r = 0;

        for (size_t i = 0; i < checks_count() && r >= 0; i++)
                r = check_judge(i, e, &findings[i]);
        return r;
}

static int exit_status(const Finding *findings)
{
        CheckStatus worst = CHECK_OK;

        for (size_t i = 0; i < checks_count(); i++)
                worst = MAX(worst, findings[i].status);
        return (int)(worst - CHECK_OK);
}

static int run_doctor(const Client *client, const void *options _unused_, char **operands _unused_)
{
        Finding *findings = calloc(checks_count(), sizeof(*findings));
        Evidence evidence = {};
        int r = findings ? gather(client, &evidence) : -ENOMEM, status;

        if (r >= 0)
                r = judge_all(&evidence, findings);
        if (r >= 0)
                r = (client->json ? doctor_print_json : doctor_print)(findings, checks_count());
        status = r < 0 ? failure_exit("cannot examine this machine: %s", errno_text(r))
                       : exit_status(findings);
        for (size_t i = 0; findings && i < checks_count(); i++)
                finding_done(&findings[i]);
        free(findings);
        evidence_done(&evidence);
        return status;
}

static const OptionTable table = {
        .name = "nsrootctl doctor",
        .summary = "Say what works here, what is degraded and what is missing, and what to do about it",
        .details = "Exit status: 0, all that was looked at is ok; 1, something is degraded; 2, something is "
                   "missing;\n"
                   "125, it could not be looked at. It needs no nsrootd: without one it looks at what it "
                   "can.\n",
        .shared = client_options,
};

const Verb verb_doctor = { .table = &table, .run = run_doctor };
