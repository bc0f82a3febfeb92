#!/bin/sh
# usage: embed.sh FILE NAME OUTPUT   writes FILE as `const char NAME[]` in C
{
        printf 'extern const char %s[];\nconst char %s[] =\n' "$2" "$2"
        sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/        "/' -e 's/$/\\n"/' "$1"
        printf ';\n'
} >"$3"
