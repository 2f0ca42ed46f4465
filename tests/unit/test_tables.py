"""Tables: what is written comes back; what is missing is said."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capcortex.tables import read_table, write_table

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12).map(str.strip)


def test_comment_lines_before_the_header_are_passed_over(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("# why\n# how\nname\tvalue\nx\t1\n")
    assert read_table(path, columns=["name", "value"]).to_dict("list") == {"name": ["x"], "value": [1]}


def test_hash_in_a_cell_is_no_comment(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("name\tvalue\n#1 dog\t1\na # b\t2\n")
    assert list(read_table(path, columns=["name"])["name"]) == ["#1 dog", "a # b"]


def test_missing_columns_are_named_with_the_file(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("name\tvalue\nx\t1\n")
    with pytest.raises(ValueError, match=r"a\.tsv: column\(s\) size, label missing; found name, value"):
        read_table(path, columns=["name", "size", "label"])


@pytest.mark.parametrize("empty", ["", "n/a"])
def test_missing_cell_leaves_the_others_numbers(tmp_path, empty):
    path = tmp_path / "a.tsv"
    path.write_text(f"name\tvalue\nx\t1.5\n{empty}\t{empty}\nz\t3\n")
    table = read_table(path, columns=["name", "value"])
    assert np.array_equal(table["value"].to_numpy(dtype=float), [1.5, np.nan, 3], equal_nan=True)
    assert pd.api.types.is_numeric_dtype(table["value"])  # text "1.5" would sort and compare as text
    assert list(table["name"].isna()) == [False, True, False]


def test_numbers_of_a_text_column_stay_as_they_are_written(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("name\tvalue\n1\t0.490\n2\t037\n3\t\n")
    table = read_table(path, columns=["name", "value"], text=["value"])
    assert list(table["value"][:2]) == ["0.490", "037"]
    assert table["value"].isna().tolist() == [False, False, True]
    assert list(table["name"]) == [1, 2, 3]


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "N/A"])
def test_words_that_pandas_takes_for_missing_are_words(tmp_path, word):
    write_table(pd.DataFrame({"label": [word, "b"]}), tmp_path / "a.tsv")
    assert list(read_table(tmp_path / "a.tsv", columns=["label"])["label"]) == [word, "b"]


@given(st.lists(TEXT.filter(lambda text: text not in ("", "n/a")), min_size=1, max_size=8))
def test_text_comes_back_as_written(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("t") / "a.tsv"
    table = pd.DataFrame(
        {"key": [f"k{n}" for n in range(len(values))], "text": [f"{value}\n\t\"'" for value in values]}
    )
    write_table(table, path)
    assert list(read_table(path, columns=["text"])["text"]) == list(table["text"])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.lists(st.integers(0, 10**12), min_size=8, max_size=8))
def test_numbers_keep_nine_digits_and_whole_numbers_all(tmp_path_factory, floats, integers):
    path = tmp_path_factory.mktemp("t") / "a.tsv"
    write_table(pd.DataFrame({"x": floats, "n": integers[: len(floats)]}), path)
    back = read_table(path, columns=["x", "n"])
    np.testing.assert_allclose(back["x"].astype(float), floats, rtol=5.1e-9)  # half a unit of the ninth digit
    assert list(back["n"]) == integers[: len(floats)]


def test_missing_numbers_are_written_as_n_a(tmp_path):
    write_table(pd.DataFrame({"x": [1.0, np.nan]}), tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_bytes() == b"x\n1\nn/a\n"
