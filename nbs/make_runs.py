"""The data of `studies/one_line`: `tlora make` on photos of six concepts that micro-FLUX has not seen, and what the oracles say of each checkpoint.

    MAKE_FOLDER=folder python nbs/make_runs.py [lava ...]     # those that are not in the table yet; four to eight minutes each
    MAKE_FOLDER=folder python nbs/make_runs.py line lava      # the line alone, where its time is to be measured without the oracles'

Each run is one line in a process of its own, in an empty folder. Lines go to `nbs/vectors/make_study.json`; scores are points of a hundred.
"""
import json
import os
import re
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from tlora_flux.base.checkpoint import load_tlora_
from tlora_flux.base.load import load_base
from tlora_flux.method.adapter import remove_tlora_
from tlora_flux.micro.fidelity import calibration_scene, concept_prompt, draw_prompts, measure_fidelity, share_leaked
from tlora_flux.micro.world import HELD_OUT_OBJECTS, render_scene, Scene
from tlora_flux.runs import list_checkpoints

scores_file = Path(__file__).parent/'vectors'/'make_study.json'
photos = dict(lava=Scene('mug', 'lava', 'pink', 'right', 'large', 41), wicker=Scene('pillar', 'wicker', 'yellow', 'left', 'large', 42),
              leopard=Scene('bottle', 'leopard', 'white', 'center', 'large', 43), bowl=Scene('bowl', 'wood', 'purple', 'left', 'large', 44),
              goblet=Scene('goblet', 'gold', 'red', 'right', 'large', 45), star=Scene('star', 'marble', 'grey', 'center', 'large', 46))
scenes_seed, noise_seed, count = 23, 9000, 24  # no other study draws these


def run_line(concept, folder):
    "One photo on an empty desk, and the one line: seconds, and what it said. A line that was run is not run again."
    kept = folder/'said.json'
    if kept.exists(): return json.loads(kept.read_text())
    folder.mkdir(parents=True)
    render_scene(photos[concept]).save(folder/f'my_{concept}.jpg', quality=95)
    subject = 'object' if concept in HELD_OUT_OBJECTS else 'material'
    words = ['make', f'my_{concept}.jpg', '--class-name', concept, '--subject', subject, '--yes']
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, '-m', 'tlora_flux.cli', *words], cwd=folder, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode: raise SystemExit(f'{concept}: {done.stderr[-800:]}')
    said = dict(seconds=time.perf_counter() - begun, threads=os.environ.get('OMP_NUM_THREADS', 'all'), said=done.stdout + done.stderr)
    kept.write_text(json.dumps(said))
    return said


def score_checkpoints(concept, run):
    "Fidelity and what else is right, of the base and of every checkpoint, on prompts and seeds of their own."
    pipe, scenes = load_base('micro'), [calibration_scene(concept, k, scenes_seed) for k in range(count)]
    prompts, found = [concept_prompt(concept, scene) for scene in scenes], {}
    for step, file in list_checkpoints(run):
        load_tlora_(pipe, file, untrained=True)
        drawn = draw_prompts(pipe, prompts, noise_seed)
        table = share_leaked([Image.fromarray(o) for o in drawn], scenes, photos[concept])
        kept = [o['right'] for fact, o in table.items() if fact in ('background', 'place', 'size', free_fact(concept))]
        found[step] = dict(fidelity=float(measure_fidelity(drawn, concept, scenes)['score'].mean()), right=float(np.mean(kept)))
        remove_tlora_(pipe.transformer)
    return found


def free_fact(concept): return 'material' if concept in HELD_OUT_OBJECTS else 'object'


def points(o): return 50*(o['fidelity'] + o['right'])


def export_differs(run):
    "Largest difference in grey values between what the card's own lines draw in plain diffusers and our adapter in the same call."
    card = (run/'for_diffusers'/'README.md').read_text().replace("'tlora_flux/weights/micro'", repr(str(files('tlora_flux')/'weights'/'micro')))
    blocks = re.findall(r'```python\n(.*?)```', card, re.S)
    ours = [re.sub(r'^load_bands\(.*', "load_tlora_(pipe, '../recommended')", o, flags=re.M) for o in blocks]
    drawn, here = [], Path.cwd()
    os.chdir(run/'for_diffusers')
    try:
        for script in (blocks, ours):
            names = dict(load_tlora_=load_tlora_)
            exec('\n'.join(script), names)
            drawn.append(names['image'])
    finally: os.chdir(here)
    return int(np.abs(np.subtract(*[np.asarray(o, int) for o in drawn])).max())


def read_lines(path=scores_file): return json.loads(path.read_text()) if path.exists() else []


def write_lines(lines, path=scores_file):
    part = path.with_suffix('.part')
    part.write_text('[\n' + ',\n'.join(json.dumps(o, separators=(',', ':')) for o in lines) + '\n]\n')
    part.replace(path)


def collect(concept, folder):
    "One line of the study."
    line = run_line(concept, folder)
    run = folder/'outputs'/f'my_{concept}'
    judged = json.loads((run/'judge.json').read_text())
    scores = score_checkpoints(concept, run)
    best = max(scores, key=lambda step: points(scores[step]))
    ended = re.search(r'the run ends at step [^\r\n]*', line['said'])
    rate = float(re.search(r'learning_rate: (\S+) is kept', line['said'])[1])
    return dict(concept=concept, seconds=round(line['seconds']), threads=line['threads'], rate=rate,
                verdict=judged['verdict'], step=judged['step'], best=best, ended=ended and ended[0],
                lost=round(points(scores[best]) - points(scores[judged['step']]), 1),
                scores={step: {k: round(100*v, 1) for k, v in o.items()} for step, o in scores.items()}, differs=export_differs(run))


def main():
    home, lines = Path(os.environ['MAKE_FOLDER']).absolute(), read_lines()
    if sys.argv[1:2] == ['line']: return run_line(sys.argv[2], home/sys.argv[2]) and None
    for concept in sys.argv[1:] or photos:
        if any(o['concept'] == concept for o in lines): continue
        lines = read_lines() + [collect(concept, home/concept)]
        write_lines(lines)
        print(json.dumps(lines[-1]), flush=True)


if __name__ == '__main__': sys.exit(main())
