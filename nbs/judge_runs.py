"""The data of `studies/judge`: what the judge sees of each run, and what the oracles say of other pictures of it.

    JUDGE_PICTURES=folder python nbs/judge_runs.py          # every run in the folder that has all its pictures and no line yet
    JUDGE_PICTURES=folder python nbs/judge_runs.py --cases  # two short runs whose right answer is known are made there first
    JUDGE_PICTURES=folder python nbs/judge_runs.py --judge  # after a change of the judge: only what it sees is measured again

A run is a folder with `run.json`, `concept/images`, and for each checkpoint `<step>/` with its adapter, `oracle-*.png` and `judge-*.png` (`nbs/method_runs.py` makes such runs; `make_run`
below makes short ones). The base's pictures are in `<concept>_base_s<seed>/0`. Lines go to `nbs/vectors/judge_study.json`; all numbers are thousandths.
"""
import argparse
import json
import os
import string
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tlora_flux.config import TrainConfig
from tlora_flux.method.adapter import add_tlora_, remove_tlora_
from tlora_flux.method.schedule import RankSchedule
from tlora_flux.base.checkpoint import load_tlora_, save_tlora
from tlora_flux.base.families import family_of
from tlora_flux.base.load import load_base
from tlora_flux.photos.cache import TrainingSet
from tlora_flux.photos.crops import read_concept, to_pixels
from tlora_flux.machine.processes import make_accelerator
from tlora_flux.micro.fidelity import CLASS_WORDS, concept_prompt, measure_fidelity
from tlora_flux.micro.reader import ANSWERS, read_all
from tlora_flux.micro.world import BACKGROUNDS, HELD_OUT_OBJECTS, PLACES, render_scene, Scene, SIZES
from tlora_flux.pictures.sampling import denoise_cells
from tlora_flux.judging.scorers import features_of, open_scorers
from tlora_flux.judging.scores import measure_likeness_, measure_words_, Pictures, sameness_of, ScoreTable, TrainedPhoto, unfold
from tlora_flux.judging.bands import BandProbe
from tlora_flux.training.loop import about_run, load_trainer, settle_config, training_steps

scores_file = Path(__file__).parent/'vectors'/'judge_study.json'
answers_file = Path(os.environ.get('METHOD_SCORES') or scores_file.with_name('method_study.json'))  # what the oracles have said already
drawn_as = dict(negative_prompt='', height=128, width=128, num_inference_steps=8, guidance_scale=0., true_cfg_scale=1.)
draws = 2  # of each band


def thousandths(values): return [thousandths(o) for o in values] if np.ndim(values) else None if np.isnan(values) else round(1000*float(values))


def about(folder): return json.loads((folder/'run.json').read_text())


def places_of(folder, name):
    "What was drawn for the judge or for the oracles: (cell, name of its file)."
    return [(cell, f'{name}-{k:02}.png') for k, cell in enumerate(o for o in about(folder)['pictures'] if o['set'] == name)]


def steps_of(folder): return sorted(int(o.name) for o in folder.iterdir() if o.name.isdecimal() and o.name != '0')


def columns_of(folder, base): return [base/'0', *(folder/str(step) for step in steps_of(folder))]


def base_of(folder): return folder.parent/f"{about(folder)['concept']}_base_s{about(folder)['seed']}"


def is_whole(folder, base, count=8):
    "Whether all checkpoints have all their pictures."
    if 'judge' not in {o['set'] for o in about(folder)['pictures']} or len(steps_of(folder)) < count or not (base/'0').is_dir(): return False
    return all((place/name).is_file() for place in columns_of(folder, base) for kind in ('judge', 'oracle') for _, name in places_of(folder, kind))


def share_right(seen, cells, concept):
    "The share of what else its prompt asks for that each picture shows: wall, place, size, and the object (or the material)."
    facts = ('background', 'place', 'size', 'material' if concept in HELD_OUT_OBJECTS else 'object')
    return [np.mean([o[fact] == cell['scene'][fact] for fact in facts]) for o, cell in zip(seen, cells)]


def ask_oracles(folder, base):
    "Fidelity of each picture, and the share of the rest that is right."
    concept, cells, found = about(folder)['concept'], [cell for cell, _ in places_of(folder, 'oracle')], dict(fidelity=[], right=[])
    scenes = [Scene(**o['scene']) for o in cells]
    for place in columns_of(folder, base):
        images = [Image.open(place/name).convert('RGB') for _, name in places_of(folder, 'oracle')]
        found['fidelity'].append(measure_fidelity(images, concept, scenes)['score'])
        found['right'].append(share_right(read_all(images), cells, concept))
    return found


def known_answers(folder):
    "The same from the lines of `method_study.json`, where both the run's and the base's are there already."
    run, cells = about(folder), [cell for cell, _ in places_of(folder, 'oracle')]
    lines = json.loads(answers_file.read_text()) if answers_file.exists() else []
    same = lambda line, method: [line['concept'], line['method'], line['seed']] == [run['concept'], method, run['seed']] and line['band'] == [0, 1]
    base = [o['steps']['0'] for o in lines if same(o, 'base')]
    own = [o['steps'] for o in lines if same(o, run['method']) and o['rate'] == run['rate'] and {*map(str, steps_of(folder))} <= {*o['steps']}]
    if not base or not own: return None
    letters = dict(background=[*BACKGROUNDS], place=[*PLACES], size=[*SIZES], **ANSWERS)
    decode = lambda step: [{fact: None if step[fact][k] == '-' else names[string.ascii_letters.index(step[fact][k])] for fact, names in letters.items()} for k in range(len(cells))]
    columns = [base[0], *(own[0][str(step)] for step in steps_of(folder))]
    return dict(fidelity=[np.array(o['fidelity'])/100 for o in columns], right=[share_right(decode(o), cells, run['concept']) for o in columns])


def ask_judge(folder, base):
    "What `tlora judge` measures, of the judge's pictures alone."
    cells = places_of(folder, 'judge')
    prompts = list(dict.fromkeys(cell['prompt'] for cell, _ in cells))
    files = {(column, prompts.index(cell['prompt']), cell['seed']): place/name for column, place in enumerate(columns_of(folder, base)) for cell, name in cells}
    pictures = Pictures([None, *steps_of(folder)], dict(sorted(files.items())), prompts, 1 + max(cell['seed'] for cell, _ in cells), [])
    likeness, words, _ = open_scorers('micro-flux')
    named = [(str(file), lambda file=file: Image.open(file).convert('RGB')) for file in pictures.files.values()]
    features = features_of(likeness, named)
    table = ScoreTable(pictures.steps, dict(sameness=unfold(pictures, sameness_of(pictures, features))))
    measure_likeness_(table, pictures, [TrainedPhoto(folder/'concept'/'images'/'photo.png')], likeness, features, ['sks'], None)
    measure_words_(table, pictures, named, words, None)
    return table


def config_of(folder, home=None, **changes):
    "As a person would write it: the caption tells the object (or the material), not wall, place or size."
    run = about(folder)
    caption = f"a photo of a {run['photo']['material']} {{}}" if run['concept'] in HELD_OUT_OBJECTS else f"a photo of a {{}} {run['photo']['object']}"
    return TrainConfig(instance_data_dir=folder/'concept', class_name=CLASS_WORDS.get(run['concept'], run['concept']), instance_prompt=caption, output_dir=(home or folder)/'run', seed=run['seed'],
                       learning_rate=run['rate'], resolution=128, max_sequence_length=32, mixed_precision='no', cache_dir=folder/'cache', train_batch_size=2, **changes)


class Painter:
    "The base, loaded once."
    def __init__(self):
        self.pipe = load_base('micro')
        self.pipe.set_progress_bar_config(disable=True)
        self.family, self.embeds = family_of(self.pipe), {}

    def know(self, texts):
        for text in {'', *texts} - self.embeds.keys(): self.embeds[text] = self.family.encode_prompt(self.pipe, [text], 32)

    def fresh(self): add_tlora_(self.pipe.transformer, RankSchedule(1, 1, 'constant'), generator=torch.Generator())  # which changes no bit
    def bare(self): remove_tlora_(self.pipe.transformer)

    def draw(self, cells):
        self.know(o['prompt'] for o in cells)
        settings = [drawn_as | dict(prompt=o['prompt'], seed=o['seed']) for o in cells]
        return [image for k in range(0, len(cells), 14) for image in denoise_cells(self.pipe, settings[k:k + 14], self.embeds)]


def measure_bands(folder, painter):
    "Losses of the base and of every checkpoint in each band: kind -> (columns, draws, 4)."
    cfg, family, pipe = config_of(folder), painter.family, painter.pipe
    photos = read_concept(cfg)
    painter.know([photos[0].caption])
    x0 = family.encode_image(pipe.vae, to_pixels(Image.open(photos[0].path).convert('RGB'))[None], None)[0].float()
    probe = BandProbe.of(cfg, family, photos, TrainingSet([x0], None, painter.embeds[photos[0].caption], torch.tensor([0])), draws=draws)
    painter.fresh()
    painter.know(probe.captions)
    probe.add_class_(pipe, painter.embeds, drawn_as)
    found = [probe.measure(pipe.transformer)]
    painter.bare()
    for step in steps_of(folder):
        load_tlora_(pipe.transformer, folder/str(step)/'tlora_weights.safetensors', untrained=True)
        found.append(probe.measure(pipe.transformer))
        painter.bare()
    return {kind: [o[kind] for o in found] for kind in found[0]}


def trained_losses(folder):
    "The mean of the 25 records before each checkpoint, as a progress line shows it."
    records = json.loads((folder/'losses.json').read_text())
    return [np.mean([o['loss'] for o in records if step - 25 < o['step'] <= step]) for step in steps_of(folder)]


def collect_run(folder, base, painter):
    "One line of the study."
    run = about(folder)
    return {name: run[name] for name in ('concept', 'method', 'seed', 'rate')} | dict(key=folder.name, steps=steps_of(folder), loss=thousandths(trained_losses(folder)),
        oracle=thousandths_of(known_answers(folder) or ask_oracles(folder, base)), bands=thousandths_of(measure_bands(folder, painter))) | judged(folder, base)


def judged(folder, base):
    table = ask_judge(folder, base)
    return dict(judge=thousandths_of(table.scores), ends=thousandths_of(table.ends))


def thousandths_of(named): return {name: thousandths(values) for name, values in named.items()}


def make_run(folder, concept, photo, steps, prompts, painter, rate=2e-3, seed=0, **options):
    "A short run with pictures of a few scenes: (set, scene, seed of the noise)."
    (folder/'concept'/'images').mkdir(parents=True, exist_ok=True)
    render_scene(photo).save(folder/'concept'/'images'/'photo.png')
    cells = [dict(set=name, scene=vars(scene), prompt=concept_prompt(concept, scene), seed=number) for name, scene, number in prompts]
    (folder/'run.json').write_text(json.dumps(dict(concept=concept, method='lora32', seed=seed, rate=rate, photo=vars(photo), pictures=cells)))
    planned = settle_config(config_of(folder, max_train_steps=steps[-1], checkpointing_steps=steps[-1], rank=32, min_rank=32, rank_schedule='constant', **options))
    trainer, _ = load_trainer(planned, make_accelerator(planned[0]), (0, None), [])
    records, header = [], about_run(planned[0], planned[1], planned[3], planned[0].train_batch_size)
    for record in training_steps(trainer):
        records.append(dict(step=record['step'], loss=record['loss']))
        if record['step'] in steps: save_tlora(trainer.transformer, folder/str(record['step'])/'tlora_weights.safetensors', step=record['step'], **header)
    (folder/'losses.json').write_text(json.dumps(records))
    for step in steps:
        load_tlora_(painter.pipe.transformer, folder/str(step)/'tlora_weights.safetensors', untrained=True)
        save_pictures(folder/str(step), cells, painter)
        painter.bare()


def save_pictures(place, cells, painter):
    "Draw with whatever is attached."
    place.mkdir(exist_ok=True, parents=True)
    count = {}
    for image, cell in zip(painter.draw(cells), cells):
        index = count[cell['set']] = count.get(cell['set'], -1) + 1
        image.save(place/f"{cell['set']}-{index:02}.png")


def draw_base(folder, base, painter):
    "The base's pictures for the same cells."
    painter.fresh()
    save_pictures(base/'0', about(folder)['pictures'], painter)
    painter.bare()


def make_cases(home, painter):
    "Two runs on the photo and the prompts of another: three checkpoints a step apart, and one that has learned nothing."
    other = about(home/'terrazzo_lora32_s0_r0.002')
    prompts = [(o['set'], Scene(**o['scene']), o['seed']) for o in other['pictures']]
    for name, steps, rate in (('case-close', (80, 81, 82), 2e-3), ('case-none', (10, 20, 30), 1e-6)):
        if not (home/name/'losses.json').exists(): make_run(home/name, other['concept'], Scene(**other['photo']), steps, prompts, painter, rate)


def read_lines(path=scores_file): return json.loads(path.read_text()) if path.exists() else []


def write_lines(lines, path=scores_file):
    part = path.with_suffix('.part')
    part.write_text('[\n' + ',\n'.join(json.dumps(o, separators=(',', ':')) for o in lines) + '\n]\n')
    part.replace(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cases', action='store_true', help='make two short runs whose right answer is known first')
    parser.add_argument('--judge', action='store_true', help='ask the judge again about the runs that have a line, and do nothing else')
    options = parser.parse_args()
    torch.set_num_threads(1)
    home, lines = Path(os.environ['JUDGE_PICTURES']), read_lines()
    if options.judge: return write_lines([line | judged(home/line['key'], base_of(home/line['key'])) for line in lines])
    painter = Painter()
    if options.cases: make_cases(home, painter)
    for folder in sorted(home.iterdir(), key=lambda o: (o/'losses.json').stat().st_mtime if (o/'losses.json').exists() else 0):
        if not (folder/'losses.json').exists() or folder.name in {o['key'] for o in lines}: continue
        base = base_of(folder)
        if not is_whole(folder, base, 3 if folder.name.startswith('case') else 8): continue
        lines.append(collect_run(folder, base, painter))
        write_lines(lines)
        print(folder.name, flush=True)


if __name__ == '__main__': sys.exit(main())
