"""Whole or absent: what is left when a writer ends well, fails, or is killed."""

import os
import signal
from pathlib import Path

import pytest

from capcortex.files import atomic_path, remedy

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
