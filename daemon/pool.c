/* See pool.h. A shelf for each user, root and kind of storage; on it those that wait. */
#include "pool.h"

#include <sys/epoll.h>
#include <time.h>

#include "demand.h"

/* Measured; where the root is a copy, that is in memory, too. */
#define MEMORY_OF_ONE  (350 * KIB)
#define MEMORY_OF_ROOT (4 * MIB)

typedef struct Shelf Shelf;

typedef struct Slot Slot;
struct Slot {
        Slot *next;
        Shelf *shelf;
        Prepared *prepared;
        sd_event_source *end; /* of its init */
};

struct Shelf {
        Shelf *next;
        Pool *pool;
        /* What is made: the most usual of its kind. */
        Root *root;
        uid_t owner;
        Limits limits;
        GroupLimits together;
        int oom_score_adj;

        Slot *slots;
        size_t n_slots;
        Demand demand;
};

struct Pool {
        const SessionHost *host;
        Shelf *shelves;
        bool with_userns; /* how those that wait were made */
        sd_event_source *refill, *tidy;
};

static Wanted usual(const Shelf *shelf)
{
        return (Wanted){ .root = shelf->root,
                         .owner = shelf->owner,
                         .limits = &shelf->limits,
                         .together = &shelf->together,
                         .oom_score_adj = shelf->oom_score_adj };
}

static bool is_for(const Shelf *shelf, const Wanted *wanted)
{
        static const Limit fixed[] = { LIMIT_STORAGE, LIMIT_STORAGE_INODES, LIMIT_SHARED_MEMORY };

        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                if (shelf->limits.of[fixed[i]] != wanted->limits->of[fixed[i]])
                        return false;
        return shelf->root == wanted->root && shelf->owner == wanted->owner;
}

/* What no slot can be given is not worth a shelf. */
static bool is_special(const Wanted *wanted)
{
        return wanted->charged_to || wanted->read_only ||
               (wanted->hostname && !streq(wanted->hostname, root_name(wanted->root)));
}

static Shelf *find_shelf(const Pool *p, const Wanted *wanted)
{
        Shelf *shelf = p->shelves;

        while (shelf && !is_for(shelf, wanted))
                shelf = shelf->next;
        return shelf;
}

static void slot_link(Slot *slot, Shelf *shelf)
{
        slot->shelf = shelf;
        slot->next = shelf->slots;
        shelf->slots = slot;
        shelf->n_slots++;
}

static void slot_unlink(Slot *slot)
{
        Slot **at = &slot->shelf->slots;

        while (*at != slot)
                at = &(*at)->next;
        *at = slot->next;
        slot->shelf->n_slots--;
}

/* Takes what is in it. */
static Prepared *slot_take(Slot *slot)
{
        Prepared *prepared = slot->prepared;

        slot_unlink(slot);
        root_count_idle(prepared->root, -1);
        sd_event_source_disable_unref(slot->end);
        free(slot);
        return prepared;
}

static void slot_free(Slot *slot)
{
        const SessionHost *host = slot->shelf->pool->host;

        prepared_free(host, slot_take(slot));
}

static void shelf_free(Shelf *shelf)
{
        Shelf **at = &shelf->pool->shelves;

        while (shelf->slots)
                slot_free(shelf->slots);
        while (*at != shelf)
                at = &(*at)->next;
        *at = shelf->next;
        root_count_idle(shelf->root, -1);
        root_unref(shelf->root);
        free(shelf);
}

static int on_end(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        slot_free(userdata);
        return 0;
}

static int add_slot(Shelf *shelf, Prepared *prepared)
{
        Slot *slot = calloc(1, sizeof(*slot));
        int r;

        if (!slot)
                return -ENOMEM;
        slot->prepared = prepared;
        r = sd_event_add_io(shelf->pool->host->event, &slot->end, prepared->init.pidfd, EPOLLIN, on_end,
                            slot);
        if (r < 0) {
                free(slot);
                return r;
        }
        slot_link(slot, shelf);
        root_count_idle(prepared->root, 1);
        return 0;
}

static uint64_t memory_of(const Shelf *shelf)
{
        return MEMORY_OF_ONE + (shelf->slots && shelf->slots->prepared->is_copy ? MEMORY_OF_ROOT : 0);
}

static uint64_t memory_of_all(const Pool *p)
{
        uint64_t memory = 0;

        for (const Shelf *shelf = p->shelves; shelf; shelf = shelf->next)
                memory += shelf->n_slots * memory_of(shelf);
        return memory;
}

static size_t slots_of(const Pool *p, uid_t owner)
{
        size_t n = 0;

        for (const Shelf *shelf = p->shelves; shelf; shelf = shelf->next)
                if (shelf->owner == owner)
                        n += shelf->n_slots;
        return n;
}

/* For how many more there is room. */
static size_t room_for(const Shelf *shelf)
{
        const Config *config = shelf->pool->host->config;
        size_t slots = slots_of(shelf->pool, shelf->owner);
        uint64_t memory = memory_of_all(shelf->pool);

        if (slots >= config->pool_slots_per_user || memory >= config->pool_memory_max)
                return 0;
        return MIN(config->pool_slots_per_user - slots,
                   (config->pool_memory_max - memory) / memory_of(shelf));
}

static bool may_have_more(const Shelf *shelf)
{
        return shelf->n_slots < shelf->demand.wanted && room_for(shelf) > 0;
}

static uint64_t patience(const Shelf *shelf)
{
        return demand_patience(&shelf->demand, shelf->n_slots, room_for(shelf));
}

static size_t lack_of(const Shelf *shelf)
{
        return shelf->demand.wanted - shelf->n_slots;
}

/* The one that lacks most. */
static Shelf *find_emptiest(const Pool *p)
{
        Shelf *found = NULL;

        for (Shelf *shelf = p->shelves; shelf; shelf = shelf->next)
                if (may_have_more(shelf) && (!found || lack_of(shelf) > lack_of(found)))
                        found = shelf;
        return found;
}

static void empty_shelves(Pool *p)
{
        for (Shelf *shelf = p->shelves; shelf; shelf = shelf->next)
                while (shelf->slots)
                        slot_free(shelf->slots);
}

/* Whether there are user namespaces can change at any time, and is seen at the next clone. */
static void follow_userns(Pool *p)
{
        bool now = launcher_has_userns(p->host->launcher);

        if (p->with_userns != now)
                empty_shelves(p);
        p->with_userns = now;
}

/* What cannot be made is made cold, and that says why; what only has to wait is made later. */
static void add_one(Shelf *shelf)
{
        const Wanted wanted = usual(shelf);
        Prepared *prepared;
        LaunchFailure f;

        if (prepared_new(shelf->pool->host, &wanted, &prepared, &f) < 0) {
                shelf->demand.wanted = 0;
                return;
        }
        follow_userns(shelf->pool);
        if (add_slot(shelf, prepared) < 0)
                prepared_free(shelf->pool->host, prepared);
}

/* Not where that is as good as never. */
static void arm(sd_event_source *timer, uint64_t usec)
{
        if (sd_event_source_set_time_relative(timer, usec) >= 0)
                (void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* One a turn: who wants a session now has it before the pool. */
static int on_refill(sd_event_source *source, uint64_t usec, void *userdata)
{
        Pool *p = userdata;
        Shelf *shelf = find_emptiest(p);

        if (shelf) {
                add_one(shelf);
                arm(p->refill, patience(shelf));
        }
        return 0;
}

static uint64_t idle_left(const Shelf *shelf)
{
        uint64_t age = now_usec(CLOCK_MONOTONIC) - shelf->demand.used_usec,
                 idle = shelf->pool->host->config->pool_idle_usec;

        return idle > age ? idle - age : 0;
}

static int on_tidy(sd_event_source *source, uint64_t usec, void *userdata)
{
        Pool *p = userdata;
        uint64_t least = UINT64_MAX;

        for (Shelf *shelf = p->shelves, *next; shelf; shelf = next) {
                next = shelf->next;
                uint64_t left = idle_left(shelf);

                if (left == 0)
                        shelf_free(shelf);
                else
                        least = MIN(least, left);
        }
        if (p->shelves)
                arm(p->tidy, least);
        return 0;
}

static Shelf *add_shelf(Pool *p, const Wanted *wanted)
{
        Shelf *shelf = calloc(1, sizeof(*shelf));

        if (!shelf)
                return NULL;
        *shelf = (Shelf){
                .next = p->shelves, .pool = p, .root = root_ref(wanted->root), .owner = wanted->owner
        };
        root_count_idle(shelf->root, 1);
        p->shelves = shelf;
        return shelf;
}

void pool_expect(Pool *p, const Wanted *wanted)
{
        Shelf *shelf;

        pool_forsake(p);
        if (!p->host->config->pool_slots_per_user || is_special(wanted))
                return;
        shelf = find_shelf(p, wanted) ?: add_shelf(p, wanted);
        if (!shelf)
                return;
        shelf->limits = *wanted->limits;
        shelf->together = *wanted->together;
        shelf->oom_score_adj = wanted->oom_score_adj;
        demand_count(&shelf->demand, now_usec(CLOCK_MONOTONIC), p->host->config->pool_slots_per_user);
        arm(p->refill, patience(shelf));
        if (sd_event_source_get_enabled(p->tidy, NULL) == 0)
                arm(p->tidy, p->host->config->pool_idle_usec);
}

Prepared *pool_take(Pool *p, const Wanted *wanted)
{
        Shelf *shelf = is_special(wanted) ? NULL : find_shelf(p, wanted);

        follow_userns(p);
        while (shelf && shelf->slots) {
                Slot *slot = shelf->slots;

                if (prepared_lives(slot->prepared) && prepared_adapt(slot->prepared, wanted) >= 0)
                        return slot_take(slot);
                slot_free(slot);
        }
        return NULL;
}

void pool_flush(Pool *p)
{
        while (p->shelves)
                shelf_free(p->shelves);
        (void)sd_event_source_set_enabled(p->tidy, SD_EVENT_OFF); /* by what may be another timeout now */
}

void pool_forsake(Pool *p)
{
        for (Shelf *shelf = p->shelves, *next; shelf; shelf = next) {
                next = shelf->next;
                if (!root_config(shelf->root))
                        shelf_free(shelf);
        }
}

size_t pool_in_root(const Pool *p, const char *name)
{
        size_t n = 0;

        for (const Shelf *shelf = p->shelves; shelf; shelf = shelf->next)
                if (streq(root_name(shelf->root), name))
                        n += shelf->n_slots;
        return n;
}

bool pool_has_prefix(const Pool *p, const char *prefix, size_t length)
{
        for (const Shelf *shelf = p->shelves; shelf; shelf = shelf->next)
                for (const Slot *slot = shelf->slots; slot; slot = slot->next)
                        if (strncmp(slot->prepared->id, prefix, length) == 0)
                                return true;
        return false;
}

static int add_timer(Pool *p, sd_event_source **ret, uint64_t accuracy, sd_event_time_handler_t handler)
{
        int r = sd_event_add_time(p->host->event, ret, CLOCK_MONOTONIC, UINT64_MAX, accuracy, handler, p);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int pool_new(const SessionHost *host, Pool **ret)
{
        _cleanup_(pool_freep) Pool *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->host = host;
        r = add_timer(p, &p->refill, 1, on_refill);
        if (r >= 0)
                r = add_timer(p, &p->tidy, USEC_PER_SEC, on_tidy);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

Pool *pool_free(Pool *p)
{
        pool_flush(p);
        sd_event_source_disable_unref(p->refill);
        sd_event_source_disable_unref(p->tidy);
        free(p);
        return NULL;
}
