"""Make sure that captions and objects belong to the same images; stop the study when they do not."""

import pandas as pd

from capcortex.arrays import open_array
from capcortex.jobs import job
from capcortex.nsd.image_sets import read_image_sets
from capcortex.rsa.sentinel import caption_category_sentinel
from capcortex.tables import write_table


def main(*, captions: str, categories: str, image_sets: list[str], sentinel: str) -> None:
    sets, _ = read_image_sets(image_sets)
    with (
        open_array(captions, variables=["features", "id73k"]) as caption_file,
        open_array(categories, variables=["features", "id73k"]) as category_file,
    ):
        seen = caption_category_sentinel(caption_file["features"].load(), category_file["features"].load(), sets)
    if not seen.ok:
        raise ValueError(
            f"captions and objects do not belong to the same images: correlation of their RDMs {seen.r:.3f}, after moving "
            f"captions on by one image {seen.r_shifted_by_one:.3f}; {seen.distance_in_sd:.1f} standard deviations above "
            "shifted captions. Compare the ids (id73k) of results/captions/captions.tsv and categories.tsv with "
            "nsd_stim_info_merged.csv, then remove results/captions and run snakemake again"
        )
    write_table(pd.DataFrame([seen._asdict()]), sentinel)


if __name__ == "__main__":
    with job(snakemake):
        main(
            captions=snakemake.input.captions,
            categories=snakemake.input.categories,
            image_sets=list(snakemake.input.image_sets),
            sentinel=snakemake.output.sentinel,
        )
