"""Is everything right on this GPU, how fast, and how much memory: the rows of nbs/studies/flux_on_gpu.ipynb, in nine minutes.

    python .ci/gpu.py [--tiny] [--rows FILE] [--minutes 9] [--only WORDS]

Rows are added to FILE one by one, and what it has is not taken again. The notebook's cells that begin with `#| gpu` are run in a process
of their own; one that dies costs its row, and another goes on with the next.
"""
import argparse
import json
import linecache
import os
import subprocess
import sys
import time
from pathlib import Path

root = Path(__file__).resolve().parent.parent
notebook = root/'nbs/studies/flux_on_gpu.ipynb'
CONTEXT_LOST = 3  # exit code of a process that has written its row and cannot use the GPU any more


def definitions():
    "What the notebook's marked cells define, as a dict of names."
    names = {'__name__': 'flux_on_gpu'}
    for number, cell in enumerate(json.loads(notebook.read_text(encoding='utf-8'))['cells']):
        source, place = ''.join(cell['source']), f'flux_on_gpu.ipynb, cell {number}'
        if not source.startswith('#| gpu\n'): continue
        linecache.cache[place] = len(source), None, source.splitlines(keepends=True), place  # so that a traceback shows the line
        exec(compile(source, place, 'exec'), names)
    return names


def command_line():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rows', type=Path, default=root/'nbs/vectors/flux_on_gpu.jsonl', help='file that rows are added to')
    parser.add_argument('--minutes', type=float, default=9, help='after these, the rest is "not reached"')
    parser.add_argument('--only', default='', help='take the rows with all these words in part or name')
    parser.add_argument('--tiny', action='store_true', help='small shapes, for a rehearsal')
    parser.add_argument('--until', type=float, help=argparse.SUPPRESS)  # seconds since 1970: this is the process that takes the rows
    return parser.parse_args()


def follow(args):
    "Start processes until all rows are there or time is up; exit code 0 if the last one came to its end."
    until, begun = time.time() + 60*args.minutes, Path(f'{args.rows}.begun')
    child = [sys.executable, __file__, *sys.argv[1:], '--until', str(until)]
    environment = os.environ | dict(PYTHONPATH=os.pathsep.join([str(root), os.environ.get('PYTHONPATH', '')]), HF_HUB_OFFLINE='1')
    while True:
        try: code = subprocess.run(child, env=environment, timeout=max(1, until + 20 - time.time())).returncode
        except subprocess.TimeoutExpired: code = 'hung'
        if code == 0 or not begun.exists(): return code != 0
        if code != CONTEXT_LOST:
            lost = dict(row=begun.read_text(), error=f'its process ended with {code}')
            with open(args.rows, 'a') as file: file.write(json.dumps(lost) + '\n')
        begun.unlink()
        if code == 'hung': return 1


args = command_line()
if args.until is None: sys.exit(follow(args))
definitions()['main'](args.rows, args.until, args.tiny, args.only, root/'nbs/vectors')
