"""Regions of interest: labels of vertices, and the names that the atlas's own file gives them."""

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray


def read_label_names(path: str | Path) -> dict[str, int]:
    """Read the names of an atlas's labels (``<atlas>.mgz.ctab``).

    One ``<number> <name>`` per line; some of NSD's files carry tabs and spaces after the name.

    Returns
    -------
    dict
        Label of each name, without label 0 (``Unknown``).

    Raises
    ------
    ValueError
        Naming the file and the line that is not a number and a name, or a name or number that occurs twice.
    """
    names: dict[str, int] = {}
    for count, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2 or not words[0].lstrip("-").isdigit():
            raise ValueError(f"{path}, line {count}: expected a number and a name, found {line!r}")
        label, name = int(words[0]), words[1]
        if label == 0:
            continue
        if name in names or label in names.values():
            raise ValueError(f"{path}, line {count}: name {name} or label {label} occurs twice")
        names[name] = label
    return names


def read_surface_labels(hemispheres: list[Path]) -> NDArray[np.int64]:
    """Read the label of each vertex, left then right hemisphere.

    Parameters
    ----------
    hemispheres
        ``lh.<atlas>.mgz`` and ``rh.<atlas>.mgz``.

    Returns
    -------
    ndarray of shape (n_vertices,), int64
        0 where a vertex has no label.
    """
    parts = []
    for path in hemispheres:
        try:
            values = np.asarray(nibabel.freesurfer.mghformat.load(str(path)).dataobj).ravel()
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{path}: not a whole mgz file ({error}); remove it and fetch it again") from error
        labels = np.rint(values).astype(np.int64)
        if not np.array_equal(labels, values):
            raise ValueError(f"{path}: labels are whole numbers; found {values[labels != values][0]}")
        parts.append(labels)
    return np.concatenate(parts)


def roi_vertices(labels: NDArray[np.int64], names: dict[str, int], roi: str, *, atlas: str) -> NDArray[np.intp]:
    """Return the vertices of a named region.

    Parameters
    ----------
    labels
        From `read_surface_labels`.
    names
        From `read_label_names`.
    roi
        Name of the region.
    atlas
        Name of the atlas, for messages.

    Raises
    ------
    ValueError
        If the atlas has no region of that name, or the region has no vertex.
    """
    if roi not in names:
        raise ValueError(f"atlas {atlas} has no region {roi!r}; its regions are {', '.join(names)} (config key rois)")
    vertices = np.flatnonzero(labels == names[roi])
    if not vertices.size:
        raise ValueError(f"region {roi} of atlas {atlas} (label {names[roi]}) has no vertex")
    return vertices
