/* A [User NAME] or [Group NAME]: which keys it has set, and what that makes of an allowance. Goes by the
 * table of keys; knows neither files nor who anybody is. */
#include "config-table.h"
#include "config.h"

/* The bit of a key of an Allowance: its place among those. */
static uint64_t bit_of(const ConfigKey *key)
{
        unsigned place = 0;

        for (const ConfigKey *other = config_keys; other != key; other++)
                place += other->of == KEY_OF_USER;
        return (uint64_t)1 << place;
}

int rule_set(Rule *rule, const ConfigKey *key, const char *text)
{
        int r = value_set(key, &rule->allowance, text);

        if (r >= 0)
                rule->given |= bit_of(key);
        return r;
}

bool rule_says(const Rule *rule, const ConfigKey *key)
{
        return key->of == KEY_OF_USER && (rule->given & bit_of(key));
}

void rule_apply(const Rule *rule, Allowance *a)
{
        for (const ConfigKey *key = config_keys; key->name; key++)
                if (rule_says(rule, key))
                        value_copy(key, a, &rule->allowance);
}
