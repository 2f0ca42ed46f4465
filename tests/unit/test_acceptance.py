"""Facts of one subject's files, against counts of the test's own on a miniature, and files that are not as they must be."""

import gzip
import io
import logging
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.io import loadmat

from capcortex.fetch.sources import read_sources
from capcortex.nsd import layout
from capcortex.nsd.acceptance import (
    GROUP_OF,
    KNOWN_FACTS,
    check_facts,
    facts_of_subject,
    files_of_facts,
)
from capcortex.nsd.facts import COUNTED_FACTS, FACTS_OF_ALL_SUBJECTS, read_facts, require_fact
from capcortex.nsd.miniature.brain import write_subject
from capcortex.nsd.miniature.cortex import write_fsaverage
from capcortex.nsd.miniature.experiment import write_experiment
from capcortex.nsd.miniature.formats import nifti_header, write_hdf5_betas, write_nifti_trials
from capcortex.nsd.rois import noise_ceiling

ROOT = Path(__file__).parents[2]
SUBJECT, VERSION = "subj01", "betas_fithrf_GLMdenoise_RR"
SESSIONS = {"subj01": 3, "subj02": 2}
HDF5 = layout.volume_betas(SUBJECT, VERSION, 1, suffix="hdf5")
NIFTI = layout.volume_betas(SUBJECT, VERSION, 1)
NSD_TABLE = read_facts(ROOT / "config/acceptance_nsd.tsv")


@pytest.fixture(scope="module")
def nsd(tmp_path_factory):
    """A small NSD with one subject's files, in which nothing is changed."""
    root = tmp_path_factory.mktemp("miniature")
    plan = {"sessions": SESSIONS, "runs_per_session": 2, "seed": 11}
    write_experiment(root / "nsd", root / "truth", root / "word_vectors.txt", **plan, shared_images=60, captions=None)
    write_fsaverage(root / "nsd", seed=11)
    truth = yaml.safe_load((ROOT / "config/truth.yaml").read_text(encoding="utf-8"))
    write_subject(root / "nsd", root / "truth", subject=SUBJECT, **plan, betas_version=VERSION, truth=truth, twins=True)
    return root / "nsd"


@pytest.fixture
def changed(nsd, tmp_path):
    """Give a view of the small NSD in which some files are others: a function of a key and a function that writes the file."""

    def change(key, write):
        folder = tmp_path / "nsd"
        if not folder.exists():
            shutil.copytree(nsd, folder, copy_function=lambda source, target: Path(target).symlink_to(source))
        (folder / key).unlink()
        write(folder / key)
        return folder

    return change


class Counting(io.RawIOBase):
    """A file that counts what is read of it, as one that is read by ranges gives it: without a name or a descriptor."""

    def __init__(self, path):
        self.content, self.at, self.moved = path.read_bytes(), 0, 0

    def seekable(self):
        return True

    def readable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + (0, self.at, len(self.content))[whence]
        return self.at

    def readinto(self, buffer):
        part = self.content[self.at : self.at + len(buffer)]
        buffer[: len(part)] = part
        self.at += len(part)
        self.moved += len(part)
        return len(part)


def check(root, rows, *, version=VERSION, read=None, counted=()):
    """Check (fact, subject, expected) rows, with exactly the files that they are said to need."""
    table = pd.DataFrame([(fact, who, str(expected)) for fact, who, expected in rows], columns=NSD_TABLE.columns)

    @contextmanager
    def open_part(key):
        file = Counting(root / key)
        yield io.BufferedReader(file)
        (read if read is not None else {})[key] = file.moved

    return check_facts(
        facts_of_subject(table, SUBJECT),
        SUBJECT,
        version,
        files={key: root / key for key in files_of_facts(table, SUBJECT, version)},
        open_part=open_part,
        table="facts.tsv",
    )


def values(root, key):
    return np.asarray(nib.load(root / key).dataobj)


def count_by_hand(root):
    """All facts of the subject, by other means than the library's."""
    responses = pd.read_csv(root / layout.responses(SUBJECT), sep="\t")
    stimuli = pd.read_csv(root / layout.STIMULUS_TABLE, index_col=0)
    shared = sorted(loadmat(root / layout.EXPERIMENT_DESIGN)["sharedix"].ravel().tolist())
    shown = responses["73KID"].tolist()
    showings = {image: shown.count(image) for image in set(shown)}
    of_shared = {image: count for image, count in showings.items() if image in shared}
    facts = {
        "images_in_stimulus_table": len(stimuli),
        "first_shared_id73k": shared[0],
        "last_shared_id73k": shared[-1],
        "shared_images": int(stimuli["shared1000"].sum()),
        "first_trial_id73k": responses["73KID"][0],
        "first_trial_id10k": responses["10KID"][0],
        "sessions": responses["SESSION"].nunique(),
        "trials": len(shown),
        "images_at_least_once": len(showings),
        "images_at_least_twice": sum(count > 1 for count in showings.values()),
        "images_three_times": sum(count == 3 for count in showings.values()),
        "shared_at_least_once": len(of_shared),
        "shared_three_times": sum(count == 3 for count in of_shared.values()),
        "volume_files_disagreeing_voxels": 0,
    }
    for hemisphere in ("lh", "rh"):
        path = root / layout.surface_betas(SUBJECT, VERSION, 1, hemisphere)
        facts |= {
            f"surface_betas_{hemisphere}_mgh_version": 1,
            f"surface_betas_{hemisphere}_mgh_type": 3,
            f"surface_betas_{hemisphere}_shape": "x".join(map(str, nib.load(path).shape)),
            f"surface_betas_{hemisphere}_mb": f"{path.stat().st_size / 1e6:.3f}",
            f"surface_betas_{hemisphere}_out_of_range": 0,
        }
    with h5py.File(root / HDF5) as file:
        (betas,) = file.values()
        facts |= {
            "volume_hdf5_dtype": str(betas.dtype),
            "volume_hdf5_shape": "{}x{}x{}x{}".format(*betas.shape),
            "volume_hdf5_chunks": "{}x1x1x1".format(*betas.shape),
            "volume_hdf5_mb": f"{(root / HDF5).stat().st_size / 1e6:.3f}",
        }
    volume = nib.load(root / NIFTI)
    facts |= {
        "volume_nifti_dtype": str(volume.get_data_dtype()),
        "volume_nifti_shape": "{}x{}x{}x{}".format(*volume.shape),
        "volume_nifti_slope": 0,
    }
    on_surface = np.concatenate(
        [values(root, layout.surface_label("fsaverage", h, "nsdgeneral")) for h in ("lh", "rh")]
    )
    streams = np.concatenate([values(root, layout.surface_label("fsaverage", h, "streams")) for h in ("lh", "rh")])
    in_volume = values(root, layout.volume_file(SUBJECT, "roi/nsdgeneral"))
    early = values(root, layout.volume_file(SUBJECT, "roi/prf-visualrois"))
    ratios = np.concatenate(
        [values(root, layout.surface_ncsnr(SUBJECT, VERSION, "fsaverage", h)) for h in ("lh", "rh")]
    )
    of_voxels = values(root, layout.volume_ncsnr(SUBJECT, VERSION))
    return facts | {
        "nsdgeneral_vertices": np.count_nonzero(on_surface == 1),
        "streams_ventral_vertices": np.count_nonzero(streams == 5),
        "nsdgeneral_voxels": np.count_nonzero(in_volume == 1),
        **{f"prf-visualrois_voxels_label_{label}": np.count_nonzero(early == label) for label in range(1, 8)},
        "nsdgeneral_vertices_ncsnr_median_b3": f"{np.nanmedian(ratios[on_surface == 1]):.4f}",
        "nsdgeneral_voxels_ncsnr_median_b3": f"{np.nanmedian(of_voxels[in_volume == 1]):.4f}",
    }


@pytest.fixture(scope="module")
def by_hand(nsd):
    return count_by_hand(nsd)


OTHER_VERSIONS = [fact for fact in GROUP_OF if fact.endswith(("_b1", "_b2"))]
FACTS = [fact for fact in GROUP_OF if fact not in OTHER_VERSIONS]


# Every fact


def test_every_fact_is_found_as_counted_by_hand(nsd, by_hand):
    assert set(by_hand) == set(FACTS)
    found = check(nsd, [(fact, "all" if number % 2 else SUBJECT, by_hand[fact]) for number, fact in enumerate(FACTS)])
    assert found["fact"].tolist() == FACTS
    assert found["expected"].tolist() == [str(by_hand[fact]) for fact in FACTS]
    # What is counted is not trivially there: no region is empty, and 0 would not pass for it.
    for fact in FACTS:
        if "vertices" in fact or "voxels_label" in fact or fact == "nsdgeneral_voxels":
            assert float(by_hand[fact]) > 0, fact


def another(expected):
    """The nearest value that the table could have had instead."""
    if re.fullmatch(r"-?\d+", expected):
        return str(int(expected) + 1)
    if re.fullmatch(r"\d+\.\d+", expected):
        return f"{float(expected) + 10.0 ** -len(expected.partition('.')[2]):.{len(expected.partition('.')[2])}f}"
    return expected.replace("int16", "uint16") if expected == "int16" else "x".join(reversed(expected.split("x")))


@pytest.mark.parametrize("fact", FACTS)
def test_a_wrong_row_stops_with_its_name(nsd, by_hand, fact):
    wrong = another(str(by_hand[fact]))
    message = rf"^{fact} of {SUBJECT}: found \S+ in the files, facts\.tsv says {re.escape(wrong)}; read from nsddata"
    with pytest.raises(ValueError, match=message):
        check(nsd, [(fact, SUBJECT, wrong)])


def test_the_first_wrong_row_of_the_table_stops(nsd, by_hand):
    rows = [(fact, "all", by_hand[fact]) for fact in FACTS]
    rng = np.random.default_rng(5)
    for _ in range(4):
        order = rng.permutation(len(rows))
        first, second = np.sort(rng.choice(len(rows), 2, replace=False))
        shuffled = [rows[number] for number in order]
        for place in (first, second):
            fact, who, expected = shuffled[place]
            shuffled[place] = (fact, who, another(str(expected)))
        with pytest.raises(ValueError, match=rf"^{shuffled[first][0]} of all: found "):
            check(nsd, shuffled)


def test_files_after_the_first_wrong_row_are_not_looked_at(nsd, by_hand, changed):
    broken = changed(HDF5, lambda path: path.write_bytes(b"no such thing"))
    with pytest.raises(ValueError, match=r"^nsdgeneral_voxels of all: found"):
        check(broken, [("nsdgeneral_voxels", "all", 1), ("volume_hdf5_dtype", "all", "int16")])


@pytest.mark.parametrize(
    ("found", "expected", "agree"),
    [
        (37984, "37984", True),
        (37984, "37985", False),
        (0.4904, "0.490", True),
        (0.4904, ".49", True),
        (0.4904, "0.4904", True),
        (0.4904, "0.491", False),
        (0.4906, "0.490", False),
        (1094.445, "1094.4", True),
        (1094.445, "1094.5", False),
        (float("nan"), "0.490", False),
        ("int16", "int16", True),
        ("uint16", "int16", False),
        (16, "int16", False),
        ("1", "1.0", False),
    ],
)
def test_numbers_are_compared_as_they_are_written(found, expected, agree):
    if agree:
        require_fact("fact", "subj01", found, expected, table="a.tsv")
    else:
        with pytest.raises(ValueError, match=rf"^fact of subj01: found {found} in the files, a\.tsv says {expected}$"):
            require_fact("fact", "subj01", found, expected, table="a.tsv")


# ncsnr


def test_facts_of_another_version_are_passed_over_and_logged(nsd, by_hand, caplog):
    rows = [(fact, SUBJECT, 99) for fact in OTHER_VERSIONS]
    with caplog.at_level(logging.INFO):
        found = check(nsd, [*rows, ("nsdgeneral_voxels", SUBJECT, by_hand["nsdgeneral_voxels"])])
    assert found["fact"].tolist() == ["nsdgeneral_voxels"]
    for fact in OTHER_VERSIONS:
        assert f"{fact} of {SUBJECT} is passed over: it is not a fact of {VERSION}" in caplog.text
    b3 = pd.DataFrame([("nsdgeneral_voxels_ncsnr_median_b3", SUBJECT, "0.3")], columns=NSD_TABLE.columns)
    assert files_of_facts(b3, SUBJECT, "betas_fithrf") == []
    assert len(files_of_facts(b3, SUBJECT, VERSION)) == 2


def test_values_that_are_not_finite_are_left_out_and_counted_in_the_log(nsd, changed, caplog):
    key = layout.volume_ncsnr(SUBJECT, VERSION)
    image = nib.load(nsd / key)
    inside = values(nsd, layout.volume_file(SUBJECT, "roi/nsdgeneral")) == 1
    ratios = np.asarray(image.dataobj).copy()
    own = np.flatnonzero(inside.ravel())
    ratios.ravel()[own[: own.size // 2]] = np.nan  # the median is another one then
    ratios.ravel()[own[-1]] = np.inf
    left = np.sort(ratios.ravel()[own[own.size // 2 : -1]])
    left = left[~np.isnan(left)]
    median = (left[(left.size - 1) // 2] + left[left.size // 2]) / 2
    root = changed(key, lambda path: nib.save(nib.Nifti1Image(ratios, image.affine), path))
    with caplog.at_level(logging.INFO):
        check(root, [("nsdgeneral_voxels_ncsnr_median_b3", SUBJECT, f"{median:.4f}")])
    assert f"over {left.size} values; {own.size - left.size} more are not finite" in caplog.text
    ratios[:] = np.nan
    root = changed(key, lambda path: nib.save(nib.Nifti1Image(ratios, image.affine), path))
    with pytest.raises(ValueError, match="found nan in the files"):
        check(root, [("nsdgeneral_voxels_ncsnr_median_b3", SUBJECT, "0.000")])


def test_ncsnr_of_other_units_is_refused(nsd, changed):
    other = nib.load(nsd / layout.surface_ncsnr(SUBJECT, VERSION, "nativesurface", "lh"))
    root = changed(layout.surface_ncsnr(SUBJECT, VERSION, "fsaverage", "lh"), lambda path: nib.save(other, path))
    with pytest.raises(
        ValueError, match=r"ncsnr_median_b3 of all cannot be found in .*: ncsnr of \d+ vertices, expected the 20484"
    ):
        check(root, [("nsdgeneral_vertices_ncsnr_median_b3", "all", "0.4")])


# Format


def hdf5_with(betas, **layout_of_dataset):
    def write(path):
        with h5py.File(path, "w", libver="earliest") as file:
            file.create_dataset("betas", data=betas, **layout_of_dataset)

    return write


@pytest.fixture(scope="module")
def betas(nsd):
    with h5py.File(nsd / HDF5) as file:
        return file["betas"][:]


FORMAT = ["volume_hdf5_dtype", "volume_hdf5_shape", "volume_hdf5_chunks", "volume_hdf5_mb"]


@pytest.mark.parametrize(
    ("fact", "change"),
    [
        ("volume_hdf5_dtype", lambda betas: hdf5_with(betas.astype("i4"), chunks=(len(betas), 1, 1, 1))),
        ("volume_hdf5_dtype", lambda betas: hdf5_with(betas.astype("u2"), chunks=(len(betas), 1, 1, 1))),
        ("volume_hdf5_shape", lambda betas: hdf5_with(betas.T, chunks=(1, 1, 1, len(betas)))),
        ("volume_hdf5_shape", lambda betas: hdf5_with(betas.transpose(0, 3, 2, 1), chunks=(len(betas), 1, 1, 1))),
        ("volume_hdf5_shape", lambda betas: hdf5_with(betas[:-1], chunks=(len(betas) - 1, 1, 1, 1))),
        ("volume_hdf5_chunks", lambda betas: hdf5_with(betas, chunks=(1, *betas.shape[1:]))),
        ("volume_hdf5_chunks", hdf5_with),
    ],
)
def test_hdf5_of_another_kind_is_noticed(by_hand, changed, betas, fact, change):
    root = changed(HDF5, change(betas))
    with pytest.raises(ValueError, match=rf"^{fact} of all: found "):
        check(root, [(name, "all", by_hand[name]) for name in FORMAT])


def test_hdf5_of_another_size_is_noticed(nsd, by_hand, changed):
    root = changed(HDF5, lambda path: path.write_bytes((nsd / HDF5).read_bytes() + bytes(1000)))
    with pytest.raises(ValueError, match=r"^volume_hdf5_mb of all: found "):
        check(root, [(name, "all", by_hand[name]) for name in FORMAT])


def nifti_with(nsd, header_of):
    """Write the NIfTI file with another header."""

    def write(path):
        content = bytearray(gzip.decompress((nsd / NIFTI).read_bytes()))
        shape = nib.load(nsd / NIFTI).shape
        content[:352] = header_of(shape)
        path.write_bytes(gzip.compress(content, 1))

    return write


def scaled(shape):
    header = nib.Nifti1Header(nifti_header(shape, "int16", functional=True)[:348])
    header["scl_slope"] = 1 / 300
    return bytes(header.binaryblock) + bytes(4)


@pytest.mark.parametrize(
    ("fact", "header_of"),
    [
        ("volume_nifti_dtype", lambda shape: nifti_header(shape, "float32", functional=True)),
        (
            "volume_nifti_shape",
            lambda shape: nifti_header((shape[2], *shape[1::-1], shape[3]), "int16", functional=True),
        ),
        ("volume_nifti_slope", scaled),
    ],
)
def test_nifti_of_another_kind_is_noticed(nsd, by_hand, changed, fact, header_of):
    root = changed(NIFTI, nifti_with(nsd, header_of))
    with pytest.raises(ValueError, match=rf"^{fact} of all: found "):
        check(root, [(name, "all", by_hand[name]) for name in FACTS if name.startswith("volume_nifti")])


@pytest.mark.parametrize(
    ("fact", "change"),
    [
        # Read in the wrong order, 1 is 16777216.
        ("mgh_version", lambda content: np.frombuffer(content[:284], ">i4").astype("<i4").tobytes() + content[284:]),
        ("out_of_range", lambda content: content[:284] + np.frombuffer(content[284:], ">f4").astype("<f4").tobytes()),
        ("mb", lambda content: content + bytes(1000)),
        ("shape", lambda content: content[:4] + np.array([10241], ">i4").tobytes() + content[8:]),
        ("mgh_type", lambda content: content[:20] + np.array([4], ">i4").tobytes() + content[24:]),
    ],
)
def test_mgh_of_another_kind_is_noticed(nsd, by_hand, changed, fact, change):
    key = layout.surface_betas(SUBJECT, VERSION, 1, "rh")
    root = changed(key, lambda path: path.write_bytes(change((nsd / key).read_bytes())))
    with pytest.raises(ValueError, match=rf"^surface_betas_rh_{fact} of all: found "):
        check(root, [(name, "all", by_hand[name]) for name in FACTS if name.startswith("surface_betas")])


@pytest.mark.parametrize(
    ("key", "fact", "said"),
    [
        (HDF5, "volume_hdf5_dtype", "not readable as HDF5"),
        (NIFTI, "volume_nifti_dtype", "not a whole gzip file"),
        (layout.surface_betas(SUBJECT, VERSION, 1, "lh"), "surface_betas_lh_shape", "expected an mgh file"),
    ],
)
def test_a_page_of_text_instead_of_betas_is_named(changed, key, fact, said):
    root = changed(key, lambda path: path.write_text("<html>Access denied</html>"))
    with pytest.raises(ValueError, match=rf"^{fact} of all cannot be found in {re.escape(key)}: .*{said}"):
        check(root, [(fact, "all", "int16")])


@pytest.mark.parametrize("key", [HDF5, NIFTI, layout.surface_betas(SUBJECT, VERSION, 1, "lh")])
def test_a_connection_that_breaks_is_not_taken_for_a_damaged_file(nsd, key):
    class Broken(Counting):
        def readinto(self, buffer):
            raise ConnectionResetError("the other side hung up")

    @contextmanager
    def open_part(key):
        yield io.BufferedReader(Broken(nsd / key))

    fact = {HDF5: "volume_hdf5_dtype", NIFTI: "volume_nifti_dtype"}.get(key, "surface_betas_lh_shape")
    with pytest.raises(ConnectionResetError, match="hung up"):
        check_facts([f"{fact}\tall\t1"], SUBJECT, VERSION, files={}, open_part=open_part, table="a.tsv")


# HDF5 against NIfTI


AGREE = "volume_files_disagreeing_voxels"


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_copy_that_is_shifted_by_one_voxel_is_noticed(nsd, changed, betas, axis):
    root = changed(HDF5, hdf5_with(np.roll(betas, 1, axis), chunks=(len(betas), 1, 1, 1)))
    with pytest.raises(ValueError, match=rf"^{AGREE} of all: found (1\d|20) in the files, facts\.tsv says 0"):
        check(root, [(AGREE, "all", 0)])


def test_a_copy_that_is_shifted_by_one_trial_is_noticed(changed, betas):
    root = changed(HDF5, hdf5_with(np.roll(betas, -1, 0), chunks=(len(betas), 1, 1, 1)))
    with pytest.raises(ValueError, match=rf"^{AGREE} of all: found (1\d|20) in the files"):
        check(root, [(AGREE, "all", 0)])


def test_a_transposed_copy_is_noticed(changed, betas):
    root = changed(HDF5, hdf5_with(betas.transpose(0, 3, 2, 1), chunks=(len(betas), 1, 1, 1)))
    with pytest.raises(ValueError, match=rf"^{AGREE} of all cannot be found in .* HDF5 file of shape .* expected"):
        check(root, [(AGREE, "all", 0)])


def test_volume_files_on_another_grid_than_the_brain_mask_are_refused(nsd, changed):
    key = layout.volume_file(SUBJECT, "brainmask")
    mask = nib.load(nsd / key)
    root = changed(key, lambda path: nib.save(nib.Nifti1Image(np.asarray(mask.dataobj)[1:], mask.affine), path))
    with pytest.raises(ValueError, match="expected the grid of the subject's brain mask"):
        check(root, [(AGREE, "all", 0)])


def test_empty_files_do_not_pass_as_equal(nsd, changed, betas):
    changed(HDF5, hdf5_with(np.zeros_like(betas), chunks=(len(betas), 1, 1, 1)))
    root = changed(
        NIFTI, lambda path: nib.save(nib.Nifti1Image(np.zeros_like(betas.T), np.eye(4), dtype=np.int16), path)
    )
    with pytest.raises(ValueError, match="0 voxels of the brain are not 0 in the first trial, expected at least 20"):
        check(root, [(AGREE, "all", 0)])


def test_little_is_read_of_single_trial_betas(tmp_path):
    """Of files with one chunk for each voxel and one trial after the other, large enough for it to matter."""
    shape, trials = (26, 30, 28), 150
    rng = np.random.default_rng(8)
    series = rng.integers(-3000, 3000, (trials, *shape), dtype=np.int16)
    for key in (NIFTI, HDF5, layout.volume_file(SUBJECT, "brainmask")):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4)), tmp_path / layout.volume_file(SUBJECT, "brainmask"))
    by_voxel = series.transpose(0, 3, 2, 1).reshape(trials, -1)  # x fastest
    write_nifti_trials(tmp_path / NIFTI, shape, np.arange(np.prod(shape)), by_voxel)
    places = [(k, j, i) for k in range(shape[2]) for j in range(shape[1]) for i in range(shape[0])]
    chunks = ((place, series[:, place[2], place[1], place[0]].tobytes()) for place in places)
    write_hdf5_betas(tmp_path / HDF5, (trials, *shape[::-1]), chunks)
    read = {}
    check(tmp_path, [(AGREE, "all", 0)], read=read)
    sizes = {key: (tmp_path / key).stat().st_size for key in read}
    # One trial, and what gzip reads ahead; and for each of 20 voxels some kilobytes of index.
    assert read[NIFTI] < sizes[NIFTI] / 20
    assert read[HDF5] < sizes[HDF5] / 20
    check(tmp_path, [("volume_hdf5_chunks", "all", f"{trials}x1x1x1"), ("volume_nifti_slope", "all", 0)], read=read)
    assert read[HDF5] < 50_000
    assert read[NIFTI] < 300_000


# What the table decides


def test_files_follow_from_the_rows_of_the_subject_alone():
    rows = [
        ("sessions", "subj02", "40"),
        ("nsdgeneral_vertices", "all", "37984"),
        ("nsdgeneral_voxels", "subj01", "15724"),
        ("volume_hdf5_dtype", "all", "int16"),
        ("trials_of_all_subjects", "all", "213000"),
    ]
    table = pd.DataFrame(rows, columns=NSD_TABLE.columns)
    on_surface = [layout.surface_label("fsaverage", hemisphere, "nsdgeneral") for hemisphere in ("lh", "rh")]
    assert files_of_facts(table, "subj01", VERSION) == [*on_surface, layout.volume_file("subj01", "roi/nsdgeneral")]
    assert files_of_facts(table, "subj03", VERSION) == on_surface
    assert facts_of_subject(table, "subj01") == ["\t".join(rows[number]) for number in (1, 2, 3)]
    without = table[table["subject"] != "subj02"]
    for subject in ("subj01", "subj03"):
        assert facts_of_subject(without, subject) == facts_of_subject(table, subject)
        assert files_of_facts(without, subject, VERSION) == files_of_facts(table, subject, VERSION)


def test_an_unknown_fact_is_refused_while_planning_and_by_the_check(nsd):
    table = pd.DataFrame([("imagse", "subj01", "1")], columns=NSD_TABLE.columns)
    with pytest.raises(ValueError, match=r"^fact imagse is not one that can be looked up; known: trials_of_all"):
        files_of_facts(table, "subj01", VERSION)
    with pytest.raises(ValueError, match=r"^fact imagse is not one"):
        check_facts(["imagse\tsubj01\t1"], "subj01", VERSION, files={}, open_part=open, table="a.tsv")


def test_every_fact_is_checked_by_one_rule_or_for_one_subject():
    assert set(KNOWN_FACTS) == set(FACTS_OF_ALL_SUBJECTS) | set(GROUP_OF)
    assert not set(FACTS_OF_ALL_SUBJECTS) & set(GROUP_OF)
    assert set(COUNTED_FACTS) <= set(KNOWN_FACTS)


# The real dataset


def stated(fact):
    rows = NSD_TABLE[NSD_TABLE["fact"] == fact].set_index("subject")["expected"]
    return rows.sort_index()


def test_table_of_nsd_names_facts_that_can_be_found():
    assert set(NSD_TABLE["fact"]) == set(KNOWN_FACTS) - set(OTHER_VERSIONS)
    assert not NSD_TABLE.duplicated(["fact", "subject"]).any()
    per_subject = {subject: len(facts_of_subject(NSD_TABLE, subject)) for subject in stated("sessions").index}
    # subj01 alone has its first trial (2), the size of its HDF5 file (1) and early visual areas (7).
    assert set(per_subject) == {f"subj{number:02d}" for number in range(1, 9)}
    assert {subject: per_subject["subj01"] - count for subject, count in per_subject.items()} == {
        subject: 0 if subject == "subj01" else 10 for subject in per_subject
    }


@pytest.mark.parametrize("subject", stated("sessions").index)
def test_every_file_that_the_table_of_nsd_needs_is_in_the_table_of_sources(subject):
    sources = read_sources(ROOT / "config/datasets.tsv")
    keys = files_of_facts(NSD_TABLE, subject, VERSION)
    keys += [key for group in GROUP_OF.values() for key in group.parts(subject, VERSION)]
    assert len(set(keys)) == 17 + (subject == "subj01")  # whose early visual areas are looked at
    for key in keys:
        assert sources.of(key).urls(key)


@pytest.mark.parametrize(("units", "mean"), [("vertices", "36.20"), ("voxels", "24.2")])
def test_medians_of_ncsnr_give_the_published_noise_ceiling(units, mean):
    """NC = 100 n^2 / (n^2 + 1/3), its mean over subjects; 0.0005 of rounding is at most 0.05 % of it here."""
    medians = stated(f"nsdgeneral_{units}_ncsnr_median_b3").astype(float).to_numpy()
    assert medians.size == 8
    ceilings = 100 * medians**2 / (medians**2 + 1 / 3)
    assert noise_ceiling(medians) == pytest.approx(ceilings)
    assert f"{ceilings.mean():.{len(mean.partition('.')[2])}f}" == mean


def test_sizes_and_shapes_of_nsd_belong_together():
    nifti, hdf5 = stated("volume_nifti_shape"), stated("volume_hdf5_shape")
    assert len(nifti) == 8
    assert [shape.split("x")[::-1] for shape in nifti] == [shape.split("x") for shape in hdf5]
    for subject, shape in nifti.items():
        # The released grids are larger than the brain, and nsdgeneral is a small part of it.
        x, y, z, trials = map(int, shape.split("x"))
        assert trials == 750
        assert 0.01 < int(stated("nsdgeneral_voxels")[subject]) / (x * y * z) < 0.05
    vertices, _, _, trials = map(int, stated("surface_betas_lh_shape")["all"].split("x"))
    assert f"{(284 + 4 * vertices * trials) / 1e6:.1f}" == stated("surface_betas_lh_mb")["all"]
    assert vertices == 10 * 4**7 + 2  # an icosahedron's edges halved seven times
    # Chunks and their keys in the index (8 + 8 * 5 bytes) are less than the whole file, which other parts of the index fill.
    voxels = np.prod([int(size) for size in nifti["subj01"].split("x")[:3]])
    assert 0.95 < voxels * (1500 + 48 + 8) / 1e6 / float(stated("volume_hdf5_mb")["subj01"]) < 1
