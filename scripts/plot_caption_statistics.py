"""Measure captions, and draw how many, how long and how alike they are."""

from capcortex.arrays import open_array
from capcortex.figures.caption_statistics import draw_caption_statistics, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.jobs import job
from capcortex.tables import read_table, write_table
from capcortex.text.caption_statistics import count_oddities, measure_captions
from capcortex.text.captions import load_captions


def main(
    *,
    captions: str,
    counts: str,
    features: str,
    encoder: str,
    source: str,
    seed: int,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    table = load_captions(captions)
    with open_array(features, variables=["features", "id73k"]) as file:
        means = file["features"].load()
    shares = count_oddities(table, read_table(counts, columns=["count", "value"]))
    numbers = plotted_numbers(measure_captions(table, means, seed), shares)
    save_figure(draw_caption_statistics(numbers, encoder=encoder, source=source), pdf, png)
    write_table(numbers, tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            captions=snakemake.input.captions,
            counts=snakemake.input.counts,
            features=snakemake.input.features,
            encoder=snakemake.params.encoder,
            source=snakemake.params.source,
            seed=snakemake.params.seed,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
