"""The common cortex of the miniature: nilearn's fsaverage5, which takes the part of NSD's fsaverage."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files

import numpy as np

SIDES = {"lh": "left", "rh": "right"}


@dataclass(frozen=True)
class Cortex:
    """One hemisphere of fsaverage5.

    Attributes
    ----------
    white, pial, inflated, sphere
        (vertex, 3) coordinates, mm.
    faces
        (face, 3) 0-based vertices.
    sulc, curv, thickness
        (vertex,) FreeSurfer's measures; thickness (mm) is 0 on the wall between the hemispheres.
    """

    white: np.ndarray
    pial: np.ndarray
    inflated: np.ndarray
    sphere: np.ndarray
    faces: np.ndarray
    sulc: np.ndarray
    curv: np.ndarray
    thickness: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """(vertex, 3) halfway between white and pial surface, mm."""
        return (self.white + self.pial) / 2


@lru_cache
def load_cortex(hemisphere: str) -> Cortex:
    """Return ``lh`` or ``rh`` of fsaverage5, from the files that come with nilearn.

    The files are read where they lie in the package: importing ``nilearn.datasets`` for their names would take longer
    than everything else that is done with them.
    """
    import nibabel

    folder = files("nilearn") / "datasets" / "data" / "fsaverage5"

    def arrays(name: str) -> list[np.ndarray]:
        with as_file(folder / f"{name}_{SIDES[hemisphere]}.gii.gz") as path:
            return [array.data for array in nibabel.gifti.GiftiImage.from_filename(path).darrays]

    points = {name: arrays(name)[0].astype(np.float64) for name in ("white", "pial", "infl", "sphere")}
    values = {name: arrays(name)[0].astype(np.float64) for name in ("sulc", "curv", "thick")}
    return Cortex(
        white=points["white"],
        pial=points["pial"],
        inflated=points["infl"],
        sphere=points["sphere"],
        faces=arrays("pial")[1],
        sulc=values["sulc"],
        curv=values["curv"],
        thickness=values["thick"],
    )
