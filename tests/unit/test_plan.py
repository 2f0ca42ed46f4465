"""The plan's sums: in closed form, against files that the library writes, and against every order in which jobs can run."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from capcortex.config import Study
from capcortex.fetch.sources import read_sources
from capcortex.nsd import layout, sizes
from capcortex.nsd.betas import average_repeats
from capcortex.nsd.sessions import RawSession, extract_session
from capcortex.plan import (
    KINDS,
    Betas,
    betas_of,
    bytes_there,
    costs_of,
    fetched_files,
    jobs_left,
    kept_raw_bytes,
    kind_of,
    outputs_of,
    peak_at_once,
    peak_in_turn,
    raw_bytes,
    sizes_of,
)

ROOT = Path(__file__).parents[2]


def study(subjects=("subj01", "subj04"), sessions=(40, 30), image_sets=(100, 54), **changes) -> Study:
    """A study of some of NSD's subjects; two spaces, two models of which one is mapped."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config |= {"source": "bucket", "models": ["caption", "random"], "encoder": "all-mpnet-base-v2"}
    config |= {"surface_betas": "fsaverage", "acceptance_table": str(ROOT / "config/acceptance_nsd.tsv")}
    config["searchlight"] |= {"models": ["caption"], "contrasts": [], "radius": 6}
    rows = zip(subjects, sessions, image_sets, strict=True)
    table = pd.DataFrame(
        [{"subject": s, "sessions": n, "trials_per_session": 750, "image_sets": m} for s, n, m in rows]
    )
    tables = (
        pd.read_csv(ROOT / f"config/{name}.tsv", sep="\t", comment="#")
        for name in ("models", "encoders", "atlases", "figures")
    )
    return Study(config | changes, table, *tables)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No results and no fetched files lie about."""
    monkeypatch.chdir(tmp_path)


def test_full_sessions_have_the_sizes_that_nsd_states() -> None:
    """491.5 MB for each mgh, 1.0944 GB and about 467 MB for subj01's volume."""
    subject = sizes_of(study(), "subj01")
    assert raw_bytes(study(), subject, "fsaverage") == pytest.approx(2 * 491.5e6, rel=1e-3)
    assert raw_bytes(study(volume_betas="hdf5"), subject, "func1pt8mm") == pytest.approx(1.0944e9, rel=1e-3)
    assert raw_bytes(study(volume_betas="nii.gz"), subject, "func1pt8mm") == pytest.approx(467e6, rel=1e-2)
    assert subject.n_voxels == 218_840
    assert subject.estimated == ("voxels in the brain mask",)


def test_shapes_of_volumes_are_those_of_the_acceptance_table() -> None:
    """There each is written as the file has it, trials first and axes turned round."""
    facts = pd.read_csv(ROOT / "config/acceptance_nsd.tsv", sep="\t", comment="#")
    shapes = facts[facts["fact"] == "volume_hdf5_shape"].set_index("subject")["expected"]
    assert {s: tuple(map(int, shape.split("x")[:0:-1])) for s, shape in shapes.items()} == sizes.VOLUME_SHAPES


def test_images_seen_three_times_come_from_the_best_that_is_there() -> None:
    """From the facts of whole subjects; else at most a third of the trials; from the trials when these are tabulated."""
    assert (sizes_of(study(), "subj04").n_images, sizes_of(study(), "subj04").n_shared) == (5_445, 515)
    fewer = study(sessions=(40, 20))
    assert (sizes_of(fewer, "subj04").n_images, sizes_of(fewer, "subj04").n_shared) == (20 * 750 // 3, 1_000)
    assert "images seen three times (upper bound)" in sizes_of(fewer, "subj04").estimated
    trials = Path("results/design/trials/subj04.tsv")
    trials.parent.mkdir(parents=True)
    trials.write_text("id73k\tshowings\tsession\n5\t3\t1\n5\t3\t2\n5\t3\t20\n6\t1\t20\n")
    assert sizes_of(fewer, "subj04").n_images == 1
    assert "images seen three times (upper bound)" not in sizes_of(fewer, "subj04").estimated


def test_a_mask_that_is_there_replaces_the_estimate() -> None:
    import nibabel

    mask = np.zeros((5, 6, 7), np.int16)
    mask[1:3, 2:5, 3] = 1
    path = Path(study().nsd_root, layout.volume_file("subj01", "brainmask"))
    path.parent.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), path)
    subject = sizes_of(study(), "subj01")
    assert (subject.n_voxels, subject.n_volume, subject.estimated) == (6, 210, ())


def test_betas_of_a_subject_in_closed_form() -> None:
    """For subj01 on the surface: int16 of 30,000 trials, float32 of 10,000 images, int16 of three repeats of 1,000 images."""
    small = study()
    found = betas_of(small, sizes_of(small, "subj01"), "fsaverage")
    # 327,684 vertices fill 80.001 blocks of 4,096, or 160.002 of 2,048.
    assert found.extracted == 2 * 30_000 * 161 * 2048
    assert found.averaged == 10_000 * 81 * 4096 * 4 + 2 * 3 * 1_000 * 81 * 4096
    assert found.raw == raw_bytes(small, sizes_of(small, "subj01"), "fsaverage")
    crossnobis = study(brain_distance="crossnobis")
    more = betas_of(crossnobis, sizes_of(crossnobis, "subj01"), "fsaverage").averaged - found.averaged
    assert more == 2 * 3 * 9_000 * 81 * 4096


@pytest.mark.parametrize("dim", ["vertex", "voxel"])
@pytest.mark.parametrize(("n_images", "n_units", "n_kept"), [(40, 3_000, 20), (130, 9_000, 130)])
def test_sizes_are_those_of_the_files_that_the_library_writes(
    dim: str, n_images: int, n_units: int, n_kept: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    ids = rng.permutation(np.repeat(np.arange(1, n_images + 1), 3)).reshape(3, n_images)
    paths = []
    for number, here in enumerate(ids):
        betas = rng.standard_normal((n_images, n_units)).astype(np.float32)
        blocks = (betas[:, start : start + 2048] for start in range(0, n_units, 2048))
        places = {name: (dim, np.arange(n_units, dtype=np.int32)) for name in "ijk"} if dim == "voxel" else {}
        paths.append(tmp_path / f"{number}.nc")
        trials = pd.DataFrame({"id73k": here, "showings": 3})
        extract_session(RawSession(blocks, dim, places, [(tmp_path / "raw", n_units)]), trials, paths[-1])
    output, repeats = tmp_path / "averages.nc", tmp_path / "repeats.nc"
    some = np.arange(1, n_kept + 1)
    about = {"subject": "subj01", "incomplete_data": "exclude"}
    average_repeats(paths, output, repeats=repeats, repeats_of=some, **about)
    for made, planned in (
        (paths, sizes.extracted_bytes(3, 3 * n_images, n_units, dim)),
        ([output], sizes.averages_bytes(n_images, n_units, dim)),
        ([repeats], sizes.repeats_bytes(n_kept, n_units, dim)),
    ):
        # Headers and tables of chunks are some KB.
        assert sum(path.stat().st_size for path in made) == pytest.approx(planned, rel=0.01, abs=60_000 * len(made))


def reachable_peak(betas: list[Betas], averaged_at_once: int) -> int:
    """Most bytes in any state that any order of jobs can reach, step by step as the rules allow it.

    A session: 0 not there, 1 raw, 2 raw and being extracted (its output is written), 3 extracted. A subject and space: its
    sessions, then 0 not averaged, 1 being averaged, 2 done.
    """

    def size(each: Betas, sessions: tuple[int, ...], stage: int) -> int:
        one = each.extracted // each.n_sessions
        if stage == 2:
            return each.averaged + each.later
        return sum((0, each.raw, each.raw + one, one)[s] for s in sessions) + (each.averaged if stage == 1 else 0)

    start = tuple(((0,) * each.n_sessions, 0) for each in betas)
    seen, waiting, peak = {start}, [start], 0
    while waiting:
        state = waiting.pop()
        peak = max(peak, sum(size(each, *part) for each, part in zip(betas, state, strict=True)))
        averaged = sum(stage == 1 for _, stage in state)
        for place, (sessions, stage) in enumerate(state):
            steps = []
            for k, s in enumerate(sessions):
                fetchable = k < 2 or sessions[k - 2] == 3
                if stage == 0 and (s in (1, 2) or (s == 0 and fetchable)):
                    steps.append(((*sessions[:k], s + 1, *sessions[k + 1 :]), 0))
            if set(sessions) == {3} and (stage == 1 or (stage == 0 and averaged < averaged_at_once)):
                steps.append((sessions, stage + 1))
            for step in steps:
                new = (*state[:place], step, *state[place + 1 :])
                if new not in seen:
                    seen.add(new)
                    waiting.append(new)
    return peak


@pytest.mark.parametrize("seed", range(8))
def test_no_order_of_jobs_takes_more_than_the_bound_and_one_takes_as_much(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With few sessions, raw betas of all would lie on the disk at once.
    monkeypatch.setattr("capcortex.costs.RAW_SESSIONS", 2)
    rng = np.random.default_rng(seed)
    betas = []
    for _ in range(3):
        n_sessions = int(rng.integers(1, 4))
        raw, one, averaged, later = (int(number) for number in rng.integers(0, 30, 4))
        betas.append(Betas(raw, n_sessions, one * n_sessions, averaged, later))
    for averaged_at_once in (1, 2):
        assert reachable_peak(betas, averaged_at_once) == peak_at_once(betas, averaged_at_once)
    # One after another: each alone beside what the earlier ones left.
    alone = [reachable_peak([each], 1) for each in betas]
    left = np.cumsum([0, *(each.done for each in betas)])
    assert peak_in_turn(betas) == max(*(before + peak for before, peak in zip(left, alone, strict=False)), left[-1])
    assert peak_in_turn(betas) <= peak_at_once(betas)


def test_room_taken_is_counted_while_files_come_and_go(tmp_path: Path) -> None:
    """Unfinished downloads have holes; a running study drops files between their listing and their counting."""
    folder = tmp_path / "resources"
    folder.mkdir()
    (folder / "whole").write_bytes(b"x" * 2**20)
    with (folder / "unfinished").open("wb") as file:
        file.truncate(2**30)
    (folder / "dropped").symlink_to("nowhere")
    assert 2**20 <= bytes_there([str(folder), str(tmp_path / "results")]) < 2**21


def test_more_sessions_take_more() -> None:
    def plan(n: int) -> tuple[float, ...]:
        small = study(sessions=(40, n))
        subjects = [sizes_of(small, name) for name in small.subject_names]
        betas = [betas_of(small, each, space) for each in subjects for space in layout.SPACES]
        seconds = sum(cost.seconds for cost in costs_of(small, subjects).values())
        return peak_in_turn(betas), peak_at_once(betas), seconds, costs_of(small, subjects)["average_repeats"].n_jobs

    for fewer, more in pairwise(plan(n) for n in (10, 20, 28)):
        assert all(a < b for a, b in zip(fewer[:3], more[:3], strict=True))
        assert fewer[3] == more[3] == 4


def test_raw_betas_are_kept_where_the_config_says_so() -> None:
    kept = study(bucket={"keep_raw": True, "nsd_terms_accepted": False})
    subjects = [sizes_of(kept, name) for name in kept.subject_names]
    assert all(betas_of(kept, each, space).raw == 0 for each in subjects for space in layout.SPACES)
    expected = 70 * 4 * 750 * 327_684 + sum(each.n_sessions * raw_bytes(kept, each, "func1pt8mm") for each in subjects)
    assert kept_raw_bytes(kept, subjects) == expected
    assert kept_raw_bytes(study(), subjects) == 0
    assert kept_raw_bytes(study(source="local"), subjects) == 0


DRY_RUN = """Using profiles profiles/default for setting default command line arguments.
Building DAG of jobs...
Job stats:
job                        count
-----------------------  -------
extract_surface_session      284
all                            1
check_design                   1
total                        286

Job stats:
job                        count
-----------------------  -------
all                            1
total                          1
"""


def test_jobs_are_read_from_the_first_table_of_a_dry_run() -> None:
    assert jobs_left(DRY_RUN) == {"extract_surface_session": 284, "check_design": 1}
    assert jobs_left("Nothing to be done (all requested files are present and up to date).\n") == {}


@pytest.mark.parametrize(
    ("text", "words"), [("WorkflowError:\nconfig.yaml:3: seed: wrong", "seed: wrong"), ("", "make plan")]
)
def test_a_dry_run_that_failed_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        jobs_left(text)


def test_files_are_counted_by_kind_with_what_is_there_and_what_is_left() -> None:
    """Of four sessions one is there, one was dropped after its use, two are left; COCO's four files are one archive."""
    root = "resources/natural-scenes-dataset"
    keys = [layout.surface_betas("subj01", layout.BETAS_VERSIONS[2], session, "lh") for session in (1, 2, 3, 4)]
    (Path(root) / keys[1]).parent.mkdir(parents=True)
    (Path(root) / keys[1]).write_bytes(b"12345")
    rows = [
        (keys[0], "fetch_session_betas", "removed temp file", "no update"),
        (keys[1], "fetch_session_betas", "ok", "no update"),
        *((key, "fetch_session_betas", "missing", "update pending") for key in keys[2:]),
        *(
            (layout.annotations(kind, split), "fetch_coco_annotations", "missing", "update pending")
            for kind in ("captions", "instances")
            for split in layout.SPLITS
        ),
    ]
    lines = [f"{root}/{key}\t-\t{rule}\tlogs/a.log\t{status}\t{what}" for key, rule, status, what in rows]
    lines += ["results/sentinel.tsv\t-\tcheck_sentinel\t-\tmissing\tupdate pending"]
    lines += ["resources/fetched/encoders/mine.json\t-\tfetch_encoder\t-\tmissing\tupdate pending"]
    outputs = outputs_of(
        "\n".join(["Building DAG of jobs...", "output_file\tdate\trule\tlog-file(s)\tstatus\tplan", *lines])
    )
    assert len(outputs) == 10
    found = fetched_files(outputs, read_sources(ROOT / "config/datasets.tsv"), root)
    assert list(found) == ["surface betas", "captions and objects (COCO)"]
    betas = found["surface betas"]
    assert (betas.n, betas.n_there, betas.size_there, betas.n_left) == (4, 1, 5, 2)
    assert betas.size_left == betas.size / 2 == pytest.approx(2 * 491.5e6)
    assert found["captions and objects (COCO)"].size_left == pytest.approx(252.9e6)


def test_every_kind_of_file_has_its_name() -> None:
    version = layout.BETAS_VERSIONS[2]
    keys = [
        layout.native_betas("subj01", version, 3, "rh"),
        layout.volume_betas("subj01", version, 3),
        layout.surface_ncsnr("subj01", version, "fsaverage", "lh"),
        layout.volume_file("subj01", "brainmask"),
        layout.transform("subj01", "lh", "white-to-fsaverage"),
        layout.surface_label("fsaverage", "lh", "streams"),
        layout.annotations("captions", "val2017"),
        layout.IMAGE_BRICK,
        layout.EXPERIMENT_DESIGN,
    ]
    assert [kind_of(key) for key in keys] == list(KINDS)
