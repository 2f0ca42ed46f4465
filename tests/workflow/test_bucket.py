"""`source: bucket`: the tiny study's NSD in a real S3 server, fetched, extracted and dropped as the graph says."""

import logging
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from local_study import LOCAL
from moto.server import ThreadedMotoServer
from running import ROOT, run_snakemake

from capcortex.fetch.sources import SOURCE_COLUMNS
from capcortex.nsd import layout
from capcortex.tables import read_table, write_table

BUCKET = "natural-scenes-dataset"
NSD = f"resources/{BUCKET}"
SECRET = "not to be sent"  # noqa: S105
# What extraction and captions rest on: all that is fetched, and no encoder.
TARGETS = [
    "results/captions/captions.tsv",
    "results/tables/data-quality.tsv",
    *(f"results/betas/subj01_space-{space}.nc" for space in layout.SPACES),
]


@dataclass(frozen=True)
class Bucket:
    """An S3 server that holds NSD and COCO's archive.

    Attributes
    ----------
    client
        To change what it holds.
    table
        The table of sources that points to it.
    """

    client: Any
    table: Path

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
    sources["address"] = f"{address}/{BUCKET}/" + places
    sources[["mirror", "bytes", "md5"]] = None
    table = tmp_path_factory.mktemp("sources") / "datasets.tsv"
    write_table(sources, table)
    yield Bucket(client, table)
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


@pytest.fixture(scope="module")
def fetched(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watch]:
    """A study up to its betas, with everything from the bucket."""
    folder = tmp_path_factory.mktemp("bucket")
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
    folder, _ = fetched
    done = run_snakemake(folder, "--", *TARGETS, config=bucket.study(folder))
    assert done.returncode == 0
    assert "Nothing to be done" in done.stderr


def test_nothing_is_asked_before_the_terms_are_accepted(bucket: Bucket, tmp_path: Path) -> None:
    """Neither by Snakemake, which stops at once, nor by a job."""
    config = bucket.study(tmp_path, bucket={"nsd_terms_accepted": False, "keep_raw": False})
    done = run_snakemake(tmp_path, "--", f"{NSD}/{layout.responses('subj01')}", config=config)
    assert done.returncode != 0
    assert "NSD's terms are not accepted" in done.stdout + done.stderr
    assert not (tmp_path / "resources").exists()
    assert run_snakemake(tmp_path, "--dry-run", config=config).returncode == 0
