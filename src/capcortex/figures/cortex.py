"""Cortex on the page: inflated and flat hemispheres, seen from a side, painted with the values of a map.

nilearn gives the meshes. The pictures are made here, because nilearn's own (one polygon of matplotlib for each face, sorted by
depth at each drawing) take longer than a figure may, and have no outlines that the cortex hides where it should: a view is cast
once into a picture of which face each pixel shows, and every map is then looked up in it. Figures of maps are in ``maps``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import cast

import contourpy
import matplotlib
import nibabel
import numpy as np
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike, NDArray

from capcortex.files import remedy
from capcortex.images import damaged

Values = NDArray[np.float64]

SIDES = {"lh": "left", "rh": "right"}
# Vertices of a hemisphere of fsaverage5, which are the first of fsaverage's, whose mesh is a finer one of the same
# sphere (Fischl et al. 1999, doi:10.1002/(SICI)1097-0193(1999)8:4<272::AID-HBM10>3.0.CO;2-4).
COARSE, FINE = 10_242, 163_842

# For each view the axes of the mesh (x to the right of the head, y to its front, z up) that point to the right of the
# picture, up in it, and out of it to the reader.
X, Y, Z = np.eye(3)
DIRECTIONS = {
    ("lh", "lateral"): np.array([-Y, Z, -X]),
    ("lh", "medial"): np.array([Y, Z, X]),
    ("rh", "medial"): np.array([-Y, Z, -X]),
    ("rh", "lateral"): np.array([Y, Z, X]),
    ("lh", "flat"): np.eye(3),
    ("rh", "flat"): np.eye(3),
}

COLOURS = matplotlib.colormaps["RdBu_r"]
GYRUS, SULCUS, NO_VALUE = 0.9, 0.74, 0.5
# How far sulci darken the colour of a value that lies on them.
SHADE = 0.91


@dataclass(frozen=True)
class Mesh:
    """One hemisphere, inflated or flat.

    Attributes
    ----------
    points
        (vertex, 3) coordinates, mm.
    faces
        (face, 3) 0-based vertices, counter-clockwise seen from outside.
    sulcal_depth
        (vertex,) FreeSurfer's ``sulc``: positive in sulci.
    """

    points: Values
    faces: NDArray[np.int64]
    sulcal_depth: Values


@dataclass(frozen=True)
class Cortex:
    """What maps are drawn on.

    Attributes
    ----------
    inflated, flat
        Mesh of each hemisphere, ``lh`` and ``rh``. Its vertices are the first of the hemisphere's in a map.
    n_vertices
        Length of a map: vertices of the left, then of the right hemisphere.
    """

    inflated: dict[str, Mesh]
    flat: dict[str, Mesh]
    n_vertices: int


@dataclass(frozen=True)
class View:
    """A mesh seen from one side: which face each pixel of the picture shows, and where in it.

    Attributes
    ----------
    covered
        (row from the bottom, column) whether a pixel shows the mesh. The others of its arrays are over these pixels.
    vertices
        (pixel, 3) corners of the face that lies foremost, as vertices of a map of both hemispheres.
    weights
        (pixel, 3) barycentric coordinates of the pixel's centre in that face.
    sulcus
        (pixel,) whether the pixel lies in a sulcus.
    """

    covered: NDArray[np.bool_]
    vertices: NDArray[np.int64]
    weights: Values
    sulcus: NDArray[np.bool_]


def load_meshes(surfaces: Iterable[str | Path], n_vertices: int) -> Cortex:
    """Load the inflated and the flat hemispheres that a map is drawn on.

    Parameters
    ----------
    surfaces
        FreeSurfer's ``lh.inflated``, ``rh.inflated``, ``lh.sulc`` and ``rh.sulc`` of NSD's fsaverage, or nothing when
        these files are not at hand: then the maps' first 10,242 vertices of each hemisphere are drawn on nilearn's
        fsaverage5. Flat hemispheres are always those of fsaverage5.
    n_vertices
        Length of the maps: 20,484 or 327,684.

    Raises
    ------
    ValueError
        If ``n_vertices`` is another number; naming the file, if a surface is missing or damaged or has another number
        of vertices than the hemispheres of the maps.
    """
    if n_vertices not in (2 * COARSE, 2 * FINE):
        raise ValueError(f"maps on fsaverage have {2 * FINE} vertices, on fsaverage5 {2 * COARSE}; found {n_vertices}")
    paths = {Path(path).name: Path(path) for path in surfaces}
    if not paths:
        inflated = {hemisphere: _read_fsaverage5(hemisphere, "infl") for hemisphere in SIDES}
    else:
        inflated = {hemisphere: _read_freesurfer(paths, hemisphere, n_vertices // 2) for hemisphere in SIDES}
    return Cortex(inflated, {hemisphere: _read_fsaverage5(hemisphere, "flat") for hemisphere in SIDES}, n_vertices)


def _read_fsaverage5(hemisphere: str, kind: str) -> Mesh:
    """Read a mesh where it lies in nilearn: importing ``nilearn.datasets`` would take longer than all the drawing."""

    def arrays(name: str) -> list[NDArray]:
        with as_file(files("nilearn") / "datasets/data/fsaverage5" / f"{name}_{SIDES[hemisphere]}.gii.gz") as path:
            return [array.data for array in nibabel.gifti.GiftiImage.from_filename(path).darrays]

    points, faces = arrays(kind)
    return Mesh(points.astype(np.float64), faces.astype(np.int64), arrays("sulc")[0].astype(np.float64))


def _read_freesurfer(paths: Mapping[str, Path], hemisphere: str, n_vertices: int) -> Mesh:
    parts = []
    for kind, read in (("inflated", nibabel.freesurfer.read_geometry), ("sulc", nibabel.freesurfer.read_morph_data)):
        name = f"{hemisphere}.{kind}"
        if name not in paths:
            raise ValueError(f"{name} is not among the surfaces to draw on: {', '.join(map(str, paths.values()))}")
        try:
            part = read(paths[name])
        except FileNotFoundError:
            raise
        except Exception as error:
            raise damaged(paths[name], "FreeSurfer", error) from error
        found = len(part[0] if kind == "inflated" else part)
        if found != n_vertices:
            raise ValueError(
                f"{paths[name]}: {found} vertices, expected {n_vertices}, those of a hemisphere of the maps; "
                f"{remedy(paths[name])}"
            )
        parts.append(part)
    (points, faces), depth = parts
    return Mesh(points.astype(np.float64), faces.astype(np.int64), depth.astype(np.float64))


def cast_views(cortex: Cortex, pixels: int) -> dict[tuple[str, str], View]:
    """Cast every view of a cortex into pixels, all inflated ones at one scale, and both flat ones at another.

    Parameters
    ----------
    cortex
        From `load_meshes`.
    pixels
        Width of a picture.

    Returns
    -------
    dict
        View of each hemisphere (``lh``, ``rh``) from each side (``lateral``, ``medial``, ``flat``).
    """
    views = {}
    for sides, meshes in ((("lateral", "medial"), cortex.inflated), (("flat",), cortex.flat)):
        seen = {
            (hemisphere, side): (mesh, mesh.points @ DIRECTIONS[hemisphere, side].T)
            for hemisphere, mesh in meshes.items()
            for side in sides
        }
        # The flat patch leaves out vertices, which have points all the same: only those of faces are seen.
        corners = {key: points[np.unique(mesh.faces)] for key, (mesh, points) in seen.items()}
        extent = np.max([np.ptp(points[:, :2], axis=0) for points in corners.values()], axis=0)
        scale = (pixels - 4) / extent[0]
        shape = (int(extent[1] * scale) + 4, pixels)
        for (hemisphere, side), (mesh, points) in seen.items():
            middle = (corners[hemisphere, side].max(axis=0) + corners[hemisphere, side].min(axis=0)) / 2
            centred = (points - middle) * scale + np.array([shape[1] - 1, shape[0] - 1, 0]) / 2
            first = 0 if hemisphere == "lh" else cortex.n_vertices // 2
            views[hemisphere, side] = _cast(mesh, centred, shape, first)
    return views


def _cast(mesh: Mesh, points: Values, shape: tuple[int, int], first: int) -> View:
    """Find the foremost face at the centre of each pixel, among those whose bounding box holds it.

    Faces that show their back are not seen.
    """
    a, b, c = (points[mesh.faces[:, corner]] for corner in range(3))
    front = np.flatnonzero(_cross(b - a, c - a) > 0)
    low = np.ceil(np.minimum(np.minimum(a, b), c)[front, :2]).astype(np.int64)
    size = np.floor(np.maximum(np.maximum(a, b), c)[front, :2]).astype(np.int64) - low + 1
    n_tried = size.prod(axis=1)
    box = np.repeat(np.arange(front.size), n_tried)
    step = np.arange(box.size) - np.repeat(np.cumsum(n_tried) - n_tried, n_tried)
    pixel = low[box] + np.stack([step % size[box, 0], step // size[box, 0]], axis=1)
    face = front[box]
    to_a, to_b, to_c = (corner[face, :2] - pixel for corner in (a, b, c))
    weights = np.stack([_cross(to_b, to_c), _cross(to_c, to_a), _cross(to_a, to_b)], axis=1)
    inside = (weights >= 0).all(axis=1)
    pixel, face, weights = pixel[inside], face[inside], weights[inside]
    weights /= weights.sum(axis=1, keepdims=True)
    depth = (weights * points[mesh.faces[face], 2]).sum(axis=1)
    # By pixel, and within it from back to front: the last of a pixel's faces is the one that is seen.
    at = pixel @ [1, shape[1]]
    order = np.lexsort((depth, at))
    seen = order[np.append(np.diff(at[order]) > 0, True)]
    corners, weights = mesh.faces[face[seen]], weights[seen]
    covered = np.zeros(shape, dtype=bool)
    covered.flat[at[seen]] = True
    sulcus = (weights * mesh.sulcal_depth[corners]).sum(axis=1) > 0
    return View(covered, corners + first, weights, sulcus)


def _cross(one: Values, other: Values) -> Values:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]


def look_up(view: View, values: ArrayLike) -> Values:
    """Interpolate a map at the pixels of a view.

    Parameters
    ----------
    view
        From `cast_views`.
    values
        (n_vertices,) map; NaN where a vertex has no value.

    Returns
    -------
    ndarray of shape (pixel,), float64
        Mean over the corners of the pixel's face that have a value, weighted by nearness; NaN where those without
        one have more than half of the weight.
    """
    corners = np.asarray(values, dtype=np.float64)[view.vertices]
    weights = view.weights * np.isfinite(corners)
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(total >= 0.5, (weights * np.nan_to_num(corners)).sum(axis=1) / total, np.nan)


def paint(view: View, values: Values, limit: float, shown: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Paint a map on a view.

    Parameters
    ----------
    view
        From `cast_views`.
    values
        (n_vertices,) map; NaN where a vertex has no value: painted in plain grey.
    limit
        Value of the last colour, and of the first with the other sign.
    shown
        (n_vertices,) vertices that get a colour; the others show gyri and sulci. All, if not given.

    Returns
    -------
    ndarray of shape (row from the bottom, column, 3), uint8
        Red, green, blue; white where the cortex is not.
    """
    here = look_up(view, values)
    colours = COLOURS(Normalize(-limit, limit)(here))[:, :3] * np.where(view.sulcus, SHADE, 1)[:, None]
    if shown is not None:
        hidden = look_up(view, shown) < 0.5
        colours[hidden] = np.where(view.sulcus, SULCUS, GYRUS)[hidden, None]
    colours[np.isnan(here)] = NO_VALUE
    picture = np.full((*view.covered.shape, 3), 255, dtype=np.uint8)
    picture[view.covered] = np.rint(255 * colours)
    return picture


def outline(view: View, inside: NDArray[np.bool_]) -> list[Values]:
    """Return the lines, in pixels, around the part of a set of vertices that is seen."""
    if not inside[view.vertices].any():
        return []
    picture = np.ma.masked_all(view.covered.shape)
    picture[view.covered] = look_up(view, inside)
    return half_lines(picture)


def half_lines(picture: NDArray) -> list[Values]:
    """Return the lines, in pixels, at which a picture of values from 0 to 1 crosses one half."""
    return cast(list[Values], contourpy.contour_generator(z=picture).lines(0.5))
