"""Published claims beside results: each relation and verdict by closed forms; a claim sees its own number and no other."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capcortex.claims import (
    CERTAINTIES,
    CLAIM_COLUMNS,
    EVIDENCE_TABLES,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    RELATIONS,
    REPRODUCED,
    SCORE_COLUMNS,
    Evidence,
    judge_claim,
    pairs_of_claims,
    read_claims,
)
from capcortex.config_files import merge_layers, read_layers
from capcortex.figures.scorecard import MINIATURE, draw_scorecard, plotted_numbers
from capcortex.inference.ceilings import SUMMARY_COLUMNS
from capcortex.inference.comparisons import COMPARISON_COLUMNS
from capcortex.inference.released import RELEASED_COLUMNS
from capcortex.scorecard import (
    EVIDENCE_COLUMNS,
    KEYS,
    MADE_UP,
    REGION_COLUMNS,
    evidence_of_ceilings,
    evidence_of_comparisons,
    evidence_of_encoding,
    evidence_of_facts,
    evidence_of_map,
    evidence_of_model_rdms,
    evidence_of_regions,
    evidence_of_released,
    evidence_of_subjects,
    score_claims,
)
from capcortex.tables import read_table, write_table
from capcortex.truth import COLUMNS as CHECK_COLUMNS

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "config/claims.tsv"


def claim(name: str, **columns: object) -> dict[str, object]:
    filled = {"figure": "Fig. 3", "text": "words", "source": "doi", "certainty": "reported", "note": "a reason"}
    return dict.fromkeys(CLAIM_COLUMNS, np.nan) | {"claim": name, "relation": "greater"} | filled | columns


def claims_of(*rows: dict[str, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def evidence_row(table: str, **columns: object) -> dict[str, object]:
    nothing = dict.fromkeys(EVIDENCE_COLUMNS, np.nan) | {"left_out": ""}
    return nothing | {"table": table} | columns


def score(claims: pd.DataFrame, evidence: pd.DataFrame, check: pd.DataFrame | None = None) -> pd.DataFrame:
    return score_claims(claims, evidence, check=check, false_discovery_rate=0.05)


def differing(before: pd.DataFrame, after: pd.DataFrame) -> pd.Series:
    """Say which rows of two scorecards are not the same."""
    return (before.astype(object).fillna("") != after.astype(object).fillna("")).any(axis=1)


# One claim


def judged(relation: str, value: float = math.nan, tolerance: float = math.nan, **ours: object) -> str:
    nothing = {"estimate": math.nan, "low": math.nan, "high": math.nan, "p": math.nan, "left_out": ""}
    return judge_claim(relation, value, tolerance, Evidence(**nothing | ours), false_discovery_rate=0.05)[0]


@pytest.mark.parametrize(
    ("estimate", "verdict"),
    [(0.25, REPRODUCED), (0.23, REPRODUCED), (0.27, REPRODUCED), (0.229, NOT_REPRODUCED), (0.271, NOT_REPRODUCED)],
)
def test_near_is_within_the_tolerance_ends_included(estimate, verdict):
    assert judged("near", 0.25, 0.02, estimate=estimate) == verdict


def test_a_count_must_be_the_same():
    assert judged("near", 515, 0, estimate=515) == REPRODUCED
    assert judged("near", 515, 0, estimate=514) == NOT_REPRODUCED


@pytest.mark.parametrize(
    ("estimate", "p", "greater", "less"),
    [
        (0.1, 0.049, REPRODUCED, NOT_REPRODUCED),
        (0.1, 0.051, NOT_REPRODUCED, NOT_REPRODUCED),
        (-0.1, 0.049, NOT_REPRODUCED, REPRODUCED),
        (0.1, math.nan, NOT_TESTABLE, NOT_TESTABLE),
    ],
)
def test_a_direction_needs_its_sign_and_a_corrected_p(estimate, p, greater, less):
    assert judged("greater", estimate=estimate, p=p) == greater
    assert judged("less", estimate=estimate, p=p) == less


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.02, 0.02, REPRODUCED),
        (0.005, 0.019, REPRODUCED),
        # Too wide to decide, on either side, and wider than the bounds.
        (0.01, 0.03, NOT_TESTABLE),
        (-0.03, 0.01, NOT_TESTABLE),
        (-0.5, 0.5, NOT_TESTABLE),
        (0.021, 0.03, NOT_REPRODUCED),
        (-0.03, -0.021, NOT_REPRODUCED),
        (math.nan, math.nan, NOT_TESTABLE),
    ],
)
def test_equal_needs_the_whole_interval_within_the_bound(low, high, verdict):
    assert judged("equal", 0, 0.02, estimate=0.0, low=low, high=high) == verdict


def test_unclear_is_a_test_that_decides_nothing_here_as_there():
    assert judged("unclear", estimate=0.1, p=0.051) == judged("unclear", estimate=-0.1, p=0.9) == REPRODUCED
    assert judged("unclear", estimate=0.1, p=0.049) == NOT_REPRODUCED
    assert judged("unclear", estimate=0.1) == NOT_TESTABLE


@pytest.mark.parametrize("relation", list(RELATIONS))
def test_a_value_that_is_not_defined_decides_nothing_and_says_why(relation):
    ours = Evidence(math.nan, math.nan, math.nan, math.nan, "")
    assert judge_claim(relation, 0.0, 1.0, ours, false_discovery_rate=0.05)[0] == NOT_TESTABLE
    told = judge_claim(relation, 0.0, 1.0, ours._replace(left_out="one subject"), false_discovery_rate=0.05)
    assert told == (NOT_TESTABLE, "one subject")


# The table of claims


def test_the_table_of_claims_names_models_regions_and_subjects_that_there_are():
    claims = read_claims(TABLE)
    models = set(read_table(ROOT / "config/models.tsv", columns=["model"])["model"])
    named = set(claims["model"].dropna()) | set(claims["other"].dropna())
    assert named <= models, named - models
    assert set(claims["roi"].dropna()) <= set(yaml.safe_load((ROOT / "config.yaml").read_text())["rois"]["streams"])
    subjects = set(read_table(ROOT / "config/subjects_nsd.tsv", columns=["subject"])["subject"])
    assert set(claims["subject"].dropna()) <= subjects | {"all"}


def test_the_real_study_can_test_all_claims_but_those_that_need_word_vectors_or_more_encoders():
    config = merge_layers(read_layers([ROOT / "config.yaml", ROOT / "config/nsd.yaml"]))
    in_use = dict.fromkeys(("roi-rsa", "model-comparisons", "released", "model-rdms"), config["models"])
    in_use |= {
        kind: config[kind.removesuffix("-map")]["models"] for kind in ("searchlight-map", "encoding", "decoding")
    }
    in_use["encoding-map"] = in_use["encoding"]
    compared = {frozenset(pair) for family in config["comparisons"].values() for pair in family["contrasts"]}
    table = read_table(ROOT / "config/models.tsv", columns=["model", "builder", "encoder"]).set_index("model")
    lacking = set()
    for row in read_claims(TABLE).itertuples():
        models = [name for name in (row.model, row.other) if isinstance(name, str)]
        lacking |= {name for name in models if name not in in_use[row.table]}
        if row.table == "model-comparisons":
            assert frozenset(models) in compared, row.claim
    of_study = table["encoder"].isna() | (table["encoder"] == "study")
    assert not (of_study & ~table["builder"].str.endswith("-vectors"))[list(lacking)].any(), lacking


def test_counts_of_the_table_of_claims_are_those_of_the_subjects_table():
    claims = read_claims(TABLE).dropna(subset="subject").set_index(["measure", "subject"])["value"]
    subjects = read_table(ROOT / "config/subjects_nsd.tsv", columns=["subject", "image_sets"])
    for subject, n_sets in subjects[["subject", "image_sets"]].itertuples(index=False):
        assert claims["image_sets", subject] == n_sets == claims["images_three_times", subject] // 100


def test_a_claim_about_a_number_says_why_its_tolerance():
    claims = read_claims(TABLE)
    assert claims["note"].str.len().min() > 10
    assert set(claims["certainty"]) == set(CERTAINTIES)
    assert claims["source"].str.contains("doi 10.").eq(claims["certainty"] != "third party").all()


def test_a_number_is_claimed_once_with_each_certainty_and_relation():
    claims = read_claims(TABLE)
    assert not claims[claims["table"] != "networks"].duplicated([*KEYS, "certainty", "relation"]).any()


GOOD = {"table": "roi-rsa", "model": "caption", "roi": "early", "measure": "r"}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"relation": "nearly"}, "relation: found 'nearly', expected one of near, greater"),
        ({"table": "rsa"}, "table: found 'rsa', expected one of facts, "),
        ({"certainty": "sure"}, "certainty: found 'sure', expected one of published, "),
        ({"roi": np.nan}, "roi: found nothing; table 'roi-rsa' needs it"),
        ({"other": "nouns"}, "other: found 'nouns'; table 'roi-rsa' has no use for it"),
        ({"measure": "rho"}, "measure: found 'rho', table 'roi-rsa' has r, r_shared"),
        ({"relation": "near", "value": "x", "tolerance": 1}, "value: found 'x', expected a number"),
        ({"relation": "near", "value": 1}, "tolerance: found '', expected a number of at least 0"),
        ({"relation": "equal", "value": 1, "tolerance": -1}, "tolerance: found '-1', expected a number of at least 0"),
        ({"value": 3}, "value: found '3'; relation 'greater' has no use for it"),
        ({"note": np.nan}, "note: found nothing"),
    ],
)
def test_what_is_wrong_is_said_with_file_claim_and_column(tmp_path, columns, said):
    path = tmp_path / "claims.tsv"
    write_table(claims_of(claim("good", **GOOD), claim("bad", **GOOD | columns)), path)
    with pytest.raises(ValueError, match="claim 'bad': ") as error:
        read_claims(path)
    assert f"{path}: claim 'bad': {said}" in str(error.value)
    assert "'good'" not in str(error.value)


def test_a_name_that_stands_twice_and_a_claim_without_one(tmp_path):
    path = tmp_path / "claims.tsv"
    write_table(claims_of(claim("twin", **GOOD), claim("twin", **GOOD), claim(np.nan, **GOOD)), path)
    with pytest.raises(ValueError, match="claim 'twin' occurs twice") as error:
        read_claims(path)
    assert f"{path}: row 3 below the header: claim: found nothing" in str(error.value)


# From tables to evidence


def test_counts_and_what_only_all_subjects_show():
    facts = pd.DataFrame(
        [("shared_images_three_times_by_all", "all", 515), ("images_three_times", "subj03", 6234)],
        columns=["fact", "subject", "found"],
    )
    eight = {f"subj{number:02d}": 62 for number in range(1, 9)}
    found = evidence_of_facts(facts, eight).set_index(["measure", "subject"])["estimate"]
    assert found["shared_images_three_times_by_all", "all"] == 515
    assert found["images_three_times", "subj03"] == 6234
    assert found["image_sets", "subj08"] == 62
    few = evidence_of_facts(facts, {"subj03": 62}).set_index(["measure", "subject"])
    assert math.isnan(few.loc[("shared_images_three_times_by_all", "all"), "estimate"])
    assert "uses 1" in few.loc[("shared_images_three_times_by_all", "all"), "left_out"]
    assert few.loc[("images_three_times", "subj03"), "estimate"] == 6234


def regions(**columns: object) -> pd.DataFrame:
    row = dict.fromkeys(REGION_COLUMNS, 0.5) | {"measure": "pearson", "distance": "correlation"}
    reasons = {"test_left_out": np.nan, "ratio_left_out": np.nan}
    return pd.DataFrame([row | reasons | {"model": "caption", "roi": "early", "n_subjects": 8} | columns])


def test_regions_keep_estimate_interval_p_and_reason():
    table = regions(r=0.2, r_low=0.1, r_high=0.3, p_adjusted=0.01, ratio_to_lower=np.nan, ratio_left_out="no ceiling")
    found = evidence_of_regions(table).set_index("measure")
    assert found.loc["r", ["estimate", "low", "high", "p", "left_out"]].tolist() == [0.2, 0.1, 0.3, 0.01, ""]
    assert found.loc["ratio_to_lower", "left_out"] == "no ceiling"
    assert math.isnan(found.loc["ratio_to_lower", "p"])


@pytest.mark.parametrize("columns", [{"measure": "spearman"}, {"distance": "crossnobis"}])
def test_numbers_of_another_kind_than_the_papers_are_not_set_beside_it(columns):
    found = evidence_of_regions(regions(**columns)).iloc[0]
    assert math.isnan(found["estimate"])
    assert next(iter(columns.values())) in found["left_out"]


def comparisons(*rows: dict[str, object]) -> pd.DataFrame:
    nothing = dict.fromkeys(COMPARISON_COLUMNS, np.nan) | {"measure": "pearson", "distance": "correlation"}
    return pd.DataFrame([nothing | {"roi": "early", "model": "caption", "minus": "nouns"} | row for row in rows])


def test_a_contrast_is_known_both_ways_round_and_by_its_most_careful_family():
    table = comparisons(
        {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.2, "p_adjusted": 0.01},
        {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.2, "p_adjusted": 0.2},
    )
    found = evidence_of_comparisons(table)
    found = found[found["measure"] == "difference"].set_index(["model", "other"])
    assert found.loc[("caption", "nouns"), ["estimate", "low", "high", "p"]].tolist() == [0.1, 0.05, 0.2, 0.2]
    assert found.loc[("nouns", "caption"), ["estimate", "low", "high", "p"]].tolist() == [-0.1, -0.2, -0.05, 0.2]
    assert len(found) == 2


def test_ceilings_and_released_ratios_are_those_of_the_paper():
    ceiling = dict.fromkeys(SUMMARY_COLUMNS, np.nan)
    ceiling |= {"roi": "early", "measure": "pearson", "distance": "correlation", "pairs_of": "every model"}
    table = pd.DataFrame(
        [
            ceiling | {"kind": "released", "lower": 0.5},
            ceiling | {"kind": "released", "lower": 0.6, "pairs_of": "categories"},
            ceiling | {"kind": "ncsnr", "upper": 0.4},
        ]
    )
    assert evidence_of_ceilings(table)[["measure", "estimate"]].to_numpy().tolist() == [["released", 0.5]]
    released = pd.DataFrame(
        {
            "roi": "early",
            "model": "caption",
            "minus": [np.nan, "nouns"],
            "n_subjects": 8,
            "value": [0.16, 0.02],
            "low_released": [0.1, -0.01],
            "high_released": [0.2, 0.05],
            "p_released": 0.01,
            "p_released_adjusted": [np.nan, 0.03],
        }
    )
    found = evidence_of_released(released).fillna({"other": ""})
    assert found[["model", "other", "measure", "estimate", "low", "high", "p"]].to_numpy().tolist() == [
        ["caption", "", "ratio", 0.16, 0.1, 0.2, 0.01],
        ["caption", "nouns", "difference", 0.02, -0.01, 0.05, 0.03],
        ["nouns", "caption", "difference", -0.02, -0.05, 0.01, 0.03],
    ]


def test_a_study_of_one_model_has_released_ratios_and_no_differences():
    released = pd.DataFrame({"roi": ["early", "ventral"], "model": "caption"}).reindex(columns=RELEASED_COLUMNS)
    found = evidence_of_released(released.assign(value=[0.1, 0.2], n_subjects=8))
    assert found[["roi", "measure", "estimate"]].to_numpy().tolist() == [
        ["early", "ratio", 0.1],
        ["ventral", "ratio", 0.2],
    ]


def test_a_peak_is_the_largest_significant_mean_by_the_papers_rule():
    mean = np.array([0.9, -0.3, 0.2, np.nan])
    p_fdr = np.array([0.2, 0.01, 0.01, 0.01])
    p = np.array([0.2, 0.04, 0.04, 0.04])

    def peak(table: str, **changed: np.ndarray) -> pd.Series:
        given = {"mean": mean, "p": p, "p_fdr": p_fdr, "n_at_vertices": np.array([8, 8, 8, 0])} | changed
        return evidence_of_map(table, "x", **given, n_subjects=8, false_discovery_rate=0.05).iloc[0]

    assert peak("searchlight-map")["estimate"] == -0.3
    # Of sentences the largest of all vertices that every subject has, significant or not, tested or not.
    assert peak("sentence-map")["estimate"] == 0.9
    assert peak("sentence-map", mean=-mean)["estimate"] == 0.3
    assert peak("sentence-map", p=np.full(4, np.nan), p_fdr=np.full(4, np.nan))["estimate"] == 0.9
    assert peak("sentence-map", n_at_vertices=np.array([1, 8, 8, 0]))["estimate"] == 0.2
    lacking = peak("sentence-map", n_at_vertices=np.array([1, 2, 3, 0]))
    assert math.isnan(lacking["estimate"])
    assert lacking["left_out"] == "no vertex has a value of every subject"
    assert peak("sentence-map")["measure"] == "x"
    # Tested and nothing found is a result; not tested is none.
    assert peak("encoding-map", p_fdr=np.full(4, 0.9))["estimate"] == 0
    untested = peak("encoding-map", p=np.full(4, np.nan), p_fdr=np.full(4, np.nan))
    assert math.isnan(untested["estimate"])
    assert untested["left_out"] == "no vertex was tested"


def test_agreement_of_two_models_is_averaged_within_and_then_over_subjects():
    rng = np.random.default_rng(4)
    names = ["subj01-001", "subj01-002", "subj02-001", "shared-001"]
    ids = np.arange(1, 13).reshape(4, 3)
    a, b = (rng.normal(size=(4, 3)) for _ in range(2))
    rdms = {
        name: xr.Dataset(
            {"rdm": (("image_set", "pair"), values)},
            coords={"image_set": names, "id73k": (("image_set", "image"), ids)},
        )
        for name, values in (("caption", a), ("scrambled", b))
    }
    r = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    found = evidence_of_model_rdms("caption", "scrambled", rdms, 0.95).set_index("measure")["estimate"]
    assert found["r"] == pytest.approx(((r[0] + r[1]) / 2 + r[2]) / 2)
    assert pairs_of_claims(read_claims(TABLE), ["caption", "scrambled"]) == [("caption", "scrambled")]
    assert pairs_of_claims(read_claims(TABLE), ["caption", "nouns"]) == []


def of_encoding(n_subjects: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        [
            {
                "model": model,
                "roi": roi,
                "subject": f"subj{s:02d}",
                "r": rng.normal(0.5, 0.1),
                "agreement": 0.4 + s / 10,
                "r_as_released": rng.normal(0.4, 0.1),
            }
            for model in ("caption", "category-words")
            for roi in ("early", "ventral")
            for s in range(n_subjects)
        ]
    )


def test_encoding_is_a_mean_over_subjects_and_differences_are_paired_and_corrected():
    from scipy import stats

    table = of_encoding()
    found = evidence_of_encoding(table, 0.95).fillna({"other": ""}).set_index(["model", "other", "roi", "measure"])
    r = table.pivot_table(index="subject", columns=["model", "roi"], values="r")
    assert found.loc[("caption", "", "early", "r"), "estimate"] == pytest.approx(r["caption", "early"].mean())
    means = table[(table["model"] == "caption") & (table["roi"] == "early")].mean(numeric_only=True)
    for name in ("r", "r_as_released"):
        row = found.loc[("caption", "", "early", f"{name}_over_agreement")]
        assert row["estimate"] == pytest.approx(means[name] / means["agreement"])
        assert row[["low", "high", "p"]].isna().all()
    p = [stats.ttest_rel(r["caption", roi], r["category-words", roi]).pvalue for roi in ("early", "ventral")]
    rows = found.loc[[("caption", "category-words", roi, "r") for roi in ("early", "ventral")]]
    # Holm of two tests, by its definition.
    assert rows["p"].tolist() == pytest.approx(
        [min(1, 2 * x) if x == min(p) else max(*p, min(1, 2 * min(p))) for x in p]
    )
    back = found.loc[("category-words", "caption", "early", "r")]
    assert back["estimate"] == pytest.approx(-rows["estimate"].iloc[0])


def test_a_ratio_of_means_is_over_the_subjects_that_have_both():
    table = of_encoding()
    table.loc[[0, 6], "agreement"] = np.nan
    table["r_as_released"] = np.nan
    found = evidence_of_encoding(table, 0.95).set_index(["model", "roi", "measure"])
    of_four = table.iloc[1:5]
    row = found.loc[("caption", "early", "r_over_agreement")]
    assert row["estimate"] == pytest.approx(of_four["r"].sum() / of_four["agreement"].sum())
    assert row["n_subjects"] == 4
    assert "r_as_released_over_agreement" not in found.index.get_level_values("measure")


def test_without_agreement_a_ratio_says_that_nobody_has_it():
    """One subject agrees with nobody, whatever the config."""
    found = evidence_of_encoding(of_encoding(1).assign(agreement=np.nan), 0.95)
    rows = found[found["measure"].str.endswith("over_agreement")]
    assert len(rows) == 8
    assert rows["estimate"].isna().all()
    assert set(rows["left_out"]) == {"no subject has a value"}


def test_one_subject_has_a_value_and_no_interval():
    found = evidence_of_encoding(of_encoding(1), 0.95)
    row = found[(found["model"] == "caption") & found["other"].isna() & (found["measure"] == "r")].iloc[0]
    assert math.isfinite(row["estimate"])
    assert math.isnan(row["low"])
    assert math.isnan(row["p"])
    assert "at least two" in row["left_out"]


def test_subjects_without_a_value_are_left_out_and_a_model_without_any_says_so():
    table = pd.DataFrame(
        {
            "model": ["a", "a", "a", "b"],
            "subject": ["s1", "s2", "s3", "s1"],
            "measure": "r",
            "value": [1, 3, np.nan, np.nan],
        }
    )
    found = evidence_of_subjects("decoding", table, 0.95).fillna({"other": ""}).set_index(["model", "other"])
    assert found.loc[("a", ""), ["estimate", "n_subjects"]].tolist() == [2, 2]
    assert math.isnan(found.loc[("b", ""), "estimate"])
    assert found.loc[("a", "b"), "left_out"] == "no subject has a value"


# All claims

EVIDENCE = pd.DataFrame(
    [
        evidence_row("roi-rsa", model="caption", roi="early", measure="r", estimate=0.1, p=0.01),
        evidence_row("roi-rsa", model="caption", roi="ventral", measure="r", estimate=0.3, p=0.01),
        evidence_row("roi-rsa", model="nouns", roi="early", measure="r", estimate=0.2, p=0.3),
        evidence_row("ceilings", roi="early", measure="released", estimate=0.5, low=0.4, high=0.6),
        evidence_row("decoding", model="caption", measure="r", estimate=0.6),
        evidence_row("decoding", model="caption", other="nouns", measure="r", estimate=0.2, p=0.01),
    ]
)
CLAIMS = claims_of(
    *(
        claim(
            f"{row['table']}-{number}", **{key: row[key] for key in KEYS}, relation=relation, value=0.1, tolerance=0.05
        )
        for number, row in enumerate(EVIDENCE.to_dict("records"))
        for relation in ("near",)
    ),
    claim("again", **GOOD),
)


@given(st.integers(0, len(EVIDENCE) - 1), st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6))
def test_one_changed_number_changes_exactly_the_claims_that_name_it(row, change):
    before = score(CLAIMS, EVIDENCE)
    changed = EVIDENCE.copy()
    changed.loc[row, "estimate"] += change
    after = score(CLAIMS, changed)
    touched = {CLAIMS["claim"][row]} | ({"again"} if row == 0 else set())
    differs = differing(before, after)
    assert set(before["claim"][differs]) == touched


def test_one_changed_comparison_changes_one_row_of_the_scorecard():
    rows = [
        {"model": "caption", "minus": minus, "roi": roi, "difference": 0.1, "difference_low": 0.05}
        | {"difference_high": 0.15, "p_adjusted": 0.001}
        for minus in ("nouns", "verbs")
        for roi in ("early", "ventral", "lateral", "parietal")
    ]
    claims = read_claims(TABLE)
    before = score(claims, evidence_of_comparisons(comparisons(*rows)))
    rows[5] |= {"difference": 0.0, "difference_low": -0.05, "difference_high": 0.05, "p_adjusted": 1.0}
    after = score(claims, evidence_of_comparisons(comparisons(*rows)))
    differs = differing(before, after)
    assert before["claim"][differs].tolist() == ["caption-verbs-ventral"]
    assert before["verdict"][differs].tolist() == [REPRODUCED]
    assert after["verdict"][differs].tolist() == [NOT_REPRODUCED]


def test_what_the_results_lack_is_not_testable_and_says_what_would_bring_it():
    def reason(**columns: object) -> str:
        row = score(claims_of(claim("x", **columns)), EVIDENCE).iloc[0]
        assert row["verdict"] == NOT_TESTABLE
        assert math.isnan(row["estimate"])
        return row["reason"]

    assert reason(**GOOD | {"model": "verbs"}) == "no model verbs there (config keys models and rois)"
    assert reason(**GOOD | {"roi": "V1"}).startswith("no roi V1 there")
    assert reason(**GOOD | {"table": "released", "measure": "ratio"}).endswith("(config key as_released)")
    assert reason(table="networks").startswith("needs networks")
    assert reason(table="encoding-map", model="caption", measure="peak").endswith("(config keys encoding: models)")
    decoding = {"table": "decoding", "model": "caption", "measure": "r"}
    assert reason(**decoding, other="verbs").startswith("no model verbs there")
    assert reason(**decoding, other="caption").startswith("caption and caption are not compared")


def test_every_claim_of_the_table_has_a_verdict_where_there_are_no_results():
    scored = score(read_claims(TABLE), pd.DataFrame(columns=EVIDENCE_COLUMNS))
    assert list(scored.columns) == SCORE_COLUMNS
    assert set(scored["verdict"]) == {NOT_TESTABLE}
    assert (scored["reason"].str.len() > 0).all()
    assert {row.table for row in scored.itertuples()} <= set(EVIDENCE_TABLES)


def test_results_that_stand_twice_are_refused():
    with pytest.raises(ValueError, match="roi-rsa caption early r occurs twice"):
        score(CLAIMS, pd.concat([EVIDENCE, EVIDENCE.iloc[:1]]))


# The miniature


def planted_check(**second: object) -> pd.DataFrame:
    row = dict.fromkeys(CHECK_COLUMNS, np.nan) | {"roi": "ventral", "left_out": ""}
    rows = [
        {"check": "caption", "kind": "effect", "expected": 0.5, "estimate": 0.49, "low": 0.4, "high": 0.6, "ok": "yes"},
        {"check": "nouns", "kind": "effect", "expected": 0.3, "estimate": 0.31, "low": 0.2, "high": 0.4, "ok": "yes"},
        {"check": "random", "kind": "null", "estimate": 0.0, "low": -0.01, "high": 0.01, "bound": 0.05, "ok": "yes"},
        {"check": "verbs", "kind": "effect", "ok": "not checked", "left_out": "model verbs is not compared"},
    ]
    rows[1] |= second
    return pd.DataFrame([row | each for each in rows])


def test_on_the_miniature_the_planted_truth_is_scored_and_no_claim_about_the_brain():
    scored = score(CLAIMS, EVIDENCE, planted_check())
    planted, claimed = scored[:4], scored[4:]
    assert planted["verdict"].tolist() == [REPRODUCED, REPRODUCED, REPRODUCED, NOT_TESTABLE]
    assert planted["value"].tolist()[:3] == [0.5, 0.3, 0.0]
    assert planted["reason"].iloc[3] == "model verbs is not compared"
    assert set(planted["certainty"]) == {"planted"}
    assert set(claimed["verdict"]) == {NOT_TESTABLE}
    assert set(claimed["reason"]) == {MADE_UP}
    assert claimed["estimate"].isna().all()


def test_an_effect_that_is_gone_changes_its_own_row_alone():
    before = score(CLAIMS, EVIDENCE, planted_check())
    after = score(CLAIMS, EVIDENCE, planted_check(expected=0.0, estimate=0.001, low=-0.01, high=0.01, ok="NO"))
    differs = differing(before, after)
    assert before["claim"][differs].tolist() == ["planted: nouns, ventral"]
    assert after["verdict"][differs].tolist() == [NOT_REPRODUCED]


# The page


def texts_of(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [text.get_text() for text in figure.texts]


def test_the_page_of_the_miniature_says_so_in_the_largest_letters_and_draws_the_planted_truth():
    scored = score(CLAIMS, EVIDENCE, planted_check())
    figure = draw_scorecard(scored, n_subjects=8, source="miniature")
    largest = max((text for axes in figure.axes for text in axes.texts), key=lambda text: text.get_fontsize())
    assert largest.get_text() == MINIATURE
    texts = texts_of(figure)
    assert "✓ 3 reproduced" in texts
    assert "0.490 / 0.500" in texts
    assert any(f"{len(CLAIMS)} published claims" in text for text in texts)
    assert len(plotted_numbers(scored, "miniature")) == 4


def test_the_page_of_real_data_has_ours_beside_each_claim():
    scored = score(CLAIMS, EVIDENCE)
    figure = draw_scorecard(scored, n_subjects=8, source="bucket")
    texts = texts_of(figure)
    assert MINIATURE not in texts
    assert "0.100 / 0.100" in texts
    assert "0.100 / > 0" in texts
    counts = scored["verdict"].value_counts()
    assert f"✗ {counts[NOT_REPRODUCED]} not reproduced" in texts
    assert sum(text in "✓✗–" and len(text) == 1 for text in texts) == len(scored)
    assert len(plotted_numbers(scored, "bucket")) == len(scored)


def test_no_two_words_of_a_line_touch_on_a_page_of_all_claims():
    scored = score(read_claims(TABLE), pd.DataFrame(columns=EVIDENCE_COLUMNS))
    figure = draw_scorecard(scored, n_subjects=8, source="bucket")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts if text.get_text()]
    width, height = figure.bbox.width, figure.bbox.height
    assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes)
    # Letters of one line and the next may come near; within a line nothing overlaps.
    ends = np.array([(box.x0, box.x1, (box.y0 + box.y1) / 2) for box in boxes])
    near = np.abs(ends[:, None, 2] - ends[None, :, 2]) < 1
    overlap = (ends[:, None, 0] < ends[None, :, 1]) & (ends[None, :, 0] < ends[:, None, 1])
    assert not (near & overlap & ~np.eye(len(boxes), dtype=bool)).any()
