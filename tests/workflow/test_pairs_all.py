"""The tiny study with `pairs: all`: what runs, what it says, and that it is right."""

import re
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from asking import copy_without_messages, jobs_of, require_fitting_memory
from comparing import require_sampling_error
from running import TINY, copy_study, run_snakemake
from scipy import stats
from scipy.spatial.distance import pdist

from capcortex.nsd import layout
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table

CONFIG = yaml.safe_load(TINY.read_text())
SUBJECTS, MODELS, ROIS = CONFIG["subjects"], CONFIG["models"], CONFIG["rois"]["streams"]
LABELS = {"early": 1, "midlateral": 3, "ventral": 5, "lateral": 6}
GROUP = {"tabulate_roi_rsa", "plot_roi_rsa", "compare_models", "plot_model_comparisons", "plot_pairwise"}
RUN = {"compare_all_pairs", "tabulate_all_pairs", *GROUP}


@pytest.fixture(scope="module")
def all_pairs(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished tiny study, turned to all pairs."""
    folder = tmp_path_factory.mktemp("all-pairs")
    copy_study(tiny_study, folder)
    overlay = folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(CONFIG | {"pairs": "all"}))
    done = run_snakemake(folder, config=overlay)
    assert done.returncode == 0, done.stderr[-4000:]
    ran = set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.M)) - {"all", "total"}
    assert ran == RUN
    return folder


def scores_of(folder: Path, subject: str) -> pd.DataFrame:
    return read_table(folder / f"results/rsa/all_pairs/{subject}_space-fsaverage.tsv", columns=SCORE_COLUMNS)


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_scores_are_those_of_scipy_on_the_betas(all_pairs: Path, subject: str) -> None:
    """All pairs of the images that the subject's trials show three times, in regions of NSD's own label files."""
    trials = read_table(all_pairs / f"results/design/trials/{subject}.tsv", columns=TRIAL_COLUMNS)
    images, counts = np.unique(trials["id73k"], return_counts=True)
    images = images[counts == 3]
    betas = opened(all_pairs / f"results/betas/{subject}_space-fsaverage.nc")["betas"].sel(id73k=images).to_numpy()
    nsd = all_pairs / "resources/nsd"
    labels = np.concatenate(
        [
            np.asarray(nibabel.load(nsd / layout.surface_label("fsaverage", hemisphere, "streams")).dataobj).ravel()
            for hemisphere in layout.HEMISPHERES
        ]
    )
    distances = read_table(all_pairs / "config/models.tsv", columns=["distance"]).set_index("model")["distance"]
    found = scores_of(all_pairs, subject)
    assert len(found) == len(MODELS) * len(ROIS)
    assert set(found["image_set"]) == {"all"} and set(found["subject"]) == {subject}
    for (model, roi), row in found.set_index(["model", "roi"]).iterrows():
        features = opened(all_pairs / f"results/models/features/{model}.nc")["features"].sel(id73k=images).to_numpy()
        inside = (labels == LABELS[roi]) & np.isfinite(betas).all(axis=0)
        with np.errstate(invalid="ignore"):
            sides = [pdist(betas[:, inside], "correlation"), pdist(features.astype(float), distances[model])]
        both = np.isfinite(sides[1])
        assert row["n_pairs"] == both.sum() <= images.size * (images.size - 1) // 2
        assert row["r"] == pytest.approx(stats.pearsonr(*(side[both] for side in sides)).statistic, abs=1e-8)


def test_group_takes_all_pairs_and_keeps_ceilings_and_ratios(all_pairs: Path, tiny_study: Path) -> None:
    name = "results/tables/roi-rsa_space-fsaverage.tsv"
    group, before = (pd.read_csv(folder / name, sep="\t") for folder in (all_pairs, tiny_study))
    assert (set(group["pairs"]), set(before["pairs"])) == ({"all"}, {"image_sets"})
    scores = pd.concat([scores_of(all_pairs, subject) for subject in SUBJECTS])
    means = scores.groupby(["model", "roi"])["r"].mean()
    for row in group.itertuples():
        assert row.r == pytest.approx(means[row.model, row.roi], abs=1e-8)
    assert (group["r"] != before["r"]).all()
    same = [column for column in group if re.match("model|roi|n_subjects|r_shared|ceiling|ratio", column)]
    assert len(same) > 15
    pd.testing.assert_frame_equal(group[same], before[same])


def test_figure_draws_all_pairs(all_pairs: Path) -> None:
    numbers = read_table(
        all_pairs / "results/figures/roi-rsa.tsv", columns=["mark", "model", "roi", "subject", "value"]
    )
    dots = numbers[numbers["mark"] == "subject"].set_index(["model", "roi", "subject"])["value"]
    scores = pd.concat([scores_of(all_pairs, subject) for subject in SUBJECTS])
    assert dots.to_dict() == pytest.approx(scores.set_index(["model", "roi", "subject"])["r"].to_dict(), abs=1e-8)


def test_the_difference_from_image_sets_lies_within_the_error_of_sampling(all_pairs: Path) -> None:
    table = require_sampling_error(all_pairs / "results/tables/all-pairs_space-fsaverage.tsv")
    assert len(table) == len(SUBJECTS) * len(MODELS) * len(ROIS)
    own = pd.concat(
        read_table(all_pairs / f"results/rsa/{model}_space-fsaverage.tsv", columns=SCORE_COLUMNS) for model in MODELS
    )
    own = own[own["image_set"].str.startswith("subj")].groupby(["model", "roi", "subject"])["r"]
    by_key = table.set_index(["model", "roi", "subject"])
    assert by_key["r_image_sets"].to_dict() == pytest.approx(own.mean().to_dict(), abs=1e-8)
    assert by_key["n_image_sets"].to_dict() == own.count().to_dict()


def test_the_way_back_tabulates_and_draws_only(all_pairs: Path) -> None:
    done = run_snakemake(all_pairs, "--dry-run", "--max-checksum-file-size", "0")
    assert set(re.findall(r"^(\w+) +\d+$", done.stdout, re.M)) - {"all", "total"} == GROUP


def test_an_added_model_extracts_nothing_and_is_compared_over_all_pairs(all_pairs: Path) -> None:
    overlay = all_pairs / "more.yaml"
    overlay.write_text(yaml.safe_dump(CONFIG | {"pairs": "all", "models": [*MODELS, "caption-length"]}))
    done = run_snakemake(all_pairs, "--dry-run", "--max-checksum-file-size", "0", config=overlay)
    planned = set(re.findall(r"^(\w+) +\d+$", done.stdout, re.M)) - {"all", "total"}
    resampled = {"bootstrap_rois", "permute_images", "tabulate_permutations"}
    ceilings = {"estimate_roi_ceilings", "tabulate_ceilings"}
    assert planned == RUN | resampled | ceilings | {
        "build_model",
        "tabulate_models",
        "compute_model_rdm",
        "compare_roi_rdms",
        "plot_rdms",
        "check_truth",
        "score_claims",
        "plot_scorecard",
    }


def test_jobs_ask_for_the_memory_that_they_take(all_pairs: Path, tmp_path: Path) -> None:
    copy_without_messages(tmp_path, all_pairs)
    jobs = [job for job in jobs_of(tmp_path, config=all_pairs / "overlay.yaml") if job.rule in RUN]
    assert require_fitting_memory(tmp_path, jobs) == len(jobs)
    assert {job.rule for job in jobs} == RUN
