/* The line that says how far a root is: what is in it, and that it fits. */
#include "progress.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "text.h"

typedef struct Row {
        int64_t done, total;
        size_t columns;
        const char *line;
} Row;

Test(progress, lines)
{
        static const Row rows[] = {
                {-1,    -1,   80, "busybox: downloading"                                       },
                { 0,    -1,   80, "busybox: downloading"                                       },
                { 2048, -1,   80, "busybox: downloading 2.0K"                                  },
                { 0,    4096, 80,
                 "busybox: downloading [                                        ] 0% of 4.0K"  },
                { 2048, 4096, 80,
                 "busybox: downloading [####################                    ] 50% of 4.0K" },
                { 4096, 4096, 80,
                 "busybox: downloading [########################################] 100% of 4.0K"},
                { 4095, 4096, 60, "busybox: downloading [####################### ] 99% of 4.0K"},
                { 2048, 4096, 40, "busybox: downloading 50% of 4.0K"                           },
                { 2048, 4096, 20, "busybox: downloading"                                       },
                { 2048, 4096, 7,  "busybox"                                                    },
                { 2048, 4096, 0,  ""                                                           },
                { 8192, 4096, 80, "busybox: downloading 8.0K"                                  }, /* no 200% */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *line = progress_line("busybox", "downloading", rows[i].done,
                                                          rows[i].total, rows[i].columns);

                cr_expect_str_eq(line, rows[i].line, "row %zu: '%s'", i, line);
        }
}

Test(progress, never_wider_than_the_terminal)
{
        for (size_t columns = 0; columns < 200; columns++)
                for (int64_t done = 0; done <= 1000; done += 250) {
                        _cleanup_free_ char *line =
                                progress_line("busybox", "downloading", done, 1000, columns);

                        cr_assert(text_width(line) <= columns, "%zu: '%s'", columns, line);
                }
}

Test(progress, nothing_moves_the_cursor)
{
        _cleanup_free_ char *line = progress_line("a\033[2J", "b\rc", -1, -1, 80);

        cr_expect_str_eq(line, "a\\x1b[2J: b\\x0dc");
}
