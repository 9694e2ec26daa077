#!/bin/sh
# Makes the environment of the programs that benchmarks compare with, apart from ours.
# usage: bench/peers.sh DIR      afterwards DIR/bin/python is what --peer-python takes
set -eu
dir=${1:?usage: bench/peers.sh DIR}
[ -x "$dir/bin/python" ] || python3 -m venv "$dir"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check semble==0.7.0
echo "$dir/bin/python"
