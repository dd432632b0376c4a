"""Run notebooks and store their outputs: `python .ci/refresh.py [adapter ...]`, all when none is named.

Cells flagged cuda, slow or notest are not run and keep the outputs they have, unless NB_FLAGS=slow asks for them. Live widgets are not stored, since they
could not be shown again, and neither are progress bars.
"""
import os
import subprocess
import sys

os.environ.update(OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', '1'), HF_HUB_OFFLINE='1')

import peft  # noqa: F401  what libraries say while they are imported, with paths of this machine, must not land in a page
from diffusers import FluxPipeline  # noqa: F401
from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import extract_directives

sys.path.insert(0, str(get_config().nbs_path))  # helpers lie beside the notebooks
flags = set(get_config().tst_flags.split()) - set(os.environ.get('NB_FLAGS', '').split())


def keeps(cell):
    "Whether a cell is left as it is."
    if cell.cell_type != 'code': return True
    given = extract_directives(cell, remove=False)
    return bool(flags & given.keys()) or 'false' in given.get('eval:', [])


def lasts(output):
    "Whether an output can be shown again: no live widget, no progress bar."
    return 'application/vnd.jupyter.widget-view+json' not in output.get('data', {}) and '\r' not in ''.join(output.get('text', ''))


def refresh(path):
    "Run one notebook in a process of its own, because state must not travel."
    nb = read_nb(path)
    CaptureShell(path, mpl_format='png').run_all(nb, exc_stop=True, preproc=keeps)
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = [o for o in cell.outputs if lasts(o)]
    write_nb(nb, path)


if __name__ == '__main__':
    paths = sorted(o.absolute() for o in nbglob(as_path=True) if not sys.argv[1:] or o.stem in sys.argv[1:])
    if len(paths) == 1: refresh(paths[0])
    else:
        for path in paths: subprocess.run([sys.executable, __file__, path.stem], check=True)
    subprocess.run(['nbdev_clean'] + (['--fname', str(paths[0])] if len(paths) == 1 else []), check=True)
