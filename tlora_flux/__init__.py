"""T-LoRA for FLUX: a LoRA whose live rank depends on the noise level.

Kept by hand, the only such module: nbdev rewrites `__version__` from settings.ini on every export, and a notebook
exported to `__init__` would lose that line again each time it is exported alone.
"""
__version__ = "0.1.0"

import sys
from importlib import import_module
from types import ModuleType

homes = {  # name on the face -> the module that defines it, loaded when the name is first used
    'BadInput': 'config', 'TrainConfig': 'config', 'SampleConfig': 'config', 'load_config': 'config',
    'RankSchedule': 'schedule',
    'add_tlora_': 'adapter', 'remove_tlora_': 'adapter', 'set_strength_': 'adapter',
    'save_tlora': 'checkpoint', 'load_tlora_': 'checkpoint',
    'load_base': 'hub', 'check': 'check', 'train': 'train', 'sample': 'sample', 'explore': 'explore', 'watch': 'live',
}
__all__ = ['__version__', *homes]


class Face(ModuleType):
    "The package as a person sees it. A module `__getattr__` would not do: once `tlora_flux.train` the module is imported, Python hides `train` the function behind it."
    def __getattribute__(self, name):
        if name in homes: return getattr(import_module(f'{__name__}.{homes[name]}'), name)
        return super().__getattribute__(name)

    def __dir__(self): return __all__


sys.modules[__name__].__class__ = Face
