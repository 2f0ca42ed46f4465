"""The README's table of the paper's figures is true: targets, rules and scripts are there and belong together."""

import re
from pathlib import Path

from running import ROOT, TINY, run_snakemake
from test_graph import RULES, WORKING_RULES

HEADER = "| figure | what it shows here | target | rule | script |"
NOT_BUILT = "not built"


def rows_of_table() -> list[list[str]]:
    lines = (ROOT / "README.md").read_text().splitlines()
    body = lines[lines.index(HEADER) + 2 :]
    rows = body[: next(at for at, line in enumerate(body) if not line.startswith("|"))]
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]


ROWS = rows_of_table()
BUILT = {target: (rule, script) for _, _, target, rule, script in ROWS if target != NOT_BUILT}


def rules_that_make(target: str) -> set[str]:
    """Rules whose figures a target asks for: by their outputs, or by the kind of figure that a function is asked for."""
    text = RULES[target]
    named = set(re.findall(r"rules\.(plot_\w+)\.output", text))
    kinds = re.findall(r'"(group-map|subject-maps|encoding-agreement|pairwise)-?"', text)
    kinds += ["decoding_"] if "figure_of_decoding" in text else []
    kinds += ["{figure}"] if "panels_of_figure(" in text and not kinds else []
    return named | {
        name for name, rule in WORKING_RULES.items() for kind in kinds if f'"results/figures/{kind}' in rule
    }


def test_targets_rules_and_scripts_of_the_table_belong_together() -> None:
    assert len(BUILT) > 10
    for target, (rule, script) in BUILT.items():
        assert target in RULES, f"{target} is no rule"
        names = rule.split("`, `")
        assert rules_that_make(target) == set(names), target
        assert script.split("`, `") == [f"scripts/{name}.py" for name in names]
        assert all((ROOT / f"scripts/{name}.py").is_file() for name in names)


def test_every_target_of_a_figure_is_in_the_table_and_every_figure_once() -> None:
    targets = {name for name in RULES if re.fullmatch(r"fig[S]?\d+[a-z]*", name)}
    assert targets == set(BUILT) - {"contrasts"}
    # A target is named by its figure.
    for figures, _, target, *_ in ROWS:
        if target not in ("contrasts", NOT_BUILT):
            assert target == f"fig{figures}"
    figures = [figure for row in ROWS for figure in row[0].split(", ")]
    assert len(figures) == len(set(figures))


def test_all_targets_are_planned_with_the_default_config(tmp_path: Path) -> None:
    done = run_snakemake(tmp_path, "--dry-run", *BUILT, config=None)
    assert done.returncode == 0, done.stderr[-3000:]
    planned = set(re.findall(r"^(\w+) +\d+$", done.stdout + done.stderr, re.M))
    assert set(BUILT) | {rule for rule, _ in BUILT.values() if "`" not in rule} <= planned


def test_a_target_of_maps_that_the_study_lacks_names_the_keys(tmp_path: Path) -> None:
    for target, keys in {
        "contrasts": "searchlight: contrasts and encoding: contrasts",
        "figS8": "encoding: models, shared_image_sets and roi_space, for category-words",
    }.items():
        done = run_snakemake(tmp_path, "--dry-run", target, config=TINY)
        assert done.returncode != 0
        assert f"the study has no such map: see the config keys {keys}" in done.stdout + done.stderr
