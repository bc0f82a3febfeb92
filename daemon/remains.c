/* See remains.h. */
#include "remains.h"

#include <sys/epoll.h>
#include <time.h>

/* The kernel takes a namespace apart on every processor at once, which whoever was just told of the end, and
 * ends now too, would have to wait for. */
#define DELAY (2 * USEC_PER_MSEC)

typedef struct Item Item;
struct Item {
        Item *next;
        Remains *remains;
        Remnant remnant;
        sd_event_source *end; /* of its init */
        bool is_killed;
};

struct Remains {
        sd_event *event;
        sd_event_source *kill;
        IdRanges *ranges;
        void (*gone)(void *userdata);
        void *userdata;
        Item *items;
};

static int on_kill(sd_event_source *source, uint64_t usec, void *userdata)
{
        Remains *r = userdata;

        for (Item *item = r->items; item; item = item->next) {
                if (!item->is_killed)
                        launcher_kill(&item->remnant.init);
                item->is_killed = true;
        }
        return 0;
}

int remains_new(sd_event *event, IdRanges *ranges, void (*gone)(void *userdata), void *userdata,
                Remains **ret)
{
        _cleanup_(remains_freep) Remains *r = calloc(1, sizeof(*r));
        int e;

        if (!r)
                return -ENOMEM;
        *r = (Remains){ .event = sd_event_ref(event), .ranges = ranges, .gone = gone, .userdata = userdata };
        e = sd_event_add_time(event, &r->kill, CLOCK_MONOTONIC, UINT64_MAX, 1, on_kill, r);
        if (e >= 0)
                e = sd_event_source_set_enabled(r->kill, SD_EVENT_OFF);
        if (e < 0)
                return e;
        *ret = TAKE_PTR(r);
        return 0;
}

/* All that were added meanwhile go together. 0; any error: nothing would kill them. */
static int kill_later(Remains *r)
{
        int e;

        if (sd_event_source_get_enabled(r->kill, NULL) > 0)
                return 0;
        e = sd_event_source_set_time_relative(r->kill, DELAY);
        return e < 0 ? e : sd_event_source_set_enabled(r->kill, SD_EVENT_ONESHOT);
}

static void give_back(Remains *r, Remnant *remnant)
{
        launcher_end(&remnant->init);
        if (remnant->cgroup)
                cgroup_free(remnant->cgroup);
        if (remnant->has_range)
                idranges_give_back(r->ranges, remnant->first_id);
}

static void item_free(Item *item)
{
        Item **at = &item->remains->items;

        while (*at != item)
                at = &(*at)->next;
        *at = item->next;
        sd_event_source_disable_unref(item->end);
        give_back(item->remains, &item->remnant);
        free(item);
}

Remains *remains_free(Remains *r)
{
        while (r->items)
                item_free(r->items);
        sd_event_source_disable_unref(r->kill);
        sd_event_unref(r->event);
        free(r);
        return NULL;
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        Item *item = userdata;
        Remains *r = item->remains;

        item_free(item);
        r->gone(r->userdata);
        return 0;
}

static int add(Remains *r, const Remnant *remnant)
{
        Item *item = calloc(1, sizeof(*item));
        int e;

        if (!item)
                return -ENOMEM;
        *item = (Item){ .next = r->items, .remains = r, .remnant = *remnant };
        e = kill_later(r);
        if (e >= 0)
                e = sd_event_add_io(r->event, &item->end, remnant->init.pidfd, EPOLLIN, on_end, item);
        if (e < 0) {
                free(item);
                return e;
        }
        /* Somebody else may wait for something else. */
        (void)sd_event_source_set_priority(item->end, SD_EVENT_PRIORITY_NORMAL + 1);
        r->items = item;
        return 0;
}

void remains_add(Remains *r, const Remnant *remnant)
{
        Remnant copy = *remnant;

        if (copy.init.pidfd < 0 || add(r, &copy) < 0)
                give_back(r, &copy);
}

size_t remains_of(const Remains *r, uid_t owner)
{
        size_t n = 0;

        for (const Item *item = r->items; item; item = item->next)
                n += item->remnant.owner == owner;
        return n;
}

bool remains_any(const Remains *r)
{
        return r->items;
}
