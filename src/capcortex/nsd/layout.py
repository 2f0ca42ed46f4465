"""Where NSD keeps its files: every key of the bucket that the study reads, spelled once.

Keys are relative to the root of the bucket, of a local copy or of the miniature, which all share one layout.
Subjects are ``subj01`` .. ``subj08``; sessions count from 1; hemispheres are ``lh`` and ``rh``.
"""

HEMISPHERES = ("lh", "rh")
SPACES = ("fsaverage", "func1pt8mm")
"""Spaces in which the study analyses betas: the common surface, and each subject's functional volume."""

DEPTHS = ("layerB1", "layerB2", "layerB3")
"""Surfaces at 25, 50 and 75 % of the cortex's thickness from the pial surface; maps are sampled at all three."""

SPLITS = ("train2017", "val2017")
ATLASES = ("streams", "nsdgeneral", "Kastner2015", "HCP_MMP1", "corticalsulc")
"""Atlases on fsaverage that the miniature has."""

SUBJECT_ATLASES = ("prf-visualrois", "prf-eccrois", "floc-faces", "floc-bodies", "floc-places", "floc-words")
"""Atlases that are mapped in each subject alone; on surfaces they are found on the native ones only."""

BETAS_VERSIONS = ("betas_assumehrf", "betas_fithrf", "betas_fithrf_GLMdenoise_RR")

EXPERIMENT_DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIMULUS_TABLE = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
IMAGE_BRICK = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
SHARED_PICTURES = "nsddata/stimuli/nsd/shared1000"
ANNOTATIONS = "nsddata_stimuli/stimuli/nsd/annotations"
ANNOTATIONS_ARCHIVE = f"{ANNOTATIONS}/annotations_trainval2017.zip"
"""COCO's archive of the annotations. It is not in NSD's bucket; unpacked, its files lie beside it."""


def responses(subject: str) -> str:
    """Trials of a subject in the order in which they happened."""
    return f"nsddata/ppdata/{subject}/behav/responses.tsv"


def annotations(kind: str, split: str) -> str:
    """COCO annotations: ``kind`` is ``captions`` or ``instances``, ``split`` is ``train2017`` or ``val2017``."""
    return f"{ANNOTATIONS}/{kind}_{split}.json"


def shared_picture(position: int, id73k: int) -> str:
    """Picture of the shared image at a 1-based position, 1-based 73k id."""
    return f"{SHARED_PICTURES}/shared{position:04d}_nsd{id73k:05d}.png"


def betas_folder(subject: str, space: str, version: str) -> str:
    """Folder of the betas; ``space`` is ``func1pt8mm``, ``nativesurface`` or ``fsaverage``."""
    return f"nsddata_betas/ppdata/{subject}/{space}/{version}"


def volume_betas(subject: str, version: str, session: int, *, suffix: str = "nii.gz") -> str:
    """Volume betas of a session; ``suffix`` is ``nii.gz`` or ``hdf5``."""
    return f"{betas_folder(subject, 'func1pt8mm', version)}/betas_session{session:02d}.{suffix}"


def native_betas(subject: str, version: str, session: int, hemisphere: str) -> str:
    """Betas of a session on a hemisphere's native surface (hdf5)."""
    return f"{betas_folder(subject, 'nativesurface', version)}/{hemisphere}.betas_session{session:02d}.hdf5"


def surface_betas(subject: str, version: str, session: int, hemisphere: str) -> str:
    """Betas of a session on a hemisphere of fsaverage (mgh)."""
    return f"{betas_folder(subject, 'fsaverage', version)}/{hemisphere}.betas_session{session:02d}.mgh"


def volume_ncsnr(subject: str, version: str) -> str:
    """Noise-ceiling signal-to-noise ratio of each voxel."""
    return f"{betas_folder(subject, 'func1pt8mm', version)}/ncsnr.nii.gz"


def surface_ncsnr(subject: str, version: str, space: str, hemisphere: str) -> str:
    """Noise-ceiling signal-to-noise ratio of each vertex (``space``: ``fsaverage`` or ``nativesurface``)."""
    return f"{betas_folder(subject, space, version)}/{hemisphere}.ncsnr.mgh"


def volume_file(subject: str, name: str) -> str:
    """Volume in func1pt8mm, for example ``brainmask``, ``mean``, ``valid_session01``, ``roi/streams``."""
    return f"nsddata/ppdata/{subject}/func1pt8mm/{name}.nii.gz"


def transform(subject: str, hemisphere: str, name: str) -> str:
    """Surface transform, for example ``func1pt8-to-layerB1`` or ``white-to-fsaverage``."""
    return f"nsddata/ppdata/{subject}/transforms/{hemisphere}.{name}.mgz"


def surface(owner: str, hemisphere: str, name: str) -> str:
    """FreeSurfer surface file; ``owner`` is ``fsaverage`` or a subject."""
    return f"nsddata/freesurfer/{owner}/surf/{hemisphere}.{name}"


def surface_label(owner: str, hemisphere: str, atlas: str) -> str:
    """Label of each vertex of an atlas; ``owner`` is ``fsaverage`` or a subject."""
    return f"nsddata/freesurfer/{owner}/label/{hemisphere}.{atlas}.mgz"


def label_names(owner: str, atlas: str) -> str:
    """Names of an atlas's labels (ctab)."""
    return f"nsddata/freesurfer/{owner}/label/{atlas}.mgz.ctab"
