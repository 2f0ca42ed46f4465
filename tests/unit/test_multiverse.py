"""The multiverse: scores against an independent computation, sums of squares in closed form, and what a config makes of it."""

import tracemalloc
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from loading import script
from scipy import stats
from scipy.spatial.distance import pdist

from capcortex.arrays import write_array
from capcortex.config import Study, load_study
from capcortex.config_files import ConfigError, merge_layers, read_layers
from capcortex.figures.multiverse import draw_multiverse, plotted_numbers
from capcortex.inference.multiverse import tabulate_axes, tabulate_multiverse
from capcortex.nsd.miniature import formats
from capcortex.nsd.raw_averages import average_raw
from capcortex.nsd.sessions import RawSession
from capcortex.rsa.multiverse import AXES, UNIVERSE_COLUMNS, Draw, level_name, score_universes, select_units
from capcortex.rsa.rdm import LEAST_UNITS, rdms_of_sets
from capcortex.seeds import random_generator
from capcortex.tables import read_table, write_table

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config.yaml"
OWN = {
    "betas_version": "b3",
    "zscore": "session",
    "space": "fsaverage",
    "draw": "1",
    "distance": "correlation",
    "least_ncsnr": "none",
    "within": "none",
    "measure": "pearson",
}


# Of one subject


def draw_of(ids: np.ndarray, features: dict[str, np.ndarray], sets: np.ndarray) -> Draw:
    labels = [f"set {number}" for number in range(len(sets))]
    models = {
        name: rdms_of_sets(
            xr.DataArray(values, dims=("id73k", "feature"), coords={"id73k": ids}), sets, labels, "euclidean", what=name
        )
        for name, values in features.items()
    }
    return Draw(sets, labels, models)


@pytest.fixture
def subject(rng: np.random.Generator) -> dict:
    ids = np.arange(101, 131)
    betas = rng.standard_normal((30, 12))
    features = {"a": betas[:, :3] + rng.standard_normal((30, 3)), "b": rng.standard_normal((30, 3))}
    sets = {number: np.sort(rng.permutation(ids)[:24].reshape(3, 8), axis=1) for number in (1, 2)}
    patterns = xr.DataArray(betas, dims=("id73k", "vertex"), coords={"id73k": ids, "vertex": np.arange(12)})
    draws = {number: draw_of(ids, features, of_draw) for number, of_draw in sets.items()}
    return {"ids": ids, "betas": betas, "features": features, "sets": sets, "patterns": patterns, "draws": draws}


def test_every_universe_is_what_scipy_makes_of_it(subject: dict) -> None:
    kept = {(None, None): np.ones(12, bool), (0.3, "atlas"): np.arange(12) % 3 > 0}
    distances, measures = ["correlation", "cosine", "euclidean"], ["pearson", "spearman"]
    table = score_universes(subject["patterns"], kept, subject["draws"], distances, measures, what="betas")
    assert len(table) == 2 * 2 * 3 * 2 * 3
    compare = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}
    keyed = table.set_index(["draw", "distance", "least_ncsnr", "within", "measure"])
    for draw, distance, (least, atlas), measure in product((1, 2), distances, kept, measures):
        r = {}
        for name, values in subject["features"].items():
            r[name] = []
            for ids in subject["sets"][draw]:
                rows = ids - 101
                region = pdist(subject["betas"][rows][:, kept[least, atlas]], distance)
                r[name].append(compare[measure](region, pdist(values[rows], "euclidean"))[0])
        at = (str(draw), distance, "none" if least is None else "0.3", atlas or "none", measure)
        rows = keyed.loc[[at]].set_index(["model", "minus"])
        expected = {("a", None): r["a"], ("b", None): r["b"], ("a", "b"): np.subtract(r["a"], r["b"])}
        for (model, minus), values in expected.items():
            here = rows[
                (rows.index.get_level_values(0) == model) & (rows.index.get_level_values(1).isna() == (minus is None))
            ]
            # RDMs are kept in single precision.
            assert here["r"].item() == pytest.approx(np.mean(values), abs=1e-6)
            assert here["n_image_sets"].item() == 3
            assert here["n_units"].item() == kept[least, atlas].sum()


def test_a_region_without_units_is_a_row_without_r(subject: dict) -> None:
    table = score_universes(
        subject["patterns"], {(None, None): np.arange(12) < 1}, subject["draws"], ["cosine"], ["pearson"], what="betas"
    )
    assert table["r"].isna().all()
    assert set(table["n_image_sets"]) == {0}
    assert set(table["n_units"]) == {1}


def test_a_region_of_just_as_many_units_as_are_needed_has_an_r(subject: dict) -> None:
    """Of two units too: the main analysis takes such a region, and the study's own universe must be the same."""
    kept = np.isin(np.arange(12), np.arange(LEAST_UNITS) + 4)
    table = score_universes(
        subject["patterns"], {(None, None): kept}, subject["draws"], ["euclidean"], ["pearson"], what="betas"
    )
    r = [
        stats.pearsonr(
            pdist(subject["betas"][ids - 101][:, kept], "euclidean"), pdist(subject["features"]["a"][ids - 101])
        )[0]
        for ids in subject["sets"][1]
    ]
    own = table[(table["draw"] == "1") & (table["model"] == "a") & table["minus"].isna()]
    assert own["r"].item() == pytest.approx(np.mean(r), abs=1e-6)
    assert set(table["n_units"]) == {LEAST_UNITS}


def test_levels_are_written_so_that_close_ones_can_be_told_apart() -> None:
    assert [level_name(level) for level in (0.25, 2, None, "cosine")] == ["0.25", "2", "none", "cosine"]


def test_a_difference_is_of_the_sets_on_which_both_models_are_defined(subject: dict) -> None:
    features = subject["features"] | {"b": subject["features"]["b"].copy()}
    sets = subject["sets"][1]
    features["b"][sets[0] - 101] = 1.0
    draw = draw_of(subject["ids"], features, sets)
    whole = {(None, None): np.ones(12, bool)}
    table = score_universes(subject["patterns"], whole, {1: draw}, ["correlation"], ["pearson"], what="betas")
    model, minus, difference = table.to_dict("records")
    assert [row["n_image_sets"] for row in (model, minus, difference)] == [3, 2, 2]
    assert difference["r"] != pytest.approx(model["r"] - minus["r"], abs=1e-3)


def test_a_unit_is_kept_where_it_is_reliable_and_inside() -> None:
    ncsnr, inside = np.array([0.1, 0.2, np.nan, 0.5]), {None: np.ones(4, bool), "atlas": np.array([1, 1, 1, 0], bool)}
    kept = {key: list(np.flatnonzero(value)) for key, value in select_units(ncsnr, inside, [None, 0.2, 0]).items()}
    assert kept == {
        (None, None): [0, 1, 2, 3],
        (None, "atlas"): [0, 1, 2],
        (0.2, None): [1, 3],
        (0.2, "atlas"): [1],
        (0, None): [0, 1, 3],
        (0, "atlas"): [0, 1],
    }


# Straight from raw sessions


def raw_sessions(rng: np.random.Generator) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Three sessions of 8 trials: 6 images shown three times, some of them twice in a session, others fewer times."""
    ids = [31, 4, 15, 92, 31, 35, 1, 2, 4, 15, 65, 92, 65, 35, 5, 3, 31, 4, 15, 92, 65, 35, 5, 6]
    trials = pd.DataFrame({"id73k": ids, "session": np.arange(24) // 8 + 1})
    trials["showings"] = trials.groupby("id73k")["id73k"].transform("size")
    return [(rng.normal(50, 20, (8, 10)) * np.arange(1, 11)).astype(np.int16) for _ in range(3)], trials


def opened(raw: list[np.ndarray], trials: pd.DataFrame, *, block: int) -> list[tuple[RawSession, pd.DataFrame]]:
    return [
        (
            RawSession(iter(np.split(values, range(block, 10, block), axis=1)), "voxel", {}, [(Path("raw"), 10)]),
            trials[trials["session"] == number],
        )
        for number, values in enumerate(raw, start=1)
    ]


@pytest.mark.parametrize("block", [3, 10])
@pytest.mark.parametrize("policy", ["exclude", "nanmean"])
def test_averages_of_raw_sessions_are_means_of_trials(policy: str, block: int, rng: np.random.Generator) -> None:
    raw, trials = raw_sessions(rng)
    raw[1][:, 4] = 7  # not measured in the second session
    units = np.array([0, 2, 3, 4, 9])
    found = average_raw(opened(raw, trials, block=block), units, ["session", "none"], incomplete_data=policy)
    images = [4, 15, 31, 35, 65, 92]
    left = units if policy == "nanmean" else units[units != 4]
    deviations = [values.std(axis=0) for values in raw]
    deviations[1][4] = np.nan
    z = np.concatenate([(values - values.mean(axis=0)) / sd for values, sd in zip(raw, deviations, strict=True)])
    for zscore, values in (("session", z), ("none", np.concatenate(raw).astype(float))):
        values[8:16, 4] = np.nan
        expected = [np.nanmean(values[trials["id73k"] == image][:, left], axis=0) for image in images]
        assert list(found[zscore]["id73k"]) == images
        assert list(found[zscore]["voxel"]) == list(left)
        np.testing.assert_allclose(found[zscore], expected, rtol=2e-6, atol=1e-6)


# From files to scores

N_VERTICES = {"lh": 34, "rh": 41}  # of the common surface; unequal, as those below, so that a swap shows
N_NATIVE = {"lh": 27, "rh": 30}
N_SESSIONS, N_TRIALS = 3, 36
UNMEASURED = slice(5, 12)  # of both hemispheres, in one session
VERSIONS = ["own", "other"]
MODELS = {"a": "correlation", "b": "euclidean"}


class Files(NamedTuple):
    """What the script is told, and what a computation by hand needs: values of all vertices, left then right."""

    arguments: dict
    trials: pd.DataFrame
    single: dict[str, np.ndarray]
    """Betas of each version, (trial of all sessions, vertex); NaN where a vertex was not measured in a session."""
    labels: np.ndarray
    inside: dict[str | None, np.ndarray]
    ncsnr: np.ndarray
    features: dict[str, np.ndarray]
    sets: dict[int, np.ndarray]


def zscored(single: np.ndarray) -> np.ndarray:
    return np.concatenate([stats.zscore(session, axis=0) for session in np.split(single, N_SESSIONS)])


def averaged(single: np.ndarray, trials: pd.DataFrame, images: np.ndarray, policy: str) -> np.ndarray:
    """Means over three trials of each image; NaN of a vertex that the policy leaves out."""
    mean = np.mean if policy == "exclude" else np.nanmean
    return np.array([mean(single[trials["id73k"] == image], axis=0) for image in images])


def write_vertices(folder: Path, name: str, values: dict[str, np.ndarray]) -> list[str]:
    """Write a file for each hemisphere, of one value of each vertex or of one in each trial."""
    for side, of_side in values.items():
        formats.write_mgh(folder / f"{side}.{name}", np.atleast_2d(of_side).astype(np.float32))
    return [str(folder / f"{side}.{name}") for side in values]


def both(values: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(list(values.values()), axis=-1)


def write_sessions(
    folder: Path, rng: np.random.Generator, nearest: dict[str, np.ndarray] | None
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Write raw sessions of every version, on native surfaces if there is an index, and return their files and betas.

    Betas have a scale of their own in every vertex and version, so that z-scores matter; some vertices of each hemisphere were
    not measured in the second session.
    """
    files, single = [], {}
    for version in VERSIONS:
        sizes = N_NATIVE if nearest else N_VERTICES
        scales = {side: rng.uniform(0.1, 3, n) for side, n in sizes.items()}
        of_sessions = []
        for session in range(1, N_SESSIONS + 1):
            # Whole numbers, as files of native surfaces have them.
            betas = {
                side: np.rint(300 * rng.standard_normal((N_TRIALS, n)) * scales[side]) for side, n in sizes.items()
            }
            if session == 2:
                for side in sizes:
                    betas[side][:, UNMEASURED] = 0 if nearest else np.nan
            name = f"{version}_session{session:02d}"
            if nearest:
                for side, values in betas.items():
                    units = (((at,), of_vertex.astype("<i2").tobytes()) for at, of_vertex in enumerate(values.T))
                    formats.write_hdf5_betas(folder / f"{side}.{name}.hdf5", values.shape, units)
                files += [str(folder / f"{side}.{name}.hdf5") for side in sizes]
                betas = {side: values[:, nearest[side]] for side, values in betas.items()}
            else:
                files += write_vertices(folder, f"{name}.mgh", {side: values / 300 for side, values in betas.items()})
            of_sessions.append(np.where((both(betas) == 0).all(axis=0), np.nan, both(betas)))
        single[version] = np.concatenate(of_sessions)
    return files, single


def write_subject(folder: Path, rng: np.random.Generator, *, native: bool, policy: str) -> Files:
    """A subject on the surface: 30 images once in each of three sessions in orders of their own, and six others in each."""
    images, others = np.split(rng.permutation(np.arange(101, 150))[: 30 + 6 * N_SESSIONS], [30])
    ids = [rng.permutation([*images, *others[6 * n : 6 * n + 6]]) for n in range(N_SESSIONS)]
    trials = pd.DataFrame({"id73k": np.concatenate(ids), "session": np.repeat(np.arange(N_SESSIONS) + 1, N_TRIALS)})
    shown = trials.groupby("id73k")["id73k"]
    trials = trials.assign(
        subject="subj01", trial=1, id10k=1, showing=shown.cumcount() + 1, showings=shown.transform("size")
    )
    write_table(trials, folder / "trials.tsv")
    images = np.sort(images)

    def path(name: str) -> str:
        return str(folder / name)

    nearest = {hemisphere: rng.permutation(np.arange(n) % N_NATIVE[hemisphere]) for hemisphere, n in N_VERTICES.items()}
    indices = write_vertices(folder, "white-to-fsaverage.mgz", {side: index + 1 for side, index in nearest.items()})
    # Labels: regions 1 and 2; one atlas on the common surface, one on native surfaces.
    streams = {side: rng.integers(0, 3, n) for side, n in N_VERTICES.items()}
    common = {side: rng.integers(0, 3, n) for side, n in N_VERTICES.items()}
    personal = {side: rng.integers(0, 3, n) for side, n in N_NATIVE.items()}
    inside = {"common": both(common) > 0, "personal": both({s: personal[s][nearest[s]] for s in nearest}) > 0}
    ncsnr = {side: rng.uniform(0, 1, n) for side, n in N_VERTICES.items()}
    formats.write_ctab(folder / "streams.ctab", ["ventral", "lateral"])

    raw, single = write_sessions(folder, rng, nearest if native else None)
    betas = averaged(zscored(single["own"]), trials, images, policy).astype(np.float32)
    write_array(xr.Dataset({"betas": (("id73k", "vertex"), betas)}, {"id73k": images}), folder / "betas.nc")
    # More images than the subject saw, in another order.
    pool = rng.permutation(np.arange(90, 160))
    features = {model: rng.standard_normal((160, 5)) * [1, 2, 3, 4, 5] + 2 for model in MODELS}
    for model, values in features.items():
        dataset = xr.Dataset({"features": (("id73k", "feature"), values[pool])}, {"id73k": pool})
        write_array(dataset, folder / f"{model}.nc")
    # The study's own sets are read, those of a further draw are made from the seed.
    drawn = random_generator(7, "image-sets", "subj01", "draw", 2).permutation(images)
    sets = {1: rng.permutation(images)[:24].reshape(3, 8), 2: np.sort(drawn[:24].reshape(3, 8), axis=1)}
    names = np.repeat(["subj01-001", "subj01-002", "subj01-003"], 8)
    own_sets = pd.DataFrame({"image_set": names, "subject": "subj01", "id73k": sets[1].ravel()})
    write_table(own_sets, folder / "image_sets.tsv")
    arguments = {
        "betas": path("betas.nc"),
        "image_sets": path("image_sets.tsv"),
        "trials": path("trials.tsv"),
        "features": [path(f"{model}.nc") for model in MODELS],
        "labels": write_vertices(folder, "streams.mgz", streams),
        "names": [path("streams.ctab")],
        "indices": indices,
        "mask": None,
        "ncsnr": write_vertices(folder, "ncsnr.mgh", ncsnr),
        "within": [*write_vertices(folder, "common.mgz", common), *write_vertices(folder, "personal.mgz", personal)],
        "raw": raw,
        "raw_indices": indices if native else [],
        "models": list(MODELS),
        "model_distances": list(MODELS.values()),
        "rois": {"streams": ["ventral", "lateral"]},
        "native": ["personal"],
        "axes": {
            "betas_version": VERSIONS,
            "zscore": ["session", "none"],
            "draw": [1, 2],
            "distance": ["correlation"],
            "least_ncsnr": [None, 0.25],
            "within": [None, "common", "personal"],
            "measure": ["pearson"],
        },
        "raw_versions": VERSIONS,
        "n_sessions": N_SESSIONS,
        "incomplete_data": policy,
        "seed": 7,
        "subject": "subj01",
        "space": "fsaverage",
        "scores": path("scores.tsv"),
    }
    everywhere = {None: np.ones(sum(N_VERTICES.values()), bool)}
    return Files(arguments, trials, single, both(streams), everywhere | inside, both(ncsnr), features, sets)


@pytest.mark.parametrize(("native", "policy"), [(False, "exclude"), (True, "nanmean"), (True, "exclude")])
def test_every_universe_of_a_subject_on_the_surface_is_what_is_computed_by_hand(
    native: bool, policy: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Two versions of the betas with files of their own, atlases of both surfaces, models with distances of their own."""
    files = write_subject(tmp_path, rng, native=native, policy=policy)
    script("compute_universes").main(**files.arguments)
    axes = files.arguments["axes"]
    table = read_table(tmp_path / "scores.tsv", columns=UNIVERSE_COLUMNS, text=AXES)
    keys = [*axes, "roi", "model", "minus"]
    levels = {axis: [level_name(level) for level in of_axis] for axis, of_axis in axes.items()}
    rois, of_models = ["ventral", "lateral"], [("a", "none"), ("b", "none"), ("a", "b")]
    grid_of_rows = {(*at, roi, *of) for *at, roi, of in product(*levels.values(), rois, of_models)}
    found = table.fillna({"minus": "none"}).set_index(keys)
    assert set(found.index) == grid_of_rows
    assert len(found) == len(grid_of_rows)
    assert set(found["space"]) == {"fsaverage"}
    assert set(found["subject"]) == {"subj01"}

    images = np.unique(np.concatenate([of_draw.ravel() for of_draw in files.sets.values()]))
    model_rdms = {
        (model, draw): [pdist(files.features[model][ids], distance) for ids in of_draw]
        for model, distance in MODELS.items()
        for draw, of_draw in files.sets.items()
    }
    for version, zscore in product(VERSIONS, axes["zscore"]):
        single = files.single[version]
        values = averaged(zscored(single) if zscore == "session" else single, files.trials, images, policy)
        # A policy makes a difference to regions.
        assert np.isnan(single[:, files.labels > 0]).any()
        assert np.isnan(values[:, files.labels > 0]).any() == (policy == "exclude")
        for draw, least, atlas, (label, roi) in product(
            axes["draw"], axes["least_ncsnr"], axes["within"], enumerate(rois, start=1)
        ):
            kept = (files.labels == label) & files.inside[atlas] & np.isfinite(values[0])
            kept &= files.ncsnr >= (least or 0)
            region = [pdist(values[np.searchsorted(images, ids)][:, kept], "correlation") for ids in files.sets[draw]]
            r = {
                model: np.mean([np.corrcoef(*rdms)[0, 1] for rdms in zip(region, model_rdms[model, draw], strict=True)])
                for model in MODELS
            }
            at = (version, zscore, str(draw), "correlation", level_name(least), level_name(atlas), "pearson", roi)
            for of, expected in zip(of_models, (r["a"], r["b"], r["a"] - r["b"]), strict=True):
                row = found.loc[(*at, *of)]
                assert row["n_units"] == kept.sum()
                # Averages, and RDMs, are kept in single precision.
                assert row["r"] == pytest.approx(expected, abs=2e-5), (*at, *of)


# Over subjects


@pytest.mark.parametrize("policy", ["exclude", "nanmean"])
def test_averages_of_raw_sessions_take_the_memory_that_their_formula_counts(policy: str) -> None:
    """With one and with two of them, with and without units that cannot be used."""
    n_images, n_units = 300, 4000
    rng = np.random.default_rng(5)
    trials = pd.DataFrame({"id73k": np.repeat(np.arange(1, n_images + 1), 3), "showings": 3})
    one_mb = 4 * n_images * n_units / 2**20
    for zscores, n_missing in product((["none"], ["none", "session"]), (0, 40)):

        def blocks(n_missing: int = n_missing) -> Iterator[np.ndarray]:
            for start in range(0, n_units, 40):
                block = rng.standard_normal((len(trials), 40)).astype(np.float32)
                block[:, : n_missing if start == 0 else 0] = np.nan
                yield block

        raw = RawSession(blocks(), "voxel", {}, [(Path("raw"), len(trials))])
        tracemalloc.start()
        made = average_raw([(raw, trials)], np.arange(n_units), zscores, incomplete_data=policy)
        peak_mb = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        assert {array.shape for array in made.values()} == {(n_images, n_units - n_missing)}
        # Beside it 1 MB of blocks and their z-scores.
        assert peak_mb < (len(zscores) + 1.5) * one_mb + 1


def scores_of(r: dict[str, tuple[float, float]], n_units: dict[str, int] | None = None, **levels: str) -> pd.DataFrame:
    """Rows of one universe: r of both models for each subject."""
    rows = []
    for subject, (first, second) in r.items():
        for model, minus, value in (("a", None, first), ("b", None, second), ("a", "b", first - second)):
            row = {"subject": subject, "roi": "V", "model": model, "minus": minus, "r": value, "n_image_sets": 3}
            rows.append(OWN | levels | row | {"n_units": (n_units or {}).get(subject, 9)})
    return pd.DataFrame(rows)


def test_estimates_and_intervals_are_over_the_subjects_who_have_the_region() -> None:
    r = {"s1": (0.5, 0.1), "s2": (0.3, 0.2), "s3": (0.1, 0.0)}
    parts = [
        scores_of(r),
        scores_of(r | {"s3": (np.nan, np.nan)}, {"s3": 1}, distance="cosine"),
        scores_of(dict.fromkeys(r, (np.nan, np.nan)), dict.fromkeys(r, 0), distance="euclidean"),
        scores_of(r | {"s2": (0.3, np.nan)}, measure="spearman"),
    ]
    table = tabulate_multiverse(pd.concat(parts), OWN, 0.9).set_index("universe")
    assert list(table["own"]) == [True, False, False, False]
    assert list(table["n_subjects"]) == [3, 2, 0, 3]
    assert list(table["n_without"]) == [0, 1, 3, 0]
    for universe, values in ((1, [0.5, 0.3, 0.1]), (2, [0.5, 0.3])):
        interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
        assert table.loc[universe, ["r", "r_low", "r_high"]].to_list() == pytest.approx([np.mean(values), *interval])
    # Paired: of differences.
    interval = stats.ttest_1samp([0.4, 0.1, 0.1], 0).confidence_interval(0.9)
    found = table.loc[1, ["difference", "difference_low", "difference_high"]].to_list()
    assert found == pytest.approx([0.2, *interval])
    assert table.loc[3, ["r", "difference"]].isna().all()
    assert table.loc[4, "r"] == pytest.approx(0.3)
    assert np.isnan(table.loc[4, "difference"])
    assert list(table["left_out"]) == [
        "",
        "",
        "no subject has 2 vertices or voxels of the region",
        "r is not defined on the image sets of s2",
    ]


def test_a_universe_tells_of_the_smallest_region_that_counts() -> None:
    """Of the subjects in the mean: who has too few units is counted elsewhere."""
    r = {"s1": (0.5, 0.1), "s2": (0.3, 0.2), "s3": (0.1, 0.0)}
    parts = [
        scores_of(r, {"s1": 40, "s2": LEAST_UNITS, "s3": 7}),
        scores_of(r, {"s1": 40, "s2": LEAST_UNITS - 1, "s3": 7}, distance="cosine"),
        scores_of(r, dict.fromkeys(r, 0), distance="euclidean"),
    ]
    table = tabulate_multiverse(pd.concat(parts), OWN, 0.95)
    assert list(table["fewest_units"]) == [LEAST_UNITS, 7, 0]


def test_one_subject_and_one_universe_have_an_estimate_without_interval() -> None:
    table = tabulate_multiverse(scores_of({"s1": (0.5, 0.1)}), OWN, 0.95)
    assert table[["r", "difference"]].iloc[0].to_list() == pytest.approx([0.5, 0.4])
    assert table[["r_low", "difference_high"]].isna().all(axis=None)
    axes = tabulate_axes(table)
    assert axes.empty
    assert draw_multiverse(table, axes, labels={"a": "A", "b": "B"}, confidence=0.95, source="local").axes


def test_levels_that_are_written_alike_are_not_taken_for_more_subjects() -> None:
    scores = scores_of({"s1": (0.3, 0.1), "s2": (0.2, 0.1)})
    with pytest.raises(ValueError, match="region V: several universes have the levels"):
        tabulate_multiverse(pd.concat([scores, scores]), OWN, 0.95)
    close = [level_name(value) for value in (0.1234567, 0.1234568, 0.2, 1.0, None)]
    assert close == ["0.1234567", "0.1234568", "0.2", "1", "none"]


def test_without_the_studys_own_choices_there_is_no_table() -> None:
    with pytest.raises(ValueError, match="region V: 0 of 1 universes have the study's own choices"):
        tabulate_multiverse(scores_of({"s1": (0.5, 0.1)}, distance="cosine"), OWN, 0.95)


def test_two_universes_with_the_studys_own_choices_are_an_error() -> None:
    """A level that comes as a number and as text is one level: neither universe is the study's own more than the other."""
    r = {"s1": (0.5, 0.1), "s2": (0.3, 0.2)}
    twice = [scores_of(r), scores_of(r).assign(draw=1)]
    with pytest.raises(ValueError, match="region V: 2 of 2 universes have the study's own choices"):
        tabulate_multiverse(pd.concat(twice), OWN, 0.95)


# How much each axis matters


def grid(effect) -> pd.DataFrame:
    """Universes of three axes with 2, 3 and 2 levels, r by a function of the numbers of the levels; the difference is -r."""
    levels = {
        "space": ["fsaverage", "func1pt8mm"],
        "distance": ["correlation", "cosine", "euclidean"],
        "measure": ["pearson", "spearman"],
    }
    rows = []
    for numbers in product(*(range(len(of_axis)) for of_axis in levels.values())):
        chosen = {axis: of_axis[number] for (axis, of_axis), number in zip(levels.items(), numbers, strict=True)}
        rows.append({**OWN, **chosen, "roi": "V", "own": not any(numbers), "r": effect(*numbers)})
    return pd.DataFrame(rows).assign(difference=lambda table: -table["r"])


def test_shares_of_effects_that_add_up_are_their_variances() -> None:
    distance = np.array([0.0, 0.2, 0.1])
    axes = tabulate_axes(grid(lambda space, at, measure: 0.1 * space + distance[at]))
    total = 0.05**2 + distance.var()
    expected = {"space": 0.05**2 / total, "distance": distance.var() / total, "measure": 0}
    for quantity in ("r", "difference"):
        here = axes[axes["quantity"] == quantity].set_index("axis")
        assert here["share_of_variance"].to_dict() == pytest.approx(expected)
        for column in ("mean_range", "largest_range", "own_range"):
            assert here[column].to_dict() == pytest.approx({"space": 0.1, "distance": 0.2, "measure": 0})


def test_what_axes_do_only_together_is_in_ranges_and_not_in_shares() -> None:
    axes = tabulate_axes(grid(lambda space, distance, measure: 0.1 * (space ^ measure))).set_index(["quantity", "axis"])
    assert axes.loc["r", "share_of_variance"].to_list() == pytest.approx([0, 0, 0])
    assert axes.loc["r", "mean_range"].to_list() == pytest.approx([0.1, 0, 0.1])


def test_ranges_have_a_mean_a_largest_and_that_beside_the_study() -> None:
    axes = tabulate_axes(grid(lambda space, distance, measure: space * (1.0 + distance))).set_index(
        ["quantity", "axis"]
    )
    found = axes.loc[("r", "space"), ["mean_range", "largest_range", "own_range"]].to_list()
    assert found == pytest.approx([2, 3, 1])


def test_a_mean_range_is_a_mean() -> None:
    """Ranges 0, 1 and 5: their mean is not the one in the middle."""
    axes = tabulate_axes(grid(lambda space, distance, measure: space * [0.0, 1.0, 5.0][distance])).set_index(
        ["quantity", "axis"]
    )
    assert axes.loc[("r", "space"), "mean_range"] == pytest.approx(2)


def test_every_region_is_by_itself() -> None:
    """What another region holds changes nothing: other effects, another mean, other universes that are undefined."""
    one = grid(lambda space, distance, measure: 0.1 * space + 0.3 * (distance == 1))
    other = grid(lambda space, distance, measure: 2 - 0.7 * measure - 0.2 * space * distance).assign(roi="W")
    other = other.assign(difference=np.random.default_rng(5).standard_normal(len(other)))
    other.loc[other["distance"] == "cosine", "r"] = np.nan
    both = tabulate_axes(pd.concat([one, other], ignore_index=True))
    pd.testing.assert_frame_equal(both, pd.concat([tabulate_axes(one), tabulate_axes(other)], ignore_index=True))
    assert set(both["n_universes"]) == {len(one)}
    assert both.groupby("roi")["n_undefined"].max().to_dict() == {"V": 0, "W": 4}


def test_levels_are_listed_as_they_come_the_studys_own_first() -> None:
    table = grid(lambda space, distance, measure: 0.1 * distance)[::-1]
    axes = tabulate_axes(table).set_index(["quantity", "axis"])
    assert axes.loc[("r", "distance"), "levels"] == "euclidean, cosine, correlation"


def test_without_an_r_under_the_studys_own_choices_there_is_no_range_beside_them() -> None:
    """The other ranges stand: the study's own universe is one of many."""
    table = grid(lambda space, distance, measure: 0.1 * space)
    table.loc[table["own"], "r"] = np.nan
    axes = tabulate_axes(table).set_index(["quantity", "axis"])
    assert axes.loc["r", "own_range"].isna().all()
    assert axes.loc[("r", "space"), "mean_range"] == pytest.approx(0.1)
    assert axes.loc[("difference", "space"), "own_range"] == pytest.approx(0.1)


def test_undefined_universes_are_left_out_and_counted() -> None:
    table = grid(lambda space, distance, measure: 0.1 * space)
    table.loc[table["distance"] == "euclidean", "r"] = np.nan
    axes = tabulate_axes(table).set_index(["quantity", "axis"])
    assert set(axes.loc["r", "n_undefined"]) == {4}
    assert set(axes.loc["difference", "n_undefined"]) == {0}
    assert axes.loc[("r", "space"), "share_of_variance"] == pytest.approx(1)
    assert axes.loc[("r", "space"), "mean_range"] == pytest.approx(0.1)


@pytest.mark.parametrize("r", [0.5, 0.1, 0.3, 0.07, 0])
def test_nothing_varies(r: float) -> None:
    """Also where the mean of equal values is not quite their value."""
    axes = tabulate_axes(grid(lambda *_: r))
    assert axes["share_of_variance"].isna().all()
    assert set(axes["largest_range"]) == {0}


def test_rounding_is_no_variance() -> None:
    """Neither of r, nor of a difference of equal models, all of which is rounding."""
    table = grid(lambda a, b, c: 0.3 + 1e-14 * (a + b - c)).assign(difference=lambda rows: rows["r"] - 0.3)
    assert tabulate_axes(table)["share_of_variance"].isna().all()
    assert tabulate_axes(grid(lambda a, b, c: 0.3 + 1e-9 * (a + b - c)))["share_of_variance"].notna().all()


# The figure


def test_the_figure_shows_every_universe_in_order_and_marks_the_studys_own() -> None:
    table = grid(lambda space, distance, measure: 0.3 - 0.1 * space + 0.02 * distance)
    for name in ("r", "difference"):
        table = table.assign(**{f"{name}_low": table[name] - 0.1, f"{name}_high": table[name] + 0.1})
    table = table.assign(universe=range(12), n_without=0, model="a", minus="b")
    table.loc[5, "r"] = np.nan
    axes = tabulate_axes(table)
    figure = draw_multiverse(table, axes, labels={"a": "A", "b": "B"}, confidence=0.95, source="miniature")
    panels = {panel.get_label(): panel for panel in figure.axes}
    assert set(panels) == {f"{name}: V" for name in ("r", "difference", "choices", "ranges")}
    others, own = (line.get_ydata() for line in panels["r: V"].lines if line.get_marker() == "o")
    assert list(own) == [0.3]
    drawn = others[np.isfinite(others)]
    assert len(drawn) == 10
    assert list(drawn) == sorted(drawn)
    numbers = plotted_numbers(table, axes)
    assert numbers.groupby("mark").size().to_dict() == {"estimate": 24, "range": 6}
    assert list(panels["choices: V"].get_yticks()) == pytest.approx([0, 1, 2.6, 3.6, 4.6, 6.2, 7.2])


# The config


OTHERS = "models: [caption, categories]\nsearchlight: {models: [caption, categories]}\n"
"""Models that are not the miniature's."""


def study_of(tmp_path: Path, text: str):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(text)
    files = [CONFIG, overlay]
    return load_study(merge_layers(read_layers(files)), ROOT, files)


def test_the_studys_own_level_is_the_first_of_every_axis(tmp_path: Path) -> None:
    text = "brain_distance: euclidean\nleast_ncsnr: 0.4\n"
    text += "multiverse: {draws: 0, spaces: [func1pt8mm], regions: [parietal, ventral]}"
    multiverse = study_of(tmp_path, text).multiverse
    assert tuple(multiverse.axes) == AXES
    assert multiverse.axes == {
        "betas_version": ["betas_fithrf_GLMdenoise_RR"],
        "zscore": ["session", "none"],
        "space": ["fsaverage", "func1pt8mm"],
        "draw": [1],
        "distance": ["euclidean", "correlation", "cosine"],
        "least_ncsnr": [0.4, None, 0.2],
        "within": [None, "Kastner2015"],
        "measure": ["pearson", "spearman"],
    }
    assert multiverse.n_universes == 2 * 2 * 3 * 3 * 2 * 2
    assert multiverse.rois == {"streams": ["ventral", "parietal"]}


def test_every_choice_of_the_study_is_the_first_level_of_its_axis(tmp_path: Path) -> None:
    """Each differs from what the default config has, and from the first level of the multiverse's own lists."""
    choices = {
        "betas_version": "betas_assumehrf",
        "roi_space": "func1pt8mm",
        "brain_distance": "cosine",
        "least_ncsnr": 0.3,
        "rdm_comparison": "spearman",
    }
    versions = ["betas_fithrf", "betas_fithrf_GLMdenoise_RR"]
    text = f"source: local\nlocal: {{nsd: /nsd}}\n{OTHERS}multiverse: {{betas_versions: [{', '.join(versions)}]}}\n"
    axes = study_of(tmp_path, text + "".join(f"{key}: {value}\n" for key, value in choices.items())).multiverse.axes
    assert axes["betas_version"] == ["betas_assumehrf", *versions]
    assert axes["space"] == ["func1pt8mm"]
    assert axes["distance"] == ["cosine", "correlation", "euclidean"]
    assert axes["least_ncsnr"] == [0.3, None, 0.2]
    assert axes["measure"] == ["spearman", "pearson"]


@pytest.mark.parametrize(
    "text",
    [
        "multiverse: {models: []}",
        "multiverse: {models: [caption, caption-qa]}",
        "multiverse: {regions: [V1v]}",
        "brain_distance: crossnobis",
    ],
)
def test_without_models_or_regions_in_use_there_is_no_multiverse(text: str, tmp_path: Path) -> None:
    assert study_of(tmp_path, text).multiverse is None


def test_spaces_without_betas_are_passed_over(tmp_path: Path) -> None:
    multiverse = study_of(tmp_path, "searchlight: {models: [], contrasts: []}").multiverse
    assert multiverse.axes["space"] == ["fsaverage"]


def test_raw_sessions_are_read_of_what_the_study_has_no_averages_of(tmp_path: Path) -> None:
    own, other = "betas_fithrf_GLMdenoise_RR", "betas_assumehrf"
    for keys, versions, n_raw in (
        ("zscores: []", [], 0),
        ("zscores: [none]", [own], 1),
        (f"zscores: [session], betas_versions: [{own}, {other}]", [other], 1),
        (f"betas_versions: [{other}]", [own, other], 2),
    ):
        multiverse = study_of(
            tmp_path, f"source: local\nlocal: {{nsd: /nsd}}\n{OTHERS}multiverse: {{{keys}}}"
        ).multiverse
        assert (multiverse.raw_versions, multiverse.n_raw) == (versions, n_raw)


def test_levels_whose_raw_sessions_are_not_there_are_passed_over(tmp_path: Path) -> None:
    keys = "multiverse: {betas_versions: [betas_assumehrf]}\n"
    assert study_of(tmp_path, keys).multiverse.raw_versions == ["betas_fithrf_GLMdenoise_RR"]
    assert study_of(tmp_path, f"source: bucket\n{OTHERS}{keys}").multiverse.raw_versions == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("multiverse: {models: [caption]}", "multiverse: models: found 'caption' alone, expected a model and the one"),
        ("multiverse: {models: [caption, categoreis]}", "multiverse: models: item 2: 'categoreis' is not in"),
        ("multiverse: {within: [Kastner]}", "multiverse: within: item 1: 'Kastner' is not in config/atlases.tsv"),
        ("multiverse: {within: [none]}", "multiverse: within: item 1: 'none' is"),
        ("multiverse: {distances: [crossnobis]}", "multiverse: distances: item 1: found 'crossnobis'"),
    ],
)
def test_mistakes_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        study_of(tmp_path, text)


def test_an_atlas_of_ones_own_needs_labels_in_every_space_that_is_used(tmp_path: Path) -> None:
    table = tmp_path / "atlases.tsv"
    own = "flat\tfsaverage\tlabels/{hemisphere}.flat.mgz\t\tlabels/flat.ctab\tflat\n"
    own += "deep\tsubject\t\tlabels/{subject}.deep.nii.gz\tlabels/deep.ctab\tdeep\n"
    table.write_text((ROOT / "config/atlases.tsv").read_text() + own)

    def study(text: str, within: str, spaces: str = "[fsaverage, func1pt8mm]", more: str = "") -> Study:
        keys = f"multiverse: {{within: [null, {within}], spaces: {spaces}{more}}}"
        return study_of(tmp_path, f"atlases_table: {table}\n{text}{keys}")

    with pytest.raises(
        ConfigError, match=r"spaces: item 2: .*'flat' has no file in the column volume, which func1pt8mm"
    ):
        study("", "flat")
    # The study's own space is a level though no list names it.
    with pytest.raises(
        ConfigError, match=r"multiverse: within: .*'deep' has no file in the column surface, which fsaverage"
    ):
        study("", "deep", "[]")
    with pytest.raises(
        ConfigError, match=r"multiverse: within: .*'flat' has no file in the column volume, which func1pt8mm"
    ):
        study("roi_space: func1pt8mm\n", "flat", "[fsaverage]")
    # Without a searchlight there are no betas in the volume, and without models there is nothing.
    assert study("searchlight: {models: [], contrasts: []}\n", "flat").multiverse.axes["space"] == ["fsaverage"]
    assert study("roi_space: func1pt8mm\n", "deep").multiverse.axes["space"] == ["func1pt8mm"]
    assert study("", "flat", more=", models: []").multiverse is None
