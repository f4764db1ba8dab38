#!/usr/bin/env bash
# Makes the environment .venv, installs what the app needs, and starts the app. It can be run again at any time:
# what is there already stays. Whatever follows is for Streamlit: ./setup.sh --server.address localhost
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    printf '\n' >&2
    printf '%s\n' "$@" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if ! { new_enough .venv/bin/python && .venv/bin/pip --version >/dev/null 2>&1; }; then
    python=""
    for name in python3 python3.13 python3.12 python3.11 python; do
        if new_enough "$name"; then
            python=$name
            break
        fi
    done
    if [ -z "$python" ]; then
        fail "This needs Python 3.11 or newer, and there is none here." \
            "Install it from python.org or with your system's packages, and run ./setup.sh again."
    fi
    "$python" -m venv .venv || fail "The environment .venv could not be made." \
        "On Debian and Ubuntu: sudo apt install python3-venv. Then run ./setup.sh again."
    if ! new_enough .venv/bin/python; then
        fail "The folder .venv is an environment of an older Python." "Delete it, and run ./setup.sh again."
    fi
fi

.venv/bin/pip install -r requirements.txt || fail "Not everything could be installed; pip says why above." \
    "Look after the network and the room on the disk, and run ./setup.sh again: it goes on where it was." \
    "More is in docs/troubleshooting.md."

exec .venv/bin/streamlit run app.py "$@"
