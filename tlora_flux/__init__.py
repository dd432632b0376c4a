"""T-LoRA for FLUX: a LoRA whose live rank depends on the noise level.

Kept by hand, the only such module: nbdev rewrites `__version__` from settings.ini on every export, and a notebook
exported to `__init__` would lose that line again each time it is exported alone.
"""
__version__ = "0.2.0"

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what editors and type checkers follow; at run time a name is loaded when it is first used
    from .base.checkpoint import load_tlora_, save_tlora
    from .base.load import load_base
    from .config import JudgeConfig, SampleConfig, TrainConfig
    from .errors import BadInput
    from .explorer.browse import explore
    from .explorer.live import watch
    from .judging.verdict import judge
    from .method.adapter import add_tlora_, exact_sigma, live_ranks, remove_tlora_, set_strength_
    from .method.schedule import RankSchedule
    from .pictures.sampling import sample
    from .settings_file import load_config
    from .training.loop import check, train

_homes = {
    'BadInput': 'errors', 'TrainConfig': 'config', 'SampleConfig': 'config', 'JudgeConfig': 'config', 'load_config': 'settings_file',
    'RankSchedule': 'method.schedule',
    'add_tlora_': 'method.adapter', 'remove_tlora_': 'method.adapter', 'set_strength_': 'method.adapter',
    'exact_sigma': 'method.adapter', 'live_ranks': 'method.adapter',
    'load_base': 'base.load', 'save_tlora': 'base.checkpoint', 'load_tlora_': 'base.checkpoint',
    'check': 'training.loop', 'sample': 'pictures.sampling', 'train': 'training.loop',
    'judge': 'judging.verdict', 'explore': 'explorer.browse', 'watch': 'explorer.live',
}
__all__ = ['__version__', *_homes]


def __getattr__(name):
    "A name of the face, loaded when it is first used (PEP 562)."
    if name not in _homes: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'.{_homes[name]}', __name__), name)


def __dir__(): return __all__
