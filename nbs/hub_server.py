"""A small hub on the loopback address, for tests: it answers the real `huggingface_hub` client in the ways the Hub does, good and bad.

    with Hub() as hub:
        hub.add('me/base', files={'model_index.json': b'{}', 'big.safetensors': 24_000_000_000}, gated=True)
        hub.tokens['some-token'] = {'me/base'}            # may read these gated repositories
        hub.faults['me/base'] = 503                       # or 'never answers', 'stops mid-file' (once a file), 'keeps stopping'
        hub.faults['me/base/resolve'] = 429               # the same for its files alone
        subprocess.run([...], env=hub.env(home, token='some-token'))

A file given as a number has that size in every listing, and no content. The client takes a bare 401 for one of its own error types only
from an https address; hence the `X-Error-Code` headers, which the Hub sends too.
"""
import hashlib
import json
import os
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REJECTED = 'Invalid credentials in Authorization header'
FINE_GRAINED = 'Please enable access to public gated repositories in your fine-grained token settings to view this repository.'


@dataclass
class Repository:
    "Files by path: bytes, or a size alone."
    files: dict
    gated: bool = False
    commit: str = field(init=False)

    def __post_init__(self):
        self.commit = hashlib.sha1(json.dumps(sorted(self.files)).encode()).hexdigest()

    def size(self, path):
        content = self.files[path]
        return content if isinstance(content, int) else len(content)

    def blob(self, path):
        "Name of the file's content in the client's cache."
        content = self.files[path]
        return hashlib.sha256(str(content).encode() + path.encode() if isinstance(content, int) else content).hexdigest()

    def config(self):
        "What the Hub has read out of the repository's own index."
        index = self.files.get('model_index.json')
        return dict(diffusers=dict(_class_name=json.loads(index).get('_class_name'))) if index else {}

    def listed(self, path, name='path'):
        return {name: path, 'type': 'file', 'size': self.size(path), 'oid': self.blob(path)[:40], 'blobId': self.blob(path)[:40],
                'lfs': {'oid': self.blob(path), 'sha256': self.blob(path), 'size': self.size(path), 'pointerSize': 134}}


class Answer(Exception):
    "Ends a request with a status and headers."


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args): pass

    def handle(self):
        "A client that hangs up is no news."
        try: super().handle()
        except ConnectionError: pass

    def reply(self, status, body=b'', cut=None, **headers):
        self.send_response(status)
        for name, value in {'Content_Length': len(body), **headers}.items(): self.send_header(name.replace('_', '-'), str(value))
        self.end_headers()
        if self.command != 'HEAD': self.wfile.write(body[:cut])
        if cut is not None and cut < len(body): self.close_connection = True

    def may_read(self, name):
        "The repository, or an `Answer` that refuses it."
        hub = self.server.hub
        if name not in hub.repositories: raise Answer(404, dict(X_Error_Code='RepoNotFound'))
        rights = hub.tokens.get(self.token, set())
        if hub.repositories[name].gated and rights == 'fine-grained': raise Answer(403, dict(X_Error_Message=FINE_GRAINED))
        if hub.repositories[name].gated and name not in rights: raise Answer(403 if self.token else 401, dict(X_Error_Code='GatedRepo'))
        return hub.repositories[name]

    def do_GET(self):
        hub = self.server.hub
        hub.requests.append(f'{self.command} {self.path}')
        self.token = self.headers.get('Authorization', '').removeprefix('Bearer ')
        try:
            words = unquote(urlsplit(self.path).path).strip('/').split('/')
            self.fault = hub.faults.get('/'.join(words[2:4] if words[0] == 'api' else words[:2]), hub.faults.get('/'.join(words[:3])))
            if self.fault == 'never answers': hub.closing.wait()
            if isinstance(self.fault, int): raise Answer(self.fault, {})
            if self.token and self.token not in hub.tokens: raise Answer(401, dict(X_Error_Message=REJECTED))
            self.route(*words)
        except Answer as e: self.reply(e.args[0], **e.args[1])
        except ConnectionError: self.close_connection = True

    do_HEAD = do_GET

    def route(self, *words):
        hub, as_json = self.server.hub, dict(Content_Type='application/json')
        if words[:2] == ('api', 'models'):
            name, rest = '/'.join(words[2:4]), words[4:]
            if rest == ('auth-check',): return self.may_read(name) and self.reply(200)
            repository = hub.repositories.get(name) or self.may_read(name)
            if len(rest) > 1 and rest[1] not in ('main', repository.commit): raise Answer(404, dict(X_Error_Code='RevisionNotFound'))
            if rest[:1] == ('tree',): answer = [repository.listed(path) for path in self.may_read(name).files]
            else: answer = dict(id=name, sha=repository.commit, gated='auto' if repository.gated else False, config=repository.config(),
                                siblings=[repository.listed(path, 'rfilename') for path in repository.files])
            return self.reply(200, json.dumps(answer).encode(), **as_json)
        self.send('/'.join(words[:2]), '/'.join(words[4:]))

    def send(self, name, path):
        repository = self.may_read(name)
        if path not in repository.files: raise Answer(404, dict(X_Error_Code='EntryNotFound', X_Repo_Commit=repository.commit))
        about = dict(X_Repo_Commit=repository.commit, ETag=f'"{repository.blob(path)}"', Accept_Ranges='bytes')
        if self.command == 'HEAD': return self.reply(200, Content_Length=repository.size(path), **about)
        content, first = repository.files[path], 0
        if asked := self.headers.get('Range'): first = int(asked.removeprefix('bytes=').split('-')[0])
        body, starts = content[first:], self.server.hub.starts.setdefault(f'{name}/{path}', [])
        starts.append(first)
        if first: about['Content_Range'] = f'bytes {first}-{len(content) - 1}/{len(content)}'
        stops = self.fault == 'keeps stopping' or self.fault == 'stops mid-file' and len(starts) == 1
        self.reply(206 if first else 200, body, cut=max(0, len(content)//2 - first) if stops else len(body), **about)


class Hub:
    "The server, as a context manager."
    def __init__(self):
        self.repositories, self.tokens, self.faults, self.requests, self.starts, self.closing = {}, {}, {}, [], {}, threading.Event()
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.hub, self.server.daemon_threads = self, True
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, args=(.05,), daemon=True).start()

    def __enter__(self): return self

    def __exit__(self, *error):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def add(self, name, folder=None, files=None, gated=False):
        "Serve a folder's files, or files by path: bytes, or a size alone."
        found = {f.relative_to(folder).as_posix(): f.read_bytes() for f in Path(folder).rglob('*') if f.is_file()} if folder else {}
        self.repositories[name] = Repository({**found, **(files or {})}, gated)

    def env(self, home, token=None, **more):
        "Environment of a client process that knows no other hub; `home` holds its caches."
        kept = {k: v for k, v in os.environ.items() if not k.startswith(('HF_', 'HUGGING')) and k.lower() not in ('http_proxy', 'https_proxy', 'all_proxy')}
        return {**kept, 'HF_ENDPOINT': self.url, 'HF_HOME': str(home), 'NO_PROXY': '127.0.0.1', **({'HF_TOKEN': token} if token else {}), **more}
