"""The tiny study really runs; what it makes is whole, explained by provenance, and sensitive to a slip by one image."""

import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from comparing import verdicts
from running import ROOT, TINY, run_snakemake, script

from capcortex.tables import read_table, write_table
from capcortex.verdict import verdict

SUBJECTS = ["subj01", "subj02", "subj03"]
MODELS = ["caption", "categories", "content-vectors", "random", "picture-attributes"]


def test_every_result_is_there(tiny_study: Path) -> None:
    for name in ("roi-rsa", "pairwise-fig3a", "rdms", "captions", "caption-statistics", "caption-tsne"):
        for suffix in ("pdf", "png", "tsv"):
            assert (tiny_study / f"results/figures/{name}.{suffix}").stat().st_size > 200
    assert not list(tiny_study.rglob(".partial-*"))
    assert not list((tiny_study / "results/betas").rglob("*session-*")), (
        "extracted sessions are dropped after averaging"
    )


def test_every_job_left_its_provenance(tiny_study: Path) -> None:
    record = json.loads(
        (tiny_study / "results/provenance/compute_roi_rdm_subject-subj01_space-fsaverage.json").read_text()
    )
    assert record["rule"] == "compute_roi_rdm"
    assert record["params"]["distance"] == "correlation"
    assert len(record["params"]["code"]) == 16
    assert record["versions"]["numpy"] == np.__version__
    betas = record["inputs"]["results/betas/subj01_space-fsaverage.nc"]
    assert re.fullmatch(r"[0-9a-f]{64}", betas["sha256"])
    seeded = json.loads((tiny_study / "results/provenance/draw_image_sets_subject-subj01.json").read_text())
    assert seeded["params"]["seed"] == 20250807


def test_averaged_betas_are_those_of_the_raw_files(tiny_study: Path) -> None:
    """Straight from NSD's files, without the library: z-score of the session, mean of three showings."""
    nsd = tiny_study / "resources/nsd"
    responses = pd.read_csv(nsd / "nsddata/ppdata/subj01/behav/responses.tsv", sep="\t")
    folder = nsd / "nsddata_betas/ppdata/subj01/fsaverage/betas_fithrf_GLMdenoise_RR"
    z = []
    for session in (1, 2, 3):
        data = nibabel.load(folder / f"rh.betas_session{session:02d}.mgh").get_fdata()[:, 0, 0, :].T
        z.append((data - data.mean(0)) / data.std(0))
    z = np.concatenate(z)
    with xr.open_dataset(tiny_study / "results/betas/subj01_space-fsaverage.nc", engine="h5netcdf") as file:
        betas = file["betas"].load()
    for image in betas["id73k"].to_numpy()[[0, 17, -1]]:
        expected = z[np.flatnonzero(responses["73KID"] == image)]
        assert len(expected) == 3
        found = betas.sel(id73k=image).to_numpy()[10242:]
        measured = np.isfinite(found)
        assert measured.mean() > 0.9
        np.testing.assert_allclose(found[measured], expected.mean(0)[measured], atol=6e-4)


def test_the_sentinel_passes_and_the_check_has_its_rows(tiny_study: Path) -> None:
    text, _ = verdict(tiny_study / "results")
    assert "Sentinel" in text
    sentinel = read_table(tiny_study / "results/sentinel.tsv", columns=["ok"])
    assert bool(sentinel["ok"].iloc[0])
    check = read_table(tiny_study / "results/check.tsv", columns=["kind", "ok"])
    assert set(check["kind"]) == {"effect", "null"}


def image_sets(tiny_study: Path) -> list[str]:
    return [str(tiny_study / f"results/design/image_sets/{name}.tsv") for name in (*SUBJECTS, "shared")]


def shifted_features(tiny_study: Path, folder: Path) -> Path:
    """The caption features with every image carrying the captions of the next one."""
    with xr.open_dataset(tiny_study / "results/models/features/caption.nc", engine="h5netcdf") as file:
        features = file.load()
    moved = features.assign(features=features["features"].roll(id73k=1, roll_coords=False))
    path = folder / "shifted.nc"
    moved.to_netcdf(path, engine="h5netcdf")
    return path


def test_captions_shifted_by_one_image_stop_at_the_sentinel(tiny_study: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not belong to the same images"):
        script("check_sentinel").main(
            captions=str(shifted_features(tiny_study, tmp_path)),
            categories=str(tiny_study / "results/models/features/categories.nc"),
            image_sets=image_sets(tiny_study),
            sentinel=str(tmp_path / "sentinel.tsv"),
        )
    assert not (tmp_path / "sentinel.tsv").exists()


def test_captions_shifted_by_one_image_fail_the_check(tiny_study: Path, tmp_path: Path) -> None:
    """Past the sentinel, the planted effects of captions are not found either, and the nulls stay as they are."""
    results = tiny_study / "results"
    rdm, scores = tmp_path / "rdm.nc", tmp_path / "scores.tsv"
    script("compute_model_rdm").main(
        features=str(shifted_features(tiny_study, tmp_path)),
        image_sets=image_sets(tiny_study),
        distance="correlation",
        rdm=str(rdm),
    )
    script("compare_roi_rdms").main(
        model_rdm=str(rdm),
        roi_rdms=[str(results / f"rdms/rois/{subject}_space-fsaverage.nc") for subject in SUBJECTS],
        model="caption",
        subjects=SUBJECTS,
        measure="pearson",
        scores=str(scores),
    )
    after = run_check(tiny_study, SUBJECTS, tmp_path / "check.tsv", scores={"caption": scores}, rdms={"caption": rdm})
    before = read_table(results / "check.tsv", columns=["check", "roi", "kind", "ok"]).set_index(
        ["check", "roi", "kind"]
    )
    effects = [row for row in after.index if row[0] == "caption" and row[2] == "effect"]
    assert effects
    assert (before.loc[effects, "ok"] == "yes").all()
    assert (after.loc[effects, "ok"] == "NO").all()
    untouched = [row for row in after.index if "caption" not in row[0]]
    assert untouched
    assert (before.loc[untouched, "ok"] == after.loc[untouched, "ok"]).all()
    # The scorecard changes in the rows that the check changes in, and in no other.
    of_study, of_shifted = (
        verdicts(path, tmp_path / "scorecard.tsv") for path in (results / "check.tsv", tmp_path / "check.tsv")
    )
    claims = {row: f"planted: {row[0]}, {row[1]}" for row in after.index}
    changed = {claim for claim in claims.values() if of_study[claim] != of_shifted[claim]}
    assert {claims[row] for row in effects} <= changed
    assert changed == {claim for row, claim in claims.items() if before.at[row, "ok"] != after.at[row, "ok"]}


def run_check(
    tiny_study: Path,
    subjects: list[str],
    check: Path,
    *,
    scores: dict[str, Path],
    rdms: dict[str, Path],
    checked_rois: list[str] | None = None,
) -> pd.DataFrame:
    """Run the check on some of the subjects, with some of the models' files replaced."""
    results, truth = tiny_study / "results", tiny_study / "resources/miniature/truth"
    of_subjects = check.with_name("ceilings.tsv")
    ceilings = read_table(results / "ceilings/rois_space-fsaverage.tsv", columns=["subject"])
    write_table(ceilings[ceilings["subject"].isin(subjects)] if len(subjects) > 2 else ceilings.iloc[:0], of_subjects)
    found = {model: results / f"rsa/{model}_space-fsaverage.tsv" for model in MODELS} | scores
    for model, path in found.items():
        table = read_table(path, columns=["subject"])
        found[model] = check.with_name(f"{model}.tsv")
        write_table(table[table["subject"].isin(subjects)], found[model])
    made = {model: results / f"rdms/models/{model}.nc" for model in MODELS} | rdms
    script("check_truth").main(
        truth=str(ROOT / "config/truth.yaml"),
        latents=str(truth / "latents.nc"),
        surfaces=[str(truth / f"{subject}_surface.nc") for subject in subjects],
        responses=[
            str(tiny_study / f"resources/nsd/nsddata/ppdata/{subject}/behav/responses.tsv") for subject in subjects
        ],
        models=[str(made[model]) for model in MODELS],
        scores=[str(found[model]) for model in MODELS],
        ceilings=str(of_subjects),
        subjects=subjects,
        seed=1,
        made_up_captions=True,
        searchlight=None,
        encoding={"r": {}, "responses": {}, "features": {}, "sentences": {}, "sentence_model": None},
        decoding=None,
        decoded={},
        checked_rois=["early", "midlateral", "ventral", "lateral"] if checked_rois is None else checked_rois,
        check=str(check),
    )
    rows = read_table(check, columns=["check", "roi", "kind", "ok", "left_out"]).set_index(["check", "roi", "kind"])
    return rows[rows["left_out"].isna()]


@pytest.mark.parametrize("subjects", [SUBJECTS[:1], SUBJECTS[:2]], ids=["one", "two"])
def test_without_a_ceiling_the_check_has_no_rows_of_ceilings(
    tiny_study: Path, tmp_path: Path, subjects: list[str]
) -> None:
    table = run_check(tiny_study, subjects, tmp_path / "check.tsv", scores={}, rdms={})
    assert len(table) > 5
    assert not [row for row in table.index if "ceiling" in row[0]]


def test_regions_without_an_expected_value_are_not_checked(tiny_study: Path, tmp_path: Path) -> None:
    """The expected values are those of the streams on fsaverage: regions of the same names elsewhere have none."""
    for checked in (["ventral"], []):
        table = run_check(tiny_study, SUBJECTS, tmp_path / "check.tsv", scores={}, rdms={}, checked_rois=checked)
        assert set(table.index.get_level_values("roi")) == set(checked)


def plan(tiny_study: Path, overlay: Path, **changes) -> tuple[set[str], str]:
    """Rules that would run after a change of the configuration, and everything that Snakemake says."""
    overlay.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | changes))
    done = run_snakemake(tiny_study, "--dry-run", config=overlay)
    assert done.returncode == 0, done.stderr[-3000:]
    return set(re.findall(r"^(\w+) +\d+$", done.stdout, re.M)), done.stdout + done.stderr


def test_regions_in_the_volume_are_planned_beside_those_on_the_surface(tiny_study: Path, tmp_path: Path) -> None:
    rois = {"streams": ["ventral"], "floc-faces": ["FFA-1"]}
    planned, said = plan(tiny_study, tmp_path / "overlay.yaml", rois=rois, roi_space="func1pt8mm", least_ncsnr=0.2)
    assert {"compute_roi_rdm", "compare_roi_rdms", "tabulate_roi_rsa", "plot_roi_rsa"} <= planned
    assert not {name for name in planned if "miniature" in name}
    assert "results/rdms/rois/subj02_space-func1pt8mm.nc" in said
    assert "results/rsa/caption_space-func1pt8mm.tsv" in said
    assert "results/rdms/rois/subj02_space-fsaverage.nc" not in said


def test_a_file_that_is_named_and_missing_stops_a_finished_study(tiny_study: Path, tmp_path: Path) -> None:
    """Snakemake would take the older results for finished, and say that there is nothing to do."""
    models = tmp_path / "models.tsv"
    row = "mine\tfeatures\t\t\tno_such_file.tsv\teuclidean\tMine\tmy own\n"
    models.write_text((ROOT / "config/models.tsv").read_text() + row)
    atlases = tmp_path / "atlases.tsv"
    row = "mine\tfsaverage\tmine/{hemisphere}.mgz\t\tmine/{subject}.ctab\tmy own\n"
    atlases.write_text((ROOT / "config/atlases.tsv").read_text() + row)
    for arguments, words in (
        ([f"models_table={models}", "models=[caption,mine]"], ["no_such_file.tsv", "model mine"]),
        (["miniature={captions: nix.json}"], ["nix.json", "miniature: captions"]),
        (
            ["source=local", f"local={{nsd: {tmp_path}}}", "models=[caption,categories]"],
            ["nsd_expdesign.mat", "local: nsd"],
        ),
        ([f"atlases_table={atlases}", "rois={mine: [a]}"], ["mine/lh.mgz", "rois and atlases_table"]),
        (["source=local", f"local={{nsd: {tmp_path}}}"], ["picture-attributes", "leave it out"]),
    ):
        done = run_snakemake(tiny_study, "--dry-run", "--config", *arguments)
        assert done.returncode != 0
        for word in words:
            assert word in done.stdout + done.stderr


def test_the_verdict_reads_no_check_beside_real_data(tiny_study: Path, tmp_path: Path) -> None:
    (tmp_path / "provenance").mkdir()
    record = json.loads((tiny_study / "results/provenance/plot_rdms.json").read_text())
    record["params"]["source"] = "local"
    (tmp_path / "provenance/plot_rdms.json").write_text(json.dumps(record))
    for name in ("sentinel.tsv", "check.tsv"):
        (tmp_path / name).write_bytes((tiny_study / "results" / name).read_bytes())
    text, ok = verdict(tmp_path)
    assert ok
    assert "planted effects" not in text


def test_a_report_can_be_made_and_opened_without_a_network(tiny_study: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = run_snakemake(tiny_study, "--report", str(report))
    assert done.returncode == 0, done.stderr[-2000:]
    page = report.read_text(encoding="utf-8")
    assert "roi-rsa.png" in page
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page)
