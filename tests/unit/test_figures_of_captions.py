"""Captions are measured as a count by hand and a loop over their pairs say; groups that are planted are found in the plane."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_figures import faults_of_texts, panel, words

from capcortex.figures import caption_tsne, style
from capcortex.figures.caption_statistics import PANELS, draw_caption_statistics, plotted_numbers
from capcortex.figures.caption_tsne import draw_caption_tsne, lay_out
from capcortex.text.caption_statistics import QUANTITIES, count_oddities, measure_captions
from capcortex.text.supercategories import NO_OBJECT, main_supercategories

SAID = {
    5: ["A cat on a mat.", "A cat on a mat.", "CAT"],
    2: ["Two dogs' well-known 3.5 balls", "?!", "Dogs play in the park ."],
    9: ["A bowl."],
}
COUNTS = pd.DataFrame({"count": ["captions_with_line_breaks", "images_without_objects"], "value": [2, 1]})


@pytest.fixture
def captions():
    rows = [(id73k, n, text) for id73k, texts in SAID.items() for n, text in enumerate(texts, start=1)]
    return pd.DataFrame(rows, columns=["id73k", "position", "caption"])


def as_features(vectors, length=1.0):
    """Means of each image's sentence vectors, in an order of their own."""
    ids = sorted(vectors, reverse=True)
    values = np.array([length * vectors[id73k].mean(axis=0) for id73k in ids])
    return xr.DataArray(values, coords={"id73k": ids}, dims=("id73k", "feature"), name="features")


@pytest.fixture
def vectors(rng):
    """A vector of length 1 for every caption."""
    drawn = {id73k: rng.normal(size=(len(texts), 6)) for id73k, texts in SAID.items()}
    return {id73k: each / np.linalg.norm(each, axis=1, keepdims=True) for id73k, each in drawn.items()}


def test_captions_are_measured_as_by_hand(captions, vectors):
    found = measure_captions(captions, as_features(vectors), seed=1)
    assert tuple(found) == QUANTITIES
    assert sorted(found["captions_per_image"]) == [1, 3, 3]
    # An apostrophe, a hyphen and a point inside belong to a word; a full stop by itself is none.
    assert sorted(found["words_per_caption"]) == sorted([5, 5, 1, 5, 0, 5, 2])
    assert sorted(found["mean_words_of_image"]) == pytest.approx(sorted([11 / 3, 10 / 3, 2]))


def test_similarities_are_means_over_pairs_of_captions(captions, vectors):
    found = measure_captions(captions, as_features(vectors), seed=1)

    def mean_of_pairs(one, other):
        same = one is other
        return np.mean([a @ b for i, a in enumerate(one) for j, b in enumerate(other) if not (same and i == j)])

    within = [mean_of_pairs(vectors[id73k], vectors[id73k]) for id73k in (2, 5)]
    # An image with one caption has no pair.
    assert found["similarity_within_images"] == pytest.approx(within)
    # Of three images each is next to both others.
    between = [mean_of_pairs(vectors[a], vectors[b]) for a, b in ((2, 5), (2, 9), (5, 9))]
    assert sorted(found["similarity_between_images"]) == pytest.approx(sorted(between))


def test_similarities_are_left_out_where_means_do_not_tell_them(captions, vectors):
    found = measure_captions(captions, as_features(vectors, length=3.0), seed=1)
    assert not found["similarity_within_images"].size
    assert not found["similarity_between_images"].size
    figure = draw_caption_statistics(
        plotted_numbers(found, count_oddities(captions, COUNTS)), encoder="encoder", source="local"
    )
    assert "not of length 1" in " ".join(text.get_text() for text in panel(figure, "Similarity").texts)


def test_oddities_are_counted_of_captions_and_of_images(captions):
    found = count_oddities(captions, COUNTS).set_index("what")
    assert found["count"].to_dict() == {
        "end in a full stop": 4,
        "are in capitals": 1,
        "had line breaks inside": 2,
        "are the same as another of the image": 2,
        "have no word": 1,
        "have no annotated object": 1,
    }
    assert found["share"].to_list() == [4 / 7, 1 / 7, 2 / 7, 2 / 7, 1 / 7, 1 / 3]


def test_every_value_is_in_one_bin_and_the_summary_is_of_all(captions, rng):
    values = {
        "captions_per_image": rng.integers(5, 8, 40) * 1.0,
        "words_per_caption": rng.integers(7, 30, 200) * 1.0,
        # Fifths are not exact in binary, and some of them lie on an edge.
        "mean_words_of_image": rng.integers(35, 80, 40) / 5,
        "similarity_within_images": np.round(rng.uniform(-0.2, 1, 40), 2),
        "similarity_between_images": rng.uniform(-0.2, 1, 40),
    }
    numbers = plotted_numbers(values, count_oddities(captions, COUNTS))
    for quantity, of_quantity in values.items():
        here = numbers[numbers["quantity"] == quantity]
        bins = here[here["mark"] == "bin"]
        assert bins["share"].sum() == pytest.approx(1)
        # Exact arithmetic, in hundredths.
        hundredths = np.rint(100 * of_quantity) if quantity != QUANTITIES[-1] else 100 * of_quantity
        for row in bins.itertuples():
            low, high = round(100 * row.low), round(100 * row.high)
            assert row.count == ((hundredths >= low) & (hundredths < high)).sum()
        (summary,) = here[here["mark"] == "summary"].to_dict("records")
        assert summary["n"] == of_quantity.size
        assert summary["sd"] == pytest.approx(pd.Series(of_quantity).std())
        assert [summary[key] for key in ("minimum", "median", "maximum")] == pytest.approx(
            [of_quantity.min(), np.median(of_quantity), of_quantity.max()]
        )
    figure = draw_caption_statistics(numbers, encoder="encoder", source="miniature")
    assert {axes.get_label() for axes in figure.axes} == {*(title for title, *_ in PANELS), "shares"}
    assert not faults_of_texts(figure)
    assert style.STAMP in words(figure)


# Supercategories


def objects(*rows):
    return pd.DataFrame(rows, columns=["id73k", "supercategory", "category_id", "area"])


def test_the_main_supercategory_has_the_largest_area_of_all_its_objects():
    table = objects(
        (1, "person", 1, 50),
        (1, "food", 53, 30),
        (1, "food", 59, 30),
        (2, "food", 53, 10),
        (2, "animal", 17, 10),
        (3, "food", 53, 0),
    )
    found = main_supercategories(table, np.array([4, 3, 2, 1]))
    # Of equal areas the smaller number counts; an object without area is one; other supercategories are not in the image.
    assert found.to_dict() == {4: NO_OBJECT, 3: "food", 2: "animal", 1: "food"}
    assert list(found.cat.categories) == ["person", "animal", "food", NO_OBJECT]


# The plane


def planted(rng, n=25, n_groups=3):
    centres = 6 * rng.normal(size=(n_groups, 12))
    values = np.repeat(centres, n, axis=0) + rng.normal(size=(n * n_groups, 12))
    ids = 1 + rng.permutation(len(values))
    return xr.DataArray(values, coords={"id73k": ids}, dims=("id73k", "feature")), dict(
        zip(ids, np.repeat(range(n_groups), n), strict=True)
    )


def test_planted_groups_stay_together_in_the_plane(rng):
    features, group = planted(rng)
    found = lay_out(features, seed=1)
    assert found["id73k"].to_list() == sorted(features["id73k"].to_numpy())
    places = found[["x", "y"]].to_numpy()
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    groups = found["id73k"].map(group).to_numpy()
    assert (groups[distances.argmin(axis=1)] == groups).all()


def test_places_depend_on_correlations_not_on_order_or_scale(rng):
    features, _ = planted(rng, n=10)
    found = lay_out(features, seed=1)
    # Powers of two change no digit.
    changed = (4 * features).isel(id73k=rng.permutation(features.sizes["id73k"]))
    pd.testing.assert_frame_equal(found, lay_out(changed, seed=1))


def test_of_many_images_a_sample_is_placed(rng, monkeypatch):
    features, _ = planted(rng)
    monkeypatch.setattr(caption_tsne, "MOST_IMAGES", 20)
    one, other = (lay_out(features, seed)["id73k"] for seed in (1, 2))
    assert len(one) == len(set(one)) == 20
    assert one.is_monotonic_increasing
    assert set(one) != set(other)
    assert set(one) <= set(features["id73k"].to_numpy())


def test_embeddings_without_direction_are_refused(rng):
    features, _ = planted(rng)
    features[3] = 0.25
    with pytest.raises(ValueError, match=f"id73k {int(features['id73k'][3])} and 0 more are constant or not finite"):
        lay_out(features, seed=1)
    with pytest.raises(ValueError, match="3 images, expected at least 4"):
        lay_out(features[:3], seed=1)


def test_the_legend_counts_supercategories_that_occur_in_colours_that_do_not_change(rng):
    names = [f"kind {number}" for number in range(12)] + [NO_OBJECT]
    kinds = pd.Categorical(["kind 9", "kind 1", "kind 9", NO_OBJECT], names)
    places = pd.DataFrame(
        {"id73k": range(1, 5), "x": rng.normal(size=4), "y": rng.normal(size=4), "supercategory": kinds}
    )
    figure = draw_caption_tsne(places, encoder="encoder", n_images=9, source="miniature")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["kind 1 (1)", "kind 9 (2)", "no object (1)"]
    one, nine, nothing = panel(figure, "plane").lines
    # Colours come twice, with different marks.
    assert one.get_color() == nine.get_color() == style.PALETTE[1]
    assert one.get_marker() != nine.get_marker()
    assert nothing.get_color() not in style.PALETTE
    assert np.array_equal(nine.get_xdata(), places["x"][[0, 2]])
    assert "4 of 9 images" in words(figure)
    assert not faults_of_texts(figure)
