"""Test notebooks, each in a fresh fork of one process that has paid for the imports; slowest first.

    python .ci/test_nbs.py [adapter ...]     all notebooks when none is named; flags from NB_FLAGS, such as NB_FLAGS=slow

A fork keeps one notebook's dtype, seed or patch out of the next, which `nbdev_test` with its few processes cannot.
"""
import multiprocessing as mp
import os
import sys
import tempfile
import time
from multiprocessing.connection import wait

os.environ.update(OMP_NUM_THREADS='1', MPLBACKEND='agg', HF_HUB_OFFLINE='1')

import matplotlib.pyplot, ipywidgets, peft                                   # noqa: E401  forks inherit what is imported here;
from diffusers import AutoencoderKL, FluxPipeline, FluxTransformer2DModel    # nothing may touch CUDA before a fork
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.test import test_nb
from transformers import CLIPTextModel, T5EncoderModel

workers, limit = 2, 300  # notebooks at once; seconds for one notebook


def test_one(path, log):
    "In the fork: run one notebook, everything it prints goes to `log`."
    os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
    cfg = get_config()
    passed, _ = test_nb(path, skip_flags=cfg.tst_flags.split(), force_flags=os.environ.get('NB_FLAGS', '').split(), basepath=cfg.config_path)
    sys.exit(not passed)


def run_all(paths):
    "Yield (path, passed, seconds, log text), in the order they finish."
    todo, running = list(paths), {}
    while todo or running:
        while todo and len(running) < workers:
            path, log = todo.pop(0), tempfile.TemporaryFile('w+')
            process = mp.get_context('fork').Process(target=test_one, args=(path, log))
            process.start()
            running[process.sentinel] = process, path, log, time.monotonic()
        oldest = min(start for *_, start in running.values())
        ended = wait(list(running), timeout=max(.1, oldest + limit - time.monotonic()))
        late = [key for key, (*_, start) in running.items() if time.monotonic() - start > limit and key not in ended]
        for key in ended + late:
            process, path, log, start = running.pop(key)
            if key in late:
                process.kill()
                print(f'stopped after {limit} s', file=log)
            process.join()
            log.flush(), log.seek(0)
            yield path, process.exitcode == 0, time.monotonic() - start, log.read()


if __name__ == '__main__':
    paths = sorted(o.absolute() for o in nbglob(as_path=True))
    if sys.argv[1:]: paths = [o for o in paths if o.stem in sys.argv[1:]]
    missing = set(sys.argv[1:]) - {o.stem for o in paths}
    if missing: sys.exit(f'no such notebook: {", ".join(sorted(missing))}')
    results = list(run_all(paths))
    for path, passed, _, log in results:
        if not passed: print(f'----- {path.stem}\n{log}')
    for path, passed, seconds, _ in sorted(results, key=lambda r: -r[2]):
        print(f"{'PASS' if passed else 'FAIL'} {seconds:6.1f} s  {path.stem}")
    bad = sum(not passed for _, passed, *_ in results)
    print(f'{len(results) - bad} passed, {bad} failed')
    sys.exit(bad > 0)
