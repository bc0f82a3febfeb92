/* See unit-job.h. Asked over the manager's own socket, where no message bus has to run (and as root, which
 * we are). */
#include "unit-job.h"

#include <systemd/sd-bus.h>
#include <unistd.h>

#define MANAGER_SOCKET "unix:path=/run/systemd/private"
#define MANAGER        "org.freedesktop.systemd1"
#define PATIENCE_USEC  (2 * USEC_PER_SEC)

static int connect_manager(sd_bus **ret)
{
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r = sd_bus_new(&bus);

        if (r >= 0)
                r = sd_bus_set_address(bus, MANAGER_SOCKET);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, PATIENCE_USEC);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

/* The object path of our unit. */
static int find_unit(sd_bus *bus, char **ret)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path;
        int r = sd_bus_call_method(bus, MANAGER, "/org/freedesktop/systemd1", MANAGER ".Manager",
                                   "GetUnitByPID", NULL, &reply, "u", (uint32_t)getpid());

        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return r;
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

/* The object path of its job; "/" where it has none. */
static int find_job(sd_bus *bus, const char *unit, char **ret)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path;
        int r = sd_bus_get_property(bus, MANAGER, unit, MANAGER ".Unit", "Job", NULL, &reply, "(uo)");

        if (r >= 0)
                r = sd_bus_message_read(reply, "(uo)", NULL, &path);
        if (r < 0)
                return r;
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

bool unit_job_is_stop(void)
{
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_free_ char *unit = NULL, *job = NULL, *type = NULL;
        int r = connect_manager(&bus);

        if (r >= 0)
                r = find_unit(bus, &unit);
        if (r >= 0)
                r = find_job(bus, unit, &job);
        if (r >= 0)
                r = sd_bus_get_property_string(bus, MANAGER, job, MANAGER ".Job", "JobType", NULL, &type);
        return r >= 0 && streq(type, "stop");
}
