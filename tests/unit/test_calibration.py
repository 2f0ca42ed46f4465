"""Sound tests keep their error rates in simulated studies, broken ones do not, and rates are counted right."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from capcortex.inference import calibration
from capcortex.inference.bootstrap import bootstrap_subjects_and_images, bootstrap_test
from capcortex.inference.calibration import (
    BLOCK_COLUMNS,
    FAMILY_MODELS,
    FAMILY_REGIONS,
    LEFT,
    MEASURED,
    N_DRAWS,
    N_PERMUTATIONS,
    RIGHT,
    STRENGTH,
    WEAKER,
    alignment_tests,
    comparison_tests,
    false_share,
    family_nulls,
    generators,
    judge,
    rate_interval,
    rates_as_markdown,
    simulate_studies,
    tabulate_rates,
)
from capcortex.inference.ceilings import released_ceiling
from capcortex.inference.permutation import permute_images
from capcortex.inference.scenarios import SCENARIOS, n_studies
from capcortex.inference.simulation import (
    Design,
    Model,
    Region,
    draw_scenes,
    own_scores,
    shared_scores,
    simulate_model,
    simulate_region,
)
from capcortex.inference.tests import one_sample_t, sign_flip, unpaired_t
from capcortex.seeds import random_generator

N = 800
SMALL = Design((2, 2, 1, 1, 2, 1, 2, 1), 1, 16)
# People differ in noise, so that who fits one model well fits the other well too.
BRAIN = Region(n_units=20, private=1.0, noise=3.0, noise_variety=1.0, weight_variety=0.2)
FEW = 20


@pytest.fixture(scope="module")
def null_studies():
    """Scores of N small studies on own images, and the Mantel p of the first subject with few permutations."""
    found = {"unrelated": [], "left": [], "right": [], "mantel": []}
    for study in range(N):
        rng = random_generator(5, "small calibration", study)
        scenes = draw_scenes(SMALL, rng)
        region = simulate_region(scenes, BRAIN, rng)
        models = {"unrelated": Model(), "left": Model(LEFT, 1.0), "right": Model(RIGHT, 1.0)}
        rdms = {name: simulate_model(scenes, model, rng) for name, model in models.items()}
        for name, model in rdms.items():
            found[name].append(own_scores(region, model))
        first = region.own[0][:, None], rdms["unrelated"].own[0]
        found["mantel"].append(permute_images(*first, measure="pearson", n_permutations=FEW, rng=rng)["p"].item())
    return {name: np.array(values) for name, values in found.items()}


def verdict_of(p):
    interval = rate_interval(np.asarray(p) <= 0.05)
    return judge(interval.low, interval.high, 0.05)


def p_of_t(values):
    return np.array([one_sample_t(row)[1] for row in values])


def test_tests_of_one_model_keep_their_level_and_one_sided_ones_do_not(null_studies):
    t = p_of_t(null_studies["unrelated"])
    flips = np.array([sign_flip(row) for row in null_studies["unrelated"]])
    assert verdict_of(t) == verdict_of(flips) == "nominal"
    assert verdict_of(t / 2) == verdict_of(flips / 2) == "liberal"


def test_paired_tests_keep_their_level_and_unpaired_or_one_sided_ones_do_not(null_studies):
    left, right = null_studies["left"], null_studies["right"]
    t = p_of_t(left - right)
    flips = np.array([sign_flip(row) for row in left - right])
    assert verdict_of(t) == verdict_of(flips) == "nominal"
    assert verdict_of(t / 2) == verdict_of(flips / 2) == "liberal"
    unpaired = [unpaired_t(*pair)[1] for pair in zip(left, right, strict=True)]
    assert verdict_of(unpaired) == "conservative"


def test_permutations_keep_their_level_and_miscounted_ones_do_not(null_studies):
    """Without the observed order among the permutations p is k / n: 0 and 1 of 20 are at most 0.05, probability 2/21."""
    p = null_studies["mantel"]
    exceeding = np.round(p * (FEW + 1)) - 1
    assert verdict_of(p) == "nominal"
    assert verdict_of(exceeding / FEW) == "liberal"
    assert verdict_of(p / 2) == "liberal"


def test_what_is_called_by_a_name_is_that_test(rng):
    """The p-values are those of scipy, and of our own functions where scipy has none, on the scores that the name says."""
    scenes = draw_scenes(SMALL, rng)
    region = simulate_region(scenes, Region(), rng)
    left, right = (simulate_model(scenes, Model(half, 1.0), rng) for half in (LEFT, RIGHT))
    own = [own_scores(region, model) for model in (left, right)]
    shared = [shared_scores(region, model) for model in (left, right)]
    ratios = own / released_ceiling(region.all_shared)
    tests = alignment_tests(region, left, rng) + comparison_tests(region, left, right, rng)
    p = {row["test"]: row["p"] for row in tests}
    expected = {
        "t over subjects, own images": stats.ttest_1samp(own[0], 0).pvalue,
        "t over subjects, shared images": stats.ttest_1samp(shared[0], 0).pvalue,
        "sign flips over subjects, own images": sign_flip(own[0]),
        "sign flips over subjects, shared images": sign_flip(shared[0]),
        "released: t of ratios to ceilings": stats.ttest_1samp(ratios[0], 0).pvalue,
        "paired t, own images": stats.ttest_rel(*own).pvalue,
        "paired t, shared images": stats.ttest_rel(*shared).pvalue,
        "paired sign flips, own images": sign_flip(own[0] - own[1]),
        "unpaired t, own images": stats.ttest_ind(*own).pvalue,
        "released: unpaired t of ratios to ceilings": stats.ttest_ind(*ratios).pvalue,
    }
    assert {name: p[name] for name in expected} == pytest.approx(expected)
    assert len(p) == len(expected) + 4  # those that draw, below


def test_what_is_drawn_is_the_test_that_the_name_says(rng):
    """Bootstraps on the shared images, permutations on the first subject's own ones: with the same draws the same p."""
    scenes = draw_scenes(SMALL, rng)
    region = simulate_region(scenes, Region(), rng)
    left, right = (simulate_model(scenes, Model(half, strength), rng) for half, strength in ((LEFT, 1.0), (RIGHT, 0.4)))

    def bootstrap(models, weights, draws):
        rdms = region.shared.swapaxes(0, 1), np.stack([model.shared for model in models], axis=1)
        made = bootstrap_subjects_and_images(*rdms, measure="pearson", n_draws=N_DRAWS, rng=draws)
        return bootstrap_test(made, weights).p

    found = {row["test"]: row["p"] for row in comparison_tests(region, left, right, np.random.default_rng(4))}
    expected = bootstrap([left, right], [1, -1], np.random.default_rng(4))
    assert found["paired two-factor bootstrap, shared images"] == expected
    draws = np.random.default_rng(5)
    found = {row["test"]: row["p"] for row in alignment_tests(region, left, np.random.default_rng(5))}
    assert found["two-factor bootstrap, shared images"] == bootstrap([left], [1], draws)
    for n, name in ((N_PERMUTATIONS, ""), (FEW, ", 20 draws")):
        rdms = region.own[0][:, None], left.own[0]
        p = permute_images(*rdms, measure="pearson", n_permutations=n, rng=draws)["p"].item()
        assert found[f"image permutation in one subject{name}"] == p


def test_rows_of_families_maps_and_equivalence_are_what_they_are_called():
    rows = {name: simulate_studies(name, 2, 1, seed=3) for name in ("families", "maps", "equivalence")}
    images, rng = generators("families", 2, 3)
    scenes = draw_scenes(Design(), images)
    regions = [simulate_region(scenes, Region(latents), rng) for latents in FAMILY_REGIONS.values()]
    models = [simulate_model(scenes, Model(latents, STRENGTH), rng) for latents in FAMILY_MODELS.values()]
    p = np.array([stats.ttest_1samp(own_scores(region, model), 0).pvalue for region in regions for model in models])
    family = rows["families"].set_index("test")
    holm = multipletests(p, method="holm")[1]
    assert family.loc["family of t: Holm", "p"] == pytest.approx(holm[family_nulls()].min())
    assert holm.min() < holm[family_nulls()].min()  # of the nulls, not of all
    found = multipletests(p, method="fdr_bh")[1] <= 0.05
    assert family.loc["family of t: Benjamini-Hochberg", "estimate"] == pytest.approx(
        found[family_nulls()].sum() / found.sum()
    )

    maps = rows["maps"].set_index("test")["p"]
    # Sign flips of eight subjects: a multiple of 1/128, and none below any uncorrected p's family.
    for name in ("map: sign flips, maximum statistic", "map with an effect: sign flips, maximum statistic"):
        assert maps[name] * 128 == pytest.approx(round(maps[name] * 128))
    assert maps["map: uncorrected t"] < maps["map: Benjamini-Hochberg, no effect"]
    assert maps["map: Benjamini-Hochberg, no effect"] * 128 != pytest.approx(
        round(maps["map: Benjamini-Hochberg, no effect"] * 128)
    )

    images, rng = generators("equivalence", 2, 3)
    scenes = draw_scenes(Design(), images)
    region = simulate_region(scenes, Region(), rng)
    better, worse = (
        own_scores(region, simulate_model(scenes, Model(half, strength), rng))
        for half, strength in ((LEFT, STRENGTH), (RIGHT, WEAKER))
    )
    assert rows["equivalence"]["estimate"].tolist() == pytest.approx((better - worse).tolist())


def test_models_go_with_the_images_and_people_are_drawn_anew(monkeypatch):
    """Of the same images all studies have the same models; otherwise the intervals would be about other models too."""
    made = {"simulate_model": [], "simulate_region": []}
    for name, rdms in made.items():
        simulate = getattr(calibration, name)
        monkeypatch.setattr(calibration, name, lambda *args, to=rdms, of=simulate: (to.append(of(*args)), to[-1])[1])
    for study in (1, 2):
        simulate_studies("same-images", study, 1, seed=3)
    left, right, left_again, right_again = (model.shared for model in made["simulate_model"])
    assert (left == left_again).all() and (right == right_again).all() and (left != right).any()
    first, second = (region.shared for region in made["simulate_region"])
    assert (first != second).all()


# Blocks


@pytest.fixture(scope="module")
def blocks():
    return {scenario: simulate_studies(scenario, 1, 1 if scenario == "power" else 2, seed=3) for scenario in SCENARIOS}


def test_every_rate_that_is_tabulated_is_simulated_and_the_other_way_round(blocks):
    assert set(calibration._SIMULATED) == set(SCENARIOS)
    simulated = {(scenario, test) for scenario, block in blocks.items() for test in block["test"]}
    named = {(measured.scenario, measured.test) for measured in MEASURED}
    not_tabulated = simulated - named
    assert named < simulated
    # The intervals of own images are not about the same images, and few permutations are a matter of level, not of power.
    assert {scenario for scenario, _ in not_tabulated} == {"same-images", "power"}
    assert len(not_tabulated) == 5
    table = tabulate_rates(pd.concat(blocks.values(), ignore_index=True))
    assert (table["n_studies"] == np.where(table["measure"] == "power", 1, 2)).all()
    assert (table["null"] != "")[table["measure"] != "power"].all()
    assert set(table["claim"]) == {"people", "people and images", "images of one person"}
    power = table[table["measure"] == "power"]
    assert (power.groupby("test").size() == 15).all()
    assert table.loc[table["measure"] != "power", "verdict"].isin(["nominal", "conservative", "liberal"]).all()


@pytest.mark.parametrize("scenario", ["no-alignment", "same-images", "maps", "equivalence"])
def test_a_study_does_not_depend_on_its_block(blocks, scenario):
    second = simulate_studies(scenario, 2, 1, seed=3)
    whole = blocks[scenario]
    pd.testing.assert_frame_equal(whole[whole["study"] == 2].reset_index(drop=True), second)
    numbers = whole[["p", "estimate"]].sum(axis=1)
    assert (numbers[whole["study"] == 1].to_numpy() != numbers[whole["study"] == 2].to_numpy()).any()
    assert list(second.columns) == BLOCK_COLUMNS


def test_images_are_drawn_anew_unless_the_scenario_keeps_them():
    def drawn(scenario, study, which):
        return generators(scenario, study, 3)[which].random()

    assert drawn("same-images", 1, 0) == drawn("same-images", 2, 0)
    assert drawn("same-images", 1, 1) != drawn("same-images", 2, 1)
    assert drawn("something-shared", 1, 0) != drawn("something-shared", 2, 0)
    assert generators("maps", 1, 3)[1].random() != generators("maps", 1, 4)[1].random()


def test_numbers_of_studies():
    assert (n_studies("no-alignment", 1000), n_studies("power", 1000), n_studies("power", 20)) == (1000, 200, 4)


def test_eight_of_twelve_tests_of_the_family_are_true_nulls():
    """Model c has the latents of two regions, d those of none."""
    expected = {("first", "a"), ("second", "b"), ("first", "c"), ("second", "c")}
    pairs = [(region, model) for region in ("first", "second", "third") for model in "abcd"]
    assert {pair for pair, null in zip(pairs, family_nulls(), strict=True) if not null} == expected


# Counting


def test_interval_of_a_count_is_clopper_and_pearsons():
    """Closed forms: none of n, all of n; otherwise quantiles of beta distributions."""
    tail = 0.0005
    none, every = rate_interval(np.zeros(50, bool)), rate_interval(np.ones(50, bool))
    assert none == pytest.approx((0, 0, 1 - tail ** (1 / 50)))
    assert every == pytest.approx((1, tail ** (1 / 50), 1))
    some = rate_interval(np.arange(200) < 11)
    assert some == pytest.approx((0.055, stats.beta.ppf(tail, 11, 190), stats.beta.isf(tail, 12, 189)))


def test_interval_of_shares_is_normal():
    interval = rate_interval(np.array([0.0, 0.5, 0.25, 0.25]))
    error = np.sqrt(0.125 / 3) / 2
    assert interval == pytest.approx((0.25, 0.25 - 3.2905267 * error, 0.25 + 3.2905267 * error))


def test_verdicts():
    assert (
        judge(0.03, 0.07, 0.05) == judge(0.05, 0.07, 0.05) == judge(0.9, 0.96, 0.95, higher_is_safe=True) == "nominal"
    )
    assert judge(0.06, 0.07, 0.05) == judge(0.8, 0.94, 0.95, higher_is_safe=True) == "liberal"
    assert judge(0.01, 0.04, 0.05) == judge(0.96, 1.0, 0.95, higher_is_safe=True) == "conservative"
    assert judge(0.01, 0.04, float("nan")) == ""


def test_false_share_by_hand():
    null = np.array([True, True, False, False])
    assert false_share(np.array([0.05, 0.2, 0.01, 0.04]), null) == pytest.approx(1 / 3)
    assert false_share(np.array([0.5, 0.2, 0.3, 0.4]), null) == 0


def made_up_blocks(n_found, n_covering, differences, shares):
    """A hundred studies: ``n_found`` have p = 0.05, the others a little more; ``n_covering`` intervals hold the mean."""
    rows = []
    for measured in MEASURED:
        for study in range(1, 101):
            row = {"scenario": measured.scenario, "test": measured.test, "study": study}
            row["p"] = 0.05 if study <= n_found else 0.0501
            # The estimates 1, 3, 1, 3, .. have the mean 2.
            row["estimate"] = 1.0 if study % 2 else 3.0
            row |= {"low": 1.5, "high": 2.0} if study <= n_covering else {"low": -0.5, "high": 1.9}
            if measured.measure == "false discoveries":
                row["estimate"] = shares[study - 1]
            if measured.measure == "false claims of equivalence":
                of_subjects = enumerate(differences[study - 1], start=1)
                rows += [row | {"subject": subject, "estimate": value} for subject, value in of_subjects]
            else:
                rows.append(row)
    return pd.DataFrame(rows).reindex(columns=BLOCK_COLUMNS)


def test_rates_of_made_up_studies(rng):
    differences, shares = rng.normal(1.0, 1.0, (100, 8)), rng.uniform(0, 0.2, 100)
    blocks = made_up_blocks(7, 90, differences, shares)
    # The order of rows is of no account, nor is writing them to a file.
    table = tabulate_rates(blocks.sample(frac=1, random_state=1))
    rates = table.groupby("measure")["rate"].unique()
    for measure in ("false positives", "family-wise errors", "power"):
        assert rates[measure].tolist() == pytest.approx([0.07])
    assert rates["coverage"].tolist() == rates["intervals above zero"].tolist() == pytest.approx([0.9])
    assert rates["false discoveries"].tolist() == pytest.approx([shares.mean()])
    # Schuirmann's tests claim equivalence where the 90 % interval lies within the bounds, here the true difference.
    bound = differences.mean()
    half = stats.t.isf(0.05, 7) * differences.std(axis=1, ddof=1) / np.sqrt(8)
    inside = (differences.mean(axis=1) + half < bound) & (differences.mean(axis=1) - half > -bound)
    assert rates["false claims of equivalence"].tolist() == pytest.approx([inside.mean()])
    assert 0 < inside.mean() < 0.2


def test_markdown_holds_every_rate(rng):
    table = tabulate_rates(made_up_blocks(7, 90, rng.normal(1.0, 1.0, (100, 8)), np.full(100, 0.02)))
    power = [
        table[table["measure"] == "power"].assign(effect=effect, n_images=60, n_shared_images=30) for effect in (0.3, 1)
    ]
    power[1]["rate"] = 0.9
    lines = rates_as_markdown(pd.concat([table[table["measure"] != "power"], *power])).splitlines()
    # Exact limits for 7 of 100.
    low, high = stats.beta.ppf(0.0005, 7, 94), stats.beta.isf(0.0005, 8, 93)
    expected = "| no-difference | paired t, own images | people and images | false positives "
    assert f"{expected}| 0.070 ({low:.3f} to {high:.3f}) | 0.05 | nominal |" in lines
    assert "| paired t, own images | 60 own, 30 shared | 0.07 | 0.90 |" in lines
    assert "| test | images | strength 0.3 | strength 1 |" in lines
    assert lines[:2] == ["100 simulated studies for each null, 100 for each point of a power curve.", ""]
    # Two headers of two lines, and a line between the tables.
    assert len(lines) == 2 + len(MEASURED) + 2 * 2 + 1
    assert {line.count("|") for line in lines} == {8, 5, 0}


def test_a_study_without_a_p_or_a_missing_test_stops_the_count(rng):
    blocks = made_up_blocks(7, 90, rng.normal(1.0, 1.0, (100, 8)), np.zeros(100))
    spoilt = blocks.copy()
    spoilt.loc[(spoilt["test"] == "paired t, own images") & (spoilt["study"] == 4), "p"] = np.nan
    with pytest.raises(ValueError, match="study 4, paired t, own images: p is not defined"):
        tabulate_rates(spoilt)
    with pytest.raises(ValueError, match="'maps' has the test 'map: uncorrected t'"):
        tabulate_rates(blocks[blocks["test"] != "map: uncorrected t"])
