"""Mean vector of the sentences of each group, as the features of an image are the mean vector of its captions."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from capcortex.arrays import write_array
from capcortex.jobs import job
from capcortex.text.encoders import encode_sentences, load_encoder


def main(
    *,
    sentences: dict[str, list[str]],
    encoder: dict[str, Any],
    encoder_record: str | None,
    seed: int | None,
    cache: str,
    features: str,
) -> None:
    loaded = load_encoder(encoder["source"], encoder_record, seed=seed)
    vectors = [encode_sentences(of_group, loaded, Path(cache)).mean(axis=0) for of_group in sentences.values()]
    write_array(
        xr.DataArray(
            np.stack(vectors),
            dims=("group", "feature"),
            coords={"group": list(sentences)},
            name="features",
            attrs={
                "encoder": encoder["encoder"],
                "encoder_fingerprint": loaded.fingerprint,
                "sentences": [f"{group}: {sentence}" for group, each in sentences.items() for sentence in each],
            },
        ),
        features,
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            sentences=dict(snakemake.params.sentences),
            encoder=dict(snakemake.params.encoder),
            encoder_record=snakemake.input.get("encoder_record"),
            seed=snakemake.params.seed,
            cache=snakemake.params.cache,
            features=snakemake.output.features,
        )
