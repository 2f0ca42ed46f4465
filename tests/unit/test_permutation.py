"""Permutation of images: against all orders written out, exact under the null, and blind to what must not matter."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial.distance import squareform

from capcortex.inference import permutation
from capcortex.inference.permutation import PERMUTATION_COLUMNS, permute_images, tabulate_permutations
from capcortex.rsa.measures import MEASURES, compare_rdms
from capcortex.rsa.rdm import n_pairs

N_SETS, N_ROIS, N_IMAGES = 3, 4, 8


def related(rng, n_sets=N_SETS, n_rois=N_ROIS, n_images=N_IMAGES, share=0.5):
    """RDMs of regions that have less and less in common with a model, the last with its opposite."""
    model = rng.normal(size=(n_sets, n_pairs(n_images)))
    weights = share * np.linspace(1, -1, n_rois)[:, None]
    return weights * model[:, None] + rng.normal(size=(n_sets, n_rois, model.shape[1])), model


def run(regions, model, seed=1, n_permutations=199, measure="pearson"):
    return permute_images(
        regions, model, measure=measure, n_permutations=n_permutations, rng=np.random.default_rng(seed)
    )


def moved(rdm, order):
    return squareform(squareform(rdm)[np.ix_(order, order)])


def moved_with_gaps(rdm, order):
    """As `moved`, for an RDM with undefined pairs, which squareform refuses."""
    square = np.zeros((len(order), len(order)))
    upper = np.triu_indices(len(order), k=1)
    square[upper] = rdm
    return (square + square.T)[np.ix_(order, order)][upper]


def drop_image(rdm, image):
    of_image = np.any(np.array(np.triu_indices(N_IMAGES, k=1)) == image, axis=0)
    return np.where(of_image, np.nan, rdm)


# The p-value


@pytest.mark.parametrize("measure", MEASURES)
def test_four_images_have_the_p_of_all_24_orders(rng, measure):
    # Many permutations of four images come close to the share among all orders, the identity included.
    n = 300 if measure == "tau-a" else 5000
    regions, model = related(rng, n_sets=1, n_images=4, share=2)
    found = run(regions, model, n_permutations=n, measure=measure)
    for roi in range(N_ROIS):
        every = np.array(
            [compare_rdms(regions[0, roi], moved(model[0], order), measure)[0] for order in permutations(range(4))]
        )
        assert float(found["r"][roi]) == pytest.approx(every[0])
        share = np.mean(np.abs(every) >= abs(every[0]) - 1e-12)
        k = round(float(found["p"][roi]) * (n + 1)) - 1
        low, high = stats.binom.ppf([1e-5, 1 - 1e-5], n, share)
        assert low <= k <= high


@given(
    arrays(np.int64, (2, 10), elements=st.integers(0, 3)),
    arrays(np.int64, (10,), elements=st.integers(0, 3)),
    st.integers(0, 2**32 - 1),
)
def test_ties_are_counted_as_in_whole_numbers(regions, model, seed):
    # Sums and squares of distances are the same in every order, so that r grows with n sum(xy) - sum(x) sum(y).
    if min(np.ptp(regions, axis=1).min(), np.ptp(model)) == 0:
        return
    unit = np.random.default_rng(seed).uniform(0.1, 1)
    found = run((unit * regions)[None], (0.1 + unit * model)[None], seed=seed, n_permutations=30)
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(5), (30, 1)), axis=1)
    for roi, region in enumerate(regions):
        sums = [10 * int(region @ moved(model, order)) - int(region.sum()) * int(model.sum()) for order in orders]
        observed = abs(10 * int(region @ model) - int(region.sum()) * int(model.sum()))
        assert float(found["p"][roi]) == (1 + sum(abs(each) >= observed for each in sums)) / 31


def test_under_the_null_p_is_as_small_as_it_says_and_no_more_often():
    n_studies, n = 3000, 19
    rng = np.random.default_rng(11)
    p = np.empty(n_studies)
    for study in range(n_studies):
        regions, model = rng.normal(size=(1, 1, 15)), rng.normal(size=(1, 15))
        p[study] = float(permute_images(regions, model, measure="pearson", n_permutations=n, rng=rng)["p"][0])
    # p is one of 1/20, .. 20/20, each as likely (that a random order is the identity, 1 in 720, hardly matters). Without
    # the observed order, k / 19, it would be 0 in one of 20; (1 + k) / 19 is never 0.05; k / 20 is at most 0.05 in 0.10.
    assert p.min() == pytest.approx(1 / 20)
    for alpha in (0.05, 0.1, 0.2, 0.5):
        low, high = stats.binom.ppf([0.0005, 0.9995], n_studies, alpha)
        assert low <= np.sum(p <= alpha + 1e-9) <= high
    assert stats.chisquare(np.bincount(np.round(20 * p).astype(int), minlength=21)[1:]).pvalue > 0.001


def test_p_is_never_zero_and_the_opposite_is_as_significant(rng):
    model = rng.normal(size=(N_SETS, n_pairs(N_IMAGES)))
    regions = np.stack([model, -model], axis=1)
    found = run(regions, model, n_permutations=99)
    np.testing.assert_allclose(found["r"], [1, -1])
    assert found["p"].to_numpy().tolist() == [0.01, 0.01]


def test_the_opposite_of_a_model_has_the_same_p(rng):
    regions, model = related(rng, share=0.2)
    found, opposite = run(regions, model), run(regions, -model)
    np.testing.assert_allclose(opposite["r"], -found["r"], atol=1e-12)
    assert opposite["p"].to_numpy().tolist() == found["p"].to_numpy().tolist()
    assert len(set(found["p"].to_numpy())) > 2


def test_all_tests_of_the_table_are_one_family(rng):
    # Read backwards, the k-th smallest of m p-values is multiplied by m / k, and never above the one before.
    p = {"caption": [0.001, 0.02], "random": [0.6, 0.03]}
    facts = {"roi": "early", "r": 0.1, "n_permutations": 999, "measure": "pearson"}
    tables = [
        pd.DataFrame({"model": model, "subject": ["subj01", "subj02"], "p": values, **facts})
        for model, values in p.items()
    ]
    table = tabulate_permutations(tables)
    assert table.columns.tolist() == [*PERMUTATION_COLUMNS[:5], "p_adjusted", *PERMUTATION_COLUMNS[5:]]
    np.testing.assert_allclose(table["p_adjusted"], [0.004, 0.04, 0.6, 0.04])


# The statistic


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("gaps", [False, True])
def test_statistics_of_all_orders_are_those_of_the_definition(rng, measure, gaps):
    regions, model = (side[0] for side in related(rng, n_sets=1))
    if gaps:
        model = drop_image(model, 2)
        regions[1] = drop_image(regions[1], 5)
    orders = rng.permuted(np.tile(np.arange(N_IMAGES), (10, 1)), axis=1)
    found = permutation._compare_orders(regions, model, orders, measure)
    expected = [
        [compare_rdms(region, moved_with_gaps(model, order), measure)[0] for region in regions] for order in orders
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_sets_are_permuted_apart_and_averaged(rng):
    regions, model = related(rng)
    n = 40
    again = np.random.default_rng(1)
    orders = np.tile(np.arange(N_IMAGES), (n, 1))
    total = np.zeros((n, N_ROIS))
    for of_regions, of_model in zip(regions, model, strict=True):
        orders = again.permuted(orders, axis=1)
        total += [[compare_rdms(region, moved(of_model, order))[0] for region in of_regions] for order in orders]
    observed = np.mean([[compare_rdms(region, model[k])[0] for region in regions[k]] for k in range(N_SETS)], axis=0)
    found = run(regions, model, n_permutations=n)
    np.testing.assert_allclose(found["r"], observed, atol=1e-12)
    np.testing.assert_allclose(found["p"], (1 + (np.abs(total / N_SETS) >= np.abs(observed)).sum(axis=0)) / (n + 1))


def test_blocks_of_orders_change_nothing(rng, monkeypatch):
    regions, model = related(rng, share=0.2)
    whole = run(regions, model)
    monkeypatch.setattr(permutation, "BLOCK_CELLS", 7 * n_pairs(N_IMAGES))
    assert run(regions, model)["p"].to_numpy().tolist() == whole["p"].to_numpy().tolist()


# What must not matter


def test_order_of_images_is_irrelevant(rng):
    regions, model = (side[0] for side in related(rng, n_sets=1, n_images=5))
    names = rng.permutation(5)
    every = np.array(list(permutations(range(5))))
    found = permutation._compare_orders(regions, model, every, "pearson")
    relabelled = np.array([moved(region, names) for region in regions])
    other = permutation._compare_orders(relabelled, moved(model, names), every, "pearson")
    # The same statistics, each under another order: those of all orders together are the null distribution.
    np.testing.assert_allclose(np.sort(other, axis=0), np.sort(found, axis=0), atol=1e-12)
    np.testing.assert_allclose(other[0], found[0], atol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_scale_and_shift_of_distances_are_irrelevant(rng, gaps):
    regions, model = related(rng, share=0.2)
    if gaps:
        model[0] = drop_image(model[0], 3)
    plain = run(regions, model)
    other = run(0.3 + 2 * regions, 5 + 0.1 * model)
    np.testing.assert_allclose(other["r"], plain["r"], atol=1e-10)
    assert other["p"].to_numpy().tolist() == plain["p"].to_numpy().tolist()


def test_a_region_has_the_same_p_whatever_the_others_are(rng):
    regions, model = related(rng, share=0.2)
    whole = run(regions, model)
    assert run(regions[:, 1:2], model)["p"].to_numpy().tolist() == [float(whole["p"][1])]


# What is not defined


def test_undefined_statistics_have_no_p_and_change_no_other(rng):
    regions, model = related(rng)
    plain = run(regions, model)
    regions[:, 1] = 0.5
    regions[:, 2] = np.nan
    found = run(regions, model)
    assert np.isnan(found["r"][1:3]).all()
    assert np.isnan(found["p"][1:3]).all()
    assert found["p"][::3].to_numpy().tolist() == plain["p"][::3].to_numpy().tolist()


def test_a_set_without_a_statistic_is_left_out_of_the_mean(rng):
    regions, model = related(rng)
    alone = run(regions[:2], model[:2])
    model[2] = 1.0
    found = run(regions, model)
    np.testing.assert_allclose(found["r"], alone["r"], atol=1e-12)
    assert found["p"].to_numpy().tolist() == alone["p"].to_numpy().tolist()


def test_rdms_that_do_not_fit_together_are_refused(rng):
    regions, model = related(rng)
    with pytest.raises(ValueError, match="same image sets and pairs, found"):
        run(regions, model[:1])
    with pytest.raises(ValueError, match="no number of images has 27 pairs"):
        run(regions[..., 1:], model[..., 1:])
