#!/bin/sh
# check-symbols.sh GOLDEN SYMBOLS: whether objects use nothing but what GOLDEN lists. SYMBOLS is what nm -P says of
# them; what one of them defines another may use. How the compiler spells a function (fortified, with 64-bit offsets)
# makes no difference, and what GOLDEN lists need not be used: both are the compiler's choice.
set -eu

grep -q ' T ' "$2" || { echo "$2: no object, or one that defines nothing" >&2; exit 1; }
awk '$2 == "U" || $2 == "w" { used[$1] } $2 ~ /[TtDdBbRrVW]/ { own[$1] }
     END { for (symbol in used) if (!(symbol in own)) print symbol }' "$2" |
        sed -E 's/^__(.*)_chk$/\1/; s/^([a-z]+)64$/\1/' | sort -u |
        awk 'FNR == NR { sub(/#.*/, ""); for (i = 1; i <= NF; i++) allowed[$i]; next }
             !($1 in allowed) { print "may not be used here: " $1; bad = 1 }
             END { exit bad }' "$1" -
