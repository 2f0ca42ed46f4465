"""Make the features of one model that has a sentence encoder."""

from pathlib import Path
from typing import Any

from capcortex.arrays import write_array
from capcortex.jobs import job
from capcortex.text.captions import load_captions, load_categories
from capcortex.text.models import build_model
from capcortex.text.words import load_tags


def main(
    *,
    captions: Path,
    categories: Path,
    tags: Path | None,
    features: Path,
    model: dict[str, Any],
    encoder: dict[str, Any],
    encoder_record: Path | None,
    seed: int | None,
    cache: Path,
) -> None:
    array = build_model(
        model=model,
        encoder=encoder,
        captions=load_captions(captions),
        categories=load_categories(categories),
        tags=load_tags(tags) if tags else None,
        seed=seed,
        cache_folder=cache,
        encoder_record=encoder_record,
    )
    write_array(array, features)


if __name__ == "__main__":
    with job(snakemake):
        tags = snakemake.input.get("tags")
        encoder_record = snakemake.input.get("encoder_record")
        main(
            captions=Path(snakemake.input.captions),
            categories=Path(snakemake.input.categories),
            tags=Path(tags) if tags else None,
            features=Path(snakemake.output.features),
            model=snakemake.params.model,
            encoder=snakemake.params.encoder,
            encoder_record=Path(encoder_record) if encoder_record else None,
            seed=snakemake.params.seed,
            cache=Path(snakemake.params.cache),
        )
