"""The table of sources: every file that the study may read of NSD is in exactly one row, and rows are what they should be."""

from pathlib import Path

import pandas as pd
import pytest

from capcortex.fetch.sources import SOURCE_COLUMNS, Sources, read_sources
from capcortex.nsd import layout

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "config/datasets.tsv"
B3 = "betas_fithrf_GLMdenoise_RR"


@pytest.fixture(scope="module")
def sources() -> Sources:
    return read_sources(TABLE)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (layout.EXPERIMENT_DESIGN, "design"),
        (layout.STIMULUS_TABLE, "stimuli"),
        (layout.ANNOTATIONS_ARCHIVE, "annotations"),
        (layout.responses("subj08"), "responses"),
        (layout.volume_betas("subj01", B3, 40), "volume-betas"),
        (layout.volume_betas("subj01", B3, 40, suffix="hdf5"), "volume-betas-hdf5"),
        (layout.native_betas("subj01", B3, 1, "lh"), "native-betas"),
        (layout.surface_betas("subj01", "betas_assumehrf", 1, "rh"), "surface-betas"),
        (layout.volume_ncsnr("subj01", B3), "volume-ncsnr"),
        (layout.surface_ncsnr("subj01", B3, "fsaverage", "lh"), "surface-ncsnr"),
        (layout.volume_file("subj01", "brainmask"), "volumes"),
        (layout.volume_file("subj01", "roi/nsdgeneral"), "volume-labels"),
        (layout.transform("subj01", "lh", "func1pt8-to-layerB1"), "transforms"),
        (layout.surface("fsaverage", "lh", "inflated"), "surfaces"),
        (layout.surface_label("fsaverage", "lh", "streams"), "labels"),
        (layout.surface_label("subj02", "rh", "floc-faces"), "labels"),
        (layout.label_names("subj02", "floc-faces"), "names"),
    ],
)
def test_every_file_is_in_one_row(sources: Sources, key: str, name: str) -> None:
    source = sources.of(key)
    assert source.name == name
    assert source.terms == ("CC BY 4.0" if name == "annotations" else "nsd")
    for url in source.urls(key):
        assert url.endswith(key if source.terms == "nsd" else "/annotations/annotations_trainval2017.zip")
        assert "{" not in url


@pytest.mark.parametrize(
    "key", ["nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5", "nsddata/ppdata/subj01/x/y/behav/responses.tsv", "", "../x"]
)
def test_a_file_without_a_row_is_refused(sources: Sources, key: str) -> None:
    with pytest.raises(ValueError, match=r"datasets\.tsv: .*is in no row"):
        sources.of(key)


def test_hosts_are_those_of_the_table(sources: Sources) -> None:
    assert sources.hosts == {
        "natural-scenes-dataset.s3.amazonaws.com",
        "s3.us-east-2.amazonaws.com",
        "images.cocodataset.org",
        "s3.amazonaws.com",
    }


def test_sizes_add_up_to_those_of_the_release(sources: Sources) -> None:
    """284 sessions: 279.2 GB of mgh, about 200.6 of native surfaces, 120 to 135 of nii.gz, about 301.5 of HDF5."""

    def total(key: str, files: int) -> float:
        return sources.of(key).about_mb * files / 1000

    assert total(layout.surface_betas("subj01", B3, 1, "lh"), 568) == pytest.approx(279.2, abs=0.1)
    assert total(layout.native_betas("subj01", B3, 1, "lh"), 568) == pytest.approx(200.6, abs=0.5)
    assert 120 <= total(layout.volume_betas("subj01", B3, 1), 284) <= 135
    assert total(layout.volume_betas("subj01", B3, 1, suffix="hdf5"), 284) == pytest.approx(301.5, abs=0.5)


# All digits: a table must not read it as a number.
MD5 = "01234567890123456789012345678901"
GOOD = {
    "source": "x",
    "files": "nsddata/{name}.tsv",
    "address": "https://a.org/{key}",
    "mirror": None,
    "bytes": 7,
    "md5": MD5,
    "about_mb": 1,
    "terms": "nsd",
    "needed_for": "all",
}


def write(path: Path, *rows: dict) -> Path:
    pd.DataFrame(rows, columns=SOURCE_COLUMNS).to_csv(path, sep="\t", index=False)
    return path


def test_a_row_says_all_that_is_known(tmp_path: Path) -> None:
    other = GOOD | {
        "source": "y",
        "files": "b/c.zip",
        "address": "http://b.org:81/c.zip",
        "mirror": "https://d.org/{key}",
    }
    sources = read_sources(write(tmp_path / "t.tsv", GOOD, other | {"bytes": None, "md5": None}))
    first, second = sources.rows
    assert (first.bytes, first.md5, first.urls("nsddata/q.tsv")) == (7, MD5, ["https://a.org/nsddata/q.tsv"])
    assert (second.bytes, second.md5) == (None, None)
    assert second.urls("b/c.zip") == ["http://b.org:81/c.zip", "https://d.org/b/c.zip"]
    assert sources.hosts == {"a.org", "b.org:81", "d.org"}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("files", "nsddata/../{name}.tsv", "a path in NSD's folders"),
        ("files", "/nsddata/{name}", "a path in NSD's folders"),
        ("address", None, "address: found nothing"),
        ("address", "ftp://a.org/{key}", "begins with https:// or http://"),
        ("address", "https://me:secret@a.org/{key}", "without a user's name"),
        ("address", "https://a.org/one", "because the row is for several files"),
        ("mirror", "a.org/{key}", "mirror: found 'a.org/{key}'"),
        ("bytes", -1, "a whole number above 0"),
        ("bytes", "many", "a whole number above 0"),
        ("md5", "abc", "32 hexadecimal digits"),
        ("about_mb", 0, "a number above 0"),
        ("about_mb", "inf", "a number above 0"),
        ("terms", None, "some words"),
    ],
)
def test_a_bad_row_is_named_with_its_column(tmp_path: Path, column: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match="source 'x': ") as caught:
        read_sources(write(tmp_path / "t.tsv", GOOD | {column: value}))
    assert words in str(caught.value)
    assert f": {column}: " in str(caught.value)


def test_a_file_in_two_rows_is_refused(tmp_path: Path) -> None:
    sources = read_sources(write(tmp_path / "t.tsv", GOOD, GOOD | {"source": "z", "files": "nsddata/a.tsv"}))
    with pytest.raises(ValueError, match=r"nsddata/a\.tsv is in 2 rows \(x, z\)"):
        sources.of("nsddata/a.tsv")
