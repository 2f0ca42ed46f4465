"""The figure of encoding and agreement draws vertices of regions at their values, and regions with their subjects."""

import numpy as np
import pandas as pd
import pytest
from test_figures import faults_of_texts, panel, texts

from capcortex.figures.encoding import NUMBERS, QUANTITIES, SHIFTS, draw_encoding, plotted_numbers
from capcortex.inference.intervals import mean_interval

SUBJECTS = ["subj01", "subj02", "subj03"]
REGIONS = {"early": np.array([0, 1]), "ventral": np.array([2, 3, 4])}


@pytest.fixture
def numbers():
    random = np.random.default_rng(1)
    r, agreement = random.uniform(-0.1, 0.6, (2, len(SUBJECTS), 6))
    r[0, 2], r[:, 3], agreement[:, 4] = np.nan, np.nan, np.nan
    rows = [
        {"roi": roi, "subject": subject, **{name: random.uniform(0, 0.6) for name in QUANTITIES}}
        for subject in SUBJECTS
        for roi in REGIONS
    ]
    table = pd.DataFrame(rows)
    table.loc[table["roi"] == "early", "noise_ceiling"] = np.nan
    return r, agreement, table, plotted_numbers(r, agreement, REGIONS, table, 0.9)


def test_vertices_are_means_over_subjects_that_have_a_value(numbers):
    r, agreement, _, found = numbers
    assert list(found.columns) == NUMBERS
    vertices = found[found["mark"] == "vertex"]
    assert vertices.groupby("roi")["vertex"].unique().map(list).to_dict() == {"early": [0, 1], "ventral": [2]}
    # Vertex 3 has no r, vertex 4 no agreement, vertex 5 is in no region.
    assert sorted(vertices["vertex"].unique()) == [0, 1, 2]
    at_two = vertices[vertices["vertex"] == 2].set_index("quantity")["value"]
    assert at_two["r"] == pytest.approx(r[1:, 2].mean())
    assert at_two["agreement"] == pytest.approx(agreement[:, 2].mean())


def test_regions_have_intervals_and_what_is_missing_is_left_out(numbers):
    _, _, table, found = numbers
    means = found[found["mark"] == "mean"].set_index(["roi", "quantity"])
    assert ("early", "noise_ceiling") not in means.index
    values = table.loc[table["roi"] == "ventral", "r"]
    interval = mean_interval(values, 0.9)
    assert tuple(means.loc[("ventral", "r"), ["value", "low", "high"]]) == pytest.approx(tuple(interval))
    # Each subject at its own value, and the interval around the mean, are what is drawn.
    of_subjects = found[found["mark"] == "subject"].set_index(["roi", "subject", "quantity"])["value"]
    expected = table.set_index(["roi", "subject"])[list(QUANTITIES)].stack().dropna()
    pd.testing.assert_series_equal(of_subjects.sort_index(), expected.sort_index(), check_names=False)
    regions = panel(draw_encoding(found, title="Encoding: Captions", source="local"), "regions")
    at = list(REGIONS).index("ventral") + SHIFTS["r"]
    drawn = [line for line in regions.get_lines() if len(line.get_xdata()) and line.get_xdata()[0] == at]
    bars = [list(line.get_ydata()) for line in drawn if len(line.get_ydata()) == 2]
    np.testing.assert_allclose(bars, [interval[1:]])
    dots = sorted(line.get_ydata()[0] for line in drawn if len(line.get_ydata()) == 1)
    np.testing.assert_allclose(dots, sorted([*values, values.mean()]))
    assert (found["mark"] == "subject").sum() == 3 * (2 + 3)


@pytest.mark.parametrize("source", ["miniature", "local"])
def test_the_figure_draws_them(numbers, source):
    *_, found = numbers
    figure = draw_encoding(found, title="Encoding: Captions", source=source)
    dots = panel(figure, "vertices").collections[0].get_offsets()
    wide = found[found["mark"] == "vertex"].pivot_table(index="vertex", columns="quantity", values="value")
    expected = wide[["agreement", "r"]].to_numpy()
    # Agreement across, prediction up, both of one vertex; in any order.
    np.testing.assert_allclose(dots[np.argsort(dots[:, 0])], expected[np.argsort(expected[:, 0])])
    assert panel(figure, "vertices").get_xlim() == panel(figure, "vertices").get_ylim()
    assert faults_of_texts(figure) == []
    assert any("made-up" in text.get_text() for text in texts(figure)) == (source == "miniature")


def test_one_subject_and_no_vertex_make_a_figure():
    table = pd.DataFrame([{"roi": "early", "subject": "subj01", "r": 0.1, "agreement": np.nan, "noise_ceiling": 0.5}])
    nothing = np.full((1, 6), np.nan)
    found = plotted_numbers(nothing, nothing, REGIONS, table, 0.95)
    figure = draw_encoding(found, title="Encoding: Captions", source="local")
    assert len(panel(figure, "vertices").collections) == 0
    drawn = [line.get_ydata()[0] for line in panel(figure, "regions").get_lines() if line.get_marker() in ("o", "_")]
    # Each mean stands on the one subject's dot.
    assert sorted(drawn) == pytest.approx([0.1, 0.1, 0.5, 0.5])
