#!/bin/sh
# Makes the environments of the gateways that bench.gateway compares with, apart from ours and from each other.
# usage: bench/gateway/peers.sh DIR      afterwards DIR is what --gateways takes
# needs: python3 with venv, node 18 or newer with npm; nginx and wrk are packages of the system (apt-get install nginx wrk)
set -eu
dir=${1:?usage: bench/gateway/peers.sh DIR}
mkdir -p "$dir"
[ -x "$dir/litellm/bin/python" ] || python3 -m venv "$dir/litellm"
# Newer releases ask for parts that the package index does not have.
"$dir/litellm/bin/python" -m pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.106.12'
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$dir/portkey" @portkey-ai/gateway@1.15.2
for program in nginx wrk; do
    command -v $program >/dev/null || PATH=$PATH:/usr/sbin command -v $program >/dev/null || echo "missing: $program" >&2
done
echo "$dir"
