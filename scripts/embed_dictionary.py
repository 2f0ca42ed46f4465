"""Vectors of the sentences that decoded embeddings are compared with, and of single captions of the shared images."""

import pandas as pd
import xarray as xr

from capcortex.arrays import write_array
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_shared_images
from capcortex.tables import write_table
from capcortex.text.captions import load_captions
from capcortex.text.dictionary import write_vectors
from capcortex.text.encoders import encode_sentences, load_encoder
from capcortex.text.sentences import captions_without, read_sentences


def main(
    *,
    captions: str,
    trials: list[str],
    dictionary: str | None,
    encoder_record: str | None,
    source: str,
    seed: int | None,
    cache: str,
    vectors: str,
    sentences: str,
    of_captions: str,
) -> None:
    encoder = load_encoder(source, encoder_record, seed=seed)
    shared = read_shared_images(trials)
    table = load_captions(captions)
    texts = captions_without(table, shared) if dictionary is None else read_sentences(dictionary)
    write_vectors(texts, encoder, cache, vectors)
    write_table(pd.DataFrame({"sentence": texts}), sentences)
    tested = table[table["id73k"].isin(shared)]
    write_array(
        xr.Dataset(
            {"vectors": (("caption", "dimension"), encode_sentences(tested["caption"].tolist(), encoder, cache))},
            coords={name: ("caption", tested[name].to_numpy()) for name in ("id73k", "position")},
            attrs={"encoder": encoder.source, "fingerprint": encoder.fingerprint},
        ),
        of_captions,
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            captions=snakemake.input.captions,
            trials=list(snakemake.input.trials),
            dictionary=next(iter(snakemake.input.dictionary), None),
            encoder_record=snakemake.input.get("encoder_record"),
            source=snakemake.params.encoder["source"],
            seed=snakemake.params.seed,
            cache=snakemake.params.cache,
            vectors=snakemake.output.vectors,
            sentences=snakemake.output.sentences,
            of_captions=snakemake.output.of_captions,
        )
