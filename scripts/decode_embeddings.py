"""Predict the embeddings of the shared images from a subject's responses to them, and score what was predicted."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.arrays import open_array, write_array
from capcortex.encoding.decode import (
    SENTENCES_AT_ONCE,
    caption_ceiling,
    correlate_pairs,
    decode_images,
    nearest_sentences,
    score_images,
)
from capcortex.encoding.encode import UNITS_AT_ONCE, part_images
from capcortex.encoding.gram_ridge import make_gram
from capcortex.ids import positions
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_shared_images
from capcortex.nsd.regions import find_regions
from capcortex.text.sentences import load_sentences


def main(
    *,
    betas: str,
    features: str,
    trials: list[str],
    labels: list[str],
    names: list[str],
    indices: list[str],
    ncsnr: list[str],
    vectors: str | None,
    sentences: str | None,
    of_captions: str | None,
    rois: dict[str, list[str]],
    native: list[str],
    least_ncsnr: float | None,
    as_released: bool,
    subject: str,
    model: str,
    decoding: str,
) -> None:
    shared = read_shared_images(trials)
    with open_array(features, variables=["features", "id73k"]) as file:
        of_model = file["features"].load()
    regions = find_regions(
        betas,
        rois,
        labels=labels,
        names=names,
        native=native,
        indices=indices,
        mask=None,
        ncsnr=ncsnr,
        least_ncsnr=least_ncsnr,
    )
    # Regions of several atlases may overlap.
    units = np.unique(np.concatenate([region.units[region.reliable[region.units]] for region in regions]))
    with open_array(betas, variables=["betas", "id73k"]) as file:
        responses = file["betas"]
        ids = file["id73k"].to_numpy()
        training, test = part_images(ids, shared, subject=subject, switch="decoding: {models: []}", what=betas)

        def blocks() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
            for start in range(0, responses.shape[1], UNITS_AT_ONCE):
                inside = units[(units >= start) & (units < start + UNITS_AT_ONCE)] - start
                if inside.size:
                    block = responses[:, start : start + UNITS_AT_ONCE].to_numpy()[:, inside]
                    yield block[training], block[test]

        gram = make_gram(blocks())
    targets = of_model.to_numpy()[positions(ids, of_model["id73k"].to_numpy(), what=features)]
    found = decode_images(gram, targets[training], as_released=as_released)
    predictions = {"": found.predicted, "_without_mean": found.without_mean}
    if found.as_released is not None:
        predictions["_as_released"] = found.as_released
    of_images = {
        f"{name}{suffix}": values
        for suffix, predicted in predictions.items()
        for name, values in score_images(predicted, targets[test])._asdict().items()
    }
    of_images["r_mean_only"] = correlate_pairs(
        np.broadcast_to(targets[training].mean(axis=0), found.predicted.shape), targets[test]
    )
    nearest_image = nearest_sentences(found.predicted, [targets[training]])
    of_images["r_nearest_training"] = np.where(
        nearest_image.row >= 0, correlate_pairs(targets[training][nearest_image.row], targets[test]), np.nan
    )
    made = xr.Dataset(
        {name: ("id73k", values.astype(np.float32)) for name, values in of_images.items()}
        | {"predicted": (("id73k", "dimension"), found.predicted.astype(np.float32))}
        | {name: ("dimension", getattr(found, name).astype(np.float32)) for name in ("fraction", "cross_validated_r2")},
        coords={"id73k": shared},
        attrs={
            "subject": subject,
            "model": model,
            "n_training_images": training.size,
            "n_test_images": test.size,
            "n_units": gram.n_features,
            "n_units_left_out": gram.n_left_out,
            "fraction_as_released": found.fraction_as_released,
        },
    )
    if vectors and sentences and of_captions:
        with open_array(of_captions, variables=["vectors", "id73k"]) as file:
            ceiling = caption_ceiling(file["vectors"].to_numpy(), file["id73k"].to_numpy(), shared)
        with open_array(vectors, variables=["vectors"]) as file:
            n_sentences = file.sizes["sentence"]
            starts = range(0, n_sentences, SENTENCES_AT_ONCE)
            parts = (file["vectors"][start : start + SENTENCES_AT_ONCE].to_numpy() for start in starts)
            nearest = nearest_sentences(found.predicted, parts)
        texts = load_sentences(sentences)
        made = made.assign(
            caption_ceiling=("id73k", ceiling.astype(np.float32)),
            nearest_row=("id73k", nearest.row),
            nearest_r=("id73k", nearest.r.astype(np.float32)),
            nearest_sentence=("id73k", [texts[row] if row >= 0 else "" for row in nearest.row]),
        ).assign_attrs(n_sentences=n_sentences)
    write_array(made, decoding)


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=snakemake.input.betas,
            features=snakemake.input.features,
            trials=list(snakemake.input.trials),
            labels=list(snakemake.input.labels),
            names=list(snakemake.input.names),
            indices=list(snakemake.input.indices),
            ncsnr=list(snakemake.input.ncsnr),
            vectors=snakemake.input.get("vectors"),
            sentences=snakemake.input.get("sentences"),
            of_captions=snakemake.input.get("of_captions"),
            rois=dict(snakemake.params.rois),
            native=list(snakemake.params.native),
            least_ncsnr=snakemake.params.least_ncsnr,
            as_released=snakemake.params.as_released,
            subject=snakemake.wildcards.subject,
            model=snakemake.wildcards.model,
            decoding=snakemake.output.decoding,
        )
