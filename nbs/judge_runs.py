"""The data of `studies/judge`: what the judge sees of each run of `method_runs.py`, beside what the oracles said of other pictures of it.

    METHOD_PICTURES=folder python nbs/judge_runs.py          # every run that has a judge's pictures in the folder and no line yet
    METHOD_PICTURES=folder python nbs/judge_runs.py --judge  # after a change of the judge: only what it sees is measured again

The pictures come from `METHOD_PICTURES=folder python nbs/method_runs.py main cases`. Lines go to `nbs/vectors/judge_study.json`; all numbers are thousandths.
"""
import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from method_runs import decode_words, drawn_as, free_fact, new_trainer, Painter, read_scores, Run, run_from, words
from tlora_flux.method.adapter import remove_tlora_
from tlora_flux.base.checkpoint import load_tlora_
from tlora_flux.photos.crops import read_concept
from tlora_flux.judging.scorers import features_of, open_scorers
from tlora_flux.judging.scores import measure_likeness_, measure_words_, Pictures, sameness_of, ScoreTable, TrainedPhoto, unfold
from tlora_flux.judging.bands import BandProbe

scores_file = Path(__file__).parent/'vectors'/'judge_study.json'
draws = 2  # of each band


def thousandths(values):
    "Short numbers for a file; None is NaN."
    if np.ndim(values): return [thousandths(o) for o in values]
    return None if np.isnan(values) else round(1000*float(values))


def all_thousandths(named): return {name: thousandths(values) for name, values in named.items()}


def pictures_of(folder, name):
    "What was drawn for the judge or for the oracles: (cell, name of its file)."
    cells = json.loads((folder/'run.json').read_text())['pictures']
    return [(cell, f'{name}-{k:02}.png') for k, cell in enumerate(o for o in cells if o['set'] == name)]


def columns_of(folder, scores):
    "The folders of pictures: the base's, then each checkpoint's."
    run = run_from(scores)
    base = folder.parent/Run(run.concept, 'base', run.seed).key/'0'
    return [base, *(folder/step for step in sorted(scores['steps'], key=int))]


def can_be_judged(folder, scores):
    "Whether every column has all of the judge's pictures."
    if scores['method'] == 'base' or not (folder/'run.json').exists(): return False
    files = [name for _, name in pictures_of(folder, 'judge')]
    return bool(files) and all((place/name).is_file() for place in columns_of(folder, scores) for name in files)


def share_right(step, cells, concept):
    "The share of what else its prompt asks for that each picture shows: wall, place, size, and the object (or the material)."
    facts = ('background', 'place', 'size', free_fact(concept))
    read = {fact: decode_words(fact, step[fact]) for fact in facts}
    return [np.mean([read[fact][k] == cell['scene'][fact] for fact in facts]) for k, cell in enumerate(cells)]


def oracles_said(folder, scores, base):
    "Of each column's pictures for the oracles the fidelity and the share of the rest that is right."
    cells = [cell for cell, _ in pictures_of(folder, 'oracle')]
    columns = [base['steps']['0'], *(scores['steps'][step] for step in sorted(scores['steps'], key=int))]
    right = [share_right(o, cells, scores['concept']) for o in columns]
    return dict(fidelity=[np.array(o['fidelity'])/100 for o in columns], right=right)


def judge_sees(folder, scores):
    "What `tlora judge` measures, of the judge's pictures alone."
    cells, steps = pictures_of(folder, 'judge'), sorted(map(int, scores['steps']))
    prompts = list(dict.fromkeys(cell['prompt'] for cell, _ in cells))
    places = enumerate(columns_of(folder, scores))
    files = {(column, prompts.index(cell['prompt']), cell['seed']): place/name for column, place in places for cell, name in cells}
    pictures = Pictures([None, *steps], dict(sorted(files.items())), prompts, 1 + max(cell['seed'] for cell, _ in cells), [])
    likeness, obedience, _ = open_scorers('micro-flux')
    named = [(str(file), lambda file=file: Image.open(file).convert('RGB')) for file in pictures.files.values()]
    features = features_of(likeness, named)
    table = ScoreTable(pictures.steps, dict(sameness=unfold(pictures, sameness_of(pictures, features))))
    measure_likeness_(table, pictures, [TrainedPhoto(folder/'concept'/'images'/'photo.png')], likeness, features, ['sks'], None)
    measure_words_(table, pictures, named, obedience, None)
    return dict(judge=all_thousandths(table.scores), ends=all_thousandths(table.ends))


def measure_bands(run, folder, steps, painter):
    "Losses of the base and of every checkpoint in each band: kind -> (columns, draws, 4)."
    trainer, _ = new_trainer(run, folder)
    model = trainer.transformer
    probe = BandProbe.of(trainer.cfg, trainer.family, read_concept(trainer.cfg), trainer.data, draws=draws)
    painter.encode_(probe.captions)
    with painter.holding() as pipe: probe.add_class_(pipe, painter.embeds, drawn_as)
    found = [probe.measure(model)]  # an adapter that has not begun changes no bit
    for step in steps:
        remove_tlora_(model)
        load_tlora_(model, folder/str(step)/'tlora_weights.safetensors', untrained=True)
        found.append(probe.measure(model))
    return {kind: [o[kind] for o in found] for kind in found[0]}


def trained_losses(folder, steps):
    "The mean of the 25 records before each checkpoint, as a progress line shows it."
    records = json.loads((folder/'losses.json').read_text())
    return [np.mean([o['loss'] for o in records if step - 25 < o['step'] <= step]) for step in steps]


def collect_run(folder, scores, base, painter):
    "One line of the study, from the line of a run and that of its base."
    run, steps = run_from(scores), sorted(map(int, scores['steps']))
    about = {name: scores[name] for name in ('concept', 'method', 'seed', 'rate')}
    measured = dict(oracle=all_thousandths(oracles_said(folder, scores, base)),
                    bands=all_thousandths(measure_bands(run, folder, steps, painter)))
    return about | dict(key=run.key, steps=steps, loss=thousandths(trained_losses(folder, steps))) | measured | judge_sees(folder, scores)


def read_lines(path=scores_file):
    "All runs that were judged."
    return json.loads(path.read_text()) if path.exists() else []


def write_lines(lines, path=scores_file):
    "A line a run, whole or not at all."
    part = path.with_suffix('.part')
    part.write_text('[\n' + ',\n'.join(json.dumps(o, separators=(',', ':')) for o in lines) + '\n]\n')
    part.replace(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--judge', action='store_true', help='ask the judge again about the runs that have a line, and do nothing else')
    options = parser.parse_args()
    torch.set_num_threads(1)
    home, lines, scores = Path(os.environ['METHOD_PICTURES']), read_lines(), {run_from(o): o for o in read_scores()}
    if options.judge:
        by_key = {run.key: o for run, o in scores.items()}
        return write_lines([line | judge_sees(home/line['key'], by_key[line['key']]) for line in lines])
    painter = Painter()
    for run, line in scores.items():
        if run.key in {o['key'] for o in lines} or not can_be_judged(home/run.key, line): continue
        lines.append(collect_run(home/run.key, line, scores[Run(run.concept, 'base', run.seed)], painter))
        write_lines(lines)
        print(run.key, flush=True)


if __name__ == '__main__': sys.exit(main())
