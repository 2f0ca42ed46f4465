"""A real HTTP server on loopback that holds objects, as S3 does, and whose answers a test can spoil."""

import hashlib
import http.server
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from capcortex.fetch.client import Patience

PATIENT = Patience(attempts=4, first_wait_s=0.01, longest_wait_s=0.05, connect_s=10.0, read_s=10.0)
# Only for servers that stall: on a busy machine any server may seem to.
IMPATIENT = replace(PATIENT, read_s=0.3)


def single_etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def multipart_etag(content: bytes, part: int) -> str:
    parts = [content[start : start + part] for start in range(0, len(content), part)]
    joined = b"".join(hashlib.md5(one, usedforsecurity=False).digest() for one in parts)
    return f'"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"'


@dataclass
class Thing:
    """An object of the server; ``part`` is the part size that it tells when asked for part 1."""

    content: bytes
    etag: str | None = None
    part: int | None = None
    content_type: str = "binary/octet-stream"


@dataclass
class Request:
    """What the server saw, and how many bytes of body it sent."""

    method: str
    path: str
    headers: dict[str, str]
    number: int
    at: float
    sent: int = 0


@dataclass
class Answer:
    """What the server is about to send; `FaultyServer.spoil` changes it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    cut_at: int | None = None
    reset: bool = False
    stall_s: float = 0.0
    raw: bytes | None = None
    after: bytes = b""

    def set(self, name: str, value: str | None) -> None:
        self.headers = [(key, one) for key, one in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))


@dataclass
class FaultyServer:
    """The objects, the requests that were seen, and the faults."""

    things: dict[str, Thing] = field(default_factory=dict)
    spoil: Callable[[Request, Answer], None] = lambda request, answer: None
    requests: list[Request] = field(default_factory=list)
    honours_if_match: bool = True
    honours_range: bool = True
    stops_after: int | None = None
    host: str = ""
    go: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, path: str, content: bytes, etag: str | None = "md5", **more) -> str:
        """Hold an object, with its MD5 as ETag unless told; return its address."""
        etag = single_etag(content) if etag == "md5" else etag
        self.things[path] = Thing(content, etag, **more)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    @property
    def sent(self) -> int:
        """Bytes of bodies sent so far."""
        return sum(request.sent for request in self.requests)

    @property
    def ranges(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET"]

    def answer(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        thing = self.things.get(parts.path)
        if thing is None:
            return Answer(404, [("Content-Type", "application/xml")], b"<Error><Code>NoSuchKey</Code></Error>")
        told = [("Content-Type", thing.content_type)] + ([("ETag", thing.etag)] if thing.etag else [])
        if self.honours_if_match and request.headers.get("if-match", thing.etag) != thing.etag:
            return Answer(412, [("Content-Type", "text/html")], b"<html>Precondition Failed</html>")
        if parts.query == "partNumber=1" and thing.part is not None:
            return Answer(206, told, thing.content[: thing.part])
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if asked is None or not self.honours_range:
            return Answer(200, told, thing.content)
        start, last = int(asked[1]), min(int(asked[2]), len(thing.content) - 1)
        told.append(("Content-Range", f"bytes {start}-{last}/{len(thing.content)}"))
        return Answer(206, told, thing.content[start : last + 1])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.reply()

    def do_GET(self) -> None:
        self.reply()

    def do_CONNECT(self) -> None:
        self.reply()

    def reply(self) -> None:
        faulty: FaultyServer = self.server.faulty
        headers = {name.lower(): value for name, value in self.headers.items()}
        with faulty.lock:
            request = Request(self.command, self.path, headers, len(faulty.requests), time.monotonic())
            faulty.requests.append(request)
        answer = faulty.answer(request)
        answer.headers.append(("Content-Length", str(len(answer.body))))
        faulty.spoil(request, answer)
        try:
            self.send(faulty, request, answer)
        except OSError:
            self.close_connection = True  # the client went away

    def send(self, faulty: FaultyServer, request: Request, answer: Answer) -> None:
        head = [f"HTTP/1.1 {answer.status} Told", *(f"{name}: {value}" for name, value in answer.headers), "", ""]
        self.connection.sendall(answer.raw if answer.raw is not None else "\r\n".join(head).encode("latin-1"))
        if answer.raw is not None or request.method == "HEAD":
            self.close_connection = answer.raw is not None
            return
        body = answer.body if answer.cut_at is None else answer.body[: answer.cut_at]
        for start in range(0, len(body), 2**16):
            piece = memoryview(body)[start : start + 2**16]
            with faulty.lock:
                stopped = faulty.stops_after is not None and faulty.sent + len(piece) > faulty.stops_after
                request.sent += 0 if stopped else len(piece)
            if stopped:
                faulty.go.wait(30)
                self.close_connection = True
                return
            # A surplus comes with the end of the body, not when the client may have asked for the next thing already.
            last = start + 2**16 >= len(body) and not answer.stall_s
            self.connection.sendall(bytes(piece) + answer.after if last else piece)
        if answer.stall_s:
            faulty.go.wait(answer.stall_s)
            self.connection.sendall(answer.after)
        if answer.reset:
            time.sleep(0.02)  # else what was sent before is lost with the reset, and there is no middle of a body
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        if answer.cut_at is not None or answer.stall_s or answer.reset:
            self.close_connection = True


class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass  # connections that a test has broken

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks for the machine's name
        self.server_name, self.server_port = self.server_address[:2]


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[FaultyServer]:
    """Run a server for the time of the block; with a certificate (and its key in the same file), one that speaks HTTPS."""
    faulty = FaultyServer()
    with Threads(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is made by the thread of the connection, not by the one that waits for others.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.faulty = faulty
        faulty.host = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield faulty
        finally:
            faulty.go.set()
            server.shutdown()
            thread.join()
