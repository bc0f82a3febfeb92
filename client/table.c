/* Tables, by table.h. */
#include "table.h"

#include "text.h"

#define GAP 2 /* columns between two cells */

void table_done(Table *t)
{
        for (size_t i = 0; i < t->n; i++)
                free(t->cells[i]);
        free(t->cells);
        *t = (Table){};
}

int table_add(Table *t, const char *text)
{
        _cleanup_free_ char *cell = NULL;
        char **cells;

        cell = text_escape(text && *text ? text : "-");
        cells = cell ? reallocarray(t->cells, t->n + 1, sizeof(*cells)) : NULL;
        if (!cells)
                return -ENOMEM;
        cells[t->n++] = TAKE_PTR(cell);
        t->cells = cells;
        return 0;
}

/* At most `room` columns of the cell, and blanks up to `width` unless it is the last of its line. */
static void print_cell(const char *cell, size_t width, size_t room, bool last, FILE *stream)
{
        size_t shown = MIN(text_width(cell), room);

        fwrite(cell, 1, text_prefix(cell, shown), stream);
        if (!last)
                fprintf(stream, "%*s", (int)MIN(width + GAP - shown, room - shown), "");
}

void table_print(const Table *t, FILE *stream, size_t width)
{
        size_t widths[TABLE_COLUMNS_MAX] = {}, room = 0;

        for (size_t i = 0; i < t->n; i++)
                widths[i % t->columns] = MAX(widths[i % t->columns], text_width(t->cells[i]));

        for (size_t i = 0; i < t->n; i++) {
                size_t column = i % t->columns;
                bool last = column + 1 == t->columns;

                if (column == 0)
                        room = width > 0 ? width : SIZE_MAX;
                print_cell(t->cells[i], widths[column], room, last, stream);
                room -= MIN(widths[column] + GAP, room);
                if (last)
                        fputc('\n', stream);
        }
}
