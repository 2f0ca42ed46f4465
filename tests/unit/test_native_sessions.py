"""Surface sessions from native surfaces: the z-scores of NSD's fsaverage files but for rounding; damaged files; memory."""

import logging
import re

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capcortex.arrays import open_array
from capcortex.nsd import sessions as module
from capcortex.nsd.miniature import formats
from capcortex.nsd.sessions import (
    Z_STEP,
    extract_session,
    native_extraction_memory_mb,
    native_surface_session,
    surface_session,
)

HEMISPHERES = ("lh", "rh")
N_TRIALS = 30
N_FSAVERAGE, N_NATIVE = 60, {"lh": 37, "rh": 52}  # unequal, so that a swap shows
STEP = 1 / 300  # per cent signal change
MISSING, CONSTANT = 4, 9  # native vertices of both hemispheres


def draw_index(rng, n_native, n_fsaverage=N_FSAVERAGE):
    """0-based native vertices, some of them never and some often, the last one among them."""
    drawn = rng.choice(n_native, n_native // 2, replace=False)
    index = rng.choice(drawn, n_fsaverage)
    index[rng.permutation(n_fsaverage)[:3]] = n_native - 1, MISSING, CONSTANT
    return index


def draw_betas(rng, n_native):
    """Per cent signal change (trial, native vertex) of very different scale and mean; one vertex varies in no trial."""
    betas = rng.normal(0, 5, n_native) + 10 ** rng.uniform(-1.3, 1, n_native) * rng.standard_normal(
        (N_TRIALS, n_native)
    )
    betas[:, CONSTANT] = 3.25
    return betas


def write_hdf5(path, stored):
    """Write int16 (trial, vertex) as NSD does, a chunk for each vertex."""
    units = (((vertex,), stored[:, vertex].astype("<i2").tobytes()) for vertex in range(stored.shape[1]))
    formats.write_hdf5_betas(path, stored.shape, units)


def write(folder, betas, indices):
    """Write a session on native surfaces and on fsaverage; `betas` and 0-based `indices` by hemisphere."""
    for hemisphere in HEMISPHERES:
        values, index = betas[hemisphere], indices[hemisphere]
        stored = formats.to_int16(values)
        stored[:, MISSING] = 0
        write_hdf5(folder / f"{hemisphere}.betas_session01.hdf5", stored)
        formats.write_mgh(folder / f"{hemisphere}.white-to-fsaverage.mgz", (index[None] + 1).astype(np.float32))
        common = values[:, index].astype(np.float32)
        common[:, index == MISSING] = np.nan
        formats.write_mgh(folder / f"{hemisphere}.betas_session01.mgh", common)


def trials_of(n_trials):
    return pd.DataFrame({"id73k": np.arange(n_trials) // 3 + 5, "showings": 3})


def extract(folder, suffix, n_trials=N_TRIALS):
    files = [folder / f"{hemisphere}.betas_session01.{suffix}" for hemisphere in HEMISPHERES]
    if suffix == "hdf5":
        indices = [folder / f"{hemisphere}.white-to-fsaverage.mgz" for hemisphere in HEMISPHERES]
        raw = native_surface_session(files, indices, n_trials)
    else:
        raw = surface_session(files, n_trials)
    extract_session(raw, trials_of(n_trials), folder / f"{suffix}.nc")
    with open_array(folder / f"{suffix}.nc", variables=["z", "id73k"]) as file:
        return file.load()


def make_session(rng, folder):
    betas = {hemisphere: draw_betas(rng, N_NATIVE[hemisphere]) for hemisphere in HEMISPHERES}
    indices = {hemisphere: draw_index(rng, N_NATIVE[hemisphere]) for hemisphere in HEMISPHERES}
    write(folder, betas, indices)
    return betas, indices


@pytest.fixture
def session(tmp_path, rng):
    """A folder with a session in both forms, and its betas and indices."""
    return tmp_path, *make_session(rng, tmp_path)


def largest_differences(betas):
    """What rounding of betas to whole steps, and of both z-scores to Z_STEP, can move a z-score by.

    With z = c / s of betas c about their mean and rounding errors e of at most half a step, z' - z is (e - mean e) / s' +
    z (s - s') / s', where |e - mean e| is at most a step and |s - s'|, by the triangle inequality, half a step.
    """
    z = np.abs(stats.zscore(betas, axis=0))
    rounded = np.rint(betas / STEP) * STEP
    # A little more for float32, in which an mgh file has its betas and the z-scores of int16 are computed.
    return STEP * (1 + z / 2) / rounded.std(axis=0) + Z_STEP + 1e-4


@given(seed=st.integers(0, 2**32 - 1))
def test_both_routes_give_the_same_zscores_but_for_rounding(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("session")
    betas, indices = make_session(np.random.default_rng(seed), folder)
    native, common = extract(folder, "hdf5"), extract(folder, "mgh")
    assert native["id73k"].identical(common["id73k"])
    assert native.sizes == common.sizes == {"trial": N_TRIALS, "vertex": 2 * N_FSAVERAGE}
    both = np.concatenate([betas[hemisphere][:, indices[hemisphere]] for hemisphere in HEMISPHERES], axis=1)
    lost = np.concatenate([np.isin(indices[hemisphere], (MISSING, CONSTANT)) for hemisphere in HEMISPHERES])
    expected, bound = stats.zscore(both[:, ~lost], axis=0), largest_differences(both[:, ~lost])
    found = {}
    for name, extracted in {"native": native, "common": common}.items():
        z = extracted["z"].to_numpy()
        assert (np.isnan(z) == lost).all()
        found[name] = z[:, ~lost]
    assert (np.abs(found["native"] - expected) <= bound).all()
    assert (np.abs(found["native"] - found["common"]) <= bound).all()


def test_rounding_is_all_that_differs(tmp_path, rng):
    """Rounding errors are even over a step: a standard deviation of a step / sqrt(12), here far above that of Z_STEP."""
    sd = 0.1
    betas = {hemisphere: rng.normal(0, sd, (N_TRIALS, n)) for hemisphere, n in N_NATIVE.items()}
    indices = {hemisphere: draw_index(rng, n, 2000) for hemisphere, n in N_NATIVE.items()}
    write(tmp_path, betas, indices)
    difference = extract(tmp_path, "hdf5")["z"] - extract(tmp_path, "mgh")["z"]
    used = sum(np.unique(index).size - 1 for index in indices.values())
    found = float(np.sqrt((difference**2).mean()))
    # About 1,200 independent errors: five standard errors of their spread are 10 %.
    assert used * N_TRIALS > 1000
    assert found == pytest.approx(STEP / np.sqrt(12) / sd, rel=0.1)


@pytest.mark.parametrize(("block", "piece"), [(1, 1), (7, 5), (1024, 1024)])
def test_blocks_and_pieces_of_any_size_give_the_same(session, monkeypatch, block, piece):
    folder, _, _ = session
    expected = extract(folder, "hdf5")
    monkeypatch.setattr(module, "UNIT_BLOCK", block)
    monkeypatch.setattr(module, "NATIVE_PIECE", piece)
    assert extract(folder, "hdf5").identical(expected)


@pytest.mark.parametrize("layout", [{"chunks": (1, 13)}, {"chunks": (N_TRIALS, 1), "compression": "gzip"}, {}])
@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
def test_other_chunks_and_bytes_of_hdf5_give_the_same_numbers(session, layout, dtype):
    folder, _, _ = session
    expected, path = extract(folder, "hdf5"), folder / "rh.betas_session01.hdf5"
    with h5py.File(path) as file:
        stored = file["betas"][:]
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=stored.astype(dtype), **layout)
    assert extract(folder, "hdf5").identical(expected)


def test_saturated_betas_are_counted_and_change_no_other_vertex(session, caplog):
    folder, betas, indices = session
    before = extract(folder, "hdf5")
    index = indices["rh"]
    taken, other = np.setdiff1d(index, (MISSING, CONSTANT))[:2]
    unused = np.setdiff1d(np.arange(N_NATIVE["rh"]), index)[0]
    betas["rh"][3:5, taken] = -1000, 1000
    betas["rh"][0, other] = -32767 / 300  # where another converting program may end
    betas["rh"][7, unused] = 1000
    write(folder, betas, indices)
    caplog.set_level(logging.INFO)
    after = extract(folder, "hdf5")
    said = [
        tuple(map(int, found)) for found in re.findall(r"hdf5: (\d+) betas of (\d+) of (\d+) vertices", caplog.text)
    ]
    assert said == [(0, 0, np.unique(indices["lh"]).size), (3, 2, np.unique(index).size)]
    changed = np.append(np.zeros(N_FSAVERAGE, bool), np.isin(index, (taken, other)))
    same = (after["z"] == before["z"]) | (after["z"].isnull() & before["z"].isnull())
    assert np.array_equal(~same.all("trial"), changed)


def test_a_hemisphere_without_any_data_is_named(session):
    folder, _, _ = session
    write_hdf5(folder / "rh.betas_session01.hdf5", np.zeros((N_TRIALS, N_NATIVE["rh"]), np.int16))
    with pytest.raises(
        ValueError, match=r"rh\.betas_session01\.hdf5: none of 60 vertices varies over the session's 30"
    ):
        extract(folder, "hdf5")
    assert not list(folder.glob("*.nc"))


def stored_as(data, name="betas"):
    def change(path):
        with h5py.File(path, "w") as file:
            file.create_dataset(name, data=data)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (stored_as(np.ones((52, N_TRIALS), np.int16)), r"shape \(52, 30\), expected \(30, n_vertices\): .* 30 trials"),
        (stored_as(np.ones((29, 52), np.int16)), r"shape \(29, 52\), expected \(30, n_vertices\): .* 30 trials"),
        (stored_as(np.ones((N_TRIALS, 4, 4, 4), np.int16)), r"shape \(30, 4, 4, 4\), expected \(30, n_vertices\)"),
        (stored_as(np.ones((N_TRIALS, 52), np.float32)), r"data type float32, expected int16 \(percent .* times 300\)"),
        (stored_as(np.ones((N_TRIALS, 52), np.int16), "data"), "no dataset betas; found data"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "not a whole hdf5 file"),
        (lambda path: path.write_bytes(b"<html>403</html>" * 99), "not a whole hdf5 file"),
    ],
)
def test_files_that_are_no_such_session_are_named_at_once(session, change, said):
    folder, _, _ = session
    path = folder / "rh.betas_session01.hdf5"
    change(path)
    files = [folder / f"{hemisphere}.betas_session01.hdf5" for hemisphere in HEMISPHERES]
    indices = [folder / f"{hemisphere}.white-to-fsaverage.mgz" for hemisphere in HEMISPHERES]
    with pytest.raises(ValueError, match=rf"(?s)rh\.betas_session01\.hdf5: .*{said}.*get it again"):
        native_surface_session(files, indices, N_TRIALS)


def test_an_index_that_counts_the_vertices_of_both_hemispheres_is_named(session):
    folder, _, indices = session
    both = (indices["rh"] + N_NATIVE["lh"] + 1)[None].astype(np.float32)
    formats.write_mgh(folder / "rh.white-to-fsaverage.mgz", both)
    with pytest.raises(ValueError, match=r"rh\.white-to-fsaverage\.mgz: position .* whole numbers from 1 to 52, "):
        extract(folder, "hdf5")


@pytest.mark.parametrize("name", ["lh.white-to-fsaverage.mgz", "rh.betas_session01.hdf5"])
def test_absent_files_are_not_called_damaged(session, name):
    folder, _, _ = session
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError):
        extract(folder, "hdf5")


EXTRACT = """
import sys
import numpy as np, pandas as pd
from pathlib import Path
from capcortex.nsd.sessions import extract_session, native_surface_session
folder, n_trials = Path(sys.argv[1]), 750
files = [[folder / f"{hemisphere}.{name}" for hemisphere in ("lh", "rh")] for name in ("hdf5", "mgz")]
trials = pd.DataFrame({"id73k": np.arange(n_trials) // 3 + 1, "showings": 3})
extract_session(native_surface_session(*files, n_trials), trials, folder / "session.nc")
"""


def test_extraction_holds_no_more_than_one_hemisphere(tmp_path, rng, peak_mb, monkeypatch):
    # A third of a real session; all native vertices are taken, in no order.
    n_vertices = {"small": 2 * module.UNIT_BLOCK, "large": 60_000}
    peaks = {}
    for name, count in n_vertices.items():
        folder = tmp_path / name
        folder.mkdir()
        chunk = rng.integers(-900, 900, 750).astype("<i2")
        for hemisphere in HEMISPHERES:
            units = (((vertex,), np.roll(chunk, vertex).tobytes()) for vertex in range(count))
            formats.write_hdf5_betas(folder / f"{hemisphere}.hdf5", (750, count), units)
            formats.write_mgh(folder / f"{hemisphere}.mgz", 1 + rng.permutation(count)[None].astype(np.float32))
        peaks[name] = peak_mb(EXTRACT, folder)
    one = n_vertices["large"] * 750 * 2 / 2**20
    assert peaks["large"] - peaks["small"] < 1.5 * one
    monkeypatch.setattr(module, "FSAVERAGE_VERTICES", n_vertices["large"])
    assert peaks["large"] < native_extraction_memory_mb(750) <= 3 * peaks["large"]
