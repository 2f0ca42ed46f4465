"""Decoding: scores of predicted embeddings, what they are beside, and the search for the nearest sentence."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import RidgeCV

from capcortex.encoding.decode import (
    caption_ceiling,
    correlate_pairs,
    correlate_rows,
    decode_images,
    decoding_memory_mb,
    nearest_memory_mb,
    nearest_sentences,
    score_images,
)
from capcortex.encoding.fractional_ridge import FRACTIONS, RELEASED_FRACTIONS, predict
from capcortex.encoding.gram_ridge import cross_validate_gram, fit_gram, make_gram

N_TRAINING, N_TEST, N_UNITS, N_DIMENSIONS = 160, 40, 300, 24


@pytest.fixture(scope="module")
def planted():
    """Embeddings around a mean that holds much of their length, and responses that follow them beneath noise."""
    random = np.random.default_rng(7)
    n = N_TRAINING + N_TEST
    mean = 0.45 * random.standard_normal(N_DIMENSIONS)
    embeddings = mean + random.standard_normal((n, 6)) @ random.standard_normal((6, N_DIMENSIONS)) / np.sqrt(6)
    responses = embeddings @ random.standard_normal((N_DIMENSIONS, N_UNITS)) / 5 + 2 * random.standard_normal(
        (n, N_UNITS)
    )
    # As z-scores have none.
    return responses - responses.mean(axis=0), embeddings


def gram_of(responses):
    return make_gram([(responses[:N_TRAINING], responses[N_TRAINING:])])


@pytest.fixture(scope="module")
def decoded(planted):
    responses, embeddings = planted
    return decode_images(gram_of(responses), embeddings[:N_TRAINING], as_released=True), embeddings[N_TRAINING:]


def test_signal_is_found_beyond_what_the_mean_embedding_gives(planted, decoded):
    _, embeddings = planted
    found, targets = decoded
    scores = score_images(found.predicted, targets)
    mean_only = correlate_rows(embeddings[:N_TRAINING].mean(axis=0)[None], targets)[0]
    assert scores.r.mean() > mean_only.mean() + 0.2
    assert scores.r.mean() > scores.mismatched.mean() + 0.2
    assert scores.identification.mean() > 0.9


def test_decoding_from_noise_is_at_chance_though_its_r_is_not(planted):
    """The mean embedding alone correlates with every image's; identification is not deceived."""
    _, embeddings = planted
    noise = np.random.default_rng(1).standard_normal((N_TRAINING + N_TEST, N_UNITS))
    found = decode_images(gram_of(noise), embeddings[:N_TRAINING])
    scores = score_images(found.predicted, embeddings[N_TRAINING:])
    assert scores.r.mean() > 0.2
    assert scores.mismatched.mean() == pytest.approx(scores.r.mean(), abs=0.05)
    # 40 images, each of which has spread sqrt(1 / 12) at most under the null.
    assert abs(scores.identification.mean() - 0.5) < 3 * np.sqrt(1 / 12 / N_TEST)


def test_without_the_mean_embedding_other_images_correlate_no_more(decoded):
    found, targets = decoded
    sound, without, released = (
        score_images(each, targets) for each in (found.predicted, found.without_mean, found.as_released)
    )
    assert sound.mismatched.mean() > 0.1
    for other in (without, released):
        assert abs(other.mismatched.mean()) < 0.05
        assert other.r.mean() < sound.r.mean() - 0.03
    assert np.unique(found.fraction).size > 1
    assert found.fraction_as_released in RELEASED_FRACTIONS
    assert np.isin(found.fraction, FRACTIONS).all()


def test_as_released_all_dimensions_have_one_fraction(planted, decoded):
    """The one whose r2, averaged over dimensions, is best on held-out images; each dimension would choose another for itself."""
    responses, embeddings = planted
    found, _ = decoded
    gram, targets = gram_of(responses), embeddings[:N_TRAINING]
    scores = cross_validate_gram(gram, targets, RELEASED_FRACTIONS)
    best = RELEASED_FRACTIONS[scores.mean(axis=1).argmax()]
    assert np.unique(scores.argmax(axis=0)).size > 1
    assert found.fraction_as_released == best
    (fit,) = fit_gram(gram, targets, np.full(N_DIMENSIONS, best))
    assert_allclose(found.as_released, predict(gram.test, fit.duals, fit.intercept, keep_mean=False), atol=1e-9)


def test_each_dimension_has_the_fraction_and_the_score_that_are_best_of_its_grid(planted, decoded):
    """Also where fractions of the released code are scored with them: they are not to be chosen, nor their scores named."""
    responses, embeddings = planted
    found, _ = decoded
    gram = gram_of(responses)
    scores = cross_validate_gram(gram, embeddings[:N_TRAINING])
    alone = decode_images(gram, embeddings[:N_TRAINING])
    for each in (found, alone):
        assert_array_equal(each.fraction, FRACTIONS[scores.argmax(axis=0)])
        assert_allclose(each.cross_validated_r2, scores.max(axis=0), atol=1e-12)
    assert_allclose(alone.predicted, found.predicted, atol=1e-12)
    assert alone.as_released is None
    assert np.isnan(alone.fraction_as_released)


def test_the_mean_is_what_is_left_out(planted, decoded):
    """Responses without a mean of their own: then predictions differ by the mean embedding of the training images."""
    responses, embeddings = planted
    centred = responses - responses[:N_TRAINING].mean(axis=0)
    found = decode_images(gram_of(centred), embeddings[:N_TRAINING])
    assert_allclose(
        found.predicted - found.without_mean,
        np.broadcast_to(embeddings[:N_TRAINING].mean(axis=0), (N_TEST, N_DIMENSIONS)),
        atol=1e-9,
    )
    assert_allclose(found.predicted, decoded[0].predicted, atol=1e-9)


def test_it_decodes_about_as_well_as_ridge_regression_of_scikit_learn(planted, decoded):
    responses, embeddings = planted
    found, targets = decoded
    judge = RidgeCV(np.geomspace(1, 1e5, 40), alpha_per_target=True).fit(
        responses[:N_TRAINING], embeddings[:N_TRAINING]
    )
    expected = score_images(judge.predict(responses[N_TRAINING:]), targets)
    assert score_images(found.predicted, targets).r.mean() == pytest.approx(expected.r.mean(), abs=0.02)


def test_embeddings_of_test_images_enter_no_fit_and_few_dimensions_are_refused(planted):
    responses, embeddings = planted
    with pytest.raises(
        ValueError, match=r"at least 10 dimensions, over which predictions are correlated; found \(160, 9\)"
    ):
        decode_images(gram_of(responses), embeddings[:N_TRAINING, :9])
    assert decode_images(gram_of(responses), embeddings[:N_TRAINING, :10]).predicted.shape == (N_TEST, 10)


def test_scores_are_those_of_a_loop():
    random = np.random.default_rng(4)
    predicted, targets = random.standard_normal((2, 7, 12))
    found = score_images(predicted, targets)
    for at in range(7):
        others = [np.corrcoef(predicted[at], targets[other])[0, 1] for other in range(7) if other != at]
        own = np.corrcoef(predicted[at], targets[at])[0, 1]
        assert_allclose([found.r[at], found.mismatched[at]], [own, np.mean(others)], atol=1e-12)
        assert found.identification[at] == pytest.approx(np.mean(np.array(others) < own))


def test_order_of_images_and_scale_of_predictions_do_not_matter():
    random = np.random.default_rng(4)
    predicted, targets = random.standard_normal((2, 9, 12))
    found = score_images(predicted, targets)
    order = random.permutation(9)
    other = score_images(3 * predicted[order] + random.standard_normal((9, 1)), targets[order])
    for name in found._fields:
        assert_allclose(getattr(other, name), getattr(found, name)[order], atol=1e-12)


def test_embeddings_that_are_equal_count_half_wherever_they_stand():
    """Five images show the same categories, each another number of them; rounding of a large product tells them apart."""
    random = np.random.default_rng(11)
    kinds, number = random.integers(0, 2, (103, 80)), np.arange(515)
    targets = kinds[number % 103] * (1.0 + number // 103)[:, None]
    predicted = targets + 3 * random.standard_normal(targets.shape)
    r = np.corrcoef(predicted, kinds)[:515, 515:]
    own = r[number, number % 103]
    expected = (5 * (r < own[:, None] - 1e-9).sum(axis=1) + 0.5 * 4) / 514
    for order in (number, random.permutation(515)):
        assert_allclose(score_images(predicted[order], targets[order]).identification, expected[order], rtol=1e-12)


def test_perfect_equal_constant_and_single_predictions():
    random = np.random.default_rng(4)
    targets = random.standard_normal((6, 12))
    perfect = score_images(targets, targets)
    assert_allclose(perfect.r, 1)
    assert_array_equal(perfect.identification, 1)
    # The same embedding for all: nothing tells images apart.
    same = np.repeat(targets[:1], 6, axis=0)
    assert_array_equal(score_images(same, same).identification, 0.5)
    constant = targets.copy()
    constant[2] = 4
    found = score_images(constant, targets)
    assert np.isnan([found.r[2], found.identification[2]]).all()
    assert np.isfinite(np.delete(found.identification, 2)).all()
    single = score_images(targets[:1], targets[:1])
    assert single.r == pytest.approx(1)
    assert np.isnan([single.mismatched, single.identification]).all()


def test_ceiling_of_captions_is_that_of_a_loop_over_all_of_them():
    random = np.random.default_rng(6)
    images = np.array([30, 7, 12, 50, 99])
    ids = np.array([7] * 5 + [12] + [30] * 2 + [50] * 7 + [1, 1])
    vectors = random.standard_normal((ids.size, 20)) + random.standard_normal(20)
    found = caption_ceiling(vectors, ids, images)
    for at, image in enumerate(images):
        own = vectors[ids == image]
        expected = [
            np.corrcoef(own[one], np.delete(own, one, axis=0).mean(axis=0))[0, 1]
            for one in range(len(own))
            if len(own) > 1
        ]
        assert_allclose(found[at], np.mean(expected) if expected else np.nan)
    # One caption has no others, and an image without any neither.
    assert_array_equal(np.isnan(found), [False, False, True, False, True])
    order = random.permutation(ids.size)
    assert_allclose(caption_ceiling(vectors[order], ids[order], images), found)


def split(vectors, size):
    return (vectors[start : start + size] for start in range(0, len(vectors), size))


def test_nearest_sentence_is_that_of_all_correlations_whatever_the_blocks():
    random = np.random.default_rng(8)
    predicted = random.standard_normal((11, 40))
    vectors = (random.standard_normal((500, 40)) + 100).astype(np.float32)
    vectors[123] = 5
    r = np.array([[np.corrcoef(p, v)[0, 1] if v.std() else -2 for v in vectors.astype(float)] for p in predicted])
    for size in (1, 7, 100, 500, 1000):
        found = nearest_sentences(predicted, split(vectors, size))
        assert_array_equal(found.row, r.argmax(axis=1))
        assert_allclose(found.r, r.max(axis=1), atol=1e-12)


def test_of_equal_sentences_the_first_is_nearest_and_hair_widths_are_told_apart():
    """Copies fall into different places of their blocks, where products in single precision round differently."""
    random = np.random.default_rng(9)
    predicted = random.standard_normal((6, 129))
    base = (predicted + 0.3 * random.standard_normal(predicted.shape)).astype(np.float32)
    vectors = np.concatenate([random.standard_normal((50, 129)), base, random.standard_normal((33, 129)), base, base])
    vectors = vectors.astype(np.float32)
    for size in (1, 3, 10, 64, 1000):
        found = nearest_sentences(predicted, split(vectors, size))
        assert_array_equal(found.row, 50 + np.arange(6))
    # The last copy is nearer by far less than single precision tells.
    closer = vectors.astype(np.float64)
    closer[-6:] += 1e-9 * (predicted - closer[-6:])
    for size in (3, 1000):
        assert_array_equal(nearest_sentences(predicted, split(closer, size)).row, len(closer) - 6 + np.arange(6))


def test_a_sentence_that_single_precision_puts_second_is_found_nonetheless():
    """Beside two large numbers many small ones are lost, one after the other: half a digit of 1 each, more together."""
    small = np.tile([1, -1], 64) * 1.7e-4
    large = np.sqrt((1 - (small**2).sum()) / 2)
    predicted = np.concatenate([[large, -large], small])
    # Most have the large numbers alone, the last ones are what was predicted. Libraries sum products of large matrices in turn.
    large_alone = np.concatenate([[1, -1], 0 * small])
    vectors = np.stack([large_alone] * 400 + [predicted] * 100)
    assert np.corrcoef(predicted, large_alone)[0, 1] < 1 - 1e-6
    for size in (100, 500):
        found = nearest_sentences(np.stack([predicted] * 64), split(vectors, size))
        assert_array_equal(found.row, 400)
        assert_allclose(found.r, 1, atol=1e-12)


def test_a_dictionary_of_one_sentence_none_and_broken_ones():
    random = np.random.default_rng(9)
    predicted = random.standard_normal((3, 12))
    predicted[1] = 7
    found = nearest_sentences(predicted, [-predicted[:1]])
    assert_array_equal(found.row, [0, -1, 0])
    assert_allclose(found.r[[0, 1]], [-1, np.nan])
    with pytest.raises(ValueError, match="it has no sentence"):
        nearest_sentences(predicted, [])
    for wrong, shape in ((np.ones((2, 11)), r"\(2, 11\)"), (np.ones(12), r"\(12,\)")):
        with pytest.raises(ValueError, match=f"expected vectors of 12 dimensions, found shape {shape} from row 3 on"):
            nearest_sentences(predicted, [predicted, wrong])
    broken = random.standard_normal((9, 12))
    broken[4, 3] = np.nan
    with pytest.raises(ValueError, match="dictionary: row 8 is not finite"):
        nearest_sentences(predicted, [broken[:4], broken])
    flat = nearest_sentences(predicted, [np.ones((5, 12))])
    assert_array_equal(flat.row, -1)
    assert np.isnan(flat.r).all()


def test_memory_of_the_search_does_not_grow_with_the_dictionary():
    """3,000,000 vectors of 768 numbers are 8.6 GB; the formula has no room for them (bench/decoding.py measures it)."""
    assert nearest_memory_mb(515, 768) < 1000


def test_memory_of_decoding_is_that_of_its_larger_half():
    assert decoding_memory_mb(20, 515, 768) == 350 + nearest_memory_mb(515, 768)
    assert decoding_memory_mb(9000, 515, 768) > 1000 + nearest_memory_mb(515, 768)


def test_correlations_of_rows_do_not_suffer_from_rounding():
    """Means in single precision may be wrong by more than the spread, that of a constant may differ from it by a hair."""
    random = np.random.default_rng(2)
    values = (1e-3 * random.standard_normal((20, 3000)) + 1).astype(np.float32)
    other = (values + 1e-3 * random.standard_normal(values.shape)).astype(np.float32)
    expected = np.corrcoef(values.astype(np.float64), other.astype(np.float64))[:20, 20:]
    assert_allclose(correlate_rows(values, other), expected, atol=1e-12)
    assert_allclose(correlate_pairs(values, other), np.diag(expected), atol=1e-12)
    constant = np.full((1, 30), 0.1)
    assert (constant - constant.mean() != 0).all()
    assert np.isnan(correlate_rows(constant, random.standard_normal((4, 30)))).all()
    # Of lines r is 1, not 1 and the last digit.
    many = random.standard_normal((500, 20))
    for r in (correlate_pairs(many, 3 * many - 1), correlate_rows(many, 7 - 3 * many)):
        assert (np.abs(r) <= 1).all()
    assert (nearest_sentences(many, [3 * many - 1]).r <= 1).all()
