"""A small transformer of FLUX.1 or FLUX.2 klein under the names of the published single file, for tests.

    save_file(to_published(transformer.state_dict()), 'flux1-dev.safetensors')     # one block of each kind
    save_file(klein_to_published(transformer.state_dict()), 'flux-2-klein-base-4b.safetensors')     # the same
    with conversion_for(64): load_base('flux1-dev.safetensors', ...)               # its width

Queries, keys and values lie one below the other, and the last layer's shift before its scale. Diffusers' conversion back has the width of FLUX.1 written into it as a
constant; inside `conversion_for` that is another one, and the code is otherwise what everybody runs.
"""
from contextlib import contextmanager

import torch
from diffusers.loaders import single_file_utils


def to_published(w):
    def cat(*names): return torch.cat([w[n] for n in names])
    def swapped(t): return torch.cat(t.chunk(2)[::-1])
    out = {}
    for kind in ('weight','bias'):
        top = dict(img_in='x_embedder', txt_in='context_embedder')
        for new,old in dict(time_in='timestep_embedder', vector_in='text_embedder', guidance_in='guidance_embedder').items():
            top |= {f'{new}.in_layer': f'time_text_embed.{old}.linear_1', f'{new}.out_layer': f'time_text_embed.{old}.linear_2'}
        top['final_layer.linear'] = 'proj_out'
        d,s = 'transformer_blocks.0.','single_transformer_blocks.0.'
        for half,norm,ff,proj in (('img','norm1','ff','attn.to_out.0'), ('txt','norm1_context','ff_context','attn.to_add_out')):
            top |= {f'double_blocks.0.{half}_mod.lin': f'{d}{norm}.linear', f'double_blocks.0.{half}_attn.proj': d + proj, f'double_blocks.0.{half}_mlp.0': f'{d}{ff}.net.0.proj', f'double_blocks.0.{half}_mlp.2': f'{d}{ff}.net.2'}
        top |= {'single_blocks.0.modulation.lin': f'{s}norm.linear', 'single_blocks.0.linear2': f'{s}proj_out'}
        out |= {f'{new}.{kind}': w[f'{old}.{kind}'] for new,old in top.items()}
        out[f'final_layer.adaLN_modulation.1.{kind}'] = swapped(w[f'norm_out.linear.{kind}'])
        out[f'double_blocks.0.img_attn.qkv.{kind}'] = cat(*(f'{d}attn.to_{x}.{kind}' for x in 'qkv'))
        out[f'double_blocks.0.txt_attn.qkv.{kind}'] = cat(*(f'{d}attn.add_{x}_proj.{kind}' for x in 'qkv'))
        out[f'single_blocks.0.linear1.{kind}'] = cat(*(f'{s}attn.to_{x}.{kind}' for x in 'qkv'), f'{s}proj_mlp.{kind}')
    for new,old in (('query','q'), ('key','k')):
        out |= {f'double_blocks.0.img_attn.norm.{new}_norm.scale': w[f'{d}attn.norm_{old}.weight'], f'double_blocks.0.txt_attn.norm.{new}_norm.scale': w[f'{d}attn.norm_added_{old}.weight'],
                f'single_blocks.0.norm.{new}_norm.scale': w[f'{s}attn.norm_{old}.weight']}
    return {k: v.contiguous() for k,v in out.items()}

def klein_to_published(w):
    first = dict(x_embedder='img_in', context_embedder='txt_in', proj_out='final_layer.linear')
    first |= {f'time_guidance_embed.timestep_embedder.linear_{i}': f'time_in.{o}_layer' for i,o in ((1, 'in'), (2, 'out'))}
    first |= {f'{o}.linear': f'{o}.lin' for o in ('double_stream_modulation_img', 'double_stream_modulation_txt', 'single_stream_modulation')}
    double,single = {},{'attn.to_qkv_mlp_proj': 'linear1', 'attn.to_out': 'linear2', 'attn.norm_q': 'norm.query_norm', 'attn.norm_k': 'norm.key_norm'}
    for half,ff,proj,norm in (('img', 'ff', 'to_out.0', 'norm_'), ('txt', 'ff_context', 'to_add_out', 'norm_added_')):
        double |= {f'attn.{proj}': f'{half}_attn.proj', f'{ff}.linear_in': f'{half}_mlp.0', f'{ff}.linear_out': f'{half}_mlp.2',
                   f'attn.{norm}q': f'{half}_attn.norm.query_norm', f'attn.{norm}k': f'{half}_attn.norm.key_norm'}
    parts = (('', first, ''), ('transformer_blocks.0.', double, 'double_blocks.0.'), ('single_transformer_blocks.0.', single, 'single_blocks.0.'))
    out = {f'{new}{o}.{"scale" if "norm" in o else "weight"}': w[f'{old}{name}.weight'] for old,names,new in parts for name,o in names.items()}
    out['final_layer.adaLN_modulation.1.weight'] = torch.cat(w['norm_out.linear.weight'].chunk(2)[::-1])
    for half,name in (('img', 'to_{}'), ('txt', 'add_{}_proj')):
        out[f'double_blocks.0.{half}_attn.qkv.weight'] = torch.cat([w[f'transformer_blocks.0.attn.{name.format(o)}.weight'] for o in 'qkv'])
    return {k: v.contiguous() for k,v in out.items()}

@contextmanager
def conversion_for(width):
    convert = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers
    before = convert.__code__
    convert.__code__ = before.replace(co_consts=tuple(width if c==3072 else c for c in before.co_consts))
    try: yield
    finally: convert.__code__ = before
