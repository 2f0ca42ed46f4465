"""Maps are drawn where the cortex is: left is left, lateral is lateral, and nothing is coloured that should not be."""

import time
from dataclasses import replace
from itertools import pairwise

import nibabel
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from test_figures import faults_of_texts, panel, words

from capcortex.figures import cortex as on_cortex
from capcortex.figures import maps, style
from capcortex.inference.tests import TOO_FEW
from capcortex.nsd.miniature.mesh import load_cortex

N = 20_484
HALF = N // 2
SIDES = ("lateral", "medial", "flat")
WHITE = {hemisphere: load_cortex(hemisphere).white for hemisphere in ("lh", "rh")}
NAMES = {"early": 1, "parietal": 4}


@pytest.fixture(autouse=True)
def coarse_pictures(request, monkeypatch):
    """A sixth of the pixels is enough for the truth of a picture."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(maps, "PIXELS_PER_INCH", 70)


@pytest.fixture(scope="module")
def cortex() -> on_cortex.Cortex:
    return on_cortex.load_meshes([], N)


@pytest.fixture(scope="module")
def views(cortex):
    return on_cortex.cast_views(cortex, 120)


def patch(hemisphere: str, place, radius: float = 12) -> np.ndarray:
    """Vertices of both hemispheres that lie within millimetres of a place of one's white surface."""
    near = np.zeros((2, HALF), dtype=bool)
    at = ("lh", "rh").index(hemisphere)
    near[at] = np.linalg.norm(WHITE[hemisphere] - place, axis=1) < radius
    return near.ravel()


def extreme(hemisphere: str, axis: int, sign: int) -> np.ndarray:
    """Around the vertex that lies farthest along an axis (0 right, 1 front, 2 up), or, with sign -1, against it."""
    points = WHITE[hemisphere]
    return patch(hemisphere, points[(sign * points[:, axis]).argmax()])


def regions(labels=None) -> maps.Regions:
    if labels is None:
        labels = sum(
            label * patch(hemisphere, (side * x, y, z), 18).astype(int)
            for hemisphere, side in (("lh", -1), ("rh", 1))
            for label, (x, y, z) in ((1, (8, -88, 0)), (4, (26, -62, 52)))
        )
    return maps.Regions(labels, NAMES)


def draw_group(cortex, mean, p_fdr=None, p_sign_flip=None, **changes) -> Figure:
    ones = np.ones(cortex.n_vertices)
    given = {"regions": regions(np.zeros(cortex.n_vertices, dtype=int)), "title": "Captions", "source": "nsd"}
    given |= {"n_subjects": 8, "test_left_out": ""}
    return maps.draw_group_map(
        mean,
        ones if p_fdr is None else p_fdr,
        ones if p_sign_flip is None else p_sign_flip,
        cortex=cortex,
        quantity="RDM correlation (Pearson r)",
        false_discovery_rate=0.05,
        **given | changes,
    )


def draw_subjects(cortex, subjects, mean, **changes) -> Figure:
    given = {"regions": regions(np.zeros(cortex.n_vertices, dtype=int)), "title": "Captions", "source": "nsd"}
    return maps.draw_subject_maps(subjects, mean, cortex=cortex, quantity="RDM correlation", **given | changes)


def pixels(figure: Figure, label: str) -> np.ndarray:
    return np.asarray(panel(figure, label).images[0].get_array()).astype(int)


def red(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0] - picture[..., 2] > 60


def blue(picture: np.ndarray) -> np.ndarray:
    return red(picture[..., ::-1])


def lines(axes: Axes, look: dict) -> list[np.ndarray]:
    """Lines of a look that have been drawn into a panel."""
    return [
        segment
        for collection in axes.collections
        if isinstance(collection, LineCollection) and np.allclose(collection.get_colors()[0], to_rgba(look["color"]))
        for segment in collection.get_segments()
    ]


@pytest.mark.parametrize("hemisphere", ["left", "right"])
def test_a_map_of_one_hemisphere_colours_that_hemispheres_panels_alone(cortex, hemisphere: str) -> None:
    values = np.repeat([1.0, 0.0] if hemisphere == "left" else [0.0, 1.0], HALF)
    group = draw_group(cortex, values, p_fdr=np.zeros(N))
    subjects = draw_subjects(cortex, {"subj01": values, "subj02": values}, values)
    for figure, rows in ((group, ("unthresholded", "thresholded")), (subjects, ("subj01", "subj02", "mean"))):
        for row in rows:
            for other in ("left", "right"):
                for side in SIDES:
                    assert red(pixels(figure, f"{row}: {other} {side}")).any() == (other == hemisphere)
    for block in ("unthresholded", "thresholded"):
        for side in SIDES:
            left, right = (panel(group, f"{block}: {name} {side}").get_position() for name in ("left", "right"))
            assert left.x1 <= right.x0
    across = [axes.get_position().x0 for axes in subjects.axes if str(axes.get_label()).startswith("mean")]
    named = [str(axes.get_label()) for axes in subjects.axes if str(axes.get_label()).startswith("mean")]
    assert across == sorted(across) and [name.split()[1] for name in named] == [
        *["left"] * 2,
        *["right"] * 2,
        "left",
        "right",
    ]


@pytest.mark.parametrize(("hemisphere", "outwards"), [("lh", -1), ("rh", 1)])
def test_what_is_lateral_is_hidden_in_the_medial_view_and_the_other_way_round(
    views, hemisphere: str, outwards: int
) -> None:
    lateral = extreme(hemisphere, 0, outwards)
    medial = patch(hemisphere, (outwards * 6, -60, 20))
    assert lateral.sum() > 20 and medial.sum() > 20
    for near, seen, hidden in ((lateral, "lateral", "medial"), (medial, "medial", "lateral")):
        assert (on_cortex.look_up(views[hemisphere, seen], near) > 0.5).sum() > 20
        assert not (on_cortex.look_up(views[hemisphere, hidden], near) > 0.5).any()


@pytest.mark.parametrize(
    ("hemisphere", "side", "front"),
    [
        ("lh", "lateral", "left"), ("lh", "medial", "right"), ("lh", "flat", "left"),
        ("rh", "lateral", "right"), ("rh", "medial", "left"), ("rh", "flat", "right"),
    ],
)  # fmt: skip
def test_the_occipital_pole_is_behind_and_the_vertex_of_the_head_above(
    views, hemisphere: str, side: str, front: str
) -> None:
    """As in an atlas; a mirrored patch, which a flat map cannot be told by looking, is noticed."""
    view = views[hemisphere, side]

    def centre(near: np.ndarray) -> np.ndarray:
        rows_columns = np.argwhere(view.covered)[on_cortex.look_up(view, near) > 0.5]
        assert len(rows_columns)
        return rows_columns.mean(axis=0) / view.covered.shape

    outwards = -1 if hemisphere == "lh" else 1
    pole, above = centre(extreme(hemisphere, 1, -1)), centre(patch(hemisphere, (outwards * 12, -35, 68), 20))
    below = centre(patch(hemisphere, (outwards * 36, -40, -22), 14))
    middle = (0.6, 1.0) if front == "left" else (0.0, 0.4)
    assert middle[0] < pole[1] < middle[1]
    assert above[0] > 0.6 and below[0] < 0.4


def test_a_pixel_shows_the_place_of_the_mesh_that_lies_under_it(cortex, views) -> None:
    """Coordinates are linear within each face: interpolated, they must be linear over the picture."""
    for (hemisphere, side), view in views.items():
        mesh = (cortex.flat if side == "flat" else cortex.inflated)[hemisphere]
        rightwards, upwards, _ = on_cortex.DIRECTIONS[hemisphere, side]
        row, column = np.nonzero(view.covered)
        scales = []
        for direction, at in ((rightwards, column), (upwards, row)):
            coordinate = np.zeros((2, HALF))
            coordinate[("lh", "rh").index(hemisphere)] = mesh.points @ direction
            found = on_cortex.look_up(view, coordinate.ravel())
            slope, start = np.polyfit(at, found, 1)
            np.testing.assert_allclose(found, start + slope * at, atol=1e-6)
            scales.append(slope)
        assert scales[0] == pytest.approx(scales[1]) and scales[0] > 0
        assert view.covered.any(axis=0).mean() > 0.9 and view.covered.any(axis=1).mean() > 0.9


def test_a_pixel_shows_the_foremost_face(cortex, rng) -> None:
    """Against all faces under a pixel, found one pixel at a time, on the folded cortex, where many lie behind others."""
    mesh = replace(cortex.inflated["lh"], points=WHITE["lh"])
    folded = replace(cortex, inflated={"lh": mesh, "rh": mesh})
    view = on_cortex.cast_views(folded, 120)["lh", "lateral"]
    seen = mesh.points @ on_cortex.DIRECTIONS["lh", "lateral"].T
    coordinates = [on_cortex.look_up(view, np.append(seen[:, axis], np.zeros(HALF))) for axis in range(3)]
    corners = seen[mesh.faces]
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)
    n_under = []
    for pixel in rng.choice(len(view.weights), 40, replace=False):
        x, y, depth = (coordinate[pixel] for coordinate in coordinates)
        steps = np.linalg.solve(edges[:, :2], (np.array([x, y]) - corners[:, 0, :2])[..., None])[..., 0]
        under = (steps > 1e-6).all(axis=1) & (steps.sum(axis=1) < 1 - 1e-6)
        depths = corners[under, 0, 2] + (edges[under, 2] * steps[under]).sum(axis=1)
        assert not depths.size or depth == pytest.approx(depths.max(), abs=1e-4)
        n_under.append(depths.size)
    assert max(n_under) > 2


def test_thresholding_hides_what_is_not_significant_and_nothing_else(cortex) -> None:
    lateral, frontal = extreme("lh", 0, -1), patch("lh", (-42, 20, 30), 15)
    mean = np.where(np.concatenate([WHITE["lh"], WHITE["rh"]])[:, 1] > 0, -1.0, 1.0)
    p = np.full(N, 0.05)
    p[lateral], p[frontal] = 0.049, 0.001
    p[:100] = np.nan
    figure = draw_group(cortex, mean, p_fdr=p)
    everything, kept = (pixels(figure, f"{block}: left lateral") for block in ("unthresholded", "thresholded"))
    view = on_cortex.cast_views(cortex, kept.shape[1])["lh", "lateral"]
    significant = np.zeros(view.covered.shape, dtype=bool)
    significant[view.covered] = on_cortex.look_up(view, p < 0.05) >= 0.5
    np.testing.assert_array_equal(red(kept) | blue(kept), significant)
    np.testing.assert_array_equal(kept[significant], everything[significant])
    assert red(kept).sum() > 20 and blue(kept).sum() > 20
    plain = kept[~significant]
    assert (np.ptp(plain, axis=1) == 0).all()
    greys = {round(255 * grey) for grey in (on_cortex.GYRUS, on_cortex.SULCUS)} | {255}
    assert {*plain[:, 0]} == greys
    right = pixels(figure, "thresholded: right lateral")
    assert (np.ptp(right, axis=2) == 0).all()
    tested, survivors = N - 100, (lateral | frontal)[100:].sum()
    assert f"{survivors:,} of {tested:,} vertices" in words(figure)
    assert "adjusted p < 0.05" in words(figure)


def test_vertices_without_a_value_are_plain_grey_explained_and_do_not_touch_the_others(cortex, views) -> None:
    view = views["lh", "lateral"]
    hole = extreme("lh", 0, -1)
    values = np.where(hole, np.nan, 0.3)
    found = on_cortex.look_up(view, values)
    assert 0.01 < np.isnan(found).mean() < 0.5
    np.testing.assert_allclose(found[~np.isnan(found)], 0.3)
    np.testing.assert_array_equal(np.isnan(found), on_cortex.look_up(view, hole) > 0.5)
    figure = draw_group(cortex, values, p_fdr=np.where(hole, np.nan, 0.001))
    grey = round(255 * on_cortex.NO_VALUE)
    for block in ("unthresholded", "thresholded"):
        picture = pixels(figure, f"{block}: left lateral")
        plain = (picture == grey).all(axis=2)
        assert plain.sum() > 20 and not (plain & red(picture)).any()
        np.testing.assert_array_equal(plain | red(picture), (picture < 255).any(axis=2))
    explained = "no value: not measured, or not analysed"
    assert explained in words(figure) and explained not in words(draw_group(cortex, np.full(N, 0.3)))


def test_only_the_first_vertices_of_each_hemisphere_are_drawn_on_fsaverage5(cortex) -> None:
    fine = on_cortex.load_meshes([], 2 * on_cortex.FINE)
    coarse_values = np.random.default_rng(1).standard_normal(N)
    fine_values = np.full((2, on_cortex.FINE), np.nan)
    fine_values[:, :HALF] = coarse_values.reshape(2, HALF)
    for one, other in zip(*(on_cortex.cast_views(each, 120).values() for each in (cortex, fine)), strict=True):
        np.testing.assert_array_equal(
            on_cortex.paint(one, coarse_values, 2), on_cortex.paint(other, fine_values.ravel(), 2)
        )


def write_surfaces(folder, meshes) -> list:
    paths = []
    for hemisphere, mesh in meshes.items():
        paths += [folder / f"{hemisphere}.sulc", folder / f"{hemisphere}.inflated"]
        nibabel.freesurfer.write_morph_data(str(paths[-2]), mesh.sulcal_depth)
        nibabel.freesurfer.write_geometry(str(paths[-1]), mesh.points, mesh.faces)
    return paths[::-1]


def test_nsds_own_surfaces_are_drawn_where_they_are_at_hand(tmp_path, cortex) -> None:
    """Written with fsaverage5's mesh as the last vertices of a fine one: inflated, the last are seen; flat, the first."""
    at = on_cortex.FINE - HALF
    fine = {
        hemisphere: on_cortex.Mesh(
            np.concatenate([np.zeros((at, 3)), mesh.points]),
            mesh.faces + at,
            np.append(np.zeros(at), mesh.sulcal_depth),
        )
        for hemisphere, mesh in cortex.inflated.items()
    }
    loaded = on_cortex.load_meshes(write_surfaces(tmp_path, fine), 2 * on_cortex.FINE)
    first, last = np.full((2, on_cortex.FINE), -1.0), np.full((2, on_cortex.FINE), -1.0)
    first[:, :HALF] = last[:, -HALF:] = 1
    expected = on_cortex.cast_views(cortex, 120)
    for (hemisphere, side), view in on_cortex.cast_views(loaded, 120).items():
        for values, seen in ((first, side == "flat"), (last, side != "flat")):
            np.testing.assert_allclose(on_cortex.look_up(view, values.ravel()), 1 if seen else -1)
        same = expected[hemisphere, side]
        np.testing.assert_array_equal(view.covered, same.covered)
        assert (view.sulcus == same.sulcus).mean() > 0.999
    assert "Flat views show the first" in words(draw_group(loaded, last.ravel()))


def test_surfaces_that_do_not_fit_are_refused(tmp_path, cortex) -> None:
    with pytest.raises(ValueError, match=r"327684 vertices, on fsaverage5 20484; found 20483"):
        on_cortex.load_meshes([], N - 1)
    paths = write_surfaces(tmp_path, cortex.inflated)
    assert on_cortex.load_meshes(paths, N).inflated["rh"].faces.shape == cortex.inflated["rh"].faces.shape
    with pytest.raises(ValueError, match=r"lh\.inflated: 10242 vertices, expected 163842"):
        on_cortex.load_meshes(paths, 2 * on_cortex.FINE)
    with pytest.raises(ValueError, match=r"rh\.sulc is not among"):
        on_cortex.load_meshes([path for path in paths if path.name != "rh.sulc"], N)
    whole = (tmp_path / "rh.inflated").read_bytes()
    (tmp_path / "rh.inflated").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"rh\.inflated: not a whole FreeSurfer file.*get it again"):
        on_cortex.load_meshes(paths, N)


@pytest.mark.parametrize("name", ["mean", "p_fdr", "p_sign_flip", "labels"])
def test_a_map_of_another_length_is_refused(cortex, name: str) -> None:
    vectors = dict.fromkeys(("mean", "p_fdr", "p_sign_flip"), np.ones(N)) | {"labels": np.ones(N, dtype=int)}
    vectors[name] = vectors[name][:-1]
    labels = vectors.pop("labels")
    with pytest.raises(ValueError, match=rf"{name}: shape \(20483,\), but the cortex has 20484 vertices"):
        draw_group(cortex, **vectors, regions=maps.Regions(labels, NAMES))
    with pytest.raises(ValueError, match="subj02: shape"):
        draw_subjects(cortex, {"subj01": np.ones(N), "subj02": np.ones(HALF)}, np.ones(N))


def test_colours_are_symmetric_about_zero_and_their_limits_printed(cortex) -> None:
    values = np.linspace(-0.02, 0.1, N)
    limit = maps.colour_limit(values)
    assert limit == pytest.approx(0.1) and maps.colour_limit(-values) == limit
    assert (np.abs(values) <= limit).mean() >= 0.995
    assert maps.colour_limit(values, 10 * values, np.full(N, np.nan)) == pytest.approx(1.0, abs=0.02)
    assert maps.colour_limit(np.append(np.full(1000, 0.01231), 50)) == 0.013
    assert maps.colour_limit(np.append(np.zeros(1000), 0.25)) == 0.25
    assert maps.colour_limit(np.zeros(5)) == maps.colour_limit(np.full(5, np.nan)) == 1
    figure = draw_group(cortex, values)
    bar = panel(figure, "colour bar")
    assert [text.get_text() for text in bar.get_xticklabels()] == ["−0.1", "−0.05", "0", "0.05", "0.1"]
    assert bar.get_xlim() == pytest.approx((-limit, limit))
    assert bar.get_xlabel() == "mean RDM correlation (Pearson r) over 8 subjects"


def test_opposite_values_have_colours_of_equal_strength_and_beyond_the_limit_the_last(views) -> None:
    view = views["lh", "lateral"]

    def colour(value: float) -> np.ndarray:
        return on_cortex.paint(view, np.full(N, value), 0.1)[view.covered].max(axis=0).astype(int)

    assert red(colour(0.1)) and blue(colour(-0.1)) and np.ptp(colour(0.0)) < 3
    np.testing.assert_array_equal(colour(0.1), colour(3))
    sums = [colour(value).sum() for value in (0.0, 0.025, 0.05, 0.1)]
    assert all(one > other for one, other in pairwise(sums))


def test_all_subjects_share_one_scale(cortex) -> None:
    weak, strong = np.full(N, 0.02), np.full(N, 0.2)
    figure = draw_subjects(cortex, {"subj01": weak, "subj02": strong}, (weak + strong) / 2)
    alone = draw_subjects(cortex, {"subj01": strong, "subj02": weak}, (weak + strong) / 2)
    for side in SIDES:
        first, second, mean = (pixels(figure, f"{row}: left {side}").sum() for row in ("subj01", "subj02", "mean"))
        assert first > mean > second
        np.testing.assert_array_equal(pixels(figure, f"subj01: left {side}"), pixels(alone, f"subj02: left {side}"))
    assert "Unthresholded" in words(figure)


def test_outlines_and_numbers_lie_where_the_regions_are(cortex) -> None:
    given = regions()
    given.labels[HALF:][given.labels[HALF:] == 4] = 0
    figure = draw_group(cortex, np.zeros(N), regions=given)
    shown = on_cortex.cast_views(cortex, pixels(figure, "thresholded: left flat").shape[1])
    for block in ("unthresholded", "thresholded"):
        for (hemisphere, side), view in shown.items():
            axes = panel(figure, f"{block}: {on_cortex.SIDES[hemisphere]} {side}")
            found = lines(axes, maps.OUTLINE)
            inside = np.argwhere(view.covered)[on_cortex.look_up(view, given.labels > 0) > 0.5]
            assert bool(found) == bool(len(inside))
            if found:
                ends = np.concatenate(found)[:, ::-1]
                np.testing.assert_allclose(ends.min(axis=0), inside.min(axis=0), atol=4)
                np.testing.assert_allclose(ends.max(axis=0), inside.max(axis=0), atol=4)
            numbers = {text.get_text(): text.xy for text in axes.texts}
            assert block == "unthresholded" or not numbers
            if side == "flat" and block == "unthresholded":
                assert set(numbers) == ({"1", "2"} if hemisphere == "lh" else {"1"})
                picture = np.zeros(view.covered.shape)
                picture[view.covered] = on_cortex.look_up(view, given.labels)
                assert {number: picture[round(y), round(x)] for number, (x, y) in numbers.items()} == {
                    number: {"1": 1, "2": 4}[number] for number in numbers
                }
    assert "Regions: 1 early, 2 parietal." in words(figure)


def test_survivors_of_the_maximum_statistic_are_outlined_on_the_thresholded_map_and_counted(cortex) -> None:
    survives = extreme("rh", 0, 1)
    p = np.where(survives, 2 / 256, 0.05)
    figure = draw_group(cortex, np.ones(N), p_fdr=np.zeros(N), p_sign_flip=p)
    outlined = {str(axes.get_label()) for axes in figure.axes if axes.images and lines(axes, maps.SURVIVES)}
    assert {"thresholded: right lateral"} <= outlined <= {"thresholded: right lateral", "thresholded: right flat"}
    assert f"sign-flip maximum statistic p < 0.05: {survives.sum()} vertices" in words(figure)
    # Real data carry no stamp.
    assert style.STAMP not in words(figure) and "of 163,842" not in words(figure)


def test_numbers_of_each_region_and_hemisphere(rng) -> None:
    given = regions()
    mean, p_fdr, p_flip = rng.standard_normal(N), rng.uniform(0, 0.1, N), rng.uniform(0, 0.1, N)
    mean[np.flatnonzero(given.labels == 1)[::3]] = np.nan
    mean[HALF + np.flatnonzero(given.labels[HALF:] == 4)] = np.nan
    table = maps.group_numbers(mean, p_fdr, p_flip, regions=given, test_left_out="", false_discovery_rate=0.05)
    every = pd.DataFrame(
        {
            "region": pd.Series(given.labels).map({0: "outside", 1: "early", 4: "parietal"}),
            "hemisphere": np.repeat(["lh", "rh"], HALF),
            "vertex": np.tile(np.arange(HALF), 2),
            "mean": mean,
            "fdr": p_fdr < 0.05,
            "flip": p_flip < 0.05,
        }
    )
    assert len(table) == 6 and table["n_vertices"].sum() == N
    for row in table.itertuples(index=False):
        own = every[(every["region"] == row.region) & (every["hemisphere"] == row.hemisphere)]
        assert (row.n_vertices, row.n_with_value) == (len(own), own["mean"].count())
        assert (row.n_significant, row.n_sign_flip) == (own["fdr"].sum(), own["flip"].sum())
        if not row.n_with_value:
            assert np.isnan(row.mean) and np.isnan(row.peak) and pd.isna(row.peak_vertex)
            continue
        farthest = own.loc[own["mean"].abs().idxmax()]
        assert row.mean == pytest.approx(own["mean"].mean())
        assert (row.peak, row.peak_vertex) == (farthest["mean"], farthest["vertex"])
    of_subjects = maps.subject_numbers({"subj01": -mean}, mean, regions=given)
    assert of_subjects["map"].tolist() == ["subj01"] * 6 + ["mean"] * 6
    np.testing.assert_allclose(of_subjects["peak"][:6], -table["peak"])
    shared = ["region", "hemisphere", "n_with_value", "mean", "peak", "peak_vertex"]
    pd.testing.assert_frame_equal(of_subjects[6:][shared].reset_index(drop=True), table[shared])


def test_no_text_is_clipped_or_overlaps(cortex) -> None:
    values = np.linspace(-0.0123, 0.0987, 2 * on_cortex.FINE)
    values[:50] = np.nan
    fine = on_cortex.load_meshes([], values.size)
    names = {f"midparietal {number}": number for number in range(1, 26)}
    given = maps.Regions(np.zeros(values.size, dtype=int), names)
    title = "Scrambled captions (all-MiniLM-L6-v2) minus Captions (all-MiniLM-L6-v2, five of each image)"
    figure = maps.draw_group_map(
        values, np.zeros(values.size), np.zeros(values.size), cortex=fine, regions=given, title=title,
        n_subjects=5, test_left_out="", quantity="difference of RDM correlations (Pearson r)",
        false_discovery_rate=0.05, source="miniature",
    )  # fmt: skip
    assert not faults_of_texts(figure)
    assert style.STAMP in words(figure)
    assert "All views show the first 10,242 of 163,842 vertices" in words(figure)
    assert "With 5 subjects a sign-flip p is never below 0.0625" in words(figure)
    small = draw_subjects(cortex, {"subj01": values[:N]}, values[:N], title=title, source="miniature")
    assert not faults_of_texts(small)
    assert style.STAMP in words(small)


@pytest.mark.parametrize(("n_subjects", "least"), [(2, "0.5"), (5, "0.0625"), (6, None), (8, None)])
def test_few_subjects_are_told_that_no_sign_flip_can_be_significant(cortex, n_subjects, least) -> None:
    said = words(draw_group(cortex, np.zeros(N), n_subjects=n_subjects))
    assert (f"With {n_subjects} subjects a sign-flip p is never below {least}," in said) == (least is not None)
    assert ("is never below" in said) == (least is not None)


def test_a_map_without_tests_says_why_and_promises_none(cortex) -> None:
    undefined = np.full(N, np.nan)
    figure = draw_group(cortex, np.linspace(-0.1, 0.1, N), undefined, undefined, n_subjects=1, test_left_out=TOO_FEW)
    said = words(figure)
    assert TOO_FEW in said
    assert panel(figure, "colour bar").get_xlabel() == "RDM correlation (Pearson r) of the only subject"
    for promise in ("adjusted p", "sign-flip", "false discovery", "mean RDM", "tested where all"):
        assert promise not in said, promise
    assert not faults_of_texts(figure)
    numbers = maps.group_numbers(
        np.zeros(N), undefined, undefined, regions=regions(), test_left_out=TOO_FEW, false_discovery_rate=0.05
    )
    assert numbers[["n_significant", "n_sign_flip"]].isna().all(axis=None)
    assert set(numbers["test_left_out"]) == {TOO_FEW}


def test_the_mean_of_one_subject_is_explained(cortex) -> None:
    alone = draw_subjects(cortex, {"subj01": np.zeros(N)}, np.zeros(N))
    assert "Of one subject the mean is its own map." in words(alone)
    assert "Of one subject" not in words(
        draw_subjects(cortex, dict.fromkeys(("subj01", "subj02"), np.zeros(N)), np.zeros(N))
    )


def test_the_same_map_gives_the_same_bytes(tmp_path, cortex, monkeypatch) -> None:
    monkeypatch.setitem(style.STYLE, "savefig.dpi", 50)
    values = np.linspace(-0.1, 0.1, N)
    for at in range(2):
        figure = draw_group(cortex, values, p_fdr=np.abs(values), p_sign_flip=10 * np.abs(values), regions=regions())
        style.save_figure(figure, tmp_path / f"{at}.pdf", tmp_path / f"{at}.png")
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()


@pytest.mark.slow
def test_full_figures_are_small_files_soon_made(tmp_path, cortex, rng) -> None:
    faces = np.concatenate([mesh.faces + at for mesh, at in zip(cortex.inflated.values(), (0, HALF), strict=True)])
    noise = rng.standard_normal((9, N))
    for _ in range(4):  # neighbouring spheres of a searchlight share most voxels
        sums = [np.bincount(faces.ravel(), np.repeat(values[faces].mean(axis=1), 3)) for values in noise]
        noise = sums / np.bincount(faces.ravel())
    start = time.process_time()
    figure = draw_group(cortex, noise[8], p_fdr=noise[0] ** 2, p_sign_flip=1 - noise[8], regions=regions())
    style.save_figure(figure, tmp_path / "group.pdf", tmp_path / "group.png")
    assert time.process_time() - start < 6
    start = time.process_time()
    subjects = {f"subj{number:02d}": values for number, values in enumerate(noise[:8], start=1)}
    figure = draw_subjects(cortex, subjects, noise[8], regions=regions())
    style.save_figure(figure, tmp_path / "subjects.pdf", tmp_path / "subjects.png")
    assert time.process_time() - start < 15
    assert all(path.stat().st_size < 3e6 for path in tmp_path.glob("*.pdf"))
