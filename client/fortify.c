/* What json-c's archive, compiled for glibc with _FORTIFY_SOURCE, calls in place of the functions of the C
 * standard (LSB Core, "Interfaces for libc"), and what glibc 2.38 and later call strtol(3) and its like: for
 * a program that is linked with musl, which has neither. The sizes that they are told go unchecked here. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list arguments);
int __fprintf_chk(FILE *stream, int flag, const char *format, ...);
int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, va_list arguments);
int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...);
int __vasprintf_chk(char **ret, int flag, const char *format, va_list arguments);
char *__strcat_chk(char *to, const char *from, size_t room);
void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments);
long __isoc23_strtol(const char *text, char **ret_end, int base);
long long __isoc23_strtoll(const char *text, char **ret_end, int base);
unsigned long long __isoc23_strtoull(const char *text, char **ret_end, int base);

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

int __vfprintf_chk(FILE *stream, int flag, const char *format, va_list arguments)
{
        return vfprintf(stream, format, arguments);
}

int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
{
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vfprintf(stream, format, arguments);
        va_end(arguments);
        return r;
}

int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, va_list arguments)
{
        return vsnprintf(to, size, format, arguments);
}

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...)
{
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vsnprintf(to, size, format, arguments);
        va_end(arguments);
        return r;
}

int __vasprintf_chk(char **ret, int flag, const char *format, va_list arguments)
{
        return vasprintf(ret, format, arguments);
}

char *__strcat_chk(char *to, const char *from, size_t room)
{
        return strcat(to, from);
}

void __vsyslog_chk(int priority, int flag, const char *format, va_list arguments)
{
        vsyslog(priority, format, arguments);
}

long __isoc23_strtol(const char *text, char **ret_end, int base)
{
        return strtol(text, ret_end, base);
}

long long __isoc23_strtoll(const char *text, char **ret_end, int base)
{
        return strtoll(text, ret_end, base);
}

unsigned long long __isoc23_strtoull(const char *text, char **ret_end, int base)
{
        return strtoull(text, ret_end, base);
}
