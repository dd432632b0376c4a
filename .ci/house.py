"""The order of the house: which wing may import which, and how many names each shows. Exit code 1 if a wall is crossed.

    python .ci/house.py            # the table, and every fault in a line

A wing imports only from wings above it in `wings`, and inside a wing a room only from rooms before it: imports within functions count too.
No room takes from another wing a name that is not shown in its `__all__`.
"""
import ast
import sys
from pathlib import Path

package = Path(__file__).resolve().parent.parent/'tlora_flux'
public_limit = 294
wings = {
    '': ('errors', 'reading', 'subjects', 'config', 'settings_file', 'disk', 'screen', 'runs'),
    'method': ('flow', 'schedule', 'adapter'),
    'base': ('families', 'tiny', 'access', 'quantised', 'single_file', 'device', 'load', 'dialects', 'checkpoint'),
    'photos': ('opening', 'words', 'companions', 'concept', 'prompts', 'crops', 'cache', 'batch'),
    'machine': ('memory', 'waiting', 'places', 'stall', 'processes', 'report'),
    'micro': ('world', 'reader', 'fidelity', 'scorer', 'making'),
    'pictures': ('grid', 'sampling', 'board', 'views', 'picks', 'page'),
    'judging': ('scorers', 'scores', 'bands', 'choose', 'verdict'),
    'training': ('step', 'run_folder', 'validate', 'judgements', 'loop'),
    'formats': ('bands_out', 'workflow', 'card'),
    'explorer': ('curve', 'render', 'browse', 'live'),
    'door': ('one_photo', 'cli'),
}
rooms = [f'{wing}.{room}' if wing not in ('', 'door') else room for wing, names in wings.items() for room in names]
method_may_use = {'errors'}  # of the ground: the mathematics knows nothing of options, files and devices


def wing_of(room): return room.rpartition('.')[0]


def path_of(room): return package/f"{room.replace('.', '/')}.py"


def imports_of(tree, room):
    "Yield (room, name, line) for each name that a room takes from another, wherever the import stands."
    level_of = room.count('.') + 1
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): yield from ((o.name.removeprefix('tlora_flux.'), None, node.lineno) for o in node.names if o.name.startswith('tlora_flux.'))
        if not isinstance(node, ast.ImportFrom): continue
        above = room.split('.')[:level_of - node.level] if node.level else []
        module = '.'.join([*above, *([node.module] if node.module else [])])
        if node.level or module.startswith('tlora_flux'):
            yield from ((module.removeprefix('tlora_flux').strip('.'), o.name, node.lineno) for o in node.names)


def shown_by(tree):
    "The names of a module's `__all__`."
    found = [o.value for o in tree.body if isinstance(o, ast.Assign) and getattr(o.targets[0], 'id', '') == '__all__']
    return set(ast.literal_eval(found[0])) if found else set()


def faults_of(room, tree, shown):
    "Each import of a room that crosses a wall."
    for source, name, line in imports_of(tree, room):
        where = f'{room}, line {line}: {name or "import"} from {source or "the face"}'
        if source == '' and name == '__version__': continue
        if source not in rooms: yield f'{where}, which is no room'
        elif rooms.index(source) >= rooms.index(room): yield f'{where}, which stands below it'
        elif room.startswith('method.') and not source.startswith('method.') and source not in method_may_use: yield f'{where}: method uses {", ".join(method_may_use)} alone'
        elif name and name not in shown[source] and wing_of(source) != wing_of(room): yield f'{where}, which does not show it'


def read_house():
    "The syntax tree of every room, and the names that it shows."
    trees = {room: ast.parse(path_of(room).read_text(encoding='utf-8')) for room in rooms}
    return trees, {room: shown_by(tree) for room, tree in trees.items()}


def all_faults():
    "Every wall that is crossed, every module that is in no wing, and too many public names."
    trees, shown = read_house()
    for room, tree in trees.items(): yield from faults_of(room, tree, shown)
    inits = {package/wing/'__init__.py' for wing in wings if wing not in ('', 'door')}
    known = {package/'__init__.py', package/'_modidx.py', *inits, *map(path_of, rooms)}
    yield from (f'{path.relative_to(package)} is in no wing' for path in sorted(package.rglob('*.py')) if path not in known)
    total = sum(map(len, shown.values()))
    if total > public_limit: yield f'{total} public names, at most {public_limit}'


def print_table():
    "Rooms, lines and public names of each wing."
    shown = read_house()[1]
    for wing, names in wings.items():
        inside = [room if wing in ('', 'door') else f'{wing}.{room}' for room in names]
        lines = sum(len(path_of(o).read_text(encoding='utf-8').splitlines()) for o in inside)
        print(f"{wing or 'ground':10} {len(inside)} rooms {lines:6} lines {sum(len(shown[o]) for o in inside):4} public names")
    print(f"{'all':10} {len(rooms)} rooms {sum(map(len, shown.values())):18} public names, at most {public_limit}")


if __name__ == '__main__':
    faults = list(all_faults())
    print_table()
    print(*faults, sep='\n', end='\n' if faults else '')
    sys.exit(bool(faults))
