"""Calibration: which tests are tried on simulated studies, what their nulls are, and how their error rates are counted.

The tests and intervals are the study's own, from the modules beside this one. `simulate_studies` applies them to studies of
`capcortex.inference.simulation`, `tabulate_rates` counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, stats

from capcortex.inference.bootstrap import bootstrap_subjects_and_images, bootstrap_test
from capcortex.inference.ceilings import (
    between_subject_ceiling,
    ceiling_interval,
    ratio_interval,
    released_ceiling,
    tabulate_between,
)
from capcortex.inference.intervals import Interval, mean_interval
from capcortex.inference.maps import group_map
from capcortex.inference.permutation import permute_images
from capcortex.inference.simulation import (
    Design,
    Model,
    Rdms,
    Region,
    draw_scenes,
    own_scores,
    shared_scores,
    simulate_model,
    simulate_region,
)
from capcortex.inference.tests import (
    equivalence,
    false_discovery_adjusted,
    holm_adjusted,
    one_sample_t,
    sign_flip,
    unpaired_t,
)
from capcortex.seeds import random_generator

ALPHA = 0.05
"""Level of every test, and false discovery rate."""
CONFIDENCE = 0.95
"""Coverage of every interval."""
RATE_CONFIDENCE = 0.999
"""Coverage of the interval of a measured rate."""
N_DRAWS = 200
N_PERMUTATIONS = 199
FEW_PERMUTATIONS = 20
"""So few that a p that does not count the observed order errs twice as often: p of 0 or 1 in 20 has probability 2/21."""

BLOCK_COLUMNS = [
    *("scenario", "study", "test", "effect", "n_images", "n_shared_images", "subject"),
    *("p", "estimate", "low", "high"),
]
"""Columns of what `simulate_studies` returns: a row for each study and test, or, for an equivalence test, also each subject."""

RATE_COLUMNS = [
    *("test", "scenario", "null", "claim", "measure", "effect", "n_images", "n_shared_images"),
    *("rate", "low", "high", "nominal", "n_studies", "verdict", "remark"),
]
"""Columns of `tabulate_rates`."""

PEOPLE, PEOPLE_AND_IMAGES, ONE_PERSON = "people", "people and images", "images of one person"

Rows = list[dict[str, Any]]

# Of the brains, half of the latents each for two models.
LEFT, RIGHT = slice(0, 8), slice(8, 16)
STRENGTH = 1.0
"""How strongly the models of the scenarios with an effect have the latents among their features."""
WEAKER = 0.6
"""The same for the weaker of two models."""

POWER_STRENGTHS = (0.2, 0.3, 0.4, 0.55, 0.75)
POWER_DESIGNS = (
    Design((2, 2, 1, 1, 2, 1, 2, 1), 1),
    Design((5, 5, 3, 3, 5, 3, 5, 3), 2),
    Design((10, 10, 6, 5, 10, 6, 10, 5), 3),
)
SIDE = 20
"""Vertices along one side of a simulated map."""
PATCH = np.zeros((SIDE, SIDE), dtype=bool)
PATCH[:10, :10] = True
"""Vertices with an effect, a quarter of all."""
PATCH_EFFECT = 1.5
"""Mean of a map in the patch, in standard deviations over subjects."""

# Latents that models and regions of the families have; a model has an effect where both overlap.
FAMILY_REGIONS = {"first": slice(0, 5), "second": slice(5, 10), "third": slice(10, 15)}
FAMILY_MODELS = {"a": slice(0, 5), "b": slice(5, 10), "c": slice(0, 10), "d": slice(15, 16)}


# What is simulated


def alignment_tests(region: Rdms, model: Rdms, rng: np.random.Generator) -> Rows:
    """Test one model against zero, in all ways.

    Parameters
    ----------
    region, model
        RDMs of a simulated study.
    rng
        Source of the draws of the bootstrap and of permutations.

    Returns
    -------
    list of dict
        ``test`` and ``p``.
    """
    own, shared = own_scores(region, model), shared_scores(region, model)
    bootstrap = _bootstrap(region, [model], rng)
    mantel, short = (
        permute_images(region.own[0][:, None], model.own[0], measure="pearson", n_permutations=n, rng=rng)["p"].item()
        for n in (N_PERMUTATIONS, FEW_PERMUTATIONS)
    )
    return [
        {"test": "t over subjects, own images", "p": one_sample_t(own)[1]},
        {"test": "sign flips over subjects, own images", "p": sign_flip(own)},
        {"test": "t over subjects, shared images", "p": one_sample_t(shared)[1]},
        {"test": "sign flips over subjects, shared images", "p": sign_flip(shared)},
        {"test": "two-factor bootstrap, shared images", "p": bootstrap_test(bootstrap, [1]).p},
        {"test": "image permutation in one subject", "p": mantel},
        {"test": "image permutation in one subject, 20 draws", "p": short},
        {"test": "released: t of ratios to ceilings", "p": one_sample_t(own / released_ceiling(region.all_shared))[1]},
    ]


def comparison_tests(region: Rdms, left: Rdms, right: Rdms, rng: np.random.Generator) -> Rows:
    """Test the difference of two models, in all ways.

    Parameters
    ----------
    region, left, right
        RDMs of a simulated study.
    rng
        Source of the draws of the bootstrap.

    Returns
    -------
    list of dict
        ``test`` and ``p``.
    """
    own = [own_scores(region, model) for model in (left, right)]
    shared = shared_scores(region, left) - shared_scores(region, right)
    bootstrap = _bootstrap(region, [left, right], rng)
    ceiling = released_ceiling(region.all_shared)
    return [
        {"test": "paired t, own images", "p": one_sample_t(own[0] - own[1])[1]},
        {"test": "paired sign flips, own images", "p": sign_flip(own[0] - own[1])},
        {"test": "paired t, shared images", "p": one_sample_t(shared)[1]},
        {"test": "paired two-factor bootstrap, shared images", "p": bootstrap_test(bootstrap, [1, -1]).p},
        {"test": "unpaired t, own images", "p": unpaired_t(*own)[1]},
        {"test": "released: unpaired t of ratios to ceilings", "p": unpaired_t(own[0] / ceiling, own[1] / ceiling)[1]},
    ]


def _no_alignment(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    scenes = draw_scenes(Design(), images)
    return alignment_tests(simulate_region(scenes, Region(), rng), simulate_model(scenes, Model(), rng), rng)


def _no_difference(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    """Compare two models that have different halves of the latents: exchanging the halves exchanges the models."""
    scenes = draw_scenes(Design(), images)
    left, right = (simulate_model(scenes, Model(half, STRENGTH), rng) for half in (LEFT, RIGHT))
    return comparison_tests(simulate_region(scenes, Region(), rng), left, right, rng)


def _equivalence(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    """Give the difference of two unlike models for each subject: the bound is known only once all studies are there."""
    scenes = draw_scenes(Design(), images)
    region = simulate_region(scenes, Region(), rng)
    better, worse = (
        own_scores(region, simulate_model(scenes, Model(half, strength), rng))
        for half, strength in ((LEFT, STRENGTH), (RIGHT, WEAKER))
    )
    return [
        {"test": "two one-sided t, own images", "subject": subject, "estimate": difference}
        for subject, difference in enumerate(better - worse, start=1)
    ]


def _families(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    """Test a family of models and regions of the same subjects: four of twelve pairs share latents."""
    scenes = draw_scenes(Design(), images)
    regions = [simulate_region(scenes, Region(latents), rng) for latents in FAMILY_REGIONS.values()]
    models = [simulate_model(scenes, Model(latents, STRENGTH), rng) for latents in FAMILY_MODELS.values()]
    p = [one_sample_t(own_scores(region, model))[1] for region in regions for model in models]
    null = family_nulls()
    return [
        {"test": "family of t: Holm", "p": holm_adjusted(p)[null].min()},
        {"test": "family of t: uncorrected", "p": np.array(p)[null].min()},
        {"test": "family of t: Benjamini-Hochberg", "estimate": false_share(false_discovery_adjusted(p), null)},
    ]


def family_nulls() -> NDArray[np.bool_]:
    """Say which tests of the family, regions before models, are of a region and a model without common latents."""
    return np.array(
        [
            region.stop <= model.start or model.stop <= region.start
            for region in FAMILY_REGIONS.values()
            for model in FAMILY_MODELS.values()
        ]
    )


def _maps(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    """Test maps of smooth noise of eight subjects, without and with an effect in a patch."""
    noise = ndimage.gaussian_filter(rng.normal(size=(8, SIDE, SIDE)), (0, 1.5, 1.5), mode="wrap")
    noise /= noise.std()
    null = group_map(noise.reshape(8, -1))
    found = group_map((noise + PATCH_EFFECT * PATCH).reshape(8, -1))
    without = ~PATCH.ravel()
    return [
        {"test": "map: sign flips, maximum statistic", "p": null["p_sign_flip"].min().item()},
        {"test": "map: Benjamini-Hochberg, no effect", "p": null["p_fdr"].min().item()},
        {"test": "map: uncorrected t", "p": null["p"].min().item()},
        {
            "test": "map with an effect: sign flips, maximum statistic",
            "p": found["p_sign_flip"].to_numpy()[without].min(),
        },
        {
            "test": "map with an effect: Benjamini-Hochberg",
            "estimate": false_share(found["p_fdr"].to_numpy(), without),
        },
    ]


def _nothing_shared(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    """Estimate the ceiling of subjects whose responses have nothing in common."""
    region = simulate_region(draw_scenes(Design(), images), Region(scene=0), rng)
    lower = np.mean([between_subject_ceiling(rdms)[0] for rdms in region.shared.swapaxes(0, 1)], axis=0)
    return [
        _interval("ceiling: jackknife interval", ceiling_interval(_ceilings(region), "lower", CONFIDENCE)),
        _interval("ceiling: t interval of dependent values", mean_interval(lower, CONFIDENCE)),
    ]


def _something_shared(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    """Estimate all intervals, where models differ and subjects agree."""
    scenes = draw_scenes(Design(), images)
    region = simulate_region(scenes, Region(), rng)
    # What a model makes of an image goes with the image.
    left, right = (
        simulate_model(scenes, Model(half, strength), images) for half, strength in ((LEFT, STRENGTH), (RIGHT, WEAKER))
    )
    ceilings = _ceilings(region)
    own = [own_scores(region, model) for model in (left, right)]
    shared = [shared_scores(region, model) for model in (left, right)]
    r = pd.Series(shared[0], index=_names(region))
    bootstrap = _bootstrap(region, [left, right], rng)
    of_r, of_difference = (bootstrap_test(bootstrap, weights, CONFIDENCE).interval for weights in ([1, 0], [1, -1]))
    return [
        _interval("t interval of r, own images", mean_interval(own[0], CONFIDENCE)),
        _interval("t interval of the difference, own images", mean_interval(own[0] - own[1], CONFIDENCE)),
        _interval("t interval of r, shared images", mean_interval(shared[0], CONFIDENCE)),
        _interval("t interval of the difference, shared images", mean_interval(shared[0] - shared[1], CONFIDENCE)),
        _interval("bootstrap interval of r, shared images", of_r),
        _interval("bootstrap interval of the difference, shared images", of_difference),
        _interval("ceiling: jackknife interval", ceiling_interval(ceilings, "lower", CONFIDENCE)),
        _interval("ratio to the ceiling: jackknife interval", ratio_interval(r, ceilings, "lower", CONFIDENCE)),
    ]


def _power(images: np.random.Generator, rng: np.random.Generator) -> Rows:
    """Test a model against zero, and a stronger model against a weaker one, for several strengths and designs."""
    rows = []
    for design in POWER_DESIGNS:
        for strength in POWER_STRENGTHS:
            scenes = draw_scenes(design, images)
            region = simulate_region(scenes, Region(), rng)
            planted = (Model(LEFT, strength), Model(LEFT, WEAKER + strength), Model(RIGHT, WEAKER))
            model, stronger, weaker = (simulate_model(scenes, each, rng) for each in planted)
            size = {"n_images": design.set_size * max(design.own_sets)}
            size["n_shared_images"] = design.set_size * design.shared_sets
            tests = alignment_tests(region, model, rng) + comparison_tests(region, stronger, weaker, rng)
            rows += [row | {"effect": strength} | size for row in tests]
    return rows


def _bootstrap(region: Rdms, models: list[Rdms], rng: np.random.Generator) -> xr.Dataset:
    of_models = np.stack([model.shared for model in models], axis=1)
    return bootstrap_subjects_and_images(
        region.shared.swapaxes(0, 1), of_models, measure="pearson", n_draws=N_DRAWS, rng=rng
    )


def _names(region: Rdms) -> list[str]:
    return [f"subj{number:02d}" for number in range(1, len(region.own) + 1)]


def _ceilings(region: Rdms) -> pd.DataFrame:
    labels = [f"shared-{number:03d}" for number in range(1, region.shared.shape[1] + 1)]
    of_sets = zip(labels, region.shared.swapaxes(0, 1), strict=True)
    by_name = {label: dict(zip(_names(region), rdms, strict=True)) for label, rdms in of_sets}
    return tabulate_between({"region": by_name}, measure="pearson", distance="correlation")


def _interval(test: str, interval: Interval) -> dict[str, Any]:
    return {"test": test, **interval._asdict()}


def false_share(adjusted: NDArray[np.floating], null: NDArray[np.bool_]) -> float:
    """Share of the findings of a family (adjusted p at most 0.05) that are true nulls; 0 where nothing is found."""
    found = adjusted <= ALPHA
    return float((found & null).sum() / max(found.sum(), 1))


_SIMULATED: Mapping[str, Callable[[np.random.Generator, np.random.Generator], Rows]] = {
    "no-alignment": _no_alignment,
    "no-difference": _no_difference,
    "equivalence": _equivalence,
    "families": _families,
    "maps": _maps,
    "nothing-shared": _nothing_shared,
    "something-shared": _something_shared,
    "same-images": _something_shared,
    "power": _power,
}
"""What each of `SCENARIOS` simulates: a function of the randomness of the images, and of everything else."""


def generators(scenario: str, study: int, seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Return the randomness of a study's images, and of everything else in it.

    In the scenario ``same-images`` all studies have the same images and models: what varies is people alone.
    """
    of_study = () if scenario == "same-images" else (study,)
    images = random_generator(seed, "calibration", scenario, "images", *of_study)
    return images, random_generator(seed, "calibration", scenario, study)


def simulate_studies(scenario: str, first: int, count: int, seed: int) -> pd.DataFrame:
    """Simulate studies of a scenario and apply its tests to them.

    Parameters
    ----------
    scenario
        One of `scenarios.SCENARIOS`.
    first, count
        Number of the first study, and how many; a study does not depend on those that are simulated with it.
    seed
        The study's seed.

    Returns
    -------
    DataFrame
        Columns `BLOCK_COLUMNS`. ``p`` of a test, or the smallest one where a single false finding among many counts; ``estimate``
        with its interval from ``low`` to ``high``; for Benjamini-Hochberg the ``estimate`` is the share of findings that are
        false, for equivalence the difference of one ``subject``. ``effect`` is the planted strength, ``n_images`` the own
        images of the subject who saw most.
    """
    rows: Rows = []
    for study in range(first, first + count):
        made = _SIMULATED[scenario](*generators(scenario, study, seed))
        rows += [{"study": study, **row} for row in made]
    return pd.DataFrame(rows).assign(scenario=scenario).reindex(columns=BLOCK_COLUMNS)


# What is counted


class Measured(NamedTuple):
    """A rate that is measured: of which test, in which scenario, under which null, about whom, and its nominal value."""

    scenario: str
    test: str
    measure: str
    """One of `MEASURES`."""
    claim: str
    null: str = ""
    nominal: float = float("nan")
    remark: str = ""


def _p_values(rows: pd.DataFrame) -> NDArray[np.bool_]:
    return (_defined(rows, "p") <= ALPHA).ravel()


def _coverage(rows: pd.DataFrame) -> NDArray[np.bool_]:
    estimate, low, high = _defined(rows, "estimate", "low", "high").T
    return (low <= estimate.mean()) & (estimate.mean() <= high)


def _above_zero(rows: pd.DataFrame) -> NDArray[np.bool_]:
    return (_defined(rows, "low") > 0).ravel()


def _equivalent(rows: pd.DataFrame) -> NDArray[np.bool_]:
    differences = rows.pivot(index="study", columns="subject", values="estimate").to_numpy()
    bound = abs(float(differences.mean()))
    return np.array([equivalence(values, bound) <= ALPHA for values in differences])


def _proportions(rows: pd.DataFrame) -> NDArray[np.float64]:
    return _defined(rows, "estimate").ravel()


MEASURES: Mapping[str, Callable[[pd.DataFrame], NDArray[Any]]] = {
    "false positives": _p_values,
    "family-wise errors": _p_values,
    "power": _p_values,
    "false claims of equivalence": _equivalent,
    "false discoveries": _proportions,
    "intervals above zero": _above_zero,
    "coverage": _coverage,
}
"""What is measured: for each, how it is read from the rows of one test in all studies of a scenario. The true value of an
estimate, for coverage and for the bound of equivalence, is its mean over all these studies."""

_ATTAINABLE = "attainable level with 8 subjects: 6/128 = 0.047"
_NO_ALIGNMENT = "the model has nothing to do with the responses"
_NO_DIFFERENCE = "both models have equally strong, exchangeable parts of what the region responds to"
_NO_FAMILY = "the region does not respond to what the model has (8 of 12 tests; the others have effects)"
_NO_MAP = "mean 0 over people at every vertex"
_NO_PATCH = "mean 0 over people at the vertices outside the patch (300 of 400)"
_TRUE_DIFFERENCE = "the difference is as large as the bound"
_TRUE_VALUE = "the true value is the mean over all simulated studies"

_ALIGNMENT = (
    ("t over subjects, own images", PEOPLE_AND_IMAGES, ""),
    ("sign flips over subjects, own images", PEOPLE_AND_IMAGES, _ATTAINABLE),
    ("t over subjects, shared images", PEOPLE_AND_IMAGES, "a chance resemblance on the shared images is common to all"),
    ("sign flips over subjects, shared images", PEOPLE_AND_IMAGES, _ATTAINABLE),
    ("two-factor bootstrap, shared images", PEOPLE_AND_IMAGES, ""),
    ("image permutation in one subject", ONE_PERSON, ""),
    ("image permutation in one subject, 20 draws", ONE_PERSON, "attainable level 1/21 = 0.048"),
    ("released: t of ratios to ceilings", PEOPLE_AND_IMAGES, "own images over a ceiling on the shared ones"),
)
_COMPARISON = (
    ("paired t, own images", PEOPLE_AND_IMAGES, ""),
    ("paired sign flips, own images", PEOPLE_AND_IMAGES, _ATTAINABLE),
    ("paired t, shared images", PEOPLE_AND_IMAGES, "a chance difference on the shared images is common to all"),
    ("paired two-factor bootstrap, shared images", PEOPLE_AND_IMAGES, ""),
    ("unpaired t, own images", PEOPLE_AND_IMAGES, "for contrast: people who fit one model well fit the other well too"),
    ("released: unpaired t of ratios to ceilings", PEOPLE_AND_IMAGES, "own images over a ceiling on the shared ones"),
)
_NULL_SHARE = float(family_nulls().mean())
_INTERVALS = (
    ("something-shared", "t interval of r, own images", PEOPLE_AND_IMAGES),
    ("something-shared", "t interval of the difference, own images", PEOPLE_AND_IMAGES),
    ("something-shared", "t interval of r, shared images", PEOPLE_AND_IMAGES),
    ("something-shared", "t interval of the difference, shared images", PEOPLE_AND_IMAGES),
    ("something-shared", "bootstrap interval of r, shared images", PEOPLE_AND_IMAGES),
    ("something-shared", "bootstrap interval of the difference, shared images", PEOPLE_AND_IMAGES),
    ("something-shared", "ceiling: jackknife interval", PEOPLE_AND_IMAGES),
    ("something-shared", "ratio to the ceiling: jackknife interval", PEOPLE_AND_IMAGES),
    ("same-images", "t interval of r, shared images", PEOPLE),
    ("same-images", "t interval of the difference, shared images", PEOPLE),
    ("same-images", "ceiling: jackknife interval", PEOPLE),
    ("same-images", "ratio to the ceiling: jackknife interval", PEOPLE),
)

MEASURED: tuple[Measured, ...] = (
    *(
        Measured("no-alignment", test, "false positives", claim, _NO_ALIGNMENT, ALPHA, remark)
        for test, claim, remark in _ALIGNMENT
    ),
    *(
        Measured("no-difference", test, "false positives", claim, _NO_DIFFERENCE, ALPHA, remark)
        for test, claim, remark in _COMPARISON
    ),
    Measured(
        *("equivalence", "two one-sided t, own images", "false claims of equivalence", PEOPLE_AND_IMAGES),
        *(_TRUE_DIFFERENCE, ALPHA),
    ),
    Measured("families", "family of t: Holm", "family-wise errors", PEOPLE_AND_IMAGES, _NO_FAMILY, ALPHA),
    Measured(
        *("families", "family of t: Benjamini-Hochberg", "false discoveries", PEOPLE_AND_IMAGES, _NO_FAMILY),
        *(ALPHA * _NULL_SHARE, f"at most {ALPHA:g}; with {_NULL_SHARE:.0%} true nulls {ALPHA * _NULL_SHARE:.3f}"),
    ),
    Measured(
        *("families", "family of t: uncorrected", "family-wise errors", PEOPLE_AND_IMAGES, _NO_FAMILY, ALPHA),
        "for contrast",
    ),
    Measured("maps", "map: sign flips, maximum statistic", "family-wise errors", PEOPLE, _NO_MAP, ALPHA, _ATTAINABLE),
    Measured("maps", "map: Benjamini-Hochberg, no effect", "family-wise errors", PEOPLE, _NO_MAP, ALPHA),
    Measured("maps", "map: uncorrected t", "family-wise errors", PEOPLE, _NO_MAP, ALPHA, "for contrast"),
    Measured(
        *("maps", "map with an effect: sign flips, maximum statistic", "family-wise errors", PEOPLE, _NO_PATCH, ALPHA),
        "effects elsewhere raise the maximum",
    ),
    Measured(
        *("maps", "map with an effect: Benjamini-Hochberg", "false discoveries", PEOPLE, _NO_PATCH),
        *(ALPHA * float(1 - PATCH.mean()), f"at most {ALPHA:g}; with 75% true nulls {ALPHA * (1 - PATCH.mean()):.4f}"),
    ),
    *(
        Measured(
            *("nothing-shared", test, "intervals above zero", PEOPLE_AND_IMAGES, "subjects have nothing in common"),
            *((1 - CONFIDENCE) / 2, remark),
        )
        for test, remark in (
            ("ceiling: jackknife interval", ""),
            ("ceiling: t interval of dependent values", "for contrast"),
        )
    ),
    *(Measured(scenario, test, "coverage", claim, _TRUE_VALUE, CONFIDENCE) for scenario, test, claim in _INTERVALS),
    *(
        Measured("power", test, "power", claim, remark=remark)
        for test, claim, remark in (*_ALIGNMENT, *_COMPARISON)
        if not test.endswith("20 draws")
    ),
)
"""Every rate of the table, in its order."""


def tabulate_rates(blocks: pd.DataFrame) -> pd.DataFrame:
    """Count how often each test errs, covers or finds.

    Parameters
    ----------
    blocks
        Rows of `simulate_studies`, of all studies of all scenarios.

    Returns
    -------
    DataFrame
        Columns `RATE_COLUMNS`, a row for each of `MEASURED`; for power for each strength and number of images. ``low`` to
        ``high`` is the interval of the rate (99.9 %), ``verdict`` is that of `judge`; power has none.

    Raises
    ------
    ValueError
        If a test has no study, or a study no p or interval where it should have one.
    """
    rows = []
    conditions = ["effect", "n_images", "n_shared_images"]
    for measured in MEASURED:
        here = blocks[(blocks["scenario"] == measured.scenario) & (blocks["test"] == measured.test)]
        if here.empty:
            raise ValueError(f"no study of scenario {measured.scenario!r} has the test {measured.test!r}")
        for condition, of_condition in here.groupby(conditions, dropna=False):
            outcomes = MEASURES[measured.measure](of_condition)
            rate, low, high = rate_interval(outcomes)
            verdict = judge(low, high, measured.nominal, higher_is_safe=measured.measure == "coverage")
            numbers = {"rate": rate, "low": low, "high": high, "n_studies": len(outcomes), "verdict": verdict}
            rows.append(measured._asdict() | dict(zip(conditions, condition, strict=True)) | numbers)
    table = pd.DataFrame(rows)[RATE_COLUMNS]
    return table.astype({"n_images": "Int64", "n_shared_images": "Int64"})


def rates_as_markdown(table: pd.DataFrame) -> str:
    """Write rates as tables for a document: errors and coverage, then power with a column for each planted strength.

    Parameters
    ----------
    table
        Of `tabulate_rates`.

    Returns
    -------
    str
    """
    of_power = table["measure"] == "power"
    rates = [
        (
            *(row["scenario"], row["test"], row["claim"], row["measure"]),
            f"{row['rate']:.3f} ({max(row['low'], 0):.3f} to {row['high']:.3f})",
            *(f"{row['nominal']:.3g}", row["verdict"]),
        )
        for row in table[~of_power].to_dict("records")
    ]
    strengths = sorted(table.loc[of_power, "effect"].unique())
    designs = ["test", "n_images", "n_shared_images"]
    power = [
        (
            str(test),
            f"{n_images} own, {n_shared} shared",
            *(f"{of_strength['rate'][strength]:.2f}" for strength in strengths),
        )
        for (test, n_images, n_shared), here in table[of_power].groupby(designs, sort=False)
        for of_strength in [here.set_index("effect")]
    ]
    header = ("scenario", "test or interval", "about", "measured", "rate (99.9 % interval)", "nominal", "verdict")
    counts = [table.loc[where, "n_studies"].min() for where in (~of_power, of_power)]
    return "\n".join(
        [
            f"{counts[0]:,} simulated studies for each null, {counts[1]:,} for each point of a power curve.",
            "",
            *_markdown(header, rates),
            "",
            *_markdown(("test", "images", *(f"strength {strength:g}" for strength in strengths)), power),
            "",
        ]
    )


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def rate_interval(outcomes: ArrayLike) -> Interval:
    """Rate with its 99.9 % interval over studies.

    Parameters
    ----------
    outcomes : shape (n_studies,)
        Whether it happened (bool): the interval is Clopper and Pearson's, exact. Or a share of each study (float): mean and
        normal approximation.

    Returns
    -------
    Interval
    """
    values = np.asarray(outcomes)
    if values.dtype == bool:
        test = stats.binomtest(int(values.sum()), values.size)
        low, high = test.proportion_ci(RATE_CONFIDENCE, "exact")
        return Interval(float(test.statistic), float(low), float(high))
    mean = float(values.mean())
    half = float(stats.norm.isf((1 - RATE_CONFIDENCE) / 2) * values.std(ddof=1) / np.sqrt(values.size))
    return Interval(mean, mean - half, mean + half)


def judge(low: float, high: float, nominal: float, *, higher_is_safe: bool = False) -> str:
    """Say whether a rate is what it should be.

    Parameters
    ----------
    low, high
        Interval of the rate.
    nominal
        What it should be; NaN where there is no such thing.
    higher_is_safe
        True for coverage, false for errors.

    Returns
    -------
    str
        ``nominal`` if the interval holds the nominal rate; ``conservative`` if it lies on the safe side, fewer errors or more
        coverage; ``liberal`` if on the other; empty without a nominal rate.
    """
    if np.isnan(nominal):
        return ""
    if low <= nominal <= high:
        return "nominal"
    return "conservative" if (low > nominal) == higher_is_safe else "liberal"


def _defined(rows: pd.DataFrame, *columns: str) -> NDArray[np.float64]:
    values = rows[list(columns)].to_numpy(float)
    undefined = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if undefined.size:
        first = rows.iloc[undefined[0]]
        raise ValueError(
            f"scenario {first['scenario']}, study {first['study']}, {first['test']}: {' or '.join(columns)} is not defined "
            f"({undefined.size} of {len(rows)} studies)"
        )
    return values
