"""One client for public objects over HTTP: what an object is, and ranges of its bytes, never from another object.

The other side is not trusted: only hosts that the client was made for are asked, redirects are not followed, no answer is
used that does not fit the request, and no more bytes are read than were asked for. No credentials are looked for: the bucket
is public. Proxies are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``).
"""

import io
import re
import ssl
import threading
import urllib.request
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from secrets import SystemRandom
from typing import Any, Self
from urllib.parse import unquote

import urllib3
from urllib3.util import Url, make_headers, parse_url

from capcortex import __version__

PIECE_BYTES = 2**20
"""Most that is read from a connection, and held in memory, at once."""
LARGEST_HEADERS_BYTES = 2**15
BLOCK_BYTES = 2**16
"""Unit in which `RangeFile` reads and keeps."""
HELD_BLOCKS = 256
ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,255}"')
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
PASSING = {408, 416, 425, 429}
"""Statuses that may be another one soon, besides all from 500 on."""
TABLE = "the table of sources (config key datasets_table)"
ADVICE = {
    403: f"it may not be read without an account: correct its address in {TABLE}, or leave it out",
    404: f"{TABLE} says where it should be: correct its address there, or leave it out",
}
AGAIN = "run snakemake again: it goes on where it was"


class FetchError(OSError):
    """An object could not be fetched."""


class AnswerRefused(FetchError):
    """A server answered with something that must not be used."""


class Unreachable(FetchError):
    """No usable answer came while patience lasted."""


class NotThere(FetchError):
    """A server has no such object, or does not give it to us."""


class ObjectChanged(FetchError):
    """The object at an address is not the one that it was."""


@dataclass(frozen=True)
class Patience:
    """How long a client goes on when a network or a server fails.

    Attributes
    ----------
    attempts
        Attempts in a row without one byte of progress after which it gives up.
    first_wait_s, longest_wait_s
        The wait before attempt k + 1 is drawn evenly from 0 to min(longest, first · 2^(k-1)) seconds, so that many clients do
        not come back at once. A wait that the server asks for (``Retry-After``) is honoured up to the longest.
    connect_s, read_s
        Seconds until a connection that does not come about, or sends nothing, counts as failed.
    """

    attempts: int = 8
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    connect_s: float = 20.0
    read_s: float = 60.0


@dataclass(frozen=True)
class RemoteObject:
    """What a server says of an object.

    Attributes
    ----------
    url
        Its address.
    size
        Bytes.
    etag
        Its entity tag, with quotes, as sent; None if there was none.
    content_type
        As sent; empty if there was none.
    """

    url: str
    size: int
    etag: str | None
    content_type: str

    @property
    def strong(self) -> bool:
        """Whether the entity tag stands for these bytes and no others."""
        return self.etag is not None and not self.etag.startswith("W/")


class _Passing(Exception):
    """A failure after which the same request may succeed."""

    def __init__(self, cause: str, retry_after_s: float = 0.0) -> None:
        super().__init__(cause)
        self.retry_after_s = retry_after_s


class Client:
    """Ask servers for objects and ranges of their bytes; a context manager that closes its connections. Threads may share it.

    Parameters
    ----------
    hosts
        The hosts that may be asked, as ``host`` or ``host:port``.
    patience
        See `Patience`.
    advice
        What to do when a server answers with a status: texts that end a message, in place of those in ``ADVICE``.
    """

    def __init__(
        self, hosts: Collection[str], patience: Patience | None = None, advice: Mapping[int, str] | None = None
    ) -> None:
        self.hosts = frozenset(host.lower() for host in hosts)
        self.patience = patience or Patience()
        self.advice = ADVICE | dict(advice or {})
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._reading: dict[int, tuple[threading.Event, urllib3.BaseHTTPResponse]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for manager in self._managers.values():
            manager.clear()

    def describe(self, url: str) -> RemoteObject:
        """Return what the server says of an object.

        It is asked by HEAD: the answer has no body that would have to be bounded, an empty object has one too, and a server
        that knows no ranges does not start to send the object. That ranges work, the first of them shows.

        Raises
        ------
        ValueError
            If the address must not be asked: another host than the client's, another scheme, a user's name in it.
        AnswerRefused
            If the answer is a redirect, has no length that can be used, is encoded, or is a page of HTML.
        NotThere
            If the server has no such object (404), or does not give it to us (403).
        Unreachable
            When patience is over.
        """

        def ask() -> RemoteObject:
            with self._answer("HEAD", url, {}, {200}) as response:
                size = _length(url, response)
                return RemoteObject(url, size, _entity_tag(url, response), response.headers.get("Content-Type", ""))

        return self._patiently(url, ask)

    def first_part_bytes(self, remote: RemoteObject) -> int | None:
        """Return the size of the first part of an object that was uploaded to S3 in parts; None if the server does not tell."""
        url = f"{remote.url}{'&' if '?' in remote.url else '?'}partNumber=1"

        def ask() -> int | None:
            with self._answer("HEAD", url, {}, {206}) as response:
                same = _entity_tag(url, response) == remote.etag
                return _length(url, response) if same else None

        try:
            return self._patiently(url, ask)
        except (AnswerRefused, NotThere):
            return None

    def read_range(self, remote: RemoteObject, start: int, stop: int) -> bytes:
        """Return bytes ``start`` to ``stop`` (without it) of an object; see `stream_range`."""
        return b"".join(self.stream_range(remote, start, stop))

    def stream_range(
        self, remote: RemoteObject, start: int, stop: int, until: threading.Event | None = None
    ) -> Iterator[bytes]:
        """Give bytes ``start`` to ``stop`` (without it) of an object in pieces of at most 1 MiB, going on after failures.

        Parameters
        ----------
        remote
            The object as `describe` found it.
        start, stop
            0 <= start <= stop <= size.
        until
            When it is set, no more pieces are given and no more waits are begun; see `stop`.

        Raises
        ------
        ObjectChanged
            If the server has another object now (other tag, other size, or 412 to ``If-Match``).
        AnswerRefused, NotThere, Unreachable
            As for `describe`; also if the answer is another range, or the whole object where a part was asked for.
        """
        if not 0 <= start <= stop <= remote.size:
            raise ValueError(f"{remote.url}: bytes {start} to {stop} asked for, it has {remote.size}")
        tries = _Tries(remote.url, self.patience, until or threading.Event())
        position = start
        while position < stop and not tries.until.is_set():
            try:
                with self._range(remote, position, stop) as response, self._known(response, tries.until):
                    while position < stop and not tries.until.is_set():
                        piece = response.read(min(PIECE_BYTES, stop - position), decode_content=False)
                        if not piece:
                            raise _Passing(f"the connection ended at byte {position} of a range to byte {stop}")
                        position += len(piece)
                        tries.failed = 0
                        yield piece
            except _Passing as failure:
                tries.wait(failure)

    def stop(self, until: threading.Event) -> None:
        """End the ranges that other threads read until this event, also those that wait for a server that stalls."""
        until.set()
        for event, response in list(self._reading.values()):
            if event is until:
                with suppress(Exception):  # it has ended by itself
                    response.shutdown()

    @contextmanager
    def _known(self, response: urllib3.BaseHTTPResponse, until: threading.Event) -> Iterator[None]:
        self._reading[id(response)] = (until, response)
        try:
            yield
        finally:
            del self._reading[id(response)]

    @contextmanager
    def _range(self, remote: RemoteObject, start: int, stop: int) -> Iterator[urllib3.BaseHTTPResponse]:
        """Open a range, after the answer has shown that it is this range of this object."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        if remote.strong and remote.etag is not None:
            headers["If-Match"] = remote.etag
        with self._answer("GET", remote.url, headers, {200, 206, 412}) as response:
            if response.status == 412:
                raise ObjectChanged(
                    f"{remote.url}: no longer the object with the ETag {remote.etag} (status 412); {AGAIN}"
                )
            etag = _entity_tag(remote.url, response)
            if etag is None and remote.etag is not None:
                raise AnswerRefused(
                    f"{remote.url}: a range without an ETag, expected {remote.etag}; use another address or mirror"
                )
            if etag != remote.etag:
                raise ObjectChanged(f"{remote.url}: the ETag is {etag} now, expected {remote.etag}; {AGAIN}")
            self._check_range(remote, start, stop, response)
            yield response

    @staticmethod
    def _check_range(remote: RemoteObject, start: int, stop: int, response: urllib3.BaseHTTPResponse) -> None:
        length = _length(remote.url, response)
        if response.status == 200:
            if length != remote.size:
                raise ObjectChanged(f"{remote.url}: {length} bytes now, expected {remote.size}; {AGAIN}")
            if (start, stop) != (0, remote.size):
                raise AnswerRefused(
                    f"{remote.url}: the server sends the whole object (status 200) where bytes {start} to {stop - 1} were asked "
                    "for; use another address or mirror, one that knows ranges"
                )
            return
        told = response.headers.get("Content-Range", "")
        found = CONTENT_RANGE.fullmatch(told)
        if found is None:
            raise AnswerRefused(
                f"{remote.url}: Content-Range {_shown(told)}, expected bytes {start}-{stop - 1}/{remote.size}"
            )
        first, last, total = map(int, found.groups())
        if total != remote.size:
            raise ObjectChanged(f"{remote.url}: {total} bytes now, expected {remote.size}; {AGAIN}")
        if (first, last, length) != (start, stop - 1, stop - start):
            raise AnswerRefused(
                f"{remote.url}: Content-Range {_shown(told)} and Content-Length {length}, expected bytes "
                f"{start}-{stop - 1}/{remote.size} and {stop - start}; use another address or mirror"
            )

    def _patiently(self, url: str, ask: Any) -> Any:
        tries = _Tries(url, self.patience, threading.Event())
        while True:
            try:
                return ask()
            except _Passing as failure:
                tries.wait(failure)

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], wanted: Collection[int]
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send one request, and give the answer if its status is a wanted one and its headers may be used."""
        parsed = self._allowed(url)
        with _explained(url):
            response = self._request(parsed, method, url, headers)
            whole = False
            try:
                self._check_status(url, response, wanted)
                _check_headers(url, response)
                yield response
                whole = method == "HEAD" or response.length_remaining == 0
            finally:
                if not whole:
                    response.close()
                response.release_conn()

    def _request(self, parsed: Url, method: str, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        def send(manager: urllib3.PoolManager) -> urllib3.BaseHTTPResponse:
            return manager.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", "User-Agent": f"capcortex/{__version__}"} | dict(headers),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                enforce_content_length=False,  # what is short is noticed, and told, where it is read
                timeout=urllib3.Timeout(connect=self.patience.connect_s, read=self.patience.read_s),
            )

        try:
            return send(self._manager(parsed))
        except urllib3.exceptions.HTTPError as error:
            if not any(
                isinstance(cause, BadStatusLine) and not isinstance(cause, RemoteDisconnected)
                for cause in _causes(error)
            ):
                raise
        # On a connection that was used before, what came may be the surplus of the answer before: a new one tells.
        return send(_manager(self._proxy(parsed), connections=1))

    def _check_status(self, url: str, response: urllib3.BaseHTTPResponse, wanted: Collection[int]) -> None:
        status = response.status
        if status in wanted:
            return
        if status in PASSING or status >= 500:
            raise _Passing(f"status {status}", _retry_after(response))
        if 300 <= status < 400:
            target = _shown(response.headers.get("Location", "nowhere"))
            raise AnswerRefused(
                f"{url}: redirected to {target} (status {status}); redirects are not followed: if that is its address now, "
                f"write it into {TABLE}"
            )
        if status in {401, 403, 404, 410}:
            advice = self.advice.get(status, self.advice[404 if status == 410 else 403])
            raise NotThere(
                f"{url}: {'not there' if status in {404, 410} else 'not for us'} (status {status}); {advice}"
            )
        raise AnswerRefused(
            f"{url}: status {status}, expected {' or '.join(map(str, sorted(wanted)))}; see that it is the address"
        )

    def _allowed(self, url: str) -> Url:
        """Take an address apart, as urllib3 does, and refuse what must not be asked."""
        if re.search(r"[^\x21-\x7e]|\\", url):
            raise ValueError(f"{url!r}: an address has no spaces, backslashes, control or other than ASCII characters")
        try:
            parsed = parse_url(url)
        except urllib3.exceptions.LocationParseError as error:
            raise ValueError(f"{url}: not an address ({error}), expected https://host/path") from error
        if parsed.auth is not None:
            raise ValueError(f"{parsed.scheme}://…@{parsed.netloc}: a name or password in an address; leave it out")
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise ValueError(f"{url}: expected an address that begins with https:// or http:// and a host")
        if parsed.netloc not in self.hosts:
            raise ValueError(
                f"{url}: the host {parsed.netloc} is not one of those that may be asked ({', '.join(sorted(self.hosts))}); if it "
                f"is right, name it in {TABLE}"
            )
        return parsed

    def _manager(self, parsed: Url) -> urllib3.PoolManager:
        """Return the connections to a host: direct ones, or those through the environment's proxy."""
        proxy = self._proxy(parsed)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = _manager(proxy, connections=64)
            return self._managers[proxy]

    @staticmethod
    def _proxy(parsed: Url) -> str | None:
        proxies = urllib.request.getproxies()
        proxy = proxies.get(str(parsed.scheme)) or proxies.get("all")
        return None if urllib.request.proxy_bypass(str(parsed.netloc)) else proxy or None


def _manager(proxy: str | None, connections: int) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(maxsize=connections)
    parsed = parse_url(proxy if "://" in proxy else f"http://{proxy}")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        shown = _without_user(parsed)
        raise ValueError(
            f"{shown}: a proxy of the environment that cannot be used, expected http://host:port; see HTTPS_PROXY"
        )
    headers = make_headers(proxy_basic_auth=unquote(parsed.auth)) if parsed.auth else None
    return urllib3.ProxyManager(_without_user(parsed), proxy_headers=headers, maxsize=connections)


def _without_user(parsed: Url) -> str:
    return parsed._replace(auth=None).url


class _Tries:
    """Attempts without progress, and the waits between them."""

    def __init__(self, url: str, patience: Patience, until: threading.Event) -> None:
        self.url, self.patience, self.until = url, patience, until
        self.failed = 0

    def wait(self, failure: _Passing) -> None:
        self.failed += 1
        if self.failed >= self.patience.attempts:
            raise Unreachable(
                f"{self.url}: nothing came in {self.failed} attempts, the last: {failure}; see that the network and the server "
                f"are there, then {AGAIN}"
            ) from failure
        longest = self.patience.longest_wait_s
        drawn = SystemRandom().uniform(0, min(longest, self.patience.first_wait_s * 2 ** (self.failed - 1)))
        self.until.wait(max(drawn, min(longest, failure.retry_after_s)))


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn urllib3's errors into those that may pass and those that will not."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        causes = _causes(error)
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            raise AnswerRefused(
                f"{url}: the server does not show a certificate that this machine trusts ({error}); if a proxy of your "
                "institute stands between, name its certificates by SSL_CERT_FILE"
            ) from error
        for cause in causes:
            nonsense = isinstance(cause, HTTPException) and not isinstance(cause, RemoteDisconnected | IncompleteRead)
            if nonsense or isinstance(cause, urllib3.exceptions.InvalidHeader | urllib3.exceptions.LocationValueError):
                raise AnswerRefused(
                    f"{url}: not an answer in HTTP ({_shown(str(cause))}); use another address or mirror"
                ) from error
        raise _Passing(_shown(str(error) or type(error).__name__)) from error


def _causes(error: urllib3.exceptions.HTTPError) -> list[Exception]:
    told = (*error.args, error.__cause__, error.__context__)
    return [error, *(cause for cause in told if isinstance(cause, Exception))]


def _shown(text: str) -> str:
    """Write what a server said so that it cannot disturb a terminal or a log."""
    return repr(text if len(text) <= 160 else f"{text[:160]}…")


def _check_headers(url: str, response: urllib3.BaseHTTPResponse) -> None:
    headers = response.headers
    size = sum(len(name) + len(value) for name, value in headers.iteritems())
    if size > LARGEST_HEADERS_BYTES:
        raise AnswerRefused(
            f"{url}: {size} bytes of headers, expected at most {LARGEST_HEADERS_BYTES}; use another mirror"
        )
    for name in ("Content-Encoding", "Transfer-Encoding"):
        if headers.get(name, "identity").lower() != "identity":
            raise AnswerRefused(
                f"{url}: {name} {_shown(headers[name])}, expected none; a proxy may change what passes through: go around it "
                "(NO_PROXY), or use another mirror"
            )
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if response.status != 412 and kind in {"text/html", "application/xhtml+xml"}:
        raise AnswerRefused(
            f"{url}: a page of HTML (Content-Type {_shown(kind)}) instead of the object: the network may want you to log in "
            "first, or the server shows an error as a page; open the address in a browser, then run snakemake again"
        )


def _length(url: str, response: urllib3.BaseHTTPResponse) -> int:
    told = set(response.headers.getlist("Content-Length"))
    values = {value for values in told for value in values.split(", ")}
    if len(values) != 1 or not re.fullmatch("[0-9]{1,18}", text := values.pop()):
        found = ", ".join(sorted(told)) or "none"
        raise AnswerRefused(
            f"{url}: Content-Length {_shown(found)}, expected one number; use another address or mirror"
        )
    return int(text)


def _entity_tag(url: str, response: urllib3.BaseHTTPResponse) -> str | None:
    told = response.headers.getlist("ETag")
    if not told:
        return None
    if len(set(told)) != 1 or not ENTITY_TAG.fullmatch(told[0]):
        raise AnswerRefused(
            f"{url}: ETag {_shown(', '.join(told))}, expected one text in quotes; use another address or mirror"
        )
    return told[0]


def _retry_after(response: urllib3.BaseHTTPResponse) -> float:
    told = response.headers.get("Retry-After")
    try:
        return max(0.0, urllib3.Retry().parse_retry_after(told)) if told else 0.0
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return 0.0


class RangeFile(io.RawIOBase):
    """An object as a file to read from, for `h5py.File` and `gzip.open`: only what is read is fetched.

    Blocks of 64 KiB are fetched, neighbouring missing ones in one request, and the 256 used last are kept.

    Parameters
    ----------
    client
        Asks for the bytes.
    remote
        The object as the client's `describe` found it; every byte is of this object, or an error.
    """

    def __init__(self, client: Client, remote: RemoteObject) -> None:
        self.client, self.remote = client, remote
        self._position = 0
        self._held: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.remote.size}[whence]
        if origin + offset < 0:
            raise ValueError(f"{self.remote.url}: a position before the start ({origin + offset})")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; less than all of it only at the end of the object."""
        view = memoryview(buffer).cast("B")
        start = min(self._position, self.remote.size)
        stop = min(start + len(view), self.remote.size)
        if start == stop:
            return 0
        blocks = range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES))
        content = self._blocks(blocks)
        first = start - blocks.start * BLOCK_BYTES
        view[: stop - start] = memoryview(content)[first : first + stop - start]
        self._position = stop
        return stop - start

    def _blocks(self, wanted: range) -> bytes:
        found = {block: self._held[block] for block in wanted if block in self._held}
        for run in runs([block for block in wanted if block not in found]):
            content = self.client.read_range(
                self.remote, run.start * BLOCK_BYTES, min(run.stop * BLOCK_BYTES, self.remote.size)
            )
            found |= {
                block: content[(block - run.start) * BLOCK_BYTES : (block - run.start + 1) * BLOCK_BYTES]
                for block in run
            }
        for block in wanted[-HELD_BLOCKS:]:
            self._held[block] = found[block]
            self._held.move_to_end(block)
        while len(self._held) > HELD_BLOCKS:
            self._held.popitem(last=False)
        return b"".join(found[block] for block in wanted)


def runs(numbers: list[int]) -> list[range]:
    """Put rising numbers together to runs of neighbours."""
    found: list[range] = []
    for number in numbers:
        if found and found[-1].stop == number:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return found
