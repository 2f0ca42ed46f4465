"""Volume sessions: NIfTI and HDF5 give the same z-scores, those of a direct computation; damaged files; memory."""

import gzip

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capcortex.arrays import open_array
from capcortex.nsd import sessions as module
from capcortex.nsd.sessions import Z_STEP, extract_session, read_mask, volume_extraction_memory_mb, volume_session

SHAPE = (5, 4, 3)  # unequal, so that a transposition shows
N_TRIALS = 12


def write_nifti(path, values):
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.8, 1.8, 1.8, 1])), path)
    return path


def write_hdf5(path, values, name="betas"):
    """Write what MATLAB calls (X, Y, Z, trial): Python sees the axes from the other end; one chunk holds a voxel's trials."""
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values.T, chunks=(values.shape[3], 1, 1, 1))
    return path


@pytest.fixture
def files(tmp_path, rng):
    """A mask with holes, and one session in both formats."""
    mask = rng.random(SHAPE) < 0.6
    betas = rng.integers(-3000, 3000, (*SHAPE, N_TRIALS)).astype(np.int16)
    betas[~mask] = 0
    write_nifti(tmp_path / "brainmask.nii.gz", mask.astype(np.int16))
    write_nifti(tmp_path / "betas_session01.nii.gz", betas)
    write_hdf5(tmp_path / "betas_session01.hdf5", betas)
    return tmp_path, mask, betas


def trials_of(n_trials):
    return pd.DataFrame({"id73k": np.arange(n_trials) // 3 + 5, "showings": [3] * (n_trials - 2) + [2, 2]})


def extract(folder, suffix, n_trials=N_TRIALS):
    output = folder / f"{suffix}.nc"
    raw = volume_session(folder / f"betas_session01.{suffix}", folder / "brainmask.nii.gz", n_trials)
    extract_session(raw, trials_of(n_trials), output)
    with open_array(output, variables=["z", "id73k", "i", "j", "k"]) as file:
        return file.load()


@pytest.mark.parametrize("block", [1, 2, 7, 1024])
@pytest.mark.parametrize("suffix", ["nii.gz", "hdf5"])
def test_both_formats_give_the_zscores_of_the_masks_voxels(files, suffix, block, monkeypatch):
    monkeypatch.setattr(module, "UNIT_BLOCK", block)
    folder, mask, betas = files
    found = extract(folder, suffix)
    assert found.sizes["voxel"] == mask.sum()
    places = np.column_stack([found[axis] for axis in "ijk"])
    assert mask[tuple(places.T)].all()
    assert len(np.unique(places, axis=0)) == len(places)
    for place, z in zip(places, found["z"].to_numpy().T, strict=True):
        expected = stats.zscore(betas[tuple(place)].astype(float), ddof=0)[:-2]
        np.testing.assert_allclose(z, expected, atol=0.5 * Z_STEP + 1e-6)
    assert found["id73k"].to_numpy().tolist() == trials_of(N_TRIALS)["id73k"][:-2].tolist()


def test_formats_agree_bit_by_bit(files):
    folder, _, _ = files
    assert extract(folder, "nii.gz").identical(extract(folder, "hdf5"))


@given(st.data())
def test_mask_voxels_come_with_the_first_axis_fastest(tmp_path_factory, data):
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    cells = data.draw(
        st.lists(st.sampled_from([-1, 0, 1, 2]), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
    )
    values = np.array(cells, np.int16).reshape(shape)
    path = write_nifti(tmp_path_factory.mktemp("mask") / "m.nii.gz", values)
    if not (values > 0).any():
        with pytest.raises(ValueError, match=r"m\.nii\.gz: no voxel"):
            read_mask(path)
        return
    indices, found_shape = read_mask(path)
    assert found_shape == shape
    flat = np.ravel_multi_index(tuple(indices.T), shape, order="F")
    assert np.array_equal(flat, np.flatnonzero(values.ravel(order="F") > 0))


@pytest.mark.parametrize("suffix", ["nii.gz", "hdf5"])
def test_voxels_without_data_are_missing(files, suffix):
    folder, mask, betas = files
    place = tuple(np.argwhere(mask)[3])
    betas[place] = 0  # how NSD marks a voxel that was not measured in a session
    write_nifti(folder / "betas_session01.nii.gz", betas)
    write_hdf5(folder / "betas_session01.hdf5", betas)
    found = extract(folder, suffix)
    here = np.all([found[axis] == at for axis, at in zip("ijk", place, strict=True)], axis=0)
    z = found["z"].to_numpy()
    assert np.isnan(z[:, here]).all()
    assert np.isfinite(z[:, ~here]).all()


@pytest.mark.parametrize("suffix", ["nii.gz", "hdf5"])
def test_a_session_without_any_data_is_named_at_once(files, suffix):
    folder, _, betas = files
    write_nifti(folder / "betas_session01.nii.gz", np.zeros_like(betas))
    write_hdf5(folder / "betas_session01.hdf5", np.zeros_like(betas))
    with pytest.raises(
        ValueError, match=rf"betas_session01\.{suffix}: none of \d+ voxels varies over the session\'s 12 trials"
    ):
        extract(folder, suffix)
    assert not list(folder.glob("*.nc"))


def test_big_endian_nifti_is_read_as_it_says(files):
    folder, _, betas = files
    expected = extract(folder, "nii.gz")
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_shape(betas.shape)
    header.set_data_dtype(np.int16)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    content = header.binaryblock + b"\0\0\0\0" + betas.astype(">i2").tobytes(order="F")
    (folder / "betas_session01.nii.gz").write_bytes(gzip.compress(content))
    assert content[:4] == (348).to_bytes(4, "big")
    assert extract(folder, "nii.gz").identical(expected)


def damage(path, how, betas):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "truncated header":
        path.write_bytes(content[:40])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "a web page":
        path.write_bytes(b"<html><body>403 Forbidden</body></html>" * 50)
    elif how == "flipped bit":
        raw = bytearray(gzip.decompress(content))
        raw[-7] ^= 1
        packed = bytearray(gzip.compress(bytes(raw)))
        packed[-8:-4] = content[-8:-4]  # the checksum of the undamaged content
        path.write_bytes(packed)
    elif how == "too long":
        path.write_bytes(gzip.compress(gzip.decompress(content) + b"\0\0"))


@pytest.mark.parametrize("how", ["truncated", "truncated header", "empty", "a web page", "flipped bit", "too long"])
def test_damaged_nifti_is_named_with_a_remedy_and_leaves_no_output(files, how):
    folder, _, betas = files
    damage(folder / "betas_session01.nii.gz", how, betas)
    with pytest.raises(ValueError, match=r"(?s)betas_session01\.nii\.gz: not a whole nii\.gz file.*get it again"):
        extract(folder, "nii.gz")
    assert not list(folder.glob("*.nc"))


@pytest.mark.parametrize("how", ["truncated", "empty", "a web page"])
def test_damaged_hdf5_is_named_with_a_remedy_and_leaves_no_output(files, how):
    folder, _, betas = files
    damage(folder / "betas_session01.hdf5", how, betas)
    with pytest.raises(ValueError, match=r"(?s)betas_session01\.hdf5: not a whole hdf5 file.*get it again"):
        extract(folder, "hdf5")
    assert not list(folder.glob("*.nc"))


def test_hdf5_without_betas_says_what_it_holds(files):
    folder, _, betas = files
    write_hdf5(folder / "betas_session01.hdf5", betas, name="data")
    with pytest.raises(ValueError, match="no dataset betas; found data"):
        extract(folder, "hdf5")


@pytest.mark.parametrize(
    "layout", [{"chunks": (1, 3, 4, 5)}, {"chunks": (5, 2, 3, 2)}, {"chunks": (12, 1, 1, 1), "compression": "gzip"}, {}]
)
@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
def test_other_chunks_and_bytes_of_hdf5_give_the_same_numbers(files, layout, dtype):
    folder, _, betas = files
    expected = extract(folder, "hdf5")
    with h5py.File(folder / "betas_session01.hdf5", "w") as file:
        file.create_dataset("betas", data=betas.T.astype(dtype), **layout)
        assert file["betas"].dtype.str == dtype
    assert extract(folder, "hdf5").identical(expected)


def test_axes_in_matlabs_order_are_refused(files):
    folder, _, betas = files
    with h5py.File(folder / "betas_session01.hdf5", "w") as file:
        file.create_dataset("betas", data=betas)
    with pytest.raises(ValueError, match=r"shape \(5, 4, 3, 12\), expected \(12, 3, 4, 5\), axes \(trial, Z, Y, X\)"):
        extract(folder, "hdf5")


@pytest.mark.parametrize("suffix", ["nii.gz", "hdf5"])
def test_wrong_number_of_trials_and_type_are_named(files, suffix):
    folder, _, betas = files
    with pytest.raises(ValueError, match=r"expected .*13.*responses"):
        extract(folder, suffix, n_trials=N_TRIALS + 1)
    write_nifti(folder / "betas_session01.nii.gz", betas.astype(np.float32))
    write_hdf5(folder / "betas_session01.hdf5", betas.astype(np.float32))
    with pytest.raises(ValueError, match="data type float32, expected int16"):
        extract(folder, suffix)


def test_scaled_nifti_is_refused(files):
    folder, _, betas = files
    image = nibabel.Nifti1Image(betas, np.eye(4))
    image.header.set_slope_inter(0.5, 0)
    image.to_filename(folder / "betas_session01.nii.gz")
    with pytest.raises(ValueError, match=r"scales values by \(0\.5, 0\.0\), expected none"):
        extract(folder, "nii.gz")


def test_absent_file_is_not_called_damaged(files):
    folder, _, _ = files
    for suffix in ("nii.gz", "hdf5"):
        (folder / f"betas_session01.{suffix}").unlink()
        with pytest.raises(FileNotFoundError):
            extract(folder, suffix)


EXTRACT = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
from capcortex.nsd.sessions import extract_session, volume_session
folder = Path(sys.argv[1])
trials = pd.DataFrame({"id73k": np.arange(750) // 3 + 1, "showings": 3})
extract_session(volume_session(folder / "betas.nii.gz", folder / "mask.nii.gz", 750), trials, folder / "s.nc")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_extraction_stays_within_its_memory(tmp_path, rng, run_python):
    # A sixth of a real session: 60 MB of int16 in the mask, 180 MB of volumes that must not be held.
    shape = (40, 52, 58)
    mask = np.zeros(shape, np.int16)
    mask[:20, :35] = 1
    write_nifti(tmp_path / "mask.nii.gz", mask)
    header = nibabel.Nifti1Header()
    header.set_data_shape((*shape, 750))
    header.set_data_dtype(np.int16)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with gzip.open(tmp_path / "betas.nii.gz", "wb", compresslevel=1) as file:
        file.write(header.binaryblock + b"\0\0\0\0")
        for _ in range(750):
            noise = (300 * rng.standard_normal(shape)).astype(np.int16) * mask
            file.write(noise.tobytes(order="F"))
    size = (tmp_path / "betas.nii.gz").stat().st_size / 2**20
    allowed = volume_extraction_memory_mb(750, size, "nii.gz")
    result = run_python(EXTRACT, tmp_path)
    assert result.returncode == 0, result.stderr
    peak = float(result.stdout) / 1024
    assert peak < allowed <= 3 * peak
