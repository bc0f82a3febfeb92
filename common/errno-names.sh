#!/bin/sh
# errno-names.sh CC...: a line {E…, "E…"}, for each errno that the kernel's headers name with a number of its own.
set -eu

echo '#include <errno.h>' | "$@" -E -dM - |
        awk '$1 == "#define" && $2 ~ /^E[A-Z0-9]+$/ && $3 ~ /^[0-9]+$/ { printf "{ %s, \"%s\" },\n", $2, $2 }' | sort
