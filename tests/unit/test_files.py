"""Whole or absent: what is left when a writer ends well, fails, or is killed."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from capcortex.files import atomic_path, remedy, remove_partial_files

KILLED = """
import os, signal, sys
from capcortex.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half of")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_file_appears_whole_in_a_folder_made_for_it(tmp_path):
    final = tmp_path / "new" / "folder" / "table.tsv"
    with atomic_path(final) as temporary:
        temporary.write_text("all")
        assert not final.exists()
    assert final.read_text() == "all"
    assert list(final.parent.iterdir()) == [final]


def test_temporary_name_keeps_suffixes_and_folder(tmp_path):
    with atomic_path(tmp_path / "lh.a.nii.gz") as temporary:
        assert temporary.suffixes[-2:] == [".nii", ".gz"]
        assert temporary.parent == tmp_path  # os.replace is atomic within one file system alone
        temporary.touch()


def test_exception_leaves_nothing(tmp_path):
    def fail():
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half of")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_exception_keeps_the_former_file(tmp_path):
    final = tmp_path / "a.txt"
    final.write_text("former")

    def fail():
        with atomic_path(final) as temporary:
            temporary.write_text("half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert final.read_text() == "former"
    assert list(tmp_path.iterdir()) == [final]


def test_killed_writer_leaves_nothing_under_the_final_name(tmp_path, run_python):
    final = tmp_path / "a.txt"
    result = run_python(KILLED, final)
    assert result.returncode == -signal.SIGKILL
    assert not final.exists()
    left = list(tmp_path.iterdir())
    assert [path.read_text() for path in left] == ["half of"]  # it did write, under another name


def test_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass


def test_two_processes_do_not_share_a_temporary_name(tmp_path, run_python):
    with atomic_path(tmp_path / "a.txt") as temporary:
        code = "import sys; from capcortex.files import atomic_path\n"
        code += "with atomic_path(sys.argv[1]) as t: print(t.name, end=''); t.touch()"
        assert run_python(code, tmp_path / "a.txt").stdout != temporary.name
        temporary.write_text("mine")
    assert Path(tmp_path / "a.txt").read_text() == "mine"
    assert str(os.getpid()) in temporary.name


@pytest.mark.parametrize("absolute", [False, True])
def test_remedy_removes_what_the_study_made_and_nothing_else(tmp_path, monkeypatch, absolute):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    here = tmp_path if absolute else Path()
    assert f"rm '{here / 'results/a.nc'}'" in remedy(here / "results/a.nc")
    assert "rm '" not in remedy(here / "elsewhere/a.nc")
    assert "rm '" not in remedy(here / "my/results/a.nc")


WRITE_4_MB = """
import os, sys
import numpy as np
import pandas as pd
import xarray as xr
from capcortex.arrays import write_array
from capcortex.files import atomic_path
from capcortex.tables import write_table

def write_bytes(path):
    with atomic_path(path) as temporary:
        temporary.write_bytes(bytes(4 * 2**20))

def write_netcdf(path):
    write_array(xr.DataArray(np.zeros((1024, 512)), dims=("a", "b"), name="x"), path)

def write_text(path):
    write_table(pd.DataFrame({"x": np.arange(4e5)}), path)

try:
    globals()[sys.argv[1]](sys.argv[2])
except OSError as error:
    print(error, flush=True)
os._exit(0)  # HDF5 crashes when it is taken down after a write that failed
"""


@pytest.mark.parametrize("write", ["write_bytes", "write_netcdf", "write_text"])
def test_a_full_disk_is_named_and_leaves_the_former_file(small_disk, write, run_python):
    final = small_disk / "folder/a.nc"
    with atomic_path(final) as temporary:
        temporary.write_text("former")
    said = run_python(WRITE_4_MB, write, final).stdout
    expected = (
        rf"No space left on device to write {final}: .* of 1\.0 MB are free in {final.parent}; .*run snakemake again"
    )
    assert re.search(expected, said)
    assert final.read_text() == "former"
    assert list(final.parent.iterdir()) == [final]


def test_a_folder_that_cannot_be_written_to_is_named(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for final in (small_disk / "a.txt", small_disk / "new/a.txt"):
        with (
            pytest.raises(OSError, match=rf"{final} cannot be written .*permission to write to {final.parent}"),
            atomic_path(final) as temporary,
        ):
            temporary.touch()


def test_an_input_that_cannot_be_read_is_not_called_unwritable(tmp_path):
    def fail():
        with atomic_path(tmp_path / "a.txt"):
            raise PermissionError(13, "Permission denied", str(tmp_path / "input.txt"))

    with pytest.raises(PermissionError, match=r"input\.txt"):
        fail()


def test_partial_files_are_removed_and_nothing_else(tmp_path, monkeypatch, run_python):
    monkeypatch.chdir(tmp_path)
    for final in ("results/deep/a.nc", "resources/b.nc"):
        run_python(KILLED, final)
    kept = [Path("results/deep/partial.nc"), Path("elsewhere/.partial-1-c.nc")]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert len(remove_partial_files()) == 2
    assert sorted(path for path in Path().rglob("*") if path.is_file()) == sorted(kept)
    assert remove_partial_files() == []


def test_a_job_whose_partial_file_was_removed_fails(tmp_path, monkeypatch):
    """It was left behind by a killed Snakemake, and another job now makes the same file."""
    monkeypatch.chdir(tmp_path)

    def orphan():
        with atomic_path("results/a.txt") as temporary:
            temporary.write_text("orphan")
            remove_partial_files()

    with pytest.raises(FileNotFoundError):
        orphan()
    assert not Path("results/a.txt").exists()
