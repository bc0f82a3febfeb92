/* See number.h. */
#include "number.h"

char *put_number(char *to, uint64_t n)
{
        char digits[NUMBER_MAX], *d = digits + sizeof(digits);

        *--d = '\0';
        do
                *--d = (char)('0' + n % 10);
        while (n /= 10);
        return stpcpy(to, d);
}
