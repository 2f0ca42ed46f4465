"""Labelled arrays on disk: netCDF-4 files with named axes, ids, units and provenance, written whole or not at all.

In memory these are xarray objects. A file is opened lazily, so that a reader takes the images or units it needs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from capcortex.files import atomic_path, remedy


def write_array(data: xr.Dataset | xr.DataArray, path: str | Path) -> None:
    """Write a labelled array or dataset as netCDF-4."""
    dataset = data if isinstance(data, xr.Dataset) else data.to_dataset(name=data.name or "data")
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")


def open_array(path: str | Path, *, variables: list[str]) -> xr.Dataset:
    """Open a labelled dataset lazily after checking that it holds what is needed.

    Raises
    ------
    ValueError
        If the file is not a readable netCDF-4 file, or lacks one of ``variables`` (data or coordinates); the message
        names the file and says how to make it anew.
    """
    try:
        dataset = xr.open_dataset(path, engine="h5netcdf")
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not a readable netCDF-4 file ({error}); {remedy(path)}") from error
    missing = [name for name in variables if name not in dataset.variables]
    if missing:
        found = ", ".join(map(str, dataset.variables))
        dataset.close()
        raise ValueError(f"{path}: lacks {', '.join(missing)}; found {found}; {remedy(path)}")
    return dataset


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
                file.create_variable(key, (dim,), dtype=h5netcdf.core.h5py.string_dtype(), data=array)
            else:
                file.create_variable(key, (dim,), data=array)
        cut = tuple(min(c, s) for c, s in zip(chunks, shape, strict=True)) if 0 not in shape else None
        variable = file.create_variable(name, dims, dtype=dtype, chunks=cut, fillvalue=fill_value)
        for key, value in attrs.items():
            variable.attrs[key] = value
        yield variable
