"""Figure "Neighbours in embedding space": what the geometry that the brain is compared with looks like to a reader.

Chooses example images, finds what lies near and far by mean caption embeddings, draws pictures with their captions.
"""

import textwrap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from numpy.typing import ArrayLike, NDArray

from capcortex.figures.style import NOTE, STYLE, add_panel, new_figure, stamp
from capcortex.ids import Ids, positions, to_nsd_id
from capcortex.seeds import random_generator

SHOWN = ["example", "shown_as", "rank", "id73k", "r"]
EXAMPLE, NEAR, FAR = "example", "neighbour", "least similar"

# Sizes on the page in inches, and lines of text that fit.
PICTURE, TEXT, NEAR_CELL, GAP, EDGE, HEADING, ROW = 1.0, 2.75, 1.75, 0.2, 0.15, 0.35, 1.72
EXAMPLE_LINES, CAPTION_LINES, NEAR_LINES = 11, 2, 4
TEXT_SIZE = 7.5
_CHARACTERS_PER_INCH = 26
_IMAGES_AT_ONCE = 5000


def choose_examples(features: xr.DataArray, candidates: Ids, n_examples: int, seed: int) -> Ids:
    """Choose images that lie far apart: a random first one, then always the one farthest from all chosen before.

    Parameters
    ----------
    features : DataArray (id73k, feature)
        Mean caption embeddings.
    candidates
        ``id73k`` of the images to choose from, each once.
    n_examples
        How many; all candidates if there are fewer.
    seed
        The study's seed, which draws the first image.

    Returns
    -------
    ndarray of shape (n_examples,), int64
    """
    ids = np.sort(candidates)
    values = features.to_numpy()[positions(ids, features["id73k"].to_numpy(), what="features")]
    chosen = [int(random_generator(seed, "figures", "captions").integers(ids.size))]
    nearest = np.full(ids.size, -np.inf)
    while len(chosen) < min(n_examples, ids.size):
        # An embedding without direction (NaN) is never far from the others.
        nearest = np.maximum(nearest, np.nan_to_num(_correlations(values[chosen[-1:]], values)[0], nan=np.inf))
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
    return ids[chosen]


def find_neighbours(features: xr.DataArray, examples: Ids, n_neighbours: int) -> pd.DataFrame:
    """Find the images most and least similar to each example.

    Parameters
    ----------
    features : DataArray (id73k, feature)
        Mean caption embeddings of all images.
    examples
        ``id73k`` of the examples.
    n_neighbours
        Neighbours of each.

    Returns
    -------
    DataFrame
        Columns `SHOWN`: for each ``example`` itself, its neighbours (``rank`` from 1) and the least similar image, with
        ``r`` (1 minus the correlation distance of the two embeddings).
    """
    ids, values = features["id73k"].to_numpy(), features.to_numpy()
    at = positions(examples, ids, what="features")
    rows: list[tuple[int, str, int, int, float]] = []
    for own, r in zip(at, _correlations(values[at], values), strict=True):
        # An embedding without direction correlates with nothing; it is neither near nor far.
        ranked = [other for other in np.argsort(-r, kind="stable") if other != own and np.isfinite(r[other])]
        shown = [(EXAMPLE, 0, own), *((NEAR, rank, other) for rank, other in enumerate(ranked[:n_neighbours], start=1))]
        shown += [(FAR, len(ranked), other) for other in ranked[-1:]]
        rows += [(int(ids[own]), kind, rank, int(ids[other]), float(r[other])) for kind, rank, other in shown]
    return pd.DataFrame(rows, columns=SHOWN)


def read_pictures(brick: str | Path, id73k: ArrayLike) -> dict[int, NDArray[np.uint8]]:
    """Read the pictures of some images from the image brick, and no others.

    Parameters
    ----------
    brick
        ``nsd_stimuli.hdf5`` with ``imgBrick`` (image, height, width, 3); its rows count from 0.
    id73k
        Images, counting from 1.

    Returns
    -------
    dict
        Picture of each ``id73k``.

    Raises
    ------
    ValueError
        If the brick has no such row.
    """
    ids = np.unique(id73k)
    with h5py.File(brick, "r") as file:
        pictures = file["imgBrick"]
        if ids.max() > len(pictures):
            raise ValueError(f"{brick}: imgBrick has {len(pictures)} pictures, but id73k {ids.max()} is needed")
        return {int(one): pictures[row] for one, row in zip(ids, to_nsd_id(ids), strict=True)}


def draw_captions(
    shown: pd.DataFrame,
    captions: Mapping[int, list[str]],
    pictures: Mapping[int, NDArray[np.uint8]],
    *,
    encoder: str,
    source: str,
) -> Figure:
    """Draw each example with its captions, its neighbours and the image least like it.

    Parameters
    ----------
    shown
        Rows of `find_neighbours`.
    captions
        Captions of every shown ``id73k``, in their order.
    pictures
        Pictures by ``id73k``; empty where the study has none, which the figure says.
    encoder
        Name of the sentence encoder, for the note.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Axes of pictures carry the label ``<example> <shown_as> <rank> <id73k>``.
    """
    examples = list(shown["example"].unique())
    n_near = int((shown["shown_as"] == NEAR).groupby(shown["example"]).sum().max())
    far_left = EDGE + PICTURE + 0.1 + TEXT + GAP + n_near * (NEAR_CELL + GAP) + GAP
    width = far_left + NEAR_CELL + EDGE
    height = EDGE + HEADING + len(examples) * ROW + 0.2
    figure = new_figure(width, height)

    def write(left: float, top: float, text: str, **look: Any) -> None:
        figure.text(left / width, top / height, text, **{"va": "top", "linespacing": 1.15, **look})

    near_left = EDGE + PICTURE + 0.1 + TEXT + GAP
    for left, text in (
        (EDGE, "Image and its captions"),
        (near_left, "Nearest by captions"),
        (far_left, "Least similar"),
    ):
        write(left, height - EDGE - 0.12, text, va="baseline", fontsize=10, fontweight="bold")
    for number, example in enumerate(examples):
        top = height - HEADING - EDGE - number * ROW
        for row in shown[shown["example"] == example].itertuples(index=False):
            left = {EXAMPLE: EDGE, FAR: far_left}.get(row.shown_as, near_left + (row.rank - 1) * (NEAR_CELL + GAP))
            label = f"{row.example} {row.shown_as} {row.rank} {row.id73k}"
            axes = add_panel(figure, label, (left, top - PICTURE, PICTURE, PICTURE))
            if pictures:
                axes.imshow(pictures[row.id73k], interpolation="auto")
                axes.set_axis_off()
            else:
                axes.set(xticks=[], yticks=[], facecolor="0.95")
                axes.spines[:].set_visible(False)
                axes.text(0.5, 0.5, "no picture", ha="center", va="center", transform=axes.transAxes, **NOTE)
            if row.shown_as == EXAMPLE:
                write(left + PICTURE + 0.1, top, "\n".join(_listed(captions[row.id73k])), fontsize=TEXT_SIZE)
                write(left, top - PICTURE - 0.05, f"id73k {row.id73k}", **NOTE)
            else:
                r = f"{row.r:.2f}".replace("-", "−")
                write(left + PICTURE + 0.07, top, f"r = {r}\nid73k {row.id73k}", **NOTE)
                lines = wrap_text(captions[row.id73k][0], NEAR_CELL, NEAR_LINES)
                write(left, top - PICTURE - 0.05, "\n".join(lines), fontsize=TEXT_SIZE)
    note = f"r: correlation of mean caption embeddings ({encoder})."
    if not pictures:
        note += " Pictures are left out: nsd_stimuli.hdf5, which holds them, is not in this copy of NSD."
    write(EDGE, 0.08, note, va="bottom", **NOTE)
    stamp(figure, source)
    return figure


def _correlations(some: NDArray[np.floating], features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each of some embeddings with each of all, a block of images at a time to spare memory."""
    blocks = np.array_split(features, max(1, -(-len(features) // _IMAGES_AT_ONCE)))
    return np.concatenate([_standardised(some) @ _standardised(block).T for block in blocks], axis=1)


def _standardised(values: NDArray[np.floating]) -> NDArray[np.float64]:
    centred = np.asarray(values, dtype=np.float64) - values.mean(axis=1, dtype=np.float64, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.full_like(centred, np.nan), where=length > 0)


def wrap_text(text: str, width: float, lines: int, *, indent: tuple[str, str] = ("", "")) -> list[str]:
    """Break a text into lines of at most a width in inches; what does not fit is cut with an ellipsis."""
    for characters in range(int(width * _CHARACTERS_PER_INCH), 4, -1):
        wrapped = textwrap.wrap(
            text, characters, max_lines=lines, placeholder=" …", initial_indent=indent[0], subsequent_indent=indent[1]
        )
        if max(map(_inches, wrapped)) <= width:
            break
    return wrapped


def _inches(text: str) -> float:
    return sum(map(_character_inches, text))


@cache
def _character_inches(character: str) -> float:
    font = FontProperties(family=STYLE["font.family"], size=TEXT_SIZE)
    width, _, _ = text_to_path.get_text_width_height_descent(character, font, ismath=False)
    return width / 72


def _listed(captions: list[str]) -> list[str]:
    """Lines of captions below each other; as many captions as there is room for."""
    lines: list[str] = []
    for caption in captions:
        wrapped = wrap_text(caption, TEXT, CAPTION_LINES, indent=("– ", "   "))
        if len(lines) + len(wrapped) > EXAMPLE_LINES:
            return [*lines, "…"]
        lines += wrapped
    return lines
