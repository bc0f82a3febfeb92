/* Screens, by screen.h. */
#include "screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define LINES_DEFAULT 24

#define HOME          "\033[H"
#define ERASE_LINE    "\033[K"
#define ERASE_BELOW   "\033[J"

size_t screen_width(void)
{
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}

static size_t lines_of_stdout(void)
{
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 ? LINES_DEFAULT : size.ws_row;
}

char *screen_text(const char *text, size_t lines)
{
        char *screen = NULL;
        size_t size;
        FILE *stream = open_memstream(&screen, &size);

        if (!stream)
                return NULL;
        fputs(HOME, stream);
        for (size_t line = 0; line < lines && *text; line++) {
                size_t n = strcspn(text, "\n");

                fprintf(stream, "%s%.*s" ERASE_LINE, line > 0 ? "\r\n" : "", (int)n, text);
                text += n + (text[n] == '\n');
        }
        fputs("\r\n" ERASE_BELOW, stream);
        if (fclose(stream) == 0)
                return screen;
        free(screen);
        return NULL;
}

int screen_draw(const Table *t)
{
        _cleanup_free_ char *text = NULL, *screen = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        if (!stream)
                return -ENOMEM;
        table_print(t, stream, screen_width());
        if (fclose(stream) == EOF)
                return -ENOMEM;
        screen = screen_text(text, lines_of_stdout() - 1);
        if (!screen)
                return -ENOMEM;
        fputs(screen, stdout);
        fflush(stdout);
        return 0;
}
