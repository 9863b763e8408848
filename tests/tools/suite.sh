#!/usr/bin/env bash
# Runs a suite of tests in a temporary directory of its own, and fails when something of it is left once it has ended: a
# process or a mount. What is left is named, and ended.
#
#   tests/tools/suite.sh COMMAND [ARGUMENT...]
#
# A process is of the suite when its environment, its arguments or its working directory name that directory. Locks of the
# suite are held by processes and go with them.
set -uo pipefail
[ $# -gt 0 ] || { echo 'usage: suite.sh COMMAND [ARGUMENT...]' >&2; exit 2; }

base=${TMPDIR:-/tmp}
suite=$base/kagiban-suite.$$.d
# Programs that watch their test end within a second of it; a busy machine needs more.
patience=${KAGIBAN_SUITE_PATIENCE:-15}

say() { printf 'suite: %s\n' "$*"; }

left() { # the pids, one a line
    local process pid
    for process in /proc/[0-9]*; do
        pid=${process#/proc/}
        [ "$pid" != $$ ] || continue
        # The pattern stands in no argument of ours, which would be found then.
        if grep -qsaF -f <(printf '%s\n' "$suite") "$process/environ" "$process/cmdline" ||
            [[ $(readlink "$process/cwd" 2>/dev/null) == "$suite"* ]]; then
            # What has ended and is not reaped runs no more.
            grep -qs '^State:[[:space:]]*Z' "$process/status" || printf '%s\n' "$pid"
        fi
    done
}

mounts() { # the mount points, one a line, the innermost first
    awk -v suite="$suite" 'index($5, suite) == 1 { print $5 }' /proc/self/mountinfo | tac
}

# Those of runs that were killed; the last one's is kept for as long as it runs.
for old in "$base"/kagiban-suite.*.d; do
    pid=${old##*kagiban-suite.}
    [ -d "$old" ] && [ ! -e "/proc/${pid%.d}" ] && rm -rf -- "$old"
done
# Entered by everybody and listed by nobody: some tests run programs under other accounts, on files below it.
mkdir -m 711 -- "$suite" || exit 2

# An interrupt is for the tests; what they leave is looked for all the same.
trap : INT TERM
TMPDIR=$suite "$@"
status=$?

for ((second = 0; second < patience; second++)); do
    [ -n "$(left)" ] || break
    sleep 1
done
failed=0
for pid in $(left); do
    failed=1
    say "left running: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
    kill -KILL "$pid" 2>/dev/null
done
# The kernel ends them when it comes to it.
for ((moment = 0; failed && moment < 50; moment++)); do
    [ -n "$(left)" ] || break
    sleep 0.1
done
while read -r mount; do
    failed=1
    say "left mounted: $mount"
    umount -l -- "$mount"
done < <(mounts)

if [ $failed -ne 0 ]; then
    say 'failed: a suite ends what it has started'
    [ $status -ne 0 ] || status=1
fi
if [ $status -eq 0 ]; then
    rm -rf -- "$suite"
else
    say "the logs are in $suite until the next run"
fi
exit $status
