"""Draws depend on the seed and on what they are for, and on nothing else."""

import itertools

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from capcortex.seeds import random_generator

WORDS = st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=4), min_size=1, max_size=3)


def draw(seed, *purpose):
    return random_generator(seed, *purpose).integers(2**62, size=4).tolist()


@given(st.integers(0, 2**40), WORDS)
def test_same_seed_and_purpose_give_the_same_draw(seed, words):
    assert draw(seed, *words) == draw(seed, *words)


@example(0, ["ab", "c"], ["a", "bc"])
@given(st.integers(0, 2**40), WORDS, WORDS)
def test_another_purpose_gives_another_draw(seed, left, right):
    # ("ab", "c") and ("a", "bc") must differ too: words are not simply glued together.
    assert (draw(seed, *left) == draw(seed, *right)) == (left == right)


def test_another_seed_gives_another_draw():
    draws = [tuple(draw(seed, "image-sets", "subj01")) for seed in range(200)]
    assert len(set(draws)) == 200


def test_seed_and_purpose_do_not_run_together():
    assert draw(1, "1") != draw(11)
    assert draw(1, "2", "3") != draw(12, "3")


def test_draws_do_not_depend_on_the_process(run_python):
    # Python's own hash() of a string differs from process to process; a generator seeded by it would not be repeatable.
    code = "from capcortex.seeds import random_generator as g; print(g(3, 'a', 7).integers(2**62, size=4).tolist())"
    assert run_python(code).stdout.strip() == str(draw(3, "a", 7))


def test_streams_of_different_purposes_are_unrelated():
    streams = np.array([random_generator(5, "noise", k).standard_normal(4000) for k in range(12)])
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in itertools.combinations(streams, 2)]
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)  # five standard errors of an r of zero
