"""The figure of data quality draws what the tables hold, to one scale, for one space or two, few subjects or eight."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_figures import faults_of_texts, panel, texts, words

from capcortex.figures import style
from capcortex.figures.quality import MEDIAN, NUMBERS, SHARE, SHOWINGS, SPACES, draw_quality, plotted_numbers
from capcortex.tables import read_table, write_table

EDGES = np.array([0, 0.4, 0.9, 1.2])
TWO, ONE = tuple(SPACES), ("fsaverage",)


def tables(n_subjects: int = 3, spaces: tuple[str, ...] = TWO) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of made-up subjects, each with numbers of its own; a space that is not used is missing."""
    random = np.random.default_rng(3)
    rows, bins = [], []
    for number in range(1, n_subjects + 1):
        subject = f"subj{number:02d}"
        once, twice = 3 * number, 30
        used = (30_000 - once - 2 * twice) // 3
        row = {"subject": subject, "trials": 3 * used + 2 * twice + once, "images_used": used}
        row |= {"images_shown_twice": twice, "images_shown_once": once}
        for space, (units, _, _) in SPACES.items():
            there = space in spaces
            quartiles = np.sort(random.uniform(0.1, 1, 3)) if there else [np.nan] * 3
            for name, value in zip(("lower_quartile", "median", "upper_quartile"), quartiles, strict=True):
                row[f"nsdgeneral_{units}_ncsnr_{name}"] = value
            for part in (units, f"nsdgeneral_{units}"):
                row[f"{part}_share_used"] = random.uniform(0.95, 1) if there else np.nan
            if there:
                ends = {"ncsnr_from": [0, *EDGES[:-1]], "ncsnr_to": EDGES}
                bins.append(
                    pd.DataFrame({"subject": subject, "space": space, **ends, "share": random.dirichlet([2, 3, 3, 2])})
                )
        rows.append(row)
    return pd.DataFrame(rows), pd.concat(bins, ignore_index=True)


def draw(quality: pd.DataFrame, ncsnr: pd.DataFrame, source: str = "miniature") -> Figure:
    return draw_quality(plotted_numbers(quality, ncsnr), source)


def reaches(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How far each bin extends to the left and to the right of the subject's place, for each distribution."""
    found = {}
    for patch in axes.patches:
        values, edges, baseline = patch.get_data()
        np.testing.assert_array_equal(edges, EDGES)
        at = int(patch.get_label()[4:6]) - 1
        found[patch.get_label()] = (at - np.broadcast_to(baseline, values.shape), values - at)
    return found


@pytest.mark.parametrize("spaces", [TWO, ONE])
def test_widths_are_shares_on_one_scale_on_the_side_of_their_space(spaces) -> None:
    quality, ncsnr = tables(spaces=spaces)
    found = reaches(panel(draw(quality, ncsnr), "ncsnr"))
    assert len(found) == 3 * len(spaces)
    above_zero = ncsnr[ncsnr["ncsnr_to"] > 0]
    scale = 0.44 / above_zero["share"].max()
    for label, (left, right) in found.items():
        subject, space = label.split()
        share = above_zero[(above_zero["subject"] == subject) & (above_zero["space"] == space)]["share"].to_numpy()
        np.testing.assert_allclose(left, scale * share * (space == spaces[0]), atol=1e-12)
        np.testing.assert_allclose(right, scale * share * (space == spaces[-1]), atol=1e-12)


def test_medians_and_quartiles_stand_on_their_own_distribution() -> None:
    quality, ncsnr = tables()
    lines = panel(draw(quality, ncsnr), "ncsnr").lines
    quartiles = [line for line in lines if len(line.get_xdata()) == 2]
    medians = [line for line in lines if line.get_marker() == MEDIAN["marker"]]
    assert len(quartiles) == len(medians) == 6
    for at, row in enumerate(quality.to_dict("records")):
        for number, (units, _, _) in enumerate(SPACES.values()):
            line, dot = quartiles[2 * at + number], medians[2 * at + number]
            expected = [row[f"nsdgeneral_{units}_ncsnr_{which}"] for which in ("lower_quartile", "upper_quartile")]
            assert list(line.get_ydata()) == expected
            assert list(dot.get_ydata()) == [row[f"nsdgeneral_{units}_ncsnr_median"]]
            assert dot.get_xdata()[0] == line.get_xdata()[0] == pytest.approx(at + (-0.07, 0.07)[number])


def test_shares_at_zero_are_written_below_their_subject() -> None:
    quality, ncsnr = tables()
    axes = panel(draw(quality, ncsnr), "ncsnr")
    zero = ncsnr[ncsnr["ncsnr_to"] == 0].set_index(["subject", "space"])["share"]
    expected = [
        " | ".join(f"{100 * zero[subject, space]:.0f}" for space in TWO) + " %" for subject in quality["subject"]
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == expected


def test_right_axis_is_the_noise_ceiling_of_the_left_one() -> None:
    figure = draw(*tables())
    left, right = panel(figure, "ncsnr"), panel(figure, "noise ceiling")
    assert left.get_ylim() == right.get_ylim() == (0, EDGES[-1])
    ticks = right.get_yticks()
    assert len(ticks) >= 5
    for ncsnr, label in zip(ticks, right.get_yticklabels(), strict=True):
        # Variance of the signal over that of the mean of three trials, when noise has variance 1.
        assert 100 * ncsnr**2 / (ncsnr**2 + 1 / 3) == pytest.approx(float(label.get_text()))


def test_an_outlying_voxel_does_not_shrink_the_distributions() -> None:
    quality, ncsnr = tables()
    outlier = {"subject": "subj01", "space": TWO[0], "ncsnr_from": 1.2, "ncsnr_to": 9.0, "share": 0.0005}
    ncsnr = pd.concat([ncsnr[ncsnr["subject"] == "subj01"], pd.DataFrame([outlier])])
    ncsnr = ncsnr[ncsnr["space"] == TWO[0]]
    assert panel(draw(quality, ncsnr), "ncsnr").get_ylim() == (0, EDGES[-1])
    numbers = plotted_numbers(quality, ncsnr)
    assert numbers.loc[numbers["mark"] == "bin", "high"].max() == 9


@pytest.mark.parametrize("spaces", [TWO, ONE])
def test_dots_are_percent_used_open_for_all_and_filled_for_nsdgeneral(spaces) -> None:
    quality, ncsnr = tables(spaces=spaces)
    figure = draw(quality, ncsnr)
    axes = panel(figure, "units")
    dots = [line for line in axes.lines if line.get_marker() == SHARE["marker"]]
    wanted = [
        (part, colour, part == units)
        for space in spaces
        for units, _, colour in [SPACES[space]]
        for part in (units, f"nsdgeneral_{units}")
    ]
    assert len(dots) == len(wanted) == len(axes.get_legend().get_texts())
    for line, (part, colour, is_open) in zip(dots, wanted, strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * quality[f"{part}_share_used"])
        assert to_hex(line.get_color()) == colour.lower()
        assert (to_hex(line.get_markerfacecolor()) == "#ffffff") == is_open
        assert (np.round(line.get_xdata()) == range(3)).all()
    at_subject = np.array([line.get_xdata()[1] for line in dots])
    assert (np.diff(at_subject) > 0.1).all()
    assert at_subject.mean() == pytest.approx(1)
    low, high = axes.get_ylim()
    assert low <= min(min(line.get_ydata()) for line in dots) and high > 100


def test_trials_are_stacked_to_the_whole_by_showings() -> None:
    quality, ncsnr = tables()
    axes = panel(draw(quality, ncsnr), "trials")
    bars = {container.get_label(): container.patches[0] for container in axes.containers}
    for at, row in enumerate(quality.to_dict("records")):
        floor = 0.0
        for column, showings in (("images_used", 3), ("images_shown_twice", 2), ("images_shown_once", 1)):
            bar = bars[f"{row['subject']} {column}"]
            assert bar.get_y() == pytest.approx(floor)
            assert bar.get_height() == pytest.approx(100 * showings * row[column] / row["trials"])
            assert bar.get_x() + bar.get_width() / 2 == pytest.approx(at)
            assert to_hex(bar.get_facecolor()) == to_hex(SHOWINGS[column][2])
            floor += bar.get_height()
        assert floor == pytest.approx(100)
        assert axes.texts[at].get_text() == f"{row['images_used']:,}\nimages"


def test_figure_is_drawn_from_the_numbers_beside_it(tmp_path) -> None:
    numbers = plotted_numbers(*tables(spaces=ONE))
    assert numbers.columns.tolist() == NUMBERS
    assert not numbers["of"].str.contains("voxels|func").any()
    write_table(numbers, tmp_path / "numbers.tsv")
    for name, source in (("direct", numbers), ("read", read_table(tmp_path / "numbers.tsv", columns=NUMBERS))):
        style.save_figure(draw_quality(source, "local"), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    assert (tmp_path / "direct.png").read_bytes() == (tmp_path / "read.png").read_bytes()


@pytest.mark.parametrize(("spaces", "said"), [(TWO, ""), (TWO[:1], "no surface betas"), (TWO[1:], "no volume betas")])
def test_a_space_that_is_not_read_is_named(spaces, said) -> None:
    written = words(draw(*tables(spaces=spaces)))
    assert ("This study reads" in written) == bool(said)
    assert said in written


@pytest.mark.parametrize("n_subjects", [1, 3, 8])
@pytest.mark.parametrize("spaces", [TWO, ONE])
def test_no_text_is_clipped_or_overlaps(n_subjects, spaces) -> None:
    figure = draw(*tables(n_subjects, spaces))
    further = []
    for axes in figure.axes:
        further += [axes._left_title, *axes.texts]
        further += axes.get_legend().get_texts() if axes.get_legend() else []
    assert not faults_of_texts(figure, further)
    assert len(texts(figure)) + sum(bool(text.get_text()) for text in further) > 20


def test_made_up_brains_are_stamped_and_others_are_not() -> None:
    assert style.STAMP in words(draw(*tables()))
    assert style.STAMP not in words(draw(*tables(), source="local"))
