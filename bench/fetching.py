"""Benchmarks of fetching: other clients on a fast S3 server, a resumed download, and full-size sessions fetched and extracted.

`make bench` prints the tables. The server (SeaweedFS) shares the machine's cores with the clients.
"""

import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from run import run_apart, write_surface_session, write_volume_session

from capcortex.digests import file_digest
from capcortex.nsd.sessions import surface_extraction_memory_mb, volume_extraction_memory_mb

OBJECT_MIB = 1000
ROUNDS = 5
BUCKET = "natural-scenes-dataset"
PORTS = 5


def free_ports() -> list[int]:
    """Return ports that nobody listens on; SeaweedFS also takes each of them plus 10,000."""
    found: list[int] = []
    for port in range(20_000, 30_000):
        with socket.socket() as plain, socket.socket() as grpc:
            try:
                plain.bind(("127.0.0.1", port))
                grpc.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            found.append(port)
        if len(found) == PORTS:
            return found
    raise RuntimeError("no free ports")


def owner_of(address: str) -> Any:
    """Return a client that may write to the server."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    return boto3.client("s3", endpoint_url=address, region_name="us-east-2", **keys)


@contextmanager
def fast_server(folder: Path) -> Iterator[str]:
    """Run SeaweedFS on a folder; yield its address."""
    master, volume, filer, s3, _ = free_ports()
    words = [Path(sys.executable).with_name("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    words += ["-s3", f"-s3.port={s3}", f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"]
    words += ["-s3.port.iceberg=0", "-volume.max=20", "-master.volumeSizeLimitMB=2048"]
    address = f"http://127.0.0.1:{s3}"
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = owner_of(address)
        for _ in range(120):
            time.sleep(0.5)
            try:
                client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="probe", Body=b"probe")
                break
            except Exception:  # noqa: S112 - not up yet, in as many ways as it has parts
                continue
        else:
            raise RuntimeError("SeaweedFS does not start")
        yield address
    finally:
        server.terminate()
        server.wait()


def upload(address: str, path: Path, key: str) -> None:
    """Put a file into the bucket, in parts."""
    owner_of(address).upload_file(str(path), BUCKET, key)


CLIENTS = {
    "this fetcher, bytes alone": """
from capcortex.fetch.client import Client
from capcortex.fetch.download import _transfer, _Unfinished
def go():
    with Client([host]) as client, _Unfinished(output.parent / "unfinished", output) as state:
        remote = client.describe(url)
        state.begin(remote, None)
        _transfer(client, state, remote, {}, 8)
        state.finish()
""",
    "this fetcher, all checks": """
from capcortex.fetch.client import Client
from capcortex.fetch.download import download
def go():
    with Client([host]) as client:
        folder = output.parent
        download([url], output, client=client, unfinished=folder / "unfinished", records=folder / "records" / output.name)
""",
    "obstore": """
import obstore
from concurrent.futures import ThreadPoolExecutor
def go():
    plain = {"allow_http": True}
    store = obstore.store.S3Store(bucket, endpoint=address, region="us-east-2", skip_signature=True, client_options=plain)
    size, part = obstore.head(store, key)["size"], 32 * 2**20
    with output.open("wb") as handle:
        def bring(start):
            os.pwrite(handle.fileno(), obstore.get_range(store, key, start=start, end=min(start + part, size)), start)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(bring, range(0, size, part)))
    to_disk()
""",
    "boto3": """
import boto3
from botocore import UNSIGNED
from botocore.config import Config
from boto3.s3.transfer import TransferConfig
def go():
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-2", config=Config(signature_version=UNSIGNED))
    client.download_file(bucket, key, str(output), Config=TransferConfig(max_concurrency=8))
    to_disk()
""",
    "s5cmd": """
import subprocess
from pathlib import Path
def go():
    words = [str(Path(sys.executable).with_name("s5cmd")), "--no-sign-request", "--endpoint-url", address]
    words += ["cp", "--concurrency", "8", f"s3://{bucket}/{key}", str(output)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    to_disk()
""",
    "s5cmd, then MD5 and SHA-256": """
import hashlib, subprocess
from concurrent.futures import ThreadPoolExecutor
def go():
    words = [str(Path(sys.executable).with_name("s5cmd")), "--no-sign-request", "--endpoint-url", address]
    words += ["cp", "--concurrency", "8", f"s3://{bucket}/{key}", str(output)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    to_disk()
    def digest(kind):
        with output.open("rb") as handle:
            return hashlib.file_digest(handle, kind).hexdigest()
    with ThreadPoolExecutor() as pool:
        list(pool.map(digest, ["md5", "sha256"]))
""",
    "curl": """
import subprocess
def go():
    subprocess.run(["curl", "-sf", "-o", str(output), url], check=True)
    to_disk()
""",
}
"""Ways to bring an object to the disk; all of them wait until it is there (fsync), as the fetcher does."""


HEAD = """
import os, sys
from pathlib import Path
address, bucket, key, output = sys.argv[1:5]
output = Path(output)
url, host = f"{address}/{bucket}/{key}", address.removeprefix("http://")
def to_disk():
    at = os.open(output, os.O_RDWR)
    os.fsync(at)
    os.close(at)
"""


def bench_clients(address: str, folder: Path) -> None:
    """Time a large object through every client in turn, each time in a new process and to a new file."""
    path = folder / "object.bin"
    rng = np.random.default_rng(5)
    with path.open("wb") as handle:
        for _ in range(OBJECT_MIB):
            handle.write(rng.bytes(2**20))
    upload(address, path, "object.bin")
    expected = file_digest(path)
    path.unlink()
    times: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    for number in range(ROUNDS + 1):
        for name, code in CLIENTS.items():
            output = folder / f"{number}-{name.replace(' ', '-')}.bin"
            seconds, peak = run_apart(HEAD + code, [address, BUCKET, "object.bin", output])
            if not number and file_digest(output) != expected:
                raise RuntimeError(f"{name} brought another object")
            output.unlink()
            if number:  # the first round warms the server's caches
                times.setdefault(name, []).append(seconds)
                peaks[name] = max(peaks.get(name, 0), peak)
    fastest = min(times, key=lambda name: statistics.median(times[name]))
    print(
        f"one object of {OBJECT_MIB} MiB; speed as a share of {fastest}'s in the same round, median of {ROUNDS} rounds"
    )
    for name, seconds in times.items():
        share = statistics.median(there / here for there, here in zip(times[fastest], seconds, strict=True))
        median = statistics.median(seconds)
        memory = "" if name.startswith(("s5cmd", "curl")) else f"{peaks[name]:5.0f} MB"  # programs of their own
        print(f"  {name:30s} {median:6.2f} s  {OBJECT_MIB / median:6.0f} MiB/s  {share:5.2f}  {memory}")


class Counting(socketserver.ThreadingTCPServer):
    """Passes bytes on to a server and counts those that come back."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, server: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.server, self.sent, self.lock = server, 0, threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Passing(socketserver.BaseRequestHandler):
    """One connection through `Counting`."""

    def handle(self) -> None:
        """Pass bytes on both ways until one side ends."""
        with socket.create_connection(self.server.server) as there, suppress(OSError):
            threading.Thread(target=self.pass_on, args=(self.request, there, False), daemon=True).start()
            self.pass_on(there, self.request, True)

    def pass_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        """Pass bytes on one way."""
        with suppress(OSError):
            while content := source.recv(2**18):
                target.sendall(content)
                with self.server.lock:
                    self.server.sent += counted * len(content)


def bench_resume(address: str, folder: Path) -> None:
    """Kill the fetch of the large object when 60 % are there, and count what comes over the wire the second time."""
    host, port = address.removeprefix("http://").split(":")
    wire = Counting((host, int(port)))
    words = ["http://{}:{}".format(*wire.server_address), BUCKET, "object.bin", folder / "resumed.bin"]
    code = HEAD + CLIENTS["this fetcher, all checks"] + "\ngo()\n"
    for share in (0.6, 1.0):
        before = wire.sent
        fetch = subprocess.Popen([sys.executable, "-c", code, *map(str, words)])
        while fetch.poll() is None and share < 1:
            marks = [path.read_bytes().count(1) for path in (folder / "unfinished").glob("*.blocks")]
            if sum(marks) >= share * OBJECT_MIB:
                fetch.kill()
            time.sleep(0.01)
        fetch.wait()
        print(
            f"  {'killed' if share < 1 else 'resumed'}: {(wire.sent - before) / 2**20 / OBJECT_MIB:.1%} of the object moved"
        )
    wire.shutdown()


FETCH = (
    HEAD
    + """
import numpy, pandas
from capcortex.fetch.client import Client
from capcortex.fetch.download import download
from capcortex.nsd.sessions import extract_session, surface_session, volume_session
trials = pandas.DataFrame({"id73k": numpy.arange(750) // 3 + 1, "showings": 3})
folder = output.parent
def fetch(name):
    with Client([host]) as client:
        path = folder / "raw" / name
        url = f"{address}/{bucket}/{name}"
        download([url], path, client=client, unfinished=folder / "unfinished", records=folder / "records")
        return path
"""
)
SESSIONS = {
    "surface": (
        FETCH
        + """
def go():
    paths = [fetch(name) for name in key.split(",")]
    extract_session(surface_session(paths, 750), trials, output)
""",
        """
import sys, nibabel, numpy
def go():
    whole = numpy.concatenate([numpy.squeeze(nibabel.load(path).get_fdata(dtype=numpy.float32)) for path in sys.argv[1:]])
    return whole[numpy.isfinite(whole).all(axis=1)]
""",
    ),
    "volume": (
        FETCH
        + """
def go():
    extract_session(volume_session(fetch(key), Path(sys.argv[5]), 750), trials, output)
""",
        """
import sys, nibabel, numpy
def go():
    mask = numpy.asarray(nibabel.load(sys.argv[2]).dataobj) > 0
    return numpy.asarray(nibabel.load(sys.argv[1]).dataobj)[mask]
""",
    ),
}
"""Fetch and extract a session; and what is plainest with the files on the disk: nibabel, all of it in memory, then the mask."""


def bench_sessions(address: str, folder: Path) -> None:
    """Fetch and extract full-size sessions beside loading and masking the same files from the disk, in turn."""
    surface = write_surface_session(folder, 163_842)
    volume, mask, n_voxels = write_volume_session(folder)
    for path in (*surface, volume):
        upload(address, path, path.name)
    sessions = {
        "surface": ([",".join(path.name for path in surface)], [], surface, surface_extraction_memory_mb(750)),
        "volume": (
            [volume.name],
            [mask],
            [volume, mask],
            volume_extraction_memory_mb(750, volume.stat().st_size / 2**20, "nii.gz"),
        ),
    }
    print(f"full-size sessions (2 x 163,842 vertices, {n_voxels} voxels), 750 trials; medians of {ROUNDS}")
    for name, (keys, more, files, formula) in sessions.items():
        ours, plain = SESSIONS[name]
        rounds = []
        for number in range(ROUNDS):
            output = folder / f"{name}-{number}.nc"
            mine = run_apart(ours, [address, BUCKET, *keys, output, *more])
            output.unlink()
            for path in (folder / "raw").iterdir():
                path.unlink()
            rounds.append((*mine, *run_apart(plain, files)))
        seconds, peak, other_seconds, other_peak = (statistics.median(column) for column in zip(*rounds, strict=True))
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        print(
            f"  {name}, {megabytes:.0f} MB: fetched and extracted {seconds:.1f} s, {peak:.0f} MB (rule: {formula} MB)"
        )
        print(
            f"    nibabel, load and mask {other_seconds:.1f} s, {other_peak:.0f} MB; ratio {seconds / other_seconds:.2f}"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "server").mkdir()
        with fast_server(folder / "server") as address:
            bench_clients(address, folder)
            bench_resume(address, folder)
            bench_sessions(address, folder)
