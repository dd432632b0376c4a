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
notebook_limit, output_limit, total_limit, export_lines = 250_000, 60_000, 5_000_000, 30
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


def is_too_long(line):
    "Whether a line of code is wider than a reader's eye takes in."
    spans = text_in(line)
    comments = [m.start() for m in re.finditer('#', line) if not any(a <= m.start() < b for a, b in spans)]
    code = line[:comments[0]].rstrip() if comments else line
    words = sum(b - a for a, b in spans if a < len(code))
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


def code_faults(source):
    "Faults of one code cell."
    directives, body = parse_cell(source)
    lines = [o for o in source.splitlines() if o.strip() and not o.startswith('#|')]
    imports = [isinstance(o, (ast.Import, ast.ImportFrom)) for o in body]
    if any(imports) and not all(imports): yield 'mixes imports and code'
    yield from long_lines(source)
    if {'export', 'exports', 'exporti'} & set(directives) and not all(imports):
        public = [o.name for o in body if isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not o.name.startswith('_')]
        if len(public) > 1: yield f"exports {len(public)} definitions: {', '.join(public)}"
        if len(lines) > export_lines: yield f'exports {len(lines)} lines, at most {export_lines}'


def kind_of(source):
    "What a code cell is in a row of exports: a definition, the end of the row, or nothing to it."
    directives, body = parse_cell(source)
    if all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body): return ''
    if {'export', 'exports', 'exporti'} & set(directives):
        return 'definition' if any(isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for o in body) else ''
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
