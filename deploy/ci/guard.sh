#!/bin/sh
# Stops a CI job, or a hook, once a budget is spent: asks a running ampbridge and exits like `ampbridge guard`.
#
#   AMPBRIDGE_URL=http://127.0.0.1:8484 AMPBRIDGE_TOKEN=… deploy/ci/guard.sh [SCOPE]
#
# SCOPE: workspace (the default), user:ana@example.com, model:…, group:…; several separated by commas.
# GUARD_ON_UNKNOWN=allow lets the job run where nobody can say; anything else stops it.
# Exit: 0 go on, 20 the limit is reached, 30 unknown, 2 SCOPE is no scope.
set -eu

url=${AMPBRIDGE_URL:?set it to where the service listens, like http://127.0.0.1:8484}
token=${AMPBRIDGE_TOKEN:?set it to the admin token}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# The token goes in by stdin, so that it stands in no list of processes.
status=$(printf 'header = "Authorization: Bearer %s"\n' "$token" |
    curl --config - --silent --show-error --max-time 10 --output "$answer" --write-out '%{http_code}' \
        --get --data-urlencode "scope=${1:-workspace}" "$url/guard") || status=000

case $status in
200) exit 0 ;;
402)
    echo "guard: the budget is spent: $(cat "$answer")" >&2
    exit 20
    ;;
400)
    echo "guard: that can't be asked: $(cat "$answer")" >&2
    exit 2
    ;;
esac
echo "guard: nobody can say (HTTP $status): $(cat "$answer")" >&2
[ "${GUARD_ON_UNKNOWN:-deny}" = allow ] || exit 30
