"""The tiny study on somebody else's copy of NSD, and clones of it whose inputs can be damaged."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from running import TINY, command

# The miniature's own model is no part of somebody else's NSD.
LOCAL = yaml.safe_load(TINY.read_text()) | {
    "source": "local",
    "local": {"nsd": "nsd"},
    "models": ["caption", "categories", "random"],
}
del LOCAL["miniature"]

# Show $1 at $2 so that nobody can write there, prove it, and run the rest of the command.
READ_ONLY_MOUNT = (
    'mount --bind "$1" "$2" && mount -o remount,bind,ro "$2" || exit 98; '
    'touch "$2/probe" 2>/dev/null && exit 99; shift 2; exec "$@"'
)
# Root may write everywhere unless it gives up these.
WITHOUT_POWERS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.geteuid() == 0 else []


def in_mount_namespace() -> list[str] | None:
    """Return the command that lets another mount file systems which only it sees; None where that is not allowed."""
    command = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount"]
    script = 'mount -t tmpfs -o size=1m none "$0"'
    try:
        tried = subprocess.run([*command, "sh", "-c", script, "/mnt"], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return command if tried.returncode == 0 else None


def of_somebody_else(nsd: Path, shown: Path) -> tuple[str, list[str]]:
    """Make a folder with NSD seen at ``shown``, where the study cannot write.

    Returns
    -------
    way : str
        ``read-only mount``, or where no mounts are allowed ``no permission``: a copy whose files and folders nobody may write.
    command : list of str
        What has to stand before a command that is to see the folder so.
    """
    namespace = in_mount_namespace()
    if namespace is not None:
        shown.mkdir()
        return "read-only mount", [*namespace, "sh", "-c", READ_ONLY_MOUNT, "sh", str(nsd), str(shown)]
    shutil.copytree(nsd, shown)
    for path in [shown, *shown.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    script = 'touch "$1/probe" 2>/dev/null && exit 99; shift; exec "$@"'
    return "no permission", [*WITHOUT_POWERS, "sh", "-c", script, "sh", str(shown)]


def snakemake(folder: Path, *arguments: str, config: dict[str, Any], before: list[str] | None = None) -> list[str]:
    """Return the command that runs the study with a configuration in a folder, and write the configuration there."""
    overlay = folder / "study.yaml"
    overlay.write_text(yaml.safe_dump(config), encoding="utf-8")
    return [*(before or []), *command(folder, None), *arguments, "--configfile", str(overlay)]


def run(words: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def identities(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """Mode, size, time and content of everything in a folder."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.stat()
        digest = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[path.relative_to(folder).as_posix()] = (stat.st_mode, stat.st_size, stat.st_mtime_ns, digest)
    return found


@dataclass(frozen=True)
class LocalStudy:
    """A finished study on a copy of NSD that it could not write to.

    Attributes
    ----------
    folder
        Where it ran.
    nsd
        The copy, where its owner has it.
    way
        Why it could not be written to, see `of_somebody_else`.
    seen_by
        What has to stand before a command that is to see the copy, in ``folder/nsd``.
    before, after
        `identities` of the copy before and after the run.
    """

    folder: Path
    nsd: Path
    way: str
    seen_by: list[str]
    before: dict[str, tuple[int, int, int, str]]
    after: dict[str, tuple[int, int, int, str]]


@pytest.fixture(scope="session")
def local_study(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalStudy:
    """The tiny study's NSD read in place by a study of its own. Tests read it and do not change it."""
    folder, nsd = tmp_path_factory.mktemp("local"), tiny_study / "resources/nsd"
    shutil.copytree(tiny_study / "resources/sentence_vectors", folder / "resources/sentence_vectors")
    way, seen_by = of_somebody_else(nsd, folder / "nsd")
    theirs = nsd if way == "read-only mount" else folder / "nsd"
    before = identities(theirs)
    done = run(snakemake(folder, config=LOCAL, before=seen_by))
    assert done.returncode == 0, (way, done.returncode, done.stderr[-4000:])
    return LocalStudy(folder=folder, nsd=theirs, way=way, seen_by=seen_by, before=before, after=identities(theirs))


@dataclass(frozen=True)
class Clone:
    """A finished study whose inputs can be damaged: a folder of hard links, in which files are replaced and never written to."""

    folder: Path

    def nsd(self, key: str) -> Path:
        return self.folder / "nsd" / key

    def path(self, name: str) -> Path:
        return self.folder / name

    def change(self, key: str, change: Callable[[bytes], bytes]) -> None:
        """Replace the content of a file of NSD."""
        replace(self.nsd(key), change(self.nsd(key).read_bytes()))

    def change_table(self, key: str, change: Callable[[pd.DataFrame], Any], sep: str) -> None:
        """Replace a table of NSD; cells are text."""
        table = pd.read_csv(self.nsd(key), sep=sep, dtype=str, keep_default_na=False)
        changed = change(table)
        table = table if changed is None else changed
        table = table.rename(columns={"Unnamed: 0": ""})
        replace(self.nsd(key), table.to_csv(sep=sep, index=False).encode())

    def change_json(self, key: str, change: Callable[[Any], Any]) -> None:
        content = json.loads(self.nsd(key).read_text(encoding="utf-8"))
        change(content)
        replace(self.nsd(key), json.dumps(content, ensure_ascii=False).encode())

    def change_vertices(self, key: str, change: Callable[[np.ndarray], np.ndarray | None]) -> None:
        """Replace the values of vertices, (..., vertex), of an mgh or mgz file of NSD."""
        packed = key.endswith(".mgz")
        content = self.nsd(key).read_bytes()
        content = gzip.decompress(content) if packed else content
        image = nibabel.freesurfer.MGHImage.from_bytes(content)
        start, values = image.header.get_data_offset(), np.asarray(image.dataobj)
        new = values.astype(values.dtype.newbyteorder("="))
        changed = change(new)
        new = new if changed is None else changed
        assert new.shape == values.shape
        raw = new.astype(values.dtype).tobytes(order="F")
        content = content[:start] + raw + content[start + len(raw) :]
        replace(self.nsd(key), gzip.compress(content, 1) if packed else content)


def replace(path: Path, content: bytes) -> None:
    """Give a file another content without writing to what other folders have under the same inode."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def clone_study(study: LocalStudy, folder: Path) -> Clone:
    """Clone a finished study by hard links; what Snakemake and jobs write in place is copied."""
    folder.mkdir()
    for name in ("results", "resources"):
        shutil.copytree(study.folder / name, folder / name, copy_function=os.link)
    for name in ("logs", "benchmarks", ".snakemake"):
        shutil.copytree(study.folder / name, folder / name)
    shutil.copytree(study.nsd, folder / "nsd", copy_function=os.link)
    for path in [folder / "nsd", *(folder / "nsd").rglob("*/")]:
        path.chmod(0o755)
    return Clone(folder)
