"""One subject's anatomy: native surfaces made from fsaverage5, and a small functional volume carved around them.

A native surface is fsaverage5's sphere with some vertices left out, the others shifted and put in another order, so
that nothing but the transform files tells which native vertex belongs to which vertex of fsaverage. The functional
volume shows a brain of less than half the size, so that NSD's 1.8 mm voxels make small files.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, cKDTree

from capcortex.nsd.layout import HEMISPHERES
from capcortex.nsd.miniature.atlas import Atlas
from capcortex.nsd.miniature.formats import VOXEL_MM
from capcortex.nsd.miniature.mesh import load_cortex
from capcortex.seeds import random_generator

FEWEST_VERTICES, MOST_VERTICES = 9_700, 10_100
SHIFT_MM = 1.6  # on the sphere of radius 100 mm, where neighbours are 3.5 mm apart
SHRINKING = 0.39
MARGIN = 1.1  # voxels between the cortex and the edge of the volume
RIBBON = 0.7  # voxels from the cortex at which a voxel still counts as cortex
DEPTHS = {"pial": 0.0, "layerB1": 0.25, "layerB2": 0.5, "layerB3": 0.75, "white": 1.0}
NO_DATA = 9999.0
WITHOUT_DATA, AT_EDGE = 6, 3  # vertices of each hemisphere outside the volume, and exactly at its first or last voxel


@dataclass(frozen=True)
class Native:
    """A hemisphere's native surface.

    Attributes
    ----------
    white, pial, inflated, sphere
        (vertex, 3) mm.
    faces
        (face, 3) 0-based.
    sulc, curv
        (vertex,).
    to_fsaverage
        (fsaverage vertex,) native vertex nearest to it, 0-based.
    from_fsaverage
        (vertex,) fsaverage vertex nearest to it, 0-based.
    """

    white: np.ndarray
    pial: np.ndarray
    inflated: np.ndarray
    sphere: np.ndarray
    faces: np.ndarray
    sulc: np.ndarray
    curv: np.ndarray
    to_fsaverage: np.ndarray
    from_fsaverage: np.ndarray

    @property
    def used(self) -> np.ndarray:
        """(vertex,) whether any fsaverage vertex takes its data from the vertex."""
        return np.bincount(self.to_fsaverage, minlength=len(self.sphere)) > 0


@dataclass(frozen=True)
class Volume:
    """The functional volume of a subject.

    Attributes
    ----------
    shape
        (X, Y, Z).
    coordinates
        Per depth (vertex, 3): decimal 0-based voxel coordinates of the native vertices, lh then rh.
    mask
        (voxel,) the liberal brain mask as positions in the volume counted with x fastest, ascending.
    vertex
        (voxel,) native vertex (lh then rh) nearest to each voxel of the mask, -1 where there is no cortex.
    """

    shape: tuple[int, int, int]
    coordinates: dict[str, np.ndarray]
    mask: np.ndarray
    vertex: np.ndarray

    def indices(self) -> np.ndarray:
        """(voxel, 3) 0-based voxel indices of the mask."""
        return np.column_stack(np.unravel_index(self.mask, self.shape, order="F"))

    def fill(self, values: np.ndarray, outside: float) -> np.ndarray:
        """Return (X, Y, Z) with ``values`` of the mask's voxels, in their dtype, and ``outside`` elsewhere."""
        flat = np.full(int(np.prod(self.shape)), outside, values.dtype)
        flat[self.mask] = values
        return flat.reshape(self.shape, order="F")


def _triangles(sphere: np.ndarray) -> np.ndarray:
    """Connect points on a sphere; the hull's faces, turned so that they look outwards."""
    faces = ConvexHull(sphere).simplices
    a, b, c = sphere[faces].transpose(1, 0, 2)
    inwards = np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return faces


def make_native(subject: str, hemisphere: str, seed: int) -> Native:
    """Return a subject's native surface of one hemisphere."""
    random = random_generator(seed, "miniature", "native surface", subject, hemisphere)
    cortex = load_cortex(hemisphere)
    count = int(random.integers(FEWEST_VERTICES, MOST_VERTICES + 1))
    sphere = cortex.sphere[random.permutation(len(cortex.sphere))[:count]]
    sphere = sphere + random.normal(0, SHIFT_MM, sphere.shape)
    sphere *= 100 / np.linalg.norm(sphere, axis=1, keepdims=True)
    used = np.unique(cKDTree(sphere).query(cortex.sphere)[1])
    # The last native vertex serves nobody on the left and somebody on the right: the largest index of a transform
    # file need not be the number of vertices.
    unused = np.setdiff1d(np.arange(count), used)
    last = (unused if hemisphere == "lh" else used)[0]
    sphere[[last, -1]] = sphere[[-1, last]]

    distance, near = cKDTree(cortex.sphere).query(sphere, k=3)
    weight = 1 / (distance + 1e-3)
    weight /= weight.sum(axis=1, keepdims=True)

    def carry(values: np.ndarray) -> np.ndarray:
        return np.einsum("vk,vk...->v...", weight, values[near])

    return Native(
        white=carry(cortex.white),
        pial=carry(cortex.pial),
        inflated=carry(cortex.inflated),
        sphere=sphere,
        faces=_triangles(sphere),
        sulc=carry(cortex.sulc),
        curv=carry(cortex.curv),
        to_fsaverage=cKDTree(sphere).query(cortex.sphere)[1],
        from_fsaverage=near[:, 0],
    )


def native_atlas(atlas: Atlas, natives: dict[str, Native]) -> Atlas:
    """Bring an atlas from fsaverage to a subject's native surfaces."""
    labels = {h: atlas.labels[h][natives[h].from_fsaverage] for h in HEMISPHERES}
    return Atlas(labels, atlas.names, atlas.tail)


def make_volume(subject: str, natives: dict[str, Native], seed: int) -> Volume:
    """Carve the functional volume of a subject around the native surfaces."""
    random = random_generator(seed, "miniature", "volume", subject)
    scale = SHRINKING * random.uniform(0.98, 1.02, 3) / VOXEL_MM
    pial = np.vstack([natives[h].pial for h in HEMISPHERES]) * scale
    white = np.vstack([natives[h].white for h in HEMISPHERES]) * scale
    origin = pial.min(axis=0) - MARGIN
    x, y, z = (int(side) for side in np.ceil(pial.max(axis=0) - origin + MARGIN) + 1)
    coordinates = {name: pial + depth * (white - pial) - origin for name, depth in DEPTHS.items()}

    centres = np.stack(np.meshgrid(np.arange(x), np.arange(y), np.arange(z), indexing="ij"), axis=-1)
    distance, nearest = cKDTree(np.vstack(list(coordinates.values()))).query(
        centres.reshape(-1, 3), distance_upper_bound=RIBBON
    )
    ribbon = np.isfinite(distance).reshape(x, y, z)
    vertex = np.where(np.isfinite(distance), nearest % len(pial), -1)
    inside = ndimage.binary_fill_holes(ndimage.binary_closing(ribbon, iterations=2) | ribbon)
    brain = ndimage.binary_dilation(inside)
    mask = np.flatnonzero(brain.ravel(order="F"))
    return Volume((x, y, z), coordinates, mask, vertex.reshape(x, y, z).ravel(order="F")[mask])


def transform_coordinates(volume: Volume, natives: dict[str, Native], hemisphere: str, depth: str) -> np.ndarray:
    """Return what ``func1pt8-to-*`` holds for one hemisphere.

    Parameters
    ----------
    volume, natives
        The subject's anatomy.
    hemisphere
        ``lh`` or ``rh``.
    depth
        A key of `DEPTHS`.

    Returns
    -------
    numpy.ndarray
        (vertex, 3) 1-based decimal voxel coordinates. At the frontal pole some vertices are cut off by the field of
        view (9999), some lie exactly on its first or its last voxel.
    """
    start = 0 if hemisphere == "lh" else len(natives["lh"].sphere)
    points = volume.coordinates[depth][start : start + len(natives[hemisphere].sphere)] + 1
    frontal = np.argsort(-natives[hemisphere].pial[:, 1], kind="stable")
    points[frontal[:WITHOUT_DATA]] = NO_DATA
    edge = frontal[WITHOUT_DATA:]
    for axis in range(3):
        points[edge[axis], axis] = 1
        points[edge[AT_EDGE + axis], axis] = volume.shape[axis]
    return points
