#!/usr/bin/env bash
# Fills .wheels/ with what a lent GPU machine lacks (Python 3.12 with torch 2.11+cu130, transformers, accelerate, peft, and no package index), and prints what travels.
#
# Then one call of the device tool, which brings back rows.jsonl and log:
#
#   carry:      [".wheels"]
#   timeout_s:  600
#   command:    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target .wheels/site .wheels/*.whl && export PYTHONPATH=$PWD/.wheels/site PYTHONUNBUFFERED=1 || exit; python3 .ci/gpu.py --minutes 9 --rows $OUT/rows.jsonl > $OUT/log 2>&1; cat $OUT/rows.jsonl
#
# The rows belong into nbs/vectors/flux_on_gpu.jsonl; `python .ci/refresh.py flux_on_gpu` shows them. After a mend, `--only 'words of a row' --minutes 3` confirms it.
# The minutes count from the start of gpu.py; it ends by itself at most 20 s later. No machine starts with less than 4 minutes of device time left.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf .wheels
mkdir .wheels
wanted='diffusers==0.42.1 torchao==0.18.0 bitsandbytes==0.50.2 importlib_metadata<9 ipywidgets>=8'  # importlib_metadata: of diffusers, 9 and later need more; ipywidgets: a requirement that `train` looks for
platforms=$(printf -- '--platform manylinux_2_%s_x86_64 ' 28 27 24 17)
for package in $wanted; do
  python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp $platforms -d .wheels "$package"
done

# bitsandbytes brings a library for each version of CUDA and for other makers' cards: those for CUDA 13.0 and the CPU stay, in the files and in RECORD.
python3 - .wheels/bitsandbytes-*.whl <<'PY'
import os
import sys
from zipfile import ZIP_DEFLATED, ZipFile

path = sys.argv[1]


def stays(name):
    return not name.endswith('.so') or name.endswith(('_cuda130.so', '_cpu.so'))


with ZipFile(path) as old, ZipFile(path + '.part', 'w', ZIP_DEFLATED) as new:
    for item in old.infolist():
        content = old.read(item)
        if item.filename.endswith('.dist-info/RECORD'):
            content = b''.join(line for line in content.splitlines(keepends=True) if stays(line.decode().split(',')[0]))
        if stays(item.filename):
            new.writestr(item, content)
os.replace(path + '.part', path)
PY

size() { python3 -c 'import os, sys; print(sum(os.path.getsize(o) for o in sys.stdin.read().split("\0") if os.path.isfile(o)))'; }
wheels=$(find .wheels -type f -print0 | size)
tree=$(git ls-files -z --cached --others --exclude-standard | size)
ls -l .wheels
echo "$((wheels/1000000)) MB of wheels and $((tree/1000000)) MB of files: $(((wheels + tree)*100/67108864)) % of the 64 MiB that may travel"
[ $((wheels + tree)) -lt 67108864 ]
