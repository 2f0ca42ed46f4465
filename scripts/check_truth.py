"""Compare the results of a run on the miniature with what was planted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml

from capcortex.arrays import open_array
from capcortex.inference.ceilings import BETWEEN, CEILING_COLUMNS, of_kind
from capcortex.inference.group import is_shared
from capcortex.inference.maps import read_subject_maps
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table
from capcortex.truth import (
    Expectation,
    check_truth,
    confidence_of_rows,
    join_rows,
    read_planted_brain,
    rows_left_out,
    why_left_out,
)
from capcortex.truth_decoding import check_decoding, expected_decoding, why_decoding_left_out
from capcortex.truth_encoding import FoundEncoding, check_encoding, read_preferences, why_encoding_left_out
from capcortex.truth_maps import FoundMaps, check_maps, read_planted_volume, vertex_places, why_map_left_out


def read_scores(paths: list[str], model: str, n_blocks: list[int], subjects: list[str]) -> dict[str, xr.Dataset]:
    """Searchlight scores of one model, for each subject those of all image sets."""
    scores, remaining = {}, iter(paths)
    for subject, count in zip(subjects, n_blocks, strict=True):
        blocks = []
        for _ in range(count):
            with open_array(next(remaining), variables=["r", "model", "image_set", "i", "j", "k"]) as file:
                blocks.append(file[["r"]].sel(model=model).load())
        scores[subject] = xr.concat(blocks, dim="image_set")
    return scores


def read_group(path: str) -> np.ndarray:
    """Read the group mean of a map."""
    with open_array(path, variables=["mean"]) as file:
        return file["mean"].to_numpy()


def read_places(transforms: list[str], indices: list[str], subjects: list[str]) -> dict[str, list[np.ndarray]]:
    """Where the vertices of fsaverage lie in each subject's volume, at each depth."""
    depths = len(transforms) // len(indices)
    places = {}
    for number, subject in enumerate(subjects):
        halves = [
            vertex_places(transforms[half * depths : (half + 1) * depths], indices[half])
            for half in (2 * number, 2 * number + 1)
        ]
        places[subject] = [np.concatenate(both) for both in zip(*halves, strict=True)]
    return places


def main(
    *,
    truth: str,
    latents: str,
    surfaces: list[str],
    responses: list[str],
    models: list[str],
    scores: list[str],
    ceilings: str,
    subjects: list[str],
    seed: int,
    made_up_captions: bool,
    checked_rois: list[str],
    searchlight: Mapping[str, Any] | None,
    encoding: Mapping[str, Any],
    decoding: str | None,
    decoded: Mapping[str, str],
    check: str,
) -> None:
    """Check ROI scores, maps described by ``searchlight``, ``encoding``, and decoding of models ``decoded``, where they are."""
    planted = yaml.safe_load(Path(truth).read_text(encoding="utf-8"))
    found = [read_table(path, columns=SCORE_COLUMNS) for path in scores]
    model_rdms = {}
    for path, table in zip(models, found, strict=True):
        with open_array(path, variables=["rdm", "id73k", "image_set"]) as file:
            model_rdms[str(table["model"].iloc[0])] = file.load()
    with open_array(latents, variables=["latents", "id73k"]) as file:
        planted_latents = file["latents"].load()
    brains = dict(zip(subjects, map(read_planted_brain, surfaces, responses), strict=True))
    expectation = Expectation(
        brains,
        planted_latents,
        model_rdms,
        seed,
    )
    scores_of_rois = pd.concat(found, ignore_index=True)
    of_ceilings = of_kind(read_table(ceilings, columns=CEILING_COLUMNS), BETWEEN)
    mapped = list(searchlight["scores"]) if searchlight else []
    reasons_of_rois = [
        why_left_out(row, scores_of_rois, of_ceilings, checked_rois=checked_rois, made_up_captions=made_up_captions)
        for row in planted["checks"]
    ]
    n_image_sets = scores_of_rois.loc[~is_shared(scores_of_rois["image_set"]), "image_set"].nunique()
    reasons_of_maps = [
        why_map_left_out(row, mapped=mapped, compared=model_rdms, n_subjects=len(subjects), n_image_sets=n_image_sets)
        for row in planted["map_checks"]
    ]
    pairs = planted["preferences"]["pairs"]
    reasons_of_encoding = [
        why_encoding_left_out(
            row,
            models=list(encoding["r"]),
            groups=list(encoding["responses"]),
            preferences=pairs,
            n_subjects=len(subjects),
            made_up_captions=made_up_captions,
        )
        for row in planted["encoding_checks"]
    ]
    of_encoding = [
        row for row, reason in zip(planted["encoding_checks"], reasons_of_encoding, strict=True) if not reason
    ]
    of_rois = [row for row, reason in zip(planted["checks"], reasons_of_rois, strict=True) if not reason]
    of_maps = [row for row, reason in zip(planted["map_checks"], reasons_of_maps, strict=True) if not reason]
    of_subjects = read_table(decoding, columns=["model", "subject", "measure", "value"]) if decoding else None
    reasons_of_decoding = [
        why_decoding_left_out(row, of_subjects, checked_rois=checked_rois, made_up_captions=made_up_captions)
        for row in planted["decoding_checks"]
    ]
    of_decoding = [
        row for row, reason in zip(planted["decoding_checks"], reasons_of_decoding, strict=True) if not reason
    ]
    n_rows = len(of_rois) + len(of_maps) + len(of_encoding) + len(of_decoding)
    bound, confidence = planted["equivalence_bound"], confidence_of_rows(n_rows)
    parts = [
        check_truth(of_rois, bound, confidence, scores=scores_of_rois, ceilings=of_ceilings, expectation=expectation)
    ]
    if searchlight and of_maps:
        volumes = map(
            read_planted_volume, searchlight["volumes"], responses, searchlight["masks"], searchlight["valid"]
        )
        maps = FoundMaps(
            scores={
                model: read_scores(paths, model, searchlight["n_blocks"], subjects)
                for model, paths in searchlight["scores"].items()
            },
            group={model: read_group(path) for model, path in searchlight["groups"].items()},
            places=read_places(searchlight["transforms"], searchlight["indices"], subjects),
            volumes=dict(zip(subjects, volumes, strict=True)),
            latents=planted_latents,
            model_rdms={model: model_rdms[model] for model in mapped if model in model_rdms},
            radius=searchlight["radius"],
            surface={model: read_subject_maps([path]) for model, path in searchlight["surface"].items()},
            labels={subject: np.where(brain.valid, brain.region, 0) for subject, brain in brains.items()},
        )
        parts.append(check_maps(of_maps, bound, confidence, found=maps, seed=seed))
    if of_encoding:
        found_encoding = FoundEncoding(
            **encoding,
            brains=brains,
            prefers={subject: read_preferences(path) for subject, path in zip(subjects, surfaces, strict=True)},
            latents=planted_latents,
        )
        parts.append(check_encoding(of_encoding, bound, confidence, found=found_encoding, preferences=pairs, seed=seed))
    if of_subjects is not None and of_decoding:
        expected = {}
        for model in dict.fromkeys(row["model"] for row in of_decoding):
            with open_array(decoded[model], variables=["features", "id73k"]) as file:
                expected[model] = expected_decoding(
                    brains, planted_latents, file["features"].load(), checked_rois, seed
                )
        parts.append(check_decoding(of_decoding, bound, confidence, table=of_subjects, expected=expected))
    every_row = [*planted["checks"], *planted["map_checks"], *planted["encoding_checks"], *planted["decoding_checks"]]
    reasons = [*reasons_of_rois, *reasons_of_maps, *reasons_of_encoding, *reasons_of_decoding]
    parts.append(rows_left_out(list(zip(every_row, reasons, strict=True))))
    write_table(join_rows(parts), check)


def searchlight_inputs(snakemake: Any) -> dict[str, Any] | None:
    models = list(snakemake.params.mapped_models)
    if not models:
        return None
    inputs = snakemake.input
    per_model = np.array(inputs.searchlight).reshape(len(models), -1).tolist()
    return {
        "scores": dict(zip(models, per_model, strict=True)),
        "groups": dict(zip(models, inputs.groups, strict=True)),
        "surface": dict(zip(models, inputs.surface_maps, strict=True)),
        "n_blocks": list(snakemake.params.n_blocks),
        "volumes": list(inputs.volumes),
        "masks": list(inputs.masks),
        "valid": list(inputs.valid),
        "transforms": list(inputs.transforms),
        "indices": list(inputs.indices),
        "radius": snakemake.params.radius,
    }


def read_encoding(snakemake: Any) -> dict[str, Any]:
    """Read what encoding found, and the features that it predicts from; nothing where the study has no encoding."""
    inputs, params = snakemake.input, snakemake.params
    sentences = {}
    for path in inputs.sentences:
        with open_array(path, variables=["features", "group"]) as file:
            sentences = {group: file["features"].sel(group=group).to_numpy() for group in params.groups}
    features = {}
    for model, path in zip(params.encoding_models, inputs.features, strict=True):
        with open_array(path, variables=["features", "id73k"]) as file:
            features[model] = file["features"].load()
    return {
        "r": {
            model: read_subject_maps([path])
            for model, path in zip(params.encoding_models, inputs.encoding_maps, strict=True)
        },
        "responses": {
            group: read_subject_maps([path]) for group, path in zip(params.groups, inputs.sentence_maps, strict=True)
        },
        "features": features,
        "sentences": sentences,
        "sentence_model": params.sentence_model,
    }


if __name__ == "__main__":
    with job(snakemake):
        main(
            truth=snakemake.input.truth,
            latents=snakemake.input.latents,
            surfaces=list(snakemake.input.surfaces),
            responses=list(snakemake.input.responses),
            models=list(snakemake.input.models),
            scores=list(snakemake.input.scores),
            ceilings=snakemake.input.ceilings,
            subjects=list(snakemake.params.subjects),
            seed=snakemake.params.seed,
            made_up_captions=snakemake.params.made_up_captions,
            checked_rois=list(snakemake.params.checked_rois),
            searchlight=searchlight_inputs(snakemake),
            encoding=read_encoding(snakemake),
            decoding=next(iter(snakemake.input.decoding), None),
            decoded=dict(zip(snakemake.params.decoded_models, snakemake.input.decoded, strict=True)),
            check=snakemake.output.check,
        )
