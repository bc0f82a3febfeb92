/* "Did you mean …?" */
#include <criterion/criterion.h>

#include "nearest.h"

static const char *find(const char *word)
{
        static const char *const words[] = { "MemoryMax", "MemlockMax", "TasksMax",
                                             "Admit",     "Source",     "SourceMax" };
        Nearest nearest = { .word = word };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                nearest_try(&nearest, words[i]);
        return nearest.found ? nearest.found : "";
}

Test(nearest, slips)
{
        cr_expect_str_eq(find("MemoryMx"), "MemoryMax");
        cr_expect_str_eq(find("MemmoryMax"), "MemoryMax");
        cr_expect_str_eq(find("memorymax"), "MemoryMax");
        cr_expect_str_eq(find("MEMORY_MAX"), "MemoryMax");
        cr_expect_str_eq(find("TaskMax"), "TasksMax");
        cr_expect_str_eq(find("Sources"), "Source");
        cr_expect_str_eq(find("Admin"), "Admit");
        cr_expect_str_eq(find("MemlokMax"), "MemlockMax");
}

Test(nearest, other_words)
{
        cr_expect_str_eq(find(""), "");
        cr_expect_str_eq(find("x"), "");
        cr_expect_str_eq(find("Speed"), "");
        cr_expect_str_eq(find("ControlGroup"), "");
        cr_expect_str_eq(find("MemoryMaxMemoryMaxMemoryMaxMemoryMaxMemoryMax"), "");
}
