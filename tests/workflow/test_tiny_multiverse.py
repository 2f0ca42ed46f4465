"""The tiny study's multiverse: the study's own results under its own choices, and what is computed by hand under others."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from running import script
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

SUBJECTS = ["subj01", "subj02", "subj03"]
VERSION = "betas_fithrf_GLMdenoise_RR"
REGIONS = {"ventral": 5, "lateral": 6}
AXES = ["betas_version", "zscore", "space", "draw", "distance", "least_ncsnr", "within", "measure"]


def read(path: Path) -> pd.DataFrame:
    text = dict.fromkeys(AXES, str) if "multiverse" in path.as_posix() else None
    return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype=text)


def test_the_studys_own_universe_is_the_main_analysis(tiny_study: Path) -> None:
    tables = tiny_study / "results/tables"
    table = read(tables / "multiverse.tsv")
    own = table[table["own"]].set_index("roi")
    assert list(own.index) == list(REGIONS)
    assert (table.groupby("roi").size() == 2 * 2 * 1 * 3 * 2 * 1 * 2).all()
    main = read(tables / "roi-rsa_space-fsaverage.tsv")
    main = main[main["model"] == "caption"].set_index("roi").loc[list(REGIONS)]
    compared = read(tables / "model-comparisons_space-fsaverage.tsv")
    compared = compared[(compared["model"] == "caption") & (compared["minus"] == "categories")].set_index("roi")
    # Tables have nine digits, those of subjects and of the group.
    for name in ("r", "r_low", "r_high", "n_subjects", "n_image_sets"):
        np.testing.assert_allclose(own[name], main[name], rtol=0, atol=2e-9, err_msg=name)
    for name in ("difference", "difference_low", "difference_high"):
        np.testing.assert_allclose(own[name], compared.loc[list(REGIONS), name], rtol=0, atol=2e-9, err_msg=name)


def test_scores_of_every_subject_are_those_of_the_main_analysis(tiny_study: Path) -> None:
    for model in ("caption", "categories"):
        scores = read(tiny_study / f"results/rsa/{model}_space-fsaverage.tsv")
        own = scores[~scores["image_set"].str.startswith("shared")]
        expected = own.groupby(["subject", "roi"])["r"].mean()
        for subject in SUBJECTS:
            found = read(tiny_study / f"results/multiverse/{subject}_space-fsaverage.tsv")
            levels = [VERSION, "session", "fsaverage", "1", "correlation", "none", "none", "pearson"]
            here = found[(found[AXES] == levels).all(axis=1) & (found["model"] == model) & found["minus"].isna()]
            for roi, r in zip(here["roi"], here["r"], strict=True):
                assert r == pytest.approx(expected[subject, roi], abs=2e-9)


def load(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


def compute_universes(**arguments: object) -> None:
    script("compute_universes").main(**arguments)


def test_a_universe_far_from_the_studys_is_what_is_computed_by_hand(tiny_study: Path, tmp_path: Path) -> None:
    """Another draw, the volume, no z-scores, reliable voxels in the regions of another atlas, euclidean distances, ranks."""
    results, nsd = tiny_study / "results", tiny_study / "resources/nsd"
    folder = nsd / "nsddata/ppdata/subj01/func1pt8mm"
    betas = results / "betas/subj01_space-func1pt8mm.nc"
    raw = nsd / f"nsddata_betas/ppdata/subj01/func1pt8mm/{VERSION}"
    ncsnr = raw / "ncsnr.nii.gz"
    features = [results / f"models/features/{model}.nc" for model in ("caption", "categories")]
    trials = results / "design/trials/subj01.tsv"
    scores = tmp_path / "scores.tsv"
    compute_universes(
        betas=str(betas),
        image_sets=str(results / "design/image_sets/subj01.tsv"),
        trials=str(trials),
        features=list(map(str, features)),
        labels=[str(folder / "roi/streams.nii.gz")],
        names=[str(nsd / "nsddata/freesurfer/fsaverage/label/streams.mgz.ctab")],
        indices=[],
        mask=str(folder / "brainmask.nii.gz"),
        ncsnr=[str(ncsnr)],
        within=[str(folder / "roi/Kastner2015.nii.gz")],
        raw=[str(raw / f"betas_session{session:02d}.nii.gz") for session in (1, 2, 3)],
        raw_indices=[],
        models=["caption", "categories"],
        model_distances=["correlation", "correlation"],
        rois={"streams": list(REGIONS)},
        native=[],
        axes={
            "betas_version": [VERSION],
            "zscore": ["session", "none"],
            "draw": [1, 2, 3],
            "distance": ["correlation", "euclidean"],
            "least_ncsnr": [None, 0.3],
            "within": [None, "Kastner2015"],
            "measure": ["pearson", "spearman"],
        },
        raw_versions=[VERSION],
        n_sessions=3,
        incomplete_data="exclude",
        seed=20250807,
        subject="subj01",
        space="func1pt8mm",
        scores=str(scores),
    )
    found = read(scores).assign(draw=lambda table: table["draw"].astype(int))
    assert len(found) == 2 * 2 * 3 * 2 * 2 * 2 * 2 * 3
    # The sets of a further draw are not those of the study, and as disjoint.
    shown = pd.read_csv(trials, sep="\t")["id73k"].value_counts()
    pool = np.sort(shown.index[shown == 3])
    sets = further_draw(pool, 3)
    assert np.unique(sets).size == sets.size
    own = read(results / "design/image_sets/subj01.tsv")["id73k"].to_numpy().reshape(-1, 20)
    assert sets.shape == own.shape
    assert not np.array_equal(sets, own)
    volumes = {
        name: np.asarray(nibabel.load(path).dataobj)
        for name, path in (
            ("streams", folder / "roi/streams.nii.gz"),
            ("Kastner2015", folder / "roi/Kastner2015.nii.gz"),
            ("ncsnr", ncsnr),
        )
    }
    of_brain = load(betas)
    measured = np.isfinite(of_brain["betas"].to_numpy()).all(axis=0)
    sessions = [np.asarray(nibabel.load(path).dataobj) for path in sorted(raw.glob("betas_session*.nii.gz"))]
    single = np.concatenate([session[at_of(of_brain)].T for session in sessions])
    at = at_of(of_brain)
    seen = pd.read_csv(trials, sep="\t")["id73k"].to_numpy()
    rows_of = pd.Series(np.arange(of_brain.sizes["id73k"]), of_brain["id73k"].to_numpy())
    upper = np.triu_indices(20, 1)
    for roi, label in REGIONS.items():
        kept = (volumes["streams"][at] == label) & (volumes["Kastner2015"][at] > 0) & (volumes["ncsnr"][at] >= 0.3)
        values = np.array(
            [single[seen == image][:, kept & measured].mean(axis=0) for image in of_brain["id73k"].to_numpy()]
        )
        assert 2 <= values.shape[1] < (volumes["streams"][at] == label).sum()
        for path in features:
            model, of_model = path.stem, load(path)
            order = pd.Series(np.arange(of_model.sizes["id73k"]), of_model["id73k"].to_numpy())
            numbers = of_model["features"].to_numpy().astype(float)
            r = []
            for ids in sets:
                region = rankdata(pdist(values[rows_of[ids]], "euclidean"))
                with np.errstate(invalid="ignore", divide="ignore"):
                    distances = 1 - np.corrcoef(numbers[order[ids]])[upper]
                used = np.isfinite(distances)
                r.append(np.corrcoef(rankdata(region[used]), rankdata(np.float32(distances[used]).round(6)))[0, 1])
            here = found[
                (found["roi"] == roi)
                & (found["zscore"] == "none")
                & (found["draw"] == 3)
                & (found["distance"] == "euclidean")
                & (found["least_ncsnr"] == "0.3")
                & (found["within"] == "Kastner2015")
                & (found["measure"] == "spearman")
                & (found["model"] == model)
                & found["minus"].isna()
            ]
            assert here["n_units"].item() == values.shape[1]
            assert here["r"].item() == pytest.approx(np.mean(r), abs=1e-4)


def at_of(brain: xr.Dataset) -> tuple[np.ndarray, ...]:
    return tuple(brain[axis].to_numpy() for axis in "ijk")


def further_draw(pool: np.ndarray, number: int) -> np.ndarray:
    from capcortex.seeds import random_generator

    rng = random_generator(20250807, "image-sets", "subj01", "draw", number)
    return np.sort(rng.permutation(pool)[: pool.size // 20 * 20].reshape(-1, 20), axis=1)


def test_the_figure_and_its_numbers_are_there(tiny_study: Path) -> None:
    figures = tiny_study / "results/figures"
    assert (figures / "multiverse.png").exists()
    numbers = read(figures / "multiverse.tsv")
    assert set(numbers["mark"]) == {"estimate", "range"}
    axes = read(tiny_study / "results/tables/multiverse_axes.tsv")
    assert set(axes["axis"]) == {"zscore", "draw", "distance", "least_ncsnr", "measure"}
