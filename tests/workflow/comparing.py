"""Compare two runs of one study, file by file and value by value, and two estimates of one study."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import xarray as xr
from running import ROOT, script
from scipy import stats

from capcortex.inference.pairs import COMPARISON_COLUMNS
from capcortex.tables import read_table

# A sentence's vector moves by about 2e-7 with the sentences that share its batch, and sums with the number of BLAS threads.
# Distances and correlations follow in that size; t, p and intervals can stretch it where subjects agree closely.
ABSOLUTE, RELATIVE = 1e-5, 1e-3
# Of t in group maps, where one of ten thousand vertices can have such subjects; means, p and q are compared as all else.
ABSOLUTE_OF_T = 1e-3

DEPENDS_ON_ENCODER = {
    *("models", "rdms", "rsa", "searchlight", "maps", "tables", "figures", "ceilings"),
    *("encoding", "decoding", "multiverse", "sentinel.tsv", "check.tsv", "scorecard.tsv"),
}
"""What may differ at all. The rest (the miniature, design, captions, betas) must be the same bytes."""

CHAOTIC = {"caption-tsne.tsv": ["x", "y"]}
"""Numbers by file that cannot be compared: t-SNE places images elsewhere where any vector moves, however little."""


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
    if "coefficients" in left:
        # Whole multiples of their scale, which rounding moves by one.
        one, other = (each["coefficients"].astype(int) for each in (left, right))
        assert np.abs(one - other).max() <= 1, f"{a.name}: coefficients"
        left, right = (each.drop_vars("coefficients") for each in (left, right))
    left, right = (each.drop_vars(CHAOTIC.get(a.name, [])) for each in (left, right))
    t = ["t"] if "group_space" in a.name else []
    xr.testing.assert_allclose(left[t], right[t], rtol=RELATIVE, atol=ABSOLUTE_OF_T)
    xr.testing.assert_allclose(left.drop_vars(t), right.drop_vars(t), rtol=RELATIVE, atol=ABSOLUTE)
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
    if path.suffix == ".gii":
        return xr.Dataset({array.meta["Name"]: xr.DataArray(array.data) for array in image.darrays})
    return xr.Dataset({"values": xr.DataArray(image.get_fdata())})


def require_sampling_error(path: Path) -> pd.DataFrame:
    """Check that r over all pairs is as near to the mean over image sets as the spread over sets predicts; return the table.

    Sets hold nearly all images, so that what they share with all pairs makes the difference smaller than predicted, never
    larger: at least 95 % of the 95 % intervals (Student's t, one degree of freedom less than sets) hold; here 90 %, because the
    models of a region share its measurement. No row is beyond what one in a thousand studies would have.
    """
    table = read_table(path, columns=COMPARISON_COLUMNS)
    errors = table["difference_in_standard_errors"].abs()
    assert errors.notna().all()
    p = 2 * stats.t.sf(errors, table["n_image_sets"] - 1)
    assert (p > 0.05).mean() >= 0.9, (p > 0.05).mean()
    assert p.min() * len(p) > 0.001, table.loc[p.argmin()]
    return table


def verdicts(check: Path, scorecard: Path) -> pd.Series:
    """Score a check, and return the verdict of every claim."""
    script("score_claims").main(
        claims=str(ROOT / "config/claims.tsv"),
        check=str(check),
        tables={},
        groups=[],
        maps=[],
        model_rdms={},
        pairs=[],
        confidence=0.95,
        false_discovery_rate=0.05,
        scorecard=str(scorecard),
    )
    return read_table(scorecard, columns=["claim", "verdict"]).set_index("claim")["verdict"]
