"""Make the features of one model that has no sentence encoder: counts, random numbers, or a file of one's own."""

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
    file: Path | None,
    features: Path,
    model: dict[str, Any],
    seed: int | None,
) -> None:
    array = build_model(
        model=model,
        captions=load_captions(captions),
        categories=load_categories(categories),
        tags=load_tags(tags) if tags else None,
        seed=seed,
        path=file,
    )
    write_array(array, features)


if __name__ == "__main__":
    with job(snakemake):
        tags = snakemake.input.get("tags")
        file = snakemake.input.get("file")
        main(
            captions=Path(snakemake.input.captions),
            categories=Path(snakemake.input.categories),
            tags=Path(tags) if tags else None,
            file=Path(file) if file else None,
            features=Path(snakemake.output.features),
            model=snakemake.params.model,
            seed=snakemake.params.seed,
        )
