"""Regions: names from an atlas's own file, labels from its surfaces."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capcortex.nsd.rois import read_label_names, read_surface_labels, roi_vertices

NAME = st.text(st.sampled_from("abcXYZ019_-.+"), min_size=1, max_size=8)
SPACE = st.sampled_from(["", " ", "\t", "\t\t  ", "   "])


def write(tmp_path, text):
    path = tmp_path / "atlas.mgz.ctab"
    path.write_text(text, encoding="utf-8")
    return path


def test_trailing_tabs_two_digit_labels_and_blank_lines(tmp_path):
    text = "0 Unknown\n1 V1v\t\t\n\n2 V1d \t \n10\tIPS5\n   \n25 FEF\t\t\t"
    assert read_label_names(write(tmp_path, text)) == {"V1v": 1, "V1d": 2, "IPS5": 10, "FEF": 25}


def test_label_zero_is_no_region_even_when_named_like_one(tmp_path):
    assert read_label_names(write(tmp_path, "0 early\n0 Unknown\n1 ventral\n")) == {"ventral": 1}


def test_windows_line_ends(tmp_path):
    path = tmp_path / "atlas.mgz.ctab"
    path.write_bytes(b"0 Unknown\r\n1 early\t\r\n")
    assert read_label_names(path) == {"early": 1}


@given(st.dictionaries(NAME, st.integers(1, 200), max_size=30), st.data())
def test_generated_ctabs_come_back(tmp_path_factory, names, data):
    names = {name: number for name, number in names.items() if list(names.values()).count(number) == 1}
    lines = ["0 Unknown"]
    for name, number in names.items():
        before, between, after = data.draw(SPACE), data.draw(SPACE.filter(bool)), data.draw(SPACE)
        lines += [f"{before}{number}{between}{name}{after}", *data.draw(st.lists(SPACE, max_size=1))]
    assert read_label_names(write(tmp_path_factory.mktemp("c"), "\n".join(lines))) == names


@pytest.mark.parametrize(("text", "line"), [("1 a\n2 a\n", 2), ("1 a\n\n1 b\n", 3)])
def test_repeated_names_and_labels_are_refused(tmp_path, text, line):
    with pytest.raises(ValueError, match=rf"atlas\.mgz\.ctab, line {line}: name \w or label \d occurs twice"):
        read_label_names(write(tmp_path, text))


@pytest.mark.parametrize("line", ["early 1", "1", "1.5 early", "V1"])
def test_line_that_is_no_number_and_name_is_refused(tmp_path, line):
    with pytest.raises(ValueError, match=rf"line 2: expected a number and a name, found '{line}'"):
        read_label_names(write(tmp_path, f"0 Unknown\n{line}\n"))


def test_left_comes_before_right(tmp_path, write_mgh):
    files = [
        write_mgh(tmp_path / f"{hemisphere}.streams.mgz", np.array(values)[:, None, None])
        for hemisphere, values in (("lh", [0, 1, 25]), ("rh", [7, 0]))
    ]
    labels = read_surface_labels(files)
    assert labels.tolist() == [0, 1, 25, 7, 0]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_any_stored_type_gives_whole_numbers(tmp_path, write_mgh, dtype):
    path = write_mgh(tmp_path / "lh.mgz", np.array([0, 3, 12])[:, None, None], dtype)
    assert read_surface_labels([path]).tolist() == [0, 3, 12]


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("bad", [1.5, np.nan])
def test_labels_are_whole_numbers(tmp_path, write_mgh, bad):
    path = write_mgh(tmp_path / "lh.mgz", np.array([0, bad, 2])[:, None, None])
    with pytest.raises(ValueError, match=rf"lh\.mgz: labels are whole numbers; found {bad}"):
        read_surface_labels([path])


def test_damaged_label_file_is_named_with_a_remedy(tmp_path, rng, write_mgh):
    path = write_mgh(tmp_path / "lh.mgz", rng.integers(0, 100, 5000)[:, None, None])
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", gzip.compress(b"no mgh")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path}: not a whole mgz file .*fetch it again"):
            read_surface_labels([path])
    with pytest.raises(FileNotFoundError):
        read_surface_labels([tmp_path / "rh.mgz"])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50))
def test_region_holds_exactly_its_vertices(labels):
    names = {"a": 1, "b": 2, "c": 30}
    for name, number in names.items():
        expected = [vertex for vertex, label in enumerate(labels) if label == number]
        if expected:
            assert roi_vertices(np.array(labels), names, name, atlas="streams").tolist() == expected
        else:
            with pytest.raises(ValueError, match=rf"region {name} of atlas streams \(label {number}\) has no vertex"):
                roi_vertices(np.array(labels), names, name, atlas="streams")


def test_missing_region_lists_the_known():
    with pytest.raises(ValueError, match=r"atlas streams has no region 'Early'; its regions are early, ventral"):
        roi_vertices(np.array([1, 2]), {"early": 1, "ventral": 5}, "Early", atlas="streams")
