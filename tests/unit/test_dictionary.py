"""Sentences of a dictionary, and their vectors, in blocks."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from capcortex.arrays import open_array
from capcortex.tables import write_table
from capcortex.text.dictionary import write_vectors
from capcortex.text.encoders import Encoder
from capcortex.text.sentences import captions_without, load_sentences, read_sentences


class Toy:
    """Gives each sentence numbers of its own, and remembers how many it was asked for at once."""

    max_seq_length = None

    def __init__(self):
        self.asked = []

    def encode(self, sentences, **_):
        self.asked.append(len(sentences))
        seeds = [int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "little") for sentence in sentences]
        return np.array([np.random.default_rng(seed).standard_normal(5) for seed in seeds], dtype=np.float32)


@pytest.fixture
def encoder(tmp_path):
    made = Encoder(source="toy", folder=tmp_path, fingerprint="toy")
    made.__dict__["model"] = Toy()
    return made


def read_vectors(path):
    with open_array(path, variables=["vectors"]) as file:
        return file["vectors"].to_numpy()


@pytest.mark.parametrize("per_call", [1, 3, 10, 100])
def test_vectors_are_those_of_the_sentences_in_their_order_whatever_the_blocks(tmp_path, encoder, per_call):
    sentences = [f"{number} dogs" for number in range(10)]
    write_vectors(sentences, encoder, tmp_path / "cache", tmp_path / "dictionary.nc", per_call=per_call)
    assert max(encoder.model.asked) <= per_call
    np.testing.assert_array_equal(read_vectors(tmp_path / "dictionary.nc"), Toy().encode(sentences))


def test_a_killed_job_goes_on_where_it_was_and_leaves_no_file(tmp_path, encoder):
    sentences = [f"{number} dogs" for number in range(10)]
    original = encoder.model.encode

    def killed(some, **options):
        if len(encoder.model.asked) == 2:
            raise KeyboardInterrupt
        return original(some, **options)

    encoder.model.encode = killed
    with pytest.raises(KeyboardInterrupt):
        write_vectors(sentences, encoder, tmp_path / "cache", tmp_path / "dictionary.nc", per_call=4)
    assert not (tmp_path / "dictionary.nc").exists()
    encoder.model.encode = original
    write_vectors(sentences, encoder, tmp_path / "cache", tmp_path / "dictionary.nc", per_call=4)
    assert encoder.model.asked == [4, 4, 2]
    np.testing.assert_array_equal(read_vectors(tmp_path / "dictionary.nc"), Toy().encode(sentences))


def test_a_text_is_read_line_by_line(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_bytes("\ufeffa dog \r\n\n  two\tdogs\n\u201cn/a\u201d\na dog\nline\u2028inside\nlast".encode())
    assert read_sentences(path) == ["a dog", "two dogs", "\u201cn/a\u201d", "line inside", "last"]


def test_texts_that_are_none_are_refused(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_bytes(b"a dog\n\xff\xfe\n")
    with pytest.raises(ValueError, match="not a text in UTF-8"):
        read_sentences(path)
    path.write_text(" \n\n")
    with pytest.raises(ValueError, match="no sentences; expected one per line"):
        read_sentences(path)


def test_captions_of_tested_images_stay_out_and_equal_ones_are_once():
    captions = pd.DataFrame({"id73k": [1, 1, 2, 3, 3], "caption": ["a", "b", "c", "b", "d"]})
    assert captions_without(captions, np.array([2])) == ["a", "b", "d"]
    assert captions_without(captions, np.array([1])) == ["c", "b", "d"]
    with pytest.raises(ValueError, match="all 5 captions are of the 3 images"):
        captions_without(captions, np.array([1, 2, 3]))


def test_odd_sentences_come_back_as_they_were(tmp_path):
    sentences = ["n/a", "", 'he said "no"', "2019", "NaN", "a, b; c", "'"]
    write_table(pd.DataFrame({"sentence": sentences}), tmp_path / "sentences.tsv")
    assert load_sentences(tmp_path / "sentences.tsv") == sentences
    write_table(pd.DataFrame({"text": ["a"]}), tmp_path / "other.tsv")
    with pytest.raises(ValueError, match=r"other\.tsv: expected the column sentence, found text"):
        load_sentences(tmp_path / "other.tsv")
