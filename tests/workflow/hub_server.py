"""A real HTTP server on loopback that holds one model and speaks as much of the Hugging Face hub as fetching one needs."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

NAME = "nobody/a-small-encoder"
COMMIT = "c0ffee" + 34 * "0"


class HubServer(ThreadingHTTPServer):
    """The hub: the files of a folder are the model ``NAME`` at ``COMMIT``, which is also its newest revision.

    Attributes
    ----------
    asked
        Method and path of every request so far.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        """What ``HF_ENDPOINT`` has to be."""
        return "http://{}:{}".format(*self.server_address)


class Answering(BaseHTTPRequestHandler):
    """One request."""

    server: HubServer

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        path = urlsplit(self.path).path
        if path == f"/api/models/{NAME}/revision/main":
            self.send({"id": NAME, "sha": COMMIT, "siblings": []})
        elif path == f"/api/models/{NAME}/tree/{COMMIT}":
            self.send([self.listed(name, file) for name, file in self.server.files.items()])
        elif (file := self.server.files.get(path.removeprefix(f"/{NAME}/resolve/{COMMIT}/"))) is not None:
            self.send(file.read_bytes(), **{"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self.send({"error": "Repository not found"}, status=404, **{"X-Error-Code": "RepoNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def listed(self, name: str, file: Path) -> dict[str, object]:
        return {"type": "file", "path": name, "size": file.stat().st_size, "oid": etag(file)}

    def send(self, content: object, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: ``asked`` remembers."""


def etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def hub(folder: Path) -> Iterator[HubServer]:
    """Serve a model's folder while the block runs."""
    with HubServer(folder) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
