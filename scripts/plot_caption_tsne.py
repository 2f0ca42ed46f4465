"""Lay images out by their caption embeddings, and draw them coloured by what they show."""

from capcortex.arrays import open_array
from capcortex.figures.caption_tsne import PLACES, draw_caption_tsne, lay_out
from capcortex.figures.style import save_figure
from capcortex.jobs import job
from capcortex.tables import write_table
from capcortex.text.captions import load_categories
from capcortex.text.supercategories import main_supercategories


def main(*, categories: str, features: str, encoder: str, source: str, seed: int, pdf: str, png: str, tsv: str) -> None:
    with open_array(features, variables=["features", "id73k"]) as file:
        embeddings = file["features"].load()
    places = lay_out(embeddings, seed)
    main_ones = main_supercategories(load_categories(categories), places["id73k"].to_numpy())
    places = places.assign(supercategory=main_ones.array)[PLACES]
    figure = draw_caption_tsne(places, encoder=encoder, n_images=embeddings.sizes["id73k"], source=source)
    save_figure(figure, pdf, png)
    write_table(places, tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            categories=snakemake.input.categories,
            features=snakemake.input.features,
            encoder=snakemake.params.encoder,
            source=snakemake.params.source,
            seed=snakemake.params.seed,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
