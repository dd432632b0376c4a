"""What several lessons share: how bad input is refused, what is said, small pictures, and a transformer that answers in milliseconds.

A notebook in a folder reaches it by the hidden line `sys.path.insert(0, '..')`.
"""
import io
import logging
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from IPython.display import Image as JPEG

from tlora_flux.errors import BadInput


def refusal(f, *args, exc=BadInput, scratch=None, **kwargs):
    "The one line with which a call is refused; the name of a scratch folder is left out of it."
    try: f(*args, **kwargs)
    except exc as e:
        assert '\n' not in str(e)
        return str(e) if scratch is None else str(e).replace(f'{scratch}/', '').replace(str(scratch), 'runs')
    raise AssertionError('was not refused')


def quietly(f, *args, **kwargs):
    "Call `f`; nothing that it prints is shown."
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()): return f(*args, **kwargs)


class Heard(logging.Handler):
    "A context that collects what a logger says, the package's unless it is named: `with Heard() as lines`."
    def __init__(self, name='tlora_flux'):
        super().__init__()
        self.logger, self.lines = logging.getLogger(name), []

    def __enter__(self):
        self.logger.addHandler(self)
        return self.lines

    def __exit__(self, *_): self.logger.removeHandler(self)

    def emit(self, record): self.lines.append(record.getMessage())


class Trap:
    "Touches a file when it is unpickled: what must not happen to a file that somebody else made."
    def __init__(self, file): self.file = file

    def __reduce__(self): return self.file.touch, ()


def jpeg_of(image, quality=40):
    "A PIL image as a small JPEG, light in git."
    out = io.BytesIO()
    image.convert('RGB').save(out, 'JPEG', quality=quality, optimize=True, progressive=True)
    return JPEG(out.getvalue())


def ranks_of(values):
    "Places in order, from 0; equal values share the mean of theirs."
    values = np.asarray(values)
    below, not_above = (values[:, None] > values).sum(1), (values[:, None] >= values).sum(1)
    return (below + not_above - 1)/2


def show(figure):
    "A matplotlib figure as a small JPEG, light in git and the same everywhere."
    import matplotlib.pyplot as plt
    out = io.BytesIO()
    figure.savefig(out, format='jpeg', dpi=90, bbox_inches='tight', pil_kwargs=dict(quality=40, optimize=True, progressive=True))
    plt.close(figure)
    return JPEG(out.getvalue())


def concept_folder(work, **files):
    "A concept in a new folder of `work`: each file is bytes, text, a PIL image or a function that makes it; images__a_DOT_png is images/a.png."
    folder = Path(tempfile.mkdtemp(dir=work))
    for name, content in files.items():
        file = folder/name.replace('__', '/').replace('_DOT_', '.')
        file.parent.mkdir(parents=True, exist_ok=True)
        if callable(content): content(file)
        elif hasattr(content, 'save'): content.save(file)
        else: file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def tiny_flux(layers=1, single_layers=1, seed=0, heads=2, head=16, channels=16, text=24, pooled=20, axes=None, guidance=False):
    "A real `FluxTransformer2DModel` with random weights; the global random state is left as it was."
    import torch
    from diffusers import FluxTransformer2DModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FluxTransformer2DModel(in_channels=channels, num_layers=layers, num_single_layers=single_layers, attention_head_dim=head,
            num_attention_heads=heads, joint_attention_dim=text, pooled_projection_dim=pooled, guidance_embeds=guidance,
            axes_dims_rope=axes or (head//4, 3*head//8, 3*head//8)).eval()


def trained_(transformer, name='default', seed=1):
    "Random numbers in the ups of an adapter, which begin as zeros, so that it does something; of an orthogonal one, all parts are moved."
    import torch
    generator = torch.Generator().manual_seed(seed)
    for layer in (module for module in transformer.modules() if isinstance(getattr(module, 'lora_B', None), dict)):
        parts = layer.parts(name) if name in layer.names else {}
        for part, weight in parts.items():
            if part == 'B' or part in ('A', 'S') and 'S' in parts: weight.data.copy_(torch.randn(weight.shape, generator=generator)*.3)
    return transformer


def four_bit_(model):
    "Every linear as bitsandbytes' `Linear4bit` has it: a uint8 weight, a product in bfloat16, an answer in the input's type. (The numbers are those of the plain one.)"
    import torch
    from torch import nn

    class FourBit(nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.in_features, self.out_features = linear.in_features, linear.out_features
            self.numbers = [linear.weight.detach().bfloat16()]  # in a list, so that they are no parameter
            self.weight = nn.Parameter(torch.zeros((linear.weight.numel() + 1)//2, 1, dtype=torch.uint8), requires_grad=False)
            self.bias = linear.bias

        def forward(self, x):
            bias = None if self.bias is None else self.bias.bfloat16()
            return nn.functional.linear(x.bfloat16(), self.numbers[0], bias).to(x.dtype)

    for path, module in [*model.named_modules()]:
        if isinstance(module, nn.Linear): model.set_submodule(path, FourBit(module))
    return model
