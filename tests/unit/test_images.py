"""Image files of maps: other readers find every value where it belongs; damaged files are named."""

import gzip
import re

import nibabel
import numpy as np
import pytest
from nilearn.surface import load_surf_data

from capcortex.images import read_vertices, read_volume, write_surface_maps, write_volume
from capcortex.nsd.miniature.formats import write_nifti

SHAPE = (4, 6, 5)
MAPS = {"mean r": [0.25, np.nan, -1.5, 3], "p < 0.05 & “A − B”": [0, 1, np.nan, 0]}


@pytest.fixture
def brainmask(tmp_path):
    path = tmp_path / "brainmask.nii.gz"
    write_nifti(path, np.ones(SHAPE, np.int16), functional=False)
    return path


@pytest.fixture
def some_voxels(rng):
    """Twelve voxels in no order, with their values, one of them missing."""
    flat = rng.choice(np.prod(SHAPE), 12, replace=False)
    values = rng.normal(size=12)
    values[3] = np.nan
    return values, np.stack(np.unravel_index(flat, SHAPE), axis=1)


# Volumes


@pytest.mark.parametrize("suffix", ["nii.gz", "nii"])
def test_every_voxel_stands_at_its_place(tmp_path, brainmask, some_voxels, suffix):
    values, indices = some_voxels
    path = tmp_path / "maps" / f"mean.{suffix}"
    write_volume(values, indices, brainmask, path, description="mean r")
    volume = nibabel.load(path).get_fdata()
    assert volume.shape == SHAPE
    for value, (i, j, k) in zip(values, indices, strict=True):
        np.testing.assert_equal(volume[i, j, k], np.float32(value))
    assert np.isfinite(volume).sum() == 11  # NaN in the voxel without a value and in all others
    found, affine = read_volume(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, volume)
    np.testing.assert_array_equal(affine, nibabel.load(brainmask).affine)


def test_header_says_where_and_what(tmp_path, brainmask, some_voxels):
    path = tmp_path / "a.nii.gz"
    write_volume(*some_voxels, brainmask, path, description="mean RDM correlation")
    raw = nibabel.Nifti1Header(gzip.decompress(path.read_bytes())[:348], check=False)
    assert raw.get_data_dtype() == np.float32
    assert raw.get_xyzt_units()[0] == "mm"
    assert raw["descrip"] == b"mean RDM correlation"
    # NSD's brainmask: 1.8 mm, origin in the middle of the grid, in the sform alone, code 1 (scanner).
    assert (int(raw["sform_code"]), int(raw["qform_code"])) == (1, 0)
    expected = np.diag([1.8, 1.8, 1.8, 1])
    expected[:3, 3] = [-1.8 * (size - 1) / 2 for size in SHAPE]
    np.testing.assert_allclose(raw.get_sform(), expected, rtol=1e-6)
    np.testing.assert_allclose(raw["pixdim"][:4], [1, 1.8, 1.8, 1.8], rtol=1e-6)
    assert raw.get_slope_inter() in ((None, None), (1.0, 0.0))


def test_template_known_by_its_qform_alone_keeps_its_affine(tmp_path):
    affine = np.array([[0, 2.0, 0, 5], [-3, 0, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.uint8), affine)
    image.set_sform(None)
    image.set_qform(affine, 1)
    nibabel.save(image, tmp_path / "template.nii")
    write_volume([1], [[0, 1, 2]], tmp_path / "template.nii", tmp_path / "a.nii", description="")
    np.testing.assert_allclose(nibabel.load(tmp_path / "a.nii").affine, affine, atol=1e-6)


def test_stored_type_is_kept_and_scaling_applied(tmp_path, brainmask):
    assert read_volume(brainmask)[0].dtype == np.int16
    image = nibabel.Nifti1Image(np.zeros(SHAPE), np.eye(4))
    image.header.set_data_dtype(np.int16)
    image.dataobj[1, 2, 3] = 0.5
    nibabel.save(image, tmp_path / "scaled.nii.gz")
    assert read_volume(tmp_path / "scaled.nii.gz")[0][1, 2, 3] == pytest.approx(0.5, abs=1e-4)


def test_same_values_give_the_same_bytes(tmp_path, brainmask, some_voxels):
    values, indices = some_voxels
    write_volume(values, indices, brainmask, tmp_path / "a.nii.gz", description="r")
    write_volume(values[::-1], indices[::-1], brainmask, tmp_path / "other" / "b.nii.gz", description="r")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "other" / "b.nii.gz").read_bytes()
    # The ten bytes of a gzip header: no date (4 to 8), no name (flag 3).
    assert (tmp_path / "a.nii.gz").read_bytes()[3:8] == b"\0" * 5
    write_surface_maps(MAPS, tmp_path / "a.func.gii", "lh")
    write_surface_maps(MAPS, tmp_path / "other" / "b.func.gii", "lh")
    assert (tmp_path / "a.func.gii").read_bytes() == (tmp_path / "other" / "b.func.gii").read_bytes()


@pytest.mark.parametrize(
    ("values", "indices", "message"),
    [
        ([1.0], [[0, 6, 0]], r"voxel \(0, 6, 0\) lies outside the grid \(4, 6, 5\) of .*brainmask"),
        ([1.0], [[0, -1, 0]], r"voxel \(0, -1, 0\) lies outside"),
        ([1.0, 2], [[0, 1, 0], [0, 1, 0]], "a voxel occurs twice"),
        ([1.0], [[0, 1, 0], [0, 2, 0]], r"shape \(1,\) and indices of shape \(2, 3\)"),
    ],
)
def test_values_that_do_not_fit_the_template_are_refused(tmp_path, brainmask, values, indices, message):
    with pytest.raises(ValueError, match=message):
        write_volume(values, indices, brainmask, tmp_path / "a.nii.gz", description="")
    assert list(tmp_path.iterdir()) == [brainmask]


def test_description_that_would_be_cut_is_refused(tmp_path, brainmask):
    write_volume([1], [[0, 1, 0]], brainmask, tmp_path / "a.nii.gz", description="é" * 39)
    assert nibabel.load(tmp_path / "a.nii.gz").header["descrip"].item().decode() == "é" * 39
    with pytest.raises(ValueError, match="80 bytes, at most 79 fit"):
        write_volume([1], [[0, 1, 0]], brainmask, tmp_path / "a.nii.gz", description="é" * 40)


def test_damaged_volume_is_named_with_a_remedy(tmp_path, rng):
    # Large enough that a reader which stops at the last voxel does not meet the checksum by chance.
    write_nifti(tmp_path / "a.nii.gz", rng.integers(0, 2, (20, 30, 25)).astype(np.int16), functional=False)
    whole = (tmp_path / "a.nii.gz").read_bytes()
    unpacked = gzip.decompress(whole)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # can still be unpacked, to other values
    contents = {
        "nii.gz": [whole[: len(whole) // 2], whole[:-4], bytes(flipped), b"", b"an error page", gzip.compress(b"no")],
        "nii": [unpacked[:-2], unpacked[:300], b"", b"x" * 400],
    }
    for suffix, damaged in contents.items():
        path = tmp_path / f"damaged.{suffix}"
        for content in damaged:
            path.write_bytes(content)
            with pytest.raises(ValueError, match=rf"{re.escape(str(path))}: not a whole NIfTI.*get it again"):
                read_volume(path)
    with pytest.raises(ValueError, match=r"damaged\.nii: not a whole NIfTI"):
        write_volume([1], [[0, 0, 0]], path, tmp_path / "a.nii", description="")


def test_series_of_volumes_is_not_a_volume(tmp_path):
    write_nifti(tmp_path / "betas.nii.gz", np.zeros((*SHAPE, 2), np.int16), functional=True)
    with pytest.raises(ValueError, match=r"betas\.nii\.gz: shape \(4, 6, 5, 2\), expected one volume"):
        read_volume(tmp_path / "betas.nii.gz")


@pytest.mark.parametrize("read", [read_volume, read_vertices])
def test_absent_file_is_not_called_damaged(tmp_path, read):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "a.nii.gz")


# Maps on the cortex


def test_other_programs_find_the_maps_by_name(tmp_path):
    path = tmp_path / "rh.group.func.gii"
    write_surface_maps(MAPS, path, "rh")
    image = nibabel.load(path)
    assert [array.meta["Name"] for array in image.darrays] == list(MAPS)
    assert image.meta["AnatomicalStructurePrimary"] == "CortexRight"
    for array, values in zip(image.darrays, MAPS.values(), strict=True):
        assert array.data.dtype == np.float32
        np.testing.assert_array_equal(array.data, np.float32(values))
    np.testing.assert_array_equal(load_surf_data(path).astype(float), np.float32(list(MAPS.values())).T)
    # The standard keeps coordinate systems for coordinates.
    assert b"CoordinateSystem" not in path.read_bytes()
    write_surface_maps({"one": MAPS["mean r"]}, tmp_path / "lh.one.func.gii", "lh")
    assert nibabel.load(tmp_path / "lh.one.func.gii").meta["AnatomicalStructurePrimary"] == "CortexLeft"
    np.testing.assert_array_equal(load_surf_data(tmp_path / "lh.one.func.gii"), np.float32(MAPS["mean r"]))


def test_surface_maps_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="hemisphere 'left' is not one of lh, rh"):
        write_surface_maps(MAPS, tmp_path / "a.func.gii", "left")
    for maps in ({"a": [1, 2], "b": [1, 2, 3]}, {"a": [[1, 2]]}):
        with pytest.raises(ValueError, match=r"a\.func\.gii: expected maps of one length"):
            write_surface_maps(maps, tmp_path / "a.func.gii", "lh")
    assert list(tmp_path.iterdir()) == []
