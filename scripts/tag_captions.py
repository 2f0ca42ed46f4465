"""Split captions into tokens, and find the part of speech of each."""

from capcortex.jobs import job
from capcortex.tables import write_table
from capcortex.text.captions import load_captions
from capcortex.text.words import load_tagger, tag_captions

if __name__ == "__main__":
    with job(snakemake):
        captions = load_captions(snakemake.input.captions)
        write_table(tag_captions(captions, load_tagger(snakemake.params.tagger)), snakemake.output.tags)
