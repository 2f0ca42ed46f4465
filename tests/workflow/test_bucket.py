"""`source: bucket`: the tiny study's NSD in a real S3 server, fetched, extracted and dropped as the graph says."""

import logging
import re
import socket
import socketserver
import subprocess
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import yaml
from local_study import LOCAL
from moto.server import ThreadedMotoServer
from running import ROOT, command, copy_code, hold_a_job, run_snakemake
from test_killed import unlock

from capcortex.costs import LIMITS, RAW_SESSIONS
from capcortex.fetch.sources import SOURCE_COLUMNS
from capcortex.nsd import layout
from capcortex.orphans import running_jobs
from capcortex.tables import read_table, write_table

BUCKET = "natural-scenes-dataset"
NSD = f"resources/{BUCKET}"
VERSION = "betas_fithrf_GLMdenoise_RR"
SECRET = "not to be sent"  # noqa: S105
# What extraction and captions rest on: all that is fetched, and no encoder.
TARGETS = [
    "results/captions/captions.tsv",
    "results/tables/data-quality.tsv",
    *(f"results/betas/subj01_space-{space}.nc" for space in layout.SPACES),
]


class Wire(socketserver.ThreadingTCPServer):
    """Passes bytes on to a server, as fast as it is told to.

    Attributes
    ----------
    bytes_per_s
        Of one connection on its way back; None for no limit.
    connections
        So many have been made.
    """

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, server: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.server, self.bytes_per_s, self.connections = server, None, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Passing(socketserver.BaseRequestHandler):
    """One connection through a `Wire`."""

    def handle(self) -> None:
        self.server.connections += 1
        with socket.create_connection(self.server.server) as there, suppress(OSError):
            threading.Thread(target=self.pass_on, args=(self.request, there), daemon=True).start()
            self.pass_on(there, self.request, slowly=True)

    def pass_on(self, source: socket.socket, target: socket.socket, slowly: bool = False) -> None:
        with suppress(OSError):
            while content := source.recv(2**16):
                target.sendall(content)
                if slowly and self.server.bytes_per_s:
                    time.sleep(len(content) / self.server.bytes_per_s)
            target.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Bucket:
    """An S3 server that holds NSD and COCO's archive.

    Attributes
    ----------
    client
        To change what it holds.
    table
        The table of sources that points to it.
    wire
        The way to it.
    """

    client: Any
    table: Path
    wire: Wire

    def study(self, folder: Path, **changes: Any) -> Path:
        """Write the configuration of a study that fetches from the bucket."""
        config = LOCAL | {
            "source": "bucket",
            "subjects": ["subj01"],
            "shared_image_sets": 0,
            "bucket": {"nsd_terms_accepted": True, "keep_raw": False},
            "datasets_table": str(self.table),
        }
        path = folder / "study.yaml"
        path.write_text(yaml.safe_dump(config | changes), encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def bucket(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-2", aws_access_key_id="x", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    root = tiny_study / "resources/nsd"
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as coco:
        for path in sorted((root / layout.ANNOTATIONS).iterdir()):
            coco.write(path, f"annotations/{path.name}")
        coco.writestr("annotations/person_keypoints_val2017.json", "{}")
    client.put_object(
        Bucket=BUCKET, Key="coco/annotations_trainval2017.zip", Body=archive.getvalue(), ACL="public-read"
    )
    for path in sorted(root.rglob("*")):
        key = path.relative_to(root).as_posix()
        if path.is_file() and not key.startswith("nsddata_stimuli"):
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
    sources = read_table(ROOT / "config/datasets.tsv", columns=SOURCE_COLUMNS)
    places = sources["address"].str.extract(r"({key})", expand=False).fillna("coco/annotations_trainval2017.zip")
    wire = Wire((host, port))
    sources["address"] = "http://{}:{}/{}/".format(*wire.server_address, BUCKET) + places
    sources[["mirror", "bytes", "md5"]] = None
    table = tmp_path_factory.mktemp("sources") / "datasets.tsv"
    write_table(sources, table)
    yield Bucket(client, table, wire)
    wire.shutdown()
    wire.server_close()
    server.stop()


def raw_files(folder: Path) -> list[str]:
    """Raw betas that lie on the disk."""
    return [path.relative_to(folder / NSD).as_posix() for path in (folder / NSD).rglob("*betas_session*")]


class Watch(threading.Thread):
    """Looks again and again for how many sessions of raw betas of a subject and space lie on the disk at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.ended, self.most, self.looks = folder, threading.Event(), Counter(), 0

    def run(self) -> None:
        while not self.ended.wait(0.02):
            sessions = {(*key.split("/")[2:4], key[-14:].partition("session")[2][:2]) for key in raw_files(self.folder)}
            self.looks += 1
            self.most |= Counter(session[:2] for session in sessions)

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()


def copy_code_for_two_sessions(folder: Path) -> None:
    """Copy the code with fewer raw sessions at once than the tiny study has."""
    copy_code(folder)
    costs = folder / "src/capcortex/costs.py"
    text = costs.read_text()
    assert f"\nRAW_SESSIONS = {RAW_SESSIONS}\n" in text
    costs.write_text(text.replace(f"\nRAW_SESSIONS = {RAW_SESSIONS}\n", "\nRAW_SESSIONS = 2\n"))


@pytest.fixture(scope="module")
def fetched(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watch]:
    """A study up to its betas, with everything from the bucket."""
    folder = tmp_path_factory.mktemp("bucket")
    copy_code_for_two_sessions(folder)
    with Watch(folder) as watch:
        done = run_snakemake(folder, "--", *TARGETS, config=bucket.study(folder))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder, watch


def test_what_rests_on_the_bucket_is_what_rests_on_a_copy(fetched: tuple[Path, Watch], tiny_study: Path) -> None:
    folder, _ = fetched
    for name in TARGETS:
        if not name.endswith("data-quality.tsv"):
            assert (folder / name).read_bytes() == (tiny_study / name).read_bytes(), name


def test_the_graph_bounds_the_raw_betas(fetched: tuple[Path, Watch]) -> None:
    folder, watch = fetched
    assert watch.looks > 50
    assert watch.most, "no raw betas were seen"
    assert max(watch.most.values()) <= 2, watch.most
    assert raw_files(folder) == []
    assert not list((folder / "results/betas/sessions").glob("*"))
    assert not list((folder / "resources/fetched/unfinished").glob("*"))


def test_only_what_the_study_needs_is_fetched(fetched: tuple[Path, Watch]) -> None:
    folder, _ = fetched
    records = sorted(str(path) for path in (folder / "resources/fetched/records").rglob("*") if path.is_file())
    assert len([name for name in records if "betas_session" in name]) == 3 * 3
    for word in ("nativesurface", ".hdf5", "floc-", "Kastner", "nsd_stimuli", "shared1000", "/surf/", "subj02"):
        assert not [name for name in records if word in name], word


def test_nothing_is_fetched_twice(fetched: tuple[Path, Watch], bucket: Bucket) -> None:
    """Nor for another table of sources, nor because raw betas that are gone were to be kept."""
    folder, _ = fetched
    other = folder / "datasets.tsv"
    other.write_text("# Another one.\n" + bucket.table.read_text(encoding="utf-8"), encoding="utf-8")
    config = bucket.study(folder, datasets_table=str(other), bucket={"nsd_terms_accepted": False, "keep_raw": True})
    done = run_snakemake(folder, "--dry-run", "--", *TARGETS, config=config)
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_what_rests_on_dropped_betas_fetches_them_again(fetched: tuple[Path, Watch], bucket: Bucket) -> None:
    folder, _ = fetched
    done = run_snakemake(folder, "--dry-run", "--", *TARGETS, config=bucket.study(folder, incomplete_data="nanmean"))
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    assert planned["fetch_session_betas"] == "9"
    assert {"fetch_nsd_file", "check_acceptance"}.isdisjoint(planned)


def test_kept_raw_betas_are_not_fetched_again(bucket: Bucket, tiny_study: Path, tmp_path: Path) -> None:
    """Though a session that is extracted anew comes before the fetch of the second next one; a damaged one is fetched."""
    target, kept = "results/betas/subj01_space-fsaverage.nc", {"bucket": {"nsd_terms_accepted": True, "keep_raw": True}}
    copy_code_for_two_sessions(tmp_path)
    done = run_snakemake(tmp_path, "--", target, config=bucket.study(tmp_path, **kept))
    assert done.returncode == 0, done.stderr[-3000:]
    before = bucket.wire.connections
    again = [tmp_path, "--forcerun", "extract_surface_session", "--", target]
    assert run_snakemake(*again, config=tmp_path / "study.yaml").returncode == 0
    assert bucket.wire.connections == before
    last = tmp_path / NSD / layout.surface_betas("subj01", VERSION, 3, "lh")
    with last.open("r+b") as raw:
        raw.seek(5000)
        raw.write(b"damaged!")
    assert run_snakemake(*again, config=tmp_path / "study.yaml").returncode == 0
    assert bucket.wire.connections > before
    assert (tmp_path / target).read_bytes() == (tiny_study / target).read_bytes()
    assert len(raw_files(tmp_path)) == 6


def test_betas_are_fetched_only_when_the_facts_hold(bucket: Bucket, tmp_path: Path) -> None:
    """The second of three facts is wrong: the study stops there, with its name, and no beta has been asked for."""
    table = tmp_path / "facts.tsv"
    rows = ["fact\tsubject\texpected", "sessions\tsubj01\t3", "trials\tsubj01\t376", "trials\tsubj02\t1"]
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    target = f"{NSD}/{layout.surface_betas('subj01', VERSION, 1, 'lh')}"
    config = bucket.study(tmp_path, acceptance_table=str(table))
    done = run_snakemake(tmp_path, "--", target, config=config)
    assert done.returncode != 0
    assert "trials of subj01: found 375 in the files" in done.stderr
    assert raw_files(tmp_path) == []
    table.write_text(table.read_text().replace("376", "375"))
    assert run_snakemake(tmp_path, "--", target, config=config).returncode == 0
    assert raw_files(tmp_path) == [layout.surface_betas("subj01", VERSION, 1, "lh")]


def test_nothing_is_asked_before_the_terms_are_accepted(bucket: Bucket, tmp_path: Path) -> None:
    """Neither by Snakemake, which stops at once, nor by a job."""
    config = bucket.study(tmp_path, bucket={"nsd_terms_accepted": False, "keep_raw": False})
    done = run_snakemake(tmp_path, "--", f"{NSD}/{layout.responses('subj01')}", config=config)
    assert done.returncode != 0
    assert "NSD's terms are not accepted" in done.stdout + done.stderr
    assert not (tmp_path / "resources").exists()
    assert run_snakemake(tmp_path, "--dry-run", config=config).returncode == 0


def test_limits_of_the_graph_hold_beside_others(bucket: Bucket, tmp_path: Path) -> None:
    """A limit on the command line replaces all limits of a profile; the plan's bound of the disk rests on these."""
    config = bucket.study(tmp_path, bucket={"nsd_terms_accepted": False, "keep_raw": False})
    target = f"{NSD}/{layout.responses('subj01')}"
    for given in (["mem_mb=1000"], ["mem_mb=1000", "averaging=1"]):
        done = run_snakemake(tmp_path, "--resources", *given, "--", target, config=config)
        provided = dict(re.findall(r'Resource\("(\w+)", (\d+)\)', done.stdout + done.stderr))
        expected = {"mem_mb": "1000"} | {name: str(most) for name, most in LIMITS.items()}
        assert provided == expected | dict(word.split("=") for word in given)


def wait_for(found: Callable[[], Any], study: subprocess.Popen) -> Any:
    """Return what is found as soon as it is there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and study.poll() is None:
        if there := found():
            return there
        time.sleep(0.01)
    raise AssertionError(f"not found while the study ran (status {study.poll()})")


def test_killed_while_it_fetches_and_while_it_extracts(bucket: Bucket, tiny_study: Path, tmp_path: Path) -> None:
    """No raw file has its name before it is whole, and what comes out is what comes out without kills."""
    target = "results/betas/subj01_space-fsaverage.nc"
    words = [*command(tmp_path, bucket.study(tmp_path)), "--", target]

    def start() -> subprocess.Popen:
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path)

    def half_there() -> list[Path]:
        blocks = (tmp_path / "resources/fetched/unfinished").rglob("*betas_session*.blocks")
        return [path for path in blocks if b"\x01" in path.read_bytes()]

    bucket.wire.bytes_per_s = 2**20
    study = start()
    wait_for(half_there, study)
    for process in [psutil.Process(study.pid), *running_jobs(tmp_path)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    study.communicate()
    bucket.wire.bytes_per_s = None
    assert half_there()
    for key in raw_files(tmp_path):
        assert (tmp_path / NSD / key).read_bytes() == (tiny_study / "resources/nsd" / key).read_bytes()
    unlock(tmp_path)

    study = start()
    wait_for(lambda: hold_a_job(tmp_path, "extract_surface_session"), study).kill()
    assert "extract_surface_session" in study.communicate(timeout=120)[1]
    assert study.returncode == 1
    assert not list((tmp_path / "results/betas").glob("*.nc"))

    done = run_snakemake(tmp_path, "--", target, config=tmp_path / "study.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / target).read_bytes() == (tiny_study / target).read_bytes()
    assert raw_files(tmp_path) == []
    assert not half_there()
