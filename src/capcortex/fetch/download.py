"""One object, whole and checked, under its final name; an interruption at any moment costs little more than what was in flight.

An unfinished object lies in a folder of its own, in blocks of which a second file says which are there, and is continued only
when the server has confirmed that it is still the same object.
"""

import datetime
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from capcortex.digests import file_digest
from capcortex.fetch.client import (
    AGAIN,
    TABLE,
    Client,
    FetchError,
    NotThere,
    ObjectChanged,
    RemoteObject,
    Unreachable,
    runs,
)
from capcortex.files import atomic_path

log = logging.getLogger(__name__)

BLOCK_BYTES = 2**20
LARGEST_RUN = 32
"""Most blocks that one request asks for."""
SPARE_BYTES = 64 * 2**20
"""What must stay free on a file system besides the object."""
LOGGED_EVERY_S = 30.0
DIGESTING = 2
"""Threads for the MD5 of parts."""
BEGUN_ANEW = 2
"""How often an object that changed while it was fetched is begun anew."""
USUAL_PARTS = [size * 2**20 for size in (8, 5, 16, 64, 15, 32, 100, 128, 256, 512)]
MOST_PARTS_TRIED = 24

FIRST_BYTES = {
    ".gz": b"\x1f\x8b",
    ".mgz": b"\x1f\x8b",
    ".mgh": b"\x00\x00\x00\x01",
    ".hdf5": b"\x89HDF",
    ".zip": b"PK",
    ".mat": b"MATLAB",
}
NO_MARKUP = {".tsv", ".csv", ".ctab", ".json", ".txt"}
"""Texts that never start with ``<``, as pages of HTML and the bucket's own error messages do."""


class WrongContent(FetchError):
    """The bytes that came are not those of the object."""


def download(
    urls: Sequence[str],
    output: str | Path,
    *,
    client: Client,
    unfinished: str | Path,
    records: str | Path,
    size: int | None = None,
    md5: str | None = None,
    kept: Path | None = None,
    connections: int = 8,
) -> dict[str, Any]:
    """Fetch an object to a file that appears only when it is whole and has passed every check.

    The checks: its size; its MD5, if it is given or is the ETag; for an object that was uploaded in parts, the ETag, which is
    the MD5 of the parts' MD5s, with the part's size from the server or, if it does not tell, the usual sizes; the file's first
    bytes; and the SHA-256 that was recorded when the object was first seen. Bytes that fail the first three are fetched once
    more. An ETag in parts that no size explains says either that the parts had an unusual size or that a byte is wrong: the
    object is then fetched a second time and used only if both copies are equal, because damage on the way does not strike
    twice alike. Any other ETag, or none, says nothing of the bytes, and the size alone is checked.

    Parameters
    ----------
    urls
        The object's address, then its mirrors. The next one is asked when one cannot be reached or does not have the object.
    output
        Final name. A file there is replaced. The names of the record and of the unfinished object derive from it as given.
    client
        Asks the servers.
    unfinished
        Folder for unfinished objects, best on the file system of ``output``. After SIGKILL, or any error but wrong content, the
        next call goes on with what is there, if the object has an ETag and the server has the same one. After a power failure
        blocks may be missing that are marked: the checks find that; an object whose ETag is no MD5 is then begun anew.
    records
        Folder of records, one JSON file for each output.
    size, md5
        What is known of the object, if anything.
    kept
        Second name of the object, a hard link, for when ``output`` is removed: it is made, and if the file there has the SHA-256
        of the record, nothing is asked of any server. None for no second name.
    connections
        Ranges fetched at once.

    Returns
    -------
    dict
        The record: ``url``, ``size``, ``etag``, ``sha256``, ``verified_by`` (``md5``, ``etag``, ``etag of parts``,
        ``second copy`` or ``size``), ``first_seen`` (UTC).

    Raises
    ------
    OSError
        If it cannot be fetched, its content is wrong or not that of the record, it keeps changing, another process is fetching
        it, or the disk is too small (``errno`` ENOSPC, before the first byte if that can be known).
    """
    output, record = Path(output), Path(records) / f"{_key(output)}.json"
    with _Unfinished(Path(unfinished), output) as state:
        known = _read_record(record)
        if kept is not None and kept.exists() and known is not None and file_digest(kept) == known["sha256"]:
            _link(kept, output)
            return known
        causes: list[FetchError] = []
        for url in urls:
            try:
                with _room_explained(state):
                    now = _fetch(client, state, url, record=record, size=size, md5=md5, connections=connections)
                if kept is not None:
                    try:
                        _link(output, kept)
                    except OSError as error:
                        # Some file systems have no hard links.
                        log.warning("%s: fetched again if it is made anew (%s)", output, error)
                return now
            except (NotThere, Unreachable) as error:
                log.warning("%s", error)
                causes.append(error)
        if len(causes) == 1:
            raise causes[0]
        raise type(causes[0])("; and its mirror: ".join(map(str, causes))) from causes[0]


def _key(output: Path) -> str:
    """Return what an output is called in folders that mirror its path."""
    key = os.path.normpath(output).lstrip("/")
    if key.split("/")[0] == "..":
        raise ValueError(f"{output}: expected a path below the current folder, or a whole one")
    return key


def _link(there: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    new.unlink(missing_ok=True)
    new.hardlink_to(there)


class _Unfinished:
    """An object of which some blocks are there: its data, one byte for each block, and what object it is.

    The file of marks is locked while the object is in work. It is never replaced, so that the lock stays on it.
    """

    def __init__(self, folder: Path, output: Path) -> None:
        key = _key(output)
        stem = f"{output.name[:180]}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        self.output = output
        self.folder = folder
        self.data, self.marks, self.about = (folder / f"{stem}.{kind}" for kind in ("data", "blocks", "json"))
        self.size = 0
        self.there = bytearray()
        self.bytes_there = 0
        self.first_sha256: str | None = None
        self.changed = threading.Condition()
        self.moved = False

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            self.marks_at = os.open(self.marks, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self.marks_at, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self.marks_at)
                raise FetchError(
                    f"{self.output}: another process is fetching it ({self.marks} is locked); wait until it ends, or end it"
                ) from error
            except OSError as error:
                # Some file systems of clusters have no locks; Snakemake starts no rule twice by itself.
                log.warning("%s cannot be locked (%s): nothing else may fetch %s now", self.marks, error, self.output)
            # The process that held the lock before may have removed the file since it was opened here.
            with suppress(FileNotFoundError):
                if os.stat(self.marks).st_ino == os.fstat(self.marks_at).st_ino:  # noqa: PTH116
                    break
            os.close(self.marks_at)
        self.data_at = os.open(self.data, os.O_RDWR | os.O_CREAT, 0o666)
        return self

    def __exit__(self, *_: object) -> None:
        if not (self.moved or os.fstat(self.marks_at).st_size or os.fstat(self.data_at).st_size):
            self._unlink()  # nothing is there
        os.close(self.data_at)
        os.close(self.marks_at)

    def resume(self, remote: RemoteObject, bytes_checked: bool) -> bool:
        """Take over what is there of an object; False if there is nothing of it that can be used."""
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        same = (
            remote.strong
            and isinstance(about, dict)
            and (about.get("etag"), about.get("size")) == (remote.etag, remote.size)
        )
        n_blocks = -(-remote.size // BLOCK_BYTES)
        marks = os.pread(self.marks_at, n_blocks + 1, 0)
        whole = len(marks) == n_blocks and os.fstat(self.data_at).st_size == remote.size
        if not (same and whole and (bytes_checked or about.get("boot") == _boot())):
            log.warning("%s: what was there of it cannot be used for the object of today; begun anew", self.output)
            return False
        self.size, self.first_sha256 = remote.size, about.get("first_sha256")
        self.there = bytearray(mark == 1 for mark in marks)
        self.bytes_there = sum(self._length(block) for block, there in enumerate(self.there) if there)
        return True

    def begin(self, remote: RemoteObject, first_sha256: str | None) -> None:
        """Forget what is there, and make room for an object."""
        self.clear()
        about = {
            "url": remote.url,
            "size": remote.size,
            "etag": remote.etag,
            "boot": _boot(),
            "first_sha256": first_sha256,
        }
        with atomic_path(self.about) as temporary:
            temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        os.ftruncate(self.data_at, remote.size)
        n_blocks = -(-remote.size // BLOCK_BYTES)
        os.pwrite(self.marks_at, bytes(n_blocks), 0)
        self.size, self.first_sha256 = remote.size, first_sha256
        self.there, self.bytes_there = bytearray(n_blocks), 0

    def clear(self) -> None:
        """Throw away what is there."""
        self.about.unlink(missing_ok=True)
        os.ftruncate(self.marks_at, 0)
        os.ftruncate(self.data_at, 0)

    def missing(self) -> list[int]:
        return [block for block, there in enumerate(self.there) if not there]

    def write(self, content: bytes, position: int) -> None:
        """Write bytes; a block is marked when its last byte is written."""
        view, stop = memoryview(content), position + len(content)
        first = position // BLOCK_BYTES
        while view:
            written = os.pwrite(self.data_at, view, position)
            view, position = view[written:], position + written
        for block in range(first, len(self.there) if stop == self.size else stop // BLOCK_BYTES):
            os.pwrite(self.marks_at, b"\1", block)
            with self.changed:
                self.there[block] = 1
                self.bytes_there += self._length(block)
                self.changed.notify_all()

    def wake(self) -> None:
        """Let those who wait for blocks look whether they will come."""
        with self.changed:
            self.changed.notify_all()

    def digest(self, kind: str, until: threading.Event) -> str:
        """Return a digest of it, made as its blocks come."""
        digest = hashlib.new(kind, usedforsecurity=kind != "md5")
        for piece in self.pieces(0, self.size, until):
            digest.update(piece)
        return digest.hexdigest()

    def digest_of_parts(self, part: int, until: threading.Event) -> str:
        """Return the MD5 of the MD5s of its parts, as S3 makes the ETag of what is uploaded in parts."""

        def of_part(start: int) -> bytes:
            digest = hashlib.md5(usedforsecurity=False)
            for piece in self.pieces(start, min(start + part, self.size), until):
                digest.update(piece)
            return digest.digest()

        # MD5 is slower than a fast network; parts do not wait for each other.
        with ThreadPoolExecutor(DIGESTING) as pool:
            parts = b"".join(pool.map(of_part, range(0, self.size, part)))
        return hashlib.md5(parts, usedforsecurity=False).hexdigest()

    def pieces(self, start: int, stop: int, until: threading.Event) -> Iterator[memoryview]:
        """Read bytes of it, waiting for blocks that are not there yet."""
        buffer = memoryview(bytearray(BLOCK_BYTES))
        while start < stop:
            block = start // BLOCK_BYTES
            with self.changed:
                while not self.there[block]:
                    if until.is_set():
                        raise _Cut
                    self.changed.wait(1.0)
            length = min(stop, (block + 1) * BLOCK_BYTES) - start
            if os.preadv(self.data_at, [buffer[:length]], start) != length:
                raise FetchError(f"{self.data}: shorter than it was made; {AGAIN}")
            yield buffer[:length]
            start += length

    def finish(self) -> None:
        """Move it to its final name."""
        os.fsync(self.data_at)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.data.replace(self.output)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with atomic_path(self.output) as temporary:
                shutil.copyfile(self.data, temporary)
                with temporary.open("rb") as handle:
                    os.fsync(handle.fileno())
        self.moved = True
        self._unlink()

    def _unlink(self) -> None:
        for path in (self.data, self.about, self.marks):
            path.unlink(missing_ok=True)

    def _length(self, block: int) -> int:
        return min(BLOCK_BYTES, self.size - block * BLOCK_BYTES)


class _Cut(Exception):
    """The bytes that a digest waits for will not come."""


class _Wrong(Exception):
    """The bytes are not those of the object: what was found and expected."""


def _fetch(
    client: Client, state: _Unfinished, url: str, *, record: Path, size: int | None, md5: str | None, connections: int
) -> dict[str, Any]:
    """Fetch, check, record and move an object from one address; return its record."""
    changes = wrong = 0
    first: str | None = None
    while True:
        remote = client.describe(url)
        known = _read_record(record)
        _require_size(remote, size, known, record)
        try:
            sha256, verified_by = _once(
                client, state, remote, md5=md5, connections=connections, first=first, known=known
            )
        except ObjectChanged as error:
            state.clear()
            first = None
            changes += 1
            if changes > BEGUN_ANEW:
                raise ObjectChanged(
                    f"{url}: it keeps changing: another object {changes} times while it was fetched; run snakemake again when "
                    f"it stays the same (the last time: {error})"
                ) from error
            log.warning("%s: the object changed while it was fetched; begun anew (%s)", url, error)
            continue
        except _Wrong as error:
            state.clear()
            first = None
            wrong += 1
            if wrong > 1:
                raise WrongContent(
                    f"{url}: wrong content, twice: {error}; nothing of it was kept: use another address or mirror, or correct "
                    f"what {TABLE} says of it"
                ) from error
            log.warning("%s: wrong content: %s; fetched once more", url, error)
            continue
        if verified_by is None:
            log.warning(
                "%s: its ETag %s fits no usual size of parts; fetched a second time to compare", url, remote.etag
            )
            first = sha256
            state.begin(remote, first)
            continue
        if known is not None and known["sha256"] != sha256:
            raise WrongContent(
                f"{url}: another object than before: SHA-256 {sha256} now, {known['sha256']} on {known['first_seen']}; to accept "
                f"the new one, which waits in {state.folder}: rm '{record}', then run snakemake again"
            )
        _require_first_bytes(state, url)
        if verified_by == "size":
            log.warning("%s: its ETag (%s) says nothing of its bytes: only its size was checked", url, remote.etag)
        now = {
            "url": url,
            "size": remote.size,
            "etag": remote.etag,
            "sha256": sha256,
            "verified_by": verified_by,
            "first_seen": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        if known is None:
            with atomic_path(record) as temporary:
                temporary.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        state.finish()
        return known or now


def _resume_or_begin(state: _Unfinished, remote: RemoteObject, first: str | None, *, bytes_checked: bool) -> str | None:
    """Keep the blocks that are there if they are of this object, make sure that there is room for the others.

    ``first`` is the SHA-256 of the first copy, if this is the second; returned is the one that is kept with the blocks too.
    """
    if state.resume(remote, bytes_checked=bytes_checked):
        _require_room(state, remote, remote.size - state.bytes_there)
    else:
        state.clear()
        _require_room(state, remote, remote.size)
        state.begin(remote, first)
    return first or state.first_sha256


def _once(
    client: Client,
    state: _Unfinished,
    remote: RemoteObject,
    *,
    md5: str | None,
    connections: int,
    first: str | None,
    known: Mapping[str, Any] | None,
) -> tuple[str, str | None]:
    """Bring all blocks here; return their SHA-256 and what vouches for them: None if that needs a second copy.

    ``first`` is the SHA-256 of the first copy, if this is the second; ``known`` the record of the object fetched before.
    """

    def of_all(until: threading.Event) -> str:
        return state.digest("sha256", until)

    tag = re.fullmatch(r'"([0-9a-f]{32})(?:-([1-9][0-9]{0,4}))?"', (remote.etag or "").lower())
    n_parts = int(tag[2]) if tag and tag[2] else 0
    first = _resume_or_begin(state, remote, first, bytes_checked=md5 is not None or tag is not None)
    if known is not None and (known["etag"], known["size"]) == (remote.etag, remote.size):
        # Checked when it was first seen: that it has the same SHA-256 says all that its MD5 would.
        sha256 = _transfer(client, state, remote, {"SHA-256": of_all}, connections)["SHA-256"]
        if sha256 == known["sha256"]:
            return sha256, known["verified_by"]
    part = client.first_part_bytes(remote) if n_parts and md5 is None else None
    if part is not None and -(-remote.size // max(part, 1)) != n_parts:
        part = None  # parts of several sizes
    wanted: dict[str, Callable[[threading.Event], str]] = {
        "SHA-256": of_all,
    }
    if md5 is not None or (tag and not n_parts):
        wanted["MD5"] = lambda until: state.digest("md5", until)
    elif part is not None:
        wanted["ETag"] = lambda until: state.digest_of_parts(part, until)
    found = _transfer(client, state, remote, wanted, connections)
    if md5 is not None:
        verified_by: str | None = _agreed("md5", "MD5", found["MD5"], md5.lower())
    elif tag is None:
        verified_by = "size"
    elif not n_parts:
        verified_by = _agreed("etag", "MD5", found["MD5"], tag[1])
    elif part is not None:
        kind = f"MD5 of the MD5s of {n_parts} parts of {part} bytes"
        verified_by = _agreed("etag of parts", kind, found["ETag"], tag[1])
    elif any(state.digest_of_parts(one, threading.Event()) == tag[1] for one in part_sizes(remote.size, n_parts)):
        verified_by = "etag of parts"
    elif first is not None:
        verified_by = _agreed("second copy", "SHA-256 of two copies", found["SHA-256"], first)
    else:
        verified_by = None
    return found["SHA-256"], verified_by


def _agreed(verified_by: str, kind: str, found: str, expected: str) -> str:
    if found != expected:
        raise _Wrong(f"{kind} {found}, expected {expected}")
    return verified_by


def part_sizes(size: int, n_parts: int) -> list[int]:
    """Return sizes of parts that may have made an object of ``n_parts`` parts: the usual ones first, then whole MiB."""
    if n_parts == 1:
        return [size]
    smallest = -(-size // n_parts)
    whole = range(-(-smallest // 2**20), -(-smallest // 2**20) + MOST_PARTS_TRIED)
    candidates = dict.fromkeys([*USUAL_PARTS, *(mib * 2**20 for mib in whole)])
    return [part for part in candidates if -(-size // part) == n_parts]


def split(missing: list[int], connections: int) -> list[range]:
    """Split missing blocks into runs of neighbours, one for each request.

    Parameters
    ----------
    missing
        Numbers of blocks, rising.
    connections
        Requests at once: no run has more than a share of what is missing, so that all of them have something to do.

    Returns
    -------
    list of range
        Together they are the missing blocks; none has more than 32.
    """
    longest = max(1, min(LARGEST_RUN, len(missing) // connections))
    return [run[at : at + longest] for run in runs(missing) for at in range(0, len(run), longest)]


def _transfer(
    client: Client,
    state: _Unfinished,
    remote: RemoteObject,
    wanted: dict[str, Callable[[threading.Event], str]],
    connections: int,
) -> dict[str, str]:
    """Fetch the missing blocks, and make digests of all of them as they come."""
    missing = state.missing()
    waiting = iter(split(missing, connections))
    taking, until = threading.Lock(), threading.Event()

    def work() -> None:
        while not until.is_set():
            with taking:
                run = next(waiting, None)
            if run is None:
                return
            position = run.start * BLOCK_BYTES
            stop = min(run.stop * BLOCK_BYTES, remote.size)
            for piece in client.stream_range(remote, position, stop, until):
                state.write(piece, position)
                position += len(piece)

    with (
        _Progress(state, remote.size) as progress,
        ThreadPoolExecutor(connections + len(wanted)) as pool,
    ):
        try:
            digests = {name: pool.submit(make, until) for name, make in wanted.items()}
            futures: set[Future[Any]] = {
                *digests.values(),
                *(pool.submit(work) for _ in range(min(connections, len(missing)))),
            }
            while futures:
                done, futures = wait(futures, timeout=0.5, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                progress.show()
        finally:
            client.stop(until)
            state.wake()
        return {name: future.result() for name, future in digests.items()}


class _Progress:
    """A bar with rate and remaining time on a terminal, and now and then a line in the log."""

    def __init__(self, state: _Unfinished, size: int) -> None:
        self.state, self.size = state, size
        self.first_bytes, self.began = state.bytes_there, time.monotonic()
        self.logged = self.began
        self.bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            name = self.state.output.name
            self.bar = tqdm(
                total=self.size, initial=self.first_bytes, unit="B", unit_scale=True, desc=name, leave=False
            )
        if self.first_bytes:
            log.info("%s: %s MB of %s MB are there", self.state.output, *map(_mb, (self.first_bytes, self.size)))
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        self.show(last=True)

    def show(self, last: bool = False) -> None:
        there, now = self.state.bytes_there, time.monotonic()
        if self.bar is not None and not last:
            self.bar.update(there - self.bar.n)
        if last or now - self.logged >= LOGGED_EVERY_S:
            rate = (there - self.first_bytes) / max(now - self.began, 1e-6)
            left = f"{(self.size - there) / rate:.0f} s left" if rate else "nothing comes"
            log.info(
                "%s: %s MB of %s MB, %s MB/s%s",
                self.state.output,
                *map(_mb, (there, self.size, rate)),
                "" if there == self.size else f", {left}",
            )
            self.logged = now


def _mb(number: float) -> str:
    return f"{number / 2**20:.1f}"


def _require_size(remote: RemoteObject, size: int | None, known: dict[str, Any] | None, record: Path) -> None:
    if size is not None and remote.size != size:
        raise WrongContent(
            f"{remote.url}: {remote.size} bytes, expected {size}; see that it is the object, and correct {TABLE}"
        )
    if known is not None and remote.size != known["size"]:
        raise WrongContent(
            f"{remote.url}: another object than before: {remote.size} bytes now, {known['size']} with SHA-256 "
            f"{known['sha256']} on {known['first_seen']}; to accept the new one: rm '{record}', then run snakemake again"
        )


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path}: not a whole record ({error}); remove it: rm '{path}'") from error
    if not isinstance(record, dict) or not {"sha256", "size", "first_seen"} <= record.keys():
        raise ValueError(f"{path}: expected a record with sha256, size and first_seen; remove it: rm '{path}'")
    return record


def _require_first_bytes(state: _Unfinished, url: str) -> None:
    first = os.pread(state.data_at, 512, 0)
    suffix = state.output.suffix
    expected = FIRST_BYTES.get(suffix, b"")
    if first.startswith(expected) and not (
        suffix in NO_MARKUP and first.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    ):
        return
    state.clear()
    wanted = f"those of a {suffix} file ({expected!r})" if expected else f"those of a {suffix} file, not markup"
    raise WrongContent(
        f"{url}: the first bytes are {first[:40]!r}, expected {wanted}; nothing of it was kept: see what is there, and correct "
        f"its address in {TABLE}"
    )


def _require_room(state: _Unfinished, remote: RemoteObject, bytes_missing: int) -> None:
    """Check that the disks can hold what is still to come."""
    folder = next(parent for parent in state.output.absolute().parents if parent.exists())
    needed = {state.folder: bytes_missing + SPARE_BYTES}
    if folder.stat().st_dev != state.folder.stat().st_dev:
        needed[folder] = remote.size + SPARE_BYTES
    for place, n_bytes in needed.items():
        free = shutil.disk_usage(place).free
        if free < n_bytes:
            raise _no_room(errno.ENOSPC, state, place, n_bytes)


@contextmanager
def _room_explained(state: _Unfinished) -> Iterator[None]:
    """Say what a disk that filled up on the way means; a message that says so already is left alone."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT} or "MB are free" in str(error):
            raise
        raise _no_room(error.errno, state, state.folder, state.size - state.bytes_there + SPARE_BYTES) from error


def _no_room(number: int | None, state: _Unfinished, folder: Path, needed: int) -> OSError:
    usage = shutil.disk_usage(folder)
    return OSError(
        number,
        f"{os.strerror(number or errno.ENOSPC)} to fetch {state.output}: {_mb(needed)} MB are needed and {_mb(usage.free)} of "
        f"{_mb(usage.total)} MB are free in {folder.absolute()}; make space there, then {AGAIN}",
    )


def _boot() -> str | None:
    """Return what tells one run of this machine from the next, where the system has it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
