"""The fsaverage of the miniature: surfaces for figures and the atlases that all subjects share."""

from pathlib import Path

import numpy as np

from capcortex.nsd import layout
from capcortex.nsd.layout import HEMISPHERES
from capcortex.nsd.miniature.atlas import Atlas, common_atlases
from capcortex.nsd.miniature.formats import write_ctab, write_mgh, write_morphology, write_surface
from capcortex.nsd.miniature.mesh import load_cortex


def write_atlas(root: Path, owner: str, name: str, atlas: Atlas) -> None:
    """Write an atlas's labels of both hemispheres and the names of its labels.

    Parameters
    ----------
    root
        Folder that holds NSD's tree.
    owner
        ``fsaverage`` or a subject.
    name
        Of the atlas, for example ``streams``.
    atlas
        Labels over the vertices of ``owner``.
    """
    for hemisphere, labels in atlas.labels.items():
        write_mgh(root / layout.surface_label(owner, hemisphere, name), labels[None].astype(np.float32))
    write_ctab(root / layout.label_names(owner, name), atlas.names, tail=atlas.tail)


def write_fsaverage(root: str | Path, *, seed: int) -> None:
    """Write surfaces and atlases of fsaverage, which in the miniature has fsaverage5's 10,242 vertices a hemisphere.

    Parameters
    ----------
    root
        Folder that holds NSD's tree.
    seed
        Seed of the study; it shifts the borders of the regions a little.
    """
    root = Path(root)
    for hemisphere in HEMISPHERES:
        cortex = load_cortex(hemisphere)
        for name in ("white", "pial", "inflated", "sphere"):
            write_surface(root / layout.surface("fsaverage", hemisphere, name), getattr(cortex, name), cortex.faces)
        for name in ("sulc", "curv"):
            write_morphology(root / layout.surface("fsaverage", hemisphere, name), getattr(cortex, name))
    for name, atlas in common_atlases(seed).items():
        write_atlas(root, "fsaverage", name, atlas)
