"""Keys of the bucket, letter by letter as the data manual and the released code spell them."""

import re
from pathlib import Path, PurePosixPath

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capcortex.nsd import layout

B3 = "betas_fithrf_GLMdenoise_RR"
BETAS = "nsddata_betas/ppdata/subj01"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (layout.responses("subj01"), "nsddata/ppdata/subj01/behav/responses.tsv"),
        (layout.EXPERIMENT_DESIGN, "nsddata/experiments/nsd/nsd_expdesign.mat"),
        (layout.STIMULUS_TABLE, "nsddata/experiments/nsd/nsd_stim_info_merged.csv"),
        (layout.IMAGE_BRICK, "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"),
        (layout.annotations("captions", "val2017"), "nsddata_stimuli/stimuli/nsd/annotations/captions_val2017.json"),
        (layout.shared_picture(1, 2951), "nsddata/stimuli/nsd/shared1000/shared0001_nsd02951.png"),
        (layout.surface_betas("subj01", B3, 1, "lh"), f"{BETAS}/fsaverage/{B3}/lh.betas_session01.mgh"),
        (layout.surface_betas("subj01", B3, 40, "rh"), f"{BETAS}/fsaverage/{B3}/rh.betas_session40.mgh"),
        (layout.native_betas("subj01", B3, 3, "lh"), f"{BETAS}/nativesurface/{B3}/lh.betas_session03.hdf5"),
        (layout.volume_betas("subj01", B3, 3), f"{BETAS}/func1pt8mm/{B3}/betas_session03.nii.gz"),
        (layout.volume_betas("subj01", B3, 3, suffix="hdf5"), f"{BETAS}/func1pt8mm/{B3}/betas_session03.hdf5"),
        (layout.volume_ncsnr("subj01", B3), f"{BETAS}/func1pt8mm/{B3}/ncsnr.nii.gz"),
        (layout.surface_ncsnr("subj01", B3, "fsaverage", "rh"), f"{BETAS}/fsaverage/{B3}/rh.ncsnr.mgh"),
        (layout.volume_file("subj08", "brainmask"), "nsddata/ppdata/subj08/func1pt8mm/brainmask.nii.gz"),
        (layout.volume_file("subj08", "roi/streams"), "nsddata/ppdata/subj08/func1pt8mm/roi/streams.nii.gz"),
        (
            layout.transform("subj01", "lh", "func1pt8-to-layerB1"),
            "nsddata/ppdata/subj01/transforms/lh.func1pt8-to-layerB1.mgz",
        ),
        (layout.surface_label("fsaverage", "lh", "streams"), "nsddata/freesurfer/fsaverage/label/lh.streams.mgz"),
        (layout.label_names("fsaverage", "streams"), "nsddata/freesurfer/fsaverage/label/streams.mgz.ctab"),
        (layout.surface("fsaverage", "rh", "inflated"), "nsddata/freesurfer/fsaverage/surf/rh.inflated"),
    ],
)
def test_key(found, expected):
    assert found == expected


def test_left_comes_before_right():
    assert layout.HEMISPHERES == ("lh", "rh")


def test_betas_versions_are_those_that_the_schema_allows():
    schema = yaml.safe_load((Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml").read_text())
    assert tuple(schema["properties"]["betas_version"]["enum"]) == layout.BETAS_VERSIONS


PLACE = {
    "subject": st.integers(1, 8).map("subj{:02d}".format),
    "version": st.sampled_from(layout.BETAS_VERSIONS),
    "session": st.integers(1, 40),
    "hemisphere": st.sampled_from(layout.HEMISPHERES),
    "space": st.sampled_from(["fsaverage", "nativesurface"]),
    "suffix": st.sampled_from(["nii.gz", "hdf5"]),
    "owner": st.sampled_from(["fsaverage", "subj01", "subj08"]),
    "atlas": st.sampled_from((*layout.ATLASES, *layout.SUBJECT_ATLASES)),
    "kind": st.sampled_from(["captions", "instances"]),
    "split": st.sampled_from(layout.SPLITS),
    "position": st.integers(1, 1000),
    "id73k": st.integers(1, 73_000),
}
KEYS = {
    layout.responses: ["subject"],
    layout.annotations: ["kind", "split"],
    layout.shared_picture: ["position", "id73k"],
    layout.volume_betas: ["subject", "version", "session", "suffix"],
    layout.native_betas: ["subject", "version", "session", "hemisphere"],
    layout.surface_betas: ["subject", "version", "session", "hemisphere"],
    layout.volume_ncsnr: ["subject", "version"],
    layout.surface_ncsnr: ["subject", "version", "space", "hemisphere"],
    layout.surface_label: ["owner", "hemisphere", "atlas"],
    layout.label_names: ["owner", "atlas"],
}


@st.composite
def files(draw):
    """A file of NSD: the function that spells its key, and its arguments."""
    spell = draw(st.sampled_from(list(KEYS)))
    return spell, {name: draw(PLACE[name]) for name in KEYS[spell]}


@given(st.lists(files(), min_size=2, max_size=20))
def test_two_files_never_share_a_key(wanted):
    different = {(spell.__name__, *arguments.items()) for spell, arguments in wanted}
    assert len({spell(**arguments) for spell, arguments in wanted}) == len(different)


@given(files())
def test_a_key_stays_in_the_bucket_and_tells_what_it_is_of(wanted):
    spell, arguments = wanted
    key = spell(**arguments)
    assert PurePosixPath(key).as_posix() == key
    assert not {"", ".", ".."} & set(key.split("/"))
    assert key.split("/")[0] in {"nsddata", "nsddata_betas", "nsddata_stimuli"}
    if "session" in arguments:
        assert [int(number) for number in re.findall(r"_session(\d{2})\.", key)] == [arguments["session"]]
    if "id73k" in arguments:
        assert [int(number) for number in re.findall(r"_nsd(\d{5})\.png$", key)] == [arguments["id73k"]]
