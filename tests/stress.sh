#!/usr/bin/env bash
# Runs each case of tests/python/helpers/stress_child.py under valgrind's memcheck, with the Python and the
# extension of `make`. What memcheck says of the interpreter itself is left out: valgrind.supp.
#
#     tests/stress.sh PYTHON [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/python"
python=$1 seconds=${2:-60}
command -v valgrind >/dev/null || { echo "valgrind is not here (Debian, Ubuntu: apt-get install valgrind)"; exit 1; }

failed=0
for case in lists dicts sets instances classes foreign large "large dicts" "large foreign" loads signals forks; do
    for threads in 1 2; do
        printf '%s, %s threads: ' "$case" "$threads"
        PYTHONMALLOC=malloc PYTHONPATH=$PWD/../../python valgrind --tool=memcheck --quiet --error-exitcode=99 \
            --leak-check=no --fair-sched=yes --num-callers=30 --suppressions=../valgrind.supp \
            "$python" -W ignore -m helpers.stress_child "$case" "$threads" 3000 "$seconds" || failed=1
    done
done
exit $failed
