"""Ids: two ways of counting, and joins by label."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from capcortex.ids import as_ids, from_nsd_id, positions, require_equal, to_nsd_id, unique_ids

ID = st.integers(1, 73_000)
UNIQUE = st.lists(ID, min_size=1, max_size=60, unique=True)


@given(st.lists(ID, max_size=50), st.sampled_from([np.int32, np.uint32, np.int64, np.float64, ">i4"]))
def test_any_whole_number_type_becomes_int64(ids, dtype):
    found = as_ids(np.array(ids, dtype=dtype))
    assert found.dtype == np.int64
    assert found.tolist() == ids


@pytest.mark.parametrize("bad", [0, -1, 1.5, np.nan, np.inf, 1e300])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_what_is_no_id_is_named_with_its_position(bad):
    with pytest.raises(ValueError, match=r"my ids: .*position 2"):
        as_ids(np.array([1.0, 2.0, bad, 4.0]), what="my ids")


@pytest.mark.parametrize("bad", [np.array(["1"]), np.array([True]), np.array([[1]]), np.array(1), [None]])
def test_other_types_and_shapes_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        as_ids(bad)


@given(st.lists(st.integers(0, 72_999), max_size=50))
def test_the_two_ways_of_counting_are_one_apart_and_inverse(nsd_id):
    ids = from_nsd_id(np.array(nsd_id, dtype=np.int64))
    assert ids.tolist() == [value + 1 for value in nsd_id]
    assert to_nsd_id(ids).tolist() == nsd_id


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_conversion_does_not_overflow_small_types(dtype):
    largest = np.iinfo(dtype).max
    assert from_nsd_id(np.array([0, largest], dtype=dtype)).tolist() == [1, int(largest) + 1]


def test_zero_is_no_id73k():
    with pytest.raises(ValueError, match="found 0"):
        to_nsd_id([1, 0])
    with pytest.raises(ValueError, match="found 0"):
        from_nsd_id([-1])


@given(st.lists(st.integers(1, 12), max_size=10))
def test_unique_ids_refuses_exactly_repeated_ids_and_counts_them(ids):
    if len(set(ids)) == len(ids):
        assert unique_ids(np.array(ids, dtype=int)).tolist() == ids  # order kept
        return
    first = min(value for value in ids if ids.count(value) > 1)
    with pytest.raises(ValueError, match=rf"id73k {first} occurs {ids.count(first)} times"):
        unique_ids(ids)


@given(UNIQUE, st.data())
def test_positions_find_every_wanted_id(available, data):
    shape = data.draw(st.sampled_from([(6,), (2, 3), (3, 2, 1), (0,)]))
    picks = data.draw(st.lists(st.sampled_from(available), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    wanted = np.array(picks, dtype=np.int64).reshape(shape)
    at = positions(wanted, available, what="table")
    assert at.shape == shape
    assert np.array_equal(np.array(available)[at], wanted)


@given(UNIQUE, st.lists(ID, min_size=1, max_size=20))
def test_positions_name_the_first_missing_id(available, wanted):
    missing = [value for value in wanted if value not in available]
    assume(missing)
    message = rf"table lacks id73k {missing[0]} \({len(missing)} of {len(wanted)} "
    with pytest.raises(ValueError, match=message):
        positions(wanted, available, what="table")


@given(UNIQUE, st.randoms(use_true_random=False))
def test_positions_do_not_depend_on_the_order_of_what_is_available(available, random):
    shuffled = list(available)
    random.shuffle(shuffled)
    values = {value: value * 2 for value in available}
    at = positions(available, shuffled, what="table")
    assert [values[shuffled[k]] for k in at] == [value * 2 for value in available]


def test_positions_refuse_repeated_available_ids():
    with pytest.raises(ValueError, match="table: id73k 3 occurs 2 times"):
        positions([3], [3, 4, 3], what="table")


@given(st.lists(ID, min_size=1, max_size=30), st.data())
def test_require_equal_names_the_first_difference(ids, data):
    other = list(ids)
    assert require_equal(ids, other, left_name="brain", right_name="model").tolist() == ids
    changed = data.draw(st.sets(st.integers(0, len(ids) - 1), min_size=1))
    for at in changed:
        other[at] += 1
    first = min(changed)
    message = rf"image {first} is id73k {ids[first]} in brain but id73k {other[first]} in model"
    with pytest.raises(ValueError, match=message):
        require_equal(ids, other, left_name="brain", right_name="model")


def test_require_equal_refuses_different_lengths_even_when_they_broadcast():
    with pytest.raises(ValueError, match="brain has 1 images, model has 3"):
        require_equal([7], [7, 7, 7], left_name="brain", right_name="model")
