"""Figures show what their tables hold, all of it, in a readable way, and never pass made-up brains off as brains."""

import time
import warnings
from collections.abc import Sequence
from itertools import combinations

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from capcortex.figures import captions, rdms, roi, style
from capcortex.inference.ceilings import tabulate_between
from capcortex.inference.group import is_shared, leave_out_zero, tabulate_group
from capcortex.inference.tests import TOO_FEW
from capcortex.rsa.measures import MEASURES
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table

MODELS = {
    name: name.capitalize() for name in ("caption", "categories", "words", "scrambled", "length", "random", "own")
}
ROIS = ["early", "ventral", "lateral"]
SUBJECTS = ["subj01", "subj02", "subj03", "subj04"]
BOUNDS = (0.02, 0.3)


def study(
    n_models: int = 7, n_subjects: int = 4, noise: float = 0.5, shared: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Group table and subjects' means from made-up scores: "ventral" and "lateral" are reliable, "early" is noise."""
    random = np.random.default_rng(1)
    labels = dict(list(MODELS.items())[:n_models])
    subjects = SUBJECTS[:n_subjects]
    rows = [
        (model, name, subject, image_set, random.uniform(*BOUNDS), 406, "pearson", "correlation")
        for model in labels
        for name in ROIS
        for subject in subjects
        for image_set in (f"{subject}-001", f"{subject}-002", *(["shared-001"] if shared else []))
    ]
    scores = pd.DataFrame(rows, columns=SCORE_COLUMNS)
    common = random.standard_normal((len(ROIS), 406)) * np.array([[0.0], [1.0], [1.0]])
    own = {
        name: {
            "shared-001": dict(
                zip(subjects, common[at] + noise * random.standard_normal((n_subjects, 406)), strict=True)
            )
        }
        for at, name in enumerate(ROIS)
    }
    ceilings = tabulate_between(own if shared else {}, measure="pearson", distance="correlation")
    means = scores[~is_shared(scores["image_set"])].groupby(["model", "roi", "subject"], sort=False)["r"].mean()
    return tabulate_group(scores, ceilings, 0.95), means.reset_index(), labels


def draw(
    table: pd.DataFrame,
    means: pd.DataFrame,
    labels: dict[str, str],
    source: str = "miniature",
    *,
    rois: list[str] = ROIS,
    n_subjects: int = 1,
    contrasts: pd.DataFrame | None = None,
) -> Figure:
    return roi.draw_roi_rsa(
        table,
        means,
        labels=labels,
        rois=rois,
        false_discovery_rate=0.05,
        confidence=0.95,
        n_subjects=n_subjects,
        space="fsaverage",
        source=source,
        contrasts=contrasts,
    )


def panel(figure: Figure, label: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == label)


def bars_of(axes: Axes) -> list[tuple[float, str]]:
    return [
        (bar.get_height(), to_hex(bar.get_facecolor())) for container in axes.containers for bar in container.patches
    ]


def lines_of(axes: Axes, look: dict) -> list:
    return [
        line
        for line in axes.lines
        if line.get_marker() == look["marker"] and line.get_markersize() == look["markersize"] and len(line.get_xdata())
    ]


def texts(figure: Figure) -> list[Text]:
    """All texts that are drawn: ticks beyond the limits of their axis also have labels, but these are not."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        found += [axes.title, axes.yaxis.label]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            found += [tick.label1 for tick in axis.get_major_ticks() if min(limits) <= tick.get_loc() <= max(limits)]
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts(figure))


def overlap(a: Bbox, b: Bbox) -> bool:
    """Whether two boxes share more than a pixel's edge."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1


def faults_of_texts(figure: Figure, further: Sequence[Text] = ()) -> list[str]:
    """Texts that are clipped by the page or overlap another one."""
    figure.canvas.draw()
    page = figure.bbox
    everything = [*texts(figure), *(text for text in further if text.get_text())]
    boxes = [(text.get_text(), text.get_window_extent()) for text in everything]
    assert boxes
    clipped = [
        f"clipped: {text!r}"
        for text, box in boxes
        if box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1
    ]
    return clipped + [f"{one!r} overlaps {other!r}" for (one, a), (other, b) in combinations(boxes, 2) if overlap(a, b)]


class TestRegions:
    @pytest.mark.parametrize("n_models", [1, 2, 7])
    @pytest.mark.parametrize("noise", [0.5, 3.0])
    def test_bars_are_the_tables_means_in_the_order_of_the_legend(self, n_models: int, noise: float) -> None:
        table, means, labels = study(n_models, noise=noise)
        figure = draw(table.sample(frac=1, random_state=0), means, labels)
        colours = style.model_colours(n_models)
        for name in ROIS:
            found = bars_of(panel(figure, f"r: {name}"))
            expected = table[table["roi"] == name].set_index("model")["r"].loc[list(labels)]
            np.testing.assert_allclose([height for height, _ in found], expected)
            assert [colour.lower() for _, colour in found] == [colour.lower() for colour in colours]
        named = [text.get_text() for text in figure.legends[0].get_texts()]
        assert named == list(labels.values())
        assert [to_hex(patch.get_facecolor()) for patch in figure.legends[0].get_patches()] == [
            c.lower() for c in colours
        ]

    def test_dots_are_the_subjects_means_over_their_own_image_sets(self) -> None:
        table, means, labels = study()
        figure = draw(table, means, labels)
        for name in ROIS:
            dots = lines_of(panel(figure, f"r: {name}"), roi.DOTS)
            assert len(dots) == len(labels)
            for at, (model, line) in enumerate(zip(labels, dots, strict=True)):
                expected = means[(means["roi"] == name) & (means["model"] == model)]["r"]
                np.testing.assert_allclose(line.get_ydata(), expected)
                assert (np.abs(np.asarray(line.get_xdata()) - at) < 0.5).all()

    def test_intervals_and_ratios_are_the_tables(self) -> None:
        table, means, labels = study(2, noise=0.1)
        figure = draw(table, means, labels)
        row = table[(table["roi"] == "ventral") & (table["model"] == "categories")].iloc[0]
        assert row["ratio_left_out"] == ""
        intervals = {
            name: [tuple(line.get_ydata()) for line in panel(figure, name).lines if list(line.get_xdata()) == [1, 1]]
            for name in ("r: ventral", "ratio: ventral")
        }
        assert intervals["r: ventral"] == [(row["r_low"], row["r_high"])]
        assert intervals["ratio: ventral"] == [(row["ratio_to_lower_low"], row["ratio_to_lower_high"])]
        dots = [line.get_ydata()[0] for line in lines_of(panel(figure, "ratio: ventral"), roi.RATIO)]
        np.testing.assert_allclose(dots, table[table["roi"] == "ventral"]["ratio_to_lower"])

    def test_everything_drawn_lies_within_its_axis(self) -> None:
        for noise in (0.5, 3.0):
            table, means, labels = study(noise=noise)
            figure = draw(table, means, labels)
            for name in ROIS:
                low, high = panel(figure, f"r: {name}").get_ylim()
                drawn = [*means["r"], *table["r_low"], *table["r_high"], 0]
                assert low < min(drawn) and max(drawn) < high

    def test_a_mark_stands_above_bars_whose_adjusted_p_is_below_the_rate(self) -> None:
        table, means, labels = study()
        table["p_adjusted"] = 0.2
        chosen = (table["roi"] == "lateral") & table["model"].isin(["caption", "own"])
        table.loc[chosen, "p_adjusted"] = 0.0499
        table.loc[(table["roi"] == "lateral") & (table["model"] == "words"), "p_adjusted"] = 0.05
        figure = draw(table, means, labels)
        marks = {name: lines_of(panel(figure, f"r: {name}"), roi.SIGNIFICANT) for name in ROIS}
        assert [line.get_xdata()[0] for line in marks["lateral"]] == [0, 6]
        assert marks["early"] == marks["ventral"] == []
        top = means[(means["roi"] == "lateral") & (means["model"] == "caption")]["r"].max()
        assert marks["lateral"][0].get_ydata()[0] > top

    def test_a_triangle_below_a_bar_says_where_it_lies_from_the_first(self) -> None:
        table, means, labels = study(4)
        comparisons = pd.DataFrame(
            [
                ("lateral", "caption", "categories", 0.1, 0.05, 0.15, 4, 0.0499, "holm"),
                ("lateral", "words", "caption", 0.2, 0.1, 0.25, 4, 0.001, "holm"),
                ("lateral", "caption", "scrambled", 0.1, -0.05, 0.25, 4, 0.05, "holm"),
                ("ventral", "words", "categories", 0.4, 0.3, 0.5, 4, 0.001, "holm"),
                # Another family: the first one counts.
                ("lateral", "categories", "caption", 0.3, 0.2, 0.5, 4, 0.9, "benjamini-hochberg"),
                ("ventral", "caption", "elsewhere", 0.3, 0.2, 0.5, 4, 0.001, "benjamini-hochberg"),
            ],
            columns=roi.CONTRAST_COLUMNS,
        )
        contrasts = roi.contrasts_with_first(comparisons, list(labels))
        found = contrasts.set_index("minus")[["model", "difference", "difference_low", "difference_high"]]
        assert found.loc["categories"].tolist() == ["caption", 0.1, 0.05, 0.15]
        assert found.loc["words"].tolist() == ["caption", -0.2, -0.25, -0.1]
        assert len(found) == 3
        figure = draw(table, means, labels, contrasts=contrasts)
        marks = {
            line.get_marker(): line.get_xdata()[0]
            for line in panel(figure, "r: lateral").lines
            if line.get_marker() in ("v", "^")
        }
        assert marks == {"v": 1, "^": 2}
        assert not [line for line in panel(figure, "r: ventral").lines if line.get_marker() in ("v", "^")]
        assert "below “Caption”, paired, p < 0.05 (holm)" in words(figure)
        assert not faults_of_texts(figure)
        numbers = roi.plotted_numbers(table, means, labels, contrasts)
        of_words = numbers[(numbers["mark"] == "first minus this") & (numbers["model"] == "words")].iloc[0]
        assert of_words[["value", "low", "high", "p_adjusted"]].tolist() == [-0.2, -0.25, -0.1, 0.001]

    def test_the_axis_is_broken_only_where_ceilings_lie_far_above(self) -> None:
        labels_of = [{axes.get_label() for axes in draw(*study(noise=noise)).axes} for noise in (0.1, 3.0)]
        assert "ceiling: ventral" in labels_of[0]
        assert "ceiling: ventral" not in labels_of[1]

    @pytest.mark.parametrize("noise", [0.1, 0.5, 3.0])
    def test_the_grey_band_is_the_ceiling_and_can_be_seen(self, noise: float) -> None:
        table, means, labels = study(2, noise=noise)
        figure = draw(table, means, labels)
        for name in ROIS:
            row = table[table["roi"] == name].iloc[0]
            parts = [axes for axes in figure.axes if axes.get_label() in (f"r: {name}", f"ceiling: {name}")]
            for axes in parts:
                band = next(patch for patch in axes.patches if patch.get_width() == 1)
                np.testing.assert_allclose(
                    [band.get_y(), band.get_y() + band.get_height()], row[["ceiling_lower", "ceiling_upper"]].tolist()
                )
            for bound in ("ceiling_lower", "ceiling_upper"):
                assert any(axes.get_ylim()[0] <= row[bound] <= axes.get_ylim()[1] for axes in parts)
        assert "noise ceiling (between subjects, shared images)" in words(figure)

    def test_a_left_out_ratio_is_crossed_out_with_its_reason(self) -> None:
        table, means, labels = study()
        reasons = table[table["roi"] == "early"]["ratio_left_out"].unique()
        assert list(reasons) == ["the interval of the lower bound of the ceiling reaches zero"]
        figure = draw(table, means, labels)
        assert len(lines_of(panel(figure, "ratio: early"), roi.LEFT_OUT)) == len(labels)
        assert lines_of(panel(figure, "ratio: early"), roi.RATIO) == []
        assert lines_of(panel(figure, "ratio: ventral"), roi.LEFT_OUT) == []
        assert reasons[0] in words(figure).replace("\n", " ")

    def test_a_ratio_or_interval_beyond_the_axis_ends_in_an_arrow_and_leaves_the_others_readable(self) -> None:
        table, means, labels = study(2)
        ratios = ["ratio_to_lower", "ratio_to_lower_low", "ratio_to_lower_high"]
        table[ratios] = [0.4, 0.3, 0.5]
        table["ratio_left_out"] = ""
        assert "reaches beyond the axis" not in words(draw(table, means, labels))
        chosen = (table["roi"] == "early") & (table["model"] == "categories")
        table.loc[chosen, ratios] = [-1.0, -20.0, 30.0]
        figure = draw(table, means, labels)
        assert "reaches beyond the axis" in words(figure)
        low, high = panel(figure, "ratio: early").get_ylim()
        assert low > -1 and high < 2
        arrows = {
            name: [ln for ln in panel(figure, f"ratio: {name}").lines if ln.get_marker() in ("v", "^")] for name in ROIS
        }
        assert [(line.get_marker(), *line.get_xdata(), *line.get_ydata()) for line in arrows["early"]] == [
            ("v", 1, low),
            ("^", 1, high),
        ]
        assert arrows["ventral"] == arrows["lateral"] == []

    def test_one_subject_has_a_bar_and_a_dot_but_no_interval_mark_or_ceiling(self) -> None:
        table, means, labels = study(n_subjects=1)
        figure = draw(table, means, labels)
        axes = panel(figure, "r: ventral")
        np.testing.assert_allclose(
            [height for height, _ in bars_of(axes)], [line.get_ydata()[0] for line in lines_of(axes, roi.DOTS)]
        )
        assert lines_of(axes, roi.SIGNIFICANT) == []
        assert f"No test and no interval: {TOO_FEW}." in words(figure).replace("\n", " ")
        assert "interval over subjects\n" not in words(figure) and "adjusted p" not in words(figure)
        assert not any(patch.get_width() == 1 for patch in axes.patches)
        assert "noise ceiling" not in words(figure)
        assert "at least two subjects" in words(figure).replace("\n", " ")

    def test_a_region_of_one_subject_is_named_beside_tested_ones(self) -> None:
        table, means, labels = study(2)
        alone = table["roi"] == "ventral"
        table.loc[alone, ["p_adjusted", "r_low", "r_high"]] = np.nan
        table.loc[alone, "test_left_out"] = TOO_FEW
        figure = draw(table, means, labels)
        assert f"No test and no interval in ventral: {TOO_FEW}." in words(figure).replace("\n", " ")
        assert "adjusted p" in words(figure)
        assert not faults_of_texts(figure)
        numbers = roi.plotted_numbers(table, means, labels)
        named = numbers[(numbers["mark"] == "mean") & (numbers["test_left_out"] == TOO_FEW)]
        assert set(named["roi"]) == {"ventral"} and len(named) == 2

    @pytest.mark.parametrize("measure", MEASURES)
    def test_figure_names_the_measure(self, measure: str) -> None:
        table, means, labels = study()
        figure = draw(table.assign(measure=measure), means, labels)
        name = {"pearson": "Pearson r", "spearman": "Spearman rho", "whitened-cosine": "whitened cosine"}
        assert panel(figure, "r: early").get_ylabel().endswith(f"{name.get(measure, measure)})")
        assert not faults_of_texts(figure)

    def test_a_measure_without_a_zero_keeps_its_intervals(self) -> None:
        table, means, labels = study()
        table = leave_out_zero(table.assign(measure="whitened-cosine"))
        said = words(draw(table, means, labels)).replace("\n", " ")
        assert "No test: 0 of the whitened cosine means" in said
        assert "interval over subjects" in said and "adjusted p" not in said

    def test_no_shared_images(self) -> None:
        table, means, labels = study(2, shared=False)
        assert "no image set that all subjects saw three times" in words(draw(table, means, labels)).replace("\n", " ")

    def test_figure_says_when_r_is_over_all_pairs(self) -> None:
        table, means, labels = study()
        said = words(draw(table, means, labels))
        assert "mean of a subject's own image sets" in said and "all pairs" not in said
        figure = draw(table.assign(pairs="all"), means, labels)
        said = words(figure).replace("\n", " ")
        assert roi.ALL_PAIRS_NOTE in said and "a subject, over all pairs" in said and "own image sets" not in said
        assert not faults_of_texts(figure)

    def test_a_correlation_that_is_not_defined_leaves_a_gap(self) -> None:
        table, means, labels = study(2)
        table.loc[0, ["r", "r_low", "r_high", "p_adjusted", "ratio_to_lower"]] = np.nan
        means.loc[(means["model"] == "caption") & (means["roi"] == "early"), "r"] = np.nan
        heights = [height for height, _ in bars_of(panel(draw(table, means, labels), "r: early"))]
        assert np.isnan(heights[0]) and heights[1] == pytest.approx(table["r"][len(ROIS)])

    @pytest.mark.parametrize(("n_models", "n_subjects", "noise"), [(7, 4, 0.1), (7, 4, 3.0), (2, 4, 0.5), (1, 1, 0.5)])
    def test_no_text_is_clipped_or_overlaps(self, n_models: int, n_subjects: int, noise: float) -> None:
        assert not faults_of_texts(draw(*study(n_models, n_subjects, noise)))

    def test_many_models_have_numbers_and_fit_on_a_page(self) -> None:
        table, means, labels = study()
        further = {f"{name}-{number}": f"{label} {number}" for number in (1, 2) for name, label in labels.items()}
        parts = [(table, means)] + [
            tuple(part.assign(model=part["model"] + f"-{number}") for part in (table, means)) for number in (1, 2)
        ]
        table, means = (pd.concat(kind, ignore_index=True) for kind in zip(*parts, strict=True))
        figure = draw(table, means, labels | further)
        assert figure.get_size_inches()[0] < 16
        assert "21 Own 2" in words(figure)
        assert [tick.get_text() for tick in panel(figure, "ratio: early").get_xticklabels()][-1] == "21"
        assert len(bars_of(panel(figure, "r: lateral"))) == 21
        assert not faults_of_texts(figure)

    @pytest.mark.parametrize("n_rois", [1, 4, 5, 6, 7, 9])
    def test_no_text_is_clipped_whatever_the_number_of_regions(self, n_rois: int) -> None:
        table, means, labels = study()
        names = [f"midparietal {number}" for number in range(n_rois)]
        table, means = (
            pd.concat([part[part["roi"] == "ventral"].assign(roi=name) for name in names], ignore_index=True)
            for part in (table, means)
        )
        table.loc[0, ["ratio_to_lower_low", "ratio_to_lower_high"]] = [-20.0, 20.0]
        table.loc[1, "ratio_left_out"] = "the interval of the lower bound of the ceiling reaches zero"
        figure = draw(table, means, labels, rois=names, n_subjects=5)
        assert "reaches beyond the axis" in words(figure)
        assert not faults_of_texts(figure)

    def test_regions_that_fewer_subjects_have_are_named_with_their_number(self) -> None:
        table, means, labels = study(2)
        table.loc[table["roi"] == "ventral", "n_subjects"] = 3
        means = means[(means["roi"] != "ventral") | (means["subject"] != "subj02")]
        figure = draw(table, means, labels, n_subjects=4)
        assert "fewer than all 4 subjects have: ventral 3." in words(figure).replace("\n", " ")
        assert [len(line.get_xdata()) for line in lines_of(panel(figure, "r: ventral"), roi.DOTS)] == [3, 3]
        assert "fewer than" not in words(draw(*study(2), n_subjects=4))

    def test_axis_labels(self) -> None:
        figure = draw(*study(2))
        assert panel(figure, "r: early").get_ylabel() == "RDM correlation (Pearson r)"
        assert [name for name in ROIS if name in words(figure)] == ROIS

    def test_a_table_read_from_its_file_gives_the_same_figure(self, tmp_path) -> None:
        table, means, labels = study(2)
        write_table(table, tmp_path / "table.tsv")
        read = read_table(tmp_path / "table.tsv", columns=list(table.columns))
        for at, each in enumerate((table, read)):
            style.save_figure(draw(each, means, labels), tmp_path / f"{at}.pdf", tmp_path / f"{at}.png")
        assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()

    def test_numbers_hold_every_bar_dot_ratio_and_ceiling(self) -> None:
        table, means, labels = study(2)
        numbers = roi.plotted_numbers(table, means, labels)
        assert numbers["mark"].value_counts().to_dict() == {"mean": 6, "subject": 24, "ratio": 6, "ceiling": 3}
        one = numbers[(numbers["mark"] == "mean") & (numbers["roi"] == "lateral") & (numbers["model"] == "caption")]
        row = table[(table["roi"] == "lateral") & (table["model"] == "caption")].iloc[0]
        assert one[["value", "low", "high", "p_adjusted"]].iloc[0].tolist() == pytest.approx(
            row[["r", "r_low", "r_high", "p_adjusted"]].tolist()
        )
        assert one["label"].item() == "Caption"


IDS = np.array([40, 3, 17, 99, 8, 61, 25, 70], dtype=np.int64)


def distances(seed: int, n_images: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1.9, n_images * (n_images - 1) // 2)


def distance_of(vector: np.ndarray, i: int, j: int, n_images: int = 8) -> float:
    """Distance of images i and j, by counting pairs one by one."""
    return next(
        d for d, pair in zip(vector, combinations(range(n_images), 2), strict=True) if pair == (min(i, j), max(i, j))
    )


class TestRDMs:
    def draw(
        self, models: rdms.Panels, rois: rdms.Panels, source: str = "miniature", counts: tuple[int, ...] = (3, 3, 3)
    ) -> tuple[Figure, np.ndarray]:
        order = rdms.order_by_likeness(models[0][1])
        n_subjects = dict(zip((name for name, _ in rois), counts, strict=False))
        figure = rdms.draw_rdms(
            models,
            rois,
            order=order,
            image_set="shared-001",
            n_subjects=n_subjects,
            ordered_by=models[0][0],
            source=source,
        )
        return figure, order

    @pytest.mark.parametrize("n_models", [1, 2, 9])
    def test_all_panels_show_the_pairs_in_the_same_order(self, n_models: int) -> None:
        models = [(f"model {number}", distances(number)) for number in range(n_models)]
        rois = [(name, distances(100 + at)) for at, name in enumerate(ROIS)]
        figure, order = self.draw(models, rois)
        assert sorted(order) == list(range(8))
        for title, vector in [*models, *rois]:
            shown = np.asarray(panel(figure, title).images[0].get_array())
            np.testing.assert_array_equal(shown, shown.T)
            ranks = np.argsort(np.argsort(vector)) / (vector.size - 1)
            for row, column in combinations(range(8), 2):
                assert shown[row, column] == pytest.approx(distance_of(ranks, order[row], order[column]))
            assert panel(figure, title).get_title() == title

    def test_order_puts_like_images_side_by_side(self) -> None:
        group = np.array([0, 1, 0, 1, 1, 0, 1, 0])
        vector = np.array([0.1 if group[i] == group[j] else 1.0 for i, j in combinations(range(8), 2)])
        vector += 0.01 * distances(5)
        found = group[rdms.order_by_likeness(vector)]
        assert np.count_nonzero(np.diff(found)) == 1

    def test_pairs_that_are_not_defined_are_grey_and_disturb_neither_order_nor_ranks(self) -> None:
        vector = distances(1)
        vector[[0, 5]] = np.nan
        figure, order = self.draw([("Captions", vector)], [("early", distances(2))])
        image = panel(figure, "Captions").images[0]
        hidden = np.ma.getmaskarray(np.ma.masked_invalid(image.get_array()))
        expected = {frozenset(pair) for at, pair in enumerate(combinations(range(8), 2)) if at in (0, 5)}
        found = {frozenset((order[row], order[column])) for row, column in np.argwhere(hidden)}
        assert found == expected and hidden.sum() == 4
        red, green, blue, _ = image.cmap(np.ma.masked_all(1))[0]
        assert red == green == blue
        ranks = rdms.pair_ranks(vector)
        assert np.nanmin(ranks) == 0 and np.nanmax(ranks) == 1

    def test_tied_pairs_share_their_rank(self) -> None:
        np.testing.assert_allclose(rdms.pair_ranks(np.array([1.0, 2.0, 2.0, 5.0])), [0, 0.5, 0.5, 1])

    def test_mean_of_subjects_takes_those_who_have_the_set(self) -> None:
        a, b = distances(1), distances(2)

        def dataset(vector: np.ndarray, name: str, ids: np.ndarray = IDS) -> xr.Dataset:
            return xr.Dataset(
                {
                    "rdm": (("roi", "image_set", "pair"), np.stack([vector, 2 * vector])[:, None]),
                    "analysed": ("roi", [np.isfinite(vector).all(), True]),
                },
                coords={"roi": ["early", "ventral"], "image_set": [name], "id73k": (("image_set", "image"), ids[None])},
            )

        of_subjects = {
            "one": dataset(a, "shared-001"),
            "two": dataset(b, "shared-001"),
            "three": dataset(b, "subj03-001"),
            "four": dataset(np.full_like(b, np.nan), "shared-001"),
        }
        of_subjects["four"]["rdm"][1] = 2 * b
        means, n_subjects = rdms.mean_of_subjects(of_subjects, "shared-001", IDS)
        assert n_subjects == {"early": 2, "ventral": 3}
        np.testing.assert_allclose(dict(means)["early"], (a + b) / 2)
        np.testing.assert_allclose(dict(means)["ventral"], 2 * (a + 2 * b) / 3)
        of_subjects["two"] = dataset(b, "shared-001", IDS[[1, 0, *range(2, 8)]])
        with pytest.raises(ValueError, match="id73k 3 in two"):
            rdms.mean_of_subjects(of_subjects, "shared-001", IDS)

    def test_every_region_says_its_number_of_subjects_where_these_differ(self) -> None:
        rois = [(name, distances(at)) for at, name in enumerate(ROIS)]
        rois[2] = (ROIS[2], np.full(28, np.nan))
        figure, _ = self.draw([("Captions", distances(9))], rois, counts=(3, 2, 0))
        assert "mean of the subjects who have them" in words(figure)
        titles = [panel(figure, name).get_title() for name in ROIS]
        assert titles == ["early (n = 3)", "ventral (n = 2)", "lateral (n = 0)"]
        assert not faults_of_texts(figure)
        figure, _ = self.draw([("Captions", distances(9))], rois)
        assert "mean of 3 subjects" in words(figure) and panel(figure, "early").get_title() == "early"

    def test_shared_images_are_preferred(self) -> None:
        assert rdms.shown_image_set(["subj01-001", "subj02-001", "shared-001", "shared-002"]) == "shared-001"
        assert rdms.shown_image_set(["subj01-001", "subj02-001"]) == "subj01-001"

    def test_numbers_are_those_above_the_diagonal_by_id(self) -> None:
        models, rois = [("Captions", distances(1))], [("early", distances(2))]
        order = rdms.order_by_likeness(models[0][1])
        numbers = rdms.plotted_numbers(models, rois, IDS, order)
        assert len(numbers) == 2 * 28
        place = {id73k: at for at, id73k in enumerate(IDS[order])}
        for row in numbers.itertuples(index=False):
            vector = dict(models + rois)[row.panel]
            i, j = (int(np.flatnonzero(one == IDS)[0]) for one in (row.row_id73k, row.column_id73k))
            assert row.dissimilarity == distance_of(vector, i, j)
            assert place[row.row_id73k] < place[row.column_id73k]
        assert set(numbers["kind"] + " " + numbers["panel"]) == {"model Captions", "region early"}

    @pytest.mark.parametrize("n_models", [1, 7, 9])
    def test_no_text_is_clipped_or_overlaps(self, n_models: int) -> None:
        models = [(f"Scrambled captions {number}"[-18:], distances(number)) for number in range(n_models)]
        assert not faults_of_texts(self.draw(models, [(name, distances(9)) for name in ROIS])[0])

    def test_without_shared_sets_and_with_a_region_that_nobody_shown_has_the_note_says_so(self) -> None:
        models = [("Captions", distances(1))]
        regions = [("early", distances(2)), ("OFA", np.full(distances(2).size, np.nan))]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = rdms.draw_rdms(
                models,
                regions,
                order=rdms.order_by_likeness(models[0][1]),
                image_set="subj01-001",
                n_subjects={"early": 1, "OFA": 0},
                ordered_by="Captions",
                source="miniature",
            )
        said = words(figure).replace("\n", " ")
        assert "No image set is common to several subjects: the first subject's first set is shown." in said
        assert "n = 0: no subject with this image set has the region." in said
        assert panel(figure, "OFA").get_title() == "OFA (n = 0)"
        assert not faults_of_texts(figure)
        assert "common to several" not in words(self.draw(models, regions[:1])[0])
        nobody, _ = self.draw(models, regions[1:], counts=(0,))
        assert panel(nobody, "OFA").get_title() == "OFA (n = 0)"


def embeddings(n_images: int = 40, n_features: int = 6, seed: int = 4) -> xr.DataArray:
    random = np.random.default_rng(seed)
    ids = random.permutation(np.arange(5, 5 + n_images))
    values = random.standard_normal((n_images, n_features)).astype(np.float32)
    return xr.DataArray(values, dims=("id73k", "feature"), coords={"id73k": ids})


def brick(path, n_images: int = 60) -> str:
    """Write an image brick whose every pixel is the row that it stands in, counting from 0."""
    rows = np.arange(n_images, dtype=np.uint8)[:, None, None, None]
    with h5py.File(path, "w") as file:
        file.create_dataset("imgBrick", data=np.broadcast_to(rows, (n_images, 6, 6, 3)))
    return str(path)


class TestCaptions:
    def draw(self, tmp_path, first_caption: str, source: str = "miniature") -> tuple[Figure, pd.DataFrame]:
        features = embeddings()
        shown = captions.find_neighbours(features, features["id73k"].to_numpy()[:2], 3)
        texts_of = {int(one): [f"{first_caption} {one}", *["a cat on a mat " * 3] * 4] for one in shown["id73k"]}
        pictures = captions.read_pictures(brick(tmp_path / "brick.hdf5"), shown["id73k"])
        return captions.draw_captions(shown, texts_of, pictures, encoder="all-MiniLM-L6-v2", source=source), shown

    def test_neighbours_are_those_of_a_brute_force_search(self, monkeypatch) -> None:
        monkeypatch.setattr(captions, "_IMAGES_AT_ONCE", 7)
        features = embeddings()
        examples = features["id73k"].to_numpy()[[3, 30]]
        found = captions.find_neighbours(features, examples, 3)
        for example in examples:
            own = features.sel(id73k=example).to_numpy()
            all_r = {
                int(other): float(np.corrcoef(own, features.sel(id73k=other).to_numpy())[0, 1])
                for other in features["id73k"].to_numpy()
                if other != example
            }
            ranked = sorted(all_r, key=all_r.__getitem__, reverse=True)
            rows = found[found["example"] == example]
            assert rows["id73k"].tolist() == [example, *ranked[:3], ranked[-1]]
            np.testing.assert_allclose(rows["r"], [1, *(all_r[one] for one in rows["id73k"][1:])], atol=1e-6)
            assert rows["shown_as"].tolist() == ["example", *["neighbour"] * 3, "least similar"]

    def test_an_embedding_without_direction_is_nobodys_neighbour(self) -> None:
        features = embeddings(n_images=5)
        features[2] = 1.0
        found = captions.find_neighbours(features, features["id73k"].to_numpy()[:1], 3)
        assert int(features["id73k"][2]) not in found["id73k"].tolist()
        assert len(captions.choose_examples(features, np.sort(features["id73k"].to_numpy()), 3, seed=1)) == 3

    def test_examples_are_spread_and_depend_on_the_seed_alone(self) -> None:
        features = embeddings()
        candidates = features["id73k"].to_numpy()[:30]
        chosen = captions.choose_examples(features, candidates, 4, seed=1)
        assert chosen.tolist() == captions.choose_examples(features, candidates[::-1], 4, seed=1).tolist()
        firsts = {int(captions.choose_examples(features, candidates, 1, seed=seed)[0]) for seed in range(8)}
        assert len(firsts) > 1
        r = {
            pair: np.corrcoef(features.sel(id73k=pair[0]), features.sel(id73k=pair[1]))[0, 1]
            for pair in combinations(sorted(candidates), 2)
        }
        for n in range(1, 4):
            nearest = {
                one: max(r[min(one, c), max(one, c)] for c in chosen[:n]) for one in candidates if one not in chosen[:n]
            }
            assert min(nearest, key=nearest.__getitem__) == chosen[n]

    def test_a_figure_without_pictures_says_why(self, tmp_path) -> None:
        shown = captions.find_neighbours(embeddings(), np.array([7, 9]), 2)
        texts_of = {int(one): ["A dog."] for one in shown["id73k"]}
        figure = captions.draw_captions(shown, texts_of, {}, encoder="all-MiniLM-L6-v2", source="local")
        assert "nsd_stimuli.hdf5" in words(figure)
        assert all([text.get_text() for text in axes.texts] == ["no picture"] for axes in figure.axes)
        assert not faults_of_texts(figure, [text for axes in figure.axes for text in axes.texts])
        pictures = captions.read_pictures(brick(tmp_path / "brick.hdf5"), shown["id73k"])
        figure = captions.draw_captions(shown, texts_of, pictures, encoder="all-MiniLM-L6-v2", source="local")
        assert "nsd_stimuli.hdf5" not in words(figure) and not any(axes.texts for axes in figure.axes)

    def test_pictures_stand_one_row_below_their_id73k(self, tmp_path) -> None:
        pictures = captions.read_pictures(brick(tmp_path / "brick.hdf5"), [17, 1, 60, 17])
        assert {id73k: int(picture[0, 0, 0]) for id73k, picture in pictures.items()} == {1: 0, 17: 16, 60: 59}
        with pytest.raises(ValueError, match=r"brick\.hdf5.*60 pictures.*id73k 61"):
            captions.read_pictures(tmp_path / "brick.hdf5", [61])

    def test_each_image_is_shown_with_its_own_picture_and_caption(self, tmp_path) -> None:
        figure, shown = self.draw(tmp_path, "a dog in a field")
        for row in shown.itertuples(index=False):
            axes = panel(figure, f"{row.example} {row.shown_as} {row.rank} {row.id73k}")
            assert int(np.asarray(axes.images[0].get_array())[0, 0, 0]) == row.id73k - 1
            assert f"a dog in a field {row.id73k}" in words(figure).replace("\n", " ")
        first = shown[shown["shown_as"] == "neighbour"].iloc[0]
        assert f"r = {first['r']:.2f}\nid73k {first['id73k']}" in words(figure)

    @pytest.mark.parametrize("caption", ["a dog", "WWWWMM " * 30, "W" * 200, "costs $5, not $6, for a dog " * 9])
    def test_no_text_is_clipped_or_overlaps(self, tmp_path, caption: str) -> None:
        figure, _ = self.draw(tmp_path, caption)
        assert not faults_of_texts(figure)
        assert ("…" in words(figure)) == (len(caption) > 100)
        figure.canvas.draw()
        pictures = [axes.get_window_extent() for axes in figure.axes]
        for text in texts(figure):
            box = text.get_window_extent()
            assert not any(overlap(box, picture) for picture in pictures), f"{text.get_text()!r} lies on a picture"


class TestStyle:
    def figures(self, tmp_path, source: str) -> list[Figure]:
        return [
            draw(*study(2), source=source),
            TestRDMs().draw([("Captions", distances(1))], [("early", distances(2))], source)[0],
            TestCaptions().draw(tmp_path, "a dog", source)[0],
        ]

    def test_made_up_brains_are_stamped_and_others_are_not(self, tmp_path) -> None:
        assert all(style.STAMP in words(figure) for figure in self.figures(tmp_path, "miniature"))
        assert not any(
            "made-up" in words(figure) or "miniature" in words(figure) for figure in self.figures(tmp_path, "local")
        )

    def test_the_same_numbers_give_the_same_bytes_at_any_time(self, tmp_path) -> None:
        written = []
        for run in range(2):
            for at, figure in enumerate(self.figures(tmp_path, "miniature")):
                style.save_figure(figure, tmp_path / f"{run}-{at}.pdf", tmp_path / f"{run}-{at}.png")
            written.append(
                [(tmp_path / f"{run}-{at}.{kind}").read_bytes() for at in range(3) for kind in ("pdf", "png")]
            )
            # Dates in files have a resolution of seconds.
            time.sleep(1.1)
        assert written[0] == written[1]
        assert all(
            content.startswith(start) for content, start in zip(written[0], [b"%PDF", b"\x89PNG"] * 3, strict=True)
        )
        assert not any(b"CreationDate" in content or b"Matplotlib" in content for content in written[0])
        assert not list(tmp_path.glob(".partial*"))

    @pytest.mark.parametrize("n_models", [1, 8, 12])
    def test_every_model_has_a_colour_of_its_own(self, n_models: int) -> None:
        assert len(set(style.model_colours(n_models))) == n_models
