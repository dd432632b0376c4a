"""Write README.md from nbs/index.ipynb, or with `--check` only tell whether it is up to date.

Stored outputs are used as they are; pictures among them go to nbs/images/readme_*. Links are written in the notebook
relative to nbs/ and come out relative to the top.
"""
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parent.parent
nb = nbformat.read(root/'nbs/index.ipynb', as_version=4)
nb.metadata.language_info = {'name': 'python'}  # nbdev_clean takes it away, and without it a fence has no language
hidden = re.compile(r'^#\|\s*(hide|default_exp|export)\b', re.M)
nb.cells = [o for o in nb.cells if o.cell_type == 'markdown' or (o.source.strip() and not hidden.search(o.source))]
for cell in nb.cells:
    if cell.cell_type == 'code': cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)

text, found = MarkdownExporter().from_notebook_node(nb, resources={'unique_key': 'readme', 'output_files_dir': 'images'})
text = re.sub(r'\]\((?![a-z]+:|#|/)([^)]+)\)', r'](nbs/\1)', text).replace('](nbs/../', '](')
text = re.sub(r'[ \t]+$', '', text, flags=re.M).replace('![png]', '![picture]')
text = re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'
wanted = {root/'README.md': text.encode()} | {root/'nbs'/name: data for name, data in found.get('outputs', {}).items()}

stale = [path for path, data in wanted.items() if not path.exists() or path.read_bytes() != data]
stale += [path for path in (root/'nbs/images').glob('readme_*') if path not in wanted]
if '--check' in sys.argv:
    for path in stale: print(f'{path.relative_to(root)} is not what nbs/index.ipynb gives; run `python .ci/readme.py`')
    sys.exit(bool(stale))
for path, data in wanted.items():
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
for path in set(stale) - set(wanted): path.unlink()
