"""Compare two runs of one study, file by file and value by value."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import xarray as xr

# A sentence's vector moves by about 2e-7 with the sentences that share its batch, and sums with the number of BLAS threads.
# Distances and correlations follow in that size; t, p and intervals can stretch it where subjects agree closely.
ABSOLUTE, RELATIVE = 1e-5, 1e-3

DEPENDS_ON_ENCODER = {"models", "rdms", "rsa", "searchlight", "maps", "tables", "figures", "ceilings"} | {
    "sentinel.tsv",
    "check.tsv",
}
"""What may differ at all. The rest (the miniature, design, captions, betas) must be the same bytes."""


def files_of(folder: Path) -> set[Path]:
    """Everything that a run made, relative to its folder, but for the cache of sentences, whose files are named at random."""
    made = (path for top in ("results", "resources") for path in (folder / top).rglob("*") if path.is_file())
    return {path.relative_to(folder) for path in made if "sentence_vectors" not in path.parts}


def require_equal_runs(folder: Path, reference: Path) -> dict[str, float]:
    """Check that two runs made the same files with the same content; return the largest difference in each file that differs."""
    here, there = files_of(folder), files_of(reference)
    assert here == there, f"only in one of the runs: {sorted(map(str, here ^ there))}"
    found = {}
    for name in sorted(here):
        a, b = folder / name, reference / name
        if "provenance" in name.parts or name.suffix == ".pdf" or a.read_bytes() == b.read_bytes():
            continue
        assert name.parts[0] == "results", f"{name} differs"
        assert name.parts[1] in DEPENDS_ON_ENCODER, f"{name} differs"
        if name.suffix != ".png":
            found[str(name)] = largest_difference(a, b)
    return found


def largest_difference(a: Path, b: Path) -> float:
    """Largest absolute difference of the values of two files; an error if it is beyond the tolerance, or labels differ."""
    left, right = (read(path) for path in (a, b))
    xr.testing.assert_allclose(left, right, rtol=RELATIVE, atol=ABSOLUTE)
    numbers = [name for name, variable in left.variables.items() if variable.dtype.kind in "biuf"]
    differences = [np.abs(left[name].astype(float) - right[name].astype(float)).to_numpy() for name in numbers]
    return max(float(np.nanmax(values, initial=0)) for values in differences)


def read(path: Path) -> xr.Dataset:
    """Read a result of any format."""
    if path.suffix == ".nc":
        with xr.open_dataset(path, engine="h5netcdf") as file:
            return file.load()
    if path.suffix == ".tsv":
        return pd.read_csv(path, sep="\t", na_values=["n/a"]).to_xarray()
    image = nibabel.load(path)
    arrays = [array.data for array in image.darrays] if path.suffix == ".gii" else [image.get_fdata()]
    return xr.Dataset({f"array {number}": xr.DataArray(values) for number, values in enumerate(arrays)})
