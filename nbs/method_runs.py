"""The runs of the study `studies/method`: one photo, one adapter, pictures at every checkpoint, and what the oracles read off them.

    METHOD_PICTURES=folder python nbs/method_runs.py main            # the list `main` of `plans`; or judged, eight, tune, seeds, bands
    METHOD_PICTURES=folder python nbs/method_runs.py cases fill      # two runs whose answer is known to a judge; a judge's pictures where they are missing
    METHOD_PICTURES=folder python nbs/method_runs.py main --until 12:45

Pictures and adapters stay in METHOD_PICTURES (a temporary folder if it is not set); scores go to `nbs/vectors/method_study.json`, a line a run.
A run that has its line is not done again, and several processes may work at the same time.
"""
import argparse
import fcntl
import json
import os
import string
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

import tlora_flux.photos.batch
from tlora_flux.config import TrainConfig
from tlora_flux.method.adapter import add_tlora_, remove_tlora_
from tlora_flux.method.schedule import RankSchedule
from tlora_flux.base.checkpoint import load_tlora_, save_tlora
from tlora_flux.base.families import family_of
from tlora_flux.base.load import load_base
from tlora_flux.machine.processes import make_accelerator
from tlora_flux.micro.fidelity import CLASS_WORDS, concept_prompt, CONCEPTS, DROPPED, measure_fidelity
from tlora_flux.micro.reader import ANSWERS, read_all
from tlora_flux.micro.world import BACKGROUNDS, HELD_OUT_OBJECTS, PLACES, render_scene, Scene, SIZES, TRAINED_MATERIALS, TRAINED_OBJECTS
from tlora_flux.pictures.sampling import denoise_cells
from tlora_flux.training.loop import about_run, load_trainer, remember_base_, settle_config, training_steps

scores_file = Path(__file__).parent/'vectors'/'method_study.json'
kept_concepts = [name for name in CONCEPTS if name not in DROPPED]
methods = {
    'lora32': dict(rank=32, min_rank=32, rank_schedule='constant'),
    'tlora32-16': dict(rank=32, min_rank=16),
    'tlora32-8': dict(rank=32, min_rank=8),
    'tlora32-1': dict(rank=32, min_rank=1),
    'ortho32-16': dict(rank=32, min_rank=16, init='ortho_last'),
}
checkpoints = (50, 75, 100, 150, 200)  # at which methods are compared
judged_checkpoints = (25, 50, 75, 100, 125, 150, 175, 200)  # of runs whose pictures a judge sees too
judged_methods = ('base', 'lora32', 'tlora32-1')
drawn_as = dict(negative_prompt='', height=128, width=128, num_inference_steps=8, guidance_scale=0., true_cfg_scale=1.)
words = dict(background=[*BACKGROUNDS], place=[*PLACES], size=[*SIZES], **ANSWERS)  # fact -> what an oracle may answer


@dataclass(frozen=True)
class Run:
    "One training: of what, how, and with which chance."
    concept: str  # in `kept_concepts`
    method: str  # in `methods`, or "base" for no training
    seed: int = 0  # of photo, adapter and noise
    rate: float = 2e-3
    band: tuple = (0., 1.)  # noise levels that are trained

    @property
    def key(self):
        "A name for the folder."
        band = '' if self.band == (0., 1.) else '_sigma{:g}-{:g}'.format(*self.band)
        if self.method == 'base': return f'{self.concept}_base_s{self.seed}'
        return f'{self.concept}_{self.method}_s{self.seed}_r{self.rate:g}{band}'


def chance(concept, seed, purpose):
    "Random numbers of a photo, a set of prompts."
    return np.random.default_rng([41, seed, kept_concepts.index(concept), purpose])


def free_fact(concept):
    "What a new picture of the concept is free in: a material's object, an object's material."
    return 'material' if concept in HELD_OUT_OBJECTS else 'object'


def photo_scene(concept, seed):
    "What the photo shows: large, all else left to chance."
    rng = chance(concept, seed, 0)
    wall, place, number = str(rng.choice(words['background'])), str(rng.choice(words['place'])), int(rng.integers(2**31))
    if concept in HELD_OUT_OBJECTS: return Scene(concept, str(rng.choice(TRAINED_MATERIALS)), wall, place, 'large', number)
    return Scene(str(rng.choice(TRAINED_OBJECTS)), concept, wall, place, 'large', number)


def other_scenes(photo, concept, seed, purpose, count):
    "Scenes of the concept that share with the photo neither wall, place nor object (or material); every fourth is small."
    rng, choices = chance(concept, seed, purpose), {fact: words[fact] for fact in ('background', 'place')}
    choices |= dict(material=TRAINED_MATERIALS) if concept in HELD_OUT_OBJECTS else dict(object=TRAINED_OBJECTS)
    scenes = []
    for k in range(count):
        drawn = {fact: str(rng.choice([o for o in names if o != getattr(photo, fact)])) for fact, names in choices.items()}
        scenes.append(Scene(**asdict(photo) | drawn | dict(size='small' if k % 4 == 3 else 'large', seed=k)))
    return scenes


def picture_list(run, counts=(16, 6)):
    "What is drawn at each checkpoint: set, scene, prompt and seed of each picture. The oracles see one set, a judge the other, two seeds a prompt."
    photo, cells = photo_scene(run.concept, run.seed), []
    first = 1000*(run.seed + 1)
    for k, scene in enumerate(other_scenes(photo, run.concept, run.seed, 1, counts[0])): cells.append(('oracle', scene, first + k))
    for scene in other_scenes(photo, run.concept, run.seed, 2, counts[1]): cells += [('judge', scene, number) for number in (0, 1)]
    return [dict(set=name, scene=asdict(scene), prompt=concept_prompt(run.concept, scene), seed=number) for name, scene, number in cells]


def train_config(run, folder, steps=checkpoints[-1]):
    "As a person would write it: the caption tells the object (or the material), not wall, place or size."
    photo, of_object = photo_scene(run.concept, run.seed), run.concept in HELD_OUT_OBJECTS
    caption = f'a photo of a {photo.material} {{}}' if of_object else f'a photo of a {{}} {photo.object}'
    places = dict(instance_data_dir=folder/'concept', output_dir=folder/'run', cache_dir=folder/'cache')
    lengths = dict(train_batch_size=2, max_train_steps=steps, checkpointing_steps=steps)
    return TrainConfig(class_name=CLASS_WORDS.get(run.concept, run.concept), instance_prompt=caption, learning_rate=run.rate, seed=run.seed,
                       **places, **lengths, **methods[run.method])


def save_photo(run, folder):
    "The concept folder of a run, with its one photo."
    (folder/'concept'/'images').mkdir(parents=True, exist_ok=True)
    render_scene(photo_scene(run.concept, run.seed)).save(folder/'concept'/'images'/'photo.png')


def new_trainer(run, folder, **changes):
    "All of `train` up to the first step, and what its files would say of themselves."
    save_photo(run, folder)
    planned = settle_config(train_config(run, folder, **changes))
    cfg, family, _, photos = planned
    trainer, _ = load_trainer(planned, make_accelerator(cfg), (0, None), [])
    about = about_run(cfg, family, photos, cfg.train_batch_size)
    remember_base_(about, cfg, None)
    return trainer, about


@contextmanager
def sigmas_within(low, high):
    "Training draws its noise levels evenly from a band."
    inside = lambda n, generator, *_: low + (high - low)*(.001 + .999*torch.rand(n, generator=generator))
    if (low, high) == (0., 1.): yield
    else:
        with patch.object(tlora_flux.photos.batch, 'sample_sigmas', inside): yield


class Painter:
    "The base, loaded once, which draws with one transformer after another."
    def __init__(self):
        self.pipe = load_base('micro')
        self.pipe.set_progress_bar_config(disable=True)
        self.family, self.base, self.embeds = family_of(self.pipe), self.pipe.transformer, {}

    def encode_(self, texts):
        "Know the prompts, and the empty one."
        for text in {'', *texts} - self.embeds.keys(): self.embeds[text] = self.family.encode_prompt(self.pipe, [text], 32)

    @contextmanager
    def holding(self, transformer=None):
        "The pipeline with a transformer, or with the bare base: the painter asks for an adapter, and a fresh one changes no bit."
        self.pipe.transformer = transformer or add_tlora_(self.base, RankSchedule(1, 1, 'constant'), generator=torch.Generator())
        try: yield self.pipe
        finally: self.pipe.transformer = remove_tlora_(self.base)

    def draw(self, cells, transformer=None, at_once=14, **changes):
        "PIL images of a list of pictures; with the bare base if no transformer is given."
        self.encode_(o['prompt'] for o in cells)
        settings = [drawn_as | changes | dict(prompt=o['prompt'], seed=o['seed']) for o in cells]
        batches = [settings[k:k + at_once] for k in range(0, len(cells), at_once)]
        with self.holding(transformer) as pipe:
            return [image for batch in batches for image in denoise_cells(pipe, batch, self.embeds)]


def encode_words(fact, values):
    "A letter for each answer of an oracle."
    return ''.join('-' if o is None else string.ascii_letters[words[fact].index(o)] for o in values)


def decode_words(fact, text):
    "The answers again."
    return [None if o == '-' else words[fact][string.ascii_letters.index(o)] for o in text]


def read_pictures(images, concept, scenes):
    "What the oracles say, short: fidelity of each picture in hundredths, and a letter for each fact."
    scores, seen = measure_fidelity(images, concept, scenes)['score'], read_all(images)
    return dict(fidelity=[round(100*float(o)) for o in scores]) | {fact: encode_words(fact, [o[fact] for o in seen]) for fact in words}


def look(painter, run, cells, folder, step, transformer=None):
    "Draw all pictures of a checkpoint, keep them, and read those of the oracles' set."
    images, place, count = painter.draw(cells, transformer), folder/str(step), {}
    place.mkdir(parents=True, exist_ok=True)
    for image, cell in zip(images, cells):
        index = count[cell['set']] = count.get(cell['set'], -1) + 1
        image.save(place/f"{cell['set']}-{index:02}.png")
    asked = [k for k, o in enumerate(cells) if o['set'] == 'oracle']
    return read_pictures([images[k] for k in asked], run.concept, [Scene(**cells[k]['scene']) for k in asked])


def do_run(painter, run, folder, until=float('inf'), at=checkpoints, counts=(16, 6)):
    "Train, stop at the checkpoints, look. The scores, or None where time is over."
    cells, began = picture_list(run, counts), time.perf_counter()
    save_photo(run, folder)
    about = asdict(run) | dict(photo=asdict(photo_scene(run.concept, run.seed)), pictures=cells)
    (folder/'run.json').write_text(json.dumps(about, indent=1))
    if run.method == 'base': return asdict(run) | dict(seconds=[0, 0], steps={0: look(painter, run, cells, folder, 0)})
    trainer, about = new_trainer(run, folder, steps=at[-1])
    records, steps, looking = [], {}, 0.
    with sigmas_within(*run.band):
        for record in training_steps(trainer):
            records.append({name: float(f'{record[name]:.5g}') for name in ('step', 'loss', 'sigma', 'live_rank', 'grad_norm', 'skipped')})
            if time.time() > until: return None
            if (step := record['step']) not in at: continue
            paused = time.perf_counter()
            save_tlora(trainer.transformer, folder/str(step)/'tlora_weights.safetensors', step=step, **about)
            (folder/'losses.json').write_text(json.dumps(records))
            loss = float(np.mean([o['loss'] for o in records[-25:]]))
            steps[step] = look(painter, run, cells, folder, step, trainer.transformer) | dict(loss=round(loss, 4))
            looking += time.perf_counter() - paused
    return asdict(run) | dict(seconds=[round(time.perf_counter() - began - looking), round(looking)], steps=steps)


def fill_adapters_(folder, wanted):
    "Train again each run of which an adapter, one of (run, step), is not in the folder; the lines and the pictures stay."
    missing = {run: [] for run, step in wanted if not (folder/run.key/str(step)/'tlora_weights.safetensors').exists()}
    for run, step in wanted:
        if run in missing: missing[run].append(step)
    for run, steps in missing.items():
        trainer, about = new_trainer(run, folder/run.key, steps=max(steps))
        for record in training_steps(trainer):
            if (step := record['step']) not in steps: continue
            save_tlora(trainer.transformer, folder/run.key/str(step)/'tlora_weights.safetensors', step=step, **about)


def read_scores(path=scores_file):
    "All runs that are done."
    return json.loads(path.read_text()) if path.exists() else []


def add_scores(scores, path=scores_file):
    "One line more, whole even where two processes write."
    with open(Path(tempfile.gettempdir())/f'{path.stem}.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = [*read_scores(path), scores]
        part = path.with_suffix('.part')
        part.write_text('[\n' + ',\n'.join(json.dumps(o, separators=(',', ':')) for o in rows) + '\n]\n')
        part.replace(path)


def run_from(scores):
    "The run of a line."
    return Run(**{name: tuple(scores[name]) if name == 'band' else scores[name] for name in Run.__dataclass_fields__})


def do_all(runs, folder, until=float('inf'), path=scores_file, judged=(), counts=(16, 6), most=float('inf'), at=None):
    "Every run that has no scores yet and that no other process is at; for the methods in `judged` a judge's pictures are drawn too, at more checkpoints."
    painter, longest = Painter(), 0.
    for run in runs:
        if most <= 0: return
        if run in map(run_from, read_scores(path)) or time.time() + .8*longest > until: continue
        home = folder/run.key
        home.mkdir(parents=True, exist_ok=True)
        with open(home/'busy', 'w') as busy:
            try: fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError: continue
            if run in map(run_from, read_scores(path)): continue
            began = time.time()
            seen = run.method in judged
            steps = at or (judged_checkpoints if seen else checkpoints)
            scores = do_run(painter, run, home, until, steps, (counts[0], counts[1] if seen else 0))
            if scores: add_scores(scores, path)
            most -= run.method != 'base'
            if run.method != 'base': longest = max(longest, time.time() - began)
            print(f"{time.strftime('%H:%M:%S')} {run.key}: {time.time() - began:.0f} s{'' if scores else ', cut off'}", flush=True)


rates = {}  # method -> the rate that `tune` has shown to be better; 2e-3 for others
four_bands = [(0., .25), (.25, .5), (.5, .75), (.75, 1.)]
tuned_on = ('terrazzo', 'zebra')  # on which rates are chosen, and bands tried
order = ('terrazzo', 'zebra', 'leopard', 'tartan', 'brick', 'lava', 'mosaic', 'bowl', 'honeycomb', 'wicker', 'cork', 'star', 'goblet')


def concept_by_concept(names, seed):
    "The runs of the comparison; a second seed is another photo, other prompts and other noise."
    return [Run(concept, method, seed, rates.get(method, 2e-3)) for concept in order for method in names]


# Two runs whose right answer is known to a judge: three checkpoints a step apart, and one that has learned nothing.
cases = {Run('terrazzo', 'lora32', rate=1.9e-3): (80, 81, 82), Run('terrazzo', 'lora32', rate=1e-6): (10, 20, 30)}
plans = dict(
    tune=[Run(concept, method, 0, 1e-3) for concept in tuned_on for method in ('lora32', 'tlora32-1')]
    + [Run('terrazzo', 'ortho32-16', 0, rate) for rate in (1e-3, 4e-3)],
    main=concept_by_concept(('base', 'lora32', 'tlora32-1', 'tlora32-16', 'ortho32-16'), 0),
    judged=concept_by_concept(judged_methods, 0),  # part of `main`: what `judge_runs.py` needs
    eight=concept_by_concept(('tlora32-8',), 0),
    bands=[Run(concept, 'lora32', 0, rates.get('lora32', 2e-3), band) for concept in tuned_on for band in four_bands],
    seeds=concept_by_concept(('base', 'lora32', 'tlora32-1', 'tlora32-16'), 1),
)


def add_judged_pictures(run, folder, painter, counts=(16, 6)):
    "What a judge sees of a run that was drawn for the oracles alone; its adapters are still in the folder."
    cells = [o for o in picture_list(run, counts) if o['set'] == 'judge']
    about, steps = json.loads((folder/'run.json').read_text()), [o for o in folder.iterdir() if o.name.isdecimal()]
    for place in steps:
        transformer = None
        if place.name != '0':
            transformer = painter.base
            load_tlora_(transformer, place/'tlora_weights.safetensors', untrained=True)
        for k, image in enumerate(painter.draw(cells, transformer)): image.save(place/f'judge-{k:02}.png')
    oracle = [o for o in about['pictures'] if o['set'] == 'oracle']
    (folder/'run.json').write_text(json.dumps(about | dict(pictures=oracle + cells), indent=1))


def do_list(name, until=float('inf'), most=float('inf')):
    "One of `plans`, as the study has it; at most so many trainings."
    folder = Path(os.environ.get('METHOD_PICTURES') or tempfile.mkdtemp())
    if name == 'bands': do_all(plans[name], folder, until, most=most, at=(100, 200))
    elif name == 'fill':
        painter = Painter()
        for run in map(run_from, read_scores()):
            home = folder/run.key
            if run not in plans['main'] or run.method not in judged_methods or not (home/'run.json').exists(): continue
            if not any(home.glob('*/judge-00.png')): add_judged_pictures(run, home, painter)
    elif name == 'cases':
        for run, steps in cases.items(): do_all([run], folder, until, judged=judged_methods, at=steps)
    else: do_all(plans[name], folder, until, judged=judged_methods, most=most)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('lists', nargs='+', choices=[*plans, 'cases', 'fill'])
    parser.add_argument('--until', help='time of day at which to stop, as 12:45')
    parser.add_argument('--most', type=float, default=float('inf'), help='trainings of each list')
    options = parser.parse_args()
    torch.set_num_threads(1)
    until = time.mktime(time.strptime(f'{time.strftime("%Y-%m-%d")} {options.until}', '%Y-%m-%d %H:%M')) if options.until else float('inf')
    for name in options.lists: do_list(name, until, options.most)


if __name__ == '__main__': sys.exit(main())
