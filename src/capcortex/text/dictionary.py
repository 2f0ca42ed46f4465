"""Vectors of a dictionary of sentences, of any size.

Beside the text models, whose encoders and cache of sentences it uses (``encoders``). Vectors are encoded and written block by
block, so that those of millions of sentences need little memory.
"""

from collections.abc import Sequence
from pathlib import Path

from capcortex.arrays import create_array
from capcortex.text.encoders import Encoder, encode_sentences

SENTENCES_PER_CALL = 100_000
"""The cache of sentences is searched once for so many: fewer would search it more often, more would need more memory."""

VECTORS_PER_CHUNK = 1024


def dictionary_memory_mb(n_sentences: int, n_dimensions: int) -> int:
    """Memory in MB of embedding a dictionary: torch with weights at work, all sentences as text, vectors of one call twice."""
    vectors = 2 * 4 * n_dimensions * min(n_sentences, SENTENCES_PER_CALL)
    return 1300 + (400 * n_sentences + vectors) // 2**20


def write_vectors(
    sentences: Sequence[str],
    encoder: Encoder,
    cache_folder: str | Path,
    path: str | Path,
    *,
    per_call: int = SENTENCES_PER_CALL,
) -> None:
    """Encode the sentences of a dictionary and write their vectors, one block after the other.

    Parameters
    ----------
    sentences
        Each once.
    encoder, cache_folder
        See `capcortex.text.encoders.encode_sentences`; a job that was killed goes on where it was.
    path
        netCDF file with ``vectors`` (sentence, dimension), float32.
    per_call
        Sentences that are encoded at once.
    """
    first = encode_sentences(sentences[:per_call], encoder, cache_folder)
    with create_array(
        path,
        name="vectors",
        dims=("sentence", "dimension"),
        shape=(len(sentences), first.shape[1]),
        dtype="float32",
        chunks=(VECTORS_PER_CHUNK, first.shape[1]),
        coords={},
        attrs={"encoder": encoder.source, "fingerprint": encoder.fingerprint},
    ) as vectors:
        vectors[: len(first), :] = first
        del first
        for start in range(per_call, len(sentences), per_call):
            block = encode_sentences(sentences[start : start + per_call], encoder, cache_folder)
            vectors[start : start + len(block), :] = block
