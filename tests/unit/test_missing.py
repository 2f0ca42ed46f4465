"""A message about missing files says which kinds are missing, of whom, and which config key does without them."""

import pandas as pd
import pytest

from capcortex.config import Study
from capcortex.missing import KINDS, describe_missing, require_files
from capcortex.nsd import layout

VERSION = "betas_fithrf_GLMdenoise_RR"
NO_MAPS = "searchlight: {models: [], contrasts: []}"


def study(subjects=("subj01", "subj02"), atlas="streams", **config) -> Study:
    given = {"source": "local", "local": {"nsd": "nsd"}, "subjects_table": "config/subjects_nsd.tsv"}
    given |= {
        "roi_space": "fsaverage",
        "surface_betas": "fsaverage",
        "betas_version": VERSION,
        "rois": {atlas: ["a"]},
        "searchlight": {"models": ["caption"]},
    }
    atlases = pd.DataFrame({"atlas": ["streams", "floc-faces"], "defined_on": ["fsaverage", "subject"]})
    table = pd.DataFrame({"subject": list(subjects)})
    return Study(
        given | config,
        subjects=table,
        models=pd.DataFrame(),
        encoders=pd.DataFrame(),
        atlases=atlases,
        figures=pd.DataFrame(),
    )


def keys_of(subjects=("subj01", "subj02"), n_sessions=4) -> list[str]:
    keys = [layout.EXPERIMENT_DESIGN, layout.surface_label("fsaverage", "lh", "streams")]
    for subject in subjects:
        keys += [layout.responses(subject), layout.volume_file(subject, "brainmask")]
        keys += [layout.transform(subject, hemisphere, "white-to-fsaverage") for hemisphere in layout.HEMISPHERES]
        for session in range(1, n_sessions + 1):
            keys.append(layout.volume_betas(subject, VERSION, session))
            keys += [layout.surface_betas(subject, VERSION, session, hemisphere) for hemisphere in layout.HEMISPHERES]
    return keys


def describe(gone, **config) -> list[str]:
    return describe_missing(keys_of(), [key for key in keys_of() if gone(key)], study(**config))


def test_missing_files_are_named_with_their_place(tmp_path) -> None:
    there = tmp_path / "there.tsv"
    there.touch()
    require_files({str(there): "config key a"}, study())
    with pytest.raises(
        FileNotFoundError, match=r"gone\.tsv does not exist; it is named by config key b \(1 of 2[^\n]*$"
    ):
        require_files({str(there): "config key a", str(tmp_path / "gone.tsv"): "config key b"}, study())


def test_the_message_of_a_partial_copy_has_a_line_for_each_kind(tmp_path) -> None:
    there = layout.EXPERIMENT_DESIGN
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).touch()
    files = dict.fromkeys((f"{tmp_path}/{key}" for key in keys_of()), "config key local: nsd")
    with pytest.raises(FileNotFoundError) as caught:
        require_files(files, study(local={"nsd": str(tmp_path)}))
    lines = str(caught.value).splitlines()
    assert (
        "lh.streams.mgz does not exist; it is named by config key local: nsd (33 of 34 files are missing)" in lines[0]
    )
    assert [line.split(":")[0].strip() for line in lines[1:]] == list(KINDS)


def test_surface_betas_are_not_needed_in_the_volume() -> None:
    lines = describe(lambda key: "/fsaverage/betas" in key)
    line = "surface betas and their ncsnr: 16 of 16; not needed with roi_space: func1pt8mm; surface_betas: "
    assert lines == [f"{line}nativesurface reads other files"]


def test_betas_on_native_surfaces_need_an_index_and_can_be_replaced_too() -> None:
    native = [layout.native_betas("subj01", VERSION, 1, hemisphere) for hemisphere in layout.HEMISPHERES]
    index = [layout.transform("subj01", hemisphere, "white-to-fsaverage") for hemisphere in layout.HEMISPHERES]
    told = describe_missing(keys_of() + native, native + index, study(surface_betas="nativesurface"))
    assert told == [
        "surface betas and their ncsnr: 2 of 18, of subj01; not needed with roi_space: func1pt8mm; "
        "surface_betas: fsaverage reads other files",
        f"transforms to surfaces: 2 of 4, of subj01; not needed with {NO_MAPS} and roi_space: func1pt8mm",
    ]


@pytest.mark.parametrize(
    ("config", "instead"),
    [
        ({}, NO_MAPS),
        ({"roi_space": "func1pt8mm"}, f"{NO_MAPS} and roi_space: fsaverage"),
        ({"roi_space": "func1pt8mm", "searchlight": {"models": []}}, "roi_space: fsaverage"),
    ],
)
def test_volumes_are_not_needed_without_maps_on_the_surface(config, instead) -> None:
    assert describe(lambda key: "func1pt8mm" in key, **config) == [
        f"volume betas and their ncsnr: 8 of 8; not needed with {instead}",
        f"brain masks and other volumes: 2 of 2; not needed with {instead}",
    ]


def test_transforms_serve_maps_and_regions_on_native_surfaces() -> None:
    line = "transforms to surfaces: 4 of 4; not needed with "
    assert describe(lambda key: "transforms" in key) == [f"{line}{NO_MAPS}"]
    assert describe(lambda key: "transforms" in key, atlas="floc-faces") == [
        f"{line}{NO_MAPS} and roi_space: func1pt8mm"
    ]


def test_betas_that_only_the_multiverse_reads_have_their_own_line() -> None:
    others = [layout.volume_betas("subj01", "betas_assumehrf", session) for session in (1, 2)]
    told = describe_missing(keys_of() + others, others, study())
    line = "betas of other versions, for the multiverse: 2; not needed with multiverse: {betas_versions: []}"
    assert told == [line]
    # They count with no other files, and a subject of whom only they are missing is there.
    own = layout.volume_betas("subj02", VERSION, 2)
    assert describe_missing(keys_of() + others, [*others, own], study())[:2] == [
        line,
        f"volume betas and their ncsnr: 1 of 8, of subj02; not needed with {NO_MAPS}",
    ]
    assert describe_missing([layout.EXPERIMENT_DESIGN, *others], others, study()) == [line]


def test_a_subject_without_any_file_can_be_left_out() -> None:
    assert describe(lambda key: "/subj02/" in key) == ["subj02: all files; config key subjects can leave them out"]
    # Some files of one kind only: the kind is named, with the subject.
    lines = describe(lambda key: "/subj02/" in key and "transforms" in key)
    assert lines == [f"transforms to surfaces: 2 of 4, of subj02; not needed with {NO_MAPS}"]
    # Nobody's files are there: leaving out all subjects would be no advice.
    assert not [line for line in describe(lambda key: "/subj" in key) if "leave them out" in line]


def test_the_last_sessions_can_be_left_out_and_a_gap_cannot() -> None:
    lines = describe(lambda key: ("/subj01/fsaverage" in key and "session03" in key) or "session04" in key)
    sessions = [line for line in lines if "sessions" in line]
    assert "  subj01 has sessions 1 to 2: say so in the column sessions of config/subjects_nsd.tsv" in sessions
    assert "  subj02 has sessions 1 to 3: say so in the column sessions of config/subjects_nsd.tsv" in sessions
    assert not [line for line in describe(lambda key: "session02" in key) if "has sessions" in line]


def test_a_wrong_folder_is_doubted() -> None:
    (line,) = describe(lambda key: True)
    assert "none of NSD's files is in nsd" in line


def test_what_is_always_needed_has_no_way_around() -> None:
    lines = describe(lambda key: "responses" in key or "label" in key)
    assert lines == ["labels of regions and their names: 1 of 1", "images, trials and captions: 2 of 3"]
