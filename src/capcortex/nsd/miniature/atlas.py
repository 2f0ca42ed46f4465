"""Regions of the miniature's cortex, drawn geometrically on fsaverage5.

A region is what lies nearest to its seed points, within a radius. The seeds are points of MNI space at which the real
region lies, roughly; on the right hemisphere they are mirrored. The study's seed shifts them a little.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from capcortex.nsd.layout import HEMISPHERES
from capcortex.nsd.miniature.mesh import load_cortex
from capcortex.seeds import random_generator

Point = tuple[float, float, float]
MEDIAL_WALL_MM = 0.1  # cortex thinner than this is no cortex
SHIFT_MM = 1.5

STREAMS: list[tuple[str, float, list[Point]]] = [
    ("early", 13.5, [(-10, -97, 0), (-8, -84, 0), (-12, -72, 6)]),
    ("midventral", 15.5, [(-26, -80, -12), (-36, -76, -16)]),
    ("midlateral", 16, [(-32, -90, 4), (-38, -82, 0)]),
    ("midparietal", 15, [(-20, -90, 24), (-26, -82, 28)]),
    ("ventral", 13.5, [(-32, -60, -14), (-40, -50, -18), (-30, -44, -12), (-46, -62, -14)]),
    ("lateral", 15, [(-46, -74, 4), (-52, -64, 10), (-52, -68, -4)]),
    ("parietal", 11, [(-24, -70, 42), (-30, -58, 50), (-20, -62, 56)]),
]
KASTNER: list[tuple[str, Point]] = [
    ("V1v", (-8, -84, -4)), ("V1d", (-9, -92, 5)), ("V2v", (-12, -76, -8)), ("V2d", (-14, -98, 12)),
    ("V3v", (-18, -76, -11)), ("V3d", (-20, -95, 16)), ("hV4", (-27, -80, -13)), ("VO1", (-26, -68, -9)),
    ("VO2", (-26, -60, -9)), ("PHC1", (-27, -52, -8)), ("PHC2", (-29, -44, -10)), ("TO2", (-47, -68, 6)),
    ("TO1", (-44, -76, 5)), ("LO2", (-38, -84, 4)), ("LO1", (-31, -90, 6)), ("V3B", (-28, -86, 18)),
    ("V3A", (-18, -89, 26)), ("IPS0", (-25, -80, 32)), ("IPS1", (-22, -73, 42)), ("IPS2", (-20, -66, 52)),
    ("IPS3", (-24, -60, 56)), ("IPS4", (-28, -54, 54)), ("IPS5", (-32, -48, 52)), ("SPL1", (-10, -62, 58)),
    ("FEF", (-32, -6, 52)),
]  # fmt: skip
FLOC: dict[str, list[tuple[str, Point]]] = {
    "floc-faces": [
        ("OFA", (-42, -76, -10)), ("FFA-1", (-40, -56, -18)), ("FFA-2", (-40, -44, -20)),
        ("mTL-faces", (-38, -24, -24)), ("aTL-faces", (-34, -8, -34)),
    ],
    "floc-bodies": [
        ("EBA", (-48, -74, 4)), ("FBA-1", (-44, -52, -18)), ("FBA-2", (-42, -40, -20)), ("mTL-bodies", (-40, -20, -26)),
    ],
    "floc-places": [("OPA", (-30, -84, 22)), ("PPA", (-28, -48, -10)), ("RSC", (-14, -56, 10))],
    "floc-words": [
        ("OWFA", (-36, -82, -12)), ("VWFA-1", (-46, -60, -14)), ("VWFA-2", (-46, -48, -18)),
        ("mfs-words", (-38, -34, -20)), ("mTL-words", (-44, -24, -22)),
    ],
}  # fmt: skip
SULCI: list[tuple[str, Point]] = [
    ("CalcS", (-12, -76, 6)), ("CoS", (-28, -58, -8)), ("OTS", (-46, -52, -16)), ("POS", (-14, -64, 22)),
    ("IPS", (-30, -58, 44)), ("STS", (-52, -44, 8)), ("CS", (-38, -24, 50)),
]  # fmt: skip
ECCENTRICITIES = ["ecc0pt5", "ecc1", "ecc2", "ecc4", "ecc4+"]
ECCENTRICITY_BORDERS_MM = (9, 13, 18, 24)
POLE: Point = (-12, -100, 0)
KNOWN_PARCELS: dict[int, tuple[str, Point]] = {
    18: ("FFC", (-42, -50, -20)), 126: ("PHA1", (-24, -32, -16)), 127: ("PHA3", (-34, -34, -18)),
    133: ("TE1p", (-60, -34, -16)), 136: ("TE2p", (-50, -46, -20)), 154: ("VMV3", (-28, -62, -8)),
    155: ("PHA2", (-30, -40, -12)), 160: ("VMV2", (-24, -66, -6)), 163: ("VVC", (-34, -56, -14)),
}  # fmt: skip
PARCELS = 180
KASTNER_TAIL = "\t    "  # NSD's Kastner2015 and prf files end every line with a tab and blanks


class Atlas(NamedTuple):
    """Labels of every vertex and their names.

    ``labels`` holds per hemisphere (vertex,) integers: 0 unlabelled, 1 for the first of ``names``, and so on. ``tail``
    is what ends each line of the file of names.
    """

    labels: dict[str, np.ndarray]
    names: list[str]
    tail: str = ""


def _seeds(points: list[Point], hemisphere: str, random: np.random.Generator) -> np.ndarray:
    seeds = np.asarray(points, float) + random.uniform(-SHIFT_MM, SHIFT_MM, (len(points), 3))
    return seeds * ((1, 1, 1) if hemisphere == "lh" else (-1, 1, 1))


def _nearest(hemisphere: str, seeds: np.ndarray, owners: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    """Label each vertex with the owner of the nearest seed within ``radius`` mm (of each seed), 0 elsewhere."""
    cortex = load_cortex(hemisphere)
    distance, seed = cKDTree(seeds).query(cortex.middle)
    reach = np.broadcast_to(radius, (len(seeds),))[seed]
    return np.where((distance <= reach) & (cortex.thickness > MEDIAL_WALL_MM), owners[seed], 0)


def _discs(regions: list[tuple[str, Point]], radius: float, random: np.random.Generator, *, tail: str = "") -> Atlas:
    owners = np.arange(len(regions)) + 1
    labels = {h: _nearest(h, _seeds([point for _, point in regions], h, random), owners, radius) for h in HEMISPHERES}
    return Atlas(labels, [name for name, _ in regions], tail)


def _streams(random: np.random.Generator) -> Atlas:
    points = [point for _, _, seeds in STREAMS for point in seeds]
    owners = np.repeat(np.arange(len(STREAMS)) + 1, [len(seeds) for _, _, seeds in STREAMS])
    radius = np.repeat([reach for _, reach, _ in STREAMS], [len(seeds) for _, _, seeds in STREAMS]).astype(float)
    labels = {h: _nearest(h, _seeds(points, h, random), owners, radius) for h in HEMISPHERES}
    return Atlas(labels, [name for name, _, _ in STREAMS])


def _around(streams: Atlas) -> Atlas:
    """Return ``nsdgeneral``: all streams and the vertices next to them."""
    labels = {}
    for hemisphere, inside in streams.labels.items():
        faces = load_cortex(hemisphere).faces
        covered = inside > 0
        covered[faces[covered[faces].any(axis=1)]] = True
        covered[load_cortex(hemisphere).thickness <= MEDIAL_WALL_MM] = False
        labels[hemisphere] = covered.astype(int)
    return Atlas(labels, ["nsdgeneral"])


def _sulci(random: np.random.Generator) -> Atlas:
    drawn = _discs(SULCI, 22, random)
    labels = {h: np.where(load_cortex(h).sulc > 0, drawn.labels[h], 0) for h in HEMISPHERES}
    return Atlas(labels, drawn.names)


def _parcels(random: np.random.Generator) -> Atlas:
    """Return a parcellation with HCP_MMP1's number of labels, and its names where these are known.

    Seeds are spread over the sphere one by one, each as far as can be from those before; the known parcels are those
    that lie nearest to where they should.
    """
    labels = {}
    for hemisphere in HEMISPHERES:
        cortex = load_cortex(hemisphere)
        within = np.flatnonzero(cortex.thickness > MEDIAL_WALL_MM)
        sphere = cortex.sphere[within]
        chosen = [int(random.integers(len(within)))]
        distance = np.linalg.norm(sphere - sphere[chosen[0]], axis=1)
        while len(chosen) < PARCELS:
            chosen.append(int(distance.argmax()))
            distance = np.minimum(distance, np.linalg.norm(sphere - sphere[chosen[-1]], axis=1))
        centres = cortex.middle[within[chosen]]
        numbers = np.zeros(PARCELS, int)
        for number, (_, (x, y, z)) in KNOWN_PARCELS.items():
            away = np.linalg.norm(centres - ((x if hemisphere == "lh" else -x), y, z), axis=1)
            numbers[np.where(numbers == 0, away, np.inf).argmin()] = number
        numbers[numbers == 0] = np.setdiff1d(np.arange(PARCELS) + 1, list(KNOWN_PARCELS))
        labels[hemisphere] = np.zeros(len(cortex.thickness), int)
        labels[hemisphere][within] = numbers[cKDTree(sphere[chosen]).query(sphere)[1]]
    names = [KNOWN_PARCELS[n][0] if n in KNOWN_PARCELS else f"parcel-{n:03d}" for n in range(1, PARCELS + 1)]
    return Atlas(labels, names)


def _eccentricity(visual: Atlas) -> Atlas:
    """Return bands around the occipital pole within the visual areas."""
    labels = {}
    for hemisphere, areas in visual.labels.items():
        pole = np.asarray(POLE) * ((1, 1, 1) if hemisphere == "lh" else (-1, 1, 1))
        distance = np.linalg.norm(load_cortex(hemisphere).middle - pole, axis=1)
        labels[hemisphere] = np.where(areas > 0, np.digitize(distance, ECCENTRICITY_BORDERS_MM) + 1, 0)
    return Atlas(labels, ECCENTRICITIES, visual.tail)


def common_atlases(seed: int) -> dict[str, Atlas]:
    """Return the atlases that NSD gives on fsaverage, by name: labels of fsaverage5 vertices."""
    streams = _streams(random_generator(seed, "miniature", "atlas", "streams"))
    return {
        "streams": streams,
        "nsdgeneral": _around(streams),
        "Kastner2015": _discs(
            KASTNER, 8, random_generator(seed, "miniature", "atlas", "Kastner2015"), tail=KASTNER_TAIL
        ),
        "HCP_MMP1": _parcels(random_generator(seed, "miniature", "atlas", "HCP_MMP1")),
        "corticalsulc": _sulci(random_generator(seed, "miniature", "atlas", "corticalsulc")),
    }


def personal_atlases(seed: int, subject: str) -> dict[str, Atlas]:
    """Return the regions that NSD maps in each subject alone, by name, still on fsaverage5 vertices."""
    visual = _discs(KASTNER[:7], 9, random_generator(seed, "miniature", "atlas", subject, "prf"), tail=KASTNER_TAIL)
    atlases = {"prf-visualrois": visual, "prf-eccrois": _eccentricity(visual)}
    for name, regions in FLOC.items():
        atlases[name] = _discs(regions, 7, random_generator(seed, "miniature", "atlas", subject, name))
    return atlases
