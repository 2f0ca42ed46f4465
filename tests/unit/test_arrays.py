"""Labelled arrays: what is written comes back with its labels; half a file never stands under the final name."""

from contextlib import ExitStack
from pathlib import Path

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from capcortex.arrays import create_array, open_array, write_array


def fill(path, values, *, chunks=(2, 3), fail_after=None, **keywords):
    coords = {
        "name": ("row", np.array([f"r{k}é" for k in range(len(values))])),
        "id73k": ("row", np.arange(len(values))),
    }
    layout = {"name": "x", "dims": ("row", "column"), "shape": values.shape, "chunks": chunks, "coords": coords}
    layout |= {"dtype": values.dtype.str[1:], "attrs": {"units": "z-score"}} | keywords
    with create_array(path, **layout) as variable:
        for row in range(len(values)):
            if row == fail_after:
                raise RuntimeError("stop")
            variable[row : row + 1, :] = values[row : row + 1]


def test_array_comes_back_with_labels_and_attributes(tmp_path, rng):
    data = xr.DataArray(
        rng.normal(size=(3, 2)),
        dims=("id73k", "feature"),
        coords={"id73k": [5, 9, 2]},
        name="features",
        attrs={"k": "v"},
    )
    write_array(data, tmp_path / "a.nc")
    with open_array(tmp_path / "a.nc", variables=["features", "id73k"]) as file:
        xr.testing.assert_identical(file["features"].load(), data)


def test_unnamed_array_can_be_opened(tmp_path):
    write_array(xr.DataArray([1.0, 2.0], dims="x"), tmp_path / "a.nc")
    with open_array(tmp_path / "a.nc", variables=["data"]) as file:
        assert file["data"].to_numpy().tolist() == [1, 2]


@pytest.mark.parametrize("chunks", [(1, 1), (2, 3), (100, 100)])
def test_blocks_written_one_by_one_make_the_whole(tmp_path, rng, chunks):
    values = rng.normal(size=(5, 4)).astype("f4")
    fill(tmp_path / "a.nc", values, chunks=chunks)
    with open_array(tmp_path / "a.nc", variables=["x", "id73k", "name"]) as file:
        assert np.array_equal(file["x"].to_numpy(), values)
        assert file["x"].attrs["units"] == "z-score"
        assert file["name"].to_numpy().tolist() == [f"r{k}é" for k in range(5)]
        assert file["id73k"].dims == ("row",)


def test_steps_and_missing_values_are_decoded(tmp_path):
    values = np.array([[1000, -32768], [-2500, 32767]], dtype="i2")
    attrs = {"scale_factor": 0.001}
    fill(tmp_path / "a.nc", values, attrs=attrs, fill_value=-32768)
    with open_array(tmp_path / "a.nc", variables=["x"]) as file:
        np.testing.assert_allclose(file["x"].to_numpy(), [[1, np.nan], [-2.5, 32.767]], rtol=1e-6)


def test_failure_while_filling_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="stop"):
        fill(tmp_path / "a.nc", np.zeros((4, 2)), fail_after=2)
    assert list(tmp_path.iterdir()) == []


def test_array_whose_coordinate_does_not_fit_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="Shape"):
        fill(tmp_path / "a.nc", np.zeros((4, 2)), coords={"id73k": ("row", np.arange(3))})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Name of a file that a rule makes."""
    monkeypatch.chdir(tmp_path)
    return Path("results/a.nc")


def test_damaged_file_is_named_with_a_remedy(made):
    path = made
    fill(path, np.zeros((40, 200)))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a netCDF file"):
        path.write_bytes(content)
        with (
            pytest.raises(ValueError, match=rf"{path}: not a readable.*rm '{path}'"),
            open_array(path, variables=["x"]),
        ):
            pass


def test_lacking_variable_is_named(made):
    path = made
    fill(path, np.zeros((2, 2)))
    with (
        pytest.raises(ValueError, match=r"a\.nc: lacks y, z; found .*x.*rm '"),
        open_array(path, variables=["x", "y", "z"]),
    ):
        pass


def test_absent_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError), open_array(tmp_path / "a.nc", variables=["x"]):
        pass


def write_whole(path, values):
    write_array(xr.DataArray(values, dims=("id73k", "unit"), coords={"id73k": np.arange(len(values))}, name="x"), path)


def write_in_blocks(path, values):
    fill(path, values, chunks=values.shape, coords={"id73k": ("row", np.arange(len(values)))})


@pytest.mark.parametrize("write", [write_whole, write_in_blocks])
def test_a_flipped_bit_in_the_values_is_noticed_by_the_reader_and_named(made, write):
    """Not only where a file is opened: values are read later, when the caller asks for them."""
    values = np.random.default_rng(1).standard_normal((30, 40))
    write(made, values)
    whole = made.read_bytes()
    write(Path("results/other.nc"), values)
    inside = [whole.index(row.tobytes()) for row in values[:1, :2]] + [whole.index(np.arange(30).tobytes())]
    for at in (inside[0], inside[0] + 77, inside[-1] + 8):
        made.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=rf"{made}: .*rm '{made}'"), ExitStack() as stack:
            files = [
                stack.enter_context(open_array(path, variables=["x", "id73k"]))
                for path in ("results/other.nc", made, "results/other.nc")
            ]
            for file in files:
                file[["x", "id73k"]].load()
    made.write_bytes(whole)
    with open_array(made, variables=["x", "id73k"]) as file:
        np.testing.assert_array_equal(file["x"], values)


def test_an_error_of_the_caller_is_not_called_damage(made):
    write_whole(made, np.zeros((3, 2)))
    for error in (OSError("not about this file"), RuntimeError("nor this"), KeyError("id73k")):
        with pytest.raises(type(error), match=str(error)), open_array(made, variables=["x"]):
            raise error


def test_texts_scalars_and_empty_arrays_are_written_too(made):
    data = xr.Dataset({"t": ("s", ["ä", "b"]), "n": 3, "none": ("z", np.empty(0))}, coords={"ok": ("s", [True, False])})
    write_array(data, made)
    with open_array(made, variables=["t", "n", "none", "ok"]) as file:
        xr.testing.assert_equal(file.load(), data)


def test_opening_is_lazy(tmp_path, monkeypatch):
    fill(tmp_path / "a.nc", np.arange(12.0).reshape(4, 3))
    reads = []
    original = h5netcdf.Variable.__getitem__
    monkeypatch.setattr(
        h5netcdf.Variable, "__getitem__", lambda self, key: (reads.append(self.name), original(self, key))[1]
    )
    with open_array(tmp_path / "a.nc", variables=["x"]) as file:
        assert "/x" not in reads
        assert file["x"][1:2, :].to_numpy().tolist() == [[3, 4, 5]]
