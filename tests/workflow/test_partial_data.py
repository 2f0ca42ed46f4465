"""Partial data are normal: with few subjects, only surfaces or only volumes everything comes out and says what is missing."""

import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import xarray as xr
import yaml
from local_study import LOCAL, LocalStudy, clone_study
from running import TINY, copy_study, run_snakemake

from capcortex.nsd import layout
from capcortex.tables import read_table
from capcortex.verdict import verdict

NO_MAPS = {"models": [], "contrasts": [], "radius": 2}
NO_TEST = "tests and intervals over subjects need at least two subjects"
FIGURES = ["roi-rsa", "pairwise-fig3a", "rdms", "captions", "data-quality"]


def clone_local(local_study: LocalStudy, folder: Path) -> None:
    """The same of the finished study on somebody else's copy of NSD; its figures are to be made anew."""
    folder.rmdir()
    clone_study(local_study, folder)
    shutil.rmtree(folder / "results/figures")


def remove(folder: Path, *patterns: str) -> None:
    """Remove files and folders of the user's copy of NSD; each pattern must find some."""
    for pattern in patterns:
        found = list((folder / "nsd").glob(pattern))
        assert found, pattern
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(folder: Path, *arguments: str, **overlay: object) -> subprocess.CompletedProcess:
    config = folder / "overlay.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | overlay))
    return run_snakemake(folder, *arguments, config=config)


def require_whole(folder: Path, done: subprocess.CompletedProcess, map_figures: list[str]) -> None:
    """The run ended well and quietly, and made every figure anew; that of captions has nothing new to show."""
    assert done.returncode == 0, done.stderr[-4000:]
    said = done.stdout + done.stderr
    said += "\n".join(path.read_text() for path in (folder / "logs").rglob("*.log"))
    warnings = [line for line in said.splitlines() if "warning" in line.lower() and "does not have region" not in line]
    assert not warnings, warnings
    for name in [*FIGURES, *map_figures]:
        for suffix in ("pdf", "png", "tsv"):
            path = folder / f"results/figures/{name}.{suffix}"
            assert path.stat().st_size > 200, path
            assert path.stat().st_mtime >= (folder / "overlay.yaml").stat().st_mtime or name == "captions", path


def group_table(folder: Path, space: str = "fsaverage") -> pd.DataFrame:
    columns = ["model", "roi", "n_subjects", "r", "p", "ceiling_lower", "test_left_out", "ratio_left_out"]
    return read_table(folder / f"results/tables/roi-rsa_space-{space}.tsv", columns=columns)


def require_reasons(table: pd.DataFrame) -> None:
    """Nothing is missing without a reason, and no reason stands beside a value."""
    for empty, reason in (
        (["r_low", "r_high", "t", "p", "p_adjusted"], "test_left_out"),
        (["ratio_to_lower"], "ratio_left_out"),
    ):
        for column in empty:
            assert (table[column].isna() == table[reason].notna()).all(), column
    assert not (table["ceiling_lower"].isna() & table["ratio_left_out"].isna()).any()


def group_map(folder: Path, name: str) -> xr.Dataset:
    with xr.open_dataset(folder / f"results/maps/{name}/group_space-fsaverage.nc", engine="h5netcdf") as file:
        return file.load()


def test_one_subject_has_results_without_tests_and_a_report(tiny_study: Path, tmp_path: Path) -> None:
    copy_study(tiny_study, tmp_path)
    done = run(tmp_path, subjects=["subj01"], shared_image_sets=0)
    require_whole(tmp_path, done, ["group-map_caption", "subject-maps_caption"])
    table = group_table(tmp_path)
    require_reasons(table)
    assert table["r"].notna().all() and set(table["n_subjects"]) == {1}
    assert set(table["test_left_out"]) == {NO_TEST}
    assert set(table["ratio_left_out"]) == {"a ceiling needs at least two subjects who have the region"}
    plotted = read_table(tmp_path / "results/figures/roi-rsa.tsv", columns=["mark", "test_left_out"])
    assert (plotted.loc[plotted["mark"] == "mean", "test_left_out"] == NO_TEST).all()

    group = group_map(tmp_path, "caption")
    assert group.attrs["test_left_out"] == NO_TEST
    assert np.isfinite(group["mean"]).mean() > 0.9
    assert not np.isfinite(group["p_fdr"]).any()
    numbers = read_table(tmp_path / "results/figures/group-map_caption.tsv", columns=["n_significant", "test_left_out"])
    assert numbers["n_significant"].isna().all()
    assert set(numbers["test_left_out"]) == {NO_TEST}

    check = read_table(tmp_path / "results/check.tsv", columns=["check", "ok", "left_out"])
    assert ((check["ok"] == "not checked") == check["left_out"].notna()).all()
    unchecked = check[check["left_out"].notna()]
    assert {"lower bound of the ceiling", "map of caption, surface - volume"} <= set(unchecked["check"])
    assert not check["check"][check["left_out"].isna()].str.contains("ceiling|surface").any()
    text, _ = verdict(tmp_path / "results")
    assert f"Not checked: {len(unchecked)} more." in text
    assert "an interval over subjects needs at least two" in text

    done = run(tmp_path, "--report", "report.html", subjects=["subj01"], shared_image_sets=0)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "This study has one subject" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_two_subjects_have_tests_and_a_ceiling_without_interval(local_study: LocalStudy, tmp_path: Path) -> None:
    clone_local(local_study, tmp_path)
    maps = {"models": ["caption", "categories"], "contrasts": [["caption", "categories"]], "radius": 2}
    # Of the three maps, only the contrast is drawn: figures of maps take longest.
    contrast = "group-map_caption_minus_categories"
    targets = ["tables", *(f"results/figures/{name}.png" for name in [*FIGURES, contrast])]
    done = run(tmp_path, "--", *targets, **LOCAL | {"subjects": ["subj02", "subj03"], "searchlight": maps})
    require_whole(tmp_path, done, [contrast])
    table = group_table(tmp_path)
    require_reasons(table)
    assert table["p"].notna().all() and table["ceiling_lower"].notna().all()
    assert set(table["ratio_left_out"]) == {
        "the interval of a ceiling needs at least three subjects who have the region"
    }
    group = group_map(tmp_path, "caption_minus_categories")
    assert group.attrs["test_left_out"] == ""
    assert group.attrs["least_p_sign_flip"] == 0.5 <= float(group["p_sign_flip"].min())


def test_only_surfaces(local_study: LocalStudy, tmp_path: Path) -> None:
    clone_local(local_study, tmp_path)
    remove(tmp_path, "nsddata_betas/ppdata/*/func1pt8mm", "nsddata/ppdata/*/func1pt8mm", "nsddata/ppdata/*/transforms")
    refused = run(tmp_path, "--dry-run", **LOCAL)
    assert refused.returncode != 0
    lines = (refused.stdout + refused.stderr).splitlines()
    for kind in (
        "volume betas and their ncsnr: 10 of 10",
        "brain masks and other volumes: 9 of 9",
        "transforms to surfaces",
    ):
        (line,) = [line for line in lines if line.strip().startswith(kind)]
        assert line.endswith("not needed with searchlight: {models: [], contrasts: []}")

    done = run(tmp_path, **LOCAL | {"searchlight": NO_MAPS})
    require_whole(tmp_path, done, [])
    require_reasons(group_table(tmp_path))
    quality = read_table(tmp_path / "results/tables/data-quality.tsv", columns=["betas_left_out", "voxels", "vertices"])
    assert set(quality["betas_left_out"]) == {"this study reads no volume betas"}
    assert quality["voxels"].isna().all() and quality["vertices"].notna().all()
    text, _ = verdict(tmp_path / "results")
    assert "Real data have no planted truth" in text


def test_only_volumes_and_a_region_that_some_lack(local_study: LocalStudy, tmp_path: Path) -> None:
    clone_local(local_study, tmp_path)
    remove(
        tmp_path,
        "nsddata_betas/ppdata/*/fsaverage",
        "nsddata/freesurfer/fsaverage/surf",
        "nsddata/freesurfer/subj*/label/*.mgz",
        layout.IMAGE_BRICK,
    )
    for subject in ("subj01", "subj02"):
        path = tmp_path / "nsd" / layout.volume_file(subject, "roi/floc-faces")
        labels = nibabel.load(path)
        values = np.where(np.asarray(labels.dataobj) == 1, 0, np.asarray(labels.dataobj))
        path.unlink()
        nibabel.save(nibabel.Nifti1Image(values, labels.affine, labels.header), path)
    refused = run(tmp_path, "--dry-run", **LOCAL)
    assert refused.returncode != 0
    assert (
        "surface betas and their ncsnr: 20 of 20; not needed with roi_space: func1pt8mm; surface_betas: "
        "nativesurface reads other files" in refused.stdout + refused.stderr
    )

    rois = {"streams": ["ventral"], "floc-faces": ["OFA"]}
    done = run(tmp_path, **LOCAL | {"roi_space": "func1pt8mm", "rois": rois})
    require_whole(tmp_path, done, ["group-map_caption", "subject-maps_caption"])
    table = group_table(tmp_path, "func1pt8mm")
    require_reasons(table)
    tests = table.set_index(["roi", "model"])["test_left_out"]
    assert set(tests["OFA"]) == {NO_TEST} and tests["ventral"].isna().all()
    assert table.set_index("roi").loc["OFA", "n_subjects"].tolist() == [1, 1, 1]
    quality = read_table(tmp_path / "results/tables/data-quality.tsv", columns=["betas_left_out", "voxels", "vertices"])
    assert set(quality["betas_left_out"]) == {"this study reads no surface betas"}
    assert quality["vertices"].isna().all() and quality["voxels"].notna().all()
