"""The explorer in a real JupyterLab: open, Run All, step by key, wipe, edit prompts, render, pick, reload.

    python .ci/browser_test.py [FOLDER]      # screenshots go there, or into a temporary folder

Needs JupyterLab, the package `playwright` (its own browsers are not used) and a chromium on the PATH. Times are printed, never asserted.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import torch
from PIL import Image
from playwright.sync_api import TimeoutError, sync_playwright

from tlora_flux import RankSchedule, SampleConfig, TrainConfig, add_tlora_, load_base, save_tlora
from tlora_flux.method.adapter import tlora_layers
from tlora_flux.settings_file import save_config
from tlora_flux.pictures.grid import save_cell
from tlora_flux.pictures.sampling import plan_grid, write_plan
from tlora_flux.micro.world import Scene, render_scene

steps, objects = (50, 100, 150, 200, 250), ('ball', 'cube', 'vase', 'mug', 'cone', 'ring', 'bottle')
long_note = 'the mortar holds, and the edges too, but the colour of the wall drifts towards orange whenever the prompt asks for anything blue; compare with 200 before deciding, and look at the vase'
places, backgrounds = ('left', 'center', 'right'), ('green', 'white', 'blue', 'yellow', 'grey', 'purple', 'pink')


def make_run(home):
    "A run on micro-FLUX with untrained adapters, and a grid of 8 x 6 cells: painted, each step another picture, but for the last checkpoint of two prompts."
    run, concept = home/'outputs/brick', home/'bricks'
    (concept/'images').mkdir(parents=True)
    render_scene(Scene('swatch', 'brick'), 256).save(concept/'images/wall.png')
    scenes = [Scene('swatch', 'brick')] + [Scene(o, 'brick', backgrounds[n], places[n%3]) for n, o in enumerate(objects)]
    words = ['a photo of a {} texture swatch'] + [f'a photo of a large {{}} {s.object} in the {s.place}, {s.background} background' for s in scenes[1:]]
    words[-1] += ', soft morning light, shallow depth of field, 85 mm'*9 # what people paste
    (concept/'prompts.txt').write_text('\n'.join(words) + '\n')
    pipe = load_base('micro', parts=('transformer',))
    for step in steps:
        add_tlora_(pipe.transformer, RankSchedule(32, 16), generator=torch.Generator().manual_seed(0))
        for layer in tlora_layers(pipe.transformer).values(): layer.lora_B['default'].data.normal_(std=step*1e-5, generator=torch.Generator().manual_seed(step))
        save_tlora(pipe.transformer, run/f'checkpoint-{step}/tlora_weights.safetensors', family='micro-flux', base='micro', trigger='sks', class_name='brick', max_sequence_length=32, resolution=128, step=step)
    save_config(TrainConfig(instance_data_dir=str(concept), class_name='brick', instance_prompt='a photo of a {} texture swatch', output_dir=str(run), max_train_steps=250), run/'config.yaml')
    log = [dict(step=n + 1, loss=.3 + .5*2**(-n/60) + .1*(n*37%11)/11, sigma=n*61%97/97, live_rank=RankSchedule(32, 16)(n*61%97/97), grad_norm=1., lr=1e-3, seconds=.4) for n in range(250)]
    (run/'log.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in log))
    grid = plan_grid(SampleConfig(run=str(run), prompts=str(concept/'prompts.txt'), num_inference_steps=4, output_dir=str(home/'outputs/infer_brick')))
    write_plan(grid)
    for cell in grid.cells:
        if cell.row in (1, 3) and cell.settings['step'] == 250: continue
        scene, learned = scenes[cell.row], (cell.settings['step'] or 0)/250
        save_cell(Image.blend(render_scene(replace(scene, material='clay')), render_scene(scene), learned), grid.folder/cell.file, cell.settings, 3.)
    (run/'picks.json').write_text(json.dumps(dict(columns={'150 x 1': dict(mark='star', note=long_note)}, prompts={})))
    return run


def write_notebook(path, *cells):
    "A notebook of code cells."
    nb = dict(cells=[dict(cell_type='code', id=f'cell{n}', source=c, metadata={}, outputs=[], execution_count=None) for n, c in enumerate(cells)],
              metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python')), nbformat=4, nbformat_minor=5)
    path.write_text(json.dumps(nb))


def start_lab(home):
    "JupyterLab on a free port, with a home of its own: process and address."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    quiet = home/'settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings'
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    kernel = home/'settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings'
    kernel.parent.mkdir(parents=True)
    kernel.write_text('{"autoStartDefaultKernel": true}') # no question which one
    repo = Path(__file__).resolve().parent.parent
    env = os.environ | dict(HOME=str(home), JUPYTERLAB_SETTINGS_DIR=str(home/'settings'), PYTHONPATH=str(repo), OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1')
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ip=127.0.0.1', f'--port={port}', '--ServerApp.port_retries=0', '--IdentityProvider.token=', '--ServerApp.disable_check_xsrf=True', f'--ServerApp.root_dir={home}']
    process = subprocess.Popen(command, env=env, cwd=home, stdout=open(home/'lab.log', 'w'), stderr=subprocess.STDOUT)
    address = f'http://127.0.0.1:{port}'
    for _ in range(240):
        try: urlopen(f'{address}/api/kernelspecs', timeout=20).read(); return process, address
        except OSError: time.sleep(.5)
    raise SystemExit((home/'lab.log').read_text())


def answer(dialog):
    "A slow server may make JupyterLab ask for the kernel all the same; any other question is a failure, with its words."
    words = ' '.join(dialog.inner_text().split())
    assert 'Select Kernel' in words, words
    dialog.locator('.jp-mod-accept').click()


BESIDE = "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(o => o.textContent)" # what stands beside each cell: nothing, a star, a number


def run_all(page):
    "The menu's Run All Cells; returns when it was clicked. A kernel that has only just come up, or is exchanged for another, drops what it was sent: the first cell has to get a new number, the last one at least a star."
    before = page.evaluate(BESIDE)
    for _ in range(10):
        begun = time.time()
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.locator('[data-command="runmenu:run-all"]').click()
        for _ in range(120):
            page.wait_for_timeout(500)
            now = page.evaluate(BESIDE)
            if '*' not in now[0] and all(a != b for a, b in zip(before, now)): return begun
            if '*' not in ''.join(now) and time.time() - begun > 6: break
    raise AssertionError('the cells did not start')


def run_until(page, shown):
    "Run All Cells until something is shown; returns when it was clicked. A kernel that is exchanged for another while they run takes cells and widgets with it, and says nothing."
    for _ in range(3):
        begun = run_all(page)
        try: page.wait_for_function(shown, timeout=60000)
        except TimeoutError: continue
        return begun
    raise AssertionError(f'never shown: {shown}')


def open_notebook(page, address, name):
    "Open it and wait for its kernel, which starts without a question."
    page.goto(f'{address}/lab/tree/{name}?reset')
    page.wait_for_selector('.jp-NotebookPanel-toolbar')
    page.wait_for_function("document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status == 'idle'")


CUT_OFF = """() => [...document.querySelectorAll('.jp-OutputArea .jupyter-button:not(.tlx-cell), .jp-OutputArea .widget-label')]
  .filter(o => o.offsetWidth && o.scrollWidth > o.clientWidth + 1).map(o => o.textContent)"""
OVERLAP = """() => { const all = [...document.querySelectorAll('.jp-OutputArea .jupyter-button, .jp-OutputArea img.widget-image, .jp-OutputArea textarea, .jp-OutputArea .widget-dropdown, .jp-OutputArea .widget-text')]
    .filter(o => o.offsetWidth && getComputedStyle(o).visibility != 'hidden').map(o => [o, o.getBoundingClientRect()]), out = [];
  for (const [a, r] of all) for (const [b, s] of all)
    if (a !== b && !a.contains(b) && !b.contains(a) && !a.closest('.tlx-grid') == !b.closest('.tlx-grid') && r.left < s.right - 1 && s.left < r.right - 1 && r.top < s.bottom - 1 && s.top < r.bottom - 1)
      out.push((a.textContent || a.className) + ' over ' + (b.textContent || b.className));
  return out; }"""


def look(page, shots, name):
    "Screenshots at both widths; nothing may be cut off or lie over another."
    for width in (1280, 1920):
        page.set_viewport_size(dict(width=width, height=2100))
        page.wait_for_timeout(700)
        page.screenshot(path=shots/f'{name}_{width}.png')
        for script in (CUT_OFF, OVERLAP, *[UNEVEN]*page.locator('.tlx-grid').count()): assert not (found := page.evaluate(script)), f'{name} at {width} px: {found}'


UNEVEN = """() => { const grid = document.querySelector('.tlx-grid'), cells = [...grid.querySelectorAll('.tlx-cell')].map(o => o.getBoundingClientRect());
  const out = [...grid.querySelectorAll('.tlx-head')].slice(1).filter(o => Math.abs(o.offsetWidth - cells[0].width) > 6 || o.offsetHeight > 90).map(o => `head ${o.offsetWidth} x ${o.offsetHeight}: ${o.textContent}`);
  if (grid.scrollWidth > grid.clientWidth + 1) out.push(`grid ${grid.scrollWidth} in ${grid.clientWidth}`);
  for (const o of grid.querySelectorAll('.tlx-words')) if (o.offsetHeight > 170) out.push(`words ${o.offsetHeight}: ${o.textContent}`);
  return out; }"""


SRC = "document.querySelector('.jp-OutputArea img.widget-image').src"


def latencies(page, handle, key, count):
    "Milliseconds from a key to the picture that it brings, seen from inside the page."
    out = []
    handle.focus()
    for _ in range(count):
        page.evaluate("""() => { const img = document.querySelector('.jp-OutputArea img.widget-image'); window.came = null;
            addEventListener('keydown', () => window.went = performance.now(), {once: true, capture: true});
            img.addEventListener('load', () => window.came = performance.now(), {once: true}) }""")
        page.keyboard.press(key)
        page.wait_for_function('window.came')
        out.append(page.evaluate('window.came - window.went'))
    return out


def drive(page, address, home, run, shots):
    "What a person does."
    open_notebook(page, address, 'explore.ipynb')
    begun = run_until(page, "document.querySelectorAll('.tlx-cell').length == 48 && document.querySelectorAll('.tlx-picture').length == 46")
    print(f'48 cells on screen {time.time() - begun:.1f} s after Run All in a fresh kernel')
    page.wait_for_timeout(1000)
    look(page, shots, 'explorer')
    handles = page.locator('.jp-OutputArea .noUi-handle')
    times = latencies(page, handles.nth(0), 'ArrowLeft', 4)
    print('slider to new picture:', ', '.join(f'{t:.0f} ms' for t in times))

    before = page.evaluate(SRC)
    page.locator('.widget-dropdown', has_text='wipe with').locator('select').select_option('base model')
    page.wait_for_function(f'{SRC} != {json.dumps(before)}')
    times = latencies(page, handles.nth(1), 'ArrowRight', 4)
    print('wipe to new picture:', ', '.join(f'{t:.0f} ms' for t in times))
    look(page, shots, 'wipe')

    page.get_by_role('button', name='100 %').click()
    page.wait_for_function("document.querySelector('.jp-OutputArea img.widget-image').offsetWidth == 128") # of the picture, not of the screen
    page.get_by_role('button', name='100 %').click()

    page.get_by_role('button', name='Render missing (2 cells, about 6 s)').click()
    page.get_by_text('2 cells rendered').wait_for(timeout=300000)
    assert page.locator('.tlx-picture').count() == 48
    assert page.evaluate("[...document.querySelectorAll('.tlx-picture')].every(o => getComputedStyle(o).fontSize == '0px')") # a button keeps its last words, so they must not show
    page.locator('.tlx-cell').nth(5).click()
    page.wait_for_timeout(500)
    look(page, shots, 'rendered')

    page.get_by_text('Edit the prompts').click()
    page.get_by_placeholder('a phrase to take out of every prompt').fill('large')
    page.get_by_role('button', name='Take out').click()
    page.locator('del', has_text='large').first.wait_for()
    assert page.locator('.tlx-text del').count() == 7
    look(page, shots, 'prompts')
    page.get_by_role('button', name='Save and open as a new grid').click()
    page.get_by_role('button', name=re.compile(r'^Render missing \(42 cells')).wait_for(timeout=240000)
    assert 'large' not in (run/'prompts-2.txt').read_text() and page.locator('.tlx-picture').count() == 6 # the swatch's row is as it was
    page.get_by_role('button', name=re.compile(r'^Render missing')).click()
    page.wait_for_function("document.querySelectorAll('.tlx-picture').length >= 8", timeout=300000)
    page.get_by_role('button', name='Cancel').click()
    page.get_by_text('cancelled;').wait_for(timeout=240000)
    page.wait_for_timeout(500)
    look(page, shots, 'cancelled')

    page.get_by_role('button', name='★ star').click()
    page.get_by_placeholder('a note on this checkpoint').fill('the mortar is right')
    page.keyboard.press('Enter')
    page.get_by_role('button', name='Keep this checkpoint').click()
    page.get_by_text('tlora sample').wait_for()
    assert (run/'chosen/tlora_weights.safetensors').is_file()
    look(page, shots, 'kept')
    open_notebook(page, address, 'explore.ipynb')
    begun = run_all(page)
    page.wait_for_function("document.querySelectorAll('.tlx-cell').length == 48")
    print(f'48 cells on screen {time.time() - begun:.1f} s after Run All in a kernel that has rendered')
    page.get_by_text('the mortar is right').first.wait_for()
    assert page.get_by_placeholder('a note on this checkpoint').input_value() == 'the mortar is right'
    page.get_by_role('button', name='Save HTML page').click()
    page.get_by_text('needs nothing else').wait_for()


def drive_watch(page, address, home, shots):
    "Train in a cell, interrupt it, run it again."
    open_notebook(page, address, 'watch.ipynb')
    run_all(page)
    page.get_by_text(re.compile(r'step \d+ of 4000, loss')).wait_for(timeout=240000)
    page.get_by_text(re.compile(r'step \d{3,4} of 4000, loss')).wait_for(timeout=240000)
    look(page, shots, 'watch')
    page.get_by_role('menuitem', name='Kernel', exact=True).click()
    page.get_by_text('Interrupt Kernel').click()
    page.get_by_text(re.compile(r'checkpoint-\d+ is saved, and this cell goes on')).first.wait_for(timeout=240000)
    stopped = max(int(f.name.split('-')[1]) for f in (home/'outputs/here').glob('checkpoint-*'))
    run_all(page)
    page.wait_for_function(f"(document.body.innerText.match(/step (\\d+) of 4000, loss/) || [0, 0])[1] > {stopped}")
    page.get_by_role('menuitem', name='Kernel', exact=True).click()
    page.get_by_text('Interrupt Kernel').click()
    page.get_by_text(re.compile(r'checkpoint-\d+ is saved, and this cell goes on')).first.wait_for(timeout=240000)


def drive_other(page, address, home):
    "A run that another process trains: what it writes to its log is seen."
    log, run = (home/'outputs/brick/log.jsonl').read_text().splitlines(keepends=True), home/'outputs/elsewhere'
    run.mkdir()
    shutil.copy(home/'outputs/brick/config.yaml', run/'config.yaml')
    (run/'log.jsonl').write_text(''.join(log[:100]))
    open_notebook(page, address, 'other.ipynb')
    run_all(page)
    page.get_by_text('step 100 of 250, loss').first.wait_for()
    with open(run/'log.jsonl', 'a') as file: file.write(''.join(log[100:120]))
    page.get_by_text('step 120 of 250, loss').first.wait_for()


def without_widgets(home, env):
    "nbconvert has no person in front: the contact sheet, no widget."
    subprocess.run([sys.executable, '-m', 'nbconvert', '--to', 'notebook', '--execute', '--output', 'read.ipynb', 'explore.ipynb'], cwd=home, check=True, env=env, stderr=subprocess.DEVNULL)
    outputs = [o.get('data', {}) for c in json.loads((home/'read.ipynb').read_text())['cells'] for o in c['outputs']]
    assert any('image/jpeg' in o for o in outputs) and not any('application/vnd.jupyter.widget-view+json' in o for o in outputs)


def main():
    home = Path(tempfile.mkdtemp(prefix='tlora_browser_'))
    shots = Path(sys.argv[1] if len(sys.argv) > 1 else home/'shots').resolve()
    shots.mkdir(parents=True, exist_ok=True)
    run = make_run(home)
    write_notebook(home/'explore.ipynb', 'from tlora_flux import explore', "explore('outputs/brick')")
    write_notebook(home/'watch.ipynb', 'from tlora_flux import TrainConfig, watch',
                   "watch(TrainConfig(instance_data_dir='bricks', class_name='brick', output_dir='outputs/here', max_train_steps=4000, checkpointing_steps=1000))")
    write_notebook(home/'other.ipynb', 'from tlora_flux import watch', "watch('outputs/elsewhere')")
    process, address = start_lab(home)
    flags = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'.split()
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    try:
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=chromium, args=flags) # its profile is empty and temporary
            page = browser.new_page(viewport=dict(width=1280, height=2100))
            page.set_default_timeout(240000)
            page.add_locator_handler(page.locator('.jp-Dialog'), answer, no_wait_after=True) # a second question may follow at once
            try:
                drive(page, address, home, run, shots)
                drive_watch(page, address, home, shots)
                drive_other(page, address, home)
            except Exception:
                page.screenshot(path=shots/'failed.png')
                raise
            browser.close()
    finally: process.terminate(); process.wait()
    without_widgets(home, os.environ | dict(PYTHONPATH=str(Path(__file__).resolve().parent.parent), OMP_NUM_THREADS='1'))
    print('browser test passed; screenshots in', shots.name)
    if len(sys.argv) > 1: shutil.rmtree(home)


if __name__ == '__main__': main()
