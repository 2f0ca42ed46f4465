"""Files that the study reads and no rule makes: checked before planning, with what to change where some are not there.

Partial copies of NSD are normal. A message about missing files says which kinds are missing and which config key does
without them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from capcortex.config import Study

KINDS = {
    "surface betas and their ncsnr": r"nsddata_betas/.*/(fsaverage|nativesurface)/",
    "volume betas and their ncsnr": r"nsddata_betas/.*/func1pt8mm/",
    "brain masks and other volumes": r"nsddata/ppdata/subj../func1pt8mm/",
    "transforms to surfaces": r"/transforms/",
    "labels of regions and their names": r"/label/",
    "images, trials and captions": r"",
}
"""What NSD's files hold, by the first pattern that their key fits."""

NO_MAPS = "searchlight: {models: [], contrasts: []}"
ONE_VERSION = "multiverse: {betas_versions: []}"


def require_files(files: Mapping[str, str], study: Study) -> None:
    """Check that files which no rule makes are there, before Snakemake plans with them.

    Snakemake takes a result whose input is missing, and which nothing could make anew, for finished; a wrong path would
    pass unseen as long as older results lie about.

    Parameters
    ----------
    files
        For each path, where it is named.
    study
        Says which config keys need the files of NSD.

    Raises
    ------
    FileNotFoundError
        Naming the first missing file, where it is named, and how many are missing; and of NSD's files, which kinds, of
        which subjects, and what does without them.
    """
    missing = [path for path in files if not Path(path).exists()]
    if not missing:
        return
    first = (
        f"{missing[0]} does not exist; it is named by {files[missing[0]]} "
        f"({len(missing)} of {len(files)} files are missing)"
    )
    root = f"{study.nsd_root}/"
    keys, gone = ([path.removeprefix(root) for path in paths if path.startswith(root)] for paths in (files, missing))
    raise FileNotFoundError("\n".join([first, *(f"  {line}" for line in describe_missing(keys, gone, study))]))


def describe_missing(keys: Sequence[str], gone: Sequence[str], study: Study) -> list[str]:
    """Say in a few lines which of NSD's files are missing, and what does without them.

    Parameters
    ----------
    keys
        All files that the study reads of NSD, relative to its root.
    gone
        Those that are missing.
    study
        The study that reads them.
    """
    if gone and len(gone) == len(keys):
        return [f"none of NSD's files is in {study.nsd_root}: is it the folder that holds nsddata and nsddata_betas?"]
    lines = []
    others = {key for key in keys if _version(key) not in {"", study.config["betas_version"]}}
    if others & set(gone):
        lines.append(
            f"betas of other versions, for the multiverse: {len(others & set(gone))}; not needed with {ONE_VERSION}"
        )
    keys, gone = ([key for key in some if key not in others] for some in (keys, gone))
    wanted_of = {name: set(_of_subject(keys, name)) for name in study.subject_names}
    absent = [name for name, wanted in wanted_of.items() if wanted and wanted <= set(gone)]
    if absent and len(absent) < len(study.subject_names):
        lines.append(f"{', '.join(absent)}: all files; config key subjects can leave them out")
        gone = [key for key in gone if not any(f"/{name}/" in key for name in absent)]
    for kind in KINDS:
        here, wanted = ([key for key in some if _kind(key) == kind] for some in (gone, keys))
        if not here:
            continue
        whose = [name for name in study.subject_names if _of_subject(here, name)]
        last = {name: _last_session(_of_subject(wanted, name), here) for name in whose}
        of = f", of {', '.join(whose)}" if whose and len(whose) < len(study.subject_names) else ""
        lines.append(f"{kind}: {len(here)} of {len(wanted)}{of}{_instead(kind, study)}")
        lines += [
            f"  {name} has sessions 1 to {session}: say so in the column sessions of {study.config['subjects_table']}"
            for name, session in last.items()
            if session
        ]
    return lines


def _of_subject(keys: Sequence[str], subject: str) -> list[str]:
    return [key for key in keys if f"/{subject}/" in key]


def _version(key: str) -> str:
    """Version of a file of betas; empty for other files."""
    found = re.search(r"^nsddata_betas/.*/(betas_[^/]+)/", key)
    return found[1] if found else ""


def _kind(key: str) -> str:
    return next(kind for kind, pattern in KINDS.items() if re.search(pattern, key))


def _last_session(keys: Sequence[str], gone: Sequence[str]) -> int:
    """Last session of a subject's betas, if they are there from the first on and missing after it; otherwise 0."""
    sessions = {key: int(found[1]) for key in keys if (found := re.search(r"betas_session(\d\d)\.", key))}
    lost = {session for key, session in sessions.items() if key in gone}
    there = set(sessions.values()) - lost
    return max(there) if there and lost and max(there) < min(lost) else 0


def _instead(kind: str, study: Study) -> str:
    """Config keys with which the study does not read a kind of files."""
    maps = bool(study.config["searchlight"]["models"])
    on_surface = study.config["roi_space"] == "fsaverage"
    native_betas = study.config["surface_betas"] == "nativesurface"
    native = native_betas or any(study.on_native_surface(atlas) for atlas in study.config["rois"])
    if kind.startswith("surface betas"):
        other = "fsaverage" if native_betas else "nativesurface"
        return f"; not needed with roi_space: func1pt8mm; surface_betas: {other} reads other files"
    elif kind.startswith(("volume betas", "brain masks")):
        keys = [NO_MAPS] * maps + ["roi_space: fsaverage"] * (not on_surface)
    elif kind.startswith("transforms"):
        keys = [NO_MAPS] * maps + ["roi_space: func1pt8mm"] * (on_surface and native)
    else:
        return ""
    return f"; not needed with {' and '.join(keys)}"
