"""Models that a user brings: features or dissimilarities of the images in a file of one's own.

Builders of ``capcortex.text.models``. A file is read strictly: what is not a number for every image of the study is refused in a
line that says where.
"""

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import Ids, positions, unique_ids
from capcortex.tables import read_table
from capcortex.text.material import Material, labelled_features

RDM_TOLERANCE = 1e-6


def file_features(material: Material) -> xr.DataArray:
    """Read features from a file of one's own.

    The file is one of

    - ``.nc``: netCDF-4, variable ``features`` with dimensions (id73k, feature) and coordinate ``id73k``;
    - ``.npz``: arrays ``id73k`` (n_images,) and ``features`` (n_images, n_features), no pickles;
    - ``.tsv``: column ``id73k``, every other column a feature.

    Ids are 1-based and may come in any order. Images that have no captions are left out (``n_extra_ids``).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of these; if an id occurs twice or an image is missing; if a value is not a finite
        number.
    """
    path = _own_file(material)
    if path.suffix == ".tsv":
        table = read_table(path, columns=["id73k"])
        available, values = table["id73k"].to_numpy(), _numeric(table.drop(columns="id73k"), path)
        names = [str(name) for name in table.columns if name != "id73k"]
    else:
        content = _own_arrays(path, "features", dims=("id73k", "feature"))
        available, values = content["id73k"], content["features"]
        names = content["feature"].astype(str).tolist() if "feature" in content else []
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"{path}: features has shape {values.shape}, expected (n_images, n_features), 1 feature or more; correct the file"
        )
    available = _own_ids(path, available, len(values))
    wanted = material.id73k
    try:
        rows = positions(wanted, available, what=str(path))
    except ValueError as error:
        raise ValueError(f"{error}; expected a row for every image that has captions: add the missing ones") from error
    chosen = _finite(values[rows], path, wanted, "features")
    return labelled_features(wanted, chosen, names=names, n_extra_ids=int(available.size - wanted.size), file=str(path))


def file_rdm(material: Material) -> xr.DataArray:
    """Read a square matrix of dissimilarities from a file of one's own.

    The file is one of

    - ``.nc``: netCDF-4, variable ``rdm`` with dimensions (id73k, id73k_2) and equal coordinates of these names;
    - ``.npz``: arrays ``id73k`` (n_images,) and ``rdm`` (n_images, n_images), no pickles;
    - ``.tsv``: header ``id73k`` and the ids, then one row per image that begins with its id.

    It need not hold all images of the study (for 73,000 it would take 20 GB): whoever draws image sets from it says
    which are missing. Images of the file that have no captions are left out (``n_extra_ids``).

    Returns
    -------
    DataArray
        ``rdm`` (id73k, id73k_2) float32, ids ascending, symmetric up to 1e-6 of its largest value, diagonal zero.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of these; if the matrix is not square, not symmetric, not finite or has a diagonal other
        than zero; if rows and columns have different ids, ids occur twice, or no image has captions.
    """
    path = _own_file(material)
    if path.suffix == ".tsv":
        table = read_table(path, columns=["id73k"])
        available, values = table["id73k"].to_numpy(), _numeric(table.drop(columns="id73k"), path)
        header = [str(name) for name in table.columns if name != "id73k"]
        columns = np.array([int(name) if name.isdecimal() else 0 for name in header])
    else:
        content = _own_arrays(path, "rdm", dims=("id73k", "id73k_2"))
        available, values = content["id73k"], content["rdm"]
        columns = content.get("id73k_2", available)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(
            f"{path}: rdm has shape {values.shape}, expected a square matrix (n_images, n_images); correct the file"
        )
    available = _own_ids(path, available, len(values))
    if not np.array_equal(available, columns):
        at = int(np.flatnonzero(available != columns)[0])
        found = header[at] if path.suffix == ".tsv" else columns[at]
        raise ValueError(
            f"{path}: row {at + 1} is id73k {available[at]} but column {at + 1} is {found}, expected the same ids in "
            "the same order; sort rows and columns alike"
        )
    values = _finite(values, path, available, "rdm", dtype=np.float64)
    _require_dissimilarities(values, available, path)
    keep = np.flatnonzero(np.isin(available, material.id73k))
    if keep.size == 0:
        raise ValueError(f"{path}: none of its {available.size} ids is an image with captions; id73k counts from 1")
    keep = keep[np.argsort(available[keep])]
    ids = available[keep]
    return xr.DataArray(
        values[np.ix_(keep, keep)].astype(np.float32),
        dims=("id73k", "id73k_2"),
        coords={"id73k": ids, "id73k_2": ("id73k_2", ids)},
        name="rdm",
        attrs={"n_extra_ids": int(available.size - ids.size), "file": str(path)},
    )


def _own_file(material: Material) -> Path:
    if material.path is None:
        raise ValueError("this builder needs the path of a file")
    if material.path.suffix not in (".nc", ".npz", ".tsv"):
        raise ValueError(
            f"{material.path}: suffix {material.path.suffix!r}, expected .nc, .npz or .tsv (docs/own-models.md)"
        )
    if not material.path.is_file():
        raise FileNotFoundError(f"{material.path}: no such file; correct the column path of config/models.tsv")
    return material.path


def _own_arrays(path: Path, name: str, *, dims: tuple[str, str]) -> dict[str, NDArray[Any]]:
    """Arrays of a netCDF or npz file: ``name``, ``id73k``, and coordinates of the dimensions where there are."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                content = {key: file[key] for key in (name, "id73k") if key in file}
                found = ", ".join(file)
        else:
            with xr.open_dataset(path, engine="h5netcdf") as dataset:
                content = {key: dataset[key].to_numpy() for key in (name, *dims) if key in dataset.variables}
                found = ", ".join(f"{key}{dataset[key].dims}" for key in dataset.variables)
                if name in content and dataset[name].dims != dims:
                    raise ValueError(f"{name} has dimensions {dataset[name].dims}, expected {dims}")
    except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"{path}: cannot be used ({error}); expected arrays of numbers 'id73k' and '{name}' (docs/own-models.md)"
        ) from error
    expected = (name, *dims) if path.suffix == ".nc" and name == "rdm" else (name, "id73k")
    missing = [key for key in expected if key not in content]
    if missing:
        raise ValueError(
            f"{path}: lacks {', '.join(missing)}; found {found}; expected {', '.join(expected)} (docs/own-models.md)"
        )
    if content[name].size == 0:
        raise ValueError(f"{path}: {name} is empty, expected a row for each image (docs/own-models.md)")
    if content[name].dtype.kind not in "iuf":
        raise ValueError(
            f"{path}: {name} is of type {content[name].dtype}, expected numbers: leave out other columns (docs/own-models.md)"
        )
    return content


def _own_ids(path: Path, values: NDArray[Any], n_rows: int) -> Ids:
    try:
        ids = unique_ids(values, what=f"{path}: id73k")
    except ValueError as error:
        raise ValueError(
            f"{error}; correct the ids of the file: one row for each image, id73k counts from 1"
        ) from error
    if ids.size != n_rows:
        raise ValueError(f"{path}: {ids.size} ids for {n_rows} rows, expected one id per row; correct the file")
    return ids


def _numeric(table: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    for name in table.columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero(numbers.isna()) if table[name].dtype != bool else np.array([0])
        if wrong.size:
            found = table[name].iloc[wrong[0]]
            cell = "an empty cell" if pd.isna(found) else repr(found)
            raise ValueError(
                f"{path}: column {name!r}, row {wrong[0] + 1} of the table holds {cell}, expected a number; correct it "
                "or remove the column"
            )
    return table.to_numpy(dtype=np.float64)


def _finite(values: NDArray[Any], path: Path, ids: Ids, name: str, dtype: type = np.float32) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        cast: NDArray[Any] = values.astype(dtype)
    bad = np.argwhere(~np.isfinite(cast))
    if bad.size:
        row, column = bad[0]
        raise ValueError(
            f"{path}: {name} of id73k {ids[row]}, column {column + 1}, is {values[row, column]}, expected a finite "
            f"number; {len(bad)} values are not: leave out such features or images"
        )
    return cast


def _require_dissimilarities(values: NDArray[np.float64], ids: Ids, path: Path) -> None:
    tolerance = RDM_TOLERANCE * max(1.0, float(np.abs(values).max()))
    off = np.flatnonzero(np.abs(np.diag(values)) > tolerance)
    if off.size:
        raise ValueError(
            f"{path}: id73k {ids[off[0]]} differs from itself by {values[off[0], off[0]]}, expected 0 on the diagonal; "
            "is it a matrix of similarities?"
        )
    uneven = np.argwhere(np.abs(values - values.T) > tolerance)
    if uneven.size:
        i, j = uneven[0]
        raise ValueError(
            f"{path}: id73k {ids[i]} to {ids[j]} is {values[i, j]}, but {values[j, i]} the other way, expected a "
            "symmetric matrix; average it with its transpose if that is what is meant"
        )
