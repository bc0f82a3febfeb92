/* What a call lends to a command: its standard descriptors and its lifeline. See methods.h. */
#include <fcntl.h>
#include <unistd.h>

#include "lent.h"
#include "methods.h"
#include "protocol.h"

/* *ret is set on failure too, for who closes it. */
static int take_lent(Call *c, int64_t index, LentUse use, const char *parameter, int *ret, Error *e)
{
        const char *fault;

        if (index == FIELD_ABSENT)
                return 0;
        *ret = call_take_fd(c, index);
        fault = *ret < 0 ? "no such descriptor came with the message, or it is used twice"
                         : lent_check(*ret, use);
        if (!fault)
                return 0;
        error_setf(e, ERROR_BAD_FILE_DESCRIPTOR, "parameter", "%s", parameter);
        return error_addf(e, "reason", "%s", fault);
}

int lent_take_all(Call *c, const Spec *spec, int ret[static COMMAND_FDS], Error *e)
{
        const struct {
                int64_t index;
                LentUse use;
                const char *parameter;
        } lent[] = {
                {spec->stdio[0],  LENT_INPUT,    "standardInputFileDescriptor" },
                { spec->stdio[1], LENT_OUTPUT,   "standardOutputFileDescriptor"},
                { spec->stdio[2], LENT_OUTPUT,   "standardErrorFileDescriptor" },
                { spec->lifeline, LENT_LIFELINE, "lifelineFileDescriptor"      },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(lent) && r >= 0; i++)
                r = take_lent(c, lent[i].index, lent[i].use, lent[i].parameter, &ret[i], e);
        return r;
}

void lent_close_all(Call *c, int fds[static COMMAND_FDS])
{
        Fds lent = {};

        for (size_t i = 0; i < COMMAND_FDS; i++)
                if (fds[i] >= 0)
                        lent.fd[lent.n++] = TAKE_FD(fds[i]);
        if (lent.n > 0)
                call_close_fds(c, &lent);
}

int lent_need_lifeline(Spec *spec, int fds[static COMMAND_FDS], int *ret_held)
{
        int ends[2];

        if (fds[COMMAND_FDS - 1] >= 0)
                return 0;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        fds[COMMAND_FDS - 1] = ends[0];
        spec->lifeline = 0; /* there is one, whichever number it had */
        *ret_held = ends[1];
        return 0;
}
