"""Labelled arrays on disk: netCDF-4 files with named axes, ids, units, provenance and checksums, written whole or not at all.

In memory these are xarray objects. A file is opened lazily, so that a reader takes the images or units it needs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from capcortex.files import atomic_path, remedy


def write_array(data: xr.Dataset | xr.DataArray, path: str | Path) -> None:
    """Write a labelled array or dataset as netCDF-4, numbers with checksums."""
    dataset = data if isinstance(data, xr.Dataset) else data.to_dataset(name=data.name or "data")
    encoding = {
        str(name): {"fletcher32": True} for name, variable in dataset.variables.items() if _has_checksum(variable)
    }
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


@contextmanager
def open_array(path: str | Path, *, variables: list[str]) -> Iterator[xr.Dataset]:
    """Open a labelled dataset lazily after checking that it holds what is needed.

    What is read has its checksums compared, so that a flipped bit is an error, not a result.

    Raises
    ------
    ValueError
        If the file is not a readable netCDF-4 file, or lacks one of ``variables`` (data or coordinates), or turns out to be
        damaged while it is read; the message names the file and says how to make it anew.
    """
    try:
        dataset = xr.open_dataset(path, engine="h5netcdf")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not a readable netCDF-4 file ({error}); {remedy(path)}") from error
    with dataset:
        missing = [name for name in variables if name not in dataset.variables]
        if missing:
            found = ", ".join(map(str, dataset.variables))
            raise ValueError(f"{path}: lacks {', '.join(missing)}; found {found}; {remedy(path)}")
        try:
            yield dataset
        except (OSError, RuntimeError) as error:
            # HDF5 says that a checksum is wrong, but not of which file; several may be open. Its errors have no number, those
            # of a full disk or a missing permission do.
            damage = None if getattr(error, "errno", None) else _damage(path)
            if damage is None:
                raise
            raise ValueError(f"{path}: damaged ({damage}); {remedy(path)}") from error


def _has_checksum(variable: xr.Variable | np.ndarray) -> bool:
    """Whether HDF5 can keep a checksum of a variable: it does so for chunks of numbers."""
    return variable.dtype.kind in "biuf" and variable.ndim > 0 and variable.size > 0


def _damage(path: str | Path) -> str | None:
    """Say what cannot be read of a file; None if all of it can."""
    try:
        with h5py.File(path) as file:
            for name, variable in file.items():
                for chunk in variable.iter_chunks() if variable.chunks else [...]:
                    try:
                        variable[chunk]
                    except (OSError, RuntimeError) as error:
                        return f"{name}: {error}"
    except (OSError, RuntimeError) as error:
        return str(error)
    return None


@contextmanager
def create_array(
    path: str | Path,
    *,
    name: str,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: str,
    chunks: tuple[int, ...],
    coords: Mapping[str, tuple[str, np.ndarray]],
    attrs: Mapping[str, Any],
    fill_value: float | int | None = None,
) -> Iterator[h5netcdf.Variable]:
    """Create a netCDF-4 file with one large variable that the caller fills block by block.

    Parameters
    ----------
    path
        Final name; nothing appears under it before the block has ended well.
    name, dims, shape, dtype, chunks, fill_value
        The variable. Chunks are cut down to the shape.
    coords
        Small coordinate variables, each as (dimension, values).
    attrs
        Attributes of the variable (units, scale_factor, provenance).

    Yields
    ------
    h5netcdf.Variable
        Supports ``variable[i:j, k:l] = block``.
    """
    with atomic_path(path) as temporary, h5netcdf.File(temporary, "w") as file:
        file.dimensions = dict(zip(dims, shape, strict=True))
        for key, (dim, values) in coords.items():
            array = np.asarray(values)
            if array.dtype.kind == "U":
                array = array.astype(object)
                file.create_variable(key, (dim,), dtype=h5py.string_dtype(), data=array)
            else:
                file.create_variable(key, (dim,), data=array, fletcher32=_has_checksum(array))
        cut = tuple(min(c, s) for c, s in zip(chunks, shape, strict=True)) if 0 not in shape else None
        variable = file.create_variable(
            name, dims, dtype=dtype, chunks=cut, fillvalue=fill_value, fletcher32=cut is not None
        )
        for key, value in attrs.items():
            variable.attrs[key] = value
        yield variable
