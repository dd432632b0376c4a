"""A made-up run with a grid, for the pages about looking at one: every file is as the real ones are, and the pictures are painted, not generated.

    made = painted_run(home)           # four checkpoints, a log, and a grid of four prompts, two seeds and two strengths; eight cells are left out
    ill = spoiled(made.grid.folder)    # a copy of the grid, damaged in every way there is

A brick is learned by and by, and, in the last checkpoint, learned too well.
"""
import json
import shutil
from dataclasses import replace
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from tlora_flux.method.adapter import add_tlora_, tlora_layers
from tlora_flux.base.checkpoint import save_tlora
from tlora_flux.config import SampleConfig, TrainConfig
from tlora_flux.settings_file import save_config
from tlora_flux.base.tiny import tiny_pipeline
from tlora_flux.pictures.grid import save_cell
from tlora_flux.base.load import quiet_loading
from tlora_flux.pictures.sampling import plan_grid, write_plan
from tlora_flux.method.schedule import RankSchedule
from tlora_flux.micro.world import Scene, render_scene

scenes = [Scene('swatch', 'brick'), Scene('ball', 'brick', 'green'), Scene('vase', 'brick', 'white', 'left'), Scene('cube', 'brick', 'yellow', 'right', 'small')]
words = ('a photo of a {} texture swatch\na photo of a large {} ball in the center, green background\n'
         'a photo of a large {} vase in the left, white background\na photo of a small {} cube in the right, yellow background --d 7\n')
base_pipeline,adapted,world = (lru_cache(None)(f) for f in (tiny_pipeline, lambda: tiny_pipeline().transformer, render_scene)) # the base is never wrapped: notebooks of one test process share this file

def save_step(step, file, base):
    transformer = adapted()
    add_tlora_(transformer, RankSchedule(8, 2), generator=torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    for layer in tlora_layers(transformer).values(): layer.lora_B['default'].data.normal_(std=step/100, generator=g)
    save_tlora(transformer, file, family='micro-flux', base=base, trigger='sks', class_name='brick', max_sequence_length=32, resolution=128, step=step)

def log_lines():
    g,out = np.random.default_rng(0),''
    for n,s in enumerate(g.uniform(size=400)):
        loss = round(float(.25 + .5*np.exp(-n/80) + .4*s*g.uniform()), 4)
        out += json.dumps(dict(step=n + 1, loss=loss, sigma=round(float(s), 4), live_rank=RankSchedule(8, 2)(float(s)), grad_norm=1., lr=1e-3, seconds=.5)) + '\n'
    return out

def paint(cell):
    "What a model could have drawn: clay turns to brick, and at step 400 the photo shows through."
    s,scene = cell.settings,replace(scenes[cell.row//2], seed=cell.settings['seed'])
    learned = min((s['step'] or 0)*s['strength']/250, 1)
    picture = Image.blend(world(replace(scene, material='clay')), world(scene), learned)
    if s['step']==400 and s['strength']==1 and scene.object!='swatch': picture = Image.blend(picture, world(Scene('swatch', 'brick', seed=3)), .55)
    return picture

def painted_run(home):
    run,concept,base = home/'outputs/brick',home/'data/bricks',home/'base'
    with quiet_loading(): base_pipeline().save_pretrained(base)
    (concept/'images').mkdir(parents=True)
    render_scene(Scene('swatch', 'brick'), 256).save(concept/'images/wall.jpg')
    (concept/'prompts.txt').write_text(words)
    cfg = TrainConfig(instance_data_dir=str(concept), class_name='brick', rank=8, min_rank=2, instance_prompt='a photo of a {} texture swatch', output_dir=str(run), pretrained_model_name_or_path=str(base), max_train_steps=400)
    for step in (100,200,300,400): save_step(step, run/f'checkpoint-{step}/tlora_weights.safetensors', base)
    save_step(400, run/'tlora_weights.safetensors', base)
    save_config(cfg, run/'config.yaml')
    (run/'log.jsonl').write_text(log_lines())
    request = dict(run=str(run), prompts=str(concept/'prompts.txt'), images=2, strength=[.6,1.], height=128, width=128, num_inference_steps=2, true_cfg_scale=1.)
    grid = plan_grid(SampleConfig(**request))
    grid = replace(grid, folder=home/'outputs'/grid.folder.name)
    write_plan(grid)
    unpainted = [c for c in grid.cells if c.settings['step']==300 and c.row>3]
    for cell in grid.cells:
        if cell not in unpainted: save_cell(paint(cell), grid.folder/cell.file, cell.settings)
    return SimpleNamespace(run=run, grid=grid, cfg=cfg, unpainted=unpainted)

def spoiled(folder):
    ill = folder.parent/'ill'
    shutil.copytree(folder, ill)
    (ill/'02-0-base.png').write_bytes((ill/'02-0-base.png').read_bytes()[:3000])
    (ill/'02-0-step-100-x-1.png').write_bytes(b'not a picture')
    Image.new('RGB', (8,8)).save(ill/'02-0-step-200-x-1.png')
    cells = {c['file']: c for c in json.loads((folder/'grid.json').read_text())['cells']}
    settings = {k: v for k,v in cells['02-0-step-400-x-1.png'].items() if k not in ('file','row','column')}
    save_cell(Image.new('RGB', (320,160), 'teal'), ill/'02-0-step-400-x-1.png', settings)
    return ill
