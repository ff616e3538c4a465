#!/usr/bin/env bash
# Makes .venv with Tallymark and all it needs, and sees to a Java for Spark and a Maven for the servers of `tallymark
# infra`. Safe to run again: it does nothing when nothing has changed. PYTHON names the interpreter to build on (default:
# the first of python3.11, 3.12, 3.13, python3 that fits), EXTRAS the optional dependencies to install (default: dev).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=.venv
readonly stamp=$venv/.set-up
readonly extras=${EXTRAS:-dev}

say() { printf '==> %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; }
same_python() { [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V)" = "$("$venv/bin/python" -V)" ]; }
is_debian_root() { [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && command -v apt-get >/dev/null; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3; do
        if fits "$candidate"; then echo "$candidate"; return; fi
    done
    fail "no Python 3.11, 3.12 or 3.13 was found; install one, or run: make setup PYTHON=/path/to/python3.11"
}

make_venv() {
    local python
    python=$(find_python)
    if uv --version >/dev/null 2>&1; then
        say "installing into $venv with uv and $("$python" --version)"
        { fits "$venv/bin/python" && same_python; } || uv venv --quiet --clear --python "$python" "$venv"
        uv pip install --quiet --python "$venv/bin/python" -e ".[$extras]"
        return
    fi
    say "installing into $venv with pip and $("$python" --version)"
    if ! { same_python && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
        "$python" -m venv --clear "$venv" || fail "$python makes no virtual environments; on Debian: apt-get install $python-venv"
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$extras]"
}

has_java() {
    "$venv/bin/python" - <<'EOF'
import os, sys
from infra.host.java import find_java
java = find_java(os.environ)
sys.exit(0 if java and java.supported else 1)
EOF
}

require_java() {
    has_java && return
    if is_debian_root; then
        say "installing a Java runtime"
        apt-get update -qq
        # newer releases of Debian have only the second
        for package in openjdk-17-jre-headless openjdk-21-jre-headless; do
            if apt-cache show "$package" >/dev/null 2>&1; then
                DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
                break
            fi
        done
        has_java && return
    fi
    fail "Spark needs Java 17 or 21: $("$venv/bin/python" -c 'from infra.host.java import how_to_install as how; print(how())')"
}

# Only the cluster mode needs Maven: it fetches the jars of the servers. Without it all else works, and is tested.
offer_maven() {
    command -v mvn >/dev/null && return
    if is_debian_root; then
        say "installing Maven"
        if apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends maven >/dev/null; then return; fi
    fi
    say "there is no Maven, so \`tallymark infra\` and \`make demo-cluster\` cannot fetch their servers, and their tests are"
    say "skipped; install it: sudo apt-get install maven, sudo dnf install maven, or brew install maven"
}

# Only tests of pages need a browser. Without it all else is tested.
offer_chromium() {
    case $extras in *dev*) ;; *) return ;; esac
    for program in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$program" >/dev/null; then return; fi
    done
    if is_debian_root; then
        say "installing Chromium, for tests of pages"
        if apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends chromium >/dev/null; then return; fi
    fi
    say "there is no Chromium, so tests of pages in a browser are skipped; install it: sudo apt-get install chromium"
}

wanted="$extras $(cat pyproject.toml infra/setup.sh | cksum)"
if ! { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && fits "$venv/bin/python" && same_python; }; then
    make_venv
    echo "$wanted" >"$stamp"
fi
require_java
offer_maven
offer_chromium
