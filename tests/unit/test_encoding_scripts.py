"""Scripts of encoding and decoding: every number beside its own vertex, image, subject, model and group of sentences."""

from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from loading import script
from numpy.testing import assert_allclose, assert_array_equal

from capcortex.arrays import write_array
from capcortex.encoding import split
from capcortex.encoding.decode import (
    caption_ceiling,
    correlate_pairs,
    decode_images,
    nearest_sentences,
    score_images,
)
from capcortex.encoding.encode import (
    agreement,
    encode_as_released,
    encode_units,
    pack_coefficients,
    unpack_coefficients,
)
from capcortex.encoding.gram_ridge import make_gram
from capcortex.tables import write_table

ROOT = Path(__file__).parents[2]
N_IMAGES, N_VERTICES, N_FEATURES = 60, 10, 12
AT_ONCE = 3


def main_of(name, monkeypatch, **replaced):
    """Find what a script runs; what it takes from other parts of the study may be replaced."""
    module = script(name)
    for key, value in replaced.items():
        assert hasattr(module, key)
        monkeypatch.setattr(module, key, value)
    return module.main


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A subject's betas, of which one vertex lacks all and one follows nothing; and a model's features of more images."""
    random = np.random.default_rng(11)
    images = np.sort(random.choice(np.arange(1, 200), N_IMAGES, replace=False))
    shared = np.sort(random.choice(images, 15, replace=False))
    of_model = random.permutation(np.arange(1, 200))
    features = (random.standard_normal((of_model.size, N_FEATURES)) + 1).astype(np.float32)
    x = features[np.argsort(of_model)][images - 1]
    y = x @ random.standard_normal((N_FEATURES, N_VERTICES)) + 2 * random.standard_normal((N_IMAGES, N_VERTICES))
    y[:, 4] = np.nan
    y[:, 6] = random.standard_normal(N_IMAGES)
    y = y.astype(np.float32)
    write_array(xr.DataArray(y, {"id73k": images}, ("id73k", "vertex"), name="betas"), tmp_path / "betas.nc")
    write_array(
        xr.DataArray(features, {"id73k": of_model}, ("id73k", "feature"), name="features"), tmp_path / "features.nc"
    )
    monkeypatch.setattr(split, "UNITS_AT_ONCE", AT_ONCE)
    test = np.isin(images, shared)
    return SimpleNamespace(
        shared=shared,
        files={"betas": str(tmp_path / "betas.nc"), "features": str(tmp_path / "features.nc")},
        training=(x[~test], y[~test]),
        test=(x[test], y[test]),
        random=random,
    )


def test_maps_of_a_subject_are_those_of_the_regression(study, tmp_path, monkeypatch):
    (x, y), (x_test, y_test) = study.training, study.test
    known = {"subject": "subj02", "model": "caption"}
    for name, expected in (
        ("fit_encoding", encode_units(x, x_test, [(y, y_test)])),
        ("fit_encoding_as_released", encode_as_released(x, x_test, lambda: [(y, y_test)])),
    ):
        main = main_of(name, monkeypatch, read_shared_images=lambda trials: study.shared if trials == ["t"] else None)
        main(**study.files, trials=["t"], **known, encoding=str(tmp_path / "encoding.nc"))
        with xr.open_dataset(tmp_path / "encoding.nc") as found:
            assert known.items() <= found.attrs.items()
            for variable, values in expected._asdict().items():
                if not variable.startswith("coefficient"):
                    assert_allclose(found[variable], values, atol=1e-5)
            if name == "fit_encoding":
                sizes = {"n_training_images": 45, "n_test_images": 15, "n_features": N_FEATURES}
                assert sizes.items() <= found.attrs.items()
                assert_allclose(
                    unpack_coefficients(found["coefficients"].to_numpy(), found["coefficient_scale"].to_numpy()),
                    unpack_coefficients(expected.coefficients, expected.coefficient_scale),
                    rtol=1e-3,
                    atol=1e-4,
                )


def test_sentences_are_predicted_with_the_coefficients_of_their_vertex(study, tmp_path, monkeypatch):
    """Groups are asked for in another order than their vectors lie in, and not all of them."""
    random = study.random
    vectors = random.standard_normal((3, N_FEATURES)).astype(np.float32)
    groups = ["food", "people", "places"]
    write_array(
        xr.DataArray(vectors, {"group": groups}, ("group", "feature"), name="features"), tmp_path / "sentences.nc"
    )
    encodings, expected = [], []
    for number in range(2):
        coefficients, intercept = random.standard_normal((N_FEATURES, N_VERTICES)), random.standard_normal(N_VERTICES)
        coefficients[:, 7] = np.nan
        packed, scale = pack_coefficients(coefficients)
        encodings.append(str(tmp_path / f"encoding-{number}.nc"))
        write_array(
            xr.Dataset(
                {
                    "coefficients": (("feature", "vertex"), packed),
                    "coefficient_scale": ("vertex", scale),
                    "intercept": ("vertex", intercept),
                }
            ),
            encodings[-1],
        )
        expected.append(vectors @ coefficients + intercept)
    maps = [str(tmp_path / f"{group}.nc") for group in ("places", "food")]
    main_of("predict_sentences", monkeypatch, UNITS_AT_ONCE=AT_ONCE)(
        features=str(tmp_path / "sentences.nc"),
        encodings=encodings,
        groups=["places", "food"],
        subjects=["subj01", "subj05"],
        maps=maps,
    )
    for path, group in zip(maps, ("places", "food"), strict=True):
        with xr.open_dataset(path) as file:
            assert file["response"].attrs["sentences"] == group
            for subject, of_subject in zip(("subj01", "subj05"), expected, strict=True):
                wanted = of_subject[groups.index(group)]
                assert_allclose(file["response"].sel(subject=subject), wanted, atol=2e-3)


def test_maps_of_subjects_are_put_together_left_hemisphere_first(tmp_path, monkeypatch):
    r = np.random.default_rng(1).standard_normal((3, N_VERTICES)).astype(np.float32)
    subjects, encodings = ["subj05", "subj01", "subj07"], [str(tmp_path / f"{number}.nc") for number in range(3)]
    for path, values in zip(encodings, r, strict=True):
        write_array(xr.Dataset({"r": ("vertex", values)}), path)
    gifti = [str(tmp_path / f"{side}.func.gii") for side in "lr"]
    main_of("collect_encoding", monkeypatch)(
        encodings=encodings, subjects=subjects, maps=str(tmp_path / "maps.nc"), gifti=gifti
    )
    with xr.open_dataset(tmp_path / "maps.nc") as found:
        for subject, values in zip(subjects, r, strict=True):
            assert_array_equal(found["r"].sel(subject=subject), values)
    for path, half in zip(gifti, np.split(r, 2, axis=1), strict=True):
        image = nibabel.load(path)
        assert [array.meta["Name"] for array in image.darrays] == subjects
        assert_array_equal([array.data for array in image.darrays], half)


def test_agreement_is_over_the_same_images_of_all_subjects(tmp_path, monkeypatch):
    """Images of a subject stand where its other images leave them; a ceiling is the root of a share, not of percent."""
    random = np.random.default_rng(3)
    shared, subjects = np.array([5, 9, 30, 31, 40, 77, 78, 90]), ["subj01", "subj02", "subj04"]
    common = random.standard_normal((shared.size, N_VERTICES))
    responses, betas = [], []
    for number in range(3):
        own = np.setdiff1d(random.choice(np.arange(1, 100), 20, replace=False), shared)
        ids = np.sort(np.append(shared, own))
        values = random.standard_normal((ids.size, N_VERTICES)).astype(np.float32)
        values[np.isin(ids, shared)] += common
        betas.append(str(tmp_path / f"{number}.nc"))
        write_array(xr.DataArray(values, {"id73k": ids}, ("id73k", "vertex"), name="betas"), betas[-1])
        responses.append(values[np.isin(ids, shared)])
    ratios = {f"{side}-{number}": random.uniform(0, 2, N_VERTICES // 2) for side in "lr" for number in range(3)}
    main_of(
        "estimate_agreement",
        monkeypatch,
        UNITS_AT_ONCE=AT_ONCE,
        read_shared_images=lambda trials: shared,
        read_units=lambda path: path,
        read_ncsnr=lambda paths, units: np.concatenate([ratios[str(path)] for path in paths]),
    )(
        betas=betas,
        trials=[],
        left_ncsnr=[f"l-{number}" for number in range(3)],
        right_ncsnr=[f"r-{number}" for number in range(3)],
        subjects=subjects,
        agreements=str(tmp_path / "agreements.nc"),
    )
    with xr.open_dataset(tmp_path / "agreements.nc") as found:
        assert found.attrs["n_images"] == shared.size
        assert list(found["subject"].to_numpy()) == subjects
        assert_allclose(found["agreement"], agreement(np.stack(responses)), atol=1e-6)
        for number, subject in enumerate(subjects):
            signal = np.concatenate([ratios[f"l-{number}"], ratios[f"r-{number}"]]) ** 2
            assert_allclose(found["noise_ceiling"].sel(subject=subject), np.sqrt(signal / (signal + 1 / 3)), rtol=1e-5)


def test_rows_of_the_table_are_of_their_model_and_subject(tmp_path, monkeypatch):
    """Files come model by model, of each the subjects; labels and the like subject by subject, of each two hemispheres."""
    models, subjects = ["nouns", "caption"], ["subj03", "subj01", "subj02"]
    asked = []

    def find_regions(betas, rois, **files):
        asked.append((betas, *files["labels"], *files["names"], *files["indices"], *files["ncsnr"]))
        number = int(betas[-1])
        reliable = np.arange(N_VERTICES) != 2
        units = np.arange(number, number + 4)
        return [SimpleNamespace(atlas="streams", name="ventral", units=units, reliable=reliable)]

    values = np.random.default_rng(5).uniform(size=(2, 3, 4, N_VERTICES))
    of_subjects = np.random.default_rng(6).uniform(size=(2, 3, N_VERTICES))
    names = ("r", "fraction", "r_as_released")
    encodings, released = [], []
    for place, model in enumerate(models):
        for number, subject in enumerate(subjects):
            known = {name: ("vertex", values[place, number, at]) for at, name in enumerate(names)}
            known["fraction_as_released"] = values[place, number, 3, 0]
            for paths, kind in ((encodings, "own"), (released, "released")):
                paths.append(str(tmp_path / f"{model}-{subject}-{kind}.nc"))
                write_array(
                    xr.Dataset({name: each for name, each in known.items() if ("released" in name) == (kind != "own")}),
                    paths[-1],
                )
    write_array(
        xr.Dataset(
            {name: (("subject", "vertex"), of_subjects[at]) for at, name in enumerate(("agreement", "noise_ceiling"))},
            coords={"subject": subjects},
        ).sel(subject=sorted(subjects)),
        tmp_path / "agreements.nc",
    )

    def files(kind, n):
        return [f"{kind}-{number}-{at}" for number in range(len(subjects)) for at in range(n)]

    main_of("tabulate_encoding", monkeypatch, find_regions=find_regions)(
        encodings=encodings,
        released=released,
        agreements=str(tmp_path / "agreements.nc"),
        betas=[f"betas-{number}" for number in range(3)],
        labels=files("labels", 2),
        names=files("names", 1),
        indices=files("indices", 2),
        ncsnr=files("ncsnr", 2),
        models=models,
        subjects=subjects,
        rois={"streams": ["ventral"]},
        native=[],
        least_ncsnr=None,
        table=tmp_path / "table.tsv",
    )
    for number, of_subject in enumerate(asked):
        assert {name.split("-")[1] for name in of_subject} == {str(number)}
        assert len(of_subject) == 1 + 2 + 1 + 2 + 2
    table = pd.read_csv(tmp_path / "table.tsv", sep="\t")
    assert list(zip(table["model"], table["subject"], strict=True)) == [(m, s) for m in models for s in subjects]
    for row, (place, number) in zip(table.itertuples(), np.ndindex(2, 3), strict=True):
        units = [unit for unit in range(number, number + 4) if unit != 2]
        assert row.n_vertices == len(units)
        for at, name in enumerate(names):
            assert getattr(row, name) == pytest.approx(values[place, number, at, units].mean())
        assert row.fraction_as_released == pytest.approx(values[place, number, 3, 0])
        for at, name in enumerate(("agreement", "noise_ceiling")):
            assert getattr(row, name) == pytest.approx(of_subjects[at, number, units].mean())


def vector(sentence):
    """What a made-up encoder gives a sentence."""
    return np.array([len(sentence), sum(map(ord, sentence)) % 97, ord(sentence[0])], np.float32)


ENCODER = SimpleNamespace(source="toy", fingerprint="f")
TOY = {
    "load_encoder": lambda source, record, seed: ENCODER if (source, record, seed) == ("toy", "record", 4) else None,
    "encode_sentences": lambda sentences, encoder, cache: np.array([vector(each) for each in sentences]),
}


def test_a_group_of_sentences_has_their_mean_vector(tmp_path, monkeypatch):
    sentences = {
        "places": ["A hill.", "Two hills and a lake."],
        "people": ["A man."],
        "food": ["Rice.", "An egg.", "Tea."],
    }
    main_of("embed_sentences", monkeypatch, **TOY)(
        sentences=sentences,
        encoder={"source": "toy", "encoder": "small"},
        encoder_record="record",
        seed=4,
        cache=str(tmp_path),
        features=str(tmp_path / "features.nc"),
    )
    with xr.open_dataset(tmp_path / "features.nc") as found:
        for group, each in sentences.items():
            assert_allclose(found["features"].sel(group=group), np.mean([vector(one) for one in each], axis=0))


@pytest.mark.parametrize("own", [True, False])
def test_a_dictionary_is_the_users_or_the_captions_of_images_that_are_not_tested(tmp_path, monkeypatch, own):
    captions = pd.DataFrame(
        {
            "id73k": [2, 2, 5, 5, 8, 9],
            "position": [0, 1, 0, 1, 0, 0],
            "caption": ["a dog", "dogs", "a cat", "cats", "a dog", "an owl"],
        }
    )
    (tmp_path / "own.txt").write_text("a ship\n\nsails\na ship\n")
    outputs = {name: str(tmp_path / name) for name in ("vectors", "sentences", "of_captions")}
    written = []
    main_of(
        "embed_dictionary",
        monkeypatch,
        **TOY,
        read_shared_images=lambda trials: np.array([5, 9]),
        load_captions=lambda path: captions,
        write_vectors=lambda texts, encoder, cache, path: written.append((list(texts), encoder, path)),
    )(
        captions="captions.tsv",
        trials=[],
        dictionary=str(tmp_path / "own.txt") if own else None,
        encoder_record="record",
        source="toy",
        seed=4,
        cache=str(tmp_path),
        **outputs,
    )
    texts = ["a ship", "sails"] if own else ["a dog", "dogs"]
    assert written == [(texts, ENCODER, outputs["vectors"])]
    assert list(pd.read_csv(outputs["sentences"], sep="\t")["sentence"]) == texts
    with xr.open_dataset(outputs["of_captions"]) as found:
        assert_array_equal(found["id73k"], [5, 5, 9])
        assert_array_equal(found["position"], [0, 1, 0])
        assert_allclose(found["vectors"], [vector(each) for each in ("a cat", "cats", "an owl")])


@pytest.mark.parametrize("as_released", [True, False])
@pytest.mark.parametrize("with_sentences", [True, False])
def test_what_is_decoded_is_what_the_parts_say(study, tmp_path, monkeypatch, with_sentences, as_released):
    """From reliable vertices of all regions, each once though regions overlap, whichever blocks they are read in."""
    reliable = ~np.isin(np.arange(N_VERTICES), [1])
    regions = [SimpleNamespace(units=np.array(units), reliable=reliable) for units in ([9, 1, 3], [3, 4, 2, 8])]
    units = [2, 3, 4, 8, 9]
    # Where decoding is concerned features are embeddings and responses are what predicts them.
    (embeddings, y), (embeddings_test, y_test) = study.training, study.test
    gram = make_gram([(y[:, units], y_test[:, units])])
    expected = decode_images(gram, embeddings, as_released=as_released)
    random = study.random
    dictionary = random.standard_normal((20, N_FEATURES)).astype(np.float32)
    texts = [f"sentence {number}" for number in range(20)]
    captions, of_images = random.standard_normal((45, N_FEATURES)).astype(np.float32), np.repeat(study.shared, 3)
    order = random.permutation(45)
    files = {"vectors": None, "sentences": None, "of_captions": None}
    if with_sentences:
        files = {name: str(tmp_path / f"{name}.nc") for name in files}
        write_array(xr.Dataset({"vectors": (("sentence", "dimension"), dictionary)}), files["vectors"])
        write_table(pd.DataFrame({"sentence": texts}), files["sentences"])
        write_array(
            xr.Dataset(
                {"vectors": (("caption", "dimension"), captions[order])},
                coords={"id73k": ("caption", of_images[order])},
            ),
            files["of_captions"],
        )
    replaced = {"read_shared_images": lambda trials: study.shared, "find_regions": lambda *_, **__: regions}
    main_of("decode_embeddings", monkeypatch, UNITS_AT_ONCE=AT_ONCE, SENTENCES_AT_ONCE=7, **replaced)(
        **study.files,
        **files,
        **{name: [] for name in ("trials", "labels", "names", "indices", "ncsnr", "native")},
        rois={},
        least_ncsnr=None,
        as_released=as_released,
        subject="subj02",
        model="caption",
        decoding=str(tmp_path / "decoding.nc"),
    )
    with xr.open_dataset(tmp_path / "decoding.nc") as found:
        assert_array_equal(found["id73k"], study.shared)
        counts = {"n_training_images": 45, "n_test_images": 15, "n_units": 4, "n_units_left_out": 1}
        assert counts.items() <= found.attrs.items()
        assert_allclose(found.attrs["fraction_as_released"], expected.fraction_as_released)
        assert_allclose(found["predicted"], expected.predicted, atol=1e-5)
        assert_allclose(found["fraction"], expected.fraction, atol=1e-6)
        assert_allclose(found["cross_validated_r2"], expected.cross_validated_r2, atol=1e-5)
        kinds = {"": expected.predicted, "_without_mean": expected.without_mean, "_as_released": expected.as_released}
        assert ("r_as_released" in found) == as_released
        for suffix, predicted in kinds.items():
            if predicted is not None:
                for name, values in score_images(predicted, embeddings_test)._asdict().items():
                    assert_allclose(found[name + suffix], values, atol=1e-5)
        mean = np.tile(embeddings.mean(axis=0), (15, 1))
        assert_allclose(found["r_mean_only"], correlate_pairs(mean, embeddings_test), atol=1e-5)
        r = np.corrcoef(expected.predicted, embeddings)[:15, 15:]
        most_alike = embeddings[r.argmax(axis=1)]
        assert_allclose(found["r_nearest_training"], correlate_pairs(most_alike, embeddings_test), atol=1e-5)
        assert ("nearest_row" in found) == with_sentences
        if with_sentences:
            nearest = nearest_sentences(expected.predicted, [dictionary])
            assert found.attrs["n_sentences"] == 20
            assert_array_equal(found["nearest_row"], nearest.row)
            assert_allclose(found["nearest_r"], nearest.r, atol=1e-6)
            assert list(found["nearest_sentence"].to_numpy()) == [texts[row] for row in nearest.row]
            assert_allclose(found["caption_ceiling"], caption_ceiling(captions, of_images, study.shared), atol=1e-5)
