"""What a notebook and a tracked file may not hold. Prints one line for each fault; exit code 1 if there is any.

    python .ci/lint.py
"""
import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import house

root = Path(__file__).resolve().parent.parent
notebook_limit, output_limit, total_limit = 250_000, 60_000, 5_000_000
export_lines = 30  # of code: what documents it does not count
suite_width = 100  # of a line that has a condition and what it leads to
exports_in_a_row = 3  # definitions before a cell that shows or tests
logic_width, message_width = 120, 140  # of a line; the second where most of it is text, or with the comment at its end
widget = 'application/vnd.jupyter.widget-view+json'
# Written so that no pattern matches its own line. Ann is nobody: tests need some path that must not be written down.
private = {
    'a path of one machine': r'(?<![\w.~/])/(?!home/ann\b)(?:home|Users|root|mnt|tmp|opt|work|media)/[\w.]|[A-Z]:\\\\?Users\\',
    'an access token': r'\b(?:hf|ghp|gho|sk)_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE',
    'an address with a password': r'https?://[^/\s:@"]+:[^/\s@"]+@',
}


def size_of(output):
    "Bytes of an output as it is shown: pictures decoded, text as it is."
    data = output.get('data', {}) | ({'text/plain': output['text']} if 'text' in output else {})
    return sum(len(''.join(o))*3//4 if kind.startswith('image/') and kind != 'image/svg+xml' else len(o if isinstance(o, str) else json.dumps(o)) for kind, o in data.items())


def text_in(line):
    "The spans of a line's strings."
    return [m.span() for m in re.finditer(r"""[fFrRbB]{0,2}("([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*')""", line)]


def code_of(line):
    "A line without the comment at its end."
    spans = text_in(line)
    comments = [m.start() for m in re.finditer('#', line) if not any(a <= m.start() < b for a, b in spans)]
    return line[:comments[0]].rstrip() if comments else line


def is_too_long(line):
    "Whether a line of code is wider than a reader's eye takes in."
    code = code_of(line)
    words = sum(b - a for a, b in text_in(line) if a < len(code))
    return len(line) > message_width or len(code) > (message_width if words > len(code.strip())/2 else logic_width)


def long_lines(source):
    "The lines of a cell that are too long; text over several lines, which is a page or a script of its own, and imports are left alone."
    if re.search(r'^\s*[%!]', source, re.M): return
    tokens = [o for o in tokenize.generate_tokens(io.StringIO(source).readline) if o.type == tokenize.STRING and o.end[0] > o.start[0]]
    inside = {n for o in tokens for n in range(o.start[0], o.end[0] + 1)}
    for number, line in enumerate(source.splitlines(), 1):
        if number not in inside and is_too_long(line) and not re.match(r'\s*(from|import) |#\|', line): yield f'line {number} is {len(line)} wide: {line.strip()[:60]}'


def parse_cell(source):
    "The directives of a code cell, and its statements without lines for the shell."
    body = ast.parse('\n'.join(o for o in source.splitlines() if not re.match(r'\s*[%!]', o))).body
    return re.findall(r'^#\|\s*(\w+)', source, re.M), body


definitions = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef


def docstring_lines(body):
    "How many lines of a cell are docstrings."
    texts = [o.body[0] for top in body for o in ast.walk(top) if isinstance(o, definitions) and ast.get_docstring(o)]
    return sum(o.end_lineno - o.lineno + 1 for o in texts)


def undocumented(body):
    "Names of the public definitions of a cell, and of the public methods in them, that have no docstring."
    classes = [o for o in body if isinstance(o, ast.ClassDef)]
    named = [o for o in body if isinstance(o, definitions)] + [o for top in classes for o in top.body if isinstance(o, ast.FunctionDef)]
    return [o.name for o in named if not o.name.startswith('_') and not ast.get_docstring(o)]


def kind_of_value(node):
    "By which values that stand in one tuple are of one kind: calls of one function, names, fields, numbers."
    if isinstance(node, ast.UnaryOp): return kind_of_value(node.operand)
    if not isinstance(node, ast.Call): return type(node).__name__
    return 'call', node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)


def crowded(statement, lines):
    "What one statement does that should be two, or should have a name; or nothing."
    if isinstance(statement, ast.Assign):
        to, value = statement.targets[0], statement.value
        if isinstance(value, ast.Lambda) and isinstance(to, ast.Name): return 'names a lambda'
        if not isinstance(to, ast.Tuple) or not isinstance(value, ast.Tuple): return None
        reads = {o.id for o in ast.walk(value) if isinstance(o, ast.Name)} & {o.id for o in ast.walk(to) if isinstance(o, ast.Name)}
        kinds = {kind_of_value(o) for o in value.elts}
        if len(kinds) > 1 and not reads: return 'packs values that have nothing to do with each other'
    for field in ('body', 'orelse', 'finalbody'):
        inner = getattr(statement, field, None)
        if not isinstance(inner, list) or not inner or not isinstance(inner[0], ast.stmt): continue
        line = lines[inner[0].lineno - 1]
        if len(code_of(line)) > suite_width and line.encode()[:inner[0].col_offset].strip(): return f'has more than {suite_width} letters of condition and suite'
    return None


def crowded_lines(source):
    "The lines of a cell that hold more than one thought."
    lines = source.splitlines()
    if any(re.match(r'\s*[%!]', line) for line in lines): return
    for node in ast.walk(ast.parse(source)):
        if fault := crowded(node, lines): yield f'line {node.lineno} {fault}: {lines[node.lineno - 1].strip()[:60]}'


def code_faults(source):
    "Faults of one code cell."
    directives, body = parse_cell(source)
    lines = [o for o in source.splitlines() if o.strip() and not o.startswith('#|')]
    imports = [isinstance(o, (ast.Import, ast.ImportFrom)) for o in body]
    if any(imports) and not all(imports): yield 'mixes imports and code'
    yield from long_lines(source)
    yield from crowded_lines(source)
    if {'export', 'exports'} & set(directives):
        for name in undocumented(body): yield f'exports {name} without a docstring'
    if {'export', 'exports', 'exporti'} & set(directives) and not all(imports):
        public = [o.name for o in body if isinstance(o, definitions) and not o.name.startswith('_')]
        if len(public) > 1: yield f"exports {len(public)} definitions: {', '.join(public)}"
        code = len(lines) - docstring_lines(body)
        if code > export_lines: yield f'exports {code} lines, at most {export_lines}'


def kind_of(source):
    "What a code cell is in a row of exports: a definition, the end of the row, or nothing to it."
    directives, body = parse_cell(source)
    if all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body): return ''
    if {'export', 'exports', 'exporti'} & set(directives):
        return 'definition' if any(isinstance(o, definitions) for o in body) else ''
    return '' if 'hide' in directives and not re.search(r'\bassert|\btest_\w+\(|\brefus(al|ed\w*)\(', source) else 'end'


def row_faults(nb):
    "Rows of definitions without a result."
    row, last = 0, None
    for number, cell in [*enumerate(nb['cells']), (None, dict(cell_type='code', source='0'))]:
        kind = kind_of(''.join(cell['source'])) if cell['cell_type'] == 'code' else ''
        if kind == 'end' and row > exports_in_a_row: yield f'cell {last} ends {row} definitions in a row without a result'
        if kind == 'definition': last = number
        row = row + 1 if kind == 'definition' else 0 if kind == 'end' else row


def notebook_faults(path):
    "Faults of one notebook, each with its cell."
    nb = json.loads(path.read_text(encoding='utf-8'))
    if path.stat().st_size > notebook_limit: yield f'is {path.stat().st_size//1000} KB, at most {notebook_limit//1000}'
    if 'widgets' in nb['metadata']: yield 'stores widget state'
    yield from row_faults(nb)
    for number, cell in enumerate(nb['cells']):
        if cell['cell_type'] != 'code': continue
        for fault in code_faults(''.join(cell['source'])): yield f'cell {number} {fault}'
        for output in cell['outputs']:
            if output['output_type'] == 'error': yield f"cell {number} stores an error: {output['ename']}"
            if widget in output.get('data', {}): yield f'cell {number} stores a live widget'
            if size_of(output) > output_limit: yield f'cell {number} has an output of {size_of(output)//1000} KB, at most {output_limit//1000}'


def text_faults(path):
    "What is private in a text file, with its line. Stored pictures are skipped."
    try: text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError: return
    for number, line in enumerate(text.splitlines(), 1):
        if '"image/' in line: continue
        for what, pattern in private.items():
            if re.search(pattern, line): yield f'line {number} holds {what}'


tracked = [root/o for o in subprocess.run(['git', 'ls-files', '-z'], cwd=root, check=True, capture_output=True, text=True).stdout.split('\0') if o]
faults = []
for path in (o for o in tracked if o.is_file()):
    for check in [text_faults] + [notebook_faults]*(path.suffix == '.ipynb'):
        faults += [f'{path.relative_to(root)}: {o}' for o in check(path)]
total = sum(o.stat().st_size for o in tracked if o.suffix == '.ipynb' and o.is_file())
if total > total_limit: faults.append(f'nbs: all notebooks together are {total//1000} KB, at most {total_limit//1000}')
faults += [f'house: {o}' for o in house.all_faults()]
print(*faults, sep='\n', end='\n' if faults else '')
sys.exit(bool(faults))
