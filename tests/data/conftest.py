"""A server that misbehaves in every way servers do."""

from dataclasses import dataclass, field, replace
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import io
import re
import tarfile
from threading import Thread

import pytest

from dipy_synth.data.download import RemoteFile

BODY = bytes(range(256)) * 4000  # 1 MB, so that a socket buffer does not hold it all


@dataclass
class Server:
    """What to serve, how to misbehave, and what was asked for."""

    files: dict = field(default_factory=lambda: {"/a.bin": BODY})
    breaks: list = field(default_factory=list)  # bytes to send, one entry a request
    codes: list = field(default_factory=list)  # status to answer, one a request
    ranges: bool = True
    wrong_range: bool = False
    announce: int | None = None  # added to Content-Length
    silent: bool = False  # no Content-Length
    asked: list = field(default_factory=list)
    address: str = ""

    def url(self, name="/a.bin"):
        return self.address + name

    def file(self, name="a.bin", **changes):
        body = self.files.get(f"/{name}", b"")
        whole = RemoteFile(name, (self.url(f"/{name}"),), len(body), self.md5(body))
        return replace(whole, **changes)

    @staticmethod
    def md5(content):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    @staticmethod
    def tar(members):
        """Bytes of a .tar.gz: name -> content, or -> TarInfo for a link or such."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for name, content in members.items():
                if isinstance(content, tarfile.TarInfo):
                    tar.addfile(content)
                    continue
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return stream.getvalue()

    def answer(self, handler):
        start = self._start(handler)
        self.asked.append((handler.path, start))
        code = self.codes.pop(0) if self.codes else 200
        body = self.files.get(handler.path)
        if code != 200 or body is None:
            return handler.send_error(404 if code == 200 else code)
        if start is not None and start >= len(body):
            return handler.send_error(416)
        self._head(handler, start, len(body))
        rest = body[start or 0 :]
        handler.wfile.write(rest[: self.breaks.pop(0)] if self.breaks else rest)

    def _start(self, handler):
        asked = re.match(r"bytes=(\d+)-$", handler.headers.get("Range", ""))
        return int(asked[1]) if asked and self.ranges else None

    def _head(self, handler, start, size):
        handler.send_response(200 if start is None else 206)
        if start is not None:
            shown = start + 1 if self.wrong_range else start
            handler.send_header("Content-Range", f"bytes {shown}-{size - 1}/{size}")
        if not self.silent:
            length = size - (start or 0) + (self.announce or 0)
            handler.send_header("Content-Length", str(length))
        handler.end_headers()


@pytest.fixture
def server():
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            state.answer(self)
            self.close_connection = True

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_port}"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def touch(tmp_path):
    """Make empty files below a folder; give the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make
