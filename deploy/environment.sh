#!/bin/sh
# environment.sh ROOT VENV LOCK TITLE: finds a Python that fits and lets it make the environment (environment.py).
# Called by ./skep and ./check; prints to wherever the caller sends it. Exits 4 when this machine lacks something.
set -eu
here=${0%/*}

# 0: fits; 3: older than 3.11; 5: cannot make environments; anything else: does not run at all.
probe() {
    "$1" -c 'import sys
if sys.version_info < (3, 11):
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(5)' >/dev/null 2>&1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo unknown
}

old=''
bare=''
broken=''
try() {
    command -v "$1" >/dev/null 2>&1 || { [ -z "${SKEP_PYTHON:-}" ] || broken=$1; return 0; }
    code=0
    probe "$1" || code=$?
    case $code in
        0) python=$1 ;;
        3) old="$old$1 is $(version_of "$1"), " ;;
        5) bare=${bare:-$1} ;;
        *) [ -z "${SKEP_PYTHON:-}" ] || broken=$1 ;;
    esac
}

python=''
if [ -n "${SKEP_PYTHON:-}" ]; then
    try "$SKEP_PYTHON"
else
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        try "$candidate"
        [ -z "$python" ] || break
    done
fi

if [ -z "$python" ]; then
    if [ -n "$bare" ]; then
        version=$(version_of "$bare")
        echo "skep: $bare (Python $version) cannot make virtual environments: its venv or ensurepip module is missing."
        echo "fix: install it (Debian, Ubuntu: apt install python$version-venv), or name another Python with SKEP_PYTHON=/path/to/python3"
    elif [ -n "$broken" ]; then
        echo "skep: SKEP_PYTHON names $broken, which is not a Python that runs."
        echo "fix: set SKEP_PYTHON to a Python 3.11 or newer, or unset it"
    elif [ -n "$old" ]; then
        echo "skep: this needs Python 3.11 or newer; here ${old%, }."
        echo "fix: install a newer one (Debian, Ubuntu: apt install python3.11-venv; macOS: brew install python), or name one with SKEP_PYTHON=/path/to/python3"
    else
        echo "skep: this needs Python 3.11 or newer, and there is no Python on the PATH."
        echo "fix: install one (Debian, Ubuntu: apt install python3-venv; macOS: brew install python), or name one with SKEP_PYTHON=/path/to/python3"
    fi
    exit 4
fi

exec "$python" -I "$here/environment.py" "$@"
